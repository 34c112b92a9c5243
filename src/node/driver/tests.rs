//! Whole nodes on loopback, in one process.

use crate::engine::{Connectivity, Identity, Message, Stamped};
use crate::flow::Window;
use crate::model::{NodeId, Pid, Reason, Status};
use crate::node::desk::{PANIC_ON_PURPOSE, PAUSE_ON_PURPOSE};
use crate::node::{Attempt, Completion, Event, EventKind, LockId, Node, Options, Process, Request};
use crate::wire::{self, Channel, Handshake, Opening, Protection, Setup};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LONG: i64 = 20_000;

fn open(name: &str, options: &[(&str, &str)]) -> Node {
    open_with(Options::new(), name, options)
}

/// A node that is talked to by hand.
fn open_plain(name: &str, options: &[(&str, &str)]) -> Node {
    open_with(Options::without_secret(), name, options)
}

fn open_with(mut all: Options, name: &str, options: &[(&str, &str)]) -> Node {
    all.set("name", name).unwrap();
    all.set("cluster", &crate::testing::cluster()).unwrap();
    for (key, value) in options {
        all.set(key, value).unwrap();
    }
    Node::open(&all).unwrap()
}

/// Waits for an event of this kind; others are passed over.
fn expect(process: &Process, kind: EventKind) -> Arc<Event> {
    loop {
        let event = process.recv(LONG).unwrap();
        if event.kind() == kind {
            return event;
        }
    }
}

/// Two linked nodes with a process on each.
fn pair(names: [&str; 2]) -> [(Node, Process); 2] {
    let first = open(names[0], &[]);
    let second = open(names[1], &[("seeds", first.address())]);
    let processes = [&first, &second].map(|node| Process::spawn(node, None).unwrap());
    for process in &processes {
        process.node_monitor().unwrap();
        expect(process, EventKind::NodeUp);
    }
    let [one, two] = processes;
    // Synced, not only linked.
    one.connect(second.address(), LONG, Completion::Wait).unwrap();
    two.connect(first.address(), LONG, Completion::Wait).unwrap();
    [(first, one), (second, two)]
}

#[test]
fn two_nodes_share_names_messages_and_exits() {
    let [(first, one), (second, two)] = pair(["driver-a", "driver-b"]);
    one.register(b"service", None, None, false, LONG, Completion::Wait).unwrap();
    assert_eq!(second.whereis(b"service").unwrap(), one.pid());
    assert_eq!(
        two.register(b"service", None, None, false, LONG, Completion::Wait).unwrap_err().status,
        Status::Exists
    );

    for size in [0, 1, 1000, 70_000, 3_000_000] {
        // The window is used up until the news that all is taken arrives; a SENDABLE says so.
        while let Err(refused) = two.send_name(b"service", &vec![size as u8; size]) {
            assert_eq!(refused.status, Status::Full);
            expect(&two, EventKind::Sendable);
        }
        let message = expect(&one, EventKind::Message);
        assert_eq!(message.payload().unwrap(), vec![size as u8; size]);
        assert_eq!(message.peer(), Some(two.pid()));
    }

    let reference = two.monitor(one.pid()).unwrap();
    // Goes the same way behind it.
    assert_eq!(two.is_alive(one.pid(), LONG, Completion::Wait).unwrap().value, 1);
    one.exit(Reason(70_000), b"farewell").unwrap();
    let exit = expect(&two, EventKind::Exit);
    assert_eq!((exit.reference(), exit.reason()), (reference, Reason(70_000)));
    assert_eq!(exit.payload(), Some(&b"farewell"[..]));
    assert_eq!(second.whereis(b"service").unwrap_err().status, Status::NotFound);
    first.close(LONG).unwrap();
    second.close(LONG).unwrap();
}

#[test]
fn what_was_sent_before_a_close_arrives() {
    let [(first, one), (second, two)] = pair(["driver-c", "driver-d"]);
    let mut sent = 0;
    while sent < 1000 && one.send(two.pid(), &[7; 1000]).is_ok() {
        sent += 1;
    }
    first.close(LONG).unwrap();
    let mut received = 0;
    loop {
        let event = two.recv(LONG).unwrap();
        match event.kind() {
            EventKind::Message => received += 1,
            EventKind::NodeDown => {
                assert_eq!(event.reason(), Reason::NODE_CLOSED);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(received, sent);
    second.close(LONG).unwrap();
}

/// Most likely higher than that of a node, which therefore says Go.
fn high_incarnation(name: &str) -> (NodeId, Opening) {
    let mut all = (0_u64..).map(|number| {
        let mut opening = Opening([0; 32]);
        opening.0[..8].copy_from_slice(&number.to_le_bytes());
        (opening.incarnation(name), opening)
    });
    all.find(|(node, _)| node.0.leading_ones() >= 16).unwrap()
}

/// A peer that links to the node and from then on does what the test says.
fn raw_link(node: &Node, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (node, opening) = high_incarnation(name);
    let identity = Identity {
        node,
        name: name.to_owned(),
        address: String::new(),
        connectivity: Connectivity::default(),
        groups: 0,
        uptime_ms: 0,
        message_limit: 1 << 20,
    };
    let setup = Setup {
        versions: wire::VERSIONS,
        cluster: crate::testing::cluster(),
        node: identity.node,
        name: name.to_owned(),
        protection: Protection::Plain,
        nonce: [0; 16],
    };
    let mut words = Vec::new();
    Channel::dial(setup).take_handshake_bytes(&mut words);
    wire::encode_handshake(&Handshake::identity(&crate::testing::cluster(), identity, opening), &mut words);
    stream.write_all(&words).unwrap();
    let mut answer = [0; 40];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[15], 1, "accepted");
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut rest = vec![0; u32::from_le_bytes(length) as usize + 8];
    stream.read_exact(&mut rest).unwrap(); // the identity, and the Go behind it
    assert!(rest.ends_with(&[4, 0, 0, 0, 0, 0x0a, 0x98, 1]), "{rest:?}");
    stream
}

#[test]
fn a_peer_that_never_reads_does_not_keep_a_node_from_closing() {
    let node = open_plain("driver-e", &[]);
    let process = Process::spawn(&node, None).unwrap();
    process.node_monitor().unwrap();
    let peer = raw_link(&node, "deaf");
    expect(&process, EventKind::NodeUp);
    let receiver = Pid { node: high_incarnation("deaf").0, serial: 1 };
    while process.send(receiver, &[1; 1000]).is_ok() {}
    let began = Instant::now();
    node.close(LONG).unwrap();
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    drop(peer);
}

#[test]
fn a_peer_that_breaks_the_protocol_is_down_and_nobody_else() {
    let node = open_plain("driver-f", &[]);
    let process = Process::spawn(&node, None).unwrap();
    process.node_monitor().unwrap();
    let mut peer = raw_link(&node, "rude");
    expect(&process, EventKind::NodeUp);
    peer.write_all(&[0xff; 64]).unwrap();
    expect(&process, EventKind::NodeDown);
    process.register(b"still here", None, None, false, LONG, Completion::Wait).unwrap();
    node.close(LONG).unwrap();
}

#[test]
fn the_end_of_a_peer_is_noticed_at_once() {
    let node = open_plain("driver-g", &[]);
    let process = Process::spawn(&node, None).unwrap();
    process.node_monitor().unwrap();
    let peer = raw_link(&node, "mortal");
    expect(&process, EventKind::NodeUp);
    let began = Instant::now();
    drop(peer);
    assert_eq!(expect(&process, EventKind::NodeDown).reason(), Reason::OS_PROCESS_DIED);
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    node.close(LONG).unwrap();
}

#[test]
fn a_panic_on_the_nodes_thread_answers_everybody_and_closes_the_node() {
    let node = open("driver-h", &[]);
    let process = Process::spawn(&node, None).unwrap();
    let waiting = Process::spawn(&node, None).unwrap();
    // Never answered by itself: nobody is there.
    let waiter = std::thread::spawn(move || waiting.recv(LONG).map(|event| event.kind()));
    let window = Window { from: NodeId(1), link: PANIC_ON_PURPOSE, to: 1 };
    node.shared().inbox.push(Request::Taken { window, messages: 1, bytes: 1 }).unwrap();
    let failed = process.connect("127.0.0.1:1", LONG, Completion::Wait).unwrap_err();
    assert!(matches!(failed.status, Status::Internal | Status::Closed), "{failed:?}");
    assert_eq!(waiter.join().unwrap().unwrap(), EventKind::NodeClosed);
    node.close(LONG).unwrap();
    assert_eq!(process.monitor(process.pid()).unwrap_err().status, Status::Closed);
}

#[test]
fn the_thread_bears_the_nodes_name_and_no_signals() {
    let node = open("driver-thread", &[]);
    let thread =
        std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path()).find(|task| {
            std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "convoke/driver-")
        });
    let status = std::fs::read_to_string(thread.unwrap().join("status")).unwrap();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
    for signal in [1, 2, 10, 12, 13, 15] {
        assert!(blocked & 1 << (signal - 1) != 0, "signal {signal}");
    }
    node.close(LONG).unwrap();
}

/// A node that was paused itself hears what its peers have said meanwhile before it judges them.
#[test]
fn a_pause_of_its_own_is_not_held_against_the_peers() {
    let node = open_plain("driver-pause", &[("detection_ms", "300")]);
    let process = Process::spawn(&node, None).unwrap();
    process.node_monitor().unwrap();
    let mut peer = raw_link(&node, "talker");
    expect(&process, EventKind::NodeUp);
    let mut frames = Vec::new();
    let hello = Message::Hello { facts: Vec::new(), last: true };
    for message in [hello, Message::HelloAck] {
        wire::encode_control(&Stamped { clock: 1, message }, &mut frames).unwrap();
    }
    peer.write_all(&frames).unwrap();
    let mut heartbeat = Vec::new();
    wire::encode_control(&Stamped { clock: 1, message: Message::Heartbeat }, &mut heartbeat).unwrap();
    let window = Window { from: NodeId(1), link: PAUSE_ON_PURPOSE, to: 1 };
    node.shared().inbox.push(Request::Taken { window, messages: 1000, bytes: 1 }).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1200) {
        peer.write_all(&heartbeat).unwrap();
        // That there is no event is what is to be seen, so time has to pass.
        match process.recv(20) {
            Err(nothing) => assert_eq!(nothing.status, Status::Timeout),
            Ok(event) => assert_ne!(event.kind(), EventKind::NodeDown),
        }
    }
    node.close(LONG).unwrap();
}

#[test]
fn long_names_fit_into_a_snapshot() {
    let limit = ("limits.name", "32768");
    let first = open("driver-long-a", &[limit]);
    let one = Process::spawn(&first, None).unwrap();
    let names = (0..20).map(|n| vec![n; 32768]).collect::<Vec<_>>();
    for name in &names {
        one.register(name, None, None, false, LONG, Completion::Wait).unwrap();
    }
    let second = open("driver-long-b", &[limit, ("seeds", first.address())]);
    let two = Process::spawn(&second, None).unwrap();
    two.connect(first.address(), LONG, Completion::Wait).unwrap();
    for name in &names {
        assert_eq!(second.whereis(name).unwrap(), one.pid());
    }
    first.close(LONG).unwrap();
    second.close(LONG).unwrap();
}

/// Whatever keeps the node's thread busy, a caller gets its `Timeout`; and what it was not told of does not come to be later.
#[test]
fn a_caller_does_not_wait_for_a_thread_that_is_stuck() {
    let node = open("driver-stuck", &[]);
    let (process, keeper) = (Process::spawn(&node, None).unwrap(), Process::spawn(&node, None).unwrap());
    process.group_create(b"g", LONG, Completion::Wait).unwrap();
    let id = |resource| LockId { resource, requester: None };
    let attempt = |timeout_ms| Attempt { nodes: None, retries: None, timeout_ms };
    keeper.acquire(id(b"kept"), attempt(LONG), Completion::Wait).unwrap();
    let window = Window { from: NodeId(1), link: PAUSE_ON_PURPOSE, to: 1 };
    let pause = Duration::from_millis(3000);
    let began = Instant::now();
    let taken = Request::Taken { window, messages: pause.as_millis() as u64, bytes: 1 };
    node.shared().inbox.push(taken).unwrap();
    let timeout = 200;
    let told = std::thread::scope(|threads| {
        let calls = [
            threads.spawn(|| process.register(b"x", None, None, false, timeout, Completion::Wait)),
            threads.spawn(|| process.group_join(b"g", None, timeout, Completion::Wait)),
            threads.spawn(|| process.acquire(id(b"r"), attempt(timeout), Completion::Wait)),
            threads.spawn(|| keeper.acquire(id(b"kept"), attempt(timeout), Completion::Wait)),
            threads.spawn(|| process.lock_with(id(b"s"), attempt(timeout), |_| panic!("it runs"))),
        ];
        calls.map(|call| call.join().unwrap().unwrap_err().status)
    });
    let late = Status::Timeout;
    assert_eq!(told, [late, late, late, late, Status::Aborted]);
    assert!(began.elapsed() < pause, "they have waited for it");
    // It goes on, and does what was asked for; then it takes it back. In the inbox that comes before what follows now.
    process.sync(LONG, Completion::Wait).unwrap();
    process.sync(LONG, Completion::Wait).unwrap();
    assert_eq!(node.whereis(b"x").unwrap_err().status, Status::NotFound);
    assert_eq!(node.members(b"g").unwrap().len(), 0);
    let holders = |resource| node.locks(Some(resource)).unwrap().len();
    assert_eq!((holders(b"r"), holders(b"s"), holders(b"kept")), (0, 0, 1));
    assert!(keeper.lock_check(id(b"kept")).is_ok());
    node.close(LONG).unwrap();
}
