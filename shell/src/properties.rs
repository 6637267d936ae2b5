//! What must hold for any line and any batch, whoever sends it.

use cluster::Timestamp;
use cluster::task::limits;

use crate::words::{quote, split};
use crate::{Failure, Format, View, parse, parse_batch, parse_spec, render_failure, wants_json};

/// A refusal has words, a remedy's code, and nothing in it that could drive a terminal.
fn is_harmless(failure: &Failure) {
    assert!(!failure.sentence.is_empty());
    assert!(failure.kind.code() > 0);
    for format in [Format::Text, Format::Json] {
        let view = View {
            format,
            quiet: false,
            pty: true,
            width: 80,
            now: Timestamp(0),
        };
        let shown = render_failure(failure, &view);
        let line = shown.strip_suffix('\n');
        assert!(
            line.is_some_and(|line| !line.chars().any(char::is_control)),
            "{shown:?}"
        );
    }
}

/// A line is a command or a refusal; words that were understood survive being quoted.
pub fn command_line(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    let _ = wants_json(&line);
    if let Ok(words) = split(&line) {
        let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
        if let Ok(again) = split(&quoted.join(" ")) {
            assert_eq!(again, words);
        }
    }
    match parse(&line) {
        Ok(request) => assert_eq!(parse(&line).as_ref(), Ok(&request)),
        Err(failure) => is_harmless(&failure),
    }
    if let Err(failure) = parse_spec(&line) {
        is_harmless(&failure);
    }
}

/// A batch is all its tasks or a refusal that names a line.
pub fn batch(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match parse_batch(&text) {
        Ok(specs) => {
            assert!(specs.len() <= limits::BATCH && specs.len() <= text.lines().count());
        }
        Err(failure) => {
            assert!(
                failure.sentence.starts_with("line "),
                "{}",
                failure.sentence
            );
            is_harmless(&failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Words that mean something here, and some that do not.
    fn word() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            "task",
            "vps",
            "node",
            "auth",
            "ssh",
            "config",
            "audit",
            "connect",
            "forward",
            "run",
            "submit",
            "list",
            "status",
            "logs",
            "kill",
            "create",
            "restart",
            "rename",
            "invite",
            "--json",
            "--format",
            "-q",
            "-c",
            "-m",
            "-t",
            "-e",
            "-n",
            "-f",
            "--",
            "--name",
            "--help",
            "--batch",
            "--stdin",
            "--mount",
            "--image",
            "--time",
            "4",
            "8G",
            "a=b",
            "sh",
            "17",
            "vps-3",
            "-1",
            "99999999999999999999",
            "1h30m",
            "\u{1b}[2J",
            "''",
            "\"",
        ]);
        prop_oneof![
            4 => known.prop_map(ToOwned::to_owned),
            1 => any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_a_refusal(bytes: Vec<u8>) {
            command_line(&bytes);
            batch(&bytes);
        }

        #[test]
        fn so_is_any_line_of_known_words(words in prop::collection::vec(word(), 0..9)) {
            command_line(words.join(" ").as_bytes());
        }

        #[test]
        fn a_batch_of_known_words_is_taken_or_refused_whole(
            lines in prop::collection::vec(prop::collection::vec(word(), 0..6), 0..6)
        ) {
            let lines: Vec<String> = lines.iter().map(|words| words.join(" ")).collect();
            batch(lines.join("\n").as_bytes());
        }
    }
}
