//! Clusters of real OS processes, each in a network namespace of its own, while their network and they themselves are
//! mistreated. See docs/faults.md.

#[path = "../support/agent.rs"]
#[allow(dead_code)] // other tests use more of it
mod agent;
mod checker;
mod cluster;
mod namespace;
mod random;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
mod switch;
