//! Splits and heals, without clashes: what each side keeps, and what comes together.

use crate::harness::{Cluster, EventKind, Field, LONG, Noticed, Reason, SHORT_WAIT, Status};
use std::collections::BTreeSet;

#[test]
fn s09_basic_partition() {
    let mut cluster = Cluster::mesh_with(4, SHORT_WAIT);
    cluster.partition(&[&[0, 1], &[2, 3]]);
    cluster.await_mesh_of(&[0, 1]);
    cluster.await_mesh_of(&[2, 3]);
    let owners = [("test", cluster[0].spawn()), ("test4", cluster[1].spawn()), ("test2", cluster[2].spawn())];
    for (name, owner) in &owners {
        owner.register(name);
    }
    let shown = |node: usize| cluster[node].names();
    assert_eq!(shown(0), BTreeSet::from(["test".to_owned(), "test4".to_owned()]));
    assert_eq!(shown(1), shown(0));
    assert_eq!(shown(2), BTreeSet::from(["test2".to_owned()]));
    assert_eq!(shown(3), shown(2));
    cluster.heal_all();
    cluster.await_mesh();
    for (name, owner) in &owners {
        cluster.all_show(name, Some(owner.pid));
    }
    for (name, owner) in &owners {
        owner.exit();
        cluster.await_gone(name);
    }
}

#[test]
fn s18_otp_3162() {
    let mut cluster = Cluster::mesh(4);
    let owners: Vec<_> = (1..4).map(|node| cluster[node].spawn()).collect();
    let names = ["of cp1", "of cp2", "of cp3"];
    for (name, owner) in names.iter().zip(&owners) {
        owner.register(name);
    }
    let set = |of: &[usize]| -> BTreeSet<String> { of.iter().map(|n| names[n - 1].to_owned()).collect() };
    cluster.cut(1, 2);
    cluster[1].await_gone("of cp2");
    cluster[2].await_gone("of cp1");
    // No other link is touched, and each node sees whom it reaches.
    assert_eq!(cluster[1].names(), set(&[1, 3]));
    assert_eq!(cluster[2].names(), set(&[2, 3]));
    assert_eq!(cluster[3].names(), set(&[1, 2, 3]));
    assert_eq!(cluster[0].names(), set(&[1, 2, 3]));
    cluster.heal(1, 2);
    cluster.await_mesh();
    for (name, owner) in names.iter().zip(&owners) {
        cluster.all_show(name, Some(owner.pid));
        assert_eq!(owner.waiting(EventKind::NameConflict), 0);
    }
}

/// The same binding comes back over a new link: it is no clash, and nobody is asked.
#[test]
fn s22_simple_disconnect() {
    for noticed in [Noticed::ByBoth, Noticed::OnlyBy("n0"), Noticed::OnlyBy("n2")] {
        let mut cluster = Cluster::mesh_with(3, &[("detection_ms", "1000")]);
        let (t, n1, n2) = (0, 1, 2);
        let owner = cluster[n1].spawn();
        owner.register_with("name", Some("random-exit"));
        let watchers = cluster.spawn_all();
        for watcher in &watchers {
            assert_eq!(watcher.watch("name"), Some(owner.pid));
        }
        let one = if let Noticed::OnlyBy(name) = noticed { cluster.full_name(name) } else { String::new() };
        let noticed = if one.is_empty() { Noticed::ByBoth } else { Noticed::OnlyBy(&one) };
        cluster.cut_noticed(t, n2, noticed);
        cluster.heal(t, n2);
        cluster.await_mesh();
        cluster.all_show("name", Some(owner.pid));
        for watcher in &watchers {
            assert_eq!(watcher.waiting(EventKind::NameChanged), 0, "{noticed:?}");
        }
        assert_eq!(owner.waiting(EventKind::NameConflict) + owner.waiting(EventKind::Exit), 0);
        owner.exit();
        cluster.await_gone("name");
        for watcher in &watchers {
            assert_eq!(watcher.expect(EventKind::NameChanged).peer(), None);
            assert_eq!(watcher.waiting(EventKind::NameChanged), 0, "exactly once");
        }
    }
}

/// What its home withdraws is gone wherever the home reaches, and stays gone.
#[test]
fn s34_lost_unregister() {
    let mut cluster = Cluster::mesh(3);
    let (t, b, c) = (0, 1, 2);
    let at_b = cluster[b].spawn();
    for home in [t, b] {
        let owner = cluster[home].spawn();
        owner.register("name");
        cluster.cut(b, c);
        if home == b {
            cluster[c].await_gone("name");
        } else {
            assert_eq!(cluster[c].whereis("name"), Some(owner.pid));
        }
        at_b.unregister("name");
        cluster.all_show("name", None);
        cluster.heal(b, c);
        cluster.await_mesh();
        cluster.all_show("name", None);
        // It is free for others, on every node.
        let next = cluster[c].spawn();
        next.register("name");
        cluster.all_show("name", Some(next.pid));
        next.exit();
        cluster.await_gone("name");
        assert!(at_b.is_alive(&owner.pid));
    }
}

/// Two nodes that have lost each other and a third that sees both: a name stays unique, and no good link is cut.
#[test]
fn s38_lost_connection() {
    let mut cluster = Cluster::mesh_with(3, &[("detection_ms", "1000")]);
    let (t, cp1, cp2) = (0, 1, 2);
    let (owner, rival) = (cluster[t].spawn(), cluster[cp2].spawn());
    owner.register("name");
    cluster.cut(t, cp2);
    cluster[cp2].await_gone("name");
    assert_eq!(cluster[cp1].peers().len(), 2, "no good link is cut because of a bad one");
    // OTP lets it register here. The common neighbour keeps them apart.
    assert_eq!(rival.try_register("name", &rival.pid, None, LONG), Status::Exists);
    drop(rival);
    cluster.crash(cp2);
    cluster.await_mesh();
    cluster.all_show("name", Some(owner.pid));
    assert_eq!(owner.waiting(EventKind::NameConflict), 0);
}

/// OTP takes both ends of a lost link out of the cluster. Here every other link stays, and the lost one comes back.
#[test]
fn s39_lost_connection2() {
    let mut cluster = Cluster::mesh(5);
    let (cp3, cp4) = (3, 4);
    let watchers = cluster.spawn_all();
    for watcher in &watchers {
        watcher.monitor_nodes();
    }
    cluster.cut(cp3, cp4);
    for (one, other) in [(cp3, cp4), (cp4, cp3)] {
        assert_eq!(watchers[one].expect(EventKind::NodeDown).text(Field::Name), cluster[other].name);
        assert_eq!(cluster[one].peers().len(), 3);
    }
    let owner = cluster[cp3].spawn();
    owner.register("of cp3");
    for node in [0, 1, 2, cp3] {
        assert_eq!(cluster[node].whereis("of cp3"), Some(owner.pid));
    }
    // The mesh repairs itself: nobody asks for it.
    cluster.heal(cp3, cp4);
    cluster.await_mesh();
    cluster.all_show("of cp3", Some(owner.pid));
    for (index, watcher) in watchers.iter().enumerate() {
        while watcher.waiting(EventKind::NodeDown) > 0 {
            // The first connection after the cut may be one that the other end had given up just before.
            let lost = watcher.expect(EventKind::NodeDown);
            let pair = [cp3, cp4].map(|node| cluster[node].name.as_str());
            let is_of_the_pair = index == cp3 || index == cp4;
            assert!(
                is_of_the_pair && pair.contains(&lost.text(Field::Name).as_str()),
                "n{index} has lost nobody else"
            );
        }
    }
}

/// To leave the cluster is one call: the others stay together, and who was no member is not concerned.
#[test]
fn s40_global_disconnect() {
    let mut cluster = Cluster::mesh(4);
    let stranger = Cluster::mesh(2);
    let watchers: Vec<_> = (1..4).map(|node| cluster[node].spawn()).collect();
    for watcher in &watchers {
        watcher.monitor_nodes();
    }
    let others = |of: &Cluster, me: usize| -> BTreeSet<String> {
        of.nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != me)
            .map(|(_, node)| node.name.clone())
            .collect()
    };
    assert_eq!(cluster[0].peers(), others(&cluster, 0), "the former members");
    let leaver = cluster.nodes.remove(0);
    leaver.close();
    for watcher in &watchers {
        let down = watcher.expect(EventKind::NodeDown);
        assert_eq!((down.text(Field::Name), down.reason()), (leaver.name.clone(), Reason::NODE_CLOSED));
        assert_eq!(watcher.waiting(EventKind::NodeDown), 0);
    }
    for index in 0..3 {
        assert_eq!(cluster[index].peers(), others(&cluster, index));
    }
    assert_eq!(stranger[0].peers().len(), 1);
    // And one node from one other, both ways, until somebody asks.
    let asker = cluster[0].spawn();
    asker.disconnect(&cluster[1].name);
    assert_eq!(cluster[0].peers(), BTreeSet::from([cluster[2].name.clone()]));
    cluster[1].await_peers(&BTreeSet::from([cluster[2].name.clone()]));
    assert_eq!(asker.try_connect(&cluster[1].address, LONG), Status::Ok);
    cluster.await_mesh();
}
