//! Locks in a cluster that splits and heals.

use crate::harness::{Cluster, EventKind, Lock, Reason, SHORT_WAIT, Status};

/// While two nodes are cut and a third, which sees both, is locked, they reconnect all the same.
#[test]
fn s33_both_known_1() {
    let mut cluster = Cluster::mesh(4);
    cluster.cut(1, 2);
    let owners = [1, 2].map(|node| cluster[node].spawn());
    owners[0].register("p1");
    owners[1].register("p2");
    assert_eq!(cluster[1].whereis("p2"), None);
    let holder = cluster[3].spawn();
    holder.lock(&Lock::on("global", &cluster, &[3]));
    cluster.heal(1, 2);
    cluster.await_mesh();
    cluster.all_show("p1", Some(owners[0].pid));
    cluster.all_show("p2", Some(owners[1].pid));
    assert!(holder.relies_on(&Lock::on("global", &cluster, &[3])).is_some());
}

/// Two that both can rely on the lock meet after a heal: both keep it, both are told, nobody else gets it until both have released.
#[test]
fn s64_two_holders_after_heal() {
    let mut cluster = Cluster::mesh_with(4, SHORT_WAIT);
    let lock = Lock::on_all("r");
    let (one, two, third) = (cluster[0].spawn(), cluster[2].spawn(), cluster[1].spawn());
    cluster.partition(&[&[0, 1], &[2, 3]]);
    cluster.await_mesh_of(&[0, 1]);
    cluster.await_mesh_of(&[2, 3]);
    let first = one.lock(&lock);
    let second = two.lock(&lock);
    assert_eq!((one.relies_on(&lock), two.relies_on(&lock)), (Some(first), Some(second)));
    third.cannot_lock(&lock.clone().at_once());
    cluster.heal_all();
    for holder in [&one, &two] {
        assert_eq!(holder.loses(&lock), Reason::SECOND_HOLDER);
        assert_eq!(holder.relies_on(&lock), None);
    }
    cluster.await_mesh();
    third.cannot_lock(&lock.clone().at_once());
    one.unlock(&lock);
    third.cannot_lock(&lock.clone().at_once());
    two.unlock(&lock);
    let third_token = third.lock(&lock);
    assert!(third_token > first && third_token > second);
    assert_eq!(one.waiting(EventKind::LockLost) + two.waiting(EventKind::LockLost), 0, "once");
    // What its node publishes after the hold arrives behind it.
    third.register("afterwards");
    for node in &cluster.nodes {
        assert_eq!(node.holders("r"), [third.pid]);
    }
}

/// A holder whose links break so that at most half of its nodes are left is told, on the larger side nobody is.
#[test]
fn s64_minority() {
    let mut cluster = Cluster::mesh(5);
    let lock = Lock::on_all("r");
    let (few, many) = (cluster[0].spawn(), cluster[4].spawn());
    let other = Lock::on_all("other");
    few.lock(&lock);
    many.lock(&other);
    cluster.partition(&[&[0, 1], &[2, 3, 4]]);
    assert_eq!(few.loses(&lock), Reason::MINORITY);
    assert_eq!(few.relies_on(&lock), None);
    cluster.await_mesh_of(&[2, 3, 4]);
    assert!(many.relies_on(&other).is_some());
    // The larger side may have it now.
    let taker = cluster[3].spawn();
    taker.lock(&lock);
    cluster.heal_all();
    // What was lost ends where it meets who has the lock; nobody is told of anything.
    cluster.await_mesh();
    for node in &cluster.nodes {
        node.await_holders("r", &[taker.pid]);
    }
    assert!(taker.relies_on(&lock).is_some());
    assert!(taker.try_lock(&lock.clone().at_once()).is_ok(), "nothing is in its way");
    assert_eq!(few.try_unlock(&lock), Status::NotOwner, "it has ended by itself");
    few.cannot_lock(&lock.clone().at_once());
    taker.unlock(&lock);
    few.lock(&lock);
    for holder in [&few, &many, &taker] {
        assert_eq!(holder.waiting(EventKind::LockLost), 0);
    }
}
