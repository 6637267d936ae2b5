//! Packets in, packets out, on real files.

use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;

use super::packet::{Reader, Writer};
use super::server::Server;

fn ask(server: &mut Server, kind: u8, fill: impl FnOnce(&mut Writer<'_>)) -> (u8, Vec<u8>) {
    let mut request = Vec::new();
    {
        let mut packet = Writer::new(&mut request, kind);
        packet.u32(7);
        fill(&mut packet);
    }
    let mut out = Vec::new();
    server.answer(Reader::new(&request[4..]), &mut out);
    let mut answer = Reader::new(&out[4..]);
    let kind = answer.u8().unwrap();
    assert_eq!(answer.u32().unwrap(), 7, "the id of the request");
    (kind, out[9..].to_vec())
}

#[test]
fn a_file_is_written_read_and_its_name_may_be_any_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let name = dir.path().join(std::ffi::OsStr::from_bytes(b"\xff name"));
    let name = name.as_os_str().as_bytes();
    let mut server = Server::default();
    let (kind, body) = ask(&mut server, 3, |packet| {
        packet.string(name).u32(2 | 8 | 16).u32(0);
    });
    assert_eq!(kind, 102);
    let handle = Reader::new(&body).string().unwrap().to_vec();
    let (kind, body) = ask(&mut server, 6, |packet| {
        packet.string(&handle).u64(3).string(b"hello");
    });
    assert_eq!((kind, &body[..4]), (101, &[0, 0, 0, 0][..]));
    ask(&mut server, 4, |packet| {
        packet.string(&handle);
    });
    let (kind, _) = ask(&mut server, 6, |packet| {
        packet.string(&handle).u64(0).string(b"x");
    });
    assert_eq!(kind, 101, "a closed handle is refused, not a crash");
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(name));
    assert_eq!(std::fs::read(path).unwrap(), b"\0\0\0hello");
}

#[test]
fn version_3_renames_over_nothing_and_posix_rename_does() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&old, "old").unwrap();
    std::fs::write(&new, "new").unwrap();
    let names = (old.as_os_str().as_bytes(), new.as_os_str().as_bytes());
    let mut server = Server::default();
    let (_, body) = ask(&mut server, 18, |packet| {
        packet.string(names.0).string(names.1);
    });
    assert_ne!(&body[..4], &[0, 0, 0, 0]);
    assert_eq!(std::fs::read(&new).unwrap(), b"new");
    let (_, body) = ask(&mut server, 200, |packet| {
        packet
            .string(b"posix-rename@openssh.com")
            .string(names.0)
            .string(names.1);
    });
    assert_eq!(&body[..4], &[0, 0, 0, 0]);
    assert_eq!(std::fs::read(&new).unwrap(), b"old");
}

proptest! {
    /// Kinds that only read: nonsense must not crash, and must not harm the machine of the test.
    #[test]
    fn no_packet_makes_it_panic(kind in prop::sample::select(vec![4u8, 5, 7, 8, 11, 12, 16, 17, 19, 200, 255]), body: Vec<u8>) {
        let mut packet = vec![kind];
        packet.extend_from_slice(&body);
        Server::default().answer(Reader::new(&packet), &mut Vec::new());
    }
}
