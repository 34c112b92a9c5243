//! Whoever can reach a node's port, and a process that runs out of descriptors: what they do to a node, measured from
//! outside, while it goes on serving its friends.

use crate::agent::Agent;
use crate::outside::{self, descriptors, processor_time};
use crate::peer::{self, Peer};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Handshakes of strangers under way at one time.
const PLACES: usize = 1024;
/// A handshake may take so long.
const HANDSHAKE: Duration = Duration::from_secs(5);
const MIB: u64 = 1 << 20;

/// A node to be attacked and a friend that has a link to it, with a process each.
struct Friends {
    node: Agent,
    friend: Agent,
    theirs: String,
    slowest: Duration,
}

impl Friends {
    fn new(options: &str) -> Self {
        let node = Agent::open("node", &[], options);
        let mut friend = Agent::open("friend", &[&node.address], options);
        friend.wait_for_peers(&["node"]);
        let theirs = friend.spawn().0;
        Self { node, friend, theirs, slowest: Duration::ZERO }
    }

    fn address(&self) -> SocketAddr {
        self.node.address.parse().expect("an address")
    }

    /// A name is registered and withdrawn, which takes the agreement of both.
    fn work(&mut self) {
        let began = Instant::now();
        self.friend.ok(&format!("register {} name", self.theirs));
        assert!(self.node.ok("whereis name").contains('.'));
        self.friend.ok(&format!("unregister {} name", self.theirs));
        self.slowest = self.slowest.max(began.elapsed());
    }

    fn work_until(&mut self, until: Instant) {
        while Instant::now() < until {
            self.work();
        }
    }

    /// Waits until the node has so many descriptors at most.
    fn wait_for_descriptors(&mut self, most: usize, deadline: Instant) {
        while descriptors(&self.node) > most {
            assert!(Instant::now() < deadline, "{} descriptors are left", descriptors(&self.node));
            self.work();
        }
    }
}

/// Whether the other end has ended this connection.
fn is_ended(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

#[test]
fn a_process_without_descriptors_serves_its_links_and_recovers() {
    let mut friends = Friends::new("");
    let before = descriptors(&friends.node);
    // Nobody more can be accepted.
    let old = outside::limit_descriptors(&friends.node, before as u64);
    let mut waiting: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(friends.address()).expect("the kernel accepts")).collect();
    let mut late = Agent::open("late", &[&friends.node.address], "");
    friends.work_until(Instant::now() + Duration::from_secs(1));
    // What is made for a caller fails cleanly.
    let refused = friends.node.call("spawn_mailbox");
    assert!(refused.starts_with("ok") || refused.starts_with("CONVOKE_E_IO"), "{refused}");
    // It does not spin: the time that it has while nobody asks for anything.
    let (began, spent) = (Instant::now(), processor_time(&friends.node));
    std::thread::sleep(Duration::from_secs(2)); // what is measured is what happens while nothing happens
    let (elapsed, spent) = (began.elapsed(), processor_time(&friends.node) - spent);
    println!("{spent:?} of processor time in {elapsed:?} without descriptors");
    assert!(spent < elapsed / 10);
    assert_eq!(friends.friend.seen("down"), 0);
    // There are some again, and those who waited are served: strangers are looked at, and the late one is let in.
    outside::limit_descriptors(&friends.node, old);
    let recovered = Instant::now();
    late.wait_for_peers(&["friend", "node"]);
    println!("a node that waited is in after {:?}", recovered.elapsed());
    waiting.retain_mut(|stream| !is_ended(stream));
    drop(waiting);
    friends.wait_for_descriptors(before + 1, Instant::now() + HANDSHAKE * 2);
    println!("registering took {:?} at most", friends.slowest);
}

#[test]
fn two_thousand_strangers_do_not_keep_a_friend_out() {
    const STRANGERS: usize = 2000;
    let _turn = crate::turn();
    outside::many_descriptors();
    let mut friends = Friends::new("");
    friends.work();
    let (before, memory) = (descriptors(&friends.node), friends.node.memory());
    let address = friends.address();
    let began = Instant::now();
    let mut strangers: Vec<TcpStream> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20)
            .map(|t| {
                scope.spawn(move || {
                    (t..STRANGERS).step_by(20).map(|i| stranger(address, i)).collect::<Vec<_>>()
                })
            })
            .collect();
        // Meanwhile the friends go on.
        while !threads.iter().all(|thread| thread.is_finished()) {
            friends.work();
        }
        threads.into_iter().flat_map(|thread| thread.join().expect("strangers")).collect()
    });
    println!("{STRANGERS} have connected after {:?}", began.elapsed());
    let joining = Instant::now();
    let mut late = Agent::open("late", &[&friends.node.address], "");
    let (mut most_descriptors, mut most_memory) = (0, 0);
    let (watcher, _) = late.spawn();
    late.ok(&format!("monitor_nodes {watcher}"));
    while late.seen("up node") == 0 {
        friends.work();
        most_descriptors = most_descriptors.max(descriptors(&friends.node));
        most_memory = most_memory.max(friends.node.memory());
        assert!(joining.elapsed() < Duration::from_secs(30), "a friend is kept out");
    }
    println!("a new node is in after {:?}", joining.elapsed());
    late.wait_for_peers(&["friend"]);
    // Every one of them is dropped, in the time that a handshake may take and that those before it in the queue took.
    let deadline = Instant::now() + HANDSHAKE * 4;
    while !strangers.is_empty() {
        most_descriptors = most_descriptors.max(descriptors(&friends.node));
        most_memory = most_memory.max(friends.node.memory());
        strangers.retain_mut(|stream| !is_ended(stream));
        friends.work();
        assert!(Instant::now() < deadline, "{} strangers are still there", strangers.len());
    }
    println!("all are dropped after {:?}", began.elapsed());
    let grown = most_memory.saturating_sub(memory);
    println!("at most {most_descriptors} descriptors and {} KiB more memory", grown >> 10);
    assert!(most_descriptors < before + PLACES + 70 && grown < 16 * MIB);
    friends.wait_for_descriptors(before + 1, Instant::now() + HANDSHAKE);
    println!("registering took {:?} at most", friends.slowest);
    assert_eq!(friends.friend.seen("down"), 0);
}

/// Says nothing, something senseless, or the beginning of what a node would say; and stays.
fn stranger(address: SocketAddr, i: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the kernel accepts");
    let greeting = peer::greeting("stranger", u64::MAX - i as u64);
    let said = match i % 3 {
        0 => Vec::new(),
        1 => (0..200).map(|n| (n * 31 + i * 7) as u8).collect(),
        _ => greeting[..1 + i % (greeting.len() - 1)].to_vec(),
    };
    let _ = stream.write_all(&said); // cut off already, perhaps
    stream
}

#[test]
fn a_stranger_that_speaks_one_byte_a_second_is_cut_off() {
    let mut friends = Friends::new("");
    let before = descriptors(&friends.node);
    let address = friends.address();
    let began = Instant::now();
    let mut strangers: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(address).expect("the kernel accepts")).collect();
    let greeting = peer::greeting("stranger", u64::MAX);
    for byte in greeting.iter().take(12) {
        strangers.iter_mut().for_each(|stream| drop(stream.write_all(&[*byte])));
        friends.work_until(Instant::now() + Duration::from_secs(1));
        strangers.retain_mut(|stream| !is_ended(stream));
        if strangers.is_empty() {
            break;
        }
    }
    println!("all are cut off after {:?}", began.elapsed());
    assert!(strangers.is_empty() && began.elapsed() < HANDSHAKE + Duration::from_secs(3));
    friends.wait_for_descriptors(before, Instant::now() + HANDSHAKE);
}

#[test]
fn a_peer_that_never_ends_its_frame_is_given_up() {
    let mut friends = Friends::new("detection_ms=1000");
    let mut peer = Peer::link(friends.address(), "dribbler");
    friends.node.wait_for_peers(&["dribbler"]);
    let began = Instant::now();
    let frame = peer::heartbeat();
    // Its length says more than ever comes.
    peer.say(&1000u32.to_le_bytes());
    while friends.node.seen("down dribbler") == 0 {
        peer.say(&frame[4..5]);
        assert!(began.elapsed() < Duration::from_secs(20));
        let _ = friends.node.wait_for_event("down", Duration::from_millis(200));
    }
    println!("given up after {:?}", began.elapsed());
    friends.work();
}

#[test]
fn a_peer_that_never_reads_costs_little_and_is_given_up() {
    let mut friends = Friends::new("detection_ms=1000");
    let mut deaf = Peer::link(friends.address(), "deaf");
    friends.node.wait_for_peers(&["deaf"]);
    let memory = friends.node.memory();
    let (p, _) = friends.node.spawn();
    // As many as fit; then the sender is told.
    let began = Instant::now();
    let mut accepted = 0;
    for receiver in 1..=50 {
        let answer = friends.node.ok(&format!("flood {p} {} 10000", deaf.pid(receiver)));
        accepted += answer.parse::<u64>().expect("a count") * 10_000;
    }
    let grown = friends.node.memory().saturating_sub(memory);
    println!("{} KiB accepted, {} KiB more memory", accepted >> 10, grown >> 10);
    assert!(grown < 16 * MIB);
    // It lives, as far as one can hear. But what is said to it does not arrive.
    let (theirs, pid) = friends.friend.spawn();
    friends.friend.ok(&format!("send {theirs} {pid} to-itself"));
    friends.friend.event("message");
    let (ours, our_pid) = friends.node.spawn();
    friends.friend.ok(&format!("send {theirs} {our_pid} hello"));
    friends.node.event(&format!("message {our_pid} {pid} hello"));
    assert!(began.elapsed() < Duration::from_secs(2), "another link is slowed: {:?}", began.elapsed());
    while friends.node.seen("down deaf") == 0 {
        let _ = deaf.try_say(&peer::heartbeat());
        assert!(began.elapsed() < Duration::from_secs(20), "it is never given up");
        let _ = friends.node.wait_for_event("down", Duration::from_millis(100));
    }
    println!("given up after {:?}", began.elapsed());
    friends.node.ok(&format!("register {ours} after"));
    friends.work();
}
