//! Whose an image is, and one that goes away: against a real Docker.

use std::path::Path;

use cluster::{Assignment, Image, Vps};
use runner::engine::docker::Docker;
use runner::engine::{BoxPlan, Engine, EngineError};

use crate::bench::{Bench, spec, until_exited, written};
use crate::docker::{docker, settings, socket};

/// A task of this image.
fn of(bench: &Bench, script: &str, image: Image) -> BoxPlan {
    bench.plan_with(script, |assignment| {
        spec(assignment, |spec| spec.image = image)
    })
}

/// Both ways to name one.
fn both(name: &str) -> [Image; 2] {
    [
        Image::Reference(name.to_owned()),
        Image::Environment(name.to_owned()),
    ]
}

async fn refusal(engine: &Docker, bench: &Bench, image: Image) -> String {
    let refusal = engine.prepare(&of(bench, "", image)).await.unwrap_err();
    assert!(matches!(refusal, EngineError::Task(_)), "{refusal:?}");
    refusal.to_string()
}

#[tokio::test]
async fn a_disk_of_a_box_is_nobodys_image() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let engine = Docker::new(settings(&socket));
    let plan = bench.plan_with("echo up >$OUT/up", |assignment: &mut Assignment| {
        spec(assignment, |spec| spec.vps = Some(Vps::default()));
    });
    let held = plan.assignment.box_id();
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    written(&plan.out.join("up")).await;
    until_exited(&engine, held).await;
    let name = "first".parse().unwrap();
    engine.snapshot(held, &name).await.unwrap();
    let list = [
        "images",
        "--no-trunc",
        "--format",
        "{{.Repository}}:{{.Tag}} {{.ID}}",
    ];
    let listed = docker(&socket, &list).unwrap();
    let task = held.task.0.to_string();
    let (tag, id) = listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(tag, _)| tag.starts_with("river-snapshots/") && tag.contains(&task))
        .unwrap();
    let hex = id.trim_start_matches("sha256:");
    let hub = format!("docker.io/{tag}");
    for asked in [
        tag,
        &hub,
        id,
        hex,
        &hex[..12],
        &format!("sha256:{}", &hex[..12]),
    ] {
        for image in both(asked) {
            let refusal = refusal(&engine, &bench, image).await;
            assert!(refusal.contains(asked), "{refusal}");
        }
    }
    // One that is not there is refused in the same words.
    let none = tag.replace(":first", ":none");
    for (one, other) in both(tag).into_iter().zip(both(&none)) {
        let [one, other] = [
            refusal(&engine, &bench, one).await,
            refusal(&engine, &bench, other).await,
        ];
        assert_eq!(one.replace(tag, &none), other);
    }
    engine.restore(&plan, &name).await.unwrap();
    engine.remove(held).await.unwrap();
    engine.drop_snapshot(held, &name).await.unwrap();
}

#[tokio::test]
async fn what_nodes_make_for_themselves_comes_from_no_registry() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let engine = Docker::new(settings(&socket));
    for asked in [
        "river/none",
        "docker.io/river/none:1",
        "river-snapshots/none",
    ] {
        let image = Image::Reference(asked.to_owned());
        let refusal = refusal(&engine, &bench, image).await;
        assert!(
            refusal.contains(asked) && !refusal.contains("pull"),
            "{refusal}"
        );
    }
    // What the node has made is everybody's.
    engine.prepare(&bench.plan("")).await.unwrap();
    for asked in ["river/base", "docker.io/river/base:latest"] {
        let image = Image::Environment(asked.to_owned());
        engine.prepare(&of(&bench, "", image)).await.unwrap();
    }
}

fn import(socket: &Path, bench: &Bench, name: &str) {
    let tree = bench.path().join("tree/bin");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::copy("/bin/busybox", tree.join("busybox")).unwrap();
    for applet in ["sh", "env", "cat", "echo"] {
        let _ = std::os::unix::fs::symlink("busybox", tree.join(applet));
    }
    let tar = bench.path().join("tree.tar").display().to_string();
    let tree = bench.path().join("tree").display().to_string();
    let made = std::process::Command::new("tar")
        .args(["-C", &tree, "-cf", &tar, "."])
        .status();
    assert!(made.unwrap().success());
    docker(socket, &["import", &tar, name]).unwrap();
}

#[tokio::test]
async fn an_image_that_goes_away_is_looked_for_again() {
    let Some(socket) = socket() else { return };
    let bench = Bench::new();
    let engine = Docker::new(settings(&socket));
    let name = format!("river-engine-gone-{}", std::process::id());
    let own = || of(&bench, "echo up >$OUT/up", Image::Environment(name.clone()));
    import(&socket, &bench, &name);
    let plan = own();
    engine.prepare(&plan).await.unwrap();
    // As `docker image prune -a` does.
    docker(&socket, &["image", "rm", &name]).unwrap();
    let gone = engine.start(&plan).await.unwrap_err();
    // It is tried again, and by then looked for.
    assert!(matches!(gone, EngineError::Refused(_)), "{gone:?}");
    assert!(gone.to_string().contains(&name), "{gone}");
    let gone = engine.prepare(&own()).await.unwrap_err();
    assert!(gone.to_string().contains("no such environment"), "{gone}");
    import(&socket, &bench, &name);
    engine.prepare(&plan).await.unwrap();
    engine.start(&plan).await.unwrap();
    written(&plan.out.join("up")).await;
    until_exited(&engine, plan.assignment.attempt).await;
    engine.remove(plan.assignment.attempt).await.unwrap();
    docker(&socket, &["image", "rm", &name]).unwrap();
}
