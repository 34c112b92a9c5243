//! What is checked of locks while a run goes on: promises 3 and 9, and that what a process may rely on is what it was told.

use crate::book::{Operation, Watch, What};
use crate::lock_book::{Bound, Held, LockBook, Part, Share};
use crate::network::other_end;
use crate::plan::Mode;
use crate::world::{R, World};
use convoke::engine::{Fact, Hold, Key, Message, Want};
use convoke::model::{ConnectionId, LockRow, Machine, Name, NodeId, Pid, Reason, Ref};
use std::collections::BTreeSet;

impl World {
    // ---- messages that the world sees pass

    pub(crate) fn snoop_lock_sent(&mut self, slot: usize, to: &[ConnectionId], message: &Message) {
        let (id, step) = (self.hosts[slot].id, self.book.stats.steps);
        match message {
            Message::Acquire { tx, key: Key::Lock(resource), want: Want::Lock { requester, .. }, .. } => {
                self.book.locks.wants.insert(*tx, (resource.clone(), requester.clone()));
            }
            Message::Grant { tx, key: Key::Lock(_), .. } => {
                let Some((resource, requester)) = self.book.locks.wants.get(tx) else { return };
                let floor = self.book.locks.floor(id, resource, requester);
                if let Some(over) = to.first() {
                    let vote = Bound { over: *over, step, voted: true, floor, void: None };
                    self.book.locks.votes.entry(*tx).or_default().insert(id, vote);
                }
            }
            Message::Yield { tx, key: Key::Lock(_) } => {
                for over in to {
                    let node = self.net.end(other_end(*over)).map(|e| e.node);
                    if let (Some(node), Some(votes)) = (node, self.book.locks.votes.get_mut(tx)) {
                        votes.remove(&node);
                    }
                }
            }
            Message::SharePublished { tx, hold } => {
                let share = share_of(id, hold);
                self.book.locks.published.entry(share).or_default().push_back((*tx, hold.clone()));
            }
            Message::ShareReleased { resource, requester, serial, rest, .. } => {
                let pid = Pid { node: id, serial: *serial };
                let share = Share { resource: resource.clone(), requester: requester.clone(), pid };
                self.ends_by_itself(&share, rest.as_ref());
                self.book.locks.said_of_rest = Some((share, rest.as_ref().map(|hold| hold.nodes.clone())));
            }
            _ => {}
        }
    }

    /// A host is about to read this message.
    pub(crate) fn before_reading(&mut self, slot: usize, over: ConnectionId, message: &Message) {
        self.merge_goes_on(slot, over, message);
        let id = self.hosts[slot].id;
        let Some(home) = self.node_at(slot, over) else { return };
        if matches!(message, Message::LockConflict { .. }) {
            self.book.locks.told_by = Some(home);
        }
        for hold in holds_in(message).filter(|hold| hold.view || hold.nodes.contains(&id)) {
            if let Some(held) = self.book.locks.live.get_mut(&share_of(home, hold)) {
                held.ever.insert(id);
            }
        }
    }

    /// A host has read this message, and what came of it was carried out.
    pub(crate) fn after_reading(&mut self, slot: usize, over: ConnectionId, message: &Message) {
        for hold in holds_in(message) {
            self.hold_arrived(slot, over, hold);
        }
    }

    /// A node has read of a hold, and the link that told it is still there.
    fn hold_arrived(&mut self, slot: usize, over: ConnectionId, hold: &Hold) {
        let id = self.hosts[slot].id;
        let Some(home) = self.node_at(slot, over) else { return };
        if !hold.view && !hold.nodes.contains(&id) {
            return;
        }
        let share = share_of(home, hold);
        self.book.locks.raise_floor(id, &share, hold.token);
        let step = self.book.stats.steps;
        if let Some(held) = self.book.locks.live.get_mut(&share) {
            let again = Bound { over, step, voted: false, floor: 0, void: None };
            let bound = held.bound.entry(id).or_insert(again);
            if bound.over != over {
                *bound = again;
            }
        }
    }

    // ---- a claim is complete

    pub(crate) fn acquired(&mut self, slot: usize, op: Ref, o: &Operation, token: u64) -> R {
        let What::Acquire { resource, requester, nodes, scope, floor, .. } = &o.what else { return Ok(()) };
        let home = self.hosts[slot].id;
        let key = (home, op);
        let pid = Pid { node: home, serial: o.process };
        let share = Share { resource: resource.clone(), requester: requester.clone(), pid };
        let published = self.book.locks.published.get_mut(&share).and_then(|all| all.pop_front());
        let mut bound = std::collections::BTreeMap::new();
        let mut set = BTreeSet::from([home]);
        let before = self.book.locks.live.get(&share).cloned();
        // What is kept and was lost is held again only where all of it was granted anew.
        let kept = before.as_ref().and_then(|held| held.kept.as_ref()).filter(|_| scope.is_none());
        let lost = kept.filter(|kept| kept.lost.is_some());
        let lost: BTreeSet<NodeId> = match (lost, &before) {
            (Some(kept), Some(held)) => &kept.nodes - &held.broken,
            _ => BTreeSet::new(),
        };
        let mut prior = before.as_ref().map(Held::nodes).unwrap_or_default();
        if let Some((tx, hold)) = &published {
            set = hold.nodes.clone();
            bound = self.book.locks.votes.remove(tx).unwrap_or_default();
            // A node that went down has left the set, and its vote counts for nothing.
            // What went down in this very input may have done so after the claim was complete.
            let step = self.book.stats.steps;
            bound.retain(|node, vote| set.contains(node) && vote.void.is_none_or(|at| at == step));
            if hold.token != token {
                return Err(format!("P3: h{slot} answers token {token} and publishes {hold:?}"));
            }
        } else if self.hosts[slot].links.values().all(|link| link.since == self.book.stats.steps) {
            // A link that comes up in this input, as one may that proves another node dead, begins with the hold.
            set.extend(prior.iter().copied());
        } else {
            return Err(format!("P2: h{slot} completes {share:?} and tells nobody"));
        }
        let needed = nodes.clone().unwrap_or_else(|| {
            let synced = self.hosts[slot].engine.iter().flat_map(|e| e.links());
            synced.filter(|(_, synced)| *synced).map(|(node, _)| node).chain([home]).collect()
        });
        let mut granted: BTreeSet<NodeId> = bound.keys().copied().collect();
        // Others than the caller names are asked where a loss is to be made good, also if that was released meanwhile; whether the
        // home was among them no message tells.
        let asked_more = scope.is_none() && !granted.is_subset(&needed) && set.contains(&home);
        let asked_home = needed.contains(&home) || lost.contains(&home) || asked_more;
        // Its link went down in this input, and before the claim was complete: it was in the set before.
        granted.retain(|node| bound[node].void.is_none() || !prior.contains(node));
        granted.extend(asked_home.then_some(home));
        let part = Part { view: nodes.is_none(), nodes: granted, lost: None };
        let mut after = before.clone();
        if let Some(after) = &mut after {
            after.add(*scope, part.clone());
            prior = after.nodes();
        }
        if !set.is_superset(&needed) || !set.is_superset(&prior) {
            return Err(format!(
                "P3: {share:?} is held on {set:?}; asked for were {needed:?}, held before {prior:?}"
            ));
        }
        if !part.nodes.is_superset(&lost) {
            return Err(format!(
                "P9: {share:?} was lost and is held again on {part:?}, and not on all of {lost:?}\n{}",
                self.describe()
            ));
        }
        let held_before = before.as_ref().map(Held::nodes).unwrap_or_default();
        for node in &set {
            if *node != home && !held_before.contains(node) && !bound.contains_key(node) {
                return Err(format!(
                    "P3: {share:?} is held on {node:?}, which has not voted\n{}",
                    self.describe()
                ));
            }
        }
        let own_floor = if asked_home { *floor } else { 0 };
        let highest = bound.values().map(|b| b.floor).chain([own_floor]).max().unwrap_or(0);
        if token <= highest {
            return Err(format!(
                "P3: the token {token} of {share:?} is not above {highest}, bound before at a voter\n{}",
                self.describe()
            ));
        }
        let voted = |node| node == home || bound.contains_key(&node);
        self.nobody_is_passed_over(slot, key, o.step, nodes.is_some(), voted)?;
        // What the process held before, and may have lost, is another matter.
        self.no_rival(slot, &share, &part.nodes, &bound, o.step)?;
        // Another claim of the process may have been completed in the same moment.
        let published_token = self.hosts[slot].holds.get(&share);
        if published_token.is_some_and(|t| *t < token) {
            return Err(format!("P9: {share:?} has token {token}, readers see {published_token:?}"));
        }
        if asked_home {
            self.book.locks.raise_floor(home, &share, token);
        }
        self.book.stats.locked += 1;
        let shared =
            self.book.locks.live.keys().any(|s| {
                s.resource == share.resource && s.requester == share.requester && s.pid != share.pid
            });
        self.book.stats.shared += u64::from(shared);
        let now = self.book.stats.steps;
        self.book.stats.scopes += u64::from(scope.is_some());
        self.book.histories.held(o.step, now, &share, &set, token);
        let held = self.book.locks.live.entry(share.clone()).or_insert(Held {
            kept: None,
            scopes: Default::default(),
            token,
            was_view: false,
            ever: set.clone(),
            bound: Default::default(),
            broken: BTreeSet::new(),
            since: self.now,
            step: now,
            minority_since: None,
        });
        if !lost.is_empty() {
            held.bound.clear();
        }
        held.broken.retain(|node| !part.nodes.contains(node));
        held.add(*scope, part);
        bound.retain(|_, vote| vote.void.is_none());
        // Links that broke in the same input, after the claim was complete.
        let truth = held.nodes();
        let gone = |node: &&NodeId| **node != home && !self.hosts[slot].links.contains_key(node);
        held.broken.extend(truth.iter().filter(gone));
        held.broken.retain(|node| truth.contains(node));
        held.token = token;
        held.was_view |= held.view();
        held.ever.extend(set.iter().copied());
        held.bound.extend(bound);
        if truth != set && published.is_some() {
            let held = held.clone();
            return Err(format!(
                "P3: {share:?} is said to be on {set:?}; the truth is {held:?}\n{}",
                self.describe()
            ));
        }
        Ok(())
    }

    /// Promise 3: no node of both sets has voted for both while it kept its links with both homes. `set`: those that this claim was
    /// granted by.
    fn no_rival(
        &self,
        slot: usize,
        share: &Share,
        set: &BTreeSet<NodeId>,
        bound: &std::collections::BTreeMap<NodeId, Bound>,
        asked: u64,
    ) -> R {
        for (other, held) in &self.book.locks.live {
            if other.resource != share.resource || other.requester == share.requester {
                continue;
            }
            for node in set.intersection(&held.nodes()) {
                let mine = bound.get(node);
                let theirs = held.bound.get(node);
                let voted_later = mine.map_or(asked, |b| b.step);
                let in_time = theirs.is_none_or(|b| b.voted || b.step < voted_later);
                let stayed =
                    self.stays(*node, share.pid.node, mine) && self.stays(*node, other.pid.node, theirs);
                if self.plan.mode == Mode::Stable || in_time && stayed {
                    return Err(format!(
                        "P3: {share:?} of h{slot} is held together with {other:?} on {node:?}: {mine:?} {held:?}\n{}",
                        self.describe()
                    ));
                }
            }
        }
        Ok(())
    }

    /// Has the node kept the link with the home since it voted?
    fn stays(&self, node: NodeId, home: NodeId, bound: Option<&Bound>) -> bool {
        if node == home {
            return true;
        }
        let Some(bound) = bound else { return false };
        let at = |id: NodeId| self.hosts.iter().find(|h| h.id == id && h.is_up());
        at(node).is_some_and(|h| h.link_to(home) == Some(bound.over))
            && at(home).is_some_and(|h| h.link_to(node) == Some(other_end(bound.over)))
    }

    // ---- the sets of holds, as their homes must see them

    /// Home and node have each other's snapshots: the node binds what is on the view, and again what was on it before the
    /// link broke. On the view a node takes the place of one of its name that is surely gone.
    fn joins_sets(&mut self, home: NodeId, node: NodeId) {
        let LockBook { live, names, .. } = &mut self.book.locks;
        for (_, held) in live.iter_mut().filter(|(share, _)| share.pid.node == home) {
            held.broken.remove(&node);
            let namesakes = held.broken.iter().filter(|old| names.get(old) == names.get(&node)).copied();
            let gone: BTreeSet<NodeId> = namesakes.collect();
            for part in held.parts_mut().filter(|part| part.view) {
                part.nodes.retain(|node| !gone.contains(node));
                part.nodes.insert(node);
            }
            if held.view() {
                held.ever.insert(node);
            }
            let nodes = held.nodes();
            held.broken.retain(|node| nodes.contains(node));
        }
    }

    /// A link went down: if that was in order, or the node is dead, it leaves the sets, else it is missed.
    pub(crate) fn left_sets(&mut self, home: NodeId, node: NodeId, over: ConnectionId) {
        // The votes that came over it are void.
        let votes = self.book.locks.votes.iter_mut().filter(|(tx, _)| tx.node == home);
        for (_, votes) in votes {
            for vote in votes.values_mut().filter(|vote| vote.over == other_end(over)) {
                vote.void.get_or_insert(self.book.stats.steps);
            }
        }
        if self.departs_for_good() {
            return self.book.locks.leaves(home, node);
        }
        for (_, held) in self.book.locks.live.iter_mut().filter(|(share, _)| share.pid.node == home) {
            if held.nodes().contains(&node) {
                held.broken.insert(node);
            }
        }
    }

    /// A host reads something that may complete a merge.
    fn merge_goes_on(&mut self, slot: usize, over: ConnectionId, message: &Message) {
        let (synced, acked) = match message {
            Message::Hello { last: true, .. } => (true, false),
            Message::HelloAck => (false, true),
            _ => return,
        };
        let Some(node) = self.node_at(slot, over) else { return };
        let host = &mut self.hosts[slot];
        let Some(link) = host.links.get_mut(&node) else { return };
        link.synced |= synced;
        link.acked |= acked;
        let merged = link.synced && link.acked;
        if merged {
            link.merged = Some((self.now, self.book.stats.steps, host.jumped));
        }
        let home = host.id;
        if synced {
            self.note_return(slot, node);
        }
        if merged {
            self.joins_sets(home, node);
        }
    }

    // ---- what processes are told

    pub(crate) fn lock_lost(
        &mut self,
        me: Pid,
        resource: Name,
        requester: Name,
        token: u64,
        reason: Reason,
    ) -> R {
        let share = Share { resource, requester, pid: me };
        if self.plan.mode == Mode::Stable {
            return Err(format!("P9: {share:?} is lost in a stable mesh: {reason:?}\n{}", self.describe()));
        }
        let voter = self.book.locks.told_by.unwrap_or(me.node);
        let now = self.now;
        let Some(held) = self.book.locks.live.get(&share) else {
            return Err(format!("P9: {share:?} is lost ({reason:?}), which nobody holds"));
        };
        let had_rival = self.book.locks.had_rival(&share, held);
        let broken = self.book.locks.missed(me.node, held);
        let Some(held) = self.book.locks.live.get_mut(&share) else { return Ok(()) };
        let sane = held.token == token
            && match reason {
                Reason::MINORITY => held.lose(reason, now, |part| part.is_minority(&broken)),
                Reason::SECOND_HOLDER => had_rival && held.lose(reason, now, |part| part.binds_on(voter)),
                _ => false,
            };
        if !sane {
            return Err(format!(
                "P9: {share:?} is lost for no reason, or again, with token {token}: {reason:?} {:?}\n{}",
                self.book.locks.live.get(&share),
                self.describe()
            ));
        }
        match reason {
            Reason::MINORITY => self.book.stats.lost_minority += 1,
            _ => self.book.stats.lost_second += 1,
        }
        Ok(())
    }

    /// What was lost to broken links ends where it meets what is relied on, and nowhere else. `rest`: what its home says is
    /// left of it.
    fn ends_by_itself(&mut self, share: &Share, rest: Option<&Hold>) {
        let Some(held) = self.book.locks.live.get(share) else { return };
        if rest.is_some_and(|rest| rest.nodes == held.nodes() && rest.view == held.view()) {
            return; // given back
        }
        let (voter, now) = (self.book.locks.told_by.unwrap_or(share.pid.node), self.now);
        if self.book.locks.end_lost(share, voter, now) {
            self.book.stats.lost_ended += 1;
        } else {
            self.book.locks.ended.push(share.clone()); // its process ends, or else there was no reason
        }
    }

    fn nothing_ended_without_reason(&mut self) -> R {
        let ended = std::mem::take(&mut self.book.locks.ended);
        match ended.iter().find_map(|share| Some((share, self.book.locks.live.get(share)?))) {
            None => Ok(()),
            Some((share, held)) => {
                Err(format!("P9: {share:?} was lost and ends, and met nobody: {held:?}\n{}", self.describe()))
            }
        }
    }

    pub(crate) fn lock_wanted(
        &mut self,
        me: Pid,
        reference: Ref,
        resource: &Name,
        requester: &Name,
        waiter: Pid,
    ) -> R {
        self.book.stats.wanted += 1;
        let waits = self.book.operations.range((waiter.node, Ref(0))..=(waiter.node, Ref(u64::MAX)));
        let asked = waits.map(|(_, o)| o).any(|o| match &o.what {
            What::Acquire { resource: r, requester: q, .. } => {
                o.process == waiter.serial && r == resource && q != requester
            }
            _ => false,
        });
        let share = Share { resource: resource.clone(), requester: requester.clone(), pid: me };
        let held = self.book.locks.live.contains_key(&share);
        let step = self.book.stats.steps;
        match self.book.watches.get_mut(&(me.node, reference)) {
            Some(Watch::Lock { process, resource: r, requester: q, last, .. })
                if *process == me.serial && r == resource && q == requester && asked && held =>
            {
                *last = Some(step);
                Ok(())
            }
            other => Err(format!(
                "{share:?} (held {held}) is told that {waiter:?} waits (asked {asked}) for {other:?}"
            )),
        }
    }

    // ---- after every input of a host that concerns locks

    pub(crate) fn check_locks(&mut self, slot: usize) -> R {
        self.book.locks.published.clear();
        self.nothing_ended_without_reason()?;
        self.book.locks.told_by = None;
        let host = &self.hosts[slot];
        let id = host.id;
        let Some(engine) = host.engine.as_ref() else { return Ok(()) };
        let rows = engine.locks(host.local(self.now), None);
        let mut own = BTreeSet::new();
        for row in &rows {
            let home = row.pid.node;
            if home != id && !host.links.contains_key(&home) {
                return Err(format!("P5: h{slot} keeps {row:?} without a link to its home"));
            }
            if home == id && !host.processes.contains_key(&row.pid.serial) {
                return Err(format!("P5: h{slot} keeps {row:?} of a dead process of its own"));
            }
            if home == id && !row.is_waiter {
                let share = share_in(row);
                if self.book.locks.live.get(&share).is_none_or(|h| h.token != row.token) {
                    return Err(format!(
                        "P3: h{slot} shows {row:?}; the truth is {:?}",
                        self.book.locks.live.get(&share)
                    ));
                }
                own.insert(share);
            }
        }
        for (share, held) in self.book.locks.of_home(id) {
            if !own.contains(share) {
                return Err(format!("P3: h{slot} does not show {share:?} any more: {held:?}"));
            }
            let seen = host.holds.get(share);
            if seen.copied() != held.is_relied_on().then_some(held.token) {
                return Err(format!("P9: lock_check of {share:?} says {seen:?}; the truth is {held:?}"));
            }
            let broken = self.book.locks.missed(id, held);
            if held.parts().any(|part| part.lost.is_none() && part.is_minority(&broken)) {
                return Err(format!(
                    "P9: {share:?} is in a minority and is not told: {held:?}, links {:?}\n{}",
                    host.links.keys(),
                    self.describe()
                ));
            }
        }
        match host.holds.keys().find(|share| !own.contains(share)) {
            Some(share) => Err(format!("P9: lock_check says yes to {share:?}, which is not held")),
            None => Ok(()),
        }
    }
}

fn hold_of(fact: &Fact) -> Option<&Hold> {
    if let Fact::Hold(hold) = fact { Some(hold) } else { None }
}

/// What a message says of locks that are held.
fn holds_in(message: &Message) -> impl Iterator<Item = &Hold> {
    let (one, facts) = match message {
        Message::SharePublished { hold, .. } => (Some(hold), &[][..]),
        Message::Hello { facts, .. } => (None, &facts[..]),
        _ => (None, &[][..]),
    };
    one.into_iter().chain(facts.iter().filter_map(hold_of))
}

fn share_of(home: NodeId, hold: &Hold) -> Share {
    let pid = Pid { node: home, serial: hold.serial };
    Share { resource: hold.resource.clone(), requester: hold.requester.clone(), pid }
}

pub(crate) fn share_in(row: &LockRow) -> Share {
    Share { resource: row.resource.clone(), requester: row.requester.clone(), pid: row.pid }
}
