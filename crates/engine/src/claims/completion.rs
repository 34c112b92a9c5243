//! How an operation ends: what all have granted or acknowledged is done in the room that it is for, and what is ended early is
//! undone there. This stands above `names`, `locks` and `groups`, while the rest of `claims` stands below them.

use super::operation::{Locking, Naming, OperationKind, Phase};
use crate::calls::Caller;
use crate::fault::Fault;
use crate::locks::Acquired;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;

impl Engine {
    /// Something that an operation waits for may have come: votes, acknowledgements, a node that is to be asked, or a binding that
    /// is in its way.
    pub(crate) fn reconcile_operation(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get(&tx) else { return };
        let is_to_ask = !op.unasked.is_empty();
        let meets_bindings = op.naming().is_some_and(|it| !it.busy.is_empty() || it.unseen_since.is_some());
        if is_to_ask {
            self.ask_those_who_are_there(tx);
        }
        if meets_bindings {
            self.update_grace(tx);
        }
        self.go_on(tx);
    }

    /// When all have granted, or all have acknowledged.
    fn go_on(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get(&tx) else { return };
        match &op.phase {
            // Only nodes that are asked are in `granted`.
            Phase::Acquiring if op.granted.len() == op.nodes.len() => {
                let key = op.key.clone();
                self.cx.timers.cancel(&Timer::Grace(tx));
                match key {
                    Some(Key::Name(name)) => self.complete_registration(tx, &name),
                    Some(Key::Lock(resource)) => self.complete_acquisition(tx, resource),
                    None => {}
                }
            }
            Phase::Committing(acks) if acks.is_empty() => {
                let Some(op) = self.end_operation(tx) else { return };
                if matches!(op.claim.kind, OperationKind::Name(_)) {
                    self.cx.counters.registering.add(self.cx.now.since(op.since));
                    self.log(Level::Trace, Topic::Claim, |_| format!("{tx:?} is done"));
                }
                let mut settled = None;
                if let (Some(Key::Name(name)), OperationKind::Name(naming)) = (&op.key, op.claim.kind)
                    && let Some(reg) = naming.reg
                {
                    settled = Some((name.clone(), reg));
                    self.settle_binding(name, reg);
                }
                self.publication_done(tx, op.publication);
                // The number of a registration is for the node that has forwarded it.
                let number = settled.as_ref().filter(|_| matches!(op.caller, Caller::Forwarded { .. }));
                let value = number.map_or(0, |(_, reg)| reg.seq);
                self.conclude(op.caller, Outcome::value(value));
                self.withdrawal_over(tx);
                if let Some((name, _)) = settled {
                    self.cx.dirty.mark_name(&name); // it waited for that
                }
            }
            _ => {}
        }
    }

    /// All have granted a name: it is published, and every linked node is to acknowledge it.
    fn complete_registration(&mut self, tx: Tx, name: &Name) {
        let unvoted = self.is_broken(Fault::UnvotedIsNotCovered);
        let Some(op) = self.claims.operations.get(&tx) else { return };
        let Some(naming) = op.naming() else { return };
        let shown = naming.shown.iter().map(|(_, reg)| *reg);
        let shown = shown.filter(|reg| !unvoted || op.nodes.contains(&reg.node));
        let shown = naming.replace.then(|| shown.collect());
        let (serial, resolver, acks) = (op.claim.serial, naming.resolver.clone(), self.view.linked());
        match self.publish_binding(tx, name, serial, resolver, shown, &acks) {
            Err(outcome) => self.fail(tx, outcome),
            Ok(reg) => {
                if let Some(op) = self.claims.operations.get_mut(&tx) {
                    op.phase = Phase::Committing(acks.clone());
                    if let Some(naming) = op.naming_mut() {
                        naming.reg = Some(reg);
                    }
                }
                self.expect_answers(tx, &acks);
                self.free_claim(tx, &Key::Name(name.clone()));
                self.cx.dirty.mark_operation(tx);
            }
        }
    }

    /// All have granted a lock: its process holds it, unless others must grant anew what it had lost. What is kept and was lost is held
    /// again only where all of it is granted anew; what a scope acquires makes nothing good that was lost outside of it.
    fn complete_acquisition(&mut self, tx: Tx, resource: Name) {
        let Some(op) = self.claims.operations.get(&tx) else { return };
        let OperationKind::Lock(locking) = &op.claim.kind else { return };
        let id = (op.claim.serial, resource, locking.requester.clone());
        if locking.scope.is_none() && !self.is_broken(Fault::LostIsHeldAgainInPart) {
            let missing = &self.holds.to_be_granted_anew(&id) - &op.nodes;
            if !missing.is_empty() {
                return self.ask_more(tx, &missing);
            }
        }
        let Some(op) = self.end_operation(tx) else { return };
        self.cx.counters.acquiring.add(self.cx.now.since(op.since));
        self.log(Level::Trace, Topic::Claim, |_| format!("{tx:?} is done"));
        let OperationKind::Lock(Locking { view, token, scope, .. }) = op.claim.kind else { return };
        let token = self.hold_acquired(tx, &id, Acquired { view, scope, nodes: op.nodes, token });
        self.conclude(op.caller, Outcome::value(token));
    }

    pub(crate) fn operation_deadline(&mut self, tx: Tx) {
        self.undo(tx, Outcome::of(Status::Timeout));
    }

    /// Ends an operation before its time: at its deadline, cancelled, or because a process ended. What it published is
    /// withdrawn on every link before the answer goes out; a withdrawal goes on without anybody waiting for it.
    pub(crate) fn undo(&mut self, tx: Tx, outcome: Outcome) {
        if self.is_acquiring(tx) {
            return self.fail(tx, outcome);
        }
        if self.groups.is_withdrawal(tx) {
            // Deletes of other nodes may wait for it.
            self.cx.timers.cancel(&Timer::Operation(tx));
            let Some(op) = self.claims.operations.get_mut(&tx) else { return };
            let caller = std::mem::replace(&mut op.caller, Caller::Nobody);
            return self.conclude(caller, outcome);
        }
        let Some(op) = self.end_operation(tx) else { return };
        if self.is_broken(Fault::NotUndoneAtDeadline) {
            return self.conclude(op.caller, outcome);
        }
        if let (Some(Key::Name(name)), OperationKind::Name(Naming { reg: Some(reg), .. })) =
            (op.key, op.claim.kind)
        {
            self.claim_failed(tx, &outcome);
            self.undo_registration(&name, reg);
            self.conclude(op.caller, outcome);
            self.cx.dirty.mark_name(&name);
        } else {
            self.undo_publication(tx, op.publication);
            self.conclude(op.caller, outcome);
        }
    }
}
