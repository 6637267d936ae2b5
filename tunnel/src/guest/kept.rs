//! One stream of the command's output, from its pipe to its files.

use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep};

use super::backlog::Backlog;
use super::output::OutputFile;

/// Between two looks at a disk that takes nothing, once the command has ended.
const LOOK: Duration = Duration::from_millis(250);

/// Stdout or stderr.
pub(super) struct Output {
    pub(super) pipe: pipe::Receiver,
    pub(super) file: OutputFile,
    backlog: Backlog,
    open: bool,
}

impl Output {
    pub(super) fn new(pipe: pipe::Receiver, file: OutputFile) -> Self {
        Self {
            pipe,
            file,
            backlog: Backlog::default(),
            open: true,
        }
    }

    /// Its pipe is open, and what was read of it is on the disk.
    pub(super) fn wants_more(&self) -> bool {
        self.open && self.backlog.is_free()
    }

    /// What was read; nothing is its end.
    pub(super) fn keep(&mut self, read: io::Result<usize>, buffer: &[u8]) {
        let Ok(count @ 1..) = read else {
            self.open = false;
            return;
        };
        let file = &mut self.file;
        self.backlog
            .put(&buffer[..count], Instant::now(), |bytes| file.write(bytes));
    }

    /// Time passed, and the disk may have room again.
    pub(super) fn again(&mut self) {
        let file = &mut self.file;
        self.backlog
            .again(Instant::now(), |bytes| file.write(bytes));
    }

    /// The command is gone: the rest of the pipe, and all of it on the disk. Returns what would be its last bytes and
    /// is not there. `hurry`: somebody waits for its end, and a full disk is not waited for.
    pub(super) async fn finish(&mut self, buffer: &mut [u8], hurry: bool) -> String {
        while self.open || !self.backlog.is_free() {
            if self.wants_more() {
                let read = self.pipe.read(buffer).await;
                self.keep(read, buffer);
            } else if hurry {
                self.again();
                self.backlog.give_up();
            } else {
                sleep(LOOK).await;
                self.again();
            }
        }
        self.again();
        if let Some(file) = self.file.dirty() {
            let _ = file.sync_data();
        }
        std::mem::take(&mut self.backlog).last()
    }
}
