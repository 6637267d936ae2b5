//! Any order, loss and restart: a cluster on paper, under a seed.
//!
//! The checker believes only what an outside saw: ids that were acknowledged, starts that nodes made.
//! `SEED=n` plays one seed, `SEEDS=n` the first n, `STEPS=n` more steps.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod check;
mod world;

use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn nothing_acknowledged_is_lost_twice_or_wrong() {
    let steps = number("STEPS").unwrap_or(400);
    let first = 0..number("SEEDS").unwrap_or(60);
    let seeds = number("SEED").map_or(first, |seed| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..steps {
                world.step();
                world.watch();
            }
            world.settle();
            world.check();
        });
        assert!(outcome.is_ok(), "failed with SEED={seed} STEPS={steps}");
    }
}
