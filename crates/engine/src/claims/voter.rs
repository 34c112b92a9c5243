//! The voter: what a node grants to the claims of others and its own, in which order, and whom it wounds.

use super::queue::{Queue, Request};
use crate::fault::Fault;
use crate::locks::LockState;
use crate::machine::Engine;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// One key at this voter, while it is claimed. Who holds a lock stands in `locks/hold`.
#[derive(Default, Debug)]
pub(super) struct Ballot {
    /// Claims that were granted and are not complete yet, as far as is known here. At most one for a name; those for a
    /// lock have one requester.
    pub(super) granted: BTreeMap<Tx, Request>,
    pub(super) queue: Queue,
    wounded: BTreeSet<Tx>,
    /// They have come during this input, and wait.
    unanswered: Vec<Tx>,
}

impl Ballot {
    fn is_idle(&self) -> bool {
        self.granted.is_empty() && self.queue.is_empty()
    }
    fn has_claim(&self, tx: Tx) -> bool {
        self.granted.contains_key(&tx) || self.queue.contains(tx)
    }
    /// How many there were.
    pub(super) fn forget_claims_of(&mut self, node: NodeId) -> usize {
        let before = self.granted.len() + self.queue.len();
        self.granted.retain(|tx, _| tx.node != node);
        self.queue.remove_all_of(node);
        self.wounded.retain(|tx| tx.node != node);
        before - self.granted.len() - self.queue.len()
    }
    /// The claim is over here, by its completion or its end.
    pub(crate) fn remove(&mut self, tx: Tx) -> Option<Request> {
        self.wounded.remove(&tx);
        self.granted.remove(&tx).or_else(|| self.queue.remove(tx))
    }
}

impl Engine {
    /// A name is none that is held for good: while somebody has it claims of it are not admitted.
    fn lock_state(&self, key: &Key) -> LockState<'_> {
        match key {
            Key::Lock(resource) => self.holds.state(resource),
            Key::Name(_) => LockState::Free,
        }
    }

    fn is_granted(&self, key: &Key) -> bool {
        self.claims.ballots.get(key).is_some_and(|ballot| !ballot.granted.is_empty())
    }

    fn is_free(&self, key: &Key) -> bool {
        self.lock_state(key) == LockState::Free && !self.is_granted(key)
    }

    /// The one requester of all who have the lock, complete or not.
    fn sharer(&self, key: &Key) -> Option<&Name> {
        let ballot = self.claims.ballots.get(key);
        let holding = ballot.and_then(|ballot| ballot.granted.values().next()?.requester());
        match self.lock_state(key) {
            LockState::Free => holding,
            LockState::HeldBy(bound) => holding.is_none_or(|holding| holding == bound).then_some(bound),
            LockState::Conflict => None,
        }
    }

    /// A lock: always. Plain register: this table shows no binding, dying ones included. Re-register: no clash on the
    /// name.
    fn is_admitted(&self, key: &Key, request: &Request) -> bool {
        let Key::Name(name) = key else { return true };
        if request.want == (Want::Name { replace: true }) {
            self.names.open(name).len() <= 1
        } else {
            !self.names.shows(name)
        }
    }

    pub(crate) fn on_acquire(
        &mut self,
        from: NodeId,
        tx: Tx,
        key: Key,
        want: Want,
        no_wait: bool,
    ) -> Result<(), Violation> {
        if tx.node != from {
            return Err(Violation("a claim in the name of another node"));
        }
        match (&key, &want) {
            (Key::Name(_), Want::Name { .. }) => {}
            (Key::Lock(_), Want::Lock { serial: 0, .. }) => return Err(Violation("an empty pid")),
            (Key::Lock(_), Want::Lock { .. }) => {}
            _ => return Err(Violation("a claim of one kind for a key of the other")),
        }
        if self.claims.ballots.get(&key).is_some_and(|ballot| ballot.has_claim(tx)) {
            return Err(Violation("a claim that is here already"));
        }
        let request = Request { want, no_wait, told: None, since: self.cx.now };
        self.claims.add_request(from, &key, &request);
        let admitted = self.is_admitted(&key, &request);
        let waits = self.claims.ballots.get(&key).is_some_and(|ballot| !ballot.queue.is_empty());
        let idle = self.is_free(&key) && !waits;
        if admitted && (idle || self.may_share(&key, tx, request.requester())) {
            self.grant(tx, &key, request);
        } else if no_wait && !self.is_broken(Fault::NoWaitWaits) && self.is_behind(tx, &key, &request) {
            self.claims.forget_request(from, &key, &request);
            self.send(from, Message::Deny { tx });
        } else {
            self.enqueue(tx, &key, request);
            if let Some(ballot) = self.claims.ballots.get_mut(&key) {
                ballot.unanswered.push(tx);
            }
            self.cx.dirty.mark_key(&key);
        }
        Ok(())
    }

    /// Somebody else has the key for good, or an older claim of somebody else is here. A waiter that is not admitted is
    /// in nobody's way.
    fn is_behind(&self, tx: Tx, key: &Key, request: &Request) -> bool {
        if self.lock_state(key).is_held_by_another_than(request.requester()) {
            return true;
        }
        let Some(ballot) = self.claims.ballots.get(key) else { return false };
        let mut older = ballot.granted.range(..tx);
        older.any(|(_, holder)| !holder.shares_with(request))
            || ballot
                .queue
                .older_than(tx)
                .any(|waiter| !waiter.shares_with(request) && self.is_admitted(key, waiter))
    }

    fn enqueue(&mut self, tx: Tx, key: &Key, request: Request) {
        self.claims.ballots.entry(key.clone()).or_default().queue.insert(tx, request);
        if let Key::Lock(resource) = key {
            self.cx.notices.push_back(Notice::Wanted { resource: resource.clone() });
        }
    }

    fn grant(&mut self, tx: Tx, key: &Key, request: Request) {
        let mut regs = Vec::new();
        if let (Key::Name(name), Want::Name { replace: true }) = (key, &request.want) {
            // What readers see here, or may see when that goes: all of it is to be covered.
            regs.extend(self.names.all(name).into_iter().map(|binding| binding.reg));
        }
        let mut epoch = 0;
        if let Key::Lock(resource) = key {
            if self.is_free(key) || self.holds.epoch(resource) == 0 {
                self.holds.begin_epoch(resource);
            }
            epoch = self.holds.epoch(resource);
        }
        self.claims.ballots.entry(key.clone()).or_default().granted.insert(tx, request);
        self.send(tx.node, Message::Grant { tx, key: key.clone(), epoch, regs });
    }

    /// Serves the queue: the oldest claim that is admitted, if nobody has the key; then all who may share with it.
    pub(crate) fn reconcile_key(&mut self, key: &Key) {
        if !self.claims.ballots.contains_key(key) {
            return self.forget_if_unused(key);
        }
        loop {
            while let Some(tx) = self.next_to_serve(key) {
                let ballot = self.claims.ballots.get_mut(key);
                let Some(request) = ballot.and_then(|ballot| ballot.queue.remove(tx)) else { return };
                self.grant(tx, key, request);
            }
            if !self.deny_no_wait(key) {
                break;
            }
        }
        self.wound(key);
        self.tell_busy(key);
        self.tell_queued(key);
        if self.claims.ballots.get(key).is_some_and(Ballot::is_idle) {
            self.claims.ballots.remove(key);
            self.forget_if_unused(key);
        }
    }

    fn forget_if_unused(&mut self, key: &Key) {
        if let Key::Lock(resource) = key {
            self.holds.forget_if_unused(resource);
        }
    }

    fn next_to_serve(&self, key: &Key) -> Option<Tx> {
        let ballot = self.claims.ballots.get(key)?;
        if self.is_free(key) {
            let mut waiters = ballot.queue.iter();
            waiters.find(|(_, request)| self.is_admitted(key, request)).map(|(tx, _)| tx)
        } else {
            let requester = self.sharer(key)?;
            ballot.queue.oldest_of(requester).filter(|tx| self.may_share(key, *tx, Some(requester)))
        }
    }

    /// Those who share a lock that is held enter at once; before that they stay behind older claims of others.
    fn may_share(&self, key: &Key, tx: Tx, requester: Option<&Name>) -> bool {
        let Some(requester) = requester.filter(|requester| self.sharer(key) == Some(*requester)) else {
            return false;
        };
        let ballot = self.claims.ballots.get(key);
        let older = ballot.and_then(|ballot| ballot.queue.oldest_other(requester));
        self.lock_state(key) != LockState::Free
            || older.is_none_or(|(oldest, _)| oldest > tx)
            || self.is_broken(Fault::SharerPassesOlder)
    }

    /// Asks holders to yield, each once: those that are younger than the oldest admitted waiter of another requester,
    /// and whatever their age those that have company of another requester whose hold is complete.
    fn wound(&mut self, key: &Key) {
        if self.is_broken(Fault::NobodyIsWounded) {
            return;
        }
        let Some(ballot) = self.claims.ballots.get(key) else { return };
        let Some((oldest_granted, holder)) = ballot.granted.first_key_value() else { return };
        let from = if self.lock_state(key) == LockState::Free {
            let in_the_way =
                |(_, waiter): &(Tx, &Request)| !waiter.shares_with(holder) && self.is_admitted(key, waiter);
            let Some((oldest, _)) = ballot.queue.iter().find(in_the_way) else { return };
            oldest
        } else if self.sharer(key).is_some() || self.is_broken(Fault::HoldWoundsNobody) {
            return;
        } else {
            *oldest_granted
        };
        let to_wound = ballot.granted.range(from..).map(|(tx, _)| *tx);
        for tx in to_wound.filter(|tx| !ballot.wounded.contains(tx)).collect::<Vec<_>>() {
            if let Some(ballot) = self.claims.ballots.get_mut(key) {
                ballot.wounded.insert(tx);
            }
            self.send(tx.node, Message::Wound { tx, key: key.clone() });
        }
    }

    /// Every waiter that is not admitted hears of the binding that is in its way, else it would hang in a partial mesh.
    fn tell_busy(&mut self, key: &Key) {
        let Key::Name(name) = key else { return };
        let Some(shown) = self.names.shown(name) else { return };
        let Some(ballot) = self.claims.ballots.get(key) else { return };
        let untold =
            |(_, request): &(Tx, &Request)| request.told != Some(shown) && !self.is_admitted(key, request);
        let once = self.is_broken(Fault::BusyIsToldOnce);
        let untold = ballot.queue.iter().filter(untold).filter(|(_, r)| !once || r.told.is_none());
        for tx in untold.map(|(tx, _)| tx).collect::<Vec<_>>() {
            if let Some(ballot) = self.claims.ballots.get_mut(key) {
                ballot.queue.note_told(tx, shown);
            }
            self.send(tx.node, Message::Busy { tx, reg: shown });
        }
    }

    /// A coordinator whose claim waits, and that has had no other answer, hears so, or this would pass for a voter that does not answer.
    fn tell_queued(&mut self, key: &Key) {
        let Some(ballot) = self.claims.ballots.get_mut(key) else { return };
        let mut unanswered = std::mem::take(&mut ballot.unanswered);
        let me = self.cx.config.node;
        let waits = |tx: &Tx| ballot.queue.get(*tx).is_some_and(|request| request.told.is_none());
        unanswered.retain(|tx| tx.node != me && waits(tx));
        for tx in unanswered {
            self.send(tx.node, Message::Queued { tx });
        }
    }

    pub(crate) fn on_yield(&mut self, from: NodeId, tx: Tx, key: Key) -> Result<(), Violation> {
        if tx.node != from {
            return Err(Violation("a claim of another node"));
        }
        if let Some(ballot) = self.claims.ballots.get_mut(&key) {
            ballot.wounded.remove(&tx);
            if let Some(request) = ballot.granted.remove(&tx) {
                self.enqueue(tx, &key, request);
            }
        }
        self.cx.dirty.mark_key(&key);
        Ok(())
    }

    /// From now on the claim does not wait behind others.
    pub(crate) fn on_no_wait(&mut self, from: NodeId, tx: Tx, key: Key) -> Result<(), Violation> {
        if tx.node != from {
            return Err(Violation("a claim of another node"));
        }
        if self.claims.ballots.get_mut(&key).is_some_and(|ballot| ballot.queue.stop_waiting(tx)) {
            self.cx.dirty.mark_key(&key);
        }
        Ok(())
    }

    /// "No" to the claims that do not wait and would have to. Says whether there were any: they may have stood in the
    /// way of others.
    fn deny_no_wait(&mut self, key: &Key) -> bool {
        if self.is_broken(Fault::NoWaitWaits) {
            return false;
        }
        let Some(ballot) = self.claims.ballots.get(key) else { return false };
        let no_wait = ballot.queue.no_wait().filter(|(tx, request)| self.is_behind(*tx, key, request));
        let denied: Vec<Tx> = no_wait.map(|(tx, _)| tx).collect();
        for tx in &denied {
            self.claims.end_request(*tx, key);
            self.send(tx.node, Message::Deny { tx: *tx });
        }
        !denied.is_empty()
    }

    pub(crate) fn on_release(&mut self, from: NodeId, tx: Tx, key: Key) -> Result<(), Violation> {
        if tx.node != from {
            return Err(Violation("a claim of another node"));
        }
        self.free_claim(tx, &key);
        Ok(())
    }

    /// The claim is over at this voter.
    pub(crate) fn free_claim(&mut self, tx: Tx, key: &Key) {
        self.claims.end_request(tx, key);
        self.cx.dirty.mark_key(key);
    }
}
