//! Names that stand for many addresses, which come and go.

use crate::dial::with_seeds;
use crate::harness::{Frame, NodeIndex, World, address, config, ms};
use convoke::engine::{Fact, Message, PeerAddress, Refusal};
use convoke::model::{Command, Deadline, NodeId, Status};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) const SERVICE: &str = "service:1";

impl World {
    /// The name stands for the addresses of these nodes from now on.
    fn list(&mut self, nodes: &[NodeIndex]) {
        self.directory.insert(SERVICE.to_owned(), nodes.iter().map(|node| address(*node)).collect());
    }

    fn links(&self, node: NodeIndex) -> usize {
        self.engine(node).links().count()
    }

    pub(crate) fn add_of_service(&mut self) -> NodeIndex {
        self.add(with_seeds(self.nodes.len(), &[SERVICE]))
    }

    /// What was dialled since it was asked last, in order of time.
    fn dialled(&mut self, node: NodeIndex) -> Vec<String> {
        let answered = std::mem::take(&mut self.answered);
        answered.into_iter().filter(|(by, _)| *by == node).map(|(_, address)| address).collect()
    }
}

pub(crate) fn refresh() -> Duration {
    config(0).seeds_refresh
}

/// "N containers have the same seed list: one name that stands for all of them, the own address among them."
#[test]
fn the_nodes_of_a_headless_service_find_each_other() {
    let mut world = World::empty();
    world.dials_go_through = true;
    world.list(&[2, 0, 3, 1]);
    for _ in 0..4 {
        world.add_of_service();
    }
    world.advance(ms(1000));
    for node in 0..4 {
        assert_eq!(world.links(node), 3, "node {node}");
    }
    // One is replaced: another name, another address.
    world.crash(3);
    world.add_of_service();
    world.list(&[0, 1, 2, 4]);
    world.advance(ms(1000));
    for node in [0, 1, 2, 4] {
        assert_eq!(world.links(node), 3, "node {node}");
    }
    // The old address is not dialled any more once the name was looked up anew.
    world.advance(refresh());
    world.answered.clear();
    world.advance(refresh() * 3);
    assert!(world.answered.iter().all(|(_, address)| *address == SERVICE), "{:?}", world.answered);
    world.assert_at_rest();
}

/// Whoever is alone looks the name up for ever, with the back-off of any dial, although its own address answers.
#[test]
fn a_node_that_meets_only_itself_goes_on_looking() {
    let mut world = World::empty();
    world.list(&[0]);
    let node = world.add_of_service();
    world.dials_go_through = true;
    world.advance(ms(60_000));
    let dialled = world.dialled(node);
    let looks = dialled.len();
    assert!(dialled.iter().all(|address| address == SERVICE), "its own address is known: {dialled:?}");
    assert!((12..40).contains(&looks), "{looks} in a minute");
    // A second one that nobody told of the first: the name is all they share.
    world.list(&[0, 1]);
    world.add(config(1));
    world.advance(config(0).dial_max);
    assert_eq!(world.links(0), 1);
}

/// The own address is not always told by its text: then it is dialled in each round, for it may be a balancer's.
#[test]
fn an_own_address_in_other_words_is_dialled_in_each_round() {
    let mut world = World::empty();
    let node = world.add_of_service();
    world.dials(node);
    world.look_up(node, SERVICE, &["me:1"]);
    assert_eq!(world.dials(node), ["me:1"]);
    world.lead_back(node, "me:1");
    assert!(world.pause_before_dial(node, SERVICE).is_some());
    world.look_up(node, SERVICE, &["me:1", "other:1", &address(node)]);
    assert_eq!(world.dials(node), ["me:1", "other:1"]);
}

/// "Two halves of a cluster that share nothing but the name find each other", and not later than the option says.
#[test]
fn two_halves_that_share_the_name_find_each_other() {
    let mut world = World::empty();
    world.dials_go_through = true;
    for half in [[0, 1], [2, 3]] {
        world.list(&half);
        world.add_of_service();
        world.add_of_service();
        world.advance(ms(1000));
    }
    for node in 0..4 {
        assert_eq!(world.links(node), 1, "node {node}");
    }
    world.advance(ms(60_000));
    world.list(&[0, 1, 2, 3]);
    world.advance(refresh() + ms(100));
    for node in 0..4 {
        assert_eq!(world.links(node), 3, "node {node}");
    }
}

/// All are linked: a look-up between every half of the time and the whole of it, and nothing else.
#[test]
fn a_name_that_led_everywhere_is_looked_up_at_a_slow_pace() {
    let mut world = World::empty();
    world.dials_go_through = true;
    world.list(&[0, 1]);
    world.add_of_service();
    world.add_of_service();
    world.advance(refresh());
    world.dialled(0);
    world.advance(refresh() * 20);
    let dialled = world.dialled(0);
    assert!(dialled.iter().all(|address| address == SERVICE), "{dialled:?}");
    assert!((20..=40).contains(&dialled.len()), "{}", dialled.len());
}

/// An address where nobody answers, while others are linked: tried ever more seldom.
#[test]
fn a_dead_address_beside_linked_ones_is_tried_ever_more_seldom() {
    let mut world = World::empty();
    world.dials_go_through = true;
    world.list(&[0, 1]);
    world.directory.entry(SERVICE.into()).or_default().push("dead:1".into());
    world.add_of_service();
    world.add_of_service();
    world.advance(ms(60_000));
    world.dialled(0);
    world.advance(refresh() * 10);
    let tries = world.dialled(0).iter().filter(|address| *address == "dead:1").count();
    assert!((5..=20).contains(&tries), "{tries}");
}

/// "A failed look-up is retried for ever."
#[test]
fn a_look_up_that_fails_is_tried_again_for_ever() {
    let mut world = World::empty();
    let node = world.add_of_service();
    world.dials(node);
    for failures in 1..40_u32 {
        if failures % 2 == 0 {
            world.fail_dial(node, SERVICE);
        } else {
            world.look_up(node, SERVICE, &[""; 0]);
        }
        let full = config(0).dial_min.saturating_mul(1 << failures.min(16)).min(config(0).dial_max);
        let pause = world.pause_before_dial(node, SERVICE).expect("it is looked up again");
        assert!(pause >= full / 2 && pause <= full + ms(1), "{failures} failures: {pause:?} of {full:?}");
    }
    // Also when it led to a link before; the link stays.
    let mut world = World::empty();
    world.list(&[0, 1]);
    world.add_of_service();
    world.add_of_service();
    world.dials_go_through = true;
    world.advance(ms(1000));
    world.directory.clear();
    world.advance(refresh() * 2);
    assert!(world.dialled(0).iter().filter(|address| *address == SERVICE).count() > 3);
    assert_eq!(world.links(0), 1);
}

/// "Addresses that vanished are forgotten when no longer linked."
#[test]
fn an_address_that_vanished_is_forgotten() {
    let mut world = World::empty();
    let node = world.add_of_service();
    let peer = world.add(config(1));
    world.dials(node);
    world.look_up(node, SERVICE, &["a:1", "host1:1", "b:1"]);
    assert_eq!(world.dials(node), ["a:1", "b:1", "host1:1"]);
    world.fail_dial(node, "b:1");
    world.connect(node, peer);
    world.settle();
    assert!(world.is_linked(node, peer));
    assert!(world.pause_before_dial(node, SERVICE).is_some());
    world.look_up(node, SERVICE, &["c:1"]);
    assert_eq!(world.dials(node), ["c:1"]);
    // The dial that was under way ends; the link does too.
    world.fail_dial(node, "a:1");
    world.cut(node, peer);
    let found = world.directory.insert(SERVICE.into(), vec!["c:1".into()]);
    assert_eq!(found, None);
    world.dials_go_through = true;
    world.advance(ms(60_000));
    let dialled = world.dialled(node);
    assert!(dialled.iter().all(|at| at == SERVICE || at == "c:1"), "{dialled:?}");
    assert!(dialled.len() > 10);
    // It may come back.
    world.list(&[1]);
    world.advance(refresh());
    assert!(world.is_linked(node, peer));
}

/// A lost peer that the name still leads to is dialled as any lost peer is.
#[test]
fn a_lost_peer_that_is_listed_is_dialled_again() {
    let mut world = World::empty();
    world.list(&[0, 1]);
    world.dials_go_through = true;
    world.add_of_service();
    world.add_of_service();
    world.advance(refresh() * 2);
    world.cut(0, 1);
    assert!(!world.is_linked(0, 1));
    world.advance(ms(100));
    assert!(world.is_linked(0, 1) && world.is_linked(1, 0));
}

/// Two names may lead to one address, and an address may be a seed itself.
#[test]
fn an_address_is_known_as_long_as_anything_leads_to_it() {
    let mut world = World::empty();
    let node = world.add(with_seeds(0, &["one:1", "seed:1", "two:1"]));
    assert_eq!(world.dials(node).len(), 3);
    world.look_up(node, "one:1", &["both:1", "seed:1"]);
    world.look_up(node, "two:1", &["both:1"]);
    assert_eq!(world.dials(node), ["both:1"]);
    world.fail_dial(node, "both:1");
    world.fail_dial(node, "seed:1");
    // One of the names leads elsewhere from now on.
    world.directory.insert("one:1".into(), vec!["other:1".into()]);
    world.directory.insert("two:1".into(), vec!["both:1".into()]);
    world.dials_go_through = true;
    world.advance(ms(20_000));
    world.answered.clear();
    world.advance(ms(20_000));
    let dialled = world.dialled(node);
    for address in ["one:1", "two:1", "both:1", "other:1", "seed:1"] {
        assert!(dialled.contains(&address.to_owned()), "{address}: {dialled:?}");
    }
}

// ---- connect

/// OK when any of the addresses is linked and merged, whatever becomes of the others.
#[test]
fn connect_to_a_name_is_ok_when_any_address_is_linked() {
    for dialler in 0..2 {
        let mut world = World::nodes(2);
        let (pid, named) = (world.spawn(dialler), world.spawn(1 - dialler));
        world.register(named, "x");
        let op = world.connect_call(pid, SERVICE, Deadline::FOREVER);
        assert_eq!(world.dials(dialler), [SERVICE]);
        let there = address(1 - dialler);
        world.look_up(dialler, SERVICE, &["dead:1", &there, "silent:1"]);
        world.fail_dial(dialler, "dead:1");
        assert_eq!(world.status(op), None);
        world.connect(dialler, 1 - dialler);
        world.settle_with(|world| {
            if world.status(op).is_some() {
                assert_eq!(world.whereis(dialler, "x"), Some(named));
            }
        });
        assert_eq!(world.status(op), Some(Status::Ok));
        let again = world.connect_call(pid, SERVICE, Deadline::FOREVER);
        assert_eq!(world.status(again), Some(Status::Ok), "already linked");
        world.fail_dial(dialler, "silent:1");
        world.dials(dialler);
        // "Dials once": what failed is not tried again. The link is, through the name, wherever that leads then.
        world.advance(ms(20_000));
        assert_eq!(world.dials(dialler), [""; 0]);
        world.cut(dialler, 1 - dialler);
        assert!(world.pause_before_dial(dialler, SERVICE).is_some());
        world.assert_at_rest();
    }
}

#[test]
fn connect_to_a_name_says_why_it_failed() {
    for case in 0..4 {
        let mut world = World::nodes(2);
        let pid = world.spawn(0);
        let op = world.connect_call(pid, SERVICE, Deadline::FOREVER);
        world.dials(0);
        let expected = match case {
            0 => {
                world.fail_dial(0, SERVICE);
                Status::Unreachable
            }
            1 => {
                world.look_up(0, SERVICE, &["a:1", "b:1"]);
                world.fail_dial(0, "a:1");
                assert_eq!(world.status(op), None, "another one may answer");
                world.fail_dial(0, "b:1");
                Status::Unreachable
            }
            2 => {
                world.look_up(0, SERVICE, &[address(0)]);
                Status::Invalid
            }
            _ => {
                world.look_up(0, SERVICE, &[address(0), "a:1".to_owned()]);
                world.fail_dial(0, "a:1");
                Status::Unreachable
            }
        };
        assert_eq!(world.status(op), Some(expected), "case {case}");
        assert!(world.outcome(op).is_some_and(|outcome| !outcome.detail.is_empty()));
        world.dials(0);
        world.advance(ms(60_000));
        assert_eq!(world.dials(0), [""; 0], "nobody asked for more: case {case}");
        world.assert_at_rest();
    }
}

/// A seed that waits for its next round is looked up at once when somebody asks, and led to a link that is there.
#[test]
fn connect_to_a_seed_that_is_a_name() {
    let mut world = World::empty();
    world.add_of_service();
    world.add(config(1));
    world.dials(0);
    for _ in 0..20 {
        world.fail_dial(0, SERVICE);
    }
    let pid = world.spawn(0);
    let op = world.connect_call(pid, SERVICE, Deadline::FOREVER);
    assert_eq!(world.dials(0), [SERVICE]);
    world.link(0, 1);
    assert_eq!(world.status(op), None, "it is not known yet that the name leads there");
    world.look_up(0, SERVICE, &[address(1)]);
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.dials(0), [""; 0]);
}

/// A connect to an address that a name stands for no longer is answered.
#[test]
fn connect_to_an_address_that_vanishes_is_answered() {
    let mut world = World::empty();
    let node = world.add_of_service();
    world.dials(node);
    world.look_up(node, SERVICE, &["a:1"]);
    let pid = world.spawn(node);
    let op = world.connect_call(pid, "a:1", Deadline::FOREVER);
    assert!(world.pause_before_dial(node, SERVICE).is_some());
    world.look_up(node, SERVICE, &["b:1"]);
    assert_eq!(world.status(op), None, "its dial is under way");
    world.fail_dial(node, "a:1");
    assert_eq!(world.status(op), Some(Status::Unreachable));
}

// ---- disconnect, sync

/// What was parted from is not dialled because a name leads there.
#[test]
fn disconnect_outlives_the_next_rounds() {
    let mut world = World::empty();
    world.list(&[0, 1, 2]);
    world.dials_go_through = true;
    for _ in 0..3 {
        world.add_of_service();
    }
    world.advance(refresh());
    let pid = world.spawn(0);
    world.disconnect_call(pid, "node1");
    world.advance(refresh() * 5);
    assert!(!world.is_linked(0, 1) && !world.is_linked(1, 0));
    assert!(world.is_linked(0, 2) && world.is_linked(1, 2));
    let op = world.connect_call(pid, &address(1), Deadline::FOREVER);
    world.advance(ms(100));
    assert_eq!(world.status(op), Some(Status::Ok));
}

/// A peer behind a name refuses each link after this side's Go, as it does while a namesake of this node is linked there and lives:
/// the name is looked up, and the peer dialled, ever more seldom.
#[test]
fn a_peer_behind_a_name_that_refuses_every_link_is_dialled_ever_more_seldom() {
    let mut world = World::empty();
    let node = world.add(with_seeds(0, &[SERVICE]));
    let puppet = world.add_puppet(20);
    let mut dials = 0;
    let end = world.now + Duration::from_secs(60);
    while world.now < end {
        for dialled in world.dials(node) {
            if dialled == SERVICE {
                world.look_up(node, SERVICE, &[address(puppet)]);
            } else {
                dials += 1;
                world.connect(node, puppet);
                assert!(world.is_linked(node, puppet), "this side has the lower incarnation");
                world.frame(puppet, node, Frame::Refuse(Refusal::NameInDoubt));
            }
        }
        world.advance(ms(10));
    }
    assert!((6..120).contains(&dials), "{dials} dials in a minute");
}

/// "A name is met when all its present addresses are met, refused, or failed once."
#[test]
fn sync_waits_for_every_address_of_a_name() {
    let mut world = World::nodes(1);
    let joiner = world.add(with_seeds(1, &[SERVICE]));
    let pid = world.spawn(joiner);
    let op = world.sync_call(pid, Deadline::FOREVER);
    world.look_up(joiner, SERVICE, &["host0:1", "nowhere:1", "host1:1"]);
    world.connect(joiner, 0);
    world.settle();
    assert_eq!(world.status(op), None, "one address has not answered yet");
    world.fail_dial(joiner, "nowhere:1");
    assert_eq!(world.status(op), Some(Status::Ok));

    let alone = world.add(with_seeds(2, &[SERVICE]));
    let pid = world.spawn(alone);
    let op = world.sync_call(pid, Deadline::FOREVER);
    assert_eq!(world.status(op), None);
    world.fail_dial(alone, SERVICE);
    assert_eq!(world.status(op), Some(Status::Ok), "a first node must be able to start");
}

// ---- bounds

#[test]
fn a_name_of_countless_addresses_is_bounded() {
    let many: Vec<String> = (0..10_000).map(|n| format!("a{n:05}:1")).collect();
    let mut world = World::empty();
    let node = world.add_of_service();
    world.dials(node);
    world.look_up(node, SERVICE, &many);
    let dialled = all_dials(&mut world, node);
    assert_eq!(dialled.len(), 256);
    // The same ones, in whatever order they come.
    assert!(world.pause_before_dial(node, SERVICE).is_some());
    let reversed: Vec<String> = many.into_iter().rev().collect();
    world.look_up(node, SERVICE, &reversed);
    assert_eq!(all_dials(&mut world, node), dialled);
}

/// Of all that are to be dialled 48 are under way at a time, and the next when one has failed.
fn all_dials(world: &mut World, node: NodeIndex) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut under_way = world.dials(node);
    while !under_way.is_empty() {
        assert!(under_way.len() <= 48);
        let address = under_way.remove(0);
        world.fail_dial(node, &address);
        all.insert(address);
        under_way.extend(world.dials(node));
    }
    all
}

/// What peers tell of may be names too: all in all a bounded number of addresses comes of it.
#[test]
fn names_that_peers_tell_of_are_bounded() {
    let mut world = World::empty();
    let mut small = config(0);
    small.limits.peers = 8;
    world.add(small);
    let puppet = world.add_puppet(20);
    world.connect(0, puppet);
    let peer =
        |n: u64| PeerAddress { node: NodeId(100 + n), name: format!("p{n}"), address: format!("p{n}:1") };
    // What nobody has asked for is not heard.
    let peers = || Message::Peers { peers: (0..10).map(peer).collect(), last: true };
    world.say(puppet, 0, peers());
    assert_eq!(world.dials(0).len(), 0);
    let nodes = (0..10).map(|n| NodeId(100 + n)).collect();
    world.say(puppet, 0, Message::Hello { facts: vec![Fact::Peers(nodes)], last: true });
    world.say(puppet, 0, peers());
    assert_eq!(world.dials(0).len(), 8, "of one peer");
    for n in 0..10 {
        let many: Vec<String> = (0..1000).map(|m| format!("p{n}-{m}:1")).collect();
        world.look_up(0, &format!("p{n}:1"), &many);
    }
    assert!(world.dials(0).len() <= 16, "so many at a time");
    assert!(world.engine(0).gauges(world.now).targets <= 33, "four for every peer there may be, in all");
    // Nonsense is no address.
    world.look_up(0, "p0:1", &["", &"x".repeat(300), "p0:1"]);
    assert_eq!(world.dials(0), [""; 0]);
    world.look_up(0, "never asked:1", &["a:1"]);
    assert_eq!(world.dials(0), [""; 0]);
}

// ---- other seeds

#[test]
fn seeds_can_be_replaced() {
    let mut world = World::empty();
    let node = world.add(with_seeds(0, &["old:1", "host1:1", "kept:1", SERVICE]));
    let peer = world.add(config(1));
    world.dials(node);
    world.connect(node, peer);
    world.settle();
    world.fail_dial(node, "old:1");
    world.fail_dial(node, "kept:1");
    world.look_up(node, SERVICE, &["a:1", "b:1"]);
    world.fail_dial(node, "a:1");
    world.dials(node);
    let seeds = ["kept:1", "new:1"].map(str::to_owned).to_vec();
    world.command(node, Command::SetSeeds { seeds });
    assert_eq!(world.dials(node), ["kept:1", "new:1"], "at once");
    world.fail_dial(node, "kept:1");
    assert!(world.is_linked(node, peer), "links stay");
    world.fail_dial(node, "b:1");
    world.fail_dial(node, "new:1");
    world.answered.clear();
    world.dials_go_through = true;
    world.advance(ms(60_000));
    let dialled = world.dialled(node);
    assert!(dialled.iter().all(|at| at == "kept:1" || at == "new:1"), "{dialled:?}");
    assert!(["kept:1", "new:1"].iter().all(|seed| dialled.contains(&(*seed).to_owned())));
    // Who was a seed is a peer like any other: dialled when it is lost, forgotten when it left in order.
    world.dials_go_through = false;
    world.cut(node, peer);
    assert!(world.pause_before_dial(node, "host1:1").is_some());
    world.link(node, peer);
    world.dials(node);
    world.command(peer, Command::Close);
    world.settle();
    assert_eq!(world.pause_before_dial(node, "host1:1"), None);
}
