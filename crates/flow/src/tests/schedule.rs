//! Random schedules: nodes that send to the processes of one node, over links that come and go.

use super::super::{
    Credit, DataHeader, INITIAL_CREDIT, Inbound, Outbox, Received, SendRefusal, Window, cost,
};
use super::steps::{MESSAGE, Schedule, Step, for_each_schedule};
use super::{TestEncoder, decode};
use convoke_model::{Limits, NodeId};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hasher};

#[derive(Clone, PartialEq, Debug)]
enum Sent {
    Message { number: u64, len: usize },
    Exit(u64),
    Kill(u32),
}

enum Control {
    Credit(u64, Credit),
    NoReceiver(u64),
}

/// A node that sends.
struct Sender {
    id: NodeId,
    link: u64,
    outbox: Outbox<TestEncoder>,
    writing: VecDeque<Vec<u8>>,
    wire: VecDeque<(DataHeader, Vec<u8>)>,
    back: VecDeque<Control>,
    processes: Vec<u64>,
    /// What was accepted and has not come out, by (sender, receiver).
    expected: BTreeMap<(u64, u64), VecDeque<Sent>>,
    /// Refused, and not told yet; with the length that was refused.
    owed: BTreeMap<(u64, u64), usize>,
    /// Told, and not tried again yet.
    told: VecDeque<(u64, u64, usize)>,
}

struct World {
    limits: Limits,
    senders: Vec<Sender>,
    inbound: Inbound,
    receivers: Vec<u64>,
    alive: BTreeSet<u64>,
    stopped: BTreeSet<u64>,
    mailboxes: BTreeMap<u64, VecDeque<(Window, u64)>>,
    /// Processes that the receiving node has had.
    spawned: u64,
    links: u64,
    messages: u64,
    refused: u64,
    parked: u64,
    /// The length and the beginning of each block. What stands in payloads is looked at where they arrive.
    written: DefaultHasher,
}

fn payload(number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![number as u8; len];
    let head = len.min(8);
    bytes[..head].copy_from_slice(&number.to_le_bytes()[..head]);
    bytes
}

impl World {
    fn new(schedule: &Schedule) -> Self {
        let Schedule { memory, link_buffer, receivers, .. } = *schedule;
        let limits = Limits { message: MESSAGE, memory, link_buffer, ..Limits::default() };
        let mut world = Self {
            limits: limits.clone(),
            senders: Vec::new(),
            inbound: Inbound::new(&limits),
            receivers: (1..=receivers).collect(),
            alive: (1..=receivers).collect(),
            stopped: BTreeSet::new(),
            mailboxes: BTreeMap::new(),
            spawned: receivers,
            links: 0,
            messages: 0,
            refused: 0,
            parked: 0,
            written: DefaultHasher::new(),
        };
        for (id, processes) in (100..).map(NodeId).zip(&schedule.senders) {
            world.links += 1;
            world.inbound.link_up(id, world.links);
            world.senders.push(Sender {
                id,
                link: world.links,
                outbox: Outbox::new(&limits),
                writing: VecDeque::new(),
                wire: VecDeque::new(),
                back: VecDeque::new(),
                processes: (1..=*processes).collect(),
                expected: BTreeMap::new(),
                owed: BTreeMap::new(),
                told: VecDeque::new(),
            });
        }
        world
    }

    fn process(&self, node: usize, number: usize) -> u64 {
        let processes = &self.senders[node].processes;
        processes[number % processes.len()]
    }

    fn receiver(&self, number: usize) -> u64 {
        self.receivers[number % self.receivers.len()]
    }

    fn send(&mut self, node: usize, from: u64, to: u64, len: usize) {
        self.messages += 1;
        let number = self.messages;
        let gone = !self.alive.contains(&to);
        // What waited for room at the receivers is on its way at once when they grant it.
        let limit = 2 * (self.limits.link_buffer + self.limits.message) + (64 << 10);
        let sender = &mut self.senders[node];
        match sender.outbox.send(from, to, &payload(number, len)) {
            Ok(()) => sender.expected.entry((from, to)).or_default().push_back(Sent::Message { number, len }),
            Err(SendRefusal::Full) => {
                self.refused += 1;
                sender.owed.insert((from, to), len);
            }
            Err(SendRefusal::NoProcess) => assert!(gone, "a live process is called dead"),
        }
        assert!(sender.outbox.backlog() <= limit, "{} bytes wait for the link", sender.outbox.backlog());
    }

    fn tell(&mut self, node: usize, told: Vec<(u64, u64)>) {
        let sender = &mut self.senders[node];
        for (from, to) in told {
            let len = sender.owed.remove(&(from, to));
            let len = len.unwrap_or_else(|| panic!("{from} -> {to} is told though it was not refused"));
            sender.told.push_back((from, to, len));
        }
    }

    fn retry(&mut self, node: usize) -> bool {
        let Some((from, to, len)) = self.senders[node].told.pop_front() else { return false };
        if self.senders[node].processes.contains(&from) && !self.senders[node].owed.contains_key(&(from, to))
        {
            self.send(node, from, to, len);
        }
        true
    }

    fn write(&mut self, node: usize) -> bool {
        let sender = &mut self.senders[node];
        let empty = sender.outbox.is_empty();
        let block = sender.outbox.next_block();
        assert_eq!(block.is_none(), empty);
        let Some(block) = block else { return false };
        assert!(!block.is_empty() && block.len() <= (64 << 10) + 100);
        self.written.write_usize(block.len());
        self.written.write(&block[..block.len().min(100)]);
        sender.wire.extend(decode(&block));
        sender.writing.push_back(block);
        true
    }

    fn written(&mut self, node: usize) -> bool {
        let sender = &mut self.senders[node];
        let Some(mut block) = sender.writing.pop_front() else { return false };
        if block.len() % 2 == 0 {
            block.clear();
        }
        let told = sender.outbox.written(block);
        self.tell(node, told);
        true
    }

    fn arrive(&mut self, node: usize) -> bool {
        let sender = &mut self.senders[node];
        let Some((header, body)) = sender.wire.pop_front() else { return false };
        self.parked += u64::from(matches!(header, DataHeader::Request { .. }));
        let alive = &self.alive;
        let (received, credit) = self
            .inbound
            .frame(sender.id, header, &body, &|serial| alive.contains(&serial))
            .unwrap_or_else(|violation| panic!("{violation:?} by {header:?}"));
        sender.back.extend(credit.map(|(to, credit)| Control::Credit(to, credit)));
        let mut killed = None;
        let (pair, got) = match received {
            Received::Nothing => return true,
            Received::NoReceiver { to } => {
                sender.back.push_back(Control::NoReceiver(to));
                return true;
            }
            Received::Message { from, payload: got, window } => {
                let len = got.as_bytes().len();
                assert!(alive.contains(&window.to));
                self.mailboxes.entry(window.to).or_default().push_back((window, cost(len)));
                let expected = sender.expected.get(&(from, window.to)).and_then(|queue| queue.front());
                let Some(&Sent::Message { number, .. }) = expected else {
                    panic!("nothing from {from} was expected")
                };
                assert!(got.as_bytes() == payload(number, len), "the bytes changed");
                ((from, window.to), Sent::Message { number, len })
            }
            Received::Exit { from, to, reference, .. } => ((from, to), Sent::Exit(reference)),
            Received::Kill { from, to, reason } => {
                killed = Some(to);
                ((from, to), Sent::Kill(reason))
            }
        };
        let queue = sender.expected.entry(pair).or_default();
        if !alive.contains(&pair.1) {
            // Signals to a process that is no more may still come, what stands before them does not.
            while queue.front().is_some_and(|sent| *sent != got) {
                queue.pop_front();
            }
        }
        if let Sent::Kill(_) = got
            && let Some(place) = queue.iter().position(|sent| *sent == got)
            && let Some(Sent::Message { len, .. }) = queue.front()
            && *len > 64 << 10
            && queue.iter().take(place).skip(1).all(|sent| matches!(sent, Sent::Exit(_)))
        {
            // It overtook a payload that waited for room, and ends the process that would have had it.
            queue.drain(..place);
        }
        assert_eq!(queue.pop_front(), Some(got), "{} -> {}", pair.0, pair.1);
        if let Some(to) = killed {
            self.exit(to);
        }
        self.check_memory();
        true
    }

    fn arrive_back(&mut self, node: usize) -> bool {
        let sender = &mut self.senders[node];
        let Some(control) = sender.back.pop_front() else { return false };
        let told = match control {
            Control::Credit(to, credit) => sender.outbox.credit(to, credit),
            Control::NoReceiver(to) => sender.outbox.no_receiver(to),
        };
        self.tell(node, told);
        true
    }

    fn hand_over(&mut self, credits: Vec<(NodeId, u64, Credit)>) {
        for (node, to, credit) in credits {
            let sender = self.senders.iter_mut().find(|sender| sender.id == node).unwrap();
            sender.back.push_back(Control::Credit(to, credit));
        }
    }

    fn take(&mut self, to: u64, count: u64) -> bool {
        let Some(mailbox) = self.mailboxes.get_mut(&to) else { return false };
        let mut taken: BTreeMap<Window, (u64, u64)> = BTreeMap::new();
        for _ in 0..count {
            let Some((window, cost)) = mailbox.pop_front() else { break };
            let sum = taken.entry(window).or_default();
            *sum = (sum.0 + 1, sum.1 + cost);
        }
        if mailbox.is_empty() {
            self.mailboxes.remove(&to);
        }
        for (window, (messages, bytes)) in taken {
            let credits = self.inbound.taken(window, messages, bytes);
            self.hand_over(credits);
        }
        true
    }

    fn exit(&mut self, to: u64) {
        if !self.alive.remove(&to) {
            return;
        }
        for node in self.inbound.receiver_exit(to) {
            let sender = self.senders.iter_mut().find(|sender| sender.id == node).unwrap();
            sender.back.push_back(Control::NoReceiver(to));
        }
        let credits = self.inbound.credits_due();
        self.hand_over(credits);
        self.stopped.remove(&to);
        self.spawned += 1;
        self.alive.insert(self.spawned);
        // Most find the one that follows; the others go on sending to one that is no more.
        for (at, receiver) in (0..).zip(&mut self.receivers) {
            if *receiver == to && !(self.spawned + at).is_multiple_of(4) {
                *receiver = self.spawned;
            }
        }
    }

    fn reconnect(&mut self, node: usize) {
        let sender = &mut self.senders[node];
        let told = sender.outbox.close();
        let late = Vec::with_capacity(1 << 16);
        assert!(sender.outbox.written(late).is_empty() && sender.outbox.is_empty());
        sender.outbox.send(1, 1, b"lost").unwrap();
        assert!(sender.outbox.is_empty() && sender.outbox.next_block().is_none());
        sender.outbox = Outbox::with_seed(&self.limits, self.links);
        sender.writing.clear();
        sender.wire.clear();
        sender.back.clear();
        sender.expected.clear();
        self.links += 1;
        sender.link = self.links;
        let (id, link) = (sender.id, sender.link);
        self.tell(node, told);
        assert!(self.senders[node].owed.is_empty(), "refused senders that nobody told");
        self.inbound.link_down(id);
        let credits = self.inbound.credits_due();
        self.hand_over(credits);
        self.inbound.link_up(id, link);
    }

    /// A process of a sending node exits: its watchers are told behind what it sent.
    fn sender_exit(&mut self, node: usize, from: usize, to: u64) {
        let sender = &mut self.senders[node];
        let place = from % sender.processes.len();
        let from = sender.processes[place];
        for to in [to, self.receivers[0]] {
            let reference = self.messages + from;
            sender.outbox.signal(DataHeader::Exit { from, to, reference, reason: 1 }, b"why");
            sender.expected.entry((from, to)).or_default().push_back(Sent::Exit(reference));
        }
        sender.outbox.forget_sender(from);
        sender.owed.retain(|pair, _| pair.0 != from);
        sender.processes[place] = from + 100;
    }

    fn kill(&mut self, node: usize, to: u64) {
        let sender = &mut self.senders[node];
        let from = sender.processes[0];
        sender.outbox.signal(DataHeader::Kill { from, to, reason: self.messages as u32 }, &[7; 1000]);
        sender.expected.entry((from, to)).or_default().push_back(Sent::Kill(self.messages as u32));
    }

    fn check_memory(&self) {
        let mut unread: BTreeMap<Window, u64> = BTreeMap::new();
        for (window, cost) in self.mailboxes.values().flatten() {
            *unread.entry(*window).or_default() += cost;
        }
        let cap = (self.limits.memory as u64 / 4 * 3).max(cost(self.limits.message));
        let beyond: u64 = unread.values().map(|bytes| bytes.saturating_sub(INITIAL_CREDIT.bytes)).sum();
        assert!(beyond <= cap, "{beyond} of {cap} bytes wait");
        let closed = |window: &&Window| {
            let links = |sender: &Sender| sender.id == window.from && sender.link == window.link;
            !self.alive.contains(&window.to) || !self.senders.iter().any(links)
        };
        let closed = unread.keys().filter(closed).count() as u64;
        assert!(self.inbound.reserved() <= cap + closed * INITIAL_CREDIT.bytes);
    }

    fn step(&mut self, node: usize, step: &Step) {
        let node = node % self.senders.len();
        match *step {
            Step::Send { from, to, len, times } => {
                let (from, to) = (self.process(node, from), self.receiver(to));
                for _ in 0..times {
                    self.send(node, from, to, len);
                }
            }
            Step::Retry => drop(self.retry(node)),
            Step::Write => drop(self.write(node)),
            Step::Written => drop(self.written(node)),
            Step::Arrive(frames) => {
                for _ in 0..frames {
                    self.arrive(node);
                }
            }
            Step::ArriveBack => drop(self.arrive_back(node)),
            Step::Take { to, count } => {
                let to = self.receiver(to);
                if !self.stopped.contains(&to) {
                    self.take(to, count);
                }
            }
            Step::StopOrGoOn(to) => {
                let to = self.receiver(to);
                if !self.stopped.remove(&to) {
                    self.stopped.insert(to);
                }
            }
            Step::Exit(to) => self.exit(self.receiver(to)),
            Step::Reconnect => self.reconnect(node),
            Step::SenderExit { from, to } => self.sender_exit(node, from, self.receiver(to)),
            Step::Kill { to } => self.kill(node, self.receiver(to)),
        }
    }

    /// Everybody reads again, and everybody who is told tries again: then all comes through.
    fn settle(&mut self) {
        self.stopped.clear();
        for round in 0.. {
            assert!(round < 100_000, "it does not come to rest");
            let mut moved = false;
            for node in 0..self.senders.len() {
                moved |= self.retry(node) | self.write(node) | self.written(node);
                moved |= self.arrive(node) | self.arrive_back(node);
            }
            let full: Vec<u64> = self.mailboxes.keys().copied().collect();
            for to in full {
                // Now this one reads, now that one, now more and now less.
                if (round + to) % 2 == 0 {
                    self.take(to, 1 + (7 * round + to) % 30);
                }
                moved = true;
            }
            if !moved {
                break;
            }
        }
        for sender in &mut self.senders {
            assert!(sender.outbox.is_empty() && sender.outbox.backlog() == 0);
            assert!(sender.owed.is_empty(), "never told: {:?}", sender.owed);
            sender.expected.retain(|pair, queue| self.alive.contains(&pair.1) && !queue.is_empty());
            assert!(sender.expected.is_empty(), "lost: {:?}", sender.expected);
        }
        self.check_memory();
    }
}

/// What came of a schedule.
#[derive(Default, PartialEq, Debug)]
struct Outcome {
    messages: u64,
    refused: u64,
    parked: u64,
    reserved: u64,
    /// Of the blocks that were written.
    digest: u64,
}

fn run(schedule: &Schedule) -> Outcome {
    let mut world = World::new(schedule);
    for (node, step) in &schedule.steps {
        world.step(*node, step);
    }
    world.settle();
    Outcome {
        messages: world.messages,
        refused: world.refused,
        parked: world.parked,
        reserved: world.inbound.reserved(),
        digest: world.written.finish(),
    }
}

#[test]
fn random_schedules_keep_order_memory_and_promises() {
    let sum = RefCell::new(Outcome::default());
    let schedules = for_each_schedule(220, |schedule| {
        let (outcome, mut sum) = (run(&schedule), sum.borrow_mut());
        sum.messages += outcome.messages;
        sum.refused += outcome.refused;
        sum.parked += outcome.parked;
    });
    let Outcome { messages, refused, parked, .. } = sum.into_inner();
    // The schedules are worth nothing if they never come to the limits.
    assert!(
        refused > messages / 100 && parked > u64::from(schedules) / 4,
        "{messages} messages, {refused} refused, {parked} parked"
    );
}

#[test]
fn a_schedule_comes_to_the_same_again() {
    for_each_schedule(10, |schedule| assert_eq!(run(&schedule), run(&schedule)));
}
