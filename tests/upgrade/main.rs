//! `make upgrade`: this build together with an older one, both ways, and from one to the other with everything running.
//! Prints what was seen; ends with an error where something was not as it must be.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program for those who work on river"
)]

mod load;
mod mixed;

use std::path::PathBuf;

use harness::Build;

fn main() {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| panic!("usage: upgrade FOLDER-WITH-THE-OLDER-PROGRAMS"));
    let older = Build::at(&folder);
    for path in [&older.gateway, &older.runner, &older.guest] {
        assert!(path.is_file(), "{} is missing", path.display());
    }
    let newer = Build::own();
    println!(
        "older: {}\nnewer: {}",
        folder.display(),
        newer.gateway.display()
    );
    mixed::together("older gateway, newer runner and guests", &older, &newer);
    mixed::together("newer gateway, older runner and guests", &newer, &older);
    mixed::half_a_wish(&newer, &older);
    mixed::step_by_step(&older, &newer);
    load::under_load(&older, &newer);
    println!("all as it must be");
}
