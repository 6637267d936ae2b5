//! OpenSSH's own client: transfers, ends, many at once, new keys, and what it tells of itself.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

use harness::Run;
use harness::wait::until;

use super::copies::bring;
use super::{Lab, program, sum, write};

#[test]
fn a_hundred_megabytes_each_way_by_pipe_scp_and_sftp() {
    let lab = Lab::new();
    let (big, want) = lab.big();
    let back = lab.text("back");
    let piped = |line: &str, options: &[&str]| -> Run {
        let mut ssh = lab
            .alice()
            .command(&[&["-T", "-l", "lab"], options].concat(), line);
        ssh.stdin(std::fs::File::open(&big).unwrap());
        ssh.output().unwrap().into()
    };
    piped("cat > /root/a", &[]).good();
    assert_eq!(lab.sum_inside("/root/a"), want);
    write(&back, &lab.alice().ssh_as("lab", "cat /root/a").stdout);
    assert_eq!(sum(&back), want);
    let both = piped("cat", &["-v", "-o", "RekeyLimit=8M"]);
    write(&back, &both.stdout);
    assert_eq!(sum(&back), want, "both ways at once");
    let renewed = both.stderr.matches("SSH2_MSG_NEWKEYS received").count();
    assert!(renewed > 5, "new keys on the way: {renewed}");
    let config = lab.alice().config.display().to_string();
    program("scp", &["-q", "-F", &config, &big, "lab@river:/root/b"]).good();
    program("scp", &["-q", "-F", &config, "lab@river:/root/b", &back]).good();
    assert_eq!(
        (lab.sum_inside("/root/b"), sum(&back)),
        (want.clone(), want.clone())
    );
    let script = lab.text("batch");
    write(
        &script,
        format!("put {big} /root/c\nget /root/c {back}\n").as_bytes(),
    );
    program("sftp", &["-q", "-F", &config, "-b", &script, "lab@river"]).good();
    assert_eq!(
        (lab.sum_inside("/root/c"), sum(&back)),
        (want.clone(), want)
    );
}

#[test]
fn an_end_is_told_as_it_was() {
    let lab = Lab::new();
    let run = |line: &str| lab.alice().ssh_as("lab", line);
    for code in [0, 1, 77, 255] {
        assert_eq!(run(&format!("exit {code}")).code, code);
    }
    for name in ["TERM", "KILL", "USR2"] {
        let line = format!("kill -{name} $$");
        let ended = lab
            .alice()
            .command(&["-v", "-T", "-l", "lab"], &line)
            .output();
        let ended: Run = ended.unwrap().into();
        assert_eq!(ended.code, 255, "{name}");
        assert!(
            ended.stderr.contains("rtype exit-signal"),
            "{}",
            ended.stderr
        );
    }
    // The end of the input is not the end of the output, nor the other way round.
    let fed = |line: &str| {
        let mut child = lab.alice().command(&["-T", "-l", "lab"], line);
        let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"abc\n").unwrap();
        Run::from(child.wait_with_output().unwrap())
    };
    let run = fed("cat; sleep 1; echo after; echo err >&2; exit 5");
    assert_eq!(
        (run.code, run.text().as_str(), run.stderr.as_str()),
        (5, "abc\nafter\n", "err\n")
    );
    assert_eq!(fed("exec >&-; cat > /root/late; exit 6").code, 6);
    assert_eq!(lab.alice().ssh_as("lab", "cat late").good(), "abc\n");
}

#[test]
fn variables_come_along_as_far_as_they_are_harmless() {
    let lab = Lab::new();
    let set = "SetEnv=LC_X=1 TZ=UTC COLORTERM=truecolor GIT_AUTHOR_NAME=a VSCODE_X=y PATH=/evil LD_PRELOAD=/evil FOO=bar";
    let line = "echo $LC_X $TZ $COLORTERM $GIT_AUTHOR_NAME $VSCODE_X; echo $PATH $LD_PRELOAD $FOO; echo $TERM";
    let run = lab
        .alice()
        .command(&["-T", "-o", set, "-l", "lab"], line)
        .output();
    let text = Run::from(run.unwrap()).good();
    assert!(text.starts_with("1 UTC truecolor a y\n"), "{text}");
    assert!(!text.contains("evil") && !text.contains("bar"), "{text}");
}

#[test]
fn forty_sessions_share_a_connection_and_a_stopped_one_holds_up_none() {
    let lab = Lab::new();
    let socket = lab.text("mux");
    let ssh = |words: &[&str], line: &str| {
        let mut all = vec!["-S", socket.as_str(), "-l", "lab"];
        all.extend(words);
        lab.alice().command(&all, line)
    };
    let mut master = ssh(&["-N", "-M"], "").spawn().unwrap();
    until("the master listens", || lab.path("mux").exists());
    // One that nobody reads, and one that reads nothing.
    let mut flood = ssh(&["-T"], "yes").spawn().unwrap();
    let mut deaf = ssh(&["-T"], "sleep 600")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = deaf.stdin.take().unwrap();
    let stuffing = std::thread::spawn(move || {
        let block = vec![0; 1 << 20];
        // Until the session is ended below.
        while std::io::Write::write_all(&mut input, &block).is_ok() {}
    });
    let sessions: Vec<_> = (0..40)
        .map(|number| {
            ssh(&["-T"], &format!("echo {number}; exit {number}"))
                .spawn()
                .unwrap()
        })
        .collect();
    for (number, session) in (0..).zip(sessions) {
        let run: Run = session.wait_with_output().unwrap().into();
        assert_eq!(
            (run.code, run.text()),
            (number, format!("{number}\n")),
            "{}",
            run.stderr
        );
    }
    for child in [&mut flood, &mut deaf] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    stuffing.join().unwrap();
    assert!(ssh(&["-O", "exit"], "").status().unwrap().success());
    master.wait().unwrap();
}

/// As long as OpenSSH's own client can say it: a string of 128 KiB is the kernel's end (execve(2)).
#[test]
fn a_line_of_120_kib_and_a_full_environment_arrive_byte_for_byte() {
    let value = "v".repeat(60_000);
    let lab = Lab::with(&format!("-e ONE={value} -e TWO={value}"));
    let words: Vec<u8> = (1..=u8::MAX).filter(|byte| *byte != b'\'').collect();
    let mut said = words.repeat((120 << 10) / words.len());
    let line = [
        &b"printf %s '"[..],
        &said,
        b"'; echo ${#ONE} ${#TWO}; wc -c",
    ]
    .concat();
    said.extend_from_slice(b"60000 60000\n5\n");
    for terminal in [false, true] {
        let options = if terminal { ["-tt"] } else { ["-T"] };
        let mut ssh = lab
            .alice()
            .command(&[&options[..], &["-l", "lab"]].concat(), "");
        ssh.arg(OsStr::from_bytes(&line));
        // A terminal changes what is said on it.
        let input: &[u8] = if terminal { b"\x04" } else { b"input" };
        let run = Run::of(&mut ssh, input);
        assert_eq!(
            (run.code, run.stderr.lines().count()),
            (0, usize::from(terminal)),
            "{}",
            run.stderr
        );
        if !terminal {
            assert!(run.stdout == said, "{} bytes", run.stdout.len());
        }
        assert!(run.text().contains("60000 60000"));
    }
    // And what needs no line.
    let config = lab.alice().config.display().to_string();
    let back = lab.text("back");
    program(
        "scp",
        &["-q", "-F", &config, "lab@river:/etc/passwd", &back],
    )
    .good();
}

#[test]
fn a_client_that_asks_whether_we_live_is_answered() {
    let lab = Lab::new();
    let words = [
        "-vvv",
        "-N",
        "-o",
        "ServerAliveInterval=1",
        "-o",
        "ServerAliveCountMax=1",
    ];
    let log = lab.text("log");
    let mut ssh = lab
        .alice()
        .command(&[&words[..], &["-l", "lab"]].concat(), "");
    let mut child = ssh
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    // SSH_MSG_REQUEST_FAILURE: nobody knows keepalive@openssh.com, and an answer is an answer.
    let answers = || {
        std::fs::read_to_string(&log)
            .unwrap()
            .matches("receive packet: type 82")
            .count()
    };
    until("three answers", || answers() >= 3);
    assert!(child.try_wait().unwrap().is_none());
    end(&mut child);
}

#[test]
fn an_agent_is_asked_from_inside() {
    let lab = Lab::new();
    bring(&lab, &["ssh-add"]);
    let socket = lab.text("agent");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the agent listens", || lab.path("agent").exists());
    let add = Command::new("ssh-add")
        .args(["-q", &lab.text("alice_key")])
        .env("SSH_AUTH_SOCK", &socket)
        .status();
    assert!(add.unwrap().success());
    let print = program("ssh-keygen", &["-lf", &lab.text("alice_key")]).good();
    let print = print.split(' ').nth(1).unwrap().to_owned();
    let inside = |options: &[&str]| -> Run {
        let options = [options, &["-T", "-l", "lab"]].concat();
        let mut ssh = lab
            .alice()
            .command(&options, "echo $SSH_AUTH_SOCK; ssh-add -l");
        ssh.env("SSH_AUTH_SOCK", &socket).output().unwrap().into()
    };
    let text = inside(&["-A"]).good();
    assert!(text.starts_with("/tmp/") && text.contains(&print), "{text}");
    assert_eq!(inside(&[]).text(), "\n", "nobody asked for it");
    end(&mut agent);
}

fn end(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
