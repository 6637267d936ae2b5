//! Upgraded in place while people submit: none fails with one retry, none is lost, none runs twice.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::wait::until;
use harness::{Build, Engine, River};

/// Submits in all, and a second.
const ALL: usize = 300;
const RATE: u64 = 10;

/// What one submit came to.
struct Told {
    id: String,
    again: bool,
    /// From the first try to the id.
    took: Duration,
}

pub(super) fn under_load(older: &Build, newer: &Build) {
    let mut river = River::start_of(Engine::Process, 4, "", older.clone());
    let (alice, port, starts) = (river.admin.clone(), river.port, river.data.join("starts"));
    std::fs::write(&starts, "").unwrap();
    let told: Mutex<BTreeMap<usize, Told>> = Mutex::default();
    let done = AtomicUsize::new(0);
    let submit = |number: usize| {
        // Each says that it began; the same key twice is the same task.
        let line = format!(
            "task submit -q -c 0 --key k{number} --name s{number} -- sh -c 'echo {number} >> {}'",
            starts.display()
        );
        alice.ssh(&line)
    };
    let one = |number: usize| {
        let begun = Instant::now();
        let mut run = submit(number);
        let again = run.code != 0;
        if again {
            until("the gateway is back", || {
                std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            run = submit(number);
        }
        let id = run.good().trim().to_owned();
        let took = begun.elapsed();
        told.lock()
            .unwrap()
            .insert(number, Told { id, again, took });
        done.fetch_add(1, Ordering::Relaxed);
    };
    let mut away = Vec::new();
    std::thread::scope(|scope| {
        let one = &one;
        scope.spawn(move || {
            let begun = Instant::now();
            for number in 0..ALL {
                let due = Duration::from_millis(number as u64 * 1000 / RATE);
                until("its moment", || begun.elapsed() >= due);
                scope.spawn(move || one(number));
            }
        });
        let quarter = |count: usize| {
            until("a quarter more", || {
                done.load(Ordering::Relaxed) >= count * ALL / 4
            });
        };
        quarter(1);
        river.change(newer, older);
        away.push(("older to newer gateway", restart(&mut river)));
        quarter(2);
        river.change(newer, newer);
        river.kill_runner();
        river.start_runner();
        quarter(3);
        away.push(("newer gateway again", restart(&mut river)));
    });
    report(&river, &told.into_inner().unwrap(), &away);
    let begun = std::fs::read_to_string(&starts).unwrap();
    let mut begun: Vec<usize> = begun.lines().map(|line| line.parse().unwrap()).collect();
    begun.sort_unstable();
    assert_eq!(begun, (0..ALL).collect::<Vec<_>>(), "each ran once");
    println!("  each of {ALL} began exactly once");
}

/// How long nobody could connect.
fn restart(river: &mut River) -> Duration {
    let begun = Instant::now();
    river.end_gateway();
    river.start_gateway();
    begun.elapsed()
}

fn report(river: &River, told: &BTreeMap<usize, Told>, away: &[(&str, Duration)]) {
    let alice = &river.admin;
    assert_eq!(told.len(), ALL, "each was acknowledged");
    for (number, told) in told {
        let waited = alice.ssh(&format!("task wait {}", told.id));
        assert_eq!(waited.code, 0, "s{number}: {}", waited.stderr);
    }
    let list = alice.ssh("task list -a -n 1000 --json").good();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let rows = list["tasks"].as_array().unwrap();
    assert_eq!(rows.len(), ALL, "none lost, none twice");
    for row in rows {
        let number: usize = row["name"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(row["id"].to_string(), told[&number].id, "s{number}");
    }
    let mut took: Vec<Duration> = told.values().map(|told| told.took).collect();
    took.sort();
    let again = told.values().filter(|told| told.again).count();
    println!(
        "upgraded in place at {RATE} submits a second, {ALL} in all, gateway twice and runner once:"
    );
    println!(
        "  0 failed, {again} tried once more; from first try to id: median {} ms, longest {} ms",
        took[ALL / 2].as_millis(),
        took[ALL - 1].as_millis()
    );
    for (what, time) in away {
        println!(
            "  {what}: {} ms from SIGTERM until it listens again",
            time.as_millis()
        );
    }
}
