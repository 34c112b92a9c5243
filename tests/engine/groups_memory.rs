//! What is remembered of groups that are no more, for how long, and how many groups there may be.

use crate::harness::{Frame, World, config, ms, name};
use convoke::engine::{Dot, Existence, Message, Stamped};
use convoke::model::{Config, Limits, NodeId, Pid, Status};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

/// Nodes that say little, so that days pass quickly.
fn quiet_mesh(count: usize) -> World {
    let mut world = World::empty();
    for index in 0..count {
        let (heartbeat, detection) = (HOUR / 6, HOUR);
        world.add(Config { heartbeat, detection, ..config(index) });
    }
    for a in 0..count {
        for b in a + 1..count {
            world.link(a, b);
        }
    }
    world
}

/// What node 0 would tell a new peer of the existence of groups.
fn told(world: &mut World) -> Vec<Existence> {
    let puppet = world.add_puppet(1000 + world.nodes.len() as u64);
    world.connect(0, puppet);
    let told = world.told(puppet);
    let parts = told.into_iter().filter_map(|message| match message {
        Message::GroupState { parts, .. } => Some(parts),
        _ => None,
    });
    let existence = parts.flatten().collect();
    world.cut(0, puppet);
    existence
}

fn seen(index: u64, up_to: u64) -> Existence {
    Existence::Seen { node: NodeId(index + 1), up_to }
}

/// A mesh whose nodes 1 and 0 have made groups that are deleted.
fn past() -> (World, [Pid; 2]) {
    let mut world = quiet_mesh(2);
    let pids = [world.spawn(0), world.spawn(1)];
    for pid in [pids[1], pids[0], pids[1]] {
        let op = world.create(pid, "g");
        world.done(op);
        let op = world.delete(pid, "g");
        world.done(op);
    }
    (world, pids)
}

/// "A context entry is dropped 24 h after its incarnation left and it has no live dot."
#[test]
fn a_lost_node_is_remembered_for_a_day() {
    let (mut world, _) = past();
    world.cut(0, 1);
    world.advance(HOUR * 23);
    assert_eq!(told(&mut world), [seen(0, 1), seen(1, 2)]);
    world.advance(HOUR + ms(1));
    assert_eq!(told(&mut world), [seen(0, 1)], "its own stay");
    world.advance(HOUR * 48);
    assert_eq!(told(&mut world), [seen(0, 1)]);
}

/// The day begins anew with every loss.
#[test]
fn a_node_that_returns_is_remembered_anew() {
    let (mut world, _) = past();
    world.cut(0, 1);
    world.advance(HOUR * 12);
    world.link(0, 1);
    for _ in 0..6 {
        world.advance(HOUR * 2);
        assert_eq!(told(&mut world), [seen(0, 1), seen(1, 2)], "it is linked");
    }
    world.cut(0, 1);
    world.advance(HOUR * 23);
    assert_eq!(told(&mut world), [seen(0, 1), seen(1, 2)]);
    world.advance(HOUR * 2);
    assert_eq!(told(&mut world), [seen(0, 1)]);
}

/// While it has a live dot it is remembered, however long; and as long after as it takes.
#[test]
fn live_dots_keep_the_memory() {
    let (mut world, pids) = past();
    let op = world.create(pids[1], "h");
    world.done(op);
    world.cut(0, 1);
    let live = Existence::Live { group: name("h"), dot: Dot { node: NodeId(2), number: 3 } };
    world.advance(HOUR * 100);
    assert_eq!(told(&mut world), [live, seen(0, 1), seen(1, 3)]);
    let op = world.delete(pids[0], "h");
    world.done(op);
    assert_eq!(told(&mut world), [seen(0, 1), seen(1, 3)]);
    world.advance(HOUR * 25);
    assert_eq!(told(&mut world), [seen(0, 1)]);
}

/// What was heard of incarnations that this node was never linked to is forgotten too, and needs no link to end for that.
#[test]
fn hearsay_is_forgotten() {
    let mut world = World::mesh(1);
    let puppet = world.add_puppet(20);
    world.link(0, puppet);
    let parts = vec![seen(97, 5), Existence::Beyond(Dot { node: NodeId(99), number: 7 })];
    world.say(puppet, 0, Message::GroupState { parts: parts.clone(), last: true, answer: false });
    let dots = [Dot { node: NodeId(100), number: 1 }].into();
    world.say(puppet, 0, Message::Delete { group: name("g"), dots, ack: None });
    assert_eq!(told(&mut world), [seen(97, 5), seen(99, 1), parts[1].clone()]);
    // The puppet is silent and is lost, but it is not of it.
    world.advance(HOUR * 23);
    assert_eq!(told(&mut world).len(), 3);
    world.advance(HOUR * 2);
    assert_eq!(told(&mut world), []);
}

/// The link to who told stays up all the time.
#[test]
fn hearsay_in_a_cluster_that_is_whole() {
    let dots = [Dot { node: NodeId(100), number: 1 }].into();
    let state = Message::GroupState { parts: vec![seen(97, 5)], last: true, answer: false };
    for message in [state, Message::Delete { group: name("g"), dots, ack: None }] {
        let (mut world, _) = past();
        world.frame(1, 0, Frame::Control(Stamped { clock: 0, message }));
        world.settle();
        world.advance(HOUR * 23);
        assert_eq!(told(&mut world).len(), 3);
        world.advance(HOUR * 2);
        assert!(world.is_linked(0, 1));
        assert_eq!(told(&mut world), [seen(0, 1), seen(1, 2)]);
    }
}

/// The first day is not over when it is lost again.
#[test]
fn a_node_that_is_lost_twice_in_a_day() {
    let (mut world, _) = past();
    world.cut(0, 1);
    world.advance(HOUR * 12);
    world.link(0, 1);
    world.advance(HOUR * 2);
    world.cut(0, 1);
    world.advance(HOUR * 20);
    assert_eq!(told(&mut world), [seen(0, 1), seen(1, 2)]);
}

/// A split that lasts longer than the memory: a deleted group may come back, and all agree about that.
#[test]
fn after_a_longer_split_all_agree() {
    let mut world = quiet_mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
    let op = world.create(pids[2], "g");
    world.done(op);
    world.split(&[2], &[0, 1]);
    let op = world.delete(pids[0], "g");
    world.done(op);
    world.advance(HOUR * 30);
    world.join_up(&[0, 1, 2]);
    world.advance(HOUR);
    world.all_show_members("g", Some(&[]));
    world.assert_at_rest();
}

/// Two linked nodes with the same limits.
fn limited_pair(limits: Limits) -> World {
    let mut world = World::empty();
    for index in 0..2 {
        world.add(Config { limits: limits.clone(), ..config(index) });
    }
    world.link(0, 1);
    world
}

impl World {
    /// The creation ends so.
    fn creates(&mut self, caller: Pid, group: &str, status: Status) {
        let op = self.create(caller, group);
        assert_eq!(self.done(op), status, "{group}");
    }
}

/// "Groups that processes of this node may make": E_FULL beyond. What exists can be made anew; what is deleted makes room; what
/// others make does not count.
#[test]
fn groups_are_limited() {
    let mut world = limited_pair(Limits { groups: 2, ..Limits::default() });
    let (a, b) = (world.spawn(0), world.spawn(1));
    for (caller, group, status) in [
        (a, "g0", Status::Ok),
        (b, "h0", Status::Ok),
        (b, "h1", Status::Ok),
        (a, "g1", Status::Ok),
        (a, "g2", Status::Full),
        (b, "h2", Status::Full),
        (a, "g0", Status::Ok),
        (a, "g0", Status::Ok),
        (a, "h0", Status::Ok),
    ] {
        world.creates(caller, group, status);
    }
    for (group, status) in [("g0", Status::Full), ("h0", Status::Ok)] {
        let op = world.delete(b, group);
        world.done(op);
        world.creates(a, "g2", status);
    }
    assert!(world.is_linked(0, 1));
    assert_eq!(world.engine(0).groups(), world.engine(1).groups());
    world.assert_at_rest();
}

/// In all there are as many as every node remembers: the same everywhere, whatever the limits of each are.
#[test]
fn the_groups_of_a_cluster_are_limited() {
    let mut world = limited_pair(Limits { existence: 3, ..Limits::default() });
    let (a, b) = (world.spawn(0), world.spawn(1));
    for (caller, group, status) in [
        (a, "g0", Status::Ok),
        (a, "g1", Status::Ok),
        (b, "g2", Status::Ok),
        (a, "g3", Status::Full),
        (b, "g3", Status::Full),
        (b, "g0", Status::Ok),
    ] {
        world.creates(caller, group, status);
    }
    assert_eq!(world.engine(0).groups(), world.engine(1).groups());
    world.assert_at_rest();
}

/// Each copy of a membership counts.
#[test]
fn memberships_are_limited() {
    let mut world = limited_pair(Limits { groups: 4, ..Limits::default() });
    let pids = [world.spawn(0), world.spawn(0), world.spawn(1)];
    world.make_group("g", &[pids[0], pids[0], pids[1], pids[1]]);
    for caller in [pids[0], pids[2]] {
        let op = world.join(caller, "g", pids[0]);
        assert_eq!(world.done(op), Status::Full);
    }
    let op = world.join(pids[0], "g", pids[2]);
    assert_eq!(world.done(op), Status::Ok, "the other home has a limit of its own");
    let op = world.leave(pids[0], "g", pids[1]);
    world.done(op);
    let op = world.join(pids[0], "g", pids[0]);
    assert_eq!(world.done(op), Status::Ok);
    assert!(world.is_linked(0, 1));
    world.assert_at_rest();
}

/// Parts of a cluster that are full by themselves can join all the same.
#[test]
fn full_parts_join() {
    let mut world = World::empty();
    for index in 0..3 {
        world.add(Config { limits: Limits { existence: 10, ..Limits::default() }, ..config(index) });
    }
    for node in 0..3 {
        let pid = world.spawn(node);
        for i in 0..10 {
            let op = world.create(pid, &format!("g{node}-{i}"));
            assert_eq!(world.done(op), Status::Ok);
        }
    }
    world.join_up(&[0, 1, 2]);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(world.is_linked(a, b));
    }
    assert_eq!(world.engine(0).groups().len(), 30);
    assert_eq!(world.engine(0).groups(), world.engine(2).groups());
    world.assert_at_rest();
}
