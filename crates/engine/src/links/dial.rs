//! Who is dialled, and when: seeds and lost peers for ever, with back-off and jitter.
//!
//! A target may turn out to be a name, which stands for a changing set of addresses: see `lookup`.

use super::link::Link;
use super::liveness::DOUBT;
use super::target::{DialTarget, DialTargets};
use super::told::{self, Begun, Tellers};
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Default, Debug)]
pub(super) struct Dials {
    pub(super) targets: DialTargets,
    /// Calls that wait for a link to an address.
    pub(super) connects: BTreeMap<Ref, (u64, String)>,
    /// Incarnations that this node parted from on purpose: not dialled because others know them.
    parted: BTreeSet<NodeId>,
    /// Where nodes without a link are dialled, of which peers have told.
    told: BTreeMap<NodeId, String>,
    /// Peers that were asked where others are, and have not answered.
    pub(super) asked: BTreeSet<NodeId>,
    pub(super) tellers: Tellers,
}

impl Dials {
    pub(crate) fn len(&self) -> usize {
        self.targets.len()
    }
    /// Calls that wait for a link to an address.
    pub(super) fn connects(&self) -> impl Iterator<Item = (Ref, u64, &str)> {
        self.connects.iter().map(|(op, (process, address))| (*op, *process, address.as_str()))
    }
    /// Address, name, whether it is a seed, what becomes of it, and how often in a row it failed.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &str, bool, &'static str, u32)> {
        self.targets.iter().map(|(address, target)| {
            let state = match target {
                _ if target.linked().is_some() => "linked",
                _ if target.leads_back() => "myself",
                _ if target.is_parted() => "parted",
                DialTarget { rests: Some(_), .. } => "resting",
                DialTarget { dialling: true, .. } => "dialling",
                _ => "waiting",
            };
            (address, target.name(), target.seed, state, target.failures)
        })
    }
    /// A node that is to be linked was neither merged with nor found wanting yet, or a peer is to say where it is.
    /// `silent_too`: also where nobody has said a word.
    pub(crate) fn is_meeting(&self, silent_too: bool) -> bool {
        let awaited = |target: &DialTarget| target.is_to_be_met() && (silent_too || target.has_answered());
        let is_to_ask = !self.asked.is_empty() || silent_too && self.tellers.is_to_ask();
        is_to_ask || self.targets.iter().any(|(_, target)| awaited(target))
    }
}

/// What a refusal means to whoever asked for the link. `None`: no failure, within a second the pair will know what it
/// has.
fn failure(why: Refusal) -> Option<(Status, &'static str)> {
    match why {
        Refusal::Linked | Refusal::NameInDoubt => None,
        Refusal::Myself => Some((Status::Invalid, "the address is that of this node itself")),
        Refusal::Cluster => Some((Status::Auth, "the node belongs to another cluster")),
        Refusal::Version => Some((Status::Version, "no common protocol version")),
        Refusal::TooManyPeers => Some((Status::Full, "the node has too many peers")),
        Refusal::Slow => Some((Status::Unreachable, "the node was kept waiting by this one for too long")),
        Refusal::TooMuch => {
            let text = "this node has published more than the other keeps of one node (its limits.published), or a longer name (its limits.name)";
            Some((Status::Unreachable, text))
        }
        Refusal::Violation => Some((Status::Unreachable, "this node has broken the protocol")),
        Refusal::NameTaken | Refusal::Closing | Refusal::Disconnected => {
            Some((Status::Unreachable, "the node refuses the link"))
        }
    }
}

pub(super) fn myself() -> Outcome {
    Outcome::failed(Status::Invalid, "the address is that of this node itself")
}

impl Engine {
    pub(crate) fn dial_seeds(&mut self) {
        for address in self.cx.config.seeds.clone() {
            let target = self.view.dials.targets.at(&address);
            target.seed = true;
            if self.cx.config.is_own(&address) {
                target.set_myself();
            }
            self.dial(&address);
        }
    }

    /// Dials now, unless that is needless.
    pub(crate) fn dial(&mut self, address: &str) {
        if self.view.dials.targets.get(address).is_some_and(DialTarget::wants_dial) {
            self.dial_anyway(address);
        }
    }

    /// Dials now, also where it is known who answers.
    pub(super) fn dial_anyway(&mut self, address: &str) {
        if self.rests_for(address).is_some() {
            return self.dial_later(address);
        }
        let may_be_dialled = self.view.dials.targets.get(address).is_some_and(DialTarget::may_be_dialled);
        if may_be_dialled
            && !self.cx.is_closed()
            && let Some(begun) = self.begin_dial(address)
        {
            if let Some(target) = self.view.dials.targets.get_mut(address) {
                target.dialling = true;
            }
            self.cx.timers.cancel(&Timer::Dial(address.to_owned()));
            if begun == Begun::Now {
                self.cx.counters.dials += 1;
                self.order(Wire::Dial { address: address.to_owned() });
            }
        }
    }

    #[cfg(feature = "test-hooks")]
    pub(crate) fn dial_all(&mut self) {
        let addresses: Vec<String> = self.view.dials.targets.iter().map(|(at, _)| at.to_owned()).collect();
        for address in addresses {
            self.view.dials.targets.at(&address).failures = 0;
            self.dial(&address);
        }
    }

    pub(super) fn is_dialling(&self, address: &str) -> bool {
        self.view.dials.targets.get(address).is_some_and(|target| target.dialling)
    }

    /// For how long the address is not dialled because whoever answered there keeps others waiting.
    fn rests_for(&self, address: &str) -> Option<Duration> {
        let node = self.view.dials.targets.get(address)?.rests?;
        self.view.conducts.parted_for(node, self.cx.now)
    }

    pub(crate) fn dial_due(&mut self, address: String) {
        self.dial(&address);
    }

    pub(super) fn dial_later(&mut self, address: &str) {
        let Some(target) = self.view.dials.targets.get(address) else { return };
        if target.dialling || !target.wants_dial() || self.cx.is_closed() {
            return;
        }
        let doubled = self.cx.config.dial_min.saturating_mul(1 << target.failures.min(16));
        let pause = match target.linked() {
            // A name whose other addresses may come to life, or change; an address that leads to several nodes.
            Some(_) if self.is_all_settled(target) => self.cx.config.seeds_refresh,
            Some(_) => doubled.min(self.cx.config.seeds_refresh.max(self.cx.config.dial_max)),
            // Another node may answer next time; there is no sign of one, so the pause grows beyond that of other dials.
            None if target.has_led_back() => doubled.min(self.cx.config.seeds_refresh),
            None if target.is_unproven() => doubled.min(self.cx.config.dial_max * told::LONGEST_PAUSE),
            None => doubled.min(self.cx.config.dial_max),
        };
        let pause = pause.mul_f64(self.cx.rng.random_range(0.5..1.0));
        let pause = self.rests_for(address).unwrap_or_default() + pause;
        self.cx.timers.set(Timer::Dial(address.to_owned()), self.cx.now + pause);
    }

    // ---- nodes that peers have links to

    /// For a snapshot: whom this node has links to, but for the receiver and those that cannot be dialled.
    pub(super) fn peers_to_name(&self, to: NodeId) -> BTreeSet<NodeId> {
        let others = self.view.links.iter().filter(|(node, link)| **node != to && !link.address.is_empty());
        others.map(|(node, _)| *node).take(MAX_LIST).collect()
    }

    pub(super) fn is_to_be_met(&self, node: NodeId) -> bool {
        node != self.cx.config.node
            && !self.view.is_linked(node)
            && !self.view.dials.parted.contains(&node)
            && self.view.conducts.parted_for(node, self.cx.now).is_none()
    }

    /// The peer has links to these nodes.
    pub(super) fn learn_peers(&mut self, from: NodeId, nodes: BTreeSet<NodeId>) {
        let mut unknown = BTreeSet::new();
        for node in nodes {
            let Dials { told, targets, .. } = &self.view.dials;
            let is_kept = |at: &&String| targets.get(at).is_some_and(DialTarget::is_kept);
            match told.get(&node).filter(is_kept).cloned() {
                // It may be lost before it has shown that it is there, and whoever told of it before may have left.
                _ if self.view.is_linked(node) => {
                    for address in self.led_to(node) {
                        self.note_told(from, &address);
                    }
                }
                _ if !self.is_to_be_met(node) => {}
                Some(address) => {
                    if let Some(is_new) = self.note_told(from, &address) {
                        self.meet(&address, node, is_new);
                    }
                }
                None => {
                    unknown.insert(node);
                }
            }
        }
        if !unknown.is_empty() {
            self.ask_where(from, unknown);
        }
    }

    pub(crate) fn on_where(&mut self, from: NodeId, nodes: BTreeSet<NodeId>) -> Result<(), Violation> {
        let found = nodes.iter().filter_map(|node| Some((*node, self.view.links.get(node)?)));
        let dialled = found.filter(|(_, link)| !link.address.is_empty());
        let address = |(node, link): (_, &Link)| PeerAddress {
            node,
            name: link.name.clone(),
            address: link.address.clone(),
        };
        let peers: Vec<PeerAddress> = dialled.map(address).collect();
        // As in a snapshot; and one part at least, for the peer waits for it.
        let mut parts = peers.chunks(SNAPSHOT_ROWS).map(<[_]>::to_vec).collect::<Vec<_>>();
        let last = parts.pop().unwrap_or_default();
        for peers in parts {
            self.send(from, Message::Peers { peers, last: false });
        }
        self.send(from, Message::Peers { peers: last, last: true });
        Ok(())
    }

    pub(crate) fn on_peers(
        &mut self,
        from: NodeId,
        peers: Vec<PeerAddress>,
        last: bool,
    ) -> Result<(), Violation> {
        if !self.view.dials.asked.contains(&from) {
            return Ok(()); // nobody has asked: it would be dialled as often as it is said
        }
        for peer in peers {
            self.learn_peer(from, peer);
        }
        if last {
            self.view.dials.asked.remove(&from);
        }
        Ok(())
    }

    pub(super) fn learn_peer(&mut self, from: NodeId, peer: PeerAddress) {
        if !self.is_to_be_met(peer.node)
            || peer.address.is_empty()
            || peer.address.len() > MAX_TEXT
            || peer.name.len() > MAX_TEXT
            || self.cx.config.is_own(&peer.address)
        {
            return;
        }
        let Some(is_new) = self.note_told(from, &peer.address) else { return };
        let limit = self.cx.config.limits.peers.saturating_mul(2);
        let dials = &mut self.view.dials;
        dials.targets.at(&peer.address).set_not_vanished();
        dials.targets.set_name(&peer.address, &peer.name);
        if dials.told.len() >= limit {
            dials.told.pop_first();
        }
        dials.told.insert(peer.node, peer.address.clone());
        self.meet(&peer.address, peer.node, is_new);
    }

    /// Others know a node here that has no link to this one. `is_new`: who says so says it for the first time.
    fn meet(&mut self, address: &str, node: NodeId, is_new: bool) {
        if let Some(target) = self.view.dials.targets.get_mut(address) {
            target.rests.take_if(|rests| *rests != node);
            target.successor = target.linked().is_some();
            // To be told of it again and again does not end the pause after dials that failed.
            if is_new || !target.is_unproven() || target.failures == 0 {
                self.dial(address);
            }
        }
    }

    pub(crate) fn dial_failed(&mut self, address: &str, status: Status, detail: &str) {
        let Some(target) = self.view.dials.targets.get_mut(address) else { return };
        target.dialling = false;
        target.set_not_led_back();
        target.set_lost();
        target.set_met();
        target.failures = target.failures.saturating_add(1);
        let failures = target.failures;
        let names = self.names_leading_to(address);
        let target = self.view.dials.targets.get(address);
        // What the options forbid stays forbidden.
        let is_void = status == Status::Option && target.is_some_and(DialTarget::is_unproven);
        if target.is_some_and(DialTarget::is_kept) && !is_void && !self.is_told_by_nobody(address) {
            self.dial_later(address);
        } else {
            self.let_go(address);
        }
        self.cx.counters.dials_failed += 1;
        // An address that never answers is told of ever more rarely.
        if failures.is_power_of_two() {
            self.log(Level::Info, Topic::Dial, |_| {
                let address = Short(address.as_bytes());
                format!("dialling {address} failed, {failures} times in a row now: {detail}")
            });
        }
        let outcome = Outcome::failed(status, detail);
        self.end_connects_to(address, &outcome);
        for name in names {
            self.name_failed(&name, &outcome);
        }
    }

    /// The node that answers at the address has said who it is: it is not for want of an answer if it is not met.
    pub(super) fn dial_answered(&mut self, address: &str) {
        if let Some(target) = self.view.dials.targets.get_mut(address) {
            target.set_answered();
        }
    }

    /// The other side, or this one, refused what was dialled.
    pub(crate) fn dial_ended(&mut self, address: &str, why: Refusal, peer: NodeId) {
        let linked = self.view.is_linked(peer);
        let Some(target) = self.view.dials.targets.get_mut(address) else { return };
        if target.is_name() {
            return; // its addresses are dialled, each for itself
        }
        match why {
            // The proof is the incarnation, and not what a peer says.
            Refusal::Myself if peer == self.cx.config.node => self.dial_led_back(address),
            // Another address of a peer that is linked already.
            Refusal::Linked if linked => {
                target.dialling = false;
                target.set_not_led_back();
                target.reached = true;
                self.note_leads_to(address, peer);
                let names = self.names_leading_to(address);
                self.names_linked(&names, peer);
                if self.view.is_synced(peer) {
                    self.connected(peer);
                }
                self.dial_later(address);
            }
            _ => match failure(why) {
                Some((status, text)) => self.dial_failed(address, status, text),
                None => {
                    target.dialling = false;
                    // Which of two namesakes stays they find out between themselves, within a second or so; and never, where
                    // nothing passes between them.
                    let is_in_doubt = why == Refusal::NameInDoubt;
                    let since = target.in_doubt.filter(|_| is_in_doubt).unwrap_or(self.cx.now);
                    target.in_doubt = is_in_doubt.then_some(since);
                    if self.cx.now.since(since) > 2 * DOUBT {
                        target.failures = target.failures.saturating_add(1);
                    }
                    self.dial_later(address);
                }
            },
        }
    }

    /// The peer objects to a link that this side took for made: whoever waits for it learns why.
    pub(super) fn link_refused(&mut self, addresses: &[String], why: Refusal) {
        if let Some((status, text)) = failure(why) {
            for address in addresses {
                self.end_connects_to(address, &Outcome::failed(status, text));
            }
        }
    }

    /// A link came up. Whatever led to it needs no dial while it lasts.
    pub(super) fn dial_linked(&mut self, node: NodeId, name: &str, address: &str, dialled: Option<&str>) {
        self.view.dials.parted.remove(&node);
        self.view.dials.told.remove(&node);
        let led_here: BTreeSet<&str> = [Some(address), dialled].into_iter().flatten().collect();
        let names: Vec<String> = led_here.iter().flat_map(|at| self.names_leading_to(at)).collect();
        // The same name at another address: the node has moved.
        let moved = self.view.dials.targets.named(name).filter(|(at, target)| {
            !target.seed && !led_here.contains(at) && !names.iter().any(|name| name == at)
        });
        for at in moved.map(|(at, _)| at.to_owned()).collect::<Vec<_>>() {
            self.let_go(&at);
            // Callers that wait for a link to the old address wait for a dial that does not come any more.
            let text = "the node of that name is at another address now";
            self.end_connects_to(&at, &Outcome::failed(Status::Unreachable, text));
        }
        for at in led_here.into_iter().filter(|at| !at.is_empty()) {
            if Some(at) != dialled {
                self.note_own_address(node, at);
            }
            let targets = &mut self.view.dials.targets;
            let target = targets.at(at);
            target.reached |= Some(at) == dialled;
            target.dialling &= Some(at) != dialled;
            target.set_not_led_back();
            target.set_parted(false);
            target.successor = false;
            target.rests = None;
            targets.set_name(at, name);
            self.note_leads_to(at, node);
            let target = self.view.dials.targets.get(at);
            if !target.is_some_and(DialTarget::leads_to_several) {
                self.cx.timers.cancel(&Timer::Dial(at.to_owned()));
            } else if !target.is_some_and(DialTarget::is_name) {
                self.dial_later(at);
            }
        }
        self.names_linked(&names, node);
    }

    /// A link went down. A peer that left in order is not dialled again, a seed always. Gives the names that led to it, to be
    /// dialled again.
    pub(super) fn dial_lost(&mut self, node: NodeId, left: bool, parted: bool) -> BTreeSet<String> {
        self.view.dials.asked.remove(&node);
        self.forget_told_by(node);
        let rests = self.view.conducts.parted_for(node, self.cx.now).is_some();
        if parted {
            self.view.dials.parted.insert(node);
        }
        let mut again = Vec::new();
        for address in self.led_to(node) {
            self.view.dials.targets.set_linked(&address, None);
            let Some(target) = self.view.dials.targets.get_mut(&address) else { continue };
            target.set_lost();
            // A name stands for others too.
            target.set_parted(parted && !target.is_name());
            target.rests = (rests && !target.is_name() && !target.leads_to_several()).then_some(node);
            if rests {
                target.set_met();
            }
            let successor = std::mem::take(&mut target.successor);
            // What a name leads to is met again when it is looked up, and must be known then.
            let known = target.seed || successor || (parted && target.is_listed());
            again.push((address, (left || target.has_vanished()) && !known));
        }
        let mut names = BTreeSet::new();
        for (address, forget) in again {
            names.extend(self.names_leading_to(&address));
            if self.adopt_link(&address) {
                continue; // a name that led to other links too
            }
            // Callers that still wait for the tables of the peer: a connect dials once.
            let text = "the link ended before the tables were merged";
            self.end_connects_to(&address, &Outcome::failed(Status::Unreachable, text));
            let confirms = self.view.missing.is_confirmed_at(&address);
            if forget || self.is_told_by_nobody(&address) && !confirms {
                self.let_go(&address);
            } else {
                self.remember_unreached(&address);
                self.dial_later(&address);
            }
        }
        names
    }

    /// The node that was there may come back at another address: these names are looked up soon. Not after a link that did not last, for a
    /// peer may refuse each one after this side's Go, and the next round would always be the first.
    pub(super) fn end_back_off(&mut self, names: &BTreeSet<String>) {
        for name in names {
            if let Some(target) = self.view.dials.targets.get_mut(name) {
                target.failures = 0;
            }
        }
    }

    // ---- connect and disconnect

    pub(crate) fn connect(&mut self, process: u64, op: Ref, address: String, deadline: Deadline) {
        if !self.processes.exists(process) {
            return self.answer_call(process, op, Outcome::of(Status::NoProcess));
        }
        if self.cx.config.is_own(&address) {
            return self.answer_call(process, op, myself());
        }
        self.is_known_by_itself(&address);
        let target = self.view.dials.targets.at(&address);
        target.set_parted(false);
        target.set_not_vanished();
        if target.linked().is_some_and(|node| self.view.links.get(&node).is_some_and(|l| l.merge.is_synced()))
        {
            return self.answer_call(process, op, Outcome::of(Status::Ok));
        }
        if target.is_myself() {
            return self.answer_call(process, op, myself());
        }
        if self.rests_for(&address).is_some() {
            let text = "the node has kept this one waiting, broken the protocol or published too much, and is left alone \
                        for a while";
            return self.answer_call(process, op, Outcome::failed(Status::Unreachable, text));
        }
        let Some(target) = self.view.dials.targets.get(&address) else { return };
        for found in target.found().cloned().unwrap_or_default() {
            if let Some(target) = self.view.dials.targets.get_mut(&found) {
                target.set_parted(false);
            }
        }
        self.processes.begin_call(process, op, calls::Work::Connect);
        if let Some(deadline) = deadline.at {
            self.cx.timers.set(Timer::Connect(op), deadline);
        }
        self.view.dials.connects.insert(op, (process, address.clone()));
        self.dial(&address);
    }

    pub(crate) fn connect_deadline(&mut self, op: Ref) {
        self.end_connect(op, Outcome::of(Status::Timeout));
    }

    pub(crate) fn end_connect(&mut self, op: Ref, outcome: Outcome) {
        self.cx.timers.cancel(&Timer::Connect(op));
        if let Some((process, _)) = self.view.dials.connects.remove(&op) {
            self.answer_call(process, op, outcome);
        }
    }

    /// Answers every connect to the address.
    pub(super) fn end_connects_to(&mut self, address: &str, outcome: &Outcome) {
        let waiting = self.view.dials.connects.iter().filter(|(_, (_, at))| at == address);
        for op in waiting.map(|(op, _)| *op).collect::<Vec<_>>() {
            self.end_connect(op, outcome.clone());
        }
    }

    /// The tables of the peer are merged here: whoever waited for it goes on.
    pub(crate) fn connected(&mut self, node: NodeId) {
        for address in self.led_to(node) {
            self.is_known_by_itself(&address);
            if let Some(target) = self.view.dials.targets.get_mut(&address) {
                target.set_met();
            }
            self.end_connects_to(&address, &Outcome::of(Status::Ok));
        }
    }

    /// The link with this peer was merged for a detection time. Not before that the back-off ends: a link that the peer
    /// refuses after this side's Go, or whose way swallows what is large, would come up and go down for ever without it.
    pub(super) fn link_lasts(&mut self, node: NodeId) {
        for address in self.led_to(node) {
            if let Some(target) = self.view.dials.targets.get_mut(&address) {
                target.failures = 0;
                target.in_doubt = None;
            }
        }
    }

    /// The link with this peer is about to end, and was worth no more than so many dials that failed.
    pub(super) fn link_fails(&mut self, node: NodeId, failures: u32) {
        for address in self.led_to(node) {
            if let Some(target) = self.view.dials.targets.get_mut(&address) {
                target.failures = target.failures.saturating_add(failures);
            }
        }
    }

    /// The addresses behind which this linked peer is.
    pub(super) fn led_to(&self, node: NodeId) -> Vec<String> {
        self.view.dials.targets.led_to(node)
    }

    pub(super) fn end_all_connects(&mut self, status: Status) {
        for op in self.view.dials.connects.keys().copied().collect::<Vec<_>>() {
            self.end_connect(op, Outcome::of(status));
        }
    }

    pub(crate) fn drop_connects_without_process(&mut self) {
        let gone = self.view.dials.connects.iter().filter(|(_, (p, _))| !self.processes.exists(*p));
        for op in gone.map(|(op, _)| *op).collect::<Vec<_>>() {
            self.cx.timers.cancel(&Timer::Connect(op));
            self.view.dials.connects.remove(&op);
        }
    }

    /// Ends the link with the node of this name. The answer is to follow what ends with the link.
    pub(crate) fn disconnect(&mut self, process: u64, name: &str) -> Outcome {
        match self.view.named(name) {
            Some(_) if !self.processes.exists(process) => Outcome::of(Status::NoProcess),
            Some(node) => {
                self.link_down(node, Reason::DISCONNECTED, Some(Goodbye::Disconnected));
                Outcome::of(Status::Ok)
            }
            None => Outcome::failed(Status::NotFound, "no link to a node of that name"),
        }
    }
}
