//! Messages between processes: the data lane of a link and its flow control. Pure, as the engine is.
//!
//! Payloads, kills and exit notices of one (sender, receiver) pair share one FIFO, so an exit never overtakes a message.
//! Room is granted per (sending node, receiving process), counted in messages and bytes, in absolute numbers since the
//! link came up, so that a repeated or late credit does no harm.
//!
//! * A payload that fits into what is granted goes at once. Else the sender is refused, remembered, and told when there
//!   is room; meanwhile the node asks for a credit ([`DataHeader::Wait`]), for the receiver reports what was taken only
//!   in quarters of a window.
//! * A payload larger than the window waits at its own node and is asked for ([`DataHeader::Request`]) once nothing of
//!   this node lies unread at the receiver; from then on it depends on the other node's memory alone. Those that still
//!   depend on a process that may not read are bounded by themselves.
//! * The receiving node grants windows and large payloads out of one cap. The part that windows may grow into leaves
//!   room for the largest payload, so idle windows cannot keep large payloads out.

#![forbid(unsafe_code)]

mod blocks;
mod bulk;
mod inbound;
mod outbox;
mod partial;
mod pool;
mod receiver;
#[cfg(test)]
mod tests;
mod waiters;
mod window;

pub use inbound::{Inbound, Payloads, Received, Violation};
pub use outbox::{EncodeData, Outbox, SendRefusal};

pub use convoke_model::Window;
use serde::{Deserialize, Serialize};

/// Overhead that is charged for a waiting message beside its payload, so that empty messages are bounded too.
pub const MESSAGE_OVERHEAD: usize = 128;
/// The largest piece of a payload that is sent in one go; a message of another pair waits for at most one.
pub const FRAGMENT: usize = 64 << 10;

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
    /// Senders to `to` were refused. A credit is wanted as soon as one can be given that reaches `want` in messages and
    /// bytes, or in `taken`: then all that was sent is taken, and more room than there is will not come.
    Wait { to: u64, want: Credit },
}

/// How much the sending node may have sent to a process since the link came up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Credit {
    pub messages: u64,
    pub bytes: u64,
    /// The bytes that the application has taken of it: `bytes - taken` is the present window. A sender whose bytes are
    /// all taken knows that the window is untouched.
    pub taken: u64,
}

/// The room every (node, process) pair has unasked. A payload that fits goes out at once.
pub const INITIAL_CREDIT: Credit = Credit { messages: 64, bytes: 96 << 10, taken: 0 };
/// The largest window one pair is given.
pub const MAX_WINDOW: Credit = Credit { messages: 16 << 10, bytes: 4 << 20, taken: 0 };

/// Messages in pieces that may be under way on one link at a time, in each direction.
const MAX_STREAMS: usize = 1024;

/// What a message of this many bytes costs of a window's and the node's memory.
pub fn cost(payload: usize) -> u64 {
    (payload + MESSAGE_OVERHEAD) as u64
}
