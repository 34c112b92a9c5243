//! Two nodes of one name: one goes, and it is the right one.

use crate::harness::{DETECTION, Frame, NodeIndex, World, address, config, ms};
use convoke::engine::{Goodbye, Message, PeerAddress, Refusal};
use convoke::model::{Config, Deadline, NodeId, Reason, Status};

/// A node of this name and incarnation that has been open for `ago` ms before the present.
pub(crate) fn namesake(index: NodeIndex, id: u64) -> Config {
    Config { node: NodeId(id), name: "twin".into(), address: address(index), ..config(index) }
}

/// "Both alive: the one that has been open for less time (tie: the larger incarnation) closes its node", whoever dials
/// and whoever is the arbiter.
#[test]
fn of_two_namesakes_that_meet_the_younger_closes() {
    for (first, second) in [(1, 2), (2, 1)] {
        for gap in [0, 1000] {
            for dialler in 0..2 {
                let mut world = World::empty();
                world.add(namesake(0, first));
                world.advance(ms(gap));
                world.add(namesake(1, second));
                world.advance(ms(500));
                world.connect(dialler, 1 - dialler);
                world.settle();
                let younger = if gap > 0 || first < second { 1 } else { 0 };
                let what = format!("incarnations {first}, {second}, {gap} ms apart, {dialler} dials");
                assert_eq!(world.nodes[younger].closed, Some(Reason::NAME_TAKEN), "{what}");
                assert_eq!(world.nodes[1 - younger].closed, None, "{what}");
                assert_eq!(world.engine(1 - younger).links().count(), 0);
            }
        }
    }
}

/// A cluster in which a node is restarted under its old name, as its peers see it: the old incarnation `old`, a peer
/// with a link to it, and the new one, each with an incarnation of its own.
fn restart(old: u64, peer: u64, new: u64, alive: bool) -> World {
    let mut world = World::empty();
    world.dials_go_through = true;
    world.add(Config { seeds: vec![address(1)], ..namesake(0, old) });
    world.add(Config { node: NodeId(peer), ..config(1) });
    world.advance(ms(3000));
    assert!(world.is_linked(1, 0));
    let pid = world.spawn(0);
    world.register(pid, "x");
    world.settle();
    if !alive {
        // It dies with its host: nobody is told.
        world.hang(0);
    }
    world.add(Config { seeds: vec![address(1)], ..namesake(2, new) });
    world
}

const ORDERS: [[u64; 3]; 6] = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];

/// "The old link is pinged. Dead within 1 s: replaced."
#[test]
fn a_dead_namesake_is_replaced_within_about_a_second() {
    for [old, peer, new] in ORDERS {
        let mut world = restart(old, peer, new, false);
        world.advance(ms(1200));
        let what = format!("old {old}, peer {peer}, new {new}");
        assert_eq!(world.nodes[2].closed, None, "{what}");
        assert!(world.is_linked(1, 2) && world.is_linked(2, 1), "{what}\n{}", world.picture());
        assert!(!world.is_linked(1, 0), "{what}");
        assert_eq!(world.whereis(1, "x"), None, "the old one's facts are gone: {what}");
        // The old one comes to itself: it hears that it was given up, dials again, and finds its place taken.
        let pid = world.spawn(2);
        world.register(pid, "x");
        world.settle();
        world.wake(0);
        world.advance(DETECTION * 2);
        assert_eq!(world.nodes[0].closed, Some(Reason::NAME_TAKEN), "{what}\n{}", world.picture());
        assert_eq!(world.nodes[2].closed, None, "{what}");
        assert!(world.is_linked(1, 2) && world.is_linked(2, 1), "{what}\n{}", world.picture());
        assert_eq!(world.whereis(1, "x"), Some(pid), "{what}");
    }
}

/// "Two live nodes of one name: the one with more synced links stays." The two meet directly, and the one that was given up
/// and replaced while it was paused does not know of it yet: its links seem to be there, and what it finds in its sockets
/// was sent before. It asks, and has nothing to show.
pub(crate) fn who_was_replaced_while_paused_goes() {
    for [old, peer, new] in ORDERS {
        for dialler in [0, 2] {
            let what = format!("old {old}, peer {peer}, new {new}, {dialler} dials");
            let mut world = restart(old, peer, new, false);
            // Nothing tells it that its link was ended: its peer's words stop on the way.
            world.mute(1, 0);
            world.advance(ms(3000));
            assert!(world.is_linked(1, 2), "{what}\n{}", world.picture());
            world.dials_go_through = false;
            world.wake(0);
            for _ in 0..20 {
                world.connect(dialler, 2 - dialler);
                world.settle();
                assert_eq!(world.nodes[2].closed, None, "{what}\n{}", world.picture());
                if world.nodes[0].closed.is_some() {
                    break;
                }
                world.advance(ms(500));
            }
            assert_eq!(world.nodes[0].closed, Some(Reason::NAME_TAKEN), "{what}\n{}", world.picture());
            assert!(world.is_linked(1, 2) && world.is_linked(2, 1), "{what}");
        }
    }
}

#[test]
fn who_was_replaced_while_paused_goes_and_not_the_one_that_works() {
    who_was_replaced_while_paused_goes();
}

/// The one that works is paused for a moment itself, just when the other one wakes: nobody is closed before its peers have
/// answered.
#[test]
fn a_moment_of_weakness_costs_nobody_the_name() {
    let mut world = restart(1, 2, 3, false);
    world.advance(ms(3000));
    assert!(world.is_linked(1, 2), "{}", world.picture());
    world.hang(2);
    world.dials_go_through = false;
    world.advance(ms(1100));
    world.wake(2);
    world.wake(0);
    world.connect(0, 2);
    world.settle();
    assert_eq!(world.nodes[2].closed, None, "{}", world.picture());
    world.dials_go_through = true;
    world.advance(DETECTION * 2);
    assert_eq!((world.nodes[0].closed, world.nodes[2].closed), (Some(Reason::NAME_TAKEN), None));
}

/// Both alive, seen by a third: the younger closes, the older keeps its link and its names.
#[test]
fn a_second_node_of_a_living_name_closes() {
    for [old, peer, new] in ORDERS {
        let mut world = restart(old, peer, new, true);
        world.advance(ms(3000));
        let what = format!("old {old}, peer {peer}, new {new}");
        assert_eq!(world.nodes[2].closed, Some(Reason::NAME_TAKEN), "{what}\n{}", world.picture());
        assert_eq!(world.nodes[0].closed, None, "{what}");
        assert!(world.is_linked(1, 0) && world.is_linked(0, 1), "{what}");
        assert!(world.whereis(1, "x").is_some(), "{what}");
        // For the peers it never was more than a moment.
        world.advance(DETECTION);
        assert_eq!(world.engine(1).links().count(), 1);
    }
}

/// "The one with more synced links stays": the older one comes from nowhere to a cluster that the younger one belongs to.
#[test]
fn who_belongs_to_the_cluster_stays_though_it_is_younger() {
    for [old, peer, young] in ORDERS {
        let mut world = World::empty();
        world.dials_go_through = true;
        world.add(namesake(0, old));
        world.advance(ms(2000));
        world.add(Config { node: NodeId(peer), ..config(1) });
        world.add(Config { seeds: vec![address(1)], ..namesake(2, young) });
        world.advance(ms(1000));
        assert!(world.is_linked(1, 2));
        // The older one comes to the cluster.
        let pid = world.spawn(0);
        world.connect_call(pid, &address(1), Deadline::FOREVER);
        world.answer_dials();
        // Connected by hand as its owner would, for a connect dials once.
        for _ in 0..8 {
            world.advance(ms(500));
            if world.nodes[0].closed.is_none() {
                world.connect(0, 1);
            }
        }
        let what = format!("older {old}, peer {peer}, younger {young}");
        assert_eq!(world.nodes[0].closed, Some(Reason::NAME_TAKEN), "{what}\n{}", world.picture());
        assert_eq!(world.nodes[2].closed, None, "{what}");
        assert!(world.is_linked(1, 2), "{what}\n{}", world.picture());
    }
}

/// A peer's word closes nobody: not that another node has the name, and not a refusal by somebody of another name. Who is named is
/// dialled, and only one that shows the name itself can be the one that stays.
#[test]
fn a_peers_word_closes_nobody() {
    let mut world = World::nodes(2);
    world.link(0, 1);
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    let name = config(0).name;
    let claimant = PeerAddress { node: NodeId(9), name: name.clone(), address: "elsewhere:1".into() };
    world.told(puppet);
    world.say(puppet, 0, Message::Challenge { number: 7, claimant: claimant.clone() });
    assert!(world.told(puppet).contains(&Message::Pong { number: 7 }), "it lives");
    assert_eq!(world.dials(0), ["elsewhere:1"]);
    // Nobody answers there: that is all.
    world.input(0, |engine, now| {
        engine.handle_dial_failed(now, "elsewhere:1", Status::Unreachable, "silence")
    });
    world.settle();
    assert!(world.is_linked(0, 1) && world.nodes[0].closed.is_none());
    // A refusal by somebody of another name.
    let other = world.add_puppet(21);
    world.connect_at(0, other, "host21:1");
    let id = world.wire(0, other).expect("a connection");
    world.input(0, |engine, now| engine.handle_refused(now, id, Refusal::NameTaken));
    world.settle();
    assert_eq!(world.nodes[0].closed, None);
    // To tell of a claim to another name is a violation.
    for claimant in [
        PeerAddress { name: "another".into(), ..claimant.clone() },
        PeerAddress { node: world.nodes[0].id, ..claimant },
    ] {
        let puppet = world.add_puppet(30 + world.nodes.len() as u64);
        world.link(0, puppet);
        world.say(puppet, 0, Message::Challenge { number: 7, claimant });
        assert_eq!(world.goodbye(puppet), Some(Goodbye::Violation));
    }
    assert_eq!(world.nodes[0].closed, None);
}

/// A node that is refused because another of its name is believed in dials at once again while the two find out who stays, and ever
/// more seldom where they cannot: nothing may pass between them.
#[test]
fn who_stays_in_doubt_dials_ever_more_seldom() {
    let mut world = World::empty();
    let puppet = world.add_puppet(1);
    let node = world.add(crate::dial::with_seeds(1, &[&address(puppet)]));
    let mut dials_until = |end: u64| {
        let (end, mut dials) = (world.now + ms(end), 0);
        while world.now < end {
            for _ in world.dials(node) {
                dials += 1;
                world.connect(node, puppet);
                world.frame(puppet, node, Frame::Refuse(Refusal::NameInDoubt));
                world.settle();
            }
            world.advance(ms(10));
        }
        dials
    };
    assert!(dials_until(2000) > 25, "it does not wait for long to be the one that stays");
    assert!(dials_until(58_000) < 50);
}
