//! LOCK_LOST for want of a majority: which ends of links lose a lock, and of which nodes the majority is counted.

use crate::harness::{DETECTION, NodeIndex, World, config, name};
use crate::holds::by;
use convoke::model::{Command, Config, Event, Name, NodeId, Reason, Status};

/// "LOCK_LOST: MINORITY when broken links leave at most half of the set", once; "the shares keep excluding others until
/// release", which is no failure; lock_check says so from then on.
#[test]
fn broken_links_that_leave_half_lose_the_lock() {
    for nodes in 2..6 {
        let mut world = World::mesh(nodes);
        let holder = world.spawn(0);
        let token = world.take_lock(holder, by("holder"));
        for lost in 1..nodes {
            world.cut(0, lost);
            let present = nodes - lost;
            let reasons = if 2 * present <= nodes { vec![Reason::MINORITY] } else { vec![] };
            assert_eq!(world.lost_locks(holder), reasons, "{present} of {nodes}");
            assert_eq!(world.check(holder, "holder"), reasons.is_empty().then_some(token));
        }
        let events = world.events(holder);
        let lost = Event::LockLost {
            resource: name("r"),
            requester: name("holder"),
            token,
            reason: Reason::MINORITY,
        };
        assert_eq!(events, [lost]);
        let neighbour = world.spawn(0);
        let op = world.acquire(neighbour, by("neighbour").retries(0));
        assert_eq!(world.status(op), Some(Status::Timeout), "others are kept out");
        world.settle();
        world.give_back(holder, by("holder"));
        assert_eq!(world.checks(holder, "holder"), [Some(token), None]);
        world.assert_at_rest();
    }
}

/// "(not orderly departures)": nodes that close in order only shrink the set, down to the holder alone; so do those that have
/// died for certain.
#[test]
fn orderly_departures_and_certain_deaths_lose_no_lock() {
    for dying in [false, true] {
        let mut world = World::mesh(4);
        let holder = world.spawn(0);
        let token = world.take_lock(holder, by("holder"));
        for node in 1..4 {
            if dying {
                world.die(node);
            } else {
                world.command(node, Command::Close);
            }
            world.settle();
        }
        assert_eq!(world.engine(0).links().count(), 0);
        assert_eq!((world.lost_locks(holder), world.check(holder, "holder")), (vec![], Some(token)));
        world.give_back(holder, by("holder"));
        world.assert_at_rest();
    }
}

/// Departures shrink what a majority is counted of: one of two that are left is half.
#[test]
fn a_majority_is_counted_of_those_who_did_not_leave() {
    let mut world = World::mesh(5);
    let holder = world.spawn(0);
    world.take_lock(holder, by("holder"));
    for node in [3, 4] {
        world.command(node, Command::Close);
        world.settle();
    }
    world.cut(0, 1);
    assert_eq!(world.lost_locks(holder), [], "two of three are there");
    world.command(2, Command::Close);
    world.settle();
    assert_eq!(world.lost_locks(holder), [Reason::MINORITY], "one of two");
}

/// The set is the list, without the holder's own node if that is not in it; "or the set is empty".
#[test]
fn a_list_is_lost_by_its_own_nodes() {
    let mut world = World::mesh(4);
    let holder = world.spawn(0);
    let on = |world: &mut World, list: &[NodeIndex], lock: &'static str| {
        world.take_lock(holder, by("holder").of(lock).on(list));
    };
    on(&mut world, &[1], "one");
    on(&mut world, &[1, 2, 3], "three");
    on(&mut world, &[2], "two");
    let lost = |world: &World| -> Vec<Name> {
        let events = world.events(holder).into_iter();
        events
            .map(|event| match event {
                Event::LockLost { resource, reason: Reason::MINORITY, .. } => resource,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    world.cut(0, 1);
    assert_eq!(lost(&world), [name("one")]);
    world.command(2, Command::Close);
    world.settle();
    assert_eq!(lost(&world), [name("one"), name("three"), name("two")], "one of two, and none at all");
    world.exit(holder);
    world.settle();
    world.assert_at_rest_at(0);
}

/// Links that end at one moment cost one part of the hold after the other. The process is told once that it has lost the lock.
#[test]
fn parts_that_are_lost_at_one_moment_are_told_of_once() {
    let mut world = World::mesh(5);
    let holder = world.spawn(0);
    world.take_lock(holder, by("holder").on(&[0, 1]));
    world.take_lock(holder, by("holder").scope(901));
    world.cut(0, 3);
    assert_eq!(world.lost_locks(holder), [], "four of five, and two of two");
    // Both are given up when the one that is left says that it does not hear them either.
    for silent in [1, 2] {
        world.black_hole(0, silent);
        world.black_hole(4, silent);
    }
    world.advance(DETECTION);
    assert!(world.is_linked(0, 4) && !world.is_linked(0, 1) && !world.is_linked(0, 2));
    assert_eq!(world.lost_locks(holder), [Reason::MINORITY]);
    assert_eq!(world.check(holder, "holder"), None);
    // What is acquired anew and lost is told of again.
    world.take_lock(holder, by("holder").on(&[0, 4]).scope(902));
    world.cut(0, 4);
    assert_eq!(world.lost_locks(holder), [Reason::MINORITY; 2]);
}

/// Nodes that join a hold on the view count, those that come back count again.
#[test]
fn joiners_and_returners_count() {
    let mut world = World::nodes(4);
    let holder = world.spawn(0);
    world.take_lock(holder, by("holder"));
    for node in 1..4 {
        world.link(0, node);
    }
    world.cut(0, 1);
    world.link(0, 1);
    world.cut(0, 2);
    world.link(0, 2);
    world.cut(0, 3);
    assert_eq!(world.lost_locks(holder), [], "three of four, each time");
    world.cut(0, 1);
    assert_eq!(world.lost_locks(holder), [Reason::MINORITY], "two of four");
}

/// A list takes in nobody, but who comes back binds what it bound.
#[test]
fn returners_count_in_a_list() {
    let mut world = World::mesh(4);
    let (holder, other) = (world.spawn(0), world.spawn(3));
    world.take_lock(holder, by("holder").on(&[0, 1, 2]));
    for lost in [1, 2, 1] {
        world.cut(0, lost);
        world.settle();
        world.link(0, lost);
        let op = world.acquire(other, by("other").on(&[lost]).retries(0));
        world.settle();
        assert_eq!(world.status(op), Some(Status::Timeout), "node {lost}");
    }
    assert_eq!(world.lost_locks(holder), []);
    world.cut(0, 3);
    assert_eq!(world.lost_locks(holder), []);
    world.give_back(holder, by("holder"));
}

/// A node that crashes and is started again under its name takes its own place: crashes one after the other lose nothing.
#[test]
fn restarts_one_after_the_other_lose_no_lock() {
    let mut world = World::mesh(3);
    let holder = world.spawn(0);
    world.take_lock(holder, by("holder"));
    let mut present = [1, 2];
    for round in 0..6 {
        let down = round % 2;
        world.crash(present[down]);
        world.settle();
        let restarted = Config { node: NodeId(100 + round as u64), ..config(down + 1) };
        present[down] = world.add(restarted);
        world.link(0, present[down]);
        world.link(present[0], present[1]);
        assert_eq!(world.lost_locks(holder), [], "round {round}");
    }
    let other = world.spawn(present[0]);
    let op = world.acquire(other, by("other").on(&[1]).retries(0));
    world.settle();
    assert_eq!(world.status(op), Some(Status::Timeout), "bound on the newest incarnation");
    world.give_back(holder, by("holder"));
    world.assert_at_rest();
}
