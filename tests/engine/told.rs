//! Addresses that peers tell of: how many are dialled, how often, and for how long.

use crate::harness::{NodeIndex, World, address, config};
use convoke::engine::{Fact, Message, PeerAddress};
use convoke::model::{Deadline, NodeId, Status, Text};
use std::collections::BTreeSet;
use std::time::Duration;

fn stranger(number: u64) -> PeerAddress {
    PeerAddress { node: NodeId(number), name: format!("n{number}"), address: format!("n{number}:1") }
}

fn at(number: u64) -> String {
    stranger(number).address
}

/// The puppet, which has just been linked, has links to these nodes, and says where they are.
fn tell(world: &mut World, puppet: NodeIndex, numbers: std::ops::Range<u64>) {
    let nodes: BTreeSet<NodeId> = numbers.clone().map(NodeId).collect();
    world.say(puppet, 0, Message::Hello { facts: vec![Fact::Peers(nodes)], last: true });
    world.say(puppet, 0, Message::HelloAck);
    world.say(puppet, 0, Message::Peers { peers: numbers.map(stranger).collect(), last: true });
}

fn linked_puppet(world: &mut World, id: u64) -> NodeIndex {
    let puppet = world.add_puppet(id);
    world.connect(0, puppet);
    world.told(puppet);
    puppet
}

/// A few messages must not use up the descriptors of the program, nor keep the node from dialling whom it wants to.
#[test]
fn few_are_dialled_at_a_time_and_a_caller_does_not_wait_for_them() {
    let mut world = World::nodes(1);
    let puppet = linked_puppet(&mut world, 20);
    tell(&mut world, puppet, 100..300);
    let mut under_way = world.dials(0);
    assert_eq!(under_way.len(), 16);
    let pid = world.spawn(0);
    world.connect_call(pid, "wanted:1", Deadline::FOREVER);
    assert_eq!(world.dials(0), ["wanted:1"]);
    // When one is over the next begins, until all had their turn.
    let mut all = BTreeSet::new();
    while !under_way.is_empty() {
        let address = under_way.remove(0);
        world.fail_dial(0, &address);
        all.insert(address);
        under_way.extend(world.dials(0));
        assert!(under_way.len() <= 16);
    }
    assert_eq!(all.len(), 200);
}

fn is_target(world: &World) -> [bool; 4] {
    let picture = world.engine(0).inspect(world.now);
    [100, 101, 102, 103]
        .map(|number| picture.targets.rows.iter().any(|row| row.address == Text::new(at(number).as_bytes())))
}

/// "It belongs to that peer, and is dropped with its link": unless another peer tells of it too, a caller waits for it, or it led to
/// a link that was merged.
#[test]
fn what_a_peer_has_told_of_goes_with_its_link() {
    let mut world = World::nodes(1);
    let (first, second) = (linked_puppet(&mut world, 20), linked_puppet(&mut world, 21));
    tell(&mut world, first, 100..104);
    tell(&mut world, second, 101..102);
    for number in 100..104 {
        world.fail_dial(0, &at(number));
    }
    let pid = world.spawn(0);
    world.connect_call(pid, &at(102), Deadline::FOREVER);
    world.cut(0, first);
    assert_eq!(is_target(&world), [false, true, true, false]);
    world.cut(0, second);
    assert_eq!(is_target(&world), [false, false, true, false]);
}

/// A peer whose tables were merged is dialled for ever, whoever told of it.
#[test]
fn what_led_to_a_link_that_was_merged_stays() {
    for is_merged in [false, true] {
        let mut world = World::nodes(2);
        let puppet = linked_puppet(&mut world, 20);
        let there = PeerAddress { node: NodeId(2), name: config(1).name, address: address(1) };
        world.say(puppet, 0, Message::Hello { facts: vec![Fact::Peers([NodeId(2)].into())], last: true });
        world.say(puppet, 0, Message::HelloAck);
        world.say(puppet, 0, Message::Peers { peers: vec![there], last: true });
        assert_eq!(world.dials(0), [address(1)]);
        world.connect_at(0, 1, &address(1));
        if is_merged {
            world.settle();
        }
        world.cut(0, puppet);
        assert!(world.is_linked(0, 1));
        world.cut(0, 1);
        assert_eq!(world.pause_before_dial(0, &address(1)).is_some(), is_merged);
    }
}

/// "Backs off to minutes", and to be told of it again does not end the pause.
#[test]
fn what_never_answers_is_dialled_ever_more_seldom() {
    let mut world = World::nodes(1);
    let puppet = linked_puppet(&mut world, 20);
    tell(&mut world, puppet, 100..101);
    for _ in 0..20 {
        world.fail_dial(0, &at(100));
        world.dials(0);
        world.say(puppet, 0, Message::Peers { peers: vec![stranger(100)], last: true });
        assert_eq!(world.dials(0), [""; 0]);
    }
    let picture = world.engine(0).inspect(world.now);
    let pause = |at: &str| {
        let row = picture.targets.rows.iter().find(|row| row.address == Text::new(at.as_bytes()));
        Some(Duration::from_millis(row?.next_dial_ms?))
    };
    let longest = config(0).dial_max;
    assert!(pause(&at(100)).is_some_and(|pause| pause > longest * 11 && pause <= longest * 24));
}

/// A dial takes its descriptor until it is over, also when nobody wants to know any more how it ends: else a peer that comes and
/// goes, and tells of something each time, would have any number of them.
#[test]
fn dials_that_nobody_waits_for_are_under_way_until_they_are_over() {
    let mut world = World::nodes(1);
    let mut under_way = Vec::new();
    for round in 0..10 {
        let puppet = linked_puppet(&mut world, 20 + round);
        tell(&mut world, puppet, 1000 * (round + 1)..1000 * (round + 1) + 50);
        under_way.extend(world.dials(0));
        world.cut(0, puppet);
        under_way.extend(world.dials(0));
        assert!(under_way.len() <= 16, "{} dials under way", under_way.len());
    }
    // They are over, and the next ones have their turn; nobody is dialled twice at one time.
    for address in std::mem::take(&mut under_way) {
        world.fail_dial(0, &address);
    }
    let puppet = linked_puppet(&mut world, 40);
    tell(&mut world, puppet, 100..102);
    assert_eq!(world.dials(0), [at(100), at(101)]);
    world.cut(0, puppet);
    let again = linked_puppet(&mut world, 41);
    tell(&mut world, again, 100..102);
    assert_eq!(world.dials(0), [""; 0], "still under way");
    world.fail_dial(0, &at(100));
    assert!(world.pause_before_dial(0, &at(100)).is_some(), "it is wanted again");
}

/// A peer that tells of very many does not keep what others tell of waiting, nor takes their room.
#[test]
fn those_who_tell_take_turns() {
    let mut world = World::nodes(1);
    for liar in 0..4 {
        let puppet = linked_puppet(&mut world, 20 + liar);
        let first = 100_000 * (liar + 1);
        tell(&mut world, puppet, first..first + 4000);
    }
    let honest = linked_puppet(&mut world, 40);
    tell(&mut world, honest, 100..103);
    let mut under_way = world.dials(0);
    let mut over = 0;
    let mut waited = BTreeSet::from([100, 101, 102].map(at));
    while !waited.is_empty() {
        let address = under_way.remove(0);
        world.fail_dial(0, &address);
        under_way.extend(world.dials(0));
        waited.remove(&address);
        over += 1;
        assert!(over < 100, "{waited:?} still wait");
    }
}

/// Where it is to be dialled a peer says itself, too: that is forgotten with a link whose tables were not merged, and few are
/// remembered of those that were and that no dial has ever reached.
#[test]
fn where_peers_say_that_they_are_is_their_word_too() {
    for is_merged in [false, true] {
        let mut world = World::nodes(1);
        for number in 0..400 {
            let puppet = world.add_puppet(1000 + number);
            if is_merged {
                world.link(puppet, 0);
            } else {
                world.connect(puppet, 0);
                world.settle();
            }
            assert!(world.is_linked(0, puppet));
            world.cut(0, puppet);
        }
        let targets = world.engine(0).gauges(world.now).targets;
        assert!(targets <= if is_merged { 256 } else { 0 }, "{targets} addresses of strangers");
    }
}

/// A peer of a large cluster is asked for all that it has links to, some at a time; a liar has told of no more than that.
#[test]
fn who_tells_of_many_is_asked_for_some_at_a_time() {
    let mut world = World::nodes(1);
    let teller = linked_puppet(&mut world, 20);
    let all: BTreeSet<NodeId> = (1000..1600).map(NodeId).collect();
    world.say(teller, 0, Message::Hello { facts: vec![Fact::Peers(all.clone())], last: true });
    world.say(teller, 0, Message::HelloAck);
    let (mut asked, mut rounds) = (BTreeSet::new(), 0);
    let mut under_way = Vec::new();
    while asked != all {
        let told = world.told(teller);
        let nodes = told.iter().find_map(|message| match message {
            Message::Where { nodes } => Some(nodes.clone()),
            _ => None,
        });
        let Some(nodes) = nodes else {
            // One of those that were told of is linked, and merged: it is nobody's any more.
            let dialled: String = under_way.pop().expect("there is somebody to be dialled");
            let number = dialled[1..dialled.len() - 2].parse().expect("the address of a stranger");
            let puppet = world.add_puppet(number);
            world.nodes[puppet].address = dialled.clone();
            world.connect_at(0, puppet, &dialled);
            world.say(puppet, 0, Message::Hello { facts: vec![], last: true });
            world.say(puppet, 0, Message::HelloAck);
            under_way.extend(world.dials(0));
            continue;
        };
        assert!(nodes.len() <= 256 && nodes.is_disjoint(&asked));
        let peers = nodes.iter().map(|node| stranger(node.0)).collect();
        world.say(teller, 0, Message::Peers { peers, last: true });
        under_way.extend(world.dials(0));
        asked.extend(nodes);
        rounds += 1;
        let targets = world.engine(0).gauges(world.now).targets as usize - world.engine(0).links().count();
        assert!(targets <= 256, "{targets} strangers");
    }
    assert!(rounds > 2, "{rounds}");
}

/// A name that a peer has told of stands for few addresses, whatever the name service says: they would be strangers, too.
#[test]
fn a_name_that_was_told_stands_for_few() {
    let mut world = World::nodes(1);
    let puppet = linked_puppet(&mut world, 20);
    tell(&mut world, puppet, 100..101);
    assert_eq!(world.dials(0), [at(100)]);
    let many: Vec<String> = (0..256).map(|n| format!("m{n}:1")).collect();
    world.look_up(0, &at(100), &many);
    assert_eq!(world.dials(0).len(), 8);
}

/// What the options forbid is not tried again on a peer's word.
#[test]
fn what_may_not_be_dialled_is_forgotten() {
    let mut world = World::nodes(1);
    let puppet = linked_puppet(&mut world, 20);
    tell(&mut world, puppet, 100..101);
    assert_eq!(world.dials(0), [at(100)]);
    world.input(0, |engine, now| engine.handle_dial_failed(now, &at(100), Status::Option, "not there"));
    assert_eq!(is_target(&world), [false; 4]);
}
