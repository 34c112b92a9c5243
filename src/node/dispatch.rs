//! Callbacks: whose turn it is, which handler is called, and the library's own dispatching thread.
//!
//! Callbacks of one queue never overlap: whoever dispatches has the queue's turn from its first call to its last. No
//! lock is held while one runs, so that it may do anything, freeing its own queue and process included. A handler is
//! dropped by whoever lets go of it last: after its last call, with no lock held.

use super::queue_core::{Deferred, End, QueueCore, State, Wait, event_of};
use super::shared::Shared;
use super::{Error, Handler, Result};
use crate::model::Status;
use crate::os::{thread_number, with_signals_blocked};
use crate::sync::MutexGuard;
use crate::sync::thread::{self, JoinHandle};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// The part of a queue's state that is about callbacks.
#[derive(Default)]
pub(super) struct Dispatching {
    pub(super) handler: Option<Arc<Handler>>,
    /// The thread that has the turn.
    turn: Option<usize>,
    /// The library's thread has met an event without a handler.
    pub(super) stalled: bool,
    pub(super) thread: LibraryThread,
}

#[cfg(test)]
impl Dispatching {
    pub(super) fn thread_runs(&self) -> bool {
        self.thread.running
    }
}

/// The thread "convoke/queue".
#[derive(Default)]
pub(super) struct LibraryThread {
    running: bool,
    /// Asked to end.
    pub(super) stop: bool,
    /// It sleeps on the descriptor.
    pub(super) sleeping: bool,
    number: Option<usize>,
    handle: Option<JoinHandle<()>>,
}

/// Gives the turn up, also when a handler panics.
struct Turn<'a>(&'a QueueCore);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().dispatching.turn = None;
        self.0.changed.notify_all();
    }
}

/// Why the library's thread leaves a wait.
enum Next<'a> {
    Ready(MutexGuard<'a, State>),
    Stop,
}

/// Where the first event goes.
enum First {
    Handled(Arc<Handler>),
    /// It is for nobody: for a process that is freed, or for a queue that has no handler of its own.
    Orphan,
    Unhandled,
}

fn first_of(state: &State) -> Option<First> {
    let process = state.backlog.front()?.process.as_ref();
    let handler = process.and_then(|process| process.handler()).or_else(|| state.dispatching.handler.clone());
    Some(match handler {
        Some(handler) => First::Handled(handler),
        None if process.is_none_or(|process| process.is_freed()) => First::Orphan,
        None => First::Unhandled,
    })
}

impl QueueCore {
    pub(super) fn set_handler(&self, handler: Option<Handler>) -> Result<()> {
        let handler = handler.map(Arc::new);
        let mut state = self.lock();
        if state.end == End::Freed {
            let error = state.end.error();
            drop(state);
            drop(handler);
            return Err(error);
        }
        let old = std::mem::replace(&mut state.dispatching.handler, handler);
        drop(state);
        self.handlers_changed();
        drop(old);
        Ok(())
    }

    /// A handler, also of a process, was changed: the first event may have one now.
    pub(super) fn handlers_changed(&self) {
        // With the lock, so that it does not fall between a look and the sleep after it.
        let _state = self.lock();
        self.changed.notify_all();
    }

    /// Calls handlers for up to `max` events (0: as many as wait when it begins), waiting for the first one.
    pub(super) fn dispatch(&self, shared: &Shared, max: u32, wait: &Wait) -> Result<u32> {
        match self.wait_turn(wait, false)? {
            Next::Ready(state) => self.call_handlers(shared, state, max, false),
            Next::Stop => Ok(0),
        }
    }

    /// Waits until there is an event and nobody else dispatches.
    fn wait_turn(&self, wait: &Wait, is_library: bool) -> Result<Next<'_>> {
        let mut state = self.lock();
        loop {
            if is_library && state.dispatching.thread.stop {
                self.adjust(&mut state);
                return Ok(Next::Stop);
            }
            if state.end == End::Freed {
                return Err(state.end.error());
            }
            if let Some(turn) = state.dispatching.turn {
                if turn == thread_number() {
                    let text = "dispatch inside a callback of the same queue";
                    return Err(Error::new(Status::WouldDeadlock, text));
                }
                if wait.is_over() {
                    return Err(Error::new(Status::Timeout, "another thread is dispatching"));
                }
                state = self.wait_changed(state, wait.deadline());
            } else if !state.backlog.is_empty() {
                return Ok(Next::Ready(state));
            } else {
                state = self.wait_step(state, wait, is_library)?;
            }
        }
    }

    fn call_handlers<'a>(
        &'a self,
        shared: &Shared,
        mut state: MutexGuard<'a, State>,
        max: u32,
        is_library: bool,
    ) -> Result<u32> {
        state.dispatching.turn = Some(thread_number());
        let turn = Turn(self);
        let max = if max == 0 { u32::try_from(state.backlog.len()).unwrap_or(u32::MAX) } else { max };
        let mut calls = 0;
        while calls < max && !(is_library && state.dispatching.thread.stop) {
            let Some(first) = first_of(&state) else { break };
            if matches!(first, First::Unhandled) {
                drop(state);
                drop(turn);
                return if calls > 0 { Ok(calls) } else { Err(no_handler()) };
            }
            let mut after = Deferred::default();
            let Some(entry) = self.pop(&mut state, &mut after) else { break };
            drop(state);
            shared.settle(after);
            let event = event_of(entry);
            if let First::Handled(handler) = first {
                handler(&event);
                calls += 1;
            }
            drop(event);
            state = self.lock();
        }
        let freed = state.end == End::Freed;
        drop(state);
        drop(turn);
        if calls > 0 || !freed { Ok(calls) } else { Err(End::Freed.error()) }
    }

    // ---- the library's thread

    pub(super) fn start_thread(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<()> {
        let mut state = self.lock();
        if state.end == End::Freed {
            return Err(state.end.error());
        }
        if state.dispatching.thread.running {
            return Err(Error::new(Status::State, "the queue has a thread already"));
        }
        let (core, shared) = (self.clone(), shared.clone());
        // The new thread's first act is to take the lock, so it sees what is written below.
        let start = || {
            let thread = thread::Builder::new().name("convoke/queue".into());
            thread.spawn(move || core.run_thread(&shared))
        };
        let handle = with_signals_blocked(start)
            .map_err(|e| Error::new(Status::Io, format!("no thread could be started: {e}")))?;
        state.dispatching.thread =
            LibraryThread { running: true, handle: Some(handle), ..LibraryThread::default() };
        Ok(())
    }

    fn run_thread(&self, shared: &Shared) {
        self.lock().dispatching.thread.number = Some(thread_number());
        let _end = ThreadEnd(self);
        loop {
            let dispatched = match self.wait_turn(&Wait::forever(), true) {
                Ok(Next::Ready(state)) => self.call_handlers(shared, state, 0, true),
                Ok(Next::Stop) => return,
                Err(error) => Err(error),
            };
            match dispatched.map_err(|error| error.status) {
                // Woken: that is for threads of the application.
                Ok(_) | Err(Status::Timeout) => {}
                Err(Status::State) => self.wait_handler(),
                Err(_) => return,
            }
        }
    }

    /// The first event has no handler: waits for one, or for the event to be taken in another way.
    fn wait_handler(&self) {
        let mut state = self.lock();
        loop {
            // What is looked at holds a handler: it may be the last to do so, and is let go of without the lock.
            let first = first_of(&state);
            let waits = matches!(first, Some(First::Unhandled))
                && !state.dispatching.thread.stop
                && state.end != End::Freed;
            if !waits {
                drop(state);
                return;
            }
            state.dispatching.stalled = true;
            state = self.wait_changed(state, None);
            state.dispatching.stalled = false;
        }
    }

    pub(super) fn stop_thread(&self, wait: &Wait) -> Result<()> {
        let mut state = self.lock();
        if !state.dispatching.thread.running {
            return Ok(());
        }
        state.dispatching.thread.stop = true;
        self.adjust(&mut state);
        self.changed.notify_all();
        if state.dispatching.thread.number == Some(thread_number()) {
            return Err(Error::new(Status::WouldDeadlock, "the thread ends after this callback"));
        }
        while state.dispatching.thread.running {
            if wait.is_over() {
                return Err(Error::new(
                    Status::Timeout,
                    "a callback is still running; the thread ends after it",
                ));
            }
            state = self.wait_changed(state, wait.deadline());
        }
        let handle = state.dispatching.thread.handle.take();
        drop(state);
        if let Some(handle) = handle {
            // It has nothing left to do; a panic of a handler was its own.
            let _ = handle.join();
        }
        Ok(())
    }

    fn wait_changed<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        match deadline {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

/// Says that the library's thread has ended, however it did.
struct ThreadEnd<'a>(&'a QueueCore);

impl Drop for ThreadEnd<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let thread = &mut state.dispatching.thread;
        *thread = LibraryThread { handle: thread.handle.take(), ..LibraryThread::default() };
        self.0.adjust(&mut state);
        self.0.changed.notify_all();
    }
}

fn no_handler() -> Error {
    Error::new(Status::State, "the first event has no handler; set one, or take it with next")
}
