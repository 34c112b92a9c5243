//! What the tests of locks ask of a world.

use crate::harness::{NodeIndex, World, name};
use convoke::engine::Message;
use convoke::model::{Action, Command, Deadline, Event, Machine, Name, Pid, Reason, Ref, Status};

/// Who a test locks for: the requester that it names.
pub(crate) struct Lock<'a> {
    pub(crate) resource: &'a str,
    pub(crate) requester: &'a str,
    /// The nodes of a list; `None`: all of the view.
    pub(crate) on: Option<&'a [NodeIndex]>,
    pub(crate) retries: Option<u64>,
    /// Acquired for a while: what `convoke_lock_with` does.
    pub(crate) scope: Option<Ref>,
    pub(crate) deadline: Deadline,
}

/// The lock "r" on all nodes for this requester, for as long as it takes.
pub(crate) fn by(requester: &str) -> Lock<'_> {
    Lock { resource: "r", requester, on: None, retries: None, scope: None, deadline: Deadline::FOREVER }
}

impl<'a> Lock<'a> {
    pub(crate) fn on(self, nodes: &'a [NodeIndex]) -> Self {
        Lock { on: Some(nodes), ..self }
    }
    pub(crate) fn retries(self, retries: u64) -> Self {
        Lock { retries: Some(retries), ..self }
    }
    pub(crate) fn scope(self, scope: u64) -> Self {
        Lock { scope: Some(Ref(scope)), ..self }
    }
    pub(crate) fn of(self, resource: &'a str) -> Self {
        Lock { resource, ..self }
    }
    pub(crate) fn within(self, world: &World, timeout_ms: i64) -> Self {
        Lock { deadline: world.within(timeout_ms), ..self }
    }
    fn nodes(&self) -> Option<Vec<String>> {
        self.on.map(|nodes| nodes.iter().map(|node| format!("node{node}")).collect())
    }
}

impl World {
    pub(crate) fn acquire(&mut self, pid: Pid, lock: Lock<'_>) -> Ref {
        let (resource, requester, nodes) = (name(lock.resource), name(lock.requester), lock.nodes());
        let (retries, scope, deadline) = (lock.retries, lock.scope, lock.deadline);
        self.operate(pid, deadline, Action::Acquire { resource, requester, nodes, retries, scope })
    }

    pub(crate) fn release(&mut self, pid: Pid, lock: Lock<'_>) -> Ref {
        let (resource, requester, nodes) = (name(lock.resource), name(lock.requester), lock.nodes());
        let (scope, deadline) = (lock.scope, lock.deadline);
        self.operate(pid, deadline, Action::Release { resource, requester, nodes, scope })
    }

    pub(crate) fn watch(&mut self, pid: Pid, lock: Lock<'_>) -> Ref {
        let (resource, requester) = (name(lock.resource), name(lock.requester));
        self.call(pid, |process, reference| Command::WatchLock { process, reference, resource, requester })
    }

    /// Acquires, lets everything arrive, and says with which token.
    pub(crate) fn take_lock(&mut self, pid: Pid, lock: Lock<'_>) -> u64 {
        let op = self.acquire(pid, lock);
        self.settle();
        self.token(op)
    }

    pub(crate) fn give_back(&mut self, pid: Pid, lock: Lock<'_>) {
        let op = self.release(pid, lock);
        self.settle();
        assert_eq!(self.status(op), Some(Status::Ok), "{}", self.picture());
    }

    pub(crate) fn token(&self, op: Ref) -> u64 {
        let outcome = self.outcome(op).unwrap_or_else(|| panic!("no answer\n{}", self.picture()));
        assert_eq!(outcome.status, Status::Ok, "{}", self.picture());
        outcome.value
    }

    /// What `lock_check` says of the lock "r" to the process.
    pub(crate) fn check(&self, pid: Pid, requester: &str) -> Option<u64> {
        self.checks(pid, requester).last().copied().flatten()
    }

    /// Everything that it has said, in order.
    pub(crate) fn checks(&self, pid: Pid, requester_: &str) -> Vec<Option<u64>> {
        let shown = self.nodes[self.index(pid.node)].held.iter();
        let of_it = shown.filter(|((process, resource, requester), _)| {
            *process == pid.serial && *resource == name("r") && *requester == name(requester_)
        });
        of_it.flat_map(|(_, tokens)| tokens.clone()).collect()
    }

    /// Holders of the lock "r" as a node sees them.
    pub(crate) fn holders(&self, node: NodeIndex) -> Vec<(String, Pid)> {
        self.rows(node, false)
    }

    /// Those that wait at the node's voter.
    pub(crate) fn waiters(&self, node: NodeIndex) -> Vec<(String, Pid)> {
        self.rows(node, true)
    }

    fn rows(&self, node: NodeIndex, waiting: bool) -> Vec<(String, Pid)> {
        let rows = self.engine(node).locks(self.now, Some(b"r")).into_iter();
        let text = |name: &Name| String::from_utf8_lossy(name.as_bytes()).into_owned();
        rows.filter(|row| row.is_waiter == waiting).map(|row| (text(&row.requester), row.pid)).collect()
    }

    /// Every node lists these holders of "r".
    pub(crate) fn all_list(&self, holders: &[(&str, Pid)]) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].engine.is_some() {
                self.all_list_at(node, holders);
            }
        }
    }

    pub(crate) fn all_list_at(&self, node: NodeIndex, holders: &[(&str, Pid)]) {
        let listed = self.holders(node);
        let listed: Vec<(&str, Pid)> = listed.iter().map(|(r, pid)| (r.as_str(), *pid)).collect();
        assert_eq!(listed, holders, "node {node}\n{}", self.picture());
    }

    /// The reasons of the LOCK_LOST events that the process got.
    pub(crate) fn lost_locks(&self, pid: Pid) -> Vec<Reason> {
        let events = self.events(pid).into_iter();
        let lost = events.filter_map(|event| match event {
            Event::LockLost { reason, .. } => Some(reason),
            _ => None,
        });
        lost.collect()
    }

    /// The waiters that the process was told of by this watch.
    pub(crate) fn wanted_by(&self, pid: Pid, watch: Ref) -> Vec<Pid> {
        let events = self.events(pid).into_iter();
        let waiters = events.filter_map(|event| match event {
            Event::LockWanted { reference, waiter, .. } if reference == watch => Some(waiter),
            _ => None,
        });
        waiters.collect()
    }
}

pub(crate) fn held(message: &Message) -> bool {
    matches!(message, Message::SharePublished { .. })
}

pub(crate) fn drop_(message: &Message) -> bool {
    matches!(message, Message::ShareReleased { .. })
}
