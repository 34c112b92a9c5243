//! The claim machine: exclusive use of a key on a set of nodes, agreed before anything is published.
//!
//! The home of the pid coordinates; every node of the set votes; older transactions win (*wound-wait*): a node that
//! granted a younger, incomplete claim asks its coordinator to yield. So there is no deadlock, no livelock and no
//! polling. What a key is for decides only when a claim is admitted and what completes it (`Aim`): a name's binding is
//! published and acknowledged, a lock's hold is published.

use super::forward::Origin;
use super::hold::MAX_TOKEN;
use super::machine::Engine;
use super::queue::Request;
use super::timers::Timer;
use super::vote::Arbiter;
use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a coordinator wants a key for.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    /// The process that it is for; 0: none.
    pub(super) serial: u64,
    pub(super) aim: Aim,
    /// It does not wait behind others.
    pub(super) nowait: bool,
}

/// What a claim is for: what completes it, and what is gathered on the way.
#[derive(Clone, Debug)]
pub(super) enum Aim {
    /// Nothing is claimed: something is published or withdrawn.
    Nothing,
    Name(Naming),
    Lock(Locking),
}

/// A registration under way.
#[derive(Clone, Debug)]
pub(super) struct Naming {
    /// A re-register.
    pub(super) replace: bool,
    pub(super) resolver: Resolver,
    /// Registrations that grants have named: a re-register covers them.
    pub(super) named: BTreeSet<Reg>,
    /// Voters that show a binding and so cannot vote yet.
    pub(super) busy: BTreeMap<NodeId, Reg>,
    /// What was published when all had granted, and what it covers.
    pub(super) reg: Option<Reg>,
    pub(super) over: BTreeSet<Reg>,
    /// My older binding of the name, should this one be withdrawn.
    pub(super) restore: Option<Binding>,
}

impl Naming {
    pub(super) fn new(replace: bool, resolver: Resolver) -> Naming {
        let (named, busy, over) = Default::default();
        Naming { replace, resolver, named, busy, reg: None, over, restore: None }
    }
}

/// A lock being acquired.
#[derive(Clone, Debug)]
pub(super) struct Locking {
    pub(super) requester: Name,
    /// On all of the view, those that join meanwhile too; else on a list of nodes.
    pub(super) view: bool,
    /// Acquired until the end of this scope; else until it is released.
    pub(super) scope: Option<Ref>,
    /// The highest vote so far: the fencing token.
    pub(super) token: u64,
}

/// What a publication leaves to be undone when its deadline comes before its acknowledgements. What is not named here
/// is not undone: unregister, release, leave and delete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Undo {
    Nothing,
    Create { group: Name },
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
    /// Who must grant. Loses nodes that go down; a claim on the view gains nodes that come up.
    pub(super) nodes: BTreeSet<NodeId>,
    /// Those of them that have.
    pub(super) granted: BTreeSet<NodeId>,
    pub(super) phase: Phase,
}

impl Operation {
    pub(super) fn naming(&self) -> Option<&Naming> {
        match &self.claim.aim {
            Aim::Name(naming) => Some(naming),
            _ => None,
        }
    }
    pub(super) fn naming_mut(&mut self) -> Option<&mut Naming> {
        match &mut self.claim.aim {
            Aim::Name(naming) => Some(naming),
            _ => None,
        }
    }
    fn is_acquiring(&self) -> bool {
        self.phase == Phase::Acquiring
    }
    fn is_on_the_view(&self) -> bool {
        !matches!(self.claim.aim, Aim::Lock(Locking { view: false, .. }))
    }
    /// A plain registration that waits for its votes.
    fn is_registering(&self) -> bool {
        self.is_acquiring() && self.naming().is_some_and(|naming| !naming.replace)
    }
    /// What a voter is asked.
    fn question(&self, tx: Tx) -> Option<Message> {
        let want = match &self.claim.aim {
            Aim::Nothing => return None,
            Aim::Name(naming) => Want::Name { replace: naming.replace },
            Aim::Lock(locking) => {
                Want::Lock { requester: locking.requester.clone(), serial: self.claim.serial }
            }
        };
        Some(Message::Acquire { tx, key: self.key.clone()?, want, nowait: self.claim.nowait })
    }
}

#[derive(Default, Debug)]
pub(super) struct Claims {
    /// What this node coordinates.
    pub(super) operations: BTreeMap<Tx, Operation>,
    by_key: BTreeMap<Key, BTreeSet<Tx>>,
    /// Claims by the process that they are for.
    by_serial: BTreeSet<(u64, Tx)>,
    /// How many of them are for names, and for locks.
    pub(super) naming: usize,
    pub(super) locking: usize,
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
        match op.claim.aim {
            Aim::Nothing => {}
            Aim::Name(_) => self.naming += 1,
            Aim::Lock(_) => self.locking += 1,
        }
        if op.claim.serial != 0 {
            self.by_serial.insert((op.claim.serial, tx));
        }
        self.operations.insert(tx, op);
    }
    fn remove(&mut self, tx: Tx) -> Option<Operation> {
        let op = self.operations.remove(&tx)?;
        match op.claim.aim {
            Aim::Nothing => {}
            Aim::Name(_) => self.naming -= 1,
            Aim::Lock(_) => self.locking -= 1,
        }
        self.by_serial.remove(&(op.claim.serial, tx));
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
    /// The claims that are for this process.
    pub(super) fn for_process(&self, serial: u64) -> Vec<Tx> {
        let (first, last) =
            (Tx { lamport: 0, node: NodeId(0) }, Tx { lamport: u64::MAX, node: NodeId(u64::MAX) });
        self.by_serial.range((serial, first)..=(serial, last)).map(|(_, tx)| *tx).collect()
    }
    /// Rows of a name that are kept for a restore.
    pub(super) fn kept(&self, key: &Key) -> Vec<Reg> {
        let ops = self.by_key.get(key).into_iter().flatten().filter_map(|tx| self.operations.get(tx));
        ops.filter_map(|op| Some(op.naming()?.restore.as_ref()?.reg)).collect()
    }
    pub(super) fn all_kept(&self) -> Vec<Reg> {
        self.operations.values().filter_map(|op| Some(op.naming()?.restore.as_ref()?.reg)).collect()
    }
    /// Rows of a process that ended are not kept for a restore any more. Claims keep them; publications do not, and of
    /// those there may be as many as processes that end at once.
    pub(super) fn forget_kept_of(&mut self, serial: u64) {
        for (_, tx) in &self.by_serial {
            if let Some(naming) = self.operations.get_mut(tx).and_then(Operation::naming_mut) {
                naming.restore.take_if(|kept| kept.serial == serial);
            }
        }
    }
    /// Takes a claim out of this voter; says what it wanted.
    pub(super) fn end_request(&mut self, tx: Tx, key: &Key) -> Option<Request> {
        let request = self.arbiters.get_mut(key)?.remove(tx)?;
        self.forget_request(tx.node);
        Some(request)
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
        let (undo, phase) = (Undo::Nothing, Phase::Acquiring);
        self.start_operation(tx, Some(key), claim, undo, origin, nodes.clone(), phase, patience);
        self.ask(tx, &nodes);
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
        let claim = Claim { serial: 0, aim: Aim::Nothing, nowait: false };
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
        let op = Operation { key, claim, undo, origin, nodes, granted: BTreeSet::new(), phase };
        self.claims.insert(tx, op);
    }

    fn ask(&mut self, tx: Tx, nodes: &BTreeSet<NodeId>) {
        if let Some(question) = self.claims.operations.get(&tx).and_then(|op| op.question(tx)) {
            self.send_to_all(nodes, question);
        }
    }

    /// The claim needs the votes of these nodes too.
    pub(super) fn ask_more(&mut self, tx: Tx, nodes: &BTreeSet<NodeId>) {
        if let Some(op) = self.claims.operations.get_mut(&tx) {
            op.nodes.extend(nodes);
            self.ask(tx, nodes);
        }
    }

    pub(super) fn end_operation(&mut self, tx: Tx) -> Option<Operation> {
        for timer in [Timer::Operation(tx), Timer::Grace(tx), Timer::Hurry(tx)] {
            self.timers.cancel(&timer);
        }
        self.claims.remove(tx)
    }

    /// A vote. For an operation that is over, the voter is told so.
    pub(super) fn granted(
        &mut self,
        from: NodeId,
        tx: Tx,
        key: Key,
        tenure: u64,
        regs: Vec<Reg>,
    ) -> Result<(), &'static str> {
        if regs.iter().any(|reg| reg.node != from) {
            return Err("a vote that names what the voter does not own");
        }
        if tenure > MAX_TOKEN {
            return Err("a token beyond all reason");
        }
        let Some(op) = self.claims.operations.get_mut(&tx) else {
            self.send(from, Message::Release { tx, key });
            return Ok(());
        };
        if op.key.as_ref() != Some(&key) {
            return Err("a vote for another key");
        }
        if !op.is_acquiring() || !op.nodes.contains(&from) {
            return Ok(());
        }
        op.granted.insert(from);
        match &mut op.claim.aim {
            Aim::Nothing => {}
            Aim::Name(naming) => {
                naming.busy.remove(&from);
                naming.named.extend(regs);
            }
            Aim::Lock(locking) => locking.token = locking.token.max(tenure),
        }
        self.update_grace(tx);
        self.check(tx);
        Ok(())
    }

    /// "No": somebody else came first, and the claim does not wait.
    pub(super) fn denied(&mut self, from: NodeId, tx: Tx) -> Result<(), &'static str> {
        let op = self.claims.operations.get(&tx);
        if op.is_some_and(|op| op.is_acquiring() && op.nodes.contains(&from)) {
            self.fail(tx, Outcome::failed(Status::Timeout, "another claim came first"));
        }
        Ok(())
    }

    /// A voter shows a binding. Its table may lag, so this node judges by its own.
    pub(super) fn busy(&mut self, from: NodeId, tx: Tx, reg: Reg) -> Result<(), &'static str> {
        if let Some(op) = self.claims.operations.get_mut(&tx)
            && op.is_acquiring()
            && op.nodes.contains(&from)
            && let Some(naming) = op.naming_mut()
        {
            naming.busy.insert(from, reg);
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
            && op.is_acquiring()
            && op.granted.contains(&from)
        {
            if op.key.as_ref() != Some(&key) {
                return Err("a wound to a claim of another key");
            }
            if op.claim.nowait {
                self.fail(tx, Outcome::failed(Status::Timeout, "another claim came first"));
            } else {
                op.granted.remove(&from);
                self.send(from, Message::Yield { tx, key });
            }
        }
        Ok(())
    }

    /// The retries of a claim are used up: who has not granted it hears that it does not wait any longer.
    pub(super) fn hurry(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get_mut(&tx) else { return };
        op.claim.nowait = true;
        let silent: BTreeSet<NodeId> = op.nodes.difference(&op.granted).copied().collect();
        if let Some(key) = op.key.clone() {
            self.send_to_all(&silent, Message::Hurry { tx, key });
        }
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
            // Only nodes that are asked are in `granted`.
            Phase::Acquiring if op.granted.len() == op.nodes.len() => {
                let key = op.key.clone();
                self.timers.cancel(&Timer::Grace(tx));
                match key {
                    Some(Key::Name(name)) => self.publish_binding(tx, &name),
                    Some(Key::Lock(resource)) => self.publish_hold(tx, resource),
                    None => {}
                }
            }
            Phase::Committing(acks) if acks.is_empty() => {
                let Some(op) = self.end_operation(tx) else { return };
                if let (Some(Key::Name(name)), Aim::Name(naming)) = (&op.key, op.claim.aim)
                    && let Some(reg) = naming.reg
                {
                    self.settle_binding(name, reg, naming.over);
                    if let Some(kept) = naming.restore.filter(|kept| kept.serial != op.claim.serial) {
                        self.processes.forget_name_unless_bound(
                            kept.serial,
                            name,
                            self.names.of(name, reg.node),
                        );
                        self.notify_lost_name(kept.serial, name, self.names.visible(name.as_bytes()));
                    }
                }
                if let Undo::Create { group } = &op.undo {
                    self.groups.made(group, tx);
                }
                self.conclude(op.origin, Outcome::of(Status::Ok));
                self.withdrawal_over(tx);
            }
            _ => {}
        }
    }

    pub(super) fn is_acquiring(&self, tx: Tx) -> bool {
        self.claims.operations.get(&tx).is_some_and(Operation::is_acquiring)
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
        if self.groups.withdrawals.is_under_way(&tx) {
            // Deletes of other nodes may wait for it.
            self.timers.cancel(&Timer::Operation(tx));
            let Some(op) = self.claims.operations.get_mut(&tx) else { return };
            let origin = std::mem::replace(&mut op.origin, Origin::Nobody);
            return self.conclude(origin, outcome);
        }
        let Some(op) = self.end_operation(tx) else { return };
        if let (Some(Key::Name(name)), Aim::Name(Naming { reg: Some(reg), restore, .. })) =
            (op.key, op.claim.aim)
        {
            self.forget_verdicts(&name, reg);
            self.broadcast(Message::Unreg { name: name.clone(), reg, restore: restore.clone(), ack: None });
            if self.mine(&name) == Some(reg) {
                self.unbind(&name, reg, restore);
            } else {
                // A newer re-register keeps this binding: it takes over what this one kept.
                let mut taken_over = false;
                for other in self.claims.of(&Key::Name(name.clone())) {
                    let newer = self.claims.operations.get_mut(&other).and_then(Operation::naming_mut);
                    let Some(newer) = newer else { continue };
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
            self.undo_publication(tx, op.undo);
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
            if self.claims.operations.get(&tx).is_some_and(Operation::is_registering) {
                self.fail(tx, Outcome::of(Status::Exists));
            }
        }
    }

    /// A voter shows a binding whose owner this node cannot see. After one and a half detection times of that it is taken
    /// for true.
    pub(super) fn update_grace(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get(&tx) else { return };
        let unseen = |reg: &Reg| !self.view.is_synced(reg.node) && reg.node != self.config.node;
        let waits = op.is_registering() && op.naming().is_some_and(|naming| naming.busy.values().any(unseen));
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
        for tx in self.claims.operations.keys().copied().collect::<Vec<_>>() {
            let Some(op) = self.claims.operations.get_mut(&tx) else { continue };
            if op.is_acquiring() && op.is_on_the_view() && op.nodes.insert(peer) {
                self.ask(tx, &[peer].into());
            }
            self.update_grace(tx);
        }
    }

    /// A link went down: its claims go, and nobody waits for its votes. What its processes held is dropped by now.
    pub(super) fn drop_claims_of(&mut self, peer: NodeId) {
        self.claims.requests.remove(&peer);
        let mut touched = Vec::new();
        for (key, arbiter) in &mut self.claims.arbiters {
            arbiter.forget_claims_of(peer);
            touched.push(key.clone());
        }
        for key in touched {
            self.pump(&key);
        }
        for tx in self.claims.operations.keys().copied().collect::<Vec<_>>() {
            let Some(op) = self.claims.operations.get_mut(&tx) else { continue };
            let asked = op.nodes.remove(&peer);
            op.granted.remove(&peer);
            if let Some(naming) = op.naming_mut() {
                naming.busy.remove(&peer);
            }
            if let Phase::Committing(acks) = &mut op.phase {
                acks.remove(&peer);
            }
            if asked && op.is_acquiring() && !op.is_on_the_view() {
                // Never "held" on a list of which a node is gone.
                self.fail(
                    tx,
                    Outcome::failed(Status::Unreachable, "the link to a node of the list was lost"),
                );
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
