//! What an engine counts of its own doings, for metrics.

use crate::{Inspection, Reason};
use std::time::Duration;

/// What an engine tells of itself at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    pub counters: Counters,
    pub gauges: Gauges,
    /// If that was asked for: it takes longer.
    pub inspection: Option<Inspection>,
}

/// Upper bounds of the buckets of every histogram, in microseconds. What is beyond the last has a bucket of its own.
pub const BUCKETS: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 60_000_000,
];

/// How often something took how long.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    /// Of each bucket by itself.
    counts: [u64; BUCKETS.len() + 1],
    sum_us: u64,
}

impl Histogram {
    pub fn add(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[BUCKETS.partition_point(|bound| *bound < us)] += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }
    /// So many took no longer than each bound, the last being "for ever".
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BUCKETS.iter().copied().map(Some).chain([None]);
        bounds.zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

/// Since the node was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    pub links_up: u64,
    /// Links to an incarnation that had one before.
    pub reconnects: u64,
    /// By the reason.
    pub links_down: Vec<(Reason, u64)>,
    pub dials: u64,
    pub dials_failed: u64,
    /// Connections that this node refused after the peer had said who it is, by why.
    pub refused: Vec<(String, u64)>,
    pub heartbeats: u64,
    pub round_trips: Histogram,
    pub suspicions: u64,
    /// Suspected peers that were heard again.
    pub rescues: u64,
    pub own_pauses: u64,
    pub violations: u64,
    /// Words of peers in the name of another node that would say them itself, or that were not theirs to pass on.
    pub relays_refused: u64,
    /// Peers that were parted because they kept this node waiting, by their names.
    pub parted: Vec<(String, u64)>,
    /// Claims that this node began.
    pub claims: u64,
    /// Claims that ended without what they were for: no, too late, cancelled, or their process ended.
    pub claims_failed: u64,
    /// From the claim to the answer.
    pub registering: Histogram,
    pub acquiring: Histogram,
    /// Pairs that this node had to decide as the lower home.
    pub clashes: u64,
    pub clashes_decided: u64,
    pub resolver_calls: u64,
    pub resolver_failures: u64,
    pub locks_lost: u64,
    pub forwards: u64,
}

/// What there is at this moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gauges {
    pub links: u64,
    pub links_synced: u64,
    pub links_suspected: u64,
    /// Peers that are left alone at the moment because they kept this node waiting.
    pub parted: u64,
    pub targets: u64,
    pub names_own: u64,
    pub claims_naming: u64,
    pub claims_locking: u64,
    pub publications: u64,
    /// Of this node's operations the one that waits for longest.
    pub oldest_wait: Duration,
    /// Claims of any node at this voter: granted and not complete, or waiting.
    pub claims_here: u64,
    /// Bytes that are kept of what peers have published.
    pub published: u64,
    pub holds: u64,
    pub holds_own: u64,
    pub clashes_undecided: u64,
    pub resolvers_running: u64,
    pub memberships: u64,
    pub memberships_own: u64,
    pub forwards: u64,
    /// Bytes granted to messages of other nodes beyond the first windows, and how many there may be.
    pub granted: u64,
    pub granted_cap: u64,
    /// How late this node's timers were lately, 0 (well) to 6.
    pub local_health: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_adds_up() {
        let mut histogram = Histogram::default();
        for us in [0, 50, 51, 1_000, 61_000_000] {
            histogram.add(Duration::from_micros(us));
        }
        let rows: Vec<_> = histogram.cumulative().collect();
        assert_eq!(rows[0], (Some(50), 2));
        assert_eq!(rows[1], (Some(100), 3));
        assert_eq!(rows[4], (Some(1_000), 4));
        assert_eq!(rows[BUCKETS.len() - 1], (Some(60_000_000), 4));
        assert_eq!(rows[BUCKETS.len()], (None, 5));
        assert_eq!((histogram.count(), histogram.sum_us()), (5, 61_001_101));
        assert!(BUCKETS.is_sorted());
    }
}
