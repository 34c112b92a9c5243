//! Locks while the view changes: nodes that join, links that break and come back, and two halves that meet.

use crate::harness::{Frame, NodeIndex, World};
use crate::holds::by;
use convoke::engine::Message;
use convoke::model::{Action, Deadline, NodeId, Pid, Reason, Status};

pub(crate) fn link_all(world: &mut World, pairs: &[(NodeIndex, NodeIndex)]) {
    for (a, b) in pairs {
        world.link(*a, *b);
    }
}

pub(crate) fn cut_all(world: &mut World, pairs: &[(NodeIndex, NodeIndex)]) {
    for (a, b) in pairs {
        world.cut(*a, *b);
    }
    world.settle();
}

// ---- who joins

/// D20: "a node joins while a lock on all nodes is held: the joiner is bound by it"; one on a list does not bind it.
#[test]
fn a_joiner_is_bound_by_what_is_held_on_the_view() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let (holder, other) = (world.spawn(0), world.spawn(2));
    world.take_lock(holder, by("holder"));
    world.take_lock(holder, by("holder").of("listed").on(&[0, 1]));
    link_all(&mut world, &[(0, 2), (1, 2)]);
    world.all_list(&[("holder", holder)]);
    let op = world.acquire(other, by("other").on(&[2]));
    world.take_lock(other, by("other").of("listed").on(&[2]));
    assert_eq!(world.status(op), None);
    world.give_back(holder, by("holder"));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.give_back(other, by("other"));
    world.exit(holder);
    world.exit(other);
    world.settle();
    world.assert_at_rest();
}

/// "Each view claim of mine still Acquiring: nodes+=p, send p Acquire": a claim on the view is asked of a joiner too, one
/// on a list is not.
#[test]
fn a_joiner_is_asked_about_claims_on_the_view() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let (pid, rival) = (world.spawn(0), world.spawn(2));
    world.take_lock(rival, by("rival"));
    world.take_lock(rival, by("rival").of("listed").on(&[2]));
    world.hang(1);
    let on_view = world.acquire(pid, by("me"));
    let on_list = world.acquire(pid, by("me").of("listed").on(&[0, 1]));
    world.link(0, 2);
    world.wake(1);
    world.settle();
    assert_eq!(world.status(on_view), None, "the joiner's lock is in the way");
    assert_eq!(world.status(on_list), Some(Status::Ok));
    world.give_back(rival, by("rival"));
    assert_eq!(world.status(on_view), Some(Status::Ok));
    world.exit(rival);
    world.exit(pid);
    world.settle();
    world.assert_at_rest();
}

/// "Installing a hold over another requester's incomplete claim wounds that claim whatever its age."
#[test]
fn a_hold_that_comes_with_a_snapshot_wounds_the_oldest_claim() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let (claimant, holder) = (world.spawn(0), world.spawn(2));
    // Claimed first, by the older clock, and granted at home; node 1 does not answer.
    world.hang(1);
    let op = world.acquire(claimant, by("claimant"));
    world.take_lock(holder, by("holder"));
    world.link(0, 2);
    world.wake(1);
    world.settle();
    assert_eq!(world.status(op), None, "{}", world.picture());
    assert_eq!(world.lost_locks(holder), []);
    assert_eq!(world.waiters(0), [("claimant".into(), claimant)]);
    world.give_back(holder, by("holder"));
    assert_eq!(world.status(op), Some(Status::Ok));
    world.give_back(claimant, by("claimant"));
    world.assert_at_rest();
}

/// A lock that was lost is acquired anew while the last other node of its set goes away: the claim goes on without it.
#[test]
fn what_was_lost_is_acquired_anew_without_the_nodes_that_go() {
    let mut world = World::mesh(4);
    let pid = world.spawn(0);
    world.take_lock(pid, by("me"));
    cut_all(&mut world, &[(0, 1), (0, 2)]);
    assert_eq!(world.check(pid, "me"), None, "two of four are left");
    world.stay_apart();
    world.hang(3);
    let again = world.acquire(pid, by("me"));
    world.settle();
    assert_eq!(world.status(again), None);
    world.cut(0, 3);
    world.stay_apart();
    assert_eq!(world.status(again), Some(Status::Ok));
    assert!(world.check(pid, "me").is_some());
    world.give_back(pid, by("me"));
}

/// A hold that was lost to broken links is acquired anew at the very moment at which a voter, which has granted that, hears
/// of another holder: what its home said of it was of the time before, so it is asked again.
#[test]
pub(crate) fn what_is_acquired_anew_meets_the_second_holder_again() {
    let mut world = World::mesh(6);
    let (pid, other) = (world.spawn(0), world.spawn(2));
    world.take_lock(pid, by("me"));
    for side in [0, 1, 4] {
        cut_all(&mut world, &[(side, 2), (side, 3), (side, 5)]);
    }
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY]);
    world.stay_apart();
    world.take_lock(other, by("rival"));
    world.hang(4);
    let again = world.acquire(pid, by("me"));
    world.settle();
    world.connect(1, 2);
    while world.step(1, 2).is_some() | world.step(2, 1).is_some() {}
    world.until(1, 0, |message| matches!(message, Message::ConfirmHold { .. }));
    world.wake(4);
    world.until(0, 4, |message| matches!(message, Message::Acquire { .. }));
    world.until(4, 0, |message| matches!(message, Message::Grant { .. }));
    assert_eq!(world.status(again), Some(Status::Ok));
    assert!(world.check(pid, "me").is_some());
    world.settle();
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY, Reason::SECOND_HOLDER]);
    assert_eq!(world.lost_locks(other), [Reason::SECOND_HOLDER]);
    assert_eq!([world.check(pid, "me"), world.check(other, "rival")], [None; 2]);
}

// ---- flaps

/// A node whose link broke comes back, and leaves in order before the two have each other's snapshots: it is gone from the
/// set, and not missed.
#[test]
fn who_comes_back_only_to_leave_is_not_missed() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    let token = world.take_lock(pid, by("me"));
    world.cut(0, 1);
    world.settle();
    world.connect(0, 1);
    assert!(world.engine(0).links().any(|(node, synced)| node == NodeId(2) && !synced));
    let (node_name, deadline) = ("node1".to_owned(), Deadline::FOREVER);
    world.operate(pid, deadline, Action::Disconnect { node_name });
    world.settle();
    assert_eq!(world.lost_locks(pid), []);
    assert_eq!(world.check(pid, "me"), Some(token));
}

/// "Hello re-binds after a flap": the share is the same one, others are kept out again, and a majority was there all along.
#[test]
fn a_flap_leaves_the_lock_as_it_was() {
    let mut world = World::mesh(3);
    let (holder, other) = (world.spawn(0), world.spawn(1));
    let token = world.take_lock(holder, by("holder"));
    let waiting = world.acquire(other, by("other"));
    world.settle();
    world.cut(0, 1);
    world.settle();
    assert_eq!(world.status(waiting), None, "node 2 keeps it out");
    world.all_list_at(1, &[]);
    world.link(0, 1);
    world.all_list(&[("holder", holder)]);
    assert_eq!(world.checks(holder, "holder"), [Some(token)]);
    assert_eq!(world.lost_locks(holder), []);
    let late = world.acquire(other, by("late").on(&[1]).retries(0));
    world.settle();
    assert_eq!(world.status(late), Some(Status::Timeout));
    world.give_back(holder, by("holder"));
    assert_eq!(world.status(waiting), Some(Status::Ok));
    world.give_back(other, by("other"));
    world.assert_at_rest();
}

/// A flap at every moment of a claim, of a hold and of its end: nothing is left anywhere, nobody hangs.
#[test]
fn a_flap_at_any_moment_leaves_nothing() {
    for listed in [false, true] {
        for at in 0..16 {
            let mut world = World::mesh(3);
            let pid = world.spawn(0);
            let list: &[NodeIndex] = if listed { &[0, 1, 2] } else { &[] };
            let op = world.acquire(pid, by("me").on(list));
            for _ in 0..at {
                if let Some((from, to)) = world.channels().first().copied() {
                    world.step(from, to);
                }
                if world.check(pid, "me").is_some() && at > 10 {
                    world.release(pid, by("me"));
                }
            }
            world.cut(0, 1);
            world.settle();
            world.link(0, 1);
            match world.status(op).expect("an answer") {
                Status::Ok => {}
                status => assert_eq!((status, listed), (Status::Unreachable, true)),
            }
            let holders = world.holders(0);
            for node in 1..3 {
                assert_eq!(world.holders(node), holders, "{}", world.picture());
            }
            world.exit(pid);
            world.settle();
            world.all_list(&[]);
            world.assert_at_rest();
        }
    }
}

// ---- two halves

/// Two halves with a holder each.
fn two_holders() -> (World, [Pid; 2]) {
    let mut world = World::nodes(4);
    link_all(&mut world, &[(0, 1), (2, 3)]);
    let holders = [world.spawn(0), world.spawn(2)];
    world.take_lock(holders[0], by("0"));
    world.take_lock(holders[1], by("1"));
    (world, holders)
}

/// D18: two that both could rely on theirs keep them, and both are told, each once (SECOND_HOLDER). A third one gets the lock
/// when both have given it back.
#[test]
fn holders_that_meet_are_both_told_and_both_keep_it() {
    let (mut world, holders) = two_holders();
    link_all(&mut world, &[(0, 2), (0, 3), (1, 2), (1, 3)]);
    world.all_list(&[("0", holders[0]), ("1", holders[1])]);
    for (i, holder) in holders.into_iter().enumerate() {
        assert_eq!(world.lost_locks(holder), [Reason::SECOND_HOLDER]);
        assert_eq!(world.check(holder, ["0", "1"][i]), None);
    }
    let third = world.spawn(3);
    for node in 0..4 {
        let op = world.acquire(third, by("third").on(&[node]).retries(0));
        world.settle();
        assert_eq!(world.status(op), Some(Status::Timeout), "node {node}");
    }
    let sharer = world.acquire(third, by("1").retries(0));
    world.settle();
    assert_eq!(world.status(sharer), Some(Status::Timeout), "nobody shares a lock of two requesters");
    let waiting = world.acquire(third, by("third"));
    world.give_back(holders[0], by("0"));
    assert_eq!(world.status(waiting), None);
    world.give_back(holders[1], by("1"));
    let token = world.token(waiting);
    assert!(holders.iter().zip(["0", "1"]).all(|(pid, r)| world.checks(*pid, r)[0] < Some(token)));
    world.give_back(third, by("third"));
    world.assert_at_rest();
}

/// Several sharers on one side, one holder on the other: every one is told, once, over whichever link it is heard.
#[test]
fn all_sharers_are_told_of_a_second_holder() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let sharers = [world.spawn(0), world.spawn(0), world.spawn(1)];
    let other = world.spawn(2);
    for pid in sharers {
        world.take_lock(pid, by("team"));
    }
    world.take_lock(other, by("other"));
    world.link(0, 2);
    world.link(1, 2);
    for pid in sharers.into_iter().chain([other]) {
        assert_eq!(world.lost_locks(pid), [Reason::SECOND_HOLDER], "{pid:?}\n{}", world.picture());
    }
    for (pid, requester) in sharers.into_iter().zip(["team"; 3]).chain([(other, "other")]) {
        world.give_back(pid, by(requester));
    }
    world.assert_at_rest();
}

/// Lists that do not overlap are no second holders; a node where both bind tells even if it holds neither.
#[test]
fn second_holders_are_met_where_they_bind() {
    let mut world = World::nodes(4);
    let holders = [world.spawn(0), world.spawn(2)];
    link_all(&mut world, &[(0, 1), (0, 3)]);
    world.take_lock(holders[0], by("0").on(&[0, 1, 3]));
    world.cut(0, 1);
    world.link(1, 2);
    world.take_lock(holders[1], by("1").on(&[1]));
    world.link(0, 2);
    assert_eq!(
        [world.lost_locks(holders[0]), world.lost_locks(holders[1])],
        [[], []],
        "only node 1 can tell"
    );
    world.link(0, 1);
    for holder in holders {
        assert_eq!(world.lost_locks(holder), [Reason::SECOND_HOLDER]);
    }
    world.exit(holders[0]);
    world.exit(holders[1]);
    world.settle();
    world.assert_at_rest();
}

/// Who has given the lock back meanwhile, and taken it elsewhere, is no second holder, and is not told of one.
#[test]
fn what_is_said_of_an_earlier_hold_is_void() {
    let mut world = World::nodes(3);
    let (pid, rival) = (world.spawn(0), world.spawn(2));
    world.link(0, 1);
    world.take_lock(pid, by("me").on(&[1]));
    world.take_lock(rival, by("rival"));
    world.connect(1, 2);
    while world.step(1, 2).is_some() | world.step(2, 1).is_some() {}
    world.release(pid, by("me"));
    let op = world.acquire(pid, by("me").on(&[0]));
    assert!(world.status(op).is_some());
    world.settle();
    assert_eq!([world.lost_locks(pid), world.lost_locks(rival)], [[], []], "{}", world.picture());
}

/// A lock that was lost and is acquired anew is held again: everywhere, above all that was held meanwhile.
#[test]
fn a_lost_lock_can_be_taken_again() {
    let (mut world, holders) = two_holders();
    let before = world.check(holders[0], "0").expect("it holds");
    let rival = world.check(holders[1], "1").expect("it holds");
    link_all(&mut world, &[(0, 2), (0, 3), (1, 2), (1, 3)]);
    let op = world.acquire(holders[0], by("0"));
    world.settle();
    assert_eq!(world.status(op), None, "the other one has it still");
    world.give_back(holders[1], by("1"));
    let token = world.token(op);
    assert!(token > before && token > rival);
    assert_eq!(world.checks(holders[0], "0"), [Some(before), None, Some(token)]);
    world.all_list(&[("0", holders[0])]);
    // And lost again, as any.
    cut_all(&mut world, &[(0, 1), (0, 2), (0, 3)]);
    assert_eq!(world.lost_locks(holders[0]), [Reason::SECOND_HOLDER, Reason::MINORITY]);
    world.exit(holders[0]);
    world.settle();
    world.assert_at_rest();
}

/// What is acquired anew in a part of the cluster is held there: nodes that were lost before count no more.
#[test]
fn a_majority_of_what_was_acquired_anew_is_enough() {
    let mut world = World::nodes(5);
    for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        world.link(a, b);
    }
    let pid = world.spawn(0);
    world.take_lock(pid, by("me"));
    cut_all(&mut world, &[(0, 1), (0, 2)]);
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY]);
    world.stay_apart();
    world.take_lock(pid, by("me"));
    world.link(0, 4);
    world.cut(0, 4);
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY], "two of three are there");
    world.cut(0, 3);
    assert_eq!(world.lost_locks(pid), [Reason::MINORITY; 2]);
}

/// "What was lost is held again only where all of it is granted anew": asking for a node where nobody else is does not
/// make good what is in doubt elsewhere.
#[test]
fn a_lost_lock_is_not_made_good_by_a_part() {
    let mut world = World::nodes(3);
    let (pid, rival) = (world.spawn(0), world.spawn(2));
    world.link(0, 1);
    world.take_lock(pid, by("me").on(&[0, 1]));
    world.take_lock(rival, by("rival"));
    link_all(&mut world, &[(0, 2), (1, 2)]);
    assert_eq!(world.lost_locks(pid), [Reason::SECOND_HOLDER]);
    world.give_back(rival, by("rival"));
    world.take_lock(rival, by("rival").on(&[2]));
    let op = world.acquire(pid, by("me").on(&[2]));
    world.settle();
    world.give_back(rival, by("rival"));
    let token = world.token(op);
    assert_eq!(world.check(pid, "me"), Some(token));
    let asked = |(from, to, frame): &(NodeIndex, NodeIndex, Frame)| {
        *from == 0 && *to == 1 && matches!(frame.message(), Some(Message::Acquire { .. }))
    };
    assert_eq!(world.delivered.iter().filter(|it| asked(it)).count(), 2, "at first, and again");
    world.give_back(pid, by("me"));
    world.assert_at_rest();
}
