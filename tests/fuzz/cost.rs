//! What messages of a peer cost a node with large tables: no more than the same messages cost one with small tables, in time and
//! in what is answered. Each kind of message is said a few hundred times, true and false, about rows that are there, that are
//! not, and that are somebody else's. A kind whose cost grows with the tables is one by which a few bytes hold a node up.

use crate::processor_time;
use convoke::engine::{
    Binding, Connectivity, Dot, Engine, Existence, Fact, Hold, Identity, Key, Membership, Message, Output,
    Pair, Reg, Stamped, Task, Tx, Want, Wire,
};
use convoke::model::{Command, Config, ConnectionId, Machine, Name, NodeId, Pid, Reason, Resolver, Time};
use convoke::wire::encode_control;
use std::time::Duration;

/// Names, locks, groups and memberships, of one honest peer.
const SMALL: u64 = 200;
const LARGE: u64 = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
/// Of each kind. Were all rows gone through for each, that would take very much longer than `SLACK`.
const COUNT: u64 = 200;
const SLACK: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 40 });

const ME: NodeId = NodeId(10);
const FRIEND: NodeId = NodeId(30);
const LIAR: NodeId = NodeId(20);
const NOW: Time = Time(1000);

fn name(kind: &str, number: u64) -> Name {
    Name::new(format!("{kind}{number}").as_bytes())
}

fn dot(node: NodeId, number: u64) -> Dot {
    Dot { node, number }
}

fn connection(node: NodeId) -> ConnectionId {
    ConnectionId(node.0)
}

struct Siege {
    engine: Engine,
    clock: u64,
    /// A process of the engine's node.
    process: u64,
    size: u64,
}

impl Siege {
    fn new(size: u64) -> Self {
        let mut config = Config::new(ME, "me");
        config.limits.published = usize::MAX / 2;
        let engine = Engine::new(config, 1, Time::default());
        let mut siege = Self { engine, clock: 1, process: 1, size };
        siege.engine.handle_command(NOW, Command::Spawn { process: 1 });
        for node in [FRIEND, LIAR] {
            let identity = Identity {
                node,
                name: format!("node{}", node.0),
                address: format!("host{}:1", node.0),
                uptime_ms: 1,
                connectivity: Connectivity::default(),
                groups: 1,
                message_limit: 1 << 20,
            };
            siege.engine.handle_connection(NOW, connection(node), identity, None);
        }
        let binding = |number| Binding {
            reg: Reg { node: FRIEND, seq: number },
            serial: number,
            resolver: Resolver::RandomExit,
            supersedes: Default::default(),
            settled: true,
        };
        let hold = |number| Hold {
            resource: name("r", number),
            requester: name("q", number),
            serial: number,
            view: false,
            nodes: [ME, FRIEND].into(),
            token: number,
            watched: false,
        };
        let member = |number| Membership {
            group: name("g", number),
            serial: number,
            count: 1,
            dots: [dot(FRIEND, number)].into(),
            why: Reason::NORMAL,
        };
        for numbers in (1..=size).collect::<Vec<_>>().chunks(100) {
            let facts = numbers.iter().flat_map(|number| {
                [
                    Fact::Binding(name("n", *number), binding(*number)),
                    Fact::Hold(hold(*number)),
                    Fact::Membership(member(*number)),
                ]
            });
            siege.say(FRIEND, Message::Hello { facts: facts.collect(), last: false });
            let live =
                |number: &u64| Existence::Live { group: name("g", *number), dot: dot(FRIEND, *number) };
            let parts = numbers.iter().map(live).collect();
            siege.say(FRIEND, Message::GroupState { parts, last: false, answer: false });
        }
        for node in [FRIEND, LIAR] {
            siege.say(node, Message::Hello { facts: vec![], last: true });
            siege.say(node, Message::HelloAck);
        }
        siege.drain();
        assert_eq!(siege.engine.groups().len() as u64, size);
        siege
    }

    fn say(&mut self, from: NodeId, message: Message) {
        self.clock += 1;
        let stamped = Stamped { clock: self.clock, message };
        self.engine.handle_message(NOW, connection(from), stamped);
    }

    fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.engine.poll_any()).collect()
    }

    /// The time that it takes to hear them, and the bytes that are answered.
    fn cost(&mut self, messages: Vec<Message>) -> (Duration, usize) {
        let (before, mut outputs) = (processor_time(), Vec::new());
        for message in messages {
            self.say(LIAR, message);
            outputs.extend(self.drain());
        }
        let took = processor_time() - before;
        let mut bytes = Vec::new();
        for output in outputs {
            if let Output::Wire(Wire::Send { to, message }) = output {
                to.iter()
                    .for_each(|_| encode_control(&message, &mut bytes).expect("a message of the engine's"));
            }
        }
        (took, bytes.len())
    }
}

/// What a liar may say; `at`: rows of the honest peer, spread over all of them.
fn kinds(siege: &Siege) -> Vec<(&'static str, Vec<Message>)> {
    use Message as M;
    let (size, process) = (siege.size, siege.process);
    let spread = move |i: u64| 1 + i * (size / COUNT).max(1) % size;
    let tx = |i: u64| Tx { lamport: 1000 + i, node: LIAR };
    let pid = |serial| Pid { node: ME, serial };
    let each = |f: &dyn Fn(u64) -> Message| (0..COUNT).map(f).collect::<Vec<_>>();
    let key = |i| Key::Name(name("n", spread(i)));
    let lock = |i| Key::Lock(name("r", spread(i)));
    let state = |part| M::GroupState { parts: vec![part], last: true, answer: false };
    let want = || Want::Lock { requester: name("liar", 1), serial: 1 };
    let pair = |i| Pair { low: Reg { node: LIAR, seq: i + 1 }, high: Reg { node: FRIEND, seq: spread(i) } };
    let (resource, requester) = (|i| name("r", spread(i)), |i| name("q", spread(i)));
    vec![
        (
            "delete of dots to come",
            each(&|i| M::Delete { group: name("x", i), dots: [dot(LIAR, i + 1)].into(), ack: None }),
        ),
        (
            "create of a deleted dot",
            each(&|i| M::Create { group: name("x", i), dot: dot(LIAR, i + 1), generation: 0, ack: None }),
        ),
        (
            "create",
            each(&|i| M::Create {
                group: name("g", spread(i)),
                dot: dot(LIAR, 1000 + i),
                generation: 0,
                ack: Some(tx(i)),
            }),
        ),
        (
            "retract",
            each(&|i| M::Retract {
                group: name("g", spread(i)),
                dots: [dot(FRIEND, spread(i))].into(),
                ack: Some(tx(i)),
            }),
        ),
        (
            "delete",
            each(&|i| M::Delete {
                group: name("g", spread(i)),
                dots: [dot(FRIEND, spread(i))].into(),
                ack: Some(tx(i)),
            }),
        ),
        (
            "delete of a made-up dot",
            each(&|i| M::Delete { group: name("g", 7), dots: [dot(NodeId(99), i + 1)].into(), ack: None }),
        ),
        ("a known dot", each(&|i| state(Existence::Beyond(dot(FRIEND, spread(i)))))),
        ("all dots up to one", each(&|i| state(Existence::Seen { node: FRIEND, up_to: i + 1 }))),
        ("of a stranger", each(&|i| state(Existence::Seen { node: NodeId(1000 + i), up_to: i + 1 }))),
        (
            "a live dot",
            each(&|i| state(Existence::Live { group: name("y", i), dot: dot(NodeId(5000 + i), 1) })),
        ),
        (
            "a dot of another group",
            each(&|i| state(Existence::Live { group: name("a", i), dot: dot(FRIEND, spread(i)) })),
        ),
        ("digest", each(&|i| M::GroupDigest { digest: i })),
        ("empty states", each(&|_| M::GroupState { parts: vec![], last: true, answer: false })),
        ("digests again", each(&|i| M::GroupDigest { digest: i })),
        (
            "membership",
            each(&|i| M::Membership {
                membership: Membership {
                    group: name("g", spread(i)),
                    serial: 1,
                    count: 1 + i % 2,
                    dots: [dot(LIAR, 1)].into(),
                    why: Reason::NORMAL,
                },
                ack: Some(tx(i)),
            }),
        ),
        (
            "end of a membership",
            each(&|i| M::Membership {
                membership: Membership {
                    group: name("g", spread(i)),
                    serial: 1,
                    count: 0,
                    dots: Default::default(),
                    why: Reason::NORMAL,
                },
                ack: None,
            }),
        ),
        (
            "claim of a name",
            each(&|i| M::Acquire {
                tx: tx(i),
                key: key(i),
                want: Want::Name { replace: false },
                no_wait: false,
            }),
        ),
        ("end of it", each(&|i| M::Release { tx: tx(i), key: key(i) })),
        (
            "claim to replace",
            each(&|i| M::Acquire {
                tx: tx(i),
                key: key(i),
                want: Want::Name { replace: true },
                no_wait: false,
            }),
        ),
        ("end of that", each(&|i| M::Release { tx: tx(i), key: key(i) })),
        ("claim of a lock", each(&|i| M::Acquire { tx: tx(i), key: lock(i), want: want(), no_wait: false })),
        ("hurry", each(&|i| M::NoWait { tx: tx(i), key: lock(i) })),
        ("end of a claim of a lock", each(&|i| M::Release { tx: tx(i), key: lock(i) })),
        (
            "unregister",
            each(&|i| M::Unregistered {
                name: name("n", spread(i)),
                reg: Reg { node: LIAR, seq: i + 1 },
                beneath: None,
                ack: Some(tx(i)),
            }),
        ),
        (
            "settled",
            each(&|i| M::Settled {
                name: name("n", spread(i)),
                reg: Reg { node: LIAR, seq: i + 1 },
                to: ME,
                supersedes: Default::default(),
            }),
        ),
        (
            "drop",
            each(&|i| M::ShareReleased {
                resource: resource(i),
                requester: requester(i),
                serial: 1,
                rest: None,
                ack: Some(tx(i)),
            }),
        ),
        (
            "lock conflict",
            each(&|i| M::LockConflict {
                resource: resource(i),
                requester: requester(i),
                serial: process,
                token: 1,
                ends: false,
            }),
        ),
        (
            "wanted",
            each(&|i| M::Wanted {
                tx: tx(i),
                resource: resource(i),
                requester: requester(i),
                serial: process,
                waiter: Pid { node: LIAR, serial: 1 },
            }),
        ),
        (
            "confirm",
            each(&|i| M::ConfirmHold {
                question: i,
                resource: resource(i),
                requester: requester(i),
                serial: process,
                token: i,
            }),
        ),
        (
            "hearsay",
            each(&|i| M::ClashSeen {
                name: name("n", spread(i)),
                pair: pair(i),
                high: Pid { node: FRIEND, serial: 1 },
            }),
        ),
        ("gone", each(&|i| M::ClashEnded { name: name("n", spread(i)), pair: pair(i) })),
        (
            "forwarded register",
            each(&|i| M::Forward {
                id: tx(i),
                task: Task::Register {
                    name: name("n", spread(i)),
                    serial: process,
                    resolver: Resolver::RandomExit,
                    replace: false,
                    no_wait: true,
                },
                remaining_ms: Some(1),
            }),
        ),
        ("cancel", each(&|i| M::Cancel { id: tx(i) })),
        (
            "forwarded join",
            each(&|i| M::Forward {
                id: tx(3000 + i),
                task: Task::Join { group: name("g", spread(i)), serial: process, dots: Default::default() },
                remaining_ms: Some(1),
            }),
        ),
        (
            "forwarded leave",
            each(&|i| M::Forward {
                id: tx(6000 + i),
                task: Task::Leave { group: name("g", spread(i)), serial: process },
                remaining_ms: Some(1),
            }),
        ),
        ("monitor", each(&|i| M::Monitor { watcher: 1, reference: i + 1, target: pid(process).serial })),
        ("demonitor", each(&|i| M::Demonitor { watcher: 1, reference: i + 1, target: process })),
        ("where", each(&|_| M::Where { nodes: [FRIEND, NodeId(99)].into() })),
        ("probe", each(&|_| M::Probe { about: [FRIEND, NodeId(99)].into() })),
        ("vouch", each(&|_| M::Vouch { node: FRIEND })),
        ("ping", each(&|i| M::Ping { number: i })),
        ("no receiver", each(&|i| M::NoReceiver { to: i })),
    ]
}

/// "No message costs more than its bytes are worth."
#[test]
fn no_message_costs_more_with_larger_tables() {
    let (mut small, mut large) = (Siege::new(SMALL), Siege::new(LARGE));
    let all = kinds(&small).into_iter().zip(kinds(&large));
    let mut dear = Vec::new();
    for ((kind, of_small), (_, of_large)) in all {
        let ((expected, little), (took, much)) = (small.cost(of_small), large.cost(of_large));
        println!("{kind}: {expected:?} and {took:?}, {little} and {much} bytes answered");
        // All that is known of groups is told once in a heartbeat, to who differs.
        let told_all = if kind == "digest" { usize::try_from(LARGE).unwrap() * 40 } else { 0 };
        if took > expected * 20 + SLACK || much > little * 4 + told_all + (64 << 10) {
            dear.push(format!(
                "{kind}: {took:?} instead of {expected:?}, {much} bytes answered instead of {little}"
            ));
        }
        for siege in [&small, &large] {
            assert_eq!(siege.engine.links().count(), 2, "{kind}: the liar is still there");
        }
    }
    assert!(dear.is_empty(), "{dear:#?}");
}
