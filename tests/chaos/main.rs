//! `make chaos`: the real programs, in a cluster of namespaces, under faults; and an oracle outside of the product.
//!
//! `river-chaos [--seed N] [--small] [--list] [ROW…]`. A row's name is that of `docs/chaos.md`. A failure prints the
//! line that plays it again.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on says so and ends"
)]

mod client;
mod cluster;
mod disk;
mod host;
mod ledger;
mod load;
mod memory;
mod node;
mod proxy;
mod residue;
mod rows;
mod space;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use rows::{ROWS, Row};

struct Wish {
    seed: u64,
    small: bool,
    rows: Vec<&'static Row>,
}

fn wish() -> Result<Option<Wish>, String> {
    let mut wish = Wish {
        seed: 1,
        small: false,
        rows: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seed" => {
                let seed = words.next().and_then(|seed| seed.parse().ok());
                wish.seed = seed.ok_or("--seed N")?;
            }
            "--small" => wish.small = true,
            "--list" => {
                for row in ROWS {
                    println!("{:<6} {}", row.name, row.fault);
                }
                return Ok(None);
            }
            name => {
                let row = ROWS.iter().find(|row| row.name == name);
                wish.rows
                    .push(row.ok_or(format!("{name}: no such row; --list shows them"))?);
            }
        }
    }
    if wish.rows.is_empty() {
        wish.rows = ROWS.iter().filter(|row| row.small || !wish.small).collect();
    }
    Ok(Some(wish))
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("init") {
        space::init();
    }
    let wish = match wish() {
        Ok(Some(wish)) => wish,
        Ok(None) => return ExitCode::SUCCESS,
        Err(why) => {
            println!("{why}");
            return ExitCode::from(2);
        }
    };
    let before = host::look();
    // Before there is a second thread: what is started from here is in the gateway's network.
    let own = space::enter_gateway();
    let (failed, unplayed) = play(&wish);
    space::leave(&own);
    let left = host::left(&before, !failed.is_empty());
    if !left.is_empty() {
        println!("left on this machine: {left:#?}");
    }
    if failed.is_empty() && left.is_empty() {
        println!(
            "{} rows, seed {}: every bar met; not played: {unplayed}; nothing is left on this machine",
            wish.rows.len() - unplayed,
            wish.seed
        );
        ExitCode::SUCCESS
    } else {
        if !failed.is_empty() {
            println!("failed: {}", failed.join(" "));
        }
        ExitCode::FAILURE
    }
}

/// Row after row: the names of those that failed, and how many this machine cannot play.
fn play(wish: &Wish) -> (Vec<&'static str>, usize) {
    let mut failed = Vec::new();
    let mut unplayed = 0;
    for row in &wish.rows {
        if let Some(lacks) = row.lacks() {
            println!("{:<6} NOT PLAYED: {lacks}: {}", row.name, row.fault);
            unplayed += 1;
            continue;
        }
        let begun = Instant::now();
        let played = catch_unwind(AssertUnwindSafe(|| row.play(wish.seed, wish.small)));
        let took = begun.elapsed().as_secs();
        match played {
            Ok(seen) => println!("{:<6} ok    {took:>4} s  {}: {seen}", row.name, row.fault),
            Err(_) => {
                println!("{:<6} FAIL  {took:>4} s  {}", row.name, row.fault);
                let small = if wish.small { " --small" } else { "" };
                println!(
                    "       again: river-chaos --seed {}{small} {}",
                    wish.seed, row.name
                );
                failed.push(row.name);
            }
        }
    }
    (failed, unplayed)
}
