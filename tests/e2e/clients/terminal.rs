//! Terminals of OpenSSH's client: size, name, modes, changes, keys that are signals, and their end.

use harness::wait::until;

use super::Lab;
use super::tty::Tty;

fn at(lab: &Lab, modes: &[&str], words: &[&str]) -> Tty {
    let config = lab.alice().config.display().to_string();
    let ssh = [
        "ssh",
        "-F",
        &config,
        "-o",
        "SendEnv=LC_ALL",
        "-t",
        "-l",
        "lab",
        "river",
    ];
    Tty::run((111, 33), modes, &[&ssh, words].concat())
}

#[test]
fn a_terminal_has_the_clients_size_name_language_and_modes() {
    let lab = Lab::new();
    let modes = ["intr", "^X", "erase", "^H", "-ixon", "tostop"];
    let line = "stty size; echo $LC_ALL $TERM; tty; stty -a; exit 7";
    let mut tty = at(&lab, &modes, &[line]);
    assert_eq!(tty.ends(), 7);
    let text = tty.text();
    for wanted in [
        "33 111\r\n",
        "C.UTF-8 xterm-256color",
        "/dev/pts/",
        "intr = ^X",
        "erase = ^H",
        "-ixon",
        " tostop",
    ] {
        assert!(text.contains(wanted), "no {wanted}: {text}");
    }
}

#[test]
fn a_window_that_changes_is_told_to_the_program() {
    let lab = Lab::new();
    let line = "trap 'stty size' WINCH; echo ready; while :; do sleep 1; done";
    let mut tty = at(&lab, &[], &[line]);
    tty.sees("ready");
    for (columns, rows) in [(122, 44), (80, 24)] {
        tty.resize(columns, rows);
        tty.sees(&format!("{rows} {columns}"));
    }
}

#[test]
fn keys_are_signals_and_a_terminal_that_goes_hangs_its_programs_up() {
    let lab = Lab::new();
    let mut tty = at(&lab, &[], &[]);
    tty.types("echo pid=$$; sleep 601\n");
    tty.sees("pid=");
    until("it sleeps", || processes(&lab).contains("sleep 601"));
    tty.types("\x03");
    until("it was interrupted", || {
        !processes(&lab).contains("sleep 601")
    });
    tty.types("sleep 602\n");
    until("it sleeps", || processes(&lab).contains("sleep 602"));
    drop(tty);
    until("it was hung up", || !processes(&lab).contains("sleep 602"));
}

fn processes(lab: &Lab) -> String {
    lab.alice().ssh_as("lab", "ps").good()
}
