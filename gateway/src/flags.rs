//! What is said to `river-gateway` on its command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The head of a river cluster: an SSH server whose command shell is the scheduler.
#[derive(Parser)]
#[command(name = "river-gateway", version)]
pub struct Flags {
    /// Configuration file; without one, the defaults
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Serve (the default)
    Serve,
    /// Print a file to begin with
    Init {
        #[command(subcommand)]
        what: Init,
    },
    /// Look at a configuration file
    Config {
        #[command(subcommand)]
        what: ConfigVerb,
    },
    /// Copy the store to a file, also while the gateway runs
    Backup {
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Put a copy in the place of the store, which is kept beside it; the gateway must be stopped
    Restore {
        #[arg(value_name = "FILE")]
        from: PathBuf,
    },
    /// Print a one-time invitation for an admin, for whoever lost all keys; the gateway must be stopped
    Invite,
    /// Read all of the store and say what is wrong with it, also while the gateway runs
    Check,
}

#[derive(Subcommand)]
pub enum Init {
    /// A commented configuration
    Config,
    /// A systemd unit, for what --config says
    Service,
}

#[derive(Subcommand)]
pub enum ConfigVerb {
    /// Say what is wrong with it, by line
    Check { file: PathBuf },
}
