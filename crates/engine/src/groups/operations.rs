//! Groups: what is done with them, and how it is published.
//!
//! A membership is a fact of its process's home. Nothing has to be agreed: every operation is published and is done when
//! all linked nodes have acknowledged. What makes a group exist stands in `existence`, the tables in `memberships`, and how
//! nodes come to agree about what belongs to nobody in `convergence`.

use super::memberships::MAX_COUNT;
use super::trim;
use crate::calls::Caller;
use crate::claims::Publication;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeSet;

/// A creation that returns leaves no more than this of the dots that it has seen. Each that goes must be told of, so not
/// every single one.
const SPARE_DOTS: usize = 1;

/// A membership names no more dots than this of those that its group has: enough that a deletion by somebody who has not seen one
/// of them leaves it alone. There may be as many as nodes have made the group at the same time, and have died since.
const MOST_NAMED: usize = 16;

impl Engine {
    /// A call of a process of this node on this group is answered if it cannot be made. Says whether it was.
    fn reject_unless_valid(&mut self, process: u64, op: Ref, group: &Name) -> bool {
        let refused = if self.processes.exists(process) {
            self.cx.config.check_name(group.as_bytes()).err()
        } else {
            Some(Status::NoProcess)
        };
        if let Some(status) = refused {
            self.answer_call(process, op, Outcome::of(status));
        }
        refused.is_some()
    }

    // ---- create

    /// "Creates a new, empty process group. If the group exists, nothing happens": nothing that a reader sees. It is made
    /// anew all the same, so that the group outlives a delete on another side of a split.
    pub(crate) fn group_create(&mut self, process: u64, op: Ref, group: Name, deadline: Deadline) {
        if self.reject_unless_valid(process, op, &group) {
            return;
        }
        if !self.has_room_for_dot(&group) {
            return self.answer_call(process, op, Outcome::of(Status::Full));
        }
        let tx = self.next_tx();
        let supersedes = self.groups.dots.some_of(&group, MAX_LIST);
        let dot = self.make_dot(&group, Some(tx));
        self.log(Level::Debug, Topic::Group, |_| {
            format!("process {process} makes the group {}", log::of_name(&group))
        });
        let publication = Publication::Create { group, dot, supersedes };
        self.start_publication(tx, None, publication, Caller::Call { process, op }, deadline);
    }

    /// "Groups that processes of this node may make". One that is there may be made anew. What all have made together is far
    /// below what a peer would take for a violation, so that the parts of a cluster can join.
    fn has_room_for_dot(&self, group: &Name) -> bool {
        let (dots, limits) = (&self.groups.dots, &self.cx.config.limits);
        let me = self.cx.config.node;
        let made = self.groups.makers.of(me).chain([me]).map(|number| dots.groups_made_by(number));
        let has_room = made.sum::<usize>() < limits.groups
            && dots.groups().len() < limits.existence
            && dots.live_count() < limits.existence.saturating_mul(2)
            && dots.live_bytes < trim::most_bytes(limits) / 2;
        dots.is_live(group) || has_room
    }

    /// Every making of a group has a dot of its own, so that undoing one takes away exactly that one.
    fn make_dot(&mut self, group: &Name, ack: Option<Tx>) -> Dot {
        let (dot, generation) = self.groups.makers.make(self.cx.config.node);
        self.groups.dots.add(group, dot);
        self.groups.touch(group, false);
        self.broadcast(Message::Create { group: group.clone(), dot, generation, ack });
        dot
    }

    pub(crate) fn on_create(
        &mut self,
        from: NodeId,
        group: Name,
        dot: Dot,
        generation: u32,
        ack: Option<Tx>,
    ) -> Result<(), Violation> {
        if !self.groups.makers.is_of(from, dot.node, generation) {
            return Err(Violation("a node makes a group in the name of another"));
        }
        self.groups.dots.add(&group, dot);
        self.groups.touch(&group, false);
        self.keep_dots_within(from);
        // A delete has overtaken it, somebody lied about it, or there is no room for it: its maker must know, or it shows a
        // group that is none here.
        if !self.groups.dots.is_live_dot(&group, &dot) {
            self.tell_end_of(from, dot);
        }
        if let Some(tx) = ack {
            self.send(from, Message::Ack { tx });
        }
        Ok(())
    }

    /// A creation has returned, and is not undone any more. What it has seen of others is not needed from now on: whoever deletes
    /// the group later sees the new dot, and who does not see it deletes nothing that it does not stand for. Without this a
    /// group that each program makes at its start would have a dot of every incarnation that there ever was, and each
    /// membership would name them all.
    fn creation_done(&mut self, group: Name, dot: Dot, mut supersedes: BTreeSet<Dot>) {
        supersedes.retain(|older| self.groups.dots.is_live_dot(&group, older));
        if supersedes.len() > SPARE_DOTS && self.groups.dots.is_live_dot(&group, &dot) {
            self.retract(group, supersedes);
        }
    }

    /// Removes dots, and nothing else: members that have joined under them stay, and the group lives by them alone then. Whoever has
    /// heard of it deletes them no more, while others may still show the group by them: so deletes wait for it, as for members.
    fn retract(&mut self, group: Name, dots: BTreeSet<Dot>) {
        self.remove_dots(&group, &dots);
        if self.is_broken(Fault::RetractsAreNotAwaited) {
            return self.broadcast(Message::Retract { group, dots, ack: None });
        }
        let tx = self.start_withdrawal(std::iter::once(&group));
        self.broadcast(Message::Retract { group, dots, ack: Some(tx) });
    }

    fn remove_dots(&mut self, group: &Name, dots: &BTreeSet<Dot>) {
        for dot in dots {
            if self.is_broken(Fault::DeleteForgetsUnseenDots) && !self.groups.dots.is_live_dot(group, dot) {
                continue;
            }
            self.groups.dots.remove(group, *dot);
        }
        self.groups.touch(group, false);
    }

    pub(crate) fn on_retract(
        &mut self,
        from: NodeId,
        group: Name,
        dots: BTreeSet<Dot>,
        ack: Option<Tx>,
    ) -> Result<(), Violation> {
        self.remove_dots(&group, &dots);
        self.learn_dead_dots(from, &dots);
        if let Some(tx) = ack {
            self.send(from, Message::Ack { tx });
        }
        Ok(())
    }

    /// A peer says that these dots are no more.
    fn learn_dead_dots(&mut self, from: NodeId, dots: &BTreeSet<Dot>) {
        dots.iter().for_each(|dot| self.groups.makers.heard_of(self.cx.config.node, *dot));
        self.keep_dots_within(from);
        self.remember_absent(dots.iter().map(|dot| dot.node).collect::<BTreeSet<_>>());
    }

    // ---- delete

    pub(crate) fn group_delete(&mut self, process: u64, op: Ref, group: Name, deadline: Deadline) {
        if self.reject_unless_valid(process, op, &group) {
            return;
        }
        let caller = Caller::Call { process, op };
        if !self.groups.exists(&group) {
            return self.conclude(caller, Outcome::of(Status::Ok)); // D22
        }
        let tx = self.next_tx();
        self.log(Level::Debug, Topic::Group, |_| {
            format!("process {process} deletes the group {}", log::of_name(&group))
        });
        let publication = Publication::Delete { group: group.clone() };
        self.start_publication(tx, None, publication, caller, deadline);
        self.delete_seen(&group, Some(tx));
    }

    /// Deletes what this node sees: live dots, and those that visible members have joined under.
    fn delete_seen(&mut self, group: &Name, ack: Option<Tx>) {
        let mut dots = self.groups.dots.of(group);
        for row in self.groups.rows_of(group).into_iter().flatten().flat_map(|(_, rows)| rows.values()) {
            dots.extend(&row.dots);
        }
        self.carry_out_delete(group, &dots);
        let linked = self.view.linked();
        self.send_delete(&linked, group, &dots, ack);
        if let Some(tx) = ack {
            self.groups.deletes.insert(tx, (group.clone(), dots));
        }
    }

    fn send_delete(&mut self, to: &BTreeSet<NodeId>, group: &Name, dots: &BTreeSet<Dot>, ack: Option<Tx>) {
        let mut left: Vec<Dot> = dots.iter().copied().collect();
        while !left.is_empty() {
            let part = left.drain(..left.len().min(MAX_LIST)).collect();
            let ack = ack.filter(|_| left.is_empty());
            self.send_to_all(to, Message::Delete { group: group.clone(), dots: part, ack });
        }
    }

    /// A link has come up during deletes of this node. The snapshot tells that their dots are gone, but that ends no membership,
    /// and the peer may have lost what it was told before: else a group would be there after the OK because a link has
    /// flapped.
    pub(crate) fn repeat_deletes(&mut self, to: NodeId) {
        for (tx, (group, dots)) in self.groups.deletes.clone() {
            self.send_delete(&[to].into(), &group, &dots, Some(tx));
        }
    }

    /// Removes the dots, and withdraws those of this node's members that have joined under one of them and have no live dot
    /// left.
    pub(super) fn carry_out_delete(&mut self, group: &Name, dots: &BTreeSet<Dot>) {
        self.remove_dots(group, dots);
        let is_over = |under: &BTreeSet<Dot>| {
            !under.is_disjoint(dots) && !under.iter().any(|dot| self.groups.dots.is_live_dot(group, dot))
        };
        let (mut ended, mut doomed) = (Vec::new(), Vec::new());
        for (node, rows) in self.groups.rows_of(group).into_iter().flatten() {
            for (serial, row) in rows {
                if *node == self.cx.config.node {
                    ended.extend(self.groups.joinings.what_is_over(group, *serial, row, is_over));
                } else if is_over(&row.dots) {
                    doomed.push(Pid { node: *node, serial: *serial });
                }
            }
        }
        if !doomed.is_empty() {
            // A home that has no link with the deleter does not hear of it, and nobody says so.
            if !self.is_broken(Fault::DoomedForEver) {
                self.cx.timers.set(Timer::Doomed(group.clone()), self.cx.now + self.cx.config.detection);
            }
        }
        for pid in doomed {
            self.groups.doom(group, pid);
        }
        if self.is_broken(Fault::DeleteSparesMembers) {
            return;
        }
        let memberships = ended.into_iter().map(|(serial, left)| {
            let (count, dots) = self.groups.joinings.end(group, serial, left);
            Membership { group: group.clone(), serial, count, dots, why: Reason::GROUP_DELETED }
        });
        let memberships = memberships.collect();
        self.lessen(memberships);
    }

    /// Acknowledged only when every member of the group that this node has withdrawn, for this delete or before it, is
    /// heard to be gone everywhere: so a delete that returns leaves no member on any linked node.
    pub(crate) fn on_delete(
        &mut self,
        from: NodeId,
        group: Name,
        dots: BTreeSet<Dot>,
        ack: Option<Tx>,
    ) -> Result<(), Violation> {
        if self.groups.exists(&group) {
            self.view.count_for(from, |counts| counts.deletes += 1);
            self.log(Level::Debug, Topic::Group, |engine| {
                format!("node {} deletes the group {}", engine.identity_of(from), log::of_name(&group))
            });
        }
        self.carry_out_delete(&group, &dots);
        self.learn_dead_dots(from, &dots);
        match ack {
            Some(tx) => self.acknowledge_when_withdrawn(&group, from, tx),
            None => Ok(()),
        }
    }

    // ---- join and leave

    /// "join(Name, Pid) -> ok | {error, {no_such_group, Name}}", by the table of the caller's node.
    /// What is to be done at the home of the process; `None`: the call is answered.
    pub(crate) fn task_to_join(&mut self, process: u64, op: Ref, group: Name, pid: Pid) -> Option<Task> {
        if self.reject_unless_valid(process, op, &group) {
            return None;
        }
        if !self.groups.can_be_joined(&group) {
            self.answer_call(process, op, Outcome::of(Status::NotFound));
            return None;
        }
        let dots = if pid.node == self.cx.config.node {
            BTreeSet::new()
        } else {
            self.groups.dots.some_of(&group, MOST_NAMED)
        };
        Some(Task::Join { group, serial: pid.serial, dots })
    }

    /// At the home. It may hear of the group only now: `dots` are those that the caller knows.
    pub(crate) fn join_here(
        &mut self,
        caller: Caller,
        group: Name,
        serial: u64,
        dots: BTreeSet<Dot>,
        deadline: Deadline,
    ) {
        if let Err(status) = self.cx.config.check_name(group.as_bytes()) {
            return self.conclude(caller, Outcome::of(status));
        }
        self.learn_dots(&group, dots);
        if let Err(status) = self.may_join(&group, serial) {
            return self.conclude(caller, Outcome::of(status));
        }
        let mut dot = None;
        if !self.groups.dots.is_live(&group) {
            // It lives by its members only: it gets a dot to join under.
            if !self.has_room_for_dot(&group) {
                return self.conclude(caller, Outcome::of(Status::Full));
            }
            dot = Some(self.make_dot(&group, None));
        }
        let pid = Pid { node: self.cx.config.node, serial };
        let dots = self.groups.dots.some_of(&group, MOST_NAMED);
        let tx = self.next_tx();
        let row = self.groups.row(&group, pid);
        let count = row.map_or(0, |row| row.count) + 1;
        let before = row.map(|row| row.dots.clone()).unwrap_or_default();
        self.groups.joinings.started(&group, serial, before, tx, dots.clone());
        let publication = Publication::Join { group: group.clone(), serial, dot };
        self.start_publication(tx, None, publication, caller, deadline);
        self.publish_membership(Membership { group, serial, count, dots, why: Reason::NORMAL }, Some(tx));
    }

    fn may_join(&self, group: &Name, serial: u64) -> Result<(), Status> {
        if !self.processes.exists(serial) {
            return Err(Status::NoProcess);
        }
        if !self.groups.can_be_joined(group) {
            return Err(Status::NotFound);
        }
        let me = self.cx.config.node;
        let count = self.groups.row(group, Pid { node: me, serial }).map_or(0, |row| row.count);
        if count >= MAX_COUNT || self.groups.entries_of(me) >= self.cx.config.limits.groups as u64 {
            return Err(Status::Full);
        }
        Ok(())
    }

    /// "If the process is not a member of the group, ok is returned"; an unknown group is an error.
    /// What is to be done at the home of the process; `None`: the call is answered.
    pub(crate) fn task_to_leave(&mut self, process: u64, op: Ref, group: Name, pid: Pid) -> Option<Task> {
        if self.reject_unless_valid(process, op, &group) {
            return None;
        }
        if !self.groups.exists(&group) {
            self.answer_call(process, op, Outcome::of(Status::NotFound));
            return None;
        }
        Some(Task::Leave { group, serial: pid.serial })
    }

    pub(crate) fn leave_here(&mut self, caller: Caller, group: Name, serial: u64, deadline: Deadline) {
        let Some(membership) = self.one_less(&group, serial) else {
            return self.conclude(caller, Outcome::of(Status::Ok));
        };
        let tx = self.next_tx();
        if membership.count == 0 {
            self.groups.withdrawals.started(&membership.group, tx);
        }
        self.groups.joinings.left(&membership.group, serial, membership.count);
        let publication = Publication::Leave { group: membership.group.clone() };
        self.start_publication(tx, None, publication, caller, deadline);
        self.publish_membership(membership, Some(tx));
    }

    /// The membership of a process of this node after it has left once.
    fn one_less(&self, group: &Name, serial: u64) -> Option<Membership> {
        let row = self.groups.row(group, Pid { node: self.cx.config.node, serial })?;
        let (count, dots) = (row.count - 1, row.dots.clone());
        Some(Membership { group: group.clone(), serial, count, dots, why: Reason::NORMAL })
    }

    /// A fact of this node, for all.
    pub(super) fn publish_membership(&mut self, membership: Membership, ack: Option<Tx>) {
        self.set_membership(self.cx.config.node, membership.clone());
        self.broadcast(Message::Membership { membership, ack });
    }

    pub(crate) fn on_membership(
        &mut self,
        from: NodeId,
        membership: Membership,
        ack: Option<Tx>,
    ) -> Result<(), Violation> {
        let Membership { serial, count, dots, .. } = &membership;
        let under_none = *count > 0 && dots.is_empty();
        if *serial == 0 || *count > MAX_COUNT || under_none {
            return Err(Violation("a membership that cannot be"));
        }
        self.set_membership(from, membership);
        if let Some(tx) = ack {
            self.send(from, Message::Ack { tx });
        }
        Ok(())
    }

    // ---- ends

    /// A process of this node ended: "it is automatically removed from the group".
    pub(crate) fn leave_all(&mut self, groups: BTreeSet<Name>, serial: u64, why: Reason) {
        self.withdraw(groups.into_iter().map(|group| (group, serial)).collect(), why);
    }

    /// Every linked node has acknowledged it: it is not undone any more.
    pub(crate) fn publication_done(&mut self, tx: Tx, publication: Publication) {
        match publication {
            Publication::Create { group, dot, supersedes } => self.creation_done(group, dot, supersedes),
            Publication::Join { group, serial, .. } => {
                let dots = &self.groups.dots;
                self.groups.joinings.done(&group, serial, tx, |dot| dots.is_live_dot(&group, dot));
            }
            Publication::Claim
            | Publication::Delete { .. }
            | Publication::Leave { .. }
            | Publication::Withdraw
            | Publication::Release { .. }
            | Publication::Unregister => {}
        }
    }

    /// The deadline of a publication, or its caller's end, came before all had acknowledged it.
    pub(crate) fn undo_publication(&mut self, tx: Tx, publication: Publication) {
        match publication {
            Publication::Create { group, dot, .. } => self.undo_creation(group, dot),
            Publication::Join { group, serial, dot } => {
                self.undo_join(tx, &group, serial);
                if let Some(dot) = dot {
                    self.undo_creation(group, dot);
                }
            }
            Publication::Claim
            | Publication::Delete { .. }
            | Publication::Leave { .. }
            | Publication::Withdraw
            | Publication::Release { .. }
            | Publication::Unregister => {}
        }
    }

    /// Takes its dot away, and nothing else. A process that has joined meanwhile stays a member, and the group with it.
    fn undo_creation(&mut self, group: Name, dot: Dot) {
        let mut dots = BTreeSet::from([dot]);
        if self.is_broken(Fault::UndoneCreateTakesAll) {
            dots = self.groups.dots.made_by(&group, self.cx.config.node);
        }
        if self.is_broken(Fault::RepeatedCreateIsNotUndone) && self.groups.dots.of(&group).len() > 1 {
            return;
        }
        if self.is_broken(Fault::UndoneCreateIsDelete) {
            self.carry_out_delete(&group, &dots);
            return self.broadcast(Message::Delete { group, dots, ack: None });
        }
        dots.retain(|dot| self.groups.dots.is_live_dot(&group, dot));
        if !dots.is_empty() {
            self.retract(group, dots);
        }
    }

    fn undo_join(&mut self, tx: Tx, group: &Name, serial: u64) {
        let Some(dots) = self.groups.joinings.undone(group, serial, tx) else { return };
        let takes_all = self.is_broken(Fault::UndoneJoinTakesAll);
        match self.one_less(group, serial) {
            Some(less) if less.count > 0 && !takes_all => {
                self.publish_membership(Membership { dots, ..less }, None);
            }
            Some(_) => self.withdraw(vec![(group.clone(), serial)], Reason::NORMAL),
            None => {}
        }
    }

    /// The memberships of this node's processes, for a snapshot.
    pub(crate) fn own_memberships(&self) -> impl Iterator<Item = Membership> {
        let me = self.cx.config.node;
        self.groups.owned_by(me).into_iter().filter_map(move |(group, serial)| {
            let row = self.groups.row(&group, Pid { node: me, serial })?;
            let (count, dots) = (row.count, row.dots.clone());
            Some(Membership { group, serial, count, dots, why: Reason::NORMAL })
        })
    }
}
