//! Processes on one node with its engine.

use super::*;
use crate::flow::MAX_WINDOW;
use crate::model::{Pid, Reason, Ref};
use crate::node::{EventKind, Field};

fn open(options: &[(&str, &str)]) -> Node {
    Node::open(&options_of(options)).unwrap()
}

#[test]
fn messages_arrive_in_order_with_their_sender() {
    let node = open(&[]);
    let (a, b) = (Process::spawn(&node, None).unwrap(), Process::spawn(&node, None).unwrap());
    for n in 0..100 {
        a.send(b.pid(), n.to_string().as_bytes()).unwrap();
    }
    b.send(b.pid(), b"").unwrap();
    for n in 0..100 {
        let event = b.recv(0).unwrap();
        assert_eq!(
            (event.kind(), event.peer(), event.process()),
            (EventKind::Message, Some(a.pid()), Some(b.pid()))
        );
        assert_eq!(text(&event), n.to_string());
    }
    assert_eq!(b.recv(0).unwrap().peer(), Some(b.pid()));
    assert_eq!(status(a.send(Pid { node: node.id(), serial: 99 }, b"")), Status::NoProcess);
    assert_eq!(status(a.send(Pid { serial: 0, ..b.pid() }, b"")), Status::NoProcess);
    let none = Pid { node: crate::model::NodeId(0), serial: 0 };
    assert_eq!(status(a.send(none, b"")), Status::Invalid);
    assert_eq!(status(a.monitor(none)), Status::Invalid);
    let stats = node.stats();
    assert_eq!((stats.messages_sent, stats.messages_received, stats.queue_depth), (101, 101, 0));
}

#[test]
fn a_full_receiver_refuses_and_tells_each_sender_once() {
    let node = open(&[("limits.message", "4194304")]);
    let receiver = Process::spawn(&node, None).unwrap();
    let senders = [Process::spawn(&node, None).unwrap(), Process::spawn(&node, None).unwrap()];
    for _ in 0..MAX_WINDOW.messages {
        senders[0].send(receiver.pid(), b"").unwrap();
    }
    for sender in [&senders[0], &senders[1], &senders[1]] {
        assert_eq!(status(sender.send(receiver.pid(), b"")), Status::Full);
    }
    assert_eq!(status(senders[0].recv(0)), Status::Timeout);
    for _ in 0..MAX_WINDOW.messages {
        receiver.recv(0).unwrap();
    }
    for sender in &senders {
        let event = sender.recv(0).unwrap();
        assert_eq!((event.kind(), event.peer()), (EventKind::Sendable, Some(receiver.pid())));
        assert_eq!(status(sender.recv(0)), Status::Timeout, "once");
    }
    let large = vec![7; 4 << 20];
    senders[0].send(receiver.pid(), &large).unwrap();
    assert_eq!(status(senders[1].send(receiver.pid(), b"")), Status::Full);
    assert_eq!(status(senders[0].send(receiver.pid(), &vec![0; (4 << 20) + 1])), Status::TooBig);
    receiver.exit(Reason::NORMAL, b"").unwrap();
    assert_eq!(senders[1].recv(0).unwrap().kind(), EventKind::Sendable, "so that it finds out");
    assert_eq!(status(senders[1].send(receiver.pid(), b"")), Status::NoProcess);
}

#[test]
fn the_node_s_share_of_memory_is_kept() {
    let node = open(&[("limits.memory", "4194304"), ("limits.message", "1048576")]);
    let sender = Process::spawn(&node, None).unwrap();
    let receivers: Vec<_> = (0..4).map(|_| Process::spawn(&node, None).unwrap()).collect();
    let half = vec![0; 400 << 10];
    sender.send(receivers[0].pid(), &half).unwrap();
    sender.send(receivers[1].pid(), &half).unwrap();
    assert_eq!(status(sender.send(receivers[2].pid(), &half)), Status::Full);
    assert_eq!(status(sender.send(receivers[3].pid(), &half)), Status::Full);
    receivers[0].recv(0).unwrap();
    let mut peers: Vec<_> = (0..2).map(|_| sender.recv(0).unwrap().peer().unwrap()).collect();
    peers.sort();
    assert_eq!(peers, [receivers[2].pid(), receivers[3].pid()]);
    assert_eq!(status(sender.recv(0)), Status::Timeout);
}

#[test]
fn names_are_registered_seen_and_given_back() {
    let node = open(&[]);
    let (a, b) = (Process::spawn(&node, None).unwrap(), Process::spawn(&node, None).unwrap());
    assert_eq!(register(&a, b"name"), Status::Ok);
    assert_eq!(register(&b, b"name"), Status::Exists);
    assert_eq!(node.whereis(b"name").unwrap(), a.pid());
    assert_eq!(b.send_name(b"name", b"hello").unwrap(), a.pid());
    assert_eq!(text(&a.recv(0).unwrap()), "hello");
    assert_eq!(status(b.send_name(b"nobody", b"")), Status::NotFound);

    let monitor = b.name_monitor(b"name").unwrap();
    let event = b.recv(LONG).unwrap();
    assert_eq!(
        (event.kind(), event.reference(), event.peer()),
        (EventKind::NameChanged, monitor, Some(a.pid()))
    );

    b.register(b"name", None, Some("random-exit"), true, LONG, Completion::Wait).unwrap();
    assert_eq!(node.whereis(b"name").unwrap(), b.pid());
    let event = b.recv(LONG).unwrap();
    assert_eq!((event.pid(Field::OldPid), event.peer()), (Some(a.pid()), Some(b.pid())));

    assert_eq!(register(&a, b""), Status::Invalid);
    assert_eq!(register(&a, &[0; 1025]), Status::TooBig);
    let unknown = a.register(b"x", None, Some("coin"), false, LONG, Completion::Wait);
    assert_eq!(status(unknown), Status::NotFound);

    a.unregister(b"name", LONG, Completion::Wait).unwrap();
    assert_eq!(status(node.whereis(b"name")), Status::NotFound);
    assert_eq!(register(&a, b"\0any\xff"), Status::Ok);
    a.free();
    assert_eq!(status(node.whereis(b"\0any\xff")), Status::NotFound, "at once");
    assert_eq!(status(a.recv(0)), Status::NoProcess);
    assert_eq!(register(&a, b"other"), Status::NoProcess);
}

#[test]
fn answers_come_as_events_with_their_op() {
    let node = open(&[]);
    let (queue, process, other) = on_queue(&node);
    let register = |name: &[u8]| process.register(name, None, None, false, LONG, Completion::Event).unwrap();
    let ops: Vec<Ref> = (0..10u8).map(|n| register(&[n]).op).collect();
    let taken = register(&[0]).op;
    let alive = process.is_alive(other.pid(), LONG, Completion::Event).unwrap().op;
    for expected in ops.iter().chain([&taken, &alive]) {
        let event = queue.next(LONG).unwrap();
        assert_eq!(
            (event.kind(), event.reference(), event.process()),
            (EventKind::Done, *expected, Some(process.pid()))
        );
        let result = event.result().unwrap().0;
        assert_eq!(result, if *expected == taken { Status::Exists } else { Status::Ok });
        assert_eq!(event.value(), u64::from(*expected == alive));
    }
    assert_eq!(process.is_alive(other.pid(), LONG, Completion::Wait).unwrap().value, 1);
    other.exit(Reason::NORMAL, b"").unwrap();
    assert_eq!(process.is_alive(other.pid(), LONG, Completion::Wait).unwrap().value, 0);
    assert_eq!(status(process.is_alive(other.pid(), -7, Completion::Wait)), Status::Invalid);
}

#[test]
fn exits_are_told_with_reason_and_data() {
    let node = open(&[]);
    let watcher = Process::spawn(&node, None).unwrap();
    let spawn = || Process::spawn(&node, None).unwrap();
    let (explicit, freed, killed) = (spawn(), spawn(), spawn());
    let watch = |process: &Process| watcher.monitor(process.pid()).unwrap();
    let monitors = [watch(&explicit), watch(&freed), watch(&killed)];
    explicit.exit(Reason(0x10007), b"why").unwrap();
    assert_eq!(status(explicit.exit(Reason::NORMAL, b"")), Status::NoProcess);
    assert_eq!(status(explicit.recv(0)), Status::NoProcess);
    assert_eq!(status(freed.exit(Reason::NORMAL, &[0; (64 << 10) + 1])), Status::TooBig);
    freed.free();
    watcher.kill(killed.pid(), Reason::NORMAL).unwrap();
    let expected = [(&explicit, Reason(0x10007)), (&freed, Reason::FREED), (&killed, Reason::KILLED)];
    for (monitor, (process, reason)) in monitors.into_iter().zip(expected) {
        let event = watcher.recv(LONG).unwrap();
        assert_eq!((event.kind(), event.reference()), (EventKind::Exit, monitor));
        assert_eq!((event.peer(), event.reason()), (Some(process.pid()), reason));
        assert_eq!(text(&event), if reason.0 == 0x10007 { "why" } else { "" });
    }
    let own = killed.recv(LONG).unwrap();
    assert_eq!((own.kind(), own.pid(Field::KilledBy)), (EventKind::Exit, Some(watcher.pid())));
    assert_eq!(status(killed.recv(-1)), Status::NoProcess);
    // Too late: at once.
    let monitor = watcher.monitor(killed.pid()).unwrap();
    let event = watcher.recv(LONG).unwrap();
    assert_eq!((event.reference(), event.reason()), (monitor, Reason::NO_PROCESS));
}

#[test]
fn limits_are_kept() {
    let node = open(&[("limits.processes", "2")]);
    let spawn = || Process::spawn(&node, None);
    let (a, _b) = (spawn().unwrap(), spawn().unwrap());
    assert_eq!(status(spawn()), Status::Full);
    a.free();
    let c = spawn().unwrap();
    assert_eq!(status(spawn()), Status::Full);
    _b.kill(c.pid(), Reason::KILLED).unwrap();
    assert_eq!(c.recv(LONG).unwrap().kind(), EventKind::Exit);
    spawn().unwrap();
}

/// The table of names gives its memory back late; a process that had a name does not wait for that.
#[test]
fn nothing_of_a_freed_process_is_kept() {
    let node = open(&[]);
    let other = Process::spawn(&node, None).unwrap();
    for _ in 0..20 {
        let process = Process::spawn(&node, None).unwrap();
        assert_eq!(register(&process, b"name"), Status::Ok);
        assert_eq!(status(process.recv(1)), Status::Timeout); // its mailbox has a descriptor now
        process.free();
        let core = Arc::downgrade(&process.core);
        drop(process);
        // Behind the end of the process on the node's thread; the rest of that turn is done with the next.
        other.sync(LONG, Completion::Wait).unwrap();
        other.sync(LONG, Completion::Wait).unwrap();
        assert!(core.upgrade().is_none());
    }
}

#[test]
fn exit_ends_the_calls_of_the_process() {
    let node = open(&[]);
    let (queue, process, _) = on_queue(&node);
    // Accepts by itself and says nothing, so that a connect waits.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let mailbox = Process::spawn(&node, None).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(process.connect(&silent, -1, Completion::Wait)));
        let reading = scope.spawn(|| status(mailbox.recv(-1)));
        let op = process.connect(&silent, -1, Completion::Event).unwrap().op;
        process.exit(Reason::NORMAL, b"").unwrap();
        assert_eq!(waiting.join().unwrap(), Status::NoProcess);
        let event = queue.next(LONG).unwrap();
        assert_eq!((event.reference(), event.result().map(|r| r.0)), (op, Some(Status::NoProcess)));
        mailbox.exit(Reason::NORMAL, b"").unwrap();
        assert_eq!(reading.join().unwrap(), Status::NoProcess);
    });
    assert_eq!(status(process.connect("nonsense", -1, Completion::Wait)), Status::Invalid);
}

#[test]
fn closing_ends_everything() {
    let node = open(&[]);
    let (queue, process, mailbox) = on_queue(&node);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| status(process.connect(&silent, -1, Completion::Wait)));
        let reading = scope.spawn(|| mailbox.recv(-1).map(|event| event.kind()));
        let op = process.connect(&silent, -1, Completion::Event).unwrap().op;
        node.close(LONG).unwrap();
        assert!([Status::Closed].contains(&waiting.join().unwrap()));
        assert_eq!(reading.join().unwrap(), Ok(EventKind::NodeClosed));
        let event = queue.next(LONG).unwrap();
        assert_eq!((event.reference(), event.result().map(|r| r.0)), (op, Some(Status::Closed)));
    });
    assert_eq!(queue.next(LONG).unwrap().kind(), EventKind::NodeClosed);
    assert_eq!(status(queue.next(LONG)), Status::Closed);
    node.close(0).unwrap();
    assert_eq!(status(Process::spawn(&node, None)), Status::Closed);
    assert_eq!(status(node.names(b"")), Status::Closed);
    process.free();
    queue.close();
    assert!(!node.name().is_empty() && !node.address().is_empty());
}

#[test]
fn a_node_may_be_closed_and_dropped_in_a_callback() {
    let node = open(&[]);
    let (queue, process, sender) = on_queue(&node);
    let (told, hear) = std::sync::mpsc::channel();
    let (told, inner) = (crate::sync::Mutex::new(told), node.clone());
    let handler: crate::node::Handler = Box::new(move |event| {
        if event.kind() == EventKind::Message {
            crate::node::shared::lock(&told).send(status(inner.close(-1))).unwrap();
        }
    });
    queue.set_handler(Some(handler)).unwrap();
    queue.start_thread().unwrap();
    sender.send(process.pid(), b"").unwrap();
    assert_eq!(hear.recv().unwrap(), Status::Ok);
    queue.stop_thread(LONG).unwrap();
    queue.close();
}

#[test]
fn a_callback_may_make_calls_that_wait() {
    let node = open(&[]);
    let (queue, process, sender) = on_queue(&node);
    let (told, hear) = std::sync::mpsc::channel();
    let (told, inner) = (crate::sync::Mutex::new(told), process.clone());
    let handler: crate::node::Handler = Box::new(move |event| {
        let registered = register(&inner, event.payload().unwrap());
        let other = inner.connect("127.0.0.1:1", 0, Completion::Wait);
        crate::node::shared::lock(&told).send((registered, other.is_err())).unwrap();
    });
    process.set_handler(Some(handler)).unwrap();
    queue.start_thread().unwrap();
    for name in ["a", "b", "a"] {
        sender.send(process.pid(), name.as_bytes()).unwrap();
    }
    let heard: Vec<_> = hear.iter().take(3).collect();
    assert_eq!(heard, [(Status::Ok, true), (Status::Ok, true), (Status::Exists, true)]);
    process.free();
    queue.close();
}

#[test]
fn the_last_clone_closes_the_node() {
    let node = open(&[]);
    let queue = Queue::new(&node).unwrap();
    let clone = node.clone();
    drop(node);
    assert!(clone.is_open());
    drop(clone);
    assert_eq!(queue.next(LONG).unwrap().kind(), EventKind::NodeClosed);
}
