//! What survives a power failure: SQLite rows, the audit table, and files for input and output.

mod audit;
pub mod backup;
pub mod check;
mod directory_log;
pub mod history;
mod lock;
mod numbers;
pub mod output;
mod place;
mod room;
mod rows;
mod schema;
pub mod spool;
mod sqlite;

pub use backup::{backup, restore};
pub use check::check;
pub use history::HistoryReader;
pub use output::OutputStore;
pub use place::look_through;
pub use spool::SpoolStore;
pub use sqlite::{CommitError, Loaded, Store};

#[cfg(test)]
mod tests;
