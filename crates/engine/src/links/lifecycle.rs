//! What begins and ends with a link, in all rooms: the snapshots that are told and read, and what goes with the link. This stands
//! above all rooms, while the rest of `links` stands below them.

use super::departure::Departure;
use super::link::{Debts, Link, Merge, Pulse};
use crate::fault::Fault;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeSet;

impl Engine {
    // ---- a link begins

    pub(crate) fn link_up(&mut self, connection: ConnectionId, peer: Identity, dialled: Option<String>) {
        let node = peer.node;
        if let Some(address) = &dialled {
            self.dial_over(address);
        }
        // A snapshot is newer than all that was said on links before.
        self.cx.tick();
        self.view.links_made += 1;
        self.inbound.link_up(node, self.view.links_made);
        self.forget_engagements(node, false);
        let in_snapshot = self.join_acknowledgements(node);
        self.cx.counters.links_up += 1;
        self.cx.counters.reconnects += u64::from(self.view.was_linked(node));
        self.log_paced(Level::Info, Topic::Link, |_| {
            let (name, address) = (Short(peer.name.as_bytes()), Short(peer.address.as_bytes()));
            let how = if dialled.is_some() { "dialled" } else { "accepted" };
            format!("the link with node {name} at {address} is up ({how}, {node:?})")
        });
        let waited = self.view.missing.waited(node).unwrap_or_default();
        let link = Link {
            connection,
            name: peer.name.clone(),
            address: peer.address.clone(),
            counts: PeerCounts::default(),
            clock: 0,
            goodbye: None,
            redialled: None,
            refused: false,
            merge: Merge::new(in_snapshot, waited),
            pulse: Pulse::new(self.cx.now, self.view.pings),
            debts: Debts::new(self.cx.awake),
        };
        self.view.insert(node, link);
        self.clashes.link_up(node);
        let (name, address) = (peer.name, peer.address);
        self.publish_peer(Effect::PublishPeer {
            node,
            name: name.clone(),
            address: address.clone(),
            connection: Some(connection),
            message_limit: peer.message_limit,
        });
        self.dial_linked(node, &name, &address, dialled.as_deref());
        self.arm_heartbeat(node);
        self.cx.timers.set(Timer::Silence(node), self.cx.now + self.patience());
        self.send_snapshot(node, peer.groups);
        self.repeat_deletes(node);
        for (process, reference) in self.processes.node_watchers() {
            let event = Event::NodeUp { reference, node, name: name.clone(), address: address.clone() };
            self.event(Effect::Notify { process, event });
        }
    }

    /// The link starts with all that this node owns, and what it knows of groups; changes follow in order. `groups`: what the peer
    /// knew of those when it said who it is. It has learned since, and forgotten nothing that it must be told again.
    fn send_snapshot(&mut self, to: NodeId, groups: u64) {
        let me = self.cx.config.node;
        let names: BTreeSet<&Name> = self.processes.held_names().map(|(_, name)| name).collect();
        let own = |name: &Name| {
            let mut binding = self.names.of(name, me)?.clone();
            binding.settled &= !self.is_broken(Fault::SettledIsNotInSnapshots);
            Some(Fact::Binding(name.clone(), binding))
        };
        let mut facts: Vec<Fact> = names.into_iter().filter_map(own).collect();
        if !self.is_broken(Fault::SnapshotWithoutBeneath) {
            facts.extend(self.names.all_beneath().map(Fact::Beneath));
        }
        if !self.is_broken(Fault::SnapshotWithoutHolds) {
            facts.extend(self.own_holds().into_iter().map(Fact::Hold));
        }
        facts.extend(Some(self.peers_to_name(to)).filter(|peers| !peers.is_empty()).map(Fact::Peers));
        facts.extend(self.own_memberships().map(Fact::Membership));
        let existence = if groups == self.existence_digest() { Vec::new() } else { self.existence_parts() };
        self.expect_tables(to, facts.len() + existence.iter().map(Vec::len).sum::<usize>());
        let mut parts = in_parts(facts, SNAPSHOT_ROWS, size_of_fact);
        let last = if existence.is_empty() { parts.pop() } else { None };
        for facts in parts {
            self.send(to, Message::Hello { facts, last: false });
        }
        for parts in existence {
            self.send(to, Message::GroupState { parts, last: false, answer: false });
        }
        self.send(to, Message::Hello { facts: last.unwrap_or_default(), last: true });
    }

    pub(crate) fn on_hello(&mut self, from: NodeId, facts: Vec<Fact>, last: bool) -> Result<(), Violation> {
        if self.view.links.get(&from).is_some_and(|link| link.merge.is_synced()) {
            return Err(Violation("a second snapshot"));
        }
        for fact in facts {
            self.learn(from, fact)?;
        }
        self.note_tables(from, last);
        if !last {
            return Ok(());
        }
        self.merge_existence(from);
        let Some(link) = self.view.links.get_mut(&from) else { return Ok(()) };
        let (have, name) = (link.merge.end_reading(self.cx.now), link.name.clone());
        self.rivals_left(from, &have);
        self.send(from, Message::HelloAck);
        self.ask_newcomer(from);
        self.end_wait_for(from, &name);
        self.mark_all_names();
        self.connected(from);
        Ok(())
    }

    fn learn(&mut self, from: NodeId, fact: Fact) -> Result<(), Violation> {
        match fact {
            Fact::Binding(name, binding) => {
                self.record_snapshot_entry(from, binding.reg)?;
                border::check_binding(from, &binding)?;
                self.install(&name, binding);
            }
            Fact::Beneath(reg) => self.record_snapshot_entry(from, reg)?,
            Fact::Peers(nodes) => self.learn_peers(from, nodes),
            Fact::Hold(hold) => self.bind(from, hold, false)?,
            Fact::Membership(membership) => self.on_membership(from, membership, None)?,
        }
        Ok(())
    }

    fn record_snapshot_entry(&mut self, from: NodeId, reg: Reg) -> Result<(), Violation> {
        let Some(link) = self.view.links.get_mut(&from) else { return Ok(()) };
        let named = link.merge.read(reg);
        if named > self.most_in_snapshot() {
            Err(Violation("more registrations than a peer may have"))
        } else {
            Ok(())
        }
    }

    pub(crate) fn on_hello_ack(&mut self, from: NodeId) -> Result<(), Violation> {
        let Some(link) = self.view.links.get_mut(&from) else { return Ok(()) };
        let in_snapshot = link.merge.acknowledged(self.cx.now);
        self.tables_acknowledged(from);
        for tx in in_snapshot {
            self.on_ack(from, tx)?;
        }
        self.holds_with(from);
        Ok(())
    }

    // ---- the end of a link

    pub(crate) fn link_over(
        &mut self,
        node: NodeId,
        reason: Reason,
        goodbye: Option<Goodbye>,
        departure: Departure,
    ) {
        self.charge(node);
        let counts = self.counts_of(node);
        let Some(link) = self.view.remove(node) else { return };
        self.view.past.remember(node, &link.name, counts);
        counters::count(&mut self.cx.counters.links_down, reason);
        let in_order = matches!(reason, Reason::NODE_CLOSED | Reason::DISCONNECTED);
        self.log_paced(if in_order { Level::Info } else { Level::Warn }, Topic::Link, |engine| {
            let silent = engine.cx.now.since(link.pulse.last_heard).as_millis();
            let name = Short(link.name.as_bytes());
            let how = if departure == Departure::Dead { " (it is dead)" } else { "" };
            format!("the link with node {name} is down: {reason:?}{how}; it was heard {silent} ms ago")
        });
        if !(link.merge.has_lasted() || link.refused || in_order) {
            self.link_fails(node, 1);
        }
        self.view.remember_clock(node, link.clock, self.cx.config.limits.peers);
        for timer in [Timer::Heartbeat(node), Timer::Silence(node), Timer::Doubt(node)] {
            self.cx.timers.cancel(&timer);
        }
        for other in self.view.links.values_mut() {
            if let Some(asked) = &mut other.pulse.suspected {
                asked.remove(&node);
            }
        }
        self.publish_peer(Effect::PublishPeer {
            node,
            name: link.name.clone(),
            address: link.address.clone(),
            connection: None,
            message_limit: 0,
        });
        self.order(Wire::Close { connection: link.connection, goodbye });
        self.inbound.link_down(node);
        self.send_credits_due();
        self.clashes.link_down(node);
        self.forget_engagements(node, true);
        self.drop_groups_of(node, reason);
        let touched = self.drop_bindings_of(node);
        self.drop_holds_of(node);
        self.note_missing(node, &link, &departure);
        // Before claims go on without the node: what is acquired anew is not asked of it, and what it asked for is not done.
        self.holds_without(node, &link.name, &departure);
        self.drop_forwards_of(node);
        self.drop_claims_of(node);
        if departure.is_final() {
            // This incarnation never comes back.
            self.rivals_left(node, &BTreeSet::new());
        }
        for name in touched {
            self.tell_settled_without_link(&name, node);
            self.cx.dirty.mark_name(&name);
        }
        self.mark_all_names();
        self.drop_monitors_of(node, reason);
        for (process, reference) in self.processes.node_watchers() {
            let (name, address) = (link.name.clone(), link.address.clone());
            let event = Event::NodeDown { reference, node, name, address, reason, changes: 1 };
            self.event(Effect::Notify { process, event });
        }
        let parted = reason == Reason::DISCONNECTED;
        let names = self.dial_lost(node, reason == Reason::NODE_CLOSED || parted, parted);
        if link.merge.has_lasted() || in_order {
            self.end_back_off(&names);
        }
        for name in names {
            self.dial_later(&name);
        }
        if let Departure::Unclear(address) = departure {
            self.confirm_by_dial(node, &address);
        }
    }

    pub(crate) fn on_goodbye(&mut self, from: NodeId, why: Goodbye) -> Result<(), Violation> {
        if let Some(link) = self.view.links.get_mut(&from) {
            link.goodbye = Some(why);
        }
        if matches!(why, Goodbye::Slow | Goodbye::TooMuch | Goodbye::Violation) {
            // It refuses this node for a while.
            self.link_fails(from, 16);
        }
        self.link_down(from, why.reason(), None);
        Ok(())
    }

    /// Leaves in order. The peers learn of the end of every process here by the goodbye.
    pub(crate) fn close(&mut self, reason: Reason) {
        if self.cx.is_closed() {
            return;
        }
        let level = if reason == Reason::NORMAL { Level::Info } else { Level::Error };
        self.log(level, Topic::Node, |_| match reason {
            Reason::NORMAL => "the node closes".to_owned(),
            _ => format!("the node closes: {reason:?}"),
        });
        self.cx.close();
        self.end_all_connects(Status::Closed);
        for (process, op) in self.processes.end_all_calls() {
            self.event(Effect::Answer { process, op, outcome: Outcome::of(Status::Closed) });
        }
        // The goodbye goes first: it withdraws everything in one message.
        for node in self.view.linked() {
            let Some(link) = self.view.remove(node) else { continue };
            self.publish_peer(Effect::PublishPeer {
                node,
                name: link.name,
                address: link.address,
                connection: None,
                message_limit: 0,
            });
            self.order(Wire::Close { connection: link.connection, goodbye: Some(Goodbye::Closing) });
            self.drop_bindings_of(node);
        }
        for connection in std::mem::take(&mut self.view.candidates).into_keys() {
            self.order(Wire::Refuse { connection, why: Refusal::Closing });
        }
        self.claims = Default::default();
        self.view.conducts.forget_all_owed();
        self.cx.dirty.clear();
        self.cx.notices.clear();
        self.forget_all_holds();
        self.calls = Default::default();
        self.groups.forget_work();
        self.clashes.clear();
        for serial in self.processes.serials() {
            self.process_exits(serial, Reason::NODE_CLOSED, Payload::default(), None);
        }
        self.drop_all_groups();
        self.cx.timers.clear();
        self.event(Effect::Closed { reason });
    }
}

/// Cuts what is told into parts that fit into a frame; at least one. The number of rows alone does not bound a part, for
/// names may be long. `size`: no less than what one takes on the wire.
pub(crate) fn in_parts<T>(
    rows: impl IntoIterator<Item = T>,
    most: usize,
    size: impl Fn(&T) -> usize,
) -> Vec<Vec<T>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0;
    // Not by a loop: what is chained of several parts is gone through faster from within.
    rows.into_iter().for_each(|row| {
        let size = size(&row);
        match parts.last_mut() {
            Some(part) if part.is_empty() || part.len() < most && bytes + size <= MAX_FRAME / 2 => {
                part.push(row);
                bytes += size;
            }
            _ => {
                parts.push(vec![row]);
                bytes = size;
            }
        }
    });
    parts
}

/// No less than what it takes on the wire.
fn size_of_fact(fact: &Fact) -> usize {
    /// More than two numbers take, and more than all the rest of a fact does.
    const ITEM: usize = 20;
    const REST: usize = 96;
    REST + match fact {
        Fact::Binding(name, binding) => {
            let resolver =
                if let Resolver::Function(name) = &binding.resolver { name.as_bytes().len() } else { 0 };
            name.as_bytes().len() + resolver + binding.supersedes.len() * ITEM
        }
        Fact::Peers(nodes) => nodes.len() * ITEM,
        Fact::Hold(hold) => {
            hold.resource.as_bytes().len() + hold.requester.as_bytes().len() + hold.nodes.len() * ITEM
        }
        Fact::Membership(membership) => membership.group.as_bytes().len() + membership.dots.len() * ITEM,
        Fact::Beneath(_) => 0,
    }
}
