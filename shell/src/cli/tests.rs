//! Lines people type, and what they mean.

use proptest::prelude::*;

use super::*;
use crate::command::{Attach, Change};

fn failure(line: &str) -> Failure {
    parse(line).unwrap_err()
}

fn submitted(line: &str) -> Vec<TaskSpec> {
    let command = parse(line).unwrap().command;
    if let Command::Change(Change::Submit(submit)) | Command::Attach(Attach::Run(submit)) = command
    {
        return submit.specs;
    }
    panic!("{line}: {command:?}");
}

#[test]
fn a_task_is_what_was_typed() {
    let specs = submitted(
        "task submit -t n1 -c 4 -m 8G --env A=b=c --name train -- python 'train me.py' --x",
    );
    let spec = &specs[0];
    assert_eq!(spec.command, ["python", "train me.py", "--x"]);
    assert_eq!((spec.cores, spec.memory), (4, 8 << 30));
    assert_eq!(spec.env["A"], "b=c");
    assert_eq!(spec.target.as_ref().unwrap().as_str(), "n1");
    assert_eq!(submitted("task submit -t a -t b -- x").len(), 2);
    assert_eq!(submitted("task run -- cat")[0].stdin, cluster::Stdin::Live);
    assert_eq!(
        submitted("task run --stdin -- cat")[0].stdin,
        cluster::Stdin::Spooled
    );
    assert_eq!(
        submitted("task submit -- cat")[0].stdin,
        cluster::Stdin::Empty
    );
}

#[test]
fn nothing_at_all_is_a_welcome_and_help_is_an_answer() {
    assert_eq!(parse("").unwrap().command, Command::Query(Query::Welcome));
    for line in [
        "help",
        "--help",
        "task",
        "task --help",
        "task submit --help",
        "node -h",
    ] {
        let Command::Query(Query::Text(text)) = parse(line).unwrap().command else {
            panic!("{line}")
        };
        assert!(
            text.contains("Usage") || text.contains("task"),
            "{line}: {text}"
        );
    }
}

#[test]
fn a_wrong_line_is_named_with_a_remedy() {
    let cases = [
        ("tsak list", "tsak: no such command"),
        ("task submitt -- x", "submitt: no such command"),
        ("task submit --croes 2 -- x", "--croes: no such option"),
        ("task submit", "the command is missing"),
        ("task submit -c 99999 -- x", "-c"),
        ("task submit -c -1 -- x", "-1"),
        ("task submit -m 1X -- x", "a size is"),
        ("task submit echo hi", "comes after `--`"),
        ("task submit --name $'\\x1b' -- x", "name"),
        ("task submit -t n1::0 -- x", "not by NUMA node or GPU"),
        ("task submit --priority 101 -- x", "--priority"),
        ("task run --retries 2 -- x", "--retries"),
        ("task submit --mount a:b -- x", "begins with /"),
        ("node status Bad_Name", "a name is"),
        ("auth invite --role king", "a role is"),
        ("docker images", "does not have it yet"),
    ];
    for (line, part) in cases {
        let failure = failure(line);
        assert!(
            failure.sentence.contains(part),
            "{line}: {}",
            failure.sentence
        );
        assert!(failure.hint.is_some(), "{line} has no hint");
        assert!(!failure.sentence.contains('\n'), "{line}");
    }
    assert!(failure("task lisst").hint.unwrap().contains("`list`"));
}

#[test]
fn every_command_takes_json_and_quiet() {
    for line in [
        "task list --json",
        "node list --format json",
        "--json version",
        "audit --json -n 3",
    ] {
        assert_eq!(parse(line).unwrap().format, Format::Json, "{line}");
    }
    assert!(parse("task list -q").unwrap().quiet);
}

#[test]
fn a_batch_line_is_a_submit_without_its_verb() {
    let spec = parse_spec("-c 2 --env A=1 -- sh -c 'echo hi; true'").unwrap();
    assert_eq!((spec.cores, spec.command.len()), (2, 3));
    for bad in ["", "echo hi", "--stdin -- cat", "--help"] {
        assert!(parse_spec(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_line_panics(line in "(task|node|auth|audit|help|config|-[a-z]+|--[a-z]+|[a-z0-9:=/.]+| |'|\"){0,12}") {
        let _ = parse(&line);
        let _ = parse_spec(&line);
    }
}
