//! What two nodes say to each other before their connection is a link.
//!
//! When the channel is open both ends send their identity at once. Of the two nodes the one with the lower id then says
//! `Go`, and the connection is a link, or `Refuse`, and it ends. Either says `Refuse` to a peer of another cluster.

use super::{WireError, codec};
use crate::engine::{Identity, Refusal};
use crate::model::{MAX_TEXT, NodeId};
use blake2::{Blake2s256, Digest};
use serde::{Deserialize, Serialize};

/// The protocol versions that this node speaks, first and last. (Version 1, whose diallers signed nothing, was never released.)
pub const VERSIONS: (u16, u16) = (2, 2);
/// The largest frame before a connection is a link: three texts and what stands around them.
pub(super) const MAX_HANDSHAKE_FRAME: usize = 1024;

/// The random bytes that an incarnation is made of, together with the node's name. A node that shows them shows that the incarnation
/// is of that name: where a name is bound to a certificate, pids are too, and nobody can take the incarnation of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opening(pub [u8; 32]);

impl Opening {
    /// The incarnation of the node with this name. 0, which is no node, is as likely as any other number.
    pub fn incarnation(&self, name: &str) -> NodeId {
        let digest = Blake2s256::new()
            .chain_update(b"convoke 2 incarnation\0")
            .chain_update(name)
            .chain_update(self.0)
            .finalize();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        NodeId(u64::from_le_bytes(first))
    }

    /// Whether the incarnation is made of these bytes and the name.
    pub fn opens(&self, identity: &Identity) -> bool {
        self.incarnation(&identity.name) == identity.node
    }
}

/// A frame of the handshake lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Handshake {
    /// What the sender is.
    Identity {
        #[serde(deserialize_with = "crate::engine::text")]
        cluster: String,
        identity: Identity,
        opening: Opening,
    },
    /// The connection is a link from here on.
    Go,
    /// The connection does not become a link.
    Refuse(Refusal),
}

impl Handshake {
    /// The identity frame of this node.
    pub fn identity(cluster: &str, identity: Identity, opening: Opening) -> Self {
        Self::Identity { cluster: cluster.to_owned(), identity, opening }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, WireError> {
        let handshake = codec::decode("handshake frame", body)?;
        if let Self::Identity { cluster, identity, .. } = &handshake {
            let texts = [cluster, &identity.name, &identity.address];
            if texts.iter().any(|t| t.len() > MAX_TEXT)
                || identity.name.is_empty()
                || identity.node == NodeId(0)
            {
                return Err(WireError::Malformed("identity"));
            }
        }
        Ok(handshake)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other machines compute the same; name and bytes both count.
    #[test]
    fn the_incarnation_is_a_number_of_the_protocol() {
        let opening = Opening(std::array::from_fn(|at| at as u8));
        assert_eq!(opening.incarnation("node-a"), NodeId(0x6427_772f_2916_f63c));
        assert_ne!(opening.incarnation("node-b"), opening.incarnation("node-a"));
        assert_ne!(Opening([0; 32]).incarnation("node-a"), opening.incarnation("node-a"));
    }
}
