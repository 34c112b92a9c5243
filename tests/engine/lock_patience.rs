//! How long an acquire waits: not at all, for its retries, until its deadline, until it is cancelled. What it had taken is
//! given back, and nothing else.

use crate::asks::every_order;
use crate::harness::{World, ms};
use crate::holds::by;
use convoke::model::{Pid, Status};

/// A mesh of three; a process of node 0 holds the lock.
fn held_by() -> (World, Pid) {
    let mut world = World::mesh(3);
    let holder = world.spawn(0);
    world.take_lock(holder, by("holder"));
    (world, holder)
}

/// "Timeout 0 and retries 0: nowait": no at once while somebody has it, yes when it is free or shared.
#[test]
fn a_try_takes_what_is_free_and_never_waits() {
    for retries in [false, true] {
        let (mut world, holder) = held_by();
        let pid = world.spawn(1);
        let attempt = |world: &World, requester| {
            if retries { by(requester).retries(0) } else { by(requester).within(world, 0) }
        };
        let lock = attempt(&world, "other");
        let op = world.acquire(pid, lock);
        world.settle();
        assert_eq!(world.status(op), Some(Status::Timeout));
        assert!(world.outcome(op).is_some_and(|outcome| !outcome.detail.is_empty()));
        assert_eq!(world.waiters(0), []);
        let lock = attempt(&world, "holder");
        world.take_lock(pid, lock);
        world.give_back(pid, by("holder"));
        world.give_back(holder, by("holder"));
        let lock = attempt(&world, "other");
        world.take_lock(pid, lock);
        world.give_back(pid, by("other"));
        world.assert_at_rest();
    }
}

/// A try against an older claim that is not complete: it is denied, or wounded, in every order; the other one gets it.
#[test]
fn a_try_never_stands_behind_another_claim() {
    let start = || {
        let mut world = World::mesh(2);
        let pids = [world.spawn(0), world.spawn(1)];
        let patient = world.acquire(pids[0], by("patient"));
        let lock = by("hasty").within(&world, 0);
        let no_wait = world.acquire(pids[1], lock);
        (world, (pids, patient, no_wait))
    };
    let mut outcomes = std::collections::BTreeSet::new();
    every_order(
        40,
        start,
        |_, _| {},
        |mut world, (pids, patient, no_wait)| {
            let status = world.status(no_wait).expect("an answer without any wait");
            outcomes.insert(status);
            if status == Status::Ok {
                assert_eq!(world.status(patient), None);
                world.give_back(pids[1], by("hasty"));
            } else {
                assert_eq!(status, Status::Timeout);
            }
            assert_eq!(world.status(patient), Some(Status::Ok), "{}", world.picture());
            world.give_back(pids[0], by("patient"));
            world.assert_at_rest();
        },
    );
    assert!(outcomes.contains(&Status::Timeout));
}

/// Two tries at one moment: at most one gets it; the lock is free afterwards, and no try hangs.
#[test]
fn two_tries_at_once_do_not_hang() {
    let start = || {
        let mut world = World::mesh(2);
        let pids = [world.spawn(0), world.spawn(1)];
        let ops = [0, 1].map(|i| world.acquire(pids[i], by(["a", "b"][i]).retries(0)));
        (world, (pids, ops))
    };
    every_order(
        40,
        start,
        |_, _| {},
        |mut world, (pids, ops)| {
            let statuses = ops.map(|op| world.status(op).expect("an answer without any wait"));
            let won = statuses.iter().filter(|status| **status == Status::Ok).count();
            assert!(won <= 1, "{statuses:?}");
            for pid in pids {
                world.exit(pid);
            }
            world.settle();
            world.assert_at_rest();
        },
    );
}

/// "N+1 attempts; no polling: a bounded number of retries is a bounded time in the queue (the sum of the manual's
/// back-off sleeps), the grant comes at once when the lock is free."
#[test]
fn retries_bound_the_time_in_the_queue() {
    for (retries, time) in [(1, 125), (2, 375), (3, 875), (5, 3875), (6, 7875), (8, 15875)] {
        let (mut world, holder) = held_by();
        let (first, second) = (world.spawn(1), world.spawn(2));
        let op = world.acquire(first, by("other").retries(retries));
        world.advance(ms(time - 1));
        assert_eq!(world.status(op), None, "{retries} retries");
        world.advance(ms(1));
        assert_eq!(world.status(op), Some(Status::Timeout), "{retries} retries");
        assert_eq!(world.waiters(0), []);
        // In the last moment of the time it is served as any other.
        let op = world.acquire(second, by("other").retries(retries));
        world.advance(ms(time - 1));
        world.give_back(holder, by("holder"));
        assert_eq!(world.status(op), Some(Status::Ok));
        assert!(!world.engine(2).describe().contains("NoWait("), "nothing is timed any more");
        world.advance(ms(1));
        assert!(world.check(second, "other").is_some(), "what is held is held");
        world.give_back(second, by("other"));
        world.assert_at_rest();
    }
}

/// More retries than anybody lives to see.
#[test]
fn endless_retries_are_no_overflow() {
    let (mut world, holder) = held_by();
    let pid = world.spawn(1);
    let op = world.acquire(pid, by("other").retries(u64::MAX));
    world.advance(ms(60_000));
    assert_eq!(world.status(op), None);
    world.give_back(holder, by("holder"));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.exit(pid);
    world.settle();
    world.assert_at_rest();
}

/// Retries bound the time in the queue, not the network: a voter that does not answer is waited for.
#[test]
fn retries_do_not_count_a_slow_voter() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    world.hang(2);
    let op = world.acquire(pid, by("me").retries(1));
    world.advance(ms(1000));
    assert_eq!(world.status(op), None);
    world.wake(2);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok), "nobody stood before it");
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}

/// A claim that does not wait any more and that others wound gives up.
#[test]
fn a_hurried_claim_gives_way_to_an_older_one() {
    let mut world = World::mesh(3);
    let (older, younger) = (world.spawn(0), world.spawn(1));
    let first = world.acquire(older, by("older"));
    world.hang(2);
    // The younger one is granted by its own voter, for the older one's question is not there yet.
    for _ in 0..3 {
        world.acquire(younger, by("younger").of("clock"));
    }
    let second = world.acquire(younger, by("younger").retries(1));
    world.advance_still(ms(125));
    world.settle();
    assert_eq!(world.status(second), Some(Status::Timeout), "{}", world.picture());
    world.wake(2);
    world.settle();
    assert_eq!(world.status(first), Some(Status::Ok));
    world.exit(older);
    world.exit(younger);
    world.settle();
    world.assert_at_rest();
}

/// "At its deadline acquire is undone: E_TIMEOUT"; cancelling is an early deadline. Who stands behind it is served.
#[test]
fn a_deadline_gives_back_what_was_taken() {
    for cancelled in [false, true] {
        for queued in [false, true] {
            let (mut world, holder) = held_by();
            if !queued {
                // Two of three grant, the third is silent.
                world.give_back(holder, by("holder"));
                world.hang(2);
            }
            let (first, second) = (world.spawn(1), world.spawn(0));
            let lock = by("first").within(&world, 300);
            let op = world.acquire(first, lock);
            world.settle();
            let behind = world.acquire(second, by("second"));
            world.advance(ms(299));
            assert_eq!(world.status(op), None);
            if cancelled {
                world.cancel(first, op);
            }
            world.advance(ms(1));
            let status = if cancelled { Status::Cancelled } else { Status::Timeout };
            assert_eq!(world.status(op), Some(status));
            world.wake(2);
            if queued {
                assert_eq!(world.status(behind), None);
                world.give_back(holder, by("holder"));
            }
            world.settle();
            assert_eq!(world.status(behind), Some(Status::Ok), "{}", world.picture());
            assert_eq!(world.checks(first, "first"), []);
            world.all_list(&[("second", second)]);
            world.give_back(second, by("second"));
            world.assert_at_rest();
        }
    }
}

/// A deadline at any moment: held or undone everywhere, as the answer says.
#[test]
fn a_cancel_at_any_moment_of_a_claim() {
    for at in 0..12 {
        let mut world = World::mesh(3);
        let pid = world.spawn(0);
        let op = world.acquire(pid, by("me"));
        for _ in 0..at {
            if let Some((from, to)) = world.channels().first().copied() {
                world.step(from, to);
            }
        }
        world.cancel(pid, op);
        world.settle();
        match world.status(op) {
            Some(Status::Ok) => {
                world.all_list(&[("me", pid)]);
                world.give_back(pid, by("me"));
            }
            status => assert_eq!(status, Some(Status::Cancelled)),
        }
        world.all_list(&[]);
        world.assert_at_rest();
    }
}

/// "Release is not undone: E_TIMEOUT says done here, on its way to the rest."
#[test]
fn a_release_at_its_deadline_is_done_here() {
    let (mut world, holder) = held_by();
    let waiter = world.spawn(1);
    let waiting = world.acquire(waiter, by("waiter"));
    world.settle();
    world.hang(2);
    let lock = by("holder").within(&world, 300);
    let op = world.release(holder, lock);
    world.advance(ms(300));
    assert_eq!(world.status(op), Some(Status::Timeout));
    assert_eq!(world.check(holder, "holder"), None);
    world.all_list_at(0, &[]);
    world.wake(2);
    world.settle();
    assert_eq!(world.status(waiting), Some(Status::Ok));
    world.give_back(waiter, by("waiter"));
    world.assert_at_rest();
}

/// D15: "a retry that fails gives back only what this attempt took": the share that was held before stays.
#[test]
fn a_failed_attempt_keeps_the_share_held_before() {
    for cancelled in [false, true] {
        let mut world = World::mesh(2);
        let (holder, other) = (world.spawn(0), world.spawn(1));
        let token = world.take_lock(holder, by("me").on(&[0]));
        world.take_lock(other, by("other").on(&[1]));
        let op = if cancelled {
            let op = world.acquire(holder, by("me").on(&[0, 1]));
            world.settle();
            world.cancel(holder, op);
            op
        } else {
            world.acquire(holder, by("me").on(&[0, 1]).retries(0))
        };
        world.settle();
        assert_eq!(world.status(op), Some(if cancelled { Status::Cancelled } else { Status::Timeout }));
        assert_eq!(world.check(holder, "me"), Some(token));
        let rival = world.acquire(other, by("rival").on(&[0]).retries(0));
        world.settle();
        assert_eq!(world.status(rival), Some(Status::Timeout), "node 0 keeps others out");
        world.give_back(holder, by("me"));
        world.give_back(other, by("other"));
        world.assert_at_rest();
    }
}
