//! The locks, condition variables, atomics and threads that `node` and the handles of `ffi` are made of: those of the
//! standard library. Named in one place, so that `tests/threads` can compile the same files with primitives that try
//! every order in which threads may run.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, atomic};
pub(crate) use std::thread;
