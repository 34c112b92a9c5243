//! Locks, on behalf of a process; what a node knows of them.

use super::process::Completion;
use super::shared::closed;
use super::{Done, Error, List, Node, Process, Request, Result};
use crate::model::{Action, Command, DEFAULT_REQUESTER, Name, Pid, Ref, Status};
use std::sync::mpsc::sync_channel;

/// Which lock: the manual's `{ResourceId, LockRequesterId}`.
#[derive(Clone, Copy, Debug)]
pub struct LockId<'a> {
    pub resource: &'a [u8],
    /// Processes with the same one share the lock; `None`: the bytes of the process's own pid, which no other shares by
    /// chance.
    pub requester: Option<&'a [u8]>,
}

/// How to get a lock.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Names of nodes; `None`: all that this one has a link to, and itself, and those that join while it is held.
    pub nodes: Option<Vec<String>>,
    /// One try, and so many chances more; `None`: as long as the timeout lets it.
    pub retries: Option<u64>,
    pub timeout_ms: i64,
}

/// What a process is called as the requester of a lock if nothing else is given.
fn requester_of(pid: Pid) -> Name {
    let mut bytes = [0; DEFAULT_REQUESTER];
    bytes[..8].copy_from_slice(&pid.node.0.to_le_bytes());
    bytes[8..].copy_from_slice(&pid.serial.to_le_bytes());
    Name::new(&bytes)
}

impl Process {
    fn lock_names(&self, id: LockId<'_>) -> Result<(Name, Name)> {
        let requester = id.requester.map_or_else(|| Ok(requester_of(self.pid())), |name| self.name(name))?;
        Ok((self.name(id.resource)?, requester))
    }

    /// Value: the fencing token. `Timeout`: others have it, or a node did not answer in time. `Unreachable`: a node of
    /// the list has no link to this one. `Full`: `limits.locks` are held.
    pub fn acquire(&self, id: LockId<'_>, attempt: Attempt, completion: Completion) -> Result<Done> {
        self.acquire_for(id, attempt, None, completion)
    }

    fn acquire_for(
        &self,
        id: LockId<'_>,
        attempt: Attempt,
        scope: Option<Ref>,
        completion: Completion,
    ) -> Result<Done> {
        let (resource, requester) = self.lock_names(id)?;
        let Attempt { nodes, retries, timeout_ms } = attempt;
        // What was held before is not given back; for a scope only that of the scope is.
        let is_new = scope.is_some() || self.core.hold(resource.clone(), requester.clone()).is_none();
        self.operate_or_take_back(
            timeout_ms,
            completion,
            is_new,
            Action::Acquire { resource, requester, nodes, retries, scope },
        )
    }

    /// Gives the process's share back: on these nodes, or all of it. `NotOwner`: it has none.
    pub fn release(
        &self,
        id: LockId<'_>,
        nodes: Option<Vec<String>>,
        timeout_ms: i64,
        completion: Completion,
    ) -> Result<Done> {
        self.release_of(id, nodes, None, timeout_ms, completion)
    }

    fn release_of(
        &self,
        id: LockId<'_>,
        nodes: Option<Vec<String>>,
        scope: Option<Ref>,
        timeout_ms: i64,
        completion: Completion,
    ) -> Result<Done> {
        let (resource, requester) = self.lock_names(id)?;
        self.operate(timeout_ms, completion, Action::Release { resource, requester, nodes, scope })
    }

    /// Runs `f` with the fencing token under the lock, and gives back what was acquired for it, whatever becomes of `f`.
    /// `Aborted`: the lock was not obtained in time or retries; `f` runs exactly when this is `Ok`.
    pub fn lock_with<R>(&self, id: LockId<'_>, attempt: Attempt, f: impl FnOnce(u64) -> R) -> Result<R> {
        let (scope, timeout_ms) = (self.shared.new_ref(), attempt.timeout_ms);
        let acquired = self.acquire_for(id, attempt, Some(scope), Completion::Wait);
        let acquired = acquired.map_err(|error| match error.status {
            Status::Timeout => Error::new(Status::Aborted, error.detail),
            _ => error,
        })?;
        let _under = Under { process: self, id, scope, timeout_ms };
        Ok(f(acquired.value))
    }

    /// The fencing token of a lock that the process holds and may rely on, as this node knows: asks nobody. `NotOwner`:
    /// it does not hold it, or has lost it.
    pub fn lock_check(&self, id: LockId<'_>) -> Result<u64> {
        self.check_alive()?;
        let (resource, requester) = self.lock_names(id)?;
        self.core.hold(resource, requester).ok_or_else(|| Status::NotOwner.into())
    }

    /// LOCK_WANTED whenever others begin to wait for a lock that the process holds.
    pub fn lock_watch(&self, id: LockId<'_>) -> Result<Ref> {
        let (resource, requester) = self.lock_names(id)?;
        self.watch(|process, reference| Command::WatchLock { process, reference, resource, requester })
    }
}

/// Gives back what was acquired for a scope when it is dropped. What the process holds beside it stays.
struct Under<'a> {
    process: &'a Process,
    id: LockId<'a>,
    scope: Ref,
    timeout_ms: i64,
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        // Whatever is answered, it is given back: by this, by the exit of the process, or by the closing of the node.
        let Under { process, id, scope, timeout_ms } = *self;
        let _ = process.release_of(id, None, Some(scope), timeout_ms, Completion::Wait);
    }
}

impl Node {
    /// Rows with Name (the resource), Requester, Pid, Fence, IsWaiter and SinceMs: who holds a lock and who waits for it,
    /// as this node sees it. `None`: all locks. Asks the node's thread.
    pub fn locks(&self, resource: Option<&[u8]>) -> Result<List> {
        let shared = self.shared();
        shared.check_open()?;
        let resource = resource.map(|resource| shared.name(resource)).transpose()?;
        let (answer, answered) = sync_channel(1);
        shared.inbox.push(Request::Locks { resource, answer })?;
        // A request that is dropped, because the node is over, drops its end of the channel.
        let rows = answered.recv().map_err(|_| closed())?;
        Ok(List::of_locks(rows))
    }
}
