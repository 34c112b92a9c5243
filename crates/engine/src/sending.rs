//! What leaves the engine, or comes back to it: messages to peers and to this node itself, orders, events, published tables.

use super::machine::Engine;
use super::*;
use std::collections::BTreeSet;

impl Engine {
    /// To a linked node or to oneself; to a node without a link it is dropped: what it was about ended with the link.
    pub(super) fn send(&mut self, to: NodeId, message: Message) {
        if to == self.cx.config.node {
            self.cx.out.say_to_self(message);
            self.reenter_if_broken();
        } else if let Some(connection) = self.view.send_on(to, self.cx.now) {
            let message = Stamped { clock: self.cx.clock(), message };
            self.cx.out.order(Wire::Send { to: vec![connection], message });
        }
    }

    /// One message to several nodes: encoded once. This node itself may be among them.
    pub(super) fn send_to_all(&mut self, nodes: &BTreeSet<NodeId>, message: Message) {
        let mut to = Vec::with_capacity(nodes.len());
        to.extend(nodes.iter().filter_map(|node| self.view.send_on(*node, self.cx.now)));
        if nodes.contains(&self.cx.config.node) {
            self.cx.out.say_to_self(message.clone());
            self.reenter_if_broken();
        }
        if !to.is_empty() {
            let message = Stamped { clock: self.cx.clock(), message };
            self.cx.out.order(Wire::Send { to, message });
        }
    }

    /// To every linked node.
    pub(super) fn broadcast(&mut self, message: Message) {
        let linked = self.view.linked();
        self.send_to_all(&linked, message);
    }

    pub(super) fn next_tx(&mut self) -> Tx {
        Tx { lamport: self.cx.tick(), node: self.cx.config.node }
    }

    pub(super) fn order(&mut self, order: Wire) {
        self.cx.out.order(order);
    }

    pub(super) fn event(&mut self, effect: Effect) {
        self.cx.out.event(effect);
    }

    pub(super) fn publish_peer(&mut self, effect: Effect) {
        self.cx.out.publish(effect);
    }
}
