//! Locks: who holds them, what is acquired and given back, and what becomes of holders that meet.

mod acquire;
mod conflict;
mod hold;
mod node_set;
mod own;
mod shares;

pub(crate) use acquire::Acquired;
pub(crate) use hold::Holds;
pub(crate) use shares::LockState;
