//! The simulator: several real engines in one thread, with a virtual clock and a virtual network, and one seed that
//! decides everything. It checks the promises to the caller; the number of the promise stands in the failure.
//!
//! `CONVOKE_SIM_SEEDS=n` runs n seeds, each once in every mode; `CONVOKE_SIM_FOREVER=1` fresh ones until one is red;
//! `CONVOKE_SIM_FROM=n` starts at another seed, `CONVOKE_SIM_MODE=stable|join|faulty` runs one mode, `CONVOKE_SIM_SEED=n`
//! replays one seed with a trace on stderr. docs/simulator.md tells the rest.

mod answers;
mod blame;
mod book;
mod calm;
mod campaign;
mod checks;
mod departures;
mod exits;
mod group_checks;
mod groups;
mod host;
mod linear;
mod lock_book;
mod lock_checks;
mod lock_history;
mod lock_rest;
mod locks;
mod messages;
mod misfortune;
#[cfg(feature = "faults")]
mod mutants;
mod name_history;
mod network;
mod outputs;
mod plan;
mod resolvers;
mod rest;
mod rng;
mod seeds;
mod trace;
mod workload;
mod world;

use campaign::{modes, number, run_many};
use plan::Mode;
use std::panic::{AssertUnwindSafe, catch_unwind};
use trace::Tracing;
use world::World;

/// What a run came to, and its world.
fn run(mode: Mode, seed: u64, tracing: Tracing) -> (World, Result<(), String>) {
    let mut world = World::new(seed, mode, tracing);
    let result = attempt(&mut world);
    (world, result)
}

fn attempt(world: &mut World) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| world.run())).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("of an unknown kind");
        Err(format!("P7: a panic: {text}"))
    })
}

/// Runs the seed again, traced, and says all that is known.
fn report(mode: Mode, seed: u64) -> String {
    let (world, result) = run(mode, seed, Tracing::Keep);
    let what =
        result.err().unwrap_or_else(|| "and now it passes: something is not decided by the seed".into());
    format!(
        "seed {seed} in {mode} mode breaks a promise\n{lines}\n{what}\n\nreplay: CONVOKE_SIM_SEED={seed} CONVOKE_SIM_MODE={mode} cargo test --test sim replay -- --nocapture\n",
        mode = mode.name(),
        lines = world.trace.last_lines(),
    )
}

/// A run that fails prints what it found; the panics that it caught would only stand in the way.
fn silence_panics() {
    if number("CONVOKE_SIM_SEED").is_none() {
        std::panic::set_hook(Box::new(|info| {
            let simulated = std::thread::current().name().is_none();
            if !simulated {
                eprintln!("{info}");
            }
        }));
    }
}

#[test]
fn promises_hold() {
    if number("CONVOKE_SIM_SEED").is_some() {
        return; // `replay` does that one.
    }
    silence_panics();
    let result = if number("CONVOKE_SIM_FOREVER").is_some_and(|n| n > 0) {
        // Other seeds each time; which, is said every minute.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let fresh = now.map_or(1, |age| age.as_millis() as u64);
        run_many(modes(), number("CONVOKE_SIM_FROM").unwrap_or(fresh), None)
    } else {
        let usual = if cfg!(debug_assertions) { 300 } else { 2_000 };
        let count = number("CONVOKE_SIM_SEEDS").unwrap_or(usual);
        run_many(modes(), number("CONVOKE_SIM_FROM").unwrap_or(1), Some(count))
    };
    if let Err(failure) = result {
        panic!("{failure}");
    }
}

#[test]
fn replay() {
    let Some(seed) = number("CONVOKE_SIM_SEED") else { return };
    for mode in modes() {
        let (_, result) = run(mode, seed, Tracing::Print);
        if let Err(what) = result {
            panic!("seed {seed} in {} mode: {what}", mode.name());
        }
    }
}

#[test]
fn kept_seeds_hold() {
    for (mode, seed, why) in seeds::KEPT {
        let (_, result) = run(*mode, *seed, Tracing::Off);
        assert!(result.is_ok(), "{why} is back: {}", report(*mode, *seed));
    }
}

/// Without this nothing that the simulator finds could be found again. Whatever it can do happens in these runs.
#[test]
fn the_same_seed_makes_the_same_run() {
    let mut stats = book::Stats::default();
    for mode in Mode::ALL {
        // Some things are rare, and happen in faulty runs only.
        for seed in 1..=if mode == Mode::Faulty { 240 } else { 40 } {
            let digest = |stats: &mut book::Stats| {
                let world = run(mode, seed, Tracing::Keep).0;
                stats.add(&world.book.stats);
                world.trace.digest()
            };
            let first = digest(&mut stats);
            assert!(first.0 > 10, "a run without events");
            assert_eq!(
                first,
                digest(&mut stats),
                "seed {seed} in {} mode made two different runs",
                mode.name()
            );
        }
    }
    let happened = [
        ("clashes", stats.conflicts),
        ("calls of resolvers", stats.resolver_calls),
        ("replaced bindings", stats.replaced),
        ("locks", stats.locked),
        ("locks lost to broken links", stats.lost_minority),
        ("locks lost to a second holder", stats.lost_second),
        ("lost locks that end as they meet a holder", stats.lost_ended),
        ("scopes", stats.scopes),
        ("groups", stats.joined),
        ("messages", stats.delivered),
        ("refused messages", stats.refused),
        ("sync", stats.synced),
        ("nodes that join before they are open", stats.opened),
        ("crashes", stats.crashes),
        ("deaths that were found out", stats.found_dead),
        ("swizzles", stats.swizzles),
        ("clocks that jump", stats.jumps),
        ("histories", stats.histories),
    ];
    for (what, count) in happened {
        assert!(count > 0, "none of these runs has any {what}: {stats:?}");
    }
}
