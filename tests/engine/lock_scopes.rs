//! Locks that are acquired for a while (`convoke_lock_with`): the end of a scope leaves what is held as it would be without it.

use crate::harness::*;
use crate::holds::*;
use convoke::engine::*;

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

/// A node that parted in order is gone from all that was acquired; when it is back it is held only for whom has asked anew.
#[test]
fn a_node_that_parted_and_came_back_is_not_held_for_an_older_scope() {
    let mut world = World::mesh(3);
    let (pid, asker) = (world.spawn(0), world.spawn(0));
    world.take_lock(pid, by("me").on(&[0, 1, 2]));
    world.take_lock(pid, by("me").on(&[0]).scope(901));
    world.call(asker, |process, op| Command::Disconnect {
        process,
        op,
        node_name: "node2".into(),
        patience: Patience::FOREVER,
    });
    world.settle();
    world.link(0, 2);
    assert_eq!(held_on(&mut world, 3), [0, 1]);
    world.take_lock(pid, by("me").on(&[2]).scope(902));
    world.give_back(pid, by("me").scope(902));
    assert_eq!(held_on(&mut world, 3), [0, 1]);
    world.give_back(pid, by("me").scope(901));
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}
