//! The little of the operating system that the models need.

use crate::sync::{Condvar, Mutex};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Instant;

/// An eventfd as the kernel has it: readable while it is set, and an edge for who watches it at every write.
#[derive(Debug, Default)]
pub(crate) struct EventFd {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    readable: bool,
    writes: u64,
}

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::default())
    }

    pub(crate) fn set(&self) {
        let mut state = self.state.lock().unwrap();
        state.readable = true;
        state.writes += 1;
        self.changed.notify_all();
    }

    pub(crate) fn clear(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().readable)
    }

    /// Models have no time: who has a deadline waits for ever.
    pub(crate) fn wait(&self, _: Option<Instant>) -> bool {
        let mut state = self.state.lock().unwrap();
        while !state.readable {
            state = self.changed.wait(state).unwrap();
        }
        true
    }

    /// Waits for a write after the first `seen`, as an edge-triggered watch does. How many there are now.
    pub(crate) fn wait_edge(&self, seen: u64) -> u64 {
        let mut state = self.state.lock().unwrap();
        while state.writes == seen {
            state = self.changed.wait(state).unwrap();
        }
        state.writes
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.state.lock().unwrap().readable
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        0
    }
}

/// Nobody forks here.
pub(crate) fn fork_epoch() -> u32 {
    0
}

pub(crate) fn thread_number() -> usize {
    let mut hasher = DefaultHasher::new();
    crate::sync::thread::current().id().hash(&mut hasher);
    hasher.finish() as usize
}

pub(crate) fn with_signals_blocked<T>(what: impl FnOnce() -> T) -> T {
    what()
}
