//! What processes do with locks: acquire on the view or on a list, with a shared requester or their own, in haste or with
//! patience; release all or a part; watch.

use crate::book::{Watch, What};
use crate::lock_book::Share;
use crate::world::{R, World};
use convoke::model::{Action, Command, Deadline, Name, NodeId, Pid, Reason, Ref};
use std::collections::BTreeSet;

/// What the lock is on.
pub(crate) fn resource(index: usize) -> Name {
    Name::new(&[b'L', b'0' + index as u8])
}

impl World {
    fn requester(&mut self, pid: Pid) -> Name {
        if self.rng.percent(20) {
            // What NULL stands for in the C interface.
            let mut bytes = pid.node.0.to_le_bytes().to_vec();
            bytes.extend(pid.serial.to_le_bytes());
            return Name::new(&bytes);
        }
        Name::new(&[b'R', b'0' + self.rng.index(self.plan.requesters) as u8])
    }

    /// Names of some nodes, and the incarnations that this host can mean by them.
    fn some_nodes(&mut self, slot: usize) -> (Vec<String>, BTreeSet<NodeId>) {
        let mut names = Vec::new();
        let mut ids = BTreeSet::new();
        let percent = [30, 60, 90][self.rng.index(3)];
        for other in 0..self.hosts.len() {
            if self.rng.percent(percent) {
                names.push(self.hosts[other].name.clone());
            }
        }
        if names.is_empty() {
            names.push(self.hosts[slot].name.clone());
        }
        let host = &self.hosts[slot];
        for other in self.hosts.iter().filter(|h| names.contains(&h.name)) {
            if other.id == host.id || host.links.contains_key(&other.id) {
                ids.insert(other.id);
            }
        }
        if self.rng.percent(10) {
            names.push(names[0].clone());
        }
        (names, ids)
    }

    pub(crate) fn acquire_something(&mut self, slot: usize) -> R {
        let Some(process) = self.some_process(slot) else { return Ok(()) };
        let resource = resource(self.rng.index(self.plan.resources));
        let home = self.hosts[slot].id;
        let requester = self.requester(Pid { node: home, serial: process });
        let (nodes, ids) = if self.rng.percent(40) {
            let (names, ids) = self.some_nodes(slot);
            (Some(names), Some(ids))
        } else {
            (None, None)
        };
        let retries = if self.rng.percent(25) { Some(self.rng.below(4)) } else { None };
        let scope = self.rng.percent(self.plan.scopes).then(|| self.hosts[slot].next_reference());
        let deadline = self.patience(slot);
        self.acquire(slot, process, (resource, requester), (nodes, ids), retries, scope, deadline)
    }

    #[allow(clippy::too_many_arguments)] // those of the command
    pub(crate) fn acquire(
        &mut self,
        slot: usize,
        process: u64,
        (resource, requester): (Name, Name),
        (nodes, ids): (Option<Vec<String>>, Option<BTreeSet<NodeId>>),
        retries: Option<u64>,
        scope: Option<Ref>,
        deadline: Deadline,
    ) -> R {
        let home = self.hosts[slot].id;
        let floor = self.book.locks.floor(home, &resource, &requester);
        let what = What::Acquire {
            resource: resource.clone(),
            requester: requester.clone(),
            nodes: ids,
            retries,
            scope,
            floor,
        };
        let op = self.operation(slot, process, what, deadline, home);
        if nodes.is_none() {
            self.note_needs(slot, op);
        }
        self.operate(
            slot,
            process,
            op,
            deadline,
            Action::Acquire { resource, requester, nodes, retries, scope },
        )
    }

    /// Mostly a share that is held; now and then one that is not.
    pub(crate) fn release_something(&mut self, slot: usize) -> R {
        let home = self.hosts[slot].id;
        let held: Vec<Share> = self.book.locks.of_home(home).map(|(share, _)| share.clone()).collect();
        if held.is_empty() || self.rng.percent(10) {
            let Some(process) = self.some_process(slot) else { return Ok(()) };
            let pid = Pid { node: home, serial: process };
            let resource = resource(self.rng.index(self.plan.resources));
            let requester = self.requester(pid);
            return self.release(slot, Share { resource, requester, pid }, false);
        }
        let share = held[self.rng.index(held.len())].clone();
        let part = self.rng.percent(25);
        self.release(slot, share, part)
    }

    /// What `convoke_lock_with` does at its end. Now and then a scope that is not open.
    pub(crate) fn end_some_scope(&mut self, slot: usize) -> R {
        let open = self.book.locks.open_scopes(self.hosts[slot].id);
        if open.is_empty() {
            return Ok(());
        }
        let (share, scope) = open[self.rng.index(open.len())].clone();
        let scope = if self.rng.percent(5) { self.hosts[slot].next_reference() } else { scope };
        self.release_on(slot, share, None, Some(scope))
    }

    pub(crate) fn release(&mut self, slot: usize, share: Share, part: bool) -> R {
        let nodes = if part { Some(self.some_nodes(slot).0) } else { None };
        self.release_on(slot, share, nodes, None)
    }

    fn release_on(&mut self, slot: usize, share: Share, nodes: Option<Vec<String>>, scope: Option<Ref>) -> R {
        let home = self.hosts[slot].id;
        let deadline = self.patience(slot);
        let before = self.book.locks.live.get(&share).cloned();
        let held = match scope {
            None => self.book.locks.is_held_on(&share, nodes.as_deref()),
            Some(scope) => before.as_ref().is_some_and(|held| held.scopes.contains_key(&scope)),
        };
        let all = nodes.is_none() && scope.is_none();
        let what =
            What::Release { resource: share.resource.clone(), requester: share.requester.clone(), all, held };
        let op = self.operation(slot, share.pid.serial, what, deadline, home);
        let now = self.now;
        match (&nodes, scope) {
            (_, Some(scope)) if held => self.book.locks.end_scope(&share, scope, now),
            (_, Some(_)) => {}
            (Some(names), None) => self.book.locks.shrink(&share, names, now),
            (None, None) => self.book.locks.end(&share, now),
        }
        let after = self.book.locks.live.get(&share).map(|held| (held.view(), held.nodes()));
        // Of a hold that is on the view still it is not told which nodes of it the link broke to.
        let is_on_view = after.as_ref().is_some_and(|(view, _)| *view);
        let changes = held && !is_on_view && after != before.as_ref().map(|held| (held.view(), held.nodes()));
        if let Some(before) = before.filter(|_| changes) {
            let left = after.as_ref().map(|(_, nodes)| &before.nodes() - nodes);
            self.book.histories.dropped((home, op), self.book.stats.steps, &share, left);
        }
        self.book.locks.said_of_rest = None;
        let process = share.pid.serial;
        let Share { resource, requester, .. } = share.clone();
        self.operate(slot, process, op, deadline, Action::Release { resource, requester, nodes, scope })?;
        // What the home says to others of what is left.
        let said = self.book.locks.said_of_rest.take();
        let expected = changes.then(|| (share, after.map(|(_, nodes)| nodes)));
        if said != expected && !self.hosts[slot].links.is_empty() && self.hosts[slot].is_up() {
            return Err(format!(
                "P3: h{slot} gives back {expected:?}, and tells {said:?}\n{}",
                self.describe()
            ));
        }
        Ok(())
    }

    pub(crate) fn watch_lock(&mut self, slot: usize) -> R {
        let home = self.hosts[slot].id;
        let held: Vec<Share> = self.book.locks.of_home(home).map(|(share, _)| share.clone()).collect();
        let share = if held.is_empty() || self.rng.percent(20) {
            let Some(process) = self.some_process(slot) else { return Ok(()) };
            let pid = Pid { node: home, serial: process };
            let resource = resource(self.rng.index(self.plan.resources));
            Share { resource, requester: self.requester(pid), pid }
        } else {
            held[self.rng.index(held.len())].clone()
        };
        let reference = self.hosts[slot].next_reference();
        let Share { resource, requester, pid } = share;
        let process = pid.serial;
        let watch = Watch::Lock {
            process,
            resource: resource.clone(),
            requester: requester.clone(),
            since: self.book.stats.steps,
            last: None,
        };
        self.book.watches.insert((home, reference), watch);
        self.give(slot, Command::WatchLock { process, reference, resource, requester })
    }

    /// Everything that is held is given back, one after the other, until nobody holds or waits for a lock.
    pub(crate) fn loosen(&mut self) -> R {
        self.trace.say(self.now, || "LOOSEN".into());
        let mut rounds = 0;
        loop {
            rounds += 1;
            if rounds > 2_000 {
                return Err(format!("P7: locks are granted for ever\n{}", self.describe()));
            }
            let live: Vec<Share> = self.book.locks.live.keys().cloned().collect();
            if live.is_empty() {
                if self.waiters().is_empty() {
                    return Ok(());
                }
                // Those that are left have nothing to wait for.
                self.come_to_rest(true)?;
                continue;
            }
            let share = live[self.rng.index(live.len())].clone();
            let Some(slot) = self.hosts.iter().position(|h| h.id == share.pid.node) else {
                return Err(format!("{share:?} is held by nobody"));
            };
            let mortal = self.book.lives.get(&share.pid).is_some_and(|l| !l.spared);
            if mortal && self.rng.percent(20) {
                self.end_process(slot, share.pid, Reason::EXPLICIT, Default::default())?;
            } else {
                self.release(slot, share, false)?;
            }
            for _ in 0..self.rng.below(60) {
                self.step()?;
            }
        }
    }
}
