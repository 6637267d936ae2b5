//! The `process` engine: the contract, and what it refuses.

use cluster::{AttemptId, Image, Mount};
use runner::engine::process::Process;
use runner::engine::{BoxState, Engine, EngineError};
use tunnel::wire::guest::GuestUser;

use crate::bench::{Bench, seen, spec, until_exited, written};
use crate::contract;

/// An engine that keeps its records where this bench has its attempts.
fn on(bench: &Bench) -> Process {
    Process::new(bench.folder(), 0)
}

#[tokio::test]
async fn starts_at_most_once() {
    let bench = Bench::new();
    contract::starts_at_most_once(&on(&bench), &bench).await;
}

#[tokio::test]
async fn kill_leaves_nothing() {
    let bench = Bench::new();
    contract::kill_leaves_nothing(&on(&bench), &bench).await;
}

#[tokio::test]
async fn kill_outruns_a_storm_of_forks() {
    let bench = Bench::new();
    contract::kill_outruns_a_storm_of_forks(&on(&bench), &bench).await;
}

#[tokio::test]
async fn what_never_was_is_gone() {
    let bench = Bench::new();
    contract::what_never_was_is_gone(&on(&bench), &bench).await;
}

#[tokio::test]
async fn a_new_runner_finds_the_box() {
    let bench = Bench::new();
    contract::a_new_runner_finds_the_box(on(&bench), || on(&bench), &bench).await;
}

#[tokio::test]
async fn freeze_and_thaw() {
    let bench = Bench::new();
    contract::freeze_and_thaw(&on(&bench), &bench).await;
}

#[tokio::test]
async fn an_end_is_heard() {
    let bench = Bench::new();
    contract::an_end_is_heard(&on(&bench), &bench).await;
}

#[tokio::test]
async fn only_the_box_may_dial() {
    let bench = Bench::new();
    contract::only_the_box_may_dial(std::sync::Arc::new(on(&bench)), &bench).await;
}

#[tokio::test]
async fn what_needs_isolation_is_refused() {
    let bench = Bench::new();
    let engine = on(&bench);
    let image = Image::Reference("debian:12".to_owned());
    let mount = Mount {
        source: "/srv".to_owned(),
        target: "/srv".to_owned(),
        read_only: true,
    };
    let plans = [
        bench.plan_with("", |a| spec(a, |s| s.image = image)),
        bench.plan_with("", |a| {
            spec(a, |s| s.image = Image::Environment("lab".to_owned()));
        }),
        bench.plan_with("", |a| spec(a, |s| s.mounts = vec![mount])),
        bench.plan_with("", |a| spec(a, |s| s.privileged = true)),
    ];
    for plan in plans {
        let refusal = engine.prepare(&plan).await.unwrap_err();
        assert!(matches!(refusal, EngineError::Task(_)), "{refusal:?}");
        assert_eq!(seen(&engine, plan.assignment.attempt).await, None);
    }
}

#[tokio::test]
async fn each_task_has_a_user_of_its_own() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let bench = Bench::new();
    let engine = Process::new(bench.folder(), 70_000);
    let mut users = Vec::new();
    for _ in 0..3 {
        let prepared = engine.prepare(&bench.plan("")).await.unwrap();
        let GuestUser::Ids { uid, gid } = prepared.user else {
            panic!("{:?}", prepared.user)
        };
        assert!(uid >= 70_000 && gid == uid, "{uid} {gid}");
        users.push(uid);
    }
    users.dedup();
    assert_eq!(users.len(), 3);
}

/// A pid that was given to somebody else since is neither a running box nor killed.
#[tokio::test]
async fn a_stranger_with_the_old_pid_is_left_alone() {
    let bench = Bench::new();
    let engine = on(&bench);
    let plan = bench.plan("echo up >$OUT/up");
    let attempt: AttemptId = plan.assignment.attempt;
    engine.start(&plan).await.unwrap();
    written(&plan.out.join("up")).await;
    until_exited(&engine, attempt).await;
    let record = bench.folder().join(attempt.to_string()).join("pid");
    let (_, born) = {
        let text = std::fs::read_to_string(&record).unwrap();
        let (pid, born) = text.split_once(' ').unwrap();
        (pid.to_owned(), born.to_owned())
    };
    let mut stranger = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    std::fs::write(&record, format!("{} {born}", stranger.id())).unwrap();
    assert_eq!(
        seen(&engine, attempt).await.unwrap().state,
        BoxState::Exited { oom: false }
    );
    engine.kill(attempt).await.unwrap();
    engine.remove(attempt).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "it was killed");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
