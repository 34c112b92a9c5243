//! Monitors of groups: the present members, the end of that, then every change in order, with its reason.

use crate::harness::{DETECTION, World, name};
use convoke::model::{Action, Call, Command, Deadline, Event, Pid, Reason, Ref};

fn joined(reference: Ref, pid: Pid, old: u64, count: u64) -> Event {
    Event::GroupJoined { reference, group: name("g"), pid, count, old }
}

fn left(reference: Ref, pid: Pid, old: u64, count: u64, reason: Reason) -> Event {
    Event::GroupLeft { reference, group: name("g"), pid, count, old, reason }
}

/// What the watcher was told since it was asked last.
fn news(world: &World, watcher: Pid, told: &mut usize) -> Vec<Event> {
    let events = world.events(watcher);
    let new = events[*told..].to_vec();
    *told = events.len();
    new
}

#[test]
fn the_snapshot_then_every_change() {
    let mut world = World::mesh(2);
    let (a, b, watcher) = (world.spawn(0), world.spawn(1), world.spawn(0));
    let early = world.watch_group(watcher, "g");
    let mut told = 0;
    assert_eq!(news(&world, watcher, &mut told), [Event::SnapshotEnd { reference: early }]);
    world.make_group("g", &[a, b, b]);
    let joins = |r| [joined(r, a, 0, 1), joined(r, b, 0, 1), joined(r, b, 1, 2)];
    assert_eq!(news(&world, watcher, &mut told), joins(early));
    let late = world.watch_group(watcher, "g");
    let end = Event::SnapshotEnd { reference: late };
    assert_eq!(news(&world, watcher, &mut told), [joined(late, a, 0, 1), joined(late, b, 0, 2), end]);
    world.cancel(watcher, early);
    let op = world.leave(a, "g", b);
    world.done(op);
    world.create(b, "g");
    world.settle();
    assert_eq!(news(&world, watcher, &mut told), [left(late, b, 2, 1, Reason::NORMAL)]);
    world.exit(b);
    world.settle();
    assert_eq!(news(&world, watcher, &mut told), [left(late, b, 1, 0, Reason::EXPLICIT)]);
    let op = world.delete(a, "g");
    world.done(op);
    assert_eq!(news(&world, watcher, &mut told), [left(late, a, 1, 0, Reason::GROUP_DELETED)]);
    // It goes on with a group of this name that is made later.
    world.make_group("g", &[a]);
    assert_eq!(news(&world, watcher, &mut told), [joined(late, a, 0, 1)]);
    world.cancel(watcher, late);
    world.exit(a);
    world.settle();
    assert_eq!(news(&world, watcher, &mut told), []);
}

/// The reason of a member that goes with others, on its own node and on another.
#[test]
fn reasons_are_the_same_everywhere() {
    let mut world = World::mesh(3);
    let pids = [world.spawn(0), world.spawn(1), world.spawn(1), world.spawn(1)];
    let watchers = [world.spawn(0), world.spawn(1)];
    world.make_group("g", &pids);
    let references = watchers.map(|watcher| world.watch_group(watcher, "g"));
    let mut told = watchers.map(|watcher| world.events(watcher).len());
    let op = world.leave(pids[0], "g", pids[1]);
    world.done(op);
    let (process, target) = (pids[0].serial, pids[2]);
    world.command(0, Command::Kill { process, target, reason: Reason::KILLED });
    world.settle();
    let op = world.delete(pids[3], "g");
    world.done(op);
    for at in 0..2 {
        let r = references[at];
        let mut all = news(&world, watchers[at], &mut told[at]);
        let mut deleted = all.split_off(2);
        assert_eq!(all, [left(r, pids[1], 1, 0, Reason::NORMAL), left(r, pids[2], 1, 0, Reason::KILLED)]);
        deleted.sort_by_key(|event| matches!(event, Event::GroupLeft { pid, .. } if *pid == pids[3]));
        let expected = [pids[0], pids[3]].map(|pid| left(r, pid, 1, 0, Reason::GROUP_DELETED));
        assert_eq!(deleted, expected);
    }
}

/// A link that is lost takes the members there along, for its own reason; with it they come back.
#[test]
fn the_reason_of_a_link() {
    type End = fn(&mut World);
    let ends: [(End, Reason); 4] = [
        (|world| world.cut(0, 1), Reason::OS_PROCESS_DIED),
        (|world| world.command(1, Command::Close), Reason::NODE_CLOSED),
        (
            |world| {
                world.black_hole(0, 1);
                world.advance(2 * DETECTION);
            },
            Reason::NODE_UNREACHABLE,
        ),
        (
            |world| {
                let (process, op, deadline) = (1, Ref(9999), Deadline::FOREVER);
                let node_name = "node1".to_owned();
                world.command(
                    0,
                    Command::Call(Call { process, op, deadline, what: Action::Disconnect { node_name } }),
                );
            },
            Reason::DISCONNECTED,
        ),
    ];
    for (end, reason) in ends {
        let mut world = World::mesh(2);
        let (a, b) = (world.spawn(0), world.spawn(1));
        world.make_group("g", &[a, b, b]);
        let r = world.watch_group(a, "g");
        let mut told = world.events(a).len();
        end(&mut world);
        world.settle();
        assert_eq!(news(&world, a, &mut told), [left(r, b, 2, 0, reason)]);
        if reason != Reason::NODE_CLOSED {
            world.join_up(&[0, 1]);
            assert_eq!(news(&world, a, &mut told), [joined(r, b, 0, 2)], "{reason:?}");
        }
    }
}

/// A watcher that ends, and one whose monitor is cancelled, leave nothing behind and are told nothing.
#[test]
fn watchers_end() {
    let mut world = World::mesh(1);
    let (a, watcher) = (world.spawn(0), world.spawn(0));
    world.make_group("g", &[a]);
    world.watch_group(watcher, "g");
    world.exit(watcher);
    let told = world.events(watcher).len();
    world.exit(a);
    assert_eq!(world.events(watcher).len(), told);
    world.watch_group(watcher, "g");
    assert_eq!(world.events(watcher).len(), told, "of a process that is gone");
    assert!(!world.engine(0).describe().contains("watchers: {Name"), "{}", world.engine(0).describe());
}

/// A member that watches its own group sees itself go when the group is deleted, not when it exits.
#[test]
fn a_member_may_watch() {
    let mut world = World::mesh(1);
    let a = world.spawn(0);
    let r = world.watch_group(a, "g");
    world.make_group("g", &[a]);
    world.delete(a, "g");
    let end = Event::SnapshotEnd { reference: r };
    assert_eq!(world.events(a), [end, joined(r, a, 0, 1), left(r, a, 1, 0, Reason::GROUP_DELETED)]);
}
