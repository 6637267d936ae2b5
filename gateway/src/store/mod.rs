//! What survives a power failure: SQLite rows, the audit table, and files for input and output.

pub mod history;
mod lock;
pub mod output;
mod rows;
mod schema;
pub mod spool;
mod sqlite;

pub use history::HistoryReader;
pub use output::OutputStore;
pub use spool::SpoolStore;
pub use sqlite::{CommitError, Loaded, Store};

#[cfg(test)]
mod tests;
