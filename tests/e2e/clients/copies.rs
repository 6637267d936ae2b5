//! rsync, git and lftp, with their programs in the box.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use harness::Run;

use super::{Lab, program};

/// These programs and their libraries, into the box, by tar over ssh.
fn bring(lab: &Lab, programs: &[&str]) {
    let mut files = BTreeSet::new();
    for name in programs {
        let found = program("which", &[name]).good().trim().to_owned();
        let real = std::fs::canonicalize(&found).unwrap();
        files.insert(found);
        files.insert(real.display().to_string());
        for line in program("ldd", &[real.to_str().unwrap()]).text().lines() {
            let path = line.split_whitespace().find(|word| word.starts_with('/'));
            files.extend(path.map(ToOwned::to_owned));
        }
    }
    let list = lab.path("files");
    std::fs::write(&list, files.into_iter().collect::<Vec<_>>().join("\n")).unwrap();
    let config = lab.alice().config.display().to_string();
    // The loader's folder is a link on Debian, and none in the box.
    let line = format!(
        "tar -ch --no-recursion -T {} 2>/dev/null | ssh -F {config} -T -l lab river 'tar -x -C /'",
        list.display()
    );
    program("sh", &["-c", &line]).good();
}

fn shell(lab: &Lab) -> String {
    format!("ssh -F {}", lab.alice().config.display())
}

fn in_dir(dir: &Path, name: &str, words: &[&str], shell: &str) -> Run {
    let run = Command::new(name)
        .args(words)
        .current_dir(dir)
        .env("GIT_SSH_COMMAND", shell)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output();
    run.unwrap_or_else(|error| panic!("{name}: {error}; scripts/clients.sh installs it"))
        .into()
}

#[test]
fn rsync_pushes_pulls_and_updates_in_place() {
    let lab = Lab::new();
    bring(&lab, &["rsync"]);
    let ssh = shell(&lab);
    let (path, mut bytes) = lab.noise("big", 8 << 20);
    let back = lab.text("back");
    let rsync = |words: &[&str]| program("rsync", &[&["-a", "-e", &ssh], words].concat());
    rsync(&[&path, "lab@river:/root/big"]).good();
    bytes[4 << 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    rsync(&["--inplace", "--checksum", &path, "lab@river:/root/big"]).good();
    rsync(&["lab@river:/root/big", &back]).good();
    assert!(std::fs::read(&back).unwrap() == bytes);
}

#[test]
fn git_clones_and_pushes() {
    let lab = Lab::new();
    bring(&lab, &["git", "git-upload-pack", "git-receive-pack"]);
    lab.alice()
        .ssh_as("lab", "git init -q --bare /root/repo.git")
        .good();
    let (dir, ssh) = (lab.path("work"), shell(&lab));
    std::fs::create_dir(&dir).unwrap();
    let git = |words: &[&str]| in_dir(&dir, "git", words, &ssh).good();
    git(&["clone", "-q", "lab@river:/root/repo.git", "."]);
    std::fs::write(dir.join("file"), "text\n").unwrap();
    git(&["add", "file"]);
    git(&[
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "commit",
        "-qm",
        "first",
    ]);
    git(&["push", "-q", "origin", "HEAD:main"]);
    git(&[
        "clone",
        "-q",
        "-b",
        "main",
        "lab@river:/root/repo.git",
        "again",
    ]);
    assert_eq!(
        std::fs::read_to_string(dir.join("again/file")).unwrap(),
        "text\n"
    );
}

#[test]
fn lftp_mirrors() {
    let lab = Lab::new();
    let tree = lab.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/file"), "text\n").unwrap();
    let script = format!(
        "set sftp:connect-program 'ssh -a -x -F {}'; open -u lab, sftp://river; mirror -R {} /root/tree; mirror /root/tree {}; bye",
        lab.alice().config.display(),
        tree.display(),
        lab.text("back")
    );
    let run = program("lftp", &["-c", &script]);
    assert_eq!(run.code, 0, "{}{}", run.text(), run.stderr);
    assert_eq!(
        std::fs::read_to_string(lab.path("back/sub/file")).unwrap(),
        "text\n"
    );
}
