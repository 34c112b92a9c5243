//! The engine by hand: each message in each state, and each promise, in schedules small enough to read. Random
//! schedules are the simulator's job.

mod asks;
mod claims;
mod clashes;
mod forward;
mod harness;
mod hostile;
mod names;
mod processes;
