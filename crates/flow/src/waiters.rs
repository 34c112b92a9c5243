//! Senders that were refused and are owed a word when there is room again.

use std::collections::BTreeMap;

/// What a refused sender waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    /// Room at the receiver.
    Credit,
    /// Room in the buffers of the link.
    Link,
    /// Room among the large payloads that wait for room at their receivers.
    Parking,
}

struct Waiter {
    since: u64,
    want: Want,
}

/// Each (sender, receiver) is in here at most once, whatever it waits for, so it is told once. Those who wait longest
/// are told first.
#[derive(Default)]
pub(super) struct Waiters {
    /// By (sender, receiver).
    pairs: BTreeMap<(u64, u64), Waiter>,
    /// By (receiver, since): the sender and what its payload costs.
    credit: BTreeMap<(u64, u64), (u64, u64)>,
    /// By since: (sender, receiver).
    link: BTreeMap<u64, (u64, u64)>,
    /// By since: (sender, receiver) and what the payload costs.
    parking: BTreeMap<u64, ((u64, u64), u64)>,
    refusals: u64,
}

impl Waiters {
    pub(super) fn add(&mut self, from: u64, to: u64, want: Want, cost: u64) {
        self.refusals += 1;
        let mut since = self.refusals;
        if let Some(old) = self.pairs.remove(&(from, to)) {
            // Refused once more: it keeps its place, though it may wait for something else by now.
            since = old.since;
            self.unlist(to, &old);
        }
        match want {
            Want::Credit => drop(self.credit.insert((to, since), (from, cost))),
            Want::Link => drop(self.link.insert(since, (from, to))),
            Want::Parking => drop(self.parking.insert(since, ((from, to), cost))),
        }
        self.pairs.insert((from, to), Waiter { since, want });
    }

    /// Tells those who wait for room at `to` and whose cost there is room for.
    pub(super) fn tell_credit(&mut self, to: u64, fits: impl Fn(u64) -> bool, told: &mut Vec<(u64, u64)>) {
        let all = self.credit.range((to, 0)..=(to, u64::MAX));
        let due: Vec<_> =
            all.filter(|(_, (_, cost))| fits(*cost)).map(|(&key, &(from, _))| (key, from)).collect();
        for (key, from) in due {
            self.credit.remove(&key);
            self.pairs.remove(&(from, to));
            told.push((from, to));
        }
    }

    /// The largest cost for which somebody waits for room at `to`.
    pub(super) fn largest(&self, to: u64) -> Option<u64> {
        self.credit.range((to, 0)..=(to, u64::MAX)).map(|(_, &(_, cost))| cost).max()
    }

    pub(super) fn tell_link(&mut self, told: &mut Vec<(u64, u64)>) {
        for (_, pair) in std::mem::take(&mut self.link) {
            self.pairs.remove(&pair);
            told.push(pair);
        }
    }

    /// Tells those whose large payload there is room for.
    pub(super) fn tell_parking(&mut self, fits: impl Fn(u64) -> bool, told: &mut Vec<(u64, u64)>) {
        self.parking.retain(|_, (pair, cost)| {
            if fits(*cost) {
                self.pairs.remove(pair);
                told.push(*pair);
            }
            !fits(*cost)
        });
    }

    /// The process is gone: nobody is there to be told.
    pub(super) fn forget_sender(&mut self, from: u64) {
        let gone: Vec<_> = self.pairs.range((from, 0)..=(from, u64::MAX)).map(|(&pair, _)| pair).collect();
        for pair in gone {
            if let Some(waiter) = self.pairs.remove(&pair) {
                self.unlist(pair.1, &waiter);
            }
        }
    }

    /// Everybody, those who wait longest first.
    pub(super) fn tell_all(&mut self) -> Vec<(u64, u64)> {
        let all = std::mem::take(self);
        let mut told: Vec<_> = all.pairs.into_iter().map(|(pair, waiter)| (waiter.since, pair)).collect();
        told.sort_unstable();
        told.into_iter().map(|(_, pair)| pair).collect()
    }

    fn unlist(&mut self, to: u64, waiter: &Waiter) {
        match waiter.want {
            Want::Credit => drop(self.credit.remove(&(to, waiter.since))),
            Want::Link => drop(self.link.remove(&waiter.since)),
            Want::Parking => drop(self.parking.remove(&waiter.since)),
        }
    }
}
