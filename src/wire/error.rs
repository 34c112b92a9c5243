//! Why bytes were not understood.

use super::Denial;
use crate::model::Status;
use thiserror::Error;

/// The bytes of a peer are not what the protocol says, or the peer wants none of ours. The connection is over: a stream
/// has no place to start again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WireError {
    /// A frame of a length that is not allowed at this point of the connection.
    #[error("a frame of {length} bytes where at most {limit} are allowed")]
    Length { length: usize, limit: usize },
    /// A lane that does not exist or is not open at this point of the connection.
    #[error("a frame on lane {0}, which is not open")]
    Lane(u8),
    /// Length and lane of a frame do not fit to their check.
    #[error("the header of a frame was damaged on its way")]
    Header,
    /// The body does not decode.
    #[error("a {0} that does not decode")]
    Malformed(&'static str),
    /// The sender does not speak Convoke's protocol.
    #[error("the peer does not speak Convoke's protocol")]
    Stranger,
    /// There is no common version of the protocol: the peer's first and last one, and those of this node.
    #[error("the peer speaks protocol versions {} to {}, this node {} to {}", .0.0, .0.1, .1.0, .1.1)]
    Version((u16, u16), (u16, u16)),
    /// This node does not take the peer.
    #[error("{}", .0.text())]
    Denied(Denial),
    /// The peer does not take this node.
    #[error("{}", .0.text())]
    DeniedByPeer(Denial),
    /// The peer, of a later version, does not take this node, for a reason that has this number.
    #[error("the peer refuses this node for a reason that only its version knows: {0}")]
    DeniedUnknown(u8),
    /// The handshake of the cipher failed.
    #[error(
        "the encrypted handshake failed: the bytes were changed on their way, or the peer does not know the secret"
    )]
    Handshake,
    /// The certificate of the peer is not taken here.
    #[error("the certificate of the peer is refused: {}", .0.text())]
    Certificate(Flaw),
    /// The certificate of this node is not taken by the peer.
    #[error("the peer refuses the certificate of this node: {}", .0.text())]
    CertificateByPeer(Flaw),
    /// A record does not open.
    #[error("a record does not open: it was changed, repeated, left out or moved on its way")]
    Forged,
    /// The peer is not the one that its handshake spoke of.
    #[error("the peer is not the node that its handshake spoke of")]
    Identity,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    Missing,
    Expired,
    Early,
    Issuer,
    Revoked,
    NoList,
    Name,
    Purpose,
    Other,
}

impl Flaw {
    pub fn text(self) -> &'static str {
        match self {
            Self::Missing => "there is none",
            Self::Expired => {
                "it is not valid any more, or not yet: renew it (tls.cert), and compare the clocks of the machines"
            }
            Self::Early => "it is not valid yet: compare the clocks of the machines",
            Self::Issuer => {
                "no authority that is trusted has signed it: check tls.ca at the end that refuses it, and that tls.cert holds \
                 all certificates between it and the authority"
            }
            Self::Revoked => "it was revoked (tls.crl)",
            Self::NoList => "tls.crl has no good list of the authority that signed it",
            Self::Name => "it is not valid for the name that the node claims",
            Self::Purpose => {
                "it is for another purpose: its extended key usage, if it has one, must have clientAuth"
            }
            Self::Other => "it is not a valid one",
        }
    }
}

impl Denial {
    fn text(self) -> &'static str {
        match self {
            Self::Version => "the peer speaks no version of the protocol that this node does",
            Self::Mode => {
                "one end protects its links by a secret or TLS and the other does not, or in another way: set the \
                 same of the options secret, secret.file and tls on both (without them a node takes the secret of its user, \
                 if it can and insecure.plaintext is not set)"
            }
            Self::Cluster => {
                "the two nodes belong to clusters of different names: check the option cluster on both"
            }
            Self::Secret => {
                "the two nodes share no secret: give both the same secret (options secret, secret.file); without one each \
                 user of a machine has a secret of the user's own"
            }
            Self::Busy => {
                "the end that was dialled has too many handshakes under way, or too many from this address have failed"
            }
        }
    }
}

impl WireError {
    /// What whoever dialled gets to hear.
    pub fn status(&self) -> Status {
        match self {
            Self::Version(..) => Status::Version,
            Self::Denied(denial) | Self::DeniedByPeer(denial) => match denial {
                Denial::Version => Status::Version,
                Denial::Busy => Status::Unreachable,
                Denial::Mode | Denial::Cluster | Denial::Secret => Status::Auth,
            },
            Self::DeniedUnknown(_)
            | Self::Handshake
            | Self::Certificate(_)
            | Self::CertificateByPeer(_)
            | Self::Identity => Status::Auth,
            Self::Length { .. }
            | Self::Lane(_)
            | Self::Header
            | Self::Malformed(_)
            | Self::Stranger
            | Self::Forged => Status::Unreachable,
        }
    }
}
