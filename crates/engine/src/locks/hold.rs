//! Holds, as every node knows them: who holds which lock, and what of it binds at this voter.
//!
//! A hold is a fact of its home, like a binding: published when its claim is complete (`Held`), withdrawn by its home
//! (`Drop`), contained in the home's snapshot and dropped with the link. It *binds* on the nodes of its set, that is,
//! this voter grants the lock to nobody of another requester. After a split holds of two requesters may bind: what becomes
//! of them stands in `conflict`.

use super::acquire::Watches;
use super::conflict::Conflicts;
use super::node_set::NodeSets;
use super::own::Own;
use super::shares::{LockState, Row, Shares};
use crate::budget::{self, Tally};
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// No honest token comes near it: the wall clock's ms times 2^20 reach it in some 270 years.
pub(super) const MAX_TOKEN: u64 = u64::MAX / 2;
/// Tokens of one millisecond of the wall clock, and of one day.
const PER_MS: u64 = 1 << 20;
const DAY: u64 = 24 * 3600 * 1000 * PER_MS;
/// By so much one message may move them on beyond what the wall clock explains.
const STEP: u64 = 1 << 32;

/// One process's share of a lock.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Share {
    pub(super) resource: Name,
    pub(super) requester: Name,
    pub(super) pid: Pid,
}

/// A lock that is claimed here, or known to be held.
#[derive(Default, Debug)]
struct Lock {
    shares: Shares,
    /// The number that grants vote with, from when it was free until it is again. 0: it has ended, the next grant begins
    /// another.
    epoch: u64,
}

#[derive(Default, Debug)]
pub(crate) struct Holds {
    /// By resource. Shares of this node's processes too.
    locks: BTreeMap<Name, Lock>,
    pub(super) conflicts: Conflicts,
    /// Shares of each home.
    counts: BTreeMap<NodeId, usize>,
    /// And what they take.
    pub(super) tally: Tally,
    /// The highest token that this node gave or heard of.
    last_token: u64,
    /// What processes of this node hold, by process, resource and requester.
    pub(super) own: BTreeMap<(u64, Name, Name), Own>,
    /// The sets of nodes that they are on.
    pub(super) sets: NodeSets,
    pub(super) watches: BTreeMap<(u64, Name, Name), Watches>,
    /// The losses that were told during this input.
    pub(super) told_lost: BTreeSet<((u64, Name, Name), Reason)>,
}

impl Holds {
    pub(crate) fn new(first_token: u64) -> Self {
        Self { last_token: first_token, ..Self::default() }
    }
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
    /// The nodes that must grant the lock anew before the process has again what it has lost of it.
    pub(crate) fn to_be_granted_anew(&self, id: &(u64, Name, Name)) -> BTreeSet<NodeId> {
        self.own.get(id).map(Own::to_be_granted_anew).unwrap_or_default()
    }
    /// What processes of this node hold.
    pub(crate) fn count_own(&self) -> usize {
        self.own.len()
    }
    /// The next input's losses are told of by themselves.
    pub(crate) fn end_input(&mut self) {
        self.told_lost.clear();
    }
    pub(super) fn next_token(&mut self) -> u64 {
        self.last_token = (self.last_token + 1).min(MAX_TOKEN);
        self.last_token
    }
    /// What is known of holds; zero at rest.
    pub(crate) fn residue(&self) -> usize {
        let unclaimed = self.locks.values().filter(|lock| lock.shares.is_empty()).count();
        self.len() + unclaimed + self.own.len() + self.conflicts.len()
    }
    /// The shares that are known.
    pub(crate) fn len(&self) -> usize {
        self.counts.values().sum()
    }
    /// The shares of a lock: their requesters and processes, and since when they are known.
    pub(crate) fn shares(&self, resource: &Name) -> impl Iterator<Item = (&Name, Pid, Time)> {
        self.of(resource).map(|(requester, pid, row)| (requester, pid, row.since))
    }
    fn of(&self, resource: &Name) -> impl Iterator<Item = (&Name, Pid, &Row)> {
        self.locks.get(resource).into_iter().flat_map(|lock| lock.shares.iter())
    }
    /// The shares of a lock that bind here, with their tokens.
    pub(crate) fn binding(&self, resource: &Name) -> impl Iterator<Item = (Share, u64)> {
        self.of(resource).filter(|(.., row)| row.binds).map(|(requester, pid, row)| {
            (Share { resource: resource.clone(), requester: requester.clone(), pid }, row.token)
        })
    }
    /// Who has the lock here for good.
    pub(crate) fn state(&self, resource: &Name) -> LockState<'_> {
        self.locks.get(resource).map_or(LockState::Free, |lock| lock.shares.state())
    }
    pub(crate) fn epoch(&self, resource: &Name) -> u64 {
        self.locks.get(resource).map_or(0, |lock| lock.epoch)
    }
    /// The lock is granted after it was free.
    pub(crate) fn begin_epoch(&mut self, resource: &Name) {
        let epoch = self.next_token();
        self.locks.entry(resource.clone()).or_default().epoch = epoch;
    }
    /// Nobody claims the lock here: unless it is held nothing of it is kept.
    pub(crate) fn forget_if_unused(&mut self, resource: &Name) {
        let Some(lock) = self.locks.get_mut(resource) else { return };
        if lock.shares.state() == LockState::Free {
            lock.epoch = 0;
        }
        if lock.shares.is_empty() {
            self.locks.remove(resource);
        }
    }
    fn put(&mut self, share: &Share, row: Row) {
        let Share { resource, requester, pid } = share.clone();
        let home = pid.node;
        let bytes = budget::of_share(&resource, &requester);
        if self.locks.entry(resource).or_default().shares.put(requester, pid, row).is_none() {
            *self.counts.entry(home).or_default() += 1;
            self.tally.add(home, bytes);
        }
    }
    fn remove(&mut self, share: &Share) -> Option<Row> {
        let row = self.locks.get_mut(&share.resource)?.shares.remove(&share.requester, share.pid)?;
        self.tally.subtract(share.pid.node, budget::of_share(&share.resource, &share.requester));
        if let Some(count) = self.counts.get_mut(&share.pid.node) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&share.pid.node);
            }
        }
        Some(row)
    }
}

impl Engine {
    // ---- what homes publish

    /// A claim is complete, or a hold has changed.
    pub(crate) fn on_share_published(&mut self, from: NodeId, tx: Tx, hold: Hold) -> Result<(), Violation> {
        if tx.node != from {
            return Err(Violation("a hold under the claim of another node"));
        }
        let key = Key::Lock(hold.resource.clone());
        let request = self.claims.end_request(tx, &key);
        let want = Want::Lock { requester: hold.requester.clone(), serial: hold.serial };
        if request.as_ref().is_some_and(|request| !request.wants(&want)) {
            return Err(Violation("a hold that is not what was claimed"));
        }
        self.bind(from, hold, request.is_some())
    }

    /// A share ends, or binds on fewer nodes from now on.
    pub(crate) fn on_share_released(
        &mut self,
        from: NodeId,
        resource: Name,
        requester: Name,
        serial: u64,
        rest: Option<Hold>,
        ack: Option<Tx>,
    ) -> Result<(), Violation> {
        match rest {
            None => {
                let share = Share { resource, requester, pid: Pid { node: from, serial } };
                self.unbind_share(&share);
                self.cx.dirty.mark_key(&Key::Lock(share.resource));
            }
            Some(hold) => {
                if (&hold.resource, &hold.requester, hold.serial) != (&resource, &requester, serial) {
                    return Err(Violation("the rest of another hold"));
                }
                if !self.is_broken(Fault::PartialReleaseIsIgnored) {
                    self.bind(from, hold, false)?;
                }
            }
        }
        if let Some(tx) = ack.filter(|_| from != self.cx.config.node) {
            self.send(from, Message::Ack { tx });
        }
        Ok(())
    }

    /// As far as this node goes along with a token that a peer tells of. Were all believed, one message would end the tokens of
    /// all nodes, also of those that are opened later. So none is followed beyond the end of tomorrow by this node's wall clock
    /// (UTC): that moment is the same for all whose clocks are about right, so whoever is led as far as that by a lie does not
    /// give tokens that the next one does not follow. Beyond it a message moves the counter by a small step, for nodes that are
    /// there go on counting; and what is ahead by a day more is a violation.
    pub(crate) fn followed_token(&self, token: u64) -> Result<u64, Violation> {
        if self.cx.config.first_token == 0 {
            return if token > MAX_TOKEN { Err(Violation("a token beyond all reason")) } else { Ok(token) };
        }
        let open = u64::try_from(self.cx.now.since(self.cx.opened).as_millis()).unwrap_or(u64::MAX);
        let now = self.cx.config.first_token.saturating_add(open.saturating_mul(PER_MS));
        let latest = (now / DAY).saturating_add(2).saturating_mul(DAY).min(MAX_TOKEN);
        if token > latest.saturating_add(DAY).min(MAX_TOKEN) {
            return Err(Violation("a token that is days ahead of the clock"));
        }
        let base = self.holds.last_token.max(latest);
        let limit = base.saturating_add(STEP).min(latest.saturating_add(DAY / 2));
        Ok(if token <= limit { token } else { base })
    }

    /// A hold becomes known here, or known anew; it binds if this node is in its set. `here`: this voter had granted its
    /// claim.
    pub(crate) fn bind(&mut self, from: NodeId, hold: Hold, here: bool) -> Result<(), Violation> {
        let me = self.cx.config.node;
        if hold.serial == 0 {
            return Err(Violation("an empty pid"));
        }
        let followed = self.followed_token(hold.token)?;
        if !self.is_broken(Fault::HeldRaisesNoCounter) {
            self.holds.last_token = self.holds.last_token.max(followed);
        }
        let key = Key::Lock(hold.resource.clone());
        let binds = hold.view || hold.nodes.contains(&me);
        let Hold { resource, requester, serial, token, watched, .. } = hold;
        let share = Share { resource, requester, pid: Pid { node: from, serial } };
        let lock = self.holds.locks.get(&share.resource);
        let before = lock.and_then(|lock| lock.shares.get(&share.requester, share.pid));
        let meets_another =
            lock.is_some_and(|lock| lock.shares.state().is_held_by_another_than(Some(&share.requester)));
        let bound_before = before.is_some_and(|row| row.binds);
        let same_before = before.is_some_and(|row| row.binds && row.token == token);
        let since = before.map_or(self.cx.now, |row| row.since);
        let survives = self.is_broken(Fault::EpochSurvivesForeignHold);
        self.holds.put(&share, Row { token, since, binds, watched: watched && binds });
        if bound_before && !binds {
            self.share_unbinds(&share);
        } else if binds {
            let claimed = self.claims.claimant(&key);
            let meets_another = meets_another || claimed.is_some_and(|claimed| *claimed != share.requester);
            if let Some(lock) = self.holds.locks.get_mut(&share.resource) {
                if here && lock.epoch != 0 {
                    lock.epoch = lock.epoch.max(followed);
                }
                // What was not granted here, or meets another requester's hold or claim, ends the epoch: the next grant,
                // also to a sharer, must be above its token.
                if (meets_another || !(here || same_before)) && !survives {
                    lock.epoch = 0;
                }
            }
            // A share that was judged already may have been acquired anew since, here or on other nodes of its set.
            if !(bound_before && self.is_broken(Fault::SecondHolderIsToldOnce)) {
                self.share_binds(&share.resource);
            }
        }
        self.cx.dirty.mark_key(&key);
        if binds && watched {
            self.tell_waiter(&share);
        }
        Ok(())
    }

    /// The share is known no longer. The caller marks the key.
    fn unbind_share(&mut self, share: &Share) {
        if self.holds.remove(share).is_some_and(|row| row.binds) {
            self.share_unbinds(share);
        }
    }

    /// A link went down: what its owner published goes. What waits for it is served by who ends the peer's claims.
    pub(crate) fn drop_holds_of(&mut self, peer: NodeId) {
        if !self.holds.counts.contains_key(&peer) {
            return;
        }
        let mut gone = Vec::new();
        for (resource, lock) in &self.holds.locks {
            let of_it = lock.shares.iter().filter(|(_, pid, _)| pid.node == peer);
            gone.extend(of_it.map(|(requester, pid, _)| Share {
                resource: resource.clone(),
                requester: requester.clone(),
                pid,
            }));
        }
        for share in gone {
            self.unbind_share(&share);
            self.cx.dirty.mark_key(&Key::Lock(share.resource));
        }
    }

    /// The node closes, and knows of nobody any more.
    pub(crate) fn forget_all_holds(&mut self) {
        self.holds.locks.clear();
        self.holds.counts.clear();
        self.holds.tally = Tally::default();
        self.holds.conflicts.clear();
    }

    // ---- who waits

    /// Somebody has begun to wait. The first of another requester is told of to those who watch the lock.
    pub(crate) fn tell_first_waiter(&mut self, resource: &Name) {
        let Some(queue) = self.claims.waiting(&Key::Lock(resource.clone())) else { return };
        let lock = self.holds.locks.get(resource);
        let watched = lock.into_iter().flat_map(|lock| lock.shares.watched());
        let told = watched.filter(|(requester, _)| queue.others(requester) == 1);
        let told = told.map(|(requester, pid)| Share {
            resource: resource.clone(),
            requester: requester.clone(),
            pid,
        });
        for share in told.collect::<Vec<_>>() {
            self.tell_waiter(&share);
        }
    }

    /// Tells the home of a share of the oldest claim of another requester that waits here, if any does.
    fn tell_waiter(&mut self, share: &Share) {
        if self.is_broken(Fault::WaiterIsNotTold) {
            return;
        }
        let Some(queue) = self.claims.waiting(&Key::Lock(share.resource.clone())) else { return };
        let Some((tx, request)) = queue.oldest_other(&share.requester) else { return };
        let waiter = Pid { node: tx.node, serial: request.serial() };
        let Share { resource, requester, pid } = share.clone();
        self.send(pid.node, Message::Wanted { tx, resource, requester, serial: pid.serial, waiter });
    }

    // ---- for readers

    /// Holders as all nodes know them, and who waits at this node's voter: of one lock, or of all.
    pub(crate) fn lock_rows(&self, now: Time, resource: Option<&[u8]>) -> Vec<LockRow> {
        let wanted = |name: &Name| resource.is_none_or(|resource| name.as_bytes() == resource);
        let first = Name::new(resource.unwrap_or_default());
        let ms_since = |since: Time| ms(now.since(since));
        let locks = self.holds.locks.range(first.clone()..).take_while(|(name, _)| wanted(name));
        let holders = locks.flat_map(|(name, lock)| lock.shares.iter().map(move |share| (name, share)));
        let holders = holders.map(|(resource, (requester, pid, row))| LockRow {
            resource: resource.clone(),
            requester: requester.clone(),
            pid,
            token: row.token,
            is_waiter: false,
            since_ms: ms_since(row.since),
        });
        let locks = self.claims.waiting_from(first).take_while(|(resource, _)| wanted(resource));
        let waiters = locks.flat_map(|(resource, queue)| {
            queue.iter().filter_map(move |(tx, request)| {
                Some(LockRow {
                    resource: resource.clone(),
                    requester: request.requester()?.clone(),
                    pid: Pid { node: tx.node, serial: request.serial() },
                    token: 0,
                    is_waiter: true,
                    since_ms: ms_since(request.since()),
                })
            })
        });
        holders.chain(waiters).collect()
    }
}

impl Holds {
    pub(crate) fn check_invariants(&self) -> Sound {
        let rows = || {
            self.locks.iter().flat_map(|(resource, lock)| {
                lock.shares.iter().map(move |(requester, pid, _)| (resource, requester, pid.node))
            })
        };
        let mut counts = BTreeMap::<NodeId, usize>::new();
        rows().for_each(|(.., home)| *counts.entry(home).or_default() += 1);
        same("shares by home", &self.counts, &counts)?;
        let bytes = rows().map(|(resource, requester, home)| (home, budget::of_share(resource, requester)));
        self.tally.check("bytes of shares", bytes)
    }
}
