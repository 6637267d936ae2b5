//! Many tasks by one command: `task submit --batch`, whole or each line by itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use harness::River;

fn begun(river: &River, line: &str) -> Child {
    let mut ssh = river.admin.command(&["-T"], line);
    ssh.stdin(Stdio::piped()).spawn().unwrap()
}

fn tasks(river: &River) -> usize {
    let list = river.admin.ssh("task list -q -n 1000").good();
    list.lines().count()
}

#[test]
fn a_line_is_answered_while_the_next_is_not_written_yet_and_outlives_a_kill() {
    let mut river = River::gateway_alone("");
    let mut ssh = begun(&river, "task submit -q --batch --each");
    let mut lines = ssh.stdin.take().unwrap();
    let mut answers = BufReader::new(ssh.stdout.take().unwrap()).lines();
    for number in 1..=3 {
        lines.write_all(b"-- true\n").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), number.to_string());
    }
    river.kill_gateway();
    drop(lines);
    ssh.wait().unwrap();
    river.start_gateway();
    assert_eq!(tasks(&river), 3);
}

#[test]
fn a_wrong_line_is_refused_by_its_number_and_the_others_are_taken() {
    let river = River::gateway_alone("");
    let input = b"# three tasks, and what is none\n\n--name one -- true\n-c x -- true\n-t n9 -- true\r\n-- \xff\n-- last";
    let seen = river.admin.ssh_with("task submit -q --batch --each", input);
    assert_eq!(seen.text(), "1\n-\n-\n-\n2\n");
    assert_eq!(seen.code, 2, "of the first that was refused");
    for part in [
        "line 4: --cores",
        "line 5: n9: no such node",
        "line 6: not UTF-8",
    ] {
        assert!(seen.stderr.contains(part), "{}", seen.stderr);
    }
    let again = river
        .admin
        .ssh_with("task submit --batch --each --json", input);
    let lines: Vec<serde_json::Value> = again
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let numbers: Vec<_> = lines.iter().map(|line| line["line"].as_u64()).collect();
    assert_eq!(numbers, [3, 4, 5, 6, 7].map(Some));
    assert_eq!(lines[0]["error"]["code"], 1, "this name is taken now");
    assert_eq!(lines[4]["tasks"][0]["id"], 3);
    assert_eq!(tasks(&river), 3);
    // The whole of it is another wish: none of it is taken.
    let whole = river
        .admin
        .ssh_with("task submit -q --batch", b"-- true\n-c x -- true\n");
    assert_eq!((whole.code, tasks(&river)), (2, 3));
}

#[test]
fn what_was_cut_is_sent_again_and_no_key_becomes_two_tasks() {
    let mut river = River::gateway_alone("");
    let input: String = (0..600)
        .map(|n| format!("--key k{n} -- echo {n}\n"))
        .collect();
    let mut ssh = begun(&river, "task submit -q --batch --each");
    let mut lines = ssh.stdin.take().unwrap();
    let mut answers = BufReader::new(ssh.stdout.take().unwrap()).lines();
    let first = std::thread::scope(|scope| {
        scope.spawn(move || {
            // It is cut off in the middle.
            let _ = lines.write_all(input.as_bytes());
        });
        let first: Vec<String> = (0..100).map(|_| answers.next().unwrap().unwrap()).collect();
        river.kill_gateway();
        first
    });
    ssh.wait().unwrap();
    river.start_gateway();
    let input: String = (0..600)
        .map(|n| format!("--key k{n} -- echo {n}\n"))
        .collect();
    let again = river
        .admin
        .ssh_with("task submit -q --batch --each", input.as_bytes())
        .good();
    let again: Vec<&str> = again.lines().collect();
    assert_eq!(again.len(), 600);
    assert_eq!(again[..100], first, "the same tasks by the same keys");
    assert_eq!(tasks(&river), 600);
}

#[test]
fn a_line_without_end_takes_no_memory() {
    const LENGTH: usize = 64 << 20;
    let river = River::gateway_alone("");
    let before = river.peak();
    let mut input = vec![b'x'; LENGTH];
    input.extend_from_slice(b"\n-- true\n");
    let seen = river
        .admin
        .ssh_with("task submit -q --batch --each", &input);
    assert_eq!(seen.text(), "-\n1\n");
    assert!(
        seen.stderr.contains("line 1: longer than"),
        "{}",
        seen.stderr
    );
    let grown = river.peak() - before;
    assert!(grown < LENGTH as u64 / 2, "{grown} bytes");
}

#[test]
fn an_orderly_end_says_where_to_go_on() {
    let mut river = River::gateway_alone("");
    let mut ssh = begun(&river, "task submit -q --batch --each");
    let mut lines = ssh.stdin.take().unwrap();
    let mut answers = BufReader::new(ssh.stdout.take().unwrap()).lines();
    lines.write_all(b"-- true\n# none\n-- true\n").unwrap();
    for number in 1..=2 {
        assert_eq!(answers.next().unwrap().unwrap(), number.to_string());
    }
    assert!(river.end_gateway().success());
    drop(lines);
    let ended = ssh.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    let wanted = "the gateway restarts: line 4 and those after it were not taken, send them again";
    assert!(said.contains(wanted), "{said}");
    assert_eq!(ended.status.code(), Some(75));
}
