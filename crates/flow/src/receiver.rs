//! What the sending side knows of one process of the peer.

use super::{Credit, INITIAL_CREDIT};

/// A large payload that waits for room at its receiver.
#[derive(Clone, Copy)]
pub(super) struct Parked {
    pub(super) from: u64,
    pub(super) cost: u64,
    /// It was parked while the window was not known to be untouched.
    pub(super) blind: bool,
    /// Room was asked for, as nothing else is at the receiver. Before, it is asked when that is so.
    pub(super) requested: bool,
}

/// What may be sent to one process of the peer.
pub(super) struct Receiver {
    pub(super) granted: Credit,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// The bytes that the present `Wait` asks for; 0: none is under way.
    pub(super) asked: u64,
    /// The block that has the last frame for it.
    pub(super) block: u64,
    /// The large payload that waits for room. Nothing else is sent to the receiver meanwhile.
    pub(super) parked: Option<Parked>,
    /// Pairs of this receiver with a queue in `Bulk`.
    pub(super) queues: u32,
    pub(super) gone: bool,
}

impl Receiver {
    pub(super) fn new(block: u64) -> Self {
        Self {
            granted: INITIAL_CREDIT,
            messages: 0,
            bytes: 0,
            asked: 0,
            block,
            parked: None,
            queues: 0,
            gone: false,
        }
    }

    /// Is so much granted? What was granted is never less than what was used.
    pub(super) fn has(&self, cost: u64) -> bool {
        self.messages < self.granted.messages && cost <= self.granted.bytes - self.bytes
    }

    pub(super) fn fits(&self, cost: u64) -> bool {
        self.has(cost) && self.parked.is_none()
    }

    pub(super) fn charge(&mut self, cost: u64) {
        self.messages += 1;
        self.bytes += cost;
    }

    /// Takes a credit in; is there anything new in it?
    pub(super) fn raise(&mut self, credit: Credit) -> bool {
        let before = self.granted;
        self.granted.messages = before.messages.max(credit.messages);
        self.granted.bytes = before.bytes.max(credit.bytes);
        self.granted.taken = before.taken.max(credit.taken);
        self.granted != before
    }

    pub(super) fn window(&self) -> u64 {
        self.granted.bytes.saturating_sub(self.granted.taken)
    }

    /// Everything that was sent to it is taken.
    pub(super) fn is_untouched(&self) -> bool {
        self.granted.taken >= self.bytes
    }

    /// Is it worth trying again with a payload of this cost? A quarter of the window is free, so that senders are not
    /// called for every message that is taken.
    pub(super) fn is_inviting(&self, cost: u64) -> bool {
        let window = self.window();
        let enough = cost.min(window).max(window / 4);
        let free = self.messages < self.granted.messages && enough <= self.granted.bytes - self.bytes;
        self.parked.is_none() && (free || self.is_untouched())
    }
}
