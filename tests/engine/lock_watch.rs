//! LOCK_WANTED: a holder that asked hears when another requester begins to wait, once; and who waits, as lists show it.

use crate::asks::every_order;
use crate::harness::{Frame, World, ms, name};
use crate::holds::by;
use convoke::engine::Message;
use convoke::model::{LockRow, Machine};

/// "One event when foreign waiters appear behind the hold", by name of who waits; another one when they appear anew. Many
/// voters see them, the holder hears once.
#[test]
fn a_holder_is_told_when_others_begin_to_wait() {
    let mut world = World::mesh(3);
    let (holder, first, second) = (world.spawn(0), world.spawn(1), world.spawn(2));
    world.take_lock(holder, by("holder"));
    let watch = world.watch(holder, by("holder"));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch), []);
    world.delivered.clear();
    let waits = [world.acquire(first, by("first")), world.acquire(second, by("second"))];
    world.settle();
    assert_eq!(world.wanted_by(holder, watch).len(), 1, "from none to some is one event");
    let wanted = |frame: &Frame| matches!(frame.message(), Some(Message::Wanted { .. }));
    let told = world.delivered.iter().filter(|(_, _, frame)| wanted(frame)).count();
    assert_eq!(told, 2, "each of the other voters tells of the first one");
    for (pid, op) in [(first, waits[0]), (second, waits[1])] {
        world.cancel(pid, op);
        world.settle();
    }
    assert_eq!(world.wanted_by(holder, watch).len(), 1);
    let op = world.acquire(second, by("second"));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch)[1..], [second]);
    world.cancel(second, op);
    world.cancel(holder, watch);
    world.acquire(first, by("first"));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch).len(), 2, "it has ended");
    world.give_back(holder, by("holder"));
    world.exit(first);
    world.settle();
    world.assert_at_rest();
}

/// In every order of arrival one waiter is one event.
#[test]
fn one_waiter_is_one_event_in_every_order() {
    for on in [&[][..], &[0, 1, 2], &[1, 2]] {
        let start = || {
            let mut world = World::mesh(3);
            let (holder, waiter) = (world.spawn(0), world.spawn(1));
            world.take_lock(holder, by("holder").on(on));
            let watch = world.watch(holder, by("holder"));
            world.acquire(waiter, by("waiter"));
            (world, (holder, waiter, watch))
        };
        every_order(
            4,
            start,
            |_, _| {},
            |world, (holder, waiter, watch)| {
                assert_eq!(world.wanted_by(holder, watch), [waiter], "{}", world.picture());
            },
        );
    }
}

/// "Also at once when some wait already at watch time", for each watch; and when the lock is got over the heads of others.
#[test]
fn who_waits_already_is_told_of_at_once() {
    for on in [&[][..], &[0, 1], &[1, 2]] {
        let mut world = World::mesh(3);
        let (holder, waiter, before) = (world.spawn(0), world.spawn(2), world.spawn(1));
        world.take_lock(before, by("before"));
        // A watch on a lock that is not held stays, and applies when it is.
        let early = world.watch(holder, by("holder"));
        let op = world.acquire(holder, by("holder").on(on));
        world.settle();
        world.acquire(waiter, by("waiter"));
        world.settle();
        assert_eq!(world.wanted_by(holder, early), [], "it does not hold it");
        world.give_back(before, by("before"));
        world.token(op);
        assert_eq!(world.wanted_by(holder, early), [waiter]);
        let late = world.watch(holder, by("holder"));
        world.settle();
        assert_eq!(world.wanted_by(holder, late), [waiter]);
        assert_eq!(world.wanted_by(holder, early), [waiter]);
        world.exit(holder);
        world.exit(waiter);
        world.settle();
        world.assert_at_rest();
    }
}

/// A home that does not vote hears from those who do, also of a claim on a part of the set that it is not asked for.
#[test]
fn a_home_without_a_vote_hears_of_waiters() {
    for (held_on, wanted_on) in [(&[1, 2][..], &[1, 2][..]), (&[1, 2], &[2]), (&[0, 1, 2], &[2]), (&[], &[2])]
    {
        let mut world = World::mesh(3);
        let (holder, waiter) = (world.spawn(0), world.spawn(1));
        world.take_lock(holder, by("holder").on(held_on));
        let watch = world.watch(holder, by("holder"));
        world.settle();
        let op = world.acquire(waiter, by("waiter").on(wanted_on));
        world.settle();
        assert_eq!(world.wanted_by(holder, watch), [waiter], "held on {held_on:?}, wanted on {wanted_on:?}");
        // The same process again, by another claim.
        world.cancel(waiter, op);
        world.settle();
        world.acquire(waiter, by("waiter").on(wanted_on));
        world.settle();
        assert_eq!(
            world.wanted_by(holder, watch),
            [waiter; 2],
            "held on {held_on:?}, wanted on {wanted_on:?}"
        );
        world.exit(holder);
        world.exit(waiter);
        world.settle();
        world.assert_at_rest();
    }
}

/// Who waits at home for somebody else's hold there does not hide who waits for this one elsewhere.
#[test]
fn waiters_at_home_for_another_hold_are_not_its_own() {
    let mut world = World::mesh(2);
    let (holder, here) = (world.spawn(0), world.spawn(0));
    let waiters = [world.spawn(0), world.spawn(1)];
    world.take_lock(holder, by("holder").on(&[1]));
    world.take_lock(here, by("here").on(&[0]));
    let watch = world.watch(holder, by("holder"));
    world.acquire(waiters[0], by("waiter").on(&[0]));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch), []);
    world.acquire(waiters[1], by("waiter").on(&[1]));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch), [waiters[1]]);
}

/// Sharers do not wait, and a try does not either; what waits for another lock is nothing to this one.
#[test]
fn only_who_waits_for_this_lock_is_told_of() {
    let mut world = World::mesh(2);
    let (holder, other) = (world.spawn(0), world.spawn(1));
    world.take_lock(holder, by("team"));
    world.take_lock(holder, by("team").of("another"));
    let watch = world.watch(holder, by("team"));
    world.settle();
    world.take_lock(other, by("team"));
    world.acquire(other, by("hasty").retries(0));
    world.acquire(other, by("other").of("another"));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch), []);
    world.exit(other);
    world.exit(holder);
    world.settle();
    world.assert_at_rest();
}

/// One who gives the lock back and takes it again, with those who share it, is told anew of who waits all the while.
#[test]
fn a_new_hold_is_told_of_who_waits_already() {
    let mut world = World::mesh(2);
    let (holder, sharer, waiter) = (world.spawn(0), world.spawn(1), world.spawn(1));
    world.take_lock(holder, by("team"));
    world.take_lock(sharer, by("team"));
    let watch = world.watch(holder, by("team"));
    world.acquire(waiter, by("waiter"));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch), [waiter]);
    world.give_back(holder, by("team"));
    world.take_lock(holder, by("team"));
    assert_eq!(world.wanted_by(holder, watch), [waiter; 2]);
}

/// A hold that is watched is watched on a new link too.
#[test]
fn a_watch_outlives_a_flap() {
    let mut world = World::mesh(3);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    world.take_lock(holder, by("holder").on(&[1, 2]));
    let watch = world.watch(holder, by("holder"));
    world.settle();
    for node in [1, 2] {
        world.cut(0, node);
        world.link(0, node);
    }
    world.acquire(waiter, by("waiter").on(&[2]));
    world.settle();
    assert_eq!(world.wanted_by(holder, watch), [waiter]);
}

/// "Ends with cancel or exit of the process": voters are told, and what they say no more concerns nobody.
#[test]
fn a_watch_ends_with_its_process_and_when_it_is_cancelled() {
    for exits in [false, true] {
        let mut world = World::mesh(2);
        let (holder, waiter) = (world.spawn(0), world.spawn(1));
        world.take_lock(holder, by("holder").on(&[1]));
        let watch = world.watch(holder, by("holder"));
        world.settle();
        if exits {
            world.exit(holder);
        } else {
            world.cancel(holder, watch);
        }
        world.settle();
        world.delivered.clear();
        world.acquire(waiter, by("waiter"));
        world.settle();
        let wanted = |frame: &Frame| matches!(frame.message(), Some(Message::Wanted { .. }));
        assert_eq!(world.delivered.iter().filter(|(_, _, frame)| wanted(frame)).count(), 0);
        assert!(world.engine(0).describe().contains("watches: {}"));
    }
}

// ---- lists

/// `lock_list` "shows holders, waiters and since when": all holders on every node, waiters where they wait.
#[test]
fn rows_of_the_list() {
    let mut world = World::mesh(3);
    let (holder, sharer, waiter) = (world.spawn(0), world.spawn(1), world.spawn(2));
    let token = world.take_lock(holder, by("team"));
    world.advance(ms(100));
    world.take_lock(sharer, by("team").on(&[1]));
    world.take_lock(sharer, by("else").of("q"));
    world.acquire(waiter, by("other").on(&[0, 2]));
    world.advance(ms(50));
    // What changes of a hold does not make it a new one.
    world.watch(holder, by("team"));
    world.settle();
    let row = |resource: &str, requester: &str, pid, token, since_ms| LockRow {
        resource: name(resource),
        requester: name(requester),
        pid,
        token,
        is_waiter: token == 0,
        since_ms,
    };
    for node in 0..3 {
        let mut rows = world.engine(node).locks(world.now, Some(b"r"));
        let waiting = rows.iter().position(|row| row.is_waiter).map(|at| rows.remove(at));
        assert_eq!(rows[0], row("r", "team", holder, token, 150));
        assert!(rows[1].token >= token);
        assert_eq!(rows[1..], [row("r", "team", sharer, rows[1].token, 50)]);
        assert_eq!(waiting, (node != 1).then(|| row("r", "other", waiter, 0, 50)));
        let all = world.engine(node).locks(world.now, None);
        assert_eq!(all.len(), if node == 1 { 3 } else { 4 });
        assert!(all.iter().any(|row| row.resource == name("q")));
        assert_eq!(world.engine(node).locks(world.now, Some(b"nothing")), []);
        // "Since when" goes on while nothing happens.
        let later = world.now + ms(7);
        assert_eq!(world.engine(node).locks(later, Some(b"q"))[0].since_ms, 57);
    }
}

/// `lock_check` is told of every change and of nothing else, whatever happens to the hold.
#[test]
fn what_lock_check_says_in_order() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    let first = world.take_lock(pid, by("me").on(&[0]));
    world.take_lock(pid, by("me").on(&[0]));
    let watch = world.watch(pid, by("me"));
    world.settle();
    world.cancel(pid, watch);
    world.settle();
    assert_eq!(world.checks(pid, "me"), [Some(first)], "the same token is no news");
    // Node 1 is further on with its tokens.
    let other = world.spawn(1);
    for i in 0..9 {
        world.take_lock(other, by("other").of(&format!("lock{i}")).on(&[1]));
    }
    let second = world.take_lock(pid, by("me").on(&[1]));
    world.give_back(pid, by("me").on(&[1]));
    assert_eq!(world.checks(pid, "me"), [Some(first), Some(second)]);
    world.give_back(pid, by("me"));
    let third = world.take_lock(pid, by("me"));
    cut_off(&mut world);
    assert_eq!(world.checks(pid, "me"), [Some(first), Some(second), None, Some(third), None]);
    world.give_back(pid, by("me"));
    world.stay_apart();
    let fourth = world.take_lock(pid, by("me"));
    world.exit(pid);
    let said = world.checks(pid, "me");
    assert_eq!(said[4..], [None, Some(fourth), None]);
}

fn cut_off(world: &mut World) {
    world.cut(0, 1);
    world.cut(0, 2);
    world.settle();
}
