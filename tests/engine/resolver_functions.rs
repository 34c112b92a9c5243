//! Functions of the program that decide clashes: called once, elsewhere; their answer comes later, in any case.

use crate::asks::every_order;
use crate::harness::{World, config, name};
use crate::resolvers::{KEEP_A, apart, decided, killed, told, two};
use convoke::model::{ClashAnswer, ClashCall, ClashLoser, ClashWinner, Command, Machine, Pid, Status};

/// "Each clash calls one resolver once, on one node", with the name, both pids and both ages, in every order of arrival;
/// until it answers readers see what they saw.
#[test]
fn a_function_is_called_once_by_the_lower_home() {
    let start = || {
        let (mut world, pids) = two("f");
        world.connect(0, 1);
        (world, pids)
    };
    every_order(
        10,
        start,
        |_, _| {},
        |mut world, pids| {
            let (at, call) = world.calls()[0].clone();
            assert_eq!(world.calls().len(), 1);
            let expected = ClashCall {
                id: call.id,
                resolver: name("f"),
                name: name("x"),
                a: pids[0],
                b: pids[1],
                age_a_ms: 20,
                age_b_ms: 10,
            };
            assert_eq!((at, call), (0, expected));
            for (node, pid) in pids.iter().enumerate() {
                assert_eq!(world.whereis(node, "x"), Some(*pid), "readers see what they saw before");
            }
            world.answer(0, KEEP_A);
            world.settle();
            world.all_show("x", Some(pids[0]));
            assert_eq!(world.calls().len(), 1);
            world.assert_at_rest();
        },
    );
}

/// Every answer there is, and what it does to both.
#[test]
fn losers_are_treated_as_the_function_says() {
    use ClashLoser::{Kill, Notify, Silent};
    use ClashWinner::{A, B, Neither};
    for winner in [A, B, Neither] {
        for loser in [Silent, Kill, Notify] {
            let (mut world, pids) = two("f");
            world.link(0, 1);
            world.answer(0, decided(winner, loser));
            world.settle();
            let kept = match winner {
                A => Some(pids[0]),
                B => Some(pids[1]),
                Neither => None,
            };
            world.all_show("x", kept);
            for i in 0..2 {
                let (pid, other) = (pids[i], pids[1 - i]);
                let expected = match loser {
                    _ if kept == Some(pid) => vec![],
                    Silent => vec![],
                    Kill => killed(pid, kept),
                    Notify => told(Some(other)),
                };
                assert_eq!(world.events(pid), expected, "{winner:?} {loser:?}");
                assert_eq!(world.is_gone(pid), kept != Some(pid) && loser == Kill);
            }
            world.assert_at_rest();
        }
    }
}

/// "If the function crashes, or returns anything other than one of the pids, the name is unregistered."
#[test]
fn a_function_that_fails_unregisters_the_name() {
    let (mut world, pids) = two("f");
    world.link(0, 1);
    world.answer(0, ClashAnswer::Failed);
    world.settle();
    world.all_show("x", None);
    for i in 0..2 {
        assert_eq!(world.events(pids[i]), told(Some(pids[1 - i])));
        assert!(!world.is_gone(pids[i]));
    }
    // The name is free for everybody.
    let op = world.register(pids[1], "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.assert_at_rest();
}

/// The first answer counts; a late one, one to what was never asked, and one after the end do nothing.
#[test]
fn a_late_answer_does_nothing() {
    let (mut world, pids) = two("f");
    world.link(0, 1);
    world.input(0, |engine, now| engine.handle_resolved(now, 999, decided(ClashWinner::B, ClashLoser::Kill)));
    assert_eq!(world.whereis(0, "x"), Some(pids[0]));
    world.answer(0, KEEP_A);
    world.settle();
    world.answer(0, decided(ClashWinner::B, ClashLoser::Kill));
    world.settle();
    world.all_show("x", Some(pids[0]));
    assert!(!world.is_gone(pids[0]) && !world.is_gone(pids[1]));
    world.command(0, Command::Close);
    world.answer(0, KEEP_A);
    world.settle();
}

/// A node that closes does not wait for a function; what it answers later is for nobody.
#[test]
fn a_node_closes_while_a_function_runs() {
    let (mut world, pids) = two("f");
    world.link(0, 1);
    world.command(0, Command::Close);
    world.settle();
    world.answer(0, decided(ClashWinner::A, ClashLoser::Kill));
    world.settle();
    assert_eq!(world.whereis(1, "x"), Some(pids[1]));
    assert!(!world.is_gone(pids[1]));
    world.assert_at_rest_at(1);
}

/// D4: "only registrations of that name wait; everything else goes on".
#[test]
fn only_registrations_of_that_name_wait_for_the_function() {
    let (mut world, pids) = two("f");
    world.link(0, 1);
    let others = [world.spawn(0), world.spawn(1)];
    let waiting = others.map(|pid| world.reregister(pid, "x"));
    let free = others.map(|pid| world.register(pid, &format!("free {pid:?}")));
    let taken = others.map(|pid| world.register(pid, "x"));
    world.settle();
    assert_eq!(waiting.map(|op| world.status(op)), [None; 2]);
    assert_eq!(free.map(|op| world.status(op)), [Some(Status::Ok); 2]);
    assert_eq!(taken.map(|op| world.status(op)), [Some(Status::Exists); 2]);
    world.answer(0, KEEP_A);
    world.settle();
    assert_eq!(waiting.map(|op| world.status(op)), [Some(Status::Ok); 2], "{}", world.picture());
    assert_eq!(world.events(pids[1]), told(Some(pids[0])), "the clash was decided first");
    world.assert_at_rest();
}

/// A clash whose function never answers holds up no other clash, with a function or without.
#[test]
fn a_stuck_function_holds_up_no_other_clash() {
    let (mut world, _) = two("f");
    let others: Vec<[Pid; 2]> = ["f", "keep-oldest"]
        .map(|resolver| {
            [0, 1].map(|node| {
                let pid = world.spawn(node);
                world.register_with(pid, resolver, resolver);
                pid
            })
        })
        .to_vec();
    world.link(0, 1);
    let stuck = world.calls().iter().position(|(_, call)| call.name == name("x")).unwrap();
    world.answer(1 - stuck, KEEP_A);
    world.settle();
    for (text, pids) in ["f", "keep-oldest"].iter().zip(others) {
        world.all_show(text, Some(pids[0]));
    }
    assert_ne!(world.whereis(0, "x"), world.whereis(1, "x"));
}

/// "A link that flaps while the resolver runs": the function is not called again, and its answer counts, wherever the
/// link is when it comes.
#[test]
fn a_function_outlives_flaps_of_the_link() {
    use ClashWinner::{A, B, Neither};
    for winner in [A, B, Neither] {
        for answered_while_apart in [false, true] {
            for flaps in 1..3 {
                let (mut world, pids) = two("f");
                world.link(0, 1);
                for flap in 0..flaps {
                    world.cut(0, 1);
                    if answered_while_apart && flap == 0 {
                        world.answer(0, decided(winner, ClashLoser::Notify));
                        world.settle();
                        assert_eq!(world.whereis(0, "x"), Some(pids[0]), "the winner is not there");
                    }
                    world.link(0, 1);
                }
                if !answered_while_apart {
                    world.answer(0, decided(winner, ClashLoser::Notify));
                    world.settle();
                }
                let kept = match winner {
                    A => Some(pids[0]),
                    B => Some(pids[1]),
                    Neither => None,
                };
                world.all_show("x", kept);
                for i in 0..2 {
                    let expected = if kept == Some(pids[i]) { vec![] } else { told(Some(pids[1 - i])) };
                    assert_eq!(world.events(pids[i]), expected);
                }
                assert_eq!(world.calls().len(), 1);
                world.assert_at_rest();
            }
        }
    }
}

/// The link breaks after any number of arrivals, with what is on its way lost: the outcome is the one that the function
/// gave, neither side keeps what it must not keep, and nobody is told twice.
#[test]
fn an_answer_outlives_a_flap_at_any_moment() {
    for answer in [
        ClashAnswer::Failed,
        decided(ClashWinner::A, ClashLoser::Notify),
        decided(ClashWinner::B, ClashLoser::Notify),
    ] {
        for arrivals in 0..8 {
            let (mut world, pids) = two("f");
            world.link(0, 1);
            world.answer(0, answer);
            for _ in 0..arrivals {
                if let Some((from, to)) = world.channels().first().copied() {
                    world.step(from, to);
                }
            }
            world.cut(0, 1);
            world.link(0, 1);
            let kept = match answer {
                ClashAnswer::Decided { winner: ClashWinner::A, .. } => Some(pids[0]),
                ClashAnswer::Decided { winner: ClashWinner::B, .. } => Some(pids[1]),
                _ => None,
            };
            world.all_show("x", kept);
            for i in 0..2 {
                let expected = if kept == Some(pids[i]) { vec![] } else { told(Some(pids[1 - i])) };
                assert_eq!(world.events(pids[i]), expected, "{answer:?} after {arrivals}");
            }
            assert_eq!(world.calls().len(), 1);
            world.assert_at_rest();
        }
    }
}

/// A binding that goes while the function runs: its answer is void, and the other one keeps the name.
#[test]
fn an_answer_after_a_binding_is_gone_is_void() {
    for goes in 0..2 {
        for how in ["exit", "unregister", "apart"] {
            for answer in [
                ClashAnswer::Failed,
                decided(ClashWinner::A, ClashLoser::Kill),
                decided(ClashWinner::B, ClashLoser::Kill),
                decided(ClashWinner::Neither, ClashLoser::Kill),
            ] {
                let (mut world, pids) = two("f");
                world.link(0, 1);
                match how {
                    "exit" => world.exit(pids[goes]),
                    "apart" => {
                        world.cut(0, 1);
                        world.exit(pids[goes]);
                        world.link(0, 1);
                    }
                    // Of the name as this node sees it: that would be both. One by its home alone.
                    _ => {
                        world.cut(0, 1);
                        world.unregister(pids[goes], "x");
                        world.link(0, 1);
                    }
                }
                world.settle();
                world.all_show("x", Some(pids[1 - goes]));
                world.answer(0, answer);
                world.settle();
                world.all_show("x", Some(pids[1 - goes]));
                assert_eq!(world.events(pids[1 - goes]), [], "{how} {answer:?}");
                assert_eq!(world.calls().len(), 1);
                world.assert_at_rest();
            }
        }
    }
}

/// While the function runs for a rival that is gone the next pair of the same binding waits: calls do not pile up.
#[test]
fn one_call_at_a_time_for_a_binding() {
    let (mut world, pids) = apart(3, "f");
    world.link(0, 1);
    world.exit(pids[1]);
    world.settle();
    world.link(0, 2);
    world.link(1, 2);
    assert_eq!(world.calls().len(), 1);
    world.answer(0, KEEP_A);
    world.settle();
    let calls = world.calls();
    assert_eq!((calls.len(), calls[1].1.b), (2, pids[2]), "{}", world.picture());
    world.answer(1, KEEP_A);
    world.settle();
    world.all_show("x", Some(pids[0]));
    world.assert_at_rest();
}

/// The rival's home crashes for good while the function runs, and a new incarnation brings a rival of its own: another
/// pair, another call.
#[test]
fn a_new_rival_is_a_new_pair() {
    let (mut world, pids) = two("f");
    world.link(0, 1);
    world.crash(1);
    world.settle();
    let again = world.add(config(5));
    world.add_resolver(again, "f");
    let rival = world.spawn(again);
    world.register_with(rival, "x", "f");
    world.connect(0, again);
    world.settle();
    assert_eq!(world.calls().len(), 1, "the first call has not been answered");
    world.answer(0, decided(ClashWinner::B, ClashLoser::Kill));
    world.settle();
    assert!(!world.is_gone(pids[0]), "the winner is not there, so nobody gives the name up for it");
    assert_eq!(world.calls().len(), 2);
    world.answer(1, decided(ClashWinner::A, ClashLoser::Kill));
    world.settle();
    assert_eq!(world.whereis(0, "x"), Some(pids[0]));
    assert_eq!(world.events(rival), killed(rival, Some(pids[0])));
}

/// While the function runs the rival's home re-registers the name for another process of its own, in the moment in which a
/// new link replaces the old one: its snapshot has the rival, which is then replaced in place, without a word of
/// withdrawal. That neither was to keep the name holds up nothing: the new rival is a new pair.
#[test]
fn a_rival_that_was_replaced_in_place_holds_up_nobody() {
    let (mut world, pids) = two("f");
    world.link(0, 1);
    world.cut(0, 1);
    let rival = world.spawn(1);
    let op = world.reregister(rival, "x");
    world.stay_apart();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.connect(0, 1);
    world.settle();
    assert_eq!(world.calls().len(), 1, "the first call has not been answered");
    world.answer(0, ClashAnswer::Failed);
    world.settle();
    assert_eq!(world.calls().len(), 2, "{}", world.picture());
    world.answer(1, decided(ClashWinner::A, ClashLoser::Kill));
    world.settle();
    world.all_show("x", Some(pids[0]));
    assert!(world.is_gone(rival) && !world.is_gone(pids[1]));
    world.assert_at_rest();
}

/// A verdict that was lost with a link is told again when the other home comes back, also where a still lower home has come
/// in between and its pair would be the next.
#[test]
fn a_verdict_is_told_again_though_another_pair_is_next() {
    let (mut world, pids) = apart(3, "f");
    world.link(1, 2);
    world.cut(1, 2);
    world.settle();
    world.answer(0, decided(ClashWinner::Neither, ClashLoser::Kill));
    world.settle();
    // Node 1 reads the snapshot of 0, then that of 2, and only then what 0 wants of it.
    world.connect(0, 1);
    let shows = |world: &World, of: Pid| world.engine(1).bindings().any(|(_, b)| b.pid() == of);
    while !shows(&world, pids[0]) {
        world.step(0, 1);
    }
    world.connect(1, 2);
    while !shows(&world, pids[2]) {
        world.step(1, 2);
        world.step(2, 1);
    }
    world.settle();
    assert!(world.is_gone(pids[1]) && world.is_gone(pids[2]), "{}", world.picture());
    assert_eq!(world.whereis(0, "x"), Some(pids[0]));
    assert_eq!(world.calls().len(), 1);
    world.assert_at_rest();
}
