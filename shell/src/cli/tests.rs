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

/// Every command with its options, as the parser itself knows them.
fn vocabulary() -> Vec<(String, Vec<String>)> {
    fn walk(command: &clap::Command, path: &str, all: &mut Vec<(String, Vec<String>)>) {
        let long = |arg: &clap::Arg| arg.get_long().map(|name| format!("--{name}"));
        let short = |arg: &clap::Arg| arg.get_short().map(|name| format!("-{name}"));
        let options = command.get_arguments();
        let options = options.flat_map(|arg| long(arg).into_iter().chain(short(arg)));
        all.push((path.to_owned(), options.collect()));
        for below in command.get_subcommands() {
            walk(below, &format!("{path} {}", below.get_name()), all);
        }
    }
    use clap::CommandFactory;
    let (mut all, mut root) = (Vec::new(), Root::command());
    // Options of every command are handed down by this.
    root.build();
    walk(&root, "", &mut all);
    all
}

/// Any characters, those that drive a terminal among them.
fn text() -> impl Strategy<Value = String> + Clone {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
}

/// A command, then some of its options and other words, in any order.
fn lines() -> impl Strategy<Value = String> {
    let all = vocabulary();
    assert!(all.len() > 30, "{all:?}");
    let value = prop_oneof![
        text(),
        text().prop_map(|text| words::quote(&text)),
        "-?[0-9]{1,25}[KMGTsmhd:.,=/-]{0,2}",
        "[a-z0-9=:,./-]{0,12}",
        Just("--".to_owned()),
    ];
    proptest::sample::select(all).prop_flat_map(move |(path, mut options)| {
        options.push(String::new());
        let word = (proptest::sample::select(options), value.clone(), " |=|");
        let word = word.prop_map(|(option, value, between)| format!("{option}{between}{value}"));
        let words = proptest::collection::vec(word, 0..6);
        words.prop_map(move |words| format!("{path} {}", words.join(" ")))
    })
}

/// Neither panics nor says anything that could drive a terminal.
fn is_borne(line: &str) {
    let view = crate::View {
        format: Format::Text,
        quiet: false,
        pty: true,
        width: 80,
        now: cluster::Timestamp(0),
    };
    for failure in [parse(line).err(), parse_spec(line).err()]
        .into_iter()
        .flatten()
    {
        let text = crate::render_failure(&failure, &view);
        let bad = text
            .trim_end_matches('\n')
            .chars()
            .find(|c| crate::escape::harmful(*c));
        assert_eq!(bad, None, "{line:?}: {text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_line_panics(line in text()) {
        is_borne(&line);
    }

    #[test]
    fn no_line_of_any_command_panics(line in lines()) {
        is_borne(&line);
    }
}

/// Of each command and all of its words, in its help.
#[test]
fn every_help_keeps_to_80_columns_and_offers_a_watch_only_where_something_is_listed() {
    fn walk(at: &clap::Command, path: &str, seen: &mut Vec<String>) {
        let line = format!("{path} --help");
        let Command::Query(Query::Text(text)) = parse(&line).unwrap().command else {
            panic!("{line}")
        };
        let long = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(long, None, "{path}");
        if text.contains("--watch") {
            seen.push(path.to_owned());
        }
        for under in at.get_subcommands() {
            walk(
                under,
                format!("{path} {}", under.get_name()).trim_start(),
                seen,
            );
        }
    }
    let mut watched = Vec::new();
    walk(&grammar(), "", &mut watched);
    let listings = [
        "task list",
        "task status",
        "vps list",
        "vps status",
        "node list",
        "node status",
        "node summary",
        "auth key list",
        "auth user list",
        "audit",
        "status",
    ];
    assert_eq!(watched, listings);
    for line in listings {
        let line = match line {
            "task status" | "vps status" => format!("{line} 1"),
            "node status" => format!("{line} n1"),
            line => line.to_owned(),
        };
        assert!(parse(&format!("{line} -w")).unwrap().watch, "{line}");
        assert!(parse(&format!("-w {line}")).unwrap().watch, "{line}");
        assert!(!parse(&line).unwrap().watch, "{line}");
    }
    assert_eq!(failure("task kill 1 -w").kind.code(), 2);
}
