//! Re-register: a name moves without a gap, or stays where it was.

use crate::asks::every_order;
use crate::harness::{DETECTION, World, ms, name};
use convoke::engine::Message;
use convoke::model::{Event, Pid, Reason, Ref, Status};

fn is_lost(event: &Event) -> bool {
    matches!(event, Event::NameConflict { .. })
}

/// "Registers when the name was unknown."
#[test]
fn reregister_of_an_unknown_name_registers_it() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    let op = world.reregister(pid, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show("x", Some(pid));
    world.assert_at_rest();
}

/// Promise 4: "A name never shows none to a reader during a re-register". The old process lives, and it is told
/// REPLACED, once.
#[test]
fn reregister_moves_a_name_without_a_gap() {
    for (owner, heir) in [(0, 0), (0, 1), (1, 0), (1, 2), (2, 0)] {
        let start = || {
            let mut world = World::mesh(3);
            let (old, new) = (world.spawn(owner), world.spawn(heir));
            world.register(old, "x");
            world.settle();
            let op = world.reregister(new, "x");
            (world, (old, new, op))
        };
        let look = |world: &World, (_, new, op): &(Pid, Pid, Ref)| {
            if world.status(*op).is_some() {
                world.all_show("x", Some(*new));
            }
        };
        every_order(6, start, look, |world, (old, new, op)| {
            assert_eq!(world.status(op), Some(Status::Ok));
            for node in 0..3 {
                assert_eq!(world.history(node, "x"), [Some(old), Some(new)], "at node {node}");
            }
            let lost = Event::NameConflict { name: name("x"), winner: Some(new), reason: Reason::REPLACED };
            assert_eq!(world.events(old), [lost], "owner {owner}, heir {heir}");
            assert_eq!(world.events(new), []);
            assert!(!world.is_gone(old), "it is neither killed nor unregistered by force");
            world.assert_at_rest();
        });
    }
}

/// The binding that was covered first is withdrawn by its home, and the word of that is late at a third node. When the
/// covering one is replaced by another of its own home meanwhile, readers there must not see the very first again.
#[test]
fn a_second_reregister_does_not_bring_back_the_first_owner() {
    for first in [0, 2] {
        let mut world = World::mesh(3);
        let (home, third) = (1, 2 - first);
        let (old, new, newest) = (world.spawn(first), world.spawn(home), world.spawn(home));
        world.register(old, "x");
        world.settle();
        world.reregister(new, "x");
        // Everything arrives but what the first home tells the third node once it has given up the name.
        world.settle_but(first, third, |message| matches!(message, Message::Unregistered { .. }));
        let op = world.reregister(newest, "x");
        world.settle_but(first, third, |message| matches!(message, Message::Unregistered { .. }));
        assert_eq!(world.status(op), Some(Status::Ok));
        world.all_show("x", Some(newest));
        world.settle();
        for node in 0..3 {
            let shown = [Some(old), Some(new), Some(newest)];
            assert_eq!(world.history(node, "x"), shown, "first {first}, at node {node}");
        }
        world.assert_at_rest();
    }
}

/// The same process again: nobody has lost anything.
#[test]
fn reregister_for_the_same_process_tells_nobody() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    world.register(pid, "x");
    world.settle();
    let op = world.reregister(pid, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.events(pid), []);
    assert_eq!(world.history(1, "x"), [Some(pid)]);
    world.exit(pid);
    world.settle();
    world.all_show("x", None);
    world.assert_at_rest();
}

/// After it the old process has nothing to do with the name: "killing p2, which lost the name before, changes nothing".
#[test]
fn the_death_of_a_replaced_process_changes_nothing() {
    for owner in 0..2 {
        let mut world = World::mesh(2);
        let (old, new) = (world.spawn(owner), world.spawn(0));
        world.register(old, "x");
        world.settle();
        world.reregister(new, "x");
        world.settle();
        world.exit(old);
        world.settle();
        world.all_show("x", Some(new));
        // Nor does its name keep it from another where only one is allowed, or from this one.
        let back = world.spawn(owner);
        let op = world.reregister(back, "x");
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok));
        world.all_show("x", Some(back));
        world.assert_at_rest();
    }
}

/// Two re-registers of one name at once: one after the other, readers see one of the three at any time.
#[test]
fn two_reregisters_at_once_follow_each_other() {
    let start = || {
        let mut world = World::mesh(2);
        let (old, a, b) = (world.spawn(0), world.spawn(0), world.spawn(1));
        world.register(old, "x");
        world.settle();
        let ops = [world.reregister(a, "x"), world.reregister(b, "x")];
        (world, ([old, a, b], ops))
    };
    let orders = every_order(
        30,
        start,
        |_, _| {},
        |world, ([old, a, b], ops)| {
            assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Ok); 2]);
            let last = world.whereis(0, "x");
            assert!(last == Some(a) || last == Some(b));
            world.all_show("x", last);
            for node in 0..2 {
                let history = world.history(node, "x");
                assert!(!history.contains(&None), "a gap: {history:?}");
            }
            // Everybody but the last one has lost it, and is told so once.
            for pid in [old, a, b] {
                let lost = world.events(pid).iter().filter(|e| is_lost(e)).count();
                assert_eq!(lost, usize::from(last != Some(pid)), "{pid:?}\n{}", world.picture());
            }
            world.assert_at_rest();
        },
    );
    assert!(orders > 4, "{orders}");
}

// ---- with something in its way

/// The old process ends while the re-register is under way, in every order: the new one has the name, nothing of the
/// old comes back.
#[test]
fn the_owner_ends_during_a_reregister() {
    for (owner, heir) in [(0, 0), (0, 1), (1, 0)] {
        let start = || {
            let mut world = World::mesh(2);
            let (old, new) = (world.spawn(owner), world.spawn(heir));
            world.register(old, "x");
            world.settle();
            let op = world.reregister(new, "x");
            world.exit(old);
            (world, (old, new, op))
        };
        every_order(
            12,
            start,
            |_, _| {},
            |world, (old, new, op)| {
                assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
                world.all_show("x", Some(new));
                for node in 0..2 {
                    let history = world.history(node, "x");
                    let last = history.iter().rposition(|pid| *pid == Some(old));
                    assert_eq!(last, Some(0), "it came back: {history:?}");
                }
                assert_eq!(world.events(old), []);
                world.assert_at_rest();
            },
        );
    }
}

/// "A re-register that is withdrawn or dies uncovers the old binding": the coordinator dies after any number of
/// arrivals. The name goes back to the old process, or is free when that one was told that it had lost it.
#[test]
fn the_coordinator_dies_during_a_reregister() {
    let mut ends = [0, 0];
    for owner in [1, 2] {
        for arrivals in 0..16 {
            let mut world = World::mesh(3);
            let (old, new) = (world.spawn(owner), world.spawn(0));
            world.register(old, "x");
            world.settle();
            world.reregister(new, "x");
            for _ in 0..arrivals {
                if let Some((from, to)) = world.channels().first().copied() {
                    world.step(from, to);
                }
            }
            // What it had sent is lost with it, at both of the others.
            world.cut(0, 1);
            world.cut(0, 2);
            world.nodes[0].engine = None;
            world.settle();
            let told = world.events(old).iter().any(is_lost);
            world.all_show("x", (!told).then_some(old));
            ends[usize::from(told)] += 1;
            world.assert_at_rest();
        }
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
}

/// Any of the links breaks and comes back after any number of arrivals: the call is answered, and all show the same. The
/// old process is told of its loss, unless the claim was complete without its node: then there is a clash.
#[test]
fn a_link_flaps_during_a_reregister() {
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        for owner in 0..3 {
            for arrivals in 0..16 {
                let mut world = World::mesh(3);
                let (old, new) = (world.spawn(owner), world.spawn(0));
                world.register(old, "x");
                world.settle();
                let op = world.reregister(new, "x");
                for _ in 0..arrivals {
                    if let Some((from, to)) = world.channels().first().copied() {
                        world.step(from, to);
                    }
                }
                world.cut(a, b);
                world.link(a, b);
                let what = format!("{a}-{b} after {arrivals}, owner {owner}\n{}", world.picture());
                assert_eq!(world.status(op), Some(Status::Ok), "{what}");
                let told = world.events(old).iter().filter(|e| is_lost(e)).count();
                match (world.is_gone(old), world.is_gone(new)) {
                    (false, false) => {
                        world.all_show("x", Some(new));
                        assert_eq!(told, 1, "{what}");
                    }
                    // It was complete before the owner was linked again: a clash like any other.
                    (true, false) => world.all_show("x", Some(new)),
                    (false, true) => world.all_show("x", Some(old)),
                    (true, true) => panic!("both were killed: {what}"),
                }
                world.assert_at_rest();
            }
        }
    }
}

/// A node joins while a re-register is being acknowledged: it shows the new one, and OK waits for it.
#[test]
fn a_node_joins_during_a_reregister() {
    for owner in [0, 1] {
        for arrivals in 0..8 {
            let mut world = World::nodes(3);
            world.link(0, 1);
            let (old, new) = (world.spawn(owner), world.spawn(0));
            world.register(old, "x");
            world.settle();
            let op = world.reregister(new, "x");
            for _ in 0..arrivals {
                if let Some((from, to)) = world.channels().first().copied() {
                    world.step(from, to);
                }
            }
            let done = world.status(op).is_some();
            world.connect(2, 0);
            world.connect(2, 1);
            world.settle_with(|world| {
                if !done && world.status(op).is_some() && world.is_linked(0, 2) {
                    assert_eq!(world.whereis(2, "x"), Some(new), "{}", world.picture());
                }
            });
            assert_eq!(world.status(op), Some(Status::Ok));
            world.all_show("x", Some(new));
            assert_eq!(world.events(old).iter().filter(|e| is_lost(e)).count(), 1);
            world.assert_at_rest();
        }
    }
}

/// As above, but the covering binding is replaced by one of a third home, which knows nothing of the first any more: when the
/// covering one goes, readers at its home do not see the first one again.
#[test]
fn a_reregister_by_a_third_home_does_not_bring_back_the_first_owner() {
    let mut world = World::mesh(3);
    let [old, new, newest] = [0, 1, 2].map(|node| world.spawn(node));
    let late = |message: &Message| matches!(message, Message::Unregistered { .. });
    world.register(old, "x");
    world.settle();
    for pid in [new, newest] {
        let op = world.reregister(pid, "x");
        // Node 1 does not hear that node 0 has given up the name.
        world.settle_but(0, 1, late);
        assert_eq!(world.status(op), Some(Status::Ok));
    }
    world.settle();
    assert_eq!(world.history(1, "x"), [old, new, newest].map(Some));
    world.all_show("x", Some(newest));
    world.assert_at_rest();
}

/// Promise 1: a voter may not have heard of the end of the binding before, of which the home that registers knows nothing any
/// more. Its readers see the new one as soon as the call is answered.
#[test]
fn what_a_voter_still_shows_is_covered() {
    for owner_dies in [false, true] {
        let mut world = World::mesh(3);
        let [old, asker, new] = [0, 0, 2].map(|node| world.spawn(node));
        let late = |message: &Message| matches!(message, Message::Unregistered { .. });
        world.register(old, "x");
        world.settle();
        if owner_dies {
            world.exit(old);
        } else {
            world.unregister(asker, "x");
        }
        world.settle_but(0, 1, late);
        assert_eq!([1, 2].map(|node| world.whereis(node, "x")), [Some(old), None]);
        let op = world.reregister(new, "x");
        world.settle_but(0, 1, late);
        assert_eq!(world.status(op), Some(Status::Ok));
        assert_eq!(world.whereis(1, "x"), Some(new));
        world.settle();
        assert_eq!(world.history(1, "x"), [Some(old), Some(new)]);
        world.all_show("x", Some(new));
        world.assert_at_rest();
    }
}

/// Promise 1 in a partial mesh: the owner has no link to the home that re-registers, and so no vote. Readers of the node between
/// see the new one as soon as the call is answered, no resolver is asked, and the owner is told through that node.
#[test]
pub(crate) fn what_a_voter_shows_of_a_home_without_a_vote_is_covered() {
    let (mut world, owner, claimant) = crate::asks::line();
    let op = world.register(claimant, "x");
    world.settle();
    assert_eq!(world.status(op), None, "a plain registration waits for the grace, and is refused then");
    world.cancel(claimant, op);
    let op = world.reregister(claimant, "x");
    world.settle_with(|world| {
        let shown = world.whereis(1, "x");
        assert!(shown == Some(claimant) || shown == Some(owner) && world.status(op).is_none());
    });
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.history(1, "x"), [Some(owner), Some(claimant)]);
    // Who has it instead cannot be seen there.
    let lost = Event::NameConflict { name: name("x"), winner: None, reason: Reason::REPLACED };
    assert_eq!(world.events(owner), [lost]);
    world.advance(DETECTION * 2);
    assert!(!world.is_gone(owner) && !world.is_gone(claimant));
    world.assert_at_rest();
    world.link(0, 2);
    world.all_show("x", Some(claimant));
    world.assert_at_rest();
}

/// The same where the owner is dead, and a voter has not noticed that yet.
#[test]
fn what_a_voter_shows_of_the_dead_is_covered() {
    let mut world = World::mesh(3);
    let [old, new] = [2, 0].map(|node| world.spawn(node));
    world.register(old, "x");
    world.settle();
    world.nodes[2].engine = None;
    world.cut_at(0, 2);
    assert_eq!([0, 1].map(|node| world.whereis(node, "x")), [None, Some(old)]);
    let op = world.reregister(new, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.history(1, "x"), [Some(old), Some(new)]);
    world.cut_at(1, 2);
    world.all_show("x", Some(new));
    world.assert_at_rest();
}

/// The word that it was replaced is lost with the link of the node between. It is said again when that link is back.
#[test]
fn a_home_without_a_link_hears_that_it_was_replaced_when_it_is_back() {
    let settled = |message: &Message| matches!(message, Message::Settled { .. });
    let (mut world, owner, claimant) = crate::asks::line();
    let op = world.reregister(claimant, "x");
    world.settle_but(1, 2, settled);
    assert_eq!((world.status(op), world.whereis(1, "x")), (Some(Status::Ok), Some(claimant)));
    world.cut(1, 2);
    world.settle();
    world.link(1, 2);
    assert_eq!([1, 2].map(|node| world.whereis(node, "x")), [Some(claimant), Some(owner)]);
    world.advance(DETECTION);
    assert_eq!([1, 2].map(|node| world.whereis(node, "x")), [Some(claimant), None]);
    assert_eq!(world.events(owner).len(), 1);
    world.assert_at_rest();
}

/// The owner had voted, and its link breaks before it hears that it was replaced: the node between tells it.
#[test]
fn an_owner_whose_link_breaks_hears_through_another_that_it_was_replaced() {
    let mut world = World::mesh(3);
    let [old, new] = [2, 0].map(|node| world.spawn(node));
    world.register(old, "x");
    world.settle();
    let op = world.reregister(new, "x");
    world.settle_but(0, 2, |message| matches!(message, Message::Settled { .. }));
    assert_eq!(world.status(op), Some(Status::Ok));
    assert!(world.events(old).is_empty());
    world.cut(0, 2);
    world.settle();
    assert_eq!([0, 1, 2].map(|node| world.whereis(node, "x")), [Some(new), Some(new), None]);
    assert_eq!(world.events(old).len(), 1);
    world.assert_at_rest();
}

/// What the node between names may be withdrawn by its home in favour of what stands beneath it: that is covered as well.
#[test]
fn what_a_home_without_a_vote_restores_is_covered() {
    let mut world = World::nodes(4);
    for (a, b) in [(0, 1), (1, 2), (2, 3)] {
        world.link(a, b);
    }
    let [first, second, new] = [2, 2, 0].map(|node| world.spawn(node));
    world.register(first, "x");
    world.settle();
    let deadline = world.within(1000);
    let tentative = world.register_as(second, "x", second, true, deadline);
    // Node 3 does not acknowledge it.
    let ack = |message: &Message| matches!(message, Message::Ack { .. });
    world.settle_but(3, 2, ack);
    let op = world.reregister(new, "x");
    let settled = |message: &Message| matches!(message, Message::Settled { .. });
    while world.status(op).is_none() || world.in_flight().iter().any(|(_, to, _)| *to == 1) {
        let held = |pair: &(usize, usize)| *pair == (3, 2) || *pair == (1, 2);
        let Some((from, to)) = world.channels().into_iter().find(|pair| !held(pair)) else { break };
        world.step(from, to);
    }
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.whereis(1, "x"), Some(new));
    world.advance_still(ms(1000));
    assert_eq!((world.status(tentative), world.whereis(2, "x")), (Some(Status::Timeout), Some(first)));
    world.settle_but(1, 2, settled);
    assert_eq!(world.whereis(1, "x"), Some(new), "what is restored is as old as what it had replaced");
    world.settle();
    assert_eq!(world.history(1, "x"), [Some(first), Some(second), Some(new)]);
    assert_eq!((world.whereis(2, "x"), world.whereis(3, "x")), (None, None));
    world.advance(DETECTION * 2);
    assert!([first, second, new].iter().all(|pid| !world.is_gone(*pid)));
    world.assert_at_rest();
}

/// Who unregisters what a re-register of the same home has just replaced has unregistered it, also when the re-register is
/// taken back afterwards.
#[test]
fn an_unregistered_binding_is_not_restored() {
    let mut world = World::mesh(3);
    let [old, new, asker] = [0, 0, 1].map(|node| world.spawn(node));
    world.register(old, "x");
    world.settle();
    let deadline = world.within(50);
    let op = world.register_as(new, "x", new, true, deadline);
    // Node 1 does not hear of the new binding before it unregisters the old one.
    world.settle_but(0, 1, |message| matches!(message, Message::Commit { .. }));
    assert_eq!([0, 1].map(|node| world.whereis(node, "x")), [Some(new), Some(old)]);
    let end = world.unregister(asker, "x");
    world.settle_but(0, 1, |message| matches!(message, Message::Commit { .. }));
    assert_eq!(world.status(end), None, "node 1 shows it still");
    world.advance_still(ms(50));
    assert_eq!(world.status(op), Some(Status::Timeout));
    world.settle();
    assert_eq!(world.status(end), Some(Status::Ok));
    world.all_show("x", None);
    assert!(!world.is_gone(old) && !world.is_gone(new));
    world.assert_at_rest();
}

/// The reverse: who unregisters a binding that is taken back meanwhile has unregistered what that restores.
#[test]
fn what_is_restored_during_an_unregister_goes_with_it() {
    let mut world = World::mesh(3);
    let [old, new, asker] = [0, 0, 1].map(|node| world.spawn(node));
    world.register(old, "x");
    world.settle();
    let deadline = world.within(50);
    let op = world.register_as(new, "x", new, true, deadline);
    // Node 2 does not acknowledge.
    world.settle_but(2, 0, |message| matches!(message, Message::Ack { .. }));
    assert_eq!(world.whereis(1, "x"), Some(new));
    world.advance_still(ms(50));
    assert_eq!((world.status(op), world.whereis(0, "x")), (Some(Status::Timeout), Some(old)));
    let end = world.unregister(asker, "x");
    world.settle();
    assert_eq!(world.status(end), Some(Status::Ok));
    world.all_show("x", None);
    world.assert_at_rest();
}

/// The process of the binding has ended, and not all have heard of it: who unregisters the name is answered when they have.
#[test]
fn an_unregister_waits_for_a_withdrawal_that_is_under_way() {
    let mut world = World::mesh(3);
    let [pid, asker] = [0, 1].map(|node| world.spawn(node));
    let late = |message: &Message| matches!(message, Message::Unregistered { .. });
    world.register(pid, "x");
    world.settle();
    let end = world.unregister(asker, "x");
    world.exit(pid);
    world.settle_but(0, 2, late);
    assert_eq!([1, 2].map(|node| world.whereis(node, "x")), [None, Some(pid)]);
    assert_eq!(world.status(end), None, "node 2 shows it still");
    world.settle();
    assert_eq!(world.status(end), Some(Status::Ok));
    world.all_show("x", None);
    world.assert_at_rest();
}

/// What a re-register has replaced is withdrawn, and not all have heard of that: they would show it again once what covers
/// it is gone, so who unregisters the name is answered when they have.
#[test]
fn an_unregister_waits_for_the_withdrawal_of_what_was_replaced() {
    let late = |message: &Message| matches!(message, Message::Unregistered { .. });
    for asker in 0..3 {
        let mut world = World::mesh(3);
        let [old, new, third] = [0, 1, 2].map(|node| world.spawn(node));
        world.register(old, "x");
        world.settle();
        world.reregister(new, "x");
        world.settle_but(0, 2, late);
        world.all_show("x", Some(new));
        let end = world.unregister([old, new, third][asker], "x");
        world.settle_but(0, 2, late);
        assert_eq!([0, 1, 2].map(|node| world.whereis(node, "x")), [None, None, Some(old)]);
        assert_eq!(world.status(end), None, "node 2 shows it again");
        world.settle();
        assert_eq!(world.status(end), Some(Status::Ok));
        world.all_show("x", None);
        world.assert_at_rest();
    }
}

/// The link to the home of what was replaced breaks while its withdrawal is waited for: nothing of it is seen by any linked node
/// any more, so the call is no failure.
#[test]
fn an_unregister_does_not_need_the_home_of_what_was_replaced() {
    let mut world = World::mesh(3);
    let [old, new, third] = [0, 1, 2].map(|node| world.spawn(node));
    world.register(old, "x");
    world.settle();
    world.reregister(new, "x");
    let late = |message: &Message| matches!(message, Message::Unregistered { .. });
    world.settle_but(0, 2, late);
    world.hang(0);
    let end = world.unregister(third, "x");
    world.settle_but(0, 2, late);
    assert_eq!(world.status(end), None);
    world.cut(0, 1);
    world.settle_but(0, 2, late);
    assert_eq!((world.status(end), world.whereis(2, "x")), (None, Some(old)), "node 2 shows it again");
    world.cut(0, 2);
    world.settle();
    assert_eq!((world.status(end), world.whereis(2, "x")), (Some(Status::Ok), None));
}
