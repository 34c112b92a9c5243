//! What a coordinator keeps of its claims and publications, and a node of what it votes on.

use super::queue::Request;
use super::voter::Ballot;
use crate::budget::{self, Tally};
use crate::calls::Caller;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a coordinator wants a key for.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// The process that it is for; 0: none.
    pub(crate) serial: u64,
    pub(crate) kind: OperationKind,
    /// It does not wait behind others.
    pub(crate) no_wait: bool,
}

/// What a claim is for: what completes it, and what is gathered on the way.
#[derive(Clone, Debug)]
pub(crate) enum OperationKind {
    /// Nothing is claimed: something is published or withdrawn.
    Nothing,
    Name(Naming),
    Lock(Locking),
}

/// A registration under way.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// A re-register.
    pub(crate) replace: bool,
    pub(crate) resolver: Resolver,
    /// What each voter shows: a re-register covers it.
    pub(crate) shown: BTreeSet<(NodeId, Reg)>,
    /// Voters that show a binding and so cannot vote yet.
    pub(crate) busy: BTreeMap<NodeId, Reg>,
    /// Since when there has been one among them of an owner that this node cannot see.
    pub(crate) unseen_since: Option<Time>,
    /// What was published when all had granted.
    pub(crate) reg: Option<Reg>,
}

impl Naming {
    pub(crate) fn new(replace: bool, resolver: Resolver) -> Naming {
        let (shown, busy) = Default::default();
        Naming { replace, resolver, shown, busy, unseen_since: None, reg: None }
    }
}

/// A lock being acquired.
#[derive(Clone, Debug)]
pub(crate) struct Locking {
    pub(crate) requester: Name,
    /// On all of the view, those that join meanwhile too; else on a list of nodes.
    pub(crate) view: bool,
    /// Acquired until the end of this scope; else until it is released.
    pub(crate) scope: Option<Ref>,
    /// The highest vote so far: the fencing token.
    pub(crate) token: u64,
}

/// What a publication does. When its deadline comes before its acknowledgements, what gives something is undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Publication {
    /// None: the operation is a claim, and its aim says what it is for.
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
pub(crate) enum Phase {
    Acquiring,
    /// Published (or withdrawn); these nodes have not acknowledged it yet.
    Committing(BTreeSet<NodeId>),
}

/// A claim, or a withdrawal that waits for acknowledgements, at its coordinator.
#[derive(Debug)]
pub(crate) struct Operation {
    /// `None`: a publication that claims nothing.
    pub(crate) key: Option<Key>,
    pub(crate) claim: Claim,
    pub(crate) publication: Publication,
    pub(crate) caller: Caller,
    /// Who must grant. Loses nodes that are gone; a claim on the view gains nodes that come up.
    pub(crate) nodes: BTreeSet<NodeId>,
    /// Those of them that are asked when they are there: they are missing, or have just come.
    pub(crate) unasked: BTreeSet<NodeId>,
    /// Those of them that have.
    pub(crate) granted: BTreeSet<NodeId>,
    pub(crate) phase: Phase,
    /// Peers that owe an answer, and since when by the clock of attention: see `conduct`.
    pub(crate) owed: BTreeMap<NodeId, Time>,
    pub(crate) since: Time,
    /// The log has told that it waits for long.
    pub(crate) told: bool,
}

impl Operation {
    pub(crate) fn naming(&self) -> Option<&Naming> {
        match &self.claim.kind {
            OperationKind::Name(naming) => Some(naming),
            _ => None,
        }
    }
    pub(crate) fn naming_mut(&mut self) -> Option<&mut Naming> {
        match &mut self.claim.kind {
            OperationKind::Name(naming) => Some(naming),
            _ => None,
        }
    }
    pub(crate) fn is_acquiring(&self) -> bool {
        self.phase == Phase::Acquiring
    }
    pub(crate) fn is_on_the_view(&self) -> bool {
        !matches!(self.claim.kind, OperationKind::Lock(Locking { view: false, .. }))
    }
    /// A plain registration that waits for its votes.
    pub(crate) fn is_registering(&self) -> bool {
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
    pub(crate) operations: BTreeMap<Tx, Operation>,
    by_key: BTreeMap<Key, BTreeSet<Tx>>,
    /// Claims by the process that they are for.
    by_serial: BTreeSet<(u64, Tx)>,
    /// How many of them are for names, and for locks.
    pub(crate) naming: usize,
    pub(crate) locking: usize,
    /// What this node votes on.
    pub(crate) ballots: BTreeMap<Key, Ballot>,
    /// How many claims are at this voter, and what those of each node take.
    pub(crate) requests: usize,
    pub(crate) tally: Tally,
    /// Claims in whose way is a binding of an owner that this node cannot see.
    pub(crate) out_of_sight: BTreeSet<Tx>,
    /// The number of the last binding that this node made.
    pub(crate) last_seq: u64,
}

impl Claims {
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
    pub(crate) fn add_request(&mut self, node: NodeId, key: &Key, request: &Request) {
        self.requests += 1;
        self.tally.add(node, budget::of_request(key, &request.want));
    }
    pub(crate) fn forget_request(&mut self, node: NodeId, key: &Key, request: &Request) {
        self.requests -= 1;
        self.tally.subtract(node, budget::of_request(key, &request.want));
    }
    /// The node is gone, and its claims with it.
    pub(crate) fn forget_requests_of(&mut self, node: NodeId) {
        for ballot in self.ballots.values_mut() {
            self.requests -= ballot.forget_claims_of(node);
        }
        self.tally.forget(node);
    }
}
