//! Input that must be durable before its task is acknowledged.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cluster::Spool;
use cluster::task::limits;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::room;

/// Files under `state_dir/spool`, named by chance.
#[derive(Clone, Debug)]
pub struct SpoolStore {
    dir: PathBuf,
}

/// One input on its way in.
#[derive(Debug)]
pub struct SpoolWriter {
    dir: PathBuf,
    name: String,
    file: File,
    length: u64,
}

impl SpoolStore {
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(state_dir: &Path) -> anyhow::Result<Self> {
        let dir = state_dir.join("spool");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// Removes what no task needs: left over from a crash between input and commit.
    pub fn sweep(&self, keep: &HashSet<String>) {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return;
        };
        for entry in entries.flatten() {
            if !entry
                .file_name()
                .to_str()
                .is_some_and(|name| keep.contains(name))
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// # Errors
    /// When the file cannot be made, or the disk is full but for the database's room.
    pub async fn create(&self, name: String) -> anyhow::Result<SpoolWriter> {
        room::for_files(&self.dir).context("cannot make a spool file")?;
        let file = File::create_new(self.dir.join(&name))
            .await
            .context("cannot make a spool file")?;
        Ok(SpoolWriter {
            dir: self.dir.clone(),
            name,
            file,
            length: 0,
        })
    }

    /// # Errors
    /// When it is not there.
    pub async fn read(&self, spool: &str) -> std::io::Result<File> {
        File::open(self.dir.join(spool)).await
    }

    pub fn remove(&self, spool: &str) {
        let _ = std::fs::remove_file(self.dir.join(spool));
    }
}

impl SpoolWriter {
    /// # Errors
    /// When the disk is full, or the input is above [`limits::SPOOL`].
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.length += bytes.len() as u64;
        anyhow::ensure!(
            self.length <= limits::SPOOL,
            "the input is above {} MiB",
            limits::SPOOL >> 20
        );
        room::for_files(&self.dir).context("cannot write the input")?;
        self.file
            .write_all(bytes)
            .await
            .context("cannot write the input")
    }

    /// Durable when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn finish(mut self) -> anyhow::Result<Spool> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        File::open(&self.dir).await?.sync_all().await?;
        Ok(Spool {
            file: self.name,
            length: self.length,
        })
    }

    /// Nothing came of it.
    pub async fn abandon(self) {
        let _ = tokio::fs::remove_file(self.dir.join(&self.name)).await;
    }
}
