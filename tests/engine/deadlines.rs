//! Operations that end early: at their deadline, cancelled, by the exit of a process, or because they never wait.

use crate::asks::{GRACE, Phase, acquire, grant, line};
use crate::harness::{DETECTION, World, ms};
use convoke::engine::Message;
use convoke::model::{Deadline, Pid, Ref, Status};

/// What ends an operation early.
#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Deadline,
    Cancel,
    /// The process that the call is made for.
    CallerExits,
    /// The process that gets the name.
    OwnerExits,
}

const ENDS: [End; 4] = [End::Deadline, End::Cancel, End::CallerExits, End::OwnerExits];

/// A registration at node 0 of three, ended early; node 1 is stuck. Returns the caller, the owner and the operation.
fn ended_early(end: End, phase: Phase, replaces: Option<usize>) -> (World, Option<Pid>, Pid, Ref) {
    let mut world = World::mesh(3);
    let old = replaces.map(|node| world.spawn(node));
    if let Some(old) = old {
        world.register(old, "x");
        world.settle();
    }
    let (caller, pid) = (world.spawn(0), world.spawn(0));
    let deadline = if end == End::Deadline { world.within(1000) } else { Deadline::FOREVER };
    let op = world.register_as(caller, "x", pid, replaces.is_some(), deadline);
    if phase == Phase::Committing {
        world.settle_until_published(pid);
    }
    world.hang(1);
    world.settle();
    assert_eq!(world.status(op), None);
    match end {
        End::Deadline => world.advance_still(ms(1000)),
        End::Cancel => world.cancel(caller, op),
        End::CallerExits => world.exit(caller),
        End::OwnerExits => world.exit(pid),
    }
    (world, old, pid, op)
}

/// "At its deadline register [is] undone: the withdrawal is on its way on every link before E_TIMEOUT is answered." The
/// same for a cancel and for the exit of either process.
#[test]
fn what_ends_early_is_withdrawn_everywhere() {
    for end in ENDS {
        for phase in [Phase::Acquiring, Phase::Committing] {
            for replaces in [None, Some(0), Some(1), Some(2)] {
                let (mut world, old, pid, op) = ended_early(end, phase, replaces);
                let what = format!("{end:?} while {phase:?}, over a binding of {replaces:?}");
                let expected = match end {
                    End::Deadline => Status::Timeout,
                    End::Cancel => Status::Cancelled,
                    End::CallerExits | End::OwnerExits => Status::NoProcess,
                };
                assert_eq!(world.status(op), Some(expected), "{what}");
                assert_eq!(world.whereis(0, "x"), old, "restored at the home: {what}");
                for node in 1..3 {
                    let told = world.in_flight().iter().any(|(from, to, frame)| {
                        let withdrawal = matches!(
                            frame.message(),
                            Some(Message::Release { .. } | Message::Unregistered { .. })
                        );
                        (*from, *to) == (0, node) && withdrawal
                    });
                    assert!(told, "node {node} is not told: {what}");
                }
                world.wake(1);
                world.settle();
                world.all_show("x", old);
                for node in 0..3 {
                    let history = world.history(node, "x");
                    let gaps = history.iter().filter(|pid| pid.is_none()).count();
                    let last = usize::from(old.is_none() && !history.is_empty());
                    assert_eq!(gaps, last, "promise 4, node {node}: {what}: {history:?}");
                }
                if let Some(old) = old {
                    assert_eq!(world.events(old), [], "it never lost the name: {what}");
                }
                assert!(end == End::OwnerExits || !world.is_gone(pid));
                world.assert_at_rest();
                // Everything can be done again.
                let again = world.spawn(1);
                let op = world.reregister(again, "x");
                world.settle();
                assert_eq!(world.status(op), Some(Status::Ok), "{what}");
                world.all_show("x", Some(again));
            }
        }
    }
}

/// "Cancelled unless it was complete already."
#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    let op = world.register(pid, "x");
    world.settle();
    world.cancel(pid, op);
    world.cancel(pid, Ref(999));
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show("x", Some(pid));
}

/// "My row is a newer one: the op that keeps reg takes over what this op kept": two re-registers of one home on top of
/// each other, the lower one times out first.
#[test]
fn a_withdrawn_reregister_under_a_newer_one() {
    for newer_fails in [false, true] {
        let mut world = World::mesh(2);
        let (old, a, b) = (world.spawn(0), world.spawn(0), world.spawn(0));
        world.register(old, "x");
        world.settle();
        let deadline = world.within(1000);
        let first = world.register_as(a, "x", a, true, deadline);
        world.until(0, 1, acquire);
        world.until(1, 0, grant);
        // Node 1 reads the first commit and grants the second claim; its acknowledgements wait.
        let deadline = if newer_fails { world.within(1500) } else { Deadline::FOREVER };
        let second = world.register_as(b, "x", b, true, deadline);
        while world.step(0, 1).is_some() {}
        assert_eq!(world.whereis(0, "x"), Some(a));
        world.take_out(1, 0, grant);
        assert_eq!(world.whereis(0, "x"), Some(b), "{}", world.picture());
        world.advance_still(ms(1000));
        assert_eq!(world.status(first), Some(Status::Timeout));
        assert_eq!(world.whereis(0, "x"), Some(b));
        if newer_fails {
            world.advance_still(ms(500));
            assert_eq!(world.status(second), Some(Status::Timeout));
        }
        world.settle();
        let last = if newer_fails { old } else { b };
        world.all_show("x", Some(last));
        assert_eq!(world.events(a), [], "it never got the name");
        assert_eq!(world.events(old).len(), usize::from(!newer_fails));
        world.assert_at_rest();
    }
}

// ---- nowait

/// "timeout_ms 0: never queue behind another; waits for the network at most the detection time. Not obtained in time:
/// E_TIMEOUT."
#[test]
fn nowait_does_not_queue() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    let no_wait = world.within(0);
    // Nobody in the way.
    let op = world.register_as(a, "free", a, false, no_wait);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    // Taken.
    let op = world.register_as(b, "free", b, false, no_wait);
    assert_eq!(world.status(op), Some(Status::Exists));
    // Another claim, older, is under way.
    let older = world.register(a, "x");
    world.until(0, 1, acquire);
    let op = world.register_as(b, "x", b, false, no_wait);
    assert_eq!(world.status(op), Some(Status::Timeout), "it is denied at once");
    world.settle();
    assert_eq!(world.status(older), Some(Status::Ok));
    world.assert_at_rest();
}

/// "Wound: nowait -> Release everywhere, answer no": an older claim comes upon it.
#[test]
fn nowait_gives_up_when_it_is_wounded() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    let older = world.register(a, "x");
    // Node 1 has not heard of it; its own clock is made to run ahead.
    for i in 0..9 {
        world.register(b, &format!("other{i}"));
    }
    let no_wait = world.within(0);
    let op = world.register_as(b, "x", b, false, no_wait);
    assert_eq!(world.status(op), None);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Timeout));
    assert_eq!(world.status(older), Some(Status::Ok));
    world.all_show("x", Some(a));
    world.assert_at_rest();
}

/// A node that does not answer does not hold it for longer than the detection time.
#[test]
fn nowait_waits_for_the_network_at_most_the_detection_time() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    world.hang(1);
    let no_wait = world.within(0);
    let op = world.register_as(pid, "x", pid, false, no_wait);
    world.advance_still(DETECTION);
    assert!(world.status(op).is_some(), "{}", world.picture());
    assert_eq!(world.engine(0).pending_operations(), 0);
}

/// A claim that waits for its coordinator to see that the name is taken is in nobody's way: "admitted & (no holders &
/// no ADMITTED waiter)".
#[test]
fn nowait_is_not_behind_a_claim_that_cannot_be_served() {
    let (mut world, owner, claimant) = line();
    let waiting = world.register(claimant, "x");
    world.settle();
    assert_eq!(world.status(waiting), None);
    // Its owner moves the name to another process of its node, without waiting.
    let heir = world.spawn(2);
    let no_wait = world.within(0);
    let op = world.register_as(heir, "x", heir, true, no_wait);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
    assert_eq!(world.whereis(1, "x"), Some(heir));
    assert_eq!(world.events(owner).len(), 1);
    world.advance(GRACE);
    assert_eq!(world.status(waiting), Some(Status::Exists));
    world.assert_at_rest();
}
