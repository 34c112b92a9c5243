//! How nodes depart, and what that means to those who count on them.
//!
//! A node that left in order has told all that it was, and a node that died for certain holds nothing and grants nothing any
//! more: both are no longer counted. A link that broke says nothing about the node. It may live on, hold what its
//! processes held and grant it to others; or it is this very node that was paused or cut off, and everybody else has given it up.
//! So it is *missing* for a while: claims that need its vote wait until it is back and has been asked again, until it is
//! certainly gone, or for one detection time.
//!
//! When a connection ends as the death of an OS process ends it, but might have ended for another reason, the address where the
//! peer listened is dialled at once. Nobody listens there, or somebody else does: it is dead.

use super::link::Link;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the end of a connection says about the peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It is dead for certain: its OS process was on this machine, and the kernel has closed the connection.
    Died,
    /// It may be dead. A dial of this address tells: the peer listened there, and nobody else can.
    MayHaveDied { address: String },
    /// Nothing: the connection broke.
    Broke,
}

/// How a node departed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Departure {
    /// It said goodbye, for good.
    InOrder,
    /// It is dead for certain.
    Dead,
    /// The link broke, or was ended by one of the two that goes on.
    Broken,
    /// Likewise; and whether the node is dead will be known in a moment, from a dial of this address.
    Unclear(String),
    /// One of the two has ended the link on purpose and says so: `convoke_node_disconnect`, or this node leaves alone a peer
    /// that keeps others waiting, breaks the protocol or publishes too much. The node goes on, so for holds the link is
    /// broken. Nobody needs to find out what became of it, so claims do not wait for it.
    Parted,
}

impl Departure {
    /// What is known of a link that this node ends, or that a goodbye has ended.
    pub(crate) fn of(reason: Reason) -> Self {
        match reason {
            Reason::NODE_CLOSED => Self::InOrder,
            Reason::DISCONNECTED => Self::Parted,
            _ => Self::Broken,
        }
    }

    /// The node counts no longer.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::InOrder | Self::Dead)
    }
}

/// How long a dial may take that is to tell whether a node is dead.
const CONFIRMATION: Duration = Duration::from_secs(1);

/// A detection time is counted in so many steps: while this node stood still it could not have heard of anybody, so a
/// step that took longer counts as one.
const STEPS: u32 = 8;

/// A node whose link broke a short while ago.
#[derive(Debug)]
pub(crate) struct Missing {
    name: String,
    /// For how long, as far as this node was awake.
    waited: Duration,
    /// Up to when that was counted.
    counted: Time,
    /// The address that is dialled to find out whether it is dead.
    confirming: Option<String>,
}

/// Nodes that are missing. A node stays here until it is linked *and* synced again.
#[derive(Default, Debug)]
pub(super) struct MissingNodes {
    rows: BTreeMap<NodeId, Missing>,
}

impl MissingNodes {
    pub(crate) fn contains(&self, node: NodeId) -> bool {
        self.rows.contains_key(&node)
    }
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.rows.keys().copied()
    }
    /// Whether it is dead is being found out.
    pub(crate) fn is_unclear(&self, node: NodeId) -> bool {
        self.rows.get(&node).is_some_and(|missing| missing.confirming.is_some())
    }
    fn unclear_at(&self, address: &str) -> Vec<NodeId> {
        let at = |missing: &Missing| missing.confirming.as_deref() == Some(address);
        self.rows.iter().filter(|(_, missing)| at(missing)).map(|(node, _)| *node).collect()
    }
    /// A dial of this address is to tell whether somebody is dead.
    pub(super) fn is_confirmed_at(&self, address: &str) -> bool {
        self.rows.values().any(|missing| missing.confirming.as_deref() == Some(address))
    }
    /// For how long the node was waited for, if it is missing.
    pub(crate) fn waited(&self, node: NodeId) -> Option<Duration> {
        self.rows.get(&node).map(|missing| missing.waited)
    }
}

impl Engine {
    /// The nodes that are missing, for how long each was waited for, and whether it is being found out that it is dead.
    pub fn missing(&self) -> impl Iterator<Item = (NodeId, Duration, bool)> {
        let rows = self.view.missing.rows.iter();
        rows.map(|(node, missing)| (*node, missing.waited, missing.confirming.is_some()))
    }

    /// The link is over.
    pub(super) fn note_missing(&mut self, node: NodeId, link: &Link, departure: &Departure) {
        // A node that comes and goes all the time is waited for once, until a link with it has lasted.
        let lasted = link.merge.lasted(self.cx.now) >= self.cx.config.detection;
        let before =
            if lasted { Duration::ZERO } else { self.view.missing.waited(node).unwrap_or(link.merge.waited) };
        let confirming = match departure {
            Departure::Unclear(address) => Some(address.clone()),
            _ => None,
        };
        let full = self.view.missing.rows.len() >= self.cx.config.limits.peers;
        let waited_for = before < self.cx.config.detection || confirming.is_some();
        if departure.is_final() || *departure == Departure::Parted || full || !waited_for {
            self.view.missing.rows.remove(&node);
            return;
        }
        if confirming.is_some() {
            self.cx
                .timers
                .set(Timer::Confirm(node), self.cx.now + CONFIRMATION.min(self.cx.config.detection));
        }
        let missing = Missing { name: link.name.clone(), waited: before, counted: self.cx.now, confirming };
        self.view.missing.rows.insert(node, missing);
        self.arm_missing();
    }

    /// The next step of the wait for those who have no link; who has one is waited for until it is synced, or breaks.
    fn arm_missing(&mut self) {
        let step = self.cx.config.detection / STEPS;
        let is_due = |(node, missing): &(&NodeId, &Missing)| {
            missing.confirming.is_none() && !self.view.is_linked(**node)
        };
        let rows = self.view.missing.rows.iter().filter(is_due);
        let left = rows.map(|(_, missing)| self.cx.config.detection.saturating_sub(missing.waited)).min();
        match left {
            Some(left) => self.cx.timers.set(Timer::Missing, self.cx.now + left.min(step)),
            None => self.cx.timers.cancel(&Timer::Missing),
        }
    }

    pub(crate) fn missing_due(&mut self) {
        let step = self.cx.config.detection / STEPS;
        let mut over = Vec::new();
        for (node, missing) in &mut self.view.missing.rows {
            missing.waited += self.cx.now.since(missing.counted).min(step);
            missing.counted = self.cx.now;
            if missing.waited >= self.cx.config.detection
                && missing.confirming.is_none()
                && !self.view.links.contains_key(node)
            {
                over.push(*node);
            }
        }
        for node in over {
            self.give_up_waiting(node);
        }
        self.arm_missing();
    }

    /// Nobody waits for it any more: what it may do on its own is a split.
    fn give_up_waiting(&mut self, node: NodeId) {
        if let Some(missing) = self.view.missing.rows.remove(&node) {
            self.log(Level::Info, Topic::Claim, |_| {
                let (name, ms) = (Short(missing.name.as_bytes()), missing.waited.as_millis());
                format!("claims no longer wait for node {name}, whose link broke {ms} ms ago")
            });
        }
        let why = "the link to a node of the list was lost";
        self.cx.notices.push_back(Notice::GivenUp { node, why });
    }

    /// It is linked and synced: whoever waited for it asks it now.
    pub(super) fn end_wait_for(&mut self, node: NodeId, name: &str) {
        self.view.missing.rows.remove(&node);
        self.cx.timers.cancel(&Timer::Confirm(node));
        // Nobody waits for one whose name another node has now.
        let replaced = self.view.missing.rows.iter().filter(|(_, missing)| missing.name == name);
        for old in replaced.map(|(old, _)| *old).collect::<Vec<_>>() {
            if self.view.missing.is_unclear(old) {
                self.confirm_death(old, "another node has its name");
            } else {
                self.view.missing.rows.remove(&old);
                let why = "a node of the list was replaced";
                self.cx.notices.push_back(Notice::GivenUp { node: old, why });
            }
        }
        self.arm_missing();
    }

    // ---- certain deaths

    /// The address of a node that may be dead is dialled at once; a dial that is under way already does as well. One that fails
    /// in another way than by a refusal is repeated as all dials are, until the time is over: the death may be under way.
    pub(super) fn confirm_by_dial(&mut self, node: NodeId, address: &str) {
        self.dial(address);
        if !self.is_dialling(address) {
            self.end_confirmation(node);
        }
    }

    /// Nobody listens at this address.
    pub(crate) fn note_refused_dial(&mut self, address: &str) {
        for node in self.view.missing.unclear_at(address) {
            self.confirm_death(node, "nobody listens at its address any more");
        }
    }

    /// This incarnation has said who it is, at this address if it was dialled: it lives, and another one that was there does not.
    pub(super) fn note_met(&mut self, node: NodeId, address: Option<&str>) {
        if self.view.missing.is_unclear(node) {
            self.end_confirmation(node);
        }
        for gone in address.map(|at| self.view.missing.unclear_at(at)).unwrap_or_default() {
            self.confirm_death(gone, "another node answers at its address");
        }
    }

    pub(crate) fn confirmation_due(&mut self, node: NodeId) {
        self.end_confirmation(node);
    }

    /// It is a broken link, and no more.
    fn end_confirmation(&mut self, node: NodeId) {
        self.cx.timers.cancel(&Timer::Confirm(node));
        if let Some(missing) = self.view.missing.rows.get_mut(&node)
            && missing.confirming.take().is_some()
        {
            self.cx.notices.push_back(Notice::Unclear { node });
            self.arm_missing();
        }
    }

    fn confirm_death(&mut self, node: NodeId, how: &'static str) {
        self.cx.timers.cancel(&Timer::Confirm(node));
        let Some(missing) = self.view.missing.rows.remove(&node) else { return };
        self.log_paced(Level::Info, Topic::Link, |_| {
            format!("node {} is dead: {how}", Short(missing.name.as_bytes()))
        });
        self.cx.notices.push_back(Notice::Dead { node, name: missing.name });
    }
}
