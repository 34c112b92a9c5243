//! After the OK of a delete no linked node shows the group or a member of it, whatever else was on its way.

use crate::asks::every_order;
use crate::harness::{NodeIndex, World, name};
use convoke::engine::{Dot, Existence, MAX_LIST, Message};
use convoke::model::{NodeId, Pid, Ref, Status};

/// When the delete has returned, nobody shows the group.
fn gone_when_deleted(world: &World, op: Ref) {
    if world.status(op) == Some(Status::Ok) {
        world.all_show_members("g", None);
    }
}

fn full_group() -> (World, [Pid; 3]) {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    world.make_group("g", &pids);
    (world, pids)
}

#[test]
fn a_delete_waits_for_the_withdrawals_of_all_homes() {
    let start = || {
        let (mut world, pids) = full_group();
        let op = world.delete(pids[0], "g");
        (world, op)
    };
    every_order(
        6,
        start,
        |world, op| gone_when_deleted(world, *op),
        |world, op| {
            assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
            world.all_show_members("g", None);
            world.assert_at_rest();
        },
    );
}

#[test]
fn two_deletes_at_once() {
    let start = || {
        let (mut world, pids) = full_group();
        let ops = [world.delete(pids[0], "g"), world.delete(pids[1], "g")];
        (world, ops)
    };
    let look = |world: &World, ops: &[Ref; 2]| ops.iter().for_each(|op| gone_when_deleted(world, *op));
    every_order(4, start, look, |world, ops| {
        assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Ok); 2], "{}", world.picture());
        world.all_show_members("g", None);
        world.assert_at_rest();
    });
}

/// What has left, exited or been undone just before is not everywhere gone yet.
#[test]
fn withdrawals_that_were_on_their_way_before() {
    type Before = fn(&mut World, [Pid; 3]);
    let befores: [Before; 5] = [
        |world, pids| {
            world.leave(pids[2], "g", pids[2]);
        },
        |world, pids| world.exit(pids[2]),
        |world, pids| {
            // It leaves twice, and 1 has heard of the first time only.
            world.leave(pids[2], "g", pids[2]);
            world.join(pids[2], "g", pids[2]);
            world.leave(pids[2], "g", pids[2]);
            let joins =
                |m: &Message| matches!(m, Message::Membership { membership, .. } if membership.count > 0);
            world.until(2, 1, joins);
        },
        |world, pids| {
            // It leaves, but does not wait for that.
            let op = world.leave(pids[2], "g", pids[2]);
            world.cancel(pids[2], op);
        },
        |world, pids| {
            let op = world.leave(pids[2], "g", pids[2]);
            world.done(op);
            // It joins again, which 1 sees, and that is undone.
            let op = world.join(pids[2], "g", pids[2]);
            world.until(2, 1, |message| matches!(message, Message::Membership { .. }));
            world.cancel(pids[2], op);
        },
    ];
    for before in befores {
        // 1 has no member: what it waits for itself does not keep the delete.
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        world.make_group("g", &[pids[0], pids[2]]);
        before(&mut world, pids);
        let op = world.delete(pids[0], "g");
        // 1 so shows members of 2 that 2 itself does not show any more.
        settle_but(&mut world, (2, 1), op);
        assert_eq!(world.status(op), None);
        world.settle_with(|world| gone_when_deleted(world, op));
        assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
        world.all_show_members("g", None);
        world.assert_at_rest();
    }
}

/// A node makes the group anew, and retracts what this stands for. Whoever deletes the group after that deletes the new dot alone, so
/// it must wait until nobody shows the old ones any more.
#[test]
pub(crate) fn dots_that_were_retracted_just_before() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    for maker in [0, 2] {
        let op = world.create(pids[maker], "g");
        world.done(op);
    }
    world.create(pids[2], "g");
    for other in [0, 1] {
        world.until(2, other, |message| matches!(message, Message::Create { .. }));
        world.until(other, 2, |message| matches!(message, Message::Ack { .. }));
    }
    world.until(2, 0, |message| matches!(message, Message::Retract { .. }));
    let op = world.delete(pids[0], "g");
    settle_but(&mut world, (2, 1), op);
    assert_eq!(world.status(op), None, "1 still shows the group");
    world.settle_with(|world| gone_when_deleted(world, op));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// All but what the one says to the other.
fn settle_but(world: &mut World, held_up: (NodeIndex, NodeIndex), delete: Ref) {
    loop {
        let mut channels = world.channels();
        channels.retain(|channel| *channel != held_up);
        let Some((from, to)) = channels.first().copied() else { break };
        world.step(from, to);
        gone_when_deleted(world, delete);
    }
}

/// A member that has joined under a dot which the delete did not see stays: the group was made anew meanwhile.
#[test]
fn a_member_under_another_dot_stays() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    let op = world.create(pids[0], "g");
    world.done(op);
    world.create(pids[1], "g");
    world.until(1, 2, |message| matches!(message, Message::Create { .. }));
    let join = world.join(pids[2], "g", pids[2]);
    let delete = world.delete(pids[0], "g");
    assert_eq!((world.done(join), world.done(delete)), (Status::Ok, Status::Ok));
    world.all_show_members("g", Some(&pids[2..]));
    world.assert_at_rest();
}

/// A node that hangs keeps the delete from returning, by itself or as one that a withdrawal has to reach.
#[test]
fn a_hung_node_is_waited_for() {
    for hung in [1, 2] {
        let (mut world, pids) = full_group();
        world.hang(hung);
        let op = world.delete(pids[0], "g");
        world.settle();
        assert_eq!(world.status(op), None);
        let waiting = world.engine(3 - hung).residue();
        assert!(waiting.contains(&("operations", 1)), "{waiting:?}");
        // Or it is lost.
        world.cut(0, hung);
        world.settle();
        assert_eq!(world.status(op), None, "the other home waits for it yet");
        world.cut(3 - hung, hung);
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest_at(0);
    }
}

/// The node that deletes is lost, or its link is, while a home waits for others.
#[test]
fn the_deleting_node_is_lost() {
    let (mut world, pids) = full_group();
    world.hang(2);
    world.delete(pids[0], "g");
    world.settle();
    world.crash(0);
    world.wake(2);
    world.settle();
    world.agree();
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// Members that a delete has ended, but whose home never hears of it: they stay, and the group can be joined again.
#[test]
fn a_delete_that_a_home_never_hears_of() {
    let (mut world, pids) = full_group();
    world.delete(pids[0], "g");
    world.until(0, 1, |message| matches!(message, Message::Delete { .. }));
    let join = world.join(pids[1], "g", pids[1]);
    assert_eq!(world.status(join), Some(Status::NotFound), "its last members are about to go");
    world.black_hole(0, 2);
    world.crash(0);
    world.settle();
    world.cut_at(2, 0);
    world.agree();
    world.all_show_members("g", Some(&pids[2..]));
    let join = world.join(pids[1], "g", pids[1]);
    assert_eq!(world.done(join), Status::Ok);
    world.all_show_members("g", Some(&pids[1..]));
    world.assert_at_rest();
}

/// A delete is heard before the making that it is about.
#[test]
fn a_delete_overtakes_the_create() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1)];
    let create = world.create(pids[0], "g");
    world.until(0, 1, |message| matches!(message, Message::Create { .. }));
    let delete = world.delete(pids[1], "g");
    world.until(1, 2, |message| matches!(message, Message::Delete { .. }));
    world.until(0, 2, |message| matches!(message, Message::Create { .. }));
    assert_eq!(world.members(2, "g"), None);
    assert_eq!((world.done(create), world.done(delete)), (Status::Ok, Status::Ok));
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// Joins and creates that cross a delete: whoever wins, all agree, and what all say is one of the orders.
#[test]
fn joins_and_creates_cross_a_delete() {
    let start = || {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        world.make_group("g", &pids[..1]);
        let ops = [world.delete(pids[0], "g"), world.join(pids[1], "g", pids[1]), world.create(pids[2], "g")];
        (world, (pids, ops))
    };
    every_order(
        4,
        start,
        |_, _| {},
        |mut world, (pids, ops)| {
            world.agree();
            assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Ok); 3], "{}", world.picture());
            // Made anew where the delete had not been heard. The join was under what is deleted.
            let members = world.members(0, "g");
            assert_eq!(members, Some(vec![]));
            world.all_show_members("g", members.as_deref());
            let op = world.join(pids[1], "g", pids[1]);
            assert_eq!(world.done(op), Status::Ok);
            world.all_show_members("g", Some(&[pids[1]]));
            world.assert_at_rest();
        },
    );
}

/// A join of a pid elsewhere crosses the delete of a third node.
#[test]
fn a_forwarded_join_crosses_a_delete() {
    let start = || {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        world.make_group("g", &pids[..1]);
        let ops = [world.delete(pids[0], "g"), world.join(pids[1], "g", pids[2])];
        (world, ops)
    };
    let look = |world: &World, ops: &[Ref; 2]| {
        if ops.map(|op| world.status(op)) == [Some(Status::Ok), Some(Status::NotFound)] {
            world.all_show_members("g", None);
        }
    };
    every_order(5, start, look, |world, ops| {
        assert_eq!(world.status(ops[0]), Some(Status::Ok));
        assert!(matches!(world.status(ops[1]), Some(Status::Ok | Status::NotFound)));
        world.all_show_members("g", None);
        world.assert_at_rest();
    });
}

/// A link comes up during each publication: its snapshots tell, and the answer waits for them.
#[test]
fn a_link_comes_up_meanwhile() {
    type Start = fn(&mut World, [Pid; 3]) -> (Ref, Option<Vec<Pid>>);
    let starts: [Start; 4] = [
        |world, pids| (world.create(pids[0], "h"), Some(vec![])),
        |world, pids| (world.join(pids[0], "g", pids[0]), Some(vec![pids[0], pids[0]])),
        |world, pids| (world.leave(pids[0], "g", pids[0]), Some(vec![])),
        |world, pids| (world.delete(pids[0], "g"), None),
    ];
    for (at, start) in starts.into_iter().enumerate() {
        let group = if at == 0 { "h" } else { "g" };
        let begin = || {
            let mut world = World::nodes(3);
            world.link(0, 1);
            let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
            world.make_group("g", &pids[..1]);
            let (op, expected) = start(&mut world, pids);
            world.connect(0, 2);
            (world, (op, expected))
        };
        let look = |world: &World, (op, expected): &(Ref, Option<Vec<Pid>>)| {
            if world.status(*op).is_some() {
                for node in [1, 2].into_iter().filter(|node| world.is_linked(0, *node)) {
                    assert_eq!(&world.members(node, group), expected, "{}", world.picture());
                }
            }
        };
        every_order(8, begin, look, |world, (op, expected)| {
            assert_eq!(world.status(op), Some(Status::Ok));
            world.all_show_members(group, expected.as_deref());
            world.assert_at_rest();
        });
    }
}

/// "Delete of an unknown group is OK"; one that lives by members alone can be deleted too.
#[test]
fn a_group_that_lives_by_its_members_is_deleted() {
    let (mut world, pids) = full_group();
    world.split(&[0, 1], &[2]);
    let op = world.delete(pids[0], "g");
    assert_eq!(world.done(op), Status::Ok);
    world.join_up(&[0, 1, 2]);
    // "or has members in it": 2 had not heard of it.
    world.all_show_members("g", Some(&[pids[2]]));
    let op = world.delete(pids[1], "g");
    world.settle_with(|world| gone_when_deleted(world, op));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// A group that was made on more nodes than one message names.
#[test]
fn a_delete_of_very_many_dots() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    world.make_group("g", &[a, b]);
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    let many = MAX_LIST as u64 + 1000;
    for part in (1..=many).collect::<Vec<_>>().chunks(100) {
        let live = |number: &u64| Existence::Live {
            group: name("g"),
            dot: Dot { node: NodeId(1000 + number), number: 1 },
        };
        let parts = part.iter().map(live).collect();
        world.say(puppet, 0, Message::GroupState { parts, last: false, answer: false });
    }
    world.say(puppet, 0, Message::GroupState { parts: vec![], last: true, answer: false });
    world.cut(0, puppet);
    world.agree();
    let op = world.delete(a, "g");
    world.settle_with(|world| gone_when_deleted_on(world, op, &[0, 1]));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.agree();
    world.all_show_members("g", None);
    world.assert_at_rest();
}

fn gone_when_deleted_on(world: &World, op: Ref, nodes: &[NodeIndex]) {
    if world.status(op) == Some(Status::Ok) {
        nodes.iter().for_each(|node| assert_eq!(world.members(*node, "g"), None, "{}", world.picture()));
    }
}

/// The link breaks at any moment of the delete and comes back: what was said on the old one may be lost, and the snapshot
/// alone ends no membership.
#[test]
fn a_link_that_flaps_during_a_delete() {
    for arrivals in 0..12 {
        for hung in [false, true] {
            let (mut world, pids) = full_group();
            let op = world.delete(pids[0], "g");
            for _ in 0..arrivals {
                let mut channels = world.channels();
                channels.retain(|channel| !hung || *channel != (0, 1));
                let Some((from, to)) = channels.last().copied() else { break };
                world.step(from, to);
            }
            world.cut(0, 1);
            if world.status(op).is_none() {
                world.connect(0, 1);
            }
            world.settle_with(|world| {
                if world.status(op) == Some(Status::Ok) && world.is_linked(0, 1) {
                    world.all_show_members("g", None);
                }
            });
            assert_eq!(world.status(op), Some(Status::Ok), "after {arrivals}: {}", world.picture());
        }
    }
}
