//! What is checked while a run goes on: the promises that must hold after every single step.

use crate::book::{End, Kill, Life, Monitor, Watch, What};
use crate::host::rows;
use crate::network::{id_of, other_end};
use crate::plan::Mode;
use crate::world::{Happening, R, World};
use convoke::engine::message::{INITIAL_CREDIT, Window, cost};
use convoke::engine::{
    Binding, Event, Goodbye, Message, Name, NodeId, Outcome, Payload, Pid, Reason, Ref, Reg, Status, Task,
};
use std::collections::BTreeSet;

/// What a message says: a pattern that only its place in its stream decides, so that a wrong order, a loss, a
/// repetition and a mixture of two messages all show.
pub(crate) fn pattern(from: Pid, index: u64, len: u64) -> Vec<u8> {
    let first = (from.serial ^ index.wrapping_mul(0x9E37)) as u8;
    (0..len).map(|i| first.wrapping_add((i >> 6) as u8).wrapping_add(i as u8)).collect()
}

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

    // ---- processes

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
        life.end = Some(End { at: now, reason, data });
        for link in self.hosts[slot].links.values_mut() {
            link.outbox.forget_sender(process);
        }
        self.book.refused.retain(|(_, from, _)| *from != pid);
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
            Event::NameConflict { reason, .. } => {
                if reason == Reason::REPLACED {
                    self.book.stats.replaced += 1;
                } else if self.plan.mode == Mode::Stable {
                    return Err(format!("P6: a clash in a stable mesh: {me:?} {reason:?}"));
                }
                Ok(())
            }
            Event::NameChanged { reference, name: about, old, new } => {
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
            Event::NodeUp { reference, node, .. } => {
                self.node_change(me, reference, node, |up| up.insert(node))
            }
            Event::NodeDown { reference, node, .. } => {
                self.node_change(me, reference, node, |up| up.remove(&node))
            }
            Event::SnapshotEnd { reference } => match self.book.watches.get_mut(&(id, reference)) {
                Some(Watch::Nodes { complete, .. }) if !*complete => {
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
            Reason::CONFLICT_LOST => self.lost_clash(slot, me, by),
            Reason::NODE_CLOSED | Reason::NAME_TAKEN if closing => Ok(()),
            reason if life.kills.contains(&reason) => Ok(()),
            reason => Err(format!("P5: {me:?} is killed with {reason:?}, which nobody asked")),
        }
    }

    /// The process lost a clash: who won?
    fn lost_clash(&mut self, slot: usize, loser: Pid, winner: Option<Pid>) -> R {
        self.book.stats.conflicts += 1;
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

    fn check_exits(&mut self) -> R {
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

    // ---- messages

    pub(crate) fn delivered(
        &mut self,
        slot: usize,
        to: u64,
        from: Pid,
        payload: &Payload,
        window: Window,
    ) -> R {
        let to = Pid { node: self.hosts[slot].id, serial: to };
        let size = payload.as_bytes().len();
        self.trace.say(self.now, || format!("h{slot} p{} DELIVER {size} bytes from {from:?}", to.serial));
        let Some(connection) = self.arriving.map(other_end) else {
            return Err(format!("P8: {to:?} gets a message from {from:?} out of nothing"));
        };
        let Some(process) = self.hosts[slot].processes.get_mut(&to.serial) else {
            return Err(format!("P8: {to:?} is gone and gets a message"));
        };
        process.mailbox.push_back(crate::host::Waiting { window, cost: cost(size) });
        let start = !process.reading;
        process.reading = true;
        let at = process.deaf_until;
        let Some(stream) = self.book.streams.get_mut(&(from, to, connection)) else {
            return Err(format!(
                "P8: {to:?} gets a message from {from:?}, which sent none over {connection:?}"
            ));
        };
        let Some(len) = stream.lengths.pop_front() else {
            return Err(format!("P8: {to:?} gets a message from {from:?} more than once"));
        };
        let index = stream.delivered;
        stream.delivered += 1;
        if pattern(from, index, len) != payload.as_bytes() {
            return Err(format!(
                "P8: message {index} from {from:?} to {to:?} is not the {len} bytes that were sent, or not in order"
            ));
        }
        self.book.stats.delivered += 1;
        if start {
            let soon = self.now + self.rng.below(self.plan.delay_max / 4 + 1);
            self.later(soon.max(at), Happening::Read { slot, pid: to });
        }
        self.memory_bounded(slot)
    }

    fn memory_bounded(&self, slot: usize) -> R {
        let host = &self.hosts[slot];
        let waiting = || host.processes.values().flat_map(|p| &p.mailbox).chain(&host.unread);
        let bytes: u64 = waiting().map(|w| w.cost).sum();
        let cap = self.plan.limits.memory as u64 * 3 / 4;
        if bytes > cap {
            let windows: BTreeSet<Window> = waiting().map(|w| w.window).collect();
            let unasked = windows.len() as u64 * INITIAL_CREDIT.bytes;
            if bytes > cap + unasked {
                return Err(format!("P8: {bytes} bytes wait on h{slot}, allowed are {cap} + {unasked}"));
            }
        }
        Ok(())
    }

    /// Senders that were refused are told that there is room.
    pub(crate) fn tell(
        &mut self,
        slot: usize,
        node: NodeId,
        connection: convoke::engine::ConnectionId,
        told: Vec<(u64, u64)>,
    ) {
        for (from, to) in told {
            let from = Pid { node: self.hosts[slot].id, serial: from };
            let to = Pid { node, serial: to };
            self.trace.say(self.now, || format!("h{slot} p{} SENDABLE {to:?}", from.serial));
            if !self.book.refused.remove(&(connection, from, to)) {
                self.fault =
                    Some(format!("P8: {from:?} is told that {to:?} has room, and did not wait for it"));
            }
            if self.rng.percent(50) {
                let at = self.now + self.rng.below(self.plan.delay_max);
                self.later(at, Happening::Retry { slot, from, to });
            }
        }
    }
}

/// The names of a run.
pub(crate) fn name(index: usize) -> Name {
    Name::new(&[b'a' + index as u8])
}
