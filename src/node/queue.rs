//! Queues of events, as the application sees them.

use super::queue_core::{End, QueueCore, Wait};
use super::shared::Shared;
use super::{Event, Node, Result, log};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// What is called with each event. Dropped exactly once, after its last call, with no lock held.
pub type Handler = Box<dyn Fn(&Arc<Event>) + Send + Sync>;

/// A queue; clones are the same queue. It lives until [`Queue::close`], whatever becomes of its node.
#[derive(Clone)]
pub struct Queue {
    pub(super) shared: Arc<Shared>,
    pub(super) core: Arc<QueueCore>,
}

impl Queue {
    /// `Closed`: the node is closed. `Io`: no descriptor is left.
    pub fn new(node: &Node) -> Result<Self> {
        let shared = node.shared();
        shared.check_open()?;
        let core = Arc::new(QueueCore::new());
        // Here and not later, so that `wake` finds it in a signal handler.
        core.fd()?;
        shared.add_queue(&core)?;
        Ok(Self { shared: shared.clone(), core })
    }

    /// A descriptor that is readable exactly while the queue has something (or was woken), until `close`. Level
    /// triggered; not to be read, written or closed.
    pub fn fd(&self) -> Result<RawFd> {
        Ok(self.core.asked_fd()?.as_raw_fd())
    }

    /// The oldest event. `Timeout`: there was none in time, or the wait was ended by `wake`. `Closed`: the queue is
    /// freed, or the node is closed and its last event has been taken.
    pub fn next(&self, timeout_ms: i64) -> Result<Arc<Event>> {
        let (event, after) = self.core.take(&Wait::from_ms(timeout_ms)?)?;
        self.shared.settle(after);
        Ok(event)
    }

    /// Replaces the handler of the queue. A call of the old one may still be running on another thread. When this
    /// fails (`Closed`: freed), the new handler is dropped.
    pub fn set_handler(&self, handler: Option<Handler>) -> Result<()> {
        self.core.set_handler(handler)
    }

    /// Calls handlers for at most `max` events (0: as many as wait when it begins); waits for the first, and for its
    /// turn while another thread dispatches. Gives the number of calls. `Timeout`: no event in time, or woken by
    /// `wake`. `WouldDeadlock`: inside a callback of this queue. `State`: the first event has no handler. `Closed` as
    /// `next`.
    pub fn dispatch(&self, max: u32, timeout_ms: i64) -> Result<u32> {
        self.core.dispatch(&self.shared, max, &Wait::from_ms(timeout_ms)?)
    }

    /// Starts the thread "convoke/queue", which does nothing but dispatch, with all signals blocked. It ends by
    /// `stop_thread`, with `close`, and after the last event when the node is closed. `State`: it runs already.
    pub fn start_thread(&self) -> Result<()> {
        self.core.start_thread(&self.shared)
    }

    /// Ends the thread and waits for it; fine when there is none. `Timeout`: it ends when its callback returns.
    /// `WouldDeadlock`: called by its own callback; it ends after that.
    pub fn stop_thread(&self, timeout_ms: i64) -> Result<()> {
        self.core.stop_thread(&Wait::from_ms(timeout_ms)?)
    }

    /// Ends a wait in `next` or `dispatch` early, with `Timeout`; if nobody waits, the next wait that finds no event.
    /// Several wakes before that are one. Async-signal-safe.
    pub fn wake(&self) {
        self.core.wake();
    }

    /// From now on the queue gets LOG events of all nodes of this OS process, up to this level; 0: none any more. Too many
    /// unread ones are dropped and counted. `Invalid`: there is no such level.
    pub fn log(&self, max_level: i32) -> Result<()> {
        log::log_to_queue(&self.core, max_level)
    }

    /// Frees the queue: no new callback starts, what waits is dropped, every later call gives `Closed`. Never waits
    /// for a callback. Processes that were spawned on it live on; what comes for them is dropped.
    pub fn close(&self) {
        if self.core.lock().end != End::Freed {
            self.shared.remove_queue(&self.core);
            log::forget_queue(&self.core);
            self.shared.settle(self.core.free());
        }
    }
}
