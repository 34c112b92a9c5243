//! Links: how they come up, how their end is noticed, namesakes, and the orderly end of a node.

use crate::harness::{DETECTION, Frame, HEARTBEAT, NodeIndex, World, address, config, ms};
use convoke::engine::{Engine, Message, Refusal};
use convoke::model::{Command, Config, Deadline, Event, Limits, Machine, NodeId, Reason, Status, Time};
use std::time::Duration;

/// A ping and its answer are the life signs of the two ends.
fn heartbeat(message: &Message) -> bool {
    matches!(message, Message::Heartbeat | Message::Ping { .. } | Message::Pong { .. })
}

impl World {
    /// The messages of this kind that arrived while so much time passed.
    fn count_during(&mut self, by: Duration, wanted: impl Fn(&Message) -> bool) -> usize {
        self.delivered.clear();
        self.advance(by);
        self.delivered.iter().filter(|(_, _, frame)| frame.message().is_some_and(&wanted)).count()
    }

    /// How long the node still believes in its link to another, from now on.
    fn time_to_notice(&mut self, node: NodeIndex, other: NodeIndex) -> Duration {
        let start = self.now;
        while self.is_linked(node, other) {
            self.advance(ms(10));
            assert!(self.now.since(start) < DETECTION * 3, "it never notices\n{}", self.picture());
        }
        self.now.since(start)
    }
}

// ---- a connection becomes a link

/// "The arbiter alone says Go, and may send link frames right behind it; the other waits." The snapshot comes first.
#[test]
fn the_lower_incarnation_says_go() {
    for dialler in 0..2 {
        let mut world = World::nodes(2);
        world.connect(dialler, 1 - dialler);
        assert!(world.is_linked(0, 1) && !world.is_linked(1, 0));
        let frames: Vec<_> = world.in_flight().into_iter().map(|(from, _, frame)| (from, frame)).collect();
        assert!(matches!(frames[0], (0, Frame::Go)), "{frames:?}");
        assert!(matches!(frames[1].1.message(), Some(Message::Hello { last: true, .. })), "{frames:?}");
        assert_eq!(frames.len(), 2);
        world.step(0, 1);
        assert!(world.is_linked(1, 0));
        assert_eq!(world.engine(1).links().next(), Some((NodeId(1), false)), "synced with the snapshot only");
        world.settle();
        for node in 0..2 {
            assert!(world.engine(node).links().all(|(_, synced)| synced));
        }
    }
}

/// The limit of peers, seen from both sides.
#[test]
fn too_many_peers_are_refused() {
    for (full, other) in [(0, 2), (2, 0)] {
        let mut world = World::empty();
        for index in 0..3 {
            let limits = Limits { peers: if index == full { 1 } else { 100 }, ..Limits::default() };
            world.add(Config { limits, ..config(index) });
        }
        world.link(full, 1);
        let pid = world.spawn(other);
        let op = world.connect_call(pid, &address(full), Deadline::FOREVER);
        world.connect(other, full);
        world.settle();
        assert!(!world.is_linked(full, other) && !world.is_linked(other, full));
        assert!(world.refused.iter().any(|(_, why)| *why == Refusal::TooManyPeers));
        assert_eq!(world.status(op), Some(Status::Full));
        // Room again.
        world.cut(full, 1);
        world.link(full, other);
        assert!(world.is_linked(full, other) && world.is_linked(other, full));
    }
}

/// Who is refused dials on, with back-off, also where its own side of the connection was a link for a moment.
#[test]
fn a_full_node_is_dialled_less_and_less() {
    for (full, other) in [(0, 2), (2, 0)] {
        let mut world = World::empty();
        world.dials_go_through = true;
        for index in 0..3 {
            let limits = Limits { peers: if index == full { 1 } else { 100 }, ..Limits::default() };
            let seeds = if index == other { vec![address(full)] } else { vec![] };
            world.add(Config { limits, seeds, ..config(index) });
        }
        world.link(full, 1);
        world.advance(ms(60_000));
        assert!((10..40).contains(&world.refused.len()), "{} dials in a minute", world.refused.len());
        world.cut(full, 1);
        world.command(1, Command::Close);
        world.advance(ms(6000));
        assert!(world.is_linked(other, full) && world.is_linked(full, other));
    }
}

// ---- life signs

/// "A heartbeat per idle link, jittered", and none on one that is not idle.
#[test]
fn heartbeats_only_on_idle_links() {
    let mut world = World::mesh(2);
    let idle = world.count_during(ms(10_000), heartbeat);
    // Every 80 to 100 % of the interval, in both directions.
    assert!((40..=50).contains(&idle), "{idle}");
    let (a, b) = (world.spawn(0), world.spawn(1));
    let mut busy = 0;
    for i in 0..100 {
        world.register(a, &format!("a{i}"));
        world.register(b, &format!("b{i}"));
        busy += world.count_during(ms(100), heartbeat);
    }
    assert_eq!(busy, 0);
}

/// They do not fall into one moment.
#[test]
fn heartbeats_are_jittered() {
    let mut world = World::mesh(2);
    let mut pauses = std::collections::BTreeSet::new();
    let mut last = world.now;
    for _ in 0..20_000 {
        world.delivered.clear();
        world.advance(ms(1));
        if world.delivered.iter().any(|(from, ..)| *from == 0) {
            pauses.insert(world.now.since(last));
            last = world.now;
        }
    }
    assert!(pauses.len() > 10, "{pauses:?}");
    assert!(pauses.iter().all(|pause| (ms(399)..=ms(502)).contains(pause)), "{pauses:?}");
}

/// "A silent peer is down after the detection time at the latest: base 40 % of it."
#[test]
fn a_silent_peer_is_down_in_time() {
    for count in [2, 3, 4] {
        let mut world = World::mesh(count);
        world.advance(ms(1234));
        world.hang(1);
        for node in (0..count).filter(|node| *node != 1) {
            let mut world = World::mesh(count);
            world.advance(ms(1234));
            world.hang(1);
            let noticed = world.time_to_notice(node, 1);
            assert!(noticed > DETECTION.mul_f64(0.4) - HEARTBEAT, "too early: {noticed:?}");
            assert!(noticed <= DETECTION, "too late: {noticed:?} with {count} nodes");
        }
    }
}

/// The side that gives up says so, should the other be able to hear it.
#[test]
fn a_silent_peer_is_told_goodbye() {
    let mut world = World::mesh(2);
    world.hang(1);
    world.advance(DETECTION);
    assert!(!world.is_linked(0, 1));
    let watcher = world.spawn(1);
    let monitor = world.call(watcher, |process, reference| Command::MonitorNodes { process, reference });
    world.wake(1);
    world.settle();
    assert!(!world.is_linked(1, 0));
    let reasons: Vec<_> = world
        .events(watcher)
        .into_iter()
        .filter_map(|event| match event {
            Event::NodeDown { reference, reason, .. } if reference == monitor => Some(reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [Reason::NODE_UNREACHABLE]);
}

/// "Before a silent peer is declared down, common neighbours are asked": one that hears it keeps the link until the
/// bound, none that hears it ends it early.
#[test]
fn neighbours_are_asked_before_a_peer_is_given_up() {
    let suspicion = DETECTION.mul_f64(0.4);
    // The link 0-1 is dead, 1 lives for 2.
    let mut world = World::mesh(3);
    world.black_hole(0, 1);
    let noticed = world.time_to_notice(0, 1);
    assert!(noticed >= DETECTION - HEARTBEAT && noticed <= DETECTION, "{noticed:?}");
    let probes = |m: &Message| matches!(m, Message::Probe { about } if *about == [NodeId(2)].into());
    assert!(world.delivered.iter().any(|(_, to, frame)| *to == 2 && frame.message().is_some_and(probes)));
    let answers = |m: &Message| matches!(m, Message::ProbeAnswer { .. });
    assert!(!world.delivered.iter().any(|(.., frame)| frame.message().is_some_and(answers)));
    // Node 1 is dead for both.
    let mut world = World::mesh(3);
    world.hang(1);
    let noticed = world.time_to_notice(0, 1);
    assert!(noticed >= suspicion - HEARTBEAT && noticed <= suspicion + HEARTBEAT + ms(20), "{noticed:?}");
    // The neighbour that was asked does not answer either: the bound holds all the same.
    let mut world = World::mesh(3);
    world.hang(1);
    world.hang(2);
    for dead in [1, 2] {
        let started = world.now;
        while world.is_linked(0, dead) && world.now.since(started) < DETECTION * 2 {
            world.advance(ms(10));
        }
    }
    assert!(world.now.since(Time(1_000_000)) <= DETECTION + ms(10));
}

/// "A few neighbours that were heard of late are asked, about all that are silent in one message": a cluster that falls into
/// halves has other worries than questions, and each half is rid of the other as soon as of a single dead node.
#[test]
fn a_split_in_halves_is_noticed_early_and_with_few_questions() {
    let mut world = World::mesh(10);
    let (left, right) = (0..5, 5..10);
    for (a, b) in left.clone().flat_map(|a| right.clone().map(move |b| (a, b))) {
        world.black_hole(a, b);
    }
    world.advance(DETECTION.mul_f64(0.4) + HEARTBEAT * 2);
    for (a, b) in left.flat_map(|a| right.clone().map(move |b| (a, b))) {
        assert!(!world.is_linked(a, b) && !world.is_linked(b, a), "{a}-{b}: {}", world.picture());
    }
    let probes = |frame: &Frame| matches!(frame.message(), Some(Message::Probe { .. }));
    let asked = world.delivered.iter().filter(|(.., frame)| probes(frame)).count();
    // Heartbeats are jittered, so each node notices in a few steps; it asks three each time.
    assert!((10 * 3..=10 * 3 * 4).contains(&asked), "{asked} questions");
}

/// Any frame in time is a life sign, also one that comes after the suspicion.
#[test]
fn a_suspected_peer_that_speaks_is_believed() {
    let mut world = World::mesh(3);
    world.hang(1);
    world.advance(DETECTION.mul_f64(0.4) + ms(1));
    world.wake(1);
    world.advance(ms(10));
    assert!(world.is_linked(0, 1) && world.is_linked(1, 0), "{}", world.picture());
    world.advance(DETECTION * 2);
    assert!(world.is_linked(0, 1));
    // And it is suspected anew when it falls silent anew.
    world.hang(1);
    assert!(world.time_to_notice(0, 1) <= DETECTION);
}

/// A frame that is long on its way, on a slow line, is no silence while more of it arrives.
#[test]
fn a_peer_in_the_middle_of_a_frame_is_heard() {
    let mut world = World::mesh(3);
    let connection = world.nodes[0].peers[&NodeId(2)];
    world.hang(1);
    let began = world.now;
    while world.is_linked(0, 1) && world.now.since(began) < DETECTION * 10 {
        world.advance(DETECTION.mul_f64(0.39));
        let now = world.now;
        world.nodes[0].engine.as_mut().expect("an engine").handle_part(now, connection);
        world.settle();
    }
    // But not for ever: a peer that never ends its frame says nothing.
    let heard = world.now.since(began);
    assert!(heard > DETECTION * 4 && heard < DETECTION * 5 + HEARTBEAT * 2, "{heard:?}");
}

/// Silence of the data lane is no silence of the link: what comes on it counts as well.
#[test]
fn a_peer_asked_about_a_third_one_says_what_it_hears() {
    let mut world = World::mesh(2);
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    let ask = |world: &mut World, about: &[u64]| {
        world.told(puppet);
        world.say(puppet, 0, Message::Probe { about: about.iter().copied().map(NodeId).collect() });
        world.told(puppet)
    };
    let silent = |node: u64| vec![Message::ProbeAnswer { silent: [NodeId(node)].into() }];
    assert_eq!(ask(&mut world, &[2, 20]), []);
    assert_eq!(ask(&mut world, &[99]), silent(99));
    assert_eq!(ask(&mut world, &[2, 20, 99]), silent(99));
    world.hang(1);
    world.advance(HEARTBEAT * 2);
    assert_eq!(ask(&mut world, &[2, 20]), silent(2));
}

/// "After a pause of its own a node reads its sockets before it judges its peers": its timers fire first, then it reads
/// what has waited.
#[test]
fn a_node_that_was_paused_does_not_judge_at_once() {
    for pause in [DETECTION.mul_f64(0.5), DETECTION - ms(100), DETECTION * 2] {
        let mut world = World::mesh(1);
        let puppet = world.add_puppet(20);
        world.link(0, puppet);
        world.hang(0);
        world.advance(pause);
        world.wake(0);
        // The driver has the time, but has not read yet.
        world.input(0, Engine::handle_timeout);
        assert!(world.is_linked(0, puppet), "after {pause:?}");
        world.say(puppet, 0, Message::Heartbeat);
        world.advance(ms(100));
        assert!(world.is_linked(0, puppet), "after {pause:?}");
        // A peer that really is silent is noticed within the bound.
        assert!(world.time_to_notice(0, puppet) <= DETECTION);
    }
}

/// "Stretched by the node's own health up to the bound": a slow node is patient, but not for longer than the bound; one
/// that is well again is as strict as before.
#[test]
fn a_slow_node_is_patient_with_others() {
    let noticed = |pauses: u32, rest: Duration| {
        let mut world = World::mesh(1);
        let puppet = world.add_puppet(20);
        world.link(0, puppet);
        for _ in 0..pauses {
            world.hang(0);
            world.advance(ms(900));
            world.wake(0);
            world.input(0, Engine::handle_timeout);
            world.say(puppet, 0, Message::Heartbeat);
        }
        let end = world.now + rest;
        while world.now < end {
            world.say(puppet, 0, Message::Heartbeat);
            world.advance(ms(100));
        }
        world.say(puppet, 0, Message::Heartbeat);
        world.time_to_notice(0, puppet)
    };
    let well = noticed(0, ms(0));
    let slow = noticed(3, ms(0));
    let worst = noticed(20, ms(0));
    assert!(well < slow && slow <= worst, "{well:?} {slow:?} {worst:?}");
    assert!(worst <= DETECTION);
    assert_eq!(noticed(20, ms(60_000)), well);
}

// ---- the arbiter's link and a dead one

/// The peer's OS process was restarted so fast, or its host lost the connection so quietly, that the arbiter still
/// believes in the old link: it is pinged, and replaced within about a second.
#[test]
fn a_dead_link_of_the_same_pair_is_replaced() {
    for (blind, aware) in [(0, 1), (1, 0)] {
        let mut world = World::mesh(2);
        let pid = world.spawn(aware);
        world.register(pid, "x");
        world.settle();
        world.cut_at(aware, blind);
        world.dials_go_through = true;
        world.advance(ms(1200));
        for node in 0..2 {
            assert!(world.is_linked(node, 1 - node), "{}", world.picture());
        }
        world.all_show("x", Some(pid));
        world.advance(DETECTION);
        world.all_show("x", Some(pid));
    }
}

/// A link that lives is not replaced because somebody dials again.
#[test]
fn a_living_link_is_never_replaced() {
    let mut world = World::mesh(2);
    let before = world.nodes.iter().map(|node| node.peers.clone()).collect::<Vec<_>>();
    for _ in 0..5 {
        for dialler in 0..2 {
            world.connect(dialler, 1 - dialler);
            world.advance(ms(700));
        }
    }
    let after = world.nodes.iter().map(|node| node.peers.clone()).collect::<Vec<_>>();
    assert_eq!(before, after);
}
