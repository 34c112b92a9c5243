//! Locks when a share was given back, and when the world is at rest: what is shown everywhere, who waits and for what.

use crate::book::{Operation, Watch, What};
use crate::lock_book::{Held, Share, Waiter, idle_waiters};
use crate::lock_checks::share_in;
use crate::locks::resource;
use crate::network::other_end;
use crate::plan::Mode;
use crate::world::{R, World};
use convoke::model::{Deadline, Machine, NodeId, Pid, Ref, Status};
use std::collections::BTreeSet;

/// The longest time in the queue that so many retries mean, in microseconds (D2 of the design).
fn longest_wait(retries: u64) -> u64 {
    (0..retries).map(|k| (250_u64 << k.min(5)).min(8000) * 1000 / 2).sum()
}

impl World {
    /// Claims that have not been answered, of nodes that are there.
    pub(crate) fn waiters(&self) -> Vec<Waiter> {
        let unanswered = self.book.operations.iter().filter(|((node, _), _)| !self.book.gone.contains(node));
        unanswered.filter_map(|(key, o)| Waiter::of(*key, o)).collect()
    }

    fn nodes_up(&self) -> BTreeSet<NodeId> {
        self.hosts.iter().filter(|h| h.is_up()).map(|h| h.id).collect()
    }

    /// Those that wait although nothing is in their way.
    pub(crate) fn idle_waiters(&self) -> Vec<Waiter> {
        let waiters = self.waiters();
        if waiters.is_empty() { waiters } else { idle_waiters(&self.book.locks, waiters, &self.nodes_up()) }
    }

    /// Retries bound the time in the queue.
    pub(crate) fn check_retries(&self, o: &Operation) -> R {
        let What::Acquire { retries: Some(retries), .. } = &o.what else { return Ok(()) };
        // Only where nothing but the queue takes its time.
        let w = &self.plan.weights;
        if self.plan.mode != Mode::Stable || w.pause + w.swizzle + w.slow + w.jump > 0 {
            return Ok(());
        }
        let most = longest_wait(*retries) + 100 * self.plan.delay_max + 4 * self.plan.timer_lag;
        let most = most + self.clocks_are_off(most);
        let took = self.now - o.issued;
        if took > most {
            return Err(format!("P7: {:?} took {took} us, allowed are {most}", o.what));
        }
        Ok(())
    }

    /// Promise 1 for locks: after the OK no linked node shows the share that was given back.
    pub(crate) fn released(&self, slot: usize, o: &Operation, status: Status) -> R {
        let What::Release { resource, requester, all, held } = &o.what else { return Ok(()) };
        let host = &self.hosts[slot];
        let pid = Pid { node: host.id, serial: o.process };
        let share = Share { resource: resource.clone(), requester: requester.clone(), pid };
        if *held && status == Status::NotOwner || !*held && status == Status::Ok {
            return Err(format!("P3: the release of {share:?}, held: {held}, is answered {status:?}"));
        }
        let own_claims = self.book.operations.range((host.id, Ref(0))..=(host.id, Ref(u64::MAX)));
        let again = own_claims.map(|(_, other)| other).any(|other| {
            matches!(&other.what, What::Acquire { resource: r, requester: q, .. } if r == resource && q == requester)
                && other.process == o.process
                && other.answered.is_none_or(|at| at >= o.issued)
        });
        if status != Status::Ok || !all || again {
            return Ok(());
        }
        for (peer, link) in &host.links {
            let Some(other) = self.hosts.iter().find(|h| h.id == *peer && h.is_up()) else { continue };
            if other.link_to(host.id) != Some(other_end(link.connection)) {
                continue;
            }
            let rows = other
                .engine
                .as_ref()
                .map(|e| e.locks(other.local(self.now), Some(resource.as_bytes())))
                .unwrap_or_default();
            if rows.iter().any(|row| !row.is_waiter && share_in(row) == share) {
                return Err(format!(
                    "P1: {share:?} was released, but h{} shows {rows:?}\n{}",
                    other.slot,
                    self.describe()
                ));
            }
        }
        Ok(())
    }

    /// At rest, while locks are still held: promises 2, 3 and 9, and no lost wake-up.
    pub(crate) fn check_locks_at_rest(&self) -> R {
        let waiters = self.waiters();
        let truth: BTreeSet<(Share, u64)> =
            self.book.locks.live.iter().map(|(share, held)| (share.clone(), held.token)).collect();
        for host in self.hosts.iter().filter(|h| h.is_up()) {
            let rows = host.engine.as_ref().map(|e| e.locks(host.local(self.now), None)).unwrap_or_default();
            let (waiting, holding): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.is_waiter);
            let shown: BTreeSet<(Share, u64)> =
                holding.iter().map(|row| (share_in(row), row.token)).collect();
            if shown != truth || shown.len() != holding.len() {
                return Err(format!("P2: h{} shows {holding:?}; held are {truth:?}", host.slot));
            }
            for row in &waiting {
                let asked = waiters.iter().any(|w| {
                    w.key.0 == row.pid.node
                        && w.resource == row.resource
                        && w.requester == row.requester
                        && self.book.operations.get(&w.key).is_some_and(|o| o.process == row.pid.serial)
                });
                if !asked {
                    return Err(format!("leak: h{} shows {row:?}, which does not wait", host.slot));
                }
            }
        }
        let live: Vec<_> = self.book.locks.live.iter().collect();
        for (i, (a, first)) in live.iter().enumerate() {
            if self.book.is_over(a.pid) {
                return Err(format!("P5: {a:?} is held by the dead"));
            }
            for (b, second) in &live[i + 1..] {
                let rivals = a.resource == b.resource && a.requester != b.requester;
                let is_relied_on = |held: &Held, node| held.is_relied_on_at(node);
                let up = self.hosts.iter().filter(|h| h.is_up()).map(|h| h.id);
                let mut meet = up.filter(|h| first.binds_on(*h) && second.binds_on(*h));
                if rivals && meet.any(|h| is_relied_on(first, h) || is_relied_on(second, h)) {
                    return Err(format!(
                        "P9: {a:?} and {b:?} have met, and one is relied on beside the other: {first:?} {second:?}"
                    ));
                }
            }
        }
        self.check_wanted()
    }

    /// Who watches a lock has heard that somebody waits for it.
    fn check_wanted(&self) -> R {
        let (waiters, up) = (self.waiters(), self.nodes_up());
        for ((node, reference), watch) in &self.book.watches {
            let Watch::Lock { process, resource, requester, since, last } = watch else { continue };
            let pid = Pid { node: *node, serial: *process };
            let share = Share { resource: resource.clone(), requester: requester.clone(), pid };
            let Some(held) = self.book.locks.live.get(&share) else { continue };
            let behind = waiters
                .iter()
                .any(|w| w.resource == *resource && w.requester != *requester && w.waits_at(held, &up));
            if behind && last.is_none_or(|at| at < held.step.max(*since)) {
                return Err(format!(
                    "{share:?} is watched ({reference:?}), somebody waits, and nobody was told: {watch:?} {held:?}"
                ));
            }
        }
        Ok(())
    }

    /// In a quiet full mesh a free lock is there for whoever asks, without any waiting.
    pub(crate) fn lock_afterlife(&mut self) -> R {
        for index in 0..self.plan.resources {
            let up: Vec<usize> = self.hosts.iter().filter(|h| h.is_up()).map(|h| h.slot).collect();
            let Some(slot) = self.rng.pick(&up) else { return Ok(()) };
            let pid = self.spawn(slot, true)?;
            let requester = convoke::model::Name::new(b"last");
            let deadline = Deadline { at: None, no_wait: true };
            let lock = (resource(index), requester.clone());
            self.acquire(slot, pid.serial, lock, (None, None), None, None, deadline)?;
            self.come_to_rest(true)?;
            let share = Share { resource: resource(index), requester, pid };
            if !self.book.locks.live.contains_key(&share) {
                return Err(format!(
                    "P7: nobody holds the lock, and {share:?} does not get it\n{}",
                    self.describe()
                ));
            }
            self.release(slot, share, false)?;
            self.come_to_rest(true)?;
        }
        Ok(())
    }
}
