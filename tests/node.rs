//! Whole nodes on loopback, in one OS process, through the room `node`.

use convoke::model::{Pid, Reason, Ref, Status};
use convoke::node::{
    Attempt, Completion, Event, EventKind, Field, LockId, Node, Options, Process, Queue, Result,
};
use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

/// Long enough for anything that happens; a test that needs it has failed.
const LONG: i64 = 30_000;

fn open(options: &[(&str, &str)]) -> Node {
    let mut all = Options::new();
    all.set("cluster", &convoke::testing::cluster()).unwrap();
    options.iter().for_each(|(key, value)| all.set(key, value).unwrap());
    Node::open(&all).unwrap()
}

fn spawn(node: &Node) -> Process {
    Process::spawn(node, None).unwrap()
}

fn status<T>(result: Result<T>) -> Status {
    result.map(|_| Status::Ok).unwrap_or_else(|error| error.status)
}

/// The next event of this kind; others are passed over.
fn expect(process: &Process, kind: EventKind) -> Arc<Event> {
    loop {
        let event = process.recv(LONG).unwrap();
        if event.kind() == kind {
            return event;
        }
    }
}

/// Nodes that are all linked, with a process each.
fn cluster<const N: usize>(options: &[(&str, &str)]) -> [(Node, Process); N] {
    let first = open(options);
    let seed = first.address().to_owned();
    let mut nodes = vec![first];
    while nodes.len() < N {
        nodes.push(open(&[options, &[("seeds", &seed)]].concat()));
    }
    let joined: Vec<_> = nodes.into_iter().map(|node| (node.clone(), spawn(&node))).collect();
    for (node, process) in &joined {
        // Answered when the link is up, which is so at once where it was before.
        for (other, _) in joined.iter().filter(|(other, _)| other.id() != node.id()) {
            process.connect(other.address(), LONG, Completion::Wait).unwrap();
        }
    }
    joined.try_into().unwrap_or_else(|_| unreachable!("N were opened"))
}

fn message(n: u64, size: usize) -> Vec<u8> {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.resize(size.max(8), n as u8);
    bytes
}

/// "requester NULL: the process alone": its name is of the library's making, so a limit on names that are given does not
/// forbid it.
#[test]
fn a_lock_without_a_requester_has_no_name_to_be_too_long() {
    let [(one, holder), (_, _other)] = cluster(&[("limits.name", "1")]);
    let lock = LockId { resource: b"r", requester: None };
    let attempt = Attempt { nodes: None, retries: None, timeout_ms: LONG };
    let token = holder.acquire(lock, attempt.clone(), Completion::Wait).unwrap().value;
    assert_eq!(holder.lock_check(lock).unwrap(), token);
    let second = spawn(&one);
    let no_patience = Attempt { timeout_ms: 0, ..attempt.clone() };
    assert_eq!(status(second.acquire(lock, no_patience, Completion::Wait)), Status::Timeout);
    for given in [&b"xx"[..], &[b'x'; 16]] {
        let given = LockId { requester: Some(given), ..lock };
        assert_eq!(status(second.acquire(given, attempt.clone(), Completion::Wait)), Status::TooBig);
    }
    holder.release(lock, None, LONG, Completion::Wait).unwrap();
    second.acquire(lock, attempt, Completion::Wait).unwrap();
}

#[test]
fn a_slow_receiver_makes_the_sender_wait_and_gets_everything_in_order() {
    let [(one, sender), (_two, receiver)] =
        cluster(&[("limits.memory", "4194304"), ("limits.message", "1048576")]);
    // Sizes on both sides of a fragment and of the first window.
    let sizes = [8, 100, 8, 40_000, 8, 200_000, 70_000, 8, 1 << 20, 30];
    const COUNT: u64 = 400;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut refused = 0;
            for n in 0..COUNT {
                let bytes = message(n, sizes[n as usize % sizes.len()]);
                while let Err(error) = sender.send(receiver.pid(), &bytes) {
                    assert_eq!(error.status, Status::Full, "{error}");
                    refused += 1;
                    let event = expect(&sender, EventKind::Sendable);
                    assert_eq!(event.peer(), Some(receiver.pid()));
                }
            }
            assert!(refused > 0);
        });
        for n in 0..COUNT {
            let event = expect(&receiver, EventKind::Message);
            assert_eq!(event.peer(), Some(sender.pid()));
            let payload = event.payload().unwrap();
            assert_eq!(payload[..8], n.to_le_bytes());
            assert_eq!(payload.len(), sizes[n as usize % sizes.len()]);
            assert!(payload[8..].iter().all(|byte| *byte == n as u8));
        }
    });
    assert_eq!(one.stats().messages_sent, COUNT);
}

#[test]
fn a_receiver_that_never_reads_is_bounded_and_disturbs_nobody() {
    let [(_one, sender), (two, deaf)] =
        cluster(&[("limits.memory", "4194304"), ("limits.message", "1048576")]);
    let awake = spawn(&two);
    let mut accepted = 0;
    while sender.send(deaf.pid(), &[0; 1000]).is_ok() {
        accepted += 1;
        assert!(accepted < 5_000, "4 MiB and what is on the way");
    }
    for n in 0..100 {
        while let Err(error) = sender.send(awake.pid(), &message(n, 8)) {
            assert_eq!(error.status, Status::Full);
            expect(&sender, EventKind::Sendable);
        }
        assert_eq!(expect(&awake, EventKind::Message).payload().unwrap(), n.to_le_bytes());
    }
    deaf.exit(Reason::NORMAL, b"").unwrap();
    // It is told that trying again is worth it, and sees why.
    loop {
        match sender.send(deaf.pid(), b"") {
            Ok(()) => {}
            Err(error) if error.status == Status::NoProcess => break,
            Err(error) => {
                assert_eq!(error.status, Status::Full);
                expect(&sender, EventKind::Sendable);
            }
        }
        // What is accepted before the peer's word has come is dropped there; this asks behind it.
        sender.is_alive(deaf.pid(), LONG, Completion::Wait).unwrap();
    }
}

#[test]
fn callbacks_answer_across_nodes() {
    let [(one, asker), (two, _)] = cluster(&[]);
    let queue = Queue::new(&two).unwrap();
    let server = Process::spawn(&two, Some(&queue)).unwrap();
    let inner = server.clone();
    let answer = move |event: &Arc<Event>| {
        if let (Some(from), Some(payload)) = (event.peer(), event.payload()) {
            inner.send(from, payload).unwrap();
        }
    };
    queue.set_handler(Some(Box::new(answer))).unwrap();
    queue.start_thread().unwrap();
    server.register(b"echo", None, None, false, LONG, Completion::Wait).unwrap();
    assert_eq!(one.whereis(b"echo").unwrap(), server.pid(), "before register has returned");
    for n in 0..1_000 {
        assert_eq!(asker.send_name(b"echo", &message(n, 32)).unwrap(), server.pid());
        assert_eq!(expect(&asker, EventKind::Message).payload().unwrap(), message(n, 32));
    }
    queue.stop_thread(LONG).unwrap();
    assert_eq!(two.node_of(asker.pid()).unwrap(), one.name());
    server.free();
    queue.close();
}

#[test]
fn many_registrations_in_flight_are_each_answered_once() {
    let nodes: [(Node, Process); 3] = cluster(&[]);
    const EACH: usize = 300;
    std::thread::scope(|scope| {
        let spawn = |index: usize| {
            let process = &nodes[index].1;
            scope.spawn(move || {
                // Half of the names are wanted by all three.
                let name = |n: usize| match n % 2 {
                    0 => format!("shared/{n}"),
                    _ => format!("own/{index}/{n}"),
                };
                let register = |n: usize| {
                    let name = name(n);
                    process.register(name.as_bytes(), None, None, false, LONG, Completion::Event).unwrap().op
                };
                let ops: BTreeSet<Ref> = (0..EACH).map(register).collect();
                let mut answered = BTreeSet::new();
                while answered.len() < EACH {
                    let event = expect(process, EventKind::Done);
                    assert!(ops.contains(&event.reference()) && answered.insert(event.reference()));
                    let result = event.result().unwrap().0;
                    assert!(matches!(result, Status::Ok | Status::Exists), "{result:?}");
                }
            })
        };
        // Joined one by one: ThreadSanitizer does not see how a scope waits.
        let threads: Vec<_> = (0..nodes.len()).map(spawn).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let expected = EACH / 2 + 3 * EACH / 2;
    let lists: Vec<_> = nodes.iter().map(|(node, _)| node.names(b"").unwrap()).collect();
    for list in &lists {
        assert_eq!(list.len(), expected);
        assert_eq!(list.pids(), lists[0].pids());
    }
    assert_eq!(nodes[0].0.names(b"shared/").unwrap().len(), EACH / 2);
    assert_eq!(nodes[1].0.stats().names, expected as u64);
    for (node, process) in &nodes {
        assert_eq!(node.peers().unwrap().len(), 2);
        process.free();
    }
    let watcher = spawn(&nodes[0].0);
    for name in ["shared/0", "own/1/1", "own/2/1"] {
        watcher.name_monitor(name.as_bytes()).unwrap();
        while expect(&watcher, EventKind::NameChanged).peer().is_some_and(|pid| pid.serial != 0) {}
    }
}

#[test]
fn a_remote_kill_is_the_last_thing_that_a_process_hears() {
    let [(one, killer), (two, watcher)] = cluster(&[]);
    let queue = Queue::new(&two).unwrap();
    let (told, hear) = channel();
    let told = Mutex::new(told);
    let victim = Process::spawn(&two, Some(&queue)).unwrap();
    let note = move |event: &Arc<Event>| {
        let note = (event.kind(), event.reason(), event.pid(Field::KilledBy));
        if let Ok(told) = told.lock() {
            // The test may be over.
            let _ = told.send(note);
        }
    };
    victim.set_handler(Some(Box::new(note))).unwrap();
    queue.start_thread().unwrap();
    victim.register(b"victim", None, None, false, LONG, Completion::Wait).unwrap();
    let monitors = [&killer, &watcher].map(|process| process.monitor(victim.pid()).unwrap());
    killer.send(victim.pid(), b"before").unwrap();
    killer.kill(victim.pid(), Reason(0x10001)).unwrap();
    for (process, monitor) in [&killer, &watcher].into_iter().zip(monitors) {
        let exit = expect(process, EventKind::Exit);
        assert_eq!((exit.reference(), exit.peer()), (monitor, Some(victim.pid())));
        assert_eq!((exit.reason(), exit.reference()), (Reason(0x10001), monitor));
    }
    let last = loop {
        let heard = hear.recv().unwrap();
        if heard.0 != EventKind::Message {
            break heard;
        }
    };
    assert_eq!(last, (EventKind::Exit, Reason(0x10001), Some(killer.pid())));
    assert_eq!(status(victim.send(killer.pid(), b"")), Status::NoProcess);
    assert_eq!(status(two.whereis(b"victim")), Status::NotFound);
    killer.name_monitor(b"victim").unwrap();
    while expect(&killer, EventKind::NameChanged).peer().is_some_and(|pid| pid.serial != 0) {}
    assert_eq!(status(one.whereis(b"victim")), Status::NotFound);
    victim.free();
    queue.close();
    assert!(hear.try_recv().is_err());
}

#[test]
fn a_node_that_leaves_is_seen_to_go_and_may_come_back() {
    let [(one, watcher), (two, gone)] = cluster(&[]);
    watcher.node_monitor().unwrap();
    let up = expect(&watcher, EventKind::NodeUp);
    assert_eq!((up.name(), up.u64(Field::Node)), (Some(two.name().as_bytes()), Some(two.id().0)));
    assert_eq!(up.bytes(Field::Address), Some(two.address().as_bytes()));
    expect(&watcher, EventKind::SnapshotEnd);
    gone.register(b"name", None, None, false, LONG, Completion::Wait).unwrap();
    let exit = watcher.monitor(gone.pid()).unwrap();
    let unread = spawn(&one);
    unread.node_monitor().unwrap();
    two.close(LONG).unwrap();
    let event = expect(&watcher, EventKind::Exit);
    assert_eq!((event.reference(), event.reason()), (exit, Reason::NODE_CLOSED));
    assert_eq!(status(one.whereis(b"name")), Status::NotFound, "the state goes before the event");
    assert_eq!(status(watcher.send(gone.pid(), b"")), Status::Unreachable);
    let down = expect(&watcher, EventKind::NodeDown);
    assert_eq!((down.name(), down.reason()), (Some(two.name().as_bytes()), Reason::NODE_CLOSED));

    let again = open(&[("name", two.name()), ("seeds", one.address())]);
    assert_ne!(again.id(), two.id());
    let up = expect(&watcher, EventKind::NodeUp);
    assert_eq!((up.name(), up.u64(Field::Node)), (Some(again.name().as_bytes()), Some(again.id().0)));
    assert_eq!(status(watcher.send(gone.pid(), b"")), Status::Unreachable, "the old incarnation's stay gone");
    // Who has not read meanwhile hears of what is, and that there was something.
    let told: Vec<_> = (0..3).map(|_| expect_node(&unread)).collect();
    assert_eq!(
        told,
        [
            (EventKind::SnapshotEnd, None, None),
            (EventKind::NodeDown, Some(two.id().0), Some(2)),
            (EventKind::NodeUp, Some(again.id().0), None)
        ]
    );
    watcher.disconnect(again.name(), LONG, Completion::Wait).unwrap();
    assert_eq!(expect(&watcher, EventKind::NodeDown).reason(), Reason::DISCONNECTED);
}

fn expect_node(process: &Process) -> (EventKind, Option<u64>, Option<u64>) {
    let event = process.recv(LONG).unwrap();
    (event.kind(), event.u64(Field::Node), event.u64(Field::Changes))
}

#[test]
fn a_name_s_owner_may_live_elsewhere() {
    let [(one, a), (two, b)] = cluster(&[]);
    a.register(b"theirs", Some(b.pid()), None, false, LONG, Completion::Wait).unwrap();
    assert_eq!(two.whereis(b"theirs").unwrap(), b.pid());
    let dead = spawn(&two);
    dead.free();
    let register = |pid: Pid| status(a.register(b"dead", Some(pid), None, false, LONG, Completion::Wait));
    assert_eq!(register(dead.pid()), Status::NoProcess);
    let nowhere = Pid { node: convoke::model::NodeId(1), serial: 1 };
    assert_eq!(register(nowhere), Status::Unreachable);
    a.register(b"theirs", None, None, true, LONG, Completion::Wait).unwrap();
    for node in [&one, &two] {
        assert_eq!(node.whereis(b"theirs").unwrap(), a.pid());
    }
    b.unregister(b"theirs", LONG, Completion::Wait).unwrap();
    assert_eq!(status(one.whereis(b"theirs")), Status::NotFound);
}

#[test]
fn nodes_of_other_clusters_are_strangers() {
    let one = open(&[("cluster", "red")]);
    let two = open(&[("cluster", "blue"), ("seeds", one.address())]);
    let process = spawn(&two);
    assert_eq!(status(process.connect(one.address(), LONG, Completion::Wait)), Status::Auth);
    assert_eq!(two.peers().unwrap().len(), 0);
}
