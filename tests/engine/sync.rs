//! `sync`: "Synchronizes the global name server with all nodes known to this node." And `join`, the same for a node that is
//! being opened.

use crate::harness::{DETECTION, Frame, NodeIndex, World, address, config, ms};
use convoke::engine::{Fact, Goodbye, Message, Refusal};
use convoke::model::{Action, Call, Command, Config, ConnectionId, Deadline, NodeId, Pid, Ref, Status};

impl World {
    pub(crate) fn sync_call(&mut self, process: Pid, deadline: Deadline) -> Ref {
        self.operate(process, deadline, Action::Sync)
    }

    /// A node that was told of these addresses only, and a call of `sync` on it.
    fn joiner(&mut self, id: u64, seeds: &[&str]) -> (NodeIndex, Ref) {
        let node = self.add_joiner(id, seeds);
        let pid = self.spawn(node);
        (node, self.sync_call(pid, Deadline::FOREVER))
    }

    fn add_joiner(&mut self, id: u64, seeds: &[&str]) -> NodeIndex {
        let index = self.nodes.len();
        let seeds = seeds.iter().map(|seed| seed.to_string()).collect();
        self.add(Config { node: NodeId(id), seeds, ..config(index) })
    }

    /// A node that is being opened with these seeds, and the call that waits until it is.
    fn opening(&mut self, id: u64, seeds: &[&str], wait_ms: i64) -> (NodeIndex, Ref) {
        let node = self.add_joiner(id, seeds);
        let pid = self.spawn(node);
        let deadline = self.within(wait_ms);
        (node, self.operate(pid, deadline, Action::Join))
    }
}

/// Nothing to wait for: no seeds and no peers, or all peers merged.
#[test]
fn sync_of_a_node_that_is_alone_or_merged_is_ok_at_once() {
    for count in [1, 3] {
        let mut world = World::mesh(count);
        let pid = world.spawn(0);
        let op = world.sync_call(pid, Deadline::FOREVER);
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
    let op = world.sync_call(pid, Deadline::FOREVER);
    world.say(puppet, 0, Message::Hello { facts: vec![], last: false });
    world.say(puppet, 0, Message::HelloAck);
    assert_eq!(world.status(op), None, "the snapshot has more parts");
    world.say(puppet, 0, Message::Hello { facts: vec![], last: true });
    assert_eq!(world.status(op), Some(Status::Ok));

    let second = world.add_puppet(21);
    world.connect(0, second);
    let op = world.sync_call(pid, Deadline::FOREVER);
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
        let op = world.sync_call(pid, Deadline::FOREVER);
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
    let op = world.sync_call(pid, Deadline::FOREVER);
    world.cut(0, puppet);
    assert_eq!(world.status(op), None, "it may be there: it is dialled once more");
    world.advance(ms(100));
    assert_eq!(world.dials(0), [address(puppet)]);
    world.fail_dial(0, &address(puppet));
    assert_eq!(world.status(op), Some(Status::Ok));
    // From then on it is a peer that was lost.
    let again = world.sync_call(pid, Deadline::FOREVER);
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
    let part = |process, op| {
        Command::Call(Call {
            process,
            op,
            deadline: Deadline::FOREVER,
            what: Action::Disconnect { node_name: "node1".into() },
        })
    };
    world.call(pid, part);
    let op = world.sync_call(pid, Deadline::FOREVER);
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
    world.input(joiner, |engine, now| {
        engine.handle_dial_failed(now, "host0:1", Status::Unreachable, "it is gone");
    });
    assert_eq!(world.status(op), Some(Status::Ok), "it cannot be had");
}

/// "Every call ends": at its deadline, when cancelled, with its process, with its node. One answer each.
#[test]
fn sync_ends_early() {
    for how in 0..5 {
        let mut world = World::nodes(1);
        let (joiner, _) = world.joiner(9, &["nowhere:1"]);
        let pid = world.spawn(joiner);
        let deadline = match how {
            0 => world.within(200),
            1 => world.within(0), // a try waits for the network, and not longer than the detection time
            _ => Deadline::FOREVER,
        };
        let op = world.sync_call(pid, deadline);
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
    let op = world.sync_call(gone, Deadline::FOREVER);
    assert_eq!(world.status(op), Some(Status::NoProcess));
}

// ---- join

/// "It ends as soon as every seed has been merged, has refused, or leads to oneself", and what the merged ones tell of is
/// merged too.
#[test]
fn join_ends_when_every_seed_is_merged_or_has_refused_or_leads_back() {
    for id in [2, 30] {
        let mut world = World::empty();
        for index in 0..2 {
            world.add(Config { node: NodeId(10 + index as u64), ..config(index) });
        }
        world.link(0, 1);
        let named = world.spawn(1);
        world.register(named, "x");
        world.settle();
        let (node, op) = world.opening(id, &["host0:1", "nowhere:1", "balancer:1", "host2:1"], 5000);
        assert_eq!(world.dials(node), ["host0:1", "nowhere:1", "balancer:1"], "all at once, but for itself");
        world.fail_dial(node, "nowhere:1");
        world.lead_back(node, "balancer:1");
        assert_eq!(world.status(op), None);
        world.connect(node, 0);
        world.settle();
        assert_eq!((world.status(op), world.dials(node)), (None, vec![address(1)]), "one more is known now");
        world.connect(node, 1);
        world.settle_with(|world| {
            if world.status(op).is_some() {
                assert_eq!(world.whereis(node, "x"), Some(named));
            }
        });
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest();
    }
}

/// The first node of a cluster: nobody is there, and it is known at once.
#[test]
fn join_of_a_node_that_is_alone_is_ok_at_once() {
    let mut world = World::empty();
    let (_, op) = world.opening(1, &[], 5000);
    assert_eq!(world.status(op), Some(Status::Ok));
    let (node, op) = world.opening(2, &["host1:1"], 5000);
    assert_eq!(
        (world.status(op), world.dials(node)),
        (Some(Status::Ok), vec![]),
        "the seed is the node itself"
    );
    let (node, op) = world.opening(3, &["nowhere:1", "nobody:1"], 5000);
    world.fail_dial(node, "nobody:1");
    assert_eq!(world.status(op), None);
    world.fail_dial(node, "nowhere:1");
    assert_eq!(world.status(op), Some(Status::Ok));
}

/// "A seed that hangs is waited for while nobody else has answered, never more than join.wait, and never makes open fail."
/// That others have refused says nothing about it.
#[test]
fn join_waits_for_the_silent_while_nobody_has_answered() {
    for (wait, refusing) in [(400, false), (5000, true), (20_000, true)] {
        let mut world = World::empty();
        let seeds: &[&str] = if refusing { &["silent:1", "nobody:1", "balancer:1"] } else { &["silent:1"] };
        let (node, op) = world.opening(1, seeds, wait);
        if refusing {
            world.fail_dial(node, "nobody:1");
            world.lead_back(node, "balancer:1");
        }
        world.dials(node);
        world.advance(ms(wait as u64 - 1));
        assert_eq!(world.status(op), None);
        world.advance(ms(1));
        assert_eq!(world.status(op), Some(Status::Ok));
    }
}

/// "At most 1,000 ms more after the first other has answered": a second after that, or when that one is merged if it takes
/// longer; or at once if the silent one is heard.
#[test]
fn join_waits_a_second_for_the_silent_when_somebody_has_answered() {
    for told in [false, true] {
        let mut world = World::nodes(1);
        let puppet = world.add_puppet(20);
        if told {
            world.link(0, puppet);
        }
        let seeds: &[&str] = if told { &["host0:1"] } else { &["host0:1", "host1:1"] };
        let (node, op) = world.opening(30, seeds, 5000);
        world.dials(node);
        world.advance(ms(300));
        world.connect(node, 0);
        world.settle();
        // Of a node that hangs others tell as long as they have not noticed.
        assert_eq!(world.dials(node).len(), usize::from(told));
        world.advance(ms(999));
        assert_eq!(world.status(op), None);
        world.advance(ms(1));
        assert_eq!(world.status(op), Some(Status::Ok));
        // It is not given up: it may be there later.
        world.link(node, puppet);
        assert!(world.is_linked(node, puppet));
    }
    // Whoever answers within the second is waited for like the first.
    let mut world = World::nodes(1);
    let puppet = world.add_puppet(20);
    let (node, op) = world.opening(30, &["host0:1", "host1:1"], 5000);
    world.dials(node);
    world.connect(node, 0);
    world.settle();
    world.advance(ms(900));
    world.connect(node, puppet);
    world.frame(puppet, node, Frame::Go);
    world.settle();
    world.advance(ms(1000));
    assert_eq!(world.status(op), None, "it has answered, and its tables are not here yet");
    world.say(puppet, node, Message::Hello { facts: vec![], last: true });
    world.say(puppet, node, Message::HelloAck);
    assert_eq!(world.status(op), Some(Status::Ok));
}

/// "E_TIMEOUT is left for a node that has answered and could not be merged."
#[test]
fn join_fails_for_who_has_answered_and_is_not_merged() {
    for how in 0..4 {
        let mut world = World::empty();
        let puppet = world.add_puppet(20);
        let (node, op) = world.opening(30, &["host0:1", "silent:1"], 1500);
        world.dials(node);
        world.connect(node, puppet);
        match how {
            0 => {} // it never says Go
            1 => world.frame(puppet, node, Frame::Go),
            2 => {
                world.frame(puppet, node, Frame::Go);
                world.settle();
                world.say(puppet, node, Message::Hello { facts: vec![], last: true });
            }
            // Whoever is lost again is as if it had never answered.
            _ => {
                world.frame(puppet, node, Frame::Go);
                world.settle();
                world.cut(node, puppet);
            }
        }
        world.settle();
        world.advance(ms(1499));
        assert_eq!(world.status(op), if how == 3 { Some(Status::Ok) } else { None }, "case {how}");
        world.advance(ms(1));
        let expected = if how == 3 { Status::Ok } else { Status::Timeout };
        assert_eq!(world.status(op), Some(expected), "case {how}");
    }
}

/// Two nodes that start at the same moment, know each other's address, and register as soon as they are open: one of them
/// is refused, whatever arrives in which order.
#[test]
fn nodes_that_join_and_register_at_once_do_not_clash() {
    use rand::{RngExt, SeedableRng};
    for seed in 0..300 {
        let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
        let mut world = World::empty();
        let joins = [world.opening(1, &["host1:1"], 5000).1, world.opening(2, &["host0:1"], 5000).1];
        for node in [0, 1] {
            world.dials(node);
            // The one that is started first may be refused where the other one does not listen yet.
            if node == 0 && seed % 3 == 0 {
                world.fail_dial(0, &address(1))
            } else {
                world.connect(node, 1 - node);
            }
        }
        let mut asked = [None; 2];
        loop {
            for node in 0..2 {
                if world.status(joins[node]) == Some(Status::Ok) && asked[node].is_none() {
                    let pid = world.spawn(node);
                    asked[node] = Some(world.register(pid, "leader"));
                }
            }
            let channels = world.channels();
            if channels.is_empty() {
                break;
            }
            let (from, to) = channels[rng.random_range(0..channels.len())];
            world.step(from, to);
        }
        let mut statuses: Vec<_> = asked.iter().flatten().map(|op| world.status(*op)).collect();
        statuses.sort();
        assert_eq!(statuses, [Some(Status::Exists), Some(Status::Ok)], "seed {seed}");
        world.assert_at_rest();
    }
}
