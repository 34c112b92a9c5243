//! Resolvers: functions of the program that decide clashes, and the threads that call them.
//!
//! Each call has a thread of the node's own for itself, so that whatever a function does holds up nothing but clashes of its
//! name. There are [`MAX_THREADS`] at most, and one that waits for the next call. The node's thread keeps the deadline of each
//! call, from the moment the function starts. A function that is late counts as failed; its thread takes the next call when
//! it has returned. While as many as there are threads do not return, the calls that follow wait for one that does.

use super::event::Body;
use super::shared::{Shared, lock};
use super::{Error, Event, Request, Result};
use crate::model::{
    ClashAnswer, ClashCall, ClashLoser, ClashWinner, MAX_RESOLVER, Name, Resolver, Status, Time,
};
use crate::os::with_signals_blocked;
use crate::sync::{Condvar, Mutex, thread};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Decides a clash, given as an event of kind CLASH. Dropped exactly once, after its last call, with no lock held.
pub type Resolve = Box<dyn Fn(&Arc<Event>) -> ClashAnswer + Send + Sync>;

/// Threads of one node, those whose function never returns among them.
const MAX_THREADS: usize = 4;
/// Functions of one node.
const MAX_FUNCTIONS: usize = 4096;

/// No process keeps the name.
pub const CLASH_NEITHER: i32 = 0;
/// The first process (CONVOKE_FIELD_PID) keeps the name.
pub const CLASH_A: i32 = 1;
/// The other process (CONVOKE_FIELD_PEER) keeps the name.
pub const CLASH_B: i32 = 2;
/// To be added: whoever loses the name exits with CONVOKE_REASON_CONFLICT_LOST. Not together with CONVOKE_CLASH_NOTIFY_LOSER.
pub const CLASH_KILL_LOSER: i32 = 0x100;
/// To be added: whoever loses the name gets a NAME_CONFLICT event with the other pid. Without a flag it is not told.
pub const CLASH_NOTIFY_LOSER: i32 = 0x200;

/// What a function returns in C, by the names in the header. Append-only.
pub const CLASH_CHOICES: &[(&str, i32)] = &[
    ("CONVOKE_CLASH_NEITHER", CLASH_NEITHER),
    ("CONVOKE_CLASH_A", CLASH_A),
    ("CONVOKE_CLASH_B", CLASH_B),
    ("CONVOKE_CLASH_KILL_LOSER", CLASH_KILL_LOSER),
    ("CONVOKE_CLASH_NOTIFY_LOSER", CLASH_NOTIFY_LOSER),
];

/// What a function means by this number. "If the function crashes, or returns anything other than one of the pids, the name
/// is unregistered."
pub fn answer_of(number: i32) -> ClashAnswer {
    let loser = match number & !0xff {
        0 => ClashLoser::Silent,
        CLASH_KILL_LOSER => ClashLoser::Kill,
        CLASH_NOTIFY_LOSER => ClashLoser::Notify,
        _ => return ClashAnswer::Failed,
    };
    let winner = match number & 0xff {
        CLASH_NEITHER => ClashWinner::Neither,
        CLASH_A => ClashWinner::A,
        CLASH_B => ClashWinner::B,
        _ => return ClashAnswer::Failed,
    };
    ClashAnswer::Decided { winner, loser }
}

// ---- the name that is being resolved on this thread

struct Mark {
    cluster: String,
    epoch: u32,
    name: Name,
}

thread_local! {
    static RESOLVING: RefCell<Option<Mark>> = const { RefCell::new(None) };
}

/// `WouldDeadlock` within a function that decides a clash of this name, whatever the node of that cluster it is asked of:
/// registrations of the name wait for that very function.
pub(super) fn check_not_resolving(shared: &Shared, name: &Name) -> Result<()> {
    let is_it = |mark: &RefCell<Option<Mark>>| {
        let mark = mark.borrow();
        mark.as_ref().is_some_and(|mark| {
            mark.name == *name && mark.cluster == shared.cluster && mark.epoch == shared.epoch()
        })
    };
    if RESOLVING.try_with(is_it).unwrap_or(false) {
        let text = "a clash of this very name is being decided by the function that makes the call";
        return Err(Error::new(Status::WouldDeadlock, text));
    }
    Ok(())
}

fn set_mark(mark: Option<Mark>) {
    // On threads of ours, which are not at their end here.
    let _ = RESOLVING.try_with(|slot| *slot.borrow_mut() = mark);
}

// ---- functions and calls

/// A function that runs.
struct Running {
    name: Name,
    /// Its deadline has passed.
    is_late: bool,
}

struct State {
    functions: BTreeMap<Name, Arc<Resolve>>,
    waiting: VecDeque<ClashCall>,
    /// By the number of the call.
    running: BTreeMap<u64, Running>,
    threads: usize,
    /// Of the threads, those that wait for a call.
    idle: usize,
    stopped: bool,
}

impl State {
    /// The next call that may run: of two clashes of one name the later one waits until the function has answered or is
    /// late, since what the first comes to is what the second is about.
    fn take_next(&mut self) -> Option<ClashCall> {
        let is_held_up = |clash: &ClashCall| {
            self.running.values().any(|running| running.name == clash.name && !running.is_late)
        };
        let at = self.waiting.iter().position(|clash| !is_held_up(clash))?;
        self.waiting.remove(at)
    }
}

/// The resolver functions of one node.
pub(super) struct Resolvers {
    /// For how long a function may run (option `resolver.timeout_ms`).
    timeout: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

/// A function was late; what became of its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Late {
    /// It was not: the answer is on its way.
    Answered,
    /// Other threads go on.
    LeftBehind,
    /// No other thread is left: clashes that need a function wait until one that is late returns.
    Stuck,
}

impl Resolvers {
    pub(super) fn new(timeout: Duration) -> Self {
        let state = State {
            functions: BTreeMap::new(),
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            threads: 0,
            idle: 0,
            stopped: false,
        };
        Self { timeout, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn has(&self, name: &Name) -> bool {
        lock(&self.state).functions.contains_key(name)
    }

    /// `Exists`: there is one of that name, or it is built in. `Full`: there are too many. `function` is then dropped.
    pub(super) fn add(&self, name: &str, function: Resolve) -> Result<Name> {
        if name.is_empty() {
            return Err(Error::new(Status::Invalid, "a resolver has a name"));
        }
        if name.len() > MAX_RESOLVER {
            let text = format!("a resolver's name has at most {MAX_RESOLVER} bytes, this one {}", name.len());
            return Err(Error::new(Status::TooBig, text));
        }
        let Resolver::Function(name) = Resolver::from_name(name) else {
            return Err(Error::new(Status::Exists, "a resolver of that name is built in"));
        };
        let function = Arc::new(function);
        let mut state = lock(&self.state);
        let refused = if state.stopped {
            Some(Error::new(Status::Closed, "the node is closed"))
        } else if state.functions.contains_key(&*name) {
            Some(Error::new(Status::Exists, "there is a resolver of that name"))
        } else if state.functions.len() >= MAX_FUNCTIONS {
            Some(Error::new(Status::Full, format!("a node has at most {MAX_FUNCTIONS} resolvers")))
        } else {
            None
        };
        if let Some(error) = refused {
            // Before the function, which is the program's.
            drop(state);
            return Err(error);
        }
        state.functions.insert((*name).clone(), function);
        Ok((*name).clone())
    }

    /// Has the function called, on a thread of its own. The answer comes by [`Request::Resolved`], unless the node ends.
    /// From the node's thread.
    pub(super) fn call(&self, shared: &Arc<Shared>, clash: ClashCall) {
        let mut state = lock(&self.state);
        if state.stopped {
            return;
        }
        let call = clash.id;
        state.waiting.push_back(clash);
        if self.serve_waiting(&mut state, shared).is_err() && state.threads == 0 {
            // As if it had crashed.
            state.waiting.pop_back();
            drop(state);
            let _ = shared.inbox.push(Request::Resolved { call, answer: ClashAnswer::Failed });
        }
    }

    /// Sees to it that a thread looks at what waits.
    fn serve_waiting(&self, state: &mut State, shared: &Arc<Shared>) -> io::Result<()> {
        self.changed.notify_all();
        // Threads that were woken and have not looked yet count as idle, so there may be one too many for a moment, not
        // one too few.
        if state.idle >= state.waiting.len() || state.threads >= MAX_THREADS {
            return Ok(());
        }
        let shared = shared.clone();
        // The new thread's first act is to take the lock, so it sees what is written below.
        with_signals_blocked(|| {
            thread::Builder::new().name("convoke/resolver".into()).spawn(move || serve(&shared))
        })?;
        state.threads += 1;
        Ok(())
    }

    /// The deadline of this call has passed. From the node's thread.
    pub(super) fn is_late(&self, shared: &Arc<Shared>, call: u64) -> Late {
        let mut state = lock(&self.state);
        let Some(running) = state.running.get_mut(&call) else { return Late::Answered };
        running.is_late = true;
        // What waits for the same name may go on now. Without another thread it waits for the next call, which tries again.
        let _ = self.serve_waiting(&mut state, shared);
        let late = state.running.values().filter(|running| running.is_late).count();
        if late < MAX_THREADS { Late::LeftBehind } else { Late::Stuck }
    }

    /// What the threads are doing, how many calls wait for one, and how many functions are late and have not returned.
    pub(super) fn figures(&self) -> (&'static str, usize, usize) {
        let state = lock(&self.state);
        let doing = match (state.running.is_empty(), state.threads) {
            (false, _) => "in a function",
            (true, 0) => "none",
            (true, _) => "idle",
        };
        let late = state.running.values().filter(|running| running.is_late).count();
        (doing, state.waiting.len(), late)
    }

    /// No function is called any more; threads end, one that is in a function after that.
    pub(super) fn stop(&self) {
        let mut state = lock(&self.state);
        state.stopped = true;
        state.waiting.clear();
        self.changed.notify_all();
    }

    /// Gives the functions back, as far as none of them runs.
    pub(super) fn clear(&self) {
        self.stop();
        let functions = std::mem::take(&mut lock(&self.state).functions);
        drop(functions);
    }

    /// The next call for a thread whose last call is over; `None`: it ends.
    fn next(&self, over: Option<u64>) -> Option<(ClashCall, Option<Arc<Resolve>>)> {
        let mut state = lock(&self.state);
        if let Some(call) = over {
            state.running.remove(&call);
        }
        loop {
            if state.stopped {
                break;
            }
            if let Some(clash) = state.take_next() {
                state.running.insert(clash.id, Running { name: clash.name.clone(), is_late: false });
                let function = state.functions.get(&clash.resolver).cloned();
                return Some((clash, function));
            }
            // One is ready for the next call; more are started when they are needed.
            if state.idle > 0 {
                break;
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        state.threads -= 1;
        None
    }
}

/// The thread "convoke/resolver".
fn serve(shared: &Arc<Shared>) {
    let mut over = None;
    while let Some((clash, function)) = shared.resolvers.next(over) {
        let call = clash.id;
        let until: Time = shared.clock.now() + shared.resolvers.timeout;
        // When the node is closed nobody waits for it.
        let _ = shared.inbox.push(Request::Resolving { call, until });
        let answer = function.as_deref().map_or(ClashAnswer::Failed, |function| run(shared, function, clash));
        let _ = shared.inbox.push(Request::Resolved { call, answer });
        over = Some(call);
    }
}

fn run(shared: &Shared, function: &Resolve, clash: ClashCall) -> ClashAnswer {
    let ClashCall { name, a, b, age_a_ms, age_b_ms, .. } = clash;
    set_mark(Some(Mark { cluster: shared.cluster.clone(), epoch: shared.epoch(), name: name.clone() }));
    let body = Body::Clash { name, other: b, age_ms: age_a_ms, other_age_ms: age_b_ms };
    let event = Arc::new(Event::new(Some(a), body));
    let answer = catch_unwind(AssertUnwindSafe(|| function(&event)));
    set_mark(None);
    answer.unwrap_or(ClashAnswer::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeId, Pid};

    fn clash(id: u64, name: &[u8]) -> ClashCall {
        let pid = Pid { node: NodeId(1), serial: 1 };
        let name = Name::new(name);
        ClashCall { id, resolver: name.clone(), name, a: pid, b: pid, age_a_ms: 0, age_b_ms: 0 }
    }

    /// "Two clashes of one name never run at the same time", unless the first is given up.
    #[test]
    fn clashes_of_one_name_are_decided_one_after_the_other() {
        let resolvers = Resolvers::new(Duration::ZERO);
        let mut state = lock(&resolvers.state);
        state.waiting.extend([clash(1, b"x"), clash(2, b"x"), clash(3, b"y"), clash(4, b"y")]);
        let mut taken = Vec::new();
        while let Some(clash) = state.take_next() {
            taken.push(clash.id);
            state.running.insert(clash.id, Running { name: clash.name, is_late: false });
        }
        assert_eq!(taken, [1, 3]);
        state.running.remove(&3);
        assert_eq!(state.take_next().map(|clash| clash.id), Some(4));
        if let Some(running) = state.running.get_mut(&1) {
            running.is_late = true;
        }
        assert_eq!(state.take_next().map(|clash| clash.id), Some(2));
    }
}
