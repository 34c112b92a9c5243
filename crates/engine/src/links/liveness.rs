//! Life signs: heartbeats, silence and doubt, and how patient a node is that is slow itself.

use crate::fault::Fault;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use rand::RngExt;
use rand::seq::SliceRandom;
use std::collections::BTreeSet;
use std::time::Duration;

/// So many neighbours are asked about a silent peer (SWIM). Were it all of them, a cluster of n nodes that falls into halves
/// would ask n^3 / 2 questions at once, just when it has other worries.
const WITNESSES: usize = 3;

/// How long a peer has to answer when its life is in doubt, because somebody else claims its place.
pub(super) const DOUBT: Duration = Duration::from_secs(1);

/// How many detection times one frame may be on its way.
const FRAME_DETECTIONS: u32 = 4;

impl Engine {
    /// A frame came from this connection. `None`: it is not a link (any more); what it says is void.
    pub(crate) fn heard(&mut self, connection: ConnectionId) -> Option<NodeId> {
        let node = *self.view.by_connection.get(&connection)?;
        self.view.links.get_mut(&node)?.pulse.part_since = None;
        self.lives(node)
    }

    /// Part of a frame came. On a slow line a block of data is on its way for longer than a peer may be silent. But who
    /// never comes to an end says nothing.
    pub(crate) fn heard_part(&mut self, connection: ConnectionId) {
        let Some(&node) = self.view.by_connection.get(&connection) else { return };
        let Some(link) = self.view.links.get_mut(&node) else { return };
        let since = *link.pulse.part_since.get_or_insert(self.cx.now);
        if self.cx.now.since(since) < self.cx.config.detection * FRAME_DETECTIONS {
            self.lives(node);
        }
    }

    fn lives(&mut self, node: NodeId) -> Option<NodeId> {
        let link = self.view.links.get_mut(&node)?;
        link.pulse.last_heard = self.cx.now;
        link.pulse.forgiven = Duration::ZERO;
        if link.pulse.suspected.take().is_some() {
            self.cx.counters.rescues += 1;
            self.log(Level::Info, Topic::Liveness, |engine| {
                format!("node {} is heard again", engine.name_of(node))
            });
            self.cx.timers.set(Timer::Silence(node), self.cx.now + self.patience());
        }
        Some(node)
    }

    /// How long a peer may be silent before it is suspected: 40 % of the detection time, stretched up to all of it while
    /// this node itself is slow (Lifeguard).
    pub(crate) fn patience(&self) -> Duration {
        let base = self.cx.config.detection.mul_f64(0.4);
        base.mul_f64(1.0 + 0.25 * f64::from(self.view.local_health)).min(self.cx.config.detection)
    }

    /// A timer came late by this much: this node was paused or starved, so it cannot judge how long others were silent.
    pub(crate) fn notice_own_pause(&mut self, late: Duration, now: Time) {
        if late < self.cx.config.heartbeat / 2 {
            self.view.local_health = self.view.local_health.saturating_sub(1);
            return;
        }
        self.view.local_health = (self.view.local_health + 1).min(6);
        self.cx.counters.own_pauses += 1;
        self.log(Level::Warn, Topic::Node, |_| {
            format!("this node was paused or starved for {} ms", late.as_millis())
        });
        self.forgive_silence(late, now);
    }

    /// What this node has missed itself does not count as the silence of others. Of one silence no more than half a
    /// detection time is forgiven for many short pauses, or a node that never runs for long would never find out that a
    /// peer is dead. One pause beyond a detection time is another matter: whoever was not paused too has given up this
    /// node, and who was is as little to blame.
    fn forgive_silence(&mut self, late: Duration, now: Time) {
        let detection = self.cx.config.detection;
        for link in self.view.links.values_mut() {
            let left = (detection / 2).saturating_sub(link.pulse.forgiven);
            let by = if late >= detection { late } else { late.min(left) };
            link.pulse.forgiven += by;
            link.pulse.last_heard = (link.pulse.last_heard + by).min(now);
        }
    }

    /// At the beginning of every input: whether this node was paused before it. What it believes about its links may be
    /// out of date then, whatever it finds in its sockets: that was sent to the node that it was before. (The timers say so
    /// too, but only after what was read has been handled.)
    pub(crate) fn notice_gap(&mut self, before: Time) {
        if self.has_slept(before, self.cx.now) {
            self.view.pings += 1;
            self.view.paused_at = self.view.pings;
        }
    }

    fn has_slept(&self, from: Time, to: Time) -> bool {
        // Shorter ones make nobody give this node up.
        let long = DOUBT.min(self.cx.config.detection / 5);
        self.cx.timers.next().is_some_and(|due| to.since(due.max(from)) >= long)
    }

    /// How well this node is connected. Asked before an input says what time it is, therefore `now`.
    pub fn connectivity(&self, now: Time) -> Connectivity {
        let merged = self.view.links.values().filter(|link| link.merge.is_complete());
        let slept = self.has_slept(self.cx.now, now);
        let is_sure = |answered: &u64| !slept && *answered >= self.view.paused_at;
        let (sure, unsure): (Vec<_>, Vec<_>) = merged.map(|link| link.pulse.answered).partition(is_sure);
        let count = |links: Vec<u64>| u32::try_from(links.len()).unwrap_or(u32::MAX);
        Connectivity { links: count(sure), unsure: count(unsure) }
    }

    /// Somebody claims the name of this node: whether its peers still know it is to be found out now.
    pub(super) fn ask_unsure_peers(&mut self) {
        let paused_at = self.view.paused_at;
        let unsure = self.view.links.iter().filter(|(_, link)| link.pulse.answered < paused_at);
        for node in unsure.map(|(node, _)| *node).collect::<Vec<_>>() {
            self.ping(node);
        }
    }

    /// A peer says that another node claims this node's name. That one is met, and then it shows whether that is so, and which
    /// of the two stays; a peer's word alone closes nobody.
    pub(crate) fn on_challenge(
        &mut self,
        from: NodeId,
        number: u64,
        claimant: PeerAddress,
    ) -> Result<(), Violation> {
        if claimant.name != self.cx.config.name || claimant.node == self.cx.config.node {
            return Err(Violation("a claim to another name"));
        }
        self.send(from, Message::Pong { number });
        self.ask_unsure_peers();
        self.log_paced(Level::Info, Topic::Node, |engine| {
            let (PeerAddress { node, address, .. }, from) = (&claimant, engine.identity_of(from));
            let address = Short(address.as_bytes());
            format!("node {from} says that node {node:?} at {address} has this node's name, too")
        });
        self.learn_peer(from, claimant);
        Ok(())
    }

    pub(super) fn arm_heartbeat(&mut self, node: NodeId) {
        let Some(link) = self.view.links.get(&node) else { return };
        // Jittered: the heartbeats of many links must not fall into one moment.
        let pause = self.cx.config.heartbeat.mul_f64(self.cx.rng.random_range(0.8..1.0));
        self.cx.timers.set(Timer::Heartbeat(node), link.pulse.last_sent + pause);
    }

    pub(crate) fn heartbeat_due(&mut self, node: NodeId) {
        if self.judge_conduct(node) {
            return;
        }
        self.notice_lasting(node);
        let Some(link) = self.view.links.get(&node) else { return };
        if self.cx.now.since(link.pulse.last_sent) >= self.cx.config.heartbeat.mul_f64(0.8) {
            self.cx.counters.heartbeats += 1;
            // The answer to a ping is the peer's life sign: together they cost no more than two heartbeats.
            if link.pulse.pinged.is_none() {
                self.ping(node);
            } else {
                self.send(node, Message::Heartbeat);
            }
        }
        self.arm_heartbeat(node);
    }

    /// Asks for an answer; measures how long it takes, if none is being measured. Gives the number.
    fn ping(&mut self, node: NodeId) -> u64 {
        self.view.pings += 1;
        let number = self.view.pings;
        if let Some(link) = self.view.links.get_mut(&node) {
            link.pulse.pinged.get_or_insert((number, self.cx.now));
        }
        self.send(node, Message::Ping { number });
        number
    }

    pub(crate) fn silence_due(&mut self, node: NodeId) {
        let deadline = self.patience();
        let Some(link) = self.view.links.get(&node) else { return };
        let (silent, last_heard) = (self.cx.now.since(link.pulse.last_heard), link.pulse.last_heard);
        if silent < deadline {
            return self.cx.timers.set(Timer::Silence(node), last_heard + deadline);
        }
        if silent >= self.cx.config.detection {
            return self.give_up(node);
        }
        match &link.pulse.suspected {
            // No neighbour hears of it either, or there is none to ask.
            Some(unanswered) if unanswered.is_empty() => self.give_up(node),
            // Some neighbour does hear it, or has not answered: only the bound ends this.
            Some(_) => self.cx.timers.set(Timer::Silence(node), last_heard + self.cx.config.detection),
            None => self.suspect(node),
        }
    }

    /// Common neighbours are asked before a silent peer is given up. Those that are about to fall under suspicion are asked
    /// about with it: who loses one peer may be about to lose very many.
    fn suspect(&mut self, node: NodeId) {
        let soon = self.patience().saturating_sub(self.cx.config.heartbeat / 4);
        let also = self.view.links.iter().filter(|(_, link)| {
            link.pulse.suspected.is_none() && self.cx.now.since(link.pulse.last_heard) >= soon
        });
        let mut suspects: BTreeSet<NodeId> = also.map(|(other, _)| *other).take(MAX_LIST - 1).collect();
        suspects.insert(node);
        let witnesses = self.witnesses(&suspects);
        let answers = self.cx.config.heartbeat.min(self.cx.config.detection.mul_f64(0.2));
        for suspect in &suspects {
            self.cx.counters.suspicions += 1;
            self.log(Level::Info, Topic::Liveness, |engine| {
                let silent = engine.silence_of(*suspect).as_millis();
                let (name, asked) = (engine.name_of(*suspect), witnesses.len());
                format!("node {name} is silent for {silent} ms; {asked} neighbours are asked after it")
            });
            self.ping(*suspect);
            let Some(link) = self.view.links.get_mut(suspect) else { continue };
            link.pulse.suspected =
                Some(witnesses.iter().copied().filter(|witness| witness != suspect).collect());
            self.cx.timers.set(Timer::Silence(*suspect), self.cx.now + answers);
        }
        for witness in witnesses {
            let about = suspects.iter().copied().filter(|suspect| *suspect != witness).collect();
            self.send(witness, Message::Probe { about });
        }
    }

    /// Whom to ask about silent peers: neighbours that were heard of late, by chance. Is there none, any will do: they hardly
    /// answer, and so the bound decides; who hears nobody at all may itself be the one that is cut off.
    fn witnesses(&mut self, suspects: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let others = || {
            self.view
                .links
                .iter()
                .filter(|(node, link)| link.pulse.suspected.is_none() && !suspects.contains(node))
        };
        let lately = self.cx.config.heartbeat * 2;
        let fresh = others().filter(|(_, link)| self.cx.now.since(link.pulse.last_heard) < lately);
        let mut fresh: Vec<NodeId> = fresh.map(|(node, _)| *node).collect();
        if fresh.is_empty() {
            fresh = self.view.links.keys().copied().collect();
        }
        let (chosen, _) = fresh.partial_shuffle(&mut self.cx.rng, WITNESSES);
        chosen.iter().copied().collect()
    }

    fn silence_of(&self, node: NodeId) -> Duration {
        self.view.links.get(&node).map(|link| self.cx.now.since(link.pulse.last_heard)).unwrap_or_default()
    }

    fn give_up(&mut self, node: NodeId) {
        if self.is_broken(Fault::SilenceIsEndless) {
            return;
        }
        if self.judge_conduct(node) {
            return;
        }
        self.log(Level::Warn, Topic::Liveness, |engine| {
            let silent = engine.silence_of(node).as_millis();
            format!("node {} is given up: silent for {silent} ms", engine.name_of(node))
        });
        self.link_down(node, Reason::NODE_UNREACHABLE, Some(Goodbye::Silent));
    }

    pub(crate) fn on_probe(&mut self, from: NodeId, about: BTreeSet<NodeId>) -> Result<(), Violation> {
        let lately = self.cx.config.heartbeat * 2;
        let hears = |node: &NodeId| {
            self.view.links.get(node).is_some_and(|link| self.cx.now.since(link.pulse.last_heard) < lately)
        };
        let silent: BTreeSet<NodeId> = about.into_iter().filter(|node| !hears(node)).collect();
        if !silent.is_empty() {
            self.send(from, Message::ProbeAnswer { silent });
        }
        Ok(())
    }

    pub(crate) fn on_probe_answer(
        &mut self,
        from: NodeId,
        silent: BTreeSet<NodeId>,
    ) -> Result<(), Violation> {
        for node in silent {
            if let Some(unanswered) =
                self.view.links.get_mut(&node).and_then(|link| link.pulse.suspected.as_mut())
            {
                unanswered.remove(&from);
            }
        }
        Ok(())
    }

    /// The peer seems to have lost the link: it must show now that it lives.
    pub(crate) fn doubt(&mut self, node: NodeId) {
        let Some(link) = self.view.links.get(&node) else { return };
        if link.pulse.doubted.is_none_or(|(_, by)| by != node) {
            let number = self.ping(node);
            self.doubt_until_answered(node, number, node);
        }
    }

    /// Another node claims its name.
    pub(super) fn challenge(&mut self, node: NodeId, claimant: &Identity) {
        let Some(link) = self.view.links.get(&node) else { return };
        if link.pulse.doubted.is_some_and(|(_, by)| by == claimant.node) {
            return;
        }
        self.view.pings += 1;
        let number = self.view.pings;
        let Identity { name, address, .. } = claimant.clone();
        let told = PeerAddress { node: claimant.node, name, address };
        self.send(node, Message::Challenge { number, claimant: told });
        self.doubt_until_answered(node, number, claimant.node);
    }

    fn doubt_until_answered(&mut self, node: NodeId, number: u64, claimant: NodeId) {
        if let Some(link) = self.view.links.get_mut(&node) {
            link.pulse.doubted = Some((number, claimant));
        }
        self.cx.timers.set(Timer::Doubt(node), self.cx.now + DOUBT);
    }

    pub(crate) fn on_pong(&mut self, from: NodeId, number: u64) -> Result<(), Violation> {
        let Some(link) = self.view.links.get_mut(&from) else { return Ok(()) };
        link.pulse.answered = link.pulse.answered.max(number.min(self.view.pings));
        if let Some((_, sent)) = link.pulse.pinged.take_if(|(asked, _)| *asked == number) {
            let took = self.cx.now.since(sent);
            link.pulse.round_trip.last = Some(took);
            link.pulse.round_trip.fastest =
                Some(link.pulse.round_trip.fastest.map_or(took, |fastest| fastest.min(took)));
            self.cx.counters.round_trips.add(took);
        }
        let inquirers = link.pulse.inquiries.take_if(|(asked, _)| number >= *asked);
        if link.pulse.doubted.is_some_and(|(asked, _)| asked == number) {
            link.pulse.doubted = None;
            link.redialled = None;
            self.cx.timers.cancel(&Timer::Doubt(from));
        }
        for inquirer in inquirers.into_iter().flat_map(|(_, inquirers)| inquirers) {
            self.send(inquirer, Message::Vouched { node: from });
        }
        Ok(())
    }

    /// Somebody waits for a process of this peer, and cannot see it: it is answered as soon as the peer has shown that it
    /// lives. What this node has read of it says nothing: it may have been sent before a pause of this node.
    pub(crate) fn on_vouch(&mut self, node: NodeId, inquirer: NodeId) {
        let Some(link) = self.view.links.get_mut(&node) else { return };
        if let Some((_, inquirers)) = &mut link.pulse.inquiries {
            inquirers.insert(inquirer);
            return;
        }
        let number = self.ping(node);
        if let Some(link) = self.view.links.get_mut(&node) {
            link.pulse.inquiries = Some((number, [inquirer].into()));
        }
    }

    pub(crate) fn doubt_due(&mut self, node: NodeId) {
        self.give_up(node);
    }
}
