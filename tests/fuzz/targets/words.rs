//! Messages, data headers and identities made of choices: every variant, with values that an honest node would send at
//! this moment and with values that none ever would. What the speaker has heard it can use.

use super::source::Source;
use convoke::engine::{
    Binding, ClashMessage, Dot, Existence, Fact, Goodbye, Hold, Key, MAX_CLOCK_STEP, MAX_DOT, Membership,
    Message, Pair, PeerAddress, Reg, Stamped, Standing, Task, Treatment, Tx, Want,
};
use convoke::flow::{Credit, DataHeader};
use convoke::model::{MAX_RESOLVER, Name, NodeId, Pid, Reason, Resolver, Status};
use std::collections::BTreeSet;

/// What the speaker knows of others: the newest of each kind.
#[derive(Default, Debug)]
pub(crate) struct Words {
    nodes: Known<NodeId>,
    txs: Known<Tx>,
    regs: Known<Reg>,
    dots: Known<Dot>,
    holds: Known<Hold>,
    clock: u64,
}

/// The last few things of a kind.
#[derive(Debug)]
struct Known<T>(Vec<T>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Known<T> {
    fn learn(&mut self, thing: T) {
        if self.0.len() >= 8 {
            self.0.remove(0);
        }
        self.0.push(thing);
    }
}

pub(crate) const NAMES: [&[u8]; 6] =
    [b"x", b"y", b"g", b"friend's", b"a name of more than twenty-two bytes", b"z"];

pub(crate) fn name(source: &mut Source<'_>) -> Name {
    match source.byte() {
        known @ 0..=239 => Name::new(NAMES[usize::from(known) % NAMES.len()]),
        240..=244 => Name::new(b""),
        245..=249 => Name::new(&[b'n'; 1025]),
        _ => Name::new(&[source.byte(), source.byte()]),
    }
}

pub(crate) fn resolver(source: &mut Source<'_>) -> Resolver {
    match source.byte() {
        built_in @ 0..=199 => Resolver::BUILT_IN[usize::from(built_in) % 4].1.clone(),
        200..=239 => Resolver::from_name("mine"),
        240..=247 => Resolver::from_name("nobody's"),
        _ => Resolver::from_name(&"r".repeat(MAX_RESOLVER + usize::from(source.flag()))),
    }
}

impl Words {
    pub(crate) fn knows(nodes: &[NodeId]) -> Self {
        let mut words = Self::default();
        words.nodes.0.extend(nodes);
        words
    }

    /// Remembers what it is told.
    pub(crate) fn hear(&mut self, stamped: &Stamped) {
        self.clock = self.clock.max(stamped.clock);
        match &stamped.message {
            Message::Hello { facts, .. } => facts.iter().for_each(|fact| match fact {
                Fact::Binding(_, binding) => self.regs.learn(binding.reg),
                Fact::Beneath(reg) => self.regs.learn(*reg),
                Fact::Hold(hold) => self.holds.learn(hold.clone()),
                Fact::Membership(_) | Fact::Peers(_) => {}
            }),
            Message::GroupState { parts, .. } => parts.iter().for_each(|part| match part {
                Existence::Live { dot, .. } | Existence::Beyond(dot) => self.dots.learn(*dot),
                Existence::Seen { .. } => {}
            }),
            Message::Acquire { tx, .. }
            | Message::Grant { tx, .. }
            | Message::Deny { tx }
            | Message::Wound { tx, .. }
            | Message::Yield { tx, .. }
            | Message::Release { tx, .. }
            | Message::NoWait { tx, .. }
            | Message::Wanted { tx, .. }
            | Message::Ack { tx }
            | Message::Forward { id: tx, .. }
            | Message::Answer { id: tx, .. }
            | Message::Cancel { id: tx } => self.txs.learn(*tx),
            Message::Busy { tx, reg } => {
                self.txs.learn(*tx);
                self.regs.learn(*reg);
            }
            Message::Commit { tx, binding, .. } => {
                self.txs.learn(*tx);
                self.regs.learn(binding.reg);
            }
            Message::SharePublished { tx, hold } => {
                self.txs.learn(*tx);
                self.holds.learn(hold.clone());
            }
            Message::Create { dot, ack, .. } => {
                self.dots.learn(*dot);
                ack.iter().for_each(|tx| self.txs.learn(*tx));
            }
            Message::Unregistered { ack, .. }
            | Message::Delete { ack, .. }
            | Message::ShareReleased { ack, .. }
            | Message::Membership { ack, .. } => ack.iter().for_each(|tx| self.txs.learn(*tx)),
            Message::Engage { pair, .. }
            | Message::Engaged { pair, .. }
            | Message::ClashEnded { pair, .. }
            | Message::Verdict { pair, .. }
            | Message::ClashSeen { pair, .. } => {
                self.regs.learn(pair.low);
                self.regs.learn(pair.high);
            }
            _ => {}
        }
    }

    pub(crate) fn node(&self, source: &mut Source<'_>) -> NodeId {
        match source.byte() {
            known @ 0..=239 if !self.nodes.0.is_empty() => {
                self.nodes.0[usize::from(known) % self.nodes.0.len()]
            }
            _ => NodeId(source.number()),
        }
    }

    fn nodes(&self, source: &mut Source<'_>) -> BTreeSet<NodeId> {
        source.some(|source| self.node(source)).into_iter().collect()
    }

    fn peer(&self, source: &mut Source<'_>) -> PeerAddress {
        PeerAddress {
            node: self.node(source),
            name: text(source),
            address: ["host9:1", "no address", "", "host0:1"][source.below(4)].to_owned(),
        }
    }

    fn tx(&self, source: &mut Source<'_>) -> Tx {
        match source.byte() {
            known @ 0..=127 if !self.txs.0.is_empty() => self.txs.0[usize::from(known) % self.txs.0.len()],
            _ => Tx { lamport: source.number(), node: self.node(source) },
        }
    }

    fn ack(&self, source: &mut Source<'_>) -> Option<Tx> {
        source.flag().then(|| self.tx(source))
    }

    fn reg(&self, source: &mut Source<'_>) -> Reg {
        match source.byte() {
            known @ 0..=127 if !self.regs.0.is_empty() => self.regs.0[usize::from(known) % self.regs.0.len()],
            _ => Reg { node: self.node(source), seq: source.number() },
        }
    }

    fn dot(&self, source: &mut Source<'_>) -> Dot {
        match source.byte() {
            known @ 0..=127 if !self.dots.0.is_empty() => self.dots.0[usize::from(known) % self.dots.0.len()],
            _ => Dot { node: self.node(source), number: source.number().clamp(1, MAX_DOT) },
        }
    }

    fn dots(&self, source: &mut Source<'_>) -> BTreeSet<Dot> {
        source.some(|source| self.dot(source)).into_iter().collect()
    }

    fn pid(&self, source: &mut Source<'_>) -> Pid {
        Pid { node: self.node(source), serial: source.number() }
    }

    fn key(&self, source: &mut Source<'_>) -> Key {
        if source.flag() { Key::Lock(name(source)) } else { Key::Name(name(source)) }
    }

    fn pair(&self, source: &mut Source<'_>) -> Pair {
        let (a, b) = (self.reg(source), self.reg(source));
        // The wrong way round once in a while.
        if source.below(8) == 7 {
            Pair { low: a.max(b), high: a.min(b) }
        } else {
            Pair { low: a.min(b), high: a.max(b) }
        }
    }

    fn binding(&self, source: &mut Source<'_>) -> Binding {
        Binding {
            reg: self.reg(source),
            serial: source.number(),
            resolver: resolver(source),
            supersedes: source.some(|source| self.reg(source)).into_iter().collect(),
            settled: source.flag(),
        }
    }

    fn hold(&self, source: &mut Source<'_>) -> Hold {
        match source.byte() {
            known @ 0..=63 if !self.holds.0.is_empty() => {
                self.holds.0[usize::from(known) % self.holds.0.len()].clone()
            }
            _ => Hold {
                resource: name(source),
                requester: name(source),
                serial: source.number(),
                view: source.flag(),
                nodes: self.nodes(source),
                token: source.number(),
                watched: source.flag(),
            },
        }
    }

    fn membership(&self, source: &mut Source<'_>) -> Membership {
        Membership {
            group: name(source),
            serial: source.number(),
            count: source.number(),
            dots: self.dots(source),
            why: Reason(source.number() as u32),
        }
    }

    fn existence(&self, source: &mut Source<'_>) -> Existence {
        match source.below(3) {
            0 => Existence::Live { group: name(source), dot: self.dot(source) },
            1 => Existence::Seen { node: self.node(source), up_to: source.number().min(MAX_DOT) },
            _ => Existence::Beyond(self.dot(source)),
        }
    }

    fn fact(&self, source: &mut Source<'_>) -> Fact {
        match source.below(5) {
            0 => Fact::Binding(name(source), self.binding(source)),
            1 => Fact::Beneath(self.reg(source)),
            2 => Fact::Peers(self.nodes(source)),
            3 => Fact::Hold(self.hold(source)),
            _ => Fact::Membership(self.membership(source)),
        }
    }

    fn treatment(&self, source: &mut Source<'_>) -> Treatment {
        let pid = source.flag().then(|| self.pid(source));
        match source.below(3) {
            0 => Treatment::Silent,
            1 => Treatment::Kill { by: pid },
            _ => Treatment::Notify { other: pid },
        }
    }

    fn task(&self, source: &mut Source<'_>) -> Task {
        match source.below(5) {
            0 => Task::Register {
                name: name(source),
                serial: source.number(),
                resolver: resolver(source),
                replace: source.flag(),
                no_wait: source.flag(),
            },
            1 => Task::Unregister { name: name(source), reg: self.reg(source) },
            2 => Task::IsAlive { serial: source.number() },
            3 => Task::Join { group: name(source), serial: source.number(), dots: self.dots(source) },
            _ => Task::Leave { group: name(source), serial: source.number() },
        }
    }

    fn clash(&self, source: &mut Source<'_>) -> ClashMessage {
        let (kind, name, pair) = (source.below(4), name(source), self.pair(source));
        match kind {
            0 => ClashMessage::Engage { name, pair, round: source.number() },
            1 => ClashMessage::Engaged { name, pair, round: source.number(), age_ms: source.number() },
            2 => ClashMessage::ClashEnded { name, pair },
            _ => ClashMessage::Verdict { name, pair, treatment: self.treatment(source) },
        }
    }

    fn credit(source: &mut Source<'_>) -> Credit {
        Credit { messages: source.number(), bytes: source.number(), taken: source.number() }
    }

    /// A clock: what an honest node would have now, in most cases.
    pub(crate) fn clock(&mut self, source: &mut Source<'_>) -> u64 {
        match source.byte() {
            0..=239 => self.clock = self.clock.saturating_add(1),
            240..=244 => self.clock = self.clock.saturating_add(MAX_CLOCK_STEP / 2),
            _ => return source.number(),
        }
        self.clock
    }

    /// As many as there are messages; a test sees to it that each is made.
    pub(crate) fn message(&mut self, source: &mut Source<'_>) -> Message {
        use Message as M;
        match source.below(51) {
            0 => M::Hello { facts: source.some(|source| self.fact(source)), last: source.below(4) != 3 },
            1 => M::HelloAck,
            2 => M::Heartbeat,
            3 => M::Ping { number: source.number() },
            4 => M::Pong { number: source.number() },
            5 => M::Goodbye {
                why: source.pick(&[
                    Goodbye::Closing,
                    Goodbye::Silent,
                    Goodbye::Disconnected,
                    Goodbye::Violation,
                    Goodbye::Slow,
                ]),
            },
            6 => M::Challenge { number: source.number(), claimant: self.peer(source) },
            7 => M::Probe { about: self.nodes(source) },
            8 => M::ProbeAnswer { silent: self.nodes(source) },
            9 => {
                let (tx, key) = (self.tx(source), self.key(source));
                let want = match (&key, source.below(8)) {
                    (Key::Name(_), 0..=6) | (Key::Lock(_), 7) => Want::Name { replace: source.flag() },
                    _ => Want::Lock { requester: name(source), serial: source.number() },
                };
                self.txs.learn(tx);
                M::Acquire { tx, key, want, no_wait: source.flag() }
            }
            10 => M::Grant {
                tx: self.tx(source),
                key: self.key(source),
                epoch: source.number(),
                regs: source.some(|source| self.reg(source)),
            },
            11 => M::Deny { tx: self.tx(source) },
            12 => M::Busy { tx: self.tx(source), reg: self.reg(source) },
            13 => M::Wound { tx: self.tx(source), key: self.key(source) },
            14 => M::Yield { tx: self.tx(source), key: self.key(source) },
            15 => M::Release { tx: self.tx(source), key: self.key(source) },
            16 => M::NoWait { tx: self.tx(source), key: self.key(source) },
            17 => {
                let (tx, hold) = (self.tx(source), self.hold(source));
                self.holds.learn(hold.clone());
                M::SharePublished { tx, hold }
            }
            18 => M::ShareReleased {
                resource: name(source),
                requester: name(source),
                serial: source.number(),
                rest: source.flag().then(|| self.hold(source)),
                ack: self.ack(source),
            },
            19 => M::LockConflict {
                resource: name(source),
                requester: name(source),
                serial: source.number(),
                token: source.number(),
                ends: source.flag(),
            },
            20 => M::Wanted {
                tx: self.tx(source),
                resource: name(source),
                requester: name(source),
                serial: source.number(),
                waiter: self.pid(source),
            },
            21 => {
                let (tx, name, binding) = (self.tx(source), name(source), self.binding(source));
                self.regs.learn(binding.reg);
                M::Commit { tx, name, binding }
            }
            22 => M::Ack { tx: self.tx(source) },
            23 => M::Settled {
                name: name(source),
                reg: self.reg(source),
                to: self.node(source),
                supersedes: source.some(|source| self.reg(source)).into_iter().collect(),
            },
            24 => M::Unregistered {
                name: name(source),
                reg: self.reg(source),
                beneath: source.flag().then(|| self.binding(source)),
                ack: self.ack(source),
            },
            25 => M::Membership { membership: self.membership(source), ack: self.ack(source) },
            26 => {
                let (group, dot) = (name(source), self.dot(source));
                self.dots.learn(dot);
                M::Create { group, dot, generation: u32::from(source.byte() / 250), ack: self.ack(source) }
            }
            27 => M::Delete { group: name(source), dots: self.dots(source), ack: self.ack(source) },
            28 => M::GroupDigest { digest: source.number() },
            29 => M::GroupState {
                parts: source.some(|source| self.existence(source)),
                last: source.below(4) != 3,
                answer: source.flag(),
            },
            30 => M::Engage { name: name(source), pair: self.pair(source), round: source.number() },
            31 => M::Engaged {
                name: name(source),
                pair: self.pair(source),
                round: source.number(),
                age_ms: source.number(),
            },
            32 => M::ClashEnded { name: name(source), pair: self.pair(source) },
            33 => {
                M::Verdict { name: name(source), pair: self.pair(source), treatment: self.treatment(source) }
            }
            34 => M::ClashSeen { name: name(source), pair: self.pair(source), high: self.pid(source) },
            35 => M::Relayed { to: self.node(source), from: self.node(source), clash: self.clash(source) },
            36 => {
                let id = self.tx(source);
                self.txs.learn(id);
                let remaining_ms = source.flag().then(|| source.number());
                M::Forward { id, task: self.task(source), remaining_ms }
            }
            37 => M::Answer { id: self.tx(source), status: source.pick(Status::ALL), value: source.number() },
            38 => M::Cancel { id: self.tx(source) },
            39 => {
                M::Monitor { watcher: source.number(), reference: source.number(), target: source.number() }
            }
            40 => {
                M::Demonitor { watcher: source.number(), reference: source.number(), target: source.number() }
            }
            41 => M::Credit { to: source.number(), credit: Self::credit(source) },
            42 => M::NoReceiver { to: source.number() },
            43 => M::Where { nodes: self.nodes(source) },
            44 => M::ConfirmHold {
                question: source.number(),
                resource: name(source),
                requester: name(source),
                serial: source.number(),
                token: source.number(),
            },
            45 => M::HoldConfirmed {
                question: source.number(),
                resource: name(source),
                requester: name(source),
                serial: source.number(),
                standing: [
                    None,
                    Some(Standing::Relied),
                    Some(Standing::SecondHolder),
                    Some(Standing::Minority),
                ][source.below(4)],
            },
            46 => M::Peers { peers: source.some(|source| self.peer(source)), last: source.below(4) != 3 },
            47 => M::Vouch { node: self.node(source) },
            48 => M::Vouched { node: self.node(source) },
            49 => M::Retract { group: name(source), dots: self.dots(source), ack: self.ack(source) },
            _ => M::Queued { tx: self.tx(source) },
        }
    }

    pub(crate) fn header(source: &mut Source<'_>) -> DataHeader {
        use DataHeader as H;
        let (from, to) = (source.number(), source.number());
        match source.below(7) {
            0 => H::Message { from, to },
            1 => H::First { from, to, total: size(source) },
            2 => H::More { from, to },
            3 => H::Request { to, bytes: size(source) },
            4 => H::Exit { from, to, reference: source.number(), reason: source.number() as u32 },
            5 => H::Kill { from, to, reason: source.number() as u32 },
            _ => H::Wait { to, want: Self::credit(source) },
        }
    }
}

/// The length of a payload, as it is announced.
fn size(source: &mut Source<'_>) -> u64 {
    match source.below(4) {
        0 => u64::from(source.byte()),
        1 => u64::from(source.byte()) << 10,
        2 => u64::from(source.byte()) << 14,
        _ => source.number(),
    }
}

/// The name of a node.
pub(crate) fn text(source: &mut Source<'_>) -> String {
    ["hostile", "node0", "node2", "", "node1", "node3"][source.below(6)].to_owned()
}
