//! Programs of sessions: who started one hears how it ended.

use std::collections::HashMap;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use tokio::sync::oneshot;

/// Cheap to share.
#[derive(Clone, Default)]
pub(super) struct Children(Arc<Mutex<HashMap<Pid, oneshot::Sender<WaitStatus>>>>);

impl Children {
    /// Starts it. Its end comes by the receiver: one process reaps everything here, so waiting for the
    /// child itself would find nothing.
    pub(super) fn spawn(
        &self,
        command: &mut Command,
    ) -> io::Result<(Child, Pid, oneshot::Receiver<WaitStatus>)> {
        // Held over the start, so that no end comes before its listener.
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let (sender, receiver) = oneshot::channel();
        waiting.insert(pid, sender);
        Ok((child, pid, receiver))
    }

    pub(super) fn ended(&self, pid: Pid, status: WaitStatus) {
        let sender = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&pid);
        if let Some(sender) = sender {
            // Its session may be gone.
            let _ = sender.send(status);
        }
    }
}
