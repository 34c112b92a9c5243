//! The memory that a node has granted to other nodes' messages, beyond the initial windows.

use super::window::Room;
use super::{INITIAL_CREDIT, cost};
use convoke_model::Limits;

/// What a room takes of the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Share {
    /// A window that has grown.
    Grown(u64),
    /// Room for one large payload.
    Large(u64),
}

/// Sums of what is granted. `grown + large + unread` stays below `cap`, `grown` below `grown_cap`.
pub(super) struct Pool {
    cap: u64,
    /// Less than `cap` by the cost of the largest payload at least: windows that nobody uses keep what they were
    /// granted for as long as the link lives, and must not keep a large payload waiting for as long.
    grown_cap: u64,
    grown: u64,
    large: u64,
    /// What was delivered through a window that is closed by now, and is not taken yet.
    unread: u64,
    /// Rooms whose senders wait.
    waited_for: usize,
}

impl Pool {
    pub(super) fn new(limits: &Limits) -> Self {
        let largest = cost(limits.message);
        // The rest is for messages between processes of this node.
        let cap = (limits.memory as u64 / 4 * 3).max(largest);
        Self { cap, grown_cap: (cap / 2).min(cap - largest), grown: 0, large: 0, unread: 0, waited_for: 0 }
    }

    pub(super) fn cap(&self) -> u64 {
        self.cap
    }

    pub(super) fn total(&self) -> u64 {
        self.grown + self.large + self.unread
    }

    /// What a window may grow into, when the window itself is not counted.
    pub(super) fn room_to_grow(&self) -> u64 {
        self.grown_cap.saturating_sub(self.grown).min(self.cap.saturating_sub(self.total()))
    }

    /// More than half of what windows may grow into is granted.
    pub(super) fn is_short(&self) -> bool {
        self.room_to_grow() < self.grown_cap / 2
    }

    /// Is there room for a payload of this cost, when its window itself is not counted?
    pub(super) fn has_room(&self, cost: u64) -> bool {
        self.total() + cost.saturating_sub(INITIAL_CREDIT.bytes) <= self.cap
    }

    /// Do senders wait for a window?
    pub(super) fn is_waited_for(&self) -> bool {
        self.waited_for > 0
    }

    pub(super) fn add(&mut self, room: &Room) {
        self.waited_for += usize::from(room.is_waited_for());
        match room.share() {
            Share::Grown(bytes) => self.grown += bytes,
            Share::Large(bytes) => self.large += bytes,
        }
    }

    /// Undoes `add`, before the room changes.
    pub(super) fn sub(&mut self, room: &Room) {
        self.waited_for -= usize::from(room.is_waited_for());
        match room.share() {
            Share::Grown(bytes) => self.grown -= bytes,
            Share::Large(bytes) => self.large -= bytes,
        }
    }

    pub(super) fn add_unread(&mut self, bytes: u64) {
        self.unread += bytes;
    }

    pub(super) fn sub_unread(&mut self, bytes: u64) {
        self.unread -= bytes;
    }
}
