//! Many real engines in one thread, with a virtual clock. It checks nothing as it goes, so that a thousand nodes are a matter
//! of minutes; the promises are the business of the simulator.

use crate::count::{Count, Row};
use crate::network::{Connection, Parcel, Wall};
use crate::rng::Rng;
use convoke::engine::{Connectivity, Engine, Identity, Message, Output, Stamped, Wire};
use convoke::model::{
    Action, Call, ClashAnswer, ClashLoser, ClashWinner, Command, Config, ConnectionId, Deadline, Effect,
    Machine, Members, Name, NodeId, Pid, Ref, Resolver, Status, Time,
};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// In all, spread evenly.
    pub(crate) names: usize,
    /// Groups with one member each.
    pub(crate) groups: usize,
    /// What a node takes to read a frame and to write one, in us: one that has much to do answers later.
    pub(crate) receive_us: u64,
    pub(crate) send_us: u64,
}

pub(crate) struct Host {
    pub(crate) engine: Engine,
    pub(crate) address: String,
    pub(crate) identity: Arc<Identity>,
    pub(crate) started: u64,
    pub(crate) up: bool,
    pub(crate) side: bool,
    /// Links, as its readers are told.
    pub(crate) links: usize,
    /// Until then it is busy with what it has read before.
    free_at: u64,
    waiting: VecDeque<Input>,
    /// The one wake-up that counts.
    wake_at: u64,
}

/// What a host reads, one after the other.
pub(crate) enum Input {
    Parcel(ConnectionId, Parcel),
    DialFailed(String),
}

pub(crate) enum Happening {
    Arrive { connection: usize, from: usize, parcel: Parcel },
    Serve { host: usize },
    Wake { host: usize },
    Dialled { from: usize, address: String },
    DialFailed { from: usize, address: String },
    Late { connection: usize },
    Reset { connection: usize, end: usize },
    Resolved { host: usize, id: u64 },
}

/// Ordered by time, then by the order in which it was planned.
struct Planned(Reverse<(u64, u64)>, Happening);

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    pub(crate) hosts: Vec<Host>,
    pub(crate) by_address: HashMap<String, usize>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) wall: Option<Wall>,
    pub(crate) count: Count,
    /// Frames under way or waiting that are not life signs, and when the last one was read.
    pub(crate) busy: usize,
    pub(crate) last_busy: u64,
    pub(crate) last_hello: u64,
    pub(crate) answers: HashMap<u64, (Status, u64)>,
    pub(crate) scratch: Vec<u8>,
    planned: BinaryHeap<Planned>,
    planned_so_far: u64,
    calls: u64,
    outputs: Vec<Output>,
}

/// Time that this thread has spent on a processor: other programs on the machine do not count.
fn processor_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `time` and nothing else.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The process that everything is done for, one on each node.
pub(crate) const PROCESS: u64 = 1;

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            rng: Rng::new(plan.seed),
            plan,
            now: 1_000_000,
            hosts: Vec::new(),
            by_address: HashMap::new(),
            connections: Vec::new(),
            wall: None,
            count: Count::default(),
            busy: 0,
            last_busy: 0,
            last_hello: 0,
            answers: HashMap::new(),
            scratch: Vec::new(),
            planned: BinaryHeap::new(),
            planned_so_far: 0,
            calls: 0,
            outputs: Vec::new(),
        }
    }

    // ---- hosts

    /// Starts a node now: alone it makes its names and groups, and dials the seeds, which are the first three nodes.
    pub(crate) fn start(&mut self) -> usize {
        let host = self.hosts.len();
        let address = format!("10.0.{}.{}:7700", host / 256, host % 256);
        let mut config = Config::new(NodeId(self.rng.number().max(1)), &format!("node-{host}"));
        config.address = address.clone();
        config.seeds = (0..3).map(|seed| format!("10.0.0.{seed}:7700")).collect();
        let identity = Arc::new(Identity {
            node: config.node,
            name: config.name.clone(),
            address: address.clone(),
            connectivity: Connectivity::default(),
            groups: 0,
            uptime_ms: 0,
            message_limit: config.limits.message as u64,
        });
        let engine = Engine::new(config, self.rng.number(), Time(self.now));
        self.hosts.push(Host {
            engine,
            address: address.clone(),
            identity,
            started: self.now,
            up: true,
            side: false,
            links: 0,
            free_at: 0,
            waiting: VecDeque::new(),
            wake_at: u64::MAX,
        });
        self.count.received.push(0);
        self.count.engine_ns.push(0);
        self.by_address.insert(address, host);
        self.command(host, Command::Spawn { process: PROCESS });
        self.command(host, Command::AddResolver { resolver: Name::new(b"referee") });
        let (nodes, all) = (self.plan.nodes, self.plan.names);
        for number in (host..all).step_by(nodes).filter(|_| host < nodes) {
            self.register(host, &format!("name-{number}"));
        }
        if host < self.plan.groups {
            let group = Name::new(format!("group-{host}").as_bytes());
            self.operate(host, Action::CreateGroup { group: group.clone() });
            let pid = self.pid(host);
            self.operate(host, Action::JoinGroup { group, pid });
        }
        host
    }

    /// The node leaves in order.
    pub(crate) fn leave(&mut self, host: usize) {
        self.command(host, Command::Close);
        self.hosts[host].up = false;
    }

    pub(crate) fn pid(&self, host: usize) -> Pid {
        Pid { node: self.hosts[host].engine.node(), serial: PROCESS }
    }

    pub(crate) fn next_op(&mut self) -> Ref {
        self.calls += 1;
        Ref(self.calls)
    }

    pub(crate) fn command(&mut self, host: usize, command: Command) {
        self.feed(host, |engine, now| engine.handle_command(now, command));
    }

    /// The answer comes under the number.
    fn operate(&mut self, host: usize, what: Action) -> u64 {
        let (process, op, deadline) = (PROCESS, self.next_op(), Deadline::FOREVER);
        self.command(host, Command::Call(Call { process, op, deadline, what }));
        op.0
    }

    pub(crate) fn register(&mut self, host: usize, name: &str) -> u64 {
        let (name, pid) = (Name::new(name.as_bytes()), self.pid(host));
        let resolver = Resolver::from_name("referee");
        self.operate(host, Action::Register { name, pid, resolver, replace: false })
    }

    pub(crate) fn acquire(&mut self, host: usize, resource: &str) -> u64 {
        let (resource, requester) = (Name::new(resource.as_bytes()), Name::new(b"requester"));
        let (nodes, retries, scope) = (None, None, None);
        self.operate(host, Action::Acquire { resource, requester, nodes, retries, scope })
    }

    // ---- time

    pub(crate) fn later(&mut self, at: u64, what: Happening) {
        self.planned_so_far += 1;
        self.planned.push(Planned(Reverse((at, self.planned_so_far)), what));
    }

    /// Runs until it is so, which is asked about once in a millisecond; it must be so within `bound` us.
    pub(crate) fn run_until(&mut self, what: &str, bound: u64, done: impl Fn(&Self) -> bool) {
        let end = self.now + bound;
        let mut ask_at = self.now;
        loop {
            if self.now >= ask_at {
                if done(self) {
                    return;
                }
                ask_at = self.now + 1000;
            }
            assert!(self.now < end, "{what}: not within {} s", bound / 1_000_000);
            self.step();
        }
    }

    pub(crate) fn run_for(&mut self, us: u64) {
        let end = self.now + us;
        while self.planned.peek().is_some_and(|next| next.0.0.0 <= end) {
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        let Some(Planned(Reverse((at, _)), what)) = self.planned.pop() else {
            panic!("nothing is going to happen any more");
        };
        self.now = at;
        match what {
            Happening::Arrive { connection, from, parcel } => self.arrive(connection, from, parcel),
            Happening::Serve { host } => {
                if let Some(input) = self.hosts[host].waiting.pop_front() {
                    self.read_input(host, input);
                }
                if !self.hosts[host].waiting.is_empty() {
                    self.later(self.hosts[host].free_at, Happening::Serve { host });
                }
            }
            Happening::Wake { host } => self.wake(host, at),
            Happening::Dialled { from, address } => self.dialled(from, address),
            Happening::DialFailed { from, address } => self.dial_failed(from, address),
            Happening::Late { connection } => self.late(connection),
            Happening::Reset { connection, end } => self.reset(connection, end),
            Happening::Resolved { host, id } => {
                let answer = ClashAnswer::Decided { winner: ClashWinner::A, loser: ClashLoser::Notify };
                self.feed(host, |engine, now| engine.handle_resolved(now, id, answer));
            }
        }
    }

    fn wake(&mut self, host: usize, at: u64) {
        let h = &mut self.hosts[host];
        if h.wake_at != at || !h.up {
            return;
        }
        h.wake_at = u64::MAX;
        if h.free_at > at {
            // It has other things to do, and so its timers come late.
            let at = h.free_at;
            h.wake_at = at;
            return self.later(at, Happening::Wake { host });
        }
        self.feed(host, |engine, now| engine.handle_timeout(now));
    }

    // ---- inputs and outputs

    /// Something for the host to read, when it has read what came before.
    pub(crate) fn give(&mut self, host: usize, input: Input) {
        let h = &mut self.hosts[host];
        if h.waiting.is_empty() && h.free_at <= self.now {
            self.read_input(host, input);
        } else {
            h.waiting.push_back(input);
            if h.waiting.len() == 1 {
                let at = h.free_at;
                self.later(at, Happening::Serve { host });
            }
        }
    }

    fn read_input(&mut self, host: usize, input: Input) {
        let h = &mut self.hosts[host];
        h.free_at = h.free_at.max(self.now) + self.plan.receive_us;
        match input {
            Input::Parcel(id, parcel) => {
                if parcel.is_busy() {
                    self.busy -= 1;
                    self.last_busy = self.now;
                }
                if self.hosts[host].up {
                    self.read(host, id, parcel);
                }
            }
            Input::DialFailed(address) => self.feed(host, |engine, now| {
                engine.handle_dial_failed(now, &address, Status::Unreachable, "nobody answers");
            }),
        }
    }

    pub(crate) fn feed(&mut self, host: usize, input: impl FnOnce(&mut Engine, Time)) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let engine = &mut self.hosts[host].engine;
        let began = processor_ns();
        input(engine, Time(self.now));
        while let Some(output) = engine.poll_any() {
            outputs.push(output);
        }
        let wake_at = engine.poll_timeout();
        let took = processor_ns() - began;
        self.count.engine_ns[host] += took;
        self.count.longest_ns = self.count.longest_ns.max(took);
        if let Some(Time(at)) = wake_at.filter(|at| at.0 < self.hosts[host].wake_at) {
            let at = at.max(self.now);
            self.hosts[host].wake_at = at;
            self.later(at, Happening::Wake { host });
        }
        let mut leaves = self.hosts[host].free_at.max(self.now);
        for output in outputs.drain(..) {
            leaves = self.carry_out(host, leaves, output);
        }
        self.hosts[host].free_at = leaves;
        self.outputs = outputs;
    }

    fn carry_out(&mut self, host: usize, leaves: u64, output: Output) -> u64 {
        match output {
            Output::Wire(Wire::Send { to, message }) => return self.send(leaves, &to, message),
            Output::Wire(Wire::Dial { address }) => self.dial(host, address),
            Output::Wire(Wire::Open { connection }) => self.open(leaves, connection),
            Output::Wire(Wire::Refuse { connection, why }) => self.refuse(leaves, connection, why),
            Output::Wire(Wire::Close { connection, goodbye }) => {
                if let Some(why) = goodbye {
                    let message = Stamped { clock: 0, message: Message::Goodbye { why } };
                    self.send(leaves, &[connection], message);
                }
                self.hang_up(leaves, connection);
            }
            Output::Effect(Effect::PublishPeer { connection: Some(_), .. }) => self.hosts[host].links += 1,
            Output::Effect(Effect::PublishPeer { connection: None, .. }) => self.hosts[host].links -= 1,
            Output::Effect(Effect::Answer { op, outcome, .. }) => {
                self.answers.insert(op.0, (outcome.status, self.now));
            }
            Output::Effect(Effect::CallResolver { clash }) => {
                self.count.resolver_calls += 1;
                self.later(self.now + 1000, Happening::Resolved { host, id: clash.id });
            }
            Output::Effect(Effect::Log { text, .. }) => panic!("host {host} complains: {text}"),
            _ => {}
        }
        leaves
    }

    // ---- what is so

    pub(crate) fn up(&self) -> usize {
        self.hosts.iter().filter(|host| host.up).count()
    }

    /// Every node has a synced link to every other one on its side.
    pub(crate) fn is_meshed(&self) -> bool {
        let up = || self.hosts.iter().filter(|host| host.up);
        let side = [false, true].map(|side| up().filter(|host| host.side == side).count());
        let others = |host: &Host| if self.wall.is_some() { side[usize::from(host.side)] } else { side[0] + side[1] } - 1;
        up().all(|host| host.links == others(host))
            && up().all(|host| host.engine.links().all(|(_, synced)| synced))
    }

    /// Nothing but life signs for a second.
    pub(crate) fn is_quiet(&self) -> bool {
        self.busy == 0 && self.now - self.last_busy > 1_000_000
    }

    /// All nodes show the same names and groups.
    pub(crate) fn check_tables(&self, names: usize) {
        let mut up = self.hosts.iter().filter(|host| host.up);
        let Some(first) = up.next() else { return };
        let groups = first.engine.groups();
        let of = |groups: &[(Name, Members)]| -> Vec<_> {
            let sorted = groups.iter().map(|(group, members)| {
                let mut pids = members.as_slice().to_vec();
                pids.sort_unstable();
                (group.clone(), pids)
            });
            sorted.collect()
        };
        let groups = of(&groups);
        assert_eq!(first.engine.names().count(), names, "names on the first node");
        for host in up {
            assert_eq!(host.engine.names().count(), names, "names on {}", host.identity.name);
            for (name, pid) in first.engine.names() {
                assert_eq!(
                    host.engine.whereis(name.as_bytes()),
                    Some(pid),
                    "{name:?} on {}",
                    host.identity.name
                );
            }
            assert_eq!(of(&host.engine.groups()), groups, "groups on {}", host.identity.name);
        }
    }

    /// Counts from here. `act` returns how long it took in virtual us.
    pub(crate) fn measure(&mut self, what: &str, act: impl FnOnce(&mut Self) -> u64) -> Row {
        let hosts = self.hosts.len();
        self.count = Count { received: vec![0; hosts], engine_ns: vec![0; hosts], ..Count::default() };
        self.last_busy = self.now;
        let began = Instant::now();
        let took = act(self);
        let real_ms = began.elapsed().as_millis();
        Row { nodes: self.up(), what: what.to_owned(), took, count: self.count.clone(), real_ms }
    }
}
