//! The places of connections that were accepted and are not links yet, and who has to leave when they are all taken.
//!
//! A newcomer never waits and is never turned away. It takes the place of another that has shown less or as little: of the
//! origin that has most places the oldest. So those who connect and say nothing take the places of each other; an origin
//! that comes seldom keeps its own; and who has proven that it belongs to the cluster loses its place to none but its like.
//! Origins that were linked have some places on account.

use super::origin::Origin;
use super::trials::Trials;
use crate::engine::ConnectionId;
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
    Proven,
}

struct Place<T> {
    origin: Origin,
    remote: Option<SocketAddr>,
    rank: Rank,
    /// It has taken a token of its origin's.
    is_on_trial: bool,
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
    ranked: [BTreeMap<Origin, BTreeSet<ConnectionId>>; 3],
    counts: [usize; 3],
    trials: Trials,
    /// When each was linked last, as a number that grows.
    linked: BTreeMap<Origin, u64>,
    links: u64,
    heard: Heard,
}

impl<T> Places<T> {
    pub(super) fn new(limit: usize) -> Self {
        Places {
            limit: limit.max(1),
            rows: BTreeMap::new(),
            ranked: Default::default(),
            counts: [0; 3],
            trials: Trials::default(),
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
        let is_on_trial = self.trials.take(origin, now);
        let unproven = self.count(Rank::Nothing) + self.count(Rank::Fits);
        let evicted = (unproven >= self.limit).then(|| {
            let rank = if self.count(Rank::Nothing) > 0 { Rank::Nothing } else { Rank::Fits };
            self.evict(rank)
        });
        let place = Place { origin, remote, rank: Rank::Nothing, is_on_trial, connection };
        self.list(id, origin, Rank::Nothing);
        self.rows.insert(id, place);
        (is_on_trial, evicted.flatten())
    }

    /// Whoever has this place has shown more of itself.
    pub(super) fn shows(&mut self, id: ConnectionId, shown: Shown) -> Option<Evicted<T>> {
        let rank = match shown {
            Shown::Nothing => return None,
            // What is said again is a recording, and shows nothing.
            Shown::Signed(words) if !self.heard.is_new(words) => return None,
            Shown::Fits | Shown::Signed(_) => Rank::Fits,
            Shown::Proven => Rank::Proven,
        };
        let place = self.rows.get_mut(&id).filter(|place| place.rank < rank)?;
        let (origin, before) = (place.origin, std::mem::replace(&mut place.rank, rank));
        if rank == Rank::Proven && std::mem::take(&mut place.is_on_trial) {
            self.trials.give_back(origin);
        }
        self.unlist(id, origin, before);
        // Holders of the secret have as many places again, and leave them to each other only.
        let is_full = rank == Rank::Proven && self.count(rank) >= self.limit;
        let evicted = if is_full { self.evict(rank) } else { None };
        self.list(id, origin, rank);
        evicted
    }

    /// It is a link now.
    pub(super) fn linked(&mut self, id: ConnectionId, remote: Option<SocketAddr>) {
        if let Some(place) = self.leave(id)
            && place.is_on_trial
        {
            self.trials.give_back(place.origin);
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
        let Place { remote, is_on_trial, connection, .. } = self.leave(id)?;
        let is_to_be_told = rank == Rank::Nothing && is_on_trial;
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
