//! Threads for what strangers can make a node compute: the keys and signatures of TLS.
//!
//! They are few, so that a flood of handshakes leaves the machine to others; they begin when there is something to do and
//! end soon after. A connection has one piece of work at a time, and what is not begun is dropped with its connection, so
//! what waits is bounded by the connections that there may be.

use crate::os::with_signals_blocked;
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use crate::wire::{Work, Worked};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Poll, Waker};
use std::time::Duration;

/// A thread that has nothing to do ends after this time.
const IDLE: Duration = Duration::from_secs(1);
/// What waits, with what is left of connections that are over.
const MAX_WAITING: usize = 8192;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum State {
    Waits(Work),
    Runs,
    /// `None`: it has panicked.
    Done(Option<Worked>),
}

struct Piece {
    state: Mutex<State>,
    waker: Waker,
}

impl Piece {
    fn run(&self) {
        let state = std::mem::replace(&mut *lock(&self.state), State::Runs);
        if let State::Waits(work) = state {
            let worked = catch_unwind(AssertUnwindSafe(|| work.run())).ok();
            *lock(&self.state) = State::Done(worked);
            self.waker.wake_by_ref();
        }
    }
}

/// A piece of work that was given. Dropped: nobody wants it done any more.
pub(super) struct Errand(Arc<Piece>);

impl Errand {
    /// What came of it, once; `None`: nothing. The waker that it was given with is woken when it is there.
    pub(super) fn poll(&self) -> Poll<Option<Worked>> {
        match &mut *lock(&self.0.state) {
            State::Done(worked) => Poll::Ready(worked.take()),
            State::Waits(_) | State::Runs => Poll::Pending,
        }
    }
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Weak<Piece>>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The threads of one node.
pub(super) struct Workers {
    shared: Arc<Shared>,
    most: usize,
}

impl Default for Workers {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, |n| n.get());
        let shared = Shared { queue: Mutex::default(), changed: Condvar::new() };
        Workers { shared: Arc::new(shared), most: (processors / 2).clamp(1, 4) }
    }
}

impl Workers {
    /// `None`: there is no thread for it, or too much waits.
    pub(super) fn give(&self, work: Work, waker: &Waker) -> Option<Errand> {
        let piece = Arc::new(Piece { state: Mutex::new(State::Waits(work)), waker: waker.clone() });
        let mut queue = lock(&self.shared.queue);
        if queue.waiting.len() >= MAX_WAITING {
            queue.waiting.retain(|piece| piece.strong_count() > 0);
        }
        if queue.waiting.len() >= MAX_WAITING {
            return None;
        }
        queue.waiting.push_back(Arc::downgrade(&piece));
        if queue.idle < queue.waiting.len() && queue.threads < self.most {
            let shared = self.shared.clone();
            let started = with_signals_blocked(|| {
                thread::Builder::new().name("convoke/tls".into()).spawn(move || serve(&shared))
            });
            match started {
                Ok(_) => queue.threads += 1,
                Err(_) if queue.threads == 0 => {
                    queue.waiting.pop_back();
                    return None;
                }
                Err(_) => {} // those that there are do it
            }
        }
        self.shared.changed.notify_one();
        Some(Errand(piece))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        lock(&self.shared.queue).stopped = true;
        self.shared.changed.notify_all();
    }
}

fn serve(shared: &Shared) {
    let mut queue = lock(&shared.queue);
    while !queue.stopped {
        if let Some(piece) = queue.waiting.pop_front() {
            drop(queue);
            if let Some(piece) = piece.upgrade() {
                piece.run();
            }
            queue = lock(&shared.queue);
            continue;
        }
        queue.idle += 1;
        let (woken, timeout) =
            shared.changed.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
        queue = woken;
        queue.idle -= 1;
        if timeout.timed_out() && queue.waiting.is_empty() {
            break;
        }
    }
    queue.threads -= 1;
}
