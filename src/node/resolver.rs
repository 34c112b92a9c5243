//! Resolvers: functions of the program that decide clashes, and the thread that calls them.
//!
//! They run on one thread of the node's own, started at the first call, so that whatever a function does holds up nothing
//! but other clashes. The node's thread keeps the deadline, from the moment the function starts. A function that is late
//! is left behind together with its thread, and another thread takes its place; after that has happened
//! [`REPLACEMENTS`] times the calls that follow wait for the function to return.

use super::event::Body;
use super::shared::{Shared, lock};
use super::{Error, Event, Request, Result};
use crate::engine::{
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

/// So often in the life of a node a thread whose function is late is replaced.
const REPLACEMENTS: u32 = 3;
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

/// What the thread that serves is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Server {
    /// There is none. It is started when there is something to do.
    None,
    Idle,
    /// In this call of a function.
    Busy(u64),
}

struct State {
    functions: BTreeMap<Name, Arc<Resolve>>,
    waiting: VecDeque<ClashCall>,
    server: Server,
    /// The number of the thread that serves; those with lower ones were left behind.
    number: u32,
    stopped: bool,
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
    Replaced,
    /// It was replaced too often already: clashes that need a function wait until this one returns.
    Stuck,
}

impl Resolvers {
    pub(super) fn new(timeout: Duration) -> Resolvers {
        let state = State {
            functions: BTreeMap::new(),
            waiting: VecDeque::new(),
            server: Server::None,
            number: 0,
            stopped: false,
        };
        Resolvers { timeout, state: Mutex::new(state), changed: Condvar::new() }
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

    /// Has the function called, on the thread that serves. The answer comes by [`Request::Resolved`], unless the node
    /// ends. From the node's thread.
    pub(super) fn call(&self, shared: &Arc<Shared>, clash: ClashCall) {
        let mut state = lock(&self.state);
        if state.stopped {
            return;
        }
        let call = clash.id;
        state.waiting.push_back(clash);
        if state.server != Server::None {
            self.changed.notify_all();
        } else if self.start(&mut state, shared).is_err() {
            // As if it had crashed.
            state.waiting.pop_back();
            drop(state);
            let _ = shared.inbox.push(Request::Resolved { call, answer: ClashAnswer::Failed });
        }
    }

    fn start(&self, state: &mut State, shared: &Arc<Shared>) -> io::Result<()> {
        let (shared, number) = (shared.clone(), state.number);
        // The new thread's first act is to take the lock, so it sees what is written below.
        with_signals_blocked(|| {
            thread::Builder::new().name("convoke/resolver".into()).spawn(move || serve(&shared, number))
        })?;
        state.server = Server::Idle;
        Ok(())
    }

    /// The deadline of this call has passed. From the node's thread.
    pub(super) fn is_late(&self, shared: &Arc<Shared>, call: u64) -> Late {
        let mut state = lock(&self.state);
        if state.server != Server::Busy(call) {
            return Late::Answered;
        }
        if state.number == REPLACEMENTS {
            return Late::Stuck;
        }
        state.number += 1;
        state.server = Server::None;
        if !state.waiting.is_empty() {
            // Without a thread they wait for the next call, which tries again.
            let _ = self.start(&mut state, shared);
        }
        Late::Replaced
    }

    /// What the thread that serves is doing, how many calls wait for it, and how often it was replaced.
    pub(super) fn figures(&self) -> (&'static str, usize, u32) {
        let state = lock(&self.state);
        let doing = match state.server {
            Server::None => "none",
            Server::Idle => "idle",
            Server::Busy(_) => "in a function",
        };
        (doing, state.waiting.len(), state.number)
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

    /// The next call for the thread with this number; `None`: it ends.
    fn next(&self, number: u32) -> Option<(ClashCall, Option<Arc<Resolve>>)> {
        let mut state = lock(&self.state);
        loop {
            if state.stopped || state.number != number {
                return None;
            }
            if let Some(clash) = state.waiting.pop_front() {
                state.server = Server::Busy(clash.id);
                let function = state.functions.get(&clash.resolver).cloned();
                return Some((clash, function));
            }
            state.server = Server::Idle;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The thread "convoke/resolver".
fn serve(shared: &Arc<Shared>, number: u32) {
    while let Some((clash, function)) = shared.resolvers.next(number) {
        let call = clash.id;
        let until: Time = shared.clock.now() + shared.resolvers.timeout;
        // When the node is closed nobody waits for it.
        let _ = shared.inbox.push(Request::Resolving { call, until });
        let answer = function.as_deref().map_or(ClashAnswer::Failed, |function| run(shared, function, clash));
        let _ = shared.inbox.push(Request::Resolved { call, answer });
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
