//! Output of ended attempts: each one file of output frames, written once, kept as long as configured.
//!
//! The file holds frames of `tunnel::wire::output` as they came, gaps included, `End` last. It bears
//! its name only when it is whole and on the disk.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use bytes::BytesMut;
use cluster::{AttemptId, OutputSize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter};
use tunnel::wire::output::OutputFrame;

use super::room;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;
/// Bytes written between two looks at the room that is left.
const LOOK: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub struct OutputStore {
    dir: PathBuf,
}

/// One attempt's output on its way in. Dropped before it is finished, it takes no room any more.
#[derive(Debug)]
pub struct OutputWriter {
    dir: PathBuf,
    attempt: AttemptId,
    file: BufWriter<File>,
    frame: BytesMut,
    size: OutputSize,
    unlooked: u64,
    finished: bool,
}

/// One attempt's output on its way out.
#[derive(Debug)]
pub struct OutputReader {
    file: File,
    bytes: BytesMut,
    rest: Option<(u8, usize)>,
}

impl OutputStore {
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(state_dir: &Path) -> anyhow::Result<Self> {
        let dir = state_dir.join("output");
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        for entry in std::fs::read_dir(&dir)?.flatten() {
            // Half a file of a life that ended; its node still has the whole.
            if entry.path().extension().is_some_and(|end| end == "part") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { dir })
    }

    fn path(&self, attempt: AttemptId) -> PathBuf {
        self.dir.join(attempt.to_string())
    }

    /// # Errors
    /// When the file cannot be made, or the disk is full but for the database's room.
    pub async fn create(&self, attempt: AttemptId) -> anyhow::Result<OutputWriter> {
        room::for_files(&self.dir).context("cannot keep the output")?;
        let path = self.dir.join(format!("{attempt}.part"));
        let file = File::create(&path)
            .await
            .with_context(|| format!("cannot make {}", path.display()))?;
        let file = BufWriter::with_capacity(64 << 10, file);
        let dir = self.dir.clone();
        Ok(OutputWriter {
            dir,
            attempt,
            file,
            frame: BytesMut::new(),
            size: OutputSize::default(),
            unlooked: 0,
            finished: false,
        })
    }

    /// `None`: it never was here, or its time is over.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn read(&self, attempt: AttemptId) -> anyhow::Result<Option<OutputReader>> {
        match File::open(self.path(attempt)).await {
            Ok(file) => Ok(Some(OutputReader {
                file,
                bytes: BytesMut::new(),
                rest: None,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("cannot read the output"),
        }
    }

    /// Removes what is older than `age`. Returns how many files went.
    #[must_use]
    pub fn expire(&self, age: Duration) -> usize {
        let Ok(entries) = std::fs::read_dir(&self.dir) else {
            return 0;
        };
        let Some(limit) = SystemTime::now().checked_sub(age) else {
            return 0;
        };
        let old = entries.flatten().filter(|entry| {
            entry
                .metadata()
                .and_then(|meta| meta.modified())
                .is_ok_and(|at| at < limit)
        });
        old.filter(|entry| std::fs::remove_file(entry.path()).is_ok())
            .count()
    }
}

impl OutputWriter {
    /// # Errors
    /// When the disk is full.
    pub async fn write(&mut self, frame: &OutputFrame) -> anyhow::Result<()> {
        let (count, more) = match frame {
            OutputFrame::Stdout(bytes) => (&mut self.size.stdout, bytes.len() as u64),
            OutputFrame::Stderr(bytes) => (&mut self.size.stderr, bytes.len() as u64),
            OutputFrame::StdoutGap(gap) => (&mut self.size.stdout, *gap),
            OutputFrame::StderrGap(gap) => (&mut self.size.stderr, *gap),
            OutputFrame::End => (&mut self.size.stdout, 0),
        };
        // A node may say that any number of bytes are gone.
        *count = count.saturating_add(more);
        self.frame.clear();
        frame.encode(&mut self.frame);
        self.unlooked += self.frame.len() as u64;
        if self.unlooked >= LOOK {
            room::for_files(&self.dir).context("cannot keep the output")?;
            self.unlooked = 0;
        }
        self.file
            .write_all(&self.frame)
            .await
            .context("cannot write the output")
    }

    /// Whole and durable when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn finish(mut self) -> anyhow::Result<OutputSize> {
        self.file.flush().await?;
        self.file.get_ref().sync_all().await?;
        tokio::fs::rename(self.part(), self.dir.join(self.attempt.to_string())).await?;
        self.finished = true;
        File::open(&self.dir).await?.sync_all().await?;
        Ok(self.size)
    }

    fn part(&self) -> PathBuf {
        self.dir.join(format!("{}.part", self.attempt))
    }
}

impl Drop for OutputWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_file(self.part());
        }
    }
}

impl OutputReader {
    /// The next frame; `None` at the end of the file.
    ///
    /// # Errors
    /// When the disk fails or the file is damaged.
    pub async fn next(&mut self) -> anyhow::Result<Option<OutputFrame>> {
        loop {
            if let Some(frame) = OutputFrame::decode(&mut self.bytes, &mut self.rest)? {
                return Ok(Some(frame));
            }
            self.bytes.reserve(PIECE);
            if self.file.read_buf(&mut self.bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}
