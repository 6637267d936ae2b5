//! The documents name what there is: files that exist, and every message that travels.

use std::collections::BTreeSet;
use std::path::Path;

use crate::root;

/// Beginnings of paths of ours.
const TOP: [&str; 11] = [
    "cluster/",
    "docs/",
    "forward/",
    "gateway/",
    "keys/",
    "packaging/",
    "runner/",
    "scripts/",
    "shell/",
    "tests/",
    "tunnel/",
];

fn documents() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut look = vec![root().join("README.md"), root().join("docs")];
    while let Some(path) = look.pop() {
        if path.is_dir() {
            look.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|file| file.unwrap().path()),
            );
        } else if path.extension().is_some_and(|end| end == "md") {
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    found
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Without blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn every_path_in_the_documents_is_there() {
    let mut wrong = Vec::new();
    for (name, text) in documents() {
        // A file alone is beside the last one that was named in full, or beside its folder.
        let mut beside = root();
        for word in quoted(&prose(&text)).filter_map(|text| text.split(' ').next()) {
            if TOP.iter().any(|top| word.starts_with(top)) {
                let path = root().join(word);
                if !is_there(&path) {
                    wrong.push(format!("{name}: {word}"));
                }
                let folder = path.parent().filter(|_| !path.is_dir());
                beside = folder.unwrap_or(&path).to_owned();
            } else if word.ends_with(".rs") {
                let mut around = beside.ancestors().take(2);
                if !around.any(|folder| folder.join(word).exists()) {
                    wrong.push(format!("{name}: {word}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "not there:\n{}", wrong.join("\n"));
}

/// `*.txt` is any of them.
fn is_there(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(end) = name.strip_prefix('*') else {
        return path.exists();
    };
    let files = path.parent().and_then(|folder| folder.read_dir().ok());
    files.is_some_and(|files| {
        let mut names = files.map(|file| file.unwrap().file_name());
        names.any(|name| name.to_string_lossy().ends_with(end))
    })
}

/// Of an enum as rustfmt writes it.
fn variants(source: &str, name: &str) -> Vec<String> {
    let head = format!("pub enum {name} {{\n");
    let (_, body) = source.split_once(&head).unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let lines = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    let word = |line: &str| line.split(|c: char| !c.is_alphanumeric()).next().map(snake);
    lines.filter_map(word).collect()
}

/// As serde spells it: `snake_case`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[test]
fn every_message_is_in_the_protocol() {
    let text = std::fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let prose = prose(&text);
    let words =
        quoted(&prose).flat_map(|text| text.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let words: BTreeSet<&str> = words.collect();
    let messages = [
        ("message.rs", "ToRunner"),
        ("message.rs", "FromRunner"),
        ("message.rs", "Joined"),
        ("guest.rs", "ToGuest"),
        ("guest.rs", "FromGuest"),
        ("guest.rs", "GuestStream"),
        ("channel_name.rs", "ChannelName"),
        ("session.rs", "Request"),
    ];
    for (file, name) in messages {
        let source = root().join("tunnel/src/wire").join(file);
        let found = variants(&std::fs::read_to_string(source).unwrap(), name);
        assert!(!found.is_empty(), "{file}: {name} has no variants");
        for variant in found {
            let named = words.contains(variant.as_str());
            assert!(
                named,
                "docs/protocol.md does not name `{variant}` of {name}"
            );
        }
    }
}
