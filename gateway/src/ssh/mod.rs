//! The SSH front door, hop by hop: socket, authentication, destination, session.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

mod auth;
mod connection;
pub mod destination;
mod door;
pub mod enter;
mod environment;
mod handler;
pub mod keyring;
mod knock;
mod leash;
mod mistake;
mod places;
mod recall;
mod requests;
mod server;
mod visit;
mod x11;

pub use connection::{Connection, Departure};
pub use server::serve;
