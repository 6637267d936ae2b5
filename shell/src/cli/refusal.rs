//! What clap says of a line, in our own words.

use std::error::Error as _;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Root;
use crate::Failure;
use crate::command::{Command, Format, Query, Request};

/// Help is an answer; everything else is a failure. `words`: of the line, or what it stands for.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap's enums are open")]
pub(super) fn refused(error: &clap::Error, words: &[String]) -> Result<Request, Failure> {
    let text = || error.render().to_string();
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
            let word = value(error, ContextKind::InvalidSubcommand);
            format!("{}: no such command", word.unwrap_or_default())
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("{argument}: no such option")
        }
        ErrorKind::UnknownArgument if place == "task submit" || place == "task run" => {
            format!("{argument}: one word too many; a task's command comes after `--`")
        }
        ErrorKind::UnknownArgument => format!("{argument}: one word too many"),
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing"),
        ErrorKind::MissingSubcommand => "a command is missing".to_owned(),
        ErrorKind::ArgumentConflict => {
            let other = value(error, ContextKind::PriorArg);
            let other = other.map_or_else(|| "the others here".to_owned(), |name| bare(&name));
            format!("{argument} cannot be given together with {other}")
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

fn value(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind) {
        Some(ContextValue::String(value)) => Some(value.clone()),
        Some(ContextValue::Strings(values)) => Some(values.join("` or `")),
        _ => None,
    }
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
