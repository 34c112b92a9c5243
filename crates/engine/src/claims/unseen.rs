//! A claim for a name of which a voter shows a binding whose owner this node cannot see: how long it waits for that.

use super::operation::Operation;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::time::Duration;

impl Engine {
    /// A voter shows a binding whose owner this node cannot see. After one and a half detection times of that it is asked
    /// whether it hears the owner, and its word counts.
    pub(super) fn update_grace(&mut self, tx: Tx) {
        if self.is_broken(Fault::UnseenOwnerIsWaitedFor) {
            return;
        }
        let waits = !self.unseen_owners(tx).is_empty();
        let now = self.cx.now;
        let Some(naming) = self.claims.operations.get_mut(&tx).and_then(Operation::naming_mut) else {
            return;
        };
        let timer = Timer::Grace(tx);
        if !waits {
            naming.unseen_since = None;
            self.claims.out_of_sight.remove(&tx);
            self.cx.timers.cancel(&timer);
        } else if naming.unseen_since.is_none() {
            naming.unseen_since = Some(now);
            self.claims.out_of_sight.insert(tx);
            self.cx.timers.set(timer, now + self.grace());
        }
    }

    /// Longer than the voter may take to give up a dead owner, unless one of the two is paused meanwhile.
    fn grace(&self) -> Duration {
        let detections = if self.is_broken(Fault::GraceIsShort) { 0.02 } else { 1.5 };
        self.cx.config.detection.mul_f64(detections)
    }

    /// The voters that show a plain registration a binding of an owner without a merged link to this node, and those owners.
    fn unseen_owners(&self, tx: Tx) -> Vec<(NodeId, NodeId)> {
        let op = self.claims.operations.get(&tx).filter(|op| op.is_registering());
        let busy = op.and_then(Operation::naming).into_iter().flat_map(|naming| &naming.busy);
        let pairs = busy.map(|(voter, reg)| (*voter, reg.node));
        pairs.filter(|(_, owner)| !self.view.is_synced(*owner) && *owner != self.cx.config.node).collect()
    }

    /// The voters may have been paused while the owner died, or starved, and show it still: so each is asked, and asked
    /// again as long as the binding is in the way. It answers when it hears the owner; else it gives the owner up, and the
    /// claim goes on. A fixed time would be too short for somebody.
    pub(crate) fn grace_over(&mut self, tx: Tx) {
        let unseen = self.unseen_owners(tx);
        if unseen.is_empty() {
            return;
        }
        if self.is_broken(Fault::GraceIsShort) || self.is_broken(Fault::VoterIsNotAskedAgain) {
            return self.held_out_of_sight(tx);
        }
        for (voter, node) in unseen {
            self.send(voter, Message::Vouch { node });
        }
        self.cx.timers.set(Timer::Grace(tx), self.cx.now + self.cx.config.detection.mul_f64(0.5));
    }

    /// The voter hears this node.
    pub(crate) fn on_vouched(&mut self, from: NodeId, node: NodeId) {
        let due = self.cx.now - self.grace();
        for tx in self.claims.out_of_sight.iter().copied().collect::<Vec<_>>() {
            let naming = self.claims.operations.get(&tx).and_then(Operation::naming);
            let is_due = naming.and_then(|naming| naming.unseen_since).is_some_and(|since| since <= due);
            if is_due && self.unseen_owners(tx).contains(&(from, node)) {
                self.held_out_of_sight(tx);
            }
        }
    }

    fn held_out_of_sight(&mut self, tx: Tx) {
        let text = "held by a process of a node without a link to this one";
        self.fail(tx, Outcome::failed(Status::Exists, text));
    }
}
