//! Why a connection does not become a link, and why a link ends, as one node tells the other.

use super::*;
use serde::{Deserialize, Serialize};

/// Why a connection does not become a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// The two nodes have a link already; the other side probes it.
    Linked,
    /// It is this very node.
    Myself,
    /// Another node of the same name is there; whether it is well is being found out. Dial again.
    NameInDoubt,
    /// Said by a node of the same name, which has more links, or as many and has been open for longer: the refused node closes.
    NameTaken,
    /// The limit of peers is reached.
    TooManyPeers,
    /// The node is closing.
    Closing,
    /// Another cluster name.
    Cluster,
    /// No common protocol version.
    Version,
    /// The link was ended on purpose by `convoke_node_disconnect`.
    Disconnected,
    /// The refused node has kept the other one waiting for too long, and is left alone for a while.
    Slow,
    /// It has published more than the other one keeps of one node, or a longer name, and is left alone for a while.
    TooMuch,
    /// It has broken the protocol, and is left alone for a while.
    Violation,
}

impl Refusal {
    /// The refused node is left alone for a while because of what it did.
    pub fn is_for_conduct(self) -> bool {
        matches!(self, Self::Slow | Self::TooMuch | Self::Violation)
    }
}

/// Why a side gives up a link in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Goodbye {
    /// The node closes: its processes are gone for good.
    Closing,
    /// The peer was silent for too long.
    Silent,
    /// `convoke_node_disconnect` was called.
    Disconnected,
    /// The peer broke the protocol.
    Violation,
    /// The arbiter has made another connection the link since, or this one's snapshot is older than what was heard before.
    Stale,
    /// The peer has kept the sender waiting for too long, and is left alone for a while.
    Slow,
    /// The peer has published more than the sender keeps of one node, or a longer name, and is left alone for a while.
    TooMuch,
}

impl Goodbye {
    /// The reason that exits and NODE_DOWN carry after this goodbye.
    pub fn reason(self) -> Reason {
        match self {
            Self::Closing => Reason::NODE_CLOSED,
            Self::Disconnected => Reason::DISCONNECTED,
            Self::Silent | Self::Violation | Self::Stale | Self::Slow | Self::TooMuch => {
                Reason::NODE_UNREACHABLE
            }
        }
    }
}
