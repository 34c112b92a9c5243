//! What the engine tells of its own doings, for metrics. Nothing in the engine depends on it.

use super::Counters;
use super::machine::Engine;

/// One more of this kind; there are few kinds.
pub(super) fn count<K: PartialEq>(rows: &mut Vec<(K, u64)>, kind: K) {
    match rows.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += 1,
        None => rows.push((kind, 1)),
    }
}

impl Engine {
    pub fn counters(&self) -> &Counters {
        &self.cx.counters
    }
}
