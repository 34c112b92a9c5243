//! Names in a cluster whose links are whole.

use crate::harness::{Cluster, EventKind, Field, LONG, Reason, Status};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn s01_names() {
    let mut cluster = Cluster::mesh(4);
    let [t, cp1, cp3] = [0, 1, 3];
    let (p1, p2, p3) = (cluster[t].spawn(), cluster[t].spawn(), cluster[cp3].spawn());
    let (at_t, at_cp1) = (cluster[t].spawn(), cluster[cp1].spawn());

    p1.register("test");
    cluster.all_show("test", Some(p1.pid));
    for node in &cluster.nodes {
        assert_eq!(node.names(), BTreeSet::from(["test".to_owned()]));
    }
    for other in [&at_t, &at_cp1, &p1] {
        assert_eq!(other.try_register("test", &p2.pid, None, LONG), Status::Exists);
        assert_eq!(other.try_register("test", &p1.pid, None, LONG), Status::Exists, "also by the same pid");
    }
    at_cp1.kill(&p1.pid);
    cluster.await_gone("test");

    p2.register("test");
    p3.reregister("test", &p3.pid);
    cluster.all_show("test", Some(p3.pid));
    for (sender, text) in [(&at_t, "from T"), (&at_cp1, "from cp1")] {
        assert_eq!(sender.send_name("test", text), Ok(p3.pid));
        let message = p3.expect(EventKind::Message);
        assert_eq!((message.text(Field::Payload), message.peer()), (text.to_owned(), Some(sender.pid)));
    }
    // It lost the name before: that it ends now is nothing to the name.
    let monitor = at_cp1.monitor(&p2.pid);
    at_t.kill(&p2.pid);
    at_cp1.exit_of(monitor);
    cluster.all_show("test", Some(p3.pid));

    at_t.unregister("test");
    cluster.all_show("test", None);
    assert!(at_t.is_alive(&p3.pid), "it is not touched by that");
    assert_eq!(p3.waiting(EventKind::Exit), 0);
    assert_eq!(at_t.send_name("test", "nobody"), Err(Status::NotFound));
    at_t.unregister("test");

    let p6 = cluster[cp3].spawn();
    p6.register("test");
    cluster.all_show("test", Some(p6.pid));
    drop((p3, p6));
    at_t.monitor_nodes();
    cluster.nodes.pop();
    at_t.expect(EventKind::NodeDown);
    assert_eq!(cluster[t].whereis("test"), None, "the state goes before the event");
    cluster.await_gone("test");
}

/// A "hidden" node is one of another cluster: it never links.
#[test]
fn s02_names_hidden() {
    let mut cluster = Cluster::mesh(3);
    let seeds = cluster[0].address.clone();
    let hidden = Cluster::isolated_with(1, &[("seeds", &seeds)]);
    let (inside, outside) = (cluster[1].spawn(), hidden[0].spawn());
    assert_eq!(outside.try_connect(&cluster[1].address, LONG), Status::Auth);
    assert_eq!(inside.try_connect(&hidden[0].address, LONG), Status::Auth);

    outside.register("theirs");
    inside.register("ours");
    cluster.all_show("theirs", None);
    assert_eq!(hidden[0].whereis("ours"), None);
    // The same name twice, and no clash.
    inside.register("both");
    outside.register("both");
    assert_eq!(inside.try_register("both", &inside.pid, None, LONG), Status::Exists);
    cluster.all_show("both", Some(inside.pid));
    assert_eq!(hidden[0].whereis("both"), Some(outside.pid));
    outside.unregister("both");
    cluster.all_show("both", Some(inside.pid));
    outside.register("both");
    inside.unregister("both");
    assert_eq!(hidden[0].whereis("both"), Some(outside.pid));
    // Nor does it when it is met again and again.
    cluster.join();
    assert!(hidden[0].peers().is_empty());
    assert_eq!(inside.waiting(EventKind::NameConflict) + outside.waiting(EventKind::NameConflict), 0);
}

#[test]
fn s19_otp_5640() {
    let one = Cluster::mesh_with(3, &[("names.per_pid", "one")]);
    let process = one[1].spawn();
    process.register("first");
    assert_eq!(process.try_register("second", &process.pid, None, LONG), Status::Exists);
    let elsewhere = one[0].spawn();
    assert_eq!(elsewhere.try_register("second", &process.pid, None, LONG), Status::Exists);
    one.all_show("second", None);
    process.unregister("first");
    process.register("second");
    one.all_show("second", Some(process.pid));

    let many = Cluster::mesh(3);
    let (process, elsewhere) = (many[1].spawn(), many[0].spawn());
    process.register("first");
    assert_eq!(elsewhere.try_register("second", &process.pid, None, LONG), Status::Ok);
    process.register("third");
    elsewhere.unregister("first");
    many.all_show("first", None);
    for name in ["second", "third"] {
        many.all_show(name, Some(process.pid));
    }
    let watchers = many.spawn_all();
    for watcher in &watchers {
        assert_eq!(watcher.watch("second"), Some(process.pid));
    }
    process.exit();
    for name in ["second", "third"] {
        many.await_gone(name);
    }
    for watcher in &watchers {
        assert_eq!(watcher.expect(EventKind::NameChanged).peer(), None);
        assert_eq!(watcher.waiting(EventKind::NameChanged), 0, "once");
    }
}

#[test]
fn s27_re_register_name() {
    let cluster = Cluster::mesh(3);
    let (old, new) = (cluster[0].spawn(), cluster[1].spawn());
    let watchers = cluster.spawn_all();
    old.register("name");
    for watcher in &watchers {
        assert_eq!(watcher.watch("name"), Some(old.pid));
    }
    new.reregister("name", &new.pid);
    cluster.all_show("name", Some(new.pid));
    for watcher in &watchers {
        assert_eq!(watcher.expect(EventKind::NameChanged).peer(), Some(new.pid));
    }
    let lost = old.expect(EventKind::NameConflict);
    assert_eq!((lost.reason(), lost.peer()), (Reason::REPLACED, Some(new.pid)));
    assert!(new.is_alive(&old.pid));
    // An unknown name is registered.
    old.reregister("other", &old.pid);
    cluster.all_show("other", Some(old.pid));
    // The end of the old one means nothing to the name, that of the new one ends it, once.
    old.exit();
    cluster.await_gone("other");
    cluster.all_show("name", Some(new.pid));
    new.exit();
    cluster.await_gone("name");
    for watcher in &watchers {
        assert_eq!(watcher.expect(EventKind::NameChanged).peer(), None);
        assert_eq!(watcher.waiting(EventKind::NameChanged), 0, "once");
    }
}

/// A process of one node registers a pid of another: the name is the pid's, and its node's.
#[test]
fn s29_external_nodes() {
    let mut cluster = Cluster::mesh(4);
    let (a, b) = (2, 3);
    let (asker, other) = (cluster[a].spawn(), cluster[0].spawn());
    let hosted = cluster[b].spawn();
    assert_eq!(asker.try_register("external", &hosted.pid, None, LONG), Status::Ok);
    cluster.all_show("external", Some(hosted.pid));
    assert_eq!(asker.try_register("external", &hosted.pid, None, LONG), Status::Exists);
    assert_eq!(other.try_register("external", &other.pid, None, LONG), Status::Exists);
    // Seen by who comes later, and after a split.
    cluster.join();
    assert_eq!(cluster[4].whereis("external"), Some(hosted.pid));
    cluster.partition(&[&[0, 1, 4], &[2, 3]]);
    cluster[0].await_gone("external");
    cluster.heal_all();
    cluster.await_mesh();
    cluster.all_show("external", Some(hosted.pid));
    // Another takes it over; the end of the first is nothing to the name.
    asker.reregister("external", &other.pid);
    cluster.all_show("external", Some(other.pid));
    let monitor = other.monitor(&hosted.pid);
    hosted.exit();
    other.exit_of(monitor);
    cluster.all_show("external", Some(other.pid));

    // It dies with its process,
    let hosted = cluster[b].spawn();
    asker.reregister("external", &hosted.pid);
    hosted.exit();
    cluster.await_gone("external");
    // stays when the node that asked goes,
    let hosted = cluster[b].spawn();
    assert_eq!(asker.try_register("external", &hosted.pid, None, LONG), Status::Ok);
    let monitor = other.monitor(&asker.pid);
    drop(asker);
    other.exit_of(monitor);
    cluster.crash(a);
    cluster.await_mesh();
    cluster.all_show("external", Some(hosted.pid));
    // and dies with the node it lives on.
    drop(hosted);
    let hosted = cluster[b - 1].spawn();
    assert_eq!(other.try_register("external2", &hosted.pid, None, LONG), Status::Ok);
    cluster.all_show("external2", Some(hosted.pid));
    cluster.crash(b - 1);
    cluster.await_gone("external2");
}

/// "A reader sees the old or the new pid and never none."
#[test]
fn s70_re_register_is_atomic_for_readers() {
    let cluster = Cluster::mesh(3);
    let owners = cluster.spawn_all();
    owners[0].register("name");
    let pids: Vec<_> = owners.iter().map(|owner| owner.pid).collect();
    let over = AtomicBool::new(false);
    /// The readers end also when an assertion fails.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    std::thread::scope(|scope| {
        let end = Over(&over);
        let readers: Vec<_> = cluster
            .nodes
            .iter()
            .map(|node| {
                let (over, pids) = (&over, &pids);
                scope.spawn(move || {
                    let mut seen = BTreeSet::new();
                    let mut reads = 0_u64;
                    while !over.load(Ordering::Relaxed) {
                        let shown = node.whereis("name").expect("it is registered all the time");
                        seen.insert(pids.iter().position(|pid| *pid == shown).expect("one of the owners"));
                        reads += 1;
                    }
                    (reads, seen.len())
                })
            })
            .collect();
        // From the same node and from others, in turn.
        for round in 0..150 {
            let owner = &owners[[0, 1, 1, 2, 0, 2][round % 6]];
            owner.reregister("name", &owner.pid);
            assert_eq!(cluster[round % 3].whereis("name"), Some(owner.pid));
        }
        drop(end);
        for reader in readers {
            let (reads, seen) = reader.join().unwrap();
            assert!(reads > 0 && seen > 0);
        }
    });
}
