//! How nodes depart in the simulator, what their peers are told of it, and who has to be waited for.

use crate::network::{Parting, split};
use crate::world::{R, World};
use convoke::engine::Ending;
use convoke::model::{ConnectionId, NodeId, Reason, Ref};
use std::collections::BTreeMap;

/// A link that had lasted has broken, and nothing says that the peer is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broke {
    at: u64,
    step: u64,
    /// The step in which each had the other's snapshot.
    merged: u64,
    /// How far the clock had jumped by then.
    jumped: u64,
}

/// Nodes of which it is being found out whether they are dead, by who does that.
pub(crate) type Unclear = BTreeMap<(NodeId, NodeId), String>;

impl World {
    /// What the end of a connection says to the host at this end.
    pub(crate) fn ending(&self, connection: u64, end: usize) -> Ending {
        let Some(c) = self.net.connections.get(&connection) else { return Ending::Broke };
        let address = || self.hosts[c.ends[1 - end].slot].address.clone();
        match c.parting {
            Parting::Broke => Ending::Broke,
            Parting::Died => Ending::Died,
            Parting::MayHaveDied => Ending::MayHaveDied { address: address() },
        }
    }

    /// A certain death must be one.
    pub(crate) fn must_be_dead(&self, node: NodeId, ending: &Ending) -> R {
        if *ending == Ending::Died && !self.book.gone.contains(&node) {
            return Err(format!("death: a stream of {node:?} ends without a goodbye, and it lives"));
        }
        Ok(())
    }

    /// What an engine no longer wants to find out: it was told that the node is dead, or the link just broke.
    pub(crate) fn settle_unclear(&mut self, slot: usize) {
        let id = self.hosts[slot].id;
        let Some(engine) = &self.hosts[slot].engine else { return };
        let unclear: Vec<NodeId> = engine.missing().filter(|(.., unclear)| *unclear).map(|m| m.0).collect();
        let over: Vec<(NodeId, NodeId)> = self.book.locks.unclear.keys().copied().collect();
        for key in over.into_iter().filter(|(by, node)| *by == id && !unclear.contains(node)) {
            let Some(address) = self.book.locks.unclear.remove(&key) else { continue };
            if self.proof.as_ref() == Some(&address) {
                self.book.stats.found_dead += 1;
                self.book.locks.leaves(id, key.1);
            }
        }
    }

    /// Who answers where a node was tells whether that one is dead.
    pub(crate) fn prove_by(&mut self, slot: usize, peer: NodeId, dialled: Option<&str>) {
        let id = self.hosts[slot].id;
        let asked =
            self.book.locks.unclear.iter().find(|((by, _), at)| *by == id && Some(at.as_str()) == dialled);
        self.proof = asked.filter(|((_, node), _)| *node != peer).map(|(_, address)| address.clone());
    }

    /// A host publishes that its link with a node is over.
    pub(crate) fn note_departure(&mut self, slot: usize, node: NodeId, merged: Option<(u64, u64, u64)>) {
        let for_good = self.departs_for_good();
        let host = &mut self.hosts[slot];
        let unclear =
            host.engine.iter().flat_map(|e| e.missing()).any(|(n, _, unclear)| n == node && unclear);
        if let (Some(Ending::MayHaveDied { address }), true) = (&self.ending, unclear) {
            self.book.locks.unclear.insert((host.id, node), address.clone());
        }
        let lasted = |(at, _, jumped): &(u64, u64, u64)| {
            self.now - at >= 2 * self.plan.detection && *jumped == host.jumped
        };
        if self.cause == Some(Reason::DISCONNECTED) {
            // On purpose: nobody needs to wait for what becomes of it, not for an earlier break either.
            host.broke.remove(&node);
        } else if let Some((_, step, jumped)) = merged.filter(lasted)
            && !for_good
        {
            let now = self.book.stats.steps;
            host.broke.insert(node, Broke { at: self.now, step: now, merged: step, jumped });
        }
    }

    /// A host ends its link with a node that it will not wait for any more.
    pub(crate) fn parts_from(&mut self, slot: usize, connection: ConnectionId) {
        let (number, end) = split(connection);
        let Some(other) = self.net.connections.get(&number).map(|c| c.ends[1 - end].slot) else { return };
        let id = self.hosts[other].id;
        self.hosts[slot].broke.remove(&id);
    }

    /// The link that goes down in this input does so by an orderly departure, or a death that is certain at once.
    pub(crate) fn departs_for_good(&self) -> bool {
        self.cause == Some(Reason::NODE_CLOSED) || self.ending == Some(Ending::Died)
    }

    /// A host has read the snapshot of a node.
    pub(crate) fn note_return(&mut self, slot: usize, node: NodeId) {
        let names = &self.book.locks.names;
        let id = self.hosts[slot].id;
        let replaces = |(by, old): &(NodeId, NodeId)| *by == id && names.get(old) == names.get(&node);
        let replaced = self.book.locks.unclear.iter().find(|(key, _)| key.1 != node && replaces(key));
        self.proof = replaced.map(|(_, address)| address.clone());
        self.hosts[slot].broke.retain(|other, _| *other != node && names.get(other) != names.get(&node));
    }

    /// Broke so short a while ago that it has to be waited for still, whatever the clocks.
    fn is_missed(&self, slot: usize, node: NodeId, broke: &Broke) -> bool {
        broke.jumped == self.hosts[slot].jumped
            && self.now - broke.at < self.plan.detection / 2
            && !self.book.gone.contains(&node)
    }

    /// A claim on the view begins. If those who are there are no majority, it needs those who are missing.
    pub(crate) fn note_needs(&mut self, slot: usize, op: Ref) {
        let host = &self.hosts[slot];
        let present = 1 + host.engine.iter().flat_map(|e| e.links()).filter(|(_, synced)| *synced).count();
        let missing: Vec<NodeId> =
            host.broke.iter().filter(|(node, b)| self.is_missed(slot, **node, b)).map(|(n, _)| *n).collect();
        if present <= missing.len() {
            self.book.locks.needs.insert((host.id, op), missing);
        }
    }

    /// A lock is acquired: on all of those who broke off a moment ago too, if they were there when it was asked for, or are
    /// most. `voted`: whether a node has voted.
    pub(crate) fn nobody_is_passed_over(
        &self,
        slot: usize,
        key: (NodeId, Ref),
        asked: u64,
        list: bool,
        voted: impl Fn(NodeId) -> bool,
    ) -> R {
        let needed = self.book.locks.needs.get(&key);
        for (node, broke) in &self.hosts[slot].broke {
            let was_asked = broke.merged < asked && asked < broke.step && !list;
            let is_needed = was_asked || needed.is_some_and(|needed| needed.contains(node));
            if is_needed && self.is_missed(slot, *node, broke) && !voted(*node) {
                return Err(format!(
                    "P3: h{slot} acquires without {node:?}, whose link broke {} us ago: {broke:?}\n{}",
                    self.now - broke.at,
                    self.describe()
                ));
            }
        }
        Ok(())
    }
}
