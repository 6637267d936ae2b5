//! npm's ssh2, which editors have inside.

use std::process::{Command, Stdio};

use harness::Run;

use super::Lab;

#[test]
fn npms_ssh2() {
    let lab = Lab::new();
    let (big, _) = lab.big();
    let run = Command::new("node")
        .args([
            "-e",
            include_str!("ssh2.js"),
            &lab.port(),
            &lab.text("alice_key"),
            &big,
        ])
        .env("NODE_PATH", super::cache("npm/node_modules"))
        .stdin(Stdio::null())
        .output();
    let run: Run = run.expect("scripts/clients.sh installs node").into();
    assert_eq!(
        (run.code, run.text().as_str()),
        (0, "good\n"),
        "{}",
        run.stderr
    );
}
