//! The engine by hand: each message in each state, and each promise, in schedules small enough to read. Random
//! schedules are the simulator's job.

mod asks;
mod harness;
mod names;
