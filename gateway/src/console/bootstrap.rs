//! `node bootstrap`: a script that makes a machine a node, with the programs in it.

use std::sync::Arc;

use bytes::Bytes;
use cluster::EngineKind;
use keys::{Actor, NodeName};
use shell::command::{Bootstrap, Start};
use shell::{Change, Failure, Kind, Reply, View};
use tokio::sync::mpsc;

use super::INTERRUPTED;
use super::caller::Caller;
use super::serve::complete;
use crate::dispatch;
use crate::head::Head;
use crate::programs::Packed;

const SCRIPT: &str = include_str!("../../../packaging/bootstrap.sh");
const UNIT: &str = include_str!("../../../packaging/river-runner.service");
/// In the script: where the programs go.
const PROGRAMS: &str = "@PROGRAMS@\n";
/// Pieces on their way to the caller.
const PIECES: usize = 8;

pub(super) async fn bootstrap(
    head: &Arc<Head>,
    actor: &Actor,
    wanted: Bootstrap,
    caller: &Caller,
    view: &View,
) -> u8 {
    match prepared(head, actor, &wanted, caller).await {
        Ok((packed, text)) => match stream(packed, &text, caller).await {
            Some(()) => 0,
            None => INTERRUPTED,
        },
        Err(failure) => caller.fail(&failure, view).await,
    }
}

async fn prepared(
    head: &Arc<Head>,
    actor: &Actor,
    wanted: &Bootstrap,
    caller: &Caller,
) -> Result<(Packed, String), Failure> {
    let node = &wanted.node;
    if caller.terminal.is_some() {
        return Err(
            Failure::usage("a script of some MB is for a pipe, not for a terminal").hint(format!(
                "`ssh river node bootstrap {node} | ssh root@MACHINE sh`"
            )),
        );
    }
    dispatch::bootstrap(head, actor, node).await?;
    let packed = pack(head).await?;
    let state = head.state();
    // While it is connected the machine is a node already, and needs no token.
    let (known, token) = match (state.link(node), state.node(node)) {
        (Some(_), _) => ("connected", String::new()),
        (None, known) => {
            let token = token(head, actor, node, wanted.lifetime_ms).await?;
            (if known.is_some() { "yes" } else { "no" }, token)
        }
    };
    let settings = state.settings();
    let (host, port) = &settings.address;
    let gateway = wanted
        .gateway
        .clone()
        .unwrap_or_else(|| format!("{host}:{port}"));
    let text = fill(
        wanted,
        &gateway,
        &settings.version,
        &packed,
        (known, &token),
    );
    Ok((packed, text))
}

async fn pack(head: &Arc<Head>) -> Result<Packed, Failure> {
    let (programs, version) = (
        head.programs.clone(),
        head.state().settings().version.clone(),
    );
    let packed = tokio::task::spawn_blocking(move || programs.pack(&version)).await;
    packed
        .map_err(anyhow::Error::from)
        .flatten()
        .map_err(|error| {
            Failure::new(Kind::Failed, format!("the programs of a node: {error:#}")).hint(
                "install river's release here, or set runner_dir in the gateway's configuration",
            )
        })
}

async fn token(
    head: &Arc<Head>,
    actor: &Actor,
    node: &NodeName,
    lifetime_ms: u64,
) -> Result<String, Failure> {
    let invite = Change::NodeInvite {
        node: node.clone(),
        lifetime_ms,
    };
    let invited = dispatch::change(head, actor, invite).await?;
    if let Reply::NodeInvited { token, .. } = complete(head, invited) {
        return Ok(token);
    }
    Err(Failure::new(Kind::Failed, "the gateway answered something else").hint("tell the operator"))
}

/// The script but for its programs. All that is filled in is of plain letters.
fn fill(
    wanted: &Bootstrap,
    gateway: &str,
    version: &str,
    packed: &Packed,
    (known, token): (&str, &str),
) -> String {
    let config = match wanted.prefix.as_str() {
        "/usr" | "/usr/local" => "/etc/river/runner.toml".to_owned(),
        prefix => format!("{prefix}/etc/river/runner.toml"),
    };
    let start = format!("{}/bin/river-runner --config {config}", wanted.prefix);
    let unit = UNIT.replace("river-runner --config /etc/river/runner.toml", &start);
    let unit = match wanted.state_dir.as_str() {
        "/var/lib/river-runner" => unit,
        // It is made already, and the unit would make another.
        _ => unit.replace("StateDirectory", "# StateDirectory"),
    };
    let values = [
        ("NODE", wanted.node.as_str()),
        ("GATEWAY", gateway),
        (
            "ENGINE",
            if wanted.engine == EngineKind::Process {
                "process"
            } else {
                "docker"
            },
        ),
        ("VERSION", version),
        ("ARCH", std::env::consts::ARCH),
        ("PREFIX", &wanted.prefix),
        ("STATE", &wanted.state_dir),
        ("SOCKET", &wanted.docker_socket),
        (
            "START",
            match wanted.start {
                Start::Service => "service",
                Start::Background => "background",
                Start::No => "no",
            },
        ),
        ("KNOWN", known),
        ("NAME", &packed.name),
        ("KIB", &packed.kib.to_string()),
        ("UNIT", unit.trim_end()),
        ("TOKEN", token),
    ];
    let mut text = SCRIPT.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    text
}

/// `None`: the caller left.
async fn stream(packed: Packed, text: &str, caller: &Caller) -> Option<()> {
    let (before, after) = text.split_once(PROGRAMS)?;
    caller.print(before).await.ok()?;
    let (sender, mut pieces) = mpsc::channel::<Bytes>(PIECES);
    let packing = tokio::task::spawn_blocking(move || {
        packed.script(|piece| sender.blocking_send(piece).is_ok());
    });
    while let Some(piece) = pieces.recv().await {
        caller.stdout(piece).await.ok()?;
    }
    packing.await.ok()?;
    caller.print(after).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::Programs;

    fn wanted(prefix: &str) -> Bootstrap {
        Bootstrap {
            node: "n1".parse().unwrap(),
            gateway: None,
            engine: EngineKind::Docker,
            docker_socket: "/var/run/docker.sock".into(),
            prefix: prefix.into(),
            state_dir: "/var/lib/river-runner".into(),
            lifetime_ms: 1,
            start: Start::Service,
        }
    }

    #[test]
    fn a_script_is_filled_in_whole_and_is_one_for_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["river-runner", "river-guest"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let packed = Programs::new(dir.path()).pack("0.1.0").unwrap();
        let text = fill(
            &wanted("/opt/river"),
            "gw.example:2222",
            "0.1.0",
            &packed,
            ("no", "river-join.x.y"),
        );
        let (before, after) = text.split_once(PROGRAMS).unwrap();
        assert!(after.contains(
            "ExecStart=/opt/river/bin/river-runner --config /opt/river/etc/river/runner.toml"
        ));
        assert_eq!(after.matches("river-join.x.y").count(), 1);
        assert!(
            !before.contains("river-join"),
            "a secret in a word of the script"
        );
        let left: Vec<&str> = text.split('@').skip(1).step_by(2).collect();
        let left: Vec<&&str> = left
            .iter()
            .filter(|word| word.chars().all(|c| c.is_ascii_uppercase()))
            .collect();
        assert_eq!(left, [&"PROGRAMS"]);
        let checked = std::process::Command::new("sh")
            .args(["-n", "-c", &text])
            .status();
        assert!(checked.unwrap().success());
    }
}
