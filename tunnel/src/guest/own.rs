//! The guest's own program, also where its file was replaced on the node while its box lives.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Of the running program, whatever became of its file (proc(5)).
const SELF: &str = "/proc/self/exe";
/// What the kernel adds to the name of a file that was removed; a mount of it is still there.
const DELETED: &[u8] = b" (deleted)";

/// Where it can be executed: by its name as long as that is this very program, never a newer one.
pub(super) fn program() -> PathBuf {
    named().unwrap_or_else(|| SELF.into())
}

/// By a name that other processes can use too.
pub(super) fn named() -> Option<PathBuf> {
    let name = std::fs::read_link(SELF).ok()?;
    let bytes = name.as_os_str().as_bytes();
    let name = Path::new(OsStr::from_bytes(
        bytes.strip_suffix(DELETED).unwrap_or(bytes),
    ));
    let (there, own) = (name.metadata().ok()?, Path::new(SELF).metadata().ok()?);
    let same = (there.dev(), there.ino()) == (own.dev(), own.ino());
    same.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_its_name() {
        assert_eq!(named(), std::env::current_exe().ok());
        assert_eq!(program(), std::env::current_exe().unwrap());
    }
}
