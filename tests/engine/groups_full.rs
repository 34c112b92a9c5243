//! More is told of groups than anybody may remember. Honest nodes keep their links, come to agree about what is left, and
//! rest; what they remember stays bounded.

use crate::groups_hostile::{create, dot, live, state};
use crate::harness::{HEARTBEAT, NodeIndex, World, config, name};
use crate::hostile::{ENGINE, FRIEND, PUPPET, friend, me, puppet};
use convoke::engine::{Existence, Message};
use convoke::model::{Config, Limits, Name, NodeId, Status};
use std::collections::BTreeSet;

const OTHER: NodeIndex = 3;
const HONEST: [NodeIndex; 2] = [ENGINE, FRIEND];

fn limits() -> Limits {
    Limits { existence: 10, peers: 4, ..Limits::default() }
}

/// Two honest nodes with a process of the first in five groups, and two puppets, all linked with each other but for the
/// puppets. Puppets acknowledge nothing.
fn world() -> World {
    let mut world = World::empty();
    world.add(Config { node: me(), limits: limits(), ..config(0) });
    world.add_puppet(puppet().0);
    world.add(Config { node: friend(), limits: limits(), ..config(2) });
    world.add_puppet(1000);
    world.link(ENGINE, FRIEND);
    let pid = world.spawn(ENGINE);
    for i in 0..5 {
        world.make_group(&format!("g{i}"), &[pid]);
    }
    for puppet in [PUPPET, OTHER] {
        world.link(ENGINE, puppet);
        world.link(FRIEND, puppet);
    }
    world
}

fn puppets_go(world: &mut World) {
    for puppet in [PUPPET, OTHER] {
        world.cut(ENGINE, puppet);
        world.cut(FRIEND, puppet);
    }
}

/// The groups can be deleted, and then there is room again.
fn assert_room_can_be_made(world: &mut World, what: &str) {
    let pid = world.spawn(FRIEND);
    for group in groups(world, FRIEND) {
        let op = world.delete(pid, std::str::from_utf8(group.as_bytes()).expect("a test's name"));
        assert_eq!(world.done(op), Status::Ok, "{what}");
    }
    let op = world.create(pid, "new");
    assert_eq!(world.done(op), Status::Ok, "{what}");
    world.all_show_members("new", Some(&[]));
    assert_in_peace(world, what);
    world.assert_at_rest();
}

fn groups(world: &World, node: NodeIndex) -> BTreeSet<Name> {
    world.engine(node).groups().into_iter().map(|(group, _)| group).collect()
}

/// They agree, nothing was held against either, and nobody tells more than heartbeats and what is asked for again.
fn assert_in_peace(world: &mut World, what: &str) {
    for _ in 0..4 {
        world.agree();
    }
    assert!(world.is_linked(ENGINE, FRIEND) && world.is_linked(FRIEND, ENGINE), "{what}");
    assert_eq!((world.log(ENGINE), world.log(FRIEND)), (vec![], vec![]), "{what}");
    assert_eq!(groups(world, ENGINE), groups(world, FRIEND), "{what}");
    assert!(groups(world, ENGINE).len() <= 4 * limits().existence, "{what}");
    world.delivered.clear();
    for _ in 0..4 {
        world.agree();
    }
    let told = world.delivered.iter().filter(|(from, to, frame)| {
        let said = matches!(frame.message(), Some(Message::GroupState { .. } | Message::GroupDigest { .. }));
        said && HONEST.contains(from) && HONEST.contains(to)
    });
    assert_eq!(told.count(), 0, "{what}: they tell each other the same again and again");
}

/// So many parts for one node, told by different incarnations to each.
type Lie = fn(NodeIndex, u64) -> Existence;

/// As much as one node may know, and something else to the other.
const LIES: &[(&str, Lie, u64)] = &[
    ("groups of one maker", |at, i| live(&format!("x{at}-{i}"), dot(NodeId(50 + at as u64), i + 1)), 40),
    (
        "groups of many makers",
        |at, i| live(&format!("x{at}-{i}"), dot(NodeId(100 + 2 * i + at as u64), 1)),
        26,
    ),
    ("gaps", |at, i| Existence::Beyond(dot(NodeId(50 + at as u64), 2 * i + 2)), 10),
    ("incarnations", |at, i| Existence::Seen { node: NodeId(100 + 2 * i + at as u64), up_to: 3 }, 26),
];

#[test]
fn what_two_nodes_were_told_and_cannot_both_remember_does_not_part_them() {
    for (what, lie, count) in LIES {
        for others_each_time in [false, true] {
            let mut world = world();
            let members = world.members(ENGINE, "g0");
            for round in 0..3 {
                for (peer, node) in [(PUPPET, ENGINE), (OTHER, FRIEND)] {
                    let from = round * if others_each_time { *count } else { 0 };
                    let parts = (from..from + count).map(|i| lie(node, i)).collect();
                    world.say(peer, node, state(parts));
                    assert!(world.is_linked(node, peer), "{what}: an honest node could have said this");
                }
                world.settle();
            }
            assert_in_peace(&mut world, what);
            // All of it together in a snapshot, too.
            world.cut(ENGINE, FRIEND);
            world.link(ENGINE, FRIEND);
            assert_in_peace(&mut world, what);
            assert!(
                members.is_some() && world.members(FRIEND, "g0") == members,
                "{what}: who is a member stays one"
            );
            puppets_go(&mut world);
            assert_in_peace(&mut world, what);
            assert_room_can_be_made(&mut world, what);
        }
    }
}

/// Nodes that differ about who is linked let go of different incarnations. They do not tell each other so for ever.
#[test]
pub(crate) fn who_sees_other_members_is_not_told_for_ever() {
    let mut world = world();
    // Only one of the two has a link with the maker of a group, and the other one hears of very many others.
    let maker = world.nodes[OTHER].id;
    world.say(OTHER, ENGINE, create("made", dot(maker, 1)));
    world.agree();
    world.cut(FRIEND, OTHER);
    let fillers = (100..126).map(|i| Existence::Seen { node: NodeId(i), up_to: 1 }).collect();
    world.say(PUPPET, FRIEND, state(fillers));
    HONEST.into_iter().for_each(|node| world.cut(node, PUPPET));
    let rest = |world: &mut World| {
        for _ in 0..8 {
            world.say(OTHER, ENGINE, Message::Heartbeat);
            world.advance(HEARTBEAT);
        }
    };
    rest(&mut world);
    assert!(world.is_linked(ENGINE, FRIEND) && world.is_linked(ENGINE, OTHER));
    assert_ne!(groups(&world, ENGINE), groups(&world, FRIEND), "this is about nodes that differ");
    world.delivered.clear();
    rest(&mut world);
    let states = world.delivered.iter().filter(|(from, to, frame)| {
        HONEST.contains(from)
            && HONEST.contains(to)
            && matches!(frame.message(), Some(Message::GroupState { .. }))
    });
    assert_eq!(states.count(), 0);
    // When the mesh is whole again, or the maker gone, they agree.
    world.cut(ENGINE, OTHER);
    assert_in_peace(&mut world, "the maker is gone");
}

/// Two nodes hear the same in another order, and each drops something else. No merge has brought that about.
#[test]
pub(crate) fn nodes_that_dropped_other_groups_tell_each_other() {
    let mut world = world();
    let makers = [(PUPPET, world.nodes[PUPPET].id), (OTHER, world.nodes[OTHER].id)];
    let make = |world: &mut World, node: NodeIndex, at: usize, number: u64| {
        let (peer, maker) = makers[at];
        world.say(peer, node, create(&format!("x{at}-{number}"), dot(maker, number)));
    };
    // With the five groups of the first node there is room for one more.
    for node in HONEST {
        (1..=17).for_each(|number| (0..2).for_each(|at| make(&mut world, node, at, number)));
    }
    world.agree();
    assert_eq!((groups(&world, ENGINE).len(), groups(&world, FRIEND).len()), (39, 39));
    // The end of a link would be a reason to compare: the puppets live.
    HONEST
        .into_iter()
        .for_each(|node| makers.iter().for_each(|(peer, _)| world.say(*peer, node, Message::Heartbeat)));
    for (at, number) in [(0, 18), (1, 18), (0, 19)] {
        make(&mut world, ENGINE, at, number);
    }
    for (at, number) in [(0, 18), (0, 19), (1, 18)] {
        make(&mut world, FRIEND, at, number);
    }
    assert_ne!(groups(&world, ENGINE), groups(&world, FRIEND), "this is about nodes that differ");
    world.agree();
    assert!(world.is_linked(ENGINE, PUPPET) && world.is_linked(FRIEND, OTHER));
    assert_eq!(groups(&world, ENGINE), groups(&world, FRIEND));
    assert_in_peace(&mut world, "creates in another order");
}

/// One by one, each in the peer's own right: it fills nothing but its own share.
#[test]
fn who_makes_groups_without_end_loses_its_own() {
    let mut world = world();
    for i in 1..=200 {
        for node in HONEST {
            world.say(PUPPET, node, create(&format!("x{i}"), dot(puppet(), i)));
            assert!(groups(&world, node).len() <= 40);
        }
    }
    // It is told which of them are no more, as it is told of a delete.
    let told = world.told(PUPPET);
    assert!(told.iter().any(|message| matches!(message, Message::GroupState { .. })));
    assert_in_peace(&mut world, "creates");
    for i in 0..5 {
        assert!(groups(&world, FRIEND).contains(&name(&format!("g{i}"))), "an honest node's group is gone");
    }
    puppets_go(&mut world);
    // Groups there are enough; a group that is there can be made anew.
    let pid = world.spawn(ENGINE);
    for (group, status) in [("new", Status::Full), ("g0", Status::Ok)] {
        let op = world.create(pid, group);
        assert_eq!(world.done(op), status);
    }
    assert_room_can_be_made(&mut world, "creates");
}
