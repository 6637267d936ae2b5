//! dbclient, of dropbear.

use super::tty::Tty;
use super::{Lab, fed, free_port, program, sum, write};

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
    let run = |line: &str| program("dbclient", &with(&to, &["-T", "lab@127.0.0.1", line]));
    let ended = run("echo out; echo err >&2; exit 7");
    assert_eq!(
        (ended.code, ended.text().as_str()),
        (7, "out\n"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("err"));
    let (big, want) = lab.big();
    let back = lab.text("back");
    let put = with(&to, &["-T", "lab@127.0.0.1", "cat > /root/big"]);
    assert_eq!(fed("dbclient", &put, &big).code, 0);
    assert_eq!(lab.sum_inside("/root/big"), want);
    write(&back, &run("cat /root/big").stdout);
    assert_eq!(sum(&back), want);
}

#[test]
fn dropbears_client_at_a_terminal_and_with_a_forward() {
    let (lab, to) = with_key();
    let words = with(&to, &["-t", "lab@127.0.0.1"]);
    let mut tty = Tty::run((111, 33), &[], &[&["dbclient"], &words[..]].concat());
    tty.types("stty size; echo term=$TERM\n");
    tty.sees("33 111");
    tty.sees("term=xterm-256color");
    tty.resize(122, 44);
    tty.types("until [ \"$(stty size)\" = '44 122' ]; do sleep 1; done; echo it is $((1+1))\n");
    tty.sees("it is 2");
    tty.types("exit 3\n");
    assert_eq!(tty.ends(), 3);
    lab.serve_inside(8080);
    let port = free_port();
    let there = format!("127.0.0.1:{port}:localhost:8080");
    let words = with(&to, &["-N", "-L", &there, "lab@127.0.0.1"]);
    lab.forwards("dbclient", &words, port);
}
