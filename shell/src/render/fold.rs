//! Long lines, broken at blanks, for terminals of so many columns.

/// Columns where nobody said how many there are.
pub(crate) const USUAL: usize = 80;
/// Columns that a folded line has for its words at least.
const LEAST: usize = 20;

/// The line in lines of at most `width` columns, those after the first with `indent` blanks before them.
/// A word that is longer has a line of its own. No line ends with a blank; each ends with a newline.
pub(crate) fn fold(line: &str, width: usize, indent: usize) -> String {
    let indent = if indent + LEAST > width { 2 } else { indent };
    let (mut text, mut rest) = (String::new(), line.trim_end());
    let mut room = width;
    while rest.chars().count() > room {
        let begin = rest.len() - rest.trim_start().len();
        let end = rest
            .char_indices()
            .nth(room)
            .map_or(rest.len(), |(at, _)| at);
        // The last blank that fits, else the first after it.
        let blanks = || {
            rest.match_indices(' ')
                .map(|(at, _)| at)
                .filter(|at| *at > begin)
        };
        let last = blanks().take_while(|at| *at <= end).last();
        let Some((line, more)) = last
            .or_else(|| blanks().next())
            .and_then(|at| rest.split_at_checked(at))
        else {
            break;
        };
        text.push_str(line.trim_end());
        text.push('\n');
        text.push_str(&" ".repeat(indent));
        (rest, room) = (more.trim_start(), width - indent);
    }
    text.push_str(rest);
    text.push('\n');
    text
}

/// Help as clap writes it: what a line says goes on under where it began.
pub(crate) fn fold_help(text: &str) -> String {
    text.lines()
        .map(|line| {
            let begin = line.len() - line.trim_start().len();
            let column = line.trim_start().rfind("  ").map(|at| begin + at + 2);
            fold(line, USUAL, column.unwrap_or(begin + 2))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_go_on_under_where_they_began() {
        assert_eq!(fold("a bc def", 80, 4), "a bc def\n");
        let told = fold("ok  n1  one two three four five six seven", 30, 8);
        assert_eq!(told, "ok  n1  one two three four\n        five six seven\n");
        assert_eq!(
            fold(&"x".repeat(99), 30, 4),
            format!("{}\n", "x".repeat(99))
        );
        let option = format!("  -c, --cores <N>  {}", "word ".repeat(20));
        let lines = fold_help(&option);
        let second = lines.lines().nth(1).unwrap();
        assert!(
            second.starts_with(&format!("{}word", " ".repeat(19))),
            "{lines}"
        );
    }

    proptest! {
        #[test]
        fn no_word_is_lost(words in prop::collection::vec("[a-zé]{1,12}", 0..40), width in 24_usize..120, indent in 0_usize..60) {
            let told = fold(&words.join(" "), width, indent);
            let again: Vec<&str> = told.split_whitespace().collect();
            prop_assert_eq!(again, words);
            prop_assert!(told.lines().all(|line| line.chars().count() <= width), "{}", told);
        }
    }
}
