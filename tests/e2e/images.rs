//! Boxes of all kinds of images: empty, without a shell, without glibc, with a user of their own.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::river::docker;
use harness::wait::until;
use harness::{Engine, Person, River, Run};

/// Static, so it runs in any image.
const BUSYBOX: &str = "/bin/busybox";

/// An image of a tree, and a box of it called `lab`.
struct Lab {
    river: River,
    image: String,
}

impl Lab {
    /// `own`: folders below the tree that belong to user and group 1000. `change`: as in a Dockerfile.
    fn new(name: &str, fill: impl FnOnce(&Path), own: &[&str], change: &[&str]) -> Self {
        let river = River::start(Engine::Docker, 2);
        let tree = river.dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        fill(&tree);
        for path in own {
            std::os::unix::fs::chown(tree.join(path), Some(1000), Some(1000)).unwrap();
        }
        let tar = river.dir.path().join("tree.tar").display().to_string();
        let tree = tree.display().to_string();
        run("tar", &["-C", &tree, "--numeric-owner", "-cf", &tar, "."]).good();
        let image = format!("river-test-{name}:{}", river.port);
        let changes: Vec<&str> = change.iter().flat_map(|line| ["-c", line]).collect();
        docker(&[&["import"], &changes[..], &[&tar, &image]].concat());
        let line = format!("vps create --name lab --image {image}");
        river.admin.ssh(&line).good();
        Self { river, image }
    }

    fn alice(&self) -> &Person {
        &self.river.admin
    }

    fn inside(&self, line: &str) -> Run {
        self.alice().ssh_as("lab", line)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.river.dir.path().join(name)
    }

    fn scp(&self, words: &[&str]) -> Run {
        let config = self.alice().config.display().to_string();
        run("scp", &[&["-q", "-F", &config], words].concat())
    }

    /// There and back, by sftp and by the old protocol.
    fn copies(&self, there: &str) {
        let here = self.path("text").display().to_string();
        std::fs::write(&here, "text\n").unwrap();
        for protocol in ["-s", "-O"] {
            let there = format!("lab@river:{there}{protocol}");
            let back = format!("{here}{protocol}");
            self.scp(&[protocol, &here, &there]).good();
            self.scp(&[protocol, &there, &back]).good();
            assert_eq!(std::fs::read(&back).unwrap(), b"text\n", "{protocol}");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Its box goes first, with the river.
        let _ = self.river.admin.ssh("vps delete lab");
        docker(&["rmi", "-f", &self.image]);
    }
}

fn run(name: &str, words: &[&str]) -> Run {
    let run = Command::new(name).args(words).stdin(Stdio::null()).output();
    run.unwrap().into()
}

/// busybox at this place of the tree.
fn busybox(tree: &Path, place: &str) {
    let place = tree.join(place);
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::copy(BUSYBOX, &place).unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Programs by their own names, and a shell.
fn usual(tree: &Path) {
    busybox(tree, "bin/busybox");
    for name in ["sh", "id", "cat", "stat", "tty", "test", "echo", "ls"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(name)).unwrap();
    }
}

#[test]
fn an_empty_image_takes_files_and_then_runs_them() {
    let lab = Lab::new("empty", |_| {}, &[], &[]);
    let shell = lab.inside("");
    assert_eq!(shell.code, 127);
    assert_eq!(
        shell.stderr,
        "river: this box's image has no shell: name a program by its path, as in `ssh BOX@river /bin/program`, or bring a shell: `scp busybox BOX@river:/bin/sh`\n"
    );
    let none = lab.inside("/no/such --option");
    assert_eq!(none.code, 127);
    assert!(
        none.stderr
            .contains("/no/such: no such command in this box"),
        "{}",
        none.stderr
    );
    lab.copies("/");
    lab.scp(&[BUSYBOX, "lab@river:/busybox"]).good();
    // Words and quotes, and nothing else of a shell.
    let run = lab.inside("/busybox echo 'a  b' \"$HOME\" *");
    assert_eq!(run.good(), "a  b $HOME *\n");
    lab.inside("/busybox mkdir /bin").good();
    lab.inside("/busybox cp /busybox /bin/sh").good();
    assert_eq!(lab.inside("echo $((1 + 1))").good(), "2\n");
}

#[test]
fn an_image_without_a_shell_runs_its_program() {
    let lab = Lab::new(
        "bare",
        |tree| busybox(tree, "app/busybox"),
        &[],
        &["ENV COLOUR=red", "WORKDIR /app"],
    );
    let env = lab.inside("/app/busybox env").good();
    assert!(
        env.contains(
            "COLOUR=red
"
        ),
        "{env}"
    );
    assert_eq!(lab.inside("/app/busybox false").code, 1);
    let quotes = lab.inside("/app/busybox echo 'open");
    assert!(
        quotes.code == 127 && quotes.stderr.contains("quotes"),
        "{}",
        quotes.stderr
    );
    lab.copies("/app/");
}

#[test]
fn everything_acts_as_the_images_user() {
    let fill = |tree: &Path| {
        usual(tree);
        for dir in ["etc", "home/app", "tmp", "root"] {
            std::fs::create_dir_all(tree.join(dir)).unwrap();
        }
        let mode = |dir: &str, mode| {
            std::fs::set_permissions(tree.join(dir), std::fs::Permissions::from_mode(mode))
                .unwrap();
        };
        mode("tmp", 0o1777);
        mode("root", 0o700);
        let users = "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n";
        std::fs::write(tree.join("etc/passwd"), users).unwrap();
        std::fs::write(tree.join("etc/group"), "root:x:0:\napp:x:1000:\n").unwrap();
        std::fs::write(tree.join("root/secret"), "x").unwrap();
    };
    let lab = Lab::new("user", fill, &["home/app"], &["USER app"]);
    let said = lab
        .inside("id -u; id -g; echo $HOME $USER; echo \"$PWD\"")
        .good();
    assert_eq!(said, "1000\n1000\n/home/app app\n/home/app\n");
    lab.copies("");
    let said = lab.inside("stat -c '%u %g' ./-s ./-O").good();
    assert_eq!(said, "1000 1000\n1000 1000\n");
    let text = lab.path("text").display().to_string();
    for protocol in ["-s", "-O"] {
        for words in [
            [&text, "lab@river:/etc/mine"],
            ["lab@river:/root/secret", &text],
        ] {
            let refused = lab.scp(&[protocol, words[0], words[1]]);
            let words = (refused.code, refused.stderr.to_lowercase());
            assert!(
                words.0 == 1
                    && (words.1.contains("permission denied") || words.1.contains("no such file")),
                "{protocol}: {words:?}"
            );
        }
    }
    let words = ["-tt", "-l", "lab"];
    let tty = lab.alice().run(&words, "stat -c %u $(tty)");
    assert_eq!(tty.text(), "1000\r\n");
    let line = "stat -c '%u %a' $XAUTHORITY ${XAUTHORITY%/*}; echo $DISPLAY";
    let mut ssh = lab.alice().command(&["-T", "-X", "-l", "lab"], line);
    let shown: Run = ssh.env("DISPLAY", "127.0.0.1:9").output().unwrap().into();
    assert_eq!(shown.text(), "1000 600\n1000 700\nlocalhost:10.0\n");
}

#[test]
fn forwards_of_sockets_act_as_the_images_user() {
    let fill = |tree: &Path| {
        usual(tree);
        for (dir, mode) in [("etc", 0o755), ("tmp", 0o1777), ("root", 0o700)] {
            std::fs::create_dir(tree.join(dir)).unwrap();
            std::fs::set_permissions(tree.join(dir), std::fs::Permissions::from_mode(mode))
                .unwrap();
        }
    };
    let lab = Lab::new("sockets", fill, &[], &["USER 1000:1000"]);
    let made = |path: &str| {
        let to = format!("{path}:localhost:1");
        let words = [
            "-T",
            "-o",
            "ExitOnForwardFailure=yes",
            "-R",
            &to,
            "-l",
            "lab",
        ];
        let run = lab.alice().run(&words, "ls -ln /tmp");
        (run.code, run.text())
    };
    let (code, listed) = made("/tmp/mine");
    assert!(
        code == 0 && listed.contains(" 1000 ") && listed.contains("mine"),
        "{listed}"
    );
    assert_eq!(made("/etc/mine").0, 255, "its user may not write there");
}

#[test]
fn a_socket_that_the_images_user_may_not_open_stays_closed() {
    let lab = Lab::new("closed", usual, &[], &["USER 1000:1000"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    // Of root, and there in every box: the guest's way out.
    let there = format!("127.0.0.1:{port}:/.river/run/sock");
    let log = lab.path("ssh.log");
    let mut ssh = lab.alice().command(&["-N", "-L", &there, "-l", "lab"], "");
    let mut child = ssh
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    until("it is refused", || {
        let _ = std::net::TcpStream::connect(("127.0.0.1", port));
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("open failed: connect failed")
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_root_that_cannot_be_written_is_entered_all_the_same() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab --read-only").good();
    let refused = alice.ssh_as("lab", "echo x > /root/x");
    assert!(
        refused.code != 0 && refused.stderr.contains("Read-only file system"),
        "{}",
        refused.stderr
    );
    assert_eq!(
        alice.ssh_as("lab", "echo x > /tmp/x; cat /tmp/x").good(),
        "x\n"
    );
    let tty = alice.run(&["-tt", "-l", "lab"], "test -t 0 && echo terminal");
    assert_eq!(tty.text(), "terminal\r\n");
    let config = alice.config.display().to_string();
    let here = river.dir.path().join("text").display().to_string();
    std::fs::write(&here, "text\n").unwrap();
    for protocol in ["-s", "-O"] {
        let copy = |to: &str| run("scp", &["-q", protocol, "-F", &config, &here, to]);
        copy("lab@river:/tmp/text").good();
        assert_eq!(alice.ssh_as("lab", "cat /tmp/text").good(), "text\n");
        assert_eq!(copy("lab@river:/root/text").code, 1, "{protocol}");
    }
    // Its terminal that stays, and a task of that kind.
    let said = alice.run(
        &["-tt"],
        "task run --read-only -- sh -c 'echo x > /x || echo no'",
    );
    assert!(said.text().contains("no"), "{}", said.text());
}
