//! Lines for people's own machines: `ssh config`, `forward`.

use std::fmt::Write;
use std::sync::Arc;

use cluster::Task;
use keys::{Action, Actor};
use shell::command::{TaskRef, Transport};
use shell::{Failure, Reply};

use super::{History, task};
use crate::state::State;

/// A block that is put into `~/.ssh/config` as it is, and replaced as a whole.
pub(super) fn ssh_config(state: &State, actor: &Actor) -> String {
    let boxes: Vec<&Arc<Task>> = live(state)
        .filter(|vps| vps.owner == actor.account)
        .collect();
    let (host, port) = &state.settings().address;
    let names: String = boxes
        .iter()
        .map(|vps| format!(" {}", aliases(state, vps)))
        .collect();
    let mut text = format!(
        "# river: begin; renew it with: ssh river ssh config\n\
         Host river{names}\n  HostName {host}\n  Port {port}\n  HostKeyAlias river\n  ServerAliveInterval 15\n  \
         ServerAliveCountMax 4\n  ControlMaster auto\n  ControlPath ~/.ssh/river-%C\n  ControlPersist 60\n"
    );
    text.push_str(&hosts(state, boxes.into_iter()));
    text.push_str("# river: end\n");
    text
}

/// One short `Host` for each box, so that editors list them.
pub fn hosts<'a>(state: &State, boxes: impl Iterator<Item = &'a Arc<Task>>) -> String {
    boxes.fold(String::new(), |mut text, vps| {
        let (aliases, label) = (aliases(state, vps), vps.label());
        let _ = write!(text, "Host {aliases}\n  User {label}\n");
        text
    })
}

/// By its name too, unless that is the way to somewhere else: boxes of before may be called so.
fn aliases(state: &State, vps: &Task) -> String {
    match state.is_reserved(vps.name.as_str()) {
        true => vps.label(),
        false => format!("{} {}", vps.name, vps.label()),
    }
}

/// Boxes that have not been deleted.
pub fn live(state: &State) -> impl Iterator<Item = &Arc<Task>> {
    state
        .tasks()
        .filter(|task| task.is_vps() && !task.state.is_final())
}

pub(super) fn forward(
    state: &State,
    history: &dyn History,
    actor: &Actor,
    vps: &TaskRef,
    (port, local): (u16, u16),
    transport: Transport,
) -> Result<Reply, Failure> {
    let label = task::find(state, history, actor, Action::EnterTask, vps)?.label();
    Ok(Reply::Text(match transport {
        Transport::Tcp => format!("ssh -N -L {local}:localhost:{port} {label}@river\n"),
        Transport::Udp if local == port => format!("river-forward river {label} {port}\n"),
        Transport::Udp => format!("river-forward -l {local} river {label} {port}\n"),
    }))
}
