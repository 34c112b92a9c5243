//! Calls: who is answered, operations that another node runs, `sync` and `join`.

mod answers;
mod forward;
mod sync;

pub(crate) use answers::{Caller, Calls, Work};
