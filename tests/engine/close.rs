//! The end of a node: everything is answered, everybody is told, nothing is left.

use crate::harness::{World, address, ms, name};
use crate::namesakes::namesake;
use convoke::engine::{Engine, Goodbye, Message, Refusal};
use convoke::model::{
    Action, Command, Config, ConnectionId, Deadline, Machine, Payload, Reason, Ref, Status,
};

/// "Answers everything with E_CLOSED, goodbye on every link", and nothing is pending afterwards.
#[test]
fn close_leaves_in_order() {
    let mut world = World::mesh(3);
    let (pid, other, far) = (world.spawn(0), world.spawn(0), world.spawn(1));
    world.register(pid, "own");
    world.register(far, "far");
    world.settle();
    let watchers = [other, far];
    let monitors = watchers.map(|watcher| world.monitor(watcher, pid));
    world.monitor(pid, far);
    world.settle();
    world.hang(2);
    let deadline = Deadline::FOREVER;
    let calls = [
        world.register(pid, "acquiring"),
        world.reregister(pid, "far"),
        world.register_as(pid, "forwarded", far, false, deadline),
        world.unregister(pid, "own"),
        world.unregister(pid, "far"),
        world.connect_call(pid, "elsewhere:1", Deadline::FOREVER),
        world.operate(pid, deadline, Action::IsAlive { pid: far }),
    ];
    world.command(0, Command::Close);
    assert_eq!(calls.map(|op| world.status(op)), [Some(Status::Closed); 7]);
    assert!(world.is_gone(pid) && world.is_gone(other));
    assert_eq!(world.nodes[0].closed, Some(Reason::NORMAL));
    let engine = world.engine(0);
    assert_eq!((engine.pending_operations(), engine.links().count(), engine.names().count()), (0, 0, 0));
    assert_eq!(engine.poll_timeout(), None);
    world.assert_at_rest_at(0);
    for peer in [1, 2] {
        let goodbye = Message::Goodbye { why: Goodbye::Closing };
        let last = world.in_flight().into_iter().filter(|(from, to, _)| (*from, *to) == (0, peer));
        let last: Vec<_> = last.map(|(_, _, frame)| frame).collect();
        let said = last.iter().position(|frame| frame.message() == Some(&goodbye));
        assert!(said.is_some(), "to {peer}: {last:?}");
    }
    world.wake(2);
    world.settle();
    for node in [1, 2] {
        assert_eq!(world.whereis(node, "own"), None);
        assert!(!world.is_linked(node, 0));
    }
    assert_eq!(world.exits(far, monitors[1]), [Reason::NODE_CLOSED]);
}

/// A closed node answers: every command that has an answer, every connection, and it asks for no time.
#[test]
fn a_closed_node_answers_everything() {
    let mut world = World::mesh(2);
    let (pid, far) = (world.spawn(0), world.spawn(1));
    let dialled = world.dials(0);
    world.command(0, Command::Close);
    world.nodes[0].closed = None; // what follows is not after `Closed` of the same input
    let deadline = Deadline::FOREVER;
    let calls = [
        world.register(pid, "x"),
        world.register_as(pid, "x", far, true, deadline),
        world.unregister(pid, "x"),
        world.connect_call(pid, &address(1), Deadline::FOREVER),
        world.operate(pid, deadline, Action::IsAlive { pid: far }),
        world.operate(pid, deadline, Action::Disconnect { node_name: "node1".into() }),
    ];
    assert_eq!(calls.map(|op| world.status(op)), [Some(Status::Closed); 6]);
    let monitor = world.monitor(pid, far);
    assert_eq!(world.exits(pid, monitor), [Reason::NODE_CLOSED]);
    let late = world.spawn(0);
    assert!(world.is_gone(late));
    for command in [
        Command::Close,
        Command::Cancel { process: 1, reference: Ref(1) },
        Command::Exit { process: 1, reason: Reason::NORMAL, data: Payload::default() },
        Command::Kill { process: 1, target: far, reason: Reason::KILLED },
        Command::MonitorNodes { process: 1, reference: Ref(1) },
        Command::MonitorName { process: 1, reference: Ref(1), name: name("x") },
    ] {
        world.command(0, command);
    }
    // A dial that was on its way, a connection that comes in, and one that is dialled still.
    world.fail_dial(0, &address(1));
    let identity = world.identity(1);
    let (inwards, out) = (ConnectionId(901), ConnectionId(902));
    let peer = identity.clone();
    world.input(0, |engine, now| engine.handle_connection(now, inwards, peer, None));
    world.input(0, |engine, now| engine.handle_connection(now, out, identity, Some(address(1))));
    assert_eq!(world.refused, [(inwards, Refusal::Closing), (out, Refusal::Closing)]);
    assert_eq!(world.dials(0), dialled);
    assert_eq!(world.engine(0).poll_timeout(), None);
    assert_eq!(world.engine(0).pending_operations(), 0);
    world.input(0, Engine::handle_timeout);
    assert_eq!(world.nodes[0].closed, None, "it closes once");
}

/// A closing node whose dials are under way has no timer left, whatever its seeds do.
#[test]
fn a_node_whose_name_is_taken_is_quiet() {
    for id in [1, 9] {
        let mut world = World::empty();
        world.add(namesake(0, 5));
        world.advance(ms(1000));
        world.add(Config { seeds: vec![address(0), "other:1".into()], ..namesake(1, id) });
        world.connect(1, 0);
        world.settle();
        assert_eq!(world.nodes[1].closed, Some(Reason::NAME_TAKEN));
        assert_eq!(world.engine(1).poll_timeout(), None);
    }
}
