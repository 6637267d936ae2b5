//! The guests' lines: each box dials its own socket, and is believed for its own attempt alone.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use cluster::AttemptId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{debug, warn};
use tunnel::wire::Heard;
use tunnel::wire::frame::{self, LARGEST_HOSTILE};
use tunnel::wire::guest::{ExitRecord, FromGuest, GuestStream, SOCKET, StreamHead, ToGuest};

use crate::peer::{self, Boxes, Peer};

/// How long a guest may take to dial a stream.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may take to say what it is.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// Connections of one box that are not streams we asked for; more wait.
const CONNECTIONS: usize = 64;
/// Until the next try after a connection could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(500);

/// Something a guest said or did.
#[derive(Debug)]
pub struct GuestEvent {
    pub attempt: AttemptId,
    pub what: GuestSaid,
}

#[derive(Debug)]
pub enum GuestSaid {
    Connected,
    /// Its control line ended: it was closed, or the guest is no more. Or it ended before its line was looked at.
    Gone,
    Exited(ExitRecord),
}

/// All boxes' sockets. Cheap to clone.
#[derive(Clone)]
pub struct Guests {
    shared: Arc<Shared>,
}

struct Shared {
    events: mpsc::Sender<GuestEvent>,
    members: Arc<dyn Boxes>,
    boxes: Mutex<HashMap<AttemptId, Open>>,
}

struct Open {
    accepting: JoinHandle<()>,
    orders: Option<mpsc::Sender<ToGuest>>,
    /// Streams that were asked for, by id.
    asked: HashMap<u64, oneshot::Sender<UnixStream>>,
    next: u64,
    /// Counts control lines, so that the end of an old one does not end a new one.
    line: u64,
}

impl Guests {
    #[must_use]
    pub fn new(events: mpsc::Sender<GuestEvent>, members: Arc<dyn Boxes>) -> Self {
        Self {
            shared: Arc::new(Shared {
                events,
                members,
                boxes: Mutex::default(),
            }),
        }
    }

    /// Makes the socket of the box `held`, in place of one of an earlier life.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn listen(&self, attempt: AttemptId, held: AttemptId, run: &Path) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let path = run.join(SOCKET);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let accepting = tokio::spawn(accept(Arc::clone(&self.shared), (attempt, held), listener));
        let open = Open {
            accepting,
            orders: None,
            asked: HashMap::new(),
            next: 1,
            line: 0,
        };
        if let Some(old) = self.shared.boxes().insert(attempt, open) {
            old.accepting.abort();
        }
        Ok(())
    }

    pub fn forget(&self, attempt: AttemptId) {
        if let Some(old) = self.shared.boxes().remove(&attempt) {
            old.accepting.abort();
        }
    }

    /// `false`: the guest has no line now.
    #[must_use]
    pub fn send(&self, attempt: AttemptId, order: ToGuest) -> bool {
        let boxes = self.shared.boxes();
        let orders = boxes.get(&attempt).and_then(|open| open.orders.as_ref());
        orders.is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// A stream that the guest dials for this.
    ///
    /// # Errors
    /// `NotConnected` when the guest has no line, `TimedOut` when it does not dial.
    pub async fn open(&self, attempt: AttemptId, stream: GuestStream) -> io::Result<UnixStream> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut boxes = self.shared.boxes();
            let open = boxes.get_mut(&attempt).ok_or(io::ErrorKind::NotConnected)?;
            let orders = open.orders.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            let id = open.next;
            orders
                .try_send(ToGuest::Open { id, stream })
                .map_err(|_| io::ErrorKind::NotConnected)?;
            open.next += 1;
            open.asked.insert(id, sender);
        }
        match tokio::time::timeout(DIAL_LIMIT, receiver).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(_)) => Err(io::ErrorKind::NotConnected.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl Shared {
    fn boxes(&self) -> std::sync::MutexGuard<'_, HashMap<AttemptId, Open>> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(
    shared: Arc<Shared>,
    (attempt, held): (AttemptId, AttemptId),
    listener: UnixListener,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            // Descriptors or memory of the node are used up: it passes, and this box is not cut off for it.
            Err(error) => {
                warn!(%attempt, %error, "a guest's connection waits");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            if let Err(error) = greet(&shared, (attempt, held), socket).await {
                debug!(%attempt, %error, "guest connection");
            }
            drop(place);
        });
    }
}

async fn greet(
    shared: &Arc<Shared>,
    (attempt, held): (AttemptId, AttemptId),
    mut socket: UnixStream,
) -> anyhow::Result<()> {
    if peer::check(&*shared.members, held, &socket).await? == Peer::Ended {
        // What it cannot say any more is on the disk.
        let what = GuestSaid::Gone;
        return Ok(shared.events.send(GuestEvent { attempt, what }).await?);
    }
    let mut bytes = BytesMut::new();
    let first = tokio::time::timeout(HELLO_LIMIT, first_frame(&mut socket, &mut bytes)).await??;
    if let Ok(StreamHead { id }) = serde_json::from_value(first.clone()) {
        let asked = shared
            .boxes()
            .get_mut(&attempt)
            .and_then(|open| open.asked.remove(&id));
        let asked = asked.ok_or_else(|| anyhow::anyhow!("a stream that nobody asked for"))?;
        let _ = asked.send(socket);
        return Ok(());
    }
    let FromGuest::Hello { attempt: said, .. } = serde_json::from_value(first)? else {
        anyhow::bail!("no hello");
    };
    anyhow::ensure!(said == attempt, "it says it is another attempt");
    control(shared, attempt, socket, bytes).await
}

async fn first_frame(
    socket: &mut UnixStream,
    bytes: &mut BytesMut,
) -> anyhow::Result<serde_json::Value> {
    loop {
        // One byte beyond the frame would be of the stream: guests send nothing before they are read.
        if let Some(frame) = frame::decode(bytes, LARGEST_HOSTILE)? {
            return Ok(frame);
        }
        anyhow::ensure!(socket.read_buf(bytes).await? > 0, "it ended");
    }
}

async fn control(
    shared: &Arc<Shared>,
    attempt: AttemptId,
    socket: UnixStream,
    mut bytes: BytesMut,
) -> anyhow::Result<()> {
    let (mut reader, mut writer) = socket.into_split();
    let (orders, mut waiting) = mpsc::channel(16);
    let line = {
        let mut boxes = shared.boxes();
        let Some(open) = boxes.get_mut(&attempt) else {
            return Ok(());
        };
        open.orders = Some(orders);
        open.line += 1;
        open.line
    };
    let say = |what| shared.events.send(GuestEvent { attempt, what });
    say(GuestSaid::Connected).await?;
    let ended: anyhow::Result<()> = async {
        loop {
            while let Some(said) = frame::hear::<FromGuest>(&mut bytes, LARGEST_HOSTILE)? {
                if let Heard::Known(FromGuest::Exited(record)) = said {
                    say(GuestSaid::Exited(record)).await?;
                }
            }
            tokio::select! {
                read = reader.read_buf(&mut bytes) => if read? == 0 {
                    return Ok(());
                },
                order = waiting.recv() => match order {
                    Some(order) => writer.write_all(&frame::encode(&order)?).await?,
                    None => return Ok(()),
                },
            }
        }
    }
    .await;
    let last = {
        let mut boxes = shared.boxes();
        match boxes.get_mut(&attempt) {
            Some(open) if open.line == line => {
                open.orders = None;
                true
            }
            Some(_) | None => false,
        }
    };
    if last {
        say(GuestSaid::Gone).await?;
    }
    ended
}
