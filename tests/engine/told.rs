//! Addresses that peers tell of: how many are dialled, how often, and for how long.

use crate::harness::*;
use convoke::engine::*;
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
    tell(&mut world, puppet, 100..400);
    let mut under_way = world.dials(0);
    assert_eq!(under_way.len(), 16);
    let pid = world.spawn(0);
    world.connect_call(pid, "wanted:1", Patience::FOREVER);
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
    assert_eq!(all.len(), 300);
}

fn is_target(world: &World) -> [bool; 4] {
    let picture = world.engine(0).picture(world.now);
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
    world.connect_call(pid, &at(102), Patience::FOREVER);
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
    let picture = world.engine(0).picture(world.now);
    let pause = |at: &str| {
        let row = picture.targets.rows.iter().find(|row| row.address == Text::new(at.as_bytes()));
        Some(Duration::from_millis(row?.next_dial_ms?))
    };
    let longest = config(0).dial_max;
    assert!(pause(&at(100)).is_some_and(|pause| pause > longest * 11 && pause <= longest * 24));
}
