//! Stories: transcripts of what people type and what happens, on virtual time. `BLESS=1` rewrites what
//! is expected; `STORY=name` plays one.
//!
//! ```text
//! account bob user             who there is; before everything else
//! node n1 joins cores=2        also memory=8G engine=process open=operator
//! bob> task submit -- true     a line as ssh carries it; bob[80]> with a terminal of 80 columns
//! < -c 1 -- true               its standard input
//! +5m                          time passes
//! n1 starts task-1             what takes its time on a node: starts, ends, silent, back, … (nodes.rs)
//! gateway restarts             also: is copied, is restored
//! ```
//!
//! What follows: `|` standard output, `!` standard error, `=` the exit code if it is not 0, `~` what
//! became of tasks and nodes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod nodes;
mod story;

use std::path::{Path, PathBuf};

use story::Story;

fn stories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(folder).unwrap();
    let mut stories: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    stories.sort();
    stories
}

#[test]
fn every_story_holds() {
    let wanted = std::env::var("STORY").ok();
    let mut wrong = Vec::new();
    for path in stories() {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if wanted.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        let told = Story::default().tell(&expected);
        if told == expected {
            continue;
        }
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, told).unwrap();
        } else {
            wrong.push(format!("{name}.txt {}", difference(&expected, &told)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// From the first line that differs, a few of both.
fn difference(expected: &str, told: &str) -> String {
    let both = expected.lines().zip(told.lines());
    let same = both.take_while(|(one, other)| one == other).count();
    let part = |text: &str| {
        text.lines()
            .skip(same)
            .take(6)
            .collect::<Vec<_>>()
            .join("\n    ")
    };
    let (number, expected, told) = (same + 1, part(expected), part(told));
    format!("line {number}:\n  expected:\n    {expected}\n  but:\n    {told}")
}
