//! What runs inside a box: supervises one command, keeps its output and its end, and serves those who
//! enter it.
//!
//! It is pid 1 of a container, or a process of its own under the `process` engine. It waits for nobody:
//! without a runner the command starts, writes and ends just the same.

mod act;
mod backlog;
mod children;
mod control;
mod display;
pub mod enter;
mod forward;
mod keep;
mod kept;
pub mod launch;
mod listen;
pub mod output;
mod own;
mod processes;
mod pty;
mod record;
pub mod scp;
mod serve;
mod session;
mod sftp;
mod shown;
mod splice;
mod stdin;
mod supervise;
mod terminal;
mod udp;
mod user;

#[cfg(any(test, feature = "properties"))]
pub use sftp::property::sftp as sftp_property;
pub use supervise::run;
