//! Clusters of real OS processes, each in a network namespace of its own, while their network and they themselves are
//! mistreated. See docs/faults.md.

use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[path = "../support/agent.rs"]
#[allow(dead_code)] // other tests use more of it
mod agent;
mod checker;
mod cluster;
mod namespace;
mod outside;
mod peer;
#[path = "../support/ports.rs"]
mod ports;
mod random;
mod scenarios;
mod soak;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod switch;
mod work;

/// Says what cannot be tested here, to whoever runs the tests, whether they show the output of tests or not.
fn skipped(what: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = writeln!(std::io::stderr(), "SKIPPED in {test}: {what} (docs/faults.md says what is needed)");
}

/// One of those at a time that have enough to do for the whole machine. The others mostly wait, and run beside them.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an environment variable says.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} takes a number, not {text}")))
}
