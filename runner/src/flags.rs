//! What is said to `river-runner` on its command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs on a node what the gateway assigned to it. Dials out; listens on nothing.
#[derive(Parser)]
#[command(name = "river-runner", version)]
pub struct Flags {
    /// Configuration file
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        default_value = "/etc/river/runner.toml"
    )]
    pub config: PathBuf,
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Serve (the default)
    Serve,
    /// Become a node of the gateway, once
    Join {
        /// A file with the token of `node invite`, or - for standard input
        #[arg(long, value_name = "FILE")]
        token_file: PathBuf,
    },
    /// Print the name of the node that this machine is
    Node,
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
}

#[derive(Subcommand)]
pub enum Init {
    /// A commented configuration
    Config,
    /// A systemd unit
    Service,
}

#[derive(Subcommand)]
pub enum ConfigVerb {
    /// Say what is wrong with it, by line
    Check { file: PathBuf },
}
