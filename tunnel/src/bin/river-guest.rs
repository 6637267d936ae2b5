//! `river-guest run RUN_DIR OUT_DIR`: the supervisor of one box. Static, small.

use std::path::PathBuf;
use std::process::exit;

fn main() {
    let words: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match &words[..] {
        [verb, run, out] if verb.as_os_str() == "launch" => {
            exit(tunnel::guest::launch::launch(run, out))
        }
        [verb, run, out] if verb.as_os_str() == "run" => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let ended = runtime
                .map_err(anyhow::Error::from)
                .and_then(|runtime| runtime.block_on(tunnel::guest::run(run, out)));
            match ended {
                Ok(code) => exit(code),
                Err(error) => {
                    eprintln!("river-guest: {error:#}");
                    exit(125);
                }
            }
        }
        [verb] if verb.as_os_str() == "enter" => exit(tunnel::guest::enter::enter()),
        [verb, ..] if verb.as_os_str() == "scp" => {
            exit(tunnel::guest::scp::run(std::env::args_os().skip(2)))
        }
        [verb] if verb.as_os_str() == "--version" => {
            eprintln!("river-guest {}", env!("CARGO_PKG_VERSION"));
        }
        _ => {
            eprintln!("river-guest: usage: river-guest run RUN_DIR OUT_DIR");
            exit(2);
        }
    }
}
