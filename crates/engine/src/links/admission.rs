//! How a connection becomes a link, or does not, and what its end means.
//!
//! Of two nodes the one with the lower incarnation is the *arbiter*: it alone says which connection is the link of the
//! pair, so dials that cross end in one link, and a link is never replaced while the arbiter believes in it.

use super::departure::Departure;
use super::liveness::DOUBT;
use super::view::Candidate;
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;

impl Engine {
    fn uptime_ms(&self) -> i64 {
        i64::try_from(self.cx.now.since(self.cx.opened).as_millis()).unwrap_or(i64::MAX)
    }

    /// When a node that says it has been open for so long was opened, in ms of this node's uptime.
    fn opened_ms(&self, peer: &Identity) -> i64 {
        self.uptime_ms().saturating_sub(i64::try_from(peer.uptime_ms).unwrap_or(i64::MAX))
    }

    /// Of two live nodes of one name, each with what it says of its links and when it was opened: whether the first one stays.
    /// The one with more links does: so a node that was given up and replaced while it was paused is the one that goes when it
    /// wakes, and never the one that works. Between equals (two halves of a cluster that meet) it is the one that has been open
    /// for longer; tie: the smaller incarnation. `None`: that is not known before the peers of one have answered.
    fn first_stays(
        &self,
        first: (Connectivity, i64, NodeId),
        second: (Connectivity, i64, NodeId),
    ) -> Option<bool> {
        let (a, b) = (first.0, second.0);
        if self.is_broken(Fault::OlderNamesakeStays) {
            return Some((first.1, first.2) < (second.1, second.2));
        }
        if a.links > b.links.saturating_add(b.unsure) {
            Some(true)
        } else if b.links > a.links.saturating_add(a.unsure) {
            Some(false)
        } else if a.unsure > 0 || b.unsure > 0 {
            None
        } else {
            Some((first.1, first.2) < (second.1, second.2))
        }
    }

    pub(crate) fn admit(&mut self, connection: ConnectionId, peer: Identity, dialled: Option<String>) {
        if let Some(address) = &dialled {
            self.dial_answered(address);
        }
        self.note_met(peer.node, dialled.as_deref());
        if let Some(why) = self.judge_candidate(&peer, dialled.is_some()) {
            self.order(Wire::Refuse { connection, why });
            counters::count(&mut self.cx.counters.refused, format!("{why:?}"));
            // Dials that cross are the rule when nodes meet.
            let usual = match why {
                Refusal::Linked | Refusal::Myself | Refusal::NameInDoubt => true,
                _ => why.is_for_conduct(), // it was told when the peer was parted
            };
            let level = if usual { Level::Debug } else { Level::Warn };
            self.log_paced(level, Topic::Handshake, |_| {
                let (name, address) = (Short(peer.name.as_bytes()), Short(peer.address.as_bytes()));
                format!("a connection with node {name} at {address} was refused: {why:?}")
            });
            if let Some(address) = dialled {
                self.dial_over(&address);
                self.dial_ended(&address, why, peer.node);
            }
            return;
        }
        if self.cx.config.node < peer.node {
            self.order(Wire::Open { connection });
            self.cx.notices.push_back(Notice::LinkUp { connection, peer, dialled });
        } else {
            self.view.candidates.insert(connection, Candidate { peer, dialled });
        }
    }

    /// Why this connection may not become a link.
    fn judge_candidate(&mut self, peer: &Identity, dialled: bool) -> Option<Refusal> {
        if self.cx.is_closed() {
            return Some(Refusal::Closing);
        }
        if peer.node == self.cx.config.node || peer.node.0 == 0 {
            return Some(Refusal::Myself);
        }
        if let Some(why) = self.view.conducts.refusal(peer.node, self.cx.now) {
            return Some(why);
        }
        if peer.name == self.cx.config.name && !self.is_broken(Fault::NamesakesGoOn) {
            self.ask_unsure_peers();
            if peer.node < self.cx.config.node {
                return None; // the arbiter decides, so that near a tie not both go
            }
            let mine = (self.connectivity(self.cx.now), 0, self.cx.config.node);
            return Some(
                match self.first_stays(mine, (peer.connectivity, self.opened_ms(peer), peer.node)) {
                    Some(true) => Refusal::NameTaken,
                    Some(false) => {
                        self.close_for(peer);
                        Refusal::Closing
                    }
                    None => Refusal::NameInDoubt, // the answers to the pings decide
                },
            );
        }
        if self.view.is_linked(peer.node) {
            if self.cx.config.node < peer.node {
                // Its dial crossed what led to the link; or, if it dials again after this refusal and is not heard on the
                // link any more, it has no link, and a dead one will not answer.
                if !dialled && let Some(link) = self.view.links.get_mut(&peer.node) {
                    let before = link.redialled.replace(self.cx.now);
                    if before.is_some_and(|before| link.pulse.last_heard <= before + DOUBT) {
                        self.doubt(peer.node);
                    }
                }
                return Some(Refusal::Linked);
            }
            return None; // the arbiter knows
        }
        let namesake = self.view.named(&peer.name).filter(|_| !self.is_broken(Fault::NamesakesGoOn));
        if let Some(old) = namesake {
            // Either it does not show that it lives, and is replaced; or the two find out between themselves which one stays. No
            // third node decides that, for then one message would close any node.
            self.challenge(old, peer);
            return Some(Refusal::NameInDoubt);
        }
        (self.view.links.len() >= self.cx.config.limits.peers).then_some(Refusal::TooManyPeers)
    }

    /// Another node of this name has shown that it has it, and stays.
    fn close_for(&mut self, namesake: &Identity) {
        self.log(Level::Warn, Topic::Node, |_| {
            let Identity { node, address, connectivity, .. } = namesake;
            let (address, links) = (Short(address.as_bytes()), connectivity.links);
            format!("node {node:?} at {address} has this node's name, and {links} links: this node closes")
        });
        self.cx.notices.push_back(Notice::NameTaken);
    }

    pub(crate) fn go(&mut self, connection: ConnectionId) {
        let Some(candidate) = self.view.candidates.remove(&connection) else { return };
        if self.view.is_linked(candidate.peer.node) {
            // The arbiter has lost the old link; this end had not noticed yet.
            self.link_down(candidate.peer.node, Reason::NODE_UNREACHABLE, Some(Goodbye::Stale));
        }
        let Candidate { peer, dialled } = candidate;
        self.cx.notices.push_back(Notice::LinkUp { connection, peer, dialled });
    }

    pub(crate) fn refused(&mut self, connection: ConnectionId, why: Refusal) {
        let candidate = self.view.candidates.remove(&connection);
        if let Some(address) = candidate.as_ref().and_then(|candidate| candidate.dialled.as_ref()) {
            self.dial_over(address);
        }
        self.log(Level::Debug, Topic::Handshake, |engine| {
            let linked = engine.view.by_connection.get(&connection);
            let name = match (&candidate, linked) {
                (Some(candidate), _) => Short(candidate.peer.name.as_bytes()).to_string(),
                (None, Some(node)) => engine.name_of(*node),
                (None, None) => "that is not known any more".to_owned(),
            };
            format!("node {name} refuses the connection: {why:?}")
        });
        let is_namesake = |candidate: &Candidate| candidate.peer.name == self.cx.config.name;
        if why == Refusal::NameTaken
            && let Some(Candidate { peer, .. }) = candidate.as_ref().filter(|it| is_namesake(it))
        {
            self.close_for(&peer.clone());
        } else if let Some(Candidate { peer, dialled: Some(address) }) = candidate {
            self.dial_ended(&address, why, peer.node);
        } else if let Some(node) = self.view.by_connection.get(&connection).copied() {
            // This side is the arbiter and said Go, but the peer has an objection of its own.
            let addresses = self.led_to(node);
            self.link_refused(&addresses, why);
            let departure = if why == Refusal::Closing { Departure::InOrder } else { Departure::Broken };
            if let Some(link) = self.view.links.get_mut(&node) {
                link.refused = true;
            }
            let reason = Reason::NODE_UNREACHABLE;
            let refused = Some((addresses, why));
            self.cx.notices.push_back(Notice::LinkOver { node, reason, goodbye: None, departure, refused });
        }
    }

    pub(crate) fn connection_ended(&mut self, connection: ConnectionId, ending: Ending, detail: &str) {
        if let Some(candidate) = self.view.candidates.remove(&connection) {
            if let Some(address) = candidate.dialled {
                self.dial_over(&address);
                self.dial_failed(&address, Status::Unreachable, detail);
            }
        } else if let Some(node) = self.view.by_connection.get(&connection).copied() {
            let goodbye = self.view.links.get(&node).and_then(|link| link.goodbye);
            // A side that gives up a link says so; an end without it means that the OS process died.
            let reason = goodbye.map_or(Reason::OS_PROCESS_DIED, Goodbye::reason);
            match ending {
                Ending::Broke => self.link_down(node, reason, None),
                Ending::Died => self.end_link(node, reason, None, Departure::Dead),
                Ending::MayHaveDied { address } => {
                    self.end_link(node, reason, None, Departure::Unclear(address));
                }
            }
        }
    }

    // ---- the end of a link

    /// The link is over, and every fact of its owner goes with it. `goodbye`: this side gives it up, and tells the peer why.
    pub(crate) fn link_down(&mut self, node: NodeId, reason: Reason, goodbye: Option<Goodbye>) {
        self.end_link(node, reason, goodbye, Departure::of(reason));
    }

    pub(super) fn end_link(
        &mut self,
        node: NodeId,
        reason: Reason,
        goodbye: Option<Goodbye>,
        departure: Departure,
    ) {
        self.cx.notices.push_back(Notice::LinkOver { node, reason, goodbye, departure, refused: None });
    }
}
