//! What each peer has done here, for the dump: while it is linked, and for a while after.

use crate::machine::Engine;
use crate::{NodeId, PastRow, PeerCounts, Text};
use std::collections::VecDeque;

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
    pub(crate) fn remember(&mut self, node: NodeId, name: &str, counts: PeerCounts) {
        if self.peers.len() >= REMEMBERED {
            self.peers.pop_front();
        }
        self.peers.push_back(Past { node, name: name.to_owned(), counts });
    }

    /// It has a link again, which goes on from there.
    pub(crate) fn take(&mut self, node: NodeId) -> PeerCounts {
        let at = self.peers.iter().position(|past| past.node == node);
        at.and_then(|at| self.peers.remove(at)).map(|past| past.counts).unwrap_or_default()
    }

    /// The latest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = PastRow> {
        self.peers.iter().rev().map(|past| PastRow {
            incarnation: format!("{:016x}", past.node.0),
            name: Text::new(past.name.as_bytes()),
            counts: past.counts,
        })
    }
}

impl Engine {
    /// What a linked peer has done.
    pub(super) fn counts_of(&self, node: NodeId) -> PeerCounts {
        let counts = self.view.links.get(&node).map(|link| link.counts).unwrap_or_default();
        let received = self.inbound.received(node);
        PeerCounts {
            payloads: counts.payloads + received.messages,
            payload_bytes: counts.payload_bytes + received.bytes,
            ..counts
        }
    }
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
