//! Programs that take sftp for a disk: sshfs, rclone, lftp.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::wait::until;

use super::{Lab, program, sum};

/// Why nothing can be mounted on this machine.
fn no_fuse() -> Option<String> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    opened.err().map(|error| format!("/dev/fuse: {error}"))
}

#[test]
fn sshfs() {
    if let Some(why) = no_fuse() {
        // Past the harness, which shows what a good test says to nobody.
        let _ = writeln!(
            std::io::stderr(),
            "sshfs is NOT tested on this machine: {why}"
        );
        return;
    }
    let lab = Lab::new();
    let (big, want) = lab.big();
    let config = lab.alice().config.display().to_string();
    let dir = lab.path("mnt");
    std::fs::create_dir(&dir).unwrap();
    let mut mount = Command::new("sshfs")
        .args(["-f", "-F", &config, "lab@river:/root"])
        .arg(&dir)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mounted = || {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        mounts.contains(&format!(" {} fuse.sshfs", dir.display()))
    };
    until("it is mounted", mounted);
    let done = std::panic::catch_unwind(|| as_a_disk(&lab, &dir, &big, &want));
    program("fusermount3", &["-u", dir.to_str().unwrap()]).good();
    mount.wait().unwrap();
    assert!(done.is_ok());
}

fn as_a_disk(lab: &Lab, dir: &Path, big: &str, want: &str) {
    std::fs::copy(big, dir.join("big")).unwrap();
    assert_eq!(lab.sum_inside("/root/big"), want);
    assert_eq!(sum(dir.join("big").to_str().unwrap()), want);
    std::fs::create_dir(dir.join("d")).unwrap();
    std::fs::write(dir.join("d/a"), "one\n").unwrap();
    let mut more = OpenOptions::new()
        .append(true)
        .open(dir.join("d/a"))
        .unwrap();
    more.write_all(b"two\n").unwrap();
    drop(more);
    std::fs::rename(dir.join("d/a"), dir.join("d/b")).unwrap();
    std::os::unix::fs::symlink("b", dir.join("d/c")).unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.join("d/c")).unwrap(),
        "one\ntwo\n"
    );
    let line = "readlink d/c; cat d/b";
    assert_eq!(lab.alice().ssh_as("lab", line).good(), "b\none\ntwo\n");
    let names: Vec<_> = dir
        .join("d")
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    program("df", &[dir.to_str().unwrap()]).good();
    std::fs::remove_dir_all(dir.join("d")).unwrap();
    assert_eq!(lab.alice().ssh_as("lab", "test -e d").code, 1);
}

#[test]
fn rclone() {
    let lab = Lab::new();
    let (big, want) = lab.big();
    let config = lab.text("rclone");
    let text = format!(
        "[box]\ntype = sftp\nhost = 127.0.0.1\nport = {}\nuser = lab\nkey_file = {}\n",
        lab.port(),
        lab.text("alice_key")
    );
    std::fs::write(&config, text).unwrap();
    let rclone = |words: &[&str]| {
        let run = program("rclone", &[&["--config", &config], words].concat());
        assert_eq!(run.code, 0, "{words:?}: {}{}", run.text(), run.stderr);
        run.text()
    };
    let back = lab.text("back");
    rclone(&["copyto", &big, "box:/root/big"]);
    assert_eq!(lab.sum_inside("/root/big"), want);
    rclone(&["copyto", "box:/root/big", &back]);
    assert_eq!(sum(&back), want);
    let tree = lab.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    for number in 0..20 {
        std::fs::write(tree.join(format!("sub/{number}")), number.to_string()).unwrap();
    }
    rclone(&["sync", &lab.text("tree"), "box:/root/tree"]);
    std::fs::remove_file(tree.join("sub/7")).unwrap();
    rclone(&["sync", &lab.text("tree"), "box:/root/tree"]);
    // By sums, which it has the box make.
    rclone(&["check", &lab.text("tree"), "box:/root/tree"]);
    assert_eq!(rclone(&["lsf", "box:/root/tree/sub"]).lines().count(), 19);
}

#[test]
fn lftp() {
    let lab = Lab::new();
    let (big, want) = lab.big();
    let tree = lab.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/file"), "text\n").unwrap();
    let script = format!(
        "set cmd:fail-exit yes; set sftp:connect-program 'ssh -a -x -F {}'; open -u lab, sftp://river; \
         put {big} -o /root/big; get /root/big -o {}; mirror -R {} /root/tree; mirror /root/tree {}; bye",
        lab.alice().config.display(),
        lab.text("big.back"),
        tree.display(),
        lab.text("back")
    );
    let run = program("lftp", &["-c", &script]);
    assert_eq!(run.code, 0, "{}{}", run.text(), run.stderr);
    assert_eq!(lab.sum_inside("/root/big"), want);
    assert_eq!(sum(&lab.text("big.back")), want);
    let text = std::fs::read_to_string(lab.path("back/sub/file"));
    assert_eq!(text.unwrap(), "text\n");
}
