//! Resolvers: what each one that is built in does to whom, and functions of the program, which are called elsewhere and
//! answer later, in any case.

use crate::asks::every_order;
use crate::harness::*;
use convoke::engine::*;

/// What each kind of answer does.
const KEEP_A: ClashAnswer = ClashAnswer::Decided { winner: ClashWinner::A, loser: ClashLoser::Notify };

pub(crate) fn decided(winner: ClashWinner, loser: ClashLoser) -> ClashAnswer {
    ClashAnswer::Decided { winner, loser }
}

impl World {
    pub(crate) fn register_with(&mut self, pid: Pid, text: &str, resolver: &str) -> Ref {
        let (name, resolver, patience) = (name(text), Resolver::from_name(resolver), Patience::FOREVER);
        self.call(pid, |process, op| Command::Register {
            process,
            op,
            name,
            pid,
            resolver,
            replace: false,
            patience,
        })
    }

    pub(crate) fn add_resolver(&mut self, node: NodeIndex, resolver: &str) {
        self.command(node, Command::AddResolver { resolver: name(resolver) });
    }

    /// Every call of a function so far, at all nodes.
    pub(crate) fn calls(&self) -> Vec<(NodeIndex, ClashCall)> {
        let calls_of = |node: NodeIndex| {
            self.nodes[node].seen.iter().filter_map(move |output| match output {
                Output::CallResolver { clash } => Some((node, clash.clone())),
                _ => None,
            })
        };
        (0..self.nodes.len()).flat_map(calls_of).collect()
    }

    /// The function that was called as the `nth` answers.
    pub(crate) fn answer(&mut self, nth: usize, answer: ClashAnswer) {
        let (node, call) = self.calls()[nth].clone();
        self.input(node, |engine, now| engine.handle_resolved(now, call.id, answer));
    }

    fn kept_by(&self, text: &str, pids: &[Pid]) -> Vec<Pid> {
        let here = self.index(pids[0].node);
        let kept = self.whereis(here, text);
        self.all_show(text, kept);
        pids.iter().copied().filter(|pid| Some(*pid) == kept).collect()
    }
}

fn told(other: Option<Pid>) -> Vec<Event> {
    vec![Event::NameConflict { name: name("x"), winner: other, reason: Reason::CONFLICT_LOST }]
}

fn killed(pid: Pid, by: Option<Pid>) -> Vec<Event> {
    let (reference, data) = (Ref(0), Payload::default());
    vec![Event::Exit { reference, pid, reason: Reason::CONFLICT_LOST, data, by }]
}

/// So many nodes apart, each with a process that has the name; node `i` registered it `i` times 10 ms after the first.
fn apart(count: usize, resolver: &str) -> (World, Vec<Pid>) {
    let mut world = World::nodes(count);
    let mut pids = Vec::new();
    for node in 0..count {
        world.add_resolver(node, "f");
        let pid = world.spawn(node);
        let op = world.register_with(pid, "x", resolver);
        assert_eq!(world.status(op), Some(Status::Ok));
        pids.push(pid);
        world.advance(ms(10));
    }
    (world, pids)
}

fn two(resolver: &str) -> (World, [Pid; 2]) {
    let (world, pids) = apart(2, resolver);
    (world, [pids[0], pids[1]])
}

fn link_all(world: &mut World, count: usize) {
    for a in 0..count {
        for b in a + 1..count {
            world.connect(a, b);
        }
    }
    world.settle();
}

// ---- built in

/// "It randomly chooses one of the pids for registration and kills the other one."
#[test]
fn random_exit_kills_one() {
    let mut won = [0, 0];
    for seed in 0..24 {
        let (mut world, pids) = two("random-exit");
        for _ in 0..seed {
            // The chance of the lower home is what decides.
            let pid = world.spawn(0);
            world.register(pid, &format!("other{seed}"));
        }
        world.link(0, 1);
        let [winner] = world.kept_by("x", &pids)[..] else { panic!("{}", world.picture()) };
        let at = world.index(winner.node);
        let loser = pids[1 - at];
        assert_eq!(world.events(winner), []);
        assert_eq!(world.events(loser), killed(loser, Some(winner)));
        assert!(world.is_gone(loser) && !world.is_gone(winner));
        world.assert_at_rest();
        won[at] += 1;
    }
    assert_eq!(won[0] + won[1], 24);
}

/// "It randomly chooses one of the pids for registration, and sends the message {global_name_conflict, Name} to the other
/// pid."
#[test]
fn random_notify_tells_one() {
    let mut won = [0, 0];
    let mut world = World::nodes(2);
    let clashes: Vec<[Pid; 2]> = (0..48)
        .map(|i| {
            [0, 1].map(|node| {
                let pid = world.spawn(node);
                world.register_with(pid, &format!("x{i}"), "random-notify");
                pid
            })
        })
        .collect();
    world.link(0, 1);
    for (i, pids) in clashes.iter().enumerate() {
        let text = format!("x{i}");
        let [winner] = world.kept_by(&text, pids)[..] else { panic!("{}", world.picture()) };
        let at = world.index(winner.node);
        let event = Event::NameConflict { name: name(&text), winner: None, reason: Reason::CONFLICT_LOST };
        assert_eq!(world.events(pids[1 - at]), [event]);
        assert_eq!(world.events(winner), []);
        assert!(pids.iter().all(|pid| !world.is_gone(*pid)));
        won[at] += 1;
    }
    assert!(won[0] > 8 && won[1] > 8, "either side wins at times: {won:?}");
    world.assert_at_rest();
}

/// "It unregisters both pids, and sends the message {global_name_conflict, Name, OtherPid} to both processes." In every
/// order of arrival.
#[test]
fn notify_all_tells_both() {
    let start = || {
        let (mut world, pids) = two("notify-all");
        world.connect(0, 1);
        (world, pids)
    };
    every_order(
        10,
        start,
        |_, _| {},
        |world, pids| {
            world.all_show("x", None);
            for i in 0..2 {
                assert_eq!(world.events(pids[i]), told(Some(pids[1 - i])));
                assert!(!world.is_gone(pids[i]));
            }
            world.assert_at_rest();
        },
    );
}

/// D21: "ms since the commit by the home's monotonic clock, exchanged when the clash is decided": whichever home is older.
#[test]
fn keep_oldest_keeps_the_older_registration() {
    for (first, second) in [(0, 1), (1, 0)] {
        let mut world = World::nodes(2);
        let mut pids = [world.spawn(0), world.spawn(1)];
        world.register_with(pids[first], "x", "keep-oldest");
        world.advance(ms(20));
        world.register_with(pids[second], "x", "keep-oldest");
        world.advance(ms(500));
        world.link(0, 1);
        world.all_show("x", Some(pids[first]));
        assert_eq!(world.events(pids[first]), []);
        assert_eq!(world.events(pids[second]), told(Some(pids[first])));
        assert!(!world.is_gone(pids[second]));
        // What counts is the registration, not the process: the loser registers anew, splits off, and is the younger.
        world.cut(0, 1);
        let op = world.register_with(pids[second], "x", "keep-oldest");
        assert_eq!(world.status(op), Some(Status::Ok));
        world.advance(ms(20));
        world.link(0, 1);
        world.all_show("x", Some(pids[first]));
        world.assert_at_rest();
        pids.reverse();
    }
}

/// D21: "tie: smaller binding".
#[test]
fn keep_oldest_keeps_the_smaller_binding_of_a_tie() {
    let mut world = World::nodes(2);
    let pids = [world.spawn(1), world.spawn(0)];
    for pid in pids {
        world.register_with(pid, "x", "keep-oldest");
    }
    world.link(0, 1);
    world.all_show("x", Some(pids[1]));
    assert_eq!(world.events(pids[0]), told(Some(pids[1])));
}

/// A re-register is a new commit; one that is undone leaves the old binding as old as it was.
#[test]
fn the_age_of_a_binding_that_is_restored_counts_from_its_own_commit() {
    for undone in [false, true] {
        let mut world = World::nodes(3);
        let pids = [world.spawn(0), world.spawn(1)];
        world.link(0, 2);
        world.register_with(pids[0], "x", "keep-oldest");
        world.settle();
        world.advance(ms(20));
        world.register_with(pids[1], "x", "keep-oldest");
        world.advance(ms(20));
        let (text, resolver) = (name("x"), Resolver::KeepOldest);
        let op = world.call(pids[0], |process, op| Command::Register {
            process,
            op,
            name: text,
            pid: pids[0],
            resolver,
            replace: true,
            patience: Patience::FOREVER,
        });
        if undone {
            world.until(0, 2, |m| matches!(m, Message::Acquire { .. }));
            world.until(2, 0, |m| matches!(m, Message::Grant { .. }));
            world.cancel(pids[0], op);
        }
        world.settle();
        assert_eq!(world.status(op), Some(if undone { Status::Cancelled } else { Status::Ok }));
        world.link(0, 1);
        world.link(1, 2);
        world.all_show("x", Some(pids[usize::from(!undone)]));
    }
}

/// "The function is the one stored on that side": of two resolvers that of the lower home counts.
#[test]
fn the_resolver_of_the_lower_home_decides() {
    for lower in [0, 1] {
        let mut world = World::nodes(2);
        let pids = [world.spawn(0), world.spawn(1)];
        for (node, pid) in pids.into_iter().enumerate() {
            world.register_with(pid, "x", if node == lower { "notify-all" } else { "keep-oldest" });
        }
        world.link(0, 1);
        // Node 0 has the lower incarnation.
        world.all_show("x", (lower == 1).then_some(pids[0]));
        assert_eq!(world.events(pids[0]).len(), usize::from(lower == 0));
    }
}

// ---- three and more parts that join at the same moment

/// "Once per clash, then the winner against the next": with `notify-all` each pair ends without a winner, so an odd part
/// keeps the name. Whoever lost it is told of exactly one rival.
#[test]
fn notify_all_of_several_parts_goes_pair_by_pair() {
    for count in [3, 4, 5] {
        let start = || {
            let (mut world, pids) = apart(count, "notify-all");
            for a in 0..count {
                for b in a + 1..count {
                    world.connect(a, b);
                }
            }
            (world, pids)
        };
        let depth = if count == 3 { 5 } else { 3 };
        every_order(
            depth,
            start,
            |_, _| {},
            |world, pids| {
                let kept = world.kept_by("x", &pids);
                assert_eq!(kept.len(), count % 2, "{}", world.picture());
                let mut rivals = std::collections::BTreeMap::new();
                for pid in pids.iter().filter(|pid| !kept.contains(pid)) {
                    let events = world.events(*pid);
                    let [Event::NameConflict { winner: Some(other), reason: Reason::CONFLICT_LOST, .. }] =
                        events[..]
                    else {
                        panic!("{pid:?} was told {events:?}")
                    };
                    rivals.insert(*pid, other);
                }
                for (pid, other) in &rivals {
                    assert_eq!(rivals.get(other), Some(pid), "they were told of each other");
                }
                assert!(kept.iter().all(|pid| world.events(*pid).is_empty()));
                world.assert_at_rest();
            },
        );
    }
}

/// Every one but the oldest loses, each told of who beat it.
#[test]
fn keep_oldest_of_several_parts_keeps_the_oldest() {
    for (order, oldest) in [([0, 1, 2, 3], 0), ([3, 2, 1, 0], 3), ([2, 0, 3, 1], 2)] {
        let mut world = World::nodes(4);
        let pids = [0, 1, 2, 3].map(|node| world.spawn(node));
        for node in order {
            world.register_with(pids[node], "x", "keep-oldest");
            world.advance(ms(10));
        }
        link_all(&mut world, 4);
        world.all_show("x", Some(pids[oldest]));
        for (node, pid) in pids.iter().enumerate() {
            assert_eq!(world.events(*pid).len(), usize::from(node != oldest), "{}", world.picture());
        }
        world.assert_at_rest();
    }
}

/// One call at a time, one for each pair: the winner against the next.
#[test]
fn a_function_is_called_for_one_pair_after_the_other() {
    let (mut world, pids) = apart(4, "f");
    link_all(&mut world, 4);
    for round in 0..3 {
        let calls = world.calls();
        assert_eq!(calls.len(), round + 1, "{}", world.picture());
        let (at, call) = &calls[round];
        assert_eq!((*at, call.a, call.b), (0, pids[0], pids[round + 1]));
        world.answer(round, decided(ClashWinner::A, ClashLoser::Silent));
        world.settle();
    }
    world.all_show("x", Some(pids[0]));
    assert!(pids.iter().all(|pid| world.events(*pid).is_empty() && !world.is_gone(*pid)));
    assert_eq!(world.calls().len(), 3);
    world.assert_at_rest();
}

/// The same when the answers make the higher one win each time: then another home decides the next.
#[test]
fn the_home_of_the_winner_decides_the_next_pair() {
    let (mut world, pids) = apart(4, "f");
    link_all(&mut world, 4);
    for round in 0..3 {
        let (at, call) = world.calls()[round].clone();
        assert_eq!((at, call.a, call.b), (round, pids[round], pids[round + 1]), "{}", world.picture());
        world.answer(round, decided(ClashWinner::B, ClashLoser::Kill));
        world.settle();
        assert_eq!(world.events(pids[round]), killed(pids[round], Some(pids[round + 1])));
    }
    world.all_show("x", Some(pids[3]));
    assert_eq!(world.calls().len(), 3);
    world.assert_at_rest();
}

// ---- functions

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
    world.cut_at(0, 1);
    let rival = world.spawn(1);
    let op = world.reregister(rival, "x");
    assert_eq!(world.status(op), None, "node 1 takes the link for alive");
    world.connect(0, 1);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
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

// ---- homes without a link

/// Nodes 0 and 2 have the name and no link; 1 sees both and tells.
fn line_with(resolver: &str) -> (World, [Pid; 2]) {
    let mut world = World::nodes(3);
    let pids = [world.spawn(0), world.spawn(2)];
    for node in 0..3 {
        world.add_resolver(node, "f");
    }
    for pid in pids {
        world.register_with(pid, "x", resolver);
    }
    world.link(0, 1);
    world.link(1, 2);
    world.advance(DETECTION);
    world.settle();
    (world, pids)
}

/// "A third node never calls a resolver": the lower home does, once, and its verdict goes through the third.
#[test]
fn a_function_decides_a_clash_that_only_a_third_node_sees() {
    use ClashWinner::{A, B, Neither};
    for winner in [A, B, Neither] {
        for linked_before in [false, true] {
            let (mut world, pids) = line_with("f");
            let calls = world.calls();
            assert_eq!(calls.len(), 1, "{}", world.picture());
            assert_eq!((calls[0].0, calls[0].1.a, calls[0].1.b), (0, pids[0], pids[1]));
            world.advance(DETECTION * 3);
            if linked_before {
                world.link(0, 2);
            }
            assert_eq!(world.calls().len(), 1, "it runs; nobody calls it again");
            world.answer(0, decided(winner, ClashLoser::Notify));
            world.settle();
            let kept = match winner {
                A => Some(pids[0]),
                B => Some(pids[1]),
                Neither => None,
            };
            assert_eq!(world.whereis(1, "x"), kept, "{}", world.picture());
            for i in 0..2 {
                let expected = if kept == Some(pids[i]) { vec![] } else { told(Some(pids[1 - i])) };
                assert_eq!(world.events(pids[i]), expected, "{winner:?}");
            }
            world.link(0, 2);
            world.all_show("x", kept);
            assert_eq!(world.calls().len(), 1);
            world.assert_at_rest();
        }
    }
}

/// The built-in ones the same way; the ages travel too.
#[test]
fn built_in_resolvers_decide_a_clash_that_only_a_third_node_sees() {
    let (world, pids) = line_with("notify-all");
    assert_eq!(world.whereis(1, "x"), None);
    assert_eq!(world.events(pids[0]), told(Some(pids[1])));
    assert_eq!(world.events(pids[1]), told(Some(pids[0])));
    world.assert_at_rest();
    let (world, pids) = line_with("keep-oldest");
    assert_eq!(world.whereis(1, "x"), Some(pids[0]), "a tie");
    assert_eq!(world.events(pids[1]), told(Some(pids[0])));
    world.assert_at_rest();
}

/// The third node is lost with the verdict: when it is back the verdict is told again, not found anew.
#[test]
fn a_verdict_that_a_third_node_lost_is_told_again() {
    for arrivals in 0..6 {
        let (mut world, pids) = line_with("f");
        world.answer(0, ClashAnswer::Failed);
        for _ in 0..arrivals {
            if let Some((from, to)) = world.channels().first().copied() {
                world.step(from, to);
            }
        }
        world.cut(0, 1);
        world.cut(1, 2);
        world.link(0, 1);
        world.link(1, 2);
        world.advance(DETECTION * 2);
        world.settle();
        world.link(0, 2);
        assert_eq!(world.calls().len(), 1);
        world.all_show("x", None);
        for i in 0..2 {
            assert_eq!(world.events(pids[i]), told(Some(pids[1 - i])), "after {arrivals}");
        }
        world.assert_at_rest();
    }
}

// ---- registering

/// "Registering with an unknown resolver is an error at once", here and at the home of a process elsewhere.
#[test]
fn an_unknown_function_is_not_found() {
    let mut world = World::mesh(2);
    let (caller, elsewhere) = (world.spawn(0), world.spawn(1));
    world.add_resolver(0, "here");
    world.add_resolver(1, "there");
    for (pid, resolver, expected) in [
        (caller, "here", Status::Ok),
        (caller, "there", Status::NotFound),
        (elsewhere, "there", Status::Ok),
        (elsewhere, "here", Status::NotFound),
        (caller, "Random-Exit", Status::NotFound),
        (caller, "", Status::NotFound),
    ] {
        for replace in [false, true] {
            let text = name(&format!("{resolver} {replace} {pid:?}"));
            let (copy, resolver) = (text.clone(), Resolver::from_name(resolver));
            let op = world.call(caller, |process, op| Command::Register {
                process,
                op,
                name: copy,
                pid,
                resolver,
                replace,
                patience: Patience::FOREVER,
            });
            world.settle();
            assert_eq!(world.status(op), Some(expected), "{text:?}");
            let shown = world.engine(0).whereis(text.as_bytes());
            assert_eq!(shown, (expected == Status::Ok).then_some(pid));
        }
    }
    world.assert_at_rest();
}

/// A function at a forwarded home: the binding lives there, and so does the call.
#[test]
fn a_function_at_a_forwarded_home_is_called_there() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    world.add_resolver(1, "f");
    let (caller, pid, rival) = (world.spawn(0), world.spawn(1), world.spawn(2));
    let resolver = Resolver::from_name("f");
    let text = name("x");
    let op = world.call(caller, |process, op| Command::Register {
        process,
        op,
        name: text,
        pid,
        resolver,
        replace: false,
        patience: Patience::FOREVER,
    });
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.register(rival, "x");
    world.link(1, 2);
    world.link(0, 2);
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].0, calls[0].1.a, calls[0].1.b), (1, 1, pid, rival));
    world.answer(0, decided(ClashWinner::B, ClashLoser::Silent));
    world.settle();
    world.all_show("x", Some(rival));
    assert!(!world.is_gone(pid));
    world.assert_at_rest();
}

// ---- what is remembered

/// Verdicts that never reached the rival go when its node has left in order; those of incarnations that vanished are
/// bounded.
#[test]
fn verdicts_of_incarnations_that_never_return_do_not_pile_up() {
    for in_order in [true, false] {
        let mut world = World::nodes(1);
        world.add_resolver(0, "f");
        let pid = world.spawn(0);
        world.register_with(pid, "x", "f");
        for round in 0..150 {
            let other = world.add(config(round + 1));
            let rival = world.spawn(other);
            world.register(rival, "x");
            world.connect(0, other);
            world.settle();
            assert_eq!(world.calls().len(), round + 1);
            if in_order {
                world.cut(0, other);
                world.answer(round, KEEP_A);
                world.connect(0, other);
                world.step(0, other);
                world.command(other, Command::Close);
                world.settle();
            } else {
                // The verdict is on its way when the node vanishes.
                world.answer(round, KEEP_A);
                world.crash(other);
            }
            world.settle();
        }
        assert_eq!(world.whereis(0, "x"), Some(pid));
        let remembered = world.engine(0).describe().matches("Decided").count();
        let bound = if in_order { 0 } else { 64 };
        assert_eq!(remembered, bound);
        world.exit(pid);
        assert!(world.engine(0).describe().contains("clashes {}"));
        world.assert_at_rest_at(0);
    }
}

/// A verdict on a binding that was replaced in place by a re-register is not needed any more.
#[test]
fn verdicts_on_a_binding_that_was_replaced_are_forgotten() {
    let (mut world, pids) = two("f");
    world.link(0, 1);
    world.answer(0, KEEP_A);
    world.crash(1);
    world.settle();
    assert!(world.engine(0).describe().contains("Decided"));
    let heir = world.spawn(0);
    let op = world.reregister(heir, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    // At the next occasion.
    world.exit(pids[0]);
    let other = world.add(config(7));
    world.link(0, other);
    assert!(world.engine(0).describe().contains("clashes {}"), "{}", world.picture());
}

/// A peer that tells of clashes with ever new nodes makes this one remember a bounded number of them.
#[test]
fn what_a_third_node_tells_is_bounded() {
    let mut world = World::empty();
    let mut small = config(0);
    small.limits.peers = 100;
    world.add(small);
    let pid = world.spawn(0);
    world.register(pid, "x");
    let low = world.engine(0).bindings().next().expect("it is registered").1.reg;
    let puppet = world.add_puppet(9);
    world.link(puppet, 0);
    world.told(puppet);
    for node in 1000..1300 {
        let pair = Pair { low, high: Reg { node: NodeId(node), seq: 1 } };
        let high = Pid { node: NodeId(node), serial: 1 };
        world.say(puppet, 0, Message::Hearsay { name: name("x"), pair, high });
    }
    assert_eq!(world.engine(0).describe().matches("Asked").count(), 64);
    let asked = world.told(puppet);
    assert_eq!(asked.len(), 100, "no more nodes are spoken to through others than there may be peers");
    assert!(asked.iter().all(|m| matches!(m, Message::Via { clash: ClashMessage::Engage { .. }, .. })));
}

/// A verdict that neither wins, lost with its link, is told when the two meet again, although the lower home has got a pair
/// with a still lower home by then, which would wait for it for ever.
#[test]
fn a_lost_verdict_is_told_although_another_pair_comes_first() {
    let (mut world, pids) = apart(3, "f");
    world.link(1, 2);
    world.settle();
    world.cut(1, 2);
    world.answer(0, decided(ClashWinner::Neither, ClashLoser::Notify));
    for from in [0, 2] {
        world.connect(from, 1);
        world.step(1, from); // Go, where node 1 is the arbiter
        world.until(from, 1, |m| matches!(m, Message::Hello { last: true, .. }));
    }
    world.settle();
    world.link(0, 2);
    world.settle();
    assert_eq!(world.events(pids[2]), told(Some(pids[1])));
    assert_eq!(world.kept_by("x", &pids), [pids[0]], "{}", world.picture());
    world.assert_at_rest();
}
