//! What each peer has done here, for the dump: while it is linked, and for a while after.

use super::NodeId;
use super::picture::Text;
use std::collections::VecDeque;

/// What a peer has done here on all links of its incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize)]
pub struct PeerCounts {
    pub links: u64,
    /// Messages of the protocol, without data.
    pub messages: u64,
    /// Messages to processes of this node, and what they consist of.
    pub payloads: u64,
    pub payload_bytes: u64,
    /// Processes of this node that its processes have killed.
    pub kills: u64,
    /// Names of processes of this node that its processes have taken from them.
    pub unregistered: u64,
    /// Groups that its processes have deleted.
    pub deletes: u64,
    /// What it has said in the name of others and was not heard.
    pub relays_refused: u64,
    /// How often it has broken the protocol, and the link was ended for that.
    pub violations: u64,
}

/// How many peers without a link are remembered, the latest ones.
const REMEMBERED: usize = 64;

/// A peer that had a link.
#[derive(Debug)]
struct Past {
    node: NodeId,
    name: String,
    counts: PeerCounts,
}

#[derive(Default, Debug)]
pub(super) struct PastPeers {
    /// Those whose links ended last are at the back.
    peers: VecDeque<Past>,
}

impl PastPeers {
    /// Its link is over.
    pub(super) fn remember(&mut self, node: NodeId, name: &str, counts: PeerCounts) {
        if self.peers.len() >= REMEMBERED {
            self.peers.pop_front();
        }
        self.peers.push_back(Past { node, name: name.to_owned(), counts });
    }

    /// It has a link again, which goes on from there.
    pub(super) fn take(&mut self, node: NodeId) -> PeerCounts {
        let at = self.peers.iter().position(|past| past.node == node);
        at.and_then(|at| self.peers.remove(at)).map(|past| past.counts).unwrap_or_default()
    }

    /// The latest first.
    pub(super) fn rows(&self) -> impl Iterator<Item = PastRow> {
        self.peers.iter().rev().map(|past| PastRow {
            incarnation: format!("{:016x}", past.node.0),
            name: Text::new(past.name.as_bytes()),
            counts: past.counts,
        })
    }
}

/// A peer that has no link at present.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PastRow {
    pub incarnation: String,
    pub name: Text,
    pub counts: PeerCounts,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_go_on_where_they_were() {
        let mut past = PastPeers::default();
        for node in 0..=REMEMBERED as u64 {
            past.remember(NodeId(node), "n", PeerCounts { kills: node, ..PeerCounts::default() });
        }
        assert_eq!(past.rows().count(), REMEMBERED);
        assert_eq!(past.take(NodeId(0)), PeerCounts::default());
        assert_eq!(past.take(NodeId(7)).kills, 7);
        assert_eq!(past.take(NodeId(7)).kills, 0, "it is linked, and no longer among these");
        assert_eq!(past.rows().next().map(|row| row.counts.kills), Some(REMEMBERED as u64));
    }
}
