//! Locks on all nodes: who gets them, who shares them, how they are given back.

use crate::asks::*;
use crate::harness::*;
use crate::holds::*;
use convoke::engine::*;

fn sent(world: &World, wanted: impl Fn(&Message) -> bool) -> usize {
    world.delivered.iter().filter(|(_, _, frame)| frame.message().is_some_and(&wanted)).count()
}

/// "Lock: complete when every node of the set granted: 1 round trip." Every node lists the holder then; given back, it
/// is free everywhere when the call returns.
#[test]
fn a_lock_is_taken_in_one_round_trip_and_given_back_in_one() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    let op = world.acquire(pid, by("me"));
    assert_eq!(world.status(op), None);
    for node in [1, 2] {
        world.until(0, node, acquire);
        world.until(node, 0, grant);
    }
    let token = world.token(op);
    assert!(token > 0);
    assert_eq!(world.check(pid, "me"), Some(token));
    world.settle();
    world.all_list(&[("me", pid)]);
    assert_eq!(sent(&world, |m| acquire(m) || grant(m) || held(m)), 6, "2 of each to and from 2 peers");

    world.delivered.clear();
    let op = world.release(pid, by("me"));
    assert_eq!(world.check(pid, "me"), None);
    assert_eq!(world.status(op), None);
    for node in [1, 2] {
        world.until(0, node, drop_);
        world.until(node, 0, |m| matches!(m, Message::Ack { .. }));
    }
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_list(&[]);
    assert_eq!(world.delivered.len(), 4);
    assert_eq!(world.checks(pid, "me"), [Some(token), None]);
    world.assert_at_rest();
}

/// Alone there is nobody to ask.
#[test]
fn a_lone_node_locks_by_itself() {
    let mut world = World::nodes(1);
    let pid = world.spawn(0);
    let first = world.acquire(pid, by("me"));
    let second = world.release(pid, by("me"));
    assert_eq!([first, second].map(|op| world.status(op)), [Some(Status::Ok); 2]);
    world.assert_at_rest();
}

/// "A release hands over in about one round trip", and nobody polls: the grant goes out with the arrival of `Drop`.
#[test]
fn a_release_hands_over_to_who_waits() {
    let mut world = World::mesh(3);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    world.take_lock(holder, by("holder"));
    let op = world.acquire(waiter, by("waiter"));
    world.settle();
    world.advance(ms(100));
    assert_eq!(world.status(op), None);
    for node in 0..3 {
        assert_eq!(world.waiters(node), [("waiter".into(), waiter)]);
    }
    let freed = world.release(holder, by("holder"));
    world.delivered.clear();
    world.until(0, 1, |m| matches!(m, Message::Drop { .. }) || grant(m));
    world.settle();
    assert_eq!((world.status(freed), world.status(op)), (Some(Status::Ok), Some(Status::Ok)));
    assert_eq!(sent(&world, |m| acquire(m) || matches!(m, Message::Wound { .. })), 0, "nobody asks again");
    world.all_list(&[("waiter", waiter)]);
    world.give_back(waiter, by("waiter"));
    world.assert_at_rest();
}
