//! Who waits at a voter for one key: the oldest first, and those of one requester found without a look at the rest.

use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// A claim at a voter.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(super) want: Want,
    pub(super) no_wait: bool,
    /// The binding its coordinator was told of.
    pub(super) told: Option<Reg>,
    /// When it came here.
    pub(super) since: Time,
}

impl Request {
    pub(crate) fn wants(&self, want: &Want) -> bool {
        self.want == *want
    }
    /// When it came here.
    pub(crate) fn since(&self) -> Time {
        self.since
    }
    /// The process that wants a lock; 0 for a name.
    pub(crate) fn serial(&self) -> u64 {
        if let Want::Lock { serial, .. } = self.want { serial } else { 0 }
    }
    /// The LockRequesterId. Claims of names have none: they never share.
    pub(crate) fn requester(&self) -> Option<&Name> {
        match &self.want {
            Want::Lock { requester, .. } => Some(requester),
            Want::Name { .. } => None,
        }
    }
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        self.requester().is_some() && self.requester() == other.requester()
    }
}

#[derive(Default, Debug)]
pub(crate) struct Queue {
    by_age: BTreeMap<Tx, Request>,
    by_requester: BTreeMap<Name, BTreeSet<Tx>>,
    /// Those that do not wait behind others: denied as soon as they would.
    no_wait: BTreeSet<Tx>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.by_age.len()
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.by_age.is_empty()
    }
    pub(crate) fn get(&self, tx: Tx) -> Option<&Request> {
        self.by_age.get(&tx)
    }
    pub(crate) fn contains(&self, tx: Tx) -> bool {
        self.by_age.contains_key(&tx)
    }
    /// Oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Tx, &Request)> {
        self.by_age.iter().map(|(tx, request)| (*tx, request))
    }
    pub(super) fn older_than(&self, tx: Tx) -> impl Iterator<Item = &Request> {
        self.by_age.range(..tx).map(|(_, request)| request)
    }
    pub(super) fn oldest_of(&self, requester: &Name) -> Option<Tx> {
        self.by_requester.get(requester)?.first().copied()
    }
    /// How many claims of other requesters wait.
    pub(crate) fn others(&self, requester: &Name) -> usize {
        self.by_age.len() - self.by_requester.get(requester).map_or(0, BTreeSet::len)
    }
    pub(crate) fn oldest_other(&self, requester: &Name) -> Option<(Tx, &Request)> {
        self.iter().find(|(_, request)| request.requester() != Some(requester))
    }
    pub(crate) fn no_wait(&self) -> impl Iterator<Item = (Tx, &Request)> {
        self.no_wait.iter().filter_map(|tx| Some((*tx, self.by_age.get(tx)?)))
    }

    pub(crate) fn insert(&mut self, tx: Tx, request: Request) {
        if let Some(requester) = request.requester() {
            self.by_requester.entry(requester.clone()).or_default().insert(tx);
        }
        if request.no_wait {
            self.no_wait.insert(tx);
        }
        self.by_age.insert(tx, request);
    }

    pub(crate) fn remove(&mut self, tx: Tx) -> Option<Request> {
        let request = self.by_age.remove(&tx)?;
        self.no_wait.remove(&tx);
        if let Some(requester) = request.requester()
            && let Some(txs) = self.by_requester.get_mut(requester)
        {
            txs.remove(&tx);
            if txs.is_empty() {
                self.by_requester.remove(requester);
            }
        }
        Some(request)
    }

    pub(super) fn remove_all_of(&mut self, node: NodeId) {
        let of_it: Vec<Tx> = self.by_age.keys().filter(|tx| tx.node == node).copied().collect();
        for tx in of_it {
            self.remove(tx);
        }
    }

    /// From now on the claim does not wait behind others. Says whether it is here.
    pub(crate) fn stop_waiting(&mut self, tx: Tx) -> bool {
        let Some(request) = self.by_age.get_mut(&tx) else { return false };
        request.no_wait = true;
        self.no_wait.insert(tx);
        true
    }

    pub(crate) fn note_told(&mut self, tx: Tx, shown: Reg) {
        if let Some(request) = self.by_age.get_mut(&tx) {
            request.told = Some(shown);
        }
    }
}
