//! Clashes: one name bound on both sides of a split, met when they join.

use crate::asks::every_order;
use crate::harness::{DETECTION, World, config, ms, name};
use convoke::engine::Message;
use convoke::model::{Deadline, Event, Pid, Reason, Ref, Status};

/// What a loser is told, last of all: it is killed, by the winner as far as that is known.
fn conflict_lost(world: &World, pid: Pid) -> Option<Option<Pid>> {
    world.events(pid).iter().find_map(|event| match event {
        Event::Exit { reference: Ref(0), reason: Reason::CONFLICT_LOST, pid: who, by, .. } if *who == pid => {
            Some(*by)
        }
        _ => None,
    })
}

/// After a clash of these processes: one holds the name everywhere and lives, the others are dead, killed by it.
fn decided(world: &World, name: &str, pids: &[Pid]) -> Pid {
    let winner = world.whereis(world.index(pids[0].node), name).expect("somebody keeps the name");
    assert!(pids.contains(&winner));
    world.all_show(name, Some(winner));
    for pid in pids {
        assert_eq!(world.is_gone(*pid), *pid != winner, "{pid:?}, winner {winner:?}");
        assert_eq!(conflict_lost(world, *pid).is_some(), *pid != winner);
    }
    assert_eq!(world.events(winner), []);
    world.assert_at_rest();
    winner
}

/// Two nodes apart, each with a process of this name.
fn two_sides() -> (World, [Pid; 2]) {
    let mut world = World::nodes(2);
    let pids = [world.spawn(0), world.spawn(1)];
    let ops = pids.map(|pid| world.register(pid, "x"));
    // "Both sides go on: the same name can be registered on both sides."
    assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Ok); 2]);
    (world, pids)
}

/// The default resolver: "one of the two registered processes will be selected as correct while the other is killed";
/// promise 6: "Each clash calls one resolver once, on one node; afterwards at most one binding is left, the same
/// everywhere." In every order of arrival.
#[test]
fn one_of_two_is_killed_and_the_other_keeps_the_name() {
    let start = || {
        let (mut world, pids) = two_sides();
        world.connect(0, 1);
        (world, pids)
    };
    let never_none = |world: &World, _: &[Pid; 2]| {
        for node in 0..2 {
            assert!(world.whereis(node, "x").is_some(), "readers see the binding they saw before");
        }
    };
    every_order(10, start, never_none, |world, pids| {
        let winner = decided(&world, "x", &pids);
        let loser = if winner == pids[0] { pids[1] } else { pids[0] };
        assert_eq!(conflict_lost(&world, loser), Some(Some(winner)), "it is told who won");
    });
}

/// D5: "random, as the manual says: one node decides and tells the other". Either side wins at times.
#[test]
fn either_side_may_win() {
    let mut won = [0, 0];
    let mut world = World::nodes(2);
    for i in 0..64 {
        let pids = [world.spawn(0), world.spawn(1)];
        for pid in pids {
            world.register(pid, &format!("name{i}"));
        }
    }
    world.link(0, 1);
    for i in 0..64 {
        let winner = world.whereis(0, &format!("name{i}")).expect("one wins");
        assert_eq!(world.whereis(1, &format!("name{i}")), Some(winner));
        won[world.index(winner.node)] += 1;
    }
    assert!(won[0] > 16 && won[1] > 16, "{won:?}");
    world.assert_at_rest();
}

/// The other names of the loser go with it, and its monitors are told why.
#[test]
fn the_loser_dies_like_any_process() {
    let (mut world, pids) = two_sides();
    for pid in pids {
        world.register(pid, &format!("other of {pid:?}"));
    }
    let watchers = [world.spawn(0), world.spawn(1)];
    let monitors = [world.monitor(watchers[0], pids[0]), world.monitor(watchers[1], pids[1])];
    world.link(0, 1);
    let winner = decided(&world, "x", &pids);
    for i in 0..2 {
        let lost = pids[i] != winner;
        let expected = if lost { vec![Reason::CONFLICT_LOST] } else { vec![] };
        assert_eq!(world.exits(watchers[i], monitors[i]), expected);
        world.all_show(&format!("other of {:?}", pids[i]), (!lost).then_some(pids[i]));
    }
}

/// Once per clash: "then the winner against the next", three parts that join at once or one after the other.
#[test]
fn three_parts_leave_one_winner() {
    for at_once in [true, false] {
        let start = || {
            let mut world = World::nodes(3);
            let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
            for pid in pids {
                world.register(pid, "x");
            }
            for (a, b) in [(1, 2), (0, 2), (0, 1)] {
                world.connect(a, b);
                if !at_once {
                    world.settle();
                }
            }
            (world, pids)
        };
        let look = |world: &World, pids: &[Pid; 3]| {
            let gone = pids.iter().filter(|pid| world.is_gone(**pid)).count();
            assert!(gone < 3, "all were killed");
        };
        every_order(5, start, look, |world, pids| {
            decided(&world, "x", &pids);
        });
    }
}

/// A verdict that is on its way for long: until the loser has withdrawn, the winner takes part in no other pair. Else it
/// could lose to a third one, which loses to the one that is beaten already: in the end all would have lost.
#[test]
fn a_slow_verdict_does_not_make_all_lose() {
    for flap in [false, true] {
        let mut world = World::nodes(3);
        let sides: Vec<[Pid; 3]> = (0..24).map(|_| [0, 1, 2].map(|node| world.spawn(node))).collect();
        for (i, pids) in sides.iter().enumerate() {
            for pid in pids {
                world.register(*pid, &format!("name{i}"));
            }
        }
        world.connect(1, 2);
        world.settle_but_for_verdicts();
        if flap {
            world.cut(1, 2);
            world.settle();
            world.connect(1, 2);
            world.settle_but_for_verdicts();
        }
        world.connect(0, 1);
        world.settle_but_for_verdicts();
        world.connect(0, 2);
        world.settle_but_for_verdicts();
        world.settle();
        for (i, pids) in sides.iter().enumerate() {
            decided(&world, &format!("name{i}"), pids);
        }
    }
}

impl World {
    /// All but what node 1 says to node 2 from its first verdict on.
    fn settle_but_for_verdicts(&mut self) {
        loop {
            let next = self.in_flight().into_iter().find(|(from, to, _)| (*from, *to) == (1, 2));
            let verdict =
                next.is_some_and(|(_, _, frame)| matches!(frame.message(), Some(Message::Verdict { .. })));
            let mut channels = self.channels();
            channels.retain(|channel| !verdict || *channel != (1, 2));
            let Some((from, to)) = channels.first().copied() else { return };
            self.step(from, to);
        }
    }
}

/// "Same pid on both sides: not called": a link that was cut between two nodes that a third one sees.
#[test]
fn a_heal_without_two_bindings_is_no_clash() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    world.register(pid, "x");
    world.settle();
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.cut(a, b);
        world.settle();
        world.link(a, b);
        world.all_show("x", Some(pid));
        assert_eq!(world.events(pid), []);
    }
    let clash = |m: &Message| {
        matches!(m, Message::Engage { .. } | Message::Verdict { .. } | Message::ClashSeen { .. })
    };
    assert!(!world.delivered.iter().any(|(_, _, frame)| frame.message().is_some_and(clash)));
    world.assert_at_rest();
}

/// "verdict known: apply it again (a link flapped before delivery; the resolver is NOT called again)": the link breaks
/// after any number of arrivals, and comes back.
#[test]
fn a_verdict_outlives_a_flap() {
    let mut kept = 0;
    for arrivals in 0..12 {
        let (mut world, pids) = two_sides();
        world.connect(0, 1);
        for _ in 0..arrivals {
            if let Some((from, to)) = world.channels().first().copied() {
                world.step(from, to);
            }
        }
        // What the lower home has decided by now, as far as it shows.
        let told = world.in_flight().iter().find_map(|(_, _, frame)| match frame.message() {
            Some(Message::Verdict { pair, .. }) => Some(pair.high.node),
            Some(Message::Unregistered { reg, .. }) => Some(reg.node),
            _ => None,
        });
        world.cut(0, 1);
        world.link(0, 1);
        let winner = decided(&world, "x", &pids);
        if let Some(loser) = told {
            assert_ne!(winner.node, loser, "the clash was decided anew");
            kept += 1;
        }
    }
    assert!(kept > 0);
}

/// A binding that goes while the clash is being settled: no verdict reaches the wrong one.
#[test]
fn a_binding_that_is_withdrawn_meanwhile_ends_the_clash() {
    for leaves in 0..2 {
        for arrivals in 0..8 {
            let (mut world, pids) = two_sides();
            world.connect(0, 1);
            for _ in 0..arrivals {
                if let Some((from, to)) = world.channels().first().copied() {
                    world.step(from, to);
                }
            }
            let undecided = !world.is_gone(pids[0]) && !world.is_gone(pids[1]);
            let verdict = |m: &Message| matches!(m, Message::Verdict { .. });
            let decided_for_low = world.in_flight().iter().any(|(_, _, f)| f.message().is_some_and(verdict));
            world.exit(pids[leaves]);
            world.settle();
            let other = pids[1 - leaves];
            if undecided && !decided_for_low {
                world.all_show("x", Some(other));
                assert!(!world.is_gone(other));
            }
            // In no case does the name of a dead process stay.
            if world.is_gone(other) {
                world.all_show("x", None);
            }
            world.assert_at_rest();
        }
    }
}

/// Every node in a line: the homes have no link, the one between sees both. "A third node tells the lower home, which
/// decides as if they were linked."
fn line() -> (World, [Pid; 2]) {
    let mut world = World::nodes(3);
    let pids = [world.spawn(0), world.spawn(2)];
    for pid in pids {
        world.register(pid, "x");
    }
    world.link(0, 1);
    world.link(1, 2);
    (world, pids)
}

#[test]
fn a_third_node_passes_the_clash_on() {
    let (mut world, pids) = line();
    assert_eq!(world.whereis(1, "x"), Some(pids[0]), "readers see what they saw first");
    world.advance(DETECTION - ms(1));
    assert!(pids.iter().all(|pid| !world.is_gone(*pid)), "the homes may link yet");
    world.advance(ms(1));
    world.settle();
    let alive: Vec<_> = pids.into_iter().filter(|pid| !world.is_gone(*pid)).collect();
    let [winner] = alive[..] else { panic!("{}", world.picture()) };
    let loser = if winner == pids[0] { pids[1] } else { pids[0] };
    assert_eq!(conflict_lost(&world, loser), Some(Some(winner)));
    assert_eq!(world.whereis(1, "x"), Some(winner));
    assert_eq!(world.whereis(world.index(winner.node), "x"), Some(winner));
    world.assert_at_rest();
    // When the homes find each other there is nothing left to decide.
    world.link(0, 2);
    decided(&world, "x", &pids);
}

/// The homes get their link at any moment of that: decided once all the same.
#[test]
fn a_link_between_the_homes_during_the_hearsay() {
    for arrivals in 0..10 {
        let (mut world, pids) = line();
        world.advance(DETECTION - ms(1));
        world.advance_still(ms(1));
        for _ in 0..arrivals {
            if let Some((from, to)) = world.channels().first().copied() {
                world.step(from, to);
            }
        }
        world.link(0, 2);
        decided(&world, "x", &pids);
    }
}

/// The homes of one clash, linked, do not need the third one.
#[test]
fn a_third_node_is_silent_when_the_homes_are_linked() {
    let (mut world, pids) = two_sides();
    world.add(config(2));
    world.link(0, 2);
    world.link(1, 2);
    world.link(0, 1);
    world.advance(DETECTION * 2);
    decided(&world, "x", &pids);
    let seen = |m: &Message| matches!(m, Message::ClashSeen { .. });
    assert!(!world.delivered.iter().any(|(_, _, frame)| frame.message().is_some_and(seen)));
}

/// "Only registrations of that name wait meanwhile", and end with it.
#[test]
fn registrations_of_the_name_wait_for_the_end_of_the_clash() {
    for replace in [false, true] {
        let (mut world, pids) = line();
        let third = world.spawn(1);
        let op = world.register_as(third, "x", third, replace, Deadline::FOREVER);
        let other = world.register(third, "y");
        world.settle();
        assert_eq!(world.status(other), Some(Status::Ok), "other names do not wait");
        assert_eq!(world.status(op), (!replace).then_some(Status::Exists));
        world.advance(DETECTION);
        world.settle();
        let alive = pids.iter().filter(|pid| !world.is_gone(**pid)).count();
        assert_eq!(alive, 1, "the clash is decided first");
        if replace {
            assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
            assert_eq!(world.whereis(1, "x"), Some(third));
        }
        world.assert_at_rest();
    }
}

/// "The losing process is told", and its node may register the name anew afterwards.
#[test]
fn after_a_clash_the_name_is_a_name_like_any_other() {
    let (mut world, pids) = two_sides();
    world.link(0, 1);
    let winner = decided(&world, "x", &pids);
    world.exit(winner);
    world.settle();
    let again = world.spawn(world.index(winner.node));
    let op = world.register(again, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show("x", Some(again));
    // A new split and a new clash: what was decided of the old bindings does not count.
    world.cut(0, 1);
    let rival = world.spawn(1 - world.index(again.node));
    world.register(rival, "x");
    world.stay_apart();
    world.link(0, 1);
    decided(&world, "x", &[again, rival]);
}

/// A re-register in one part covers what it saw there; after the heal only that is replaced without a resolver.
#[test]
fn a_reregister_before_the_heal_still_clashes_with_the_other_side() {
    let (mut world, pids) = two_sides();
    let heir = world.spawn(0);
    world.reregister(heir, "x");
    world.settle();
    assert_eq!(world.whereis(0, "x"), Some(heir));
    world.link(0, 1);
    decided(&world, "x", &[heir, pids[1]]);
    assert!(!world.is_gone(pids[0]));
}

/// "A reg named by a Grant stays in over if that voter's link then breaks: after a heal it is REPLACED without a
/// resolver."
#[test]
fn what_a_grant_named_is_replaced_after_a_heal() {
    let mut world = World::mesh(2);
    let (old, new) = (world.spawn(1), world.spawn(0));
    world.register(old, "x");
    world.settle();
    let op = world.reregister(new, "x");
    world.until(0, 1, |m| matches!(m, Message::Acquire { .. }));
    world.until(1, 0, |m| matches!(m, Message::Grant { .. }));
    world.cut(0, 1);
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!((world.whereis(0, "x"), world.whereis(1, "x")), (Some(new), Some(old)));
    world.link(0, 1);
    world.all_show("x", Some(new));
    assert!(!world.is_gone(old));
    let lost = Event::NameConflict { name: name("x"), winner: Some(new), reason: Reason::REPLACED };
    assert_eq!(world.events(old), [lost]);
    world.assert_at_rest();
}

/// A binding that is still being published takes part in no clash: its rival would be withdrawn before all see it, and readers would
/// see none. Here the reader's node (2) learns of the rival (1) after its vote, and hears late of what it has voted for (0).
#[test]
pub(crate) fn what_is_being_published_waits_with_its_clash() {
    let commit = |message: &Message| matches!(message, Message::Commit { .. });
    for replace in [false, true] {
        for (home, rival) in [(0, 1), (1, 0)] {
            let mut world = World::nodes(3);
            world.link(home, 2);
            let names: Vec<String> = (0..16).map(|i| format!("name{i}")).collect();
            let sides: Vec<[Pid; 2]> =
                names.iter().map(|_| [home, rival].map(|node| world.spawn(node))).collect();
            for (name, [here, there]) in names.iter().zip(&sides) {
                world.register(*there, name);
                world.register_as(*here, name, *here, replace, Deadline::FOREVER);
            }
            world.settle_but(home, 2, commit);
            world.connect(rival, 2);
            world.settle_but(home, 2, commit);
            for (name, [_, there]) in names.iter().zip(&sides) {
                assert_eq!(world.whereis(2, name), Some(*there));
            }
            world.connect(home, rival);
            world.settle_but(home, 2, commit);
            assert!(sides.iter().flatten().all(|pid| !world.is_gone(*pid)), "nothing is decided yet");
            world.settle_with(|world| {
                assert!(names.iter().all(|name| world.whereis(2, name).is_some()), "readers see none");
            });
            for (name, pids) in names.iter().zip(&sides) {
                decided(&world, name, pids);
            }
        }
    }
}
