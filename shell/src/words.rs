//! Splits a line into words by POSIX quoting (POSIX.1-2017, Shell Command Language 2.2), and refuses
//! what only a shell could do, instead of guessing.

use crate::Failure;

/// Longest line, in bytes.
pub const LONGEST_LINE: usize = 200 * 1024;

/// Characters that mean something to a shell when they are not quoted.
const OPERATORS: &[char] = &[';', '|', '&', '<', '>', '(', ')', '`'];

/// # Errors
/// An unbalanced quote, an unquoted operator, or a line that is too long: code 2, with the remedy.
pub fn split(line: &str) -> Result<Vec<String>, Failure> {
    if line.len() > LONGEST_LINE {
        let sentence = format!(
            "this line has {} bytes; {LONGEST_LINE} is the most",
            line.len()
        );
        return Err(Failure::usage(sentence)
            .hint("send many tasks by `task submit --batch`, data by --stdin"));
    }
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => words.extend(word.take()),
            '\'' => single(&mut chars, word.get_or_insert_default())?,
            '"' => double(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                // A backslash before a newline joins the lines.
                Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err(unbalanced("the line ends with a backslash")),
            },
            '$' if chars.as_str().starts_with('(') => return Err(operator("$(")),
            c if OPERATORS.contains(&c) => return Err(operator(&c.to_string())),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Failure> {
    for c in chars {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err(unbalanced("a ' is never closed"))
}

fn double(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), Failure> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some(next) => {
                    word.push('\\');
                    word.push(next);
                }
                None => break,
            },
            c => word.push(c),
        }
    }
    Err(unbalanced("a \" is never closed"))
}

fn unbalanced(what: &str) -> Failure {
    Failure::usage(format!("the quotes of this line do not balance: {what}")).hint(
        "ssh joins its arguments by spaces: put the whole command in quotes of the other kind",
    )
}

fn operator(operator: &str) -> Failure {
    Failure::usage(format!(
        "`{operator}` is unquoted, and no shell runs between you and the task"
    ))
    .hint("quote it: ssh river \"task run -- sh -c 'echo a; exit 7'\"")
}

/// The word in quotes, so that [`split`] gives it back.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoting_is_that_of_a_shell() {
        let line = r#"task run -- sh -c 'echo "a"; exit 7' "b \"c\" \d" e\ f '' x''y"#;
        let words = split(line).unwrap();
        assert_eq!(
            words,
            [
                "task",
                "run",
                "--",
                "sh",
                "-c",
                "echo \"a\"; exit 7",
                "b \"c\" \\d",
                "e f",
                "",
                "xy"
            ]
        );
    }

    #[test]
    fn what_only_a_shell_could_do_is_refused() {
        for bad in [
            "a; b",
            "a | b",
            "a && b",
            "a > f",
            "a < f",
            "echo $(id)",
            "echo `id`",
            "(a)",
        ] {
            let failure = split(bad).unwrap_err();
            assert_eq!(failure.kind.code(), 2, "{bad}");
            assert!(failure.hint.unwrap().contains("quote"), "{bad}");
        }
        for bad in ["'a", "\"a", "a\\", "\"a\\"] {
            assert!(
                split(bad).unwrap_err().sentence.contains("balance"),
                "{bad}"
            );
        }
        assert!(
            split("echo $HOME *").is_ok(),
            "no expansion: the words arrive as they are"
        );
        assert!(split(&"x".repeat(LONGEST_LINE + 1)).is_err());
    }

    proptest! {
        #[test]
        fn any_words_survive_quoting(words in prop::collection::vec(any::<String>(), 0..8)) {
            let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
            prop_assert_eq!(split(&line.join(" ")).unwrap(), words);
        }

        #[test]
        fn no_line_panics(line in any::<String>()) {
            let _ = split(&line);
        }
    }
}
