//! The course of a run, and what must hold when the world is at rest: every two nodes linked, nothing under way.

use crate::book::{Book, Watch, What};
use crate::checks::name;
use crate::network::other_end;
use crate::plan::Mode;
use crate::world::{Happening, R, World};
use convoke::engine::{Binding, Engine, Reg};
use convoke::model::{Deadline, Name, Payload, Pid, Reason, Ref, Resolver, Status};
use std::collections::BTreeSet;

impl World {
    pub(crate) fn run(&mut self) -> R {
        self.set_out()?;
        self.ticks_left = self.plan.ticks;
        self.later(self.now, Happening::Tick);
        while self.ticks_left > 0 {
            self.step()?;
        }
        if self.plan.rest_in_parts {
            self.trace.say(self.now, || "REST IN PARTS".into());
            self.come_to_rest(false)?;
            self.check_parts()?;
        }
        self.heal()?;
        self.come_to_rest(true)?;
        self.check_locks_at_rest().map_err(|e| format!("{e} (healed)\n{}", self.describe()))?;
        self.loosen()?;
        self.come_to_rest(true)?;
        self.check_rest("healed")?;
        if self.rng.percent(20) {
            // Nothing may come later, either.
            let until = self.now + self.plan.detection * 2;
            while self.now < until && self.step()? {}
            self.come_to_rest(true)?;
            self.check_rest("a while later")?;
        }
        if self.name_stays {
            self.name_was_granted()?;
        }
        self.check_histories()?;
        if self.plan.calm > 0 {
            self.calm()?;
        }
        if self.plan.afterlife && !self.plan.tight {
            self.afterlife()?;
            if self.plan.weights.acquire > 0 {
                self.lock_afterlife()?;
            }
        }
        self.book.stats.seeds = 1;
        self.book.stats.virtual_ms = self.now / 1000;
        Ok(())
    }

    fn set_out(&mut self) -> R {
        if !self.plan.full_at_start {
            for a in 0..self.hosts.len() {
                for b in 0..self.hosts.len() {
                    if a < b && self.rng.percent(70) {
                        self.net.blocked.insert((a, b));
                    }
                    if a != b && self.rng.percent(15) {
                        self.net.closed_doors.insert((a, b));
                    }
                }
            }
        }
        for slot in 0..self.hosts.len() {
            let twin = slot >= self.plan.hosts;
            let most = if twin { self.plan.detection * 4 } else { self.plan.delay_max * 4 };
            let at = self.rng.below(most);
            self.later(at, Happening::Start { slot });
        }
        if !self.plan.full_at_start {
            return Ok(());
        }
        self.come_to_rest(true)?;
        if self.plan.mode == Mode::Stable {
            let slot = self.rng.index(self.hosts.len());
            let pid = Pid { node: self.hosts[slot].id, serial: 1 };
            let resolver = Resolver::RandomExit;
            let op = self.register_with(slot, 1, name(0), pid, resolver, false, Deadline::FOREVER)?;
            self.come_to_rest(true)?;
            let id = self.hosts[slot].id;
            let answer = self.book.operations.get(&(id, op)).and_then(|o| o.answer);
            if answer != Some(Status::Ok) {
                return Err(format!("P7: the first registration of a name is answered {answer:?}"));
            }
            self.name_stays = true;
            self.begin_histories();
        }
        Ok(())
    }

    /// The network and the machines are as good as new; the nodes have to find it out by themselves.
    fn heal(&mut self) -> R {
        self.trace.say(self.now, || "HEAL".into());
        self.net.blocked.clear();
        self.net.closed_doors.clear();
        self.net.clogged.clear();
        for (from, to) in std::mem::take(&mut self.net.stopped) {
            self.free(from, to);
        }
        for slot in 0..self.hosts.len() {
            self.recover_feeling(slot);
        }
        self.speed_up();
        for slot in 0..self.hosts.len() {
            self.hosts[slot].recover(self.now);
            self.hosts[slot].wind_up(self.now);
            self.resume(slot);
            for process in self.hosts[slot].processes.values_mut() {
                process.deaf_until = 0;
            }
        }
        for slot in 0..self.hosts.len() {
            let name_lives = self.hosts.iter().any(|h| h.is_up() && h.name == self.hosts[slot].name);
            if !name_lives {
                self.start(slot)?;
            }
        }
        for (slot, other) in std::mem::take(&mut self.parted) {
            let address = self.hosts[other].address.clone();
            if self.hosts[slot].is_awake() {
                self.spawn(slot, true)?;
                self.connect_host(slot, address)?;
            }
        }
        Ok(())
    }

    /// Runs until nothing is under way. That it comes to that is the promise of an end to every call.
    pub(crate) fn come_to_rest(&mut self, whole: bool) -> R {
        // Who is parted for being slow is left alone for up to eight times twelve detection times.
        let pauses = if self.plan.part_slow { 150 } else { 0 };
        let limit = self.now + self.plan.detection * (60 + pauses);
        let mut steps = 0_u64;
        loop {
            if !self.step()? {
                break;
            }
            steps += 1;
            if steps.is_multiple_of(8) && self.unrest(whole).is_none() {
                return Ok(());
            }
            if self.now > limit {
                break;
            }
        }
        match self.unrest(whole) {
            Some(what) => Err(format!("{what}\n{}", self.describe())),
            None => Ok(()),
        }
    }

    /// What is not at rest yet.
    fn unrest(&self, whole: bool) -> Option<String> {
        if self.has_errands() || whole && self.is_dialling() {
            return Some("something is still to come".into());
        }
        if self.net.is_busy() {
            return Some("messages do not cease".into());
        }
        let unanswered = self
            .book
            .operations
            .iter()
            .filter(|((n, _), o)| o.answer.is_none() && !self.book.gone.contains(n));
        let mut idle = None;
        for (op, o) in unanswered {
            // Whoever waits for a lock that somebody holds is at rest.
            if matches!(o.what, What::Acquire { .. }) {
                let idle = idle.get_or_insert_with(|| self.idle_waiters());
                if !idle.iter().any(|w| w.key == *op) {
                    continue;
                }
            }
            return Some(format!("P7: never answered: {op:?} {o:?}"));
        }
        for host in &self.hosts {
            for (node, link) in &host.links {
                let whole_line = self.net.is_whole(link.connection);
                if !link.outbox.is_empty() && whole_line {
                    return Some(format!("P8: h{} keeps messages for {node:?}", host.slot));
                }
                if !whole_line {
                    return Some(format!(
                        "h{} has not noticed that its link with {node:?} is dead",
                        host.slot
                    ));
                }
            }
            if !host.unread.is_empty() || host.processes.values().any(|p| !p.mailbox.is_empty()) {
                return Some(format!("h{} has unread messages", host.slot));
            }
        }
        if !whole {
            return self.torn_name();
        }
        if self.net.has_ruins() {
            return Some("links: a dead connection is kept".into());
        }
        let up: Vec<_> = self.hosts.iter().filter(|h| h.is_up()).collect();
        for a in &up {
            for b in &up {
                if a.slot == b.slot {
                    continue;
                }
                if a.name == b.name {
                    return Some(format!("links: h{} and h{} live under one name", a.slot, b.slot));
                }
                let Some(connection) = a.link_to(b.id) else {
                    return Some(format!("links: h{} has no link with h{}", a.slot, b.slot));
                };
                if b.link_to(a.id) != Some(other_end(connection)) {
                    return Some(format!("links: h{} and h{} do not agree on their link", a.slot, b.slot));
                }
                let synced = |e: &Engine| e.links().any(|(n, synced)| n == b.id && synced);
                if !a.engine.as_ref().is_some_and(synced) {
                    return Some(format!("links: h{} is not synced with h{}", a.slot, b.slot));
                }
            }
            if a.links.len() != up.len() - 1 {
                return Some(format!("links: h{} has a link too many", a.slot));
            }
        }
        // Nodes tell each other a little later what of it belongs to nobody.
        self.torn_groups().or_else(|| self.residue())
    }

    /// A clash that a node shows is decided even when the two homes have no link.
    fn torn_name(&self) -> Option<String> {
        for host in &self.hosts {
            for index in 0..self.plan.names {
                let name = name(index);
                let rows: Vec<_> = host.rows.iter().filter(|(n, _)| *n == name).map(|(_, b)| b).collect();
                let covered = |r: Reg| rows.iter().any(|b| b.covers(r));
                let open: Vec<_> = rows.iter().filter(|b| !covered(b.reg)).collect();
                if open.len() > 1 {
                    return Some(format!("P6: h{} shows a clash for ever: {name:?} {open:?}", host.slot));
                }
                // Its home is linked with this host, and its own with that of what has replaced it, or with this host too.
                if let Some(old) = rows.iter().find(|b| self.is_replaced(&rows, b.reg)) {
                    return Some(format!("P1: h{} keeps {name:?} {old:?}, which was replaced", host.slot));
                }
            }
        }
        None
    }

    /// Covered by one that is complete at its home.
    fn is_replaced(&self, rows: &[&Binding], reg: Reg) -> bool {
        rows.iter().filter(|row| row.covers(reg)).any(|row| {
            let home = self.hosts.iter().find(|h| h.id == row.reg.node);
            home.is_some_and(|h| h.rows.iter().any(|(_, b)| b.reg == row.reg && b.settled))
        })
    }

    fn check_parts(&self) -> R {
        for host in self.hosts.iter().filter(|h| h.is_up()) {
            for (name, binding) in &host.rows {
                if self.book.is_over(binding.pid()) {
                    return Err(format!("P5: h{} shows {name:?} of the dead {:?}", host.slot, binding.pid()));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn check_rest(&mut self, when: &str) -> R {
        self.check_groups_at_rest().map_err(|e| format!("{e} ({when})\n{}", self.describe()))?;
        self.check_neither().map_err(|e| format!("{e} ({when})\n{}", self.describe()))?;
        self.check_names().map_err(|e| format!("{e} ({when})\n{}", self.describe()))?;
        self.check_leaks().map_err(|e| format!("{e} ({when})\n{}", self.describe()))?;
        self.check_monitors().map_err(|e| format!("{e} ({when})\n{}", self.describe()))?;
        self.check_streams().map_err(|e| format!("{e} ({when})\n{}", self.describe()))
    }

    fn check_names(&self) -> R {
        let up: Vec<_> = self.hosts.iter().filter(|h| h.is_up()).collect();
        let Some(first) = up.first() else { return Ok(()) };
        let table = |rows: &[(Name, Binding)]| -> BTreeSet<(Name, Reg, u64)> {
            rows.iter().map(|(n, b)| (n.clone(), b.reg, b.serial)).collect()
        };
        for host in &up {
            if table(&host.rows) != table(&first.rows) || host.table != first.table {
                return Err(format!(
                    "P2: h{} has {:?} {:?}, h{} has {:?} {:?}",
                    first.slot, first.table, first.rows, host.slot, host.table, host.rows
                ));
            }
        }
        for index in 0..self.plan.names {
            let name = name(index);
            if !first.table.contains_key(&name) && self.must_be_bound(&name) {
                return Err(format!(
                    "P1: {name:?} was registered, and nobody has taken it away, but it is gone"
                ));
            }
        }
        for (name, binding) in &first.rows {
            let pid = binding.pid();
            if first.rows.iter().filter(|(n, _)| n == name).count() > 1 {
                return Err(format!("P6: {name:?} has more than one binding at rest: {:?}", first.rows));
            }
            let held = first.rows.iter().filter(|(_, b)| b.pid() == pid).count();
            if self.plan.one_name && held > 1 {
                return Err(format!("names: {pid:?} holds {held} names, and one is allowed"));
            }
            if self.book.is_over(pid) {
                return Err(format!("P5: {name:?} is bound to {pid:?}, which is dead"));
            }
            if !granted(&self.book, name, pid) {
                return Err(format!(
                    "P1: {name:?} is bound to {pid:?}, and no registration of it was answered OK"
                ));
            }
        }
        Ok(())
    }

    /// A registration was answered OK, all processes that it could be bound to live, and it was never unregistered.
    fn must_be_bound(&self, name: &Name) -> bool {
        let (mut granted, mut withdrawn, mut spares_losers) = (false, false, false);
        for o in self.book.operations.values() {
            match &o.what {
                What::Unregister { name: n, .. } if n == name => return false,
                What::Register { name: n, pid, resolver, .. } if n == name => {
                    if self.book.is_over(*pid) || Self::may_choose_neither(resolver) {
                        return false;
                    }
                    granted |= o.answer == Some(Status::Ok);
                    withdrawn |= !matches!(o.answer, Some(Status::Ok | Status::Exists | Status::NotFound));
                    spares_losers |= *resolver != Resolver::RandomExit;
                }
                _ => {}
            }
        }
        // Somebody may have lost it, and lived on, to a registration that was withdrawn at its deadline at that moment.
        let lost = withdrawn && spares_losers && self.plan.mode != Mode::Stable;
        granted && !lost
    }

    /// What nodes hold for others or for later. Of locks that are held there is something.
    fn residue(&self) -> Option<String> {
        if !self.book.locks.live.is_empty() {
            return None;
        }
        let engines = self.hosts.iter().filter_map(|h| h.engine.as_ref().map(|e| (h.slot, e)));
        let mut all = engines.flat_map(|(slot, engine)| engine.residue().into_iter().map(move |r| (slot, r)));
        let (slot, (what, count)) = all.find(|(_, (_, count))| *count != 0)?;
        Some(format!("leak: h{slot} has {count} {what} at rest"))
    }

    fn check_leaks(&self) -> R {
        for host in &self.hosts {
            let Some(engine) = &host.engine else { continue };
            if engine.pending_operations() != 0 {
                return Err(format!(
                    "P7: h{} has {} operations at rest",
                    host.slot,
                    engine.pending_operations()
                ));
            }
        }
        if let Some(leak) = self.residue() {
            return Err(leak);
        }
        let up = self.hosts.iter().filter(|h| h.is_up()).count();
        let open = self.net.connections.len();
        if open != up * (up - 1) / 2 {
            return Err(format!("links: {open} connections between {up} nodes at rest"));
        }
        Ok(())
    }

    fn check_monitors(&self) -> R {
        for host in self.hosts.iter().filter(|h| h.is_up()) {
            let range = (host.id, Ref(0))..=(host.id, Ref(u64::MAX));
            for ((_, reference), m) in self.book.monitors.range(range.clone()) {
                let watching = host.processes.contains_key(&m.process) && !m.cancelled && !m.fired;
                if watching && self.book.is_over(m.target) {
                    return Err(format!(
                        "P5: h{} never told {reference:?} of the end of {:?}",
                        host.slot, m.target
                    ));
                }
            }
            for (_, watch) in self.book.watches.range(range) {
                if let Watch::Nodes { process, up, .. } = watch
                    && host.processes.contains_key(process)
                    && !up.iter().eq(host.links.keys())
                {
                    return Err(format!(
                        "the node monitor of h{} shows {up:?}, the links are {:?}",
                        host.slot,
                        host.links.keys()
                    ));
                }
            }
            for serial in host.processes.keys() {
                let pid = Pid { node: host.id, serial: *serial };
                if self.book.is_over(pid) {
                    return Err(format!("P5: {pid:?} should be gone"));
                }
            }
        }
        for kill in &self.book.kills {
            let alive = self.book.lives.get(&kill.target).is_some_and(|l| !l.is_over());
            if alive && self.net.is_whole(kill.sender_end) {
                return Err(format!("P5: the kill of {:?} over {:?} was lost", kill.target, kill.sender_end));
            }
        }
        Ok(())
    }

    fn check_streams(&self) -> R {
        for ((from, to, connection), stream) in &self.book.streams {
            let lost = stream.accepted != stream.delivered;
            if lost && self.net.is_whole(*connection) && !self.book.is_over(*to) {
                return Err(format!(
                    "P8: {from:?} -> {to:?} over {connection:?}: {stream:?} of an unbroken link"
                ));
            }
        }
        if let Some(refused) = self.book.refused.first() {
            return Err(format!("P8: {refused:?} was refused and never told that there is room"));
        }
        Ok(())
    }

    /// What readers see in the end was granted once.
    fn name_was_granted(&self) -> R {
        match self.hosts[0].table.get(&name(0)) {
            Some(pid) if granted(&self.book, &name(0), *pid) => Ok(()),
            other => Err(format!("P4: in the end the name shows {other:?}")),
        }
    }

    /// In a quiet full mesh a name is free for all as soon as a node shows that it is.
    fn afterlife(&mut self) -> R {
        self.name_stays = false;
        for index in 0..self.plan.names {
            let name = name(index);
            let Some(owner) = self.hosts.iter().find_map(|h| h.table.get(&name)).copied() else { continue };
            let Some(home) = self.hosts.iter().position(|h| h.id == owner.node) else { continue };
            let up: Vec<usize> =
                self.hosts.iter().filter(|h| h.is_up() && h.slot != home).map(|h| h.slot).collect();
            let Some(heir) = self.rng.pick(&up) else { continue };
            match self.rng.below(if self.plan.mode == Mode::Faulty { 3 } else { 2 }) {
                0 => self.end_process(home, owner, Reason::EXPLICIT, Payload::default())?,
                1 => {
                    let asker = self.spawn(home, true)?;
                    self.unregister(home, asker.serial, name.clone())?;
                }
                _ => self.crash(home),
            }
            let until = self.now + self.plan.detection * 4;
            while self.hosts[heir].table.contains_key(&name) {
                if self.now > until || !self.step()? {
                    return Err(format!(
                        "P5: h{heir} shows {name:?} of {owner:?} for ever\n{}",
                        self.describe()
                    ));
                }
            }
            let pid = self.spawn(heir, true)?;
            let (resolver, deadline) = (Resolver::RandomExit, Deadline::FOREVER);
            let op = self.register_with(heir, pid.serial, name.clone(), pid, resolver, false, deadline)?;
            let node = self.hosts[heir].id;
            let until = self.now + self.plan.detection * 60;
            let answer = loop {
                match self.book.operations.get(&(node, op)).and_then(|o| o.answer) {
                    None if self.now < until && self.step()? => {}
                    answer => break answer,
                }
            };
            if answer != Some(Status::Ok) {
                return Err(format!(
                    "P7: nobody holds {name:?}, and h{heir} is answered {answer:?}\n{}",
                    self.describe()
                ));
            }
            self.heal()?;
            self.come_to_rest(true)?;
            self.check_rest("afterlife")?;
        }
        Ok(())
    }
}

/// Could this binding be there, from what was answered?
fn granted(book: &Book, name: &Name, pid: Pid) -> bool {
    book.operations.iter().any(|((node, _), o)| match &o.what {
        What::Register { name: n, pid: p, replace, .. } if n == name && *p == pid => {
            // The caller's link to the home broke, or its node is no more: nobody knows the outcome. Where only the caller is no
            // more its node takes a registration back, but not what has replaced another.
            let caller = Pid { node: *node, serial: o.process };
            let lost = book.gone.contains(node) || book.breaks_between(*node, pid.node) > o.breaks;
            let unknown = *node != pid.node && (lost || *replace && book.is_over(caller));
            o.answer == Some(Status::Ok) || unknown
        }
        _ => false,
    })
}
