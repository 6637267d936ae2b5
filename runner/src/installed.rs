//! The guest's program, kept under a name of its content: a box stands on one path for its life, while what was
//! installed on the node is replaced by each upgrade.
//!
//! `state_dir/guests/NAME/river-guest`, where the name is the beginning of its SHA-256. Boxes get that one.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};
use tracing::{info, warn};

/// In the state folder.
const FOLDER: &str = "guests";
/// In its own folder.
const PROGRAM: &str = "river-guest";
/// Hex digits of a content's name: 64 bits, for nobody chooses the contents but who installs them.
const NAME: usize = 16;

/// Copies the installed program to its place, unless it is there. Whole or not at all, and on the disk.
///
/// # Errors
/// When it cannot be read, or the state folder cannot be written.
pub fn keep(state_dir: &Path, program: &Path) -> anyhow::Result<PathBuf> {
    let mut bytes = Vec::new();
    fs::File::open(program)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .with_context(|| format!("cannot read the guest's program {}", program.display()))?;
    let all = state_dir.join(FOLDER);
    let folder = all.join(name(&bytes));
    let path = folder.join(PROGRAM);
    if fs::read(&path).is_ok_and(|there| there == bytes) {
        return Ok(path);
    }
    // Users of the `process` engine execute it, so they must get there.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    for dir in [&all, &folder] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    }
    write(&folder, &path, &bytes).with_context(|| format!("cannot write {}", path.display()))?;
    fs::File::open(&all)?.sync_all()?;
    info!(guest = %path.display(), "the guest's program of new boxes");
    Ok(path)
}

fn write(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    let mut file = fs::File::create_new(&part)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(0o555))?;
    file.sync_all()?;
    drop(file);
    fs::rename(&part, path)?;
    fs::File::open(folder)?.sync_all()
}

fn name(bytes: &[u8]) -> String {
    let mut name: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    name.truncate(NAME);
    name
}

/// Removes those that neither new boxes get nor any box stands on. `used`: what the engine says of all its boxes,
/// stopped ones too.
pub fn sweep(state_dir: &Path, newest: &Path, used: &[PathBuf]) {
    for entry in fs::read_dir(state_dir.join(FOLDER))
        .into_iter()
        .flatten()
        .flatten()
    {
        let folder = entry.path();
        let ours = entry.file_name().to_str().is_some_and(|name| {
            name.len() == NAME && name.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let stood_on = |path: &Path| path.starts_with(&folder);
        if !ours || stood_on(newest) || used.iter().any(|path| stood_on(path)) {
            continue;
        }
        match fs::remove_dir_all(&folder) {
            Ok(()) => info!(guest = %folder.display(), "no box stands on it any more: removed"),
            Err(error) => warn!(guest = %folder.display(), %error, "cannot be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_content_has_a_place_and_keeps_it_while_a_box_stands_on_it() {
        let state = tempfile::tempdir().unwrap();
        let program = state.path().join("installed");
        let mut kept = Vec::new();
        for version in ["one", "two", "three"] {
            fs::write(&program, version).unwrap();
            kept.push(keep(state.path(), &program).unwrap());
        }
        for (path, version) in kept.iter().zip(["one", "two", "three"]) {
            assert_eq!(fs::read_to_string(path).unwrap(), version);
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o555);
        }
        assert_eq!(keep(state.path(), &program).unwrap(), kept[2], "once");
        let stranger = state.path().join(FOLDER).join("notes");
        fs::write(&stranger, "mine").unwrap();
        sweep(state.path(), &kept[2], &[kept[0].clone()]);
        assert!(kept[0].exists() && !kept[1].exists() && kept[2].exists());
        sweep(state.path(), &kept[2], &[]);
        assert!(!kept[0].exists() && kept[2].exists() && stranger.exists());
    }

    #[test]
    fn one_that_was_cut_by_a_crash_is_written_anew() {
        let state = tempfile::tempdir().unwrap();
        let program = state.path().join("installed");
        fs::write(&program, "whole").unwrap();
        let kept = keep(state.path(), &program).unwrap();
        fs::remove_file(&kept).unwrap();
        fs::write(&kept, "wh").unwrap();
        assert_eq!(keep(state.path(), &program).unwrap(), kept);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "whole");
    }
}
