//! Names: what register, re-register and unregister do when nothing is in their way, and what readers see meanwhile.

use crate::asks::every_order;
use crate::harness::{DETECTION, World, config, ms, name};
use convoke::engine::{Message, SNAPSHOT_ROWS};
use convoke::model::{Action, Config, Deadline, Limits, Name, NodeId, Pid, Ref, Resolver, Status};

/// "Register: all granted -> the home publishes the binding (commit) and waits for the acknowledgement of every node it
/// has a link to: 2 round trips"; 4 messages for each other node.
#[test]
fn a_registration_costs_two_round_trips() {
    for count in 1..=3 {
        let mut world = World::mesh(count);
        let pid = world.spawn(0);
        world.delivered.clear();
        let op = world.register(pid, "x");
        let mut trips = 0;
        while world.status(op).is_none() {
            // One message to and one from every other node.
            for node in 1..count {
                assert!(world.step(0, node).is_some() && world.step(node, 0).is_some());
            }
            trips += 1;
        }
        assert_eq!(trips, if count == 1 { 0 } else { 2 }, "round trips with {count} nodes");
        world.settle();
        assert_eq!(world.delivered.len(), 4 * (count - 1), "messages with {count} nodes");
        assert_eq!(world.status(op), Some(Status::Ok));
        world.all_show("x", Some(pid));
        world.assert_at_rest();
    }
}

/// Promise 1: "register returns OK only after every linked node shows the binding".
#[test]
fn ok_comes_when_all_nodes_show_it() {
    let start = || {
        let mut world = World::mesh(3);
        let pid = world.spawn(1);
        let op = world.register(pid, "x");
        (world, (pid, op))
    };
    let look = |world: &World, (pid, op): &(Pid, Ref)| {
        if world.status(*op).is_some() {
            world.all_show("x", Some(*pid));
        }
    };
    let orders = every_order(20, start, look, |world, (_, op)| {
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest();
    });
    // Two chains of two arrivals for the votes, then two for the acknowledgements.
    assert_eq!(orders, 36);
}

/// "!replace & my own table shows name: E_EXISTS, nothing sent".
#[test]
fn a_name_in_the_own_table_is_refused_without_a_message() {
    let mut world = World::mesh(2);
    let (own, foreign) = (world.spawn(0), world.spawn(1));
    world.register(own, "own");
    world.register(foreign, "foreign");
    world.settle();
    for taken in ["own", "foreign"] {
        let op = world.register(own, taken);
        // Also for the very process that holds it.
        assert_eq!(world.status(op), Some(Status::Exists), "{taken}");
        assert_eq!(world.in_flight(), []);
    }
    world.assert_at_rest();
}

/// Any bytes are a name, up to the limit; none is no name.
#[test]
fn names_are_any_bytes_up_to_the_limit() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    let limit = Limits::default().name;
    for (bytes, status) in [
        (vec![], Status::Invalid),
        (vec![0], Status::Ok),
        (vec![0xff; limit], Status::Ok),
        (vec![b'a'; limit + 1], Status::TooBig),
    ] {
        for replace in [false, true] {
            if replace && status == Status::Ok {
                continue;
            }
            let name = Name::new(&bytes);
            let op = world.operate(
                pid,
                Deadline::FOREVER,
                Action::Register { name, pid, resolver: Resolver::RandomExit, replace },
            );
            world.settle();
            assert_eq!(world.status(op), Some(status), "{} bytes", bytes.len());
            let shown = (status == Status::Ok).then_some(pid);
            assert_eq!(world.engine(1).whereis(&bytes), shown);
        }
    }
    let (name, deadline) = (Name::new(&[]), Deadline::FOREVER);
    let op = world.operate(pid, deadline, Action::Unregister { name });
    assert_eq!(world.status(op), Some(Status::Invalid));
    world.assert_at_rest();
}

/// "a dead local process is never returned"; a process that does not exist gets no name.
#[test]
fn a_process_that_is_gone_gets_no_name() {
    let mut world = World::mesh(2);
    let (pid, caller) = (world.spawn(0), world.spawn(0));
    world.exit(pid);
    for caller in [pid, caller] {
        for replace in [false, true] {
            let op = world.register_as(caller, "x", pid, replace, Deadline::FOREVER);
            world.settle();
            assert_eq!(world.status(op), Some(Status::NoProcess));
        }
    }
    world.all_show("x", None);
    world.assert_at_rest();
}

/// "Different names in parallel": each key is claimed by itself.
#[test]
fn different_names_do_not_wait_for_each_other() {
    let mut world = World::mesh(3);
    let (pids, mut ops) = ([world.spawn(0), world.spawn(1), world.spawn(2)], Vec::new());
    world.delivered.clear();
    for i in 0..30 {
        let op = world.register(pids[i % 3], &format!("name{i}"));
        ops.push((op, format!("name{i}"), pids[i % 3]));
    }
    world.settle();
    assert_eq!(world.delivered.len(), 30 * 8, "none of them was wounded or told to wait");
    for (op, name, pid) in ops {
        assert_eq!(world.status(op), Some(Status::Ok));
        world.all_show(&name, Some(pid));
    }
    world.assert_at_rest();
}

fn one_name_each() -> (World, Pid) {
    let mut world = World::empty();
    for index in 0..2 {
        world.add(Config { one_name_per_pid: true, ..config(index) });
    }
    world.link(0, 1);
    let pid = world.spawn(0);
    (world, pid)
}

/// D3: "allowed by default; node option names.per_pid = many | one".
#[test]
fn one_name_per_pid_if_so_configured() {
    let (mut world, pid) = one_name_each();
    world.register(pid, "first");
    world.settle();
    // From the pid's own node and from another, plain and replacing.
    let caller = world.spawn(1);
    for (caller, replace) in [(pid, false), (pid, true), (caller, false), (caller, true)] {
        let op = world.register_as(caller, "second", pid, replace, Deadline::FOREVER);
        world.settle();
        assert_eq!(world.status(op), Some(Status::Exists));
    }
    // The name that it has may be registered anew, and once it is gone another may come.
    let again = world.reregister(pid, "first");
    world.settle();
    assert_eq!(world.status(again), Some(Status::Ok));
    world.unregister(pid, "first");
    world.settle();
    let second = world.register(pid, "second");
    world.settle();
    assert_eq!(world.status(second), Some(Status::Ok));

    // Two at once: only one of them.
    let (mut world, pid) = one_name_each();
    let ops = [world.register(pid, "a"), world.register(pid, "b")];
    world.settle();
    let mut statuses = ops.map(|op| world.status(op).expect("an answer"));
    statuses.sort_unstable();
    assert_eq!(statuses, [Status::Exists, Status::Ok]);
    assert_eq!(world.engine(1).names().count(), 1);
    world.assert_at_rest();
}

/// A pid may have several names; the death of the process removes them all, on every node.
#[test]
fn many_names_of_one_pid_go_with_it() {
    let mut world = World::mesh(3);
    let pid = world.spawn(0);
    for i in 0..5 {
        world.register(pid, &format!("name{i}"));
    }
    world.settle();
    assert_eq!(world.engine(2).names().count(), 5);
    world.exit(pid);
    world.settle();
    for node in 0..3 {
        assert_eq!(world.engine(node).names().count(), 0);
    }
    world.assert_at_rest();
}

// ---- unregister

/// "unregister_name: unknown name -> ok without any lock or message."
#[test]
fn unregister_of_an_unknown_name_is_ok_at_once() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    let op = world.unregister(pid, "x");
    assert_eq!(world.status(op), Some(Status::Ok));
    assert_eq!(world.in_flight(), []);
    world.assert_at_rest();
}

/// "Unregister: the home withdraws and waits for all." "No permission check. Pid is not told."
#[test]
fn unregister_by_anybody_removes_it_everywhere_before_ok() {
    for caller in 0..3 {
        let mut world = World::mesh(3);
        let (pid, caller) = (world.spawn(0), world.spawn(caller));
        world.register(pid, "x");
        world.settle();
        let op = world.unregister(caller, "x");
        world.settle_with(|world| {
            if world.status(op).is_some() {
                world.all_show("x", None);
            }
        });
        assert_eq!(world.status(op), Some(Status::Ok));
        world.all_show("x", None);
        assert_eq!(world.events(pid), []);
        assert!(!world.is_gone(pid));
        // The name is free, for the same process too.
        let op = world.register(pid, "x");
        world.settle();
        assert_eq!(world.status(op), Some(Status::Ok));
        world.assert_at_rest();
    }
}

/// "At its deadline: unregister [is] not undone: E_TIMEOUT says done here, on its way to the rest."
#[test]
fn unregister_at_its_deadline_is_not_undone() {
    let mut world = World::mesh(2);
    let pid = world.spawn(0);
    world.register(pid, "x");
    world.settle();
    world.hang(1);
    let deadline = world.within(100);
    let op = world.operate(pid, deadline, Action::Unregister { name: name("x") });
    world.advance(ms(99));
    assert_eq!(world.status(op), None);
    world.advance(ms(1));
    assert_eq!(world.status(op), Some(Status::Timeout));
    assert_eq!(world.whereis(0, "x"), None);
    world.wake(1);
    world.settle();
    world.all_show("x", None);
    world.assert_at_rest();
}

/// During a clash every binding goes: "to the homes of all bindings shown".
#[test]
fn unregister_during_a_clash_removes_both() {
    // The homes are linked to the third node only, so the clash stays for a while.
    let mut world = World::nodes(3);
    let (a, b, caller) = (world.spawn(0), world.spawn(1), world.spawn(2));
    world.register(a, "x");
    world.register(b, "x");
    world.link(0, 2);
    world.link(1, 2);
    let op = world.unregister(caller, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show("x", None);
    assert!(!world.is_gone(a) && !world.is_gone(b));
    world.assert_at_rest();
}

/// While its registration is being acknowledged a name can be unregistered; nothing of it comes back.
#[test]
fn unregister_meets_a_registration_under_way() {
    for replaced in [false, true] {
        let (mut world, old) = one_name_each();
        let pid = world.spawn(0);
        if replaced {
            world.register(old, "x");
            world.settle();
        }
        let deadline = world.within(1000);
        let register = world.register_as(pid, "x", pid, true, deadline);
        world.until(0, 1, |m| matches!(m, Message::Acquire { .. }));
        world.until(1, 0, |m| matches!(m, Message::Grant { .. }));
        world.all_show_at(0, "x", Some(pid));
        world.hang(1);
        let unregister = world.unregister(pid, "x");
        world.advance(ms(1000));
        assert_eq!(world.status(register), Some(Status::Timeout));
        assert_eq!(world.whereis(0, "x"), None);
        world.wake(1);
        world.settle();
        assert_eq!(world.status(unregister), Some(Status::Ok));
        world.all_show("x", None);
        for pid in [old, pid] {
            let free = world.register(pid, &format!("of {pid:?}"));
            world.settle();
            assert_eq!(world.status(free), Some(Status::Ok), "a name that is gone stands in the way");
        }
        world.assert_at_rest();
    }
}

// ---- the home of the name is lost

/// "Everything of an owner is dropped on link down", and the name is free for the others.
#[test]
fn names_of_a_lost_node_are_free() {
    let mut world = World::mesh(3);
    let (pid, heir) = (world.spawn(0), world.spawn(1));
    world.register(pid, "x");
    world.settle();
    world.crash(0);
    world.settle();
    world.all_show("x", None);
    let op = world.register(heir, "x");
    world.settle();
    assert_eq!(world.status(op), Some(Status::Ok));
    world.all_show("x", Some(heir));
    world.assert_at_rest();
}

/// "A new link starts with a snapshot of the owner's facts": more than one part of it, and readers see every name.
#[test]
fn a_newcomer_gets_every_name() {
    let count = SNAPSHOT_ROWS * 2 + 1;
    let mut world = World::nodes(2);
    let pids = [world.spawn(0), world.spawn(1)];
    for i in 0..count {
        world.register(pids[0], &format!("name{i}"));
    }
    world.register(pids[1], "other");
    world.connect(0, 1);
    // Synced with the last part, not before.
    for _ in 0..3 {
        assert_eq!(world.engine(1).links().find(|(_, synced)| *synced), None);
        world.until(0, 1, |m| matches!(m, Message::Hello { .. }));
    }
    assert_eq!(world.engine(1).links().collect::<Vec<_>>(), [(NodeId(1), true)]);
    world.settle();
    for node in 0..2 {
        assert_eq!(world.engine(node).names().count(), count + 1);
    }
    world.assert_at_rest();
}

/// "Two runs with one seed are byte-identical": the same inputs give the same messages in the same order.
#[test]
fn two_runs_are_alike() {
    let run = || {
        let mut world = World::nodes(3);
        let pids = [world.spawn(0), world.spawn(1), world.spawn(2)];
        for i in 0..50 {
            for pid in pids {
                world.register(pid, &format!("name{}", i % (20 + pid.node.0 * 7)));
            }
        }
        world.link(0, 1);
        world.link(1, 2);
        world.advance(DETECTION);
        world.link(0, 2);
        world.cut(0, 1);
        world.advance(DETECTION);
        let names: Vec<_> = world.engine(2).names().map(|(name, pid)| (name.clone(), pid)).collect();
        (format!("{:?}", world.delivered), names, world.dials(0), world.picture())
    };
    let (first, second) = (run(), run());
    assert!(first == second, "two runs differ");
}
