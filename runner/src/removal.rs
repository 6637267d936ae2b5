//! Removes what a box could write. However deep it nested its folders, this takes one level of stack, three
//! descriptors and no memory for names: folders are moved up beside their parent before that goes.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// A folder with all that is in it; one that is not there is removed already.
///
/// # Errors
/// When the disk fails, or something in it is another disk.
pub fn remove(folder: &Path) -> io::Result<()> {
    match empty(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => std::fs::remove_dir(folder),
    }
}

/// All that is in a folder. No link is followed: what is no folder is removed as it is.
///
/// # Errors
/// As [`remove`], and when the folder is not there.
pub fn empty(folder: &Path) -> io::Result<()> {
    let root = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(FOLDER.bits())
        .open(folder)?;
    let mut moved = Moved::default();
    loop {
        let found = each(&root, |name| take(&root, name, &mut moved))?;
        // Each folder is moved once, for it is one level down then.
        while let Some(name) = moved.pop() {
            take(&root, &name, &mut moved)?;
        }
        if !found {
            return Ok(());
        }
    }
}

/// Names in the root that folders were moved to and that are still to be removed: `from..to`, as numbers.
#[derive(Default)]
struct Moved {
    from: u64,
    to: u64,
}

impl Moved {
    fn pop(&mut self) -> Option<std::ffi::CString> {
        let number = (self.from < self.to).then_some(self.from)?;
        self.from += 1;
        std::ffi::CString::new(number.to_string()).ok()
    }
}

/// One name of the root, with what is in it.
fn take(root: &File, name: &CStr, moved: &mut Moved) -> io::Result<()> {
    if unlink(root, name)? {
        return Ok(());
    }
    let inner = match openat(root, name, FOLDER, Mode::empty()) {
        Ok(inner) => File::from(inner),
        Err(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    while each(&inner, |name| {
        if unlink(&inner, name)? {
            return Ok(());
        }
        lift(&inner, name, root, moved)
    })? {}
    gone(unlinkat(root, name, UnlinkatFlags::RemoveDir))
}

/// A folder inside one of the root gets a name in the root. Whatever has that already is removed in its turn.
fn lift(inner: &File, name: &CStr, root: &File, moved: &mut Moved) -> io::Result<()> {
    loop {
        let to = moved.to.to_string();
        moved.to += 1;
        let kept = RenameFlags::RENAME_NOREPLACE;
        match renameat2(inner, name, root, to.as_str(), kept) {
            Err(Errno::EEXIST) => {}
            done => return gone(done),
        }
    }
}

const FOLDER: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// `false`: it is a folder.
fn unlink(at: &File, name: &CStr) -> io::Result<bool> {
    match unlinkat(at, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR) => Ok(false),
        other => gone(other).map(|()| true),
    }
}

fn gone(done: nix::Result<()>) -> io::Result<()> {
    match done {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One reading of a folder. `false`: it was empty; else what is removed meanwhile may have hidden something.
fn each(folder: &File, mut work: impl FnMut(&CStr) -> io::Result<()>) -> io::Result<bool> {
    let mut entries = Dir::from_fd(openat(folder, c".", FOLDER, Mode::empty())?)?;
    let mut found = false;
    for entry in entries.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            found = true;
            work(entry.file_name())?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders in one another, as no path could name them.
    fn nest(folder: &Path, depth: usize) {
        let mut at = File::open(folder).unwrap();
        for _ in 0..depth {
            nix::sys::stat::mkdirat(&at, c"d", Mode::S_IRWXU).unwrap();
            at = openat(&at, c"d", FOLDER, Mode::empty()).unwrap().into();
        }
        nix::unistd::symlinkat(c"/", &at, c"away").unwrap();
    }

    #[test]
    fn folders_nested_too_deep_for_a_stack_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("17.1");
        std::fs::create_dir_all(folder.join("out")).unwrap();
        nest(&folder.join("out"), 3_000);
        // What recurses ends this program here, or has no descriptor left.
        let work = std::thread::Builder::new().stack_size(64 << 10);
        let done = work.spawn(move || (remove(&folder), folder.exists()));
        let (removed, exists) = done.unwrap().join().unwrap();
        removed.unwrap();
        assert!(!exists);
    }

    #[test]
    fn all_of_it_goes_and_nothing_that_it_points_to() {
        let dir = tempfile::tempdir().unwrap();
        let (out, kept) = (dir.path().join("out"), dir.path().join("kept"));
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::write(kept.join("file"), "kept").unwrap();
        std::fs::create_dir_all(&out).unwrap();
        std::os::unix::fs::symlink(&kept, out.join("away")).unwrap();
        // Names that the removal uses itself, at both levels, and many of them.
        for number in 0..300 {
            std::fs::create_dir_all(out.join(format!("{number}/{number}/deep"))).unwrap();
            std::fs::write(out.join(format!("{number}/file")), "gone").unwrap();
        }
        for number in 300..310 {
            std::fs::write(out.join(number.to_string()), "gone").unwrap();
        }
        empty(&out).unwrap();
        assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
        assert_eq!(std::fs::read_to_string(kept.join("file")).unwrap(), "kept");
        remove(&out).unwrap();
        remove(&out).unwrap();
        assert!(empty(&out).is_err());
    }
}
