//! Locks on lists of nodes: where they exclude each other, what becomes of them when nodes go, and giving back a part.

use crate::asks::every_order;
use crate::harness::World;
use crate::holds::by;
use convoke::model::{Pid, Reason, Status};

/// "Locks on disjoint node lists do not exclude each other; overlap on one common node does."
#[test]
fn lists_exclude_each_other_where_they_overlap() {
    let mut world = World::mesh(4);
    let pids: Vec<Pid> = (0..4).map(|node| world.spawn(node)).collect();
    world.take_lock(pids[0], by("a").on(&[0, 1]));
    world.take_lock(pids[2], by("b").on(&[2, 3]));
    world.all_list(&[("a", pids[0]), ("b", pids[2])]);
    let across = world.acquire(pids[1], by("c").on(&[1, 2]));
    let everywhere = world.acquire(pids[3], by("d"));
    world.settle();
    assert_eq!([across, everywhere].map(|op| world.status(op)), [None; 2]);
    world.give_back(pids[2], by("b"));
    assert_eq!(world.status(across), None);
    world.give_back(pids[0], by("a"));
    assert_eq!(world.status(across), Some(Status::Ok), "the older of the two");
    assert_eq!(world.status(everywhere), None);
    world.give_back(pids[1], by("c"));
    assert_eq!(world.status(everywhere), Some(Status::Ok));
    world.give_back(pids[3], by("d"));
    world.assert_at_rest();
}

/// A list without the caller's own node; duplicates are harmless; an empty list is no list.
#[test]
fn lists_are_sets_of_names() {
    let mut world = World::mesh(3);
    let (pid, other) = (world.spawn(0), world.spawn(2));
    let op = world.acquire(pid, by("me").on(&[1, 1, 1]));
    assert_eq!(world.in_flight().len(), 1);
    world.settle();
    world.token(op);
    world.take_lock(other, by("other").on(&[0, 2]));
    world.give_back(pid, by("me"));
    let everywhere = world.acquire(pid, by("me").on(&[]));
    world.settle();
    assert_eq!(world.status(everywhere), None, "all of the view");
    world.give_back(other, by("other"));
    assert_eq!(world.status(everywhere), Some(Status::Ok));
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

/// D11: "a name without a synced link: E_UNREACHABLE, nothing taken".
#[test]
fn a_list_with_a_node_that_cannot_be_reached_takes_nothing() {
    let mut world = World::nodes(4);
    world.link(0, 1);
    let pid = world.spawn(0);
    // A link whose snapshot has not come is not one yet.
    world.connect(0, 2);
    for list in [&[9][..], &[0, 1, 3], &[2], &[0, 2]] {
        let op = world.acquire(pid, by("me").on(list));
        assert_eq!(world.status(op), Some(Status::Unreachable), "{list:?}");
        assert!(world.outcome(op).is_some_and(|outcome| outcome.detail.contains("node")));
    }
    world.settle();
    world.take_lock(pid, by("me").on(&[0, 1, 2]));
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

/// "A list claim that names p and is not complete: Release the rest, E_UNREACHABLE": never held on no node.
#[test]
fn a_node_of_a_list_that_is_lost_ends_the_claim() {
    for (list, lost) in [(&[0, 1, 2][..], 1), (&[1], 1), (&[1, 2], 2)] {
        for died in [false, true] {
            let mut world = World::mesh(3);
            let (pid, other) = (world.spawn(0), world.spawn(if lost == 1 { 2 } else { 1 }));
            world.hang(lost);
            let op = world.acquire(pid, by("me").on(list));
            world.settle();
            assert_eq!(world.status(op), None);
            if died {
                world.die(lost);
                world.settle();
            } else {
                world.cut(0, lost);
                assert_eq!(world.status(op), None, "it may be back in a moment");
                world.stay_apart();
            }
            assert_eq!(world.status(op), Some(Status::Unreachable));
            assert_eq!(world.checks(pid, "me"), []);
            world.wake(lost);
            let rest = world.nodes.iter().position(|node| node.id == other.node).expect("a node");
            world.take_lock(other, by("other").on(&[0, rest]));
            world.give_back(other, by("other"));
            world.assert_at_rest_at(0);
            world.assert_at_rest_at(rest);
        }
    }
}

/// The loss of a node that is not in the list is nothing to the claim.
#[test]
fn a_claim_on_a_list_does_not_need_other_nodes() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    world.hang(1);
    let op = world.acquire(pid, by("me").on(&[0, 1]));
    world.cut(0, 2);
    assert_eq!(world.status(op), None);
    world.wake(1);
    world.settle();
    world.token(op);
}

/// A claim on the view goes on without the node that is lost.
#[test]
fn a_claim_on_the_view_goes_on_without_a_lost_node() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    world.hang(1);
    let op = world.acquire(pid, by("me"));
    world.settle();
    world.cut(0, 1);
    assert_eq!(world.status(op), None);
    world.stay_apart();
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.lost_locks(pid), [], "it was not in the set when the lock was held");
    world.all_list_at(2, &[("me", pid)]);
    world.give_back(pid, by("me"));
}

/// "Acquire adds the nodes it newly took": one hold on all of them, one release for all.
#[test]
fn acquiring_again_adds_nodes() {
    let mut world = World::mesh(3);
    let (pid, other) = (world.spawn(0), world.spawn(1));
    world.take_lock(pid, by("me").on(&[0]));
    world.take_lock(pid, by("me").on(&[1]));
    world.all_list(&[("me", pid)]);
    for (node, free) in [(0, false), (1, false), (2, true)] {
        let op = world.acquire(other, by("other").on(&[node]).retries(0));
        world.settle();
        assert_eq!(world.status(op) == Some(Status::Ok), free, "node {node}");
    }
    world.give_back(other, by("other"));
    world.give_back(pid, by("me"));
    world.take_lock(other, by("other"));
    world.give_back(other, by("other"));
    world.assert_at_rest();
}

/// "Release on a list removes those": they are free at once, the rest keeps others out; the last one ends the hold.
#[test]
fn a_part_is_given_back() {
    let mut world = World::mesh(3);
    let (pid, other) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(pid, by("me").on(&[0, 1, 2]));
    let waiting = world.acquire(other, by("other").on(&[1]));
    world.settle();
    assert_eq!(world.status(waiting), None);
    world.give_back(pid, by("me").on(&[1]));
    assert_eq!(world.status(waiting), Some(Status::Ok), "handed over");
    assert_eq!(world.check(pid, "me"), Some(token), "still held on the others");
    for node in 0..3 {
        assert_eq!(world.holders(node), [("me".into(), pid), ("other".into(), other)]);
    }
    assert_eq!(world.lost_locks(pid), [], "it is where they bind that counts");
    let again = world.release(pid, by("me").on(&[1]));
    world.settle();
    assert_eq!(world.status(again), Some(Status::NotOwner), "not there any more");
    world.give_back(pid, by("me").on(&[0, 2, 9]));
    assert_eq!(world.checks(pid, "me"), [Some(token), None]);
    world.give_back(other, by("other"));
    world.assert_at_rest();
}

/// A hold on the view of which a part was given back is on a list: what joins later is free.
#[test]
fn what_is_left_of_a_hold_on_the_view_is_a_list() {
    let mut world = World::nodes(4);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.link(a, b);
    }
    let pid = world.spawn(0);
    world.take_lock(pid, by("me"));
    world.give_back(pid, by("me").on(&[1]));
    for node in 0..3 {
        world.link(node, 3);
    }
    let other = world.spawn(3);
    world.take_lock(other, by("other").on(&[1, 3]));
    let op = world.acquire(other, by("other").on(&[2]).retries(0));
    world.settle();
    assert_eq!(world.status(op), Some(Status::Timeout));
    assert_eq!([world.lost_locks(pid), world.lost_locks(other)], [[], []]);
    world.give_back(pid, by("me"));
    world.give_back(other, by("other"));
    world.assert_at_rest();
}

/// A part acquired again on a list leaves a hold on the view what it is: who joins is bound.
#[test]
fn a_hold_on_the_view_stays_one_when_a_part_is_acquired_again() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let (pid, other) = (world.spawn(0), world.spawn(2));
    world.take_lock(pid, by("me"));
    world.take_lock(pid, by("me").on(&[0]));
    world.link(0, 2);
    let op = world.acquire(other, by("other").on(&[2]).retries(0));
    assert_eq!(world.status(op), Some(Status::Timeout));
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

/// What is left counts: nodes that the link broke to and that are given back count no more; if broken links are to half of
/// the rest it is lost.
#[test]
fn a_majority_is_counted_of_what_is_left() {
    let start = || {
        let mut world = World::mesh(4);
        let pid = world.spawn(0);
        world.take_lock(pid, by("me"));
        world.cut(0, 1);
        world.settle();
        (world, pid)
    };
    let (mut world, pid) = start();
    world.give_back(pid, by("me").on(&[1]));
    world.cut(0, 2);
    assert_eq!(world.lost_locks(pid), [], "two of three are there");

    let (mut world, pid) = start();
    world.give_back(pid, by("me").on(&[2, 3]));
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY], "one of two");
    world.give_back(pid, by("me"));
    world.assert_at_rest_at(0);
}

/// A part that lies behind a broken link is given back too: when the node is back it does not bind there again.
#[test]
fn a_part_on_a_lost_node_is_given_back() {
    let mut world = World::mesh(4);
    let (pid, other) = (world.spawn(0), world.spawn(1));
    world.take_lock(pid, by("me"));
    world.cut(0, 1);
    world.settle();
    world.give_back(pid, by("me").on(&[1]));
    world.link(0, 1);
    world.take_lock(other, by("other").on(&[1]));
    assert_eq!([world.lost_locks(pid), world.lost_locks(other)], [[], []]);
    world.give_back(other, by("other"));
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

/// Scenario 7: "p sets L on all nodes with requester R; T with the same R sets L on [cp1], deletes on all; p dies: free
/// everywhere", and a holder that never locked its own node.
#[test]
fn the_death_of_a_holder_frees_every_node_of_its_list() {
    let mut world = World::mesh(3);
    let (pid, tester) = (world.spawn(0), world.spawn(2));
    world.take_lock(pid, by("shared"));
    world.take_lock(tester, by("shared").on(&[1]));
    world.give_back(tester, by("shared"));
    world.exit(pid);
    world.settle();
    world.all_list(&[]);
    let far = world.spawn(0);
    world.take_lock(far, by("far").on(&[1]));
    world.exit(far);
    world.settle();
    world.take_lock(tester, by("tester"));
    world.give_back(tester, by("tester"));
    world.assert_at_rest();
}

/// Two overlapping lists that are granted in opposite orders: the older wins everywhere, nobody is stuck.
#[test]
fn overlapping_lists_meet_in_every_order() {
    let start = || {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1)];
        let ops = [world.acquire(pids[0], by("0").on(&[0, 2])), world.acquire(pids[1], by("1").on(&[1, 2]))];
        (world, (pids, ops))
    };
    every_order(
        30,
        start,
        |_, _| {},
        |mut world, (pids, ops)| {
            let first = (0..2).find(|i| world.status(ops[*i]) == Some(Status::Ok)).expect("one has it");
            assert_eq!(world.status(ops[1 - first]), None, "{}", world.picture());
            world.give_back(pids[first], by(["0", "1"][first]));
            assert_eq!(world.status(ops[1 - first]), Some(Status::Ok));
            world.exit(pids[1 - first]);
            world.settle();
            world.assert_at_rest();
        },
    );
}
