//! What the documents tell people to type: blocks of commands, and words between backticks.

use std::path::Path;

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Of its section.
    pub heading: String,
    /// What stands after the fence: `sh`, `text`, `json`.
    pub kind: String,
    pub lines: Vec<String>,
    /// The line of the document after which it begins.
    pub at: usize,
}

impl Block {
    /// What is to be typed there, without prompts, remarks and answers.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        let typed = self.lines.iter().filter_map(|line| match &*self.kind {
            "sh" => Some(line.as_str()),
            // Answers stand beside commands there, and remarks after a gap.
            "text" => line
                .strip_prefix("$ ")
                .or_else(|| line.strip_prefix("# "))
                .map(|line| line.split("   ").next().unwrap_or(line)),
            _ => None,
        });
        let typed = typed.map(|line| without_remark(line).trim().to_owned());
        typed
            .filter(|line| !line.is_empty() && !line.starts_with('…'))
            .collect()
    }
}

/// A document of the project, such as `docs/operate.md`.
#[must_use]
pub fn read(document: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(document)).unwrap()
}

/// All fenced blocks of a document, in their order.
#[must_use]
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let (mut heading, mut inside) = (String::new(), false);
    for (at, line) in (1..).zip(text.lines()) {
        if let Some(kind) = line.strip_prefix("```") {
            inside = !inside;
            if inside {
                found.push(Block {
                    heading: heading.clone(),
                    kind: kind.to_owned(),
                    lines: Vec::new(),
                    at,
                });
            }
        } else if inside {
            found.last_mut().unwrap().lines.push(line.to_owned());
        } else if line.starts_with('#') {
            heading = line.trim_start_matches(['#', ' ']).to_owned();
        }
    }
    found
}

/// The block in which one line begins so; of several the one that begins with it.
///
/// # Panics
/// When there is no such block, or more than one.
#[must_use]
pub fn block(text: &str, line: &str) -> Block {
    let at = |block: &Block| {
        let mut commands = block.commands().into_iter();
        commands.position(|command| command.starts_with(line))
    };
    let mut found: Vec<Block> = blocks(text);
    found.retain(|block| at(block).is_some());
    if found.len() > 1 {
        found.retain(|block| at(block) == Some(0));
    }
    let [one] = &found[..] else {
        panic!("{} blocks have a line {line:?}", found.len())
    };
    one.clone()
}

/// What stands between backticks outside of blocks, each with its line's number; in a table `\|` is `|`.
#[must_use]
pub fn spans(text: &str) -> Vec<(usize, String)> {
    let (mut prose, mut inside) = (String::new(), false);
    for line in text.lines() {
        let fence = line.starts_with("```");
        inside ^= fence;
        if !inside && !fence {
            prose.push_str(line);
        }
        prose.push('\n');
    }
    let mut at = 1;
    let mut found = Vec::new();
    for (number, piece) in prose.split('`').enumerate() {
        if number % 2 == 1 {
            found.push((at, piece.replace('\n', " ").replace("\\|", "|")));
        }
        at += piece.matches('\n').count();
    }
    found
}

/// The line up to its `#`, as a shell finds that.
fn without_remark(line: &str) -> &str {
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before == ' ' => return &line[..at],
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    line
}

/// The simple commands of a line as words, without what leads them to files; `$(…)` stays one word.
#[must_use]
pub fn simple(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote, mut depth) = (None::<String>, None, 0);
    let mut file = false;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) if depth > 0 => {}
            (None, ' ' | ';' | '|' | '&' | '<' | '>') => {
                if let Some(word) = word.take().filter(|_| !std::mem::take(&mut file)) {
                    commands.last_mut().unwrap().push(word);
                }
                match c {
                    '<' | '>' => file = true,
                    ' ' => {}
                    _ => commands.push(Vec::new()),
                }
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(word) = word.filter(|_| !file) {
        commands.last_mut().unwrap().push(word);
    }
    commands.retain(|words| !words.is_empty());
    commands
}
