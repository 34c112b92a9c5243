//! Groups: what is done with them, and how it is published.
//!
//! A membership is a fact of its process's home. Nothing has to be agreed: every operation is published and is done when
//! all linked nodes have acknowledged. What makes a group exist stands in `existence`, the tables in `member`, and how
//! nodes come to agree about what belongs to nobody in `convergence`.

use super::claim::Undo;
use super::forward::Origin;
use super::machine::Engine;
use super::member::MAX_COUNT;
use super::*;
use std::collections::BTreeSet;

impl Engine {
    /// For a call of a process of this node on this group.
    fn may_call(&mut self, process: u64, op: Ref, group: &Name) -> bool {
        let refused = if self.processes.exists(process) {
            self.config.check_name(group.as_bytes()).err()
        } else {
            Some(Status::NoProcess)
        };
        if let Some(status) = refused {
            self.answer_call(process, op, Outcome::of(status));
        }
        refused.is_none()
    }

    // ---- create

    /// "Creates a new, empty process group. If the group exists, nothing happens": nothing that a reader sees. The dot is
    /// written anew all the same, so that the group outlives a delete on another side of a split.
    pub(super) fn group_create(&mut self, process: u64, op: Ref, group: Name, patience: Patience) {
        if !self.may_call(process, op, &group) {
            return;
        }
        let replaces = self.groups.dots.made_by(&group, self.config.node);
        if replaces.is_none() && !self.has_room_for_dot() {
            return self.answer_call(process, op, Outcome::of(Status::Full));
        }
        let tx = self.next_tx();
        let dot = self.make_dot(&group, Some(tx));
        // What was there before is not undone with it.
        let undo = if replaces.is_some() { Undo::Nothing } else { Undo::Create { group, dot } };
        self.start_publication(tx, None, undo, Origin::Call { process, op }, patience);
        self.check(tx);
    }

    fn has_room_for_dot(&self) -> bool {
        self.groups.dots.live_count_of(self.config.node) < self.config.limits.groups
    }

    /// A dot of this node, in the place of its older one of the group.
    fn make_dot(&mut self, group: &Name, ack: Option<Tx>) -> Dot {
        let me = self.config.node;
        self.groups.last_dot += 1;
        let dot = Dot { node: me, number: self.groups.last_dot };
        let replaces = self.groups.dots.made_by(group, me);
        self.put_dot(group, dot, replaces);
        self.broadcast(Message::Create { group: group.clone(), dot, replaces, ack });
        dot
    }

    fn put_dot(&mut self, group: &Name, dot: Dot, replaces: Option<Dot>) {
        self.groups.dots.add(group, dot);
        if let Some(older) = replaces {
            self.groups.dots.remove(group, older);
        }
        self.groups.touch(group, false);
    }

    pub(super) fn group_created(
        &mut self,
        from: NodeId,
        group: Name,
        dot: Dot,
        replaces: Option<Dot>,
        ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        if dot.node != from || replaces.is_some_and(|older| older.node != from || older.number >= dot.number)
        {
            return Err("a node makes a group in the name of another");
        }
        if group.as_bytes().is_empty() {
            return Err("an empty name");
        }
        if self.groups.dots.live_count_of(from) >= self.config.limits.groups {
            return Err("more groups than the limit");
        }
        self.put_dot(&group, dot, replaces);
        self.check_remembered()?;
        if let Some(tx) = ack {
            self.send(from, Message::Ack { tx });
        }
        Ok(())
    }

    // ---- delete

    pub(super) fn group_delete(&mut self, process: u64, op: Ref, group: Name, patience: Patience) {
        if !self.may_call(process, op, &group) {
            return;
        }
        let origin = Origin::Call { process, op };
        if !self.groups.exists(&group) {
            return self.conclude(origin, Outcome::of(Status::Ok)); // D22
        }
        let tx = self.next_tx();
        self.start_publication(tx, None, Undo::Nothing, origin, patience);
        self.delete_seen(&group, Some(tx));
        self.check(tx);
    }

    /// Deletes what this node sees: live dots, and those that visible members have joined under.
    fn delete_seen(&mut self, group: &Name, ack: Option<Tx>) {
        let mut dots = self.groups.dots.of(group);
        for row in self.groups.rows_of(group).into_iter().flatten().flat_map(|(_, rows)| rows.values()) {
            dots.extend(&row.dots);
        }
        let dots: Vec<Dot> = dots.into_iter().collect();
        // All of a group's members may go by a message that names no dot.
        let mut parts: Vec<&[Dot]> = dots.chunks(MAX_LIST).collect();
        if parts.is_empty() {
            parts.push(&[]);
        }
        let last = parts.len() - 1;
        for (number, part) in parts.into_iter().enumerate() {
            let dots: BTreeSet<Dot> = part.iter().copied().collect();
            self.carry_out_delete(group, &dots, None);
            let ack = ack.filter(|_| number == last);
            self.broadcast(Message::Delete { group: group.clone(), dots, ack });
        }
    }

    /// Removes the dots, and withdraws those of this node's members of the group that have no live dot left. Says whether
    /// there were any; the last withdrawal asks for acknowledgements under `ack`.
    fn carry_out_delete(&mut self, group: &Name, dots: &BTreeSet<Dot>, ack: Option<Tx>) -> bool {
        for dot in dots {
            self.groups.dots.remove(group, *dot);
        }
        self.groups.touch(group, false);
        let own = self.ended_by_delete(group);
        let last = own.len().saturating_sub(1);
        for (number, serial) in own.iter().enumerate() {
            let why = Reason::GROUP_DELETED;
            let membership =
                Membership { group: group.clone(), serial: *serial, count: 0, dots: BTreeSet::new(), why };
            self.publish_membership(membership, ack.filter(|_| number == last));
        }
        !own.is_empty()
    }

    /// Members of this node whose dots are all deleted.
    fn ended_by_delete(&self, group: &Name) -> Vec<u64> {
        let own = self.groups.rows_of(group).and_then(|homes| homes.get(&self.config.node));
        let over = |row: &member::Row| !row.dots.iter().any(|dot| self.groups.dots.is_live_dot(group, dot));
        own.into_iter().flatten().filter(|(_, row)| over(row)).map(|(serial, _)| *serial).collect()
    }

    /// Acknowledged only when all that this node has to withdraw has been heard everywhere: so a delete that returns leaves
    /// no member on any linked node.
    pub(super) fn group_deleted(
        &mut self,
        from: NodeId,
        group: Name,
        dots: BTreeSet<Dot>,
        ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        if group.as_bytes().is_empty() {
            return Err("an empty name");
        }
        if dots.iter().any(|dot| dot.node == self.config.node && dot.number > self.groups.last_dot) {
            return Err("a dot that was never made");
        }
        let chained = ack.map(|_| self.next_tx());
        let withdrew = self.carry_out_delete(&group, &dots, chained);
        self.check_remembered()?;
        match (ack, chained) {
            (Some(ack), Some(tx)) if withdrew => {
                let origin = Origin::Acknowledge { to: from, tx: ack };
                self.start_publication(tx, None, Undo::Nothing, origin, Patience::FOREVER);
                self.check(tx);
            }
            (Some(tx), _) => self.send(from, Message::Ack { tx }),
            _ => {}
        }
        Ok(())
    }

    // ---- join and leave

    /// "join(Name, Pid) -> ok | {error, {no_such_group, Name}}", by the table of the caller's node.
    pub(super) fn group_join(&mut self, process: u64, op: Ref, group: Name, pid: Pid, patience: Patience) {
        if !self.may_call(process, op, &group) {
            return;
        }
        if !self.groups.exists(&group) {
            return self.answer_call(process, op, Outcome::of(Status::NotFound));
        }
        let dots = if pid.node == self.config.node { BTreeSet::new() } else { self.dots_to_name(&group) };
        self.call_at(process, op, pid.node, Task::Join { group, serial: pid.serial, dots }, patience);
    }

    fn dots_to_name(&self, group: &Name) -> BTreeSet<Dot> {
        self.groups.dots.of(group).into_iter().take(MAX_LIST).collect()
    }

    /// At the home. It may hear of the group only now: `dots` are those that the caller knows.
    pub(super) fn join_here(
        &mut self,
        origin: Origin,
        group: Name,
        serial: u64,
        dots: BTreeSet<Dot>,
        patience: Patience,
    ) {
        let mut is_news = false;
        for dot in dots.into_iter().filter(|dot| dot.node != self.config.node) {
            if self.groups.dots.beyond_count() < self.config.limits.groups {
                is_news |= self.groups.dots.add(&group, dot);
            }
        }
        if is_news {
            self.groups.touch(&group, false);
            self.existence_changed();
        }
        if let Err(status) = self.may_join(&group, serial) {
            return self.conclude(origin, Outcome::of(status));
        }
        if !self.groups.dots.is_live(&group) {
            // It lives by its members only: it gets a dot to join under.
            if !self.has_room_for_dot() {
                return self.conclude(origin, Outcome::of(Status::Full));
            }
            self.make_dot(&group, None);
        }
        let pid = Pid { node: self.config.node, serial };
        let count = self.groups.row(&group, pid).map_or(0, |row| row.count) + 1;
        let dots = self.dots_to_name(&group);
        let tx = self.next_tx();
        let undo = Undo::Join { group: group.clone(), serial };
        self.start_publication(tx, None, undo, origin, patience);
        self.publish_membership(Membership { group, serial, count, dots, why: Reason::NORMAL }, Some(tx));
        self.check(tx);
    }

    fn may_join(&self, group: &Name, serial: u64) -> Result<(), Status> {
        self.config.check_name(group.as_bytes())?;
        if !self.processes.exists(serial) {
            return Err(Status::NoProcess);
        }
        if !self.groups.exists(group) {
            return Err(Status::NotFound);
        }
        let me = self.config.node;
        let count = self.groups.row(group, Pid { node: me, serial }).map_or(0, |row| row.count);
        if count >= MAX_COUNT || self.groups.entries_of(me) >= self.config.limits.groups as u64 {
            return Err(Status::Full);
        }
        Ok(())
    }

    /// "If the process is not a member of the group, ok is returned"; an unknown group is an error.
    pub(super) fn group_leave(&mut self, process: u64, op: Ref, group: Name, pid: Pid, patience: Patience) {
        if !self.may_call(process, op, &group) {
            return;
        }
        if !self.groups.exists(&group) {
            return self.answer_call(process, op, Outcome::of(Status::NotFound));
        }
        self.call_at(process, op, pid.node, Task::Leave { group, serial: pid.serial }, patience);
    }

    pub(super) fn leave_here(&mut self, origin: Origin, group: Name, serial: u64, patience: Patience) {
        let Some(membership) = self.one_less(&group, serial) else {
            return self.conclude(origin, Outcome::of(Status::Ok));
        };
        let tx = self.next_tx();
        self.start_publication(tx, None, Undo::Nothing, origin, patience);
        self.publish_membership(membership, Some(tx));
        self.check(tx);
    }

    /// The membership of a process of this node after it has left once.
    fn one_less(&self, group: &Name, serial: u64) -> Option<Membership> {
        let row = self.groups.row(group, Pid { node: self.config.node, serial })?;
        let (count, dots) = (row.count - 1, row.dots.clone());
        Some(Membership { group: group.clone(), serial, count, dots, why: Reason::NORMAL })
    }

    /// A fact of this node, for all.
    fn publish_membership(&mut self, membership: Membership, ack: Option<Tx>) {
        self.set_membership(self.config.node, membership.clone());
        self.broadcast(Message::Membership { membership, ack });
    }

    pub(super) fn membership(
        &mut self,
        from: NodeId,
        membership: Membership,
        ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        let Membership { group, serial, count, .. } = &membership;
        if group.as_bytes().is_empty() || *serial == 0 || *count > MAX_COUNT {
            return Err("a membership that cannot be");
        }
        if self.groups.entries_of(from).saturating_add(*count)
            > (self.config.limits.groups as u64).saturating_add(MAX_COUNT)
        {
            return Err("more memberships than the limit");
        }
        self.set_membership(from, membership);
        if let Some(tx) = ack {
            self.send(from, Message::Ack { tx });
        }
        Ok(())
    }

    // ---- ends

    /// A process of this node ended: "it is automatically removed from the group".
    pub(super) fn leave_all(&mut self, groups: BTreeSet<Name>, serial: u64, why: Reason) {
        for group in groups {
            let gone = Membership { group, serial, count: 0, dots: BTreeSet::new(), why };
            self.publish_membership(gone, None);
        }
    }

    /// The deadline of a publication, or its caller's end, came before all had acknowledged it.
    pub(super) fn undo_publication(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Create { group, dot } => {
                if self.groups.dots.is_live_dot(&group, &dot) {
                    let dots = BTreeSet::from([dot]);
                    self.carry_out_delete(&group, &dots, None);
                    self.broadcast(Message::Delete { group, dots, ack: None });
                }
            }
            Undo::Join { group, serial } => {
                if let Some(membership) = self.one_less(&group, serial) {
                    self.publish_membership(membership, None);
                }
            }
        }
    }

    /// The memberships of this node's processes, for a snapshot.
    pub(super) fn own_memberships(&self) -> impl Iterator<Item = Membership> {
        let me = self.config.node;
        self.groups.owned_by(me).into_iter().filter_map(move |(group, serial)| {
            let row = self.groups.row(&group, Pid { node: me, serial })?;
            let (count, dots) = (row.count, row.dots.clone());
            Some(Membership { group, serial, count, dots, why: Reason::NORMAL })
        })
    }
}
