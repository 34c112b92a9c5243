//! The claim machine: exclusive use of a key on a set of nodes, agreed before anything is published.
//!
//! The home of the pid coordinates; every node of the set votes; older transactions win (*wound-wait*): a node that
//! granted a younger, incomplete claim asks its coordinator to yield. So there is no deadlock, no livelock and no
//! polling. What a key is for decides only when a claim is admitted and what completes it: names today, locks next.

use super::forward::Origin;
use super::machine::Engine;
use super::timers::Timer;
use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a coordinator wants a key for.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// The process that it is for.
    pub(super) serial: u64,
    pub(super) want: Want,
    /// Of a name.
    pub(super) resolver: Resolver,
    pub(super) nowait: bool,
}

impl Claim {
    pub(super) fn is_replace(&self) -> bool {
        self.want == Want::Name { replace: true }
    }
}

/// What a publication leaves to be undone when its deadline comes before its acknowledgements. What is not named here
/// is not undone: unregister, release, leave and delete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Undo {
    Nothing,
    Create { group: Name, dot: Dot },
    Join { group: Name, serial: u64 },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Acquiring,
    /// Published (or withdrawn); these nodes have not acknowledged it yet.
    Committing(BTreeSet<NodeId>),
}

/// A claim, or a withdrawal that waits for acknowledgements, at its coordinator.
#[derive(Debug)]
pub(super) struct Operation {
    /// `None`: a publication that claims nothing.
    pub(super) key: Option<Key>,
    pub(super) claim: Claim,
    pub(super) undo: Undo,
    pub(super) origin: Origin,
    /// Who must grant. Loses nodes that go down and gains nodes that come up: a claim is on the view.
    pub(super) nodes: BTreeSet<NodeId>,
    pub(super) granted: BTreeSet<NodeId>,
    /// Registrations that grants have named: a re-register covers them.
    pub(super) named: BTreeSet<Reg>,
    /// Voters that show a binding and so cannot vote yet.
    pub(super) busy: BTreeMap<NodeId, Reg>,
    pub(super) phase: Phase,
    pub(super) reg: Option<Reg>,
    pub(super) over: BTreeSet<Reg>,
    /// My older binding of the name, should this one be withdrawn.
    pub(super) restore: Option<Binding>,
}

/// A claim at a voter.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) want: Want,
    pub(super) nowait: bool,
    /// The binding its coordinator was told of.
    pub(super) told: Option<Reg>,
}

/// One key at this voter.
#[derive(Default, Debug)]
pub(super) struct Arbiter {
    /// At most one for a name: requesters never share it.
    pub(super) holders: BTreeMap<Tx, Request>,
    pub(super) queue: BTreeMap<Tx, Request>,
    pub(super) wounded: BTreeSet<Tx>,
}

#[derive(Default, Debug)]
pub(super) struct Claims {
    /// What this node coordinates.
    pub(super) operations: BTreeMap<Tx, Operation>,
    by_key: BTreeMap<Key, BTreeSet<Tx>>,
    /// What this node votes on.
    pub(super) arbiters: BTreeMap<Key, Arbiter>,
    /// Claims of each peer at this voter, for its limit.
    pub(super) requests: BTreeMap<NodeId, usize>,
    /// The number of the last binding that this node made.
    pub(super) last_seq: u64,
}

impl Claims {
    pub(super) fn of(&self, key: &Key) -> Vec<Tx> {
        self.by_key.get(key).map(|txs| txs.iter().copied().collect()).unwrap_or_default()
    }
    /// The keys that a change of the view may matter to.
    pub(super) fn keys(&self) -> BTreeSet<Key> {
        self.by_key.keys().chain(self.arbiters.keys()).cloned().collect()
    }
    fn insert(&mut self, tx: Tx, op: Operation) {
        if let Some(key) = &op.key {
            self.by_key.entry(key.clone()).or_default().insert(tx);
        }
        self.operations.insert(tx, op);
    }
    fn remove(&mut self, tx: Tx) -> Option<Operation> {
        let op = self.operations.remove(&tx)?;
        if let Some(key) = &op.key
            && let Some(txs) = self.by_key.get_mut(key)
        {
            txs.remove(&tx);
            if txs.is_empty() {
                self.by_key.remove(key);
            }
        }
        Some(op)
    }
    /// Rows of a name that are kept for a restore.
    pub(super) fn kept(&self, key: &Key) -> Vec<Reg> {
        let ops = self.by_key.get(key).into_iter().flatten().filter_map(|tx| self.operations.get(tx));
        ops.filter_map(|op| op.restore.as_ref().map(|kept| kept.reg)).collect()
    }
    pub(super) fn all_kept(&self) -> Vec<Reg> {
        self.operations.values().filter_map(|op| op.restore.as_ref().map(|kept| kept.reg)).collect()
    }
    pub(super) fn forget_request(&mut self, node: NodeId) {
        if let Some(count) = self.requests.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.requests.remove(&node);
            }
        }
    }
}

impl Engine {
    // ---- the coordinator

    pub(super) fn start_claim(
        &mut self,
        tx: Tx,
        key: Key,
        claim: Claim,
        origin: Origin,
        nodes: BTreeSet<NodeId>,
        patience: Patience,
    ) {
        let want = claim.want.clone();
        let message = Message::Acquire { tx, key: key.clone(), want, nowait: claim.nowait };
        let (undo, phase) = (Undo::Nothing, Phase::Acquiring);
        self.start_operation(tx, Some(key), claim, undo, origin, nodes.clone(), phase, patience);
        self.send_to_all(&nodes, message);
    }

    /// Something is published or withdrawn without a claim: it only waits to be acknowledged by all linked nodes. The
    /// caller sends the message that carries `tx`, then calls [`check`](Self::check).
    pub(super) fn start_publication(
        &mut self,
        tx: Tx,
        key: Option<Key>,
        undo: Undo,
        origin: Origin,
        patience: Patience,
    ) {
        let want = Want::Name { replace: false };
        let claim = Claim { serial: 0, want, resolver: Resolver::RandomExit, nowait: false };
        let phase = Phase::Committing(self.view.linked());
        self.start_operation(tx, key, claim, undo, origin, BTreeSet::new(), phase, patience);
    }

    #[allow(clippy::too_many_arguments)] // the one constructor of an operation
    fn start_operation(
        &mut self,
        tx: Tx,
        key: Option<Key>,
        claim: Claim,
        undo: Undo,
        origin: Origin,
        nodes: BTreeSet<NodeId>,
        phase: Phase,
        patience: Patience,
    ) {
        self.track(&origin, tx);
        if let Some(deadline) = patience.deadline {
            self.timers.set(Timer::Operation(tx), deadline);
        }
        let op = Operation {
            key,
            claim,
            undo,
            origin,
            nodes,
            granted: BTreeSet::new(),
            named: BTreeSet::new(),
            busy: BTreeMap::new(),
            phase,
            reg: None,
            over: BTreeSet::new(),
            restore: None,
        };
        self.claims.insert(tx, op);
    }

    fn end_operation(&mut self, tx: Tx) -> Option<Operation> {
        self.timers.cancel(&Timer::Operation(tx));
        self.timers.cancel(&Timer::Grace(tx));
        self.claims.remove(tx)
    }

    /// A vote. For an operation that is over, the voter is told so.
    pub(super) fn granted(
        &mut self,
        from: NodeId,
        tx: Tx,
        key: Key,
        _tenure: u64,
        regs: Vec<Reg>,
    ) -> Result<(), &'static str> {
        if regs.iter().any(|reg| reg.node != from) {
            return Err("a vote that names what the voter does not own");
        }
        match self.claims.operations.get_mut(&tx) {
            None => self.send(from, Message::Release { tx, key }),
            Some(op) if op.phase == Phase::Acquiring && op.nodes.contains(&from) => {
                op.granted.insert(from);
                op.busy.remove(&from);
                op.named.extend(regs);
                self.update_grace(tx);
                self.check(tx);
            }
            Some(_) => {}
        }
        Ok(())
    }

    pub(super) fn denied(&mut self, tx: Tx) -> Result<(), &'static str> {
        if self.is_acquiring(tx) {
            self.fail(tx, Outcome::failed(Status::Timeout, "another claim came first"));
        }
        Ok(())
    }

    /// A voter shows a binding. Its table may lag, so this node judges by its own.
    pub(super) fn busy(&mut self, from: NodeId, tx: Tx, reg: Reg) -> Result<(), &'static str> {
        if let Some(op) = self.claims.operations.get_mut(&tx)
            && op.phase == Phase::Acquiring
            && op.nodes.contains(&from)
        {
            op.busy.insert(from, reg);
            if let Some(key) = op.key.clone() {
                self.recheck(&key);
            }
            self.update_grace(tx);
        }
        Ok(())
    }

    /// An older claim waits at a voter that granted this one: give it back, keep the place in the queue.
    pub(super) fn wounded(&mut self, from: NodeId, tx: Tx, key: Key) -> Result<(), &'static str> {
        if let Some(op) = self.claims.operations.get_mut(&tx)
            && op.phase == Phase::Acquiring
            && op.granted.contains(&from)
        {
            if op.claim.nowait {
                self.fail(tx, Outcome::failed(Status::Timeout, "another claim came first"));
            } else {
                op.granted.remove(&from);
                self.send(from, Message::Yield { tx, key });
            }
        }
        Ok(())
    }

    pub(super) fn acknowledged(&mut self, from: NodeId, tx: Tx) -> Result<(), &'static str> {
        if let Some(op) = self.claims.operations.get_mut(&tx)
            && let Phase::Committing(acks) = &mut op.phase
        {
            acks.remove(&from);
            self.check(tx);
        }
        Ok(())
    }

    /// Goes on when all have granted, or all have acknowledged.
    pub(super) fn check(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get(&tx) else { return };
        match &op.phase {
            Phase::Acquiring if op.granted.is_superset(&op.nodes) => {
                let key = op.key.clone();
                self.timers.cancel(&Timer::Grace(tx));
                if let Some(Key::Name(name)) = key {
                    self.publish_binding(tx, &name);
                }
            }
            Phase::Committing(acks) if acks.is_empty() => {
                let Some(op) = self.end_operation(tx) else { return };
                if let (Some(Key::Name(name)), Some(reg)) = (&op.key, op.reg) {
                    self.settle_binding(name, reg, op.over);
                    if let Some(kept) = op.restore.filter(|kept| kept.serial != op.claim.serial) {
                        self.processes.forget_name_unless_bound(
                            kept.serial,
                            name,
                            self.names.of(name, reg.node),
                        );
                        self.notify_lost_name(kept.serial, name, self.names.visible(name.as_bytes()));
                    }
                }
                self.conclude(op.origin, Outcome::of(Status::Ok));
            }
            _ => {}
        }
    }

    pub(super) fn is_acquiring(&self, tx: Tx) -> bool {
        self.claims.operations.get(&tx).is_some_and(|op| op.phase == Phase::Acquiring)
    }

    /// Ends a claim that is not complete; gives back only what it took.
    pub(super) fn fail(&mut self, tx: Tx, outcome: Outcome) {
        if let Some(op) = self.end_operation(tx) {
            if let Some(key) = op.key {
                self.send_to_all(&op.nodes, Message::Release { tx, key });
            }
            self.conclude(op.origin, outcome);
        }
    }

    pub(super) fn operation_deadline(&mut self, tx: Tx) {
        self.undo(tx, Outcome::of(Status::Timeout));
    }

    /// Ends an operation before its time: at its deadline, cancelled, or because a process ended. What it published is
    /// withdrawn on every link before the answer goes out; a withdrawal goes on without anybody waiting for it.
    pub(super) fn undo(&mut self, tx: Tx, outcome: Outcome) {
        if self.is_acquiring(tx) {
            return self.fail(tx, outcome);
        }
        let Some(op) = self.end_operation(tx) else { return };
        if let (Some(Key::Name(name)), Some(reg)) = (op.key, op.reg) {
            self.forget_verdicts(&name, reg);
            let restore = op.restore;
            self.broadcast(Message::Unreg { name: name.clone(), reg, restore: restore.clone(), ack: None });
            if self.mine(&name) == Some(reg) {
                self.unbind(&name, reg, restore);
            } else {
                // A newer re-register keeps this binding: it takes over what this one kept.
                let mut taken_over = false;
                for other in self.claims.of(&Key::Name(name.clone())) {
                    let Some(newer) = self.claims.operations.get_mut(&other) else { continue };
                    if newer.restore.as_ref().is_some_and(|kept| kept.reg == reg) {
                        newer.restore = restore.clone();
                        taken_over = true;
                    }
                }
                // Nobody does: it was unregistered meanwhile, and what it covered went with it.
                if let Some(kept) = restore.filter(|_| !taken_over) {
                    let bound = self.names.of(&name, reg.node);
                    self.processes.forget_name_unless_bound(kept.serial, &name, bound);
                }
            }
            self.conclude(op.origin, outcome);
            self.clash(&name);
        } else {
            self.undo_publication(op.undo);
            self.conclude(op.origin, outcome);
        }
    }

    /// My own table alone decides that a name is taken.
    pub(super) fn recheck(&mut self, key: &Key) {
        let Key::Name(name) = key else { return };
        let claims = self.claims.of(key); // asked first: hardly any key has one
        if claims.is_empty() || !self.names.shows(name) {
            return;
        }
        for tx in claims {
            let Some(op) = self.claims.operations.get(&tx) else { continue };
            if op.phase == Phase::Acquiring && !op.claim.is_replace() {
                self.fail(tx, Outcome::of(Status::Exists));
            }
        }
    }

    /// A voter shows a binding whose owner this node cannot see. After one and a half detection times of that it is taken
    /// for true.
    pub(super) fn update_grace(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get(&tx) else { return };
        let waits = op.phase == Phase::Acquiring
            && !op.claim.is_replace()
            && op.busy.values().any(|reg| !self.view.is_synced(reg.node) && reg.node != self.config.node);
        let timer = Timer::Grace(tx);
        if !waits {
            self.timers.cancel(&timer);
        } else if !self.timers.is_set(&timer) {
            // Longer than the voter may take to give up a dead owner: its new word must be able to get here.
            self.timers.set(timer, self.now + self.config.detection.mul_f64(1.5));
        }
    }

    pub(super) fn grace_over(&mut self, tx: Tx) {
        if self.is_acquiring(tx) {
            self.fail(
                tx,
                Outcome::failed(Status::Exists, "held by a process of a node without a link to this one"),
            );
        }
    }

    // ---- the view changes

    /// A new link joins the acknowledgements of what is under way: else OK before the peer shows it.
    pub(super) fn join_acknowledgements(&mut self, peer: NodeId) -> BTreeSet<Tx> {
        let mut joined = BTreeSet::new();
        for (tx, op) in &mut self.claims.operations {
            if let Phase::Committing(acks) = &mut op.phase {
                acks.insert(peer);
                joined.insert(*tx);
            }
        }
        joined
    }

    /// A peer's snapshot is complete: claims on the view are asked of it too.
    pub(super) fn ask_newcomer(&mut self, peer: NodeId) {
        let mut asks = Vec::new();
        for (tx, op) in &mut self.claims.operations {
            if op.phase == Phase::Acquiring && op.nodes.insert(peer) {
                let Some(key) = op.key.clone() else { continue };
                let (want, nowait) = (op.claim.want.clone(), op.claim.nowait);
                asks.push(Message::Acquire { tx: *tx, key, want, nowait });
            }
        }
        for ask in asks {
            self.send(peer, ask);
        }
        for tx in self.claims.operations.keys().copied().collect::<Vec<_>>() {
            self.update_grace(tx);
        }
    }

    /// A link went down: its claims go, and nobody waits for its votes.
    pub(super) fn drop_claims_of(&mut self, peer: NodeId) {
        self.claims.requests.remove(&peer);
        let mut touched = Vec::new();
        for (key, arbiter) in &mut self.claims.arbiters {
            arbiter.holders.retain(|tx, _| tx.node != peer);
            arbiter.queue.retain(|tx, _| tx.node != peer);
            arbiter.wounded.retain(|tx| tx.node != peer);
            touched.push(key.clone());
        }
        for key in touched {
            self.pump(&key);
        }
        for tx in self.claims.operations.keys().copied().collect::<Vec<_>>() {
            let Some(op) = self.claims.operations.get_mut(&tx) else { continue };
            op.nodes.remove(&peer);
            op.granted.remove(&peer);
            op.busy.remove(&peer);
            if let Phase::Committing(acks) = &mut op.phase {
                acks.remove(&peer);
            }
            self.update_grace(tx);
        }
        // A link that is replaced in the same moment is there again before anything completes: else OK would be
        // answered although a linked node has yet to read the snapshot.
        if !self.view.replacing {
            self.check_all();
        }
    }

    pub(super) fn check_all(&mut self) {
        for tx in self.claims.operations.keys().copied().collect::<Vec<_>>() {
            self.check(tx);
        }
    }
}
