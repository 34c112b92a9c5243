//! The claim machine: exclusive use of a key on a set of nodes, agreed before anything is published.
//!
//! The home of the pid coordinates; every node of the set votes; older transactions win (*wound-wait*): a node that
//! granted a younger, incomplete claim asks its coordinator to yield. So there is no deadlock, no livelock and no
//! polling. What a key is for decides only when a claim is admitted and what completes it (`OperationKind`): a name's binding is
//! published and acknowledged, a lock's hold is published.

use super::operation::{Claim, Operation, OperationKind, Phase, Publication};
use crate::calls::Caller;
use crate::fault::Fault;
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

    pub(super) fn is_acquiring(&self, tx: Tx) -> bool {
        self.claims.operations.get(&tx).is_some_and(Operation::is_acquiring)
    }

    /// Ends a claim that is not complete; gives back only what it took.
    pub(crate) fn fail(&mut self, tx: Tx, outcome: Outcome) {
        if let Some(op) = self.end_operation(tx) {
            self.claim_failed(tx, &outcome);
            self.drop_what_was_held_if_broken(&op);
            if let Some(key) = op.key {
                let grants_only = self.is_broken(Fault::FailureReleasesGrantsOnly);
                let nodes = if grants_only { &op.granted } else { &op.nodes };
                self.send_to_all(nodes, Message::Release { tx, key });
            }
            self.conclude(op.caller, outcome);
        }
    }

    pub(super) fn claim_failed(&mut self, tx: Tx, outcome: &Outcome) {
        self.cx.counters.claims_failed += 1;
        self.log(Level::Trace, Topic::Claim, |_| format!("{tx:?} is given up: {:?}", outcome.status));
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
