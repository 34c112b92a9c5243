//! What is checked while a run goes on: the promises that must hold after every single step.

use crate::book::{Watch, What};
use crate::host::rows;
use crate::network::other_end;
use crate::plan::Mode;
use crate::world::{R, World};
use convoke::engine::{Binding, Goodbye, Message, Name, NodeId, Outcome, Reason, Ref, Reg, Status, Task};
use std::collections::BTreeSet;

impl World {
    // ---- after every input of a host

    pub(crate) fn after(&mut self, slot: usize) -> R {
        self.check_exits()?;
        if std::mem::take(&mut self.view_changed) {
            self.note_who_is_together();
        }
        let Some(engine) = self.hosts[slot].engine.as_ref() else { return Ok(()) };
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
            let covered: BTreeSet<Reg> = own.iter().flat_map(|b| b.over.iter().copied()).collect();
            let open: Vec<Reg> = own.iter().map(|b| b.reg).filter(|r| !covered.contains(r)).collect();
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

    pub(crate) fn snoop(&mut self, slot: usize, message: &Message) {
        let id = self.hosts[slot].id;
        match message {
            Message::Unreg { reg, .. } => {
                self.book.withdrawn.insert((id, *reg));
                self.withdrawal = true;
            }
            Message::Hello { .. } => self.view_changed = true,
            Message::Goodbye { why } => {
                self.cause = Some(match why {
                    Goodbye::Closing => Reason::NODE_CLOSED,
                    other => other.reason(),
                });
            }
            Message::Forward { id: tx, task, .. } => {
                self.book.forwards.insert(*tx, task.clone());
            }
            _ => {}
        }
    }

    pub(crate) fn snoop_sent(&mut self, slot: usize, message: &Message) -> R {
        if let Message::Answer { id, status: Status::Ok, .. } = message
            && let Some(Task::Register { name, serial, .. }) = self.book.forwards.get(id).cloned()
        {
            return self.shown_everywhere(slot, &name, serial);
        }
        Ok(())
    }

    /// Promise 1, at the moment in which the home says OK.
    fn shown_everywhere(&self, home: usize, name: &Name, serial: u64) -> R {
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
        }
        Ok(())
    }

    // ---- answers

    pub(crate) fn answered(&mut self, slot: usize, process: u64, op: Ref, outcome: &Outcome) -> R {
        let host = &self.hosts[slot];
        let (id, local, resumed) = (host.id, host.local(self.now).0, host.resumed);
        if !host.processes.contains_key(&process) {
            return Err(format!("P7: h{slot} answers {op:?} to process {process}, which is gone"));
        }
        let Some(o) = self.book.operations.get_mut(&(id, op)) else {
            return Err(format!("P7: h{slot} answers {op:?}, which nobody asked"));
        };
        if let Some(before) = o.answer {
            return Err(format!("P7: h{slot} answers {op:?} twice: {before:?}, then {outcome:?}"));
        }
        let status = outcome.status;
        o.answer = Some(status);
        *self.book.stats.answers.entry(status).or_default() += 1;
        // At the deadline of what another node runs, that node is asked to undo it; only its answer says that it has.
        let elsewhere = match &o.what {
            What::Register { pid, .. } | What::IsAlive { pid, .. } => pid.node != id,
            What::Unregister { .. } => true,
            What::Connect | What::Disconnect => false,
        };
        let patience = if elsewhere { self.plan.detection } else { 0 } + self.plan.timer_lag * 2;
        if let Some(deadline) = o.deadline
            && local > deadline + patience
            && resumed < o.issued
        {
            return Err(format!("P7: h{slot} answers {op:?} {} us after its deadline", local - deadline));
        }
        let o = o.clone();
        if o.process != process {
            return Err(format!(
                "P7: the answer to {op:?} goes to process {process} instead of {}",
                o.process
            ));
        }
        let sane = match &o.what {
            What::Register { .. } => matches!(
                status,
                Status::Ok
                    | Status::Exists
                    | Status::Timeout
                    | Status::Cancelled
                    | Status::NoProcess
                    | Status::Unreachable
                    | Status::Closed
            ),
            What::Unregister { .. } | What::IsAlive { .. } => matches!(
                status,
                Status::Ok
                    | Status::Timeout
                    | Status::Cancelled
                    | Status::NoProcess
                    | Status::Unreachable
                    | Status::Closed
            ),
            What::Connect | What::Disconnect => !matches!(status, Status::Internal | Status::Memory),
        };
        if !sane {
            return Err(format!("P7: {:?} is answered {outcome:?}", o.what));
        }
        if status == Status::Timeout && o.deadline.is_none() && !o.nowait {
            return Err(format!("P7: {:?} without a deadline is answered {outcome:?}", o.what));
        }
        let reachable =
            matches!(o.what, What::Register { .. } | What::Unregister { .. } | What::IsAlive { .. });
        if status == Status::Unreachable && self.plan.mode == Mode::Stable && reachable {
            return Err(format!("P7: {:?} is answered {outcome:?} in a stable mesh", o.what));
        }
        if status == Status::Cancelled && !o.cancelled {
            return Err(format!("P7: {:?} is answered {outcome:?}, and nobody cancelled it", o.what));
        }
        match o.what {
            What::Register { name, pid, .. } if status == Status::Ok => {
                self.book.stats.registered += 1;
                if pid.node == id { self.shown_everywhere(slot, &name, pid.serial) } else { Ok(()) }
            }
            What::IsAlive { pid, over_at_start } if status == Status::Ok => {
                let over = self.book.is_over(pid);
                if outcome.value == 1 && over_at_start || outcome.value == 0 && !over {
                    return Err(format!(
                        "P5: is_alive({pid:?}) says {}; over: {over_at_start}, now {over}",
                        outcome.value
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The names of a run.
pub(crate) fn name(index: usize) -> Name {
    Name::new(&[b'a' + index as u8])
}
