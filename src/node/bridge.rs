//! The engine and what delivers for it, as the mesh sees them.
//!
//! Inputs go to the engine with the time of the batch that they came in. Its outputs are taken apart here: tables and
//! credits are applied at once, orders for sockets go to the mesh, events and answers wait until the mesh has written:
//! other nodes wait for those bytes, and whoever reads an answer may rely on what precedes it being on its way.

#[cfg(feature = "test-hooks")]
mod cables;

use super::observe::{Observed, Traffic};
use super::resolver::Late;
use super::{Delivery, LinkOutbox, Reply, Request, Shared, log, operation_of};
use crate::engine::message::DataHeader;
use crate::engine::{
    ClashAnswer, ConnectionId, Ending, Engine, FRAGMENT, Identity, Level, Name, NodeId, Output, Payload,
    Refusal, Stamped, Status, Target, Time,
};
use crate::mesh::{Core, Order, TURN};
use crate::wire::{LinkProtection, Protection};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// No link has these numbers; the tests of the driver use them.
#[cfg(test)]
pub(super) const PANIC_ON_PURPOSE: u64 = u64::MAX;
#[cfg(test)]
pub(super) const PAUSE_ON_PURPOSE: u64 = u64::MAX - 1;

/// Room for so many requests or outputs is kept for the next turn.
const KEEP_ROOM: usize = 16_384;

/// The data lane of one link.
#[derive(Clone)]
pub(super) struct Lane {
    node: NodeId,
    link: Arc<LinkOutbox>,
}

impl Lane {
    fn next_block(&self, fragment: usize) -> Option<Vec<u8>> {
        // Before the look: what is put in after it pokes again.
        self.link.begin();
        self.link.outbox.lock().unwrap_or_else(PoisonError::into_inner).next_block_of(fragment)
    }
}

pub(super) struct Bridge {
    shared: Arc<Shared>,
    engine: Engine,
    delivery: Delivery,
    /// The time of this batch of input.
    now: Time,
    lanes: HashMap<ConnectionId, Lane, foldhash::fast::FixedState>,
    connections: HashMap<NodeId, ConnectionId, foldhash::fast::FixedState>,
    /// Events and answers, until the mesh has written.
    later: Vec<Output>,
    closed: bool,
    /// Links that were made under what this has replaced are to be ended.
    replaced: Option<Protection>,
    /// What the engine was told to log.
    logged: Option<Level>,
    traffic: Traffic,
    requests: Requests,
    /// Resolver functions that run, and their deadlines.
    resolving: BTreeMap<u64, Time>,
    /// When the driver will look at the engine's timers; `None`: when it is woken.
    looks_at: Option<Time>,
    #[cfg(feature = "test-hooks")]
    cables: cables::Cables,
}

/// What was taken from the inbox and not yet handled.
#[derive(Default)]
struct Requests {
    /// In reverse: the next one is the last.
    waiting: Vec<Request>,
}

impl Requests {
    fn refill(&mut self, shared: &Shared) {
        if self.waiting.is_empty() {
            // A flood of calls is not to be remembered by its room.
            if self.waiting.capacity() > KEEP_ROOM {
                self.waiting = Vec::new();
            }
            shared.inbox.drain(&mut self.waiting);
            self.waiting.reverse();
        }
    }

    fn rest(&mut self) -> impl Iterator<Item = Request> {
        std::mem::take(&mut self.waiting).into_iter().rev()
    }
}

impl Bridge {
    pub(super) fn new(shared: Arc<Shared>, engine: Engine) -> Bridge {
        Bridge {
            delivery: Delivery::new(shared.clone()),
            now: shared.clock.now(),
            engine,
            shared,
            lanes: HashMap::default(),
            connections: HashMap::default(),
            later: Vec::new(),
            closed: false,
            replaced: None,
            logged: None,
            traffic: Traffic::default(),
            requests: Requests::default(),
            resolving: BTreeMap::new(),
            looks_at: None,
            #[cfg(feature = "test-hooks")]
            cables: cables::Cables::default(),
        }
    }

    /// The engine has said its last word.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        if self.closed {
            return None;
        }
        let late = self.resolving.values().copied();
        self.engine.poll_timeout().into_iter().chain(late).min()
    }

    /// Hands the engine at most so many requests of callers, and for no longer than a turn unless all are wanted. `true`: there
    /// are more.
    pub(super) fn take_requests(&mut self, limit: usize) -> bool {
        self.requests.refill(&self.shared);
        self.hear_who_listens();
        if self.requests.waiting.is_empty() {
            return false;
        }
        self.now = self.shared.clock.now();
        // Each is taken away before it is handled, so that one that panics is not met again.
        let began = Instant::now();
        for count in 0..limit {
            let Some(request) = self.requests.waiting.pop() else { return false };
            self.handle_request(request);
            if count % 8 == 7 && limit < usize::MAX && began.elapsed() >= TURN {
                break;
            }
        }
        !self.requests.waiting.is_empty()
    }

    /// Who listens to the log may have changed.
    fn hear_who_listens(&mut self) {
        let loudest = log::loudest();
        if self.logged != loudest {
            self.logged = loudest;
            self.engine.set_log_level(loudest);
        }
    }

    /// The driver is at work, or will look again at this time.
    pub(super) fn driver_looks_at(&mut self, at: Option<Time>) {
        self.looks_at = at;
    }

    pub(super) fn handle_timeout(&mut self) {
        let late = self.resolving.iter().filter(|(_, until)| **until <= self.now).map(|(call, _)| *call);
        for call in late.collect::<Vec<u64>>() {
            self.resolving.remove(&call);
            self.resolver_is_late(call);
        }
        self.engine.handle_timeout(self.now);
    }

    fn handle_request(&mut self, request: Request) {
        match request {
            Request::Command { command, reply } => {
                let op = operation_of(&command);
                let has_place = matches!(reply, Some(Reply::Place));
                if let (Some(op), Some(reply)) = (op, reply) {
                    self.delivery.expect(op, reply);
                }
                self.engine.handle_command(self.now, command);
                if has_place {
                    self.shared.release_operations(1);
                }
            }
            #[cfg(test)]
            Request::Taken { window, .. } if window.link == PANIC_ON_PURPOSE => panic!("a panic on purpose"),
            #[cfg(test)]
            Request::Taken { window, messages, .. } if window.link == PAUSE_ON_PURPOSE => {
                std::thread::sleep(std::time::Duration::from_millis(messages));
            }
            Request::Taken { window, messages, bytes } => {
                self.engine.handle_taken(self.now, window, messages, bytes);
            }
            Request::Resolving { call, until } => {
                self.resolving.insert(call, until);
            }
            Request::Resolved { call, answer } => {
                self.resolving.remove(&call);
                self.engine.handle_resolved(self.now, call, answer);
            }
            Request::EndReplaced { by } => self.replaced = Some(by),
            // Nobody may be left who asks.
            Request::Locks { resource, answer } => {
                let rows = self.engine.locks(self.now, resource.as_ref().map(Name::as_bytes));
                let _ = answer.try_send(rows);
            }
            Request::Observe { picture, answer } => {
                let _ = answer.try_send(Box::new(self.observed(picture)));
            }
            #[cfg(feature = "test-hooks")]
            Request::Hook(hook) => self.handle_hook(hook),
        }
    }

    fn observed(&self, picture: bool) -> Observed {
        Observed {
            counters: self.engine.counters().clone(),
            gauges: self.engine.gauges(self.now),
            picture: picture.then(|| self.engine.picture(self.now)),
            traffic: self.traffic.clone(),
        }
    }

    /// The manual's rule for a function that crashes.
    fn resolver_is_late(&mut self, call: u64) {
        let late = self.shared.resolvers.is_late(&self.shared, call);
        self.traffic.resolvers_late += u64::from(late != Late::Answered);
        let text = match late {
            Late::Answered => return,
            Late::LeftBehind => "a resolver function is late and was left behind with its thread",
            Late::Stuck => {
                "a resolver function is late, as others are: clashes wait undecided until one of them returns"
            }
        };
        let (level, target, text) = (Level::Warn, Target::Resolver, text.to_owned());
        self.later.push(Output::Log { level, target, text });
        self.engine.handle_resolved(self.now, call, ClashAnswer::Failed);
    }

    /// The node ends by a defect: everybody who waits is told, those of these requests too.
    pub(super) fn fail(&mut self, why: &str) {
        let text = format!("the node is closed by a defect: {why}");
        log::emit(&self.shared.config.name, Level::Error, Target::Node, &text);
        for request in self.requests.rest() {
            if let Request::Command { command, reply: Some(reply) } = request
                && let Some(op) = operation_of(&command)
            {
                self.delivery.expect(op, reply);
            }
        }
        self.closed = true;
        self.later.clear();
        self.delivery.fail_all(Status::Internal);
    }

    fn publish_peer(
        &mut self,
        node: NodeId,
        up: Option<ConnectionId>,
        output: Output,
    ) -> Option<Order<Lane>> {
        if let Some(connection) = up {
            #[cfg(feature = "test-hooks")]
            self.cables.linked(connection);
            self.delivery.apply(output);
            self.connections.insert(node, connection);
            let link = self.shared.links.get(node)?;
            let lane = Lane { node, link };
            self.lanes.insert(connection, lane.clone());
            return Some(Order::Attach { connection, outbox: lane });
        }
        // What was put in before the link went down goes out if it still can: it was accepted, and a node that leaves
        // in order takes nothing back.
        let connection = self.connections.remove(&node);
        let lane = connection.and_then(|connection| self.lanes.remove(&connection));
        let rest = lane.iter().flat_map(|lane| std::iter::from_fn(|| lane.next_block(FRAGMENT))).collect();
        self.delivery.apply(output);
        connection.map(|connection| Order::Detach { connection, rest })
    }

    fn signal(&mut self, connection: ConnectionId, header: DataHeader, data: Payload) -> Order<Lane> {
        let Some(lane) = self.lanes.get(&connection) else {
            return Order::Tail { connection, header, data };
        };
        let mut outbox = lane.link.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.signal(header, data.as_bytes());
        Order::Data { connection }
    }
}

impl Core for Bridge {
    type Outbox = Lane;

    fn begin(&mut self) {
        self.now = self.shared.clock.now();
        // What was left over of an earlier turn, then what has come since.
        if !self.requests.waiting.is_empty() {
            self.take_requests(usize::MAX);
        }
        self.take_requests(usize::MAX);
    }

    fn needs_driver(&self) -> bool {
        let sooner = match (self.poll_timeout(), self.looks_at) {
            (Some(due), Some(at)) => due < at,
            (due, None) => due.is_some(),
            (None, Some(_)) => false,
        };
        sooner || self.closed
    }

    fn identity(&self) -> Identity {
        let config = &self.shared.config;
        Identity {
            node: config.node,
            name: config.name.clone(),
            address: config.address.clone(),
            connectivity: self.engine.connectivity(self.now),
            groups: self.engine.existence_digest(),
            uptime_ms: self.shared.clock.now().since(Time::default()).as_millis() as u64,
            message_limit: config.limits.message as u64,
        }
    }

    fn opened(&mut self, connection: ConnectionId, protection: LinkProtection) {
        self.delivery.opened(connection, protection);
    }
    fn forgotten(&mut self, connection: ConnectionId) {
        self.delivery.forgotten(connection);
    }
    fn handle_connection(&mut self, connection: ConnectionId, peer: Identity, dialled: Option<String>) {
        #[cfg(feature = "test-hooks")]
        if !self.is_cable_whole(connection, &peer.name, dialled.as_deref()) {
            return;
        }
        self.engine.handle_connection(self.now, connection, peer, dialled);
    }
    fn handle_go(&mut self, connection: ConnectionId) {
        #[cfg(feature = "test-hooks")]
        self.cables.goes(connection);
        self.engine.handle_go(self.now, connection);
    }
    fn handle_refused(&mut self, connection: ConnectionId, why: Refusal) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.ended(connection) {
            return;
        }
        self.engine.handle_refused(self.now, connection, why);
    }
    fn handle_connection_end(&mut self, connection: ConnectionId, ending: Ending, detail: &str) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.ended(connection) {
            return;
        }
        self.engine.handle_connection_end(self.now, connection, ending, detail);
    }
    fn handle_looked_up(&mut self, name: &str, addresses: Vec<String>) {
        self.engine.handle_looked_up(self.now, name, addresses);
    }
    fn handle_dial_failed(&mut self, address: &str, status: Status, detail: &str) {
        self.engine.handle_dial_failed(self.now, address, status, detail);
    }
    fn handle_dial_refused(&mut self, address: &str, detail: &str) {
        self.engine.handle_dial_refused(self.now, address, detail);
    }
    fn handle_message(&mut self, connection: ConnectionId, message: Stamped) {
        #[cfg(feature = "test-hooks")]
        let Some(message) = self.cables.hear_message(connection, message) else { return };
        self.traffic.messages_read += 1;
        self.engine.handle_message(self.now, connection, message);
    }
    fn handle_data(&mut self, connection: ConnectionId, header: DataHeader, body: &[u8]) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.hear_data(connection, &header, body) {
            return;
        }
        self.traffic.data_read += 1;
        self.engine.handle_data(self.now, connection, header, body);
    }
    fn handle_part(&mut self, connection: ConnectionId) {
        #[cfg(feature = "test-hooks")]
        if !self.cables.is_live(connection) {
            return;
        }
        self.engine.handle_part(self.now, connection);
    }

    fn poll_order(&mut self) -> Option<Order<Lane>> {
        #[cfg(feature = "test-hooks")]
        if let Some(order) = self.cables.poll_order() {
            return Some(order);
        }
        if let Some(by) = self.replaced.take() {
            return Some(Order::EndReplaced { by });
        }
        while let Some(output) = self.engine.poll_output() {
            let order = match output {
                Output::PublishName { .. } | Output::PublishGroups { .. } | Output::PublishHold { .. } => {
                    self.delivery.apply(output);
                    None
                }
                Output::PublishPeer { node, connection, .. } => self.publish_peer(node, connection, output),
                Output::Send { to, message } => {
                    self.traffic.messages_written += to.len() as u64;
                    Some(Order::Send { to, message })
                }
                Output::Signal { to, header, data } => Some(self.signal(to, header, data)),
                // A message that waited for this room may go now.
                Output::Credit { connection, .. } | Output::NoReceiver { connection, .. } => {
                    self.delivery.apply(output);
                    Some(Order::Data { connection })
                }
                Output::Dial { address } => Some(Order::Dial { address }),
                Output::Open { connection } => {
                    #[cfg(feature = "test-hooks")]
                    self.cables.goes(connection);
                    Some(Order::Open { connection })
                }
                Output::Refuse { connection, why } => {
                    #[cfg(feature = "test-hooks")]
                    self.cables.ended(connection);
                    Some(Order::Refuse { connection, why })
                }
                #[cfg(feature = "test-hooks")]
                Output::Close { connection, .. } if !self.cables.closes(connection) => None,
                Output::Close { connection, goodbye } => Some(Order::Close { connection, goodbye }),
                Output::Deliver { .. }
                | Output::Notify { .. }
                | Output::Answer { .. }
                | Output::ProcessGone { .. }
                | Output::CallResolver { .. }
                | Output::Log { .. } => {
                    self.later.push(output);
                    None
                }
                Output::Closed { .. } => {
                    self.closed = true;
                    self.later.push(output);
                    None
                }
            };
            if order.is_some() {
                return order;
            }
        }
        None
    }

    fn settle(&mut self) {
        self.traffic.turns += 1;
        self.delivery.apply_all(&mut self.later);
        if self.later.capacity() > KEEP_ROOM {
            self.later = Vec::new();
        }
        #[cfg(feature = "test-hooks")]
        self.cables.settle();
        self.shared.inbox.set_room_wanted(self.engine.is_room_wanted());
    }

    fn next_block(&mut self, lane: &Lane, fragment: usize) -> Option<Vec<u8>> {
        lane.next_block(fragment)
    }

    fn written(&mut self, lane: &Lane, block: Vec<u8>) {
        let waiting = lane.link.outbox.lock().unwrap_or_else(PoisonError::into_inner).written(block);
        if !waiting.is_empty() {
            self.delivery.sendable(lane.node, waiting);
        }
    }

    fn moved(&mut self, lane: Option<&Lane>, read: usize, written: usize) {
        if let Some(lane) = lane {
            lane.link.traffic.add(read as u64, written as u64);
        }
        self.traffic.bytes_read += read as u64;
        self.traffic.bytes_written += written as u64;
    }

    fn accepted(&mut self) {
        self.traffic.accepted += 1;
    }

    fn log(&mut self, status: Status, text: String) {
        // What is not the machine's or a defect is said of a connection that was refused before the engine heard of it.
        let (level, target) = match status {
            Status::Internal => (Level::Error, Target::Node),
            Status::Io => (Level::Error, Target::Listener),
            _ => (Level::Warn, Target::Handshake),
        };
        self.later.push(Output::Log { level, target, text });
    }
}
