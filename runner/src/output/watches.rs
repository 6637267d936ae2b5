//! Who follows outputs hears when they change. All readers of a node have one inotify(7) together: of those an account has
//! 128 on the whole machine, and each of them once had its own.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tracing::warn;

/// Between two looks where the kernel tells nothing.
const LOOK: Duration = Duration::from_millis(250);

/// Cheap to clone.
#[derive(Clone)]
pub struct Watches(Option<Arc<Shared>>);

struct Shared {
    inotify: AsyncFd<Watch>,
    folders: Mutex<HashMap<WatchDescriptor, Folder>>,
}

struct Folder {
    changed: watch::Sender<()>,
    readers: usize,
}

/// One reader's interest in one folder.
pub(super) struct Watched {
    /// `None`: the kernel has no watch left, and the folder is looked at now and then.
    told: Option<(Arc<Shared>, WatchDescriptor, watch::Receiver<()>)>,
}

/// For tokio, which wants a number.
struct Watch(Inotify);

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watches {
    /// Within a runtime.
    #[must_use]
    pub fn new() -> Self {
        match Shared::new() {
            Ok(shared) => {
                let shared = Arc::new(shared);
                tokio::spawn(hear(Arc::clone(&shared)));
                Self(Some(shared))
            }
            Err(error) => {
                warn!(%error, "outputs are looked at four times a second, for the kernel does not tell of them");
                Self(None)
            }
        }
    }

    /// Tells of what is written in this folder from now on.
    pub(super) fn watch(&self, folder: &Path) -> Watched {
        let told = self.0.as_ref().and_then(|shared| {
            let added = shared.add(folder);
            let (which, changed) = added.inspect_err(|error| warn!(%error, "a watch")).ok()?;
            Some((Arc::clone(shared), which, changed))
        });
        Watched { told }
    }
}

impl Default for Watches {
    fn default() -> Self {
        Self::new()
    }
}

impl Watched {
    /// Something was written since this was made, or since the last time. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) {
        if let Some((_, _, changed)) = &mut self.told
            && changed.changed().await.is_ok()
        {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some((shared, which, _)) = &self.told {
            shared.remove(*which);
        }
    }
}

impl Shared {
    fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe; it owns this number")]
        let inotify = AsyncFd::new(Watch(inotify))?;
        Ok(Self {
            inotify,
            folders: Mutex::default(),
        })
    }

    /// The kernel has one watch for a folder, however many ask for it.
    fn add(&self, folder: &Path) -> io::Result<(WatchDescriptor, watch::Receiver<()>)> {
        let mut folders = self.folders();
        let flags = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE;
        let which = self.inotify.get_ref().0.add_watch(folder, flags)?;
        let watched = folders.entry(which).or_insert_with(|| Folder {
            changed: watch::Sender::default(),
            readers: 0,
        });
        watched.readers += 1;
        Ok((which, watched.changed.subscribe()))
    }

    fn remove(&self, which: WatchDescriptor) {
        let mut folders = self.folders();
        let Some(watched) = folders.get_mut(&which) else {
            return;
        };
        watched.readers -= 1;
        if watched.readers == 0 {
            folders.remove(&which);
            // The folder may be gone, and its watch with it.
            let _ = self.inotify.get_ref().0.rm_watch(which);
        }
    }

    /// Of all that is waiting to be heard.
    fn tell(&self) {
        while let Ok(events) = self.inotify.get_ref().0.read_events() {
            let folders = self.folders();
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    folders
                        .values()
                        .for_each(|folder| folder.changed.send_replace(()));
                } else if let Some(folder) = folders.get(&event.wd) {
                    folder.changed.send_replace(());
                }
            }
        }
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<WatchDescriptor, Folder>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For as long as somebody has it beside this.
async fn hear(shared: Arc<Shared>) {
    while let Ok(mut ready) = shared.inotify.readable().await {
        shared.tell();
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reader had an inotify of its own: beyond 128 readers nobody read any output of the node, the gateway neither.
    #[tokio::test]
    async fn any_number_of_readers_hears_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let watches = Watches::new();
        let mut readers: Vec<Watched> = (0..500).map(|_| watches.watch(dir.path())).collect();
        assert!(readers.iter().all(|reader| reader.told.is_some()));
        std::fs::write(dir.path().join("stdout"), "on").unwrap();
        for reader in &mut readers {
            reader.changed().await;
        }
        drop(readers);
        let shared = watches.0.unwrap();
        assert!(shared.folders().is_empty());
        let again = Watches(Some(shared));
        let mut one = again.watch(dir.path());
        std::fs::write(dir.path().join("stderr"), "on").unwrap();
        one.changed().await;
    }
}
