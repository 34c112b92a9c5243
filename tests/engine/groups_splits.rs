//! Existence over splits and heals: "a deleted group stays deleted unless the other side made it anew or has members in
//! it", and in a full mesh all nodes agree at rest, whoever told whom.

use crate::harness::{DETECTION, World, config, name};
use convoke::engine::{Dot, Existence, Message};
use convoke::model::{NodeId, Pid, Ref, Status};

/// A mesh in which each node has a process, and the group with these members.
fn mesh(count: usize, members: &[usize]) -> (World, Vec<Pid>) {
    let mut world = World::mesh(count);
    let pids: Vec<Pid> = (0..count).map(|node| world.spawn(node)).collect();
    let op = world.create(pids[0], "g");
    world.done(op);
    for member in members {
        let op = world.join(pids[*member], "g", pids[*member]);
        world.done(op);
    }
    (world, pids)
}

fn ok(world: &mut World, op: Ref) {
    assert_eq!(world.done(op), Status::Ok, "{}", world.picture());
}

/// By the maker's side or the other, told by whichever end of the new link.
#[test]
fn a_deleted_group_stays_deleted() {
    for deleter in [0, 1] {
        let (mut world, pids) = mesh(2, &[]);
        world.split(&[0], &[1]);
        let op = world.delete(pids[deleter], "g");
        ok(&mut world, op);
        assert_eq!(world.members(1 - deleter, "g"), Some(vec![]));
        world.join_up(&[0, 1]);
        world.all_show_members("g", None);
        // And over further splits, and further nodes.
        world.split(&[0], &[1]);
        world.add(config(2));
        for node in [0, 1] {
            world.join_up(&[node, 2]);
        }
        world.join_up(&[0, 1, 2]);
        world.all_show_members("g", None);
        let op = world.create(pids[0], "g");
        ok(&mut world, op);
        world.all_show_members("g", Some(&[]));
        world.assert_at_rest();
    }
}

/// A member's home that has no link with the deleter does not hear of the delete, so the group lives on by the member: a node
/// between the two, which has waited for the member to go, lets others join again.
#[test]
fn what_the_home_does_not_hear_of_does_not_end_the_group() {
    let (mut world, pids) = mesh(3, &[2]);
    world.cut(0, 2);
    world.settle();
    let op = world.delete(pids[0], "g");
    ok(&mut world, op);
    assert_eq!(world.members(1, "g"), Some(vec![pids[2]]));
    let early = world.join(pids[1], "g", pids[1]);
    assert_eq!(world.done(early), Status::NotFound, "the member may be about to go");
    world.advance(DETECTION);
    let late = world.join(pids[1], "g", pids[1]);
    ok(&mut world, late);
    world.join_up(&[0, 1, 2]);
    world.all_show_members("g", Some(&[pids[1], pids[2]]));
    world.assert_at_rest();
}

/// "The other side made it anew": also when the group was there, and nothing happened that a reader saw.
#[test]
fn made_anew_on_the_other_side() {
    for deleter in [0, 1] {
        for when in ["before", "after"] {
            let (mut world, pids) = mesh(2, &[]);
            world.split(&[0], &[1]);
            let other = 1 - deleter;
            if when == "before" {
                let op = world.create(pids[other], "g");
                ok(&mut world, op);
            }
            let op = world.delete(pids[deleter], "g");
            ok(&mut world, op);
            if when == "after" {
                let op = world.create(pids[other], "g");
                ok(&mut world, op);
            }
            world.join_up(&[0, 1]);
            world.all_show_members("g", Some(&[]));
            let op = world.delete(pids[deleter], "g");
            ok(&mut world, op);
            world.all_show_members("g", None);
            world.assert_at_rest();
        }
    }
}

/// "Or has members in it": those of before the split, and those that have joined since. When they leave it is gone.
#[test]
fn members_on_the_other_side() {
    for (deleter, joins) in [(0, true), (0, false), (1, true), (1, false)] {
        let (mut world, pids) = mesh(2, if joins { &[] } else { &[0, 1] });
        let other = 1 - deleter;
        world.split(&[0], &[1]);
        let op = world.delete(pids[deleter], "g");
        ok(&mut world, op);
        if joins {
            let op = world.join(pids[other], "g", pids[other]);
            ok(&mut world, op);
        }
        world.join_up(&[0, 1]);
        world.all_show_members("g", Some(&[pids[other]]));
        let op = world.leave(pids[deleter], "g", pids[other]);
        ok(&mut world, op);
        world.all_show_members("g", None);
        world.assert_at_rest();
    }
}

/// A group that lives by its members alone is a group like any: it can be joined from everywhere, made anew, deleted.
#[test]
fn a_group_of_members_alone() {
    let (mut world, pids) = mesh(3, &[2]);
    world.split(&[0, 1], &[2]);
    let op = world.delete(pids[0], "g");
    ok(&mut world, op);
    world.join_up(&[0, 1, 2]);
    let op = world.join(pids[0], "g", pids[1]);
    ok(&mut world, op);
    world.all_show_members("g", Some(&[pids[1], pids[2]]));
    for pid in [pids[1], pids[2]] {
        let op = world.leave(pids[0], "g", pid);
        ok(&mut world, op);
    }
    world.all_show_members("g", Some(&[]));
    world.assert_at_rest();
}

/// Three parts: one deletes, one makes anew, one knows nothing; joined in every order.
#[test]
fn three_parts_join_in_every_order() {
    let orders: [[(usize, usize); 3]; 6] = [
        [(0, 1), (0, 2), (1, 2)],
        [(0, 1), (1, 2), (0, 2)],
        [(0, 2), (0, 1), (1, 2)],
        [(0, 2), (1, 2), (0, 1)],
        [(1, 2), (0, 1), (0, 2)],
        [(1, 2), (0, 2), (0, 1)],
    ];
    for anew in [false, true] {
        for order in orders {
            for patient in [false, true] {
                let (mut world, pids) = mesh(3, &[]);
                world.split(&[0], &[1, 2]);
                world.split(&[1], &[2]);
                let op = world.delete(pids[1], "g");
                ok(&mut world, op);
                if anew {
                    let op = world.create(pids[2], "g");
                    ok(&mut world, op);
                }
                for (a, b) in order {
                    world.link(a, b);
                    if patient {
                        world.agree();
                    }
                }
                world.agree();
                world.all_show_members("g", anew.then_some(&[][..]));
                world.assert_at_rest();
            }
        }
    }
}

/// Its maker died while only one node had heard of the group; of a delete likewise.
#[test]
fn what_only_one_has_heard_of_the_dead() {
    for delete in [false, true] {
        let mut world = World::mesh(4);
        let a = world.spawn(0);
        if delete {
            let op = world.create(a, "g");
            ok(&mut world, op);
            world.delete(a, "g");
        } else {
            world.create(a, "g");
        }
        world.until(0, 1, |message| matches!(message, Message::Create { .. } | Message::Delete { .. }));
        world.black_hole(0, 2);
        world.black_hole(0, 3);
        world.crash(0);
        world.settle();
        for node in [2, 3] {
            world.cut_at(node, 0);
        }
        assert_ne!(world.members(1, "g"), world.members(2, "g"));
        world.agree();
        world.all_show_members("g", if delete { None } else { Some(&[]) });
        world.assert_at_rest();
    }
}

/// The same, but the one that has heard of it gets its own links only later, through a third.
#[test]
fn news_travel_along_a_line() {
    let mut world = World::nodes(4);
    for (a, b) in [(0, 1), (1, 2), (2, 3)] {
        world.link(a, b);
    }
    let pids = [world.spawn(0), world.spawn(3)];
    world.create(pids[0], "g");
    world.settle();
    assert_eq!(
        world.members(2, "g"),
        None,
        "it is told to linked nodes; the others are no full mesh with it"
    );
    world.join_up(&[1, 3]);
    for _ in 0..3 {
        world.agree();
    }
    world.all_show_members("g", Some(&[]));
    let op = world.delete(pids[1], "g");
    ok(&mut world, op);
    world.join_up(&[0, 1, 2, 3]);
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// A node is told of what was deleted although it shows the same groups as the one that tells it: else it would show again what a
/// third node, which was away, still has.
#[test]
pub(crate) fn who_shows_the_same_is_told_what_was_deleted() {
    let mut world = World::nodes(3);
    let maker = world.spawn(0);
    world.link(0, 2);
    let op = world.create(maker, "g");
    ok(&mut world, op);
    world.cut(0, 2);
    let op = world.delete(maker, "g");
    ok(&mut world, op);
    world.link(0, 1);
    world.cut(0, 1);
    world.link(1, 2);
    assert_eq!((world.members(1, "g"), world.members(2, "g")), (None, None));
    // Who knows the same is told nothing again.
    world.cut(1, 2);
    world.delivered.clear();
    world.link(1, 2);
    let mut told = world.delivered.iter().filter_map(|(_, _, frame)| frame.message());
    assert!(!told.any(|message| matches!(message, Message::GroupState { .. })));
}

/// Digests that are equal are not answered; one that differs is answered once, however often it is told meanwhile.
#[test]
fn who_differs_tells_all_and_gets_the_same_back() {
    let mut world = World::mesh(2);
    let a = world.spawn(0);
    let op = world.create(a, "g");
    ok(&mut world, op);
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    world.told(puppet);
    for digest in [7, 8, 9] {
        world.say(puppet, 0, Message::GroupDigest { digest });
    }
    let dot = Dot { node: NodeId(1), number: 1 };
    let g = || name("g");
    let live = || Existence::Live { group: g(), dot };
    let all = vec![live()]; // that it is the first one, and so all that there is of its maker, goes without saying
    let state =
        |parts: &[Existence], answer| Message::GroupState { parts: parts.to_vec(), last: true, answer };
    assert_eq!(world.told(puppet), [state(&all, true)]);
    // It has differed again meanwhile: once more, in a heartbeat, and that is all.
    world.say(puppet, 0, state(&all, false));
    assert_eq!(world.told(puppet), []);
    world.advance(config(0).heartbeat);
    let mut told = world.told(puppet);
    told.retain(|message| matches!(message, Message::GroupState { .. }));
    assert_eq!(told, [state(&all, true)]);
    world.say(puppet, 0, state(&all, false));
    world.advance(config(0).heartbeat);
    assert!(!world.told(puppet).iter().any(|message| matches!(message, Message::GroupState { .. })));
    // What the puppet has deleted is deleted here, and everywhere.
    world.say(puppet, 0, state(&[Existence::Seen { node: NodeId(1), up_to: 1 }], false));
    assert_eq!(world.members(0, "g"), None);
    world.agree();
    assert_eq!(world.members(1, "g"), None);
    let mut told = world.told(puppet);
    told.retain(|message| !matches!(message, Message::Ping { .. }));
    assert_eq!(told, [Message::GroupDigest { digest: 0 }], "after news, to all");
    world.say(puppet, 0, Message::GroupDigest { digest: 0 });
    assert_eq!(world.told(puppet), []);
    world.assert_at_rest();
}

/// A state in many parts counts when it is complete, not before.
#[test]
fn a_state_counts_when_it_is_complete() {
    let mut world = World::mesh(1);
    let a = world.spawn(0);
    let op = world.create(a, "g");
    ok(&mut world, op);
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    let live = |group: &str, number| {
        let dot = Dot { node: NodeId(20), number };
        Existence::Live { group: name(group), dot }
    };
    let (g, node) = (name("g"), NodeId(1));
    let part = |parts: Vec<Existence>, last| Message::GroupState { parts, last, answer: false };
    world.say(puppet, 0, part(vec![live("h", 1), Existence::Seen { node, up_to: 1 }], false));
    assert_eq!((world.members(0, "g"), world.members(0, "h")), (Some(vec![]), None));
    world.say(puppet, 0, part(vec![Existence::Live { group: g, dot: Dot { node, number: 1 } }], true));
    assert_eq!((world.members(0, "g"), world.members(0, "h")), (Some(vec![]), Some(vec![])));
}

/// Many groups, so that snapshots and states are of many parts, made and deleted on all sides of splits.
#[test]
fn many_groups_over_many_splits() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    for i in 0..200 {
        world.create(pids[i % 3], &format!("g{i}"));
    }
    world.settle();
    for alone in 0..3 {
        let others: Vec<usize> = (0..3).filter(|node| *node != alone).collect();
        world.split(&[alone], &others);
        for i in (alone * 10..200).step_by(7) {
            world.delete(pids[alone], &format!("g{i}"));
            world.create(pids[others[0]], &format!("g{}", i + 1));
            world.delete(pids[others[1]], &format!("g{}", i + 2));
        }
        world.settle();
        world.join_up(&[0, 1, 2]);
        let groups = |node: usize| world.nodes[node].groups.keys().cloned().collect::<Vec<_>>();
        assert_eq!((groups(0), groups(1)), (groups(1), groups(2)));
        assert!(groups(0).len() > 50 && groups(0).len() < 200);
        world.assert_at_rest();
    }
}

/// What each side's members did meanwhile stands: "leave is not undone".
#[test]
fn members_after_a_heal_are_what_their_homes_say() {
    let (mut world, pids) = mesh(3, &[0, 1, 1, 2, 2]);
    world.split(&[0], &[1, 2]);
    let op = world.leave(pids[2], "g", pids[1]);
    ok(&mut world, op);
    let op = world.join(pids[0], "g", pids[0]);
    ok(&mut world, op);
    world.exit(pids[2]);
    world.settle();
    world.join_up(&[0, 1, 2]);
    world.all_show_members("g", Some(&[pids[0], pids[0], pids[1]]));
    world.assert_at_rest();
}
