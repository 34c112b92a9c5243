//! What is checked while a run goes on: the promises that must hold after every single step.

use crate::book::Watch;
use crate::host::rows;
use crate::network::other_end;
use crate::plan::Mode;
use crate::world::{R, World};
use convoke::engine::{Binding, Goodbye, Message, Reg, Task};
use convoke::model::{Name, NodeId, Pid, Reason, Ref, Status};
use std::collections::BTreeSet;

impl World {
    // ---- after every input of a host

    pub(crate) fn after(&mut self, slot: usize) -> R {
        self.check_exits()?;
        self.check_treatments(slot)?;
        if std::mem::take(&mut self.locks_stirred) {
            self.check_locks(slot)?;
        }
        if std::mem::take(&mut self.groups_stirred) {
            self.check_groups(slot)?;
        }
        if std::mem::take(&mut self.view_changed) {
            self.note_who_is_together();
        }
        let Some(engine) = self.hosts[slot].engine.as_ref() else { return Ok(()) };
        if self.checks_invariants {
            engine.check_invariants().map_err(|what| format!("invariant of h{slot}: {what}"))?;
        }
        let host = &self.hosts[slot];
        if host.closing {
            return Err(format!("P5: processes of h{slot} are gone for no reason, or it does not close"));
        }
        let mut shown = 0;
        for (name, pid) in engine.names() {
            shown += 1;
            if host.table.get(name) != Some(&pid) || engine.whereis(name.as_bytes()) != Some(pid) {
                let published = host.table.get(name);
                return Err(format!(
                    "table: h{slot} published {published:?} for {name:?}, the engine shows {pid:?}"
                ));
            }
            if pid.node == host.id && !host.processes.contains_key(&pid.serial) {
                return Err(format!("P5: h{slot} shows {name:?} -> {pid:?}, a dead process of its own"));
            }
        }
        if shown != host.table.len() {
            return Err(format!("table: h{slot} published {:?}, the engine shows {shown} names", host.table));
        }
        if self.name_stays && !host.table.contains_key(&name(0)) {
            return Err(format!(
                "P4: h{slot} shows none for the name that is only re-registered\n{}",
                self.describe()
            ));
        }
        if let Some((name, reg)) = &self.withdrawn_now {
            self.loser_leaves_no_gap(slot, name, *reg)?;
        }
        let links: Vec<NodeId> = engine.links().map(|(node, _)| node).collect();
        if !links.iter().eq(host.links.keys())
            && links.iter().copied().collect::<BTreeSet<_>>() != host.links.keys().copied().collect()
        {
            return Err(format!(
                "links: h{slot} published {:?}, the engine has {links:?}",
                host.links.keys()
            ));
        }
        if self.withdrawal || !engine.bindings().eq(host.rows.iter().map(|(n, b)| (n, b))) {
            self.withdrawal = false;
            self.rows_changed(slot)?;
        }
        for ((node, _), watch) in
            self.book.watches.range((self.hosts[slot].id, Ref(0))..=(self.hosts[slot].id, Ref(u64::MAX)))
        {
            if let Watch::Name { name, shown: Some(shown), process } = watch
                && self.hosts[slot].table.get(name).copied() != *shown
                && self.hosts[slot].processes.contains_key(process)
            {
                return Err(format!("monitor of {name:?} on {node:?} was last told {shown:?}"));
            }
        }
        Ok(())
    }

    /// Since when are which nodes linked and synced with each other?
    fn note_who_is_together(&mut self) {
        let mut together = BTreeSet::new();
        for a in &self.hosts {
            let Some(engine) = &a.engine else { continue };
            for (peer, synced) in engine.links() {
                let Some(connection) = a.link_to(peer).filter(|_| synced) else { continue };
                let other = self.hosts.iter().find(|h| h.id == peer && h.is_up());
                let mutual = other.is_some_and(|b| {
                    b.link_to(a.id) == Some(other_end(connection))
                        && b.engine.as_ref().is_some_and(|e| e.links().any(|(n, synced)| n == a.id && synced))
                });
                if mutual {
                    together.insert((a.id.min(peer), a.id.max(peer)));
                }
            }
        }
        self.book.together.retain(|pair, _| together.contains(pair));
        for pair in together {
            self.book.together.entry(pair).or_insert(self.now);
        }
    }

    fn rows_changed(&mut self, slot: usize) -> R {
        let Some(engine) = self.hosts[slot].engine.as_ref() else { return Ok(()) };
        let new = rows(engine);
        let host = &mut self.hosts[slot];
        let id = host.id;
        for (name, b) in &new {
            let owner = b.reg.node;
            if owner != id && !host.links.contains_key(&owner) {
                return Err(format!("P5: h{slot} keeps {name:?} of {owner:?} without a link to it"));
            }
            if self.book.withdrawn.contains(&(id, b.reg)) {
                return Err(format!(
                    "P1: h{slot} shows {name:?} {:?} again after its withdrawal\n{}",
                    b.reg,
                    self.describe()
                ));
            }
            if owner == id {
                // One that comes back after a younger one was withdrawn is older than that.
                let younger = Reg { seq: b.reg.seq + 1, ..b.reg }..=Reg { seq: u64::MAX, ..b.reg };
                let at = self.book.born.range(younger).map(|(_, at)| *at).min().unwrap_or(self.now);
                self.book.born.entry(b.reg).or_insert(at);
                self.book.clashes.regs.entry(b.reg).or_insert_with(|| (b.pid(), b.resolver.clone()));
            }
        }
        host.rows = new;
        if self.plan.mode == Mode::Stable {
            self.one_owner(slot)?;
        }
        Ok(())
    }

    /// Between nodes that are synced with each other a second owner can never commit.
    fn one_owner(&self, slot: usize) -> R {
        for index in 0..self.plan.names {
            let name = name(index);
            let own: Vec<&Binding> = self.hosts.iter().flat_map(|h| h.own_row(&name)).collect();
            let covered = |reg: Reg| own.iter().any(|b| b.covers(reg));
            let open: Vec<Reg> = own.iter().map(|b| b.reg).filter(|reg| !covered(*reg)).collect();
            if open.len() > 1 {
                return Err(format!(
                    "P6: {name:?} has two owners in a stable mesh (after h{slot}): {open:?}\n{}",
                    self.describe()
                ));
            }
        }
        Ok(())
    }

    // ---- messages that the world sees pass

    pub(crate) fn snoop(&mut self, slot: usize, from: Option<NodeId>, message: &Message) {
        let id = self.hosts[slot].id;
        self.snoop_clash(slot, message);
        match message {
            Message::Unregistered { name, reg, .. } => {
                self.book.withdrawn.insert((id, *reg));
                self.withdrawn_now = Some((name.clone(), *reg));
                self.withdrawal = true;
            }
            Message::Grant { tx, regs, .. } => {
                let voter = from.filter(|_| !regs.is_empty());
                let votes = voter.map(|voter| ((*tx, voter), regs.iter().copied().collect()));
                self.book.votes.extend(votes);
            }
            Message::Hello { .. } => {
                self.view_changed = true;
                self.locks_stirred = true;
                self.groups_stirred = true;
            }
            Message::Acquire { .. }
            | Message::Yield { .. }
            | Message::Release { .. }
            | Message::NoWait { .. }
            | Message::SharePublished { .. }
            | Message::ShareReleased { .. }
            | Message::HoldConfirmed { .. }
            | Message::LockConflict { .. } => self.locks_stirred = true,
            Message::Membership { .. }
            | Message::Create { .. }
            | Message::Retract { .. }
            | Message::Delete { .. }
            | Message::GroupState { .. } => self.groups_stirred = true,
            Message::Goodbye { why } => {
                self.cause = Some(match why {
                    Goodbye::Closing => Reason::NODE_CLOSED,
                    other => other.reason(),
                });
            }
            Message::Forward { id: tx, task, .. } => {
                self.book.forwards.insert(*tx, (task.clone(), self.book.stats.steps));
            }
            _ => {}
        }
    }

    pub(crate) fn snoop_sent(&mut self, slot: usize, message: &Message) -> R {
        if let Message::Commit { tx, binding, .. } = message {
            self.book.commits.insert(binding.reg, *tx);
        }
        if let Message::Answer { id, status: Status::Ok, .. } = message
            && let Some((Task::Register { name, serial, .. }, _)) = self.book.forwards.get(id).cloned()
        {
            return self.shown_everywhere(slot, &name, serial);
        }
        if let Message::Answer { id, status: Status::Ok, .. } = message
            && let Some((Task::Join { group, serial, .. } | Task::Leave { group, serial }, since)) =
                self.book.forwards.get(id).cloned()
        {
            let pid = Pid { node: self.hosts[slot].id, serial };
            return self.shown_in_group(slot, &group, pid, since);
        }
        Ok(())
    }

    /// Promise 1, at the moment in which the home says OK.
    pub(crate) fn shown_everywhere(&self, home: usize, name: &Name, serial: u64) -> R {
        let host = &self.hosts[home];
        let Some(engine) = host.engine.as_ref() else { return Ok(()) };
        let mine = engine.bindings().find(|(n, b)| *n == name && b.reg.node == host.id);
        // A later command may have put another binding in its place already; that one is not settled yet.
        let Some((_, mine)) = mine.filter(|(_, b)| b.serial == serial && b.settled) else { return Ok(()) };
        for (peer, link) in &host.links {
            let Some(other) = self.hosts.iter().find(|h| h.id == *peer && h.is_up()) else { continue };
            if other.link_to(host.id) != Some(other_end(link.connection)) {
                continue;
            }
            let row = other.rows.iter().find(|(n, b)| n == name && b.reg.node == host.id).map(|(_, b)| b.reg);
            if row.is_none_or(|reg| reg.seq < mine.reg.seq) {
                return Err(format!(
                    "P1: OK for {name:?} {:?} at h{home}, but h{} has {row:?}\n{}",
                    mine.reg,
                    other.slot,
                    self.describe()
                ));
            }
            // A clash with what came to the node since its vote may hide it from readers there; what it showed then may not.
            let visible = other.table.get(name);
            let visible = other.rows.iter().find(|(n, b)| n == name && Some(&b.pid()) == visible);
            let voted = self.book.commits.get(&mine.reg).and_then(|tx| self.book.votes.get(&(*tx, *peer)));
            if let (Some((_, old)), Some(voted)) = (visible, voted)
                && old.reg.node != host.id
                && voted.contains(&old.reg)
            {
                return Err(format!(
                    "P1: OK for {name:?} {:?} at h{home}, but readers of h{} go on to see {:?}\n{}",
                    mine.reg,
                    other.slot,
                    old.reg,
                    self.describe()
                ));
            }
        }
        Ok(())
    }

    /// Promise 4, where a clash ends a re-register's rival: what has lost is withdrawn only when all that have been linked with
    /// the winner's home since before its registration see the winner.
    fn loser_leaves_no_gap(&self, slot: usize, name: &Name, loser: Reg) -> R {
        let host = &self.hosts[slot];
        let Some(winner) = self.book.clashes.beaten.get(&loser).copied() else { return Ok(()) };
        if host.table.contains_key(name) || !host.is_up() {
            return Ok(());
        }
        let pair = (host.id.min(winner.node), host.id.max(winner.node));
        let (since, born) = (self.book.together.get(&pair), self.book.born.get(&winner));
        let home = self.hosts.iter().find(|h| h.id == winner.node && h.is_up());
        let bound = home.and_then(|h| h.own_row(name)).is_some_and(|row| row.reg == winner);
        match (since, born) {
            (Some(since), Some(born)) if since < born && bound => Err(format!(
                "P4: h{slot} shows none for {name:?}: {loser:?} has lost to {winner:?}, which is on its way\n{}",
                self.describe()
            )),
            _ => Ok(()),
        }
    }
}

/// The names of a run.
pub(crate) fn name(index: usize) -> Name {
    Name::new(&[b'a' + index as u8])
}
