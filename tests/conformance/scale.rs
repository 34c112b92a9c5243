//! Many nodes and many names.

use crate::harness::{Cluster, EventKind, Field, LONG, Process, Reason, Status, Work};
use convoke::ffi::convoke_pid;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Every single node registers the same name; then they meet by these connections, all at one instant: one mesh, one
/// winner whom a message reaches, and everybody else is killed.
fn single_name(cluster: &Cluster, connections: &[(usize, usize)]) {
    let owners = cluster.spawn_all();
    for owner in &owners {
        owner.register("single_name");
    }
    let dials = connections.iter().map(|&(from, to)| (from, owners_dial(cluster, from, to)));
    let dials: Vec<_> = dials.collect();
    for (_, (dialler, op)) in &dials {
        dialler.done_ok(*op);
    }
    cluster.await_mesh();
    let judge = cluster[0].spawn();
    let monitors: Vec<u64> = owners.iter().map(|owner| judge.monitor(&owner.pid)).collect();
    let mut alive: BTreeSet<usize> = (0..owners.len()).collect();
    while alive.len() > 1 {
        let exit = judge.expect(EventKind::Exit);
        let loser = monitors.iter().position(|monitor| *monitor == exit.reference()).expect("an owner");
        // Those that were killed before the judge asked are known to be no more.
        assert!([Reason::CONFLICT_LOST, Reason::NO_PROCESS].contains(&exit.reason()), "{:?}", exit.reason());
        assert!(alive.remove(&loser));
    }
    let winner = &owners[*alive.first().expect("one is left")];
    assert_eq!(cluster.agree_on("single_name", |shown| *shown == winner.pid), winner.pid);
    for (index, owner) in owners.iter().enumerate() {
        if !alive.contains(&index) {
            let own = owner.expect(EventKind::Exit);
            assert_eq!((own.reference(), own.reason()), (0, Reason::CONFLICT_LOST));
        }
    }
    assert_eq!(judge.send_name("single_name", "hello"), Ok(winner.pid));
    assert_eq!(winner.expect(EventKind::Message).text(Field::Payload), "hello");
    assert_eq!(winner.waiting(EventKind::Exit) + winner.waiting(EventKind::NameConflict), 0);
    winner.exit();
    cluster.await_gone("single_name");
}

fn owners_dial(cluster: &Cluster, from: usize, to: usize) -> (Process, u64) {
    let dialler = cluster[from].spawn();
    let op = dialler.begin_connect(&cluster[to].address);
    (dialler, op)
}

fn ring(count: usize) -> Vec<(usize, usize)> {
    (0..count).map(|node| (node, (node + count - 1) % count)).collect()
}

fn line(count: usize) -> Vec<(usize, usize)> {
    (1..count).map(|node| (node, node - 1)).collect()
}

#[test]
fn s13_ring() {
    for count in [7, 10] {
        single_name(&Cluster::isolated(count), &ring(count));
    }
}

#[test]
fn s14_line() {
    for count in [7, 10] {
        single_name(&Cluster::isolated(count), &line(count));
    }
}

#[test]
fn s15_ring_line() {
    for round in 0..6 {
        let cables = if round % 2 == 0 { ring(6) } else { line(6) };
        single_name(&Cluster::isolated(6), &cables);
    }
}

/// Two loaded nodes do not take each other for dead.
#[test]
fn s16_global_lost_nodes() {
    const DETECTION: u64 = 1500;
    let cluster = Cluster::mesh_with(2, &[("detection_ms", &DETECTION.to_string())]);
    let watchers = cluster.spawn_all();
    watchers.iter().for_each(Process::monitor_nodes);
    let end = Instant::now() + Duration::from_millis(2 * DETECTION);
    std::thread::scope(|scope| {
        for me in 0..2 {
            let cluster = &cluster;
            scope.spawn(move || {
                let process = cluster[me].spawn();
                let (mine, other) = (format!("name {me}"), format!("name {}", 1 - me));
                while Instant::now() < end {
                    process.register(&mine);
                    cluster[me].whereis(&other);
                    process.unregister(&mine);
                }
            });
        }
    });
    for watcher in &watchers {
        assert_eq!(watcher.waiting(EventKind::NodeDown), 0);
    }
}

/// 32 nodes that know nothing of each other connect to all others at once, each in an order of its own.
#[test]
fn s30_many_nodes() {
    const COUNT: usize = 32;
    let cluster = Cluster::isolated(COUNT);
    let diallers = cluster.spawn_all();
    let mut calls = Vec::new();
    for step in 1..COUNT {
        for (from, dialler) in diallers.iter().enumerate() {
            // Another order for each node, all different: the step is multiplied by an odd number.
            let to = (from + step * (2 * from + 1)) % COUNT;
            if to != from {
                calls.push((from, dialler.begin_connect(&cluster[to].address)));
            }
        }
    }
    for (from, op) in calls {
        diallers[from].done_ok(op);
    }
    cluster.await_mesh();
    let owner = cluster[17].spawn();
    owner.register("name");
    cluster.all_show("name", Some(owner.pid));
}

/// 30 nodes start one after the other; each is in sync with all before when its call of sync returns.
#[test]
fn s31_sync_0() {
    const COUNT: usize = 30;
    let mut cluster = Cluster::isolated(1);
    let first = cluster[0].spawn();
    first.register("first");
    let seed = cluster[0].address.clone();
    for index in 1..COUNT {
        let node = cluster.open(&format!("n{index}"), &[("seeds", &seed)]);
        cluster[node].spawn().sync();
        assert_eq!(cluster[node].peers().len(), index);
        assert_eq!(cluster[node].whereis("first"), Some(first.pid));
    }
    cluster.await_mesh();
}

#[test]
fn s35_mass_death() {
    let cluster = Cluster::mesh(5);
    let owners: Vec<(String, Process)> = cluster
        .nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| (0..40).map(move |n| (format!("name {index} {n}"), node.spawn())))
        .collect();
    let ops: Vec<_> = owners.iter().map(|(name, owner)| owner.begin_register(name, LONG)).collect();
    for ((_, owner), op) in owners.iter().zip(ops) {
        owner.done_ok(op);
    }
    let all: BTreeSet<String> = owners.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(all.len(), 200);
    for node in &cluster.nodes {
        assert_eq!(node.names(), all);
    }
    let killer = cluster[0].spawn();
    let monitors: BTreeSet<u64> = owners.iter().map(|(_, owner)| killer.monitor(&owner.pid)).collect();
    for (_, owner) in &owners {
        killer.kill(&owner.pid);
    }
    let mut exits = BTreeSet::new();
    while exits.len() < 200 {
        let exit = killer.expect(EventKind::Exit);
        assert_eq!(exit.reason(), Reason::KILLED);
        assert!(monitors.contains(&exit.reference()) && exits.insert(exit.reference()), "one each");
    }
    for name in &all {
        cluster.await_gone(name);
    }
    for node in &cluster.nodes {
        assert!(node.names().is_empty());
    }
}

/// So many names, a node that joins, and the end of their node: what both cost.
fn join_and_death(count: usize) -> [Duration; 2] {
    let mut cluster = Cluster::mesh(2);
    let owner = cluster[0].spawn();
    let ops: Vec<_> = (0..count).map(|n| owner.begin_register(&format!("{n}"), LONG)).collect();
    for op in ops {
        owner.done_ok(op);
    }
    let work = Work::begin(&cluster);
    let joined = cluster.join();
    let join = work.so_far();
    assert_eq!(cluster[joined].names().len(), count);
    let watcher = cluster[1].spawn();
    let monitor = watcher.monitor(&owner.pid);
    drop(owner);
    watcher.exit_of(monitor);
    // All go at once; the last one of the table has gone when the node's loss is told.
    let owner = cluster[0].spawn();
    let ops: Vec<_> = (0..count).map(|n| owner.begin_register(&format!("{n}"), LONG)).collect();
    for op in ops {
        owner.done_ok(op);
    }
    assert_eq!(cluster[1].names().len(), count);
    watcher.monitor_nodes();
    drop(owner);
    let work = Work::begin(&cluster);
    cluster.crash(0);
    watcher.expect(EventKind::NodeDown);
    assert!(cluster[0].names().is_empty());
    [join, work.so_far()]
}

/// "Join and node-death cost linear": ten times the names take nowhere near a hundred times the work.
#[test]
fn s69_many_names() {
    let few = join_and_death(1_000);
    let many = join_and_death(10_000);
    let floor = Duration::from_millis(30); // what a join costs without names
    for (few, many) in few.into_iter().zip(many) {
        assert!(many < few.max(floor) * 40, "{few:?} for 1,000, {many:?} for 10,000");
    }
}

/// Registrations from all nodes at once: each ends, and of those who want the same name one gets it.
#[test]
fn s71_registrations_from_all_nodes() {
    const NAMES: usize = 60;
    let cluster = Cluster::mesh(6);
    let owners = cluster.spawn_all();
    let winners: Vec<Vec<convoke_pid>> = std::thread::scope(|scope| {
        let threads: Vec<_> = owners
            .into_iter()
            .enumerate()
            .map(|(index, owner)| {
                scope.spawn(move || {
                    let names: Vec<String> =
                        (0..NAMES).map(|n| format!("shared {}", (n + index * 7) % NAMES)).collect();
                    let own: Vec<String> = (0..NAMES).map(|n| format!("own {index} {n}")).collect();
                    let all = names.iter().chain(&own);
                    let ops: Vec<u64> = all.map(|name| owner.begin_register(name, LONG)).collect();
                    let results: Vec<Status> = ops.into_iter().map(|op| owner.done(op)).collect();
                    assert!(results[NAMES..].iter().all(|status| *status == Status::Ok));
                    assert!(results.iter().all(|status| [Status::Ok, Status::Exists].contains(status)));
                    let got = names.into_iter().zip(&results).filter(|(_, status)| **status == Status::Ok);
                    let got: BTreeSet<String> = got.map(|(name, _)| name).collect();
                    (owner, got)
                })
            })
            .collect();
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        (0..NAMES)
            .map(|n| {
                let name = format!("shared {n}");
                let winners = ended.iter().filter(|(_, got)| got.contains(&name)).map(|(owner, _)| owner.pid);
                let winners: Vec<_> = winners.collect();
                cluster.all_show(&name, winners.first().copied());
                winners
            })
            .collect()
    });
    assert!(winners.iter().all(|winners| winners.len() == 1), "{winners:?}");
}
