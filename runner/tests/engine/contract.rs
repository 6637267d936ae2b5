//! What every engine promises, whatever it is made of. Each function is one promise.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::unistd::Pid;
use runner::engine::{BoxState, Engine};
use runner::guest::Guests;
use tunnel::wire::PROTOCOL;
use tunnel::wire::frame;
use tunnel::wire::guest::{FromGuest, SOCKET};

use crate::bench::{Bench, processes, seen, until, until_exited, written};

/// A start that is repeated, during the run and after it, runs nothing twice.
pub(crate) async fn starts_at_most_once(engine: &impl Engine, bench: &Bench) {
    let plan = bench.plan("echo begun >>$OUT/count; read line <$OUT/go; exit 3");
    let attempt = plan.assignment.attempt;
    let go = plan.out.join("go");
    nix::unistd::mkfifo(&go, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    written(&plan.out.join("count")).await;
    engine.start(&plan).await.unwrap();
    assert_eq!(
        seen(engine, attempt).await.unwrap().state,
        BoxState::Running
    );
    tokio::task::spawn_blocking(move || std::fs::write(go, "go\n"))
        .await
        .unwrap()
        .unwrap();
    until_exited(engine, attempt).await;
    engine.start(&plan).await.unwrap();
    assert_eq!(
        seen(engine, attempt).await.unwrap().state,
        BoxState::Exited { oom: false }
    );
    assert_eq!(written(&plan.out.join("count")).await, "begun\n");
    engine.remove(attempt).await.unwrap();
}

/// A kill reaches what left the session and was adopted by init, and may be repeated.
pub(crate) async fn kill_leaves_nothing(engine: &impl Engine, bench: &Bench) {
    let plan = bench.plan(
        "setsid sh -c 'trap \"\" TERM HUP; (echo far >$OUT/far; sleep 1000) & sleep 1000' &
         trap '' TERM; (sleep 1000 &) ; echo near >$OUT/near; sleep 1000",
    );
    let attempt = plan.assignment.attempt;
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    written(&plan.out.join("far")).await;
    written(&plan.out.join("near")).await;
    assert!(processes(attempt).len() >= 4, "{:?}", processes(attempt));
    engine.kill(attempt).await.unwrap();
    until("no process of the box", async || {
        processes(attempt).is_empty().then_some(())
    })
    .await;
    until_exited(engine, attempt).await;
    engine.kill(attempt).await.unwrap();
    engine.remove(attempt).await.unwrap();
    engine.remove(attempt).await.unwrap();
    assert_eq!(seen(engine, attempt).await, None);
    engine.kill(attempt).await.unwrap();
}

/// A kill is faster than what multiplies.
pub(crate) async fn kill_outruns_a_storm_of_forks(engine: &impl Engine, bench: &Bench) {
    let plan = bench.plan(
        "spread() { while :; do setsid sleep 1000 & sleep 0.01; done; }
         for one in 1 2 3 4; do spread & done; echo up >$OUT/up; wait",
    );
    let attempt = plan.assignment.attempt;
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    written(&plan.out.join("up")).await;
    until("a crowd", async || {
        (processes(attempt).len() > 50).then_some(())
    })
    .await;
    engine.kill(attempt).await.unwrap();
    until("no process of the box", async || {
        processes(attempt).is_empty().then_some(())
    })
    .await;
    until_exited(engine, attempt).await;
    engine.remove(attempt).await.unwrap();
}

/// Removing nothing and killing nothing is done already.
pub(crate) async fn what_never_was_is_gone(engine: &impl Engine, bench: &Bench) {
    let attempt = bench.plan("true").assignment.attempt;
    engine.kill(attempt).await.unwrap();
    engine.remove(attempt).await.unwrap();
    assert_eq!(seen(engine, attempt).await, None);
}

/// A box outlives the runner, and the next runner finds it, may speak with it, and ends it.
pub(crate) async fn a_new_runner_finds_the_box<E: Engine>(
    first: E,
    next: impl FnOnce() -> E,
    bench: &Bench,
) {
    let plan = bench.plan("echo up >>$OUT/up; sleep 1000");
    let attempt = plan.assignment.attempt;
    first.prepare(&plan).await.unwrap();
    first.start(&plan).await.unwrap();
    written(&plan.out.join("up")).await;
    drop(first);
    let next = next();
    assert_eq!(seen(&next, attempt).await.unwrap().state, BoxState::Running);
    next.start(&plan).await.unwrap();
    assert_eq!(written(&plan.out.join("up")).await, "up\n");
    next.kill(attempt).await.unwrap();
    until_exited(&next, attempt).await;
    // The init of the box has ended; what it held may still be ending.
    until("no process of the box", async || {
        processes(attempt).is_empty().then_some(())
    })
    .await;
    next.remove(attempt).await.unwrap();
}

/// What an engine freezes stands still, shows it, and goes on where it was.
pub(crate) async fn freeze_and_thaw(engine: &impl Engine, bench: &Bench) {
    let plan = bench.plan("while :; do echo tick >>$OUT/ticks; sleep 0.02; done");
    let attempt = plan.assignment.attempt;
    let ticks = plan.out.join("ticks");
    let length = || std::fs::metadata(&ticks).map_or(0, |file| file.len());
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    written(&ticks).await;
    if engine.freeze(attempt, true).await.unwrap() {
        assert!(engine.freeze(attempt, true).await.unwrap(), "frozen twice");
        assert_eq!(seen(engine, attempt).await.unwrap().state, BoxState::Paused);
        let frozen = length();
        for _ in 0..20 {
            // A frozen box is frozen however often it is looked at.
            seen(engine, attempt).await.unwrap();
            assert_eq!(length(), frozen);
        }
        assert!(engine.freeze(attempt, false).await.unwrap());
        assert!(engine.freeze(attempt, false).await.unwrap(), "thawed twice");
        until("more ticks", async || (length() > frozen).then_some(())).await;
        // A kill must not wait for a thaw.
        assert!(engine.freeze(attempt, true).await.unwrap());
    }
    engine.kill(attempt).await.unwrap();
    until_exited(engine, attempt).await;
    assert_eq!(processes(attempt), Vec::<i32>::new());
    engine.remove(attempt).await.unwrap();
}

/// The end of a box is news without anybody asking.
pub(crate) async fn an_end_is_heard(engine: &impl Engine, bench: &Bench) {
    let plan = bench.plan("exit 0");
    let attempt = plan.assignment.attempt;
    engine.prepare(&plan).await.unwrap();
    let news = async {
        loop {
            engine.changed().await;
            let state = seen(engine, attempt).await.map(|one| one.state);
            if matches!(state, Some(BoxState::Exited { .. })) {
                return;
            }
        }
    };
    let start = async { engine.start(&plan).await.unwrap() };
    let patience = std::time::Duration::from_secs(60);
    tokio::time::timeout(patience, async { tokio::join!(news, start) })
        .await
        .expect("the engine says when a box ends");
    engine.remove(attempt).await.unwrap();
}

/// Whoever reaches a box's socket from outside of that box is hung up on unheard.
pub(crate) async fn only_the_box_may_dial<E: Engine>(engine: Arc<E>, bench: &Bench) {
    let script = "(sleep 1000 &) ; setsid sleep 1000 & echo up >$OUT/up; sleep 1000";
    let plans = [bench.plan(script), bench.plan(script)];
    let (events, mut said) = tokio::sync::mpsc::channel(8);
    let guests = Guests::new(events, Arc::clone(&engine) as _);
    for plan in &plans {
        guests
            .listen(plan.assignment.attempt, plan.assignment.box_id(), &plan.run)
            .unwrap();
        engine.prepare(plan).await.unwrap();
        engine.start(plan).await.unwrap();
        written(&plan.out.join("up")).await;
    }
    let [one, other] = [0, 1].map(|n| plans[n].assignment.attempt);
    let inside = processes(one);
    assert!(inside.len() >= 4, "{inside:?}");
    for pid in inside.into_iter().map(Pid::from_raw) {
        assert!(engine.holds(one, pid).await.unwrap(), "{pid}");
        assert!(!engine.holds(other, pid).await.unwrap(), "{pid}");
    }
    for stranger in [Pid::this(), Pid::parent(), Pid::from_raw(i32::MAX)] {
        assert!(!engine.holds(one, stranger).await.unwrap(), "{stranger}");
    }
    let socket = plans[0].run.join(SOCKET);
    let hung_up = tokio::task::spawn_blocking(move || {
        let mut socket = UnixStream::connect(socket).unwrap();
        let hello = FromGuest::Hello {
            protocol: PROTOCOL,
            attempt: one,
        };
        // It may be closed before this is written.
        let _ = socket.write_all(&frame::encode(&hello).unwrap());
        matches!(socket.read(&mut [0; 64]), Ok(0) | Err(_))
    });
    assert!(hung_up.await.unwrap());
    for plan in &plans {
        engine.kill(plan.assignment.attempt).await.unwrap();
        until_exited(&*engine, plan.assignment.attempt).await;
        engine.remove(plan.assignment.attempt).await.unwrap();
    }
    assert!(said.try_recv().is_err(), "it was heard");
}
