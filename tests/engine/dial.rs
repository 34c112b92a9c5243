//! Who is dialled and when; connect and disconnect.

use crate::asks::every_order;
use crate::harness::{DETECTION, Frame, HEARTBEAT, NodeIndex, World, address, config, ms};
use convoke::engine::{Fact, Goodbye, Message, PeerAddress, Refusal};
use convoke::model::{Action, Command, Config, Deadline, Machine, NodeId, Pid, Ref, Status};
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) fn with_seeds(index: NodeIndex, seeds: &[&str]) -> Config {
    Config { seeds: seeds.iter().map(|seed| seed.to_string()).collect(), ..config(index) }
}

impl World {
    pub(crate) fn connect_call(&mut self, process: Pid, address: &str, deadline: Deadline) -> Ref {
        let address = address.to_owned();
        self.operate(process, deadline, Action::Connect { address })
    }

    pub(crate) fn disconnect_call(&mut self, process: Pid, node_name: &str) -> Ref {
        let (node_name, deadline) = (node_name.to_owned(), Deadline::FOREVER);
        self.operate(process, deadline, Action::Disconnect { node_name })
    }

    /// How long it takes from now until the node dials this address.
    pub(crate) fn pause_before_dial(&mut self, node: NodeIndex, address: &str) -> Option<Duration> {
        self.pause_of(node, address, ms(10_000), ms(1))
    }

    /// The same where it takes longer, and less exactly.
    pub(crate) fn pause_before_dial_within(
        &mut self,
        node: NodeIndex,
        address: &str,
        most: Duration,
    ) -> Option<Duration> {
        self.pause_of(node, address, most, ms(10))
    }

    fn pause_of(
        &mut self,
        node: NodeIndex,
        address: &str,
        most: Duration,
        step: Duration,
    ) -> Option<Duration> {
        let start = self.now;
        while self.now.since(start) <= most {
            if self.dials(node).iter().any(|dialled| dialled == address) {
                return Some(self.now.since(start));
            }
            self.advance(step);
        }
        None
    }
}

/// "Seeds are dialled for ever with back-off and jitter."
#[test]
fn a_seed_that_is_down_is_dialled_for_ever() {
    let mut world = World::empty();
    let node = world.add(with_seeds(0, &["seed:1"]));
    assert_eq!(world.dials(node), ["seed:1"], "with the first outputs");
    assert_eq!(world.pause_before_dial(node, "seed:1"), None, "one dial at a time");
    let defaults = config(0);
    let mut pauses = BTreeSet::new();
    for failures in 1..60_u32 {
        world.fail_dial(node, "seed:1");
        let pause = world.pause_before_dial(node, "seed:1").expect("it is dialled again");
        let full = defaults.dial_min.saturating_mul(1 << failures.min(16)).min(defaults.dial_max);
        assert!(pause >= full / 2 && pause <= full + ms(1), "{failures} failures: {pause:?} of {full:?}");
        pauses.insert(pause);
    }
    assert!(pauses.len() > 30, "jittered: {pauses:?}");
}

/// Ten nodes that lost the same peer do not dial it in the same moment.
#[test]
fn the_pauses_of_different_nodes_differ() {
    let pauses: BTreeSet<_> = (0..10)
        .map(|index| {
            let mut world = World::empty();
            world.add(Config { node: NodeId(index + 1), ..with_seeds(0, &["seed:1"]) });
            for _ in 0..5 {
                world.fail_dial(0, "seed:1");
            }
            world.engine(0).poll_timeout()
        })
        .collect();
    assert_eq!(pauses.len(), 10);
}

/// "A lost peer is re-dialled", a link that has lasted for a detection time resets the back-off.
#[test]
fn a_lost_peer_is_dialled_again() {
    let mut world = World::mesh(2);
    assert_eq!(world.dials(1), [""; 0]);
    for _ in 0..3 {
        world.advance(DETECTION + HEARTBEAT * 2);
        world.cut(0, 1);
        for node in 0..2 {
            let pause = world.pause_before_dial(node, &address(1 - node));
            assert!(pause.is_some_and(|pause| pause <= ms(51)), "{pause:?}");
        }
        world.fail_dial(0, &address(1));
        world.fail_dial(1, &address(0));
        world.link(0, 1);
        assert!(world.is_linked(0, 1));
    }
    // Linked: no dial any more.
    world.advance(ms(60_000));
    assert_eq!(world.dials(0).len() + world.dials(1).len(), 0);
}

/// A call that waits for a link to an address is answered when the node of that name turns up at another one, and the old
/// address is forgotten.
#[test]
fn a_connect_to_where_a_node_was_is_answered() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    world.cut(0, 1);
    let op = world.connect_call(pid, &address(1), Deadline::FOREVER);
    assert_eq!(world.status(op), None);
    let moved = world.add(Config { name: "node1".into(), ..config(2) });
    world.link(0, moved);
    assert!(world.is_linked(0, moved), "{}", world.picture());
    assert_eq!(world.status(op), Some(Status::Unreachable));
}

/// "Goodbye forgets": a peer that left in order is not dialled, but a seed always is.
#[test]
fn a_peer_that_left_is_forgotten_unless_it_is_a_seed() {
    for seed in [false, true] {
        let mut world = World::empty();
        world.add(if seed { with_seeds(0, &[&address(1)]) } else { config(0) });
        world.add(config(1));
        world.link(0, 1);
        world.dials(0);
        world.command(1, Command::Close);
        world.settle();
        assert!(!world.is_linked(0, 1));
        assert_eq!(world.pause_before_dial(0, &address(1)).is_some(), seed);
    }
}

/// A node that is closed and opened again at once: who hears of the new incarnation while it still has its link with the
/// old one dials it when the old one has left.
#[test]
fn a_peer_that_left_is_dialled_if_another_incarnation_is_known() {
    for known in [false, true] {
        let mut world = World::nodes(1);
        let (old, witness) = (world.add_puppet(20), world.add_puppet(21));
        world.link(0, old);
        world.connect(0, witness);
        let address = world.nodes[old].address.clone();
        let new = PeerAddress { node: NodeId(22), name: "successor".into(), address: address.clone() };
        let facts = if known { vec![Fact::Peers([new.node].into())] } else { vec![] };
        world.say(witness, 0, Message::Hello { facts, last: true });
        if known {
            world.say(witness, 0, Message::Peers { peers: vec![new], last: true });
        }
        assert_eq!(world.dials(0), [""; 0], "not while the old one is linked");
        world.say(old, 0, Message::Goodbye { why: Goodbye::Closing });
        assert_eq!(world.pause_before_dial(0, &address).is_some(), known);
    }
}

/// "A node given one seed finds all others": peer lists travel with the snapshot.
#[test]
fn one_seed_leads_to_all() {
    let mut world = World::empty();
    for index in 0..5 {
        let seeds: &[&str] = if index == 0 { &[] } else { &["host0:1"] };
        world.add(with_seeds(index, seeds));
    }
    world.dials_go_through = true;
    world.advance(ms(1000));
    for node in 0..5 {
        assert_eq!(world.engine(node).links().count(), 4);
    }
    assert!(world.engine(3).links().all(|(_, synced)| synced));
}

/// What is not worth a dial: oneself, by incarnation or address; a linked peer; no address, or one of absurd length.
#[test]
fn not_every_address_that_is_told_is_dialled() {
    let mut world = World::nodes(1);
    let puppet = world.add_puppet(20);
    world.connect(0, puppet);
    let peer = |node: u64, address: &str| PeerAddress {
        node: NodeId(node),
        name: format!("n{node}"),
        address: address.into(),
    };
    let peers = vec![
        peer(1, "other:1"),
        peer(20, "alias:1"),
        peer(31, &address(0)),
        peer(32, ""),
        peer(33, &"a".repeat(300)),
        peer(34, "good:1"),
        peer(34, "good:1"),
    ];
    let nodes: BTreeSet<NodeId> = peers.iter().map(|peer| peer.node).collect();
    world.told(puppet);
    world.say(puppet, 0, Message::Hello { facts: vec![Fact::Peers(nodes)], last: true });
    let asked = [31, 32, 33, 34].map(NodeId).into();
    assert_eq!(world.told(puppet), [Message::Where { nodes: asked }, Message::HelloAck]);
    world.say(puppet, 0, Message::Peers { peers, last: true });
    assert_eq!(world.dials(0), ["good:1"]);
    // Re-dialled like any peer that was known once.
    world.fail_dial(0, "good:1");
    assert!(world.pause_before_dial(0, "good:1").is_some());
}

/// "Unknown ones are asked for, and dialled": by their numbers first, so that nobody is told again what it knows.
#[test]
fn who_is_known_already_is_not_asked_for() {
    let mut world = World::nodes(1);
    let puppets = [20, 21, 22].map(|id| world.add_puppet(id));
    for puppet in puppets {
        world.connect(0, puppet);
        world.told(puppet);
    }
    let hello = |nodes: &[u64]| {
        let nodes = nodes.iter().copied().map(NodeId).collect();
        Message::Hello { facts: vec![Fact::Peers(nodes)], last: true }
    };
    let [first, second, third] = puppets;
    world.say(first, 0, hello(&[21, 22, 30]));
    assert_eq!(world.told(first), [Message::Where { nodes: [NodeId(30)].into() }, Message::HelloAck]);
    let peer = PeerAddress { node: NodeId(30), name: "n30".into(), address: "n30:1".into() };
    world.say(first, 0, Message::Peers { peers: vec![peer], last: true });
    assert_eq!(world.dials(0), ["n30:1"]);
    world.fail_dial(0, "n30:1");
    world.say(second, 0, hello(&[20, 30]));
    assert_eq!(world.told(second), [Message::HelloAck]);
    assert_eq!(world.dials(0), ["n30:1"], "whoever has a link to it can reach it now");
    // And it tells others where its own peers are, whom it has links to.
    world.say(third, 0, Message::Where { nodes: [20, 21, 30, 99].map(NodeId).into() });
    let told = world.told(third);
    let [Message::Peers { peers, last: true }] = &told[..] else { panic!("{told:?}") };
    let told: Vec<(NodeId, &str)> = peers.iter().map(|peer| (peer.node, &peer.address[..])).collect();
    let address = |puppet: NodeIndex| &world.nodes[puppet].address[..];
    assert_eq!(told, [(NodeId(20), address(first)), (NodeId(21), address(second))]);
}

/// "Simultaneous dials end in one link", in every order of what follows.
#[test]
fn crossing_dials_end_in_one_link() {
    for aliases in [false, true] {
        let start = || {
            let mut world = World::empty();
            let seeds = if aliases { ["alias1:1", "alias0:1"] } else { ["host1:1", "host0:1"] };
            world.add(with_seeds(0, &seeds[..1]));
            world.add(with_seeds(1, &seeds[1..]));
            world.dials(0);
            world.dials(1);
            world.connect_at(0, 1, seeds[0]);
            world.connect_at(1, 0, seeds[1]);
            (world, ())
        };
        let orders = every_order(
            8,
            start,
            |_, ()| {},
            |mut world, ()| {
                assert!(world.is_linked(0, 1) && world.is_linked(1, 0));
                // Dials that were refused too early are repeated and find the link.
                for _ in 0..3 {
                    world.advance(ms(200));
                    for node in 0..2 {
                        for address in world.dials(node) {
                            assert!(aliases, "it is known to be linked there: {address}");
                            world.connect_at(node, 1 - node, &address);
                            world.settle();
                        }
                    }
                }
                // Less than `seeds.refresh_ms`, after which aliases are dialled again.
                world.advance(ms(10_000));
                assert_eq!(world.dials(0).len() + world.dials(1).len(), 0);
                assert_eq!(world.engine(0).links().collect::<Vec<_>>(), [(NodeId(2), true)]);
                assert_eq!(world.engine(1).links().collect::<Vec<_>>(), [(NodeId(1), true)]);
                let pid = world.spawn(1);
                let op = world.register(pid, "x");
                world.settle();
                assert_eq!(world.status(op), Some(Status::Ok));
                world.assert_at_rest();
            },
        );
        assert!(orders > 5, "{orders}");
    }
}

/// A dial that crossed what led to the link is no reason to doubt it, however slow the peer is at that moment: with many
/// nodes that meet at once good links would be cut. A peer that dials again after the refusal has no link any more.
#[test]
fn a_dial_that_crossed_does_not_put_the_link_in_doubt() {
    for again in [false, true] {
        let mut world = World::mesh(2);
        world.connect(1, 0);
        if again {
            world.connect(1, 0);
        }
        world.advance_still(ms(1500));
        assert_eq!(world.is_linked(0, 1), !again);
        world.settle();
        assert_eq!(world.is_linked(1, 0), !again);
    }
    // An answer clears it up: the next one may have crossed again.
    let mut world = World::mesh(2);
    for _ in 0..3 {
        world.connect(1, 0);
        world.connect(1, 0);
        world.advance(ms(1500));
        world.connect(1, 0);
        world.advance_still(ms(1500));
        assert!(world.is_linked(0, 1));
        world.advance(ms(10));
        // Two more, the second of which asks for an answer.
        world.connect(1, 0);
        world.advance(ms(1500));
        assert!(world.is_linked(0, 1));
    }
}

// ---- connect

/// "Dials an address once and answers when the link is up": with the tables merged.
#[test]
fn connect_answers_when_the_tables_are_merged() {
    for dialler in 0..2 {
        let mut world = World::nodes(2);
        let (pid, named) = (world.spawn(dialler), world.spawn(1 - dialler));
        world.register(named, "x");
        let to = address(1 - dialler);
        let op = world.connect_call(pid, &to, Deadline::FOREVER);
        assert_eq!(world.dials(dialler), [to.as_str()]);
        let second = world.connect_call(pid, &to, Deadline::FOREVER);
        assert_eq!(world.dials(dialler), [""; 0], "one dial at a time");
        world.connect(dialler, 1 - dialler);
        world.settle_with(|world| {
            if world.status(op).is_some() {
                assert_eq!(world.whereis(dialler, "x"), Some(named));
            }
        });
        assert_eq!((world.status(op), world.status(second)), (Some(Status::Ok), Some(Status::Ok)));
        let again = world.connect_call(pid, &to, Deadline::FOREVER);
        assert_eq!(world.status(again), Some(Status::Ok), "already linked");
        assert_eq!(world.dials(dialler), [""; 0]);
        world.assert_at_rest();
    }
}

#[test]
fn connect_says_why_it_failed() {
    for (refusal, status) in [
        (None, Status::Unreachable),
        (Some(Refusal::Cluster), Status::Auth),
        (Some(Refusal::Version), Status::Version),
        (Some(Refusal::TooManyPeers), Status::Full),
        (Some(Refusal::Closing), Status::Unreachable),
        (Some(Refusal::Disconnected), Status::Unreachable),
        (Some(Refusal::Myself), Status::Invalid),
    ] {
        let mut world = World::empty();
        let puppet = world.add_puppet(1);
        let node = world.add(config(1));
        let pid = world.spawn(node);
        let op = world.connect_call(pid, &address(puppet), Deadline::FOREVER);
        world.dials(node);
        match refusal {
            None => world.fail_dial(node, &address(puppet)),
            Some(why) => {
                world.connect(node, puppet);
                world.frame(puppet, node, Frame::Refuse(why));
                world.settle();
            }
        }
        assert_eq!(world.status(op), Some(status), "{refusal:?}");
        assert!(world.outcome(op).is_some_and(|outcome| !outcome.detail.is_empty()), "{refusal:?}");
        // "Dials an address once": nobody asked for more.
        assert_eq!(world.pause_before_dial(node, &address(puppet)), None, "{refusal:?}");
        world.assert_at_rest();
    }
}

/// The connection ends before the arbiter's word.
#[test]
fn connect_fails_when_the_connection_ends() {
    let mut world = World::empty();
    let puppet = world.add_puppet(1);
    let node = world.add(config(1));
    let pid = world.spawn(node);
    let op = world.connect_call(pid, &address(puppet), Deadline::FOREVER);
    world.connect(node, puppet);
    assert_eq!(world.status(op), None);
    world.cut(node, puppet);
    assert_eq!(world.status(op), Some(Status::Unreachable));
    world.assert_at_rest();
}

#[test]
fn connect_ends_at_its_deadline_or_when_cancelled() {
    for cancel in [false, true] {
        let mut world = World::nodes(2);
        let pid = world.spawn(0);
        let deadline = if cancel { Deadline::FOREVER } else { world.within(100) };
        let op = world.connect_call(pid, &address(1), deadline);
        world.advance(ms(100));
        if cancel {
            assert_eq!(world.status(op), None);
            world.cancel(pid, op);
        }
        let expected = if cancel { Status::Cancelled } else { Status::Timeout };
        assert_eq!(world.status(op), Some(expected));
        // What the dial leads to is a link like any other.
        world.link(0, 1);
        assert!(world.is_linked(0, 1));
        world.assert_at_rest();
    }
}

/// An address that is being waited for after a failure is dialled at once when somebody asks.
#[test]
fn connect_does_not_wait_for_the_back_off() {
    let mut world = World::empty();
    world.add(with_seeds(0, &["host1:1"]));
    world.add(config(1));
    world.dials(0);
    for _ in 0..20 {
        world.fail_dial(0, "host1:1");
    }
    let pid = world.spawn(0);
    let op = world.connect_call(pid, "host1:1", Deadline::FOREVER);
    assert_eq!(world.dials(0), ["host1:1"]);
    world.link(0, 1);
    assert_eq!(world.status(op), Some(Status::Ok));
}

/// Another address of a peer that is linked already: OK, and no dial there while the link lasts.
#[test]
fn an_alias_of_a_linked_peer_is_ok() {
    for dialler in 0..2 {
        let mut world = World::mesh(2);
        let pid = world.spawn(dialler);
        let op = world.connect_call(pid, "alias:1", Deadline::FOREVER);
        assert_eq!(world.dials(dialler), ["alias:1"]);
        world.connect_at(dialler, 1 - dialler, "alias:1");
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok));
        world.advance(ms(20_000));
        assert_eq!(world.dials(dialler), [""; 0]);
        assert_eq!(world.engine(dialler).links().count(), 1, "the link was not replaced");
        world.assert_at_rest();
    }
}

/// "Only the bound and the advertised address are certainly oneself": they are never dialled.
#[test]
fn a_node_does_not_dial_its_own_address() {
    let mut world = World::empty();
    world.add(Config { bound: "bound:1".into(), ..with_seeds(0, &["host0:1", "bound:1"]) });
    assert_eq!(world.dials(0), [""; 0]);
    let pid = world.spawn(0);
    for own in ["host0:1", "bound:1"] {
        let op = world.connect_call(pid, own, Deadline::FOREVER);
        assert_eq!(world.status(op), Some(Status::Invalid));
        assert_eq!(world.pause_before_dial(0, own), None);
    }
    // Nor when others tell of it.
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    let peer = PeerAddress { node: NodeId(30), name: "n30".into(), address: "bound:1".into() };
    world.say(puppet, 0, Message::Peers { peers: vec![peer], last: true });
    assert_eq!(world.dials(0), [""; 0]);
}

/// The same name at another address: a node that has moved is not looked for where it was.
#[test]
fn a_node_that_has_moved_is_not_dialled_where_it_was() {
    let mut world = World::mesh(2);
    world.crash(1);
    world.settle();
    let moved = Config { address: "new:1".into(), node: NodeId(9), ..config(1) };
    let new = world.add(moved);
    world.connect(new, 0);
    world.settle();
    assert!(world.is_linked(0, new));
    world.dials(0);
    world.advance(ms(20_000));
    assert_eq!(world.dials(0), [""; 0]);
}

// ---- disconnect

/// "Ends the link with a node and does not dial it again until it is asked to": neither side does, whatever a third
/// node says of them.
#[test]
fn disconnect_parts_two_nodes_until_somebody_asks() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    let op = world.disconnect_call(pid, "node1");
    assert_eq!(world.status(op), Some(Status::Ok));
    world.settle();
    assert!(!world.is_linked(0, 1) && !world.is_linked(1, 0));
    for node in 0..2 {
        // The third one tells of all its peers when its link comes up again.
        world.cut(node, 2);
        world.link(node, 2);
    }
    world.advance(ms(20_000));
    for node in 0..2 {
        assert_eq!(world.dials(node).iter().filter(|at| **at == address(1 - node)).count(), 0);
    }
    // Asked to, from either side.
    for node in 0..2 {
        let asker = world.spawn(node);
        let op = world.connect_call(asker, &address(1 - node), Deadline::FOREVER);
        assert_eq!(world.dials(node), [address(1 - node)]);
        world.connect(node, 1 - node);
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok));
        let op = world.disconnect_call(asker, &format!("node{}", 1 - node));
        assert_eq!(world.status(op), Some(Status::Ok));
        world.settle();
    }
    // A link that breaks after that is repaired as before.
    world.link(0, 1);
    world.cut(0, 1);
    assert!(world.pause_before_dial(0, &address(1)).is_some());
}

/// Also a seed.
#[test]
fn disconnect_from_a_seed() {
    let mut world = World::empty();
    world.add(with_seeds(0, &["host1:1"]));
    world.add(config(1));
    world.link(0, 1);
    world.dials(0);
    let pid = world.spawn(0);
    world.disconnect_call(pid, "node1");
    world.settle();
    assert_eq!(world.pause_before_dial(0, "host1:1"), None);
    let op = world.connect_call(pid, "host1:1", Deadline::FOREVER);
    assert_eq!(world.dials(0), ["host1:1"]);
    world.link(0, 1);
    assert_eq!(world.status(op), Some(Status::Ok));
}

#[test]
fn disconnect_of_an_unknown_node() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    for name in ["nobody", "", "node0"] {
        let op = world.disconnect_call(pid, name);
        assert_eq!(world.status(op), Some(Status::NotFound));
    }
    assert!(world.is_linked(0, 1));
}

/// A peer that breaks the protocol whenever it is linked is dialled as seldom as one that never answers, and so is one
/// whose links end before the tables are merged.
#[test]
fn a_peer_with_which_no_link_lasts_is_dialled_seldom() {
    for violates in [false, true] {
        let mut world = World::empty();
        let mut config = config(0);
        config.seeds = vec![address(1)];
        let longest = config.dial_max;
        world.add(config);
        let puppet = world.add_puppet(20);
        let mut links = 0;
        let end = world.now + longest * 20;
        while world.now < end {
            for dialled in world.dials(0) {
                assert_eq!(dialled, address(1));
                world.connect(0, puppet);
                links += 1;
                if violates {
                    // After its tables are merged, so that it seems to be a good peer.
                    for clock in [1, 2].map(|clock| 1000 * links + clock) {
                        world.say_at(puppet, 0, clock, Message::Hello { facts: vec![], last: true });
                    }
                }
                world.cut(0, puppet);
                world.settle();
            }
            world.advance(ms(10));
        }
        // One in each longest pause, or in half of it, and some at the beginning. Who breaks the protocol is left alone longer.
        let expected = if violates { 2..4 } else { 20..60 };
        assert!(expected.contains(&links), "{links} links, violating: {violates}");
    }
}
