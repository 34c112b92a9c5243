//! What a coordinator keeps of its claims and publications, and a node of what it votes on.

use super::queue::{Queue, Request};
use super::voter::Ballot;
use crate::budget::{self, Tally};
use crate::calls::Caller;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a coordinator wants a key for.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The process that it is for; 0: none.
    pub(super) serial: u64,
    pub(super) kind: OperationKind,
    /// It does not wait behind others.
    pub(super) no_wait: bool,
}

impl Claim {
    /// For a registration of the process; `replace`: a re-register.
    pub(crate) fn on_name(serial: u64, replace: bool, resolver: Resolver, no_wait: bool) -> Self {
        Self { serial, kind: OperationKind::Name(Naming::new(replace, resolver)), no_wait }
    }
    /// `view`: on all who are there and those who join meanwhile, else on a list of nodes.
    pub(crate) fn on_lock(
        serial: u64,
        requester: Name,
        view: bool,
        scope: Option<Ref>,
        no_wait: bool,
    ) -> Self {
        Self { serial, kind: OperationKind::Lock(Locking { requester, view, scope, token: 0 }), no_wait }
    }
    /// Something is published without one.
    pub(super) fn nothing() -> Self {
        Self { serial: 0, kind: OperationKind::Nothing, no_wait: false }
    }
}

/// What a claim is for: what completes it, and what is gathered on the way.
#[derive(Clone, Debug)]
pub(super) enum OperationKind {
    /// Nothing is claimed: something is published or withdrawn.
    Nothing,
    Name(Naming),
    Lock(Locking),
}

/// A registration under way.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// A re-register.
    pub(super) replace: bool,
    pub(super) resolver: Resolver,
    /// What each voter shows: a re-register covers it.
    pub(super) shown: BTreeSet<(NodeId, Reg)>,
    /// Voters that show a binding and so cannot vote yet.
    pub(super) busy: BTreeMap<NodeId, Reg>,
    /// Since when there has been one among them of an owner that this node cannot see.
    pub(super) unseen_since: Option<Time>,
    /// What was published when all had granted.
    pub(super) reg: Option<Reg>,
}

impl Naming {
    fn new(replace: bool, resolver: Resolver) -> Self {
        let (shown, busy) = Default::default();
        Self { replace, resolver, shown, busy, unseen_since: None, reg: None }
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

/// What a publication does. When its deadline comes before its acknowledgements, what gives something is undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Publication {
    /// None: the operation is a claim, and its kind says what it is for.
    Claim,
    /// `supersedes`: the dots that the group had before. They are not needed once this one is there for good.
    Create {
        group: Name,
        dot: Dot,
        supersedes: BTreeSet<Dot>,
    },
    /// `dot`: the one that was made for it.
    Join {
        group: Name,
        serial: u64,
        dot: Option<Dot>,
    },
    // ---- what takes something away is not undone
    Delete {
        group: Name,
    },
    Leave {
        group: Name,
    },
    /// Members of this node are gone, and nobody waits for it but deletes of others.
    Withdraw,
    Release {
        resource: Name,
    },
    Unregister,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Acquiring,
    /// Published (or withdrawn); these nodes have not acknowledged it yet.
    Committing(BTreeSet<NodeId>),
}

/// A claim, or a withdrawal that waits for acknowledgements, at its coordinator.
#[derive(Debug)]
pub(crate) struct Operation {
    /// `None`: a publication that claims nothing.
    pub(super) key: Option<Key>,
    pub(super) claim: Claim,
    pub(super) publication: Publication,
    pub(super) caller: Caller,
    /// The nodes that must grant. Loses nodes that are gone; a claim on the view gains nodes that come up.
    pub(super) nodes: BTreeSet<NodeId>,
    /// Those of them that are asked when they are there: they are missing, or have just come.
    pub(super) unasked: BTreeSet<NodeId>,
    /// Those of them that have.
    pub(super) granted: BTreeSet<NodeId>,
    pub(super) phase: Phase,
    pub(super) since: Time,
    /// The log has told that it waits for long.
    pub(super) told: bool,
}

impl Operation {
    pub(crate) fn naming(&self) -> Option<&Naming> {
        match &self.claim.kind {
            OperationKind::Name(naming) => Some(naming),
            _ => None,
        }
    }
    pub(super) fn naming_mut(&mut self) -> Option<&mut Naming> {
        match &mut self.claim.kind {
            OperationKind::Name(naming) => Some(naming),
            _ => None,
        }
    }
    pub(super) fn is_acquiring(&self) -> bool {
        self.phase == Phase::Acquiring
    }
    pub(super) fn is_on_the_view(&self) -> bool {
        !matches!(self.claim.kind, OperationKind::Lock(Locking { view: false, .. }))
    }
    /// The lock that it is for: whose, which, and under which requester.
    pub(crate) fn lock(&self) -> Option<(u64, Name, Name)> {
        match (&self.key, &self.claim.kind) {
            (Some(Key::Lock(resource)), OperationKind::Lock(locking)) => {
                Some((self.claim.serial, resource.clone(), locking.requester.clone()))
            }
            _ => None,
        }
    }
    /// A plain registration that waits for its votes.
    pub(super) fn is_registering(&self) -> bool {
        self.is_acquiring() && self.naming().is_some_and(|naming| !naming.replace)
    }
    /// What a voter is asked.
    pub(crate) fn question(&self, tx: Tx) -> Option<Message> {
        let want = match &self.claim.kind {
            OperationKind::Nothing => return None,
            OperationKind::Name(naming) => Want::Name { replace: naming.replace },
            OperationKind::Lock(locking) => {
                Want::Lock { requester: locking.requester.clone(), serial: self.claim.serial }
            }
        };
        Some(Message::Acquire { tx, key: self.key.clone()?, want, no_wait: self.claim.no_wait })
    }
}

#[derive(Default, Debug)]
pub(crate) struct Claims {
    /// What this node coordinates.
    pub(super) operations: BTreeMap<Tx, Operation>,
    by_key: BTreeMap<Key, BTreeSet<Tx>>,
    /// Claims by the process that they are for.
    by_serial: BTreeSet<(u64, Tx)>,
    /// How many of them are for names, and for locks.
    pub(super) naming: usize,
    pub(super) locking: usize,
    /// What this node votes on.
    pub(super) ballots: BTreeMap<Key, Ballot>,
    /// How many claims are at this voter, and what those of each node take.
    pub(super) requests: usize,
    pub(super) tally: Tally,
    /// Claims in whose way is a binding of an owner that this node cannot see.
    pub(super) out_of_sight: BTreeSet<Tx>,
}

/// How many claims and publications are under way, and what is told of them.
pub(crate) struct Counts {
    pub(crate) naming: usize,
    pub(crate) locking: usize,
    pub(crate) publications: usize,
    /// At this voter.
    pub(crate) requests: usize,
    /// Since when the oldest is under way.
    pub(crate) oldest: Option<Time>,
}

impl Claims {
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            naming: self.naming,
            locking: self.locking,
            publications: self.operations.len() - self.naming - self.locking,
            requests: self.requests,
            // Numbers of transactions rise, so the first is the oldest.
            oldest: self.operations.values().next().map(|op| op.since),
        }
    }
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
    pub(crate) fn operations(&self) -> impl ExactSizeIterator<Item = Tx> {
        self.operations.keys().copied()
    }
    /// The keys that somebody claims at this voter.
    pub(crate) fn contested(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.ballots.keys()
    }
    /// Nobody waits for the operation any more.
    pub(crate) fn forget_caller(&mut self, tx: Tx) {
        if let Some(op) = self.operations.get_mut(&tx) {
            op.caller = Caller::Nobody;
        }
    }
    /// The requester whose claims of the lock are granted here and not complete: the others' is the same.
    pub(crate) fn claimant(&self, lock: &Key) -> Option<&Name> {
        self.ballots.get(lock)?.granted.values().next()?.requester()
    }
    /// Who waits for a lock here.
    pub(crate) fn waiting(&self, lock: &Key) -> Option<&Queue> {
        self.ballots.get(lock).map(|ballot| &ballot.queue)
    }
    /// The locks that somebody waits for here, from this one on.
    pub(crate) fn waiting_from(&self, resource: Name) -> impl Iterator<Item = (&Name, &Queue)> {
        self.ballots.range(Key::Lock(resource)..).filter_map(|(key, ballot)| match key {
            Key::Lock(resource) => Some((resource, &ballot.queue)),
            Key::Name(_) => None,
        })
    }
    pub(crate) fn of(&self, key: &Key) -> Vec<Tx> {
        self.by_key.get(key).map(|txs| txs.iter().copied().collect()).unwrap_or_default()
    }
    /// The keys that a change of the view may matter to.
    pub(crate) fn keys(&self) -> BTreeSet<Key> {
        self.by_key.keys().chain(self.ballots.keys()).cloned().collect()
    }
    pub(crate) fn insert(&mut self, tx: Tx, op: Operation) {
        if let Some(key) = &op.key {
            self.by_key.entry(key.clone()).or_default().insert(tx);
        }
        match op.claim.kind {
            OperationKind::Nothing => {}
            OperationKind::Name(_) => self.naming += 1,
            OperationKind::Lock(_) => self.locking += 1,
        }
        if op.claim.serial != 0 {
            self.by_serial.insert((op.claim.serial, tx));
        }
        self.operations.insert(tx, op);
    }
    pub(crate) fn remove(&mut self, tx: Tx) -> Option<Operation> {
        let op = self.operations.remove(&tx)?;
        self.out_of_sight.remove(&tx);
        match op.claim.kind {
            OperationKind::Nothing => {}
            OperationKind::Name(_) => self.naming -= 1,
            OperationKind::Lock(_) => self.locking -= 1,
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
    pub(crate) fn for_process(&self, serial: u64) -> Vec<Tx> {
        let (first, last) =
            (Tx { lamport: 0, node: NodeId(0) }, Tx { lamport: u64::MAX, node: NodeId(u64::MAX) });
        self.by_serial.range((serial, first)..=(serial, last)).map(|(_, tx)| *tx).collect()
    }
    /// Takes a claim out of this voter; says what it wanted.
    pub(crate) fn end_request(&mut self, tx: Tx, key: &Key) -> Option<Request> {
        let request = self.ballots.get_mut(key)?.remove(tx)?;
        self.forget_request(tx.node, key, &request);
        Some(request)
    }
    pub(super) fn add_request(&mut self, node: NodeId, key: &Key, request: &Request) {
        self.requests += 1;
        self.tally.add(node, budget::of_request(key, &request.want));
    }
    pub(super) fn forget_request(&mut self, node: NodeId, key: &Key, request: &Request) {
        self.requests -= 1;
        self.tally.subtract(node, budget::of_request(key, &request.want));
    }
    /// The node is gone, and its claims with it.
    pub(super) fn forget_requests_of(&mut self, node: NodeId) {
        for ballot in self.ballots.values_mut() {
            self.requests -= ballot.forget_claims_of(node);
        }
        self.tally.forget(node);
    }
}

impl Claims {
    /// Operations in whose way is a binding of an owner that this node cannot see.
    pub(crate) fn out_of_sight(&self) -> impl Iterator<Item = Tx> {
        self.out_of_sight.iter().copied()
    }

    pub(crate) fn check_invariants(&self) -> Sound {
        let (mut by_key, mut by_serial) = (BTreeMap::<Key, BTreeSet<Tx>>::new(), BTreeSet::new());
        let (mut naming, mut locking) = (0, 0);
        for (tx, op) in &self.operations {
            if let Some(key) = &op.key {
                by_key.entry(key.clone()).or_default().insert(*tx);
            }
            if op.claim.serial != 0 {
                by_serial.insert((op.claim.serial, *tx));
            }
            naming += usize::from(matches!(op.claim.kind, OperationKind::Name(_)));
            locking += usize::from(matches!(op.claim.kind, OperationKind::Lock(_)));
            ensure(op.granted.is_subset(&op.nodes), || {
                format!("{tx:?} was granted by nodes that it does not need")
            })?;
            ensure(op.unasked.is_subset(&op.nodes), || {
                format!("{tx:?} is to ask nodes that it does not need")
            })?;
            let is_over = matches!(&op.phase, Phase::Committing(acks) if acks.is_empty())
                || op.is_acquiring() && op.granted.len() == op.nodes.len();
            ensure(!is_over, || format!("{tx:?} waits for nobody"))?;
        }
        same("operations by key", &self.by_key, &by_key)?;
        same("operations by process", &self.by_serial, &by_serial)?;
        same("registrations and acquisitions", (self.naming, self.locking), (naming, locking))?;
        let known = self.out_of_sight.iter().all(|tx| self.operations.contains_key(tx));
        ensure(known, || "an operation that is over waits for an unseen owner".to_owned())?;
        let requests = || {
            self.ballots.iter().flat_map(|(key, ballot)| {
                let granted = ballot.granted.iter().map(|(tx, request)| (*tx, request));
                granted.chain(ballot.queue.iter()).map(move |(tx, request)| (key, tx, request))
            })
        };
        same("claims at this voter", self.requests, requests().count())?;
        let bytes = requests().map(|(key, tx, request)| (tx.node, budget::of_request(key, &request.want)));
        self.tally.check("bytes of claims", bytes)?;
        let idle =
            self.ballots.iter().find(|(_, ballot)| ballot.granted.is_empty() && ballot.queue.is_empty());
        ensure(idle.is_none(), || "a ballot without a claim".to_owned())?;
        let crowd =
            self.ballots.iter().find(|(key, ballot)| matches!(key, Key::Name(_)) && ballot.granted.len() > 1);
        ensure(crowd.is_none(), || "a name that is granted to two".to_owned())
    }
}
