//! Two honest engines with a link, and two peers that say whatever they like to both of them: any message at any time,
//! true or false, with everything that an honest node could know. What the honest two are promised holds all the while:
//! no panic, outputs and memory within bounds, no lock with both and no name registered with both as long as their link
//! is up, an answer to every call, one exit notice to every monitor; and when the two others have gone, equal tables
//! and nothing left behind.
//!
//! A peer that has the secret may do what every peer may: register, kill, clash, say that a name is taken, take
//! another's name at the door. So an honest process may lose a name or its life, an honest node may have to close or
//! lose its link. The promises are about what is left.

use super::source::Source;
use super::words::{self, Words};
use crate::harness::{Cable, Frame, NodeIndex, World, config, name};
use convoke::engine::{Ending, Engine, Message, Output, Refusal};
use convoke::flow::{Window, cost};
use convoke::model::{
    Action, Call, ClashAnswer, ClashLoser, ClashWinner, Command, Config, ConnectionId, Deadline, Effect,
    Limits, Machine, Members, Name, NodeId, Pid, Ref,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const HONEST: [NodeIndex; 2] = [0, 2];
const HOSTILE: [NodeIndex; 2] = [1, 3];
/// By the number of the node: a hostile one below both honest ones, and one between them.
const IDS: [u64; 4] = [10, 5, 30, 20];

/// More inputs would only repeat.
const MAX_STEPS: usize = 600;
/// Frames to hostile peers that one input may bring about: a snapshot, or what is known of groups.
const MAX_ECHO: usize = 200;

fn limits() -> Limits {
    Limits {
        message: 64 << 10,
        memory: 1 << 20,
        link_buffer: 128 << 10,
        processes: 40,
        names: 12,
        locks: 12,
        groups: 12,
        operations: 12,
        peers: 6,
        ..Limits::default()
    }
}

struct Siege {
    world: World,
    words: Words,
    /// Honest processes that were ever spawned.
    processes: Vec<Pid>,
    operations: Vec<Ref>,
    /// Those of them that may wait for somebody else as long as he likes: for a lock, without a deadline.
    patient: BTreeSet<Ref>,
    /// The highest token of each lock so far, and whose it was.
    tokens: BTreeMap<Name, (u64, Name)>,
    /// Who has what lock now: node, process, resource and requester.
    shares: BTreeMap<(NodeIndex, (u64, Name, Name)), u64>,
    monitors: Vec<(Pid, Ref, Pid)>,
    /// The connection of the honest two; `None`: it is not the first one any more.
    first_link: Option<(ConnectionId, ConnectionId)>,
    /// Up to here `seen` of each node was looked through.
    looked: [usize; 4],
    untaken: Vec<(NodeIndex, Window, u64)>,
    unresolved: Vec<(NodeIndex, u64)>,
}

impl Siege {
    fn begin() -> Self {
        let mut world = World::empty();
        world.members_may_come_and_go = true;
        for (index, id) in IDS.into_iter().enumerate() {
            if HONEST.contains(&index) {
                world.add(Config { node: NodeId(id), limits: limits(), ..config(index) });
            } else {
                world.add_puppet(id);
            }
        }
        let [a, b] = HONEST;
        world.link(a, b);
        let mut nodes: Vec<NodeId> = IDS.map(NodeId).to_vec();
        nodes.push(NodeId(99));
        let mut siege = Self {
            words: Words::knows(&nodes),
            processes: Vec::new(),
            operations: Vec::new(),
            patient: BTreeSet::new(),
            tokens: BTreeMap::new(),
            shares: BTreeMap::new(),
            monitors: Vec::new(),
            first_link: None,
            looked: [0; 4],
            untaken: Vec::new(),
            unresolved: Vec::new(),
            world,
        };
        for node in HONEST {
            siege.world.command(node, Command::AddResolver { resolver: name("mine") });
            for text in ["friend's", "y"] {
                let pid = siege.world.spawn(node);
                siege.processes.push(pid);
                let op = siege.world.register(pid, text);
                siege.operations.push(op);
            }
        }
        siege.world.settle();
        siege.first_link = siege.link();
        siege
    }

    /// The connection that each of the honest two takes for their link.
    fn link(&self) -> Option<(ConnectionId, ConnectionId)> {
        let [a, b] = HONEST;
        let peer = |of: NodeIndex, to: NodeIndex| self.world.nodes[of].peers.get(&self.world.nodes[to].id);
        Some((*peer(a, b)?, *peer(b, a)?))
    }

    fn is_open(&self, node: NodeIndex) -> bool {
        self.world.nodes[node].closed.is_none()
    }

    // ---- what happens

    fn step(&mut self, source: &mut Source<'_>) {
        let kind = source.byte();
        let (peer, node) = (source.pick(&HOSTILE), source.pick(&HONEST));
        match kind {
            0..=127 => self.say(source, peer, node),
            128..=143 => self.data(source, peer, node),
            144..=159 => self.connect(source, peer, node),
            160..=167 => self.handshake(source, peer, node),
            168..=207 => self.call(source, node),
            208..=223 => self.pass(source),
            224..=231 => self.take(source),
            232..=239 => self.resolve(source),
            // One frame of the honest two arrives, not all of them.
            _ => {
                let [a, b] = HONEST;
                let (from, to) = if source.flag() { (a, b) } else { (b, a) };
                self.world.step(from, to);
            }
        }
        if kind & 3 != 0 {
            self.world.settle();
        }
        self.look();
    }

    fn say(&mut self, source: &mut Source<'_>, peer: NodeIndex, node: NodeIndex) {
        if self.world.wire(peer, node).is_none() {
            return self.connect(source, peer, node);
        }
        let message = self.words.message(source);
        let clock = self.words.clock(source);
        self.world.say_at(peer, node, clock, message);
    }

    fn data(&mut self, source: &mut Source<'_>, peer: NodeIndex, node: NodeIndex) {
        if self.world.wire(peer, node).is_none() {
            return;
        }
        let header = Words::header(source);
        let length = usize::from(source.byte()) << source.pick(&[0, 0, 4, 8]);
        self.world.say_data(peer, node, header, &vec![7; length]);
    }

    /// A connection with an identity that may be anybody's. Most often its own, followed by what an honest peer would
    /// say first.
    fn connect(&mut self, source: &mut Source<'_>, peer: NodeIndex, node: NodeIndex) {
        if !self.is_open(node) {
            // Nobody listens there.
            return;
        }
        let own = (self.world.nodes[peer].id, self.world.nodes[peer].name.clone());
        let is_own = source.below(4) != 3;
        if !is_own {
            self.world.nodes[peer].id = self.words.node(source);
            self.world.nodes[peer].name = words::text(source);
        }
        if source.flag() {
            self.world.connect(peer, node);
        } else {
            self.world.connect(node, peer);
        }
        let is_arbiter = self.world.nodes[peer].id < self.world.nodes[node].id;
        (self.world.nodes[peer].id, self.world.nodes[peer].name) = own;
        if is_own && source.below(8) != 7 {
            if is_arbiter {
                self.world.frame(peer, node, Frame::Go);
                self.world.settle();
            }
            let clock = self.words.clock(source);
            let last = source.below(4) != 3;
            self.world.say_at(peer, node, clock, Message::Hello { facts: vec![], last });
            self.world.say_at(peer, node, clock, Message::HelloAck);
        }
    }

    fn handshake(&mut self, source: &mut Source<'_>, peer: NodeIndex, node: NodeIndex) {
        if self.world.wire(peer, node).is_none() {
            return;
        }
        let why = source.pick(&[
            Refusal::Linked,
            Refusal::Myself,
            Refusal::NameInDoubt,
            Refusal::TooManyPeers,
            Refusal::Closing,
            Refusal::Cluster,
            Refusal::Version,
            Refusal::Disconnected,
        ]);
        match source.below(3) {
            0 => self.world.frame(peer, node, Frame::Go),
            1 => self.world.frame(peer, node, Frame::Refuse(why)),
            _ => {
                let address = self.world.nodes[peer].address.clone();
                let endings = [Ending::Broke, Ending::Died, Ending::MayHaveDied { address }];
                let end = Frame::Ended(endings[source.below(endings.len())].clone());
                self.world.frame(peer, node, end);
            }
        }
    }

    /// A call of an honest process.
    fn call(&mut self, source: &mut Source<'_>, node: NodeIndex) {
        if !self.is_open(node) {
            return;
        }
        let own: Vec<Pid> =
            self.processes.iter().copied().filter(|pid| pid.node == self.world.nodes[node].id).collect();
        let caller = own[source.below(own.len())];
        let pid = self.processes[source.below(self.processes.len())];
        let target = Pid { node: self.words.node(source), serial: source.number() };
        let target = if source.flag() { pid } else { target };
        let deadline = self.world.within(source.pick(&[-1, 0, 100, 5000]));
        let (text, other) = (words::name(source), words::name(source));
        let resolver = words::resolver(source);
        let nodes = source.flag().then(|| vec!["node0".to_owned(), "node2".to_owned()]);
        if self.world.engine(node).pending_operations() >= limits().operations {
            return;
        }
        let kind = source.below(16);
        let mut is_operation = kind < 12;
        let reference = self.world.call(caller, |process, op| {
            let operate = |what| Command::Call(Call { process, op, deadline, what });
            match kind {
                0 => operate(Action::Register { name: text, pid: caller, resolver, replace: false }),
                1 => operate(Action::Register { name: text, pid: target, resolver, replace: false }),
                2 => operate(Action::Unregister { name: text }),
                3 => operate(Action::IsAlive { pid: target }),
                4 | 5 => operate(Action::Acquire {
                    resource: text,
                    requester: other,
                    nodes,
                    retries: None,
                    scope: None,
                }),
                6 => operate(Action::Release { resource: text, requester: other, nodes, scope: None }),
                7 => operate(Action::CreateGroup { group: text }),
                8 => operate(Action::DeleteGroup { group: text }),
                9 => operate(Action::JoinGroup { group: text, pid: target }),
                10 => operate(Action::LeaveGroup { group: text, pid: target }),
                11 if op.0.is_multiple_of(2) => operate(Action::Join),
                11 => operate(Action::Sync),
                12 => Command::Monitor { process, reference: op, target },
                13 => Command::MonitorName { process, reference: op, name: text },
                14 => Command::MonitorGroup { process, reference: op, group: text },
                _ => Command::WatchLock { process, reference: op, resource: text, requester: other },
            }
        });
        if kind == 12 {
            self.monitors.push((caller, reference, target));
        }
        // A process that is no more makes no calls; its commands come to nothing.
        is_operation &= !self.world.is_gone(caller);
        if is_operation {
            self.operations.push(reference);
        }
        if matches!(kind, 4 | 5) && deadline == Deadline::FOREVER {
            self.patient.insert(reference);
        }
        match source.byte() {
            250.. if self.processes.len() < limits().processes => {
                let pid = self.world.spawn(node);
                self.processes.push(pid);
            }
            245..=249 => self.world.exit(caller),
            240..=244 => self.world.cancel(caller, reference),
            _ => {}
        }
    }

    fn pass(&mut self, source: &mut Source<'_>) {
        let time = source.pick(&[1, 50, 300, 1000, 2500, 6000, 20_000]);
        self.world.advance(Duration::from_millis(time));
        self.world.answer_dials();
    }

    fn take(&mut self, source: &mut Source<'_>) {
        for _ in 0..=source.below(8) {
            let Some((node, window, bytes)) = self.untaken.pop() else { return };
            self.world.input(node, |engine, now| engine.handle_taken(now, window, 1, bytes));
        }
    }

    fn resolve(&mut self, source: &mut Source<'_>) {
        let Some((node, id)) = self.unresolved.pop() else { return };
        let winner = source.pick(&[ClashWinner::Neither, ClashWinner::A, ClashWinner::B]);
        let loser = source.pick(&[ClashLoser::Silent, ClashLoser::Kill, ClashLoser::Notify]);
        let decided = ClashAnswer::Decided { winner, loser };
        let answer = if source.below(4) == 3 { ClashAnswer::Failed } else { decided };
        // Twice, once in a while: what is over is over.
        for _ in 0..=source.below(2) {
            self.world.input(node, |engine, now| engine.handle_resolved(now, id, answer));
        }
    }

    // ---- what must hold

    fn look(&mut self) {
        for peer in HOSTILE {
            let inbox = std::mem::take(&mut self.world.nodes[peer].inbox);
            assert!(inbox.len() <= MAX_ECHO, "one input is answered by {} frames", inbox.len());
            for frame in &inbox {
                if let Frame::Control(stamped) = frame {
                    self.words.hear(stamped);
                }
            }
        }
        for node in HONEST {
            for output in &self.world.nodes[node].seen[self.looked[node]..] {
                match output {
                    Output::Effect(Effect::Deliver { payload, window, .. }) => {
                        self.untaken.push((node, *window, cost(payload.as_bytes().len())));
                    }
                    Output::Effect(Effect::CallResolver { clash }) => self.unresolved.push((node, clash.id)),
                    _ => {}
                }
            }
            self.looked[node] = self.world.nodes[node].seen.len();
        }
        self.world.delivered.clear();
        self.world.refused.clear();
        if self.first_link.is_some() && self.link() == self.first_link {
            self.nobody_has_what_the_other_has();
            self.tokens_grow();
        } else {
            self.first_link = None;
        }
    }

    /// The link of the honest two has been up all the time: no lock and no name is with both.
    fn nobody_has_what_the_other_has(&self) {
        let [a, b] = HONEST.map(|node| &self.world.nodes[node]);
        let held = |(_, tokens): &(_, &Vec<Option<u64>>)| tokens.last().copied().flatten().is_some();
        for ((_, resource, requester), _) in a.held.iter().filter(held) {
            for ((_, same, other), _) in b.held.iter().filter(held) {
                assert!(
                    resource != same || requester == other,
                    "both hold {resource:?}: {requester:?} and {other:?}\n{}",
                    self.world.picture()
                );
            }
        }
        for engine in HONEST.map(|node| self.world.engine(node)) {
            let of = |id: NodeId| {
                engine.bindings().filter(move |(_, binding)| binding.reg.node == id).collect::<Vec<_>>()
            };
            for (name, one) in of(a.id) {
                for (same, two) in of(b.id) {
                    let covers = one.covers(two.reg) || two.covers(one.reg);
                    assert!(name != same || covers, "both have {name:?}\n{}", self.world.picture());
                }
            }
        }
    }

    /// Whoever gets a lock after another requester has a higher token, as long as the two hear each other's votes; of those who
    /// share it a later one need not have.
    fn tokens_grow(&mut self) {
        let mut new: BTreeMap<Name, (u64, Name)> = BTreeMap::new();
        for node in HONEST {
            for (share, tokens) in &self.world.nodes[node].held {
                let key = (node, share.clone());
                let Some(token) = tokens.last().copied().flatten() else {
                    self.shares.remove(&key);
                    continue;
                };
                if self.shares.insert(key, token) == Some(token) {
                    continue;
                }
                let (_, resource, requester) = share;
                if let Some((before, by)) = self.tokens.get(resource) {
                    let grows = token > *before || by == requester;
                    assert!(grows, "{resource:?} has token {token} after {before}\n{}", self.world.picture());
                }
                let before = self.tokens.get(resource).filter(|(before, _)| *before > token).cloned();
                let new_or_before = || before.unwrap_or_else(|| (token, requester.clone()));
                let last = new.entry(resource.clone()).or_insert_with(new_or_before);
                if token > last.0 {
                    *last = (token, requester.clone());
                }
            }
        }
        self.tokens.append(&mut new);
    }

    /// The hostile peers go, all time that was given passes, and then the processes.
    fn end(mut self) {
        for peer in HOSTILE {
            for node in HONEST {
                self.cut(peer, node);
            }
            self.world.nodes[peer].address = String::new();
        }
        self.world.dials_go_through = true;
        let [a, b] = HONEST;
        for round in 0.. {
            self.world.advance(Duration::from_secs(2));
            self.look();
            for (node, id) in std::mem::take(&mut self.unresolved) {
                self.world.input(node, |engine, now| engine.handle_resolved(now, id, ClashAnswer::Failed));
            }
            for (node, window, bytes) in std::mem::take(&mut self.untaken) {
                self.world.input(node, |engine, now| engine.handle_taken(now, window, 1, bytes));
            }
            let both_open = self.is_open(a) && self.is_open(b);
            if both_open && round % 10 == 5 && !self.world.is_linked(a, b) {
                // Parted on somebody's word: it takes an operator to bring them together, once neither leaves the other alone for
                // what was done in its name.
                self.world.connect(a, b);
                self.world.settle();
            }
            let is_whole = !both_open || (self.world.is_linked(a, b) && self.world.is_linked(b, a));
            if round >= 30 && is_whole && self.is_quiet() {
                break;
            }
            assert!(round < 300, "it does not come to rest\n{}", self.world.picture());
        }
        if self.is_open(a) && self.is_open(b) {
            self.both_have_the_same();
        }
        self.locks_are_handed_on();
        for pid in self.processes.clone() {
            let node = self.world.index(pid.node);
            if self.is_open(node) && !self.world.is_gone(pid) {
                self.world.exit(pid);
            }
        }
        self.world.advance(Duration::from_secs(20));
        self.nothing_is_left();
    }

    /// Every call is answered but those for a lock that somebody else holds, and these get it when he is gone.
    fn locks_are_handed_on(&mut self) {
        for _ in 0..=self.processes.len() {
            let open: Vec<NodeIndex> = HONEST.into_iter().filter(|node| self.is_open(*node)).collect();
            let waiting: Vec<Ref> =
                self.operations.iter().copied().filter(|op| self.world.outcome(*op).is_none()).collect();
            for op in &waiting {
                assert!(self.patient.contains(op), "{op:?} hangs\n{}", self.world.picture());
            }
            let Some(engine) =
                open.first().map(|node| self.world.engine(*node)).filter(|_| !waiting.is_empty())
            else {
                return;
            };
            let rows = engine.locks(self.world.now, None);
            let wanted: BTreeSet<&Name> =
                rows.iter().filter(|row| row.is_waiter).map(|row| &row.resource).collect();
            let holder = rows.iter().find(|row| !row.is_waiter && wanted.contains(&row.resource));
            let Some(holder) = holder.map(|row| row.pid) else {
                panic!("{waiting:?} wait for nobody\n{}", self.world.picture());
            };
            self.world.exit(holder);
            self.world.advance(Duration::from_secs(10));
        }
        panic!("locks are not handed on\n{}", self.world.picture());
    }

    /// One connection after the other: under other names a peer may have several.
    fn cut(&mut self, peer: NodeIndex, node: NodeIndex) {
        let between = |wire: &Cable| wire.ends == [peer, node] || wire.ends == [node, peer];
        let wires = self.world.wires.iter().filter(|(_, wire)| between(wire));
        for id in wires.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(wire) = self.world.wires.get_mut(&id) else { continue };
            let is_over = wire.over[wire.side(node)];
            (wire.over, wire.mute) = ([true; 2], [true; 2]);
            wire.to.iter_mut().for_each(|frames| frames.clear());
            if !is_over {
                self.world.input(node, |engine, now| {
                    engine.handle_connection_end(now, id, Ending::Broke, "end of stream")
                });
            }
        }
    }

    /// Nothing is under way but calls that wait for a lock without a deadline.
    fn is_quiet(&self) -> bool {
        HONEST.into_iter().filter(|node| self.is_open(*node)).all(|node| {
            let engine = self.world.engine(node);
            engine.residue().iter().all(|(what, count)| {
                *count == 0 || ["operations", "claims at this voter", "holds"].contains(what)
            })
        })
    }

    fn both_have_the_same(&self) {
        let [a, b] = HONEST.map(|node| self.world.engine(node));
        let picture = || self.world.picture();
        let names =
            |engine: &Engine| engine.names().map(|(name, pid)| (name.clone(), pid)).collect::<BTreeSet<_>>();
        assert_eq!(names(a), names(b), "{}", picture());
        let groups = |engine: &Engine| {
            let sorted = |members: Members| {
                let mut entries = members.as_slice().to_vec();
                entries.sort_unstable();
                entries
            };
            engine
                .groups()
                .into_iter()
                .map(|(name, members)| (name, sorted(members)))
                .collect::<BTreeSet<_>>()
        };
        assert!(groups(a) == groups(b), "{}", picture());
        let locks = |engine: &Engine| {
            let rows = engine.locks(self.world.now, None).into_iter().filter(|row| !row.is_waiter);
            rows.map(|row| (row.resource, row.requester, row.pid, row.token)).collect::<BTreeSet<_>>()
        };
        assert_eq!(locks(a), locks(b), "{}", picture());
        let honest = HONEST.map(|node| self.world.nodes[node].id);
        assert!(names(a).iter().all(|(_, pid)| honest.contains(&pid.node)), "{}", picture());
    }

    fn nothing_is_left(&self) {
        for node in HONEST {
            if self.is_open(node) {
                self.world.assert_at_rest_at(node);
                assert_eq!(self.world.engine(node).names().count(), 0, "{}", self.world.picture());
            } else {
                assert_eq!(self.world.engine(node).pending_operations(), 0);
            }
        }
        for op in &self.operations {
            assert!(self.world.outcome(*op).is_some(), "{op:?} was never answered\n{}", self.world.picture());
        }
        for (watcher, monitor, target) in &self.monitors {
            let exits = self.world.exits(*watcher, *monitor).len();
            assert!(exits <= 1, "{exits} exit notices of {target:?} for {monitor:?}");
        }
    }
}

pub(super) fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut siege = Siege::begin();
    for _ in 0..MAX_STEPS {
        if source.is_over() {
            break;
        }
        siege.step(&mut source);
    }
    siege.end();
}
