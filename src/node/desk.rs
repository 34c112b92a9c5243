//! What any engine needs of its node: requests of callers in, effects out. The network's part is a [`Network`]'s.
//!
//! Inputs go to the engine with the time of the batch that they came in. What is for tables is applied at once; events and answers
//! wait until the network has written: other nodes wait for those bytes, and whoever reads an answer may rely on what
//! precedes it being on its way.
//!
//! [`Network`]: super::network::Network

use super::observe::{Observed, Traffic};
use super::resolver::Late;
use super::{Delivery, Reply, Request, Shared, log, operation_of};
use crate::mesh::TURN;
use crate::model::{ClashAnswer, Effect, Level, Machine, Name, Status, Time, Topic};
use crate::wire::Protection;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// No link has these numbers; the tests of the driver use them.
#[cfg(test)]
pub(super) const PANIC_ON_PURPOSE: u64 = u64::MAX;
#[cfg(test)]
pub(super) const PAUSE_ON_PURPOSE: u64 = u64::MAX - 1;

/// Room for so many requests or effects is kept for the next turn.
const KEEP_ROOM: usize = 16_384;

pub(super) struct Desk<M> {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: M,
    pub(super) delivery: Delivery,
    /// The time of this batch of input.
    pub(super) now: Time,
    /// Events and answers, until the network has written.
    later: Vec<Effect>,
    closed: bool,
    /// Links that were made under what this has replaced are to be ended.
    replaced: Option<Protection>,
    /// What the engine was told to log.
    logged: Option<Level>,
    pub(super) traffic: Traffic,
    requests: Requests,
    /// Resolver functions that run, and their deadlines.
    resolving: BTreeMap<u64, Time>,
    /// When the driver will look at the engine's timers; `None`: when it is woken.
    looks_at: Option<Time>,
    /// Of tests, for the network.
    #[cfg(feature = "test-hooks")]
    pub(super) hooks: Vec<crate::testing::Hook>,
}

/// What was taken from the inbox and not yet handled.
#[derive(Default)]
struct Requests {
    /// In reverse: the next one is the last.
    waiting: Vec<Request>,
}

impl Requests {
    fn refill(&mut self, shared: &Shared) {
        if self.waiting.is_empty() {
            // A flood of calls is not to be remembered by its room.
            if self.waiting.capacity() > KEEP_ROOM {
                self.waiting = Vec::new();
            }
            shared.inbox.drain(&mut self.waiting);
            self.waiting.reverse();
        }
    }

    fn rest(&mut self) -> impl Iterator<Item = Request> {
        std::mem::take(&mut self.waiting).into_iter().rev()
    }
}

impl<M: Machine> Desk<M> {
    pub(super) fn new(shared: Arc<Shared>, engine: M) -> Self {
        Self {
            delivery: Delivery::new(shared.clone()),
            now: shared.clock.now(),
            engine,
            shared,
            later: Vec::new(),
            closed: false,
            replaced: None,
            logged: None,
            traffic: Traffic::default(),
            requests: Requests::default(),
            resolving: BTreeMap::new(),
            looks_at: None,
            #[cfg(feature = "test-hooks")]
            hooks: Vec::new(),
        }
    }

    /// The engine has said its last word.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        if self.closed {
            return None;
        }
        let late = self.resolving.values().copied();
        self.engine.poll_timeout().into_iter().chain(late).min()
    }

    /// Hands the engine at most so many requests of callers, and for no longer than a turn unless all are wanted. `true`: there
    /// are more.
    pub(super) fn take_requests(&mut self, limit: usize) -> bool {
        self.requests.refill(&self.shared);
        self.hear_who_listens();
        if self.requests.waiting.is_empty() {
            return false;
        }
        self.now = self.shared.clock.now();
        // Each is taken away before it is handled, so that one that panics is not met again.
        let began = Instant::now();
        for count in 0..limit {
            let Some(request) = self.requests.waiting.pop() else { return false };
            self.handle_request(request);
            if count % 8 == 7 && limit < usize::MAX && began.elapsed() >= TURN {
                break;
            }
        }
        !self.requests.waiting.is_empty()
    }

    /// Who listens to the log may have changed.
    fn hear_who_listens(&mut self) {
        let loudest = log::loudest();
        if self.logged != loudest {
            self.logged = loudest;
            self.engine.set_log_level(loudest);
        }
    }

    /// The driver is at work, or will look again at this time.
    pub(super) fn driver_looks_at(&mut self, at: Option<Time>) {
        self.looks_at = at;
    }

    pub(super) fn handle_timeout(&mut self) {
        let late = self.resolving.iter().filter(|(_, until)| **until <= self.now).map(|(call, _)| *call);
        for call in late.collect::<Vec<u64>>() {
            self.resolving.remove(&call);
            self.resolver_is_late(call);
        }
        self.engine.handle_timeout(self.now);
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Command { command, reply } => {
                let op = operation_of(&command);
                let has_place = matches!(reply, Some(Reply::Place));
                if let (Some(op), Some(reply)) = (op, reply) {
                    self.delivery.expect(op, reply);
                }
                self.engine.handle_command(self.now, command);
                if has_place {
                    self.shared.release_operations(1);
                }
            }
            #[cfg(test)]
            Request::Taken { window, .. } if window.link == PANIC_ON_PURPOSE => panic!("a panic on purpose"),
            #[cfg(test)]
            Request::Taken { window, messages, .. } if window.link == PAUSE_ON_PURPOSE => {
                std::thread::sleep(std::time::Duration::from_millis(messages));
            }
            Request::Taken { window, messages, bytes } => {
                self.engine.handle_taken(self.now, window, messages, bytes);
            }
            Request::Resolving { call, until } => {
                self.resolving.insert(call, until);
            }
            Request::Resolved { call, answer } => {
                self.resolving.remove(&call);
                self.engine.handle_resolved(self.now, call, answer);
            }
            Request::EndReplaced { by } => self.replaced = Some(by),
            // Nobody may be left who asks.
            Request::Locks { resource, answer } => {
                let rows = self.engine.locks(self.now, resource.as_ref().map(Name::as_bytes));
                let _ = answer.try_send(rows);
            }
            Request::Observe { inspect, answer } => {
                let engine = self.engine.observe(self.now, inspect);
                let _ = answer.try_send(Box::new(Observed { engine, traffic: self.traffic.clone() }));
            }
            #[cfg(feature = "test-hooks")]
            Request::Hook(hook) => self.hooks.push(hook),
        }
    }

    /// The manual's rule for a function that crashes.
    fn resolver_is_late(&mut self, call: u64) {
        let late = self.shared.resolvers.is_late(&self.shared, call);
        self.traffic.resolvers_late += u64::from(late != Late::Answered);
        let text = match late {
            Late::Answered => return,
            Late::LeftBehind => "a resolver function is late and was left behind with its thread",
            Late::Stuck => {
                "a resolver function is late, as others are: clashes wait undecided until one of them returns"
            }
        };
        self.log(Level::Warn, Topic::Resolver, text.to_owned());
        self.engine.handle_resolved(self.now, call, ClashAnswer::Failed);
    }

    /// The node ends by an internal error: everybody who waits is told, those of these requests too.
    pub(super) fn fail(&mut self, why: &str) {
        let text = format!("the node is closed by an internal error (a bug in Convoke): {why}");
        log::emit(&self.shared.config.name, Level::Error, Topic::Node, &text);
        for request in self.requests.rest() {
            if let Request::Command { command, reply: Some(reply) } = request
                && let Some(op) = operation_of(&command)
            {
                self.delivery.expect(op, reply);
            }
        }
        self.closed = true;
        self.later.clear();
        self.delivery.fail_all(Status::Internal);
    }

    /// A batch of input begins: what callers have asked for so far comes first.
    pub(super) fn begin(&mut self) {
        self.now = self.shared.clock.now();
        // What was left over of an earlier turn, then what has come since.
        if !self.requests.waiting.is_empty() {
            self.take_requests(usize::MAX);
        }
        self.take_requests(usize::MAX);
    }

    /// The engine has timers that are due before the driver looks, or is closed.
    pub(super) fn needs_driver(&self) -> bool {
        let sooner = match (self.poll_timeout(), self.looks_at) {
            (Some(due), Some(at)) => due < at,
            (due, None) => due.is_some(),
            (None, Some(_)) => false,
        };
        sooner || self.closed
    }

    /// What links that are to be ended were made under.
    pub(super) fn take_replaced(&mut self) -> Option<Protection> {
        self.replaced.take()
    }

    /// Keeps events and answers until [`settle`](Desk::settle).
    pub(super) fn take_events(&mut self) {
        let known = self.later.len();
        self.engine.drain_events(&mut self.later);
        self.closed |= self.later[known..].iter().any(|effect| matches!(effect, Effect::Closed { .. }));
    }

    /// Something worth telling, with the next events.
    pub(super) fn log(&mut self, level: Level, topic: Topic, text: String) {
        self.later.push(Effect::Log { level, topic, text });
    }

    /// The network has written what was to be written so far.
    pub(super) fn settle(&mut self) {
        self.traffic.turns += 1;
        self.delivery.apply_all(&mut self.later);
        if self.later.capacity() > KEEP_ROOM {
            self.later = Vec::new();
        }
        self.shared.inbox.set_room_wanted(self.engine.is_room_wanted());
    }
}
