//! The claim machine under contention, at deadlines, and while the view changes.

use crate::asks::{GRACE, Phase, acquire, commit, every_order, grant, line};
use crate::harness::{DETECTION, World, ms, name};
use convoke::engine::{Key, Message, Output, Tx, Wire};
use convoke::model::{NodeId, Pid, Ref, Status};
use std::collections::BTreeMap;

fn count(world: &World, wanted: impl Fn(&Message) -> bool) -> usize {
    world.delivered.iter().filter(|(_, _, frame)| frame.message().is_some_and(&wanted)).count()
}

/// The transactions of the claims of `x` on their way, by coordinator.
fn claims(world: &World) -> BTreeMap<NodeId, Tx> {
    let frames = world.in_flight();
    let claims = frames.iter().filter_map(|(_, _, frame)| match frame.message() {
        Some(Message::Acquire { tx, key: Key::Name(key), .. }) if *key == name("x") => Some((tx.node, *tx)),
        _ => None,
    });
    claims.collect()
}

// ---- contention

/// "Smaller transactions are older; older wins (wound-wait) ... So there is no deadlock, no livelock": in every order of
/// arrival the older of two claims gets the name and the other E_EXISTS; readers never see the loser.
#[test]
fn of_two_claims_the_older_wins_in_every_order() {
    for count in [2, 3] {
        for older in 0..2 {
            let start = || {
                let mut world = World::mesh(count);
                let pids = [world.spawn(0), world.spawn(1)];
                // A clock that is ahead makes a claim young.
                for i in 0..9 {
                    world.register(pids[1 - older], &format!("before{i}"));
                }
                let ops = [world.register(pids[0], "x"), world.register(pids[1], "x")];
                let txs = claims(&world);
                assert!(txs[&pids[older].node] < txs[&pids[1 - older].node]);
                (world, (pids, ops))
            };
            let look = |world: &World, (pids, _): &([Pid; 2], [Ref; 2])| {
                for node in 0..count {
                    assert_ne!(world.whereis(node, "x"), Some(pids[1 - older]));
                }
            };
            every_order(if count == 2 { 5 } else { 4 }, start, look, |world, (pids, ops)| {
                assert_eq!(world.status(ops[older]), Some(Status::Ok), "{}", world.picture());
                assert_eq!(world.status(ops[1 - older]), Some(Status::Exists));
                world.all_show("x", Some(pids[older]));
                world.assert_at_rest();
            });
        }
    }
}

/// The same in all orders to the very end, with nothing else on the way.
#[test]
fn two_claims_alone_in_every_order_to_the_end() {
    let start = || {
        let mut world = World::mesh(2);
        let pids = [world.spawn(0), world.spawn(1)];
        let ops = [world.register(pids[0], "x"), world.register(pids[1], "x")];
        let older = usize::from(claims(&world)[&NodeId(2)] < claims(&world)[&NodeId(1)]);
        (world, (pids, ops, older))
    };
    let orders = every_order(
        40,
        start,
        |_, _| {},
        |world, (pids, ops, older)| {
            assert_eq!(world.status(ops[older]), Some(Status::Ok), "{}", world.picture());
            assert_eq!(world.status(ops[1 - older]), Some(Status::Exists));
            world.all_show("x", Some(pids[older]));
            world.assert_at_rest();
        },
    );
    assert!(orders >= 4, "{orders}");
}

/// Three claims from three nodes: exactly one gets the name, all are answered.
#[test]
fn of_three_claims_one_wins() {
    let start = || {
        let mut world = World::mesh(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        let ops = pids.map(|pid| world.register(pid, "x"));
        (world, (pids, ops))
    };
    every_order(
        4,
        start,
        |_, _| {},
        |world, (pids, ops)| {
            let statuses = ops.map(|op| world.status(op).expect("an answer"));
            let won: Vec<usize> = (0..3).filter(|i| statuses[*i] == Status::Ok).collect();
            assert_eq!(won.len(), 1, "{statuses:?}");
            assert_eq!(statuses.iter().filter(|s| **s == Status::Exists).count(), 2, "{statuses:?}");
            world.all_show("x", Some(pids[won[0]]));
            world.assert_at_rest();
        },
    );
}

/// Two claims of one node are two claims.
#[test]
fn two_claims_of_one_node_follow_the_same_rule() {
    let mut world = World::mesh(2);
    let pids = [world.spawn(0), world.spawn(0)];
    let ops = pids.map(|pid| world.register(pid, "x"));
    world.settle();
    assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Ok), Some(Status::Exists)]);
    world.all_show("x", Some(pids[0]));
    world.assert_at_rest();
}

/// "A coordinator that goes down takes its claims with it": who waited behind it is served at once.
#[test]
fn a_waiting_claim_is_served_when_the_older_coordinator_dies() {
    for committed in [false, true] {
        let mut world = World::mesh(3);
        let (first, second) = (world.spawn(0), world.spawn(1));
        let before = world.register(first, "x");
        world.until(0, 1, acquire);
        world.until(0, 2, acquire);
        let op = world.register(second, "x");
        if committed {
            world.until(1, 0, grant);
            world.until(2, 0, grant);
            // Node 2 has read the binding, node 1 never will.
            world.until(0, 2, commit);
            world.cut(0, 1);
        }
        world.die(0);
        world.settle();
        assert_eq!(world.status(before), None, "its node is gone");
        if committed {
            world.stay_apart(); // for all that node 1 knows node 0 lives
        }
        assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
        world.all_show("x", Some(second));
        world.assert_at_rest();
    }
}

// ---- a voter never denies a name

/// "A voter's table may lag: it never denies a name": the name is free at the claimant, and at the other voters later.
#[test]
fn a_voter_that_lags_makes_the_claim_wait() {
    let mut world = World::mesh(3);
    let (old, new) = (world.spawn(2), world.spawn(0));
    world.register(old, "x");
    world.settle();
    world.exit(old);
    assert!(world.step(2, 0).is_some(), "node 0 reads the withdrawal, node 1 does not");
    assert_eq!((world.whereis(0, "x"), world.whereis(1, "x")), (None, Some(old)));
    let op = world.register(new, "x");
    world.until(0, 1, acquire);
    world.until(1, 0, |m| matches!(m, Message::Busy { .. }));
    while world.step(0, 2).is_some() || world.step(1, 0).is_some() {}
    assert_eq!(world.status(op), None);
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show("x", Some(new));
    world.assert_at_rest();
}

/// "An owner in busy that I am not synced with: [a grace] runs, then Release, E_EXISTS." Longer than the detection time,
/// in which the voter may yet find out that the owner is dead.
#[test]
fn a_name_held_out_of_sight_is_believed_after_a_grace() {
    let (mut world, owner, claimant) = line();
    let op = world.register(claimant, "x");
    world.advance(GRACE - ms(1));
    assert_eq!(world.status(op), None);
    world.advance(ms(1));
    assert_eq!(world.status(op), Some(Status::Exists));
    assert!(world.outcome(op).is_some_and(|outcome| !outcome.detail.is_empty()));
    world.settle();
    assert_eq!(world.whereis(1, "x"), Some(owner));
    world.assert_at_rest();
}

/// The owner dies with its host just before: the voter that shows its binding finds out in time.
#[test]
fn a_dead_owner_out_of_sight_is_not_believed() {
    let (mut world, _, claimant) = line();
    world.hang(2);
    let op = world.register(claimant, "x");
    world.advance(GRACE);
    assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
    assert_eq!(world.whereis(1, "x"), Some(claimant));
    world.assert_at_rest_at(0);
}

/// The owner dies, and the voter that shows its binding is starved: it finds out later than any grace would wait. Its word
/// counts, and it says that it hears the owner only when it does.
#[test]
pub(crate) fn a_starved_voter_is_asked_whether_it_hears_the_owner() {
    let (mut world, _, claimant) = line();
    let op = world.register(claimant, "x");
    world.advance(ms(10)); // the claimant hears of the binding while the owner is well
    world.hang(2);
    for _ in 0..12 {
        world.hang(1);
        world.advance(ms(1500));
        world.wake(1);
        world.advance(ms(100));
        assert_ne!(world.status(op), Some(Status::Exists), "{}", world.picture());
    }
    assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
    assert_eq!(world.whereis(1, "x"), Some(claimant));
    world.assert_at_rest_at(0);
}

/// Many short pauses of one's own put off the end of a silent peer by half a detection time at most: a node that never runs
/// for long would else never find out that one is dead.
#[test]
fn what_is_forgiven_for_pauses_of_ones_own_is_bounded() {
    let mut world = World::mesh(2);
    world.hang(1);
    for _ in 0..16 {
        world.hang(0);
        world.advance(ms(400));
        world.wake(0);
        world.advance(ms(100));
    }
    assert!(!world.is_linked(0, 1), "{}", world.picture());
}

/// A pause that is longer than a detection time is forgiven as a whole: whoever is still there was paused too.
#[test]
fn a_machine_that_slept_does_not_give_up_its_neighbours_on_it() {
    let mut world = World::mesh(2);
    world.hang(0);
    world.hang(1);
    world.advance(DETECTION * 100);
    world.wake(0);
    world.advance(ms(10)); // it is the first one that runs again
    world.wake(1);
    world.advance(DETECTION * 2);
    assert!(world.is_linked(0, 1) && world.is_linked(1, 0), "{}", world.picture());
    assert_eq!(
        world.nodes[0].seen.iter().filter(|seen| matches!(seen, Output::Wire(Wire::Close { .. }))).count(),
        0
    );
}

/// "Judged on receipt and again after every install, link_up, Hello, link_down": the link to the owner comes up.
#[test]
fn a_link_to_the_owner_decides_at_once() {
    let (mut world, owner, claimant) = line();
    let op = world.register(claimant, "x");
    world.advance(ms(1000));
    world.link(0, 2);
    assert_eq!(world.status(op), Some(Status::Exists));
    world.all_show("x", Some(owner));
    world.assert_at_rest();
}

/// The owner withdraws meanwhile, or the voter's link to it breaks: the claim goes on.
#[test]
fn a_claim_that_waits_goes_on_when_the_name_is_free() {
    for breaks in [false, true] {
        let (mut world, owner, claimant) = line();
        let op = world.register(claimant, "x");
        world.advance(ms(1000));
        if breaks {
            world.cut(1, 2);
        } else {
            world.exit(owner);
        }
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
        assert_eq!(world.whereis(1, "x"), Some(claimant));
        world.assert_at_rest();
    }
}

/// "A Grant of from or link_down(from) removes it": without the voter that was busy nothing is in the way.
#[test]
fn the_loss_of_the_busy_voter_frees_the_claim() {
    let (mut world, _, claimant) = line();
    let op = world.register(claimant, "x");
    world.advance(ms(1000));
    world.cut(0, 1);
    assert_eq!(world.status(op), None);
    world.stay_apart();
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.whereis(0, "x"), Some(claimant));
    world.advance(DETECTION);
    assert_eq!(world.engine(0).pending_operations(), 0);
}

/// A re-register through the one node that sees both: the grant names nothing of third nodes, so the owner keeps its
/// binding; the clash is for the homes.
#[test]
fn a_reregister_covers_what_the_voters_own() {
    let mut world = World::mesh(2);
    let (a, b) = (world.spawn(0), world.spawn(1));
    world.register(a, "x");
    world.settle();
    let op = world.reregister(b, "x");
    world.until(1, 0, acquire);
    let grants: Vec<_> = world.in_flight().into_iter().filter_map(|(_, _, f)| f.message().cloned()).collect();
    let [Message::Grant { regs, .. }] = &grants[..] else { panic!("{grants:?}") };
    assert_eq!(regs.len(), 1);
    assert_eq!(regs[0].node, NodeId(1));
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
}

// ---- the view changes

/// "A node that goes down leaves the set of a claim on the view": its vote and its acknowledgement are not waited for.
#[test]
fn a_lost_node_is_waited_for_for_a_while_and_only_for_its_vote() {
    for phase in [Phase::Acquiring, Phase::Committing] {
        let mut world = World::mesh(3);
        let pid = world.spawn(0);
        let op = world.register(pid, "x");
        if phase == Phase::Committing {
            world.settle_until_published(pid);
        }
        world.hang(1);
        world.settle();
        assert_eq!(world.status(op), None);
        world.cut(0, 1);
        world.settle();
        if phase == Phase::Acquiring {
            assert_eq!(world.status(op), None);
            world.stay_apart();
        }
        assert_eq!(world.status(op), Some(Status::Ok));
        assert_eq!(world.whereis(2, "x"), Some(pid));
    }
}

/// "Each view claim of mine still Acquiring: nodes+=p, send p Acquire."
#[test]
fn a_newcomer_is_asked_too() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let (pid, rival) = (world.spawn(0), world.spawn(2));
    world.register(rival, "y");
    world.hang(1);
    let x = world.register(pid, "x");
    let y = world.register(pid, "y");
    world.link(0, 2);
    assert_eq!(world.status(y), Some(Status::Exists), "the newcomer holds it");
    assert_eq!(world.status(x), None);
    assert_eq!(
        count(&world, |m| acquire(m) && matches!(m, Message::Acquire { tx, .. } if tx.node.0 == 1)),
        1
    );
    world.wake(1);
    world.settle();
    assert_eq!(world.status(x), Some(Status::Ok));
    world.all_show_at(2, "x", Some(pid));
    world.assert_at_rest();
}

/// "p joins the acks of every op of mine that is Committing: else OK before p shows it."
#[test]
fn a_newcomer_joins_the_acknowledgements() {
    for unregister in [false, true] {
        let mut world = World::nodes(3);
        world.link(0, 1);
        let pid = world.spawn(0);
        let mut op = world.register(pid, "x");
        world.settle_until_published(pid);
        if unregister {
            world.settle();
            op = world.unregister(pid, "x");
        }
        world.connect(0, 2);
        while world.step(0, 1).is_some() {}
        while world.step(1, 0).is_some() {}
        assert_eq!(world.status(op), None, "the newcomer has not read the snapshot");
        world.until(0, 2, |m| matches!(m, Message::Hello { last: true, .. }));
        assert_eq!(world.whereis(2, "x"), (!unregister).then_some(pid));
        assert_eq!(world.status(op), None, "nor acknowledged it");
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest();
    }
}

/// A link that flaps while a claim is under way: asked again on the new link, answered once.
#[test]
fn a_flap_during_a_claim() {
    for phase in [Phase::Acquiring, Phase::Committing] {
        for at in 0..6 {
            let mut world = World::mesh(3);
            let pid = world.spawn(0);
            let op = world.register(pid, "x");
            if phase == Phase::Committing {
                world.settle_until_published(pid);
            }
            for _ in 0..at {
                if let Some((from, to)) = world.channels().first().copied() {
                    world.step(from, to);
                }
            }
            world.cut(0, 1);
            world.link(0, 1);
            assert_eq!(world.status(op), Some(Status::Ok), "{}", world.picture());
            world.all_show("x", Some(pid));
            world.assert_at_rest();
        }
    }
}

/// Only one end notices that the link broke; the arbiter's new connection tells the other.
#[test]
fn a_flap_that_one_end_did_not_notice() {
    for (blind, dialler) in [(0, 1), (1, 0)] {
        let mut world = World::mesh(2);
        let (a, b) = (world.spawn(0), world.spawn(1));
        let ops = [world.register(a, "a"), world.register(b, "b")];
        world.cut_at(dialler, blind);
        world.connect(dialler, blind);
        world.settle();
        if !world.is_linked(dialler, blind) {
            // The arbiter takes the first dial for one that crossed, and believes in its link until a second one: "a dead
            // link will not answer".
            world.connect(dialler, blind);
            world.settle();
            world.advance(ms(1000));
            world.connect(dialler, blind);
            world.settle();
        }
        assert_eq!(ops.map(|op| world.status(op)), [Some(Status::Ok); 2], "{}", world.picture());
        world.all_show("a", Some(a));
        world.all_show("b", Some(b));
        world.assert_at_rest();
    }
}
