//! The `docker` engine against a real daemon: `RIVER_DOCKER_SOCKET=SOCKET`, else the usual socket.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cluster::{Assignment, Image, Mount};
use runner::confine;
use runner::engine::docker::{Docker, Settings};
use runner::engine::{BoxState, Engine, EngineError};
use tunnel::wire::guest::GuestUser;

use crate::bench::{Bench, processes, seen, spec, until_exited, written};
use crate::contract;
use crate::probe::{Probe, SCRIPT};

/// The socket of a daemon that answers, or the reason why the test does not run.
pub(crate) fn socket() -> Option<PathBuf> {
    let path = std::env::var_os("RIVER_DOCKER_SOCKET")
        .map_or_else(|| PathBuf::from("/var/run/docker.sock"), PathBuf::from);
    let up = nix::unistd::Uid::effective().is_root()
        && docker(&path, &["version", "--format", "{{.Server.Version}}"]).is_ok();
    if !up {
        eprintln!(
            "skipped: needs root, and a docker daemon at {}",
            path.display()
        );
    }
    up.then_some(path)
}

/// The standard output of Docker's own client, or its complaint.
pub(crate) fn docker(socket: &Path, words: &[&str]) -> Result<String, String> {
    let run = Command::new("docker")
        .arg("-H")
        .arg(format!("unix://{}", socket.display()))
        .args(words)
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if run.status.success() {
        Ok(text(&run.stdout))
    } else {
        Err(text(&run.stderr))
    }
}

pub(crate) fn settings(socket: &Path) -> Settings {
    Settings {
        socket: socket.to_owned(),
        machine_id: format!("engine-test-{}", std::process::id()),
        default_image: None,
        busybox: PathBuf::from("/bin/busybox"),
        network: "none".to_owned(),
        mounts: Vec::new(),
        own: Vec::new(),
    }
}

macro_rules! keeps {
    ($($promise:ident),*) => {$(
        #[tokio::test]
        async fn $promise() {
            let Some(socket) = socket() else { return };
            contract::$promise(&Docker::new(settings(&socket)), &Bench::new()).await;
        }
    )*};
}

keeps!(
    starts_at_most_once,
    kill_leaves_nothing,
    kill_outruns_a_storm_of_forks,
    what_never_was_is_gone,
    freeze_and_thaw,
    an_end_is_heard
);

#[tokio::test]
async fn a_new_runner_finds_the_box() {
    let Some(socket) = socket() else { return };
    let engine = || Docker::new(settings(&socket));
    contract::a_new_runner_finds_the_box(engine(), engine, &Bench::new()).await;
}

#[tokio::test]
async fn only_the_box_may_dial() {
    let Some(socket) = socket() else { return };
    let engine = Arc::new(Docker::new(settings(&socket)));
    contract::only_the_box_may_dial(engine, &Bench::new()).await;
}

/// Runs the probe in a box of this plan.
async fn probe(engine: &Docker, bench: &Bench, change: impl FnOnce(&mut Assignment)) -> Probe {
    let plan = bench.plan_with(SCRIPT, change);
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    let text = written(&plan.out.join("probe")).await;
    until_exited(engine, plan.assignment.attempt).await;
    engine.remove(plan.assignment.attempt).await.unwrap();
    Probe::of(&text)
}

/// `reliability.md` 3.11, as the box itself sees it.
#[tokio::test]
async fn a_box_has_its_limits_and_few_rights() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let engine = Docker::new(settings(&socket));
    let inside = probe(&engine, &bench, |assignment| {
        assignment.cores = vec![0];
        spec(assignment, |spec| spec.memory = 64 << 20);
    })
    .await;
    // CHOWN 0, DAC_OVERRIDE 1, KILL 5, SETGID 6, SETUID 7 (capabilities(7)).
    assert_eq!(inside.get("CapBnd"), "00000000000000e3");
    assert_eq!(inside.get("NoNewPrivs"), "1");
    assert_eq!(inside.get("Seccomp"), "2");
    assert_eq!(inside.get("Cpus_allowed_list"), "0");
    assert_eq!(inside.get("pids"), "1024");
    assert_eq!(inside.get("memory"), (64 << 20).to_string());
    assert_eq!(inside.get("shm"), (64 << 10).to_string());
    assert_eq!(inside.get("core"), "0");
    assert_eq!(inside.get("pid"), "1");
    assert_eq!(inside.get("uid"), "0:0");
    assert!(inside.mounted("/.river/run", "ro"));
    assert!(inside.mounted("/.river/guest", "ro"));
    assert!(inside.mounted("/.river/out", "rw"));
    assert_eq!(inside.get("sockets"), "0");
}

/// What a box leaves behind is neither run nor obeyed on the node, whoever owns it.
#[tokio::test]
async fn an_out_directory_is_nosuid_nodev_noexec() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let mounts = || {
        let text = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let here = format!(" {} ", bench.folder().display());
        text.lines().filter(|line| line.contains(&here)).count()
    };
    confine::confine(&bench.folder()).unwrap();
    // As after a kill -9.
    confine::confine(&bench.folder()).unwrap();
    let made = mounts();
    let engine = Docker::new(settings(&socket));
    let plan = bench.plan(SCRIPT);
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    // Its box has a mount of its own.
    confine::release(&bench.folder());
    confine::release(&bench.folder());
    assert_eq!((made, mounts()), (1, 0));
    let inside = Probe::of(&written(&plan.out.join("probe")).await);
    for option in ["rw", "nosuid", "nodev", "noexec"] {
        assert!(inside.mounted("/.river/out", option), "{option}");
    }
    until_exited(&engine, plan.assignment.attempt).await;
    engine.remove(plan.assignment.attempt).await.unwrap();
}

#[tokio::test]
async fn a_core_that_the_machine_lacks_is_one_it_has() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let far = runner::facts::physical() * 8;
    let inside = probe(&Docker::new(settings(&socket)), &bench, |assignment| {
        assignment.cores = vec![far];
    })
    .await;
    assert_eq!(inside.get("Cpus_allowed_list"), "0");
}

#[tokio::test]
async fn mounts_are_the_allowed_ones_as_they_were_asked_for() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let data = bench.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink("/run", data.join("door")).unwrap();
    let secret = bench.path().join("state");
    std::fs::create_dir(&secret).unwrap();
    let engine = Docker::new(Settings {
        mounts: vec![bench.path().to_owned()],
        own: vec![secret.clone()],
        ..settings(&socket)
    });
    let mount = |source: PathBuf, target: &str, read_only| Mount {
        source: source.display().to_string(),
        target: target.to_owned(),
        read_only,
    };
    let inside = probe(&engine, &bench, |assignment| {
        let mounts = vec![
            mount(data.clone(), "/data", false),
            mount(data.clone(), "/ro", true),
        ];
        spec(assignment, |spec| spec.mounts = mounts);
    })
    .await;
    assert!(inside.mounted("/data", "rw") && inside.mounted("/ro", "ro"));
    for bad in [
        data.join("door"),
        data.join("../state"),
        secret,
        socket.clone(),
        data.join("none"),
        PathBuf::from("/srv"),
    ] {
        let asked = vec![mount(bad.clone(), "/x", false)];
        let plan = bench.plan_with("echo ran >$OUT/ran", |a| spec(a, |s| s.mounts = asked));
        let refusal = engine.prepare(&plan).await.unwrap_err();
        assert!(matches!(refusal, EngineError::Task(_)), "{refusal:?}");
        let refusal = engine.start(&plan).await.unwrap_err();
        assert!(matches!(refusal, EngineError::Task(_)), "{refusal:?}");
        assert!(
            refusal.to_string().contains(&bad.display().to_string()),
            "{refusal}"
        );
        assert_eq!(seen(&engine, plan.assignment.attempt).await, None);
    }
}

#[tokio::test]
async fn an_image_that_is_not_there_is_the_tasks_fault_and_named() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let engine = Docker::new(settings(&socket));
    for image in [
        Image::Reference("localhost:1/river/none:7".to_owned()),
        Image::Environment("river-no-such-environment".to_owned()),
    ] {
        let name = match &image {
            Image::Reference(name) | Image::Environment(name) => name.clone(),
            Image::Default => unreachable!(),
        };
        let plan = bench.plan_with("", |a| spec(a, |s| s.image = image));
        let refusal = engine.prepare(&plan).await.unwrap_err();
        assert!(matches!(refusal, EngineError::Task(_)), "{refusal:?}");
        assert!(refusal.to_string().contains(&name), "{refusal}");
    }
}

#[tokio::test]
async fn what_an_image_brings_is_left_to_the_guest() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let engine = Docker::new(settings(&socket));
    engine.prepare(&bench.plan("")).await.unwrap();
    let name = format!("river-engine-test-{}", std::process::id());
    let file = bench.path().join("Dockerfile");
    std::fs::write(
        &file,
        "FROM river/base\nENV COLOUR=blue\nWORKDIR /srv\nUSER 1000:100\nENTRYPOINT [\"/bin/false\"]\n",
    )
    .unwrap();
    let words = [
        "build",
        "-q",
        "-t",
        &name,
        &bench.path().display().to_string(),
    ];
    docker(&socket, &words).unwrap();
    let change = |assignment: &mut Assignment| {
        spec(assignment, |spec| {
            spec.image = Image::Environment(name.clone())
        });
    };
    let prepared = engine.prepare(&bench.plan_with("", change)).await.unwrap();
    assert_eq!(prepared.env["COLOUR"], "blue");
    assert_eq!(prepared.workdir.as_deref(), Some("/srv"));
    assert_eq!(prepared.user, GuestUser::Image("1000:100".to_owned()));
    // The guest itself runs as root, whatever the image says, and no entrypoint is put before it.
    assert_eq!(probe(&engine, &bench, change).await.get("uid"), "0:0");
    docker(&socket, &["image", "rm", &name]).unwrap();
}

#[tokio::test]
async fn too_much_memory_is_seen_as_that() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let engine = Docker::new(settings(&socket));
    let plan = bench.plan_with("exec tail /dev/zero", |assignment| {
        spec(assignment, |spec| spec.memory = 16 << 20);
    });
    let attempt = plan.assignment.attempt;
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    assert!(until_exited(&engine, attempt).await, "no word of memory");
    engine.remove(attempt).await.unwrap();
}

/// Two nodes on one engine see their own boxes only, however alike their machine ids begin.
#[tokio::test]
async fn two_nodes_on_one_engine_do_not_meddle() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let node = |number: u32| {
        Docker::new(Settings {
            machine_id: format!("engine-test-{}-node-{number}", std::process::id()),
            ..settings(&socket)
        })
    };
    let nodes = [node(1), node(2)];
    let plan = bench.plan("echo up >>$OUT/up; sleep 1000");
    let attempt = plan.assignment.attempt;
    for engine in &nodes {
        engine.prepare(&plan).await.unwrap();
        engine.start(&plan).await.unwrap();
        assert_eq!(
            seen(engine, attempt).await.unwrap().state,
            BoxState::Running
        );
    }
    nodes[0].kill(attempt).await.unwrap();
    until_exited(&nodes[0], attempt).await;
    nodes[0].remove(attempt).await.unwrap();
    assert_eq!(
        seen(&nodes[1], attempt).await.unwrap().state,
        BoxState::Running
    );
    nodes[1].kill(attempt).await.unwrap();
    until_exited(&nodes[1], attempt).await;
    nodes[1].remove(attempt).await.unwrap();
    assert_eq!(processes(attempt), Vec::<i32>::new());
}

#[tokio::test]
async fn an_engine_that_is_away_is_not_the_tasks_fault() {
    let bench = Bench::new();
    let engine = Docker::new(settings(&bench.path().join("no.sock")));
    let plan = bench.plan("");
    for refusal in [
        engine.prepare(&plan).await.unwrap_err(),
        engine.start(&plan).await.unwrap_err(),
        engine.list().await.unwrap_err(),
        engine.version().await.unwrap_err(),
    ] {
        assert!(matches!(refusal, EngineError::Engine(_)), "{refusal:?}");
    }
}
