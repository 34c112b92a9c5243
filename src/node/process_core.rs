//! What a node keeps of each of its processes, and the table of them.

use super::Handler;
use super::accounts::LocalAccount;
use super::queue_core::QueueCore;
use super::shared::lock;
use crate::model::{Name, NodeId, Pid, Ref};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Mutex, RwLock};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

/// Whether a process lives. Ends at once when it exits or is killed, before the engine has heard of it. Apart from the
/// process, because the table of names, which holds on to this, gives memory back late; what else a process has, its
/// mailbox and its descriptor, must not wait for that.
#[derive(Clone, Debug)]
pub(super) struct Life(Arc<AtomicBool>);

impl Life {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    /// Says whether it was alive until now.
    pub(super) fn end(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Operations of a process whose DONE event is still to come; true: cancelled.
#[derive(Default)]
pub(super) struct Pending(Mutex<BTreeMap<Ref, bool>>);

impl Pending {
    pub(super) fn add(&self, op: Ref) {
        lock(&self.0).insert(op, false);
    }

    /// Says whether it was the last.
    pub(super) fn remove(&self, op: Ref) -> bool {
        let mut pending = lock(&self.0);
        pending.remove(&op).is_some() && pending.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// Says whether that is news for the engine: each operation is cancelled once.
    pub(super) fn cancel(&self, op: Ref) -> bool {
        lock(&self.0).get_mut(&op).is_some_and(|is_cancelled| !std::mem::replace(is_cancelled, true))
    }
}

/// One process of this node.
pub(super) struct ProcessCore {
    pid: Pid,
    pub(super) queue: Arc<QueueCore>,
    /// The queue is this process's own.
    pub(super) has_mailbox: bool,
    life: Life,
    /// The application has let go of it.
    freed: AtomicBool,
    /// An outbox or the node's account has noted it as a sender to be told.
    pub(super) was_refused: AtomicBool,
    handler: Mutex<Option<Arc<Handler>>>,
    /// Locked inside the queue's lock only.
    pub(super) account: Mutex<LocalAccount>,
    /// Where the last message for it lies in the queue, plus 1; 0 for nowhere. What was read already counts as nowhere. Changed
    /// under the queue's lock.
    pub(super) last_message: AtomicU64,
    pub(super) pending: Pending,
    /// Its monitors. What comes for any other is too late: it was cancelled.
    monitors: Mutex<BTreeSet<Ref>>,
    /// The locks that it may rely on, (resource, requester), with their fencing tokens.
    holds: Mutex<BTreeMap<(Name, Name), u64>>,
}

impl ProcessCore {
    pub(super) fn new(pid: Pid, queue: Arc<QueueCore>, has_mailbox: bool) -> Self {
        Self {
            pid,
            queue,
            has_mailbox,
            life: Life::new(),
            freed: AtomicBool::new(false),
            was_refused: AtomicBool::new(false),
            handler: Mutex::new(None),
            account: Mutex::default(),
            last_message: AtomicU64::new(0),
            pending: Pending::default(),
            monitors: Mutex::default(),
            holds: Mutex::default(),
        }
    }

    pub(super) fn add_monitor(&self, reference: Ref) {
        lock(&self.monitors).insert(reference);
    }

    /// Says whether it was one.
    pub(super) fn remove_monitor(&self, reference: Ref) -> bool {
        lock(&self.monitors).remove(&reference)
    }

    pub(super) fn has_monitor(&self, reference: Ref) -> bool {
        lock(&self.monitors).contains(&reference)
    }

    /// The process is gone; how many there were.
    pub(super) fn drop_monitors(&self) -> u64 {
        std::mem::take(&mut *lock(&self.monitors)).len() as u64
    }

    /// From now on it may rely on this lock, or may not (`None`). Says whether it could before.
    pub(super) fn set_hold(&self, resource: Name, requester: Name, token: Option<u64>) -> bool {
        let mut holds = lock(&self.holds);
        match token {
            Some(token) => holds.insert((resource, requester), token),
            None => holds.remove(&(resource, requester)),
        }
        .is_some()
    }

    /// The fencing token of a lock that it may rely on.
    pub(super) fn hold(&self, resource: Name, requester: Name) -> Option<u64> {
        lock(&self.holds).get(&(resource, requester)).copied()
    }

    /// The process is gone; how many locks it could rely on.
    pub(super) fn drop_holds(&self) -> u64 {
        std::mem::take(&mut *lock(&self.holds)).len() as u64
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    pub(super) fn is_alive(&self) -> bool {
        self.life.is_alive()
    }

    pub(super) fn life(&self) -> &Life {
        &self.life
    }

    /// Says whether it was alive until now.
    pub(super) fn end(&self) -> bool {
        self.life.end()
    }

    pub(super) fn is_freed(&self) -> bool {
        self.freed.load(Ordering::Acquire)
    }

    /// Says whether it was freed now.
    pub(super) fn set_freed(&self) -> bool {
        !self.freed.swap(true, Ordering::AcqRel)
    }

    pub(super) fn handler(&self) -> Option<Arc<Handler>> {
        lock(&self.handler).clone()
    }

    /// The old handler, to be dropped with no lock held.
    #[must_use]
    pub(super) fn replace_handler(&self, handler: Option<Arc<Handler>>) -> Option<Arc<Handler>> {
        std::mem::replace(&mut *lock(&self.handler), handler)
    }
}

impl std::fmt::Debug for ProcessCore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.pid)
    }
}

const SHARDS: usize = 16;

/// Serials are this node's own, so their hash needs no secret.
type Shard = RwLock<HashMap<u64, Arc<ProcessCore>, FixedState>>;

/// The processes of a node, until the engine says that they are gone.
pub(super) struct Processes {
    node: NodeId,
    shards: [Shard; SHARDS],
    /// Those that are alive.
    count: AtomicUsize,
    /// Those that have ended and are in the table still: published tables may name them.
    dying: AtomicUsize,
}

impl Processes {
    pub(super) fn new(node: NodeId) -> Self {
        Self { node, shards: Default::default(), count: AtomicUsize::new(0), dying: AtomicUsize::new(0) }
    }

    /// How many are alive.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes one of the places of living processes, if there is one left of `limit`.
    pub(super) fn reserve(&self, limit: usize) -> bool {
        let take = |count: usize| (count < limit).then_some(count + 1);
        self.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    /// Gives the place of a process back that did not come into being.
    pub(super) fn release(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    /// Gives the place of a process back that has just ended.
    pub(super) fn ended(&self) {
        self.dying.fetch_add(1, Ordering::AcqRel);
        self.release();
    }

    /// Those that have ended and that the engine has not heard of yet.
    pub(super) fn dying(&self) -> usize {
        self.dying.load(Ordering::Relaxed)
    }

    /// Whether published tables may name a process of this node that has ended. To be asked before they are read: when
    /// the answer is no, whatever ended before is in them no more.
    pub(super) fn any_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire) != 0
    }

    /// Whether the process of this node with this serial is alive.
    pub(super) fn is_alive(&self, serial: u64) -> bool {
        self.get(serial).is_some_and(|process| process.is_alive())
    }

    pub(super) fn insert(&self, process: Arc<ProcessCore>) {
        let serial = process.pid().serial;
        self.shard(serial).write().unwrap_or_else(PoisonError::into_inner).insert(serial, process);
    }

    pub(super) fn remove(&self, serial: u64) {
        let removed = self.shard(serial).write().unwrap_or_else(PoisonError::into_inner).remove(&serial);
        if removed.is_some_and(|process| !process.is_alive()) {
            self.dying.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(super) fn get(&self, serial: u64) -> Option<Arc<ProcessCore>> {
        self.shard(serial).read().unwrap_or_else(PoisonError::into_inner).get(&serial).cloned()
    }

    pub(super) fn is_here(&self, pid: Pid) -> bool {
        pid.node == self.node
    }

    pub(super) fn all(&self) -> Vec<Arc<ProcessCore>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.read().unwrap_or_else(PoisonError::into_inner).values().cloned());
        }
        all
    }

    /// Forgets them all: the node is over.
    pub(super) fn clear(&self) -> Vec<Arc<ProcessCore>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = std::mem::take(&mut *shard.write().unwrap_or_else(PoisonError::into_inner));
            all.extend(shard.into_values());
        }
        all
    }

    fn shard(&self, serial: u64) -> &Shard {
        &self.shards[serial as usize % SHARDS]
    }
}
