//! What becomes of operations when nodes come and go: who must vote and acknowledge from then on.

use super::operation::Phase;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use std::collections::BTreeSet;

impl Engine {
    /// A new link joins the acknowledgements of what is under way: else OK before the peer shows it.
    pub(crate) fn join_acknowledgements(&mut self, peer: NodeId) -> BTreeSet<Tx> {
        let mut joined = BTreeSet::new();
        if self.is_broken(Fault::NewLinkJoinsNoAcks) {
            return joined;
        }
        for (tx, op) in &mut self.claims.operations {
            if let Phase::Committing(acks) = &mut op.phase {
                acks.insert(peer);
                // A delete is repeated, and acknowledged by itself.
                if !self.groups.is_delete(*tx) {
                    joined.insert(*tx);
                }
            }
        }
        joined
    }

    /// A peer's snapshot is complete: claims on the view need its vote too.
    pub(crate) fn ask_newcomer(&mut self, peer: NodeId) {
        if self.is_broken(Fault::NewcomerIsNotAsked) {
            return;
        }
        for op in self.claims.operations.values_mut() {
            if op.is_acquiring() && op.is_on_the_view() && op.nodes.insert(peer) {
                op.unasked.insert(peer);
            }
        }
        self.mark_all_operations();
    }

    /// Nodes that have come, or have come back, are asked.
    pub(super) fn ask_those_who_are_there(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get_mut(&tx).filter(|op| op.is_acquiring()) else { return };
        let there: BTreeSet<NodeId> =
            op.unasked.iter().filter(|node| self.view.is_synced(**node)).copied().collect();
        if !there.is_empty() {
            op.unasked.retain(|node| !there.contains(node));
            self.ask(tx, &there);
        }
    }

    /// A link went down: its claims go, and so do its votes. Nobody waits for it to vote again, unless it is missing. What its
    /// processes held is dropped by now.
    pub(crate) fn drop_claims_of(&mut self, peer: NodeId) {
        let keeps_claims = self.is_broken(Fault::VoterKeepsClaimsOfTheLost);
        if !keeps_claims {
            self.claims.forget_requests_of(peer);
        }
        self.mark_all_keys();
        let waited_for = self.view.is_missing(peer) && !self.is_broken(Fault::BrokenLinkShrinksClaims);
        self.view.forget_owed_by(peer);
        for op in self.claims.operations.values_mut() {
            op.granted.remove(&peer);
            if let Some(naming) = op.naming_mut() {
                naming.busy.remove(&peer);
            }
            if let Phase::Committing(acks) = &mut op.phase {
                acks.remove(&peer);
            }
            if waited_for && op.is_acquiring() && op.nodes.contains(&peer) {
                op.unasked.insert(peer);
            } else {
                op.unasked.remove(&peer); // waited for until now, perhaps
            }
        }
        self.shrink_claims(peer, "the link to a node of the list was lost");
        // A link that is replaced in the same moment is there again when this is judged: else OK would be answered although a linked
        // node has yet to read the snapshot.
        self.mark_all_operations();
        self.settle_if_broken();
    }

    /// The node is gone, or was waited for long enough: claims go on without it.
    pub(crate) fn claims_without(&mut self, node: NodeId, text: &'static str) {
        for op in self.claims.operations.values_mut() {
            op.unasked.remove(&node);
        }
        self.shrink_claims(node, text);
        self.mark_all_operations();
    }

    /// Takes a node that is not waited for out of the sets; never "held" on a list of which a node is gone.
    fn shrink_claims(&mut self, node: NodeId, text: &'static str) {
        let goes_on = self.is_broken(Fault::ListGoesOnWithoutNode);
        for tx in self.claims.operations.keys().copied().collect::<Vec<_>>() {
            let Some(op) = self.claims.operations.get_mut(&tx) else { continue };
            if !op.unasked.contains(&node)
                && op.nodes.remove(&node)
                && op.is_acquiring()
                && !op.is_on_the_view()
                && !goes_on
            {
                self.fail(tx, Outcome::failed(Status::Unreachable, text));
            }
        }
    }
}
