//! The manual pages in `docs/man/` are the commands as they are. `BLESS=1` writes them.

use std::collections::BTreeMap;

use clap::{Arg, Command, CommandFactory};
use clap_mangen::Man;

use crate::root;

/// A noun with more verbs than this has a page of its own.
const FEW: usize = 3;

/// Section 8 is for those who run the machines, 7 for everybody, 1 for what runs on people's own.
fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let programs = [
        (gateway::flags::Flags::command(), "8"),
        (runner::flags::Flags::command(), "8"),
        (forward::flags::Flags::command(), "1"),
    ];
    for (program, section) in programs {
        let name = program.get_name().to_owned();
        let mut program = program
            .disable_help_subcommand(true)
            .disable_version_flag(true);
        program.build();
        let page = page(&program, &name, section);
        pages.insert(format!("{name}.{section}"), page);
    }
    let mut shell = shell::cli::grammar();
    shell.build();
    let large = |noun: &&Command| noun.get_subcommands().count() > FEW;
    for noun in shell.get_subcommands().filter(large) {
        let name = format!("river-{}", noun.get_name());
        pages.insert(format!("{name}.7"), page(noun, &name, "7"));
    }
    pages.insert("river.7".to_owned(), page(&shell, "river", "7"));
    pages
}

/// One page: the command, and a section for each one under it that has no page of its own.
fn page(command: &Command, name: &str, section: &str) -> String {
    let about = command.get_about().map(ToString::to_string);
    let mut page = format!(
        ".TH {name} {section} \"\" river\n.SH NAME\n{name} \\- {}\n.SH SYNOPSIS\n",
        about.unwrap_or_default()
    );
    page.push_str(&part(command, |man, out| man.render_synopsis_section(out)));
    let mut verbs = Vec::new();
    leaves(command, name == "river", &mut verbs);
    for verb in verbs {
        let path = verb.get_bin_name().unwrap_or_default();
        let path = path.strip_prefix("ssh river ").unwrap_or(path);
        page.push_str(&format!(".SH \"{path}\"\n"));
        page.push_str(&in_full(&verb.clone().mut_args(hide_common)));
    }
    page.push_str(if command.has_subcommands() {
        ".SH \"Options of every command\"\n"
    } else {
        ".SH OPTIONS\n"
    });
    page.push_str(&part(command, |man, out| man.render_options_section(out)));
    page.push_str(&extra(command));
    let large = |noun: &&Command| noun.get_subcommands().count() > FEW;
    let others = command.get_subcommands().filter(large);
    let others: Vec<String> = others
        .map(|noun| format!(".BR river-{} (7)", noun.get_name()))
        .collect();
    if !others.is_empty() {
        page.push_str(&format!(".SH \"See also\"\n{}\n", others.join(",\n")));
    }
    // As groff spells it.
    page.replace('…', "\\[u2026]")
}

/// All commands without further words, but those of nouns that have a page of their own.
fn leaves<'a>(command: &'a Command, few: bool, found: &mut Vec<&'a Command>) {
    for under in command.get_subcommands() {
        match under.get_subcommands().count() {
            0 => found.push(under),
            count if few && count > FEW => {}
            _ => leaves(under, few, found),
        }
    }
}

fn in_full(verb: &Command) -> String {
    let about = verb.get_about().map(ToString::to_string);
    let mut text = format!("{}\n.PP\n", about.unwrap_or_default());
    text.push_str(&part(verb, |man, out| man.render_synopsis_section(out)));
    let told = verb.clone().mut_args(hide_plain);
    if told.get_arguments().any(|arg| !arg.is_hide_set()) {
        text.push_str(&part(&told, |man, out| man.render_options_section(out)));
    }
    text.push_str(&extra(verb));
    text
}

fn extra(command: &Command) -> String {
    if command.get_after_help().is_none() {
        return String::new();
    }
    let examples = part(command, |man, out| man.render_extra_section(out));
    format!(".PP\n.nf\n{examples}.fi\n")
}

/// What one of clap_mangen's sections says, without its head.
fn part(
    command: &Command,
    render: impl Fn(&Man, &mut dyn std::io::Write) -> std::io::Result<()>,
) -> String {
    let mut text = Vec::new();
    render(&Man::new(command.clone()), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines = text.lines().filter(|line| {
        let preamble = line.starts_with(".ie") || line.starts_with(".el");
        !preamble && !line.starts_with(".SH")
    });
    lines
        .map(|line| line.replace("\\*(Aq", "'") + "\n")
        .collect()
}

/// They are told once, at the end of the page.
fn hide_common(arg: Arg) -> Arg {
    let common = arg.is_global_set() || arg.get_id() == "help";
    let hidden = common || arg.is_hide_set();
    arg.hide(hidden)
}

/// The synopsis names it, and there is no more to say.
fn hide_plain(arg: Arg) -> Arg {
    let hidden = arg.get_help().is_none() || arg.is_hide_set();
    arg.hide(hidden)
}

#[test]
fn the_manual_is_the_commands_as_they_are() {
    let folder = root().join("docs/man");
    let pages = pages();
    if std::env::var_os("BLESS").is_some() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        for (name, text) in &pages {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    for file in std::fs::read_dir(&folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(
            pages.contains_key(&name),
            "docs/man/{name} is of no command"
        );
    }
    for (name, text) in pages {
        let written = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        let new = written == text;
        assert!(
            new,
            "docs/man/{name} is old: BLESS=1 cargo test -p river-tests --test tidy"
        );
    }
}
