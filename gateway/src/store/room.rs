//! The last room of the disk is the database's: outputs and inputs leave it alone, so that what happens can still be
//! written down while they wait.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Bytes that are left to the database at most.
const MOST: u64 = 64 << 20;
/// … and of a small disk, this part of it.
const PART: u64 = 20;

/// # Errors
/// `StorageFull` when only the database's room is left on the disk of this folder.
pub(super) fn for_files(dir: &Path) -> io::Result<()> {
    // A disk that does not say is written to until it refuses.
    let Ok(disk) = statvfs(dir) else {
        return Ok(());
    };
    let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
    if leaves_room(bytes(disk.blocks()), bytes(disk.blocks_available())) {
        Ok(())
    } else {
        Err(io::ErrorKind::StorageFull.into())
    }
}

const fn leaves_room(size: u64, free: u64) -> bool {
    let part = size / PART;
    free >= if part < MOST { part } else { MOST }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_room_is_kept_on_small_disks_and_on_large_ones() {
        let mib = 1 << 20;
        assert!(leaves_room(8 * mib, mib) && !leaves_room(8 * mib, mib / 4));
        assert!(leaves_room(1 << 40, 64 * mib) && !leaves_room(1 << 40, 63 * mib));
        // It says that it has no size at all.
        assert!(leaves_room(0, 0));
    }
}
