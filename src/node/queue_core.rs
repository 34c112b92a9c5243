//! The inside of a queue: one lock, one eventfd.
//!
//! The descriptor is readable exactly while something waits or a wake is pending. It is kept so only while somebody
//! looks: a thread that sleeps on it, or an application that asked for it. So pushes and takes between busy threads
//! cost no system call.

use super::accounts::{Taken, Windows};
use super::backlog::{Backlog, Charge, Content, Entry};
use super::dispatch::Dispatching;
use super::event::Body;
use super::process_core::ProcessCore;
use super::shared::lock;
use super::{Error, Event, Record, Result, log};
use crate::flow::{Window, cost};
use crate::model::{Event as EngineEvent, Payload, Pid, Status};
use crate::os::EventFd;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// LOG events that may be unread.
const UNREAD_LOGS: usize = 1024;

/// Until when a call waits: one deadline, computed once, when it first finds that it has to wait.
#[derive(Debug)]
pub(super) struct Wait {
    /// -1: for ever; 0: not at all.
    timeout_ms: i64,
    deadline: OnceCell<Option<Instant>>,
}

impl Wait {
    pub(super) fn forever() -> Self {
        Self { timeout_ms: -1, deadline: OnceCell::new() }
    }

    /// From a timeout as in C.
    pub(super) fn from_ms(timeout_ms: i64) -> Result<Self> {
        if timeout_ms < -1 {
            return Err(Error::new(Status::Invalid, format!("timeout_ms is {timeout_ms}; -1 is for ever")));
        }
        Ok(Self { timeout_ms, deadline: OnceCell::new() })
    }

    /// `None`: for ever. What is beyond the clock's range is for ever too.
    pub(super) fn deadline(&self) -> Option<Instant> {
        *self.deadline.get_or_init(|| match self.timeout_ms {
            -1 => None,
            ms => Instant::now().checked_add(Duration::from_millis(ms as u64)),
        })
    }

    pub(super) fn is_over(&self) -> bool {
        self.timeout_ms == 0 || self.deadline().is_some_and(|at| Instant::now() >= at)
    }
}

/// How far a queue's life has gone. Later ones win.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum End {
    Open,
    /// The process whose mailbox it is has exited. What waits is handed out.
    Dead,
    /// The node is closed. What waits is handed out.
    Closed,
    /// The application has freed it; nothing is handed out.
    Freed,
}

impl End {
    pub(super) fn error(self) -> Error {
        match self {
            Self::Dead => Error::new(Status::NoProcess, "the process has exited"),
            Self::Freed => Error::new(Status::Closed, "the queue is freed"),
            Self::Open | Self::Closed => Error::new(Status::Closed, "the node is closed"),
        }
    }
}

/// Why a message was not taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// The receiver's account is full; the sender is noted.
    Full,
    NoProcess,
    /// The queue of the receiver is freed: nobody will ever read it.
    Discarded,
}

/// What taking or dropping events entails, to be done by [`Shared::settle`](super::Shared) with no lock held.
#[derive(Default, Debug)]
pub(super) struct Deferred {
    pub(super) taken: Option<Taken>,
    pub(super) more_taken: Vec<Taken>,
    /// Room of the node's account that is free again.
    pub(super) local_bytes: u64,
    /// (sender, receiver): the receiver has room again.
    pub(super) told: Vec<(u64, Pid)>,
    /// DONE events, and EXITs of monitors, that no longer wait.
    pub(super) operations: u64,
    pub(super) dropped: u64,
}

impl Deferred {
    fn release(&mut self, windows: &mut Windows, entry: &Entry) {
        match &entry.content {
            Content::Message { from, payload, charge } => {
                let Some(process) = &entry.process else { return };
                let bytes = cost(payload.as_bytes().len());
                match charge {
                    Charge::Local => {
                        self.local_bytes += bytes;
                        let told = lock(&process.account).release(bytes);
                        if !told.is_empty() {
                            self.told.extend(told.into_iter().map(|sender| (sender, process.pid())));
                        }
                    }
                    Charge::Remote { link } => {
                        let window = Window { from: from.node, link: *link, to: process.pid().serial };
                        let report = windows.taken(window, bytes);
                        if self.taken.is_none() {
                            self.taken = report;
                        } else {
                            self.more_taken.extend(report);
                        }
                    }
                }
            }
            Content::System(body) => match **body {
                Body::Done { .. } => self.operations += 1,
                // A monitor's one EXIT has the place that the monitor had.
                Body::Engine(EngineEvent::Exit { reference, .. }) => {
                    self.operations += u64::from(reference.0 != 0)
                }
                _ => {}
            },
        }
    }

    fn drop_all(&mut self, windows: &mut Windows, entries: &[Entry]) {
        for entry in entries {
            self.dropped += u64::from(matches!(entry.content, Content::Message { .. }));
            self.release(windows, entry);
        }
    }
}

/// What the lock of a queue guards.
pub(super) struct State {
    pub(super) backlog: Backlog,
    windows: Windows,
    pub(super) end: End,
    pub(super) dispatching: Dispatching,
    /// Threads that sleep on the descriptor.
    sleepers: u32,
    /// The application has the descriptor.
    fd_asked: bool,
    /// The descriptor was made readable and not cleared since.
    signalled: bool,
    /// Wakes that have ended a wait.
    wakes_used: u64,
    /// Wakes whose write was over when the descriptor was last cleared.
    writes_cleared: u64,
    /// LOG events are wanted; and how many were dropped since the last one.
    log: bool,
    log_dropped: u64,
}

#[cfg(test)]
impl State {
    pub(super) fn sleepers(&self) -> u32 {
        self.sleepers
    }
}

/// A queue or a mailbox.
pub(super) struct QueueCore {
    state: Mutex<State>,
    fd: OnceLock<EventFd>,
    /// Calls of `wake`: begun, and written to the descriptor.
    wakes: AtomicU64,
    writes: AtomicU64,
    /// Somebody's turn to dispatch is over, a handler was changed, the library's thread has something to notice or
    /// has ended.
    pub(super) changed: Condvar,
}

impl QueueCore {
    /// A mailbox: its descriptor is made when somebody first waits, for most processes never.
    pub(super) fn new() -> Self {
        let state = State {
            backlog: Backlog::default(),
            windows: Windows::default(),
            end: End::Open,
            dispatching: Dispatching::default(),
            sleepers: 0,
            fd_asked: false,
            signalled: false,
            wakes_used: 0,
            writes_cleared: 0,
            log: false,
            log_dropped: 0,
        };
        Self {
            state: Mutex::new(state),
            fd: OnceLock::new(),
            wakes: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The descriptor, made if need be.
    pub(super) fn fd(&self) -> Result<&EventFd> {
        if let Some(fd) = self.fd.get() {
            return Ok(fd);
        }
        let fd = EventFd::new().map_err(|e| Error::new(Status::Io, format!("eventfd: {e}")))?;
        Ok(self.fd.get_or_init(|| fd))
    }

    /// The descriptor for the application: from now on it is always kept right.
    pub(super) fn asked_fd(&self) -> Result<&EventFd> {
        let fd = self.fd()?;
        let mut state = self.lock();
        if state.end == End::Freed {
            return Err(state.end.error());
        }
        state.fd_asked = true;
        self.adjust(&mut state);
        Ok(fd)
    }

    pub(super) fn check_usable(&self) -> Result<()> {
        let end = self.lock().end;
        if end == End::Open { Ok(()) } else { Err(end.error()) }
    }

    // ---- in

    /// Puts in anything but a message. What is too late is dropped.
    pub(super) fn push(&self, process: Option<Arc<ProcessCore>>, body: Body) -> Deferred {
        let entry = Entry { process, content: Content::System(Box::new(body)) };
        let mut after = Deferred::default();
        let mut state = self.lock();
        if state.end == End::Open {
            state.backlog.push(entry);
            self.adjust(&mut state);
        } else {
            after.release(&mut state.windows, &entry);
        }
        after
    }

    /// LOG events are wanted from now on, or not any more.
    pub(super) fn wants_log(&self, are_wanted: bool) {
        self.lock().log = are_wanted;
    }

    /// Puts in a record of the log, unless too many are unread.
    pub(super) fn push_log(&self, record: &Arc<Record>) {
        let mut state = self.lock();
        if !state.log || state.end != End::Open {
            return;
        }
        if state.backlog.logs() >= UNREAD_LOGS {
            state.log_dropped += 1;
            log::count_dropped(1);
            return;
        }
        let dropped = std::mem::take(&mut state.log_dropped);
        let body = Body::Log { record: record.clone(), dropped };
        state.backlog.push(Entry { process: None, content: Content::System(Box::new(body)) });
        self.adjust(&mut state);
    }

    /// Puts in a message of a process of this node, if the receiver's account has room.
    pub(super) fn push_message(
        &self,
        process: &Arc<ProcessCore>,
        from: &ProcessCore,
        payload: Payload,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        let admit = |bytes| lock(&process.account).admit(from.pid().serial, from.life(), bytes);
        let taken_in = Self::take_in(&mut state, process, from.pid(), payload, Charge::Local, admit);
        self.adjust(&mut state);
        taken_in
    }

    /// Puts in messages of another node one after the other with one turn of the lock, so that a reader who is woken by
    /// the first finds them all. Gives the windows and costs of those that were not taken in.
    pub(super) fn push_messages(
        &self,
        process: &Arc<ProcessCore>,
        messages: impl Iterator<Item = (Pid, Payload, Window)>,
    ) -> Vec<(Window, u64)> {
        let mut refused = Vec::new();
        let mut state = self.lock();
        for (from, payload, window) in messages {
            let bytes = cost(payload.as_bytes().len());
            let charge = Charge::Remote { link: window.link };
            if Self::take_in(&mut state, process, from, payload, charge, |_| true).is_err() {
                refused.push((window, bytes));
            }
        }
        self.adjust(&mut state);
        refused
    }

    fn take_in(
        state: &mut State,
        process: &Arc<ProcessCore>,
        from: Pid,
        payload: Payload,
        charge: Charge,
        admit: impl FnOnce(u64) -> bool,
    ) -> Result<(), Refused> {
        // Under the lock: what is pushed before the process ends is dropped by the one who ends it.
        if !process.is_alive() {
            return Err(Refused::NoProcess);
        }
        if state.end != End::Open {
            return Err(Refused::Discarded);
        }
        let bytes = cost(payload.as_bytes().len());
        if !admit(bytes) {
            return Err(Refused::Full);
        }
        if let Charge::Remote { link } = charge {
            state.windows.arrived(Window { from: from.node, link, to: process.pid().serial }, bytes);
        }
        let content = Content::Message { from, payload, charge };
        state.backlog.push(Entry { process: Some(process.clone()), content });
        Ok(())
    }

    // ---- out

    /// Waits for the oldest event and takes it.
    pub(super) fn take(&self, wait: &Wait) -> Result<(Arc<Event>, Deferred)> {
        let mut state = self.lock();
        loop {
            let mut after = Deferred::default();
            if let Some(entry) = self.pop(&mut state, &mut after) {
                drop(state);
                return Ok((event_of(entry), after));
            }
            state = self.wait_step(state, wait, false)?;
        }
    }

    /// Takes the oldest event; its memory and what it entails are dealt with after the lock is released.
    pub(super) fn pop(&self, state: &mut State, after: &mut Deferred) -> Option<Entry> {
        let entry = state.backlog.pop()?;
        after.release(&mut state.windows, &entry);
        self.adjust(state);
        if state.dispatching.stalled {
            self.changed.notify_all();
        }
        Some(entry)
    }

    /// The queue is empty: sleeps until something may have changed, or says why not.
    pub(super) fn wait_step<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wait: &Wait,
        is_library: bool,
    ) -> Result<MutexGuard<'a, State>> {
        if state.end != End::Open {
            self.adjust(&mut state);
            return Err(state.end.error());
        }
        if self.is_woken(&state) {
            state.wakes_used = self.wakes.load(Ordering::SeqCst);
            self.adjust(&mut state);
            return Err(Error::new(Status::Timeout, "woken"));
        }
        if wait.is_over() {
            self.adjust(&mut state);
            return Err(Status::Timeout.into());
        }
        let fd = self.fd()?;
        state.sleepers += 1;
        state.dispatching.thread.sleeping |= is_library;
        self.adjust(&mut state);
        drop(state);
        fd.wait(wait.deadline());
        let mut state = self.lock();
        state.sleepers -= 1;
        if is_library {
            state.dispatching.thread.sleeping = false;
        }
        Ok(state)
    }

    /// Events that wait.
    pub(super) fn depth(&self) -> usize {
        self.lock().backlog.len()
    }

    // ---- the end

    /// The process has ended (`ProcessCore::end`): its unread messages are dropped. A mailbox ends with it, when
    /// `is_last` says that no event of its own follows.
    pub(super) fn process_ended(&self, process: &ProcessCore, is_last: bool) -> Deferred {
        let mut after = Deferred::default();
        let mut state = self.lock();
        let removed = state.backlog.remove_messages(process);
        after.drop_all(&mut state.windows, &removed);
        let told = lock(&process.account).end();
        after.told.extend(told.into_iter().map(|sender| (sender, process.pid())));
        if process.has_mailbox && is_last {
            state.end = state.end.max(End::Dead);
        }
        self.adjust(&mut state);
        drop(state);
        after
    }

    /// The node is closed: one last event.
    pub(super) fn node_closed(&self, body: Body) -> Deferred {
        let after = self.push(None, body);
        let mut state = self.lock();
        state.end = state.end.max(End::Closed);
        self.adjust(&mut state);
        after
    }

    /// The application frees the queue. Nothing is waited for.
    pub(super) fn free(&self) -> Deferred {
        let mut after = Deferred::default();
        let mut state = self.lock();
        state.end = End::Freed;
        state.dispatching.thread.stop = true;
        let dropped = state.backlog.take_all();
        after.drop_all(&mut state.windows, &dropped);
        let handler = state.dispatching.handler.take();
        self.adjust(&mut state);
        drop(state);
        self.changed.notify_all();
        drop(handler);
        after
    }

    // ---- the descriptor

    /// Ends a wait early. Async-signal-safe: two atomics and a write.
    pub(super) fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        if let Some(fd) = self.fd.get() {
            fd.set();
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
    }

    fn is_woken(&self, state: &State) -> bool {
        self.wakes.load(Ordering::SeqCst) != state.wakes_used
    }

    /// Makes the descriptor say what is so, if anybody looks at it. After every change under the lock.
    pub(super) fn adjust(&self, state: &mut State) {
        if !state.fd_asked && state.sleepers == 0 {
            return;
        }
        let Some(fd) = self.fd.get() else { return };
        // Sleepers must leave when it is over; a descriptor that only the application polls is quiet then.
        let thread = &state.dispatching.thread;
        let leave = (state.sleepers > 0 && state.end != End::Open) || (thread.sleeping && thread.stop);
        if leave || !state.backlog.is_empty() || self.is_woken(state) {
            if !state.signalled {
                state.signalled = true;
                fd.set();
            }
            return;
        }
        // A wake counts before it writes: its write may come after it has been used up, and is cleared later.
        let writes = self.writes.load(Ordering::SeqCst);
        if state.signalled || writes != state.writes_cleared {
            state.writes_cleared = writes;
            state.signalled = false;
            fd.clear();
            if self.is_woken(state) {
                state.signalled = true;
                fd.set();
            }
        }
    }
}

pub(super) fn event_of(entry: Entry) -> Arc<Event> {
    let body = match entry.content {
        Content::Message { from, payload, .. } => Body::Message { from, payload },
        Content::System(body) => *body,
    };
    Arc::new(Event::new(entry.process.map(|process| process.pid()), body))
}
