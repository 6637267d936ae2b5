//! X11: a real X server here, and a real X client in the box.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use harness::wait::until;
use harness::{Person, Run};

use super::copies::bring;
use super::{Lab, program, write};

/// A display with a cookie of its own, which listens on no network.
struct Screen {
    server: Child,
    /// Such as `:1`.
    display: String,
    /// The file with its cookie.
    authority: String,
    cookie: String,
}

impl Screen {
    fn new(lab: &Lab) -> Self {
        let authority = lab.text("Xauthority");
        let cookie = format!("{:032x}", rand::random::<u128>());
        let own = |display: &str| {
            let words = ["-q", "-f", &authority, "add", display, ".", &cookie];
            program("xauth", &words).good();
        };
        own(":0");
        let words = ["-displayfd", "1", "-nolisten", "tcp", "-noreset"];
        let server = Command::new("Xvfb")
            .args(words)
            .args(["-auth", &authority, "-screen", "0", "640x480x24"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut server = server.expect("scripts/clients.sh installs Xvfb");
        let mut number = String::new();
        let mut told = BufReader::new(server.stdout.take().unwrap());
        told.read_line(&mut number).unwrap();
        let display = format!(":{}", number.trim());
        own(&display);
        Self {
            server,
            display,
            authority,
            cookie,
        }
    }

    /// A line in the box, by ssh with these options, at this display.
    fn inside(&self, person: &Person, options: &[&str], line: &str) -> Run {
        let words = [&["-T", "-l", "lab"], options].concat();
        let ssh = person
            .command(&words, line)
            .env("DISPLAY", &self.display)
            .env("XAUTHORITY", &self.authority)
            .output();
        ssh.unwrap().into()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// ssh with a display that is not there: what the box gets of it does not ask for more.
fn nowhere(person: &Person, login: &str, line: &str) -> Run {
    let ssh = person
        .command(&["-T", "-X", "-l", login], line)
        .env("DISPLAY", "127.0.0.1:9")
        .output();
    ssh.unwrap().into()
}

/// Of displays: a line for each that listens, and for each folder.
fn left(lab: &Lab) -> String {
    let line = "netstat -ltn | grep -o ':60[0-9][0-9] ' | sort -u; ls -d /tmp/ssh-* 2> /dev/null";
    lab.alice().ssh_as("lab", line).text()
}

#[test]
fn a_program_in_the_box_draws_on_the_clients_screen() {
    let lab = Lab::new();
    bring(&lab, &["xdpyinfo"]);
    let screen = Screen::new(&lab);
    // Debian's client trusts with -X too, where nobody says otherwise.
    let untrusted = ["-X", "-o", "ForwardX11Trusted=no"];
    for options in [&["-X"][..], &["-Y"], &untrusted] {
        let run = screen.inside(lab.alice(), options, "echo $DISPLAY; xdpyinfo");
        let text = run.text();
        assert!(text.starts_with("localhost:10.0\n"), "{text}{}", run.stderr);
        assert!(text.contains("The X.Org Foundation"), "{text}");
        assert_eq!(run.stderr, "");
    }
    until("nothing is left", || left(&lab).is_empty());
    let unasked = screen.inside(lab.alice(), &[], "echo \"<$DISPLAY$XAUTHORITY>\"; xdpyinfo");
    assert_eq!(unasked.text(), "<>\n");
    assert_ne!(unasked.code, 0);
}

#[test]
fn only_the_cookie_of_the_session_opens_the_display() {
    let lab = Lab::new();
    bring(&lab, &["xdpyinfo"]);
    let screen = Screen::new(&lab);
    // FamilyWild, display 10, and sixteen bytes that are none of anybody's.
    let mut wrong = b"\xff\xff\0\0\0\x0210\0\x12MIT-MAGIC-COOKIE-1\0\x10".to_vec();
    wrong.extend([7; 16]);
    let here = lab.text("wrong");
    write(&here, &wrong);
    let config = lab.alice().config.display().to_string();
    let there = "lab@river:/root/wrong";
    program("scp", &["-q", "-F", &config, &here, there]).good();
    let line = "cat $XAUTHORITY; xdpyinfo > /dev/null || exit 1; \
                XAUTHORITY=/root/wrong xdpyinfo > /dev/null || XAUTHORITY=/none xdpyinfo > /dev/null || exit 7";
    let run = screen.inside(lab.alice(), &["-X"], line);
    assert_eq!(run.code, 7, "{}", run.stderr);
    let refused = run.stderr.matches("wrong authentication").count();
    assert_eq!(refused, 2, "{}", run.stderr);
    // As xauth reads it: of this display, and not what opens the real one.
    let file = lab.text("of-the-box");
    write(&file, &run.stdout);
    let listed = program("xauth", &["-f", &file, "list"]).good();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    for line in lines {
        assert!(line.contains(":10  MIT-MAGIC-COOKIE-1  "), "{listed}");
        assert!(!line.contains(&screen.cookie), "the real one: {listed}");
    }
}

#[test]
fn each_session_has_a_display_of_its_own_until_it_ends() {
    let lab = Lab::new();
    let begin = || {
        let mut ssh = lab.alice().command(&["-T", "-X", "-l", "lab"], "");
        let ssh = ssh.env("DISPLAY", "127.0.0.1:9").stdin(Stdio::piped());
        ssh.spawn().unwrap()
    };
    let ask = |ssh: &mut Child| {
        let mut shell = ssh.stdin.as_ref().unwrap();
        shell
            .write_all(b"echo $DISPLAY; test -s $XAUTHORITY && echo here\n")
            .unwrap();
        let mut lines = BufReader::new(ssh.stdout.as_mut().unwrap()).lines();
        let (display, file) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(file.unwrap(), "here");
        display.unwrap()
    };
    let (mut first, mut second) = (begin(), begin());
    let mut displays = [ask(&mut first), ask(&mut second)];
    displays.sort();
    assert_eq!(displays, ["localhost:10.0", "localhost:11.0"]);
    // One's program ends, the other's client does not come back.
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    until("one is left", || left(&lab).lines().count() == 2);
    second.kill().unwrap();
    second.wait().unwrap();
    until("none is left", || left(&lab).is_empty());
}

#[test]
fn a_task_has_displays_and_the_shell_has_none() {
    let lab = Lab::new();
    lab.alice().ssh("task submit -- sleep 600").good();
    let inside = nowhere(lab.alice(), "task-2", "echo $DISPLAY; test -s $XAUTHORITY");
    assert_eq!(inside.good(), "localhost:10.0\n");
    let outside = nowhere(lab.alice(), "alice", "auth status");
    let said = outside.stderr.lines();
    let said = said.filter(|line| line.contains("X11 forwarding request failed"));
    assert_eq!(said.count(), 1, "{}", outside.stderr);
    assert!(outside.good().contains("alice"));
}

/// A client that says what it wishes for, and looks at what comes.
const PARAMIKO: &str = r#"
import base64, struct, sys, paramiko
port, key = int(sys.argv[1]), sys.argv[2]
t = paramiko.Transport(("127.0.0.1", port))
t.connect(username="lab", pkey=paramiko.Ed25519Key.from_private_key_file(key))
COOKIE = "00112233445566778899aabbccddeeff"
def wish(single=False, protocol="MIT-MAGIC-COOKIE-1", cookie=COOKIE, screen=0):
    c = t.open_session()
    c.request_x11(screen, protocol, cookie, single)
    return c
def refused(**wished):
    try:
        wish(**wished)
    except paramiko.SSHException:
        return
    assert False, wished
for cookie in ["", "0", "0x", "00 11", "$(id)", "0" * 1024]:
    refused(cookie=cookie)
for protocol in ["", "A B", "A\nB", "x" * 1000]:
    refused(protocol=protocol)
c = wish(single=True, protocol="SOME-THING.ELSE", screen=3)
c.exec_command("echo $DISPLAY; base64 -w0 $XAUTHORITY; echo; cat /etc/hostname; "
    "n=6010; for i in one two; do echo $i | nc localhost $n; echo code $?; done; read end")
x = t.accept(60)
assert x.get_name() and x.makefile().readline() == "one\n"
x.sendall(b"seen\n"); x.close()
said = c.makefile()
assert said.readline() == "localhost:10.3\n"
entries = base64.b64decode(said.readline())
host = said.readline().strip().encode()
want = b""
for family, address in ((256, host), (65535, b"")):
    want += struct.pack(">H", family)
    for part in (address, b"10", b"SOME-THING.ELSE", bytes.fromhex(COOKIE)):
        want += struct.pack(">H", len(part)) + part
assert entries == want, (entries, want)
rest = [said.readline() for _ in range(3)]
assert rest == ["seen\n", "code 0\n", "code 1\n"], rest
assert t.accept(0.1) is None
c.send("end\n")
assert c.recv_exit_status() == 0
# Once for a channel; many for a connection, and then no more.
one = wish()
try:
    one.request_x11(); assert False
except paramiko.SSHException: pass
many, more = [], True
while more and len(many) < 100:
    try:
        many.append(wish())
    except paramiko.SSHException:
        more = False
assert not more and len(many) == 32, len(many)
many.pop().close()
for _ in range(100):
    try:
        wish(); break
    except paramiko.SSHException: pass
else: assert False, "a closed one's turn"
print("good")
"#;

#[test]
fn what_a_client_wishes_for_is_checked_and_done() {
    let lab = Lab::new();
    let (port, key) = (lab.port(), lab.text("alice_key"));
    let words = ["-W", "ignore", "-c", PARAMIKO, &port, &key];
    let run = program("/usr/bin/python3", &words);
    assert_eq!(
        (run.code, run.text().as_str()),
        (0, "good\n"),
        "{}",
        run.stderr
    );
}
