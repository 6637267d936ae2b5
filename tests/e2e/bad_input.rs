//! Wrong lines: one sentence, the right code, nothing changed.

use std::io::Write;
use std::process::{Command, Stdio};

use harness::{Engine, River};

#[test]
fn a_wrong_line_gets_one_sentence_and_its_code() {
    let river = River::start(Engine::Docker, 2);
    let cases = [
        ("tsak list", 2, "tsak"),
        ("task submit --croes 1 -- true", 2, "--croes"),
        ("task submit -t n9 -- true", 3, "n9"),
        ("task status 999", 3, "task-999"),
        ("vps status 999", 3, "vps-999: no such box"),
        ("vps connect 999", 3, "vps-999: no such box"),
        ("task logs nothing-like-it", 3, "nothing-like-it"),
        ("task submit -c 5000 -- true", 2, "5000"),
        ("task submit -m 1K -- true", 2, "memory"),
        ("task submit 'a", 2, "quotes"),
        ("task run -- echo a; rm -rf /", 2, "`;`"),
        ("task run -- echo $(id)", 2, "$("),
        ("task submit --name 'x\x1b[2J' -- true", 2, "name"),
        ("task submit -- ", 2, "command is missing"),
        ("node status Nowhere!", 2, "name"),
        ("node status nowhere", 3, "nowhere"),
        ("auth key add nonsense", 2, "public key"),
        ("docker images", 1, "docker"),
        (
            "task run --container no-such-env -- true",
            125,
            "no-such-env",
        ),
    ];
    for (line, code, part) in cases {
        let run = river.admin.ssh(line);
        assert_eq!(run.code, code, "{line}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{line}: {}", run.stderr);
        assert!(
            run.stderr.starts_with("river: ") && run.stderr.contains(part),
            "{line}: {}",
            run.stderr
        );
        assert!(!run.stderr.contains('\x1b'), "{line}");
    }
    let bytes = {
        use std::os::unix::ffi::OsStrExt;
        let line = std::ffi::OsStr::from_bytes(b"task submit -- echo \xff");
        let mut ssh = Command::new("ssh");
        ssh.arg("-F")
            .arg(&river.admin.config)
            .arg("-T")
            .arg("river")
            .arg(line)
            .output()
            .unwrap()
    };
    assert_eq!(bytes.status.code(), Some(2));
    let sentence = "this line is not UTF-8";
    assert!(String::from_utf8_lossy(&bytes.stderr).contains(sentence));
    let typed = {
        let mut ssh = river.admin.command(&["-tt"], "");
        let mut ssh = ssh.stdin(Stdio::piped()).spawn().unwrap();
        let keys = b"task submit -- echo \xff\rexit\r";
        ssh.stdin.as_mut().unwrap().write_all(keys).unwrap();
        ssh.wait_with_output().unwrap()
    };
    let typed = String::from_utf8_lossy(&typed.stdout) + String::from_utf8_lossy(&typed.stderr);
    assert!(typed.contains(sentence), "{typed}");
    let batch = river
        .admin
        .ssh_with("task submit --batch", b"-- true\n-c x -- true\n");
    assert_eq!(batch.code, 2);
    assert!(batch.stderr.contains("line 2"), "{}", batch.stderr);
    let list = river.admin.ssh("task list -a -q").good();
    assert_eq!(list, "1\n", "only the one whose environment was missing");
}

#[test]
fn escapes_in_a_command_are_shown_harmless() {
    let river = River::start(Engine::Process, 1);
    let run = river
        .admin
        .ssh("task run -- printf '%s' 'a\x1b]0;owned\x07b'");
    assert_eq!(
        run.good(),
        "a\x1b]0;owned\x07b",
        "a task's own output is its own"
    );
    let listed = river.admin.ssh("task list -a").good();
    assert!(
        !listed.contains('\x1b') && !listed.contains('\x07'),
        "{listed:?}"
    );
}
