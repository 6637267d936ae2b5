//! PuTTY's clients: plink, psftp, pscp.

use std::process::Command;

use harness::Run;

use super::{Lab, free_port, program, sum, tty, write};

/// A box, and what these clients need to get in.
struct Putty {
    lab: Lab,
    key: String,
    port: String,
    host_key: String,
}

impl Putty {
    fn new() -> Self {
        let lab = Lab::new();
        let key = lab.text("alice.ppk");
        let words = [&lab.text("alice_key"), "-O", "private", "-o", &key];
        program("puttygen", &words).good();
        let (port, host_key) = (lab.port(), lab.host_key());
        Self {
            lab,
            key,
            port,
            host_key,
        }
    }

    fn words<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = [
            "-batch",
            "-hostkey",
            &self.host_key,
            "-i",
            &self.key,
            "-P",
            &self.port,
        ];
        [&own, more].concat()
    }

    fn run(&self, name: &str, more: &[&str]) -> Run {
        program(name, &self.words(more))
    }
}

#[test]
fn plink() {
    let putty = Putty::new();
    let lab = &putty.lab;
    lab.pipes("plink", &putty.words(&["-T", "lab@127.0.0.1"]));
    let killed = putty.run("plink", &["-T", "lab@127.0.0.1", "kill -TERM $$"]);
    // Without the number: this build knows no signals by name.
    assert_eq!(
        killed.code, 128,
        "as it says of a signal: {}",
        killed.stderr
    );
    let port = free_port();
    let there = format!("127.0.0.1:{port}:localhost:8080");
    lab.serve_inside(8080);
    let words = putty.words(&["-N", "-L", &there, "lab@127.0.0.1"]);
    lab.forwards("plink", &words, port);
}

#[test]
fn plink_at_a_terminal() {
    let putty = Putty::new();
    let words = putty.words(&["-t", "lab@127.0.0.1"]);
    tty::serves(&[&["plink"], &words[..]].concat(), "xterm");
}

#[test]
fn plink_with_new_keys_on_the_way() {
    let putty = Putty::new();
    let lab = &putty.lab;
    // Only a saved session can ask for that.
    let dir = lab.path("putty");
    std::fs::create_dir_all(dir.join("sessions")).unwrap();
    let session = format!(
        "HostName=127.0.0.1\nPortNumber={}\nProtocol=ssh\nRekeyBytes=8M\nPublicKeyFile={}\n",
        putty.port, putty.key
    );
    std::fs::write(dir.join("sessions/often"), session).unwrap();
    let (big, want) = lab.big();
    let plink = |line: &str| {
        let mut command = Command::new("plink");
        command
            .args([
                "-v",
                "-batch",
                "-load",
                "often",
                "-hostkey",
                &putty.host_key,
                "-l",
                "lab",
                "-T",
                line,
            ])
            .env("PUTTYDIR", &dir);
        command
    };
    let input = std::fs::File::open(big).unwrap();
    let run: Run = plink("cat > /root/big")
        .stdin(input)
        .output()
        .unwrap()
        .into();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let renewed = run.stderr.matches("key re-exchange").count();
    assert!(renewed > 5, "{renewed}: {}", run.stderr);
    assert_eq!(lab.sum_inside("/root/big"), want);
}

#[test]
fn psftp_and_pscp_by_both_protocols() {
    let putty = Putty::new();
    let lab = &putty.lab;
    let (big, want) = lab.big();
    let (back, script) = (lab.text("back"), lab.text("psftp"));
    let lines = format!(
        "put {big} /root/a\nget /root/a {back}\nmkdir /root/d\nmv /root/a /root/d/b\nls /root/d\nquit\n"
    );
    write(&script, lines.as_bytes());
    let listed = putty.run("psftp", &["-b", &script, "lab@127.0.0.1"]).good();
    assert!(listed.contains(" b"), "{listed}");
    assert_eq!(
        (lab.sum_inside("/root/d/b"), sum(&back)),
        (want.clone(), want.clone())
    );
    for protocol in ["-sftp", "-scp"] {
        let back = lab.text(&format!("back{protocol}"));
        let there = "lab@127.0.0.1:/root/c";
        putty.run("pscp", &["-q", protocol, &big, there]).good();
        assert_eq!(lab.sum_inside("/root/c"), want, "{protocol}");
        putty.run("pscp", &["-q", protocol, there, &back]).good();
        assert_eq!(sum(&back), want, "{protocol}");
        let none = putty.run("pscp", &["-q", protocol, "lab@127.0.0.1:/none", &back]);
        assert_eq!(none.code, 1, "{protocol}: {}{}", none.text(), none.stderr);
    }
    let tree = lab.path("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("it's odd"), "x").unwrap();
    for protocol in ["-sftp", "-scp"] {
        let back = lab.text(&format!("tree{protocol}"));
        std::fs::create_dir(&back).unwrap();
        putty
            .run(
                "pscp",
                &[
                    "-q",
                    "-r",
                    "-p",
                    protocol,
                    &lab.text("tree"),
                    "lab@127.0.0.1:/root",
                ],
            )
            .good();
        putty
            .run(
                "pscp",
                &["-q", "-r", protocol, "lab@127.0.0.1:/root/tree", &back],
            )
            .good();
        program("diff", &["-r", &lab.text("tree"), &format!("{back}/tree")]).good();
    }
}
