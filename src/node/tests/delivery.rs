use super::*;
use crate::flow::{INITIAL_CREDIT, Window, cost};
use crate::model::{
    Command, ConnectionId, Effect, Event as Told, Members, Name, NodeId, Outcome, Payload, Pid, Reason, Ref,
};
use crate::node::{EventKind, Field, Reply, Request, Waiter, operation_of};

const PEER: NodeId = NodeId(2);

fn far(serial: u64) -> Pid {
    Pid { node: PEER, serial }
}

fn deliver(delivery: &mut Delivery, to: &Process, payload: &str) {
    let window = Window { from: PEER, link: 1, to: to.pid().serial };
    let payload = Payload::new(payload.as_bytes());
    delivery.apply(Effect::Deliver { to: to.pid().serial, from: far(1), payload, window });
}

fn exit_of(reference: Ref, pid: Pid) -> Told {
    Told::Exit { reference, pid, reason: Reason::KILLED, data: Payload::default(), by: Some(far(1)) }
}

fn notify(delivery: &mut Delivery, to: &Process, event: Told) {
    delivery.apply(Effect::Notify { process: to.pid().serial, event });
}

/// Messages and bytes reported as taken; the rest of the inbox is passed over.
fn reported(node: &Node) -> (u64, u64) {
    let mut requests = Vec::new();
    node.shared().inbox.drain(&mut requests);
    requests.iter().fold((0, 0), |sum, request| match request {
        Request::Taken { messages, bytes, .. } => (sum.0 + messages, sum.1 + bytes),
        _ => sum,
    })
}

fn commands(node: &Node) -> Vec<(Command, Option<Reply>)> {
    let mut requests = Vec::new();
    node.shared().inbox.drain(&mut requests);
    let command = |request| match request {
        Request::Command { command, reply } => Some((command, reply)),
        _ => None,
    };
    requests.into_iter().filter_map(command).collect()
}

#[test]
fn what_is_taken_of_a_window_is_reported() {
    let (node, mut delivery) = by_hand();
    let process = Process::spawn(&node, None).unwrap();
    let many = INITIAL_CREDIT.messages / 2;
    for _ in 0..many {
        deliver(&mut delivery, &process, "ab");
    }
    assert_eq!(reported(&node), (0, 0));
    for _ in 0..INITIAL_CREDIT.messages / 8 - 1 {
        assert_eq!(text(&process.recv(0).unwrap()), "ab");
    }
    assert_eq!(reported(&node), (0, 0));
    process.recv(0).unwrap();
    let eighth = INITIAL_CREDIT.messages / 8;
    assert_eq!(reported(&node), (eighth, eighth * cost(2)));
    for _ in eighth..many {
        process.recv(0).unwrap();
    }
    assert_eq!(reported(&node).0, many - eighth, "all, for nothing waits any more");
    assert_eq!(node.stats().messages_received, many);
}

#[test]
fn room_comes_back_when_the_receiver_dies_or_is_dead() {
    let (node, mut delivery) = by_hand();
    let (queue, process, _sender) = on_queue(&node);
    let other = Process::spawn(&node, Some(&queue)).unwrap();
    for _ in 0..3 {
        deliver(&mut delivery, &process, "x");
        deliver(&mut delivery, &other, "y");
    }
    process.exit(Reason::EXPLICIT, b"").unwrap();
    assert_eq!(reported(&node), (3, 3 * cost(1)));
    assert_eq!(node.stats().queue_depth, 3);
    deliver(&mut delivery, &process, "late");
    assert_eq!(reported(&node), (1, cost(4)));
    queue.close();
    assert_eq!(reported(&node), (3, 3 * cost(1)));
    deliver(&mut delivery, &other, "nobody reads");
    assert_eq!(reported(&node).0, 1);
    assert_eq!(node.stats().dropped, 8);
    assert_eq!(node.stats().queue_depth, 0);
}

#[test]
fn a_killed_process_gets_its_own_exit_last() {
    let (node, mut delivery) = by_hand();
    let killed = Process::spawn(&node, None).unwrap();
    let sender = Process::spawn(&node, None).unwrap();
    let monitor = killed.monitor(far(9)).unwrap();
    notify(&mut delivery, &killed, exit_of(monitor, far(9)));
    sender.send(killed.pid(), b"unread").unwrap();
    notify(&mut delivery, &killed, exit_of(Ref(0), killed.pid()));
    assert_eq!(status(sender.send(killed.pid(), b"late")), Status::NoProcess);
    assert_eq!(status(killed.send(sender.pid(), b"")), Status::NoProcess);
    delivery.apply(Effect::ProcessGone { process: killed.pid().serial });
    let first = killed.recv(-1).unwrap();
    assert_eq!((first.kind(), first.reference()), (EventKind::Exit, monitor));
    let last = killed.recv(-1).unwrap();
    assert_eq!((last.kind(), last.peer(), last.reference()), (EventKind::Exit, Some(killed.pid()), Ref(0)));
    assert_eq!(last.pid(Field::KilledBy), Some(far(1)));
    assert_eq!(status(killed.recv(-1)), Status::NoProcess);
    killed.free();
    assert_eq!(status(killed.recv(-1)), Status::NoProcess);
}

#[test]
fn nothing_of_a_cancelled_monitor_comes_any_more() {
    let (node, mut delivery) = by_hand();
    let process = Process::spawn(&node, None).unwrap();
    let (name, nodes, exit) = (
        process.name_monitor(b"n").unwrap(),
        process.node_monitor().unwrap(),
        process.monitor(far(1)).unwrap(),
    );
    let changed =
        |reference| Told::NameChanged { reference, name: Name::new(b"n"), old: None, new: None, changes: 1 };
    notify(&mut delivery, &process, changed(name));
    notify(&mut delivery, &process, Told::SnapshotEnd { reference: nodes });
    for reference in [name, nodes, exit] {
        process.cancel(reference).unwrap();
    }
    assert_eq!(status(process.cancel(Ref(0))), Status::Invalid);
    notify(&mut delivery, &process, changed(name));
    notify(&mut delivery, &process, Told::SnapshotEnd { reference: nodes });
    notify(&mut delivery, &process, exit_of(exit, far(1)));
    assert_eq!(process.recv(0).unwrap().kind(), EventKind::NameChanged);
    assert_eq!(process.recv(0).unwrap().kind(), EventKind::SnapshotEnd);
    assert_eq!(status(process.recv(0)), Status::Timeout);
}

#[test]
fn monitors_and_unread_answers_are_bounded() {
    let (node, mut delivery) = by_hand_with(&[("limits.operations", "2")]);
    let process = Process::spawn(&node, None).unwrap();
    let monitor = process.monitor(far(1)).unwrap();
    let done = process.unregister(b"n", -1, Completion::Event).unwrap();
    assert_eq!(status(process.unregister(b"n", -1, Completion::Event)), Status::Full);
    assert_eq!(status(process.node_monitor()), Status::Full);
    for (command, reply) in commands(&node) {
        if let (Some(op), Some(reply)) = (operation_of(&command), reply) {
            delivery.expect(op, reply);
        }
    }
    let outcome = Outcome::failed(Status::Unreachable, "a\0b");
    delivery.apply(Effect::Answer { process: process.pid().serial, op: done.op, outcome });
    notify(&mut delivery, &process, exit_of(monitor, far(1)));
    assert_eq!(status(process.name_monitor(b"n")), Status::Full, "both are unread");
    let event = process.recv(0).unwrap();
    assert_eq!((event.kind(), event.reference()), (EventKind::Done, done.op));
    assert_eq!(event.result(), Some((Status::Unreachable, c"a\\u{0}b")));
    let name = process.name_monitor(b"n").unwrap();
    assert_eq!(process.recv(0).unwrap().kind(), EventKind::Exit);
    process.monitor(far(1)).unwrap();
    process.cancel(name).unwrap();
    assert_eq!(status(process.monitor(far(1))), Status::Full, "the engine has not heard of it");
    let is_place = |(_, reply): &(Command, Option<Reply>)| matches!(reply, Some(Reply::Place));
    let places = commands(&node).iter().filter(|command| is_place(command)).count();
    node.shared().release_operations(places as u64);
    process.monitor(far(1)).unwrap();
    assert_eq!(status(process.monitor(far(1))), Status::Full);
    process.exit(Reason::NORMAL, b"").unwrap();
    delivery.apply(Effect::ProcessGone { process: process.pid().serial });
    let next = Process::spawn(&node, None).unwrap();
    next.monitor(far(1)).unwrap();
    next.monitor(far(1)).unwrap();
    assert_eq!(status(next.monitor(far(1))), Status::Full);
}

/// Calls that never wait, made faster than the node's thread works, or while it does not: each kind ends with E_FULL, and goes on
/// when the thread has done its part. What must not fail never does.
#[test]
fn calls_that_nobody_waits_for_cannot_run_ahead_without_bound() {
    const AHEAD: usize = 256;
    let (node, mut delivery) = by_hand_with(&[("limits.operations", "2048")]);
    let process = Process::spawn(&node, None).unwrap();
    let flood = |call: &dyn Fn() -> Status| {
        let done = (0..10 * AHEAD).take_while(|_| call() == Status::Ok).count();
        assert_eq!(call(), Status::Full);
        done
    };
    commands(&node);
    assert_eq!(flood(&|| status(process.kill(far(1), Reason::KILLED))), AHEAD);
    assert_eq!(status(process.name_monitor(b"n")), Status::Full);
    assert_eq!(status(Process::spawn(&node, None)), Status::Full);
    assert_eq!(commands(&node).len(), AHEAD);
    // Monitors and their ends.
    let flip = || {
        let monitor = process.monitor(far(1));
        status(monitor.and_then(|monitor| process.cancel(monitor)))
    };
    let flipped = flood(&flip);
    assert!(flipped <= AHEAD, "{flipped}");
    let places = commands(&node).iter().filter(|(_, reply)| matches!(reply, Some(Reply::Place))).count();
    assert_eq!(places, flipped);
    node.shared().release_operations(places as u64);
    flip();
    // What has ended, or never was, is no news.
    commands(&node);
    for reference in [1, 2, 1 << 40] {
        process.cancel(Ref(reference)).unwrap();
    }
    let op = process.unregister(b"n", -1, Completion::Event).unwrap().op;
    for _ in 0..AHEAD {
        process.cancel(op).unwrap();
    }
    assert_eq!(commands(&node).len(), 2, "one operation and its end");
    // Processes that end at once: their ends are never refused, so their beginnings are.
    let mut spawned = Vec::new();
    loop {
        match Process::spawn(&node, None) {
            Ok(process) => {
                process.free();
                spawned.push(process.pid().serial);
            }
            Err(error) => break assert_eq!(error.status, Status::Full),
        }
        // The thread takes what there is, and does not get to its end.
        commands(&node);
    }
    assert_eq!(spawned.len(), AHEAD);
    for process in spawned {
        delivery.apply(Effect::ProcessGone { process });
    }
    Process::spawn(&node, None).unwrap();
}

#[test]
fn names_are_published_and_the_dead_of_this_node_are_not_shown() {
    let (node, mut delivery) = by_hand();
    let process = Process::spawn(&node, None).unwrap();
    let mut publish = |name: &str, pid| {
        delivery.apply(Effect::PublishName { name: Name::new(name.as_bytes()), pid });
    };
    publish("b/far", Some(far(1)));
    publish("a/here", Some(process.pid()));
    publish("b/gone", Some(far(2)));
    publish("b/gone", None);
    publish("b/never", Some(Pid { node: node.id(), serial: 999 }));
    assert_eq!(node.whereis(b"a/here").unwrap(), process.pid());
    assert_eq!(status(node.whereis(b"b/gone")), Status::NotFound);
    let all = node.names(b"").unwrap();
    assert_eq!((all.len(), all.name(0), all.name(1)), (2, Some(&b"a/here"[..]), Some(&b"b/far"[..])));
    assert_eq!(all.pid(1), Some(far(1)));
    assert_eq!(all.pids().unwrap()[1], far(1));
    assert_eq!((all.pid(2), all.name(2), all.u64(0, Field::Node)), (None, None, None));
    assert_eq!(node.names(b"b/").unwrap().len(), 1);
    process.exit(Reason::NORMAL, b"").unwrap();
    assert_eq!(status(node.whereis(b"a/here")), Status::NotFound);
    assert_eq!(node.names(b"a").unwrap().len(), 0);
}

#[test]
fn names_and_groups_are_read_when_thread_locals_are_gone() {
    struct Late(Node);
    impl Drop for Late {
        fn drop(&mut self) {
            // Runs after the thread-locals that were made later than this one, those of the library among them.
            assert_eq!(self.0.whereis(b"n").unwrap(), far(1));
            assert_eq!(self.0.names(b"").unwrap().len(), 1);
            assert_eq!(status(self.0.whereis(b"m")), Status::NotFound);
            assert_eq!(self.0.members(b"g").unwrap().len(), 1);
            assert_eq!(self.0.closest(b"g").unwrap(), far(1));
            assert_eq!(self.0.groups().unwrap().len(), 1);
        }
    }
    thread_local! { static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) }; }
    let (node, mut delivery) = by_hand();
    delivery.apply(Effect::PublishName { name: Name::new(b"n"), pid: Some(far(1)) });
    let members = Members::new(Vec::new(), vec![far(1)]);
    delivery.apply(Effect::PublishGroups { groups: vec![(Name::new(b"g"), Some(members))] });
    std::thread::spawn(move || {
        LATE.set(Some(Late(node.clone())));
        assert!(node.whereis(b"n").is_ok());
    })
    .join()
    .unwrap();
}

#[test]
fn peers_are_listed_and_senders_reach_them_while_the_link_is_up() {
    let (node, mut delivery) = by_hand();
    let process = Process::spawn(&node, None).unwrap();
    let mut peer = |connection| {
        let (name, address) = ("peer".to_owned(), "127.0.0.1:9".to_owned());
        delivery.apply(Effect::PublishPeer { node: PEER, name, address, connection, message_limit: 1 << 20 });
    };
    assert_eq!(status(process.send(far(1), b"x")), Status::Unreachable);
    assert_eq!(status(node.node_of(far(1))), Status::NotFound);
    peer(Some(ConnectionId(1)));
    process.send(far(1), b"x").unwrap();
    assert_eq!(node.node_of(far(1)).unwrap(), "peer");
    assert_eq!(node.node_of(process.pid()).unwrap(), node.name());
    let list = node.peers().unwrap();
    assert_eq!((list.len(), list.name(0), list.u64(0, Field::Node)), (1, Some(&b"peer"[..]), Some(PEER.0)));
    assert_eq!((list.bytes(0, Field::Address), list.pids()), (Some(&b"127.0.0.1:9"[..]), None));
    assert_eq!(node.stats().peers, 1);
    let old = node.shared().links.get(PEER).unwrap();
    peer(Some(ConnectionId(2)));
    assert_eq!(node.shared().links.get(PEER).unwrap().connection, ConnectionId(2));
    assert_eq!(old.send(&node.shared().inbox, 1, 1, b"x"), Err(Status::Unreachable));
    process.send(far(1), b"x").unwrap();
    peer(None);
    assert_eq!(status(process.send(far(1), b"x")), Status::Unreachable);
    assert_eq!(node.peers().unwrap().len(), 0);
}

#[test]
fn everybody_who_waits_is_answered_when_the_node_fails() {
    let (node, mut delivery) = by_hand();
    let process = Process::spawn(&node, None).unwrap();
    let waiter = Arc::new(Waiter::default());
    delivery.expect(Ref(77), Reply::Wait(waiter.clone()));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(process.unregister(b"n", -1, Completion::Wait)));
        let reading = scope.spawn(|| process.recv(-1).unwrap().reason());
        let done = process.unregister(b"n", -1, Completion::Event).unwrap();
        assert_ne!(done.op, Ref(0));
        while node.shared().inbox.len() < 3 {
            std::thread::yield_now();
        }
        delivery.fail_all(Status::Internal);
        assert_eq!(waiting.join().unwrap(), Status::Internal);
        assert_eq!(reading.join().unwrap(), Reason::NORMAL, "the DONE event");
        assert_eq!(process.recv(-1).unwrap().reason(), Reason::INTERNAL_ERROR);
    });
    assert_eq!(waiter.wait(None, || None).unwrap().status, Status::Internal);
    assert_eq!(status(process.recv(-1)), Status::Closed);
    assert_eq!(status(process.unregister(b"n", -1, Completion::Wait)), Status::Closed);
    assert_eq!(status(node.whereis(b"n")), Status::Closed);
    delivery.fail_all(Status::Closed);
    node.shared().finished();
    node.close(-1).unwrap();
}
