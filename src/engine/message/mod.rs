//! Messages between processes: the data lane of a link and its flow control. Pure, like the rest of the engine.
//!
//! Payloads, kills and exit notices of one (sender, receiver) pair share one FIFO, so an exit never overtakes a message.
//! Room is granted per (sending node, receiving process), counted in messages and bytes, in absolute numbers since the
//! link came up, so that a repeated or late credit does no harm.

mod inbound;
mod outbox;

pub use inbound::{Inbound, Received, Violation};
pub use outbox::{EncodeData, Outbox, SendRefusal};

use super::id::NodeId;
use serde::{Deserialize, Serialize};

/// What a data frame is; its bytes follow raw. `from` and `to` are serials: the nodes are the two ends of the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum DataHeader {
    /// A whole message.
    Message { from: u64, to: u64 },
    /// The first piece of a message of `total` bytes.
    First { from: u64, to: u64, total: u64 },
    /// The next piece; the message ends when `total` bytes are there.
    More { from: u64, to: u64 },
    /// A payload of `bytes`, larger than the window, waits for room at `to`.
    Request { to: u64, bytes: u64 },
    /// Process `from` of the sending node exited: for the monitor `reference` of process `to`. The exit's data follow.
    Exit { from: u64, to: u64, reference: u64, reason: u32 },
    /// Process `from` kills process `to`.
    Kill { from: u64, to: u64, reason: u32 },
}

/// How much the sending node may have sent to a process since the link came up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Credit {
    pub messages: u64,
    pub bytes: u64,
}

/// The window that a waiting message occupies: room given to node `from` at the process `to` of this node.
/// `link` tells links of one node apart, so that what is taken after a reconnect does not count for the new link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Window {
    pub from: NodeId,
    pub link: u64,
    pub to: u64,
}

/// The room every (node, process) pair has unasked. A payload that fits goes out at once.
pub const INITIAL_CREDIT: Credit = Credit { messages: 64, bytes: 96 << 10 };
/// The largest window one pair is given.
pub const MAX_WINDOW: Credit = Credit { messages: 16 << 10, bytes: 4 << 20 };

/// What a message of this many bytes costs of a window's and the node's memory.
pub fn cost(payload: usize) -> u64 {
    (payload + super::limits::MESSAGE_OVERHEAD) as u64
}
