//! Locks at their homes: what processes of this node acquire, give back and lose, and who waits for it.

use super::fault::Fault;
use super::forward::Origin;
use super::machine::Engine;
use super::operation::{Aim, Claim, Deed, Locking};
use super::process::Watch;
use super::publish::Table;
use super::scope::{Part, Scopes};
use super::timers::Timer;
use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A lock that a process of this node holds, or believes to.
#[derive(Default, Debug)]
pub(super) struct Own {
    /// It takes in nodes that join; else it is on a list.
    view: bool,
    /// Where it binds.
    nodes: BTreeSet<NodeId>,
    /// Those of them that the link broke to, with their names. They bind it again if they come back.
    broken: BTreeMap<NodeId, String>,
    pub(super) token: u64,
    /// The process was told that it cannot rely on it, for this reason. It goes on keeping others out.
    lost: Option<Reason>,
    /// What of it is acquired for a while, if anything is.
    scopes: Option<Box<Scopes>>,
}

impl Own {
    /// Nodes that keep others out now.
    fn present(&self) -> BTreeSet<NodeId> {
        self.nodes.iter().filter(|node| !self.broken.contains_key(node)).copied().collect()
    }
    fn is_bound_on(&self, node: NodeId) -> bool {
        self.view || self.nodes.contains(&node)
    }
    /// What the hold is worth where it binds at this voter; `None`: it does not.
    pub(super) fn standing_on(&self, voter: NodeId) -> Option<Standing> {
        self.is_bound_on(voter).then_some(match self.lost {
            None => Standing::Relied,
            Some(Reason::MINORITY) => Standing::Minority,
            Some(_) => Standing::SecondHolder,
        })
    }
    /// "Broken links leave at most half of the set", or there is nothing left of it.
    fn is_minority(&self) -> bool {
        let present = self.nodes.len() - self.broken.len();
        2 * present <= self.nodes.len()
    }
}

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

impl Engine {
    // ---- acquire

    #[allow(clippy::too_many_arguments)] // those of the command
    pub(super) fn lock_acquire(
        &mut self,
        process: u64,
        op: Ref,
        resource: Name,
        requester: Name,
        nodes: Option<Vec<String>>,
        retries: Option<u64>,
        scope: Option<Ref>,
        patience: Patience,
    ) {
        let origin = Origin::Call { process, op };
        let id = (process, resource, requester);
        let nodes = match self.may_acquire(&id).and_then(|()| self.nodes_to_ask(&id, nodes.as_deref())) {
            Ok(nodes) => nodes,
            Err(outcome) => return self.conclude(origin, outcome),
        };
        let (_, resource, requester) = id;
        let tx = self.next_tx();
        let nowait = patience.nowait || retries == Some(0);
        let (view, nodes) = nodes;
        let aim = Aim::Lock(Locking { requester, view, scope, token: 0 });
        let claim = Claim { serial: process, aim, nowait };
        self.start_claim(tx, Key::Lock(resource), claim, origin, nodes, patience);
        if let Some(retries) = retries.filter(|_| !nowait) {
            self.timers.set(Timer::Hurry(tx), self.now + time_in_queue(retries));
        }
    }

    fn may_acquire(&self, id: &Id) -> Result<(), Outcome> {
        if !self.processes.exists(id.0) {
            return Err(Outcome::of(Status::NoProcess));
        }
        self.config.check_lock(&id.1, &id.2).map_err(Outcome::of)?;
        let held = self.holds.own.len() + self.claims.locking;
        if held >= self.config.limits.locks && !self.holds.own.contains_key(id) {
            return Err(Outcome::of(Status::Full));
        }
        Ok(())
    }

    /// All of the view, or the nodes with these names; a node without a synced link would lock nothing.
    fn nodes_to_ask(&self, id: &Id, names: Option<&[String]>) -> Result<(bool, BTreeSet<NodeId>), Outcome> {
        let names: BTreeSet<&str> = names.unwrap_or_default().iter().map(String::as_str).collect();
        let view = names.is_empty();
        let mut nodes = self.view.synced();
        nodes.insert(self.config.node);
        if !view {
            let name_of = |node: &NodeId| match self.view.links.get(node) {
                Some(link) => link.name.as_str(),
                None => self.config.name.as_str(),
            };
            nodes.retain(|node| names.contains(name_of(node)));
            if nodes.len() < names.len() {
                let found: BTreeSet<&str> = nodes.iter().map(name_of).collect();
                let missing = names.difference(&found).next().copied().unwrap_or_default();
                return Err(Outcome::failed(Status::Unreachable, format!("no link to the node {missing}")));
            }
            let held = self.holds.own.get(id).into_iter().flat_map(|own| &own.nodes);
            if nodes.len() + held.filter(|node| !nodes.contains(node)).count() > MAX_LIST {
                return Err(Outcome::failed(Status::Full, "a hold on too many nodes"));
            }
        }
        Ok((view, nodes))
    }

    /// All have granted: the process holds the lock, and everybody is told.
    pub(super) fn publish_hold(&mut self, tx: Tx, resource: Name) {
        let Some(op) = self.claims.operations.get(&tx) else { return };
        let Aim::Lock(locking) = &op.claim.aim else { return };
        let id = (op.claim.serial, resource, locking.requester.clone());
        // What was lost is held again only where all of it is granted anew.
        let in_part = self.is_broken(Fault::LostIsHeldAgainInPart);
        if let Some(lost) = self.holds.own.get(&id).filter(|own| own.lost.is_some() && !in_part) {
            let missing: BTreeSet<NodeId> = lost.present().difference(&op.nodes).copied().collect();
            if !missing.is_empty() {
                return self.ask_more(tx, &missing);
            }
        }
        let Some(op) = self.end_operation(tx) else { return };
        self.counters.acquiring.add(self.now.since(op.since));
        self.log(Level::Trace, Target::Claim, |_| format!("{tx:?} is done"));
        let Aim::Lock(Locking { view, token, scope, .. }) = op.claim.aim else { return };
        let before = self.holds.own.get(&id).map(|own| Part::new(own.view, &own.nodes));
        let own = self.holds.own.entry(id.clone()).or_default();
        if scope.is_some() || own.scopes.is_some() {
            let scopes = own.scopes.get_or_insert_with(|| Box::new(Scopes::new(before)));
            if own.lost.is_some() {
                scopes.shrink_lists(&op.nodes);
            }
            scopes.add(scope, Part::new(view, &op.nodes));
        }
        if own.lost.is_some() {
            own.nodes.clear();
            own.broken.clear();
        }
        let relied_on = (own.lost.is_none() && !own.nodes.is_empty()).then_some(own.token);
        own.view |= view;
        own.broken.retain(|node, _| !op.nodes.contains(node));
        own.nodes.extend(op.nodes);
        own.token = own.token.max(token);
        own.lost = None;
        let token = own.token;
        if relied_on != Some(token) {
            self.publish_own(&id, Some(token));
        }
        self.announce(tx, &id);
        self.conclude(op.origin, Outcome::value(token));
    }

    /// The hold as it is now, to every linked node and to this node's own voter.
    fn announce(&mut self, tx: Tx, id: &Id) {
        let Some(hold) = self.own_hold(id) else { return };
        let nodes = self.everybody();
        self.send_to_all(&nodes, Message::Held { tx, hold });
    }

    fn everybody(&self) -> BTreeSet<NodeId> {
        let mut nodes = self.view.linked();
        nodes.insert(self.config.node);
        nodes
    }

    fn own_hold(&self, id: &Id) -> Option<Hold> {
        let own = self.holds.own.get(id)?;
        let (serial, resource, requester) = id.clone();
        let (view, token) = (own.view, own.token);
        // Of a hold on the view it does not matter; a list is never longer.
        let nodes = own.nodes.iter().take(MAX_LIST).copied().collect();
        let watched = self.holds.watches.contains_key(id);
        Some(Hold { resource, requester, serial, view, nodes, token, watched })
    }

    /// For a snapshot.
    pub(super) fn own_holds(&self) -> Vec<Hold> {
        self.holds.own.keys().filter_map(|id| self.own_hold(id)).collect()
    }

    fn publish_own(&mut self, id: &Id, token: Option<u64>) {
        let (process, resource, requester) = id.clone();
        let output = Output::PublishHold { process, resource, requester, token };
        self.tables.push_back(Table::Other(Box::new(output)));
    }

    // ---- release

    #[allow(clippy::too_many_arguments)] // those of the command
    pub(super) fn lock_release(
        &mut self,
        process: u64,
        op: Ref,
        resource: Name,
        requester: Name,
        nodes: Option<Vec<String>>,
        scope: Option<Ref>,
        patience: Patience,
    ) {
        let origin = Origin::Call { process, op };
        let id = (process, resource, requester);
        let rest = match scope {
            None => self.rest_of(&id, nodes.as_deref()),
            Some(scope) => self.end_scope(&id, scope),
        };
        let rest = match rest {
            Ok(Rest::Same) => return self.conclude(origin, Outcome::of(Status::Ok)),
            Ok(rest) => rest,
            Err(status) => return self.conclude(origin, Outcome::of(status)),
        };
        let tx = self.next_tx();
        let deed = Deed::Release { resource: id.1.clone() };
        self.start_publication(tx, None, deed, origin, patience);
        match rest {
            Rest::On(nodes) => self.shrink_hold(&id, nodes, tx),
            Rest::Same | Rest::Nowhere => self.end_hold(&id, Some(tx)),
        }
        self.check(tx);
    }

    /// Where the hold is to stay.
    fn rest_of(&self, id: &Id, names: Option<&[String]>) -> Result<Rest, Status> {
        if !self.processes.exists(id.0) {
            return Err(Status::NoProcess);
        }
        self.config.check_lock(&id.1, &id.2)?;
        let own = self.holds.own.get(id).ok_or(Status::NotOwner)?;
        let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(Rest::Nowhere) };
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let stays = |node: &NodeId| {
            let link = self.view.links.get(node).map(|link| &link.name);
            let name = link.or_else(|| own.broken.get(node)).unwrap_or(&self.config.name);
            !names.contains(name.as_str())
        };
        let rest: BTreeSet<NodeId> = own.nodes.iter().filter(|node| stays(node)).copied().collect();
        match rest.len() {
            0 => Ok(Rest::Nowhere),
            len if len == own.nodes.len() => Err(Status::NotOwner),
            _ => Ok(Rest::On(rest)),
        }
    }

    /// Where the hold is to stay without what was acquired for this scope.
    fn end_scope(&mut self, id: &Id, scope: Ref) -> Result<Rest, Status> {
        let own = self.holds.own.get_mut(id).ok_or(Status::NotOwner)?;
        let scopes = own.scopes.as_mut().ok_or(Status::NotOwner)?;
        if !scopes.end(scope) {
            return Err(Status::NotOwner);
        }
        let all = scopes.all();
        if scopes.is_empty() {
            own.scopes = None;
        }
        Ok(match all {
            None => Rest::Nowhere,
            Some(Part::View) => Rest::Same,
            Some(Part::Nodes(nodes)) => {
                let rest: BTreeSet<NodeId> = own.nodes.intersection(&nodes).copied().collect();
                if !own.view && rest.len() == own.nodes.len() { Rest::Same } else { Rest::On(rest) }
            }
        })
    }

    pub(super) fn end_hold(&mut self, id: &Id, ack: Option<Tx>) {
        let Some(own) = self.holds.own.remove(id) else { return };
        if own.lost.is_none() {
            self.publish_own(id, None);
        }
        for told in self.holds.watches.get_mut(id).into_iter().flat_map(BTreeMap::values_mut) {
            told.clear();
        }
        let (serial, resource, requester) = id.clone();
        let nodes = self.everybody();
        self.send_to_all(&nodes, Message::Drop { resource, requester, serial, rest: None, ack });
    }

    /// The hold stays on a list of nodes only: what joins later is not bound by it.
    fn shrink_hold(&mut self, id: &Id, rest: BTreeSet<NodeId>, ack: Tx) {
        let Some(own) = self.holds.own.get_mut(id) else { return };
        own.broken.retain(|node, _| rest.contains(node));
        if let Some(scopes) = &mut own.scopes {
            scopes.shrink(&rest);
        }
        (own.view, own.nodes) = (false, rest);
        let rest = self.own_hold(id);
        let (serial, resource, requester) = id.clone();
        let nodes = self.everybody();
        self.send_to_all(&nodes, Message::Drop { resource, requester, serial, rest, ack: Some(ack) });
        self.judge(id);
    }

    /// The process has ended.
    pub(super) fn end_holds_of(&mut self, serial: u64) {
        for id in ids_of(&self.holds.own, serial) {
            self.end_hold(&id, None);
        }
    }

    // ---- what becomes of it

    pub(super) fn lose_hold(&mut self, id: &Id, reason: Reason) {
        let Some(own) = self.holds.own.get_mut(id).filter(|own| own.lost.is_none()) else { return };
        own.lost = Some(reason);
        let token = own.token;
        self.counters.locks_lost += 1;
        self.log(Level::Warn, Target::Lock, |_| {
            let (resource, serial) = (log::of_name(&id.1), id.0);
            format!("process {serial} can no longer rely on the lock {resource}: {reason:?}")
        });
        self.publish_own(id, None);
        let (process, resource, requester) = id.clone();
        let event = Event::LockLost { resource, requester, token, reason };
        self.event(Output::Notify { process, event });
    }

    fn judge(&mut self, id: &Id) {
        if self.is_broken(Fault::MinorityIsNotNoticed) {
            return;
        }
        if self.holds.own.get(id).is_some_and(Own::is_minority) {
            self.lose_hold(id, Reason::MINORITY);
        }
    }

    /// A link is over. A node that left in order is gone from the sets; one that the link broke to may keep others out
    /// no longer, and let them have the lock.
    pub(super) fn holds_without(&mut self, node: NodeId, name: &str, reason: Reason) {
        let in_order = matches!(reason, Reason::NODE_CLOSED | Reason::DISCONNECTED)
            && !self.is_broken(Fault::LeaverIsMissed);
        let mut touched = Vec::new();
        for (id, own) in &mut self.holds.own {
            if !own.nodes.contains(&node) {
                continue;
            }
            if in_order {
                own.nodes.remove(&node);
                own.broken.remove(&node); // it had come back, and not been heard out
                if let Some(scopes) = &mut own.scopes {
                    scopes.leave(node);
                }
            } else {
                own.broken.insert(node, name.to_owned());
            }
            touched.push(id.clone());
        }
        for id in touched {
            self.judge(&id);
        }
    }

    /// A peer has this node's snapshot: it binds what is on the view, and again what was on it before the link broke.
    pub(super) fn holds_with(&mut self, node: NodeId) {
        if self.is_broken(Fault::NewcomerIsNotCounted) {
            return;
        }
        let Some(link) = self.view.links.get(&node) else { return };
        for own in self.holds.own.values_mut() {
            own.broken.remove(&node);
            if own.view {
                // A node of the same name has taken the place of one that is surely gone.
                let replaced =
                    own.broken.iter().filter(|(_, name)| **name == link.name).map(|(node, _)| *node);
                for gone in replaced.collect::<Vec<_>>() {
                    own.broken.remove(&gone);
                    own.nodes.remove(&gone);
                }
                own.nodes.insert(node);
            }
        }
    }

    // ---- watching

    pub(super) fn lock_watch(&mut self, serial: u64, reference: Ref, resource: Name, requester: Name) {
        let watch = Watch::Lock { resource: resource.clone(), requester: requester.clone() };
        if self.processes.add_monitor(serial, reference, watch) {
            let id = (serial, resource, requester);
            self.holds.watches.entry(id.clone()).or_default().insert(reference, BTreeSet::new());
            self.announce_again(&id);
        }
    }

    pub(super) fn lock_unwatch(&mut self, serial: u64, reference: Ref, resource: Name, requester: Name) {
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
    pub(super) fn lock_wanted(
        &mut self,
        from: NodeId,
        tx: Tx,
        resource: Name,
        requester: Name,
        serial: u64,
        waiter: Pid,
    ) -> Result<(), &'static str> {
        let (me, key) = (self.config.node, Key::Lock(resource.clone()));
        let id = (serial, resource, requester);
        let Some(own) = self.holds.own.get(&id).filter(|own| own.is_bound_on(from)) else { return Ok(()) };
        // Where this node votes too it knows of waiters itself: with some there another one is no news.
        let arbiter = self.claims.arbiters.get(&key).filter(|_| own.is_bound_on(me) && from != me);
        if arbiter.is_some_and(|arbiter| arbiter.queue.others(&id.2) > 0) {
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
            self.event(Output::Notify { process: serial, event });
        }
        Ok(())
    }
}

/// What a map has of one process.
fn ids_of<T>(map: &BTreeMap<Id, T>, serial: u64) -> Vec<Id> {
    let first = (serial, Name::new(&[]), Name::new(&[]));
    map.range(first..).map(|(id, _)| id).take_while(|id| id.0 == serial).cloned().collect()
}
