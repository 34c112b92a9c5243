//! What the engine waits for: at most one moment per subject.

use super::Time;
use super::{Name, NodeId, Ref, Tx};
use std::collections::{BTreeMap, BTreeSet};

/// What a moment is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Timer {
    /// The deadline of a claim or an unregistration that this node coordinates.
    Operation(Tx),
    /// A voter showed a binding of an owner that this node cannot see; how long to believe it.
    Grace(Tx),
    /// The retries of a claim are used up.
    NoWait(Tx),
    /// The deadline of an operation that another node runs for this one.
    Forward(Tx),
    /// The deadline of a `connect`.
    Connect(Ref),
    /// The deadline of a `sync` or a `join`.
    Sync(Ref),
    /// A `join` does not wait any longer for those who say nothing.
    LastCall(Ref),
    Heartbeat(NodeId),
    Silence(NodeId),
    /// A link whose life is in doubt was pinged; the answer is due.
    Doubt(NodeId),
    Dial(String),
    /// Nodes whose links broke have been missing for a while longer.
    Missing,
    /// By now a dial should have told whether the node is dead.
    Confirm(NodeId),
    /// Peers are to be told a digest of the groups that this node knows.
    GroupDigest,
    /// The node differed again soon after it had been told all; it is told again.
    GroupAnswer(NodeId),
    /// What is remembered of the groups that lost nodes have made.
    GroupMemory,
    /// Members of the group that a delete has ended are still there: their home has not heard of it, and they stay.
    Doomed(Name),
    /// Claims may have waited for so long that somebody should be told.
    Claims,
    /// Two bindings of other nodes clash here for a while already.
    ClashSeen(Name),
}

#[derive(Default, Debug)]
pub(super) struct Timers {
    by_time: BTreeSet<(Time, Timer)>,
    by_timer: BTreeMap<Timer, Time>,
}

impl Timers {
    /// Sets the moment, whatever it was before.
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        if let Some(old) = self.by_timer.insert(timer.clone(), at) {
            self.by_time.remove(&(old, timer.clone()));
        }
        self.by_time.insert((at, timer));
    }
    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.by_timer.remove(timer) {
            self.by_time.remove(&(at, timer.clone()));
        }
    }
    pub(super) fn is_set(&self, timer: &Timer) -> bool {
        self.by_timer.contains_key(timer)
    }
    pub(super) fn at(&self, timer: &Timer) -> Option<Time> {
        self.by_timer.get(timer).copied()
    }
    pub(super) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }
    /// Takes the first one that is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_timer.remove(&timer);
        Some(timer)
    }
    pub(super) fn clear(&mut self) {
        self.by_time.clear();
        self.by_timer.clear();
    }
}
