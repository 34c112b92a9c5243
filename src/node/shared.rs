//! What the node's thread and callers' threads have in common.

use super::accounts::{NodeAccount, Taken};
use super::event::Body;
use super::process_core::{ProcessCore, Processes};
use super::queue_core::{Deferred, QueueCore, Wait};
use super::resolver::Resolvers;
use super::{Error, Inbox, Links, Reply, Request, Result, Security, Tables, log};
use crate::model::{Command, Config, Level, Name, Pid, Reason, Ref, Status, Time, Topic};
use crate::os::{fork_epoch, thread_number};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Takes a lock. One that a panic has poisoned is taken all the same: the panic closes the node, and until then every
/// value behind our locks is usable at every step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The engine's clock: microseconds since the node was opened.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { base: Instant::now() }
    }

    pub fn now(&self) -> Time {
        Time(u64::try_from(self.base.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// The moment that the engine means; what is beyond the clock's range is a year away.
    pub fn instant(&self, time: Time) -> Instant {
        let year = || Instant::now() + Duration::from_secs(365 * 24 * 3600);
        self.base.checked_add(Duration::from_micros(time.0)).unwrap_or_else(year)
    }
}

/// One node's state outside its engine.
pub struct Shared {
    /// The engine's configuration; `address` is the advertised one, known before the start.
    pub config: Config,
    /// Nodes of another cluster name are refused (option `cluster`).
    pub cluster: String,
    pub security: Security,
    pub clock: Clock,
    pub inbox: Inbox,
    pub tables: Tables,
    pub links: Links,
    pub(super) resolvers: Resolvers,
    pub(super) processes: Processes,
    /// Bytes of local messages that wait.
    pub(super) account: NodeAccount,
    pub(super) counters: Counters,
    queues: Mutex<Queues>,
    /// Cleared when the node begins to close.
    open: AtomicBool,
    life: Mutex<Life>,
    ended: Condvar,
    epoch: u32,
    next_serial: AtomicU64,
    next_ref: AtomicU64,
    /// Monitors, EXITs of monitors unread, and operations with a DONE event to come or unread.
    operations: AtomicU64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) messages_sent: AtomicU64,
    pub(super) messages_received: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) locks_held: AtomicU64,
    /// Messages that were not taken because there was no room.
    pub(super) refused: AtomicU64,
    /// When that was told of last, by the engine's clock.
    refusal_told: AtomicU64,
}

/// The queues that the application has made, mailboxes not among them.
#[derive(Default)]
struct Queues {
    /// By where they are, so that many are freed in no more time than each takes.
    all: BTreeMap<usize, Weak<QueueCore>>,
    closed: bool,
}

#[derive(Default)]
struct Life {
    finished: bool,
    /// Why the engine ended, once it has.
    reason: Option<Reason>,
    node_thread: Option<usize>,
}

impl Shared {
    /// `resolver_timeout`: for how long a resolver function may run.
    pub fn new(
        config: Config,
        cluster: String,
        security: Security,
        resolver_timeout: Duration,
    ) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            clock: Clock::start(),
            inbox: Inbox::new()?,
            tables: Tables::new(config.node)?,
            links: Links::new(&config.limits),
            resolvers: Resolvers::new(resolver_timeout),
            processes: Processes::new(config.node),
            // The other three quarters are for messages of other nodes.
            account: NodeAccount::new(config.limits.memory as u64 / 4),
            counters: Counters::default(),
            queues: Mutex::default(),
            open: AtomicBool::new(true),
            life: Mutex::default(),
            ended: Condvar::new(),
            epoch: fork_epoch(),
            next_serial: AtomicU64::new(1),
            next_ref: AtomicU64::new(1),
            operations: AtomicU64::new(0),
            config,
            cluster,
            security,
        }))
    }

    // ---- the node's life

    /// The node's thread has ended, or is about to with nothing left to do: who waits in `close` goes on.
    pub fn finished(&self) {
        self.set_closed();
        self.resolvers.stop();
        // Whatever is left here came too late to be seen, and nobody is to hang for it.
        for request in self.inbox.close() {
            if let Request::Command { reply: Some(Reply::Wait(waiter)), .. } = request {
                let _ = waiter.answer(crate::model::Outcome::of(Status::Closed));
            }
        }
        let mut life = lock(&self.life);
        life.finished = true;
        life.node_thread = Some(thread_number());
        self.ended.notify_all();
    }

    /// The engine's last word.
    pub(super) fn ends_with(&self, reason: Reason) {
        lock(&self.life).reason = Some(reason);
    }

    pub(super) fn why_closed(&self) -> Option<Reason> {
        lock(&self.life).reason
    }

    /// Waits for [`Shared::finished`]. Says whether the node's thread may be joined by the caller.
    pub(super) fn wait_finished(&self, wait: &Wait) -> Result<bool> {
        let mut life = lock(&self.life);
        while !life.finished {
            if wait.is_over() {
                return Err(Error::new(Status::Timeout, "the node is still closing"));
            }
            life = match wait.deadline() {
                None => self.ended.wait(life).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    self.ended.wait_timeout(life, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        Ok(life.node_thread != Some(thread_number()))
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.open.load(Ordering::Acquire) { Ok(()) } else { Err(closed()) }
    }

    /// No call is accepted any more. Says whether that is new.
    pub(super) fn set_closed(&self) -> bool {
        self.open.swap(false, Ordering::AcqRel)
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    // ---- the log

    pub(super) fn log(&self, level: Level, topic: Topic, text: impl FnOnce() -> String) {
        if log::is_wanted(level) {
            log::emit(&self.config.name, level, topic, &text());
        }
    }

    /// A sender was refused. Told of once a second at most, from whatever thread.
    #[cold]
    pub(super) fn refused(&self, from: u64, to: Pid, why: &str) {
        let count = self.counters.refused.fetch_add(1, Ordering::Relaxed) + 1;
        if !log::is_wanted(Level::Warn) {
            return;
        }
        let (now, last) = (self.clock.now(), &self.counters.refusal_told);
        let told = last.load(Ordering::Relaxed);
        let is_due = told == 0 || now.since(Time(told)) >= Duration::from_secs(1);
        if is_due && last.compare_exchange(told, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.log(Level::Warn, Topic::Queue, || {
                format!("process {from} may not send to {to:?} for now: {why} ({count} refusals so far)")
            });
        }
    }

    // ---- commands

    pub(super) fn command(&self, command: Command, reply: Option<Reply>) -> Result<()> {
        self.inbox.push(Request::Command { command, reply })
    }

    /// As `command`, for calls that never wait and that nothing else bounds. `Full`: the node's thread does not keep up with
    /// its callers.
    pub(super) fn command_if_room(&self, command: Command) -> Result<()> {
        self.inbox.push_if_room(Request::Command { command, reply: None }, self.calls_ahead())
    }

    /// So many calls that nobody waits for may lie ahead of the node's thread.
    pub(super) fn calls_ahead(&self) -> usize {
        (self.config.limits.operations / 8).max(256)
    }

    pub(super) fn new_serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn new_ref(&self) -> Ref {
        Ref(self.next_ref.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes the place of one monitor, or of one operation that ends with a DONE event.
    pub(super) fn reserve_operation(&self) -> Result<()> {
        let limit = self.config.limits.operations as u64;
        let take = |count: u64| (count < limit).then_some(count + 1);
        match self.operations.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(Status::Full, "limits.operations are under way or unread")),
        }
    }

    /// Those places that are taken.
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(super) fn release_operations(&self, count: u64) {
        self.operations.fetch_sub(count, Ordering::Relaxed);
    }

    // ---- what callers give

    /// A name of anything, if its length is within bounds.
    pub(super) fn name(&self, name: &[u8]) -> Result<Name> {
        self.config.check_name(name).map_err(|status| {
            let limit = self.config.limits.name;
            Error::new(status, format!("a name has 1 to {limit} bytes, this one {}", name.len()))
        })?;
        Ok(Name::new(name))
    }

    // ---- queues

    pub(super) fn add_queue(&self, queue: &Arc<QueueCore>) -> Result<()> {
        let mut queues = lock(&self.queues);
        if queues.closed {
            return Err(closed());
        }
        queues.all.insert(Arc::as_ptr(queue).addr(), Arc::downgrade(queue));
        Ok(())
    }

    pub(super) fn remove_queue(&self, queue: &Arc<QueueCore>) {
        lock(&self.queues).all.remove(&Arc::as_ptr(queue).addr());
    }

    pub(super) fn queues(&self) -> Vec<Arc<QueueCore>> {
        lock(&self.queues).all.values().filter_map(Weak::upgrade).collect()
    }

    /// The queues to be closed; no queue is made after this.
    pub(super) fn take_queues(&self) -> Vec<Arc<QueueCore>> {
        let mut queues = lock(&self.queues);
        queues.closed = true;
        std::mem::take(&mut queues.all).values().filter_map(Weak::upgrade).collect()
    }

    /// Does what taking or dropping events entails. With no lock held.
    pub(super) fn settle(&self, after: Deferred) {
        for taken in after.taken.into_iter().chain(after.more_taken) {
            self.report_taken(taken);
        }
        if after.local_bytes > 0 {
            self.release_room(after.local_bytes);
        }
        for (sender, receiver) in after.told {
            self.tell_sendable(sender, receiver);
        }
        if after.operations > 0 {
            self.release_operations(after.operations);
        }
        if after.dropped > 0 {
            self.counters.dropped.fetch_add(after.dropped, Ordering::Relaxed);
        }
    }

    pub(super) fn report_taken(&self, taken: Taken) {
        let Taken { window, messages, bytes } = taken;
        // When the node is closed nobody keeps count any more.
        let _ = self.inbox.push(Request::Taken { window, messages, bytes });
    }

    pub(super) fn release_room(&self, bytes: u64) {
        for (sender, receiver) in self.account.release(bytes) {
            self.tell_sendable(sender, Pid { node: self.config.node, serial: receiver });
        }
    }

    /// One SENDABLE for a process of this node that was refused.
    pub(super) fn tell_sendable(&self, sender: u64, receiver: Pid) {
        if let Some(process) = self.processes.get(sender).filter(|process| process.is_alive()) {
            self.push(process, Body::Sendable { receiver });
        }
    }

    /// An event for a process. With no lock held.
    pub(super) fn push(&self, process: Arc<ProcessCore>, body: Body) {
        let queue = process.queue.clone();
        self.settle(queue.push(Some(process), body));
    }
}

pub(super) fn closed() -> Error {
    Error::new(Status::Closed, "the node is closed")
}
