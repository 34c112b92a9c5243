//! Bad input, garbage, and nodes that hang.

use crate::harness::{Cluster, EventKind, Field, LONG, Lock, NOBODY, Noticed, Process, Status};
use convoke::ffi::convoke_pid;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Arguments that are no names, pids, lists or numbers: the caller gets an error, and the node is as it was. (What C alone
/// can get wrong, such as NULL, is the subject of tests/c/nulls.c.)
#[test]
fn s05_bad_input() {
    let cluster = Cluster::mesh(2);
    let (main, other) = (cluster[0].spawn(), cluster[1].spawn());
    let peers = cluster[0].peers();
    let long = "x".repeat(2000);
    assert_eq!(main.try_register("", &main.pid, None, LONG), Status::Invalid);
    assert_eq!(main.try_register(&long, &main.pid, None, LONG), Status::TooBig);
    assert_eq!(main.try_register("name", &NOBODY, None, LONG), Status::Invalid);
    assert_eq!(main.try_register("name", &main.pid, None, -2), Status::Invalid);
    assert_eq!(main.try_register("name", &main.pid, Some("no such resolver"), LONG), Status::NotFound);
    assert_eq!(main.try_register("name", &other.pid, Some("no such resolver"), LONG), Status::NotFound);
    let unknown = convoke_pid { node: other.pid.node, serial: 1 << 60 };
    assert_eq!(main.try_register("name", &unknown, None, LONG), Status::NoProcess);
    let unreachable = convoke_pid { node: 1, serial: 1 };
    assert_eq!(main.try_register("name", &unreachable, None, LONG), Status::Unreachable);
    let good = Lock::on_all("r");
    for (lock, expected) in [
        (Lock::on_all(""), Status::Invalid),
        (Lock::on_all(&long), Status::TooBig),
        (Lock::on_all("r").by(""), Status::Invalid),
        (Lock::on_all("r").by(&long), Status::TooBig),
        (good.clone().retries(-2), Status::Invalid),
        (good.clone().within(-2), Status::Invalid),
        (Lock::on_named("r", &[]), Status::Invalid),
        (Lock::on_named("r", &["nobody"]), Status::Unreachable),
    ] {
        assert_eq!(main.try_lock(&lock), Err(expected), "{lock:?}");
        assert_eq!(main.with(&lock, |_| panic!("it was not obtained")), Err(expected), "{lock:?}");
    }
    assert_eq!(main.try_unlock(&Lock::on_all("")), Status::Invalid);
    assert_eq!(main.try_unlock(&Lock::on_named("r", &[])), Status::Invalid);
    assert_eq!(main.try_unlock(&good), Status::NotOwner);
    assert_eq!(main.try_join("", &main.pid), Status::Invalid);
    assert_eq!(main.try_join("g", &NOBODY), Status::Invalid);
    // Nothing of all that has left a trace.
    cluster.all_show("name", None);
    assert!(cluster[0].locks("r").is_empty() && cluster[0].groups().is_empty());
    assert_eq!(cluster[0].peers(), peers);
    main.register("name");
    main.lock(&good);
    cluster.all_show("name", Some(main.pid));
}

/// Whatever strangers write to the sockets and peers write into mailboxes: nodes and links live on.
#[test]
fn s36_garbage_messages() {
    let cluster = Cluster::mesh(3);
    let watchers = cluster.spawn_all();
    watchers.iter().for_each(Process::monitor_nodes);
    let owner = cluster[1].spawn();
    owner.register("name");
    let mut noise = 1_u64;
    let mut noise = |len: usize| -> Vec<u8> {
        let next = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    };
    let mut garbage: Vec<Vec<u8>> = [1, 4, 5, 100, 5_000, 100_000].map(&mut noise).to_vec();
    garbage.extend([
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0; 10_000],
        vec![0xff; 10_000],
        [&200_u32.to_le_bytes()[..], &[0], b"CONVOKE\0", &noise(191)].concat(),
        [&9_u32.to_le_bytes()[..], &[1], &noise(8)].concat(), // a control message of a stranger
    ]);
    for node in &cluster.nodes {
        for bytes in &garbage {
            let mut stream = TcpStream::connect(&node.address).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(LONG as u64))).unwrap();
            // The node may end it before all is written.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            match stream.read_to_end(&mut rest) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{} holds on to it", node.name)
                }
            }
        }
    }
    for bytes in &garbage {
        let text = String::from_utf8_lossy(bytes).into_owned();
        watchers[0].send(&owner.pid, &text);
        assert_eq!(owner.expect(EventKind::Message).text(Field::Payload), text);
    }
    for watcher in &watchers {
        assert_eq!(watcher.waiting(EventKind::NodeDown), 0);
    }
    owner.reregister("name", &watchers[2].pid);
    cluster.all_show("name", Some(watchers[2].pid));
}

/// A node that hangs holds a registration up for the detection time at most. One with a deadline before that is undone
/// everywhere, at the hung node too when it comes to itself.
#[test]
fn s67_hung_node() {
    const DETECTION: u64 = 1000;
    let mut cluster = Cluster::mesh_with(3, &[("detection_ms", &DETECTION.to_string())]);
    let (owner, hung) = (cluster[0].spawn(), cluster[2].spawn());
    hung.register("of the hung one");
    for other in [0, 1] {
        cluster.cut_noticed(other, 2, Noticed::ByNobody);
    }
    assert_eq!(owner.try_register("early", &owner.pid, None, 100), Status::Timeout);
    assert_eq!(cluster[0].whereis("early"), None);
    let began = Instant::now();
    owner.register("name");
    let took = began.elapsed();
    // The detection time, and what a loaded machine adds.
    assert!(took < Duration::from_millis(10 * DETECTION), "{took:?}");
    for node in [0, 1] {
        assert_eq!(cluster[node].whereis("name"), Some(owner.pid));
        // The coordinator has given the hung one up; the other one may take a little longer.
        cluster[node].await_gone("of the hung one");
    }
    cluster.heal_all();
    cluster.await_mesh();
    cluster.all_show("early", None);
    cluster.all_show("name", Some(owner.pid));
    cluster.all_show("of the hung one", Some(hung.pid));
}

/// A pause that is shorter than the detection time is no split: what was under way goes on.
#[test]
fn s67_paused_node() {
    let mut cluster = Cluster::mesh_with(3, &[("detection_ms", "20000")]);
    let (owner, watcher) = (cluster[0].spawn(), cluster[2].spawn());
    watcher.monitor_nodes();
    for other in [0, 1] {
        cluster.cut_noticed(other, 2, Noticed::ByNobody);
    }
    let op = owner.begin_register("name", LONG);
    owner.send(&watcher.pid, "in time");
    assert_eq!(owner.waiting(EventKind::Done), 0);
    cluster.heal_all();
    assert_eq!(owner.done(op), Status::Ok);
    cluster.all_show("name", Some(owner.pid));
    assert_eq!(watcher.expect(EventKind::Message).text(Field::Payload), "in time");
    assert_eq!(watcher.waiting(EventKind::NodeDown), 0);
}
