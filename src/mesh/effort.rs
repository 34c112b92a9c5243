//! How much of the node's thread one connection gets: turns that end, and a budget for what costs more than its bytes are worth.

use std::future::Future;
use std::task::Context;
use std::time::{Duration, Instant};

/// What others wait for the end of a turn at most, unless one single frame takes longer.
pub(crate) const TURN: Duration = Duration::from_millis(2);
/// What the frames and bytes of an honest peer cost at most, in the slowest build.
const PER_FRAME: Duration = Duration::from_micros(50);
const PER_BYTE: Duration = Duration::from_nanos(50);
/// What goes beyond that a peer has so much of in a second; the tables at the beginning of a link may need it.
const PER_SECOND: Duration = Duration::from_millis(250);
/// A peer that has used it up is not read for so long. Its bytes lie in the socket, and it notices nothing else: a life sign
/// that comes so much later does no harm.
const REST: Duration = Duration::from_millis(20);

/// Of one connection.
#[derive(Debug)]
pub(super) struct Effort {
    /// When the turn began.
    began: Instant,
    worth: Duration,
    /// What is left of the budget, as of the last turn.
    left: Duration,
}

impl Effort {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), worth: Duration::ZERO, left: PER_SECOND }
    }

    /// A turn begins.
    pub(super) fn begin(&mut self) {
        let now = Instant::now();
        // Refilled while the connection had no turn, too.
        let refill = now.saturating_duration_since(self.began) * PER_SECOND.as_millis() as u32 / 1000;
        self.left = (self.left + refill).min(PER_SECOND);
        self.began = now;
        self.worth = Duration::ZERO;
    }

    pub(super) fn note_bytes(&mut self, bytes: usize) {
        self.worth += PER_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX);
    }

    pub(super) fn note_frame(&mut self) {
        self.worth += PER_FRAME;
    }

    pub(super) fn is_turn_over(&self) -> bool {
        self.began.elapsed() >= TURN
    }

    /// The turn is over. How long the peer has to rest, if it has cost too much.
    pub(super) fn end(&mut self) -> Option<Duration> {
        self.end_after(self.began.elapsed())
    }

    fn end_after(&mut self, took: Duration) -> Option<Duration> {
        let excess = took.saturating_sub(self.worth);
        self.left = self.left.saturating_sub(excess);
        (self.left.is_zero() && !excess.is_zero()).then_some(REST)
    }
}

/// A task that has more to do goes on when the others had their turn, and those too whose sockets have become ready meanwhile: a plain wake-up
/// would come before the runtime looks at the sockets again, many times over.
pub(crate) fn give_way(cx: &mut Context<'_>) {
    if std::pin::pin!(tokio::task::yield_now()).poll(cx).is_ready() {
        cx.waker().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bytes_are_worth_is_free() {
        let mut effort = Effort::new();
        for _ in 0..10_000 {
            effort.worth = Duration::ZERO;
            effort.note_frame();
            effort.note_bytes(1000);
            assert_eq!(effort.end_after(Duration::from_micros(70)), None);
        }
        assert_eq!(effort.left, PER_SECOND);
    }

    #[test]
    fn who_costs_more_rests_when_the_budget_is_used_up() {
        let mut effort = Effort::new();
        let turns = (0..).take_while(|_| {
            effort.worth = Duration::ZERO;
            effort.note_frame();
            effort.end_after(TURN + PER_FRAME).is_none()
        });
        assert_eq!(turns.count(), 124);
        assert_eq!(effort.end_after(Duration::ZERO), None, "an idle peer does not");
        // One second later it has its budget again.
        effort.began =
            Instant::now().checked_sub(Duration::from_secs(1)).expect("the machine is up for a second");
        effort.begin();
        assert_eq!(effort.left, PER_SECOND);
    }
}
