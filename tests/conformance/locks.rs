//! Locks in a cluster whose links are whole.

use crate::harness::{Cluster, EventKind, LONG, Lock, Noticed, Reason, SHORT_WAIT, Status};
use std::cell::Cell;
use std::sync::Mutex;

/// The steps of the scenario on locks, with names of resources of its own.
fn locks_of(cluster: &mut Cluster) {
    let [t, cp1, cp2, cp3] = [0, 1, 2, 3];
    let test = Lock::on_all("test").retries(1);
    let at = |node: usize| cluster[node].spawn();
    let (main, p, q) = (at(t), at(t), at(cp1));

    main.lock(&test);
    p.cannot_lock(&test);
    q.cannot_lock(&test);
    main.unlock(&test);
    p.lock(&test);
    main.cannot_lock(&test);
    q.cannot_lock(&test);
    main.kill(&p.pid);
    main.lock(&Lock::on_all("test"));

    // One that waits for ever does not get it while it is held, and gets it when it is released.
    let waiter = q.begin_lock(&Lock::on_all("test").within(-1));
    for _ in 0..3 {
        at(cp2).cannot_lock(&test);
    }
    assert_eq!(q.waiting(EventKind::Done), 0);
    main.unlock(&test);
    assert_eq!(q.done(waiter), Status::Ok);
    q.unlock(&test);

    // Once is as good as twice, and another lock is another lock.
    let p = at(t);
    p.lock(&test);
    p.lock(&test);
    p.lock(&Lock::on_all("test2"));
    main.cannot_lock(&test);
    main.cannot_lock(&Lock::on_all("test2").retries(1));
    p.exit();
    main.lock(&Lock::on_all("test"));
    main.lock(&Lock::on_all("test2"));
    main.unlock(&test);
    q.lock(&test);
    q.cannot_lock(&Lock::on_all("test2").retries(1));
    q.unlock(&test);
    main.unlock(&Lock::on_all("test2"));
    // One share, however often it was acquired.
    main.lock(&test);
    main.lock(&test);
    main.unlock(&test);
    q.lock(&test);
    q.unlock(&test);
    assert_eq!(q.try_unlock(&test), Status::NotOwner);

    // On sets of nodes: what counts is whether they have a node in common.
    let first = Lock::on("sets", cluster, &[t, cp1]);
    let second = Lock::on("sets", cluster, &[cp2, cp3]);
    let third = Lock::on("sets", cluster, &[cp1, cp2, cp3]).retries(1);
    let (p, q) = (at(t), at(cp2));
    p.lock(&first);
    q.lock(&second);
    main.cannot_lock(&first.clone().retries(1));
    main.cannot_lock(&second.clone().retries(1));
    q.unlock(&second);
    main.cannot_lock(&third);
    main.lock(&second);
    main.unlock(&second);
    main.kill(&p.pid);
    main.lock(&first);
    main.unlock(&first);
    main.lock(&Lock::on_all("sets"));
    main.unlock(&Lock::on_all("sets"));

    // What a node held is free when it has stopped.
    let gone = at(cp3);
    gone.lock(&test);
    main.cannot_lock(&test);
    drop(gone);
    let gone = at(cp3);
    gone.lock(&Lock::on_all("stop"));
    cluster.crash(cp3);
    main.lock(&Lock::on_all("stop"));
    main.unlock(&Lock::on_all("stop"));
    for node in &cluster.nodes {
        for resource in ["test", "test2", "sets", "stop"] {
            assert_eq!(node.locks(resource), [], "{resource} at {}", node.name);
        }
    }
}

#[test]
fn s03_locks() {
    locks_of(&mut Cluster::mesh(4));
}

/// Clusters of two names have nothing to do with each other, on one machine or not.
#[test]
fn s04_locks_hidden() {
    let mut cluster = Cluster::mesh(4);
    let hidden = Cluster::mesh(1);
    let outside = hidden[0].spawn();
    for resource in ["test", "test2", "sets", "stop"] {
        outside.lock(&Lock::on_all(resource));
    }
    locks_of(&mut cluster);
    for resource in ["test", "test2", "sets", "stop"] {
        assert_eq!(hidden[0].holders(resource), [outside.pid]);
        outside.unlock(&Lock::on_all(resource));
    }
}

#[test]
fn s06_names_and_locks() {
    let cluster = Cluster::mesh(4);
    let [t, cp1, cp2, cp3] = [0, 1, 2, 3];
    let main = cluster[t].spawn();
    let (p1, p2, p3) = (cluster[t].spawn(), cluster[cp1].spawn(), cluster[cp3].spawn());
    for (name, process) in [("test1", &p1), ("test2", &p2), ("test3", &p3)] {
        process.register(name);
    }
    assert_eq!(p3.try_register("test1", &p3.pid, None, LONG), Status::Exists);
    p3.register("test4");
    let left = Lock::on("res", &cluster, &[t, cp1]);
    let right = Lock::on("res", &cluster, &[cp2, cp3]);
    let other = Lock::on_all("other");
    p1.lock(&left);
    p2.lock(&right);
    p2.lock(&other);
    for lock in [&left, &right, &other] {
        main.cannot_lock(&lock.clone().retries(1));
    }
    // Each takes with it what it has, and nothing else.
    main.kill(&p1.pid);
    main.lock(&left);
    main.cannot_lock(&right.clone().retries(1));
    cluster.await_gone("test1");
    cluster.all_show("test2", Some(p2.pid));
    main.unlock(&left);
    main.kill(&p2.pid);
    for lock in [&left, &right, &other] {
        main.lock(lock);
        main.unlock(lock);
    }
    cluster.await_gone("test2");
    cluster.all_show("test4", Some(p3.pid));
    main.kill(&p3.pid);
    for name in ["test3", "test4"] {
        cluster.await_gone(name);
    }
    for node in &cluster.nodes {
        assert!(node.names().is_empty());
        assert!(node.locks("res").is_empty() && node.locks("other").is_empty());
    }
}

#[test]
fn s07_lock_die() {
    let cluster = Cluster::mesh(3);
    let main = cluster[0].spawn();
    // Two processes share it as one requester, on different sets.
    let p = cluster[0].spawn();
    let shared = Lock::on_all("shared").by("R");
    p.lock(&shared);
    let on_cp1 = Lock::on("shared", &cluster, &[1]).by("R");
    main.lock(&on_cp1);
    main.unlock(&Lock::on_all("shared").by("R"));
    cluster[2].spawn().cannot_lock(&Lock::on_all("shared").retries(1));
    main.kill(&p.pid);
    let free = cluster[2].spawn();
    free.lock(&Lock::on_all("shared"));
    free.unlock(&Lock::on_all("shared"));
    // On a node elsewhere only.
    let p = cluster[0].spawn();
    p.lock(&Lock::on("remote", &cluster, &[1]));
    main.cannot_lock(&Lock::on("remote", &cluster, &[0, 1]).retries(1));
    main.kill(&p.pid);
    main.lock(&Lock::on("remote", &cluster, &[0, 1]));
    main.unlock(&Lock::on("remote", &cluster, &[0, 1]));
}

/// Both must release what they share.
#[test]
fn s07_shared_requester() {
    let cluster = Cluster::mesh(3);
    let [one, two, other] = [0, 1, 2].map(|node| cluster[node].spawn());
    let shared = Lock::on_all("shared").by("R");
    one.lock(&shared);
    two.lock(&shared);
    let try_it = Lock::on_all("shared").at_once();
    other.cannot_lock(&try_it);
    // Nobody but a holder can release, and only under its requester.
    assert_eq!(other.try_unlock(&shared), Status::NotOwner);
    assert_eq!(one.try_unlock(&Lock::on_all("shared")), Status::NotOwner);
    one.unlock(&shared);
    other.cannot_lock(&try_it);
    assert_eq!(one.relies_on(&shared), None);
    assert!(two.relies_on(&shared).is_some());
    two.unlock(&shared);
    other.lock(&try_it);
}

/// 0 retries: one try, which does not wait for others.
#[test]
fn s20_otp_5737() {
    let cluster = Cluster::mesh(3);
    let (holder, main) = (cluster[1].spawn(), cluster[0].spawn());
    let lock = Lock::on_all("lock");
    let once = lock.clone().retries(0).within(-1);
    main.lock(&once);
    main.unlock(&once);
    assert_eq!(main.with(&once, |_| 7), Ok(7));
    holder.lock(&lock);
    main.cannot_lock(&once);
    main.cannot_lock(&lock.clone().within(0));
    assert_eq!(main.with(&once, |_| panic!("it was not obtained")), Err(Status::Aborted));
    assert_eq!(main.with(&lock.clone().within(0), |_| panic!("it was not obtained")), Err(Status::Aborted));
    // -1 is for ever here; anything below is no number of retries.
    assert_eq!(main.try_lock(&lock.clone().retries(-2)), Err(Status::Invalid));
    assert_eq!(main.with(&lock.clone().retries(-2), |_| 7), Err(Status::Invalid));
    holder.unlock(&lock);
    main.lock(&once);
}

/// A lock on the resource `global` is a lock like any other: registrations are not held up by it.
#[test]
fn s28_name_exit() {
    let cluster = Cluster::mesh(3);
    let (holder, owner) = (cluster[1].spawn(), cluster[0].spawn());
    holder.lock(&Lock::on_all("global"));
    owner.register("name");
    cluster.all_show("name", Some(owner.pid));
    let taker = cluster[2].spawn();
    taker.reregister("name", &taker.pid);
    taker.exit();
    cluster.await_gone("name");
    owner.register("name");
    owner.unregister("name");
    assert!(holder.relies_on(&Lock::on_all("global")).is_some(), "it was held all the time");
}

/// A node that joins is not held up by a lock either, and is bound by it if it is one on all nodes.
#[test]
fn s32_register_1() {
    let mut cluster = Cluster::mesh(2);
    let (here, everywhere) = (cluster[0].spawn(), cluster[0].spawn());
    here.lock(&Lock::on("global", &cluster, &[0]));
    everywhere.lock(&Lock::on_all("everywhere"));
    let new = cluster.join();
    let owner = cluster[1].spawn();
    owner.register("name");
    cluster.all_show("name", Some(owner.pid));
    let newcomer = cluster[new].spawn();
    newcomer.register("of the new one");
    cluster.all_show("of the new one", Some(newcomer.pid));
    assert_eq!(newcomer.try_lock(&Lock::on("everywhere", &cluster, &[new]).at_once()), Err(Status::Timeout));
    newcomer.lock(&Lock::on("global", &cluster, &[new]).at_once());
    newcomer.unlock(&Lock::on("global", &cluster, &[new]));
    everywhere.unlock(&Lock::on_all("everywhere"));
    newcomer.lock(&Lock::on("everywhere", &cluster, &[new]).at_once());
}

/// An attempt that fails gives back what it took, and nothing else.
#[test]
fn s62_rollback() {
    let cluster = Cluster::mesh(3);
    let (p, q, other) = (cluster[0].spawn(), cluster[1].spawn(), cluster[2].spawn());
    let on = |nodes: &[usize]| Lock::on("r", &cluster, nodes);
    let token = p.lock(&on(&[0]));
    q.lock(&on(&[1]));
    p.cannot_lock(&on(&[0, 1, 2]).retries(1));
    assert_eq!(p.relies_on(&Lock::on_all("r")), Some(token));
    other.cannot_lock(&on(&[0]).at_once());
    other.lock(&on(&[2]).at_once());
    other.unlock(&on(&[2]));
    // What was added by one that went well goes with a release, which may name a part.
    q.unlock(&on(&[1]));
    p.lock(&on(&[0, 1, 2]));
    p.unlock(&on(&[0, 2]));
    other.lock(&on(&[0, 2]).at_once());
    other.cannot_lock(&on(&[1]).at_once());
    p.unlock(&Lock::on_all("r"));
    other.lock(&on(&[1]).at_once());
}

#[test]
fn s63_nested_trans() {
    let cluster = Cluster::mesh(2);
    let (p, other) = (cluster[0].spawn(), cluster[1].spawn());
    let lock = Lock::on_all("nested");
    let once = lock.clone().at_once();
    let depth = Cell::new(0);
    let result = p.with(&lock, |outer| {
        let inner = p.with(&lock, |fence| {
            depth.set(2);
            other.cannot_lock(&once);
            assert_eq!(p.relies_on(&lock), Some(fence));
            42
        });
        assert_eq!((inner, depth.get()), (Ok(42), 2));
        // The inner one left the lock as it found it.
        other.cannot_lock(&once);
        assert_eq!(p.relies_on(&lock), Some(outer));
        inner.unwrap() + 1
    });
    assert_eq!(result, Ok(43));
    other.lock(&once);
    other.unlock(&once);
    // Nor does one that finds it held.
    p.lock(&lock);
    assert_eq!(p.with(&lock, |_| -1), Ok(-1));
    other.cannot_lock(&once);
    p.unlock(&lock);
    other.lock(&once);
    other.unlock(&lock);
    // On a list: what was held before stays, what was added goes, also when the inner one is on all.
    let on = |nodes: &[usize]| Lock::on("nested", &cluster, nodes);
    for inner in [on(&[0, 1]), lock.clone()] {
        p.lock(&on(&[0]));
        assert_eq!(p.with(&inner, |_| 1), Ok(1));
        other.lock(&on(&[1]).at_once());
        other.cannot_lock(&on(&[0]).at_once());
        other.unlock(&on(&[1]));
        p.unlock(&on(&[0]));
    }
}

/// A list that names a node without a link: nothing is taken. OTP locks nothing and says that it did.
#[test]
fn s65_unreachable_nodes() {
    let mut cluster = Cluster::mesh_with(3, SHORT_WAIT);
    let (p, other) = (cluster[0].spawn(), cluster[1].spawn());
    let mine = cluster[0].name.clone();
    for list in [&["nobody"][..], &[&mine, "nobody"]] {
        assert_eq!(p.try_lock(&Lock::on_named("r", list)), Err(Status::Unreachable));
    }
    assert!(cluster[0].locks("r").is_empty());
    other.lock(&Lock::on_all("r").at_once());
    other.unlock(&Lock::on_all("r"));
    cluster.cut(0, 2);
    assert_eq!(p.try_lock(&Lock::on("r", &cluster, &[0, 2])), Err(Status::Unreachable));
    // A node that is named twice counts once.
    p.lock(&Lock::on("r", &cluster, &[0, 1, 0, 1]));
    p.unlock(&Lock::on("r", &cluster, &[0, 1]));
    // An empty list is no list: all nodes are meant by NULL.
    assert_eq!(p.try_lock(&Lock::on("r", &cluster, &[])), Err(Status::Invalid));
    // One that is lost before all have agreed.
    other.lock(&Lock::on("r", &cluster, &[1]));
    other.watch_lock(&Lock::on("r", &cluster, &[1]));
    let op = p.begin_lock(&Lock::on("r", &cluster, &[0, 1]));
    assert_eq!(other.expect(EventKind::LockWanted).peer(), Some(p.pid));
    cluster.cut(0, 1);
    assert_eq!(p.done(op), Status::Unreachable);
    cluster[1].spawn().cannot_lock(&Lock::on("r", &cluster, &[1]).at_once());
    cluster[0].spawn().lock(&Lock::on("r", &cluster, &[0]).at_once());
}

/// Oldest first: nobody starves, and nobody has it twice while another waits all the time.
#[test]
fn s66_starvation() {
    const EACH: usize = 12;
    let cluster = Cluster::mesh(2);
    let order = Mutex::new(Vec::new());
    let inside = Mutex::new(());
    std::thread::scope(|scope| {
        for contender in 0..8 {
            let process = cluster[contender % 2].spawn();
            let (order, inside) = (&order, &inside);
            scope.spawn(move || {
                let lock = Lock::on_all("contended");
                let mut last = 0;
                for _ in 0..EACH {
                    let fence = process.lock(&lock);
                    let _alone = inside.try_lock().expect("nobody else has it");
                    assert!(fence > last, "tokens rise");
                    last = fence;
                    order.lock().unwrap().push((contender, fence));
                    drop(_alone);
                    process.unlock(&lock);
                }
            });
        }
    });
    let order = order.into_inner().unwrap();
    assert_eq!(order.len(), 8 * EACH);
    assert!(order.is_sorted_by_key(|(_, fence)| *fence), "tokens rise from holder to holder");
    // From its first to its last turn each waits for every other at most a few times in between.
    for contender in 0..8 {
        let turns: Vec<usize> = (0..order.len()).filter(|at| order[*at].0 == contender).collect();
        let longest = turns.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest <= 4 * 8, "{contender} had to wait for {longest} others");
    }
}

/// The end of a node between its lock and its registration leaves nothing of either.
#[test]
fn s68_killed_between_lock_and_register() {
    for round in 0..4 {
        let mut cluster = Cluster::mesh(4);
        let (doomed, main) = (cluster[3].spawn(), cluster[0].spawn());
        doomed.lock(&Lock::on_all("r"));
        main.cannot_lock(&Lock::on_all("r").at_once());
        if round % 2 == 1 {
            // One of the voters is silent, so that it is under way when the node ends.
            cluster.cut_noticed(2, 3, Noticed::ByNobody);
        }
        doomed.begin_register("half", LONG);
        cluster.crash(3);
        main.lock(&Lock::on_all("r"));
        cluster.await_gone("half");
        main.register("half");
        cluster.all_show("half", Some(main.pid));
    }
}

/// A node that hangs holds up a lock as it does a registration: for the detection time.
#[test]
fn s67_hung_node_and_lock() {
    let mut cluster = Cluster::mesh_with(3, &[("detection_ms", "1000")]);
    let (main, hung) = (cluster[0].spawn(), cluster[2].spawn());
    hung.lock(&Lock::on_all("held there"));
    for other in [0, 1] {
        cluster.cut_noticed(other, 2, Noticed::ByNobody);
    }
    assert_eq!(main.try_lock(&Lock::on_all("r").within(100)), Err(Status::Timeout));
    let began = std::time::Instant::now();
    main.lock(&Lock::on_all("r"));
    main.lock(&Lock::on_all("held there"));
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    // The hung one held it on more than half of the nodes and has lost them.
    assert_eq!(hung.loses(&Lock::on_all("held there")), Reason::MINORITY);
    assert_eq!(hung.relies_on(&Lock::on_all("held there")), None);
    assert!(main.relies_on(&Lock::on_all("r")).is_some());
}
