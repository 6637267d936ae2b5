//! What the engine tests stand on: plans, a stand-in guest, and waiting for what must come.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cluster::{Assignment, AttemptId, TaskId, TaskSpec, Wanted};
use runner::engine::{BoxPlan, BoxSeen, BoxState, Engine};

/// Runs the script that a test left in the run directory: engines are tested without the real guest.
/// Outside of a container it keeps orphans with it as the real one does: PR_SET_CHILD_SUBREAPER is 36
/// (prctl(2)).
const GUEST: &str = r#"#!/bin/sh
export RUN="$2" OUT="$3"
task="env RIVER_TEST_MARK=$(cat "$RUN/mark") /bin/sh $RUN/task"
[ $$ = 1 ] && exec $task
exec perl -MPOSIX -e '
    my %prctl = (x86_64 => 157, aarch64 => 167);
    my $machine = (POSIX::uname())[4];
    syscall($prctl{$machine} // die("prctl on $machine"), 36, 1, 0, 0, 0) == 0 or die "prctl: $!";
    my $main = fork() // die "fork: $!";
    if (!$main) { exec @ARGV; die "exec: $!"; }
    1 until wait() == $main;
    exit($? >> 8);
' $task run "$RUN"
"#;

/// How long something may take that must happen; a healthy machine needs a small part of it.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Bench {
    root: tempfile::TempDir,
    guest: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("rv-eng-")
            .tempdir_in("/tmp")
            .unwrap();
        open(root.path());
        let guest = root.path().join("guest");
        std::fs::write(&guest, GUEST).unwrap();
        std::fs::set_permissions(&guest, Permissions::from_mode(0o755)).unwrap();
        Self { root, guest }
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Of all attempts, as the runner keeps them.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().join("a")
    }

    /// A plan whose box runs `script`.
    pub(crate) fn plan(&self, script: &str) -> BoxPlan {
        self.plan_with(script, |_| ())
    }

    /// … with a changed assignment.
    pub(crate) fn plan_with(&self, script: &str, change: impl FnOnce(&mut Assignment)) -> BoxPlan {
        let attempt = fresh();
        let mut assignment = Assignment {
            attempt,
            owner: "alice".parse().unwrap(),
            spec: Arc::new(TaskSpec::of(vec!["true".to_owned()])),
            cores: Vec::new(),
            spooled: None,
            wanted: Wanted::Run,
            keeps_box: false,
        };
        change(&mut assignment);
        let [run, out] = ["run", "out"].map(|kind| {
            let dir = self.folder().join(attempt.to_string()).join(kind);
            std::fs::create_dir_all(&dir).unwrap();
            open(&dir);
            dir
        });
        std::fs::write(run.join("mark"), mark(attempt)).unwrap();
        std::fs::write(run.join("task"), format!("{script}\n")).unwrap();
        BoxPlan {
            assignment,
            guest: self.guest.clone(),
            run,
            out,
        }
    }
}

/// Changes the spec of an assignment.
pub(crate) fn spec(assignment: &mut Assignment, change: impl FnOnce(&mut TaskSpec)) {
    change(Arc::make_mut(&mut assignment.spec));
}

fn open(dir: &Path) {
    std::fs::set_permissions(dir, Permissions::from_mode(0o777)).unwrap();
}

/// An id that no other test on this machine has: they may share an engine.
fn fresh() -> AttemptId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    AttemptId {
        task: TaskId(u64::from(std::process::id()) * 1000 + number),
        number: 1,
    }
}

fn mark(attempt: AttemptId) -> String {
    format!("rv{attempt}")
}

/// Host pids of everything that the script of this attempt started, wherever it went.
pub(crate) fn processes(attempt: AttemptId) -> Vec<i32> {
    let wanted = format!("RIVER_TEST_MARK={}\0", mark(attempt));
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environ
            .windows(wanted.len())
            .any(|part| part == wanted.as_bytes())
        {
            found.push(pid);
        }
    }
    found
}

/// The only place here that sleeps.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for a file that ends in a newline, and gives its text.
pub(crate) async fn written(path: &Path) -> String {
    until(&path.display().to_string(), async || {
        std::fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    })
    .await
}

/// How this engine sees the box now.
pub(crate) async fn seen(engine: &impl Engine, attempt: AttemptId) -> Option<BoxSeen> {
    let mut boxes = engine.list().await.unwrap();
    boxes.retain(|one| one.attempt == Some(attempt));
    assert!(boxes.len() < 2, "one attempt, one box: {boxes:?}");
    boxes.pop()
}

pub(crate) async fn until_exited(engine: &impl Engine, attempt: AttemptId) -> bool {
    until("the end of the box", async || {
        match seen(engine, attempt).await?.state {
            BoxState::Exited { oom } => Some(oom),
            BoxState::Created | BoxState::Running | BoxState::Paused => None,
        }
    })
    .await
}
