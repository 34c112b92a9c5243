//! What a node has of its peers at this moment: the links, the connections that wait for one, and what is remembered of
//! links that are over. How they come and go stands in `links`.

use super::departure::MissingNodes;
use super::dial::Dials;
use super::paced::Paced;
use super::peer_counts::PastPeers;
use crate::index::Index;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The one authenticated connection to another node.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: ConnectionId,
    pub(crate) name: String,
    pub(crate) address: String,
    /// Its snapshot is complete here.
    pub(crate) synced: bool,
    /// Mine is complete there.
    pub(crate) acked: bool,
    /// For how long the peer had been waited for when the link came up.
    pub(crate) waited: Duration,
    /// Since when both tables are merged.
    pub(crate) merged: Option<Time>,
    pub(crate) last_heard: Time,
    pub(crate) counts: PeerCounts,
    /// Since when part of a frame has been there, and not the whole.
    pub(crate) part_since: Option<Time>,
    /// The highest clock that was heard on it, as far as it counts: what a namesake of the peer claims to have counted to
    /// must not make the peer's own snapshots stale.
    pub(crate) clock: u64,
    pub(crate) last_sent: Time,
    /// Operations whose publication my snapshot contained: acknowledged with it.
    pub(crate) in_snapshot: BTreeSet<Tx>,
    /// Registrations that the peer's snapshot has named so far.
    pub(crate) snapshot: BTreeSet<Reg>,
    pub(crate) goodbye: Option<Goodbye>,
    /// When the peer has dialled although it is linked. Once, that may be a dial that crossed what led to the link, or one
    /// that looks for others at an address that leads to several.
    pub(crate) redialled: Option<Time>,
    /// Pinged, because this node claims its name or its place; and the number of that ping.
    pub(crate) doubted: Option<(u64, NodeId)>,
    /// Others that want to know whether it is heard, and the ping whose answer shows it.
    pub(crate) inquiries: Option<(u64, BTreeSet<NodeId>)>,
    /// How much of its present silence was forgiven because this node was paused itself.
    pub(crate) forgiven: Duration,
    /// Silent for a while: the neighbours that were asked and have not said that they do not hear it either.
    pub(crate) suspected: Option<BTreeSet<NodeId>>,
    /// The highest number of a ping that it has answered, or of one before the link was there.
    pub(crate) answered: u64,
    /// The ping whose answer is measured, and when it was sent.
    pub(crate) pinged: Option<(u64, Time)>,
    pub(crate) round_trip: Option<Duration>,
    /// The shortest one so far.
    pub(crate) fastest: Option<Duration>,
    // ---- how the peer behaves: see `conduct`
    /// What it owes answers to, and since when, by the clock of this node's attention.
    pub(crate) owed: BTreeSet<(Time, Tx)>,
    /// Until then it reads the tables of this node.
    pub(crate) excused_until: Time,
    /// What was owed until then has been added up.
    pub(crate) charged_until: Time,
    /// What was owed while it was silent, and counts if it is heard again.
    pub(crate) unsaid: Duration,
    /// The peer did not want it after this side's Go: whether that is a failure the refusal says.
    pub(crate) refused: bool,
    /// It was merged for a detection time.
    pub(crate) has_lasted: bool,
}

impl Link {
    /// The peer's table is merged here, and this node's there.
    pub(crate) fn is_merged(&self) -> bool {
        self.synced && self.acked
    }
    /// For how long it has been merged.
    pub(crate) fn merged_for(&self, now: Time) -> Duration {
        self.merged.map(|since| now.since(since)).unwrap_or_default()
    }
}

/// A connection that waits for the arbiter.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) peer: Identity,
    pub(crate) dialled: Option<String>,
}

#[derive(Default, Debug)]
pub(crate) struct View {
    /// Links come and go through [`View::insert`] and [`View::remove`] alone, which keep `by_name`.
    pub(crate) links: BTreeMap<NodeId, Link>,
    by_name: Index<String, NodeId>,
    pub(crate) by_connection: BTreeMap<ConnectionId, NodeId>,
    pub(crate) candidates: BTreeMap<ConnectionId, Candidate>,
    pub(crate) dials: Dials,
    pub(crate) missing: MissingNodes,
    pub(crate) links_made: u64,
    /// What peers have done whose links are over.
    pub(crate) past: PastPeers,
    /// Lines of the log about links, by their subject.
    pub(crate) lines: BTreeMap<log::Topic, Paced>,
    /// The highest clock heard from each peer on links that are over.
    heard_clocks: BTreeMap<NodeId, u64>,
    pub(crate) pings: u64,
    /// This node was paused after the ping with this number was: who has answered an earlier one only may have given it up.
    pub(crate) paused_at: u64,
    /// This node's own health, 0 (well) to 6: how late its timers were lately. A slow node is patient with others.
    pub(crate) local_health: u32,
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
    /// The node of this name that has a link.
    pub(crate) fn named(&self, name: &str) -> Option<NodeId> {
        self.by_name.with(name).next().copied()
    }
    pub(crate) fn was_linked(&self, node: NodeId) -> bool {
        self.heard_clocks.contains_key(&node)
    }
    pub(crate) fn is_linked(&self, node: NodeId) -> bool {
        self.links.contains_key(&node)
    }
    pub(crate) fn is_synced(&self, node: NodeId) -> bool {
        self.links.get(&node).is_some_and(|link| link.synced)
    }
    pub(crate) fn connection(&self, node: NodeId) -> Option<ConnectionId> {
        self.links.get(&node).map(|link| link.connection)
    }
    /// Whether a snapshot with this clock was sent before something that was heard on another link: the arbiter made two
    /// connections the link, one after the other, and the older one was read later. Its facts are void.
    pub(crate) fn is_stale(&self, node: NodeId, clock: u64) -> bool {
        self.heard_clocks.get(&node).is_some_and(|heard| clock <= *heard)
    }
    pub(crate) fn remember_clock(&mut self, node: NodeId, clock: u64, peers: usize) {
        let heard = self.heard_clocks.entry(node).or_default();
        *heard = clock.max(*heard);
        // Incarnations that never come back: long before they are so many, nothing of them is on its way any more.
        while self.heard_clocks.len() > peers.saturating_mul(4).max(64) {
            self.heard_clocks.pop_first();
        }
    }
    /// Every peer's table is merged here, and this node's there.
    pub(crate) fn is_merged(&self) -> bool {
        self.links.values().all(Link::is_merged)
    }
    pub(crate) fn linked(&self) -> BTreeSet<NodeId> {
        self.links.keys().copied().collect()
    }
    pub(crate) fn synced(&self) -> BTreeSet<NodeId> {
        self.links.iter().filter(|(_, link)| link.synced).map(|(node, _)| *node).collect()
    }
}
