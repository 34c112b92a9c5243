//! What a node has of its peers at this moment: the links, the connections that wait for one, and what is remembered of
//! links that are over. How they come and go stands in `lifecycle`.

use super::conduct::Conducts;
use super::departure::MissingNodes;
use super::dial::Dials;
use super::link::Link;
use super::paced::Paced;
use super::peer_counts::PastPeers;
use crate::index::Index;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};

/// A connection that waits for the arbiter.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) peer: Identity,
    pub(super) dialled: Option<String>,
}

#[derive(Default, Debug)]
pub(crate) struct View {
    /// Links come and go through [`View::insert`] and [`View::remove`] alone, which keep `by_name`.
    pub(super) links: BTreeMap<NodeId, Link>,
    by_name: Index<String, NodeId>,
    pub(super) by_connection: BTreeMap<ConnectionId, NodeId>,
    pub(super) candidates: BTreeMap<ConnectionId, Candidate>,
    pub(super) dials: Dials,
    pub(super) missing: MissingNodes,
    pub(super) links_made: u64,
    /// What peers have done whose links are over.
    pub(super) past: PastPeers,
    /// Lines of the log about links, by their subject.
    pub(super) lines: BTreeMap<Topic, Paced>,
    /// How peers behave, those whose links are over too.
    pub(super) conducts: Conducts,
    /// The highest clock heard from each peer on links that are over.
    heard_clocks: BTreeMap<NodeId, u64>,
    pub(super) pings: u64,
    /// This node was paused after the ping with this number was: who has answered an earlier one only may have given it up.
    pub(super) paused_at: u64,
    /// This node's own health, 0 (well) to 6: how late its timers were lately. A slow node is patient with others.
    pub(super) local_health: u32,
}

impl View {
    /// The peer has done something.
    pub(crate) fn count_for(&mut self, node: NodeId, count: impl FnOnce(&mut PeerCounts)) {
        if let Some(link) = self.links.get_mut(&node) {
            count(&mut link.counts);
        }
    }
    pub(crate) fn insert(&mut self, node: NodeId, mut link: Link) {
        link.counts = self.past.take(node);
        link.counts.links += 1;
        self.by_connection.insert(link.connection, node);
        self.by_name.insert(link.name.clone(), node);
        self.links.insert(node, link);
    }
    pub(crate) fn remove(&mut self, node: NodeId) -> Option<Link> {
        let link = self.links.remove(&node)?;
        self.by_connection.remove(&link.connection);
        self.by_name.remove(&link.name, &node);
        Some(link)
    }
    /// The name of a linked node.
    pub(crate) fn name(&self, node: NodeId) -> Option<&String> {
        self.links.get(&node).map(|link| &link.name)
    }
    pub(crate) fn last_heard(&self, node: NodeId) -> Option<Time> {
        self.links.get(&node).map(|link| link.pulse.last_heard)
    }
    pub(crate) fn is_suspected(&self, node: NodeId) -> bool {
        self.links.get(&node).is_some_and(|link| link.pulse.suspected.is_some())
    }
    pub(crate) fn is_alone(&self) -> bool {
        self.links.is_empty()
    }
    pub(crate) fn local_health(&self) -> u32 {
        self.local_health
    }
    /// Every linked node, and whether its snapshot is complete here.
    pub(crate) fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, bool)> {
        self.links.iter().map(|(node, link)| (*node, link.merge.is_synced()))
    }
    /// Every linked node with its name and its address.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (NodeId, &str, &str)> {
        self.links.iter().map(|(node, link)| (*node, link.name.as_str(), link.address.as_str()))
    }
    /// The connection to send on. What is sent is noted, for heartbeats fill pauses only.
    pub(crate) fn send_on(&mut self, node: NodeId, now: Time) -> Option<ConnectionId> {
        let link = self.links.get_mut(&node)?;
        link.pulse.last_sent = now;
        Some(link.connection)
    }
    /// A message with this clock was heard on the link.
    pub(crate) fn note_message(&mut self, node: NodeId, clock: u64) {
        if let Some(link) = self.links.get_mut(&node) {
            link.clock = link.clock.max(clock);
            link.counts.messages += 1;
        }
    }
    pub(crate) fn conducts(&self) -> &Conducts {
        &self.conducts
    }
    /// The peer owes no answer any more, for its link is over.
    pub(crate) fn forget_owed_by(&mut self, peer: NodeId) {
        self.conducts.forget_owed_by(peer);
    }
    /// Nodes whose links broke, and that may come back.
    pub(crate) fn missing(&self) -> BTreeSet<NodeId> {
        self.missing.nodes().collect()
    }
    pub(crate) fn is_missing(&self, node: NodeId) -> bool {
        self.missing.contains(node)
    }
    /// Whether it will be known in a moment that the node is dead, or is not.
    pub(crate) fn is_unclear(&self, node: NodeId) -> bool {
        self.missing.is_unclear(node)
    }
    /// Whether somebody is being met whom a call waits for.
    pub(crate) fn is_meeting(&self, silent_too: bool) -> bool {
        self.dials.is_meeting(silent_too)
    }
    /// Addresses that are dialled or remembered.
    pub(crate) fn targets(&self) -> usize {
        self.dials.len()
    }
    /// The node of this name that has a link.
    pub(crate) fn named(&self, name: &str) -> Option<NodeId> {
        self.by_name.with(name).next().copied()
    }
    pub(super) fn was_linked(&self, node: NodeId) -> bool {
        self.heard_clocks.contains_key(&node)
    }
    pub(crate) fn is_linked(&self, node: NodeId) -> bool {
        self.links.contains_key(&node)
    }
    pub(crate) fn is_synced(&self, node: NodeId) -> bool {
        self.links.get(&node).is_some_and(|link| link.merge.is_synced())
    }
    pub(crate) fn connection(&self, node: NodeId) -> Option<ConnectionId> {
        self.links.get(&node).map(|link| link.connection)
    }
    /// Whether a snapshot with this clock was sent before something that was heard on another link: the arbiter made two
    /// connections the link, one after the other, and the older one was read later. Its facts are void.
    pub(crate) fn is_stale(&self, node: NodeId, clock: u64) -> bool {
        self.heard_clocks.get(&node).is_some_and(|heard| clock <= *heard)
    }
    pub(super) fn remember_clock(&mut self, node: NodeId, clock: u64, peers: usize) {
        let heard = self.heard_clocks.entry(node).or_default();
        *heard = clock.max(*heard);
        // Incarnations that never come back: long before they are so many, nothing of them is on its way any more.
        while self.heard_clocks.len() > peers.saturating_mul(4).max(64) {
            self.heard_clocks.pop_first();
        }
    }
    /// Every peer's table is merged here, and this node's there.
    pub(crate) fn is_merged(&self) -> bool {
        self.links.values().all(|link| link.merge.is_complete())
    }
    pub(crate) fn linked(&self) -> BTreeSet<NodeId> {
        self.links.keys().copied().collect()
    }
    pub(crate) fn synced(&self) -> BTreeSet<NodeId> {
        self.links.iter().filter(|(_, link)| link.merge.is_synced()).map(|(node, _)| *node).collect()
    }
}

impl View {
    pub(crate) fn check_invariants(&self) -> Sound {
        self.by_name
            .check("links by name", self.links.iter().map(|(node, link)| (link.name.clone(), *node)))?;
        let connections = self.links.iter().map(|(node, link)| (link.connection, *node));
        same("links by connection", &self.by_connection, &connections.collect())?;
        let both = self.candidates.keys().find(|connection| self.by_connection.contains_key(connection));
        same("a candidate that is a link", both, None)?;
        self.conducts.check_debts(self.links.iter().map(|(node, link)| (*node, &link.debts)))?;
        self.dials.targets.check_invariants()
    }
}
