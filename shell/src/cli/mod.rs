//! The nouns and verbs. clap reads the words; each noun's file makes a command of them.

mod auth;
mod node;
mod refusal;
mod task;
pub mod values;
mod vps;

use clap::{Args, CommandFactory, Parser, Subcommand};
use cluster::TaskSpec;
use cluster::task::limits;
use keys::{NodeName, UserName};

use crate::command::{Attach, Command, Format, Query, Request};
use crate::render::fold::fold_help;
use crate::{Failure, words};

/// What comes later: nouns and verbs that have a meaning in the grammar and no code yet.
const LATER: [&str; 20] = [
    "task approve",
    "task reject",
    "vps share",
    "vps unshare",
    "node health",
    "node overlay",
    "node ip-reserve",
    "auth login",
    "auth logout",
    "auth token",
    "auth user quota",
    "terminal",
    "docker",
    "env",
    "qemu",
    "events",
    "gpus",
    "completion",
    "man",
    "sbatch",
];

#[derive(Parser)]
#[command(
    name = "ssh river",
    no_binary_name = true,
    disable_help_subcommand = true,
    override_usage = "ssh river COMMAND…",
    about = "One computer out of many, by plain ssh",
    after_help = "Try: ssh river task run -- echo hello\n     ssh river task submit --help"
)]
struct Root {
    #[command(subcommand)]
    noun: Option<Noun>,
    #[command(flatten)]
    common: Common,
}

/// Options of every command.
#[derive(Args, Clone, Copy)]
struct Common {
    /// One JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    /// text or json
    #[arg(long, global = true, value_name = "FORMAT", value_parser = values::format)]
    format: Option<Format>,
    /// Ids or names only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Draw a listing again when it changes
    #[arg(short, long, global = true, hide = true)]
    watch: bool,
}

/// The same [`Common::watch`], shown: of commands that list something.
#[derive(Args)]
struct Listing {
    /// Draw it again when it changes
    #[arg(id = "watch", short, long = "watch")]
    _watch: bool,
}

#[derive(Subcommand)]
enum Noun {
    /// Submit, run, list, follow and end tasks
    #[command(subcommand)]
    Task(task::TaskVerb),
    /// Boxes that stay, each entered by ssh
    #[command(subcommand)]
    Vps(vps::VpsVerb),
    /// Your terminal in a box or a task, which stays when you leave
    Connect(vps::ConnectArgs),
    /// The line that brings a box's port to you
    Forward(vps::Forward),
    /// For ~/.ssh/config
    #[command(subcommand)]
    Ssh(vps::SshVerb),
    /// The machines of the cluster
    #[command(subcommand)]
    Node(node::NodeVerb),
    /// Accounts, keys and invitations
    #[command(subcommand)]
    Auth(auth::AuthVerb),
    /// The gateway's configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Who did what: changes, attaches and refusals
    Audit {
        /// Of this account only
        #[arg(long, value_name = "NAME")]
        account: Option<UserName>,
        /// How many lines
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        lines: u32,
        #[command(flatten)]
        _listing: Listing,
    },
    /// The cluster in a few lines: room, tasks, yours, and what is wrong
    Status {
        #[command(flatten)]
        _listing: Listing,
    },
    /// Looks at each hop now: link, round trip, clock, disks, engine, versions; code 1 when something is bad
    #[command(after_help = "Examples:
  ssh river doctor
  ssh river doctor n1 --json")]
    Doctor {
        /// This node alone
        node: Option<NodeName>,
    },
    /// Version of the gateway
    Version,
    /// All commands, or one of them
    Help {
        /// Such as: task submit
        #[arg(value_name = "COMMAND")]
        words: Vec<String>,
    },
}

#[derive(Subcommand)]
enum ConfigVerb {
    /// Show the configuration in force
    Show,
}

/// One line of the grammar.
///
/// # Errors
/// A usage failure (code 2) with the remedy.
pub fn parse(line: &str) -> Result<Request, Failure> {
    let words = words::split(line)?;
    let begins = |later: &&str| {
        let mut later = later.split(' ').zip(words.iter().map(String::as_str));
        later.by_ref().all(|(wanted, word)| wanted == word)
    };
    let long_enough = |later: &&str| words.len() >= later.split(' ').count();
    if let Some(later) = LATER.iter().copied().filter(long_enough).find(begins) {
        return Err(refusal::later(later));
    }
    let root = match Root::try_parse_from(&words) {
        Ok(root) => root,
        Err(error) => return refusal::refused(&error, &words),
    };
    let format = match (root.common.json, root.common.format) {
        (true, _) => Format::Json,
        (false, format) => format.unwrap_or_default(),
    };
    let command = match root.noun {
        None => Command::Query(Query::Welcome),
        Some(Noun::Task(verb)) => verb.command()?,
        Some(Noun::Vps(verb)) => verb.command()?,
        Some(Noun::Connect(connect)) => connect.command(),
        Some(Noun::Forward(forward)) => forward.command()?,
        Some(Noun::Ssh(verb)) => verb.command(),
        Some(Noun::Node(verb)) => verb.command(),
        Some(Noun::Auth(verb)) => verb.command(),
        Some(Noun::Config(ConfigVerb::Show)) => Command::Query(Query::ConfigShow),
        Some(Noun::Audit { account, lines, .. }) => Command::Query(Query::Audit {
            account,
            limit: lines,
        }),
        Some(Noun::Status { .. }) => Command::Query(Query::Status),
        Some(Noun::Doctor { node }) => Command::Attach(Attach::Doctor { node }),
        Some(Noun::Version) => Command::Query(Query::Version),
        Some(Noun::Help { words }) if words.is_empty() => Command::Query(Query::Text(help())),
        Some(Noun::Help { words }) => return refusal::help_of(&words),
    };
    if root.common.watch && !matches!(command, Command::Query(_)) {
        return Err(
            Failure::usage("--watch: there is no listing here to draw again")
                .hint("leave it out; `task watch ID` tells each change of a task"),
        );
    }
    if format == Format::Json {
        refusal::no_json(&command)?;
    }
    Ok(Request {
        command,
        format,
        quiet: root.common.quiet,
        watch: root.common.watch,
    })
}

/// Of a line that cannot be parsed: does it ask for JSON?
#[must_use]
pub fn wants_json(line: &str) -> bool {
    let mut words = line.split_whitespace().take_while(|word| *word != "--");
    words.any(|word| word == "--json")
}

/// One line of a batch: the options and command of `task submit`.
///
/// # Errors
/// As [`parse`].
pub fn parse_spec(line: &str) -> Result<TaskSpec, Failure> {
    let words = words::split(line)?;
    match task::SpecLine::try_parse_from(&words) {
        Ok(line) => line.spec(),
        Err(error) => {
            let submit = ["task", "submit"].map(ToOwned::to_owned);
            refusal::refused(&error, &submit).and_then(|_| Err(Failure::usage("help is no task")))
        }
    }
}

/// Longest line of a batch, in bytes.
pub const LONGEST_SPEC: usize = words::LONGEST_LINE;

/// A line of a batch by its number; `None`: it is blank, or begins with #.
///
/// # Errors
/// As [`parse`], with the number of the line.
pub fn parse_line(number: u64, line: &str) -> Option<Result<TaskSpec, Failure>> {
    if line.trim().is_empty() || line.trim_start().starts_with('#') {
        return None;
    }
    let spec = if line.len() > LONGEST_SPEC {
        let sentence = format!("longer than {} KiB", LONGEST_SPEC >> 10);
        Err(Failure::usage(sentence).hint("a task reads more from a file, or by --stdin"))
    } else {
        parse_spec(line)
    };
    Some(spec.map_err(|failure| failure.of_line(number)))
}

/// All tasks of a batch, one a line; blank lines and those that begin with # are none.
///
/// # Errors
/// As [`parse`], with the number of the line.
pub fn parse_batch(text: &str) -> Result<Vec<TaskSpec>, Failure> {
    let mut specs = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(spec) = parse_line(number, line) else {
            continue;
        };
        if specs.len() >= limits::BATCH {
            let most = limits::BATCH;
            let sentence = format!("a batch has at most {most} tasks; nothing was submitted");
            return Err(Failure::usage(sentence)
                .hint("send it in parts, or with --each")
                .of_line(number));
        }
        specs.push(spec.map_err(|failure| Failure {
            sentence: format!("{}; nothing was submitted", failure.sentence),
            ..failure
        })?);
    }
    Ok(specs)
}

/// The whole grammar, for manuals.
#[must_use]
pub fn grammar() -> clap::Command {
    Root::command()
}

/// All commands in one text.
fn help() -> String {
    let mut text = fold_help(&Root::command().render_help().to_string());
    for noun in ["task", "vps", "node", "auth", "ssh"] {
        if let Some(command) = Root::command().find_subcommand(noun) {
            text.push_str(&format!("\n{noun}:\n"));
            for verb in command.get_subcommands() {
                let about = verb
                    .get_about()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let line = format!("  {:<9}  {about}", verb.get_name());
                text.push_str(&fold_help(&line));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
