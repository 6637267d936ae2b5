//! The SSH front door, hop by hop: socket, authentication, destination, session.

mod auth;
mod connection;
pub mod destination;
mod door;
mod handler;
pub mod keyring;
mod leash;
mod server;
mod visit;

pub use connection::{Connection, Departure};
pub use server::serve;
