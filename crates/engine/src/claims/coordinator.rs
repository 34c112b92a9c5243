//! The claim machine: exclusive use of a key on a set of nodes, agreed before anything is published.
//!
//! The home of the pid coordinates; every node of the set votes; older transactions win (*wound-wait*): a node that
//! granted a younger, incomplete claim asks its coordinator to yield. So there is no deadlock, no livelock and no
//! polling. What a key is for decides only when a claim is admitted and what completes it (`OperationKind`): a name's binding is
//! published and acknowledged, a lock's hold is published.

use super::operation::{Claim, Locking, Naming, Operation, OperationKind, Phase, Publication};
use crate::calls::Caller;
use crate::fault::Fault;
use crate::locks::Acquired;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeSet;

impl Engine {
    // ---- the coordinator

    pub(crate) fn start_claim(
        &mut self,
        tx: Tx,
        key: Key,
        claim: Claim,
        caller: Caller,
        nodes: BTreeSet<NodeId>,
        deadline: Deadline,
    ) {
        self.cx.counters.claims += 1;
        self.log(Level::Trace, Topic::Claim, |engine| {
            let (what, nodes) = (log::of_key(Some(&key)), engine.names_of(nodes.iter()));
            format!("{tx:?} claims {what} for process {} on {nodes}", claim.serial)
        });
        let (publication, phase) = (Publication::Claim, Phase::Acquiring);
        self.start_operation(tx, Some(key), claim, publication, caller, nodes.clone(), phase, deadline);
        self.need_the_missing(tx);
        self.ask(tx, &nodes);
    }

    /// A claim on the view begins. If those who are there are no majority of them and the missing, this may be the node that
    /// was paused or cut off: what it asks for may be somebody's whom it cannot see yet.
    fn need_the_missing(&mut self, tx: Tx) {
        if self.is_broken(Fault::ClaimsBeginWithoutTheMissing) {
            return;
        }
        let missing = self.view.missing();
        let Some(op) = self.claims.operations.get_mut(&tx).filter(|op| op.is_on_the_view()) else { return };
        if op.nodes.len() <= missing.len() {
            op.nodes.extend(&missing);
            op.unasked = missing;
        }
    }

    /// Something is published or withdrawn without a claim: it only waits to be acknowledged by all linked nodes. The
    /// caller sends the message that carries `tx`.
    pub(crate) fn start_publication(
        &mut self,
        tx: Tx,
        key: Option<Key>,
        publication: Publication,
        caller: Caller,
        deadline: Deadline,
    ) {
        let claim = Claim::nothing();
        let is_awaited = !self.is_broken(Fault::PublicationIsNotAwaited);
        let phase = Phase::Committing(if is_awaited { self.view.linked() } else { BTreeSet::new() });
        self.start_operation(tx, key, claim, publication, caller, BTreeSet::new(), phase, deadline);
        self.cx.dirty.mark_operation(tx);
    }

    #[allow(clippy::too_many_arguments)] // the one constructor of an operation
    fn start_operation(
        &mut self,
        tx: Tx,
        key: Option<Key>,
        claim: Claim,
        publication: Publication,
        caller: Caller,
        nodes: BTreeSet<NodeId>,
        phase: Phase,
        deadline: Deadline,
    ) {
        self.track(&caller, tx);
        if let Some(deadline) = deadline.at
            && !self.is_broken(Fault::DeadlineIsIgnored)
        {
            self.cx.timers.set(Timer::Operation(tx), deadline);
        }
        if self.is_logged(Level::Warn) {
            self.watch_claims();
        }
        let (granted, since) = (BTreeSet::new(), self.cx.now);
        let unasked = BTreeSet::new();
        let acks = if let Phase::Committing(acks) = &phase { acks.clone() } else { BTreeSet::new() };
        let op =
            Operation { key, claim, publication, caller, nodes, unasked, granted, phase, since, told: false };
        // A delete is repeated on new links, and homes answer it when they have withdrawn: that may take its time.
        let owes_answers = !matches!(op.publication, Publication::Delete { .. });
        self.claims.insert(tx, op);
        if owes_answers {
            self.expect_answers(tx, &acks);
        }
    }

    pub(super) fn ask(&mut self, tx: Tx, nodes: &BTreeSet<NodeId>) {
        if let Some(question) = self.claims.operations.get(&tx).and_then(|op| op.question(tx)) {
            self.expect_answers(tx, nodes);
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
        for timer in [Timer::Operation(tx), Timer::Grace(tx), Timer::NoWait(tx)] {
            self.cx.timers.cancel(&timer);
        }
        self.groups.forget_delete(tx);
        self.forget_owed_to(tx);
        self.claims.remove(tx)
    }

    /// A vote. For an operation that is over, the voter is told so.
    pub(crate) fn on_grant(
        &mut self,
        from: NodeId,
        tx: Tx,
        key: Key,
        epoch: u64,
        regs: Vec<Reg>,
    ) -> Result<(), Violation> {
        let epoch = self.followed_token(epoch)?;
        self.note_answer(tx, from);
        let smallest = self.is_broken(Fault::TokenIsSmallestVote);
        let Some(op) = self.claims.operations.get_mut(&tx) else {
            self.send(from, Message::Release { tx, key });
            return Ok(());
        };
        if op.key.as_ref() != Some(&key) {
            return Err(Violation("a vote for another key"));
        }
        if !op.is_acquiring() || !op.nodes.contains(&from) {
            return Ok(());
        }
        op.granted.insert(from);
        match &mut op.claim.kind {
            OperationKind::Nothing => {}
            OperationKind::Name(naming) => {
                naming.busy.remove(&from);
                // After a vote that was given back this one is the last word.
                naming.shown.retain(|(voter, _)| *voter != from);
                naming.shown.extend(regs.into_iter().map(|reg| (from, reg)));
            }
            OperationKind::Lock(locking) if smallest && locking.token > 0 => {
                locking.token = locking.token.min(epoch)
            }
            OperationKind::Lock(locking) => locking.token = locking.token.max(epoch),
        }
        self.cx.dirty.mark_operation(tx);
        Ok(())
    }

    /// "No": somebody else came first, and the claim does not wait.
    pub(crate) fn on_deny(&mut self, from: NodeId, tx: Tx) -> Result<(), Violation> {
        let op = self.claims.operations.get(&tx);
        if op.is_some_and(|op| op.is_acquiring() && op.nodes.contains(&from)) {
            self.fail(tx, Outcome::failed(Status::Timeout, "another claim came first"));
        }
        Ok(())
    }

    /// The claim waits at a voter behind somebody else: a later grant comes by itself.
    pub(crate) fn on_queued(&mut self, from: NodeId, tx: Tx) {
        self.note_answer(tx, from);
    }

    /// A voter shows a binding. Its table may lag, so this node judges by its own.
    pub(crate) fn on_busy(&mut self, from: NodeId, tx: Tx, reg: Reg) -> Result<(), Violation> {
        self.note_answer(tx, from);
        let judged_once = self.is_broken(Fault::BusyIsJudgedOnce);
        if self.is_broken(Fault::VotersDenyNames)
            && self.claims.operations.get(&tx).is_some_and(Operation::is_registering)
        {
            self.fail(tx, Outcome::of(Status::Exists));
        }
        if let Some(op) = self.claims.operations.get_mut(&tx)
            && op.is_acquiring()
            && op.nodes.contains(&from)
            && let Some(naming) = op.naming_mut()
        {
            naming.busy.insert(from, reg);
            let is_first = naming.busy.len() == 1;
            self.cx.dirty.mark_operation(tx);
            if let Some(Key::Name(name)) = op.key.clone() {
                self.cx.dirty.mark_name(&name);
                if judged_once && is_first {
                    self.refuse_if_taken(&name);
                }
            }
        }
        Ok(())
    }

    /// An older claim waits at a voter that granted this one: give it back, keep the place in the queue.
    pub(crate) fn on_wound(&mut self, from: NodeId, tx: Tx, key: Key) -> Result<(), Violation> {
        let keeps_vote = self.is_broken(Fault::WoundedKeepsTheVote);
        if let Some(op) = self.claims.operations.get_mut(&tx)
            && op.is_acquiring()
            && op.granted.contains(&from)
        {
            if op.key.as_ref() != Some(&key) {
                return Err(Violation("a wound to a claim of another key"));
            }
            if op.claim.no_wait {
                self.fail(tx, Outcome::failed(Status::Timeout, "another claim came first"));
            } else {
                if !keeps_vote {
                    op.granted.remove(&from);
                }
                self.send(from, Message::Yield { tx, key });
            }
        }
        Ok(())
    }

    /// The retries of a claim are used up: who has not granted it hears that it does not wait any longer.
    pub(crate) fn stop_waiting(&mut self, tx: Tx) {
        let Some(op) = self.claims.operations.get_mut(&tx) else { return };
        op.claim.no_wait = true;
        let silent: BTreeSet<NodeId> = op.nodes.difference(&op.granted).copied().collect();
        if let Some(key) = op.key.clone()
            && !self.is_broken(Fault::RetriesAreEndless)
        {
            self.send_to_all(&silent, Message::NoWait { tx, key });
        }
    }

    pub(crate) fn on_ack(&mut self, from: NodeId, tx: Tx) -> Result<(), Violation> {
        self.note_answer(tx, from);
        if let Some(op) = self.claims.operations.get_mut(&tx)
            && let Phase::Committing(acks) = &mut op.phase
        {
            acks.remove(&from);
            self.cx.dirty.mark_operation(tx);
        }
        Ok(())
    }

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

    pub(super) fn is_acquiring(&self, tx: Tx) -> bool {
        self.claims.operations.get(&tx).is_some_and(Operation::is_acquiring)
    }

    /// Ends a claim that is not complete; gives back only what it took.
    pub(crate) fn fail(&mut self, tx: Tx, outcome: Outcome) {
        if let Some(op) = self.end_operation(tx) {
            self.claim_failed(tx, &outcome);
            if self.is_broken(Fault::FailureDropsWhatWasHeld)
                && let (Some(Key::Lock(resource)), OperationKind::Lock(locking)) = (&op.key, &op.claim.kind)
            {
                self.end_hold(&(op.claim.serial, resource.clone(), locking.requester.clone()), None);
            }
            if let Some(key) = op.key {
                let grants_only = self.is_broken(Fault::FailureReleasesGrantsOnly);
                let nodes = if grants_only { &op.granted } else { &op.nodes };
                self.send_to_all(nodes, Message::Release { tx, key });
            }
            self.conclude(op.caller, outcome);
        }
    }

    fn claim_failed(&mut self, tx: Tx, outcome: &Outcome) {
        self.cx.counters.claims_failed += 1;
        self.log(Level::Trace, Topic::Claim, |_| format!("{tx:?} is given up: {:?}", outcome.status));
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

    /// My own table alone decides that a name is taken.
    pub(crate) fn refuse_if_taken(&mut self, name: &Name) {
        let claims = self.claims.of(&Key::Name(name.clone())); // asked first: hardly any name has one
        if claims.is_empty() || !self.names.shows(name) {
            return;
        }
        for tx in claims {
            if self.claims.operations.get(&tx).is_some_and(Operation::is_registering) {
                self.fail(tx, Outcome::of(Status::Exists));
            }
        }
    }
}
