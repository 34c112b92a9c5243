//! Deadlines, cancels and the end of the caller: create and join are undone on all nodes, leave and delete are done.

use crate::harness::{World, config, ms, name};
use convoke::engine::Message;
use convoke::model::{Action, Pid, Ref, Status};

/// How a call ends before all have acknowledged it.
const ENDS: [&str; 3] = ["deadline", "cancel", "exit"];

/// Node 2 does not answer meanwhile; the others see what is published and what is undone.
fn end_early(world: &mut World, caller: Pid, op: Ref, how: &str) {
    world.settle();
    assert_eq!(world.status(op), None);
    match how {
        "deadline" => world.advance(ms(1000)),
        "cancel" => world.cancel(caller, op),
        _ => world.exit(caller),
    }
    let status = match how {
        "deadline" => Status::Timeout,
        "cancel" => Status::Cancelled,
        _ => Status::NoProcess,
    };
    world.settle();
    assert_eq!(world.status(op), Some(status), "{how}");
}

fn hung() -> (World, [Pid; 3]) {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    world.make_group("g", &pids[..1]);
    world.hang(2);
    (world, pids)
}

fn wake(world: &mut World) {
    world.wake(2);
    world.settle();
}

#[test]
fn a_create_is_undone() {
    for how in ENDS {
        let (mut world, _) = hung();
        let caller = world.spawn(0);
        let op = world.create_within(caller, "h", 1000);
        world.settle();
        assert_eq!(world.members(1, "h"), Some(vec![]));
        end_early(&mut world, caller, op, how);
        assert_eq!((world.members(0, "h"), world.members(1, "h")), (None, None), "{how}");
        wake(&mut world);
        world.all_show_members("h", None);
        world.assert_at_rest();
    }
}

/// What was there before stays, made by this node or by another.
#[test]
fn a_create_of_what_exists_is_not_undone() {
    for how in ENDS {
        for node in [0, 1] {
            let (mut world, pids) = hung();
            let caller = world.spawn(node);
            let op = world.create_within(caller, "g", 1000);
            end_early(&mut world, caller, op, how);
            wake(&mut world);
            world.all_show_members("g", Some(&pids[..1]));
            world.assert_at_rest();
        }
    }
}

/// A group lives by its members alone since a heal. That it is not made anew after all costs none of them.
#[test]
fn undoing_a_create_spares_members_of_before() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    world.make_group("g", &pids[1..2]);
    world.split(&[0, 2], &[1]);
    let op = world.delete(pids[0], "g");
    assert_eq!(world.done(op), Status::Ok);
    world.join_up(&[0, 1, 2]);
    world.all_show_members("g", Some(&pids[1..2]));
    world.hang(2);
    let op = world.create_within(pids[0], "g", 1000);
    end_early(&mut world, pids[0], op, "deadline");
    wake(&mut world);
    world.all_show_members("g", Some(&pids[1..2]));
    world.assert_at_rest();
}

/// Several creates of one group are under way on a node: undone when the last of them is, never when one returned.
#[test]
fn creates_at_once_are_undone_together() {
    for order in [[0, 1], [1, 0]] {
        let (mut world, pids) = hung();
        let ops = [world.create(pids[0], "h"), world.create(pids[0], "h")];
        world.settle();
        world.cancel(pids[0], ops[order[0]]);
        world.settle();
        assert_eq!(world.members(1, "h"), Some(vec![]), "the other is under way yet");
        world.cancel(pids[0], ops[order[1]]);
        wake(&mut world);
        assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Cancelled); 2]);
        world.all_show_members("h", None);
        world.assert_at_rest();
    }
    for cancelled in [0, 1] {
        let (mut world, pids) = hung();
        let ops = [world.create(pids[0], "h"), world.create(pids[0], "h")];
        world.settle();
        world.cancel(pids[0], ops[cancelled]);
        wake(&mut world);
        assert_eq!(world.status(ops[1 - cancelled]), Some(Status::Ok));
        world.all_show_members("h", Some(&[]));
        world.assert_at_rest();
    }
    // The first has returned before the second ends.
    let (mut world, pids) = hung();
    let first = world.create(pids[0], "h");
    let second = world.create(pids[0], "h");
    world.until(0, 2, |message| matches!(message, Message::Create { .. }));
    world.until(2, 0, |message| matches!(message, Message::Ack { .. }));
    world.settle();
    assert_eq!((world.status(first), world.status(second)), (Some(Status::Ok), None));
    world.cancel(pids[0], second);
    wake(&mut world);
    world.all_show_members("h", Some(&[]));
    world.assert_at_rest();
}

/// Deleted by another meanwhile and made anew: the older call undoes nothing of the newer one.
#[test]
fn an_undone_create_leaves_a_newer_one_alone() {
    let (mut world, pids) = hung();
    let old = world.create(pids[0], "h");
    world.settle();
    world.delete(pids[1], "h");
    world.settle();
    let new = world.create(pids[0], "h");
    world.settle();
    world.cancel(pids[0], old);
    wake(&mut world);
    assert_eq!((world.status(old), world.status(new)), (Some(Status::Cancelled), Some(Status::Ok)));
    world.all_show_members("h", Some(&[]));
    world.assert_at_rest();
}

#[test]
fn a_join_is_undone() {
    for how in ENDS {
        // Of a process of the caller's node, and of one elsewhere; the first time and again.
        for (home, before) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
            let (mut world, pids) = hung();
            world.wake(2);
            let pid = world.spawn(home);
            for _ in 0..before {
                let op = world.join(pid, "g", pid);
                assert_eq!(world.done(op), Status::Ok);
            }
            world.hang(2);
            let caller = world.spawn(0);
            let op = world.join_within(caller, "g", pid, 1000);
            world.settle();
            let all = |count: usize| [&pids[..1], &vec![pid; count]].concat();
            assert_eq!(world.members(1, "g"), Some(sorted(all(before + 1))));
            end_early(&mut world, caller, op, how);
            wake(&mut world);
            world.all_show_members("g", Some(&all(before)));
            world.assert_at_rest();
        }
    }
}

fn sorted(mut pids: Vec<Pid>) -> Vec<Pid> {
    pids.sort_unstable();
    pids
}

/// The group was deleted meanwhile, made anew and joined anew: that join stays.
#[test]
fn an_undone_join_leaves_a_newer_one_alone() {
    let (mut world, pids) = hung();
    let old = world.join(pids[1], "g", pids[1]);
    world.settle();
    world.delete(pids[0], "g");
    world.settle();
    world.create(pids[0], "g");
    world.settle();
    let new = world.join(pids[1], "g", pids[1]);
    world.settle();
    world.cancel(pids[1], old);
    wake(&mut world);
    assert_eq!((world.status(old), world.status(new)), (Some(Status::Cancelled), Some(Status::Ok)));
    world.all_show_members("g", Some(&pids[1..2]));
    world.assert_at_rest();
}

// ---- undone while a delete is on its way, then a heal

/// A group that exists is made again; the link between its maker and another node is held up, and that node deletes the
/// group. The creation is undone, so nothing is left that the delete has not seen.
#[test]
pub(crate) fn a_repeated_create_that_is_undone_does_not_outlive_a_delete() {
    for how in ENDS {
        for before in [0, 1, 2] {
            let mut world = World::mesh(3);
            let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
            // Made by the node itself or by another, once or often.
            let op = world.create(pids[before % 2], "g");
            assert_eq!(world.done(op), Status::Ok);
            if before == 2 {
                let op = world.create(pids[0], "g");
                assert_eq!(world.done(op), Status::Ok);
            }
            world.hold_up(0, 1);
            let caller = world.spawn(0);
            let again = world.create_within(caller, "g", 1000);
            world.settle();
            let delete = world.delete(pids[1], "g");
            end_early(&mut world, caller, again, how);
            world.let_through(0, 1);
            world.settle();
            assert_eq!(world.done(delete), Status::Ok);
            world.all_show_members("g", None);
            world.assert_at_rest();
        }
    }
}

/// The same with a link that breaks: the snapshots tell of it.
#[test]
fn an_undone_create_does_not_come_back_with_a_heal() {
    for how in ENDS {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        let op = world.create(pids[0], "g");
        assert_eq!(world.done(op), Status::Ok);
        world.hold_up(0, 2);
        let caller = world.spawn(0);
        let again = world.create_within(caller, "g", 1000);
        world.settle();
        end_early(&mut world, caller, again, how);
        world.cut(0, 2);
        world.let_through(0, 2);
        let delete = world.delete(pids[2], "g");
        assert_eq!(world.done(delete), Status::Ok);
        world.join_up(&[0, 1, 2]);
        world.all_show_members("g", None);
        world.assert_at_rest();
    }
}

/// A group that lives by its members alone gets a dot when somebody joins it. That goes when the join is undone, so the group
/// ends with its last member.
#[test]
fn an_undone_join_leaves_no_dot() {
    for how in ENDS {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        world.make_group("g", &pids[1..2]);
        world.split(&[0, 2], &[1]);
        let op = world.delete(pids[0], "g");
        assert_eq!(world.done(op), Status::Ok);
        world.join_up(&[0, 1, 2]);
        world.hang(2);
        let caller = world.spawn(0);
        let join = world.join_within(caller, "g", pids[0], 1000);
        end_early(&mut world, caller, join, how);
        wake(&mut world);
        world.all_show_members("g", Some(&pids[1..2]));
        let op = world.leave(pids[1], "g", pids[1]);
        assert_eq!(world.done(op), Status::Ok);
        world.all_show_members("g", None);
        world.assert_at_rest();
    }
}

/// A join that has returned OK stands, although the creation that it rests on has not returned and is undone. So does one
/// that returns after that.
#[test]
pub(crate) fn a_join_outlives_the_creation_under_it() {
    for how in ENDS {
        for joiner in [0, 1] {
            for hung in [true, false] {
                let mut world = World::mesh(3);
                let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
                let caller = world.spawn(0);
                if hung {
                    world.hang(2);
                } else {
                    world.hold_up(1, 0);
                }
                let create = world.create_within(caller, "h", 1000);
                world.settle();
                let join = world.join(pids[joiner], "h", pids[joiner]);
                end_early(&mut world, caller, create, how);
                world.let_through(1, 0);
                wake(&mut world);
                assert_eq!(world.done(join), Status::Ok);
                world.all_show_members("h", Some(&[pids[joiner]]));
                // It is a group like any other: it can be left, and deleted.
                let op = world.delete(pids[2], "h");
                assert_eq!(world.done(op), Status::Ok);
                world.all_show_members("h", None);
                world.assert_at_rest();
            }
        }
    }
}

/// A member joins again, under a creation that has not returned; a delete that has seen neither ends what was there before. When
/// both are undone nothing is left, and when the join returns the process is a member once.
#[test]
fn a_delete_ends_what_it_has_seen_of_a_membership() {
    for undone in [true, false] {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        world.make_group("g", &[pids[0], pids[0]]);
        world.hold_up(0, 1);
        let caller = world.spawn(0);
        let create = world.create(caller, "g");
        let join = world.join(caller, "g", pids[0]);
        world.settle();
        let delete = world.delete(pids[1], "g");
        world.settle();
        assert_eq!(world.members(0, "g"), Some(vec![pids[0]]));
        if undone {
            world.exit(caller);
            world.settle();
            assert_eq!(world.members(0, "g"), None);
        }
        world.let_through(0, 1);
        world.settle();
        assert_eq!(world.done(delete), Status::Ok);
        let status = if undone { Status::NoProcess } else { Status::Ok };
        assert_eq!((world.status(create), world.status(join)), (Some(status), Some(status)));
        world.all_show_members("g", if undone { None } else { Some(&pids[..1]) });
        world.assert_at_rest();
    }
}

/// Each incarnation makes the group at its start. The dots of those that are gone go with the next creations, so the group,
/// and what a membership names, stays small.
#[test]
fn dots_of_the_dead_do_not_gather() {
    let mut world = World::mesh(2);
    let pids = [world.spawn(0), world.spawn(1)];
    for _ in 0..20 {
        let node = world.add(config(world.nodes.len()));
        for other in [0, 1] {
            world.link(other, node);
        }
        let pid = world.spawn(node);
        for _ in 0..3 {
            let op = world.create(pid, "g");
            assert_eq!(world.done(op), Status::Ok);
        }
        world.crash(node);
        for other in [0, 1] {
            world.cut_at(other, node);
        }
        world.settle();
    }
    let op = world.join(pids[0], "g", pids[0]);
    assert_eq!(world.done(op), Status::Ok);
    let joins = world.delivered.iter().filter_map(|(_, _, frame)| match frame.message() {
        Some(Message::Membership { membership, .. }) => Some(membership.dots.len()),
        _ => None,
    });
    assert_eq!(joins.max(), Some(2));
    world.agree();
    world.all_show_members("g", Some(&pids[..1]));
    let op = world.delete(pids[1], "g");
    assert_eq!(world.done(op), Status::Ok);
    world.all_show_members("g", None);
    world.assert_at_rest();
}

/// "leave and delete are not undone: E_TIMEOUT says done here, on its way to the rest".
#[test]
fn leave_and_delete_are_done() {
    for how in ENDS {
        let (mut world, pids) = hung();
        let caller = world.spawn(1);
        let (group, deadline, pid) = (name("g"), world.within(1000), pids[0]);
        let op = world.operate(caller, deadline, Action::LeaveGroup { group, pid });
        end_early(&mut world, caller, op, how);
        assert_eq!(world.members(1, "g"), Some(vec![]), "{how}");
        wake(&mut world);
        world.all_show_members("g", Some(&[]));
        world.assert_at_rest();

        let (mut world, _) = hung();
        let caller = world.spawn(1);
        let (group, deadline) = (name("g"), world.within(1000));
        let op = world.operate(caller, deadline, Action::DeleteGroup { group });
        end_early(&mut world, caller, op, how);
        assert_eq!(world.members(1, "g"), None, "{how}");
        wake(&mut world);
        world.all_show_members("g", None);
        world.assert_at_rest();
    }
}

/// With no time at all it is still published and, unless this node is alone, withdrawn.
#[test]
fn no_patience() {
    let mut world = World::mesh(1);
    let a = world.spawn(0);
    let op = world.create_within(a, "g", 0);
    assert_eq!(world.status(op), Some(Status::Ok));
    let op = world.join_within(a, "g", a, 0);
    assert_eq!(world.status(op), Some(Status::Ok));
    world.assert_at_rest();
}
