//! Locks that are acquired for a while (`convoke_lock_with`): the end of a scope leaves what is held as it would be without it.

use crate::harness::{NodeIndex, World, config};
use crate::holds::{Lock, by};
use crate::lock_splits::{cut_all, link_all};
use convoke::model::{Command, Config, NodeId, Pid, Reason, Status};

/// Which of the nodes give the lock to nobody else.
fn held_on(world: &mut World, nodes: usize) -> Vec<NodeIndex> {
    let mut held = Vec::new();
    for node in 0..nodes {
        let other = world.spawn(node);
        let op = world.acquire(other, by("other").on(&[node]).within(world, 0));
        world.settle();
        match world.status(op) {
            Some(Status::Ok) => world.give_back(other, by("other")),
            _ => held.push(node),
        }
        world.exit(other);
        world.settle();
    }
    held
}

#[test]
fn nested_scopes_leave_what_was_there_before() {
    let mut world = World::mesh(4);
    let pid = world.spawn(0);
    world.take_lock(pid, by("me").on(&[0, 1]));
    world.take_lock(pid, by("me").on(&[1, 2]).scope(901));
    world.take_lock(pid, by("me").scope(902));
    assert_eq!(held_on(&mut world, 4), [0, 1, 2, 3]);
    world.give_back(pid, by("me").scope(902));
    assert_eq!(held_on(&mut world, 4), [0, 1, 2]);
    world.give_back(pid, by("me").scope(901));
    assert_eq!(held_on(&mut world, 4), [0, 1]);
    world.give_back(pid, by("me"));
    assert!(held_on(&mut world, 4).is_empty());
    world.assert_at_rest();
}

/// What is given back within a scope is not held again when another one, that had it too, ends.
#[test]
fn a_scope_does_not_bring_back_what_was_given_back() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    world.take_lock(pid, by("me").on(&[0, 1]).scope(901));
    world.give_back(pid, by("me").on(&[1]));
    world.take_lock(pid, by("me").on(&[1]).scope(902));
    assert_eq!(held_on(&mut world, 3), [0, 1]);
    world.give_back(pid, by("me").scope(902));
    assert_eq!(held_on(&mut world, 3), [0]);
    world.give_back(pid, by("me").scope(901));
    assert!(held_on(&mut world, 3).is_empty());
    world.assert_at_rest();
}

/// All that was to be kept was given back: the last scope leaves nothing, and nobody is told of a loss.
#[test]
fn nothing_is_left_when_all_that_was_kept_was_given_back() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    world.take_lock(pid, by("me").on(&[1]));
    world.take_lock(pid, by("me").on(&[2]).scope(901));
    world.give_back(pid, by("me").on(&[1]));
    world.give_back(pid, by("me").scope(901));
    assert_eq!(world.check(pid, "me"), None);
    assert_eq!(world.events(pid), []);
    assert!(held_on(&mut world, 3).is_empty());
    world.assert_at_rest();
}

/// What a scope had on a node that has left is not had on the node that takes its place.
#[test]
fn the_successor_of_a_node_that_left_is_not_held_for_an_older_scope() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    world.take_lock(pid, by("me").on(&[0, 1, 2]));
    world.take_lock(pid, by("me").on(&[0]).scope(901));
    world.command(2, Command::Close);
    world.settle();
    let successor = world.add(Config { node: NodeId(100), ..config(2) });
    world.link(0, successor);
    assert_eq!(held_on(&mut world, 2), [0, 1]);
    world.take_lock(pid, by("me").on(&[2]).scope(902));
    world.give_back(pid, by("me").scope(902));
    let other = world.spawn(successor);
    world.take_lock(other, by("other").on(&[2]));
    world.give_back(other, by("other").on(&[2]));
    world.give_back(pid, by("me").scope(901));
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

// ---- what is lost of it

/// Four nodes that fall into halves while the process on node 0 holds the lock, acquired like this, on all.
fn halves(lock: Lock<'_>) -> (World, Pid, u64) {
    let mut world = World::mesh(4);
    let pid = world.spawn(0);
    let token = world.take_lock(pid, lock);
    cut_all(&mut world, &[(0, 2), (0, 3), (1, 2), (1, 3)]);
    assert_eq!((world.lost_locks(pid), world.check(pid, "me")), (vec![Reason::MINORITY], None));
    world.stay_apart();
    (world, pid, token)
}

/// Within a scope that was lost another one runs and ends, on what is left: that makes nothing good of what others may have
/// done meanwhile, not while it runs and not after it.
#[test]
fn a_scope_makes_nothing_good_that_was_lost_outside_of_it() {
    let (mut world, pid, token) = halves(by("me").scope(901));
    let rival = world.spawn(2);
    world.take_lock(rival, by("rival"));
    assert!(world.take_lock(pid, by("me").scope(902)) >= token, "the inner one has it");
    assert_eq!(world.check(pid, "me"), None);
    world.give_back(pid, by("me").scope(902));
    assert_eq!(world.check(pid, "me"), None);
    world.give_back(pid, by("me").scope(901));
    assert_eq!(world.checks(pid, "me"), [Some(token), None]);
    world.take_lock(pid, by("me").scope(903));
    assert!(world.check(pid, "me").is_some(), "nothing is held any more of what was lost");
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY]);
}

/// What is kept is made good by what is acquired to be kept, and not by a scope.
#[test]
fn what_is_kept_is_made_good_by_what_is_acquired_to_be_kept() {
    let (mut world, pid, _) = halves(by("me"));
    world.take_lock(pid, by("me").scope(901));
    assert_eq!(world.check(pid, "me"), None);
    let token = world.take_lock(pid, by("me"));
    assert_eq!(world.check(pid, "me"), Some(token));
    world.give_back(pid, by("me").scope(901));
    assert_eq!(world.check(pid, "me"), Some(token));
    world.give_back(pid, by("me"));
    world.assert_at_rest_at(0);
}

/// An inner scope on other nodes does not hide that the outer one is lost, and the other way round.
#[test]
fn each_scope_is_judged_by_its_own_nodes() {
    for inner_is_lost in [false, true] {
        let mut world = World::mesh(7);
        let pid = world.spawn(0);
        let lists: [&[NodeIndex]; 2] = [&[0, 1, 2], &[0, 3, 4, 5, 6]];
        let (outer, inner) = if inner_is_lost { (lists[1], lists[0]) } else { (lists[0], lists[1]) };
        world.take_lock(pid, by("me").on(outer).scope(901));
        let token = world.take_lock(pid, by("me").on(inner).scope(902));
        cut_all(&mut world, &[(0, 1), (0, 2)]); // five of seven are there
        assert_eq!((world.lost_locks(pid), world.check(pid, "me")), (vec![Reason::MINORITY], None));
        world.give_back(pid, by("me").scope(902));
        assert_eq!(world.check(pid, "me"), inner_is_lost.then_some(token), "what is left was never lost");
        if inner_is_lost {
            cut_all(&mut world, &[(0, 3), (0, 4)]);
            assert_eq!(world.lost_locks(pid), [Reason::MINORITY], "three of five");
            world.cut(0, 5);
            assert_eq!(world.lost_locks(pid), [Reason::MINORITY; 2], "each is told of for itself");
        }
        world.give_back(pid, by("me").scope(901));
        assert_eq!(world.check(pid, "me"), None);
        world.assert_at_rest_at(0);
    }
}

/// What was lost on a list is made good on all of the list: nodes that the process asks for now say nothing about those that
/// the link broke to.
#[test]
fn a_list_is_made_good_on_all_of_it() {
    let mut world = World::mesh(4);
    let pid = world.spawn(0);
    world.take_lock(pid, by("me").on(&[1, 2, 3]));
    cut_all(&mut world, &[(0, 1), (0, 2)]);
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY]);
    world.take_lock(pid, by("me").on(&[0, 3]));
    assert_eq!(world.check(pid, "me"), None);
    link_all(&mut world, &[(0, 1), (0, 2)]);
    assert_eq!(world.check(pid, "me"), None, "who knows what was there meanwhile");
    let token = world.take_lock(pid, by("me").on(&[1, 2, 3]));
    assert_eq!(world.check(pid, "me"), Some(token));
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

/// A second holder is met where it is: the part that binds there is lost, and when it has ended the rest is relied on.
#[test]
fn a_second_holder_is_met_by_the_part_that_is_there() {
    let mut world = World::nodes(4);
    link_all(&mut world, &[(0, 1), (0, 2), (1, 2)]);
    let (pid, rival) = (world.spawn(0), world.spawn(3));
    world.take_lock(pid, by("me").on(&[1, 2]));
    let token = world.take_lock(pid, by("me").scope(901)); // that of the whole hold
    world.take_lock(rival, by("rival").on(&[3]));
    link_all(&mut world, &[(0, 3), (1, 3), (2, 3)]);
    assert_eq!(world.lost_locks(pid), [Reason::SECOND_HOLDER], "on node 3 alone");
    assert_eq!(world.check(pid, "me"), None);
    world.give_back(pid, by("me").scope(901));
    assert_eq!(world.check(pid, "me"), Some(token));
    world.give_back(pid, by("me"));
    world.give_back(rival, by("rival"));
    world.assert_at_rest();
}

/// Only the part that was lost to broken links ends where it meets a holder; the others stay.
#[test]
fn only_the_part_that_was_lost_ends() {
    let mut world = World::mesh(4);
    let (pid, rival) = (world.spawn(0), world.spawn(1));
    world.take_lock(pid, by("me").on(&[0, 3]));
    let token = world.take_lock(pid, by("me").on(&[1, 2]).scope(901)); // that of the whole hold
    cut_all(&mut world, &[(0, 1), (0, 2)]);
    assert_eq!((world.lost_locks(pid), world.check(pid, "me")), (vec![Reason::MINORITY], None));
    let taken = world.take_lock(rival, by("rival").on(&[1, 2]));
    link_all(&mut world, &[(0, 1), (0, 2)]);
    assert_eq!((world.lost_locks(rival), world.check(rival, "rival")), (vec![], Some(taken)));
    assert_eq!(world.check(pid, "me"), Some(token), "what is left was never lost");
    assert_eq!(held_on(&mut world, 4), [0, 1, 2, 3]);
    world.give_back(rival, by("rival"));
    assert_eq!(held_on(&mut world, 4), [0, 3]);
    let ended = world.release(pid, by("me").scope(901));
    world.settle();
    assert_eq!(world.status(ended), Some(Status::Ok), "the scope ends, there is nothing to be given back");
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}
