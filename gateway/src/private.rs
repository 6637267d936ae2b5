//! The state folder is for the gateway's user alone: keys lie there, and everybody's output.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Uid;
use tracing::warn;

/// What whoever reads it can be the gateway with: to be refused, not mended, for it may have been read.
const KEYS: [&str; 2] = ["host_key", "authority_key"];
/// Bits of a mode that are of group and others.
const OTHERS: u32 = 0o077;

/// Makes the folder if it is not there. What this process makes from now on is its user's alone.
///
/// # Errors
/// When it, or a key in it, is somebody else's or open to others; says what to type.
pub fn take(dir: &Path) -> anyhow::Result<()> {
    umask(Mode::from_bits_truncate(OTHERS));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    let meta =
        std::fs::metadata(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    own(dir, &meta)?;
    if meta.mode() & OTHERS != 0 {
        bail!(
            "{} is open to others (mode {:04o}): chmod 700 {0}",
            dir.display(),
            meta.mode() & 0o7777
        );
    }
    for key in KEYS {
        let path = dir.join(key);
        let Ok(meta) = std::fs::metadata(&path) else {
            continue;
        };
        own(&path, &meta)?;
        if meta.mode() & OTHERS != 0 {
            bail!(
                "{} is open to others (mode {:04o}): chmod 600 {0}, and if somebody may have read it, remove it and \
                 let the nodes join again",
                path.display(),
                meta.mode() & 0o7777
            );
        }
    }
    mend(dir);
    if Uid::effective().is_root() {
        warn!("runs as root and needs no right of root's: give it a user of its own");
    }
    Ok(())
}

/// Also root is refused: what it makes there, the folder's owner could not use later.
fn own(path: &Path, meta: &Metadata) -> anyhow::Result<()> {
    let own = Uid::effective();
    if meta.uid() == own.as_raw() {
        return Ok(());
    }
    let path = path.display();
    bail!(
        "{path} belongs to user {}, and this gateway runs as user {own}: start it as that user, or chown -R {own} {path}",
        meta.uid()
    )
}

/// Files that an older version made as its umask was: nobody else could get there, and still cannot.
fn mend(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if !meta.is_symlink() && meta.mode() & OTHERS != 0 {
            let mode = Permissions::from_mode(meta.mode() & 0o700);
            let _ = std::fs::set_permissions(entry.path(), mode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refused(dir: &Path) -> String {
        take(dir).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_or_a_key_that_others_can_use_in_any_way_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("state");
        take(&dir).unwrap();
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        for bit in 0..6 {
            let open = 1 << bit;
            chmod(&dir, 0o700 | open);
            let why = refused(&dir);
            let remedy = format!("chmod 700 {}", dir.display());
            assert!(
                why.contains(&format!("mode 07{open:02o}")) && why.ends_with(&remedy),
                "{why}"
            );
        }
        chmod(&dir, 0o700);
        for key in KEYS {
            let path = dir.join(key);
            std::fs::write(&path, "secret").unwrap();
            for bit in 0..6 {
                let open = 1 << bit;
                chmod(&path, 0o600 | open);
                let why = refused(&dir);
                let remedy = format!("chmod 600 {}", path.display());
                assert!(
                    why.contains(&format!("mode 06{open:02o}")) && why.contains(&remedy),
                    "{why}"
                );
            }
            chmod(&path, 0o600);
            take(&dir).unwrap();
        }
    }

    #[test]
    fn what_an_older_version_left_open_inside_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("river.db");
        std::fs::write(&store, "rows").unwrap();
        chmod(&store, 0o644);
        take(dir.path()).unwrap();
        assert_eq!(std::fs::metadata(&store).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn another_users_folder_is_refused_also_to_root() {
        // Of root, or of whoever runs this; one of them is not us.
        let other = if Uid::effective().is_root() {
            let dir = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(dir.path(), Some(12_345), None).unwrap();
            dir.keep()
        } else {
            "/root".into()
        };
        let why = refused(&other);
        assert!(
            why.contains("belongs to user") && why.contains("chown -R"),
            "{why}"
        );
        let _ = std::fs::remove_dir(&other);
    }
}
