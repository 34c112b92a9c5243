//! What callers' threads hand to the node's thread.

use crate::flow::{INITIAL_CREDIT, Window};
use crate::model::{ClashAnswer, Command, ConnectionId, LockRow, Name, Status, Time};
use crate::node::observe::Observed;
use crate::node::shared::closed;
use crate::node::{Error, Reply, Result};
use crate::os::EventFd;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, MutexGuard, thread};
use crate::wire::Protection;
use std::io;
use std::sync::PoisonError;
use std::sync::mpsc::SyncSender;

/// One thing for the engine to do.
#[derive(Debug)]
pub enum Request {
    /// `reply`: who waits for the answer; [`operation_of`](super::operation_of) names the operation.
    Command { command: Command, reply: Option<Reply> },
    /// The application has taken messages of this window: `Engine::handle_taken`.
    Taken { window: Window, messages: u64, bytes: u64 },
    /// A resolver function has been called for this clash, and may run until then.
    Resolving { call: u64, until: Time },
    /// It has answered: `Engine::handle_resolved`.
    Resolved { call: u64, answer: ClashAnswer },
    /// `Engine::locks`: of one resource, or of all. The caller hears by the end of the channel when nobody answers.
    Locks { resource: Option<Name>, answer: SyncSender<Vec<LockRow>> },
    /// What the node is doing. The caller hears by the end of the channel when nobody answers.
    Observe { inspect: bool, answer: SyncSender<Box<Observed>> },
    /// Links that were made under what this has replaced are to be ended. It may have been replaced itself since.
    EndReplaced { by: Protection },
    /// A test cuts or heals a link.
    #[cfg(feature = "test-hooks")]
    Hook(crate::testing::Hook),
}

impl Request {
    /// An eighth of the window that every pair has is much; less is told in passing.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Command { .. }
            | Self::Locks { .. }
            | Self::Observe { .. }
            | Self::EndReplaced { .. }
            | Self::Resolving { .. }
            | Self::Resolved { .. } => true,
            #[cfg(feature = "test-hooks")]
            Self::Hook(_) => true,
            Self::Taken { messages, bytes, .. } => {
                *messages >= INITIAL_CREDIT.messages / 8 || *bytes >= INITIAL_CREDIT.bytes / 8
            }
        }
    }
}

/// So many reports are much, too, however small.
const SMALL_REPORTS: usize = 32;

/// With so many requests waiting a caller offers its processor to the node's thread.
const FAR_AHEAD: usize = 16_384;

/// Many threads push, the node's thread drains. The eventfd is written only while the node's thread sleeps.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    /// What `eager` is to be at the next sleep.
    room_wanted: AtomicBool,
    fd: EventFd,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    dirty: Vec<ConnectionId>,
    sleeping: bool,
    /// Every report wakes a thread that sleeps.
    eager: bool,
    closed: bool,
    /// How often the node's thread has slept.
    wakeups: u64,
}

impl Inbox {
    pub fn new() -> io::Result<Self> {
        Ok(Self { state: Mutex::default(), room_wanted: AtomicBool::new(false), fd: EventFd::new()? })
    }

    /// Hands over a request. `Closed`: the node's thread takes no more; the request is dropped.
    ///
    /// A report on a few messages does not wake the node's thread, unless a peer waits for room: that would cost every
    /// message that is answered one more change of threads. It is read with whatever wakes the thread next; a peer that
    /// comes to need the room asks for it, and that does.
    pub fn push(&self, request: Request) -> Result<()> {
        self.push_if_room(request, usize::MAX)
    }

    /// As `push`. `Full`: so many requests lie there already.
    pub fn push_if_room(&self, request: Request, most: usize) -> Result<()> {
        let mut state = self.lock();
        if state.closed {
            return Err(closed());
        }
        let waiting = state.requests.len();
        if waiting >= most {
            drop(state);
            thread::yield_now();
            let text = "the node has not got round to earlier calls; limits.operations";
            return Err(Error::new(Status::Full, text));
        }
        match (&request, state.requests.last_mut()) {
            // Reports on one window, one behind the other, are one report.
            (
                Request::Taken { window, messages, bytes },
                Some(Request::Taken { window: same, messages: all_messages, bytes: all_bytes }),
            ) if window == same => {
                *all_messages += messages;
                *all_bytes += bytes;
            }
            _ => state.requests.push(request),
        }
        let is_urgent = state.eager
            || state.requests.len() > SMALL_REPORTS
            || state.requests.last().is_some_and(Request::is_urgent);
        if is_urgent {
            self.wake(state);
        } else {
            drop(state);
        }
        // Callers that run far ahead of the node's thread may be what keeps it from running.
        if waiting >= FAR_AHEAD {
            thread::yield_now();
        }
        Ok(())
    }

    /// The outbox of this connection has something to write.
    pub fn poke(&self, connection: ConnectionId) {
        let mut state = self.lock();
        state.dirty.push(connection);
        self.wake(state);
    }

    /// Takes what was pushed, in order. `into` should be empty: its buffer is swapped in for the next pushes.
    pub fn drain(&self, into: &mut Vec<Request>) {
        let mut state = self.lock();
        if into.is_empty() {
            std::mem::swap(&mut state.requests, into);
        } else {
            into.append(&mut state.requests);
        }
    }

    /// Takes the connections whose outboxes have something to write. Call [`LinkOutbox::begin`](super::LinkOutbox::begin)
    /// before looking into one.
    pub fn drain_dirty(&self, into: &mut Vec<ConnectionId>) {
        into.append(&mut self.lock().dirty);
    }

    /// From the node's thread: whether other nodes wait for room.
    pub fn set_room_wanted(&self, is_wanted: bool) {
        self.room_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// The node's thread is about to sleep on the eventfd. `false`: something is there, do not sleep.
    pub fn prepare_sleep(&self) -> bool {
        let mut state = self.lock();
        state.eager = self.room_wanted.load(Ordering::Relaxed);
        state.sleeping = state.requests.is_empty() && state.dirty.is_empty();
        state.sleeping
    }

    /// The node's thread is awake again, for whatever reason. The eventfd stays set: it is watched for being set anew,
    /// and a system call for each wake-up is spared.
    pub fn awake(&self) {
        let mut state = self.lock();
        state.sleeping = false;
        state.wakeups += 1;
    }

    /// Set when there is something for a sleeping node's thread, never cleared.
    pub fn event_fd(&self) -> &EventFd {
        &self.fd
    }

    /// Requests that wait, and how often the node's thread was woken.
    pub(super) fn figures(&self) -> (u64, u64) {
        let state = self.lock();
        (state.requests.len() as u64, state.wakeups)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().requests.len()
    }

    /// Nothing can be pushed any more; what is there is handed out a last time.
    pub(super) fn close(&self) -> Vec<Request> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.requests)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeping = std::mem::take(&mut state.sleeping);
        drop(state);
        if sleeping {
            self.fd.set();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
