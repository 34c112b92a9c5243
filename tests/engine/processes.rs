//! Processes, their ends, and who is told of them.

use crate::harness::{DETECTION, Frame, NodeIndex, World, address, name};
use convoke::engine::Output;
use convoke::model::{
    Action, Call, Command, Deadline, Effect, Event, Level, Machine, NodeId, Outcome, Payload, Pid, Reason,
    Ref, Status, Topic,
};

impl World {
    fn kill(&mut self, from: Pid, target: Pid, reason: Reason) {
        self.call(from, |process, _| Command::Kill { process, target, reason });
    }

    fn exit_with(&mut self, pid: Pid, reason: Reason, data: &[u8]) {
        let data = Payload::new(data);
        self.call(pid, |process, _| Command::Exit { process, reason, data });
    }
}

// ---- monitors of a process

/// "Exactly one exit notice", with the reason and data of the exit: to watchers here and elsewhere, several of one.
#[test]
fn an_explicit_exit_reaches_every_monitor_once() {
    let own_reason = Reason(0x10005);
    let mut world = World::mesh(3);
    let target = world.spawn(0);
    let watchers = [world.spawn(0), world.spawn(0), world.spawn(1), world.spawn(2)];
    let monitors: Vec<(Pid, Ref)> =
        watchers.iter().chain(&watchers).map(|watcher| (*watcher, world.monitor(*watcher, target))).collect();
    world.settle();
    world.exit_with(target, own_reason, b"bye");
    world.settle();
    for (watcher, monitor) in &monitors {
        let expected = Event::Exit {
            reference: *monitor,
            pid: target,
            reason: own_reason,
            data: Payload::new(b"bye"),
            by: None,
        };
        let events = world.events(*watcher);
        assert_eq!(events.iter().filter(|event| **event == expected).count(), 1, "{events:?}");
        assert_eq!(events.len(), 2, "one for each of its two monitors");
    }
    assert!(world.is_gone(target));
    assert_eq!(world.events(target), [], "who ends by itself needs no notice of it");
    world.exit(target);
    world.advance(DETECTION * 2);
    for (watcher, monitor) in monitors {
        assert_eq!(world.exits(watcher, monitor).len(), 1, "and no second one");
    }
}

/// A process killed from outside gets a last EXIT of its own, with who did it; NORMAL would say nothing.
#[test]
fn a_killed_process_is_told_last() {
    for (asked, told) in [(Reason::NORMAL, Reason::KILLED), (Reason(0x20000), Reason(0x20000))] {
        for node in 0..2 {
            let mut world = World::mesh(2);
            let (killer, target, watcher) = (world.spawn(0), world.spawn(node), world.spawn(1));
            let monitor = world.monitor(watcher, target);
            world.register(target, "x");
            world.settle();
            world.kill(killer, target, asked);
            world.settle();
            let data = Payload::default();
            let own = Event::Exit { reference: Ref(0), pid: target, reason: told, data, by: Some(killer) };
            assert_eq!(world.events(target), [own]);
            assert!(world.is_gone(target));
            assert_eq!(world.exits(watcher, monitor), [told]);
            world.all_show("x", None);
            world.kill(killer, target, asked);
            world.settle();
            assert_eq!(world.exits(watcher, monitor), [told]);
            world.assert_at_rest();
        }
    }
}

/// "Local state before EXIT events": who reads of an exit sees no name of the dead any more, here and elsewhere.
#[test]
fn names_are_gone_before_the_exit_is_told() {
    let mut world = World::mesh(2);
    let (target, watcher) = (world.spawn(0), world.spawn(1));
    let monitor = world.monitor(watcher, target);
    for i in 0..3 {
        world.register(target, &format!("name{i}"));
    }
    world.settle();
    world.exit(target);
    world.settle_with(|world| {
        if !world.exits(watcher, monitor).is_empty() {
            assert_eq!(world.engine(1).names().count(), 0);
        }
    });
    assert_eq!(world.exits(watcher, monitor).len(), 1);
}

/// The reasons of PROTOCOL 10, one by one, for a process of a node that goes. Each exactly once.
#[test]
fn the_end_of_a_node_is_the_end_of_its_processes() {
    type Ends = fn(&mut World);
    let ends: [(&str, Ends, Reason); 6] = [
        ("closed in order", |world| world.command(1, Command::Close), Reason::NODE_CLOSED),
        ("the OS process died", |world| world.crash(1), Reason::OS_PROCESS_DIED),
        ("reset", |world| world.cut(0, 1), Reason::OS_PROCESS_DIED),
        ("silent", |world| world.black_hole(0, 1), Reason::NODE_UNREACHABLE),
        ("hung", |world| world.hang(1), Reason::NODE_UNREACHABLE),
        ("disconnected here", |world| world.disconnect(0, 1), Reason::DISCONNECTED),
    ];
    for (what, end, reason) in ends {
        let mut world = World::mesh(2);
        let (watcher, target) = (world.spawn(0), world.spawn(1));
        let monitors = [world.monitor(watcher, target), world.monitor(watcher, target)];
        world.register(target, "x");
        world.settle();
        end(&mut world);
        world.advance(DETECTION);
        assert_eq!(world.whereis(0, "x"), None, "{what}");
        for monitor in monitors {
            assert_eq!(world.exits(watcher, monitor), [reason], "{what}");
        }
        // A new monitor is answered at once.
        let late = world.monitor(watcher, target);
        assert_eq!(world.exits(watcher, late), [Reason::NODE_UNREACHABLE], "{what}");
        world.advance(DETECTION);
        assert_eq!(world.exits(watcher, monitors[0]).len(), 1, "{what}");
    }
}

impl World {
    fn disconnect(&mut self, node: NodeIndex, other: NodeIndex) {
        let caller = self.spawn(node);
        let (node_name, deadline) = (format!("node{other}"), Deadline::FOREVER);
        self.operate(caller, deadline, Action::Disconnect { node_name });
    }
}

/// The node that disconnects others is told the same.
#[test]
fn both_sides_of_a_disconnect_are_told() {
    let mut world = World::mesh(2);
    let pids = [world.spawn(0), world.spawn(1)];
    let monitors = [world.monitor(pids[0], pids[1]), world.monitor(pids[1], pids[0])];
    world.settle();
    world.disconnect(0, 1);
    world.settle();
    for i in 0..2 {
        assert_eq!(world.exits(pids[i], monitors[i]), [Reason::DISCONNECTED]);
    }
}

/// "A pid of an incarnation without a link: NODE_UNREACHABLE; an unknown serial on a linked one: NO_PROCESS."
#[test]
fn a_monitor_of_what_never_was_ends_at_once() {
    let mut world = World::mesh(2);
    let watcher = world.spawn(0);
    for (node, serial, reason) in [
        (NodeId(1), 999, Reason::NO_PROCESS),
        (NodeId(2), 999, Reason::NO_PROCESS),
        (NodeId(99), 1, Reason::NODE_UNREACHABLE),
        (NodeId(0), 0, Reason::NODE_UNREACHABLE),
    ] {
        let monitor = world.monitor(watcher, Pid { node, serial });
        world.settle();
        assert_eq!(world.exits(watcher, monitor), [reason]);
    }
    // One that has ended before.
    let target = world.spawn(1);
    world.exit(target);
    let monitor = world.monitor(watcher, target);
    world.settle();
    assert_eq!(world.exits(watcher, monitor), [Reason::NO_PROCESS]);
}

/// A cancelled monitor is silent, for processes here and elsewhere, also when the exit is on its way already.
#[test]
fn a_cancelled_monitor_is_silent() {
    for node in 0..2 {
        for late in [false, true] {
            let mut world = World::mesh(2);
            let (watcher, target) = (world.spawn(0), world.spawn(node));
            let monitor = world.monitor(watcher, target);
            let other = world.monitor(watcher, target);
            world.settle();
            if late && node == 1 {
                world.exit(target);
                world.cancel(watcher, monitor);
            } else {
                world.cancel(watcher, monitor);
                world.settle();
                world.exit(target);
            }
            world.settle();
            assert_eq!(world.exits(watcher, monitor), []);
            assert_eq!(world.exits(watcher, other).len(), 1);
            assert_eq!(world.outcome(monitor), None, "cancelling a monitor makes no DONE");
        }
    }
}

/// The watcher's end takes its monitors with it, also those on processes elsewhere.
#[test]
fn a_watcher_that_ends_is_told_nothing() {
    let mut world = World::mesh(2);
    let (watcher, near, far) = (world.spawn(0), world.spawn(0), world.spawn(1));
    for target in [near, far, watcher] {
        world.monitor(watcher, target);
    }
    world.call(watcher, |process, reference| Command::MonitorNodes { process, reference });
    world.call(watcher, |process, reference| Command::MonitorName { process, reference, name: name("x") });
    world.settle();
    world.exit(watcher);
    world.settle();
    let before = world.events(watcher).len();
    world.delivered.clear();
    world.exit(near);
    world.exit(far);
    world.settle();
    world.crash(1);
    world.settle();
    assert_eq!(world.events(watcher).len(), before);
    assert!(
        !world.delivered.iter().any(|(_, _, frame)| matches!(frame, Frame::Data(..))),
        "the other node knew that nobody watches"
    );
}

/// A monitor that was set on the link that broke is not told again by the new link.
#[test]
fn a_flap_tells_once() {
    let mut world = World::mesh(2);
    let (watcher, target) = (world.spawn(0), world.spawn(1));
    let monitor = world.monitor(watcher, target);
    world.settle();
    world.cut(0, 1);
    world.link(0, 1);
    world.exit(target);
    world.settle();
    assert_eq!(world.exits(watcher, monitor), [Reason::OS_PROCESS_DIED]);
}

/// A monitor on itself is possible, and dies with the process.
#[test]
fn a_monitor_on_oneself_is_no_harm() {
    let mut world = World::mesh(1);
    let pid = world.spawn(0);
    world.monitor(pid, pid);
    world.exit(pid);
    assert_eq!(world.events(pid), []);
    assert!(world.is_gone(pid));
}

// ---- the exit of a process with things under way

/// "A process's death removes all its names, claims and monitors on every node." Each of its calls is answered.
#[test]
fn everything_under_way_ends_with_its_process() {
    let mut world = World::mesh(3);
    let (pid, far) = (world.spawn(0), world.spawn(1));
    world.register(far, "far");
    world.register(pid, "own");
    world.settle();
    world.hang(1);
    let deadline = Deadline::FOREVER;
    let connect = |process, op| {
        Command::Call(Call { process, op, deadline, what: Action::Connect { address: "elsewhere:1".into() } })
    };
    let is_alive =
        |process, op| Command::Call(Call { process, op, deadline, what: Action::IsAlive { pid: far } });
    let calls = [
        world.register(pid, "acquiring"),
        world.register_as(pid, "forwarded", far, false, deadline),
        world.unregister(pid, "far"),
        world.unregister(pid, "own"),
        world.call(pid, connect),
        world.call(pid, is_alive),
    ];
    world.settle();
    assert_eq!(world.engine(0).pending_operations(), calls.len());
    world.exit(pid);
    assert_eq!(calls.map(|op| world.status(op)), [Some(Status::NoProcess); 6]);
    assert_eq!(world.engine(0).pending_operations(), 0);
    world.wake(1);
    world.settle();
    world.all_show("acquiring", None);
    world.all_show("own", None);
    world.all_show("forwarded", None);
    world.assert_at_rest();
}

/// A process that is no more can do nothing, and every call of it is answered all the same.
#[test]
fn a_process_that_is_gone_can_do_nothing() {
    let mut world = World::mesh(2);
    let (gone, other) = (world.spawn(0), world.spawn(1));
    world.register(other, "taken");
    world.settle();
    world.exit(gone);
    let deadline = Deadline::FOREVER;
    let address = || address(1);
    let calls = [
        world.register(gone, "x"),
        world.register_as(gone, "x", other, false, deadline),
        world.unregister(gone, "taken"),
        world.unregister(gone, "unknown"),
        world.operate(gone, deadline, Action::IsAlive { pid: other }),
        world.operate(gone, deadline, Action::Connect { address: address() }),
        world.operate(gone, deadline, Action::Disconnect { node_name: "node1".into() }),
    ];
    world.monitor(gone, other);
    world.call(gone, |process, reference| Command::MonitorName { process, reference, name: name("taken") });
    world.call(gone, |process, reference| Command::MonitorNodes { process, reference });
    world.cancel(gone, Ref(1));
    world.settle();
    assert_eq!(calls.map(|op| world.status(op)), [Some(Status::NoProcess); 7]);
    assert_eq!(world.events(gone), []);
    world.all_show("taken", Some(other));
    assert!(world.is_linked(0, 1));
    world.assert_at_rest();
}

// ---- monitors of a name

/// "NameChanged at once with the present binding, then at every change."
#[test]
fn a_name_monitor_tells_every_change() {
    let mut world = World::mesh(2);
    let (watcher, a, b) = (world.spawn(0), world.spawn(0), world.spawn(1));
    let monitor = world.call(watcher, |process, reference| Command::MonitorName {
        process,
        reference,
        name: name("x"),
    });
    world.register(a, "x");
    world.settle();
    world.reregister(b, "x");
    world.settle();
    world.register(a, "y");
    world.settle();
    let late = world.call(watcher, |process, reference| Command::MonitorName {
        process,
        reference,
        name: name("x"),
    });
    world.crash(1);
    world.settle();
    let change =
        |reference, old, new| Event::NameChanged { reference, name: name("x"), old, new, changes: 1 };
    assert_eq!(
        world.events(watcher),
        [
            change(monitor, None, None),
            change(monitor, None, Some(a)),
            change(monitor, Some(a), Some(b)),
            change(late, None, Some(b)),
            change(monitor, Some(b), None),
            change(late, Some(b), None),
        ]
    );
    world.cancel(watcher, monitor);
    world.cancel(watcher, late);
    world.register(a, "x");
    assert_eq!(world.events(watcher).len(), 6);
}

// ---- monitors of nodes

/// "NodeUp for every present peer, SnapshotEnd, then every change."
#[test]
fn a_node_monitor_tells_every_peer() {
    let mut world = World::nodes(3);
    world.link(0, 1);
    let watcher = world.spawn(0);
    let monitor = world.call(watcher, |process, reference| Command::MonitorNodes { process, reference });
    world.link(0, 2);
    world.crash(1);
    world.settle();
    world.command(2, Command::Close);
    world.settle();
    let up = |n: usize| Event::NodeUp {
        reference: monitor,
        node: NodeId(n as u64 + 1),
        name: format!("node{n}"),
        address: address(n),
    };
    let down = |n: usize, reason| Event::NodeDown {
        reference: monitor,
        node: NodeId(n as u64 + 1),
        name: format!("node{n}"),
        address: address(n),
        reason,
        changes: 1,
    };
    let end = Event::SnapshotEnd { reference: monitor };
    assert_eq!(
        world.events(watcher),
        [up(1), end, up(2), down(1, Reason::OS_PROCESS_DIED), down(2, Reason::NODE_CLOSED)]
    );
    world.cancel(watcher, monitor);
}

// ---- is_alive

#[test]
fn is_alive_asks_the_home() {
    let mut world = World::mesh(2);
    let caller = world.spawn(0);
    for node in 0..2 {
        let target = world.spawn(node);
        let ask = |world: &mut World, pid| {
            let deadline = Deadline::FOREVER;
            let op = world.operate(caller, deadline, Action::IsAlive { pid });
            world.settle();
            world.outcome(op).expect("an answer")
        };
        assert_eq!(ask(&mut world, target), Outcome::value(1));
        world.exit(target);
        assert_eq!(ask(&mut world, target), Outcome::value(0));
        assert_eq!(ask(&mut world, Pid { serial: 999, ..target }), Outcome::value(0));
    }
    let pid = Pid { node: NodeId(99), serial: 1 };
    let deadline = Deadline::FOREVER;
    let op = world.operate(caller, deadline, Action::IsAlive { pid });
    assert_eq!(world.status(op), Some(Status::Unreachable));
}

/// "Who did it": kills, and names that are taken away, name the peer in the log, and are counted for each peer.
#[test]
fn what_a_peer_does_to_processes_of_this_node_is_told_and_counted() {
    let mut world = World::mesh(2);
    let (victim, killer) = (world.spawn(0), world.spawn(1));
    world.register(victim, "x");
    world.settle();
    let engine = world.nodes[0].engine.as_mut().expect("it runs");
    engine.set_log_level(Some(Level::Info));
    let op = world.unregister(killer, "x");
    assert_eq!(world.done(op), Status::Ok);
    world.kill(killer, victim, Reason::KILLED);
    world.settle();
    // A process that is none is not killed.
    world.kill(killer, victim, Reason::KILLED);
    world.settle();
    let logged = world.nodes[0].seen.iter().filter_map(|output| match output {
        Output::Effect(Effect::Log { topic: Topic::Process, text, .. }) => Some(text.clone()),
        _ => None,
    });
    let log: Vec<String> = logged.collect();
    let by = format!("\"node1\" ({:?})", killer.node);
    let said =
        |words: [&str; 3]| log.iter().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert_eq!(said([&by, "unregisters", "\"x\""]), 1, "{log:?}");
    assert_eq!(said([&by, "is killed by", &format!("{killer:?}")]), 1, "{log:?}");
    let picture = world.engine(0).inspect(world.now);
    let row = &picture.links.rows[0];
    assert_eq!((row.counts.kills, row.counts.unregistered, row.counts.deletes), (1, 1, 0));
    assert!(row.counts.messages > 2);
    // It is still known when the link is over, and goes on when there is one again.
    world.cut(0, 1);
    world.settle();
    let picture = world.engine(0).inspect(world.now);
    assert_eq!((picture.links.rows.len(), picture.past.rows[0].counts.kills), (0, 1));
    world.link(0, 1);
    world.settle();
    let picture = world.engine(0).inspect(world.now);
    let counts = picture.links.rows[0].counts;
    assert_eq!((picture.past.rows.len(), counts.kills, counts.links), (0, 1, 2));
}
