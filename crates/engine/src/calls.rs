//! Calls that wait for something: operations that another node runs, `sync` and `join`.

mod forward;
mod sync;

pub(crate) use forward::{Caller, Forwards, Work};
pub(crate) use sync::Meeting;
