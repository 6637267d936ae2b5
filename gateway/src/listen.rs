//! The one listening socket: a service manager's (systemd.socket(5)) where it hands one over, else made here.
//!
//! A socket that the service manager keeps outlives a restart of the gateway: who connects meanwhile waits in its
//! queue, and is not refused.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::info;

/// Connections that wait to be accepted: runners and people all come back at once after a restart.
const QUEUE: i32 = 1024;

/// # Errors
/// When the address is taken or not ours, or what was handed over is no listening socket.
pub fn listen(at: SocketAddr) -> anyhow::Result<TcpListener> {
    let handed = ListenFd::from_env()
        .take_tcp_listener(0)
        .context("what the service manager handed over is no listening socket")?;
    let listener = match handed {
        Some(listener) => {
            let at = listener.local_addr()?;
            info!(%at, "listens on the service manager's socket");
            listener
        }
        None => bind(at).with_context(|| format!("cannot listen on {at}"))?,
    };
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind(at: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    // The port of a gateway that has just ended may be taken at once (socket(7)).
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(QUEUE)?;
    Ok(socket.into())
}
