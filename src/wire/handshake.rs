//! What two nodes say to each other before their connection is a link.
//!
//! Both ends send their identity at once. Of the two nodes the one with the lower id then says `Go`, and the connection
//! is a link, or `Refuse`, and it ends. Either says `Refuse` to a peer of another cluster or version. A cipher will
//! take its place here: the frames of this lane stay what they are, inside it.

use super::{WireError, codec};
use crate::engine::{Identity, MAX_TEXT, NodeId, Refusal};
use serde::{Deserialize, Serialize};

/// The first bytes of every connection, so that a stranger is known by its first frame.
pub(super) const MAGIC: [u8; 8] = *b"CONVOKE\0";
/// The protocol versions that this node speaks, first and last.
pub const VERSIONS: (u16, u16) = (1, 1);
/// The largest frame before a connection is a link: three texts and what stands around them.
pub(super) const MAX_HANDSHAKE_FRAME: usize = 1024;

/// A frame of the handshake lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Handshake {
    /// What the sender is. `magic` and `versions` keep their place in every version, so that two nodes that have no
    /// version in common can say so.
    Identity {
        magic: [u8; 8],
        versions: (u16, u16),
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
        Handshake::Identity { magic: MAGIC, versions: VERSIONS, cluster: cluster.to_owned(), identity }
    }

    pub(super) fn decode(body: &[u8]) -> Result<Handshake, WireError> {
        // The number of the variant, then the two fields that every version understands: what follows them is decoded
        // only when it is known to be of a common version.
        if body.first() == Some(&0) {
            let ((magic, versions), _): (([u8; 8], (u16, u16)), _) =
                codec::decode_prefix("identity", &body[1..]).map_err(|_| WireError::Stranger)?;
            if magic != MAGIC {
                return Err(WireError::Stranger);
            }
            if versions.0 > VERSIONS.1 || versions.1 < VERSIONS.0 || versions.0 > versions.1 {
                return Err(WireError::Version(versions.0, versions.1));
            }
        }
        let handshake = codec::decode("handshake frame", body)?;
        if let Handshake::Identity { cluster, identity, .. } = &handshake {
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
