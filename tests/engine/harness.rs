//! One to a few real engines, joined by hand: no sockets, no clock, no randomness. The test says which message arrives
//! next, or lets everything run until it is quiet; it moves the time; it cuts a connection at one end or at both.
//!
//! A *puppet* is a node without an engine: the test speaks for it, so it can say what no honest node would.
//! After every input the outputs are drained, and what must always hold is checked: the order of the outputs, one answer
//! per operation, readers' tables that equal the engine's own, no word on a connection that is over.

use convoke::engine::{Ending, Engine, Identity, Message, Output, Refusal, Stamped};
use convoke::flow::DataHeader;
use convoke::model::{
    Action, Call, Command, Config, ConnectionId, Deadline, Level, Machine, Members, Name, NodeId, Outcome,
    Payload, Pid, Reason, Ref, Resolver, Status, Time,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
    /// End of stream that says more about the process that was there.
    Ended(Ending),
}

impl Frame {
    pub(crate) fn message(&self) -> Option<&Message> {
        match self {
            Self::Control(stamped) => Some(&stamped.message),
            _ => None,
        }
    }
}

/// One connection. Both ends know it by the same number.
pub(crate) struct Cable {
    /// Who dialled, and who was dialled.
    pub(crate) ends: [NodeIndex; 2],
    /// What is on its way to each end.
    pub(crate) to: [VecDeque<Frame>; 2],
    /// The end has read its last; what still arrives is void.
    pub(crate) over: [bool; 2],
    /// Nothing sent by this end arrives any more, and it does not know.
    pub(crate) mute: [bool; 2],
}

impl Cable {
    pub(crate) fn side(&self, node: NodeIndex) -> usize {
        usize::from(self.ends[0] != node)
    }
}

pub(crate) struct Node {
    /// `None`: a puppet, or a node that has crashed.
    pub(crate) engine: Option<Engine>,
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) address: String,
    opened: Time,
    /// What a puppet was told.
    pub(crate) inbox: Vec<Frame>,
    /// Everything but tables and sent messages, in order.
    pub(crate) seen: Vec<Output>,
    /// Dials that the test has not answered.
    pub(crate) dials: Vec<String>,
    /// Everything that readers were ever shown under each name.
    pub(crate) shown: BTreeMap<Name, Vec<Option<Pid>>>,
    /// What `lock_check` was made to say of each lock: (process, resource, requester).
    pub(crate) held: BTreeMap<(u64, Name, Name), Vec<Option<u64>>>,
    /// What readers are shown of groups.
    pub(crate) groups: BTreeMap<Name, Members>,
    pub(crate) peers: BTreeMap<NodeId, ConnectionId>,
    pub(crate) closed: Option<Reason>,
    pub(crate) hung: bool,
    last_serial: u64,
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) nodes: Vec<Node>,
    pub(crate) wires: BTreeMap<ConnectionId, Cable>,
    pub(crate) answers: BTreeMap<Ref, Outcome>,
    last_ref: u64,
    /// Connections that an engine has refused.
    pub(crate) refused: Vec<(ConnectionId, Refusal)>,
    /// A group may be published once more as it was: with a member that came and went in one message, as no honest node says.
    pub(crate) members_may_come_and_go: bool,
    /// Nodes that answer pings, open and end links, and do nothing else.
    pub(crate) pings_only: BTreeSet<NodeIndex>,
    /// (from, to): once something large was sent in this direction, nothing behind it arrives either.
    pub(crate) swallows: BTreeSet<(NodeIndex, NodeIndex)>,
    /// Whether dials are answered by themselves, by who lives at the address.
    pub(crate) dials_go_through: bool,
    /// Directions in which nothing arrives for the time being: from, to.
    pub(crate) held_up: BTreeSet<(NodeIndex, NodeIndex)>,
    /// What names stand for, when dials are answered.
    pub(crate) directory: BTreeMap<String, Vec<String>>,
    /// Every dial that was answered by itself.
    pub(crate) answered: Vec<(NodeIndex, String)>,
    /// Frames delivered so far, for tests that count what a call costs.
    pub(crate) delivered: Vec<(NodeIndex, NodeIndex, Frame)>,
}

pub(crate) fn config(index: NodeIndex) -> Config {
    let mut config = Config::new(NodeId(index as u64 + 1), &format!("node{index}"));
    config.address = address(index);
    // Tests that are not about it let puppets keep the others waiting.
    config.part_slow = false;
    config
}

pub(crate) fn address(index: NodeIndex) -> String {
    format!("host{index}:1")
}

impl World {
    pub(crate) fn empty() -> Self {
        Self {
            now: Time(1_000_000),
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            answers: BTreeMap::new(),
            last_ref: 0,
            refused: Vec::new(),
            members_may_come_and_go: false,
            pings_only: BTreeSet::new(),
            swallows: BTreeSet::new(),
            dials_go_through: false,
            held_up: BTreeSet::new(),
            directory: BTreeMap::new(),
            answered: Vec::new(),
            delivered: Vec::new(),
        }
    }

    /// This many nodes without links. Node `i` has the incarnation `i + 1`: it is the arbiter of every later node.
    pub(crate) fn nodes(count: usize) -> Self {
        let mut world = Self::empty();
        for index in 0..count {
            world.add(config(index));
        }
        world
    }

    /// This many nodes, all linked and synced.
    pub(crate) fn mesh(count: usize) -> Self {
        let mut world = Self::nodes(count);
        for a in 0..count {
            for b in a + 1..count {
                world.link(a, b);
            }
        }
        world
    }

    pub(crate) fn add(&mut self, config: Config) -> NodeIndex {
        let (id, name, address) = (config.node, config.name.clone(), config.address.clone());
        let mut engine = Engine::new(config, id.0, self.now);
        #[cfg(feature = "faults")]
        engine.break_rule(crate::mutants::fault());
        engine.set_log_level(Some(Level::Trace));
        self.push(Some(engine), id, name, address);
        let index = self.nodes.len() - 1;
        self.drain(index);
        index
    }

    pub(crate) fn add_puppet(&mut self, id: u64) -> NodeIndex {
        let index = self.nodes.len();
        self.push(None, NodeId(id), format!("node{index}"), address(index));
        index
    }

    fn push(&mut self, engine: Option<Engine>, id: NodeId, name: String, address: String) {
        self.nodes.push(Node {
            engine,
            id,
            name,
            address,
            opened: self.now,
            inbox: Vec::new(),
            seen: Vec::new(),
            dials: Vec::new(),
            shown: BTreeMap::new(),
            held: BTreeMap::new(),
            groups: BTreeMap::new(),
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

    /// An operation of `process` at its own node.
    pub(crate) fn operate(&mut self, process: Pid, deadline: Deadline, what: Action) -> Ref {
        self.call(process, |process, op| Command::Call(Call { process, op, deadline, what }))
    }

    pub(crate) fn register_as(
        &mut self,
        caller: Pid,
        name_: &str,
        pid: Pid,
        replace: bool,
        deadline: Deadline,
    ) -> Ref {
        let (name, resolver) = (name(name_), Resolver::RandomExit);
        self.operate(caller, deadline, Action::Register { name, pid, resolver, replace })
    }

    pub(crate) fn register(&mut self, pid: Pid, name: &str) -> Ref {
        self.register_as(pid, name, pid, false, Deadline::FOREVER)
    }

    pub(crate) fn reregister(&mut self, pid: Pid, name: &str) -> Ref {
        self.register_as(pid, name, pid, true, Deadline::FOREVER)
    }

    pub(crate) fn unregister(&mut self, caller: Pid, name_: &str) -> Ref {
        let (name, deadline) = (name(name_), Deadline::FOREVER);
        self.operate(caller, deadline, Action::Unregister { name })
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
    pub(crate) fn within(&self, timeout_ms: i64) -> Deadline {
        Deadline::from_timeout_ms(self.now, timeout_ms, DETECTION)
    }

    // ---- connections

    pub(crate) fn identity(&self, node: NodeIndex) -> Identity {
        let node_ = &self.nodes[node];
        let uptime_ms = self.now.since(node_.opened).as_millis() as u64;
        let (name, address) = (node_.name.clone(), node_.address.clone());
        let connectivity =
            node_.engine.as_ref().map(|engine| engine.connectivity(self.now)).unwrap_or_default();
        let groups = node_.engine.as_ref().map_or(0, Engine::existence_digest);
        Identity { node: node_.id, name, address, uptime_ms, connectivity, groups, message_limit: 16 << 20 }
    }

    /// `a` dials `b`, and both say who they are. The connection is no link yet.
    pub(crate) fn connect(&mut self, a: NodeIndex, b: NodeIndex) -> ConnectionId {
        self.connect_at(a, b, &address(b))
    }

    pub(crate) fn connect_at(&mut self, a: NodeIndex, b: NodeIndex, address: &str) -> ConnectionId {
        let id = ConnectionId(self.wires.len() as u64 + 1);
        let wire = Cable { ends: [a, b], to: Default::default(), over: [false; 2], mute: [false; 2] };
        self.wires.insert(id, wire);
        let (of_a, of_b) = (self.identity(a), self.identity(b));
        let dialled = Some(address.to_owned());
        self.input(a, |engine, now| engine.handle_connection(now, id, of_b, dialled));
        self.input(b, |engine, now| engine.handle_connection(now, id, of_a, None));
        id
    }

    /// Each dial reaches who lives at its address, or fails; names are looked up. Says whether there were any.
    pub(crate) fn answer_dials(&mut self) -> bool {
        let mut any = false;
        for node in 0..self.nodes.len() {
            for address in std::mem::take(&mut self.nodes[node].dials) {
                any = true;
                self.answered.push((node, address.clone()));
                if let Some(found) = self.directory.get(&address).cloned() {
                    self.look_up(node, &address, &found);
                    continue;
                }
                let alive = |other: &Node| other.engine.is_some() && other.closed.is_none();
                let at = self.nodes.iter().rposition(|other| alive(other) && other.address == address);
                match at {
                    Some(other) if other == node => {
                        let (own, id) = (self.identity(node), ConnectionId(u64::MAX));
                        self.input(node, |engine, now| engine.handle_connection(now, id, own, Some(address)));
                    }
                    Some(other) => {
                        self.connect_at(node, other, &address);
                    }
                    None => self.fail_dial(node, &address),
                }
            }
        }
        any
    }

    /// The node is told that the name it dialled stands for these addresses.
    pub(crate) fn look_up<T: AsRef<str>>(&mut self, node: NodeIndex, name: &str, found: &[T]) {
        let found = found.iter().map(|address| address.as_ref().to_owned()).collect();
        self.input(node, |engine, now| engine.handle_looked_up(now, name, found));
    }

    pub(crate) fn fail_dial(&mut self, node: NodeIndex, address: &str) {
        let (status, detail) = (Status::Unreachable, "connection refused");
        self.input(node, |engine, now| engine.handle_dial_failed(now, address, status, detail));
    }

    /// Nobody listens where it dialled.
    pub(crate) fn refuse_dial(&mut self, node: NodeIndex, address: &str) {
        self.input(node, |engine, now| engine.handle_dial_refused(now, address, "connection refused"));
    }

    pub(crate) fn dials(&mut self, node: NodeIndex) -> Vec<String> {
        std::mem::take(&mut self.nodes[node].dials)
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
        let hello = Message::Hello { facts: vec![], last: true };
        self.say(puppet, node, hello);
        self.say(puppet, node, Message::HelloAck);
    }

    /// The newest connection between two nodes that neither has seen the end of.
    pub(crate) fn wire(&self, a: NodeIndex, b: NodeIndex) -> Option<ConnectionId> {
        let between = |wire: &Cable| wire.ends == [a, b] || wire.ends == [b, a];
        let mut found = self.wires.iter().rev().filter(|(_, wire)| between(wire));
        let live = |wire: &Cable| wire.over == [false; 2];
        let newest = self.wires.iter().rev().find(|(_, wire)| between(wire) && live(wire));
        newest.or_else(|| found.next()).map(|(id, _)| *id)
    }

    /// Puts a frame on the way, as the last one from a puppet or an engine.
    pub(crate) fn frame(&mut self, from: NodeIndex, to: NodeIndex, frame: Frame) {
        let id = self.wire(from, to).expect("the nodes have a connection");
        self.put(id, from, frame);
    }

    pub(crate) fn put(&mut self, id: ConnectionId, from: NodeIndex, frame: Frame) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let side = wire.side(from);
        let is_large = matches!(frame.message(), Some(Message::Hello { facts, .. }) if !facts.is_empty());
        wire.mute[side] |= is_large && self.swallows.contains(&(from, wire.ends[1 - side]));
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

    /// What a puppet was told since it was asked last, without heartbeats, and without the word that a claim is queued, which
    /// changes nothing (`conduct` is about that).
    pub(crate) fn told(&mut self, puppet: NodeIndex) -> Vec<Message> {
        self.settle();
        let frames = std::mem::take(&mut self.nodes[puppet].inbox);
        let messages = frames.iter().filter_map(Frame::message);
        let idle = |message: &Message| matches!(message, Message::Heartbeat | Message::Queued { .. });
        messages.filter(|message| !idle(message)).cloned().collect()
    }
}
