//! Small things done by the guest itself with the rights of the box's user.

use std::io;

use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tokio::sync::oneshot;

use super::launch;
use super::user::{self, User};
use crate::wire::guest::{GuestRights, GuestSpec};

/// On a thread of its own, which ends with the work: rights are a thread's (credentials(7)), and what that one
/// gave up it does not get back.
pub(super) async fn as_user<T: Send + 'static>(
    spec: &GuestSpec,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let user = user::find(&spec.user).map_err(io::Error::other)?;
    let rights = spec.rights;
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().spawn(move || {
        let done = become_user(user.as_ref(), rights).and_then(|()| work());
        // Nobody may wait any more.
        let _ = sender.send(done);
    })?;
    receiver.await.map_err(io::Error::other)?
}

fn become_user(user: Option<&User>, rights: GuestRights) -> io::Result<()> {
    if let Some(user) = user {
        let uid = rustix::fs::Uid::from_raw(user.uid);
        let gid = rustix::fs::Gid::from_raw(user.gid);
        let groups = user.groups.iter().copied();
        let groups: Vec<_> = groups.map(rustix::fs::Gid::from_raw).collect();
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
    }
    match rights {
        GuestRights::None => launch::give_up_capabilities(),
        GuestRights::Box => Ok(()),
    }
}
