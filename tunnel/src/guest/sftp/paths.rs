//! Names: bytes on the wire, paths here.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// An empty name is the present folder.
pub(super) fn path(bytes: &[u8]) -> io::Result<&Path> {
    if bytes.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(Path::new(OsStr::from_bytes(if bytes.is_empty() {
        b"."
    } else {
        bytes
    })))
}

/// Absolute and without links, as far as the way exists; what does not is taken by its words.
pub(super) fn real(path: &Path) -> io::Result<PathBuf> {
    let whole = std::env::current_dir()?.join(path);
    let mut found = PathBuf::from("/");
    for part in whole.components() {
        match part {
            Component::ParentDir => {
                found.pop();
            }
            Component::Normal(name) => {
                found.push(name);
                if let Ok(real) = found.canonicalize() {
                    found = real;
                }
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(found)
}

/// `~` and `~/…`: the home (`expand-path@openssh.com`).
pub(super) fn expand(bytes: &[u8]) -> io::Result<PathBuf> {
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    match bytes {
        b"~" => Ok(home()),
        [b'~', b'/', rest @ ..] => Ok(home().join(path(rest)?)),
        _ => Ok(path(bytes)?.to_owned()),
    }
}
