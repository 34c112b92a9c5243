//! What two nodes say to each other before their connection is a link.
//!
//! When the channel is open both ends send their identity at once. Of the two nodes the one with the lower id then says
//! `Go`, and the connection is a link, or `Refuse`, and it ends. Either says `Refuse` to a peer of another cluster.

use super::{WireError, codec};
use crate::engine::{Identity, MAX_TEXT, NodeId, Refusal};
use serde::{Deserialize, Serialize};

/// The protocol versions that this node speaks, first and last. (Version 1, whose diallers signed nothing, was never released.)
pub const VERSIONS: (u16, u16) = (2, 2);
/// The largest frame before a connection is a link: three texts and what stands around them.
pub(super) const MAX_HANDSHAKE_FRAME: usize = 1024;

/// A frame of the handshake lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Handshake {
    /// What the sender is.
    Identity {
        #[serde(deserialize_with = "crate::engine::text")]
        cluster: String,
        identity: Identity,
    },
    /// The connection is a link from here on.
    Go,
    /// The connection does not become a link.
    Refuse(Refusal),
}

impl Handshake {
    /// The identity frame of this node.
    pub fn identity(cluster: &str, identity: Identity) -> Handshake {
        Handshake::Identity { cluster: cluster.to_owned(), identity }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Handshake, WireError> {
        let handshake = codec::decode("handshake frame", body)?;
        if let Handshake::Identity { cluster, identity } = &handshake {
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
