//! `river-forward GATEWAY BOX PORT`: a UDP port of a box on this machine, through the system's ssh.

mod carry;

use std::process::ExitCode;

use clap::Parser;
use forward::flags::Flags;

fn main() -> ExitCode {
    match carry::run(&Flags::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(why) => {
            eprintln!("river-forward: {why}");
            ExitCode::FAILURE
        }
    }
}
