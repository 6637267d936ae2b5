//! Remote-SSH as the free editors have it: npm's ssh2, one connection, a setup script, and a stream to the server.

use harness::Run;

use super::super::clients::cache;
use super::Desk;

#[test]
fn a_setup_script_and_streams_on_one_connection() {
    let desk = Desk::new();
    let words = [
        &desk.lab.port(),
        &desk.lab.text("alice_key"),
        &desk.lab.text("bootstrap"),
    ];
    let mut node = desk.node(include_str!("ssh2.js"), &words.map(String::as_str));
    let tree = cache("code-server/tree/node_modules");
    let own = cache("npm/node_modules");
    node.env("NODE_PATH", format!("{}:{}", tree.display(), own.display()));
    let run: Run = node.output().unwrap().into();
    assert_eq!(
        (run.code, run.text().as_str()),
        (0, "good\n"),
        "{}{}",
        run.stderr,
        desk.log()
    );
}
