//! The room that one (sending node, receiving process) pair has.

use super::inbound::Violation;
use super::pool::{Pool, Share};
use super::{Credit, INITIAL_CREDIT, MAX_WINDOW};

/// What was taken is told in parts of a window: of these at most one is taken and not told, and of those in which the application's
/// reading is reported one more. A credit takes its way meanwhile: of what was read in one go no credit has come back yet when as
/// much is sent again. So whoever keeps a quarter of a window unread, or on its way, is not refused for what was read already:
/// that quarter, another one of which the credit is under way, and a few of these parts.
const TOLD_IN: u64 = 8;

/// Numbers count from the moment the link came up; what is told is never taken back.
/// taken <= arrived <= told.
pub(super) struct Room {
    /// The last credit that the sender was told.
    told: Credit,
    arrived_messages: u64,
    arrived_bytes: u64,
    taken_messages: u64,
    taken_bytes: u64,
    /// What the pair may have outstanding; what was told may be more for a while, after the window shrank.
    messages: u64,
    bytes: u64,
    /// Taken since the size of the window was last thought about.
    pace_messages: u64,
    pace_bytes: u64,
    /// Since then the sender has come near the end of what it was granted.
    pressed: bool,
    /// A large payload was granted: until so many bytes are taken, nothing else is.
    large_until: Option<u64>,
    /// Refused senders wait for this.
    wait: Option<Credit>,
    /// The place in the queue of the large payload that waits for room.
    pub(super) request: Option<u64>,
    /// Messages of which pieces are missing, and what they cost.
    pub(super) partials: u64,
    pub(super) partial_bytes: u64,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            told: INITIAL_CREDIT,
            arrived_messages: 0,
            arrived_bytes: 0,
            taken_messages: 0,
            taken_bytes: 0,
            messages: INITIAL_CREDIT.messages,
            bytes: INITIAL_CREDIT.bytes,
            pace_messages: 0,
            pace_bytes: 0,
            pressed: false,
            large_until: None,
            wait: None,
            request: None,
            partials: 0,
            partial_bytes: 0,
        }
    }

    /// What of the pool it takes: all that it may still bring, or has brought and is not taken yet.
    pub(super) fn share(&self) -> Share {
        let beyond = (self.told.bytes - self.taken_bytes).saturating_sub(INITIAL_CREDIT.bytes);
        match self.large_until {
            Some(_) => Share::Large(beyond),
            None => Share::Grown(beyond),
        }
    }

    /// A message has come, or its first piece.
    pub(super) fn arrive(&mut self, cost: u64) -> Result<(), Violation> {
        if self.request.is_some() {
            return Err(Violation("a message to a process for which a request waits"));
        }
        let (messages, bytes) =
            (self.told.messages - self.arrived_messages, self.told.bytes - self.arrived_bytes);
        if messages == 0 || cost > bytes {
            return Err(Violation("a message beyond the credit"));
        }
        self.arrived_messages += 1;
        self.arrived_bytes += cost;
        self.pressed |= (messages - 1) * 4 < self.messages || (bytes - cost) * 4 < self.bytes;
        Ok(())
    }

    /// Bytes delivered and not taken.
    pub(super) fn unread(&self) -> u64 {
        self.arrived_bytes - self.taken_bytes - self.partial_bytes
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.wait.is_some()
    }

    /// Refused senders wait. To be followed by `grant`. The room is not counted in the pool at this moment.
    pub(super) fn wait(&mut self, want: Credit) -> Result<(), Violation> {
        if want.taken > self.told.bytes {
            return Err(Violation("more sent than was granted"));
        }
        self.pressed = true;
        self.wait = Some(want);
        Ok(())
    }

    /// May a payload of this cost be asked for? `Ok(false)`: there is room already.
    pub(super) fn check_request(&mut self, cost: u64) -> Result<bool, Violation> {
        if self.request.is_some() {
            return Err(Violation("two requests for one process"));
        }
        if self.arrived_bytes != self.taken_bytes {
            return Err(Violation("a request for a window in use"));
        }
        self.pressed = true;
        Ok(cost > self.told.bytes - self.arrived_bytes || self.told.messages == self.arrived_messages)
    }

    /// Room for the large payload that was asked for.
    pub(super) fn grant_large(&mut self, cost: u64) -> Credit {
        self.request = None;
        self.told.messages = self.told.messages.max(self.taken_messages + self.messages);
        self.told.bytes = self.told.bytes.max(self.taken_bytes + cost);
        self.told.taken = self.taken_bytes;
        self.large_until = Some(self.told.bytes);
        self.told
    }

    /// The application has taken messages. To be followed by `grant`.
    pub(super) fn take(&mut self, messages: u64, bytes: u64) {
        let messages = messages.min(self.arrived_messages - self.taken_messages - self.partials);
        let bytes = bytes.min(self.unread());
        self.taken_messages += messages;
        self.taken_bytes += bytes;
        self.pace_messages += messages;
        self.pace_bytes += bytes;
        if self.large_until.is_some_and(|until| self.taken_bytes >= until) {
            self.large_until = None;
        }
    }

    /// The credit that is due now, if any. The room is not counted in the pool at this moment.
    pub(super) fn grant(&mut self, pool: &Pool) -> Option<Credit> {
        let mut next = Credit { taken: self.taken_bytes, ..self.told };
        if self.large_until.is_none() {
            self.resize(pool);
            next.messages = next.messages.max(self.taken_messages + self.messages);
            next.bytes = next.bytes.max(self.taken_bytes + self.bytes);
        }
        let raised = (next.messages - self.told.messages) * TOLD_IN >= self.messages
            || (next.bytes - self.told.bytes) * TOLD_IN >= self.bytes;
        let waited = self.wait.is_some_and(|want| {
            (next.messages >= want.messages && next.bytes >= want.bytes) || next.taken >= want.taken
        });
        if waited {
            self.wait = None;
        }
        if next == self.told || !(raised || waited) {
            return None;
        }
        self.told = next;
        Some(next)
    }

    /// Doubles the window when the receiver has taken a whole one and the sender could have used more; halves it when
    /// the pool is short. One window takes at most half of what is left, so there is always something for others.
    fn resize(&mut self, pool: &Pool) {
        let free = pool.room_to_grow();
        let fits = |bytes: u64| bytes - INITIAL_CREDIT.bytes <= free / 2;
        if self.pace_messages >= self.messages || self.pace_bytes >= self.bytes {
            let twice = (self.bytes * 2).min(MAX_WINDOW.bytes);
            if !self.pressed {
                if pool.is_short() {
                    self.halve();
                }
            } else if fits(twice) {
                self.messages = (self.messages * 2).min(MAX_WINDOW.messages);
                self.bytes = twice;
            }
            self.pressed = false;
            self.pace_messages = 0;
            self.pace_bytes = 0;
        }
        while self.bytes > INITIAL_CREDIT.bytes && !fits(self.bytes) {
            self.halve();
        }
    }

    fn halve(&mut self) {
        self.messages = (self.messages / 2).max(INITIAL_CREDIT.messages);
        self.bytes = (self.bytes / 2).max(INITIAL_CREDIT.bytes);
    }
}
