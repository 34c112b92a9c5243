//! The voter: what a node grants to the claims of others and its own, in which order, and whom it wounds.

use super::claim::Request;
use super::machine::Engine;
use super::*;

impl Engine {
    /// Plain register: this table shows no binding, dying ones included. Re-register: no clash on the name.
    fn is_admitted(&self, key: &Key, request: &Request) -> bool {
        let Key::Name(name) = key else { return true };
        if request.want == (Want::Name { replace: true }) {
            self.names.open(name).len() <= 1
        } else {
            !self.names.shows(name)
        }
    }

    pub(super) fn acquire(
        &mut self,
        from: NodeId,
        tx: Tx,
        key: Key,
        want: Want,
        nowait: bool,
    ) -> Result<(), &'static str> {
        if tx.node != from {
            return Err("a claim in the name of another node");
        }
        let (Key::Name(name) | Key::Lock(name)) = &key;
        if name.as_bytes().is_empty() {
            return Err("an empty name");
        }
        if matches!(key, Key::Name(_)) != matches!(want, Want::Name { .. }) {
            return Err("a claim of one kind for a key of the other");
        }
        let request = Request { want, nowait, told: None };
        let admitted = self.is_admitted(&key, &request);
        let here = self.claims.arbiters.get(&key);
        if here.is_some_and(|arbiter| arbiter.holders.contains_key(&tx) || arbiter.queue.contains_key(&tx)) {
            return Err("a claim that is here already");
        }
        // A waiter that is not admitted is in nobody's way.
        let behind = here.is_some_and(|arbiter| {
            let mut waiters = arbiter.queue.range(..tx);
            arbiter.holders.keys().any(|other| *other < tx) || waiters.any(|(_, w)| self.is_admitted(&key, w))
        });
        let count = self.claims.requests.entry(from).or_default();
        *count += 1;
        if *count > self.config.limits.operations && from != self.config.node {
            return Err("more claims than the limit");
        }
        let arbiter = self.claims.arbiters.entry(key.clone()).or_default();
        if admitted && arbiter.holders.is_empty() && arbiter.queue.is_empty() {
            self.grant(tx, &key, request);
        } else if nowait && behind {
            self.claims.forget_request(from);
            self.send(from, Message::Deny { tx });
        } else {
            arbiter.queue.insert(tx, request);
            self.pump(&key);
        }
        Ok(())
    }

    fn grant(&mut self, tx: Tx, key: &Key, request: Request) {
        let mut regs = Vec::new();
        if let (Key::Name(name), Want::Name { replace: true }) = (key, &request.want) {
            // Not all that this table shows: only what this node owns, also what it keeps for a restore.
            regs.extend(self.mine(name));
            regs.extend(self.claims.kept(key));
        }
        if let Some(arbiter) = self.claims.arbiters.get_mut(key) {
            arbiter.holders.insert(tx, request);
        }
        self.send(tx.node, Message::Grant { tx, key: key.clone(), tenure: 0, regs });
        self.wound(key);
    }

    /// Serves the queue: the oldest claim that is admitted, if nobody holds the key.
    pub(super) fn pump(&mut self, key: &Key) {
        let Some(arbiter) = self.claims.arbiters.get(key) else { return };
        if arbiter.holders.is_empty() {
            let next = arbiter.queue.iter().find(|(_, request)| self.is_admitted(key, request));
            if let Some((tx, request)) = next.map(|(tx, request)| (*tx, request.clone())) {
                if let Some(arbiter) = self.claims.arbiters.get_mut(key) {
                    arbiter.queue.remove(&tx);
                }
                self.grant(tx, key, request);
            }
        }
        self.wound(key);
        self.tell_busy(key);
        if self.claims.arbiters.get(key).is_some_and(|a| a.holders.is_empty() && a.queue.is_empty()) {
            self.claims.arbiters.remove(key);
        }
    }

    /// Each holder that is younger than the oldest admitted waiter is asked to yield, once.
    fn wound(&mut self, key: &Key) {
        let Some(arbiter) = self.claims.arbiters.get(key) else { return };
        if arbiter.holders.is_empty() {
            return;
        }
        let admitted = arbiter.queue.iter().find(|(_, request)| self.is_admitted(key, request));
        let Some(oldest) = admitted.map(|(tx, _)| *tx) else { return };
        let younger = arbiter.holders.keys().filter(|tx| **tx > oldest && !arbiter.wounded.contains(tx));
        for tx in younger.copied().collect::<Vec<_>>() {
            if let Some(arbiter) = self.claims.arbiters.get_mut(key) {
                arbiter.wounded.insert(tx);
            }
            self.send(tx.node, Message::Wound { tx, key: key.clone() });
        }
    }

    /// Every waiter that is not admitted hears of the binding that is in its way, else it would hang in a partial mesh.
    fn tell_busy(&mut self, key: &Key) {
        let Key::Name(name) = key else { return };
        let Some(shown) = self.names.shown(name) else { return };
        let Some(arbiter) = self.claims.arbiters.get(key) else { return };
        let untold =
            |(_, request): &(&Tx, &Request)| request.told != Some(shown) && !self.is_admitted(key, request);
        for tx in arbiter.queue.iter().filter(untold).map(|(tx, _)| *tx).collect::<Vec<_>>() {
            let arbiter = self.claims.arbiters.get_mut(key);
            if let Some(request) = arbiter.and_then(|arbiter| arbiter.queue.get_mut(&tx)) {
                request.told = Some(shown);
            }
            self.send(tx.node, Message::Busy { tx, reg: shown });
        }
    }

    pub(super) fn yielded(&mut self, from: NodeId, tx: Tx, key: Key) -> Result<(), &'static str> {
        if tx.node != from {
            return Err("a claim of another node");
        }
        if let Some(arbiter) = self.claims.arbiters.get_mut(&key) {
            arbiter.wounded.remove(&tx);
            if let Some(request) = arbiter.holders.remove(&tx) {
                arbiter.queue.insert(tx, request);
            }
        }
        self.pump(&key);
        Ok(())
    }

    pub(super) fn released(&mut self, from: NodeId, tx: Tx, key: Key) -> Result<(), &'static str> {
        if tx.node != from {
            return Err("a claim of another node");
        }
        self.free_claim(tx, &key);
        Ok(())
    }

    /// The claim is over at this voter.
    pub(super) fn free_claim(&mut self, tx: Tx, key: &Key) {
        if let Some(arbiter) = self.claims.arbiters.get_mut(key) {
            arbiter.wounded.remove(&tx);
            if arbiter.holders.remove(&tx).is_some() | arbiter.queue.remove(&tx).is_some() {
                self.claims.forget_request(tx.node);
            }
        }
        self.pump(key);
    }
}
