//! Threads for what strangers can make a node compute: the keys and signatures of TLS.
//!
//! They are few, so that a flood of handshakes leaves the machine to others; they begin when there is something to do and
//! end soon after. Origins have their turns, whatever waits from each, so that who comes seldom does not wait behind those
//! who never end; and a handshake that goes on, or that this node has begun, goes before one that a stranger begins. A connection has one piece of work at a time, and what is not begun is dropped with its connection, so
//! what waits is bounded by the connections that there may be.

use super::origin::Origin;
use super::{Work, Worked};
use crate::os::with_signals_blocked;
use crate::sync::{Condvar, Mutex, MutexGuard, thread};
use std::collections::{BTreeMap, VecDeque};
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
pub(crate) struct Job(Arc<Piece>);

impl Job {
    /// What came of it, once; `None`: nothing. The waker that it was given with is woken when it is there.
    pub(crate) fn poll(&self) -> Poll<Option<Worked>> {
        match &mut *lock(&self.0.state) {
            State::Done(worked) => Poll::Ready(worked.take()),
            State::Waits(_) | State::Runs => Poll::Pending,
        }
    }
}

/// What waits, an origin after the other.
struct Turns<T> {
    waiting: BTreeMap<Origin, VecDeque<T>>,
    /// Of origins with something that waits.
    order: VecDeque<Origin>,
    count: usize,
}

impl<T> Turns<T> {
    fn new() -> Self {
        Self { waiting: BTreeMap::new(), order: VecDeque::new(), count: 0 }
    }

    fn push(&mut self, origin: Origin, what: T) {
        let of_origin = self.waiting.entry(origin).or_default();
        if of_origin.is_empty() {
            self.order.push_back(origin);
        }
        of_origin.push_back(what);
        self.count += 1;
    }

    fn pop(&mut self) -> Option<T> {
        let origin = self.order.pop_front()?;
        let of_origin = self.waiting.get_mut(&origin)?;
        let what = of_origin.pop_front()?;
        if of_origin.is_empty() {
            self.waiting.remove(&origin);
        } else {
            self.order.push_back(origin);
        }
        self.count -= 1;
        Some(what)
    }

    fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) {
        for of_origin in self.waiting.values_mut() {
            of_origin.retain(&mut is_wanted);
        }
        self.waiting.retain(|_, of_origin| !of_origin.is_empty());
        self.order.retain(|origin| self.waiting.contains_key(origin));
        self.count = self.waiting.values().map(VecDeque::len).sum();
    }
}

struct Queue {
    first: Turns<Weak<Piece>>,
    /// What strangers begin.
    last: Turns<Weak<Piece>>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

impl Queue {
    fn count(&self) -> usize {
        self.first.count + self.last.count
    }
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The threads of one node.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    most: usize,
}

impl Default for Workers {
    fn default() -> Self {
        #[allow(unused_qualifications)] // under shuttle `thread` is another one, which has no processors
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
        let queue = Queue { first: Turns::new(), last: Turns::new(), threads: 0, idle: 0, stopped: false };
        let shared = Shared { queue: Mutex::new(queue), changed: Condvar::new() };
        Self { shared: Arc::new(shared), most: (processors / 2).clamp(1, 4) }
    }
}

impl Workers {
    /// `origin`: of the other end; `begins`: it has said its first word, unasked. `None`: there is no thread for it, or too
    /// much waits.
    pub(crate) fn give(&self, work: Work, origin: Origin, begins: bool, waker: &Waker) -> Option<Job> {
        let piece = Arc::new(Piece { state: Mutex::new(State::Waits(work)), waker: waker.clone() });
        let mut queue = lock(&self.shared.queue);
        if queue.count() >= MAX_WAITING {
            queue.first.retain(|piece| piece.strong_count() > 0);
            queue.last.retain(|piece| piece.strong_count() > 0);
        }
        if queue.count() >= MAX_WAITING {
            return None;
        }
        if queue.idle <= queue.count() && queue.threads < self.most {
            let shared = self.shared.clone();
            let started = with_signals_blocked(|| {
                thread::Builder::new().name("convoke/tls".into()).spawn(move || serve(&shared))
            });
            match started {
                Ok(_) => queue.threads += 1,
                Err(_) if queue.threads == 0 => return None,
                Err(_) => {} // those that there are do it
            }
        }
        let turns = if begins { &mut queue.last } else { &mut queue.first };
        turns.push(origin, Arc::downgrade(&piece));
        self.shared.changed.notify_one();
        Some(Job(piece))
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
        if let Some(piece) = queue.first.pop().or_else(|| queue.last.pop()) {
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
        if timeout.timed_out() && queue.count() == 0 {
            break;
        }
    }
    queue.threads -= 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(n: u32) -> Origin {
        Origin::of(Some(std::net::IpAddr::V4(n.into())))
    }

    #[test]
    fn who_comes_seldom_does_not_wait_behind_those_who_never_end() {
        let mut turns = Turns::new();
        for n in 0..1000 {
            turns.push(origin(n % 10), n);
        }
        turns.push(origin(99), 1000);
        let before = std::iter::from_fn(|| turns.pop()).position(|n| n == 1000);
        assert_eq!(before, Some(10));
        // In the order of each, and all of it.
        turns.push(origin(0), 2000);
        let rest: Vec<u32> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!((rest.len(), rest[0], turns.count), (991, 10, 0));
        assert!((0..10).all(|n| rest.iter().filter(|r| *r % 10 == n && **r < 1000).is_sorted()));
        assert!(turns.order.is_empty() && turns.waiting.is_empty());
    }

    #[test]
    fn what_nobody_wants_any_more_leaves_no_turn() {
        let mut turns = Turns::new();
        (0..100).for_each(|n| turns.push(origin(n % 10), n));
        turns.retain(|n| n % 20 == 3);
        assert_eq!((turns.count, turns.order.len()), (5, 1));
        assert_eq!(std::iter::from_fn(|| turns.pop()).collect::<Vec<_>>(), [3, 23, 43, 63, 83]);
        assert_eq!(turns.count, 0);
    }
}
