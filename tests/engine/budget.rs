//! What peers publish: the limits of one node are for its own processes and part nobody; what a peer may make a node keep is
//! bounded in bytes, and who is beyond that is parted for a growing pause.

use crate::groups_hostile::dot;
use crate::harness::{DETECTION, NodeIndex, World, address, config, ms, name};
use crate::holds::by;
use convoke::engine::{Binding, Fact, Goodbye, Hold, Key, Membership, Message, Refusal, Reg, Tx, Want};
use convoke::model::{
    Action, Call, Command, Config, DEFAULT_REQUESTER, Deadline, Limits, Name, NodeId, Reason, Ref, Resolver,
    Status,
};
use std::collections::BTreeSet;

const PUPPET: NodeIndex = 1;
const PUPPET_ID: NodeId = NodeId(20);
/// Half of it is for one peer.
const PUBLISHED: usize = 64 << 10;
/// No row takes less, so a peer gets no further than this.
const MOST_ROWS: u64 = PUBLISHED as u64 / 2 / 90;

/// Tight in everything that is for processes of the node itself.
fn small() -> Limits {
    Limits { names: 1, locks: 1, groups: 1, operations: 1, ..Limits::default() }
}

fn with_puppet() -> World {
    let mut world = World::empty();
    world.add(Config { limits: Limits { published: PUBLISHED, ..small() }, ..config(0) });
    world.add_puppet(PUPPET_ID.0);
    world
}

fn tx(lamport: u64) -> Tx {
    Tx { lamport, node: PUPPET_ID }
}

fn binding(seq: u64) -> Binding {
    let reg = Reg { node: PUPPET_ID, seq };
    Binding { reg, serial: 1, resolver: Resolver::RandomExit, supersedes: BTreeSet::new(), settled: true }
}

fn hold(number: u64) -> Hold {
    Hold {
        resource: name(&format!("r{number}")),
        requester: name("a"),
        serial: 1,
        view: true,
        nodes: BTreeSet::new(),
        token: number,
        watched: false,
    }
}

fn membership(number: u64, count: u64) -> Membership {
    let dots = [dot(PUPPET_ID, 1)].into();
    Membership { group: name("g"), serial: number, count, dots, why: Reason::NORMAL }
}

fn commit(number: u64) -> Message {
    Message::Commit { tx: tx(number), name: name(&format!("n{number}")), binding: binding(number) }
}

/// The other node has far more of everything than the small one may have itself.
#[test]
fn small_limits_of_one_node_part_nobody() {
    let mut world = World::empty();
    world.add(Config { limits: small(), ..config(0) });
    world.add(config(1));
    world.link(0, 1);
    let (here, pid) = (world.spawn(0), world.spawn(1));
    let mut ops = Vec::new();
    for number in 0..50 {
        let text = format!("x{number}");
        ops.push(world.register(pid, &text));
        ops.push(world.acquire(pid, by("me").of(&text)));
        ops.push(world.create(pid, &text));
        world.monitor(pid, here);
    }
    world.settle();
    for number in 0..50 {
        ops.push(world.join(pid, &format!("x{number}"), pid));
    }
    world.settle();
    assert!(ops.iter().all(|op| world.status(*op) == Some(Status::Ok)));
    assert!(
        world.is_linked(0, 1) && world.log(0).is_empty() && world.log(1).is_empty(),
        "{}",
        world.picture()
    );
    assert_eq!(world.engine(0).groups().len(), 50, "none of them is dropped");
    assert_eq!(world.members(0, "x49"), Some(vec![pid]));
    world.all_show("x49", Some(pid));
    // Once more in a snapshot.
    world.cut(0, 1);
    world.link(0, 1);
    assert!(world.is_linked(0, 1));
    assert_eq!(world.engine(0).groups().len(), 50);
    // Its own processes are bounded as before.
    let own = [world.register(here, "own"), world.register(here, "another")];
    world.settle();
    assert_eq!(own.map(|op| world.status(op)), [Some(Status::Ok), Some(Status::Full)]);
    // Deletes that wait here for what this node withdraws, more than its operations.
    let joined = world.join(here, "x0", here);
    assert_eq!(world.done(joined), Status::Ok);
    let deletes: Vec<Ref> = (0..20).map(|_| world.delete(pid, "x0")).collect();
    world.settle();
    assert!(deletes.iter().all(|op| world.status(*op) == Some(Status::Ok)));
    world.exit(pid);
    world.settle();
    assert_eq!(world.engine(0).published(), 0, "all of it is gone, and nothing is counted any more");
    world.assert_at_rest();
}

/// The n-th message.
type Way = fn(u64) -> Message;
/// The n-th row of a snapshot.
type Row = fn(u64) -> Fact;

/// Ways to make a node keep something, without end: the n-th message of a peer that is linked.
const WAYS: &[(&str, Way)] = &[
    ("bindings", commit),
    ("holds", |n| Message::SharePublished { tx: tx(n), hold: hold(n) }),
    ("memberships", |n| Message::Membership { membership: membership(n, 1), ack: None }),
    ("copies of memberships", |n| Message::Membership { membership: membership(n, 500), ack: None }),
    ("claims of names", |n| Message::Acquire {
        tx: tx(n),
        key: Key::Name(name(&format!("n{n}"))),
        want: Want::Name { replace: false },
        no_wait: false,
    }),
    ("claims of one lock", |n| Message::Acquire {
        tx: tx(n),
        key: Key::Lock(name("r")),
        want: Want::Lock { requester: name(&format!("q{n}")), serial: 1 },
        no_wait: false,
    }),
    ("monitors", |n| Message::Monitor { watcher: 1, reference: n, target: 1 }),
    ("deletes that wait", |n| Message::Delete {
        group: name("w"),
        dots: [dot(NodeId(1), 1)].into(),
        ack: Some(tx(n)),
    }),
];

#[test]
fn who_publishes_more_than_its_part_is_parted() {
    for (what, message) in WAYS {
        let mut world = with_puppet();
        let friend = world.add(config(2));
        world.link(0, friend);
        let own = world.spawn(0);
        assert_eq!(own.serial, 1);
        world.make_group("w", &[own]);
        world.link(0, PUPPET);
        // A withdrawal that is under way as long as the friend hangs.
        world.hang(friend);
        let leave = world.leave(own, "w", own);
        world.told(PUPPET);
        let mut count = 0;
        while world.is_linked(0, PUPPET) {
            count += 1;
            assert!(count <= MOST_ROWS, "{what}: without end");
            world.say(PUPPET, 0, message(count));
            assert!(world.engine(0).published() <= PUBLISHED / 2 || !world.is_linked(0, PUPPET), "{what}");
        }
        assert!(count > 1, "{what}");
        assert_eq!(world.goodbye(PUPPET), Some(Goodbye::TooMuch), "{what}");
        assert!(
            world.log(0).iter().any(|line| line.contains("limits.published")),
            "{what}: {:?}",
            world.log(0)
        );
        world.wake(friend);
        assert_eq!(world.done(leave), Status::Ok, "{what}");
        assert_eq!(world.engine(0).published(), 0, "{what}: it went with the link");
        world.assert_at_rest();
    }
}

/// `limits.name` holds for the names of all, in whatever message they come. The last one that fits is kept.
#[test]
fn names_of_peers_are_no_longer_than_ones_own_may_be() {
    const LONGEST: usize = 40;
    let ways: [fn(Name) -> Message; 9] = [
        |long| Message::Commit { tx: tx(1), name: long, binding: binding(1) },
        |long| Message::SharePublished { tx: tx(1), hold: Hold { resource: long, ..hold(1) } },
        |long| Message::SharePublished { tx: tx(1), hold: Hold { requester: long, ..hold(1) } },
        |long| Message::Membership { membership: Membership { group: long, ..membership(1, 1) }, ack: None },
        |long| Message::Create { group: long, dot: dot(PUPPET_ID, 1), generation: 0, ack: None },
        |long| Message::Acquire {
            tx: tx(1),
            key: Key::Name(long),
            want: Want::Name { replace: false },
            no_wait: false,
        },
        |long| Message::Acquire {
            tx: tx(1),
            key: Key::Lock(name("r")),
            want: Want::Lock { requester: long, serial: 1 },
            no_wait: false,
        },
        |long| Message::Hello { facts: vec![Fact::Binding(long, binding(1))], last: true },
        |long| Message::Hello { facts: vec![Fact::Hold(Hold { requester: long, ..hold(1) })], last: true },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        for (bytes, stays) in [(LONGEST, true), (LONGEST + 1, false)] {
            let mut world = World::empty();
            world.add(Config { limits: Limits { name: LONGEST, ..Limits::default() }, ..config(0) });
            world.add_puppet(PUPPET_ID.0);
            let message = way(name(&"x".repeat(bytes)));
            if matches!(message, Message::Hello { .. }) {
                world.connect(0, PUPPET);
            } else {
                world.link(0, PUPPET);
            }
            world.say(PUPPET, 0, message);
            assert_eq!(world.is_linked(0, PUPPET), stays, "way {number}, {bytes} bytes");
            if !stays {
                assert_eq!(world.goodbye(PUPPET), Some(Goodbye::TooMuch), "way {number}");
                assert!(world.log(0).iter().any(|line| line.contains("41 bytes, and limits.name is 40")));
            }
        }
    }
}

/// A process without a requester of its own is told apart by 16 bytes, which fit whatever the limit is: at a peer, too.
#[test]
fn the_default_requester_of_a_peer_fits() {
    let mut world = World::empty();
    for index in 0..2 {
        world.add(Config { limits: Limits { name: 8, ..Limits::default() }, ..config(index) });
    }
    world.link(0, 1);
    let pid = world.spawn(1);
    let op = world.acquire(pid, by(&"q".repeat(DEFAULT_REQUESTER)).of("r"));
    assert_eq!(world.done(op), Status::Ok);
    assert!(world.is_linked(0, 1));
}

/// What a node does for callers elsewhere has its own limit, and costs no link.
#[test]
fn a_name_that_is_too_long_at_the_home_of_the_pid_is_refused_there() {
    let mut world = World::empty();
    world.add(Config { limits: Limits { name: 8, ..Limits::default() }, ..config(0) });
    world.add(config(1));
    world.link(0, 1);
    let (pid, caller) = (world.spawn(0), world.spawn(1));
    let register = |process, op| {
        Command::Call(Call {
            process,
            op,
            deadline: Deadline::FOREVER,
            what: Action::Register {
                name: name("nine bytes"),
                pid,
                resolver: Resolver::RandomExit,
                replace: false,
            },
        })
    };
    let op = world.call(caller, register);
    assert_eq!(world.done(op), Status::TooBig);
    assert!(world.is_linked(0, 1));
    world.assert_at_rest();
}

/// By a snapshot, too; and by registrations in it that are none.
#[test]
fn a_snapshot_that_is_too_much_ends_the_link() {
    let rows: [(Row, Goodbye); 4] = [
        (|n| Fact::Binding(name(&format!("n{n}")), binding(n)), Goodbye::TooMuch),
        (|n| Fact::Hold(hold(n)), Goodbye::TooMuch),
        (|n| Fact::Membership(membership(n, 1)), Goodbye::TooMuch),
        (|n| Fact::Beneath(Reg { node: PUPPET_ID, seq: n }), Goodbye::Violation),
    ];
    for (fact, goodbye) in rows {
        let mut world = with_puppet();
        world.connect(0, PUPPET);
        let mut count = 0;
        while world.is_linked(0, PUPPET) {
            count += 1;
            assert!(count <= 2 * MOST_ROWS, "{:?}: without end", fact(1));
            world.say(PUPPET, 0, Message::Hello { facts: vec![fact(count)], last: false });
        }
        assert_eq!(world.goodbye(PUPPET), Some(goodbye), "{:?}", fact(1));
        assert_eq!(world.engine(0).published(), 0);
        world.assert_at_rest();
    }
}

/// What is given back, in whatever way, and what is said once more does not count.
#[test]
fn what_is_over_takes_nothing() {
    let mut world = with_puppet();
    let target = world.spawn(0).serial;
    world.link(0, PUPPET);
    let (mut before, key) = (0, |n: u64| Key::Name(name(&format!("n{n}"))));
    let resource = |n: u64| name(&format!("r{n}"));
    for round in 1..=200 {
        let n = 10 * round;
        let claim = |n: u64| Message::Acquire {
            tx: tx(n),
            key: key(n),
            want: Want::Name { replace: false },
            no_wait: false,
        };
        let monitor = || Message::Monitor { watcher: 1, reference: n, target };
        for message in [
            claim(n),
            Message::Release { tx: tx(n), key: key(n) },
            claim(n + 1),
            commit(n + 1),
            commit(n + 1),
            Message::Unregistered {
                name: name(&format!("n{}", n + 1)),
                reg: binding(n + 1).reg,
                beneath: None,
                ack: None,
            },
            Message::Acquire {
                tx: tx(n + 2),
                key: Key::Lock(resource(n + 2)),
                want: Want::Lock { requester: name("a"), serial: 1 },
                no_wait: false,
            },
            Message::SharePublished { tx: tx(n + 2), hold: hold(n + 2) },
            Message::SharePublished { tx: tx(n + 2), hold: hold(n + 2) },
            Message::ShareReleased {
                resource: resource(n + 2),
                requester: name("a"),
                serial: 1,
                rest: None,
                ack: None,
            },
            Message::Membership { membership: membership(n, 3), ack: None },
            Message::Membership { membership: membership(n, 2), ack: None },
            Message::Membership {
                membership: Membership { dots: BTreeSet::new(), ..membership(n, 0) },
                ack: None,
            },
            monitor(),
            monitor(),
            Message::Demonitor { watcher: 1, reference: n, target },
        ] {
            world.say(PUPPET, 0, message);
            before = before.max(world.engine(0).published());
        }
        assert_eq!(world.engine(0).published(), 0, "round {round}");
    }
    assert!(before > 0 && world.is_linked(0, PUPPET));
}

/// All peers together have no more than the whole.
#[test]
fn what_all_publish_is_bounded_too() {
    all_peers_publish();
}

pub(crate) fn all_peers_publish() {
    let mut world = with_puppet();
    world.link(0, PUPPET);
    let others = [30, 40].map(|id| world.add_puppet(id));
    let mut parted = 0;
    for puppet in [PUPPET, others[0], others[1]] {
        if puppet != PUPPET {
            world.link(0, puppet);
        }
        let node = world.nodes[puppet].id;
        for number in 1..=64 {
            let binding = Binding { reg: Reg { node, seq: number }, ..binding(number) };
            let name = name(&format!("n{node:?}-{number}"));
            if world.is_linked(0, puppet) {
                world.say(puppet, 0, Message::Commit { tx: Tx { lamport: number, node }, name, binding });
                parted += usize::from(!world.is_linked(0, puppet));
            }
            assert!(world.engine(0).published() <= PUBLISHED);
        }
    }
    assert_eq!(parted, 1, "the one with which it was too much");
    assert!(world.is_linked(0, PUPPET) && world.is_linked(0, others[0]));
}

/// "Refused with a text and a growing pause": an honest node that publishes too much is not dialled in vain again and again,
/// hears why it is not linked, and is back when it publishes less.
#[test]
fn who_published_too_much_is_left_alone_for_a_growing_pause() {
    let mut world = World::empty();
    world.dials_go_through = true;
    world.add(Config { limits: Limits { published: PUBLISHED, ..Limits::default() }, ..config(0) });
    world.add(Config { seeds: vec![address(0)], ..config(1) });
    world.advance(DETECTION * 2);
    assert!(world.is_linked(0, 1));
    let pid = world.spawn(1);
    for number in 0..100 {
        world.register(pid, &format!("n{number}"));
    }
    world.settle();
    assert!(!world.is_linked(0, 1));
    let (ups, dials) = (world.engine(0).counters().links_up, world.engine(0).counters().dials);
    let row = |world: &World| {
        world.engine(0).inspect(world.now).parted.rows.first().cloned().expect("a parted peer")
    };
    let first = row(&world);
    assert_eq!((first.why, first.level), ("too much", 1));
    world.refused.clear();
    let connect = world.connect_call(pid, &address(0), Deadline::FOREVER);
    world.advance(ms(10));
    let outcome = world.outcome(connect).expect("an answer");
    assert_eq!(outcome.status, Status::Unreachable);
    assert!(outcome.detail.contains("limits.published"), "{outcome:?}");
    world.advance(DETECTION * 10);
    assert!(world.refused.iter().all(|(_, why)| *why == Refusal::TooMuch), "{:?}", world.refused);
    assert!(world.refused.len() < 30, "{} times in ten detection times", world.refused.len());
    let counters = world.engine(0).counters();
    assert_eq!((counters.links_up, counters.dials), (ups, dials));
    // The names are still there: it is parted anew, for longer.
    world.advance(DETECTION * 6);
    let second = row(&world);
    assert_eq!((second.why, second.level), ("too much", 2));
    world.exit(pid);
    world.advance(DETECTION * 12 * 3);
    assert!(world.is_linked(0, 1) && world.is_linked(1, 0), "{}", world.picture());
}
