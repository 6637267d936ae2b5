//! L1: people who are signed in and do nothing.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Client, Login, address};
use crate::process::{children, family, mega};
use crate::report::Bar;
use crate::sshd::Sshd;

/// Handshakes at the same time.
const AT_ONCE: usize = 32;
/// Sessions of sshd: each is two processes.
const FEW: usize = 50;

/// So many at once from one address that others are not kept waiting.
pub(crate) async fn enter(login: &Login, first: u8, sessions: usize) -> Vec<Client> {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut entering = JoinSet::new();
    for number in 0..sessions {
        let (login, room) = (login.clone(), Arc::clone(&room));
        entering.spawn(async move {
            let _room = room.acquire_owned().await.unwrap();
            login.enter(address(first, number % 1000)).await.unwrap()
        });
    }
    entering.join_all().await
}

pub(crate) fn measure(bench: &mut Bench) {
    let sessions = crate::count("SESSIONS", 5000);
    let river = Bench::river();
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    // The first ones pay for what all have in common.
    bench.run(async {
        for client in enter(&login, 1, 100).await {
            client.leave().await;
        }
    });
    let sshd = Sshd::start();
    let before = (river.memory(), family(sshd.pid()));
    let clients = bench.run(enter(&login, 1, sessions));
    let idle = river.memory() - before.0;
    let each = |bytes: u64, of: usize| bytes as f64 / of as f64 / 1e3;
    let report = &mut bench.report;
    report.figure(
        "all of them, RSS of the gateway",
        mega(river.memory()),
        "MB",
        Bar::AtMost(400.0),
    );
    report.figure(
        "a signed-in connection",
        each(idle, sessions),
        "kB",
        Bar::AtMost(80.0),
    );
    let channels = bench.run(async {
        let mut channels = Vec::new();
        for client in &clients {
            let channel = client.handle.channel_open_session().await.unwrap();
            channel
                .request_pty(false, "xterm", 80, 24, 0, 0, &[])
                .await
                .unwrap();
            channel.request_shell(true).await.unwrap();
            channels.push(channel);
        }
        channels
    });
    let prompts = river.memory() - before.0;
    let them = bench.run(async {
        let login = Login::new(sshd.port, "root", &sshd.key());
        let clients = enter(&login, 1, FEW).await;
        let mut channels = Vec::new();
        for client in &clients {
            let channel = client.handle.channel_open_session().await.unwrap();
            channel.exec(true, "exec cat").await.unwrap();
            channels.push(channel);
        }
        harness::wait::until("all of sshd's sessions run", || {
            children(sshd.pid()).len() == FEW
        });
        let them = family(sshd.pid()) - before.1;
        for client in &clients {
            client.leave().await;
        }
        drop(channels);
        them
    });
    let (ours, theirs) = (each(prompts, sessions), each(them, FEW));
    let report = &mut bench.report;
    report.figure("… with river's prompt in it", ours, "kB", Bar::AtMost(80.0));
    report.note("a session of sshd with `cat` in it (PSS)", theirs, "kB");
    report.figure("river over sshd", ours / theirs, "", Bar::AtMost(0.1));
    drop(channels);
    drop(clients);
}
