//! What clap says of a line, in our own words.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::Root;
use crate::command::{Attach, Command, Format, Query, Request};
use crate::render::fold::fold_help;
use crate::{Failure, Kind};

/// Help is an answer; everything else is a failure. `words`: of the line, or what it stands for.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap's enums are open")]
pub(super) fn refused(error: &clap::Error, words: &[String]) -> Result<Request, Failure> {
    let text = || fold_help(&error.render().to_string());
    let place = place(words);
    let argument = value(error, ContextKind::InvalidArg).map(|name| bare(&name));
    let argument = argument.unwrap_or_default();
    let given = value(error, ContextKind::InvalidValue).unwrap_or_default();
    let sentence = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let command = Command::Query(Query::Text(text()));
            return Ok(Request {
                command,
                format: Format::Text,
                quiet: false,
                watch: false,
            });
        }
        ErrorKind::InvalidSubcommand => {
            let word = value(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            if place.is_empty()
                && let Some(nouns) = nouns_of(&word)
            {
                return Err(Failure::usage(format!("{word}: no such command by itself"))
                    .hint(format!("did you mean {nouns}?")));
            }
            format!("{word}: no such command")
        }
        ErrorKind::UnknownArgument if LATER.contains(&argument.as_str()) => {
            return Err(later(&argument));
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("{argument}: no such option")
        }
        ErrorKind::UnknownArgument if place == "task submit" || place == "task run" => {
            format!("{argument}: one word too many; a task's command comes after `--`")
        }
        ErrorKind::UnknownArgument => format!("{argument}: one word too many"),
        ErrorKind::MissingRequiredArgument => missing(error),
        ErrorKind::MissingSubcommand => "a command is missing".to_owned(),
        ErrorKind::ArgumentConflict => {
            let other = value(error, ContextKind::PriorArg);
            let other = other.map_or_else(|| "the others here".to_owned(), |name| bare(&name));
            if other == argument {
                format!("{argument} is given twice")
            } else {
                format!("{argument} cannot be given together with {other}")
            }
        }
        ErrorKind::InvalidValue if given.is_empty() => format!("{argument} needs a value"),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let why = error.source().map(|why| plain(&why.to_string()));
            format!(
                "{argument}: `{given}` will not do{}",
                why.unwrap_or_default()
            )
        }
        _ => text()
            .lines()
            .next()
            .unwrap_or("this line makes no sense")
            .replace("error: ", ""),
    };
    Err(Failure::usage(sentence).hint(near(error).unwrap_or_else(|| see(&place))))
}

/// Options that have a meaning in the grammar and no code yet.
const LATER: [&str; 7] = [
    "--array",
    "--after",
    "--after-any",
    "--gpus",
    "-g",
    "--ip-token",
    "--ide",
];

/// What has a meaning and no code yet.
pub(super) fn later(what: &str) -> Failure {
    let sentence = format!("{what}: this version of river does not have it yet");
    Failure::new(Kind::Failed, sentence).hint("`help` lists what there is")
}

/// `run` is of `task`: which nouns have this verb.
fn nouns_of(verb: &str) -> Option<String> {
    let root = Root::command();
    let nouns = root.get_subcommands().filter(|noun| {
        let mut verbs = noun.get_subcommands();
        verbs
            .any(|known| known.get_name() == verb || known.get_visible_aliases().any(|a| a == verb))
    });
    let lines: Vec<String> = nouns
        .map(|noun| format!("`{} {verb}`", noun.get_name()))
        .collect();
    let (last, others) = lines.split_last()?;
    Some(match others.is_empty() {
        true => last.clone(),
        false => format!("{} or {last}", others.join(", ")),
    })
}

/// `help task submit` is `task submit --help`.
pub(super) fn help_of(words: &[String]) -> Result<Request, Failure> {
    let mut line = words.to_vec();
    line.push("--help".to_owned());
    match Root::try_parse_from(&line) {
        Err(error) => refused(&error, words),
        Ok(_) => Err(Failure::usage("help: that is no command").hint("`help` lists what there is")),
    }
}

fn value(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(value)) => Some(value.clone()),
        Some(ContextValue::Strings(values)) => Some(values.join("` or `")),
        _ => None,
    }
}

/// `VPS and PORT are missing`
fn missing(error: &clap::Error) -> String {
    let Some(ContextValue::Strings(names)) = error.get(ContextKind::InvalidArg) else {
        return "something is missing".to_owned();
    };
    let names: Vec<String> = names.iter().map(|name| bare(name)).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!("{} {verb} missing", names.join(" and "))
}

fn near(error: &clap::Error) -> Option<String> {
    let suggested = [
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedArg,
        ContextKind::SuggestedValue,
    ];
    let near = suggested.into_iter().find_map(|kind| value(error, kind))?;
    Some(format!("did you mean `{near}`?"))
}

/// The words at the beginning that name a command: `auth key add`.
fn place(words: &[String]) -> String {
    let root = Root::command();
    let (mut at, mut place) = (&root, Vec::new());
    for word in words {
        let Some(next) = at.find_subcommand(word) else {
            break;
        };
        at = next;
        place.push(word.as_str());
    }
    place.join(" ")
}

fn see(place: &str) -> String {
    if place.is_empty() {
        return "`help` shows what there is".to_owned();
    }
    format!("`{place} --help` shows what there is")
}

/// `--cores <N>` is `--cores`, `<TASK>...` is `TASK`.
fn bare(name: &str) -> String {
    let first = name.split(' ').next().unwrap_or_default();
    first.trim_matches(['<', '>', '.']).to_owned()
}

/// The standard library's and clap's words about numbers, for people.
fn plain(why: &str) -> String {
    if why.contains("invalid digit") {
        return ": it is no whole number".to_owned();
    }
    match why
        .split_once(" is not in ")
        .and_then(|(_, range)| range.split_once("..="))
    {
        Some((from, to)) => format!(": it goes from {from} to {to}"),
        None => format!(": {why}"),
    }
}

/// Some commands give what is not river's own to put into an object.
pub(super) fn no_json(command: &Command) -> Result<(), Failure> {
    let Command::Attach(attach) = command else {
        return Ok(());
    };
    let (what, instead) = match attach {
        Attach::Run(_) => (
            "`task run` gives the task's own output",
            "`task submit --wait --json` tells how it ended",
        ),
        Attach::Task(_) | Attach::Logs(_) => (
            "this gives the task's own output",
            "`task status ID --json` tells how it is, `task wait ID --json` how it ended",
        ),
        Attach::Watch { .. } => (
            "`task watch` goes on with a line for each change",
            "`task wait ID --json` gives one object at the end",
        ),
        Attach::Connect(_) | Attach::Datagrams(_) => (
            "this gives what is in the box",
            "`vps status ID --json` tells how the box is",
        ),
        Attach::Bootstrap(_) => (
            "this gives a script",
            "`node invite NAME --json` gives a token alone",
        ),
        Attach::Wait { .. } | Attach::Snapshot(_) | Attach::Doctor { .. } => return Ok(()),
    };
    Err(Failure::usage(format!("--json: {what}")).hint(instead))
}
