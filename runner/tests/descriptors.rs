//! A node whose descriptors are used up for a moment. A program of its own: the limit is that of a whole process.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use cluster::{AttemptId, TaskId};
use futures_util::future::BoxFuture;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use nix::unistd::Pid;
use runner::engine::EngineError;
use runner::guest::{GuestSaid, Guests};
use runner::peer::Boxes;
use tokio::sync::Notify;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tunnel::wire::PROTOCOL;
use tunnel::wire::frame;
use tunnel::wire::guest::{FromGuest, SOCKET};

/// One box that holds every process.
struct AllIn;

impl Boxes for AllIn {
    fn holds(&self, _: AttemptId, _: Pid) -> BoxFuture<'_, Result<bool, EngineError>> {
        Box::pin(async { Ok(true) })
    }
}

/// Hears that something was warned of.
struct Warned(Arc<Notify>);

impl Subscriber for Warned {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        *about.level() == Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.notify_one();
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_box_is_heard_again_after_its_connection_found_no_descriptor() {
    let dir = tempfile::tempdir().unwrap();
    let warned = Arc::new(Notify::new());
    let _hearing = tracing::subscriber::set_default(Warned(Arc::clone(&warned)));
    let (events, mut heard) = tokio::sync::mpsc::channel(4);
    let guests = Guests::new(events, Arc::new(AllIn));
    let attempt = AttemptId {
        task: TaskId(7),
        number: 1,
    };
    guests.listen(attempt, attempt, dir.path()).unwrap();
    let flags = SockFlag::SOCK_CLOEXEC;
    let guest = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    // The next one would be beyond the limit.
    let next = std::fs::File::open("/dev/null").unwrap();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let used = u64::try_from(next.as_raw_fd()).unwrap();
    drop(next);
    setrlimit(Resource::RLIMIT_NOFILE, used, hard).unwrap();
    let path = UnixAddr::new(&dir.path().join(SOCKET)).unwrap();
    connect(guest.as_raw_fd(), &path).unwrap();
    // It was refused; how often does not matter.
    let refused = tokio::time::timeout(Duration::from_secs(60), warned.notified()).await;
    refused.unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let hello = FromGuest::Hello {
        protocol: PROTOCOL,
        attempt,
    };
    nix::unistd::write(&guest, &frame::encode(&hello).unwrap()).unwrap();
    let said = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
    let said = said.unwrap().unwrap();
    assert!(matches!(said.what, GuestSaid::Connected));
    assert_eq!(said.attempt, attempt);
}
