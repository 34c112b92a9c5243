//! Calls that wait for something: operations that another node runs, `sync` and `join`.

mod forward;
mod sync;

pub(crate) use forward::{Caller, Calls, Work};
