//! Queues of events.

use crate::node::{Event, Node, Result};
use std::os::fd::RawFd;
use std::sync::Arc;

/// What is called with each event. Dropped exactly once, after its last call, with no lock held.
pub type Handler = Box<dyn Fn(&Arc<Event>) + Send + Sync>;

/// A queue; clones are the same queue.
#[derive(Clone)]
pub struct Queue {}

impl Queue {
    pub fn new(_node: &Node) -> Result<Queue> {
        Ok(Queue {})
    }
    /// A descriptor that is readable exactly while the queue has something (or was woken), until `close`.
    pub fn fd(&self) -> Result<RawFd> {
        Ok(-1)
    }
    /// The oldest event. `Timeout` when there was none in time or the wait was ended by `wake`; `Closed` after the last.
    pub fn next(&self, _timeout_ms: i64) -> Result<Arc<Event>> {
        Err(crate::engine::Status::Timeout.into())
    }
    /// Replaces the handler of the queue. A call of the old one may still be running on another thread. When this
    /// fails, the new handler is dropped.
    pub fn set_handler(&self, _handler: Option<Handler>) -> Result<()> {
        Ok(())
    }
    /// Calls handlers for at most `max` events (0: as many as wait at the start); waits for the first. How many calls
    /// were made, at least one; `Timeout` when there was none, `WouldDeadlock` inside a callback of this queue.
    pub fn dispatch(&self, _max: u32, _timeout_ms: i64) -> Result<u32> {
        Ok(0)
    }
    /// Starts the thread that does nothing but dispatch. `State`: it runs already.
    pub fn start_thread(&self) -> Result<()> {
        Ok(())
    }
    /// Ends the thread and waits for it. `WouldDeadlock` from its own callback: it ends after that.
    pub fn stop_thread(&self, _timeout_ms: i64) -> Result<()> {
        Ok(())
    }
    /// Ends the present or the next wait in `next` or `dispatch` early, with `Timeout`. Async-signal-safe.
    pub fn wake(&self) {}
    /// Frees the queue: no new callback starts, what waits is dropped, every later call gives `Closed`.
    pub fn close(&self) {}
}
