//! Processes of this node: their ends, their monitors, and the messages that they get.

mod process;

pub(crate) use process::{Process, Processes, Watch};
