//! Into a box: who may, where it is, and streams to its guest.

mod back;
mod forward;
mod listen;
mod session;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cluster::{AttemptId, Task, TaskId, TaskState, Wanted};
use keys::{Actor, NodeName, Role, UserName};
use shell::{Failure, Kind};
use tunnel::ssh::{Inboxes, StreamReader, StreamWriter};
use tunnel::wire::ChannelName;
use tunnel::wire::frame;
use tunnel::wire::session::{Frames, Kind as Say, Request};

pub(super) use forward::{connect, splice};
pub use listen::Display;
pub(super) use listen::{Listeners, agent, display};
pub use session::{Wish, serve};

use super::destination::Destination;
use crate::head::Head;
use crate::permission;

/// How long somebody at the door of a starting box waits with it.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a guest may take to do what it was asked for: a connection inside may take 20 s.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Bytes that go on at once where more wait: less work for each, and a key of the same connection waits no longer
/// than that.
pub(super) const STEP: usize = 64 << 10;

/// One person's way into one box. Cheap to share; every stream is judged anew.
#[derive(Clone)]
pub struct Place {
    pub(crate) head: Arc<Head>,
    /// Fingerprint of the key that signed in.
    proof: String,
    id: TaskId,
    /// Entering is in the audit log, once for a connection.
    noted: Arc<AtomicBool>,
    /// The client's agent in the box, one for a connection.
    agent: Arc<listen::Agent>,
    /// Of the connection, for channels that the gateway opens on it.
    inboxes: Option<Inboxes>,
}

/// A stream whose guest is ready.
pub(super) struct Opened {
    pub(super) reader: StreamReader,
    pub(super) writer: StreamWriter,
    /// What came after the guest's word.
    pub(super) frames: Frames,
}

impl Place {
    #[must_use]
    pub fn new(head: Arc<Head>, proof: String, id: TaskId, inboxes: Option<Inboxes>) -> Self {
        Self {
            head,
            proof,
            id,
            noted: Arc::default(),
            agent: Arc::default(),
            inboxes,
        }
    }

    pub(super) const fn id(&self) -> TaskId {
        self.id
    }

    /// The box, if it is there and this person may enter it.
    fn task(&self) -> Result<Arc<Task>, Failure> {
        let state = self.head.state();
        let Some(task) = state.task(self.id) else {
            let sentence = format!("{}: no such box or running task", self.id.0);
            return Err(Failure::not_found(sentence).hint(
                "`ssh river vps list` shows your boxes, `ssh river task list -a` your tasks",
            ));
        };
        permission::judge_enter(&state, &self.proof, task)?;
        Ok(Arc::clone(task))
    }

    /// Where it runs. A box that is on its way is waited for.
    async fn find(&self) -> Result<(NodeName, AttemptId, UserName), Failure> {
        let mut watch = self.head.watch();
        let waiting = async {
            loop {
                drop(watch.borrow_and_update());
                let task = self.task()?;
                match standing(&task) {
                    Ok(true) => return Ok(task),
                    Ok(false) => {}
                    Err(failure) => return Err(failure),
                }
                if watch.changed().await.is_err() {
                    return Err(Failure::new(Kind::Busy, "the gateway ends").hint("try again"));
                }
            }
        };
        let task = tokio::time::timeout(START_LIMIT, waiting)
            .await
            .map_err(|_| {
                let label = self
                    .task()
                    .map_or_else(|_| self.id.to_string(), |task| task.label());
                Failure::new(
                    Kind::Busy,
                    format!("{label} is still waiting for its start"),
                )
                .hint(format!("`ssh river task why {}` says for what", self.id.0))
            })??;
        let (Some(placement), Some(attempt)) = (&task.placement, task.current()) else {
            return Err(Failure::new(
                Kind::Failed,
                format!("{} is nowhere", task.label()),
            ));
        };
        if self.head.links.control(&placement.node).is_none() {
            let sentence = format!(
                "{}: its node {} is unreachable now",
                task.label(),
                placement.node
            );
            return Err(Failure::new(Kind::Busy, sentence)
                .hint("what runs in it goes on; try again when the node is back"));
        }
        Ok((placement.node.clone(), attempt, task.owner.clone()))
    }

    /// Once it runs, however long that takes. An error: it never will, or not for this person.
    async fn runs(&self) -> Result<(), Failure> {
        let mut watch = self.head.watch();
        loop {
            drop(watch.borrow_and_update());
            match standing(&*self.task()?) {
                Ok(true) => return Ok(()),
                Err(failure) if failure.kind == Kind::NotFound => return Err(failure),
                Ok(false) | Err(_) => {}
            }
            if watch.changed().await.is_err() {
                return Err(self.lost());
            }
        }
    }

    /// A stream for this. `typed`: somebody types on it.
    pub(super) async fn open(&self, request: &Request, typed: bool) -> Result<Opened, Failure> {
        let (node, attempt, owner) = self.judged().await?;
        let links = &self.head.links;
        let label = || {
            self.task()
                .map_or_else(|_| self.id.to_string(), |task| task.label())
        };
        let opening = async {
            let name = ChannelName::Guest { attempt, typed };
            let (mut reader, mut writer) = links.open_for(&owner, &node, name).await?.split();
            writer
                .send(frame::encode(request).map_err(io::Error::other)?)
                .await?;
            let mut frames = Frames::default();
            loop {
                match frames.take().map_err(io::Error::other)? {
                    Some((Say::Ready, _)) => {
                        return Ok(Ok(Opened {
                            reader,
                            writer,
                            frames,
                        }));
                    }
                    Some((_, words)) => return Ok(Err(words)),
                    None => match reader.next().await? {
                        Some(bytes) => frames.add(bytes),
                        None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    },
                }
            }
        };
        match tokio::time::timeout(READY_LIMIT, opening).await {
            Ok(Ok(Ok(opened))) => Ok(opened),
            Ok(Ok(Err(words))) => Err(Failure::new(
                Kind::Failed,
                format!("{}: {}", label(), words_of(&words)),
            )),
            Ok(Err(error)) if error.kind() == io::ErrorKind::QuotaExceeded => {
                let sentence = format!("{}: {error}", label());
                Err(Failure::new(Kind::Busy, sentence)
                    .hint("end some sessions or forwards, and try again"))
            }
            Ok(Err(error)) => {
                let sentence = format!("{}: the box does not answer ({error})", label());
                Err(Failure::new(Kind::Busy, sentence).hint("try again"))
            }
            Err(_) => {
                Err(Failure::new(Kind::Busy, format!("{}: no answer", label())).hint("try again"))
            }
        }
    }

    /// Of a stream that ended, and should not have.
    fn lost(&self) -> Failure {
        let label = self
            .task()
            .map_or_else(|_| self.id.to_string(), |task| task.label());
        let sentence = format!("{label}: the connection to the box was lost");
        Failure::new(Kind::Busy, sentence).hint(format!(
            "`ssh river task status {}` says how it is",
            self.id.0
        ))
    }

    /// [`Place::find`], with a note in the audit log of the first time, and of each refusal.
    async fn judged(&self) -> Result<(NodeName, AttemptId, UserName), Failure> {
        let found = self.find().await;
        let denied = matches!(&found, Err(failure) if failure.kind == Kind::Denied);
        if denied || (found.is_ok() && !self.noted.swap(true, Ordering::Relaxed)) {
            let state = self.head.state();
            let account = state.directory().actor(&self.proof);
            let account =
                account.map_or_else(|| self.proof.clone(), |actor| actor.account.to_string());
            let object = state
                .task(self.id)
                .map_or_else(|| self.id.to_string(), |task| task.label());
            let verdict = match &found {
                Ok(_) => "done",
                Err(failure) => &failure.sentence,
            };
            self.head.note(&account, "enter", &object, verdict).await?;
        }
        found
    }
}

/// Does it run? An error when it will not, before somebody does something about it.
fn standing(task: &Task) -> Result<bool, Failure> {
    let label = task.label();
    let (noun, id) = if task.is_vps() {
        ("vps", task.id.0)
    } else {
        ("task", task.id.0)
    };
    let (kind, sentence, hint) = match task.state {
        // It was asked for, and its node does it in a moment.
        TaskState::Running if task.wanted != Wanted::Pause => return Ok(true),
        TaskState::Paused if task.wanted == Wanted::Run => return Ok(false),
        TaskState::Pending | TaskState::Assigning => return Ok(false),
        TaskState::PendingApproval => (
            Kind::Busy,
            format!("{label} waits for an operator"),
            "ask an operator".to_owned(),
        ),
        TaskState::Running | TaskState::Paused => (
            Kind::Failed,
            format!("{label} is paused"),
            format!("`ssh river {noun} resume {id}` lets it go on"),
        ),
        TaskState::Stopped => {
            let why = task
                .note
                .as_ref()
                .map(|note| format!(" ({note})"))
                .unwrap_or_default();
            (
                Kind::Failed,
                format!("{label} is stopped{why}"),
                format!("`ssh river vps restart {id}` starts it"),
            )
        }
        TaskState::Completed
        | TaskState::Failed
        | TaskState::TimedOut
        | TaskState::Killed
        | TaskState::KilledOom
        | TaskState::Rejected
        | TaskState::Lost => (
            Kind::NotFound,
            format!("{label} is gone ({})", task.state),
            format!("`ssh river {noun} list -a` shows it"),
        ),
    };
    Err(Failure::new(kind, sentence).hint(hint))
}

/// A guest's words: of a tenant, so bounded; they are escaped when they are shown.
fn words_of(bytes: &Bytes) -> String {
    let words = String::from_utf8_lossy(bytes);
    // The number says nothing that the words do not.
    let words = words.split(" (os error").next().unwrap_or_default();
    words.chars().take(300).collect()
}

/// Somebody without an account, whose key is one of the box's own: in there, and nowhere else, in its owner's
/// name.
#[must_use]
pub(super) fn by_own_key(head: &Head, proof: &str, destination: &Destination) -> Option<Actor> {
    let Destination::Vps(id) = destination else {
        return None;
    };
    let state = head.state();
    let task = state.task(*id).filter(|task| task.is_vps())?;
    permission::judge_enter(&state, proof, task).ok()?;
    Some(Actor {
        account: task.owner.clone(),
        role: Role::User,
        proof: proof.to_owned(),
    })
}

/// The box that a login name or a host name means, if this key may enter one of that name. Whoever has an account
/// reaches only their own boxes so: every login that is no account's is the shell, and nobody else's box may stand
/// where `ssh river` with a laptop's user name leads. Others' are `vps-N`.
#[must_use]
pub(super) fn by_name(head: &Head, proof: &str, name: &str) -> Option<TaskId> {
    let state = head.state();
    if name
        .parse()
        .is_ok_and(|account| state.directory().account(&account).is_some())
    {
        return None;
    }
    let task = state.named(name).filter(|task| task.is_vps())?;
    let somebody = state.directory().actor(proof);
    if somebody.is_some_and(|actor| actor.account != task.owner) {
        return None;
    }
    permission::judge_enter(&state, proof, task).ok()?;
    Some(task.id)
}
