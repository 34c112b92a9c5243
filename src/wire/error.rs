//! Why bytes were not understood.

use super::Denial;
use crate::engine::Status;
use std::fmt;

/// The bytes of a peer are not what the protocol says, or the peer wants none of ours. The connection is over: a stream
/// has no place to start again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireError {
    /// A frame of a length that is not allowed at this point of the connection.
    Length { length: usize, limit: usize },
    /// A lane that does not exist or is not open at this point of the connection.
    Lane(u8),
    /// The body does not decode.
    Malformed(&'static str),
    /// Whoever sent this does not speak Convoke's protocol.
    Stranger,
    /// There is no common version of the protocol: the peer's first and last one, and those of this node.
    Version((u16, u16), (u16, u16)),
    /// This node does not take the peer.
    Denied(Denial),
    /// The peer does not take this node.
    DeniedByPeer(Denial),
    /// The peer, of a later version, does not take this node, for a reason that has this number.
    DeniedUnknown(u8),
    /// The handshake of the cipher failed.
    Handshake,
    /// A record does not open.
    Forged,
    /// The peer is not the one that its handshake spoke of.
    Identity,
}

impl WireError {
    /// What whoever dialled gets to hear.
    pub fn status(&self) -> Status {
        match self {
            WireError::Version(..) => Status::Version,
            WireError::Denied(denial) | WireError::DeniedByPeer(denial) => match denial {
                Denial::Version => Status::Version,
                Denial::Busy => Status::Unreachable,
                Denial::Mode | Denial::Cluster | Denial::Secret => Status::Auth,
            },
            WireError::DeniedUnknown(_) | WireError::Handshake | WireError::Identity => Status::Auth,
            WireError::Length { .. }
            | WireError::Lane(_)
            | WireError::Malformed(_)
            | WireError::Stranger
            | WireError::Forged => Status::Unreachable,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            WireError::Length { length, limit } => {
                write!(f, "a frame of {length} bytes where 1 to {limit} are allowed")
            }
            WireError::Lane(lane) => write!(f, "a frame on lane {lane}, which is not open"),
            WireError::Malformed(what) => write!(f, "a {what} that does not decode"),
            WireError::Stranger => f.write_str("the peer does not speak Convoke's protocol"),
            WireError::Version(theirs, mine) => write!(
                f,
                "the peer speaks protocol versions {} to {}, this node {} to {}",
                theirs.0, theirs.1, mine.0, mine.1
            ),
            WireError::Denied(denial) | WireError::DeniedByPeer(denial) => f.write_str(match denial {
                Denial::Version => "the peer speaks no version of the protocol that this node does",
                Denial::Mode => {
                    "one end protects its links by a secret or TLS and the other does not, or in another way: set the \
                     same of the options secret, secret.file and tls on both"
                }
                Denial::Cluster => {
                    "the two nodes belong to clusters of different names: check the option cluster on both"
                }
                Denial::Secret => {
                    "the two nodes share no secret: give both the same secret (options secret, secret.file)"
                }
                Denial::Busy => "the peer has too many handshakes under way",
            }),
            WireError::DeniedUnknown(reason) => {
                write!(f, "the peer refuses this node for a reason that only its version knows: {reason}")
            }
            WireError::Handshake => f.write_str(
                "the encrypted handshake failed: the bytes were changed on their way, or the peer does not know the \
                 secret",
            ),
            WireError::Forged => f.write_str(
                "a record does not open: it was changed, repeated, left out or moved on its way",
            ),
            WireError::Identity => f.write_str("the peer is not the node that its handshake spoke of"),
        }
    }
}

impl std::error::Error for WireError {}
