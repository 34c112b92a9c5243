//! Addresses that peers tell of. They belong to whoever told of them: a liar can make this node dial strangers, but not many at
//! a time, not often, and not for longer than it has a link. An address that led to a link whose tables were merged is nobody's any
//! more: this node knows by itself who is there. Nobody is lost by that: of two nodes that are to be linked, and have both a link
//! with a third one, that one has told one of them when the later of the two links came up.
//!
//! Where a peer says that it is itself to be dialled is its word, too. If no dial has ever reached it there, the address is
//! remembered after the end of a link that was merged as one that this node tells itself of: few of them, and dialled as seldom.

use super::dial::Dials;
use super::target::DialTarget;
use crate::machine::Engine;
use crate::*;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// So many dials are under way at a time: each takes a descriptor of the program's. Those of seeds, of lost peers and of callers
/// do not wait for those of addresses that were told.
const MOST_DIALS: usize = 48;
const MOST_TOLD_DIALS: usize = 16;
/// So many addresses that one peer has told of are known at a time. When half of them have come to something it is asked for more.
const MOST_TOLD: usize = 256;
/// Addresses that one of those stands for, if it is a name.
pub(super) const MOST_OF_TOLD_NAME: usize = 8;
/// The longest pause between two dials of one, in pauses of others: minutes, where those are seconds.
pub(super) const LONGEST_PAUSE: u32 = 24;

#[derive(Default, Debug)]
pub(super) struct Tellers {
    /// What each peer told of, as far as nothing came of it yet; and what this node remembers itself.
    told: BTreeMap<NodeId, BTreeSet<String>>,
    /// The same the other way round.
    tellers: BTreeMap<String, BTreeSet<NodeId>>,
    /// Nodes that a peer has links to, and that it will be asked for later.
    unasked: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// Dials that are under way, also such that nobody waits for any more; by whether their addresses are unproven.
    under_way: BTreeMap<String, bool>,
    /// Of them, those of unproven addresses.
    told_under_way: usize,
    /// Dials that wait for one of these to be over.
    own: Queue,
    /// Likewise, of addresses that were told, for each of those who told of them: they take turns.
    unproven: BTreeMap<NodeId, Queue>,
    /// Whose turn was the last.
    last: Option<NodeId>,
}

/// Addresses, each once, the first first.
#[derive(Default, Debug)]
struct Queue {
    by_turn: BTreeMap<u64, String>,
    turns: BTreeMap<String, u64>,
    last: u64,
}

impl Queue {
    fn push(&mut self, address: &str) {
        if !self.turns.contains_key(address) {
            self.last += 1;
            self.turns.insert(address.to_owned(), self.last);
            self.by_turn.insert(self.last, address.to_owned());
        }
    }
    fn pop(&mut self) -> Option<String> {
        let (_, address) = self.by_turn.pop_first()?;
        self.turns.remove(&address);
        Some(address)
    }
    fn remove(&mut self, address: &str) {
        if let Some(turn) = self.turns.remove(address) {
            self.by_turn.remove(&turn);
        }
    }
}

impl Tellers {
    /// The peer tells of this address: for the first time? `None`: it has told of too many.
    fn add(&mut self, teller: NodeId, address: &str, most: usize) -> Option<bool> {
        let told = self.told.entry(teller).or_default();
        if told.contains(address) {
            return Some(false);
        }
        (told.len() < most).then(|| {
            told.insert(address.to_owned());
            self.tellers.entry(address.to_owned()).or_default().insert(teller);
            true
        })
    }

    fn is_told(&self, address: &str) -> bool {
        self.tellers.contains_key(address)
    }

    /// Nobody tells of it any more.
    pub(crate) fn forget(&mut self, address: &str) {
        for teller in self.tellers.remove(address).unwrap_or_default() {
            if let Some(told) = self.told.get_mut(&teller) {
                told.remove(address);
            }
            if let Some(queue) = self.unproven.get_mut(&teller) {
                queue.remove(address);
            }
        }
        self.own.remove(address);
    }

    /// The peer has told of nothing any more. What it had told of.
    fn forget_teller(&mut self, teller: NodeId) -> BTreeSet<String> {
        self.unproven.remove(&teller);
        self.unasked.remove(&teller);
        let told = self.told.remove(&teller).unwrap_or_default();
        for address in &told {
            if let Some(tellers) = self.tellers.get_mut(address) {
                tellers.remove(&teller);
                if tellers.is_empty() {
                    self.tellers.remove(address);
                }
            }
        }
        told
    }

    /// A dial may begin now.
    fn has_room(&self, is_unproven: bool) -> bool {
        match is_unproven {
            true => self.told_under_way < MOST_TOLD_DIALS,
            false => self.under_way.len() - self.told_under_way < MOST_DIALS,
        }
    }

    /// Peers will be asked where others are.
    pub(crate) fn is_to_ask(&self) -> bool {
        !self.unasked.is_empty()
    }

    /// The next that may begin; of unproven addresses, of the teller whose turn it is.
    fn next(&mut self) -> Option<String> {
        if self.has_room(false)
            && let Some(address) = self.own.pop()
        {
            return Some(address);
        }
        while self.has_room(true) && !self.unproven.is_empty() {
            let after = (self.last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
            let next = self.unproven.range(after).next().or_else(|| self.unproven.iter().next());
            let teller = next.map(|(teller, _)| *teller)?;
            self.last = Some(teller);
            match self.unproven.get_mut(&teller).and_then(Queue::pop) {
                Some(address) => return Some(address),
                None => self.unproven.remove(&teller),
            };
        }
        None
    }
}

impl DialTarget {
    /// Only peers say that there is a node here.
    pub(super) fn is_unproven(&self) -> bool {
        self.unproven && !self.seed
    }
}

impl Engine {
    fn most_told(&self) -> usize {
        self.cx.config.limits.peers.min(MOST_TOLD)
    }

    /// A peer tells of this address: for the first time? `None`: there is no room for what it tells of.
    pub(crate) fn note_told(&mut self, teller: NodeId, address: &str) -> Option<bool> {
        let most = self.most_told();
        let target = self.view.dials.targets.get(address);
        if target.is_some_and(|target| !target.is_unproven()) {
            return Some(false); // known without it: nothing is to be remembered
        }
        let is_known = target.is_some();
        if !is_known && self.room_for_targets() == 0 {
            return None;
        }
        let is_new = self.view.dials.tellers.add(teller, address, most)?;
        if !is_known {
            self.view.dials.targets.at(address).unproven = true;
        }
        Some(is_new)
    }

    /// A peer that has just been linked says where it is to be dialled.
    pub(super) fn note_own_address(&mut self, node: NodeId, address: &str) {
        if !self.view.dials.targets.contains(address) {
            self.view.dials.targets.at(address).unproven = true;
        }
        if self.view.dials.targets.get(address).is_some_and(DialTarget::is_unproven) {
            self.view.dials.tellers.add(node, address, usize::MAX);
        }
    }

    /// The link with the peer is over: what it alone has told of is dialled no more.
    pub(super) fn forget_told_by(&mut self, teller: NodeId) {
        for address in self.view.dials.tellers.forget_teller(teller) {
            self.forget_if_told_by_nobody(&address);
        }
    }

    fn forget_if_told_by_nobody(&mut self, address: &str) {
        let is_linked = self.view.dials.targets.get(address).is_some_and(|target| target.linked().is_some());
        if !is_linked && self.is_told_by_nobody(address) && !self.is_awaited(address) {
            self.let_go(address);
        }
    }

    /// Only peers say that there is a node here, and none does any more.
    pub(super) fn is_told_by_nobody(&self, address: &str) -> bool {
        let target = self.view.dials.targets.get(address);
        target.is_some_and(DialTarget::is_unproven) && !self.view.dials.tellers.is_told(address)
    }

    fn is_awaited(&self, address: &str) -> bool {
        self.view.dials.connects.values().any(|(_, at)| at == address)
    }

    /// A node is here for certain, or this node's own caller wants to know.
    pub(super) fn is_known_by_itself(&mut self, address: &str) {
        if let Some(target) = self.view.dials.targets.get_mut(address).filter(|target| target.unproven) {
            target.unproven = false;
            self.view.dials.tellers.forget(address);
        }
    }

    /// The link that was there is over. Where no dial ever reached the peer, its word alone says that it can be reached there: this
    /// node remembers it, and so few of those that nobody fills anything by coming and going under many names.
    pub(super) fn remember_unreached(&mut self, address: &str) {
        let Some(target) = self.view.dials.targets.get_mut(address) else { return };
        if target.reached || target.seed || target.is_listed() || target.unproven {
            return;
        }
        target.unproven = true;
        let (me, most) = (self.cx.config.node, self.most_told());
        let remembered = self.view.dials.tellers.told.get(&me);
        if remembered.is_some_and(|remembered| remembered.len() >= most) {
            let failures = |at: &String| self.view.dials.targets.get(at).map_or(u32::MAX, |it| it.failures);
            if let Some(worst) = remembered.into_iter().flatten().max_by_key(|at| failures(at)).cloned() {
                self.view.dials.tellers.forget(&worst);
                self.forget_if_told_by_nobody(&worst);
            }
        }
        self.view.dials.tellers.add(me, address, most);
    }

    // ---- who is asked for

    /// The peer has links to these nodes, of which this one knows nothing: it is asked where some of them are, and later for others.
    pub(super) fn ask_where(&mut self, teller: NodeId, nodes: BTreeSet<NodeId>) {
        let most = self.cx.config.limits.peers.min(MAX_LIST);
        let unasked = self.view.dials.tellers.unasked.entry(teller).or_default();
        unasked.extend(nodes);
        while unasked.len() > most {
            unasked.pop_last();
        }
        self.ask_for_more(teller);
    }

    fn ask_for_more(&mut self, teller: NodeId) {
        let most = self.most_told();
        let Dials { tellers, asked, .. } = &mut self.view.dials;
        let known = tellers.told.get(&teller).map_or(0, BTreeSet::len);
        if asked.contains(&teller) || known > most / 2 {
            return;
        }
        let Some(mut nodes) = tellers.unasked.remove(&teller) else { return };
        nodes.retain(|node| self.is_to_be_met(*node));
        if nodes.is_empty() {
            return;
        }
        let mut rest = BTreeSet::new();
        if nodes.len() > most - known {
            // Beginning anywhere: where many cannot be reached, other peers are asked for others.
            let all: Vec<NodeId> = nodes.iter().copied().collect();
            let at = all[self.cx.rng.random_range(0..all.len())];
            let (before, after) = (nodes.range(..at), nodes.range(at..));
            let chosen: BTreeSet<NodeId> = after.chain(before).take(most - known).copied().collect();
            rest = nodes.difference(&chosen).copied().collect();
            nodes = chosen;
        }
        if !rest.is_empty() {
            self.view.dials.tellers.unasked.insert(teller, rest);
        }
        self.view.dials.asked.insert(teller);
        self.send(teller, Message::Where { nodes });
    }

    // ---- turns

    /// A dial begins, or is under way already. `None`: it waits for its turn.
    pub(super) fn begin_dial(&mut self, address: &str) -> Option<Begun> {
        let names = self.names_leading_to(address);
        let Dials { tellers, targets, .. } = &mut self.view.dials;
        if tellers.under_way.contains_key(address) {
            return Some(Begun::Before); // somebody wanted it who does so no longer
        }
        let is_unproven = targets.get(address).is_some_and(DialTarget::is_unproven)
            && !self.view.missing.is_confirmed_at(address);
        if tellers.has_room(is_unproven) {
            tellers.under_way.insert(address.to_owned(), is_unproven);
            tellers.told_under_way += usize::from(is_unproven);
            return Some(Begun::Now);
        }
        if !is_unproven {
            tellers.own.push(address);
            return None;
        }
        let ways = std::iter::once(address).chain(names.iter().map(String::as_str));
        let who = ways.filter_map(|at| tellers.tellers.get(at)).flatten().copied();
        let who: BTreeSet<NodeId> = who.collect();
        // Of a name that nobody tells of any more: one turn for all of those.
        for teller in if who.is_empty() { [NodeId(0)].into() } else { who } {
            tellers.unproven.entry(teller).or_default().push(address);
        }
        None
    }

    /// The dial of this address has ended, whatever has come of it.
    pub(crate) fn dial_over(&mut self, address: &str) {
        let tellers = &mut self.view.dials.tellers;
        if let Some(is_unproven) = tellers.under_way.remove(address) {
            tellers.told_under_way -= usize::from(is_unproven);
        }
    }

    /// At the end of every input: dials may be over for which others wait, and peers may be asked for more.
    pub(crate) fn begin_waiting_dials(&mut self) {
        while let Some(address) = self.view.dials.tellers.next() {
            self.dial(&address);
        }
        if !self.view.dials.tellers.unasked.is_empty() {
            for teller in self.view.dials.tellers.unasked.keys().copied().collect::<Vec<_>>() {
                self.ask_for_more(teller);
            }
        }
    }
}

/// How a dial began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begun {
    Now,
    /// A dial of the address was under way, whose end counts for this one.
    Before,
}
