//! Members and dots that this node has withdrawn, until every linked node has acknowledged it.
//!
//! A delete is over when no linked node shows the group any more. Its members are facts of their homes, so a home answers
//! a delete only when its own withdrawals from that group are heard everywhere, also those that were on their way before
//! the delete came: a leave, an exit, another node's delete. Links are FIFO, so the last withdrawal stands for all.

use crate::budget::{self, Tally};
use crate::calls::Caller;
use crate::claims::Publication;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default, Debug)]
struct Withdrawal {
    groups: BTreeSet<Name>,
    /// Deletes of peers that are acknowledged after it.
    waiting: BTreeSet<(NodeId, Tx)>,
}

#[derive(Default, Debug)]
pub(super) struct Withdrawals {
    /// By the publication that every linked node acknowledges.
    under_way: BTreeMap<Tx, Withdrawal>,
    last: BTreeMap<Name, Tx>,
    /// What the deletes of each peer that wait here take.
    pub(super) tally: Tally,
}

impl Withdrawals {
    pub(super) fn started(&mut self, group: &Name, tx: Tx) {
        self.under_way.entry(tx).or_default().groups.insert(group.clone());
        self.last.insert(group.clone(), tx);
    }
    pub(crate) fn is_under_way(&self, tx: &Tx) -> bool {
        self.under_way.contains_key(tx)
    }
    fn last_of(&mut self, group: &Name) -> Option<&mut Withdrawal> {
        self.under_way.get_mut(self.last.get(group)?)
    }
    fn over(&mut self, tx: Tx) -> BTreeSet<(NodeId, Tx)> {
        let Some(withdrawal) = self.under_way.remove(&tx) else { return BTreeSet::new() };
        for group in withdrawal.groups {
            if self.last.get(&group) == Some(&tx) {
                self.last.remove(&group);
            }
        }
        for (node, _) in &withdrawal.waiting {
            self.tally.subtract(*node, budget::WAITING_DELETE);
        }
        withdrawal.waiting
    }
    /// By the publication: the groups, and the deletes that wait.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = (&Tx, &BTreeSet<Name>, &BTreeSet<(NodeId, Tx)>)> {
        let waited_for = self.under_way.iter().filter(|(_, withdrawal)| !withdrawal.waiting.is_empty());
        waited_for.map(|(tx, withdrawal)| (tx, &withdrawal.groups, &withdrawal.waiting))
    }
    pub(crate) fn residue(&self) -> usize {
        self.under_way.len() + self.last.len()
    }
}

impl Engine {
    /// These members of this node are none any more. Nobody waits for it but the deletes of peers.
    pub(crate) fn withdraw(&mut self, members: Vec<(Name, u64)>, why: Reason) {
        let gone = |(group, serial)| Membership { group, serial, count: 0, dots: BTreeSet::new(), why };
        self.lessen(members.into_iter().map(gone).collect());
    }

    /// Something of these groups is withdrawn: what it is follows, with this number.
    pub(super) fn start_withdrawal<'a>(&mut self, groups: impl Iterator<Item = &'a Name>) -> Tx {
        let tx = self.next_tx();
        self.start_publication(tx, None, Publication::Withdraw, Caller::Nobody, Deadline::FOREVER);
        groups.for_each(|group| self.groups.withdrawals.started(group, tx));
        tx
    }

    /// These memberships of this node are less than they were.
    pub(super) fn lessen(&mut self, memberships: Vec<Membership>) {
        let Some(last) = memberships.len().checked_sub(1) else { return };
        let tx = self.start_withdrawal(memberships.iter().map(|membership| &membership.group));
        for (number, membership) in memberships.into_iter().enumerate() {
            self.publish_membership(membership, (number == last).then_some(tx));
        }
    }

    pub(super) fn acknowledge_when_withdrawn(
        &mut self,
        group: &Name,
        to: NodeId,
        tx: Tx,
    ) -> Result<(), Violation> {
        if self.is_broken(Fault::DeleteIsAckedAtOnce) {
            self.send(to, Message::Ack { tx });
            return Ok(());
        }
        match self.groups.withdrawals.last_of(group) {
            None => self.send(to, Message::Ack { tx }),
            Some(withdrawal) => {
                if withdrawal.waiting.insert((to, tx)) {
                    self.groups.withdrawals.tally.add(to, budget::WAITING_DELETE);
                }
            }
        }
        Ok(())
    }

    /// Every linked node has acknowledged it.
    pub(crate) fn withdrawal_over(&mut self, tx: Tx) {
        for (to, tx) in self.groups.withdrawals.over(tx) {
            self.send(to, Message::Ack { tx });
        }
    }
}
