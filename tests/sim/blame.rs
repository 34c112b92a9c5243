//! What must not happen between honest nodes: that one takes the other for a breaker of the protocol, or grants it more
//! room than its own processes have made.

use crate::world::{R, World};
use convoke::flow::{INITIAL_CREDIT, Window, cost};
use convoke::model::{Level, NodeId, Topic};
use std::collections::BTreeMap;

/// What processes have taken of each window of a node: messages, and bytes with their overhead.
pub(crate) type Taken = BTreeMap<(NodeId, Window), (u64, u64)>;

impl World {
    /// All nodes of a run keep to the protocol, so no link is ended because its peer does not.
    pub(crate) fn nobody_is_blamed(&self, slot: usize, level: Level, topic: Topic, text: &str) -> R {
        if (level, topic) == (Level::Error, Topic::Link) {
            return Err(format!("blame: h{slot}: {text}\n{}", self.describe()));
        }
        Ok(())
    }

    /// A window begins small, and is doubled at most when a whole one of it was taken: so what waits in it is never more
    /// than it was at first and what has been taken since, but for one large payload.
    pub(crate) fn window_is_bounded(&self, slot: usize, serial: u64, window: Window) -> R {
        let host = &self.hosts[slot];
        let Some(process) = host.processes.get(&serial) else { return Ok(()) };
        let waiting = process.mailbox.iter().filter(|waiting| waiting.window == window);
        let (count, bytes) = waiting.fold((0, 0), |(n, sum), waiting| (n + 1, sum + waiting.cost));
        let (taken, taken_bytes) = self.book.taken.get(&(host.id, window)).copied().unwrap_or_default();
        let each = INITIAL_CREDIT.bytes / INITIAL_CREDIT.messages;
        let most = INITIAL_CREDIT.messages + taken + taken_bytes / each;
        let most_bytes = INITIAL_CREDIT.bytes + taken_bytes + taken * each + cost(self.plan.limits.message);
        if count > most || bytes > most_bytes {
            return Err(format!(
                "P8: {count} messages, {bytes} bytes wait in {window:?} on h{slot}, allowed are {most}, {most_bytes}"
            ));
        }
        Ok(())
    }
}
