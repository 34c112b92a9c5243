//! The links that there are, as callers see them: who is at the other end, and how each is protected.

use super::{List, Node, Result, Shared};
use crate::model::NodeId;

/// One link.
#[derive(Debug)]
pub(super) struct PeerRow {
    pub(super) node: NodeId,
    pub(super) name: String,
    pub(super) address: String,
    /// `plain`, `secret` or `tls`.
    pub(super) protection: &'static str,
    /// What the peer has shown, in hexadecimal digits.
    pub(super) credential: String,
    /// When that expires, in seconds since 1970.
    pub(super) expires: Option<u64>,
    /// A reload has replaced what the link was made under.
    pub(super) is_replaced: bool,
    pub(super) since_ms: u64,
}

impl Shared {
    pub(super) fn peer_rows(&self) -> Vec<PeerRow> {
        let (present, now) = (self.security.present(), self.clock.now());
        let row = |(node, peer): (NodeId, super::tables::Peer)| PeerRow {
            node,
            protection: peer.protection.word(),
            credential: peer.protection.credential(),
            expires: peer.protection.expires(),
            is_replaced: peer.protection.is_replaced(&present),
            since_ms: u64::try_from(now.since(peer.since).as_millis()).unwrap_or(u64::MAX),
            name: peer.name,
            address: peer.address,
        };
        self.tables.peers().into_iter().map(row).collect()
    }
}

impl Node {
    /// Rows with Name, Node, Address, Protection, Credential, ExpiresMs, IsReplaced and SinceMs: the nodes that this one has a
    /// link to.
    pub fn peers(&self) -> Result<List> {
        self.shared().check_open()?;
        Ok(List::of_peers(self.shared().peer_rows()))
    }
}
