//! dbclient, of dropbear.

use super::{Lab, free_port, program, tty};

/// A box, and dbclient's words for it.
fn with_key() -> (Lab, Vec<String>) {
    let lab = Lab::new();
    let key = lab.text("dropbear_key");
    let words = ["openssh", "dropbear", &lab.text("alice_key"), &key];
    program("dropbearconvert", &words).good();
    let words = ["-y", "-y", "-i", &key, "-p", &lab.port()].map(ToOwned::to_owned);
    (lab, words.to_vec())
}

fn with<'a>(words: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    words
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect()
}

#[test]
fn dropbears_client() {
    let (lab, to) = with_key();
    lab.pipes("dbclient", &with(&to, &["-T", "lab@127.0.0.1"]));
}

#[test]
fn dropbears_client_at_a_terminal_and_with_a_forward() {
    let (lab, to) = with_key();
    let words = with(&to, &["-t", "lab@127.0.0.1"]);
    tty::serves(&[&["dbclient"], &words[..]].concat(), "xterm-256color");
    lab.serve_inside(8080);
    let port = free_port();
    let there = format!("127.0.0.1:{port}:localhost:8080");
    let words = with(&to, &["-N", "-L", &there, "lab@127.0.0.1"]);
    lab.forwards("dbclient", &words, port);
}
