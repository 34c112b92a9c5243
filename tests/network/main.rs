//! Clusters of real OS processes, each in a network namespace of its own, while their network and they themselves are
//! mistreated. See docs/faults.md.

#[path = "../support/agent.rs"]
#[allow(dead_code)] // other tests use more of it
mod agent;
mod checker;
mod cluster;
mod namespace;
mod outside;
mod random;
mod scenarios;
mod soak;
#[path = "../support/mod.rs"]
mod support;
mod switch;
mod work;

/// What an environment variable says.
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} takes a number, not {text}")))
}
