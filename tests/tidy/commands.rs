//! No document shows a command that does not exist: each is read by the parser that will read it. And each block of the
//! operator's guide is played by `tests/e2e/newcomer/`.

use clap::Parser;
use harness::documents::{block, blocks, read, simple, spans};

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "docs/guide.md",
    "docs/operate.md",
    "docs/vps.md",
    "docs/openssh.md",
    "docs/security.md",
    "docs/architecture.md",
    "docs/protocol.md",
];

/// Options of ssh(1) that take a word.
const WITH_A_WORD: &str = "BbcDEeFIiJLlmOopQRSWw";

/// What people put in the place of these.
const FOR_EXAMPLE: [(&str, &str); 13] = [
    (
        "ssh-ed25519 AAAA… laptop",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1nFk0WFDmdEVsF1PCCAhIuvAHbAB1YoI6dLdpTUK0Q laptop",
    ),
    (
        "ssh-ed25519 …",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1nFk0WFDmdEVsF1PCCAhIuvAHbAB1YoI6dLdpTUK0Q",
    ),
    (
        "SHA256:…",
        "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
    ),
    ("invite-…", "invite-CODE"),
    ("[OPTIONS] ", ""),
    ("CMD…", "true"),
    (" CMD", " true"),
    (" ID", " 17"),
    ("BOX PORT", "lab 8888"),
    (" BOX", " lab"),
    (" NODE", " n1"),
    (" NAME", " n1"),
    (" SNAPSHOT", " before"),
];

/// What stands for any command.
const ANY: [&str; 2] = ["COMMAND", "COMMAND…"];

fn for_example(line: &str) -> String {
    FOR_EXAMPLE
        .iter()
        .fold(line.to_owned(), |line, (name, value)| {
            line.replace(name, value)
        })
}

/// The login and the line that this ssh brings to the gateway's shell; `None`: it goes into a box, or elsewhere.
fn for_the_shell(words: &[String]) -> Option<String> {
    let mut words = words.iter().peekable();
    let (mut login, mut place) = (None, None);
    while let Some(word) = words.next() {
        if let Some(option) = word.strip_prefix('-') {
            let takes = option
                .chars()
                .last()
                .is_some_and(|last| WITH_A_WORD.contains(last));
            // `-p 2222` is two words, `-p2222` is one.
            if takes || option == "p" {
                words.next();
            }
            continue;
        }
        match word.split_once('@') {
            None => place = Some(word.as_str()),
            Some((name, host)) => (login, place) = (Some(name), Some(host)),
        }
        break;
    }
    let ours = place == Some("river") || place == Some("gateway.example");
    if !ours || login.is_some() {
        return None;
    }
    Some(words.map(String::as_str).collect::<Vec<_>>().join(" "))
}

/// Why this simple command cannot be; `None`: it can, or is no command of river's.
fn wrong(words: &[String]) -> Option<String> {
    let (program, rest) = words.split_first()?;
    // `setpriv … river-gateway …`: who runs it is another matter.
    let ours = ["river-gateway", "river-runner", "river-forward"];
    if let Some(at) = words.iter().position(|word| ours.contains(&word.as_str())) {
        let of = &words[at..];
        let lists = ["systemctl", "journalctl", "pidof", "cat", "ln", "rm"];
        if lists.contains(&program.as_str()) || at > 0 && program != "setpriv" {
            return None;
        }
        let parsed = match of[0].as_str() {
            "river-gateway" => gateway::flags::Flags::try_parse_from(of).map(drop),
            "river-runner" => runner::flags::Flags::try_parse_from(of).map(drop),
            _ => forward::flags::Flags::try_parse_from(of).map(drop),
        };
        return parsed.err().map(|error| error.to_string());
    }
    if program != "ssh" {
        return None;
    }
    let line = for_the_shell(rest)?;
    if ANY.contains(&line.as_str()) {
        return None;
    }
    let failure = shell::parse(&line).err()?;
    Some(failure.sentence)
}

#[test]
fn every_command_that_is_shown_exists() {
    let (mut seen, mut found) = (0, Vec::new());
    for name in DOCUMENTS {
        let text = read(name);
        let shown = blocks(&text).into_iter().flat_map(|block| {
            let at = block.at;
            block.commands().into_iter().map(move |line| (at, line))
        });
        let named = spans(&text).into_iter();
        let named = named.filter(|(_, span)| span.contains(' '));
        for (at, line) in shown.chain(named) {
            for words in simple(&for_example(&line)) {
                let ours = words[0] == "ssh" || words.iter().any(|word| word.starts_with("river-"));
                seen += usize::from(ours);
                if let Some(why) = wrong(&words) {
                    found.push(format!("{name}:{at}: `{line}`: {why}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(seen > 100, "{seen} commands were read");
}

/// `task kill`, `node status n1`: without `ssh river`.
fn bare(span: &str) -> Option<String> {
    let words: Vec<&str> = span.split(' ').collect();
    // The program of that name, nearly everywhere.
    if words[0] == "ssh" {
        return None;
    }
    let grammar = shell::cli::grammar();
    let verb = words.get(1)?;
    if words[0] != "help" {
        let noun = grammar.find_subcommand(words[0])?;
        if words.len() == 2 && noun.find_subcommand(verb).is_some() {
            return None;
        }
    }
    let failure = shell::parse(span).err()?;
    // The documents say so too.
    let later = failure.sentence.contains("does not have it yet");
    (!later).then_some(failure.sentence)
}

#[test]
fn every_command_that_is_named_without_ssh_exists() {
    let mut found = Vec::new();
    for name in DOCUMENTS {
        for (at, span) in spans(&read(name)) {
            if let Some(why) = bare(&for_example(&span)) {
                found.push(format!("{name}:{at}: `{span}`: {why}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The words in `lines("…"` of the newcomer's tests.
fn played() -> Vec<String> {
    let folder = crate::root().join("tests/e2e/newcomer");
    let files = std::fs::read_dir(folder).unwrap();
    let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let begins = |text: String| {
        let pieces = text.split("lines(\"").skip(1);
        let words = pieces.filter_map(|piece| piece.split('"').next());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    texts.flat_map(begins).collect()
}

#[test]
fn every_block_of_the_operators_guide_is_played() {
    let text = read("docs/operate.md");
    let played: Vec<usize> = played().iter().map(|line| block(&text, line).at).collect();
    let typed = blocks(&text).into_iter();
    let left: Vec<String> = typed
        .filter(|block| !block.commands().is_empty() && !played.contains(&block.at))
        .map(|block| format!("docs/operate.md:{}: {:?}", block.at, block.commands()))
        .collect();
    assert!(left.is_empty(), "played by no test:\n{}", left.join("\n"));
}
