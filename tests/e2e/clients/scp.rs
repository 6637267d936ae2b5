//! `scp -O`, rcp's protocol, into a box whose image has no scp.

use std::os::unix::fs::PermissionsExt;

use harness::Run;

use super::{Lab, program, sum};

fn scp(lab: &Lab, words: &[&str]) -> Run {
    let config = lab.alice().config.display().to_string();
    program("scp", &[&["-q", "-O", "-F", &config], words].concat())
}

#[test]
fn the_old_scp_copies_where_the_image_has_none() {
    let lab = Lab::new();
    let inside = |line: &str| lab.alice().ssh_as("lab", line);
    assert_ne!(inside("command -v scp").code, 0, "there is none");
    let (big, want) = lab.big();
    let back = lab.text("back");
    scp(&lab, &[&big, "lab@river:/root/big"]).good();
    assert_eq!(lab.sum_inside("/root/big"), want);
    scp(&lab, &["lab@river:big", &back]).good();
    assert_eq!(sum(&back), want);
    // What was longer is cut.
    let (small, bytes) = lab.noise("small", 10);
    scp(&lab, &[&small, "lab@river:/root/big"]).good();
    assert_eq!(inside("cat big").stdout, bytes);
}

#[test]
fn the_old_scp_takes_trees_with_their_names_modes_and_times() {
    let lab = Lab::new();
    let tree = lab.path("tree");
    std::fs::create_dir_all(tree.join("sub/empty")).unwrap();
    for name in ["it's \"odd\" $HOME *", "-r", "ümlaut", "sub/plain"] {
        std::fs::write(tree.join(name), name).unwrap();
    }
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(tree.join("sub/plain"), mode).unwrap();
    let old = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    let file = std::fs::File::open(tree.join("sub/plain")).unwrap();
    file.set_times(old).unwrap();
    let (here, back) = (lab.text("tree"), lab.text("back"));
    scp(&lab, &["-r", "-p", &here, "lab@river:"]).good();
    let line = "stat -c '%a %Y' tree/sub/plain";
    assert_eq!(lab.alice().ssh_as("lab", line).good(), "640 0\n");
    scp(&lab, &["-r", "-p", "lab@river:tree", &back]).good();
    program("diff", &["-r", &here, &back]).good();
    let meta = |path: &str| std::fs::metadata(lab.path(path)).unwrap();
    assert_eq!(meta("back/sub/plain").permissions().mode() & 0o7777, 0o640);
    assert_eq!(
        meta("back/sub/plain").modified().unwrap(),
        std::time::UNIX_EPOCH
    );
    // Names are the box's shell's to expand, as ever with this protocol. -T: the client does not compare what it
    // gets with a quoted name.
    std::fs::create_dir(lab.path("some")).unwrap();
    let some = lab.text("some");
    scp(
        &lab,
        &[
            "-T",
            "lab@river:~/tree/s*/pl*",
            "lab@river:'tree/-r'",
            &some,
        ],
    )
    .good();
    assert!(lab.path("some/plain").exists() && lab.path("some/-r").exists());
}

#[test]
fn the_old_scp_says_what_went_wrong_with_code_1() {
    let lab = Lab::new();
    let (small, _) = lab.noise("small", 10);
    let back = lab.text("back");
    let cases: [(&[&str], &str); 4] = [
        (
            &["lab@river:/root/none", &back],
            "/root/none: No such file or directory",
        ),
        (&["lab@river:/tmp", &back], "/tmp: not a regular file"),
        (
            &[&small, "lab@river:/none/small"],
            "/none/small: No such file or directory",
        ),
        (
            &[&small, &small, "lab@river:/root/two"],
            "/root/two: not a directory",
        ),
    ];
    for (words, want) in cases {
        let run = scp(&lab, words);
        assert_eq!(run.code, 1, "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(want), "{words:?}: {}", run.stderr);
    }
    // One that fails does not keep the others from coming.
    let run = scp(
        &lab,
        &[
            "lab@river:/root/none",
            "lab@river:/etc/passwd",
            &lab.text(""),
        ],
    );
    assert!(
        run.code == 1 && lab.path("passwd").exists(),
        "{}",
        run.stderr
    );
    // An image's own scp is asked where there is one.
    let own = "printf '#!/bin/sh\\necho own >&2; exit 9\\n' > /usr/local/bin/scp; chmod +x /usr/local/bin/scp";
    let made = format!("mkdir -p /usr/local/bin; {own}");
    lab.alice().ssh_as("lab", &made).good();
    let run = scp(&lab, &["lab@river:/etc/passwd", &back]);
    assert!(
        run.code != 0 && run.stderr.contains("own"),
        "{}",
        run.stderr
    );
}
