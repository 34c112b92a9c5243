//! Where the answer to an operation goes.

use super::process_core::ProcessCore;
use super::shared::lock;
use crate::engine::{Command, Outcome, Ref};
use crate::sync::{Condvar, Mutex};
use std::sync::{Arc, PoisonError};

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
    outcome: Mutex<Option<Outcome>>,
    answered: Condvar,
}

impl Waiter {
    /// The first answer counts.
    pub fn answer(&self, outcome: Outcome) {
        let mut slot = lock(&self.outcome);
        slot.get_or_insert(outcome);
        // Before the waiter is woken, or it would wait for this lock next.
        drop(slot);
        self.answered.notify_all();
    }

    /// Waits for the answer. It always comes: by the result, the deadline, which the engine keeps, the exit of the
    /// process, or the closing of the node.
    pub fn wait(&self) -> Outcome {
        let mut slot = lock(&self.outcome);
        loop {
            if let Some(outcome) = slot.take() {
                return outcome;
            }
            slot = self.answered.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The operation that a command begins, if it begins one that is answered.
pub fn operation_of(command: &Command) -> Option<Ref> {
    match command {
        Command::Register { op, .. }
        | Command::Unregister { op, .. }
        | Command::IsAlive { op, .. }
        | Command::Acquire { op, .. }
        | Command::Release { op, .. }
        | Command::CreateGroup { op, .. }
        | Command::DeleteGroup { op, .. }
        | Command::JoinGroup { op, .. }
        | Command::LeaveGroup { op, .. }
        | Command::Sync { op, .. }
        | Command::Join { op, .. }
        | Command::Connect { op, .. }
        | Command::Disconnect { op, .. } => Some(*op),
        Command::Spawn { .. }
        | Command::Exit { .. }
        | Command::Kill { .. }
        | Command::Monitor { .. }
        | Command::MonitorName { .. }
        | Command::MonitorNodes { .. }
        | Command::MonitorGroup { .. }
        | Command::WatchLock { .. }
        | Command::AddResolver { .. }
        | Command::SetSeeds { .. }
        | Command::Cancel { .. }
        | Command::Close => None,
    }
}
