//! The places of connections that were accepted and are not links yet, and who has to leave when they are all taken.
//!
//! A newcomer never waits and is never turned away. It takes the place of another: of the origin that has most places the
//! oldest. So an origin that comes seldom keeps its own, and origins that were linked have some on account. A connection that has shown
//! that it belongs to the cluster, by words that a holder of the secret has signed or by a certificate, has one of as many
//! other places, and loses it to none but its like.

use super::failures::Failures;
use super::origin::Origin;
use crate::model::ConnectionId;
use crate::wire::Shown;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use tokio::time::Instant;

/// Places of an origin that was linked which are taken away last of all.
const KEPT: usize = 32;
/// Origins that were linked.
const MAX_LINKED: usize = 1024;
/// First words of holders of the secret that are known when they are said again.
const MAX_HEARD: usize = 4096;

/// What whoever has a place has shown of itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rank {
    Nothing,
    Fits,
    Signed,
    Proven,
}

struct Place<T> {
    origin: Origin,
    remote: Option<SocketAddr>,
    rank: Rank,
    /// It has taken a token of its origin's.
    has_token: bool,
    connection: T,
}

/// One whose place was needed.
pub(super) struct Evicted<T> {
    pub(super) remote: Option<SocketAddr>,
    /// It has been told nothing, and is worth being told.
    pub(super) is_to_be_told: bool,
    pub(super) connection: T,
}

pub(super) struct Places<T> {
    limit: usize,
    rows: BTreeMap<ConnectionId, Place<T>>,
    /// By what they have shown, and where they come from; lower numbers are older.
    ranked: [BTreeMap<Origin, BTreeSet<ConnectionId>>; 4],
    counts: [usize; 4],
    failures: Failures,
    /// When each was linked last, as a number that grows.
    linked: BTreeMap<Origin, u64>,
    links: u64,
    heard: Heard,
}

impl<T> Places<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            rows: BTreeMap::new(),
            ranked: Default::default(),
            counts: [0; 4],
            failures: Failures::default(),
            linked: BTreeMap::new(),
            links: 0,
            heard: Heard::default(),
        }
    }

    /// Somebody has connected. Whether it is worth an effort, and whose place it gets.
    pub(super) fn enter(
        &mut self,
        id: ConnectionId,
        connection: T,
        remote: Option<SocketAddr>,
        now: Instant,
    ) -> (bool, Option<Evicted<T>>) {
        let origin = Origin::of(remote.map(|remote| remote.ip()));
        let has_token = self.failures.take(origin, now);
        let (silent, fitting) = (self.count(Rank::Nothing), self.count(Rank::Fits));
        let evicted = (silent + fitting >= self.limit).then(|| {
            // Half of the places are for those who have had no time to speak yet: anybody can speak as nodes do.
            let is_crowd = 2 * silent >= self.limit || fitting == 0;
            self.evict(if is_crowd { Rank::Nothing } else { Rank::Fits })
        });
        let place = Place { origin, remote, rank: Rank::Nothing, has_token, connection };
        self.list(id, origin, Rank::Nothing);
        self.rows.insert(id, place);
        (has_token, evicted.flatten())
    }

    /// The connection with this place has shown more of itself.
    pub(super) fn shows(&mut self, id: ConnectionId, shown: Shown) -> Option<Evicted<T>> {
        let rank = match shown {
            Shown::Nothing => return None,
            // What is said again is a recording, and shows nothing.
            Shown::Signed(words) if !self.heard.is_new(words) => return None,
            Shown::Fits => Rank::Fits,
            Shown::Signed(_) => Rank::Signed,
            Shown::Proven => Rank::Proven,
        };
        let place = self.rows.get_mut(&id).filter(|place| place.rank < rank)?;
        let (origin, before) = (place.origin, std::mem::replace(&mut place.rank, rank));
        if rank == Rank::Proven && std::mem::take(&mut place.has_token) {
            self.failures.give_back(origin);
        }
        self.unlist(id, origin, before);
        // Members have as many places again, and leave them to each other only: those who may be none go first.
        let (signed, proven) = (self.count(Rank::Signed), self.count(Rank::Proven));
        let is_full = rank >= Rank::Signed && signed + proven >= self.limit;
        let evicted = is_full.then(|| self.evict(if signed > 0 { Rank::Signed } else { Rank::Proven }));
        self.list(id, origin, rank);
        evicted.flatten()
    }

    /// It is a link now.
    pub(super) fn linked(&mut self, id: ConnectionId, remote: Option<SocketAddr>) {
        if let Some(place) = self.leave(id)
            && place.has_token
        {
            self.failures.give_back(place.origin);
        }
        self.links += 1;
        let origin = Origin::of(remote.map(|remote| remote.ip()));
        if !self.linked.contains_key(&origin)
            && self.linked.len() >= MAX_LINKED
            && let Some(oldest) = self.linked.iter().min_by_key(|(_, last)| **last).map(|(origin, _)| *origin)
        {
            self.linked.remove(&oldest);
        }
        self.linked.insert(origin, self.links);
    }

    /// It is over, or never had a place.
    pub(super) fn left(&mut self, id: ConnectionId) {
        self.leave(id);
    }

    fn leave(&mut self, id: ConnectionId) -> Option<Place<T>> {
        let place = self.rows.remove(&id)?;
        self.unlist(id, place.origin, place.rank);
        Some(place)
    }

    /// The oldest of the origin that has most, of those that have shown so much.
    fn evict(&mut self, rank: Rank) -> Option<Evicted<T>> {
        let kept = |origin: &Origin| if self.linked.contains_key(origin) { KEPT } else { 0 };
        let first = |ids: &BTreeSet<ConnectionId>| ids.first().map_or(0, |id| id.0);
        let most = self.ranked[rank as usize].iter().max_by_key(|(origin, ids)| {
            let (has, kept) = (ids.len(), kept(origin));
            (has.saturating_sub(kept), has, std::cmp::Reverse(first(ids)))
        });
        let id = most.and_then(|(_, ids)| ids.first().copied())?;
        let Place { remote, has_token, connection, .. } = self.leave(id)?;
        let is_to_be_told = rank == Rank::Nothing && has_token;
        Some(Evicted { remote, is_to_be_told, connection })
    }

    fn count(&self, rank: Rank) -> usize {
        self.counts[rank as usize]
    }

    fn list(&mut self, id: ConnectionId, origin: Origin, rank: Rank) {
        self.ranked[rank as usize].entry(origin).or_default().insert(id);
        self.counts[rank as usize] += 1;
    }

    fn unlist(&mut self, id: ConnectionId, origin: Origin, rank: Rank) {
        let of_rank = &mut self.ranked[rank as usize];
        if let Some(ids) = of_rank.get_mut(&origin) {
            self.counts[rank as usize] -= usize::from(ids.remove(&id));
            if ids.is_empty() {
                of_rank.remove(&origin);
            }
        }
    }
}

/// First words that were heard lately.
#[derive(Default)]
struct Heard {
    known: BTreeSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

impl Heard {
    fn is_new(&mut self, words: [u8; 16]) -> bool {
        let is_new = self.known.insert(words);
        if is_new {
            self.order.push_back(words);
            if self.order.len() > MAX_HEARD
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::super::failures::FULL;
    use super::*;

    struct Test {
        places: Places<()>,
        last: u64,
        now: Instant,
    }

    fn address(n: u32) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(n.into()), 9)
    }

    impl Test {
        fn new(limit: usize) -> Self {
            Self { places: Places::new(limit), last: 0, now: Instant::now() }
        }

        /// One more of this origin; where the one was from whose place it got.
        fn enter(&mut self, origin: u32) -> Option<u32> {
            self.last += 1;
            let id = ConnectionId(self.last);
            let (_, evicted) = self.places.enter(id, (), Some(address(origin)), self.now);
            evicted.map(origin_of)
        }

        fn shows(&mut self, id: u64, shown: Shown) -> Option<u32> {
            self.places.shows(ConnectionId(id), shown).map(origin_of)
        }

        fn has(&self, id: u64) -> bool {
            self.places.rows.contains_key(&ConnectionId(id))
        }
    }

    fn origin_of(evicted: Evicted<()>) -> u32 {
        match evicted.remote.unwrap().ip() {
            std::net::IpAddr::V4(ip) => ip.into(),
            std::net::IpAddr::V6(_) => unreachable!(),
        }
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_of_whoever_has_most() {
        let mut test = Test::new(6);
        for origin in [1, 2, 3, 3, 2, 3] {
            assert_eq!(test.enter(origin), None);
        }
        assert_eq!(test.enter(4), Some(3));
        assert!(!test.has(3) && test.has(4));
        // Two have two: whose first came first.
        assert_eq!((test.enter(5), test.enter(6)), (Some(2), Some(3)));
        assert!(!test.has(2) && test.has(5) && !test.has(4));
        // Each has one: the oldest of all.
        assert_eq!((test.enter(7), test.has(1)), (Some(1), false));
        // Those that have left are none of them.
        test.places.left(ConnectionId(5));
        assert_eq!((test.enter(8), test.enter(8), test.enter(8)), (None, Some(3), Some(8)));
    }

    #[test]
    fn an_origin_that_comes_without_end_drives_out_nobody_else() {
        let mut test = Test::new(100);
        (0..50).for_each(|origin| assert_eq!(test.enter(origin), None));
        for _ in 0..10_000 {
            test.enter(99);
        }
        assert!((1..=50).all(|id| test.has(id)));
        assert_eq!(test.places.rows.len(), 100);
    }

    #[test]
    fn whoever_belongs_to_the_cluster_has_a_place_of_its_own() {
        let mut test = Test::new(4);
        for id in 1..=4 {
            test.enter(1);
            assert_eq!(test.shows(id, Shown::Signed([id as u8; 16])), None);
        }
        test.shows(2, Shown::Proven);
        let evicted = (2..1000).filter_map(|origin| test.enter(origin)).count();
        assert_eq!(evicted, 998 - 4);
        assert!((1..=4).all(|id| test.has(id)));
        // They are bounded, too. Those whose words may be recorded go first.
        for n in 0..100 {
            test.enter(1000 + n);
            let id = test.last;
            test.shows(id, Shown::Proven);
            assert!(test.has(id));
            assert_eq!(test.has(2), n < 3, "{n}");
        }
        assert_eq!(test.places.rows.len(), 8 - 1);
        test.enter(1);
        let id = test.last;
        assert!(test.shows(id, Shown::Signed([9; 16])).is_some());
        test.enter(2000);
        let next = test.last;
        assert_eq!(test.shows(next, Shown::Signed([10; 16])), Some(1));
        assert!(!test.has(id) && test.has(next));
    }

    /// In a plain cluster anybody can: then newcomers must have the time to.
    #[test]
    fn who_speaks_stays_longer_than_who_does_not_and_newcomers_may_begin() {
        let mut test = Test::new(8);
        for id in 1..=4 {
            test.enter(id);
            test.shows(u64::from(id), Shown::Fits);
        }
        let evicted = (10..1000).filter_map(|origin| test.enter(origin)).count();
        assert_eq!(evicted, 990 - 4);
        assert!((1..=4).all(|id| test.has(id)), "the silent take each other's places");
        let mut test = Test::new(8);
        for id in 1..=8 {
            test.enter(id);
            test.shows(u64::from(id), Shown::Fits);
        }
        for origin in 11..=14 {
            assert_eq!(test.enter(origin), Some(origin - 10), "those who have said all that they have to");
        }
        assert_eq!(test.enter(15), Some(11), "half of the places");
    }

    /// The words of a holder of the secret, said by somebody who has heard them.
    #[test]
    fn words_that_are_said_again_show_nothing() {
        let mut test = Test::new(3);
        for n in 1..=3 {
            test.enter(1);
            test.shows(n, Shown::Signed([7; 16]));
        }
        for _ in 0..10 {
            test.enter(2);
        }
        assert!(test.has(1) && !test.has(2));
        // So many are remembered.
        let mut heard = Heard::default();
        let words = |n: u32| {
            let mut words = [0; 16];
            words[..4].copy_from_slice(&n.to_le_bytes());
            words
        };
        assert!((0..100_000).all(|n| heard.is_new(words(n))));
        assert!((100_000 - MAX_HEARD as u32..100_000).all(|n| !heard.is_new(words(n))));
        assert_eq!((heard.known.len(), heard.order.len()), (MAX_HEARD, MAX_HEARD));
    }

    #[test]
    fn places_are_kept_for_origins_that_were_linked() {
        let mut test = Test::new(100);
        test.enter(1);
        test.places.linked(ConnectionId(1), Some(address(1)));
        assert!(test.places.rows.is_empty());
        for _ in 0..KEPT {
            test.enter(1);
        }
        // More than each of the others has.
        for origin in 2..1000 {
            assert_ne!(test.enter(origin), Some(1));
        }
        assert_ne!(test.enter(1), Some(1));
        assert_eq!(test.enter(2), Some(1), "what it has beyond them counts like others'");
        // As many origins are known as there is room for, those that were linked last.
        for n in 0..10 * MAX_LINKED as u32 {
            test.places.linked(ConnectionId(0), Some(address(n)));
        }
        assert_eq!(test.places.linked.len(), MAX_LINKED);
        let last = Origin::of(Some(address(10 * MAX_LINKED as u32 - 1).ip()));
        assert!(test.places.linked.contains_key(&last));
    }

    #[test]
    fn only_what_comes_to_nothing_uses_up_the_patience() {
        let mut test = Test::new(1000);
        let mut is_worth_it = |shown: Option<Shown>| {
            test.last += 1;
            let id = ConnectionId(test.last);
            let (is_worth_it, _) = test.places.enter(id, (), Some(address(1)), test.now);
            match shown {
                Some(shown) => drop(test.places.shows(id, shown)),
                None => test.places.linked(id, Some(address(1))),
            }
            test.places.left(id);
            is_worth_it
        };
        for _ in 0..10 * FULL {
            assert!(is_worth_it(Some(Shown::Proven)) && is_worth_it(None));
        }
        assert!((0..FULL).all(|_| is_worth_it(Some(Shown::Fits))));
        assert!(!is_worth_it(Some(Shown::Proven)), "nothing is given back that was not taken");
        assert!(!is_worth_it(Some(Shown::Nothing)));
    }
}
