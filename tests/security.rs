//! Whole nodes under a secret, with somebody on the way between them, and those who are to be kept out.

use convoke::model::{ClashAnswer, Pid, Reason, Status};
use convoke::node::{Attempt, Completion, Event, EventKind, Field, List, LockId, Node, Options, Process};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

const LONG: i64 = 30_000;
const OLD: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeef1";
const NEW: &str = "9d1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddee72";

fn options(set: &[(&str, &str)]) -> Options {
    let mut all = Options::without_secret();
    set.iter().for_each(|(key, value)| all.set(key, value).unwrap());
    all
}

fn open(set: &[(&str, &str)]) -> Node {
    Node::open(&options(set)).unwrap()
}

fn spawn(node: &Node) -> Process {
    Process::spawn(node, None).unwrap()
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

/// What lies between a dialler and an address: both directions go through `pass`, which says what becomes of the bytes.
struct Way {
    address: String,
}

impl Way {
    fn to(address: &str, pass: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { address: listener.local_addr().unwrap().to_string() };
        let to: SocketAddr = address.parse().unwrap();
        let pass = Arc::new(pass);
        thread::spawn(move || {
            for dialler in listener.incoming() {
                let (Ok(dialler), Ok(other)) = (dialler, TcpStream::connect(to)) else { return };
                let back = (other.try_clone().unwrap(), dialler.try_clone().unwrap());
                for (mut from, mut to) in [(dialler, other), back] {
                    let pass = pass.clone();
                    thread::spawn(move || {
                        let mut bytes = [0; 16 << 10];
                        while let Ok(n @ 1..) = from.read(&mut bytes) {
                            pass(&mut bytes[..n]);
                            if to.write_all(&bytes[..n]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(Shutdown::Write);
                        let _ = from.shutdown(Shutdown::Read);
                    });
                }
            }
        });
        way
    }
}

const WORDS: [&str; 8] = [
    "hidden-cluster",
    "hidden-ann",
    "hidden-bob",
    "hidden-name",
    "hidden-group",
    "hidden-lock",
    "hidden-payload",
    "hidden-resolver",
];

/// Two nodes do something of everything over a way that records it. Which of the words stand there to be read?
fn words_on_the_way(secret: &[(&str, &str)]) -> Vec<&'static str> {
    let record = Arc::new(Mutex::new(Vec::new()));
    let writes = record.clone();
    let common = [secret, &[("cluster", "hidden-cluster")]].concat();
    let ann = open(&[&common[..], &[("name", "hidden-ann")]].concat());
    let way = Way::to(ann.address(), move |bytes| writes.lock().unwrap().extend_from_slice(bytes));
    let bob = open(&[&common[..], &[("name", "hidden-bob")]].concat());
    let (here, there) = (spawn(&ann), spawn(&bob));
    there.connect(&way.address, LONG, Completion::Wait).unwrap();
    bob.add_resolver("hidden-resolver", Box::new(|_| ClashAnswer::Failed)).unwrap();
    there.register(b"hidden-name", None, Some("hidden-resolver"), false, LONG, Completion::Wait).unwrap();
    there.group_create(b"hidden-group", LONG, Completion::Wait).unwrap();
    there.group_join(b"hidden-group", None, LONG, Completion::Wait).unwrap();
    let lock = LockId { resource: b"hidden-lock", requester: None };
    let attempt = Attempt { nodes: None, retries: None, timeout_ms: LONG };
    there.acquire(lock, attempt, Completion::Wait).unwrap();
    let large = b"hidden-payload".repeat(100_000);
    for payload in [&b"a hidden-payload, short"[..], &large] {
        here.send_name(b"hidden-name", payload).unwrap();
        assert_eq!(expect(&there, EventKind::Message).payload(), Some(payload));
    }
    bob.close(LONG).unwrap();
    ann.close(LONG).unwrap();
    let record = record.lock().unwrap();
    assert!(record.len() > large.len(), "all of it went over the way");
    WORDS.into_iter().filter(|word| record.windows(word.len()).any(|w| w == word.as_bytes())).collect()
}

#[test]
fn a_recorder_reads_nothing_on_the_way_of_an_encrypted_link() {
    assert_eq!(words_on_the_way(&[]), WORDS, "the recorder works");
    assert!(words_on_the_way(&[("secret", OLD)]).is_empty());
}

#[test]
fn changed_bytes_end_the_link_and_nothing_else_and_the_pair_links_again() {
    let meddle = Arc::new(AtomicBool::new(false));
    let now = meddle.clone();
    // An address where nobody listens: the only way between the two is the one that is meddled with.
    let common = [("secret", OLD), ("dial.min_ms", "10"), ("advertise", "127.0.0.2:0")];
    let ann = open(&common);
    let address = ann.address().replace("127.0.0.2", "127.0.0.1");
    let way = Way::to(&address, move |bytes| {
        if now.swap(false, Ordering::SeqCst) {
            bytes[bytes.len() / 2] ^= 4;
        }
    });
    let bob = open(&[&common[..], &[("seeds", &way.address)]].concat());
    let (here, there) = (spawn(&ann), spawn(&bob));
    for process in [&here, &there] {
        process.node_monitor().unwrap();
        expect(process, EventKind::NodeUp);
    }
    for round in 0..5u8 {
        meddle.store(true, Ordering::SeqCst);
        // Something flows, if only life signs.
        let _ = there.send(here.pid(), &[round; 100]);
        for process in [&here, &there] {
            let down = expect(process, EventKind::NodeDown);
            assert_ne!(down.reason(), Reason::NODE_CLOSED);
            expect(process, EventKind::NodeUp);
        }
    }
    there.sync(LONG, Completion::Wait).unwrap();
    there.send(here.pid(), b"after all").unwrap();
    while expect(&here, EventKind::Message).payload() != Some(b"after all") {}
}

/// Sends numbers until it is stopped, and gives how many.
fn send_until(stop: Arc<AtomicBool>, from: Process, to: Pid) -> thread::JoinHandle<u64> {
    thread::spawn(move || {
        let mut number = 0u64;
        while !stop.load(Ordering::Relaxed) {
            match from.send(to, &number.to_le_bytes()) {
                Ok(()) => number += 1,
                Err(error) if error.status == Status::Full => {
                    expect(&from, EventKind::Sendable);
                }
                Err(error) => panic!("{error}"),
            }
        }
        number
    })
}

#[test]
fn secrets_change_under_traffic_and_nothing_is_lost() {
    let nodes: Vec<Node> = (0..3).map(|_| open(&[("secret", OLD)])).collect();
    let watchers: Vec<Process> = nodes.iter().map(spawn).collect();
    for watcher in &watchers {
        for node in nodes.iter().filter(|node| node.id() != watcher.pid().node) {
            watcher.connect(node.address(), LONG, Completion::Wait).unwrap();
        }
        watcher.node_monitor().unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let pairs: Vec<_> = [(0, 1), (1, 2), (2, 0)]
        .into_iter()
        .map(|(from, to)| {
            let receiver = spawn(&nodes[to]);
            (send_until(stop.clone(), spawn(&nodes[from]), receiver.pid()), receiver)
        })
        .collect();
    let readers: Vec<_> = pairs
        .into_iter()
        .map(|(sender, receiver)| {
            thread::spawn(move || {
                // All in order, none left out, until the last that was sent.
                let mut next = 0u64;
                let mut sent = None;
                let mut sender = Some(sender);
                while sent != Some(next) {
                    if sender.as_ref().is_some_and(|sender| sender.is_finished()) {
                        sent = sender.take().map(|sender| sender.join().unwrap());
                        continue;
                    }
                    match receiver.recv(20) {
                        Ok(event) if event.kind() == EventKind::Message => {
                            assert_eq!(event.payload(), Some(&next.to_le_bytes()[..]));
                            next += 1;
                        }
                        Ok(event) => panic!("{event:?}"),
                        Err(error) => assert_eq!(error.status, Status::Timeout),
                    }
                }
                next
            })
        })
        .collect();
    let rounds: [&[(&str, &str)]; 2] = [&[("secret", NEW), ("secret.previous", OLD)], &[("secret", NEW)]];
    let mut late = Vec::new();
    for round in rounds {
        for node in &nodes {
            node.reload(&options(round)).unwrap();
            // At every moment a node with what is being given out finds somebody and everybody.
            let newcomer = open(&[round, &[("seeds", nodes[0].address())]].concat());
            let process = spawn(&newcomer);
            if round.len() == 2 {
                process.connect(nodes[0].address(), LONG, Completion::Wait).unwrap();
            }
            late.push(newcomer);
        }
    }
    let outsider = spawn(&open(&[("secret", OLD)])).connect(nodes[0].address(), LONG, Completion::Wait);
    assert_eq!(outsider.unwrap_err().status, Status::Auth);
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    for node in &late {
        node.close(LONG).unwrap();
    }
    for watcher in &watchers {
        while let Ok(event) = watcher.recv(0) {
            let first = |event: &Event| nodes.iter().any(|node| event.u64(Field::Node) == Some(node.id().0));
            assert!(
                !(event.kind() == EventKind::NodeDown && first(&event)),
                "a link of the first three went down"
            );
        }
    }
}

/// Of each link: what it is under, and whether that is good no more.
fn links(node: &Node) -> Vec<(String, u64)> {
    let rows = node.peers().unwrap();
    let row = |index| {
        assert_eq!(rows.bytes(index, Field::Protection), Some(&b"secret"[..]));
        assert_eq!(rows.u64(index, Field::ExpiresMs), Some(0));
        assert!(rows.u64(index, Field::SinceMs).is_some_and(|since| since < 600_000));
        let credential = rows.bytes(index, Field::Credential).unwrap();
        (String::from_utf8(credential.to_vec()).unwrap(), rows.u64(index, Field::IsReplaced).unwrap())
    };
    (0..rows.len()).map(row).collect()
}

fn text(list: &List) -> &str {
    std::str::from_utf8(list.bytes(0, Field::Text).unwrap()).unwrap()
}

#[test]
fn a_change_of_the_secret_can_be_verified_and_ends_the_links_of_who_knows_the_old_one() {
    let nodes: Vec<Node> = (0..3).map(|_| open(&[("secret", OLD)])).collect();
    let watchers: Vec<Process> = nodes.iter().map(spawn).collect();
    let thief = open(&[("secret", OLD)]);
    for watcher in &watchers {
        for other in nodes.iter().chain([&thief]).filter(|other| other.id() != watcher.pid().node) {
            watcher.connect(other.address(), LONG, Completion::Wait).unwrap();
        }
        watcher.node_monitor().unwrap();
        expect(watcher, EventKind::SnapshotEnd);
    }
    let old = links(&nodes[0])[0].0.clone();
    let reload = |set: &[(&str, &str)]| nodes.iter().for_each(|node| node.reload(&options(set)).unwrap());
    let round_one = [("secret", NEW), ("secret.previous", OLD), ("reload.links", "end")];
    reload(&round_one);
    for node in &nodes {
        assert_eq!(links(node), vec![(old.clone(), 0); 3], "the old one is good still");
    }
    reload(&[("secret", NEW)]);
    for node in &nodes {
        assert_eq!(links(node), vec![(old.clone(), 1); 3], "links go on");
        let metrics = node.metrics().unwrap();
        for line in [
            "convoke_links_protected{node=\"NAME\",protection=\"secret\"} 3",
            "convoke_links_replaced{node=\"NAME\"} 3",
            &format!("convoke_links_by_secret{{node=\"NAME\",secret=\"{old}\"}} 3"),
        ] {
            let line = line.replace("NAME", node.name());
            assert!(text(&metrics).lines().any(|there| there == line), "no {line}:\n{}", text(&metrics));
        }
        let dump = node.dump().unwrap();
        assert!(text(&dump).contains("\"replaced\": true") && text(&dump).contains(&old));
    }
    for watcher in &watchers {
        assert_eq!(watcher.recv(0).unwrap_err().status, Status::Timeout, "no link has ended so far");
    }
    reload(&[("secret", NEW), ("reload.links", "end")]);
    for (watcher, node) in watchers.iter().zip(&nodes) {
        // All three are ended, and the two come back.
        let (mut downs, mut ups) = (0, 0);
        while downs < 3 || ups < 2 {
            match watcher.recv(LONG).unwrap().kind() {
                EventKind::NodeDown => downs += 1,
                EventKind::NodeUp => ups += 1,
                kind => panic!("{kind:?}"),
            }
        }
        let now = links(node);
        let [(new, 0), (same, 0)] = &now[..] else { panic!("{now:?}") };
        assert!(new == same && *new != old);
    }
    assert_eq!(thief.peers().unwrap().len(), 0);
    let error = spawn(&thief).connect(nodes[0].address(), LONG, Completion::Wait).unwrap_err();
    assert_eq!(error.status, Status::Auth);
}

/// The line of the manual that makes a file of a secret.
#[test]
fn the_manual_s_way_to_make_a_secret_works() {
    let manual = include_str!("../docs/security.md");
    let line = manual.split("```sh\n").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let dir = std::env::temp_dir().join(format!("convoke-manual-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let made = std::process::Command::new("sh").args(["-c", line]).current_dir(&dir).status().unwrap();
    assert!(made.success());
    let file = dir.join("convoke.secret");
    let set = [("secret.file", file.to_str().unwrap())];
    let (one, two) = (open(&set), open(&set));
    spawn(&one).connect(two.address(), LONG, Completion::Wait).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

fn connect_error(from: &[(&str, &str)], to: &str) -> (Status, String) {
    let node = open(from);
    let error = spawn(&node).connect(to, LONG, Completion::Wait).unwrap_err();
    (error.status, error.detail)
}

#[test]
fn whoever_is_set_up_wrongly_is_told_how() {
    let secret = open(&[("secret", OLD)]);
    let plain = open(&[]);
    for (from, to, status, words) in [
        (&[("secret", NEW)][..], secret.address(), Status::Auth, "share no secret"),
        (&[("secret", OLD), ("cluster", "x")], secret.address(), Status::Auth, "option cluster"),
        (&[("cluster", "x")], plain.address(), Status::Auth, "option cluster"),
        (&[], secret.address(), Status::Auth, "secret.file"),
        (&[("secret", OLD)], plain.address(), Status::Auth, "secret.file"),
        (&[], "192.0.2.1:9", Status::Option, "insecure.plaintext"),
    ] {
        let (got, detail) = connect_error(from, to);
        assert_eq!(got, status, "{detail}");
        assert!(detail.contains(words), "{detail}");
    }
}

/// The options of a program that sets nothing, with the secret of the user in this file.
fn of_user(file: &Path, set: &[(&str, &str)]) -> Options {
    let mut all = Options::of_release();
    all.set("secret.user", file.to_str().unwrap()).unwrap();
    set.iter().for_each(|(key, value)| all.set(key, value).unwrap());
    all
}

/// A folder that is gone with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("convoke-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_secret_of_the_user_keeps_other_users_out_and_stays_on_the_machine() {
    let scratch = Scratch::new("user");
    let (mine, theirs) = (scratch.0.join("mine/secret"), scratch.0.join("theirs/secret"));
    let [one, two] = [0, 1].map(|_| Node::open(&of_user(&mine, &[])).unwrap());
    spawn(&one).connect(two.address(), LONG, Completion::Wait).unwrap();
    let stranger = Node::open(&of_user(&theirs, &[])).unwrap();
    for (from, word) in [(&stranger, "each user of a machine"), (&open(&[]), "the secret of its user")] {
        let error = spawn(from).connect(one.address(), LONG, Completion::Wait).unwrap_err();
        assert!(error.status == Status::Auth && error.detail.contains(word), "{error}");
    }
    let dump = one.dump().unwrap();
    assert!(text(&dump).contains(&format!("\"user_file\": {:?}", mine.to_str().unwrap())));
    // Nobody has set it up for a network.
    let error = spawn(&one).connect("192.0.2.1:9", LONG, Completion::Wait).unwrap_err();
    assert!(error.status == Status::Option && error.detail.contains("secret.file"), "{error}");
    let nobody = scratch.0.join("nobody/secret");
    for set in [("listen", "0.0.0.0:0"), ("seeds", "192.0.2.1:4370"), ("advertise", "192.0.2.1:4370")] {
        let error = Node::open(&of_user(&nobody, &[set])).map(|_| ()).unwrap_err();
        assert!(error.status == Status::Option && error.detail.contains(set.0), "{error}");
    }
    for set in [("insecure.plaintext", "loopback"), ("insecure.plaintext", "allow"), ("secret", OLD)] {
        Node::open(&of_user(&nobody, &[set])).unwrap();
    }
    assert!(!nobody.exists(), "it is made only for who needs it");
}

#[test]
fn a_node_with_the_secret_of_the_user_can_be_given_another() {
    let scratch = Scratch::new("user-reload");
    let file = scratch.0.join("convoke/secret");
    let [one, two] = [0, 1].map(|_| Node::open(&of_user(&file, &[])).unwrap());
    let connect = |from: &Node| spawn(from).connect(one.address(), LONG, Completion::Wait).map(|_| ());
    // As it is: the file is read anew.
    one.reload(&of_user(&file, &[("seeds", "")])).unwrap();
    connect(&two).unwrap();
    let user = std::fs::read_to_string(&file).unwrap().lines().last().unwrap().to_owned();
    let error = one.reload(&of_user(&file, &[("seeds", "192.0.2.1:4370")])).unwrap_err();
    assert!(error.detail.contains("seeds"), "{error}");
    // Round one of a change to a secret that is given.
    one.reload(&of_user(&file, &[("secret", NEW), ("secret.previous", &user)])).unwrap();
    connect(&open(&[("secret", NEW)])).unwrap();
    connect(&Node::open(&of_user(&file, &[])).unwrap()).unwrap();
    let error = one.reload(&of_user(&file, &[])).unwrap_err();
    assert!(error.detail.contains("cannot go on without"), "{error}");
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file.parent().unwrap(), "no folder").unwrap();
    assert_eq!(two.reload(&of_user(&file, &[])).unwrap_err().status, Status::Io);
}

/// What a library of years from now would say, and one that is no such library.
#[test]
fn a_later_version_and_a_stranger_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for (words, status, text) in [
        (
            &b"CONVOKE\0\x07\0\x09\0\x28\0\0\x02xxxxxxxxxxxxxxxxxxxxxxxx"[..],
            Status::Version,
            "versions 7 to 9",
        ),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", Status::Unreachable, "does not speak Convoke"),
    ] {
        let other = listener.try_clone().unwrap();
        let answers = thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            stream.write_all(words).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let (got, detail) = connect_error(&[("secret", OLD)], &address);
        assert_eq!(got, status, "{detail}");
        assert!(detail.contains(text), "{detail}");
        answers.join().unwrap();
    }
}

/// A node of a later version that still speaks this one puts more into its preamble, and is answered.
#[test]
fn a_later_version_that_speaks_this_one_too_is_accepted() {
    let node = open(&[]);
    let mut stream = TcpStream::connect(node.address()).unwrap();
    let mut words = b"CONVOKE\0\x01\0\x07\0\x30\0\0\0".to_vec(); // versions 1 to 7
    words.extend([0; 16]);
    words.extend([0x08, 0xe8, 0x01, 0xbf, 0x51, 0xc8, 0xc1, 0xfc]); // the digest of "default"
    words.extend(*b"more new");
    stream.write_all(&words).unwrap();
    let mut answer = [0; 40];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[..16], b"CONVOKE\0\x02\0\x02\0\x28\0\0\x01");
}
