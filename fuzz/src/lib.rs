//! The functions that `tests/fuzz` tries on every toolchain, for the fuzzers.

// Part of what the tests of the engine are made of: the rest is theirs.
#[path = "../../tests/engine/asks.rs"]
#[allow(dead_code)]
mod asks;
#[path = "../../tests/engine/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../../tests/engine/outputs.rs"]
mod outputs;
#[path = "../../tests/engine/passage.rs"]
#[allow(dead_code)]
mod passage;
#[path = "../../tests/fuzz/targets/mod.rs"]
#[allow(dead_code)]
pub mod targets;
