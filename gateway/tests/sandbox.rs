//! Seen from inside: what a gateway's process can no longer do.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use gateway::sandbox::{self, Folders};

/// Where the one inside finds its folders.
const ROOM: &str = "RIVER_TEST_ROOM";

/// There is no way back, so it is tried in a process of its own.
#[test]
fn outside_of_its_folders_nothing_is_left() {
    let room = tempfile::tempdir().unwrap();
    for folder in ["state", "programs", "other"] {
        fs::create_dir(room.path().join(folder)).unwrap();
        fs::write(room.path().join(folder).join("file"), folder).unwrap();
    }
    let inside = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .env(ROOM, room.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && said.contains("1 passed"),
        "{said}{inside:?}"
    );
    // What it may do, it did.
    assert_eq!(
        fs::read_to_string(room.path().join("state/new/file")).unwrap(),
        "made inside"
    );
    assert!(!room.path().join("state/file").exists());
}

#[test]
#[ignore = "run by the other one, in a process of its own"]
fn inside() {
    let room = PathBuf::from(std::env::var(ROOM).unwrap());
    let own = room.join("state");
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap();
    let before = File::open(room.join("other/file")).unwrap();
    assert!(TcpStream::connect(address).is_ok());
    sandbox::enter(&Folders {
        written: vec![own.clone()],
        read: vec![room.join("programs")],
    })
    .unwrap();
    // As its threads do.
    std::thread::spawn(move || {
        fs::create_dir(own.join("new")).unwrap();
        fs::write(own.join("new/part"), "made inside").unwrap();
        fs::rename(own.join("new/part"), own.join("new/file")).unwrap();
        fs::remove_file(own.join("file")).unwrap();
        assert_eq!(
            fs::read_to_string(room.join("programs/file")).unwrap(),
            "programs"
        );
        let denied = |what: &str, done: std::io::Result<()>| {
            let error = done.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}");
        };
        denied("reads beside", fs::read(room.join("other/file")).map(drop));
        denied("reads the machine's", fs::read("/etc/passwd").map(drop));
        denied("lists", fs::read_dir("/").map(drop));
        denied("writes beside", fs::write(room.join("other/new"), "x"));
        denied(
            "writes what it may read",
            fs::write(room.join("programs/new"), "x"),
        );
        denied(
            "leads out by a link",
            std::os::unix::fs::symlink("/etc", own.join("link")),
        );
        denied(
            "starts a program",
            Command::new("/bin/true").spawn().map(drop),
        );
        denied(
            "starts its own",
            Command::new(std::env::current_exe().unwrap())
                .spawn()
                .map(drop),
        );
        denied("dials out", TcpStream::connect(address).map(drop));
        let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER);
        denied("makes a namespace", unshared.map_err(Into::into));
        // What was open stays open.
        assert!(before.metadata().is_ok());
        assert!(door.local_addr().is_ok());
    })
    .join()
    .unwrap();
}
