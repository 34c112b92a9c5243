//! Addresses that peers tell of. They belong to whoever told of them: a liar can make this node dial strangers, but not many at
//! a time, not often, and not for longer than it has a link. An address that led to a link whose tables were merged is nobody's any
//! more: this node knows by itself who is there. Nobody is lost by that: of two nodes that are to be linked, and have both a link
//! with a third one, that one has told one of them when the later of the two links came up.

use super::dial::Dials;
use super::machine::Engine;
use super::target::Target;
use super::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many dials are under way at a time: each takes a descriptor of the program's. Those of seeds, of lost peers and of callers
/// do not wait for those of addresses that were told.
const MOST_DIALS: usize = 48;
const MOST_TOLD_DIALS: usize = 16;
/// The longest pause between two dials of one, in pauses of others: minutes, where those are seconds.
pub(super) const LONGEST_PAUSE: u32 = 24;

#[derive(Default, Debug)]
pub(super) struct Tellers {
    /// What each peer told of.
    told: BTreeMap<NodeId, BTreeSet<String>>,
    own: Lane,
    hearsay: Lane,
}

/// Dials that take turns.
#[derive(Default, Debug)]
struct Lane {
    /// Those that are under way, perhaps over by now.
    under_way: BTreeSet<String>,
    /// Those that wait for one of these to be over, the first first.
    waiting: VecDeque<String>,
}

impl Lane {
    /// Whether a dial may begin now; otherwise it waits.
    fn may_begin(&mut self, address: &str, most: usize) -> bool {
        if self.under_way.len() < most {
            self.under_way.insert(address.to_owned());
            return true;
        }
        if !self.waiting.iter().any(|waiting| waiting == address) {
            self.waiting.push_back(address.to_owned());
        }
        false
    }

    /// The next one that may begin, as far as known.
    fn next(&mut self, most: usize, is_under_way: impl Fn(&String) -> bool) -> Option<String> {
        if self.waiting.is_empty() {
            return None;
        }
        self.under_way.retain(is_under_way);
        if self.under_way.len() < most { self.waiting.pop_front() } else { None }
    }
}

impl Tellers {
    /// The peer tells of this address: for the first time? `None`: it has told of too many.
    fn add(&mut self, teller: NodeId, address: &str, most: usize) -> Option<bool> {
        let told = self.told.entry(teller).or_default();
        let is_new = !told.contains(address);
        (!is_new || told.len() < most).then(|| {
            told.insert(address.to_owned());
            is_new
        })
    }

    fn is_told(&self, address: &str) -> bool {
        self.told.values().any(|told| told.contains(address))
    }

    /// Nobody tells of it any more.
    pub(super) fn forget(&mut self, address: &str) {
        self.told.retain(|_, told| {
            told.remove(address);
            !told.is_empty()
        });
        self.hearsay.waiting.retain(|waiting| waiting != address);
    }
}

impl Target {
    /// Only peers say that there is a node here.
    pub(super) fn is_hearsay(&self) -> bool {
        self.hearsay && !self.seed
    }
}

impl Engine {
    /// A peer tells of this address: for the first time? `None`: there is no room for what it tells of.
    pub(super) fn note_told(&mut self, teller: NodeId, address: &str) -> Option<bool> {
        let most = self.config.limits.peers;
        let is_known = self.view.dials.targets.contains(address);
        if !is_known && self.room_for_targets() == 0 {
            return None;
        }
        let is_new = self.view.dials.tellers.add(teller, address, most)?;
        if !is_known {
            self.view.dials.targets.at(address).hearsay = true;
        }
        Some(is_new)
    }

    /// The link with the peer is over: what it alone has told of is dialled no more.
    pub(super) fn forget_told_by(&mut self, teller: NodeId) {
        let told = self.view.dials.tellers.told.remove(&teller).unwrap_or_default();
        for address in told {
            let target = self.view.dials.targets.get(&address);
            let is_bare = target.is_some_and(|target| target.is_hearsay() && target.linked().is_none());
            if is_bare && !self.view.dials.tellers.is_told(&address) && !self.is_awaited(&address) {
                self.let_go(&address);
            }
        }
    }

    /// Only peers say that there is a node here, and none does any more.
    pub(super) fn is_forsaken(&self, address: &str) -> bool {
        let target = self.view.dials.targets.get(address);
        target.is_some_and(Target::is_hearsay) && !self.view.dials.tellers.is_told(address)
    }

    fn is_awaited(&self, address: &str) -> bool {
        self.view.dials.connects.values().any(|(_, at)| at == address)
    }

    /// A node is here for certain, or this node's own caller wants to know.
    pub(super) fn is_known_by_itself(&mut self, address: &str) {
        if let Some(target) = self.view.dials.targets.get_mut(address).filter(|target| target.hearsay) {
            target.hearsay = false;
            self.view.dials.tellers.forget(address);
        }
    }

    /// Whether a dial may begin, or waits for its turn.
    pub(super) fn may_begin_dial(&mut self, address: &str) -> bool {
        let Dials { tellers, targets, .. } = &mut self.view.dials;
        let (lane, most) = match targets.get(address) {
            Some(target) if target.is_hearsay() => (&mut tellers.hearsay, MOST_TOLD_DIALS),
            _ => (&mut tellers.own, MOST_DIALS),
        };
        if lane.under_way.len() >= most {
            lane.under_way.retain(|address| targets.get(address).is_some_and(|target| target.dialling));
        }
        lane.may_begin(address, most)
    }

    /// At the end of every input: dials may be over for which others wait.
    pub(super) fn begin_waiting_dials(&mut self) {
        loop {
            let Dials { tellers, targets, .. } = &mut self.view.dials;
            let is_under_way = |address: &String| targets.get(address).is_some_and(|target| target.dialling);
            let own = tellers.own.next(MOST_DIALS, is_under_way);
            let Some(address) = own.or_else(|| tellers.hearsay.next(MOST_TOLD_DIALS, is_under_way)) else {
                return;
            };
            self.dial(&address);
        }
    }
}
