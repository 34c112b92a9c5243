//! Groups in clusters that split, heal and restart.

use crate::harness::{Cluster, EventKind, LONG, Noticed, Status, Work, sorted};
use std::time::Duration;

/// What each side did to its own members during a split holds after it: a leave is not undone.
#[test]
fn s54_netsplit() {
    let mut cluster = Cluster::mesh(4);
    let members = cluster.spawn_all();
    members[0].create("a");
    for member in &members {
        member.join("a", &member.pid);
    }
    members[0].create("deleted");
    members[0].create("made anew");
    members[3].create("inhabited");
    members[3].join("inhabited", &members[3].pid);
    cluster.partition(&[&[0, 1], &[2, 3]]);
    cluster.await_mesh_of(&[0, 1]);
    cluster.await_mesh_of(&[2, 3]);
    assert_eq!(cluster[0].members("a"), Ok(sorted(vec![members[0].pid, members[1].pid])));
    assert_eq!(cluster[3].members("a"), Ok(sorted(vec![members[2].pid, members[3].pid])));
    // On both sides, by those who are there.
    members[0].leave("a", &members[1].pid);
    members[0].join("a", &members[0].pid);
    members[2].leave("a", &members[2].pid);
    let late = cluster[3].spawn();
    late.join("a", &late.pid);
    members[2].create("of one side");
    members[2].join("of one side", &members[2].pid);
    // A group that is deleted stays so, unless the other side made it anew or has members in it.
    members[0].delete("deleted");
    members[0].delete("made anew");
    members[2].create("made anew");
    members[0].delete("inhabited");
    cluster.heal_all();
    cluster.await_mesh();
    let expected = [members[0].pid, members[0].pid, members[3].pid, late.pid];
    cluster.await_members("a", &expected);
    cluster.await_members("of one side", &[members[2].pid]);
    cluster.await_members("inhabited", &[members[3].pid]);
    let groups: Vec<String> = cluster.groups().into_keys().collect();
    assert_eq!(groups, ["a", "inhabited", "made anew", "of one side"]);
}

/// The node is closed and opened again: what was its own is lost, what is others' comes back.
#[test]
fn s56_scope_restart() {
    let mut cluster = Cluster::mesh(3);
    let members = cluster.spawn_all();
    members[0].create("a");
    for member in &members {
        member.join("a", &member.pid);
    }
    let watcher = cluster[0].spawn();
    watcher.monitor_nodes();
    let name = "n2".to_owned();
    let old = cluster.nodes.remove(2);
    old.close();
    watcher.expect(EventKind::NodeDown);
    let left = sorted(vec![members[0].pid, members[1].pid]);
    assert_eq!(cluster[0].members("a"), Ok(left.clone()));
    let again = cluster.join_as(&name);
    assert_eq!(cluster[again].members("a"), Ok(left));
    assert_eq!(cluster[again].local_members("a"), Ok(vec![]));
    // With no node there is no group, only an answer.
    assert_eq!(members[2].try_join("a", &members[0].pid), Status::Closed);
    drop(old);
    cluster.groups();
}

/// A node that nobody knows works, and closes.
#[test]
fn s57_disconnected_start() {
    for _ in 0..3 {
        let cluster = Cluster::isolated(1);
        let p = cluster[0].spawn();
        p.create("a");
        p.join("a", &p.pid);
        assert_eq!(cluster[0].members("a"), Ok(vec![p.pid]));
        // A peer that is no member of the cluster has no part in it.
        let stranger = Cluster::isolated_with(1, &[("seeds", &cluster[0].address)]);
        let q = stranger[0].spawn();
        assert_eq!(q.try_join("a", &q.pid), Status::NotFound);
        assert_eq!(q.try_connect(&cluster[0].address, LONG), Status::Auth);
        q.create("a");
        q.join("a", &q.pid);
        assert_eq!(cluster[0].members("a"), Ok(vec![p.pid]));
        cluster[0].close();
    }
}

/// A new link brings all anew: nothing is left of what was known of the peer before, also where the cut went unseen.
#[test]
fn s58_forced_sync() {
    for noticed_here in [true, false] {
        let mut cluster = Cluster::mesh_with(2, &[("detection_ms", "20000")]);
        let main = cluster[0].spawn();
        let (p, q, r) = (cluster[1].spawn(), cluster[1].spawn(), cluster[1].spawn());
        for group in ["a", "b"] {
            main.create(group);
        }
        main.join("a", &p.pid);
        main.join("a", &p.pid);
        main.join("b", &q.pid);
        let one = cluster[usize::from(!noticed_here)].name.clone();
        cluster.cut_noticed(0, 1, Noticed::OnlyBy(&one));
        let (left, joined) = (p.begin_leave("a"), r.begin_join("b"));
        q.exit();
        cluster.heal_all();
        assert_eq!((p.done(left), r.done(joined)), (Status::Ok, Status::Ok));
        cluster.await_mesh();
        cluster.await_members("a", &[p.pid]);
        cluster.await_members("b", &[r.pid]);
        cluster.groups();
    }
}

/// 10,000 groups, nodes that join and links that flap: the next call is answered after 5 s of work at most.
#[test]
fn s59_thundering_herd() {
    const GROUPS: usize = 10_000;
    const BOUND: Duration = Duration::from_secs(5);
    let mut cluster = Cluster::mesh(2);
    let main = cluster[0].spawn();
    let names: Vec<String> = (0..GROUPS).map(|n| format!("group {n}")).collect();
    let ops: Vec<u64> = names.iter().map(|name| main.begin_create(name)).collect();
    for op in ops {
        assert_eq!(main.done(op), Status::Ok);
    }
    let ops: Vec<u64> = names.iter().map(|name| main.begin_join(name)).collect();
    for op in ops {
        assert_eq!(main.done(op), Status::Ok);
    }
    for _ in 0..5 {
        cluster.cut(0, 1);
        cluster.heal(0, 1);
        let work = Work::begin(&cluster);
        main.join("group 7", &main.pid);
        main.leave("group 7", &main.pid);
        assert!(work.so_far() < BOUND, "{:?}", work.so_far());
    }
    cluster.await_mesh();
    let late = cluster.join();
    for node in [1, late] {
        assert_eq!(cluster[node].groups().len(), GROUPS);
        for group in [0, GROUPS / 2, GROUPS - 1] {
            cluster[node].await_members(&names[group], &[main.pid]);
        }
    }
    let work = Work::begin(&cluster);
    let newcomer = cluster[late].spawn();
    newcomer.join("group 7", &newcomer.pid);
    assert!(work.so_far() < BOUND, "{:?}", work.so_far());
    assert_eq!(cluster[0].members("group 7"), Ok(sorted(vec![main.pid, newcomer.pid])));
}
