//! One end against the other, and against nonsense.

use std::io::Cursor;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;

use proptest::prelude::*;

use super::record::{Record, parse};
use super::*;

const MASK: u32 = 0o022;

fn call(words: &[&str]) -> Option<Wanted> {
    wanted(words.iter().map(OsString::from))
}

/// The far end that writes, fed with these bytes: did all go well, and what it said.
fn sink(words: &[&str], target: &Path, bytes: &[u8]) -> (bool, Vec<u8>) {
    let mut said = Vec::new();
    let target = target.to_str().unwrap();
    let wanted = call(&[words, &["-t", target]].concat()).unwrap();
    let well = serve(&wanted, MASK, &mut Peer::new(Cursor::new(bytes), &mut said));
    (well, said)
}

/// From here to there, both ends ours.
fn copy(words: &[&str], from: &Path, to: &Path) -> (bool, bool) {
    let (here, there) = UnixStream::pair().unwrap();
    let words_of =
        |end, path: &Path| call(&[words, &[end, path.to_str().unwrap()]].concat()).unwrap();
    let (source, sink) = (words_of("-f", from), words_of("-t", to));
    let run = |wanted: &Wanted, stream: &UnixStream| {
        let well = serve(wanted, MASK, &mut Peer::new(stream, stream));
        let _ = stream.shutdown(std::net::Shutdown::Both);
        well
    };
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| run(&source, &here));
        let taken = run(&sink, &there);
        (sent.join().unwrap(), taken)
    })
}

#[test]
fn only_a_clients_call_of_the_far_end_is_ours() {
    assert_eq!(called(b"scp -t /tmp/x"), Some(&b"-t /tmp/x"[..]));
    assert_eq!(
        called(b"scp -v -r -p -f -- -x *.c"),
        Some(&b"-v -r -p -f -- -x *.c"[..])
    );
    assert!(called(b"scp -qrt .").is_some());
    for line in [
        "scp",
        "scp a box:b",
        "scp -r a -t",
        "scp -P 22 -t x",
        "scpx -t a",
        "ls -t",
        "scp -- -t",
    ] {
        assert_eq!(called(line.as_bytes()), None, "{line}");
    }
    assert!(call(&["-t", "a", "b"]).is_none() && call(&["-t", "-f", "a"]).is_none());
    assert!(
        call(&["-f"]).is_none() && call(&["a"]).is_none() && call(&["-S", "-t", "a"]).is_none()
    );
    assert_eq!(call(&["-f", "--", "-a", "-b"]).unwrap().paths.len(), 2);
}

#[test]
fn a_tree_arrives_with_its_names_modes_and_times() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    std::fs::create_dir_all(from.join("sub dir/empty")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"\xff 'odd\" *name");
    std::fs::write(from.join(odd), vec![7; 3 * peer::PIECE + 5]).unwrap();
    std::fs::write(from.join("sub dir/none"), "").unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&from.join(odd), 0o440);
    mode(&from.join("sub dir"), 0o500);
    let old = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    std::fs::File::open(from.join(odd))
        .unwrap()
        .set_times(old)
        .unwrap();
    assert_eq!(copy(&["-r", "-p"], &from, &to), (true, true));
    let meta = std::fs::metadata(to.join(odd)).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o440, 0));
    assert!(std::fs::read(to.join(odd)).unwrap() == std::fs::read(from.join(odd)).unwrap());
    assert_eq!(
        to.join("sub dir").metadata().unwrap().mode() & 0o7777,
        0o500
    );
    assert!(to.join("sub dir/empty").is_dir() && to.join("sub dir/none").is_file());
}

#[test]
fn what_is_longer_there_is_cut_and_a_folder_takes_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("d"));
    std::fs::create_dir(&to).unwrap();
    std::fs::write(&from, "short").unwrap();
    std::fs::write(to.join("a"), "much longer").unwrap();
    assert_eq!(copy(&[], &from, &to), (true, true));
    assert_eq!(std::fs::read(to.join("a")).unwrap(), b"short");
}

#[test]
fn what_does_not_work_is_said_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let (none, to) = (dir.path().join("none"), dir.path().join("to"));
    assert_eq!(copy(&[], &none, &to), (false, false));
    assert_eq!(
        copy(&[], dir.path(), &to),
        (false, false),
        "a folder without -r"
    );
    let (well, said) = sink(&["-d"], &none, b"");
    let said = String::from_utf8(said).unwrap();
    assert!(
        !well && said.starts_with("\x01scp: ") && said.ends_with(": not a directory\n"),
        "{said:?}"
    );
    // The file after the one that cannot be made arrives.
    let records = b"C0644 1 none/x\n";
    assert!(!sink(&[], &to, records).0);
    let (well, _) = sink(&["-r"], dir.path(), b"D0755 0 d\nC0644 1 a\nx\0E\n");
    assert!(well && std::fs::read(dir.path().join("d/a")).unwrap() == b"x");
}

#[test]
fn no_name_leaves_its_folder() {
    for name in ["..", ".", "", "a/b", "/etc/x", "../x", "a\0b"] {
        for kind in ['C', 'D'] {
            let line = format!("{kind}0644 0 {name}");
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    assert!(!sink(&["-r"], &inner, b"D0755 0 ..\nC0644 1 x\nx\0E\n").0);
    assert!(!sink(&[], &inner, b"D0755 0 d\n").0, "nobody said -r");
    assert!(!sink(&["-r"], &inner, b"E\n").0);
    assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_line_has_an_end_and_a_number_a_size() {
    let dir = tempfile::tempdir().unwrap();
    let endless = vec![b'C'; 1 << 20];
    let (well, said) = sink(&[], dir.path(), &endless);
    assert!(!well && said.ends_with(b"too long\n"));
    for line in [
        "C0644 -1 a",
        "C0644 99999999999999999999 a",
        "C0648 1 a",
        "C644 1 a",
        "C0644 1",
        "C0644 +1 a",
    ] {
        assert_eq!(parse(line.as_bytes()), None, "{line}");
    }
    assert_eq!(
        parse(b"T1 0 2 0"),
        Some(Record::Times {
            modified: 1,
            accessed: 2
        })
    );
    assert_eq!(parse(b"T1 0 2"), None);
    assert_eq!(
        parse(b"C0644 5 a b "),
        Some(Record::File {
            mode: 0o644,
            size: 5,
            name: b"a b "
        })
    );
}

#[test]
fn the_end_of_a_line_in_a_name_is_told_as_vis_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a\nb");
    std::fs::write(&path, "x").unwrap();
    let mut said = Vec::new();
    let wanted = call(&["-f", path.to_str().unwrap()]).unwrap();
    serve(
        &wanted,
        MASK,
        &mut Peer::new(Cursor::new([0; 3]), &mut said),
    );
    assert_eq!(
        String::from_utf8(said)
            .unwrap()
            .split_once('\n')
            .unwrap()
            .0
            .split_once(" 1 ")
            .unwrap()
            .1,
        "a\\^Jb"
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_leave_its_folder(bytes: Vec<u8>, lines in prop::collection::vec("[CDTE\x01][0-7]{4} [0-9]{1,3} [a./]{1,3}", 0..6)) {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        sink(&["-r", "-p"], &inner, &bytes);
        sink(&["-r"], &inner, lines.join("\n").as_bytes());
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        let _ = parse(&bytes);
    }
}
