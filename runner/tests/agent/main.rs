//! The agent as its gateway and its guests see it, with an engine that fails and stalls.

#![expect(clippy::unwrap_used, reason = "a test program")]

mod bench;

use std::path::Path;
use std::sync::Arc;

use bytes::BytesMut;
use cluster::{Assignment, End, Phase, StopReason, Wanted};
use runner::engine::BoxState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tunnel::wire::PROTOCOL;
use tunnel::wire::frame::{self, LARGEST_HOSTILE};
use tunnel::wire::guest::{FromGuest, SOCKET, ToGuest};

use bench::{Life, Scripted, task, until, vps};

const KILLED: Wanted = Wanted::Stop(StopReason::Killed);

fn dir() -> tempfile::TempDir {
    // Short: a socket's path has 108 bytes at most.
    tempfile::tempdir_in("/tmp").unwrap()
}

fn is_running(phase: Option<Phase>) -> bool {
    matches!(phase, Some(Phase::Running { .. }))
}

fn is_stopped(phase: Option<Phase>) -> bool {
    let stopped = |end: &End| *end == End::Stopped;
    matches!(phase, Some(Phase::Ended { started: None, ref end, .. }) if stopped(end))
}

/// The image of what this list begins is on its way, and does not come.
async fn waiting_for_its_image(dir: &Path, engine: &Arc<Scripted>, list: Vec<Assignment>) -> Life {
    engine.state().stalled = true;
    let life = Life::begin(dir, engine, "b1").await;
    life.hear(1, list).await;
    until("its image is waited for", || engine.state().waiting == 1).await;
    life
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_starts_anew_begins_nothing_before_the_gateways_word() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let id = task(Wanted::Run).attempt;
    // Its image is on the way when the node loses power.
    let life = waiting_for_its_image(dir.path(), &engine, vec![task(Wanted::Run)]).await;
    life.end();
    engine.state().stalled = false;
    // A list that says nothing of it is no word either.
    let life = Life::begin(dir.path(), &engine, "b2").await;
    life.hear(2, Vec::new()).await;
    life.taken(2).await;
    assert!(matches!(life.phase(id), Some(Phase::Preparing { .. })));
    // Killed meanwhile: it never begins.
    life.hear(3, vec![task(KILLED)]).await;
    until("it is told", || is_stopped(life.phase(id))).await;
    assert!(engine.state().begun.is_empty());
    life.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_still_begins_once_the_gateway_says_so() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let id = task(Wanted::Run).attempt;
    let life = waiting_for_its_image(dir.path(), &engine, vec![task(Wanted::Run)]).await;
    life.end();
    engine.state().stalled = false;
    let life = Life::begin(dir.path(), &engine, "b2").await;
    life.hear(2, vec![task(Wanted::Run)]).await;
    until("it runs", || is_running(life.phase(id))).await;
    assert_eq!(engine.state().begun, [id]);
    life.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_does_not_wait_for_an_image() {
    for assignment in [task, |wanted| vps(wanted, true)] {
        let (dir, engine) = (dir(), Arc::new(Scripted::default()));
        let id = assignment(Wanted::Run).attempt;
        let life = waiting_for_its_image(dir.path(), &engine, vec![assignment(Wanted::Run)]).await;
        life.hear(2, vec![assignment(KILLED)]).await;
        until("it is told", || is_stopped(life.phase(id))).await;
        assert!(engine.state().begun.is_empty());
        life.end();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dropped_does_not_wait_for_an_image() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let id = task(Wanted::Run).attempt;
    let life = waiting_for_its_image(dir.path(), &engine, vec![task(Wanted::Run)]).await;
    life.hear(2, vec![task(Wanted::Drop)]).await;
    life.taken(2).await;
    until("it is gone", || life.phase(id).is_none()).await;
    assert!(engine.state().begun.is_empty());
    life.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_whose_start_was_cut_does_not_run_on_after_its_stop() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let (id, held) = (
        vps(Wanted::Run, true).attempt,
        vps(Wanted::Run, true).box_id(),
    );
    engine.state().cut = true;
    let life = Life::begin(dir.path(), &engine, "b1").await;
    life.hear(1, vec![vps(Wanted::Run, true)]).await;
    until("it was started", || !engine.state().begun.is_empty()).await;
    life.hear(2, vec![vps(Wanted::Stop(StopReason::Halted), true)])
        .await;
    until("it is told", || is_stopped(life.phase(id))).await;
    let state = engine.state().boxes.get(&held).copied();
    assert_eq!(state, Some(BoxState::Exited { oom: false }));
    life.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_goes_on_after_a_restart() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let (id, held) = (
        vps(Wanted::Run, true).attempt,
        vps(Wanted::Run, true).box_id(),
    );
    let folder = |name: String| dir.path().join("a").join(name).exists();
    let life = Life::begin(dir.path(), &engine, "b1").await;
    life.hear(1, vec![vps(Wanted::Run, true)]).await;
    until("it runs", || is_running(life.phase(id))).await;
    engine.state().stuck = true;
    engine
        .state()
        .boxes
        .insert(held, BoxState::Exited { oom: false });
    life.look(&engine).await;
    let ended = || matches!(life.phase(id), Some(Phase::Ended { .. }));
    until("it has ended", ended).await;
    life.hear(2, vec![vps(Wanted::Drop, false)]).await;
    until("it was tried", || engine.state().refused > 0).await;
    life.end();
    assert!(folder(format!("{held}")) && engine.state().boxes.contains_key(&held));
    // Nobody says it again: the gateway is away.
    engine.state().stuck = false;
    let life = Life::begin(dir.path(), &engine, "b1").await;
    until("all of it is gone", || {
        let boxes = engine.state().boxes.is_empty();
        boxes && !folder(format!("{held}")) && !folder(id.to_string())
    })
    .await;
    until("nothing is told of it", || life.phase(id).is_none()).await;
    life.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_boxs_removal_goes_on_after_a_restart() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let (id, held) = (
        vps(Wanted::Run, true).attempt,
        vps(Wanted::Run, true).box_id(),
    );
    engine.state().stuck = true;
    engine
        .state()
        .boxes
        .insert(held, BoxState::Exited { oom: false });
    let life = Life::begin(dir.path(), &engine, "b1").await;
    life.hear(1, vec![vps(Wanted::Drop, false)]).await;
    until("it was tried", || engine.state().refused > 0).await;
    life.end();
    engine.state().stuck = false;
    let life = Life::begin(dir.path(), &engine, "b1").await;
    until("it is gone", || engine.state().boxes.is_empty()).await;
    until("nothing is told of it", || life.phase(id).is_none()).await;
    assert!(engine.state().begun.is_empty());
    life.end();
}

/// A guest's control line.
async fn line(run: &Path) -> UnixStream {
    let mut socket = UnixStream::connect(run.join(SOCKET)).await.unwrap();
    let hello = FromGuest::Hello {
        protocol: PROTOCOL,
        attempt: task(Wanted::Run).attempt,
    };
    let hello = frame::encode(&hello).unwrap();
    socket.write_all(&hello).await.unwrap();
    socket
}

async fn order(socket: &mut UnixStream) -> ToGuest {
    let mut bytes = BytesMut::new();
    loop {
        if let Some(order) = frame::decode(&mut bytes, LARGEST_HOSTILE).unwrap() {
            return order;
        }
        assert!(socket.read_buf(&mut bytes).await.unwrap() > 0, "hung up");
    }
}

/// Its end was known to the next look at the engine alone, five seconds later, and its cores were taken until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_ended_before_its_line_was_looked_at_is_looked_for() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let id = task(Wanted::Run).attempt;
    let socket = dir
        .path()
        .join("a")
        .join(id.to_string())
        .join("run")
        .join(SOCKET);
    let life = Life::begin(dir.path(), &engine, "b1").await;
    life.hear(1, vec![task(Wanted::Run)]).await;
    until("it runs", || is_running(life.phase(id))).await;
    engine.state().late = true;
    engine
        .state()
        .boxes
        .insert(id, BoxState::Exited { oom: false });
    // It dials, and ends at once.
    let dial =
        "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, sockaddr_un($ARGV[0])) or die";
    let dialled = std::process::Command::new("perl")
        .args(["-e", dial])
        .arg(socket)
        .status();
    assert!(dialled.unwrap().success());
    until("its end is known", || {
        matches!(life.phase(id), Some(Phase::Ended { .. }))
    })
    .await;
    life.end();
}

/// With an engine that leaves it to the guest.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_told_once_the_guest_has_heard_it() {
    let (dir, engine) = (dir(), Arc::new(Scripted::default()));
    let id = task(Wanted::Run).attempt;
    let run = dir.path().join("a").join(id.to_string()).join("run");
    let life = Life::begin(dir.path(), &engine, "b1").await;
    life.hear(1, vec![task(Wanted::Run)]).await;
    until("it runs", || is_running(life.phase(id))).await;
    // Nobody is there to hear it.
    life.hear(2, vec![task(Wanted::Pause)]).await;
    life.taken(2).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert!(is_running(life.phase(id)), "it runs on");
    }
    let mut guest = line(&run).await;
    let freeze = |order| matches!(order, ToGuest::Freeze { frozen: true });
    assert!(freeze(order(&mut guest).await));
    let paused = || matches!(life.phase(id), Some(Phase::Paused { .. }));
    until("it is told", paused).await;
    // Whether it was heard before the line was cut, nobody knows.
    drop(guest);
    let mut guest = line(&run).await;
    assert!(freeze(order(&mut guest).await));
    life.end();
}
