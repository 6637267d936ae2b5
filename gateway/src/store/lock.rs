//! One gateway on one store: `flock(2)` on a file that names the holder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};

/// Held while the gateway lives; the kernel lets go of it with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// # Errors
    /// When another process holds it, by its pid.
    pub(super) fn take(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let mut holder = String::new();
        let _ = (&mut file).take(32).read_to_string(&mut holder);
        let mut file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err(_) => bail!(
                "another gateway (pid {}) uses {}: stop it first, or give another state_dir",
                holder.trim(),
                dir.display()
            ),
        };
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}
