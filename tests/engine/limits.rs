//! Limits of this node: what it is asked for beyond them is refused. What peers may publish is in `budget`.

use crate::harness::{NodeIndex, World, config, name};
use convoke::engine::{Fact, Goodbye, Key, Message, Output, PeerAddress, Task, Tx, Want};
use convoke::flow::DataHeader;
use convoke::model::{Config, Effect, Limits, NodeId, Pid, Ref, Resolver, Status};

/// A node with these limits, and a puppet linked to it.
fn limited(change: impl FnOnce(&mut Limits)) -> (World, NodeIndex) {
    let mut world = World::empty();
    let mut limits = Limits::default();
    change(&mut limits);
    world.add(Config { limits, ..config(0) });
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    world.told(puppet);
    (world, puppet)
}

fn tx(lamport: u64) -> Tx {
    Tx { lamport, node: NodeId(20) }
}

/// "Names that processes of this node may hold (option limits.names)": E_FULL beyond; what is freed can be used again.
#[test]
fn own_names_are_limited() {
    let mut world = World::empty();
    world.add(Config { limits: Limits { names: 3, ..Limits::default() }, ..config(0) });
    let pid = world.spawn(0);
    for i in 0..5 {
        let op = world.register(pid, &format!("name{i}"));
        assert_eq!(world.status(op), Some(if i < 3 { Status::Ok } else { Status::Full }));
    }
    // One that is there already may move.
    let other = world.spawn(0);
    let op = world.reregister(other, "name0");
    assert_eq!(world.status(op), Some(Status::Ok));
    world.unregister(pid, "name1");
    let op = world.register(pid, "another");
    assert_eq!(world.status(op), Some(Status::Ok));
    let op = world.register(pid, "one more");
    assert_eq!(world.status(op), Some(Status::Full));
    world.assert_at_rest();
}

/// Those under way count, so that many at once do not pass the limit together.
#[test]
fn names_under_way_count() {
    let mut world = World::empty();
    for index in 0..2 {
        world.add(Config { limits: Limits { names: 3, ..Limits::default() }, ..config(index) });
    }
    world.link(0, 1);
    let pid = world.spawn(0);
    let ops: Vec<Ref> = (0..5).map(|i| world.register(pid, &format!("name{i}"))).collect();
    world.settle();
    let done = ops.iter().filter(|op| world.status(**op) == Some(Status::Ok)).count();
    let full = ops.iter().filter(|op| world.status(**op) == Some(Status::Full)).count();
    assert_eq!((done, full), (3, 2));
    assert!(world.is_linked(1, 0), "and the peer, which has the same limit, has no reason to complain");
}

/// Claims that were denied count no more than those that were given back.
#[test]
fn denied_claims_do_not_count() {
    let (mut world, puppet) = limited(|limits| limits.operations = 3);
    let acquire = |i: u64, no_wait| Message::Acquire {
        tx: tx(i),
        key: Key::Name(name("x")),
        want: Want::Name { replace: false },
        no_wait,
    };
    world.say(puppet, 0, acquire(1, false));
    for i in 2..20 {
        world.say(puppet, 0, acquire(i, true));
    }
    assert!(world.is_linked(0, puppet));
    let denied = world.told(puppet).into_iter().filter(|m| matches!(m, Message::Deny { .. })).count();
    assert_eq!(denied, 18);
}

/// Operations that are run for others: E_FULL, and the link stays.
#[test]
fn forwarded_operations_are_limited() {
    let (mut world, puppet) = limited(|limits| limits.operations = 2);
    let pid = world.spawn(0);
    let forward = |i: u64| Message::Forward {
        id: tx(i),
        task: Task::Register {
            name: name(&format!("name{i}")),
            serial: pid.serial,
            resolver: Resolver::RandomExit,
            replace: false,
            no_wait: false,
        },
        remaining_ms: None,
    };
    for i in 1..=3 {
        world.say(puppet, 0, forward(i));
    }
    let told = world.told(puppet);
    assert!(told.contains(&Message::Answer { id: tx(3), status: Status::Full, value: 0 }), "{told:?}");
    world.say(puppet, 0, Message::Cancel { id: tx(1) });
    world.say(puppet, 0, forward(4));
    let told = world.told(puppet);
    assert!(told.contains(&Message::Answer { id: tx(1), status: Status::Cancelled, value: 0 }), "{told:?}");
    assert!(!told.iter().any(|m| matches!(m, Message::Answer { id, .. } if *id == tx(4))), "{told:?}");
}

/// Addresses that peers tell of: a cluster that is larger than the limit, or a liar, fills no memory.
#[test]
fn told_addresses_are_limited() {
    let mut world = World::empty();
    world.add(Config { limits: Limits { peers: 5, ..Limits::default() }, ..config(0) });
    let puppet = world.add_puppet(20);
    world.connect(0, puppet);
    let peers: Vec<PeerAddress> = (0..1000_u64)
        .map(|i| PeerAddress { node: NodeId(100 + i), name: format!("n{i}"), address: format!("a{i}:1") })
        .collect();
    let nodes = peers.iter().map(|peer| peer.node).collect();
    world.say(puppet, 0, Message::Hello { facts: vec![Fact::Peers(nodes)], last: true });
    world.say(puppet, 0, Message::Peers { peers, last: true });
    assert!(world.dials(0).len() <= 10);
}

/// Data beyond the credit, fragments without a beginning: the link ends, as for any message.
#[test]
fn data_beyond_the_credit_ends_the_link() {
    let (mut world, puppet) = limited(|_| {});
    let to = world.spawn(0).serial;
    let body = vec![0; 1000];
    let mut sent = 0;
    while world.is_linked(0, puppet) {
        world.say_data(puppet, 0, DataHeader::Message { from: 1, to }, &body);
        sent += 1;
        assert!(sent < 1000, "it takes more than it granted");
    }
    assert!(sent > 64, "the room that every pair has unasked: {sent}");
    assert_eq!(world.goodbye(puppet), Some(Goodbye::Violation));
    let delivered = |output: &&Output| matches!(output, Output::Effect(Effect::Deliver { .. }));
    assert_eq!(world.nodes[0].seen.iter().filter(delivered).count(), sent - 1);

    let (mut world, puppet) = limited(|_| {});
    let to = world.spawn(0).serial;
    world.say_data(puppet, 0, DataHeader::More { from: 1, to }, b"x");
    assert_eq!(world.goodbye(puppet), Some(Goodbye::Violation));
}

/// Large payloads of a peer that wait for memory get it when a receiver exits or another peer's link goes down.
#[test]
fn memory_that_comes_free_goes_to_payloads_that_wait() {
    // The cap takes three payloads of 1 MiB.
    let (mut world, first) = limited(|limits| (limits.message, limits.memory) = (1 << 20, 4 << 20));
    let second = world.add_puppet(30);
    world.link(0, second);
    world.told(second);
    let pids: Vec<Pid> = (0..5).map(|_| world.spawn(0)).collect();
    let request = |n: usize| DataHeader::Request { to: pids[n].serial, bytes: 1 << 20 };
    let credit_for = |messages: Vec<Message>, n: usize| {
        messages.iter().any(|m| matches!(m, Message::Credit { to, .. } if *to == pids[n].serial))
    };
    for n in 0..3 {
        world.say_data(first, 0, request(n), b"");
        assert!(credit_for(world.told(first), n));
    }
    for n in 3..5 {
        world.say_data(second, 0, request(n), b"");
        assert!(!credit_for(world.told(second), n));
    }
    world.exit(pids[0]);
    assert!(credit_for(world.told(second), 3));
    world.say(first, 0, Message::Goodbye { why: Goodbye::Closing });
    assert!(credit_for(world.told(second), 4));
}
