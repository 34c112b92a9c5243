//! Processes and what they are told: every exit once, for a true reason, and nothing of the dead afterwards.

use crate::book::{End, Kill, Life, Monitor, Watch};
use crate::network::{id_of, other_end};
use crate::plan::Mode;
use crate::world::{Happening, R, World};
use convoke::engine::Treatment;
use convoke::model::{Event, Name, NodeId, Payload, Pid, Reason, Ref};
use std::collections::BTreeSet;

/// A notice that a monitored process exited, to be held against the truth at the end of the step.
#[derive(Debug)]
pub(crate) struct ExitSeen {
    watcher: NodeId,
    monitor: Monitor,
    linked: bool,
    reason: Reason,
    data: Payload,
}

impl World {
    pub(crate) fn process_gone(&mut self, slot: usize, process: u64) -> R {
        let id = self.hosts[slot].id;
        let pid = Pid { node: id, serial: process };
        let Some(body) = self.hosts[slot].processes.remove(&process) else {
            return Err(format!("P5: h{slot}: process {process} goes twice"));
        };
        // What it has not read is freed a little later, by the application's thread.
        if !body.mailbox.is_empty() {
            self.hosts[slot].unread.extend(body.mailbox);
            let at = self.now + self.rng.below(self.plan.delay_max);
            self.later(at, Happening::Discard { slot, node: id });
        }
        if let Some((op, _)) = self
            .book
            .operations
            .range((id, Ref(0))..=(id, Ref(u64::MAX)))
            .find(|(_, o)| o.process == process && o.answer.is_none())
        {
            return Err(format!("P7: process {pid:?} goes before {op:?} is answered"));
        }
        let now = self.now;
        let Some(life) = self.book.lives.get_mut(&pid) else {
            return Err(format!("{pid:?} was never there"));
        };
        let (reason, data) = match (&life.told, &life.leaving) {
            (Some(told), _) => (*told, Payload::default()),
            (None, Some(leaving)) => leaving.clone(),
            // Its node closes: because it was told to, or because its name is taken. `after` sees whether it does.
            (None, None) => {
                self.hosts[slot].closing = true;
                (Reason::NODE_CLOSED, Payload::default())
            }
        };
        life.end = Some(End { at: now, step: self.book.stats.steps, reason, data });
        for link in self.hosts[slot].links.values_mut() {
            link.outbox.forget_sender(process);
        }
        self.book.refused.retain(|(_, from, _)| *from != pid);
        self.book.locks.end_all_of(now, |holder| holder == pid);
        self.hosts[slot].holds.retain(|share, _| share.pid != pid);
        self.locks_stirred = true;
        Ok(())
    }

    pub(crate) fn closed(&mut self, slot: usize, reason: Reason) -> R {
        let id = self.hosts[slot].id;
        if !self.hosts[slot].processes.is_empty() {
            return Err(format!("P5: h{slot} is closed ({reason:?}) with live processes"));
        }
        let pending = self.book.operations.range((id, Ref(0))..=(id, Ref(u64::MAX)));
        if let Some((op, o)) = pending.into_iter().find(|(_, o)| o.answer.is_none()) {
            return Err(format!("P7: h{slot} is closed and {op:?} was not answered: {o:?}"));
        }
        for connection in self.net.connections.keys().copied().collect::<Vec<_>>() {
            for end in 0..2 {
                let here = self.net.end(id_of(connection, end)).is_some_and(|e| e.slot == slot && e.open);
                if here {
                    self.hang_up(id_of(connection, end));
                }
            }
        }
        self.went_down(slot);
        if self.ticks_left > 0 {
            let at = self.now + self.rng.below(self.plan.detection);
            self.later(at, Happening::Start { slot });
        }
        Ok(())
    }

    // ---- events

    pub(crate) fn notified(&mut self, slot: usize, process: u64, event: Event) -> R {
        let id = self.hosts[slot].id;
        let me = Pid { node: id, serial: process };
        if !self.hosts[slot].processes.contains_key(&process) {
            return Err(format!("P5: {me:?} is gone and gets {event:?}"));
        }
        if self.book.lives.get(&me).is_some_and(|l| l.told.is_some()) {
            return Err(format!("P5: {me:?} gets {event:?} after the event of its own exit"));
        }
        match event {
            Event::Exit { reference: Ref(0), pid, reason, by, .. } if pid == me => {
                self.exits_itself(slot, me, reason, by)
            }
            Event::Exit { reference, pid, reason, data, .. } => {
                self.exit_seen(slot, process, reference, pid, reason, &data)
            }
            Event::NameConflict { reason: Reason::REPLACED, .. } => {
                self.book.stats.replaced += 1;
                Ok(())
            }
            Event::NameConflict { reason, winner, name } => {
                if reason != Reason::CONFLICT_LOST || self.plan.mode == Mode::Stable {
                    return Err(format!(
                        "P6: {me:?} has lost its name: {reason:?}, in {:?} mode",
                        self.plan.mode
                    ));
                }
                self.note_loss(me, &name, winner);
                self.told_of_clash(me, Treatment::Notify { other: winner });
                Ok(())
            }
            Event::NameChanged { reference, name: about, old, new, .. } => {
                match self.book.watches.get_mut(&(id, reference)) {
                    Some(Watch::Name { name, shown, process: p }) if *name == about && *p == process => {
                        if shown.is_some_and(|s| s != old) || shown.is_some() && old == new {
                            return Err(format!(
                                "monitor of {name:?}: told {shown:?}, then {old:?} -> {new:?}"
                            ));
                        }
                        *shown = Some(new);
                        Ok(())
                    }
                    other => Err(format!("{me:?} gets NameChanged of {about:?} for {other:?}")),
                }
            }
            Event::GroupJoined { reference, group, pid, old, count } => {
                self.group_change(me, reference, &group, pid, (old, count), None)
            }
            Event::GroupLeft { reference, group, pid, old, count, reason } => {
                self.group_change(me, reference, &group, pid, (old, count), Some(reason))
            }
            Event::LockLost { resource, requester, token, reason } => {
                self.lock_lost(me, resource, requester, token, reason)
            }
            Event::LockWanted { reference, resource, requester, waiter } => {
                self.lock_wanted(me, reference, &resource, &requester, waiter)
            }
            Event::NodeUp { reference, node, .. } => {
                self.node_change(me, reference, node, |up| up.insert(node))
            }
            Event::NodeDown { reference, node, .. } => {
                self.node_change(me, reference, node, |up| up.remove(&node))
            }
            Event::SnapshotEnd { reference } => match self.book.watches.get_mut(&(id, reference)) {
                Some(Watch::Nodes { complete, .. } | Watch::Group { complete, .. }) if !*complete => {
                    *complete = true;
                    Ok(())
                }
                other => Err(format!("{me:?} gets SnapshotEnd for {other:?}")),
            },
        }
    }

    fn node_change(
        &mut self,
        me: Pid,
        reference: Ref,
        node: NodeId,
        change: impl FnOnce(&mut BTreeSet<NodeId>) -> bool,
    ) -> R {
        match self.book.watches.get_mut(&(me.node, reference)) {
            Some(Watch::Nodes { up, process, .. }) if *process == me.serial => {
                if change(up) {
                    Ok(())
                } else {
                    Err(format!("{me:?} is told again of {node:?}: {up:?}"))
                }
            }
            other => Err(format!("{me:?} is told of {node:?} for {other:?}")),
        }
    }

    /// The last event of a process that is killed from outside.
    fn exits_itself(&mut self, slot: usize, me: Pid, reason: Reason, by: Option<Pid>) -> R {
        if let Some(connection) = self.arriving.map(other_end) {
            let of_killer = |k: &&Kill| k.target == me && Some(k.killer) == by && k.sender_end == connection;
            let first =
                self.book.kills.iter().filter(of_killer).map(|k| (k.killer, k.behind)).min_by_key(|k| k.1);
            if let Some((killer, behind)) = first {
                let delivered = self.book.streams.get(&(killer, me, connection)).map_or(0, |s| s.delivered);
                // It does overtake a large payload that waits for room at a process that does not read, but no other.
                if delivered + 1 < behind {
                    return Err(format!(
                        "P8: the kill of {me:?} by {killer:?} overtakes its messages: {delivered} of {behind}"
                    ));
                }
            }
        }
        let closing = self.hosts[slot].closing;
        let stable = self.plan.mode == Mode::Stable;
        let Some(life) = self.book.lives.get_mut(&me) else { return Err(format!("{me:?} was never there")) };
        life.told = Some(reason);
        match reason {
            Reason::CONFLICT_LOST if stable => {
                Err(format!("P6: a clash in a stable mesh: {me:?}\n{}", self.describe()))
            }
            Reason::CONFLICT_LOST => {
                self.told_of_clash(me, Treatment::Kill { by });
                self.lost_clash(slot, me, by)
            }
            Reason::NODE_CLOSED | Reason::NAME_TAKEN if closing => Ok(()),
            reason if life.kills.contains(&reason) => Ok(()),
            reason => Err(format!("P5: {me:?} is killed with {reason:?}, which nobody asked")),
        }
    }

    /// The process lost a clash: who won?
    fn lost_clash(&mut self, slot: usize, loser: Pid, winner: Option<Pid>) -> R {
        let Some(winner) = winner else { return Ok(()) };
        // As the table was before this input.
        let rows = &self.hosts[slot].rows;
        let bound = |pid: Pid, name: &Name| rows.iter().any(|(n, b)| n == name && b.pid() == pid);
        let of_loser = rows.iter().filter(|(_, b)| b.pid() == loser).map(|(n, _)| n);
        let names: Vec<&Name> = of_loser.filter(|n| bound(winner, n)).collect();
        // With two names between the two of them each may lose one.
        if let [name] = names[..] {
            let mut next = Some(winner);
            while let Some(at) = next {
                if at == loser {
                    return Err(format!("P6: {loser:?} and {winner:?} both lost {name:?} to each other"));
                }
                next = self.book.lost_to.get(&(name.clone(), at)).copied();
            }
            // Nodes that have each other's vote cannot come to a second owner.
            let row = |pid: Pid| rows.iter().find(|(n, b)| n == name && b.pid() == pid).map(|(_, b)| b.reg);
            let born = |pid| row(pid).and_then(|reg| self.book.born.get(&reg)).copied();
            let pair = (loser.node.min(winner.node), loser.node.max(winner.node));
            if let (Some(since), Some(a), Some(b)) =
                (self.book.together.get(&pair), born(loser), born(winner))
                && *since < a.max(b)
            {
                return Err(format!(
                    "P6: {loser:?} (born {a}) and {winner:?} ({b}) clash for {name:?}, together since {since}\n{}",
                    self.describe()
                ));
            }
            self.book.lost_to.insert((name.clone(), loser), winner);
        }
        Ok(())
    }

    fn exit_seen(
        &mut self,
        slot: usize,
        process: u64,
        reference: Ref,
        pid: Pid,
        reason: Reason,
        data: &Payload,
    ) -> R {
        let id = self.hosts[slot].id;
        let linked = self.hosts[slot].links.contains_key(&pid.node);
        let closing = self.hosts[slot].closing;
        let Some(m) = self.book.monitors.get_mut(&(id, reference)) else {
            return Err(format!("P5: {id:?}.{process} gets an exit for {reference:?}, which it never asked"));
        };
        if m.process != process || m.target != pid {
            return Err(format!("P5: the exit of {pid:?} goes to {process} for {m:?}"));
        }
        if m.fired || m.cancelled {
            return Err(format!("P5: a second exit of {pid:?} for {m:?}"));
        }
        m.fired = true;
        let m = m.clone();
        self.book.stats.exits += 1;
        // An exit of a linked node came down the stream of its pair: nothing of it is still to come.
        if let Some(connection) = self.arriving.map(other_end).filter(|_| linked) {
            let me = Pid { node: id, serial: process };
            if let Some(stream) =
                self.book.streams.get(&(pid, me, connection)).filter(|s| !s.lengths.is_empty())
            {
                return Err(format!("P8: the exit of {pid:?} overtakes its messages to {me:?}: {stream:?}"));
            }
        }
        // A process of the same node may be said to be gone a little further down in the same outputs.
        if !(closing && reason == Reason::NODE_CLOSED) {
            self.exits.push(ExitSeen { watcher: id, monitor: m, linked, reason, data: data.clone() });
        }
        Ok(())
    }

    pub(crate) fn check_exits(&mut self) -> R {
        for e in std::mem::take(&mut self.exits) {
            let (watcher, target) = (e.watcher, e.monitor.target);
            if !self.exit_allowed(&e.monitor, watcher, e.linked, e.reason, &e.data) {
                return Err(format!(
                    "P5: {watcher:?} is told that {target:?} exited: {e:?}; the truth: {:?}, gone {}, breaks {:?}",
                    self.book.lives.get(&target),
                    self.book.gone.contains(&target.node),
                    self.book.breaks.get(&(watcher, target.node))
                ));
            }
        }
        Ok(())
    }

    fn exit_allowed(
        &self,
        m: &Monitor,
        watcher: NodeId,
        linked: bool,
        reason: Reason,
        data: &Payload,
    ) -> bool {
        let life = self.book.lives.get(&m.target);
        if let Some(Life { end: Some(end), .. }) = life
            && end.reason == reason
            && end.data == *data
        {
            return true;
        }
        if !data.as_bytes().is_empty() {
            return false;
        }
        let broken =
            !linked || !m.linked_at_start || self.book.breaks_between(watcher, m.target.node) > m.breaks;
        let reasons = self.book.breaks.get(&(watcher, m.target.node)).map(|b| &b.reasons);
        match reason {
            Reason::NO_PROCESS => self.book.is_over(m.target),
            Reason::NODE_UNREACHABLE => broken && m.target.node != watcher,
            reason => broken && reasons.is_some_and(|r| r.contains(&reason)),
        }
    }
}
