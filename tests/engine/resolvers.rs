//! Resolvers: what each one that is built in does to whom, also where several parts join at the same moment.

use crate::asks::every_order;
use crate::harness::{NodeIndex, World, ms, name};
use convoke::engine::{Message, Output};
use convoke::model::{
    Action, ClashAnswer, ClashCall, ClashLoser, ClashWinner, Command, Deadline, Effect, Event, Machine,
    Payload, Pid, Reason, Ref, Resolver, Status,
};

/// What each kind of answer does.
pub(crate) const KEEP_A: ClashAnswer =
    ClashAnswer::Decided { winner: ClashWinner::A, loser: ClashLoser::Notify };

pub(crate) fn decided(winner: ClashWinner, loser: ClashLoser) -> ClashAnswer {
    ClashAnswer::Decided { winner, loser }
}

impl World {
    pub(crate) fn register_with(&mut self, pid: Pid, text: &str, resolver: &str) -> Ref {
        let (name, resolver, deadline) = (name(text), Resolver::from_name(resolver), Deadline::FOREVER);
        self.operate(pid, deadline, Action::Register { name, pid, resolver, replace: false })
    }

    pub(crate) fn add_resolver(&mut self, node: NodeIndex, resolver: &str) {
        self.command(node, Command::AddResolver { resolver: name(resolver) });
    }

    /// Every call of a function so far, at all nodes.
    pub(crate) fn calls(&self) -> Vec<(NodeIndex, ClashCall)> {
        let calls_of = |node: NodeIndex| {
            self.nodes[node].seen.iter().filter_map(move |output| match output {
                Output::Effect(Effect::CallResolver { clash }) => Some((node, clash.clone())),
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

    pub(crate) fn kept_by(&self, text: &str, pids: &[Pid]) -> Vec<Pid> {
        let here = self.index(pids[0].node);
        let kept = self.whereis(here, text);
        self.all_show(text, kept);
        pids.iter().copied().filter(|pid| Some(*pid) == kept).collect()
    }
}

pub(crate) fn told(other: Option<Pid>) -> Vec<Event> {
    vec![Event::NameConflict { name: name("x"), winner: other, reason: Reason::CONFLICT_LOST }]
}

pub(crate) fn killed(pid: Pid, by: Option<Pid>) -> Vec<Event> {
    let (reference, data) = (Ref(0), Payload::default());
    vec![Event::Exit { reference, pid, reason: Reason::CONFLICT_LOST, data, by }]
}

/// So many nodes apart, each with a process that has the name; node `i` registered it `i` times 10 ms after the first.
pub(crate) fn apart(count: usize, resolver: &str) -> (World, Vec<Pid>) {
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

pub(crate) fn two(resolver: &str) -> (World, [Pid; 2]) {
    let (world, pids) = apart(2, resolver);
    (world, [pids[0], pids[1]])
}

pub(crate) fn link_all(world: &mut World, count: usize) {
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
        world.stay_apart();
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
        let op = world.operate(
            pids[0],
            Deadline::FOREVER,
            Action::Register { name: text, pid: pids[0], resolver, replace: true },
        );
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
        let depth = [5, 3, 2][count - 3];
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
