//! A box, entered: against sshd in a container of the same image.

mod forward;
mod keys;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::openssh::Person;
use harness::{Engine, River};

use crate::bulk::data;
use crate::peer::{CIPHER, Sshd, Warm, fed, quietly};
use crate::report::{Bar, Report, pair, took};

/// As in `bench/far_end.rs`.
const SIZE: usize = 1 << 30;
const GIB: (f64, &str) = (1024.0, "MiB/s");
const FILES: usize = 10_000;

/// The same client, into a box and to sshd.
struct Sides<'a> {
    river: &'a Person,
    sshd: &'a Person,
}

impl Sides<'_> {
    fn ours(&self, options: &[&str], line: &str) -> Command {
        let mut all = vec!["-l", "b1"];
        all.extend(options);
        self.river.command(&all, line)
    }

    fn theirs(&self, options: &[&str], line: &str) -> Command {
        let mut all = vec!["-l", "root"];
        all.extend(options);
        self.sshd.command(&all, line)
    }
}

/// One part of the whole.
type Measure = fn(&mut Report, &Sides<'_>);

/// The static program of `bench/far_end.rs`, which `make bench` builds.
fn far_end() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().unwrap().join("../far-end")
}

pub(super) fn measure(report: &mut Report) {
    let river = River::start(Engine::Docker, 4);
    river.admin.ssh("task run -- true").good();
    let mut number = 0;
    let mut create = || {
        number += 1;
        river
            .admin
            .ssh(&format!("vps create --name b{number}"))
            .good();
        river.admin.ssh_as(&format!("b{number}"), "true").good();
    };
    create();
    let seconds = [took(&mut create), took(&mut create), took(&mut create)];
    report.figure(
        "create to `ssh true`",
        crate::report::median(seconds.into_iter()) * 1e3,
        "ms",
        1000.0,
    );
    let sshd = Sshd::contained();
    let sides = Sides {
        river: &river.admin,
        sshd: &sshd.person,
    };
    let seen = pair(
        15,
        || quietly(&mut sides.ours(&["-T"], "true")),
        || quietly(&mut sides.theirs(&["-T"], "true")),
    );
    report.time(
        "ssh box true, new connection",
        &seen,
        "sshd",
        Bar::AtMost(0.15),
    );
    let (warm, other) = (Warm::open_as(&river.admin, "b1"), Warm::open(&sshd.person));
    let seen = pair(25, || warm.ssh("true"), || other.ssh("true"));
    report.time(
        "  same, on a warm connection",
        &seen,
        "sshd",
        Bar::AtMost(1.0),
    );
    drop((warm, other));
    // Each alone by its name: `make bench ONLY=vps PART=keys`.
    let part = std::env::var("PART").unwrap_or_default();
    let parts: [(&str, Measure); 4] = [
        ("exec", exec),
        ("copies", copies),
        ("forward", forward::measure),
        ("keys", keys::measure),
    ];
    for (name, measure) in parts {
        if part.is_empty() || part == name {
            measure(report, &sides);
        }
    }
}

fn exec(report: &mut Report, sides: &Sides<'_>) {
    let dir = data(SIZE);
    let path = dir.path().join("data");
    let options = ["-T", "-o", CIPHER];
    let down = format!("dd if=/dev/zero bs=262144 count={} 2>/dev/null", SIZE >> 18);
    let seen = pair(
        5,
        || quietly(&mut sides.ours(&options, &down)),
        || quietly(&mut sides.theirs(&options, &down)),
    );
    report.speed("exec download 1 GiB", &seen, GIB, "sshd", Bar::AtLeast(1.0));
    let up = "cat > /dev/null";
    let seen = pair(
        5,
        || fed(&mut sides.ours(&options, up), &path),
        || fed(&mut sides.theirs(&options, up), &path),
    );
    report.speed("exec upload 1 GiB", &seen, GIB, "sshd", Bar::AtLeast(1.0));
}

/// One large file, and many small ones.
fn copies(report: &mut Report, sides: &Sides<'_>) {
    let (ours, theirs) = (sides.river, sides.sshd);
    let dir = data(SIZE);
    let small = dir.path().join("small");
    std::fs::create_dir(&small).unwrap();
    for number in 0..FILES {
        std::fs::write(small.join(number.to_string()), [7; 1024]).unwrap();
    }
    let big = dir.path().join("data").display().to_string();
    let back = dir.path().join("back").display().to_string();
    let small = small.display().to_string();
    let scp = |person: &Person, user: &str, words: &[&str]| {
        let mut command = Command::new("scp");
        command
            .arg("-F")
            .arg(&person.config)
            .args(["-q", "-o", CIPHER]);
        command.args(["-o", &format!("User={user}")]);
        quietly(command.args(words).stdin(Stdio::null()));
    };
    let put = |person: &Person, user: &str| scp(person, user, &[&big, "river:/tmp/river-bench"]);
    let seen = pair(3, || put(ours, "b1"), || put(theirs, "root"));
    report.speed("sftp put 1 GiB", &seen, GIB, "sshd", Bar::AtLeast(1.5));
    let get = |person: &Person, user: &str| scp(person, user, &["river:/tmp/river-bench", &back]);
    let seen = pair(3, || get(ours, "b1"), || get(theirs, "root"));
    report.speed("sftp get 1 GiB", &seen, GIB, "sshd", Bar::AtLeast(1.2));
    let many =
        |person: &Person, user: &str| scp(person, user, &["-r", &small, "river:/tmp/river-many"]);
    let fetch = |person: &Person, user: &str| {
        let away = dir.path().join("away");
        scp(
            person,
            user,
            &["-r", "river:/tmp/river-many", &away.display().to_string()],
        );
        std::fs::remove_dir_all(away).unwrap();
    };
    let seen = pair(1, || many(ours, "b1"), || many(theirs, "root"));
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let files = (FILES as f64, "files/s");
    report.speed(
        "sftp put 10,000 files of 1 KiB",
        &seen,
        files,
        "sshd",
        Bar::AtLeast(0.7),
    );
    let seen = pair(1, || fetch(ours, "b1"), || fetch(theirs, "root"));
    report.speed(
        "sftp get 10,000 files of 1 KiB",
        &seen,
        files,
        "sshd",
        Bar::AtLeast(0.7),
    );
}
