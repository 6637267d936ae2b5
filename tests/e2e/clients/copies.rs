//! rsync and git, with their programs in the box.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::Run;

use super::{Lab, program, sum};

/// These programs and their libraries, into the box.
pub(in super::super) fn bring(lab: &Lab, programs: &[&str]) {
    let mut files = BTreeSet::new();
    for name in programs {
        let found = program("which", &[name]).good().trim().to_owned();
        let real = std::fs::canonicalize(&found).unwrap();
        files.insert(found);
        with_libraries(&real, &mut files);
    }
    unpack(lab, files);
}

/// All below this folder, but for what a program does not need to run, and the libraries of its libraries.
pub(super) fn bring_tree(lab: &Lab, dir: &str) {
    const NEEDLESS: [&str; 5] = ["__pycache__", "test", "idlelib", "lib2to3", "ensurepip"];
    let (mut files, mut look) = (BTreeSet::new(), vec![PathBuf::from(dir)]);
    while let Some(path) = look.pop() {
        let needless = NEEDLESS.iter().any(|name| path.ends_with(name));
        if path.is_dir() && !needless {
            look.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|end| end == "so") {
            with_libraries(&path, &mut files);
        } else if path.is_file() {
            files.insert(path.display().to_string());
        }
    }
    unpack(lab, files);
}

fn with_libraries(path: &Path, files: &mut BTreeSet<String>) {
    files.insert(path.display().to_string());
    for line in program("ldd", &[path.to_str().unwrap()]).text().lines() {
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        files.extend(path.map(|path| path.trim_end_matches(':').to_owned()));
    }
}

/// By tar over ssh.
fn unpack(lab: &Lab, files: BTreeSet<String>) {
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
    let (path, want) = lab.big();
    let back = lab.text("back");
    let rsync = |words: &[&str]| program("rsync", &[&["-a", "-e", &ssh], words].concat());
    rsync(&[&path, "lab@river:/root/big"]).good();
    assert_eq!(lab.sum_inside("/root/big"), want);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"another", 4 << 20).unwrap();
    rsync(&["--inplace", "--checksum", &path, "lab@river:/root/big"]).good();
    rsync(&["lab@river:/root/big", &back]).good();
    let want = sum(&path);
    assert_eq!(
        (lab.sum_inside("/root/big"), sum(&back)),
        (want.clone(), want)
    );
    let tree = lab.path("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    for name in ["a b", "sub/it's"] {
        std::fs::write(tree.join(name), name).unwrap();
    }
    let (here, again) = (format!("{}/", tree.display()), lab.text("again"));
    rsync(&["--delete", &here, "lab@river:/root/tree/"]).good();
    std::fs::remove_file(tree.join("a b")).unwrap();
    rsync(&["--delete", &here, "lab@river:/root/tree/"]).good();
    rsync(&["lab@river:/root/tree/", &again]).good();
    program("diff", &["-r", &here, &again]).good();
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
    // A pack with some weight.
    std::fs::rename(lab.big().0, dir.join("big")).unwrap();
    git(&["add", "file", "big"]);
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
    program(
        "diff",
        &[
            "-r",
            "-x",
            ".git",
            "-x",
            "again",
            &lab.text("work"),
            &lab.text("work/again"),
        ],
    )
    .good();
}
