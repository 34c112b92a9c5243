//! Operations for a pid that lives elsewhere: its home runs them.

use crate::harness::{DETECTION, NodeIndex, World, ms};
use convoke::engine::Message;
use convoke::model::{Command, Deadline, NodeId, Pid, Status};

const CALLER: NodeIndex = 0;
const HOME: NodeIndex = 1;

/// A caller at one node and a process at another; a third node beside them.
fn start() -> (World, Pid, Pid) {
    let mut world = World::mesh(3);
    let (caller, pid) = (world.spawn(CALLER), world.spawn(HOME));
    (world, caller, pid)
}

/// "Any process on any node may register any pid": one hop more, and OK when all show it.
#[test]
fn the_home_runs_it_and_ok_means_shown_by_all() {
    for replace in [false, true] {
        let (mut world, caller, pid) = start();
        let op = world.register_as(caller, "x", pid, replace, Deadline::FOREVER);
        world.settle_with(|world| {
            if world.status(op).is_some() {
                world.all_show("x", Some(pid));
            }
        });
        assert_eq!(world.status(op), Some(Status::Ok));
        // The name belongs to the pid's node: the end of the caller's changes nothing.
        world.crash(CALLER);
        world.settle();
        assert_eq!(world.whereis(2, "x"), Some(pid));
        world.assert_at_rest();
    }
}

/// The home decides: it may know the name where the caller does not, and the reverse does not count.
#[test]
fn what_the_home_says_is_the_answer() {
    let (mut world, caller, pid) = start();
    world.register(pid, "taken");
    world.settle();
    let op = world.register_as(caller, "taken", pid, false, Deadline::FOREVER);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Exists));
    // "Process unknown there: E_NO_PROCESS."
    let unknown = Pid { serial: 999, ..pid };
    let op = world.register_as(caller, "x", unknown, false, Deadline::FOREVER);
    world.settle();
    assert_eq!(world.status(op), Some(Status::NoProcess));
    // "Home not linked: E_UNREACHABLE", at once.
    let nowhere = Pid { node: NodeId(99), serial: 1 };
    let op = world.register_as(caller, "x", nowhere, false, Deadline::FOREVER);
    assert_eq!(world.status(op), Some(Status::Unreachable));
    world.assert_at_rest();
}

/// "timeout_ms 0" goes with the request.
#[test]
fn nowait_is_forwarded() {
    let (mut world, caller, pid) = start();
    let rival = world.spawn(CALLER);
    let older = world.register(rival, "x");
    world.until(CALLER, HOME, |m| matches!(m, Message::Acquire { .. }));
    let no_wait = world.within(0);
    let op = world.register_as(caller, "x", pid, false, no_wait);
    world.until(CALLER, HOME, |m| matches!(m, Message::Forward { .. }));
    world.until(HOME, CALLER, |m| matches!(m, Message::Answer { .. }));
    assert_eq!(world.status(op), Some(Status::Timeout));
    world.settle();
    assert_eq!(world.status(older), Some(Status::Ok));
    world.assert_at_rest();
}

/// "Link lost before the answer: E_UNREACHABLE, and the outcome at the home is unknown to the caller": after any number
/// of arrivals. Whatever became of it, nothing is left half done.
#[test]
fn the_link_is_lost_before_the_answer() {
    let mut done = [0, 0];
    for arrivals in 0..14 {
        let (mut world, caller, pid) = start();
        let op = world.register_as(caller, "x", pid, false, Deadline::FOREVER);
        for _ in 0..arrivals {
            if let Some((from, to)) = world.channels().first().copied() {
                world.step(from, to);
            }
        }
        if world.status(op).is_some() {
            break;
        }
        world.cut(CALLER, HOME);
        assert_eq!(world.status(op), Some(Status::Unreachable), "after {arrivals} arrivals");
        assert!(world.outcome(op).is_some_and(|outcome| !outcome.detail.is_empty()));
        world.stay_apart();
        let shown = world.whereis(HOME, "x");
        assert_eq!(world.whereis(2, "x"), shown);
        done[usize::from(shown.is_some())] += 1;
        world.link(CALLER, HOME);
        world.all_show("x", shown);
        world.assert_at_rest();
    }
    assert!(done[0] > 0 && done[1] > 0, "both happen: {done:?}");
}

/// The deadline goes with the request: the home withdraws, and says so.
#[test]
fn the_home_keeps_the_callers_deadline() {
    let (mut world, caller, pid) = start();
    world.hang(2);
    let deadline = world.within(1000);
    let op = world.register_as(caller, "x", pid, false, deadline);
    world.advance(ms(999));
    assert_eq!(world.status(op), None);
    world.advance(ms(1));
    world.settle();
    assert_eq!(world.status(op), Some(Status::Timeout));
    world.wake(2);
    world.settle();
    world.all_show("x", None);
    world.assert_at_rest();
}

/// "Cancel withdraws it": the answer comes when the home has.
#[test]
fn a_cancel_is_answered_by_the_home() {
    for committing in [false, true] {
        let (mut world, caller, pid) = start();
        let op = world.register_as(caller, "x", pid, false, Deadline::FOREVER);
        if committing {
            while world.whereis(HOME, "x").is_none() {
                let (from, to) = world.channels()[0];
                world.step(from, to);
            }
        }
        world.hang(2);
        world.settle();
        world.cancel(caller, op);
        world.cancel(caller, op);
        assert_eq!(world.status(op), None, "only the home's answer says that it is undone");
        world.settle();
        assert_eq!(world.status(op), Some(Status::Cancelled));
        assert_eq!(world.whereis(CALLER, "x"), None);
        world.wake(2);
        world.settle();
        world.all_show("x", None);
        world.assert_at_rest();
    }
}

/// A cancel that crosses the answer: what happened happened.
#[test]
fn a_cancel_that_comes_too_late() {
    let (mut world, caller, pid) = start();
    let op = world.register_as(caller, "x", pid, false, Deadline::FOREVER);
    while world.engine(HOME).residue().iter().any(|(what, n)| *what == "forwarded operations" && *n > 0)
        || world.whereis(HOME, "x").is_none()
    {
        let (from, to) = *world.channels().last().expect("something is on the way");
        world.step(from, to);
    }
    assert_eq!(world.status(op), None, "the answer is on its way");
    world.cancel(caller, op);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show("x", Some(pid));
    world.assert_at_rest();
}

/// Promise 7: "Every call ends": a home that hangs cannot hold it for long, at the deadline or after a cancel.
#[test]
fn a_home_that_hangs_does_not_hold_the_call() {
    for cancel in [false, true] {
        let (mut world, caller, pid) = start();
        world.hang(HOME);
        let deadline = if cancel { Deadline::FOREVER } else { world.within(500) };
        let op = world.register_as(caller, "x", pid, false, deadline);
        world.advance(ms(500));
        if cancel {
            world.cancel(caller, op);
        }
        world.advance(DETECTION);
        assert_eq!(world.status(op), Some(Status::Unreachable));
        assert_eq!(world.engine(CALLER).pending_operations(), 0);
    }
}

/// The caller ends: nobody waits, and what was not complete is undone at the home.
#[test]
fn the_exit_of_the_caller_withdraws_it() {
    let (mut world, caller, pid) = start();
    let op = world.register_as(caller, "x", pid, false, Deadline::FOREVER);
    world.hang(2);
    world.settle();
    world.exit(caller);
    assert_eq!(world.status(op), Some(Status::NoProcess));
    world.wake(2);
    world.settle();
    world.all_show("x", None);
    world.assert_at_rest();
}

/// The process at the home ends.
#[test]
fn the_exit_of_the_process_ends_it() {
    let (mut world, caller, pid) = start();
    let op = world.register_as(caller, "x", pid, false, Deadline::FOREVER);
    world.hang(2);
    world.settle();
    world.exit(pid);
    world.settle();
    assert_eq!(world.status(op), Some(Status::NoProcess));
    world.wake(2);
    world.settle();
    world.all_show("x", None);
    world.assert_at_rest();
}

/// The home closes in order.
#[test]
fn the_home_closes() {
    let (mut world, caller, pid) = start();
    let op = world.register_as(caller, "x", pid, false, Deadline::FOREVER);
    world.hang(2);
    world.settle();
    world.command(HOME, Command::Close);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Unreachable));
    assert_eq!(world.engine(CALLER).pending_operations(), 0);
}

/// Unregister goes to the home too, and a home that is lost has no binding any more.
#[test]
fn unregister_at_a_home_that_is_lost() {
    let (mut world, caller, pid) = start();
    world.register(pid, "x");
    world.settle();
    world.hang(HOME);
    let op = world.unregister(caller, "x");
    world.settle();
    assert_eq!(world.status(op), None);
    world.cut(CALLER, HOME);
    assert_eq!(world.status(op), Some(Status::Unreachable));
    assert_eq!(world.whereis(CALLER, "x"), None);
}

/// A name that was bound anew while the request was on its way is not what the caller saw: it stays.
#[test]
fn unregister_removes_only_what_the_caller_saw() {
    let (mut world, caller, pid) = start();
    world.register(pid, "x");
    world.settle();
    let op = world.unregister(caller, "x");
    let heir = world.spawn(HOME);
    world.exit(pid);
    world.until(HOME, 2, |m| matches!(m, Message::Unregistered { .. }));
    let again = world.register(heir, "x");
    world.settle();
    assert_eq!((world.status(op), world.status(again)), (Some(Status::Ok), Some(Status::Ok)));
    world.all_show("x", Some(heir));
    world.assert_at_rest();
}

/// A clash as seen by the caller: both homes are asked, the call fails if one of them does.
#[test]
fn unregister_of_a_clash_is_one_call() {
    for end in 0..4 {
        let mut world = World::nodes(3);
        let (a, b, caller) = (world.spawn(0), world.spawn(2), world.spawn(1));
        world.register(a, "x");
        world.register(b, "x");
        world.link(0, 1);
        world.link(1, 2);
        world.hang(2);
        let op = world.unregister(caller, "x");
        world.settle();
        assert_eq!(world.status(op), None);
        let expected = match end {
            0 => {
                world.wake(2);
                Status::Ok
            }
            1 => {
                world.cut(1, 2);
                Status::Unreachable
            }
            2 => {
                world.cancel(caller, op);
                world.wake(2);
                Status::Ok
            }
            _ => {
                world.exit(caller);
                world.wake(2);
                Status::NoProcess
            }
        };
        world.settle();
        let status = world.status(op);
        assert!(status == Some(expected) || end == 2 && status == Some(Status::Cancelled), "{status:?}");
        world.settle();
        assert_eq!(world.whereis(1, "x"), None);
        world.assert_at_rest();
    }
}

/// The home has done it, and the caller is gone before the answer arrives, told that it was not done: it is taken back. What has
/// replaced another binding stays, for that one is gone.
#[test]
pub(crate) fn what_was_done_for_a_caller_that_is_gone_is_taken_back() {
    for (what, stays) in [("register", false), ("reregister", true), ("join", false)] {
        let (mut world, caller, pid) = start();
        let other = world.spawn(2);
        world.make_group("g", &[pid]);
        let op = match what {
            "join" => world.join(caller, "g", pid),
            _ => world.register_as(caller, "x", pid, what == "reregister", Deadline::FOREVER),
        };
        let answer = |message: &Message| matches!(message, Message::Answer { .. });
        world.settle_but(HOME, CALLER, answer);
        assert_eq!(world.status(op), None, "the answer is on its way");
        world.exit(caller);
        assert_eq!(world.status(op), Some(Status::NoProcess));
        world.settle();
        world.all_show("x", stays.then_some(pid));
        world.all_show_members("g", Some(&[pid]));
        assert!(!world.is_gone(pid) && !world.is_gone(other));
        world.assert_at_rest();
    }
}

/// A home undoes what is under way for a node whose link is gone, whatever the reason: its caller is told that the outcome is
/// unknown, or that its node is closed.
#[test]
pub(crate) fn the_end_of_the_callers_node_undoes_what_is_under_way() {
    for end in ["close", "crash", "cut"] {
        for what in ["register", "reregister", "join"] {
            let (mut world, caller, pid) = start();
            world.make_group("g", &[pid]);
            world.hang(2);
            let op = match what {
                "join" => world.join(caller, "g", pid),
                _ => world.register_as(caller, "x", pid, what == "reregister", Deadline::FOREVER),
            };
            world.settle();
            assert_eq!(world.status(op), None);
            match end {
                "close" => world.command(CALLER, Command::Close),
                "crash" => world.crash(CALLER),
                _ => world.cut(CALLER, HOME),
            }
            world.settle();
            world.wake(2);
            world.settle();
            for node in [HOME, 2] {
                world.all_show_at(node, "x", None);
                assert_eq!(world.members(node, "g"), Some(vec![pid]), "{end} {what}");
            }
            world.assert_at_rest_at(HOME);
        }
    }
}
