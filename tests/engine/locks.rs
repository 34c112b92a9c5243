//! Locks on all nodes: who gets them, who shares them, how they are given back.

use crate::asks::{acquire, every_order, grant};
use crate::harness::{World, ms};
use crate::holds::{by, drop_, held};
use convoke::engine::Message;
use convoke::model::{Command, Machine, Pid, Ref, Status};

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
    world.until(0, 1, |m| matches!(m, Message::ShareReleased { .. }) || grant(m));
    world.settle();
    assert_eq!((world.status(freed), world.status(op)), (Some(Status::Ok), Some(Status::Ok)));
    assert_eq!(sent(&world, |m| acquire(m) || matches!(m, Message::Wound { .. })), 0, "nobody asks again");
    world.all_list(&[("waiter", waiter)]);
    world.give_back(waiter, by("waiter"));
    world.assert_at_rest();
}

// ---- who shares it

/// "All processes setting it with the same requester id share it; each must delete it": another requester gets it after
/// the last of them, on whatever nodes they are.
#[test]
fn sharers_hold_together_and_each_must_release() {
    let mut world = World::mesh(3);
    let sharers = [world.spawn(0), world.spawn(0), world.spawn(1)];
    let other = world.spawn(2);
    for pid in sharers {
        world.take_lock(pid, by("team"));
    }
    world.all_list(&sharers.map(|pid| ("team", pid)));
    let op = world.acquire(other, by("other"));
    for pid in sharers {
        world.settle();
        assert_eq!(world.status(op), None, "{}", world.picture());
        world.give_back(pid, by("team"));
    }
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_list(&[("other", other)]);
    world.give_back(other, by("other"));
    world.assert_at_rest();
}

/// D13: "one process sets one lock twice: one share, one release". A node keeps it once, whatever the tokens were.
#[test]
fn a_process_has_one_share_however_often_it_asks() {
    let mut world = World::mesh(2);
    let (pid, other) = (world.spawn(0), world.spawn(1));
    let first = world.take_lock(pid, by("me"));
    let second = world.take_lock(pid, by("me"));
    assert!(second >= first);
    world.all_list(&[("me", pid)]);
    world.give_back(pid, by("me"));
    world.all_list(&[]);
    world.take_lock(other, by("other"));
    world.give_back(other, by("other"));
    world.assert_at_rest();
}

/// Those who share a held lock enter at once, before an older claim of another; those who ask before it is held do not
/// overtake an older claim.
#[test]
fn sharers_enter_a_held_lock_at_once() {
    let mut world = World::mesh(2);
    let (first, second, other) = (world.spawn(0), world.spawn(1), world.spawn(1));
    world.take_lock(first, by("team"));
    let waiting = world.acquire(other, by("other"));
    world.settle();
    world.take_lock(second, by("team"));
    assert_eq!(world.status(waiting), None);
    for pid in [first, second] {
        world.give_back(pid, by("team"));
    }
    assert_eq!(world.status(waiting), Some(Status::Ok));
    world.give_back(other, by("other"));
    world.assert_at_rest();
}

/// Claims of one requester may be granted together before any of them is complete: neither waits for the other.
#[test]
fn sharers_ask_at_the_same_time() {
    let start = || {
        let mut world = World::mesh(2);
        let pids = [world.spawn(0), world.spawn(1)];
        let ops = pids.map(|pid| world.acquire(pid, by("team")));
        (world, (pids, ops))
    };
    every_order(
        40,
        start,
        |_, _| {},
        |mut world, (pids, ops)| {
            assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Ok); 2], "{}", world.picture());
            let wounds = sent(&world, |m| matches!(m, Message::Wound { .. }));
            assert_eq!(wounds, 0);
            for pid in pids {
                world.give_back(pid, by("team"));
            }
            world.assert_at_rest();
        },
    );
}

/// "Release by a non-holder: E_NOT_OWNER, nothing changes": another process, another requester, a lock that is free.
#[test]
fn others_cannot_release_it() {
    let mut world = World::mesh(2);
    let (holder, neighbour, stranger) = (world.spawn(0), world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("me"));
    let wrong = [
        world.release(neighbour, by("me")),
        world.release(stranger, by("me")),
        world.release(holder, by("other")),
        world.release(holder, by("me").of("another lock")),
    ];
    world.settle();
    assert_eq!(wrong.map(|op| world.status(op)), [Some(Status::NotOwner); 4]);
    world.all_list(&[("me", holder)]);
    assert_eq!(world.check(holder, "me"), Some(token));
    world.give_back(holder, by("me"));
    let again = world.release(holder, by("me"));
    assert_eq!(world.status(again), Some(Status::NotOwner));
    world.assert_at_rest();
}

// ---- ends

/// "If a process which holds a lock dies, or the node goes down, the locks held by the process are deleted": at once, on
/// every node; sharers keep theirs.
#[test]
fn the_death_of_a_holder_frees_its_share_at_once() {
    for killed in [false, true] {
        let mut world = World::mesh(3);
        let (holder, sharer, waiter) = (world.spawn(0), world.spawn(1), world.spawn(2));
        world.take_lock(holder, by("team"));
        world.take_lock(holder, by("team").of("second lock"));
        world.take_lock(sharer, by("team"));
        let op = world.acquire(waiter, by("other"));
        world.settle();
        if killed {
            world.die(0);
        } else {
            world.exit(holder);
        }
        world.settle();
        assert_eq!(world.status(op), None, "the sharer has it still");
        assert_eq!(world.engine(1).locks(world.now, Some(b"second lock")), []);
        world.give_back(sharer, by("team"));
        assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
        world.exit(waiter);
        world.settle();
        world.assert_at_rest();
    }
}

/// A claim of a process or node that dies goes too, and who waits behind it is served.
#[test]
fn the_death_of_a_claimant_lets_others_in() {
    for killed in [false, true] {
        let mut world = World::mesh(3);
        let (first, second) = (world.spawn(0), world.spawn(1));
        world.acquire(first, by("first"));
        world.until(0, 1, acquire);
        world.until(0, 2, acquire);
        let op = world.acquire(second, by("second"));
        if killed {
            world.die(0);
        } else {
            world.exit(first);
        }
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
        world.all_list_at(1, &[("second", second)]);
        world.give_back(second, by("second"));
        world.assert_at_rest();
    }
}

/// A process that ends in the moment in which its claim is granted leaves nothing.
#[test]
fn an_exit_at_any_moment_of_a_claim_leaves_nothing() {
    for at in 0..12 {
        let mut world = World::mesh(3);
        let pid = world.spawn(0);
        let op = world.acquire(pid, by("me"));
        for _ in 0..at {
            if let Some((from, to)) = world.channels().first().copied() {
                world.step(from, to);
            }
        }
        let held = world.status(op) == Some(Status::Ok);
        world.exit(pid);
        world.settle();
        assert_eq!(world.status(op), Some(if held { Status::Ok } else { Status::NoProcess }));
        assert_eq!(world.check(pid, "me"), None);
        world.all_list(&[]);
        world.assert_at_rest();
    }
}

/// A node that closes takes all its locks with it, and what its callers waited for is answered.
#[test]
fn a_node_that_closes_gives_everything_back() {
    let mut world = World::mesh(2);
    let (holder, waiter) = (world.spawn(0), world.spawn(1));
    world.take_lock(holder, by("holder"));
    world.take_lock(waiter, by("waiter").of("another"));
    let on_another = world.acquire(holder, by("holder").of("another"));
    let op = world.acquire(waiter, by("waiter"));
    world.settle();
    world.command(0, Command::Close);
    world.settle();
    assert_eq!(world.status(on_another), Some(Status::Closed));
    assert_eq!(world.check(holder, "holder"), None);
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.engine(0).residue().iter().map(|(_, count)| count).sum::<usize>(), 0);
}

/// A process that is gone locks nothing; names are checked.
#[test]
fn senseless_requests_are_refused() {
    let mut world = World::mesh(2);
    let (pid, gone) = (world.spawn(0), world.spawn(0));
    world.exit(gone);
    let long = "x".repeat(2000);
    let refused = [
        (world.acquire(gone, by("me")), Status::NoProcess),
        (world.acquire(pid, by("")), Status::Invalid),
        (world.acquire(pid, by("me").of("")), Status::Invalid),
        (world.acquire(pid, by(&long)), Status::TooBig),
        (world.acquire(pid, by("me").of(&long)), Status::TooBig),
        (world.release(gone, by("me")), Status::NoProcess),
        (world.release(pid, by("")), Status::Invalid),
        (world.release(pid, by("me").of(&long)), Status::TooBig),
    ];
    for (op, status) in refused {
        assert_eq!(world.status(op), Some(status));
    }
    assert!(world.in_flight().is_empty());
    world.assert_at_rest();
}

// ---- contention

/// No two requesters may rely on the lock at one time.
fn at_most_one(world: &World, pids: &[(&str, Pid)]) {
    let holding: Vec<_> =
        pids.iter().filter(|(requester, pid)| world.check(*pid, requester).is_some()).collect();
    assert!(holding.len() <= 1, "{holding:?}\n{}", world.picture());
}

/// "Smaller transactions are older; older wins (wound-wait)": in every order of arrival of two claims the older one has
/// the lock first, the other one after it, and never both.
#[test]
fn of_two_claims_the_older_is_first_in_every_order() {
    let mut wounds = 0;
    for older in 0..2 {
        let start = || {
            let mut world = World::mesh(3);
            let pids = [world.spawn(0), world.spawn(1)];
            // A clock that is ahead makes a claim young: commands alone move it, nothing arrives.
            for i in 0..9 {
                world.acquire(pids[1 - older], by("me").of(&format!("before{i}")));
            }
            let ops = [world.acquire(pids[0], by("0")), world.acquire(pids[1], by("1"))];
            (world, (pids, ops))
        };
        let look = |world: &World, (pids, _): &([Pid; 2], [Ref; 2])| {
            at_most_one(world, &[("0", pids[0]), ("1", pids[1])]);
        };
        every_order(4, start, look, |mut world, (pids, ops)| {
            let requesters = ["0", "1"];
            assert_eq!(world.status(ops[older]), Some(Status::Ok), "{}", world.picture());
            assert_eq!(world.status(ops[1 - older]), None);
            wounds += sent(&world, |m| matches!(m, Message::Wound { .. }));
            world.give_back(pids[older], by(requesters[older]));
            assert_eq!(world.status(ops[1 - older]), Some(Status::Ok));
            let tokens = [older, 1 - older].map(|i| world.token(ops[i]));
            assert!(tokens[0] < tokens[1], "{tokens:?}");
            world.exit(pids[0]);
            world.exit(pids[1]);
            world.settle();
            world.assert_at_rest();
        });
    }
    assert!(wounds > 0, "in some order the younger one was granted first somewhere");
}

/// Three claims of three nodes: each has the lock once, the oldest first, whoever hears of them in which order.
#[test]
fn of_three_claims_each_has_its_turn() {
    let start = || {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        let ops = [0, 1, 2].map(|i| world.acquire(pids[i], by(["a", "b", "c"][i])));
        (world, (pids, ops))
    };
    let look = |world: &World, (pids, _): &([Pid; 3], [Ref; 3])| {
        at_most_one(world, &[("a", pids[0]), ("b", pids[1]), ("c", pids[2])]);
    };
    every_order(3, start, look, |mut world, (pids, ops)| {
        let mut last = 0;
        for turn in 0..3 {
            let answered: Vec<usize> = (0..3).filter(|i| world.status(ops[*i]).is_some()).collect();
            assert_eq!(answered.len(), turn + 1, "{}", world.picture());
            let has_it = |i: &usize| world.check(pids[*i], ["a", "b", "c"][*i]).is_some();
            let holder = answered.into_iter().find(has_it).expect("one has it");
            assert!(world.token(ops[holder]) > last);
            last = world.token(ops[holder]);
            world.give_back(pids[holder], by(["a", "b", "c"][holder]));
        }
        world.assert_at_rest();
    });
}

/// "Waiters are served oldest first."
#[test]
fn waiters_are_served_oldest_first() {
    let mut world = World::mesh(3);
    let holder = world.spawn(0);
    world.take_lock(holder, by("holder"));
    let waiters: Vec<(Pid, String, Ref)> = (0..6)
        .map(|i| {
            let pid = world.spawn([2, 0, 1][i % 3]);
            let requester = format!("waiter{i}");
            let op = world.acquire(pid, by(&requester));
            world.settle();
            (pid, requester, op)
        })
        .collect();
    for node in 0..3 {
        let order: Vec<Pid> = world.waiters(node).into_iter().map(|(_, pid)| pid).collect();
        assert_eq!(order, waiters.iter().map(|(pid, ..)| *pid).collect::<Vec<_>>());
    }
    world.give_back(holder, by("holder"));
    for (i, (pid, requester, _)) in waiters.iter().enumerate() {
        let answered = waiters.iter().filter(|(.., op)| world.status(*op).is_some()).count();
        assert_eq!(answered, i + 1);
        world.all_list(&[(requester, *pid)]);
        world.give_back(*pid, by(requester));
    }
    world.assert_at_rest();
}
