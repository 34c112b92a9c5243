//! Process groups: what Erlang's suite asks of `pg2`, and what of that of `pg` makes sense for it.

use crate::harness::{Change, Cluster, EventKind, Field, Members, Process, Reason, Status, sorted};
use convoke::ffi::convoke_pid;
use std::collections::{BTreeMap, BTreeSet};

fn listed(groups: &[&str]) -> BTreeSet<String> {
    groups.iter().map(|group| group.to_string()).collect()
}

fn shown(groups: &[(&str, &[convoke_pid])]) -> BTreeMap<String, Members> {
    groups.iter().map(|(group, members)| (group.to_string(), sorted(members.to_vec()))).collect()
}

/// To leave one group does not end the watch on the process for another.
#[test]
fn s41_otp_7277() {
    let cluster = Cluster::mesh(2);
    let main = cluster[0].spawn();
    main.create("a");
    main.create("b");
    for node in [0, 1] {
        let p = cluster[node].spawn();
        main.join("a", &p.pid);
        main.leave("b", &p.pid);
        assert_eq!(cluster.groups(), shown(&[("a", &[p.pid]), ("b", &[])]));
        main.kill(&p.pid);
        cluster.await_members("a", &[]);
    }
    assert_eq!(cluster.groups(), shown(&[("a", &[]), ("b", &[])]));
}

#[test]
fn s44_basic_1_and_2() {
    let cluster = Cluster::mesh(2);
    let main = cluster[0].spawn();
    assert_eq!(cluster.groups(), shown(&[]));
    assert_eq!(cluster[0].closest("a"), Err(Status::NotFound));
    main.create("a");
    assert_eq!(cluster.groups(), shown(&[("a", &[])]));
    assert_eq!(cluster[1].closest("a"), Err(Status::NoProcess));
    main.delete("a");
    assert_eq!(cluster.groups(), shown(&[]));
    main.delete("a");

    main.create("a");
    main.join("a", &main.pid);
    assert_eq!(cluster[0].closest("a"), Ok(main.pid));
    assert_eq!(cluster[1].closest("a"), Ok(main.pid), "there is no other");
    assert_eq!(cluster[0].local_members("a"), Ok(vec![main.pid]));
    assert_eq!(cluster[1].local_members("a"), Ok(vec![]));
    cluster.groups();
    main.delete("a");
    assert_eq!(cluster.groups(), shown(&[]));
    assert!(main.is_alive(&main.pid));
    assert_eq!(main.waiting(EventKind::Exit), 0, "members are not told");
    // Made anew it is empty.
    main.create("a");
    assert_eq!(cluster.groups(), shown(&[("a", &[])]));
}

#[test]
fn s45_basic_3() {
    let cluster = Cluster::mesh(2);
    let main = cluster[0].spawn();
    let p = cluster[1].spawn();
    assert_eq!(main.try_join("a", &p.pid), Status::NotFound);
    assert_eq!(main.try_leave("a", &p.pid), Status::NotFound);
    for node in &cluster.nodes {
        assert_eq!(node.members("a"), Err(Status::NotFound));
        assert_eq!(node.local_members("a"), Err(Status::NotFound));
        assert_eq!(node.closest("a"), Err(Status::NotFound));
    }
    main.create("a");
    main.leave("a", &p.pid);
    assert_eq!(cluster[0].closest("a"), Err(Status::NoProcess));
    main.join("a", &p.pid);
    assert_eq!(cluster[0].closest("a"), Ok(p.pid));
    main.join("a", &p.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[p.pid, p.pid])]));
    // A group that exists keeps its members.
    main.create("a");
    p.create("a");
    assert_eq!(cluster.groups(), shown(&[("a", &[p.pid, p.pid])]));
    main.join("a", &main.pid);
    assert_eq!(
        (cluster[0].closest("a"), cluster[1].closest("a")),
        (Ok(main.pid), Ok(p.pid)),
        "a local one first"
    );
    main.leave("a", &p.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[p.pid, main.pid])]));
    p.leave("a", &p.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[main.pid])]));
    p.leave("a", &p.pid);
    main.leave("a", &main.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[])]));
    // Uniform over entries, not over processes: who joined twice is met twice as often.
    main.join("a", &main.pid);
    let q = cluster[0].spawn();
    main.join("a", &q.pid);
    main.join("a", &q.pid);
    let rounds = 3000;
    let met = (0..rounds).filter(|_| cluster[0].closest("a") == Ok(q.pid)).count();
    assert!((rounds / 2..rounds * 5 / 6).contains(&met), "{met} of {rounds}; 2,000 are expected");
}

#[test]
fn s46_basic_4() {
    let cluster = Cluster::mesh(2);
    let main = cluster[0].spawn();
    main.create("a");
    for node in [0, 1] {
        let p = cluster[node].spawn();
        main.join("a", &p.pid);
        main.join("a", &p.pid);
        assert_eq!(cluster[node].local_members("a"), Ok(vec![p.pid, p.pid]));
        main.kill(&p.pid);
        cluster.await_members("a", &[]);
        for node in &cluster.nodes {
            assert_eq!((node.members("a"), node.local_members("a")), (Ok(vec![]), Ok(vec![])));
        }
    }
}

#[test]
fn s47_basic_5() {
    let mut cluster = Cluster::mesh(1);
    let main = cluster[0].spawn();
    main.create("a");
    let n1 = cluster.join();
    assert_eq!(cluster[n1].groups(), listed(&["a"]));
    assert_eq!(cluster[n1].members("a"), Ok(vec![]));
    let (p1, p2) = (cluster[n1].spawn(), cluster[n1].spawn());
    main.join("a", &p1.pid);
    p1.join("a", &p2.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[p1.pid, p2.pid])]));
    p1.create("b");
    p1.leave("b", &p1.pid);
    p1.join("b", &main.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[p1.pid, p2.pid]), ("b", &[main.pid])]));
    main.kill(&p1.pid);
    cluster.await_members("a", &[p2.pid]);
    cluster.groups();
    main.monitor_nodes();
    drop((p1, p2));
    let p3 = cluster[n1].spawn();
    main.join("a", &p3.pid);
    cluster.crash(n1);
    main.expect(EventKind::NodeDown);
    assert_eq!(cluster.groups(), shown(&[("a", &[]), ("b", &[main.pid])]), "groups stay");
    main.delete("a");
    main.delete("b");
    assert_eq!(cluster.groups(), shown(&[]));
}

#[test]
fn s48_basic_7_and_8() {
    let mut cluster = Cluster::mesh(1);
    let main = cluster[0].spawn();
    main.create("a");
    main.join("a", &main.pid);
    main.join("a", &main.pid);
    let n1 = cluster.join();
    assert_eq!(cluster[n1].members("a"), Ok(vec![main.pid, main.pid]));
    let there = cluster[n1].spawn();
    there.leave("a", &main.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[main.pid])]));
    main.leave("a", &main.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[])]));
    there.join("a", &main.pid);
    main.join("a", &main.pid);
    there.delete("a");
    assert_eq!(main.try_join("a", &main.pid), Status::NotFound);
    assert_eq!(main.try_leave("a", &main.pid), Status::NotFound);
    assert_eq!(cluster.groups(), shown(&[]));
    assert_eq!(main.send_group("a", "hello"), Err(Status::NotFound));
}

/// With the answers of pg2: groups are made, and do not vanish with their last member.
#[test]
fn s49_pg_and_single() {
    let cluster = Cluster::mesh(1);
    let main = cluster[0].spawn();
    main.create("a");
    for _ in 0..3 {
        main.join("a", &main.pid);
    }
    assert_eq!(cluster.groups(), shown(&[("a", &[main.pid; 3])]));
    assert_eq!(main.try_leave("unknown", &main.pid), Status::NotFound);
    for _ in 0..4 {
        main.leave("a", &main.pid);
    }
    assert_eq!(cluster.groups(), shown(&[("a", &[])]));
    let [p, q] = [0, 0].map(|node| cluster[node].spawn());
    main.join("a", &p.pid);
    main.join("a", &q.pid);
    main.kill(&p.pid);
    cluster.await_members("a", &[q.pid]);
    assert_eq!(main.send_group("a", "hello"), Ok(1));
    assert_eq!(q.expect(EventKind::Message).text(Field::Payload), "hello");
}

#[test]
fn s50_two_and_initial_and_double() {
    let mut cluster = Cluster::mesh(2);
    let (p, q) = (cluster[0].spawn(), cluster[1].spawn());
    p.create("a");
    p.join("a", &p.pid);
    assert_eq!(cluster[1].members("a"), Ok(vec![p.pid]));
    assert_eq!(cluster[1].local_members("a"), Ok(vec![]));
    q.join("a", &q.pid);
    q.join("a", &q.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[p.pid, q.pid, q.pid])]));
    let late = cluster.join();
    assert_eq!(cluster[late].members("a"), Ok(sorted(vec![p.pid, q.pid, q.pid])));
    assert_eq!(p.send_group("a", "to all"), Ok(2), "each member once");
    for member in [&p, &q] {
        assert_eq!(member.expect(EventKind::Message).text(Field::Payload), "to all");
        assert_eq!(member.waiting(EventKind::Message), 0);
    }
    q.exit();
    cluster.await_members("a", &[p.pid]);
    cluster.groups();
}

/// pg takes only processes of the own node. pg2, and so Convoke, takes any.
#[test]
fn s51_remote_pids_join() {
    let cluster = Cluster::mesh(3);
    let (asker, member) = (cluster[0].spawn(), cluster[1].spawn());
    cluster[2].spawn().create("a");
    asker.join("a", &member.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[member.pid])]));
    // It stays when the one that asked goes.
    let monitor = member.monitor(&asker.pid);
    asker.exit();
    member.exit_of(monitor);
    assert_eq!(cluster.groups(), shown(&[("a", &[member.pid])]));
    // A dead one and one whose node is unknown cannot join.
    assert_eq!(member.try_join("a", &asker.pid), Status::NoProcess);
    assert_eq!(member.try_join("a", &convoke_pid { node: 1, serial: 1 }), Status::Unreachable);
    assert_eq!(cluster.groups(), shown(&[("a", &[member.pid])]));
}

#[test]
fn s52_empty_group_by_remote_leave() {
    let cluster = Cluster::mesh(2);
    let (main, there) = (cluster[0].spawn(), cluster[1].spawn());
    let members: Vec<Process> = (0..4).map(|n| cluster[n % 2].spawn()).collect();
    main.create("a");
    for order in [[0, 1, 2, 3], [3, 1, 0, 2]] {
        for member in &members {
            main.join("a", &member.pid);
        }
        assert_eq!(cluster[1].members("a").map(|members| members.len()), Ok(4));
        for index in order {
            there.leave("a", &members[index].pid);
        }
        assert_eq!(cluster.groups(), shown(&[("a", &[])]));
    }
    there.delete("a");
    assert_eq!(cluster.groups(), shown(&[]));
}

#[test]
fn s53_leave_exit_race() {
    let cluster = Cluster::mesh(2);
    let (main, there) = (cluster[0].spawn(), cluster[1].spawn());
    main.create("a");
    for round in 0..100 {
        let member = cluster[round % 2].spawn();
        assert_eq!(there.try_join("a", &member.pid), Status::Ok);
        member.exit();
        let left = main.try_leave("a", &member.pid);
        assert!([Status::Ok, Status::NoProcess].contains(&left), "{left:?}");
    }
    cluster.await_members("a", &[]);
    main.join("a", &there.pid);
    assert_eq!(cluster.groups(), shown(&[("a", &[there.pid])]));
}

/// 16 memberships of one process, 4 of them given back, then the end of its node.
#[test]
fn s58_group_leave() {
    let mut cluster = Cluster::mesh(2);
    let main = cluster[0].spawn();
    main.create("two");
    let members: Vec<Process> = (0..16).map(|_| cluster[1].spawn()).collect();
    for member in &members {
        main.join("two", &member.pid);
    }
    assert_eq!(cluster[0].members("two").map(|members| members.len()), Ok(16));
    for member in &members[..4] {
        main.leave("two", &member.pid);
    }
    let left: Members = members[4..].iter().map(|member| member.pid).collect();
    assert_eq!(cluster.groups(), shown(&[("two", &left)]));
    main.monitor_nodes();
    cluster.crash(1);
    main.expect(EventKind::NodeDown);
    assert_eq!(cluster.groups(), shown(&[("two", &[])]));
}

/// Snapshot first, then every change in order with its reason; a watcher may be a member; several watch; none after the
/// watch has ended.
#[test]
fn s60_monitors() {
    let mut cluster = Cluster::mesh(3);
    let (one, two) = (cluster[0].spawn(), cluster[1].spawn());
    one.create("a");
    one.join("a", &one.pid);
    one.join("a", &one.pid);
    let watchers = [0, 1].map(|node| cluster[node].spawn());
    let watches = watchers.each_ref().map(|watcher| {
        let (watch, members) = watcher.watch_group("a");
        assert_eq!(members, [(one.pid, 2)]);
        watch
    });
    let (own, members) = one.watch_group("a");
    assert_eq!(members, [(one.pid, 2)]);
    let all = |expected: Change| {
        for (watcher, watch) in watchers.iter().zip(watches) {
            assert_eq!(watcher.next_change(watch), expected);
        }
        assert_eq!(one.next_change(own), expected, "a member watches too");
    };
    two.join("a", &two.pid);
    all(Change::Joined(two.pid, 1));
    two.join("a", &two.pid);
    all(Change::Joined(two.pid, 2));
    one.leave("a", &one.pid);
    all(Change::Left(one.pid, 1, Reason::NORMAL));
    one.leave("a", &one.pid);
    all(Change::Left(one.pid, 0, Reason::NORMAL));
    two.exit();
    all(Change::Left(two.pid, 0, Reason::EXPLICIT));
    let three = cluster[2].spawn();
    one.join("a", &three.pid);
    all(Change::Joined(three.pid, 1));
    one.delete("a");
    all(Change::Left(three.pid, 0, Reason::GROUP_DELETED));
    // A group that is not there can be watched; its members are told when there are any.
    one.create("a");
    one.join("a", &three.pid);
    all(Change::Joined(three.pid, 1));
    let last = cluster.nodes.len() - 1;
    cluster.crash(last);
    all(Change::Left(three.pid, 0, Reason::OS_PROCESS_DIED));
    // Nothing after the watch has ended, and nothing is left of a watcher that has.
    one.cancel(own);
    let [gone, left] = watchers;
    gone.exit();
    drop(gone);
    one.join("a", &one.pid);
    assert_eq!(left.next_change(watches[1]), Change::Joined(one.pid, 1));
    assert_eq!(one.waiting(EventKind::GroupJoined), 0);
}
