//! Where the answer to an operation goes.

use super::process_core::ProcessCore;
use super::shared::lock;
use crate::model::{Command, Outcome, Ref, Status};
use crate::sync::{Condvar, Mutex};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Who gets the answer.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A thread that waits.
    Wait(Arc<Waiter>),
    /// A DONE event on the queue of this process.
    Event(Asker),
    /// Nobody: a monitor that is cancelled gives its place back when the engine has heard of it, and not before. So calls
    /// that never wait cannot run ahead of the node's thread without bound.
    Place,
}

/// The process on whose behalf an operation runs.
#[derive(Clone, Debug)]
pub struct Asker(pub(super) Arc<ProcessCore>);

/// One thread waiting for one outcome.
#[derive(Debug, Default)]
pub struct Waiter {
    slot: Mutex<Slot>,
    answered: Condvar,
}

#[derive(Debug, Default)]
enum Slot {
    #[default]
    Waiting,
    Answered(Outcome),
    /// It has gone, and has said that nothing was done. What takes it back if it was.
    Left(Option<Box<Command>>),
}

impl Waiter {
    /// The first answer counts. If it is OK, and comes too late, there may be a command that takes back what was done.
    #[must_use]
    pub fn answer(&self, outcome: Outcome) -> Option<Command> {
        let mut slot = lock(&self.slot);
        match &mut *slot {
            Slot::Waiting => *slot = Slot::Answered(outcome),
            Slot::Left(reverse) if outcome.status == Status::Ok => {
                return reverse.take().map(|reverse| *reverse);
            }
            Slot::Answered(_) | Slot::Left(_) => {}
        }
        // Before the waiter is woken, or it would wait for this lock next.
        drop(slot);
        self.answered.notify_all();
        None
    }

    /// Waits for the answer. It comes by the result, the deadline, which the engine keeps, the exit of the process, or the
    /// closing of the node; but not if something keeps the node's thread busy, so the caller leaves at `until`. `None`: it has
    /// left, and if OK is answered after that, `reverse` is to be done.
    pub fn wait(&self, until: Option<Instant>, reverse: impl FnOnce() -> Option<Command>) -> Option<Outcome> {
        let mut slot = lock(&self.slot);
        loop {
            if let Slot::Answered(outcome) = std::mem::take(&mut *slot) {
                return Some(outcome);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            slot = match left {
                None => self.answered.wait(slot).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    *slot = Slot::Left(reverse().map(Box::new));
                    return None;
                }
                Some(left) => {
                    self.answered.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// The operation that a command begins, if it begins one that is answered.
pub fn operation_of(command: &Command) -> Option<Ref> {
    match command {
        Command::Call(call) => Some(call.op),
        _ => None,
    }
}
