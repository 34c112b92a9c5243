//! Resolvers at homes without a link to each other, at the home of a process elsewhere, and what a home remembers of
//! decided clashes.

use crate::harness::{DETECTION, World, config, name};
use crate::resolvers::{KEEP_A, apart, decided, told, two};
use convoke::engine::{ClashMessage, Message, Pair, Reg};
use convoke::model::{
    Action, ClashAnswer, ClashLoser, ClashWinner, Command, Deadline, NodeId, Pid, Resolver, Status,
};

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
            let op = world.operate(
                caller,
                Deadline::FOREVER,
                Action::Register { name: copy, pid, resolver, replace },
            );
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
    let op = world.operate(
        caller,
        Deadline::FOREVER,
        Action::Register { name: text, pid, resolver, replace: false },
    );
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
    world.stay_apart();
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
        world.say(puppet, 0, Message::ClashSeen { name: name("x"), pair, high });
    }
    assert_eq!(world.engine(0).describe().matches("Asked").count(), 64);
    let asked = world.told(puppet);
    assert_eq!(asked.len(), 100, "no more nodes are spoken to through others than there may be peers");
    assert!(asked.iter().all(|m| matches!(m, Message::Relayed { clash: ClashMessage::Engage { .. }, .. })));
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
