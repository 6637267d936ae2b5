//! One request after the other: what it asks, what is done, what is answered.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;

use nix::sys::statvfs::{Statvfs, fstatvfs, statvfs};

use super::attributes::{self, long_name};
use super::files::{self, Handle, Handles};
use super::packet::{Reader, Writer};
use super::paths::{expand, path, real};
use super::{LARGEST, PIECE};

const VERSION: u8 = 2;
const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const NAME: u8 = 104;
const ATTRS: u8 = 105;
const EXTENDED_REPLY: u8 = 201;

const OK: u32 = 0;
const END: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;
const FAILURE: u32 = 4;
const BAD_MESSAGE: u32 = 5;
const UNSUPPORTED: u32 = 8;

/// What OpenSSH's own server offers and its clients use.
const EXTENSIONS: [(&str, &str); 8] = [
    ("posix-rename@openssh.com", "1"),
    ("statvfs@openssh.com", "2"),
    ("fstatvfs@openssh.com", "2"),
    ("hardlink@openssh.com", "1"),
    ("fsync@openssh.com", "1"),
    ("lsetstat@openssh.com", "1"),
    ("limits@openssh.com", "1"),
    ("expand-path@openssh.com", "1"),
];

#[derive(Default)]
pub(super) struct Server {
    handles: Handles,
}

/// Why a request is not answered as asked.
enum No {
    End,
    Unsupported,
    Io(io::Error),
}

impl<E: Into<io::Error>> From<E> for No {
    fn from(error: E) -> Self {
        Self::Io(error.into())
    }
}

impl Server {
    pub(super) fn answer(&mut self, mut request: Reader<'_>, out: &mut Vec<u8>) {
        let Ok(kind) = request.u8() else { return };
        if kind == 1 {
            let mut packet = Writer::new(out, VERSION);
            packet.u32(3);
            for (name, version) in EXTENSIONS {
                packet.string(name.as_bytes()).string(version.as_bytes());
            }
            return;
        }
        let Ok(id) = request.u32() else { return };
        let before = out.len();
        let done = self.serve(kind, id, &mut request, out);
        match done {
            Ok(()) if out.len() == before => status(id, OK, "Success", out),
            Ok(()) => {}
            Err(no) => {
                out.truncate(before);
                let (code, words) = match no {
                    No::End => (END, "End of file".to_owned()),
                    No::Unsupported => (UNSUPPORTED, "Operation unsupported".to_owned()),
                    No::Io(error) => (code(&error), words(&error)),
                };
                status(id, code, &words, out);
            }
        }
    }

    /// What writes no answer is answered with success.
    fn serve(
        &mut self,
        kind: u8,
        id: u32,
        request: &mut Reader<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), No> {
        match kind {
            3 => {
                let (path, flags) = (path(request.string()?)?, request.u32()?);
                let wanted = attributes::read(request)?;
                let file = files::open(path, flags, wanted.mode)?;
                let name = self.handles.add(Handle::File(file))?;
                Writer::new(out, HANDLE).u32(id).string(&name);
            }
            4 => self.handles.close(request.string()?)?,
            5 => self.read(id, request, out)?,
            6 => {
                let file = self.handles.file(request.string()?)?;
                let (offset, data) = (request.u64()?, request.string()?);
                file.write_all_at(data, offset)?;
            }
            7 => attrs(
                id,
                &std::fs::symlink_metadata(path(request.string()?)?)?,
                out,
            ),
            8 => attrs(id, &self.handles.file(request.string()?)?.metadata()?, out),
            9 => {
                let path = path(request.string()?)?;
                attributes::read(request)?.apply(path, true)?;
            }
            10 => {
                let file = self.handles.file(request.string()?)?;
                attributes::read(request)?.apply_to(file)?;
            }
            11 => {
                let path = path(request.string()?)?.to_owned();
                let rest = std::fs::read_dir(&path)?;
                let dots = true;
                let name = self.handles.add(Handle::Folder { path, rest, dots })?;
                Writer::new(out, HANDLE).u32(id).string(&name);
            }
            12 => self.list(id, request.string()?, out)?,
            13 => std::fs::remove_file(path(request.string()?)?)?,
            14 => {
                let path = path(request.string()?)?;
                let mode = attributes::read(request)?.mode.unwrap_or(0o777);
                std::fs::DirBuilder::new().mode(mode).create(path)?;
            }
            15 => std::fs::remove_dir(path(request.string()?)?)?,
            16 => one_name(id, &real(path(request.string()?)?)?, out),
            17 => attrs(id, &std::fs::metadata(path(request.string()?)?)?, out),
            18 => files::rename(path(request.string()?)?, path(request.string()?)?)?,
            19 => one_name(id, &std::fs::read_link(path(request.string()?)?)?, out),
            // OpenSSH's order: the target first, against the draft; every client follows it.
            20 => std::os::unix::fs::symlink(path(request.string()?)?, path(request.string()?)?)?,
            200 => self.extended(id, request, out)?,
            _ => return Err(No::Unsupported),
        }
        Ok(())
    }

    fn read(&mut self, id: u32, request: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), No> {
        let file = self.handles.file(request.string()?)?;
        let (offset, wanted) = (request.u64()?, request.u32()? as usize);
        let mut packet = Writer::new(out, DATA);
        packet.u32(id);
        let filled = packet.fill(wanted.min(PIECE), |room| {
            let mut filled = 0;
            // A client takes a short answer for the end, or asks again: neither is wanted.
            while filled < room.len() {
                match file.read_at(&mut room[filled..], offset + filled as u64)? {
                    0 => break,
                    count => filled += count,
                }
            }
            Ok::<_, io::Error>(filled)
        });
        match filled {
            Ok(0) if wanted > 0 => {
                packet.undo();
                Err(No::End)
            }
            Ok(_) => Ok(()),
            Err(error) => {
                packet.undo();
                Err(error.into())
            }
        }
    }

    fn list(&mut self, id: u32, handle: &[u8], out: &mut Vec<u8>) -> Result<(), No> {
        let Handle::Folder { path, rest, dots } = self.handles.get(handle)? else {
            return Err(io::Error::other("that handle is a file's").into());
        };
        let mut found: Vec<(Vec<u8>, Metadata)> = Vec::new();
        if std::mem::take(dots) {
            for name in [".", ".."] {
                if let Ok(meta) = std::fs::symlink_metadata(path.join(name)) {
                    found.push((name.as_bytes().to_vec(), meta));
                }
            }
        }
        // A hundred names of the longest kind fit a packet.
        for entry in rest.by_ref().take(100) {
            let entry = entry?;
            // One that has gone meanwhile is not there.
            if let Ok(meta) = entry.metadata() {
                found.push((entry.file_name().as_bytes().to_vec(), meta));
            }
        }
        if found.is_empty() {
            return Err(No::End);
        }
        let mut packet = Writer::new(out, NAME);
        packet.u32(id).u32(u32::try_from(found.len()).unwrap_or(0));
        for (name, meta) in &found {
            packet.string(name).string(&long_name(name, meta));
            attributes::write(meta, &mut packet);
        }
        Ok(())
    }

    fn extended(&mut self, id: u32, request: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), No> {
        match request.string()? {
            b"posix-rename@openssh.com" => {
                std::fs::rename(path(request.string()?)?, path(request.string()?)?)?;
            }
            b"hardlink@openssh.com" => {
                std::fs::hard_link(path(request.string()?)?, path(request.string()?)?)?;
            }
            b"fsync@openssh.com" => self.handles.file(request.string()?)?.sync_all()?,
            b"lsetstat@openssh.com" => {
                let path = path(request.string()?)?;
                attributes::read(request)?.apply(path, false)?;
            }
            b"statvfs@openssh.com" => space(id, &statvfs(path(request.string()?)?)?, out),
            b"fstatvfs@openssh.com" => {
                space(id, &fstatvfs(self.handles.file(request.string()?)?)?, out);
            }
            b"limits@openssh.com" => {
                let mut packet = Writer::new(out, EXTENDED_REPLY);
                packet.u32(id);
                for limit in [LARGEST, PIECE, PIECE, files::MOST] {
                    packet.u64(limit as u64);
                }
            }
            b"expand-path@openssh.com" => one_name(id, &real(&expand(request.string()?)?)?, out),
            _ => return Err(No::Unsupported),
        }
        Ok(())
    }
}

fn status(id: u32, code: u32, words: &str, out: &mut Vec<u8>) {
    Writer::new(out, STATUS)
        .u32(id)
        .u32(code)
        .string(words.as_bytes())
        .string(b"");
}

fn attrs(id: u32, of: &Metadata, out: &mut Vec<u8>) {
    let mut packet = Writer::new(out, ATTRS);
    packet.u32(id);
    attributes::write(of, &mut packet);
}

fn one_name(id: u32, path: &Path, out: &mut Vec<u8>) {
    let name = path.as_os_str().as_bytes();
    let mut packet = Writer::new(out, NAME);
    // Without attributes: the flags say so.
    packet.u32(id).u32(1).string(name).string(name).u32(0);
}

/// Eleven numbers: OpenSSH's PROTOCOL, 4.4.
fn space(id: u32, of: &Statvfs, out: &mut Vec<u8>) {
    let flags = of.flags();
    let read_only = u64::from(flags.contains(nix::sys::statvfs::FsFlags::ST_RDONLY));
    let no_suid = u64::from(flags.contains(nix::sys::statvfs::FsFlags::ST_NOSUID)) << 1;
    let mut packet = Writer::new(out, EXTENDED_REPLY);
    packet.u32(id);
    for number in [
        of.block_size(),
        of.fragment_size(),
        of.blocks(),
        of.blocks_free(),
        of.blocks_available(),
        of.files(),
        of.files_free(),
        of.files_available(),
        of.filesystem_id(),
        read_only | no_suid,
        of.name_max(),
    ] {
        packet.u64(number);
    }
}

/// As `errno_to_portable` of sftp-server(8).
fn code(error: &io::Error) -> u32 {
    use nix::errno::Errno as E;
    match error.raw_os_error().map(E::from_raw) {
        Some(E::ENOENT | E::ENOTDIR | E::EBADF | E::ELOOP) => NO_SUCH_FILE,
        Some(E::EPERM | E::EACCES | E::EFAULT) => PERMISSION_DENIED,
        Some(E::EINVAL | E::ENAMETOOLONG) => BAD_MESSAGE,
        Some(E::ENOSYS) => UNSUPPORTED,
        Some(_) => FAILURE,
        None if error.kind() == io::ErrorKind::InvalidInput => BAD_MESSAGE,
        None => FAILURE,
    }
}

fn words(error: &io::Error) -> String {
    crate::guest::launch::plain(error)
}
