//! One to a few real engines, joined by hand: no sockets, no clock, no randomness. The test says which message arrives
//! next, or lets everything run until it is quiet; it moves the time; it cuts a connection at one end or at both.
//!
//! A *puppet* is a node without an engine: the test speaks for it, so it can say what no honest node would.
//! After every input the outputs are drained, and what must always hold is checked: the order of the outputs, one answer
//! per operation, readers' tables that equal the engine's own, no word on a connection that is over.

use convoke::engine::message::DataHeader;
use convoke::engine::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub(crate) type NodeIndex = usize;

pub(crate) const DETECTION: Duration = Duration::from_secs(5);
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes())
}

/// What travels on a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Go,
    Refuse(Refusal),
    Control(Stamped),
    Data(DataHeader, Vec<u8>),
    /// End of stream.
    End,
}

impl Frame {
    pub(crate) fn message(&self) -> Option<&Message> {
        match self {
            Frame::Control(stamped) => Some(&stamped.message),
            _ => None,
        }
    }
}

/// One connection. Both ends know it by the same number.
struct Wire {
    /// Who dialled, and who was dialled.
    ends: [NodeIndex; 2],
    /// What is on its way to each end.
    to: [VecDeque<Frame>; 2],
    /// The end has read its last; what still arrives is void.
    over: [bool; 2],
    /// Nothing sent by this end arrives any more, and it does not know.
    mute: [bool; 2],
}

impl Wire {
    fn side(&self, node: NodeIndex) -> usize {
        usize::from(self.ends[0] != node)
    }
}

pub(crate) struct Node {
    /// `None`: a puppet, or a node that has crashed.
    pub(crate) engine: Option<Engine>,
    pub(crate) id: NodeId,
    pub(crate) name: String,
    opened: Time,
    /// What a puppet was told.
    pub(crate) inbox: Vec<Frame>,
    /// Everything but tables and sent messages, in order.
    pub(crate) seen: Vec<Output>,
    /// Dials that the test has not answered.
    pub(crate) dials: Vec<String>,
    /// Everything that readers were ever shown under each name.
    pub(crate) shown: BTreeMap<Name, Vec<Option<Pid>>>,
    pub(crate) peers: BTreeMap<NodeId, ConnectionId>,
    pub(crate) closed: Option<Reason>,
    hung: bool,
    last_serial: u64,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    wires: BTreeMap<ConnectionId, Wire>,
    pub(crate) answers: BTreeMap<Ref, Outcome>,
    last_ref: u64,
    /// Connections that an engine has refused.
    pub(crate) refused: Vec<(ConnectionId, Refusal)>,
    /// Frames delivered so far, for tests that count what a call costs.
    pub(crate) delivered: Vec<(NodeIndex, NodeIndex, Frame)>,
}

pub(crate) fn config(index: NodeIndex) -> Config {
    let mut config = Config::new(NodeId(index as u64 + 1), &format!("node{index}"));
    config.address = address(index);
    config
}

pub(crate) fn address(index: NodeIndex) -> String {
    format!("host{index}:1")
}

impl World {
    pub(crate) fn empty() -> World {
        World {
            now: Time(1_000_000),
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            answers: BTreeMap::new(),
            last_ref: 0,
            refused: Vec::new(),
            delivered: Vec::new(),
        }
    }

    /// This many nodes without links. Node `i` has the incarnation `i + 1`: it is the arbiter of every later node.
    pub(crate) fn nodes(count: usize) -> World {
        let mut world = World::empty();
        for index in 0..count {
            world.add(config(index));
        }
        world
    }

    /// This many nodes, all linked and synced.
    pub(crate) fn mesh(count: usize) -> World {
        let mut world = World::nodes(count);
        for a in 0..count {
            for b in a + 1..count {
                world.link(a, b);
            }
        }
        world
    }

    pub(crate) fn add(&mut self, config: Config) -> NodeIndex {
        let (id, name) = (config.node, config.name.clone());
        let engine = Engine::new(config, id.0, self.now);
        self.push(Some(engine), id, name);
        let index = self.nodes.len() - 1;
        self.drain(index);
        index
    }

    pub(crate) fn add_puppet(&mut self, id: u64) -> NodeIndex {
        let name = format!("node{}", self.nodes.len());
        self.push(None, NodeId(id), name);
        self.nodes.len() - 1
    }

    fn push(&mut self, engine: Option<Engine>, id: NodeId, name: String) {
        self.nodes.push(Node {
            engine,
            id,
            name,
            opened: self.now,
            inbox: Vec::new(),
            seen: Vec::new(),
            dials: Vec::new(),
            shown: BTreeMap::new(),
            peers: BTreeMap::new(),
            closed: None,
            hung: false,
            last_serial: 0,
        });
    }

    pub(crate) fn engine(&self, node: NodeIndex) -> &Engine {
        self.nodes[node].engine.as_ref().expect("the node has an engine")
    }

    // ---- inputs

    /// One input of an engine, and what follows from it.
    pub(crate) fn input<T>(
        &mut self,
        node: NodeIndex,
        input: impl FnOnce(&mut Engine, Time) -> T,
    ) -> Option<T> {
        let now = self.now;
        let result = self.nodes[node].engine.as_mut().map(|engine| input(engine, now));
        self.drain(node);
        result
    }

    pub(crate) fn command(&mut self, node: NodeIndex, command: Command) {
        self.input(node, |engine, now| engine.handle_command(now, command));
    }

    /// A process of the node, real or a puppet's.
    pub(crate) fn spawn(&mut self, node: NodeIndex) -> Pid {
        self.nodes[node].last_serial += 1;
        let serial = self.nodes[node].last_serial;
        self.command(node, Command::Spawn { process: serial });
        Pid { node: self.nodes[node].id, serial }
    }

    pub(crate) fn new_ref(&mut self) -> Ref {
        self.last_ref += 1;
        Ref(self.last_ref)
    }

    pub(crate) fn index(&self, id: NodeId) -> NodeIndex {
        self.nodes.iter().position(|node| node.id == id).expect("a node of this world")
    }

    /// A call by `process` at its own node; `make` gets the number of the operation.
    pub(crate) fn call(&mut self, process: Pid, make: impl FnOnce(u64, Ref) -> Command) -> Ref {
        let op = self.new_ref();
        self.command(self.index(process.node), make(process.serial, op));
        op
    }

    pub(crate) fn register_as(
        &mut self,
        caller: Pid,
        name_: &str,
        pid: Pid,
        replace: bool,
        patience: Patience,
    ) -> Ref {
        let (name, resolver) = (name(name_), Resolver::RandomExit);
        self.call(caller, |process, op| Command::Register {
            process,
            op,
            name,
            pid,
            resolver,
            replace,
            patience,
        })
    }

    pub(crate) fn register(&mut self, pid: Pid, name: &str) -> Ref {
        self.register_as(pid, name, pid, false, Patience::FOREVER)
    }

    pub(crate) fn reregister(&mut self, pid: Pid, name: &str) -> Ref {
        self.register_as(pid, name, pid, true, Patience::FOREVER)
    }

    pub(crate) fn unregister(&mut self, caller: Pid, name_: &str) -> Ref {
        let (name, patience) = (name(name_), Patience::FOREVER);
        self.call(caller, |process, op| Command::Unregister { process, op, name, patience })
    }

    pub(crate) fn monitor(&mut self, watcher: Pid, target: Pid) -> Ref {
        self.call(watcher, |process, reference| Command::Monitor { process, reference, target })
    }

    pub(crate) fn cancel(&mut self, process: Pid, reference: Ref) {
        self.call(process, |process, _| Command::Cancel { process, reference });
    }

    pub(crate) fn exit(&mut self, pid: Pid) {
        self.call(pid, |process, _| Command::Exit {
            process,
            reason: Reason::EXPLICIT,
            data: Payload::default(),
        });
    }

    /// A patience of so many ms from now, as the C interface counts them.
    pub(crate) fn within(&self, timeout_ms: i64) -> Patience {
        Patience::from_timeout_ms(self.now, timeout_ms, DETECTION)
    }

    // ---- connections

    pub(crate) fn identity(&self, node: NodeIndex) -> Identity {
        let node_ = &self.nodes[node];
        let uptime_ms = self.now.since(node_.opened).as_millis() as u64;
        Identity { node: node_.id, name: node_.name.clone(), address: address(node), uptime_ms }
    }

    /// `a` dials `b`, and both say who they are. The connection is no link yet.
    pub(crate) fn connect(&mut self, a: NodeIndex, b: NodeIndex) -> ConnectionId {
        self.connect_at(a, b, &address(b))
    }

    pub(crate) fn connect_at(&mut self, a: NodeIndex, b: NodeIndex, address: &str) -> ConnectionId {
        let id = ConnectionId(self.wires.len() as u64 + 1);
        let wire = Wire { ends: [a, b], to: Default::default(), over: [false; 2], mute: [false; 2] };
        self.wires.insert(id, wire);
        let (of_a, of_b) = (self.identity(a), self.identity(b));
        let dialled = Some(address.to_owned());
        self.input(a, |engine, now| engine.handle_connection(now, id, of_b, dialled));
        self.input(b, |engine, now| engine.handle_connection(now, id, of_a, None));
        id
    }

    /// A link with everything that follows from it.
    pub(crate) fn link(&mut self, a: NodeIndex, b: NodeIndex) {
        self.connect(a, b);
        if self.nodes[a].engine.is_none() || self.nodes[b].engine.is_none() {
            self.greet(a, b);
            self.greet(b, a);
        }
        self.settle();
    }

    /// What an honest node without names would do first, said for a puppet.
    fn greet(&mut self, puppet: NodeIndex, node: NodeIndex) {
        if self.nodes[puppet].engine.is_some() {
            return;
        }
        if self.nodes[puppet].id < self.nodes[node].id {
            self.frame(puppet, node, Frame::Go);
        }
        self.settle();
        let hello = Message::Hello { bindings: vec![], kept: vec![], peers: vec![], last: true };
        self.say(puppet, node, hello);
        self.say(puppet, node, Message::HelloAck);
    }

    /// The newest connection between two nodes that neither has seen the end of.
    fn wire(&self, a: NodeIndex, b: NodeIndex) -> Option<ConnectionId> {
        let between = |wire: &Wire| wire.ends == [a, b] || wire.ends == [b, a];
        let mut found = self.wires.iter().rev().filter(|(_, wire)| between(wire));
        let live = |wire: &Wire| wire.over == [false; 2];
        let newest = self.wires.iter().rev().find(|(_, wire)| between(wire) && live(wire));
        newest.or_else(|| found.next()).map(|(id, _)| *id)
    }

    /// Puts a frame on the way, as the last one from a puppet or an engine.
    pub(crate) fn frame(&mut self, from: NodeIndex, to: NodeIndex, frame: Frame) {
        let id = self.wire(from, to).expect("the nodes have a connection");
        self.put(id, from, frame);
    }

    fn put(&mut self, id: ConnectionId, from: NodeIndex, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let side = wire.side(from);
        if !wire.mute[side] && !wire.over[1 - side] {
            wire.to[1 - side].push_back(frame);
        }
    }

    /// A puppet says this; it arrives at once, before anything that is on the way.
    pub(crate) fn say(&mut self, puppet: NodeIndex, to: NodeIndex, message: Message) {
        self.say_at(puppet, to, 1, message);
    }

    pub(crate) fn say_at(&mut self, puppet: NodeIndex, to: NodeIndex, clock: u64, message: Message) {
        let id = self.wire(puppet, to).expect("the nodes have a connection");
        self.arrive(id, to, Frame::Control(Stamped { clock, message }));
    }

    pub(crate) fn say_data(&mut self, puppet: NodeIndex, to: NodeIndex, header: DataHeader, body: &[u8]) {
        let id = self.wire(puppet, to).expect("the nodes have a connection");
        self.arrive(id, to, Frame::Data(header, body.to_vec()));
    }

    /// A frame that comes although this end is over: what the driver had read before it was told.
    pub(crate) fn say_too_late(&mut self, puppet: NodeIndex, to: NodeIndex, message: Message) {
        let id = self.wire(puppet, to).expect("the nodes had a connection");
        self.input(to, |engine, now| engine.handle_message(now, id, Stamped { clock: 1, message }));
    }

    /// What a puppet was told since it was asked last, without heartbeats.
    pub(crate) fn told(&mut self, puppet: NodeIndex) -> Vec<Message> {
        self.settle();
        let frames = std::mem::take(&mut self.nodes[puppet].inbox);
        let messages = frames.iter().filter_map(Frame::message);
        messages.filter(|message| **message != Message::Heartbeat).cloned().collect()
    }

    // ---- delivery

    /// The next frame from one node to the other arrives. `None`: nothing was on the way.
    pub(crate) fn step(&mut self, from: NodeIndex, to: NodeIndex) -> Option<Frame> {
        let of_pair = |wire: &Wire| wire.ends == [from, to] || wire.ends == [to, from];
        let ready = |wire: &&Wire| of_pair(wire) && !wire.to[wire.side(to)].is_empty();
        let id = *self.wires.iter().find(|(_, wire)| ready(wire))?.0;
        let wire = self.wires.get_mut(&id)?;
        let side = wire.side(to);
        let frame = wire.to[side].pop_front()?;
        self.delivered.push((from, to, frame.clone()));
        self.arrive(id, to, frame.clone());
        Some(frame)
    }

    /// Only this message arrives, before those that were sent earlier. For what another schedule of more nodes would
    /// bring about; a link itself is FIFO.
    pub(crate) fn take_out(&mut self, from: NodeIndex, to: NodeIndex, wanted: impl Fn(&Message) -> bool) {
        let id = self.wire(from, to).expect("the nodes have a connection");
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let side = wire.side(to);
        let at = wire.to[side].iter().position(|frame| frame.message().is_some_and(&wanted));
        let frame = at.and_then(|at| wire.to[side].remove(at)).expect("the message is on the way");
        self.arrive(id, to, frame);
    }

    /// Delivers from one node to the other up to the first message of this kind.
    pub(crate) fn until(&mut self, from: NodeIndex, to: NodeIndex, wanted: impl Fn(&Message) -> bool) {
        while let Some(frame) = self.step(from, to) {
            if frame.message().is_some_and(&wanted) {
                return;
            }
        }
        panic!("no such message was on the way from {from} to {to}\n{}", self.picture());
    }

    fn arrive(&mut self, id: ConnectionId, node: NodeIndex, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let side = wire.side(node);
        if wire.over[side] {
            return;
        }
        if self.nodes[node].engine.is_none() {
            return self.nodes[node].inbox.push(frame);
        }
        match frame {
            Frame::Go => self.input(node, |engine, now| engine.handle_go(now, id)),
            Frame::Control(stamped) => {
                self.input(node, |engine, now| engine.handle_message(now, id, stamped))
            }
            Frame::Data(header, body) => {
                self.input(node, |engine, now| engine.handle_data(now, id, header, &body))
            }
            Frame::Refuse(why) => {
                wire.over[side] = true;
                self.input(node, |engine, now| engine.handle_refused(now, id, why))
            }
            Frame::End => {
                wire.over[side] = true;
                self.input(node, |engine, now| engine.handle_connection_end(now, id, "end of stream"))
            }
        };
    }

    /// Everything on the way, as (from, to, message).
    pub(crate) fn in_flight(&self) -> Vec<(NodeIndex, NodeIndex, Frame)> {
        let mut all = Vec::new();
        for wire in self.wires.values() {
            for side in 0..2 {
                let (to, from) = (wire.ends[side], wire.ends[1 - side]);
                all.extend(wire.to[side].iter().map(|frame| (from, to, frame.clone())));
            }
        }
        all
    }

    /// Lets everything arrive that is on the way and what follows from it; no time passes. A hung node reads nothing.
    pub(crate) fn settle(&mut self) {
        let mut steps = 0;
        loop {
            let pairs = self.channels();
            if pairs.is_empty() {
                return;
            }
            for (from, to) in pairs {
                self.step(from, to);
                steps += 1;
                assert!(steps < 100_000, "it never comes to rest\n{}", self.picture());
            }
        }
    }

    /// Like [`settle`](Self::settle), looking at the world after every single arrival.
    pub(crate) fn settle_with(&mut self, mut look: impl FnMut(&World)) {
        while let Some((from, to)) = self.channels().into_iter().next() {
            self.step(from, to);
            look(self);
        }
    }

    /// The directions in which something is on the way.
    pub(crate) fn channels(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let mut pairs: Vec<_> = self.in_flight().into_iter().map(|(from, to, _)| (from, to)).collect();
        pairs.retain(|(_, to)| !self.nodes[*to].hung);
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    // ---- time

    /// Time passes; timers fire when they are due, and everything arrives at once.
    pub(crate) fn advance(&mut self, by: Duration) {
        self.pass(by, true);
    }

    /// Time passes, but nothing arrives.
    pub(crate) fn advance_still(&mut self, by: Duration) {
        self.pass(by, false);
    }

    fn pass(&mut self, by: Duration, delivering: bool) {
        let end = self.now + by;
        loop {
            if delivering {
                self.settle();
            }
            let due = self
                .nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| !node.hung)
                .filter_map(|(index, node)| Some((node.engine.as_ref()?.poll_timeout()?, index)));
            let Some((at, node)) = due.min().filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            self.input(node, Engine::handle_timeout);
            let next = self.engine(node).poll_timeout();
            assert!(next.is_none_or(|next| next > at), "a timer that was due is due still");
        }
        self.now = end;
    }

    /// The node neither reads nor keeps time until it is woken.
    pub(crate) fn hang(&mut self, node: NodeIndex) {
        self.nodes[node].hung = true;
    }

    pub(crate) fn wake(&mut self, node: NodeIndex) {
        self.nodes[node].hung = false;
    }

    // ---- ends

    /// Both ends see the connection end now; what was on the way is lost.
    pub(crate) fn cut(&mut self, a: NodeIndex, b: NodeIndex) {
        self.cut_at(a, b);
        self.cut_at(b, a);
    }

    /// One end sees the connection to `other` end. What it had sent before may still arrive; the other end knows nothing.
    pub(crate) fn cut_at(&mut self, node: NodeIndex, other: NodeIndex) {
        let of_pair = |wire: &Wire| wire.ends == [node, other] || wire.ends == [other, node];
        let live = |wire: &&mut Wire| of_pair(wire) && !wire.over[wire.side(node)];
        let mut ended = Vec::new();
        for (id, wire) in self.wires.iter_mut() {
            if live(&wire) {
                let side = wire.side(node);
                wire.over[side] = true;
                wire.mute = [true; 2];
                wire.to[side].clear();
                ended.push(*id);
            }
        }
        for id in ended {
            self.input(node, |engine, now| engine.handle_connection_end(now, id, "reset"));
        }
    }

    /// Nothing arrives any more in either direction, and nobody is told.
    pub(crate) fn black_hole(&mut self, a: NodeIndex, b: NodeIndex) {
        for wire in self.wires.values_mut() {
            if wire.ends == [a, b] || wire.ends == [b, a] {
                wire.mute = [true; 2];
                wire.to.iter_mut().for_each(VecDeque::clear);
            }
        }
    }

    /// The OS process dies: its peers read what it had sent, then the end of the stream.
    pub(crate) fn crash(&mut self, node: NodeIndex) {
        self.nodes[node].engine = None;
        for wire in self.wires.values_mut().filter(|wire| wire.ends.contains(&node)) {
            let side = wire.side(node);
            if !wire.over[side] {
                wire.over[side] = true;
                wire.to[side].clear();
                wire.to[1 - side].push_back(Frame::End);
            }
        }
    }

    // ---- what came out

    fn drain(&mut self, node: NodeIndex) {
        let Some(mut engine) = self.nodes[node].engine.take() else { return };
        let mut stage = 0;
        while let Some(output) = engine.poll_output() {
            let of = stage_of(&output);
            assert!(of >= stage, "tables, then messages, then events; but {output:?} came late");
            stage = of;
            assert_eq!(self.nodes[node].closed, None, "after Closed came {output:?}");
            self.take(node, output);
        }
        let state = &self.nodes[node];
        let shown = state.shown.iter().filter_map(|(name, pids)| Some((name, (*pids.last()?)?)));
        let own: BTreeMap<&Name, Pid> = engine.names().collect();
        assert_eq!(shown.collect::<BTreeMap<_, _>>(), own, "readers see what the engine has");
        self.nodes[node].engine = Some(engine);
    }

    fn take(&mut self, node: NodeIndex, output: Output) {
        match output.clone() {
            Output::PublishName { name, pid } => {
                let pids = self.nodes[node].shown.entry(name).or_default();
                assert_ne!(pids.last().copied().flatten(), pid, "published without a change");
                pids.push(pid);
            }
            Output::PublishPeer { node: peer, connection: Some(connection), .. } => {
                let before = self.nodes[node].peers.insert(peer, connection);
                assert_eq!(before, None, "a link came up beside another");
            }
            Output::PublishPeer { node: peer, connection: None, .. } => {
                assert!(self.nodes[node].peers.remove(&peer).is_some(), "a link went down that was not up");
            }
            Output::Send { to, message } => {
                for id in to {
                    self.sends(node, id);
                    self.put(id, node, Frame::Control(message.clone()));
                }
            }
            Output::Signal { to, header, data } => {
                self.sends(node, to);
                self.put(to, node, Frame::Data(header, data.as_bytes().to_vec()));
            }
            Output::Dial { address } => self.nodes[node].dials.push(address),
            Output::Open { connection } => self.put(connection, node, Frame::Go),
            Output::Refuse { connection, why } => {
                self.refused.push((connection, why));
                self.ends(node, connection, Frame::Refuse(why));
            }
            Output::Close { connection, goodbye } => {
                if let Some(why) = goodbye {
                    let message = Message::Goodbye { why };
                    self.put(connection, node, Frame::Control(Stamped { clock: 0, message }));
                }
                self.ends(node, connection, Frame::End);
            }
            Output::Answer { op, outcome, .. } => {
                let before = self.answers.insert(op, outcome.clone());
                assert_eq!(before, None, "two answers to one operation");
                self.nodes[node].seen.push(output);
            }
            Output::Closed { reason } => {
                self.nodes[node].closed = Some(reason);
                self.nodes[node].seen.push(output);
            }
            _ => self.nodes[node].seen.push(output),
        }
    }

    fn sends(&self, node: NodeIndex, id: ConnectionId) {
        let wire = &self.wires[&id];
        assert!(!wire.over[wire.side(node)], "node {node} speaks on a connection that is over");
    }

    fn ends(&mut self, node: NodeIndex, id: ConnectionId, last: Frame) {
        self.put(id, node, last);
        if let Some(wire) = self.wires.get_mut(&id) {
            let side = wire.side(node);
            wire.over[side] = true;
            wire.to[side].clear();
        }
    }
}

fn stage_of(output: &Output) -> u8 {
    match output {
        Output::PublishName { .. } | Output::PublishPeer { .. } => 0,
        Output::Send { .. }
        | Output::Signal { .. }
        | Output::Credit { .. }
        | Output::NoReceiver { .. }
        | Output::Dial { .. }
        | Output::Open { .. }
        | Output::Refuse { .. }
        | Output::Close { .. } => 1,
        Output::Deliver { .. }
        | Output::Notify { .. }
        | Output::Answer { .. }
        | Output::ProcessGone { .. }
        | Output::Closed { .. }
        | Output::Log { .. } => 2,
    }
}
