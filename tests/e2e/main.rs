//! For people: real `ssh` against a gateway and a runner, with real containers and plain processes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod algorithms;
mod bad_input;
mod batch;
mod bootstrap;
mod clients;
mod clone;
mod confined;
mod data;
mod editors;
mod ending;
mod forward;
mod guests;
mod hostile;
mod images;
mod login;
mod newcomer;
mod operate;
mod queue;
mod restart;
mod rights;
mod snapshot;
mod task;
mod terminal;
mod versions;
mod vps;
