//! Two holders of one lock, after a split: how it is made sure that there are two, and what becomes of them.
//!
//! A voter hears of a new hold and of the end of the old one on different links, so what looks like two holders may be one
//! after the other. Therefore it asks the homes of all shares that bind there, in one *round*. A share counts if its home
//! has confirmed it: it was held from before the round began (its token was known here) until the answer, so the shares
//! that count were held at the same moment, the one at which they were asked about. What was released, or taken anew, in
//! between is not confirmed. What binds here only since the round began is asked about in another round, with all the
//! others.
//!
//! Between shares that are confirmed the voter judges:
//!
//! - those that could be relied on are told of each other (SECOND_HOLDER), and stay;
//! - a share that had been lost to a broken link before (MINORITY) ends if it meets one that had not: its process knows
//!   already that others may hold the lock, and who does shall not suffer from it.

use super::hold::Share;
use super::shares::LockState;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one share in a round.
#[derive(Clone, Copy, Debug)]
struct Asked {
    token: u64,
    /// What its home says. `None`: nothing yet.
    standing: Option<Standing>,
}

/// A round of questions about the shares of one lock that bind here.
#[derive(Debug)]
pub(super) struct Conflict {
    question: u64,
    /// Those that were asked about, bind here still, and were not denied.
    asked: BTreeMap<Share, Asked>,
    /// Others bind here by now, or some of these were taken anew.
    again: bool,
}

/// The rounds under way at this voter, by resource. No more than there are locks with shares that bind here.
#[derive(Default, Debug)]
pub(super) struct Conflicts {
    rounds: BTreeMap<Name, Conflict>,
    last_question: u64,
}

impl Conflicts {
    /// Rounds that are not over; zero at rest.
    pub(crate) fn len(&self) -> usize {
        self.rounds.len()
    }
    pub(crate) fn clear(&mut self) {
        self.rounds.clear();
    }
}

impl Engine {
    // ---- at the voter

    /// A share binds here, or binds anew: if others of another requester do too, their homes are asked.
    pub(super) fn share_binds(&mut self, resource: &Name) {
        if !self.are_rivals_bound(resource) || self.is_broken(Fault::SecondHolderIsNotTold) {
            return;
        }
        match self.holds.conflicts.rounds.get_mut(resource) {
            Some(conflict) => conflict.again = true,
            None => self.begin_round(resource),
        }
    }

    fn are_rivals_bound(&self, resource: &Name) -> bool {
        self.holds.state(resource) == LockState::Conflict
    }

    fn begin_round(&mut self, resource: &Name) {
        self.holds.conflicts.last_question += 1;
        let question = self.holds.conflicts.last_question;
        let not_asked = self.is_broken(Fault::SecondHolderIsNotAsked);
        let standing = not_asked.then_some(Standing::Relied);
        let asked = |(share, token)| (share, Asked { token, standing });
        let asked: BTreeMap<Share, Asked> = self.holds.binding(resource).map(asked).collect();
        for (share, Asked { token, .. }) in asked.iter().filter(|_| !not_asked) {
            let Share { resource, requester, pid } = share.clone();
            let serial = pid.serial;
            let message = Message::ConfirmHold { question, resource, requester, serial, token: *token };
            self.send(pid.node, message);
        }
        self.holds.conflicts.rounds.insert(resource.clone(), Conflict { question, asked, again: false });
        self.check_round(resource);
    }

    /// The share binds here no longer: nobody waits for what its home says.
    pub(super) fn share_unbinds(&mut self, share: &Share) {
        let Some(conflict) = self.holds.conflicts.rounds.get_mut(&share.resource) else { return };
        conflict.asked.remove(share);
        self.check_round(&share.resource);
    }

    /// What a home says of its share; `None`: it is not held any more, or not as it was asked about.
    pub(crate) fn on_hold_confirmed(
        &mut self,
        from: NodeId,
        question: u64,
        resource: Name,
        requester: Name,
        serial: u64,
        standing: Option<Standing>,
    ) -> Result<(), Violation> {
        // An answer to an earlier round is void.
        let conflict = self.holds.conflicts.rounds.get_mut(&resource);
        let Some(conflict) = conflict.filter(|conflict| conflict.question == question) else { return Ok(()) };
        let share = Share { resource, requester, pid: Pid { node: from, serial } };
        match standing {
            None => {
                conflict.asked.remove(&share);
            }
            Some(_) => {
                if let Some(asked) = conflict.asked.get_mut(&share) {
                    asked.standing = standing;
                }
            }
        }
        self.check_round(&share.resource);
        Ok(())
    }

    /// Judges when every home has answered.
    fn check_round(&mut self, resource: &Name) {
        let rounds = &mut self.holds.conflicts.rounds;
        let is_over = |conflict: &Conflict| conflict.asked.values().all(|asked| asked.standing.is_some());
        if !rounds.get(resource).is_some_and(is_over) {
            return;
        }
        let Some(Conflict { asked, again, .. }) = rounds.remove(resource) else { return };
        let is_strong = |asked: &Asked| asked.standing != Some(Standing::Minority);
        let strong: BTreeSet<&Name> =
            asked.iter().filter(|(_, asked)| is_strong(asked)).map(|(share, _)| &share.requester).collect();
        for (share, asked) in &asked {
            let is_told_already = asked.standing == Some(Standing::SecondHolder);
            if is_told_already || !strong.iter().any(|requester| **requester != share.requester) {
                continue;
            }
            let Share { resource, requester, pid } = share.clone();
            let (serial, token, ends) = (pid.serial, asked.token, !is_strong(asked));
            let message = Message::LockConflict { resource, requester, serial, token, ends };
            self.send(pid.node, message);
        }
        if again && self.are_rivals_bound(resource) {
            self.begin_round(resource);
        }
    }

    // ---- at the home

    /// A voter believes to see two holders, of which this node's process is one.
    pub(crate) fn on_confirm_hold(
        &mut self,
        from: NodeId,
        question: u64,
        resource: Name,
        requester: Name,
        serial: u64,
        token: u64,
    ) -> Result<(), Violation> {
        let id = (serial, resource, requester);
        let own = self.holds.own.get(&id).filter(|own| own.token == token);
        let standing = own.and_then(|own| own.standing_on(from));
        let (_, resource, requester) = id;
        self.send(from, Message::HoldConfirmed { question, resource, requester, serial, standing });
        Ok(())
    }

    /// A voter has made sure that there is a second holder.
    pub(crate) fn on_lock_conflict(
        &mut self,
        from: NodeId,
        resource: Name,
        requester: Name,
        serial: u64,
        token: u64,
        ends: bool,
    ) -> Result<(), Violation> {
        let id = (serial, resource, requester);
        // What is said of an earlier hold of the process, or of one on other nodes, does not concern this one.
        let own = self.holds.own.get(&id).filter(|own| own.token == token);
        let Some(standing) = own.and_then(|own| own.standing_on(from)) else { return Ok(()) };
        match (ends, standing) {
            (false, _) => self.meet_second_holder(&id, from),
            (true, Standing::Minority) if !self.is_broken(Fault::LostHoldStays) => {
                self.end_lost_hold(&id, from);
            }
            // Acquired anew meanwhile.
            (true, _) => {}
        }
        Ok(())
    }
}
