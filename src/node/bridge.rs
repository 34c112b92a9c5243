//! The native engine at its [`Desk`], as the mesh sees them: its orders become orders for sockets, its links have lanes.

#[cfg(feature = "test-hooks")]
mod cables;

use super::desk::Desk;
use super::links::Lane;
use super::{LinkOutbox, Shared};
use crate::engine::{Ending, Engine, FRAGMENT, Identity, Output, Refusal, Stamped, Wire};
use crate::flow::DataHeader;
use crate::mesh::{Core, Order};
use crate::model::{ConnectionId, Effect, Level, Machine, NodeId, Payload, Status, Time, Topic};
use crate::wire::LinkProtection;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

/// The data lane of one link, as the mesh holds it.
#[derive(Clone)]
pub(super) struct Attachment {
    node: NodeId,
    link: Arc<LinkOutbox>,
}

impl Attachment {
    fn next_block(&self, fragment: usize) -> Option<Vec<u8>> {
        // Before the look: what is put in after it pokes again.
        self.link.begin();
        self.link.outbox.lock().unwrap_or_else(PoisonError::into_inner).next_block(fragment)
    }
}

pub(super) struct Bridge {
    pub(super) desk: Desk<Engine>,
    lanes: HashMap<ConnectionId, Attachment, foldhash::fast::FixedState>,
    connections: HashMap<NodeId, ConnectionId, foldhash::fast::FixedState>,
    #[cfg(feature = "test-hooks")]
    cables: cables::Cables,
}

impl Bridge {
    pub(super) fn new(shared: Arc<Shared>, engine: Engine) -> Self {
        Self {
            desk: Desk::new(shared, engine),
            lanes: HashMap::default(),
            connections: HashMap::default(),
            #[cfg(feature = "test-hooks")]
            cables: cables::Cables::default(),
        }
    }

    fn publish_peer(
        &mut self,
        node: NodeId,
        up: Option<ConnectionId>,
        effect: Effect,
    ) -> Option<Order<Attachment>> {
        if let Some(connection) = up {
            #[cfg(feature = "test-hooks")]
            self.cables.linked(connection);
            self.desk.delivery.apply(effect);
            self.connections.insert(node, connection);
            let link = self.desk.shared.links.get(node)?;
            let lane = Attachment { node, link };
            self.lanes.insert(connection, lane.clone());
            return Some(Order::Attach { connection, outbox: lane });
        }
        // What was put in before the link went down goes out if it still can: it was accepted, and a node that leaves
        // in order takes nothing back.
        let connection = self.connections.remove(&node);
        let lane = connection.and_then(|connection| self.lanes.remove(&connection));
        let rest = lane.iter().flat_map(|lane| std::iter::from_fn(|| lane.next_block(FRAGMENT))).collect();
        self.desk.delivery.apply(effect);
        connection.map(|connection| Order::Detach { connection, rest })
    }

    fn order_of(&mut self, wire: Wire) -> Option<Order<Attachment>> {
        Some(match wire {
            Wire::Send { to, message } => {
                self.desk.traffic.messages_written += to.len() as u64;
                Order::Send { to, message }
            }
            Wire::Signal { to, header, data } => self.signal(to, header, data),
            // A message that waited for this room may go now.
            Wire::Credit { connection, to, credit } => {
                self.desk.delivery.credit(connection, to, Some(credit));
                Order::Data { connection }
            }
            Wire::NoReceiver { connection, to } => {
                self.desk.delivery.credit(connection, to, None);
                Order::Data { connection }
            }
            Wire::Dial { address } => Order::Dial { address },
            Wire::Open { connection } => {
                #[cfg(feature = "test-hooks")]
                self.cables.goes(connection);
                Order::Open { connection }
            }
            Wire::Refuse { connection, why } => {
                #[cfg(feature = "test-hooks")]
                self.cables.ended(connection);
                Order::Refuse { connection, why }
            }
            #[cfg(feature = "test-hooks")]
            Wire::Close { connection, .. } if !self.cables.closes(connection) => return None,
            Wire::Close { connection, goodbye } => Order::Close { connection, goodbye },
        })
    }

    fn signal(&mut self, connection: ConnectionId, header: DataHeader, data: Payload) -> Order<Attachment> {
        let Some(lane) = self.lanes.get(&connection) else {
            return Order::Tail { connection, header, data };
        };
        let Lane::Native(outbox) = &mut *lane.link.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.signal(header, data.as_bytes());
        Order::Data { connection }
    }
}

impl Core for Bridge {
    type Outbox = Attachment;

    fn begin(&mut self) {
        self.desk.begin();
    }

    fn needs_driver(&self) -> bool {
        self.desk.needs_driver()
    }

    fn identity(&self) -> Identity {
        let config = &self.desk.shared.config;
        Identity {
            node: config.node,
            name: config.name.clone(),
            address: config.address.clone(),
            connectivity: self.desk.engine.connectivity(self.desk.now),
            groups: self.desk.engine.existence_digest(),
            uptime_ms: self.desk.shared.clock.now().since(Time::default()).as_millis() as u64,
            message_limit: config.limits.message as u64,
        }
    }

    fn opened(&mut self, connection: ConnectionId, protection: LinkProtection) {
        self.desk.delivery.opened(connection, protection);
    }
    fn forgotten(&mut self, connection: ConnectionId) {
        self.desk.delivery.forgotten(connection);
    }
    fn handle_connection(&mut self, connection: ConnectionId, peer: Identity, dialled: Option<String>) {
        #[cfg(feature = "test-hooks")]
        if !self.is_cable_whole(connection, &peer.name, dialled.as_deref()) {
            return;
        }
        self.desk.engine.handle_connection(self.desk.now, connection, peer, dialled);
    }
    fn handle_go(&mut self, connection: ConnectionId) {
        #[cfg(feature = "test-hooks")]
        self.cables.goes(connection);
        self.desk.engine.handle_go(self.desk.now, connection);
    }
    fn handle_refused(&mut self, connection: ConnectionId, why: Refusal) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.ended(connection) {
            return;
        }
        self.desk.engine.handle_refused(self.desk.now, connection, why);
    }
    fn handle_connection_end(&mut self, connection: ConnectionId, ending: Ending, detail: &str) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.ended(connection) {
            return;
        }
        self.desk.engine.handle_connection_end(self.desk.now, connection, ending, detail);
    }
    fn handle_looked_up(&mut self, name: &str, addresses: Vec<String>) {
        self.desk.engine.handle_looked_up(self.desk.now, name, addresses);
    }
    fn handle_dial_failed(&mut self, address: &str, status: Status, detail: &str) {
        self.desk.engine.handle_dial_failed(self.desk.now, address, status, detail);
    }
    fn handle_dial_refused(&mut self, address: &str, detail: &str) {
        self.desk.engine.handle_dial_refused(self.desk.now, address, detail);
    }
    fn handle_message(&mut self, connection: ConnectionId, message: Stamped) {
        #[cfg(feature = "test-hooks")]
        let Some(message) = self.cables.hear_message(connection, message) else { return };
        self.desk.traffic.messages_read += 1;
        self.desk.engine.handle_message(self.desk.now, connection, message);
    }
    fn handle_data(&mut self, connection: ConnectionId, header: DataHeader, body: &[u8]) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.hear_data(connection, &header, body) {
            return;
        }
        self.desk.traffic.data_read += 1;
        self.desk.engine.handle_data(self.desk.now, connection, header, body);
    }
    fn handle_part(&mut self, connection: ConnectionId) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.is_live(connection) {
            return;
        }
        self.desk.engine.handle_part(self.desk.now, connection);
    }

    fn poll_order(&mut self) -> Option<Order<Attachment>> {
        #[cfg(feature = "test-hooks")]
        for hook in std::mem::take(&mut self.desk.hooks) {
            self.handle_hook(hook);
        }
        #[cfg(feature = "test-hooks")]
        if let Some(order) = self.cables.poll_order() {
            return Some(order);
        }
        if let Some(by) = self.desk.take_replaced() {
            return Some(Order::EndReplaced { by });
        }
        while let Some(output) = self.desk.engine.poll_output() {
            let order = match output {
                Output::Effect(effect @ Effect::PublishPeer { node, connection, .. }) => {
                    self.publish_peer(node, connection, effect)
                }
                Output::Effect(table) => {
                    self.desk.delivery.apply(table);
                    None
                }
                Output::Wire(wire) => self.order_of(wire),
            };
            if order.is_some() {
                return order;
            }
        }
        self.desk.take_events();
        None
    }

    fn settle(&mut self) {
        self.desk.settle();
        #[cfg(feature = "test-hooks")]
        self.cables.settle();
    }

    fn next_block(&mut self, lane: &Attachment, fragment: usize) -> Option<Vec<u8>> {
        lane.next_block(fragment)
    }

    fn written(&mut self, lane: &Attachment, block: Vec<u8>) {
        let waiting = lane.link.outbox.lock().unwrap_or_else(PoisonError::into_inner).written(block);
        if !waiting.is_empty() {
            self.desk.delivery.sendable(lane.node, waiting);
        }
    }

    fn moved(&mut self, lane: Option<&Attachment>, read: usize, written: usize) {
        if let Some(lane) = lane {
            lane.link.bytes.add(read as u64, written as u64);
        }
        self.desk.traffic.bytes_read += read as u64;
        self.desk.traffic.bytes_written += written as u64;
    }

    fn accepted(&mut self) {
        self.desk.traffic.accepted += 1;
    }

    fn log(&mut self, status: Status, text: String) {
        // What is not the machine's or an internal error is said of a connection that was refused before the engine heard of it.
        let (level, topic) = match status {
            Status::Internal => (Level::Error, Topic::Node),
            Status::Io => (Level::Error, Topic::Listener),
            _ => (Level::Warn, Topic::Handshake),
        };
        self.desk.log(level, topic, text);
    }
}
