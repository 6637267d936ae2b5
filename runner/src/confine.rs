//! The attempts' folder, mounted on itself without devices, set-user-ID files and programs: engines hand
//! these options on to what they mount of it into a box (mount(2), MS_BIND).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};

/// Made if it is not there. A folder that is so already is left as it is: its disk is mounted so, or a
/// runner that was killed left it so.
///
/// # Errors
/// When we may not mount. The folder can be used all the same.
pub fn confine(folder: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let wanted = FsFlags::ST_NOSUID | FsFlags::ST_NODEV | FsFlags::ST_NOEXEC;
    if statvfs(folder)?.flags().contains(wanted) {
        return Ok(());
    }
    let none: Option<&str> = None;
    mount(Some(folder), folder, none, MsFlags::MS_BIND, none)?;
    // The first call takes no options of its own.
    let options = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | options;
    mount(none, folder, none, again, none).inspect_err(|_| release(folder))?;
    Ok(())
}

/// Undoes it; the boxes that are there have mounts of their own. A disk that an operator mounted there is
/// not of its parent's device, and stays.
pub fn release(folder: &Path) {
    let device = |path: &Path| fs::metadata(path).ok().map(|meta| meta.dev());
    if folder.parent().and_then(device) == device(folder) {
        // Not a mount at all: nothing to undo.
        let _ = umount2(folder, MntFlags::MNT_DETACH);
    }
}
