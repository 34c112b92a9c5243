//! The simulator: several real engines in one thread, with a virtual clock and a virtual network, and one seed that
//! decides everything. It checks the promises to the caller; the number of the promise stands in the failure.
//!
//! `CONVOKE_SIM_SEEDS=n` runs n seeds in each mode, `CONVOKE_SIM_FROM=n` starts at another seed,
//! `CONVOKE_SIM_MODE=stable|join|faulty` runs one mode, `CONVOKE_SIM_SEED=n` replays one seed with a trace on stderr.

mod answers;
mod blame;
mod book;
mod checks;
mod exits;
mod group_checks;
mod groups;
mod host;
mod lock_book;
mod lock_checks;
mod lock_rest;
mod locks;
mod messages;
mod misfortune;
#[cfg(feature = "faults")]
mod mutants;
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

use book::Stats;
use plan::Mode;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
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

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn modes() -> Vec<Mode> {
    match std::env::var("CONVOKE_SIM_MODE").ok().and_then(|m| Mode::from_name(&m)) {
        Some(mode) => vec![mode],
        None => Mode::ALL.to_vec(),
    }
}

/// Runs seeds of one mode on all cores; the failure with the smallest seed is told.
fn run_many(mode: Mode, from: u64, count: u64) -> Result<Stats, String> {
    let next = AtomicU64::new(from);
    let failed = AtomicU64::new(u64::MAX);
    let total = Mutex::new(Stats::default());
    let workers = number("CONVOKE_SIM_THREADS")
        .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |n| n as usize);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut stats = Stats::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count || seed > failed.load(Ordering::Relaxed) {
                        break;
                    }
                    let (world, result) = run(mode, seed, Tracing::Off);
                    stats.add(&world.book.stats);
                    if result.is_err() {
                        failed.fetch_min(seed, Ordering::Relaxed);
                    }
                }
                if let Ok(mut total) = total.lock() {
                    total.add(&stats);
                }
            });
        }
    });
    match failed.into_inner() {
        u64::MAX => Ok(total.into_inner().unwrap_or_default()),
        seed => Err(report(mode, seed)),
    }
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
    let count = number("CONVOKE_SIM_SEEDS").unwrap_or(if cfg!(debug_assertions) { 400 } else { 2_000 });
    let from = number("CONVOKE_SIM_FROM").unwrap_or(1);
    for mode in modes() {
        let start = Instant::now();
        match run_many(mode, from, count) {
            Ok(stats) => {
                println!("{count} seeds in {} mode, {:?}: {stats:?}", mode.name(), start.elapsed());
            }
            Err(failure) => panic!("{failure}"),
        }
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

/// Without this nothing that the simulator finds could be found again.
#[test]
fn the_same_seed_makes_the_same_run() {
    for mode in Mode::ALL {
        for seed in 1..=20 {
            let digest = || run(mode, seed, Tracing::Keep).0.trace.digest();
            let first = digest();
            assert!(first.0 > 10, "a run without events");
            assert_eq!(first, digest(), "seed {seed} in {} mode made two different runs", mode.name());
        }
    }
}
