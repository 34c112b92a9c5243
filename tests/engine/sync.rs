//! `sync`: "Synchronizes the global name server with all nodes known to this node."

use crate::harness::*;
use convoke::engine::*;

impl World {
    pub(crate) fn sync_call(&mut self, process: Pid, patience: Patience) -> Ref {
        self.call(process, |process, op| Command::Sync { process, op, patience })
    }

    /// A node that was told of these addresses only, and a call of `sync` on it.
    fn joiner(&mut self, id: u64, seeds: &[&str]) -> (NodeIndex, Ref) {
        let index = self.nodes.len();
        let seeds = seeds.iter().map(|seed| seed.to_string()).collect();
        let node = self.add(Config { node: NodeId(id), seeds, ..config(index) });
        let pid = self.spawn(node);
        (node, self.sync_call(pid, Patience::FOREVER))
    }
}

/// Nothing to wait for: no seeds and no peers, or all peers merged.
#[test]
fn sync_of_a_node_that_is_alone_or_merged_is_ok_at_once() {
    for count in [1, 3] {
        let mut world = World::mesh(count);
        let pid = world.spawn(0);
        let op = world.sync_call(pid, Patience::FOREVER);
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest();
    }
}

/// Not before the peer's table is here, and not before this node's is there, whatever comes first.
#[test]
fn sync_waits_for_both_tables() {
    for id in [9, 21] {
        let mut world = World::empty();
        world.add(Config { node: NodeId(20), ..config(0) });
        let (joiner, op) = world.joiner(id, &["host0:1"]);
        let named = [world.spawn(0), world.spawn(joiner)];
        world.register(named[0], "x");
        world.register(named[1], "y");
        world.settle();
        world.dials(joiner);
        world.connect(joiner, 0);
        world.settle_with(|world| {
            if world.status(op).is_some() {
                assert_eq!(world.whereis(joiner, "x"), Some(named[0]));
                assert_eq!(world.whereis(0, "y"), Some(named[1]));
            }
        });
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest();
    }
}

/// The peer's snapshot alone is not enough: its word that it has this node's is awaited too.
#[test]
fn sync_waits_for_the_word_that_the_peer_has_it_all() {
    let mut world = World::nodes(1);
    let puppet = world.add_puppet(20);
    let pid = world.spawn(0);
    world.connect(0, puppet);
    let op = world.sync_call(pid, Patience::FOREVER);
    world.say(puppet, 0, Message::Hello { facts: vec![], last: false });
    world.say(puppet, 0, Message::HelloAck);
    assert_eq!(world.status(op), None, "the snapshot has more parts");
    world.say(puppet, 0, Message::Hello { facts: vec![], last: true });
    assert_eq!(world.status(op), Some(Status::Ok));

    let second = world.add_puppet(21);
    world.connect(0, second);
    let op = world.sync_call(pid, Patience::FOREVER);
    world.say(second, 0, Message::Hello { facts: vec![], last: true });
    assert_eq!(world.status(op), None);
    world.say(second, 0, Message::HelloAck);
    assert_eq!(world.status(op), Some(Status::Ok));
}

/// Nor is it over before a peer has said where those are that its snapshot names.
#[test]
fn sync_waits_for_who_is_asked_for() {
    for told in [true, false] {
        let mut world = World::nodes(1);
        let puppet = world.add_puppet(20);
        let pid = world.spawn(0);
        world.connect(0, puppet);
        world.say(puppet, 0, Message::HelloAck);
        let op = world.sync_call(pid, Patience::FOREVER);
        let facts = vec![Fact::Peers([NodeId(30)].into())];
        world.say(puppet, 0, Message::Hello { facts, last: true });
        assert_eq!(world.status(op), None);
        if told {
            world.say(puppet, 0, Message::Peers { peers: vec![], last: true });
        } else {
            world.say(puppet, 0, Message::Goodbye { why: Goodbye::Closing });
        }
        assert_eq!(world.status(op), Some(Status::Ok));
    }
}

/// A peer that goes down is not waited for any longer.
#[test]
fn sync_does_not_wait_for_who_is_gone() {
    let mut world = World::nodes(1);
    let puppet = world.add_puppet(20);
    let pid = world.spawn(0);
    world.connect(0, puppet);
    let op = world.sync_call(pid, Patience::FOREVER);
    world.cut(0, puppet);
    assert_eq!(world.status(op), None, "it may be there: it is dialled once more");
    world.advance(ms(100));
    assert_eq!(world.dials(0), [address(puppet)]);
    world.fail_dial(0, &address(puppet));
    assert_eq!(world.status(op), Some(Status::Ok));
    // From then on it is a peer that was lost.
    let again = world.sync_call(pid, Patience::FOREVER);
    assert_eq!(world.status(again), Some(Status::Ok));
}

/// "No first dial is under way": every seed was merged with or could not be had.
#[test]
fn sync_waits_until_every_seed_was_tried() {
    let mut world = World::nodes(1);
    let (joiner, op) = world.joiner(9, &["host0:1", "nowhere:1"]);
    assert_eq!(world.dials(joiner), ["host0:1", "nowhere:1"]);
    world.connect_at(joiner, 0, "host0:1");
    world.settle();
    assert_eq!(world.status(op), None, "the second dial has no answer yet");
    world.fail_dial(joiner, "nowhere:1");
    assert_eq!(world.status(op), Some(Status::Ok));

    let (alone, op) = world.joiner(10, &["nowhere:1"]);
    world.fail_dial(alone, "nowhere:1");
    assert_eq!(world.status(op), Some(Status::Ok), "a first node must be able to start");
}

/// Whoever a peer has named is known too, and is waited for.
#[test]
fn sync_waits_for_nodes_that_it_learns_of() {
    for id in [2, 30] {
        let mut world = World::empty();
        for index in 0..4 {
            world.add(Config { node: NodeId(10 + index as u64), ..config(index) });
        }
        for (a, b) in [(0, 1), (1, 2), (2, 3), (0, 2), (0, 3), (1, 3)] {
            world.link(a, b);
        }
        let named = world.spawn(3);
        world.register(named, "x");
        world.settle();
        let (joiner, op) = world.joiner(id, &["host0:1"]);
        world.dials(joiner);
        world.connect_at(joiner, 0, "host0:1");
        world.settle();
        assert_eq!(world.status(op), None, "three more are known now");
        assert_eq!(world.dials(joiner).len(), 3);
        world.connect(joiner, 1);
        world.connect(joiner, 2);
        world.settle();
        assert_eq!(world.status(op), None);
        world.connect(joiner, 3);
        world.settle_with(|world| {
            if world.status(op).is_some() {
                assert_eq!(world.whereis(joiner, "x"), Some(named));
            }
        });
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest();
    }
}

/// What needs no dial is not waited for: oneself, another address of a linked peer, a peer that was parted from.
#[test]
fn sync_does_not_wait_for_what_is_not_dialled() {
    let mut world = World::nodes(1);
    let (joiner, op) = world.joiner(9, &["host0:1", "alias:1", "me:1"]);
    world.dials(joiner);
    world.connect_at(joiner, 0, "host0:1");
    world.settle();
    assert_eq!(world.status(op), None);
    world.connect_at(joiner, 0, "alias:1");
    world.settle();
    assert_eq!(world.status(op), None);
    let own = world.identity(joiner);
    world.input(joiner, |engine, now| {
        engine.handle_connection(now, ConnectionId(900), own, Some("me:1".into()));
    });
    assert_eq!(world.status(op), Some(Status::Ok));

    let pid = world.spawn(0);
    let part = |process, op| Command::Disconnect {
        process,
        op,
        node_name: "node1".into(),
        patience: Patience::FOREVER,
    };
    world.call(pid, part);
    let op = world.sync_call(pid, Patience::FOREVER);
    assert_eq!(world.status(op), Some(Status::Ok));
}

/// A name in doubt is neither linked nor refused: within a second it is known which, and that is waited for.
#[test]
fn sync_waits_while_the_name_is_in_doubt() {
    let mut world = World::nodes(1);
    let (joiner, op) = world.joiner(9, &["host0:1"]);
    world.dials(joiner);
    world.connect_at(joiner, 0, "host0:1");
    let id = world.wire(joiner, 0).expect("a connection");
    // The arbiter, node 0, has a namesake: said by hand.
    world.input(joiner, |engine, now| engine.handle_refused(now, id, Refusal::NameInDoubt));
    assert_eq!(world.status(op), None);
    world.advance(ms(100));
    assert_eq!(world.dials(joiner), ["host0:1"]);
    world.connect_at(joiner, 0, "host0:1");
    let id = world.wire(joiner, 0).expect("a connection");
    world.input(joiner, |engine, now| engine.handle_refused(now, id, Refusal::NameTaken));
    assert_eq!(world.status(op), Some(Status::Closed));
    assert_eq!(world.nodes[joiner].closed, Some(Reason::NAME_TAKEN));
}

/// "Every call ends": at its deadline, when cancelled, with its process, with its node. One answer each.
#[test]
fn sync_ends_early() {
    for how in 0..5 {
        let mut world = World::nodes(1);
        let (joiner, _) = world.joiner(9, &["nowhere:1"]);
        let pid = world.spawn(joiner);
        let patience = match how {
            0 => world.within(200),
            1 => world.within(0), // a try waits for the network, and not longer than the detection time
            _ => Patience::FOREVER,
        };
        let op = world.sync_call(pid, patience);
        let expected = match how {
            0 => {
                world.advance(ms(199));
                assert_eq!(world.status(op), None);
                world.advance(ms(1));
                Status::Timeout
            }
            1 => {
                world.advance(DETECTION);
                Status::Timeout
            }
            2 => {
                world.cancel(pid, op);
                Status::Cancelled
            }
            3 => {
                world.exit(pid);
                Status::NoProcess
            }
            _ => {
                world.command(joiner, Command::Close);
                Status::Closed
            }
        };
        assert_eq!(world.status(op), Some(expected));
        world.fail_dial(joiner, "nowhere:1");
        world.advance(DETECTION * 2);
        world.assert_at_rest();
    }
    let mut world = World::nodes(1);
    let gone = world.spawn(0);
    world.exit(gone);
    let op = world.sync_call(gone, Patience::FOREVER);
    assert_eq!(world.status(op), Some(Status::NoProcess));
}
