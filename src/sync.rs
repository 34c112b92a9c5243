//! The locks, condition variables, atomics and threads that `node`, `mesh` and the handles of `ffi` are made of: those of the
//! standard library. Named in one place, so that `tests/threads` can compile the same files with primitives that try
//! every order in which threads may run, and ThreadSanitizer can be given such as it understands.

#[cfg(visible_locks)]
mod visible;

pub(crate) use std::sync::atomic;
#[cfg(not(visible_locks))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::thread;
#[cfg(visible_locks)]
pub(crate) use visible::{Condvar, Mutex, MutexGuard, RwLock};
