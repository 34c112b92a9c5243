//! How many handshakes of each origin may fail.
//!
//! Each has a bucket: whoever connects takes a token out, and gives it back when it has become a link or has proven who it
//! is. What trickles in is for those that are set up wrongly, or look whether a port is open.

use super::origin::Origin;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// What a full bucket holds: as many handshakes of one origin may be under way, or fail at once.
pub(super) const FULL: u32 = 64;
/// One token more.
const TRICKLE: Duration = Duration::from_millis(500);
/// Buckets that are not full.
const MAX_BUCKETS: usize = 4096;

struct Bucket {
    tokens: u32,
    /// Up to when what has trickled in is counted.
    counted: Instant,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        let more = u32::try_from(passed.as_nanos() / TRICKLE.as_nanos()).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(more).min(FULL);
        self.counted = if self.tokens == FULL { now } else { self.counted + TRICKLE * more };
    }
}

#[derive(Default)]
pub(super) struct Failures {
    buckets: BTreeMap<Origin, Bucket>,
}

impl Failures {
    /// Takes a token. `false`: there is none, so what comes from there is worth no effort.
    pub(super) fn take(&mut self, origin: Origin, now: Instant) -> bool {
        if !self.buckets.contains_key(&origin) && self.buckets.len() >= MAX_BUCKETS {
            self.buckets.retain(|_, bucket| {
                bucket.fill(now);
                bucket.tokens < FULL
            });
            // From more origins than that whoever knocks never empties a bucket: nothing is lost with them.
            if self.buckets.len() >= MAX_BUCKETS {
                self.buckets.clear();
            }
        }
        let bucket = self.buckets.entry(origin).or_insert(Bucket { tokens: FULL, counted: now });
        bucket.fill(now);
        let has = bucket.tokens > 0;
        bucket.tokens -= u32::from(has);
        has
    }

    /// What took a token has not failed.
    pub(super) fn give_back(&mut self, origin: Origin) {
        if let Some(bucket) = self.buckets.get_mut(&origin) {
            bucket.tokens = (bucket.tokens + 1).min(FULL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(n: u32) -> Origin {
        Origin::of(Some(std::net::IpAddr::V4(n.into())))
    }

    #[test]
    fn failures_of_one_origin_are_counted_and_forgiven_in_time() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        assert!((0..FULL).all(|_| failures.take(origin(1), now)));
        assert!(!failures.take(origin(1), now));
        assert!(failures.take(origin(2), now), "another one is not meant");
        failures.give_back(origin(1));
        assert!(failures.take(origin(1), now) && !failures.take(origin(1), now));
        // A fraction of a token is not lost by looking.
        for part in 1..=10 {
            assert_eq!(failures.take(origin(1), now + TRICKLE * part / 10), part == 10);
        }
        let later = now + TRICKLE * 2 * FULL;
        assert_eq!((0..2 * FULL).filter(|_| failures.take(origin(1), later)).count(), FULL as usize);
    }

    #[test]
    fn origins_without_end_take_no_memory() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        assert!((0..100_000).all(|n| failures.take(origin(n), now)));
        assert!(failures.buckets.len() <= MAX_BUCKETS);
        // Those that have been quiet make room for others, and those that have not do not.
        let mut failures = Failures::default();
        assert!((0..MAX_BUCKETS as u32 - 1).all(|n| failures.take(origin(n), now)));
        let later = now + TRICKLE;
        while failures.take(origin(u32::MAX), later) {}
        assert!(failures.take(origin(u32::MAX - 1), later) && !failures.take(origin(u32::MAX), later));
        assert_eq!(failures.buckets.len(), 2);
    }
}
