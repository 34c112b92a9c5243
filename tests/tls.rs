//! Whole nodes with a certificate each.

#[path = "support/authority.rs"]
mod authority;

use authority::{Authority, Files, Kind};
use convoke::model::Status;
use convoke::node::{
    Attempt, Completion, Error, Event, EventKind, Field, List, LockId, Node, Options, Process,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Long enough for anything that happens; a test that needs it has failed.
const LONG: i64 = 30_000;

/// A directory of its own for each test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("convoke-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, file: &str) -> String {
        self.0.join(file).to_str().unwrap().to_owned()
    }

    /// Writes the files of a node, as somebody would who renews them.
    fn write(&self, name: &str, files: &Files) {
        for (kind, text) in [
            ("pem", Some(&files.cert)),
            ("key", Some(&files.key)),
            ("ca", Some(&files.ca)),
            ("crl", files.crl.as_ref()),
        ] {
            if let Some(text) = text {
                let path = self.path(&format!("{name}.{kind}"));
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            }
        }
    }

    fn options(&self, name: &str, set: &[(&str, &str)]) -> Options {
        let mut options = Options::without_secret();
        options.set("name", name).unwrap();
        for (key, kind) in [("tls.cert", "pem"), ("tls.key", "key"), ("tls.ca", "ca"), ("tls.crl", "crl")] {
            let path = self.path(&format!("{name}.{kind}"));
            if Path::new(&path).exists() {
                options.set(key, &path).unwrap();
            }
        }
        set.iter().for_each(|(key, value)| options.set(key, value).unwrap());
        options
    }

    fn open(&self, name: &str, set: &[(&str, &str)]) -> Result<Node, Error> {
        Node::open(&self.options(name, set))
    }

    /// Writes the files and opens the node.
    fn start(&self, name: &str, files: &Files, set: &[(&str, &str)]) -> Node {
        self.write(name, files);
        self.open(name, set).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn spawn(node: &Node) -> Process {
    Process::spawn(node, None).unwrap()
}

fn connect(node: &Node, to: &Node) -> Result<(), Error> {
    spawn(node).connect(to.address(), LONG, Completion::Wait).map(|_| ())
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

#[test]
fn names_messages_groups_and_locks_work_over_tls() {
    let (scratch, authority) = (Scratch::new("all"), Authority::new("ours"));
    let nodes = ["a", "b.example", "c-3"].map(|name| scratch.start(name, &authority.node(name), &[]));
    for node in &nodes {
        for other in nodes.iter().filter(|other| other.id() != node.id()) {
            connect(node, other).unwrap();
        }
    }
    let [here, there, third] = [0, 1, 2].map(|index| spawn(&nodes[index]));
    there.register(b"service", None, None, false, LONG, Completion::Wait).unwrap();
    assert_eq!(nodes[0].whereis(b"service").unwrap(), there.pid());
    let large = vec![7; 1 << 20];
    for payload in [&b"small"[..], &large] {
        here.send_name(b"service", payload).unwrap();
        assert_eq!(expect(&there, EventKind::Message).payload(), Some(payload));
    }
    third.group_create(b"group", LONG, Completion::Wait).unwrap();
    for process in [&here, &there, &third] {
        process.group_join(b"group", None, LONG, Completion::Wait).unwrap();
    }
    let lock = LockId { resource: b"lock", requester: None };
    here.acquire(lock, Attempt { nodes: None, retries: None, timeout_ms: LONG }, Completion::Wait).unwrap();
    let refused =
        there.acquire(lock, Attempt { nodes: None, retries: None, timeout_ms: 0 }, Completion::Wait);
    assert_eq!(refused.map(|_| ()).unwrap_err().status, Status::Timeout);
}

#[test]
fn certificates_are_renewed_under_traffic_and_nothing_is_lost() {
    let (scratch, authority) = (Scratch::new("renew"), Authority::new("ours"));
    let list = |revoked: &[u64]| Some(authority.revoke(revoked));
    let files = |name: &str, serial, revoked: &[u64]| Files {
        crl: list(revoked),
        ..authority.sign(name, Kind::Good, serial)
    };
    let one = scratch.start("one", &files("one", 1, &[]), &[]);
    let two = scratch.start("two", &files("two", 2, &[]), &[("seeds", one.address())]);
    connect(&two, &one).unwrap();
    let (sender, receiver, to) = {
        let receiver = spawn(&one);
        let to = receiver.pid();
        (spawn(&two), receiver, to)
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, sending) = (stop.clone(), move || {
        let mut number = 0u64;
        while !stop.load(Ordering::Relaxed) {
            match sender.send(to, &number.to_le_bytes()) {
                Ok(()) => number += 1,
                Err(error) => {
                    assert_eq!(error.status, Status::Full, "{error}");
                    let _ = sender.recv(20); // SENDABLE, or time to see whether that is all
                }
            }
        }
        number
    });
    let sending = thread::spawn(sending);
    let mut heard = 0u64;
    let mut hear = |count: u64| {
        for _ in 0..count {
            assert_eq!(expect(&receiver, EventKind::Message).payload(), Some(&heard.to_le_bytes()[..]));
            heard += 1;
        }
        heard
    };
    hear(100);
    // Renewed, and the certificate with number 9 revoked.
    let thief = scratch.start("three", &files("three", 9, &[]), &[]);
    connect(&thief, &one).unwrap();
    for (node, name, serial) in [(&one, "one", 11), (&two, "two", 12)] {
        scratch.write(name, &files(name, serial, &[9]));
        node.reload(&scratch.options(name, &[("seeds", if name == "two" { one.address() } else { "" })]))
            .unwrap();
        hear(100);
    }
    // Links stay; the next one of the revoked certificate is refused.
    assert_eq!(one.peers().unwrap().len(), 2);
    thief.close(LONG).unwrap();
    let thief = scratch.open("three", &[]).unwrap();
    let error = connect(&thief, &one).unwrap_err();
    assert_eq!(error.status, Status::Auth);
    assert!(error.detail.contains("was revoked"), "{error}");
    let late = scratch.start("late", &files("late", 20, &[9]), &[]);
    connect(&late, &one).unwrap();
    stopped.store(true, Ordering::Relaxed);
    let sent = sending.join().unwrap();
    let rest = sent - hear(0);
    assert_eq!(hear(rest), sent, "none was lost");
}

/// Of the link to the node of this name: the fingerprint of its certificate, when that expires, and whether the link is replaced.
fn link(node: &Node, to: &str) -> Option<(String, u64, u64)> {
    let rows = node.peers().unwrap();
    let index = (0..rows.len()).find(|&index| rows.name(index) == Some(to.as_bytes()))?;
    assert_eq!(rows.bytes(index, Field::Protection), Some(&b"tls"[..]));
    let credential = String::from_utf8(rows.bytes(index, Field::Credential).unwrap().to_vec()).unwrap();
    let number = |field| rows.u64(index, field).unwrap();
    Some((credential, number(Field::ExpiresMs), number(Field::IsReplaced)))
}

fn text(list: &List) -> String {
    String::from_utf8(list.bytes(0, Field::Text).unwrap().to_vec()).unwrap()
}

#[test]
fn a_change_of_certificates_can_be_verified_and_ends_the_links_of_who_was_revoked() {
    let (scratch, authority) = (Scratch::new("verify"), Authority::new("ours"));
    let files = |name: &str, serial, revoked: &[u64]| Files {
        crl: Some(authority.revoke(revoked)),
        ..authority.sign(name, Kind::Good, serial)
    };
    let [one, two, thief] = [("one", 1), ("two", 2), ("thief", 9)]
        .map(|(name, serial)| scratch.start(name, &files(name, serial, &[]), &[]));
    connect(&two, &one).unwrap();
    connect(&thief, &one).unwrap();
    let watcher = spawn(&one);
    watcher.sync(LONG, Completion::Wait).unwrap();
    watcher.node_monitor().unwrap();
    expect(&watcher, EventKind::SnapshotEnd);
    // What `one` sees is what `two` says of itself.
    let (fingerprint, expires_ms, replaced) = link(&one, "two").unwrap();
    assert!(text(&two.dump().unwrap()).contains(&format!("\"fingerprint\": \"{fingerprint}\"")));
    let metric = |node: &Node, name: &str| {
        let text = text(&node.metrics().unwrap());
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).map(str::to_owned);
        line.and_then(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
    };
    // The authority of these tests gives its certificates until 4096.
    assert_eq!((expires_ms, replaced), (67_090_118_400_000, 0));
    assert_eq!(metric(&one, "convoke_certificate_expiry_timestamp_seconds"), Some(67_090_118_400));
    assert_eq!(metric(&one, "convoke_peer_certificate_expiry_timestamp_seconds"), Some(67_090_118_400));
    // The same files are no change.
    let ending = [("reload.links", "end")];
    one.reload(&scratch.options("one", &ending)).unwrap();
    one.reload(&scratch.options("one", &[])).unwrap();
    assert_eq!(link(&one, "two").unwrap().2, 0);
    // A new certificate, and a list with that of the thief.
    for (node, name, serial) in [(&one, "one", 11), (&two, "two", 12)] {
        scratch.write(name, &files(name, serial, &[9]));
        node.reload(&scratch.options(name, &[])).unwrap();
    }
    assert_eq!(link(&one, "two").unwrap(), (fingerprint.clone(), expires_ms, 1));
    assert_eq!(metric(&one, "convoke_links_replaced"), Some(2));
    assert_eq!(watcher.recv(0).unwrap_err().status, Status::Timeout, "links go on");
    for (node, name) in [(&one, "one"), (&two, "two")] {
        node.reload(&scratch.options(name, &ending)).unwrap();
    }
    let (mut downs, mut ups) = (0, 0);
    while downs < 2 || ups < 1 {
        match watcher.recv(LONG).unwrap().kind() {
            EventKind::NodeDown => downs += 1,
            EventKind::NodeUp => ups += 1,
            kind => panic!("{kind:?}"),
        }
    }
    let (now, _, replaced) = link(&one, "two").unwrap();
    assert!(now != fingerprint && replaced == 0);
    assert_eq!(link(&one, "thief"), None);
    assert_eq!(connect(&thief, &one).unwrap_err().status, Status::Auth);
}

#[test]
fn whoever_is_set_up_wrongly_is_told_how() {
    let (scratch, authority) = (Scratch::new("wrong"), Authority::new("ours"));
    let good = authority.node("n");
    scratch.write("n", &good);
    let no = |set: &[(&str, &str)], status: Status, word: &str| {
        let error = scratch.open("n", set).map(|_| ()).unwrap_err();
        assert_eq!(error.status, status, "{error}");
        assert!(error.detail.contains(word), "{error}");
    };
    let secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeef1";
    no(&[("secret", secret)], Status::Option, "not together with a secret");
    no(&[("tls.ca", "/nonexistent")], Status::Io, "/nonexistent");
    no(&[("tls.cert", &scratch.path("n.key"))], Status::Option, "n.key: there is no -----BEGIN CERTIFICATE");
    no(&[("name", "other")], Status::Option, "DNS:other");
    no(&[("name", "two words")], Status::Option, "name of a node must be");
    // Who can write the lists decides who is a member.
    fs::write(scratch.path("n.crl"), authority.revoke(&[9])).unwrap();
    for kind in ["pem", "ca", "crl"] {
        let mode = |mode| {
            fs::set_permissions(scratch.path(&format!("n.{kind}")), Permissions::from_mode(mode)).unwrap()
        };
        mode(0o664);
        no(&[], Status::Option, "chmod go-w");
        mode(0o644);
    }
    fs::remove_file(scratch.path("n.crl")).unwrap();
    fs::set_permissions(scratch.path("n.key"), Permissions::from_mode(0o644)).unwrap();
    no(&[], Status::Option, "chmod 600");
    fs::remove_file(scratch.path("n.key")).unwrap();
    no(&[], Status::Option, "tls.key: is missing");
    for (kind, word) in
        [(Kind::Expired, "renew it"), (Kind::Early, "not valid yet"), (Kind::ServerOnly, "clientAuth")]
    {
        scratch.write("n", &authority.sign("n", kind, 3));
        no(&[], Status::Option, word);
    }
    // Of another authority: both ends are told at the first connection.
    let other = Authority::new("other");
    let one = scratch.start("one", &authority.node("one"), &[]);
    let stranger = scratch.start("stranger", &other.node("stranger"), &[]);
    for (from, to) in [(&stranger, &one), (&one, &stranger)] {
        let error = connect(from, to).unwrap_err();
        assert_eq!(error.status, Status::Auth);
        assert!(error.detail.contains("check tls.ca"), "{error}");
    }
    // A change of the way of protection needs a new node.
    let mut options = Options::without_secret();
    options.set("name", "one").unwrap();
    assert!(one.reload(&options).unwrap_err().detail.contains("cannot go on without"));
    options.set("secret", secret).unwrap();
    assert!(one.reload(&options).unwrap_err().detail.contains("cannot change between"));
}

/// What docs/security.md says of making certificates, word for word.
#[test]
fn the_commands_of_the_manual_make_good_certificates() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("there is no openssl here");
        return;
    }
    let manual = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md")).unwrap();
    let (_, section) = manual.split_once("## Mutual TLS").unwrap();
    let scripts: Vec<&str> =
        section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [make, revoke] = scripts[..] else { panic!("two blocks of commands") };
    let scratch = Scratch::new("manual");
    let run = |script: &str| {
        let done = Command::new("sh").args(["-eu", "-c", script]).current_dir(&scratch.0).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    run(make);
    run(&make
        .lines()
        .skip_while(|line| !line.contains("for each node"))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("node1", "node2"));
    let options = |name: &str, crl: bool| {
        let mut options = Options::without_secret();
        options.set("name", name).unwrap();
        options.set("tls.cert", &scratch.path(&format!("{name}.pem"))).unwrap();
        options.set("tls.key", &scratch.path(&format!("{name}.key"))).unwrap();
        options.set("tls.ca", &scratch.path("ca.pem")).unwrap();
        if crl {
            options.set("tls.crl", &scratch.path("crl.pem")).unwrap();
        }
        options
    };
    let (one, two) =
        (Node::open(&options("node1", false)).unwrap(), Node::open(&options("node2", false)).unwrap());
    connect(&two, &one).unwrap();
    run(revoke);
    let error = Node::open(&options("node1", true)).map(|_| ()).unwrap_err();
    assert!(error.detail.contains("was revoked"), "{error}");
    let strict = Node::open(&options("node2", true)).unwrap();
    let error = connect(&one, &strict).unwrap_err();
    assert!(error.status == Status::Auth && error.detail.contains("was revoked"), "{error}");
}
