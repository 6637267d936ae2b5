//! The editor's page through `ssh -L`, in Chromium.

use super::{Desk, ended};

#[test]
fn the_editors_page_in_a_browser() {
    let desk = Desk::new();
    let line = "mkdir -p /root/work; echo 'inside the box' > /root/work/hello.txt";
    desk.lab.alice().ssh_as("lab", line).good();
    let _remote = desk.connect();
    let (port, _forward) = desk.forward("127.0.0.1:8123");
    let picture = harness::river::target().join("editor.png");
    let words = [&port.to_string(), &picture.display().to_string()];
    let words = words.map(String::as_str);
    let run = ended(desk.node(include_str!("page.js"), &words).spawn().unwrap());
    assert_eq!(
        (run.code, run.text().as_str()),
        (0, "inside the box\n"),
        "{}{}",
        run.stderr,
        desk.log()
    );
    let png = std::fs::read(&picture).unwrap();
    assert!(
        png.starts_with(b"\x89PNG") && png.len() > 10_000,
        "a screenshot of {} bytes",
        png.len()
    );
}
