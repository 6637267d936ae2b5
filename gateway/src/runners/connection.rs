//! One runner's control connection: frames become inputs, assignments become frames.

use std::sync::Arc;
use std::time::Duration;

use cluster::Wanted;
use cluster::task::limits;
use keys::NodeName;
use tracing::{info, warn};
use tunnel::fault::{self, Point};
use tunnel::ssh::{FrameWriter, Frames, LinkConnection, Stream};
use tunnel::wire::version::{self, NoHello};
use tunnel::wire::{FromRunner, Hello, OLDEST, PROTOCOL, ToRunner, Welcome};

use super::links::Outgoing;
use crate::head::Head;
use crate::state::{Counters, Input, LinkId};

/// How long a runner may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(15);
/// How long a bulk connection may wait for its runner's hello: others are dialled before it is said.
const ACCEPT_LIMIT: Duration = Duration::from_secs(120);
/// How long an older connection of the same node may take to prove that it lives.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Epochs rise by one a start of the gateway, and fill half of a version.
const MOST_EPOCH: u64 = 1 << 31;
/// Below what JSON readers other than ours still count exactly.
const MOST_TASK: u64 = 1 << 53;
/// Starts of a gateway, and tasks, that a copy put back may be behind what a node has seen.
const EPOCHS: u64 = 1 << 12;
const TASKS: u64 = 1 << 24;
const MOST_CORES: usize = limits::CORES as usize;
/// Bytes of one text of a node's facts.
const LONGEST_FACT: usize = 256;

/// Serves control until either side ends it.
pub async fn serve(head: Arc<Head>, node: NodeName, connection: LinkConnection, stream: Stream) {
    let Some((frames, hello)) = greeted(&head, &node, &connection, Frames::new(stream)).await
    else {
        return;
    };
    let (mut reader, writer) = frames.split();
    let next = || LinkId(head.number());
    let (instance, control) = (hello.instance, connection.clone());
    let (link, outgoing, older) = head.links.add_control(&node, instance, next, control);
    info!(%node, "runner connected");
    tokio::spawn(sweep(Arc::clone(&head), node.clone(), older));
    head.tell(Input::LinkUp {
        node: node.clone(),
        link,
        hello,
    })
    .await;
    let sending = tokio::spawn(send(writer, outgoing, node.clone(), connection.clone()));
    loop {
        match reader.hear::<FromRunner>().await {
            Ok(Some(FromRunner::Observed(observation))) => {
                for attempt in &observation.unread {
                    warn!(%node, %attempt, "its newer runner says what this gateway does not understand");
                }
                head.tell(Input::Observed {
                    node: node.clone(),
                    link,
                    observation,
                })
                .await;
            }
            Ok(Some(FromRunner::Pong)) => {}
            Ok(Some(FromRunner::Hello(_))) => {
                warn!(%node, "a second hello");
                break;
            }
            Ok(None) => break,
            Err(error) => {
                info!(%node, %error, "control connection ended");
                break;
            }
        }
    }
    sending.abort();
    head.links.remove_control(&node, link);
    head.tell(Input::LinkDown { node, link }).await;
    connection.disconnect("control ended").await;
}

/// A bulk connection as long as it lasts. Its streams are channels of their own; this one only marks it.
pub async fn serve_bulk(head: Arc<Head>, node: NodeName, connection: LinkConnection, mark: Stream) {
    let ended = tokio::time::timeout(ACCEPT_LIMIT, connection.closed()).await;
    if ended.is_err() && !head.links.carries(&node, &connection) {
        head.links.prune(&node, &connection);
        connection.disconnect("no control connection").await;
    }
    connection.closed().await;
    drop(mark);
}

/// Its hello, answered; `None`: it may not connect, and was told why.
async fn greeted(
    head: &Head,
    node: &NodeName,
    connection: &LinkConnection,
    mut frames: Frames,
) -> Option<(Frames, Box<Hello>)> {
    let state = head.state();
    let first = tokio::time::timeout(HELLO_LIMIT, frames.recv_bytes()).await;
    let first = first.ok().and_then(Result::ok).flatten();
    let hello = first.map_or(Err(NoHello::Nonsense), |first| {
        version::hello(&first, &state.settings().version)
    });
    let refused = match hello {
        Ok(hello) => match refusal(head, node, &hello, connection).await {
            None => {
                let welcome = Welcome {
                    protocol: OLDEST,
                    newest: PROTOCOL,
                    node: node.clone(),
                    epoch: state.counters().epoch,
                    gateway_version: state.settings().version.clone(),
                };
                let sent = frames.send(&ToRunner::Welcome(welcome)).await;
                return sent.ok().map(|()| (frames, Box::new(hello)));
            }
            Some(why) => {
                head.links.refuse(node, hello.instance);
                why
            }
        },
        Err(NoHello::Foreign(why)) => why,
        Err(NoHello::Nonsense) => {
            warn!(%node, "no hello on a control connection");
            connection.disconnect("no hello").await;
            return None;
        }
    };
    warn!(%node, why = refused, "runner refused");
    let _ = head
        .note(node.as_str(), "node connect", node.as_str(), &refused)
        .await;
    let _ = frames.send(&ToRunner::Refused(refused.clone())).await;
    connection.disconnect(&refused).await;
    None
}

/// Why this runner may not connect; `None`: it may.
async fn refusal(
    head: &Head,
    node: &NodeName,
    hello: &Hello,
    connection: &LinkConnection,
) -> Option<String> {
    let state = head.state();
    if let Some(why) = nonsense(hello, &state.counters()) {
        return Some(format!("its hello makes no sense: {why}"));
    }
    if state
        .node(node)
        .is_some_and(|known| known.machine_id != hello.facts.machine_id)
    {
        return Some(
            "its certificate is bound to another machine: join again with a new token".to_owned(),
        );
    }
    let (older, instance) = head.links.control(node)?;
    // A restarted runner's old connection is dead and silent; a clone's is alive.
    let alive = instance != hello.instance && older.alive(PROBE_LIMIT).await;
    if alive && !older.same(connection) {
        warn!(%node, "two runners with one certificate");
        return Some(
            "another runner is connected with the same certificate: a copied state_dir?".to_owned(),
        );
    }
    None
}

/// What no sound runner says. Counters jump past what a hello claims, so a boast would use them up; but what this
/// gateway counted itself is never nonsense, for then one boast would shut out all honest nodes.
fn nonsense(hello: &Hello, own: &Counters) -> Option<&'static str> {
    let facts = &hello.facts;
    let texts = [
        &facts.engine_version,
        &facts.kernel,
        &facts.arch,
        &facts.runner_version,
        &facts.machine_id,
        &facts.boot_id,
    ];
    let beyond = |claimed: u64, own: u64, jump: u64, most: u64| {
        claimed > own && (claimed > most || claimed - own > jump)
    };
    if beyond(hello.highest_epoch, own.epoch, EPOCHS, MOST_EPOCH)
        || beyond(hello.highest_task.0, own.task, TASKS, MOST_TASK)
    {
        return Some("it claims to have seen impossible numbers");
    }
    if facts.cores.len() > MOST_CORES || !facts.cores.is_sorted_by(|a, b| a < b) {
        return Some("its cores are not a list of rising numbers, 4096 at most");
    }
    if facts.memory > limits::MEMORY {
        return Some("it has more memory than there is");
    }
    if texts.iter().any(|text| text.len() > LONGEST_FACT) {
        return Some("one of its facts is longer than 256 bytes");
    }
    None
}

/// Connections that a new link found may be dead without their end having come: streams must not be
/// opened there.
async fn sweep(head: Arc<Head>, node: NodeName, older: Vec<LinkConnection>) {
    for older in older {
        older
            .disconnect("a newer connection of this node took over")
            .await;
    }
    for bulk in head.links.bulk(&node) {
        let (head, node) = (Arc::clone(&head), node.clone());
        tokio::spawn(async move {
            if !bulk.alive(PROBE_LIMIT).await {
                head.links.prune(&node, &bulk);
                bulk.disconnect("no answer").await;
            }
        });
    }
}

/// A node that cannot be told its list any more must not go on looking as if it heard.
async fn send(writer: FrameWriter, outgoing: Outgoing, node: NodeName, connection: LinkConnection) {
    if let Err(error) = send_all(writer, outgoing).await {
        warn!(%node, %error, "cannot be told what it should do");
        connection.disconnect("cannot be told").await;
    }
}

async fn send_all(mut writer: FrameWriter, mut outgoing: Outgoing) -> std::io::Result<()> {
    loop {
        let message = tokio::select! {
            changed = outgoing.assignments.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let newest = outgoing.assignments.borrow_and_update().clone();
                newest.map(ToRunner::Assignments)
            }
            message = outgoing.messages.recv() => match message {
                Some(message) => Some(message),
                None => return Ok(()),
            },
        };
        let Some(message) = message else { continue };
        writer.send(&message).await?;
        if let ToRunner::Assignments(list) = &message {
            let wants = |wanted| list.list.iter().any(|it| it.wanted == wanted);
            if wants(Wanted::Run) {
                fault::pass(Point::P7);
            }
            if wants(Wanted::Drop) {
                fault::pass(Point::P16);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster::{EngineKind, NodeFacts, TaskId};
    use keys::Role;

    use super::*;

    fn hello() -> Hello {
        Hello {
            protocol: OLDEST,
            newest: PROTOCOL,
            facts: NodeFacts {
                cores: vec![0, 1, 5],
                memory: 8 << 30,
                engine: EngineKind::Fake,
                engine_version: String::new(),
                open_to: Role::User,
                kernel: "Linux 6.1".into(),
                arch: "x86_64".into(),
                runner_version: "0.1.0".into(),
                machine_id: "m".into(),
                boot_id: "b".into(),
            },
            highest_epoch: 3,
            highest_task: TaskId(17),
            instance: 1,
        }
    }

    #[test]
    fn a_hello_that_would_use_up_our_numbers_or_book_a_core_twice_is_refused() {
        let own = Counters::default();
        assert_eq!(nonsense(&hello(), &own), None);
        let wrong: [fn(&mut Hello); 7] = [
            |hello| hello.highest_epoch = u64::MAX,
            |hello| hello.highest_task = TaskId(u64::MAX),
            |hello| hello.highest_epoch = MOST_EPOCH,
            |hello| hello.highest_task = TaskId(MOST_TASK),
            |hello| hello.facts.cores = vec![1, 1],
            |hello| hello.facts.memory = u64::MAX,
            |hello| hello.facts.kernel = "x".repeat(300),
        ];
        for make in wrong {
            let mut hello = hello();
            make(&mut hello);
            assert!(nonsense(&hello, &own).is_some(), "{hello:?}");
        }
    }

    #[test]
    fn numbers_that_this_gateway_counted_itself_shut_nobody_out() {
        let own = Counters {
            epoch: MOST_EPOCH + 1,
            task: MOST_TASK + 1,
            ..Counters::default()
        };
        let mut hello = hello();
        (hello.highest_epoch, hello.highest_task) = (own.epoch, TaskId(own.task));
        assert_eq!(nonsense(&hello, &own), None);
    }
}
