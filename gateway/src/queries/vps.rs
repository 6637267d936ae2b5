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
        .map(|vps| format!(" {} {}", vps.name, vps.label()))
        .collect();
    let mut text = format!(
        "# river: begin; renew it with: ssh river ssh config\n\
         Host river{names}\n  HostName {host}\n  Port {port}\n  HostKeyAlias river\n  ServerAliveInterval 15\n  \
         ServerAliveCountMax 4\n  ControlMaster auto\n  ControlPath ~/.ssh/river-%C\n  ControlPersist 60\n"
    );
    text.push_str(&hosts(boxes.into_iter()));
    text.push_str("# river: end\n");
    text
}

/// One short `Host` for each box, so that editors list them.
pub fn hosts<'a>(boxes: impl Iterator<Item = &'a Arc<Task>>) -> String {
    boxes.fold(String::new(), |mut text, vps| {
        let _ = write!(
            text,
            "Host {} {}\n  User {}\n",
            vps.name,
            vps.label(),
            vps.label()
        );
        text
    })
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
