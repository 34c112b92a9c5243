//! Clashes that functions of the program decide.

use crate::harness::{
    A, B, Cluster, EventKind, KILL_LOSER, LONG, Lock, NEITHER, NONSENSE, NOTIFY_LOSER, Noticed, Process,
    Reason, Resolver, Status,
};
use crate::resolvers::{Owner, two_parts};
use convoke::ffi::convoke_pid;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Two names on nodes of both parts, and a function that kills one of the two.
#[test]
fn s10_basic_name_partition() {
    let cluster = two_parts([2, 2]);
    let resolver = Resolver::new(|_| B | KILL_LOSER);
    resolver.add_to_all(&cluster.nodes, "kill one");
    let pair =
        |name, nodes: [usize; 2]| nodes.map(|node| Owner::register(&cluster, node, name, Some("kill one")));
    let name03 = pair("name03", [0, 3]);
    let name12 = pair("name12", [1, 2]);
    cluster.connect(1, 2);
    cluster.await_mesh();
    for owners in [&name03, &name12] {
        let loser = Process::first_of(&[&owners[0].process, &owners[1].process], EventKind::Exit);
        let (loser, winner) = (&owners[loser], &owners[1 - loser]);
        assert_eq!(loser.process.expect(EventKind::Exit).reason(), Reason::CONFLICT_LOST);
        cluster.agree_on(winner.name, |pid| *pid == winner.process.pid);
        winner.is_untouched();
        assert!(!winner.process.is_alive(&loser.process.pid));
        winner.process.exit();
        cluster.await_gone(winner.name);
    }
    let mut asked: Vec<String> = resolver.asked().into_iter().map(|clash| clash.name).collect();
    asked.sort();
    assert_eq!(asked, ["name03", "name12"], "once each");
}

/// Where the two owners are, and who connects: every way in which two parts of two nodes can meet.
fn matrix() -> impl Iterator<Item = ([usize; 2], usize)> {
    [[0, 2], [0, 3], [1, 2], [1, 3]].into_iter().flat_map(|owners| [2, 3].map(|to| (owners, to)))
}

/// A clash on `name` in two parts that meet; `test` gets the cluster, the pids as the function is to see them, and their
/// owners in that order.
fn clash(
    places: [usize; 2],
    connect_to: usize,
    resolver: &Resolver,
    test: impl FnOnce(&mut Cluster, [&Owner; 2]),
) {
    let mut cluster = two_parts([2, 2]);
    resolver.add_to_all(&cluster.nodes, "decide");
    let mut owners = places.map(|node| Owner::register(&cluster, node, "name", Some("decide")));
    // The lower of the two homes asks, and its own process comes first.
    owners.sort_by_key(|owner| owner.process.pid.node);
    cluster.connect(0, connect_to);
    let [a, b] = &owners;
    test(&mut cluster, [a, b]);
    let pids = [a, b].map(|owner| owner.process.pid);
    let asked = resolver.asked();
    assert_eq!(asked.len(), 1, "one call in the whole cluster");
    assert_eq!([asked[0].a, asked[0].b], pids);
    assert_eq!(asked[0].name, "name");
}

fn is_kept(cluster: &Cluster, winner: &Owner, loser: &Owner) {
    cluster.await_mesh();
    cluster.agree_on("name", |pid| *pid == winner.process.pid);
    winner.is_untouched();
    assert!(winner.process.is_alive(&loser.process.pid), "nobody asked for its death");
    winner.process.exit();
    cluster.await_gone("name");
}

fn is_unregistered(cluster: &Cluster, owners: [&Owner; 2]) {
    cluster.await_mesh();
    cluster.await_gone("name");
    for (one, other) in [(0, 1), (1, 0)] {
        assert!(owners[one].process.is_alive(&owners[other].process.pid));
        assert_eq!(owners[one].process.waiting(EventKind::Exit), 0);
    }
    // The name is free again.
    owners[0].process.register("name");
    cluster.all_show("name", Some(owners[0].process.pid));
}

#[test]
fn s23_simple_resolve_first_wins() {
    for (places, to) in matrix() {
        clash(places, to, &Resolver::new(|_| A), |cluster, [a, b]| {
            is_kept(cluster, a, b);
            b.is_untouched();
        });
    }
}

#[test]
fn s23_simple_resolve_second_wins() {
    for (places, to) in matrix() {
        clash(places, to, &Resolver::new(|_| B | NOTIFY_LOSER), |cluster, [a, b]| {
            assert_eq!(a.is_told(), Some(b.process.pid));
            is_kept(cluster, b, a);
        });
    }
}

#[test]
fn s23_simple_resolve_none() {
    for (places, to) in matrix() {
        clash(places, to, &Resolver::new(|_| NEITHER), |cluster, owners| {
            is_unregistered(cluster, owners);
            owners.iter().for_each(|owner| owner.is_untouched());
        });
    }
}

/// An answer that means nothing: the name is unregistered, and both are told.
#[test]
fn s23_simple_resolve_bad() {
    for (places, to) in matrix() {
        clash(places, to, &Resolver::new(|_| NONSENSE), |cluster, [a, b]| {
            assert_eq!((a.is_told(), b.is_told()), (Some(b.process.pid), Some(a.process.pid)));
            is_unregistered(cluster, [a, b]);
        });
    }
}

/// The manual: "If the function crashes [...] the name is unregistered" (OTP keeps the first). Here a function fails by not
/// answering in time.
#[test]
fn s23_simple_resolve_crash() {
    let mut cluster = Cluster::isolated_with(0, &[("resolver.timeout_ms", "50")]);
    cluster.mesh_part(2);
    cluster.mesh_part(2);
    let (release, blocked) = channel::<()>();
    let blocked = Mutex::new(blocked);
    // It comes back when the test is over.
    let resolver = Resolver::new(move |_| {
        let _ = blocked.lock().unwrap().recv();
        A
    });
    resolver.add_to_all(&cluster.nodes, "decide");
    let owners = [1, 2].map(|node| Owner::register(&cluster, node, "name", Some("decide")));
    cluster.connect(0, 3);
    for (owner, other) in [(0, 1), (1, 0)] {
        assert_eq!(owners[owner].is_told(), Some(owners[other].process.pid));
    }
    is_unregistered(&cluster, [&owners[0], &owners[1]]);
    assert_eq!(resolver.asked().len(), 1);
    drop(release);
}

/// A function that takes a lock on its own node while it decides: nothing hangs. It may call anything but for the very name.
#[test]
fn s23_simple_resolve_lock() {
    let cluster = two_parts([2, 2]);
    let helpers: Mutex<Vec<Process>> = Mutex::new(cluster.spawn_all());
    let answers = std::sync::Arc::new(Mutex::new(Vec::new()));
    let noted = answers.clone();
    let lock = Lock::on_all("of the function");
    let resolver = Resolver::new(move |clash| {
        let helpers = helpers.lock().unwrap();
        let helper =
            helpers.iter().find(|helper| helper.pid.node == clash.a.node).expect("it runs on that node");
        helper.lock(&lock);
        helper.register("another name");
        helper.unregister("another name");
        noted.lock().unwrap().push(helper.try_register(&clash.name, &helper.pid, None, LONG));
        helper.unlock(&lock);
        A
    });
    resolver.add_to_all(&cluster.nodes, "decide");
    let mut owners = [0, 2].map(|node| Owner::register(&cluster, node, "name", Some("decide")));
    owners.sort_by_key(|owner| owner.process.pid.node);
    cluster.connect(0, 2);
    is_kept(&cluster, &owners[0], &owners[1]);
    assert_eq!(*answers.lock().unwrap(), [Status::WouldDeadlock]);
    assert_eq!(resolver.asked().len(), 1);
}

/// A function that waits for the test before it answers.
fn held_resolver(answer: i32) -> (Resolver, Receiver<convoke_pid>, Sender<()>) {
    let (ask, asked) = channel();
    let (go, gone) = channel::<()>();
    let ends = Mutex::new((ask, gone));
    let resolver = Resolver::new(move |clash| {
        let ends = ends.lock().unwrap();
        let _ = ends.0.send(clash.b);
        let _ = ends.1.recv();
        answer
    });
    (resolver, asked, go)
}

/// The link is cut while the function runs. OTP begins anew and calls it once more; here its verdict is kept.
#[test]
fn s23_simple_resolve_cut() {
    for noticed in [Noticed::ByBoth, Noticed::ByNobody] {
        let (resolver, asked, go) = held_resolver(B);
        clash([0, 2], 2, &resolver, |cluster, [a, b]| {
            asked.recv().expect("it is asked");
            for pair in [[0, 2], [0, 3], [1, 2], [1, 3]] {
                cluster.cut_noticed(pair[0], pair[1], noticed);
            }
            // Each side goes on with its own meanwhile.
            for owner in [a, b] {
                assert!(cluster.nodes.iter().any(|node| node.whereis("name") == Some(owner.process.pid)));
            }
            go.send(()).unwrap();
            cluster.heal_all();
            is_kept(cluster, b, a);
        });
    }
}

/// The node of the second pid ends while the function runs: the first keeps the name, whatever is answered.
fn second_node_halts(connect_from_it: bool) {
    for answer in [A, B, NEITHER] {
        let mut cluster = two_parts([2, 2]);
        let (resolver, asked, go) = held_resolver(answer);
        resolver.add_to_all(&cluster.nodes, "decide");
        let owners = [1, 3].map(|node| Owner::register(&cluster, node, "name", Some("decide")));
        let lower = usize::from(owners[0].process.pid.node > owners[1].process.pid.node);
        let second = [1, 3][1 - lower];
        // By the node that is going to halt, or by others.
        if connect_from_it {
            cluster.connect(second, [1, 3][lower])
        } else {
            cluster.connect(0, 2)
        }
        assert_eq!(asked.recv().expect("it is asked"), owners[1 - lower].process.pid);
        cluster.crash(second);
        cluster.await_mesh();
        go.send(()).unwrap();
        let first = &owners[lower];
        cluster.agree_on("name", |pid| *pid == first.process.pid);
        first.is_untouched();
        assert_eq!(resolver.asked().len(), 1);
        assert_eq!(resolver.asked()[0].a, first.process.pid);
    }
}

#[test]
fn s24_simple_resolve2() {
    second_node_halts(false);
}

#[test]
fn s25_simple_resolve3() {
    second_node_halts(true);
}
