//! Locks at their homes: what processes of this node acquire, give back and lose, and who waits for it.

use super::node_set::Change;
use super::own::{Own, Part};
use crate::calls::Caller;
use crate::claims::{Claim, Publication};
use crate::fault::Fault;
use crate::links::Departure;
use crate::machine::Engine;
use crate::processes::Watch;
use crate::timers::Timer;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The watches of one process on one lock, and the claims that each was told of.
pub(super) type Watches = BTreeMap<Ref, BTreeSet<Tx>>;

/// So many claims are remembered: one is told of by several voters, at about the same time.
const TOLD: usize = 64;

/// What is left of a hold of which something is given back.
enum Rest {
    Same,
    /// It is on a list of nodes from now on.
    On(BTreeSet<NodeId>),
    Nowhere,
}

/// A process, a resource and a requester.
type Id = (u64, Name, Name);

/// The time that a claim may wait with this many retries: the mean of the sleeps of the manual's `global`, which before
/// its k-th retry sleeps up to 250 ms doubled k - 1 times, at most 8 s.
fn time_in_queue(retries: u64) -> Duration {
    let mean = |k: u64| if k < 6 { 125 << (k - 1) } else { 4000 };
    let doubling: u64 = (1..=retries.min(5)).map(mean).sum();
    Duration::from_millis(doubling.saturating_add(retries.saturating_sub(5).saturating_mul(4000)))
}

/// What a claim for a lock has come to.
pub(crate) struct Acquired {
    pub(crate) view: bool,
    pub(crate) scope: Option<Ref>,
    pub(crate) nodes: BTreeSet<NodeId>,
    pub(crate) token: u64,
}

impl Engine {
    // ---- acquire

    #[allow(clippy::too_many_arguments)] // those of the command
    pub(crate) fn lock_acquire(
        &mut self,
        process: u64,
        op: Ref,
        resource: Name,
        requester: Name,
        nodes: Option<Vec<String>>,
        retries: Option<u64>,
        scope: Option<Ref>,
        deadline: Deadline,
    ) {
        let caller = Caller::Call { process, op };
        let id = (process, resource, requester);
        let nodes = match self.may_acquire(&id).and_then(|()| self.nodes_to_ask(&id, nodes.as_deref())) {
            Ok(nodes) => nodes,
            Err(outcome) => return self.conclude(caller, outcome),
        };
        let (_, resource, requester) = id;
        let tx = self.next_tx();
        let no_wait = deadline.no_wait || retries == Some(0);
        let (view, nodes) = nodes;
        let claim = Claim::on_lock(process, requester, view, scope, no_wait);
        self.start_claim(tx, Key::Lock(resource), claim, caller, nodes, deadline);
        if let Some(retries) = retries.filter(|_| !no_wait) {
            self.cx.timers.set(Timer::NoWait(tx), self.cx.now + time_in_queue(retries));
        }
    }

    fn may_acquire(&self, id: &Id) -> Result<(), Outcome> {
        if !self.processes.exists(id.0) {
            return Err(Outcome::of(Status::NoProcess));
        }
        self.cx.config.check_lock(&id.1, &id.2).map_err(Outcome::of)?;
        let held = self.holds.own.len() + self.claims.counts().locking;
        if held >= self.cx.config.limits.locks && !self.holds.own.contains_key(id) {
            return Err(Outcome::of(Status::Full));
        }
        Ok(())
    }

    /// All of the view, or the nodes with these names; a node without a synced link would lock nothing.
    fn nodes_to_ask(&self, id: &Id, names: Option<&[String]>) -> Result<(bool, BTreeSet<NodeId>), Outcome> {
        let names: BTreeSet<&str> = names.unwrap_or_default().iter().map(String::as_str).collect();
        let view = names.is_empty();
        let mut nodes = self.view.synced();
        nodes.insert(self.cx.config.node);
        if !view {
            let name_of = |node: &NodeId| self.view.name(*node).unwrap_or(&self.cx.config.name).as_str();
            nodes.retain(|node| names.contains(name_of(node)));
            if nodes.len() < names.len() {
                let found: BTreeSet<&str> = nodes.iter().map(name_of).collect();
                let missing = names.difference(&found).next().copied().unwrap_or_default();
                return Err(Outcome::failed(Status::Unreachable, format!("no link to the node {missing}")));
            }
            let held = self.holds.own.get(id).map(Own::nodes).unwrap_or_default();
            if held.union(&nodes).count() > MAX_LIST {
                return Err(Outcome::failed(Status::Full, "a hold on too many nodes"));
            }
        }
        Ok((view, nodes))
    }

    /// All have granted: the process holds the lock, and everybody is told. Returns the token.
    pub(crate) fn hold_acquired(&mut self, tx: Tx, id: &Id, acquired: Acquired) -> u64 {
        let Acquired { view, scope, nodes, token } = acquired;
        let before = self.holds.own.get(id).and_then(Own::check);
        let makes_good = scope.is_some() && self.is_broken(Fault::ScopeMakesGood);
        let own = self.holds.own.entry(id.clone()).or_default();
        if makes_good {
            own.make_good();
        }
        own.acquired(scope, view, nodes, token, &mut self.holds.sets);
        let token = own.token;
        self.holds.told_lost.retain(|(told, _)| told != id);
        self.publish_check(id, before);
        self.announce(tx, id);
        token
    }

    /// The hold as it is now, to every linked node and to this node's own voter.
    fn announce(&mut self, tx: Tx, id: &Id) {
        let Some(hold) = self.own_hold(id) else { return };
        let nodes = self.everybody();
        self.send_to_all(&nodes, Message::SharePublished { tx, hold });
    }

    fn everybody(&self) -> BTreeSet<NodeId> {
        let mut nodes = self.view.linked();
        nodes.insert(self.cx.config.node);
        nodes
    }

    fn own_hold(&self, id: &Id) -> Option<Hold> {
        let own = self.holds.own.get(id)?;
        let (serial, resource, requester) = id.clone();
        let (view, token) = (own.is_on_view(), own.token);
        let mut nodes = own.nodes();
        // Of a hold on the view it does not matter; a list is never longer.
        while nodes.len() > MAX_LIST {
            nodes.pop_last();
        }
        let watched = self.holds.watches.contains_key(id);
        Some(Hold { resource, requester, serial, view, nodes, token, watched })
    }

    /// For a snapshot.
    pub(crate) fn own_holds(&self) -> Vec<Hold> {
        self.holds.own.keys().filter_map(|id| self.own_hold(id)).collect()
    }

    /// What `lock_check` says from now on, if it is not what it said `before`.
    fn publish_check(&mut self, id: &Id, before: Option<u64>) {
        let token = self.holds.own.get(id).and_then(Own::check);
        if token == before {
            return;
        }
        let (process, resource, requester) = id.clone();
        let output = Effect::PublishHold { process, resource, requester, token };
        self.cx.out.publish(output);
    }

    // ---- release

    #[allow(clippy::too_many_arguments)] // those of the command
    pub(crate) fn lock_release(
        &mut self,
        process: u64,
        op: Ref,
        resource: Name,
        requester: Name,
        nodes: Option<Vec<String>>,
        scope: Option<Ref>,
        deadline: Deadline,
    ) {
        let caller = Caller::Call { process, op };
        let id = (process, resource, requester);
        let before = self.holds.own.get(&id).and_then(Own::check);
        let rest = match scope {
            None => self.rest_of(&id, nodes.as_deref()),
            Some(scope) => self.end_scope(&id, scope),
        };
        let rest = match rest {
            Ok(Rest::Same) => {
                self.publish_check(&id, before);
                return self.conclude(caller, Outcome::of(Status::Ok));
            }
            Ok(rest) => rest,
            Err(status) => return self.conclude(caller, Outcome::of(status)),
        };
        let tx = self.next_tx();
        let publication = Publication::Release { resource: id.1.clone() };
        self.start_publication(tx, None, publication, caller, deadline);
        match rest {
            Rest::On(nodes) => self.shrink_hold(&id, &nodes, Some(tx), before),
            Rest::Same | Rest::Nowhere => self.remove_hold(&id, Some(tx), before),
        }
    }

    /// Where the hold is to stay.
    fn rest_of(&self, id: &Id, names: Option<&[String]>) -> Result<Rest, Status> {
        if !self.processes.exists(id.0) {
            return Err(Status::NoProcess);
        }
        self.cx.config.check_lock(&id.1, &id.2)?;
        let own = self.holds.own.get(id).ok_or(Status::NotOwner)?;
        let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(Rest::Nowhere) };
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let stays = |node: &NodeId| {
            let name =
                self.view.name(*node).or_else(|| own.name_of_broken(node)).unwrap_or(&self.cx.config.name);
            !names.contains(name.as_str())
        };
        let nodes = own.nodes();
        let rest: BTreeSet<NodeId> = nodes.iter().filter(|node| stays(node)).copied().collect();
        match rest.len() {
            0 => Ok(Rest::Nowhere),
            len if len == nodes.len() => Err(Status::NotOwner),
            _ => Ok(Rest::On(rest)),
        }
    }

    /// A scope ends. Where the hold is to stay.
    fn end_scope(&mut self, id: &Id, scope: Ref) -> Result<Rest, Status> {
        let own = self.holds.own.get_mut(id).ok_or(Status::NotOwner)?;
        let (was_on_view, nodes) = (own.is_on_view(), own.nodes());
        if !own.end_scope(scope) {
            return Err(Status::NotOwner);
        }
        let rest = own.nodes();
        Ok(match own.parts().next() {
            None => Rest::Nowhere,
            Some(_) if own.is_on_view() || !was_on_view && rest.len() == nodes.len() => Rest::Same,
            Some(_) => Rest::On(rest),
        })
    }

    pub(crate) fn end_hold(&mut self, id: &Id, ack: Option<Tx>) {
        let before = self.holds.own.get(id).and_then(Own::check);
        self.remove_hold(id, ack, before);
    }

    /// `before`: what `lock_check` said.
    fn remove_hold(&mut self, id: &Id, ack: Option<Tx>, before: Option<u64>) {
        if self.holds.own.remove(id).is_none() {
            return;
        }
        self.publish_check(id, before);
        for told in self.holds.watches.get_mut(id).into_iter().flat_map(BTreeMap::values_mut) {
            told.clear();
        }
        let (serial, resource, requester) = id.clone();
        let nodes = self.everybody();
        self.send_to_all(&nodes, Message::ShareReleased { resource, requester, serial, rest: None, ack });
    }

    /// The hold stays on a list of nodes only: what joins later is not bound by it. `before`: what `lock_check` said.
    pub(super) fn shrink_hold(
        &mut self,
        id: &Id,
        rest: &BTreeSet<NodeId>,
        ack: Option<Tx>,
        before: Option<u64>,
    ) {
        let Some(own) = self.holds.own.get_mut(id) else { return };
        own.shrink(rest, &mut self.holds.sets);
        let rest = self.own_hold(id);
        let (serial, resource, requester) = id.clone();
        let nodes = self.everybody();
        self.send_to_all(&nodes, Message::ShareReleased { resource, requester, serial, rest, ack });
        self.publish_check(id, before);
        self.judge(id);
    }

    /// The process has ended.
    pub(crate) fn end_holds_of(&mut self, serial: u64) {
        for id in ids_of(&self.holds.own, serial) {
            self.end_hold(&id, None);
        }
    }

    // ---- what becomes of it

    /// Parts of the hold are lost: the process is told.
    pub(super) fn lose_hold(&mut self, id: &Id, reason: Reason, parts: impl FnOnce(&mut Own) -> bool) {
        let Some(own) = self.holds.own.get_mut(id) else { return };
        let before = own.check();
        if !parts(own) {
            return;
        }
        let token = own.token;
        // Of several links that end at one moment each may cost another part; the process is told that it has lost the lock.
        if !self.holds.told_lost.insert((id.clone(), reason)) {
            return;
        }
        self.cx.counters.locks_lost += 1;
        self.log(Level::Warn, Topic::Lock, |_| {
            let (resource, serial) = (log::of_name(&id.1), id.0);
            format!("process {serial} can no longer rely on the lock {resource}: {reason:?}")
        });
        self.publish_check(id, before);
        let (process, resource, requester) = id.clone();
        let event = Event::LockLost { resource, requester, token, reason };
        self.event(Effect::Notify { process, event });
    }

    /// The hold has met another requester's at this voter.
    pub(super) fn meet_second_holder(&mut self, id: &Id, voter: NodeId) {
        let there = |part: &Part| part.binds_on(voter);
        self.lose_hold(id, Reason::SECOND_HOLDER, |own| own.lose(Reason::SECOND_HOLDER, there));
    }

    /// What of the hold binds at this voter, and was lost to broken links, ends.
    pub(super) fn end_lost_hold(&mut self, id: &Id, voter: NodeId) {
        let Some(own) = self.holds.own.get_mut(id) else { return };
        let before = own.check();
        if own.end_on(voter) {
            let rest = own.nodes();
            self.shrink_hold(id, &rest, None, before);
        } else {
            self.remove_hold(id, None, before);
        }
    }

    /// Nodes that may turn out to be dead in a moment are not judged by yet.
    fn judge(&mut self, id: &Id) {
        if self.is_broken(Fault::MinorityIsNotNoticed) {
            return;
        }
        let Some(own) = self.holds.own.get(id) else { return };
        let unclear: BTreeSet<NodeId> = own.broken().filter(|node| self.view.is_unclear(*node)).collect();
        self.lose_hold(id, Reason::MINORITY, |own| own.lose_minorities(|node| unclear.contains(&node)));
    }

    /// A link is over, or more is known of how. A node that left in order, or is dead, is gone from the sets; one that the link
    /// broke to may keep others out no longer, and let them have the lock.
    pub(crate) fn holds_without(&mut self, node: NodeId, name: &str, departure: &Departure) {
        let is_gone = departure.is_final() && !self.is_broken(Fault::LeaverIsMissed);
        let mut touched = Vec::new();
        let mut change = (Change::default(), Change::default());
        for (id, own) in &mut self.holds.own {
            let was_in = match is_gone {
                true => own.leave(node, &mut change, &mut self.holds.sets),
                false => own.miss(node, name, &mut change.1),
            };
            if was_in {
                touched.push(id.clone());
            }
        }
        for id in touched {
            self.judge(&id);
        }
    }

    /// It will not be known that this node is dead: holds are judged by that.
    pub(crate) fn judge_holds_on(&mut self, node: NodeId) {
        let on_it = self.holds.own.iter().filter(|(_, own)| own.name_of_broken(&node).is_some());
        for id in on_it.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.judge(&id);
        }
    }

    /// A peer has this node's snapshot.
    pub(crate) fn holds_with(&mut self, node: NodeId) {
        if self.is_broken(Fault::NewcomerIsNotCounted) {
            return;
        }
        let Some(name) = self.view.name(node) else { return };
        let mut change = (Change::default(), Change::default());
        for own in self.holds.own.values_mut() {
            own.join(node, name, &mut change, &mut self.holds.sets);
        }
    }

    // ---- watching

    pub(crate) fn lock_watch(&mut self, serial: u64, reference: Ref, resource: Name, requester: Name) {
        let watch = Watch::Lock { resource: resource.clone(), requester: requester.clone() };
        if self.processes.add_monitor(serial, reference, watch) {
            let id = (serial, resource, requester);
            self.holds.watches.entry(id.clone()).or_default().insert(reference, BTreeSet::new());
            self.announce_again(&id);
        }
    }

    pub(crate) fn lock_unwatch(&mut self, serial: u64, reference: Ref, resource: Name, requester: Name) {
        let id = (serial, resource, requester);
        let Some(watches) = self.holds.watches.get_mut(&id) else { return };
        watches.remove(&reference);
        if watches.is_empty() {
            self.holds.watches.remove(&id);
            self.announce_again(&id);
        }
    }

    /// The voters hear whether the hold is watched; who has waiters tells of them.
    fn announce_again(&mut self, id: &Id) {
        if self.holds.own.contains_key(id) {
            let tx = self.next_tx();
            self.announce(tx, id);
        }
    }

    /// Another requester has begun to wait at a voter where the hold binds.
    pub(crate) fn on_wanted(
        &mut self,
        from: NodeId,
        tx: Tx,
        resource: Name,
        requester: Name,
        serial: u64,
        waiter: Pid,
    ) -> Result<(), Violation> {
        let (me, key) = (self.cx.config.node, Key::Lock(resource.clone()));
        let id = (serial, resource, requester);
        let Some(own) = self.holds.own.get(&id).filter(|own| own.is_bound_on(from)) else { return Ok(()) };
        // Where this node votes too it knows of waiters itself: with some there another one is no news.
        let queue = self.claims.waiting(&key).filter(|_| own.is_bound_on(me) && from != me);
        if queue.is_some_and(|queue| queue.others(&id.2) > 0) {
            return Ok(());
        }
        let Some(watches) = self.holds.watches.get_mut(&id) else { return Ok(()) };
        let mut new = Vec::new();
        for (reference, told) in watches {
            if told.insert(tx) {
                new.push(*reference);
            }
            if told.len() > TOLD {
                told.pop_first();
            }
        }
        let (_, resource, requester) = id;
        for reference in new {
            let (resource, requester) = (resource.clone(), requester.clone());
            let event = Event::LockWanted { reference, resource, requester, waiter };
            self.event(Effect::Notify { process: serial, event });
        }
        Ok(())
    }
}

/// What a map has of one process.
fn ids_of<T>(map: &BTreeMap<Id, T>, serial: u64) -> Vec<Id> {
    let first = (serial, Name::new(&[]), Name::new(&[]));
    map.range(first..).map(|(id, _)| id).take_while(|id| id.0 == serial).cloned().collect()
}
