//! Bytes through a task, against bytes through sshd.

use std::io::Write;

use harness::{Engine, River};

use crate::peer::{CIPHER, Sshd, fed, quietly};
use crate::report::{Bar, Report, pair};

const SIZE: usize = 512 << 20;
const MIB: (f64, &str) = ((SIZE >> 20) as f64, "MiB/s");

pub(super) fn measure(report: &mut Report) {
    let dir = data(SIZE);
    let path = dir.path().join("data");
    let sshd = Sshd::start();
    for (engine, name) in [(Engine::Docker, "docker"), (Engine::Process, "process")] {
        let river = River::start(engine, 2);
        river.admin.ssh("task run -- true").good();
        let options = ["-T", "-o", CIPHER];
        // Not `head`: that of busybox takes 4 KiB at a time.
        let head = format!("dd if=/dev/zero bs=262144 count={}", SIZE >> 18);
        let down = || {
            quietly(
                &mut river
                    .admin
                    .command(&options, &format!("task run -- {head}")),
            )
        };
        let seen = pair(5, down, || {
            quietly(&mut sshd.person.command(&options, &head))
        });
        report.speed(
            &format!("task download 512 MiB ({name})"),
            &seen,
            MIB,
            "sshd",
            Bar::AtLeast(1.0),
        );
        let line = "task run -- sh -c 'cat > /dev/null'";
        let up = || fed(&mut river.admin.command(&options, line), &path);
        let seen = pair(5, up, || {
            fed(&mut sshd.person.command(&options, "cat > /dev/null"), &path)
        });
        report.speed(
            &format!("task upload 512 MiB ({name})"),
            &seen,
            MIB,
            "sshd",
            Bar::AtLeast(1.0),
        );
    }
}

/// A folder in memory with a file called `data`, of so many bytes.
pub(super) fn data(size: usize) -> tempfile::TempDir {
    let dir = tempfile::Builder::new()
        .prefix("bk")
        .tempdir_in("/dev/shm")
        .unwrap();
    let mut file = std::fs::File::create(dir.path().join("data")).unwrap();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..size >> 20 {
        file.write_all(&block).unwrap();
    }
    dir
}
