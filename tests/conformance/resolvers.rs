//! Clashes: one name in two parts of a cluster that join, and who decides.

use crate::harness::{
    B, Cluster, Event, EventKind, Field, KILL_LOSER, NOTIFY_LOSER, Process, Reason, Resolver, SHORT_WAIT,
    Status,
};
use convoke::ffi::convoke_pid;

/// Two meshes that know nothing of each other.
pub(crate) fn two_parts(sizes: [usize; 2]) -> Cluster {
    let mut cluster = Cluster::isolated(0);
    cluster.mesh_part(sizes[0]);
    cluster.mesh_part(sizes[1]);
    cluster
}

/// Whom a resolver could have harmed: a process that has a name, and what it was told.
pub(crate) struct Owner {
    pub(crate) process: Process,
    pub(crate) name: &'static str,
}

impl Owner {
    pub(crate) fn register(
        cluster: &Cluster,
        node: usize,
        name: &'static str,
        resolver: Option<&str>,
    ) -> Self {
        let process = cluster[node].spawn();
        process.register_with(name, resolver);
        Self { process, name }
    }

    /// NAME_CONFLICT: the other pid, if it is told.
    #[track_caller]
    pub(crate) fn is_told(&self) -> Option<convoke_pid> {
        let told = self.process.expect(EventKind::NameConflict);
        assert_eq!(told.text(Field::Name), self.name);
        assert_eq!(told.reason(), Reason::CONFLICT_LOST);
        told.peer()
    }

    /// To be asked when all is decided.
    #[track_caller]
    pub(crate) fn is_untouched(&self) {
        let told = self.process.waiting(EventKind::NameConflict);
        assert_eq!((told, self.process.waiting(EventKind::Exit)), (0, 0), "{}", self.name);
    }
}

/// The advanced partition of seven nodes, with each kind of resolver.
#[test]
fn s11_advanced_partition() {
    let cluster = two_parts([3, 4]);
    let pair = |name, resolver| [1, 5].map(|node| Owner::register(&cluster, node, name, resolver));
    let test1 = pair("test1", None);
    let test2 = pair("test2", Some("notify-all"));
    let test3 = pair("test3", Some("random-notify"));
    // Keeps the one on the highest node.
    let highest = std::sync::Arc::new(std::sync::OnceLock::new());
    let kept = highest.clone();
    let resolver =
        Resolver::new(move |clash| clash.keep(kept.get().expect("it is registered by now")) | NOTIFY_LOSER);
    resolver.add_to_all(&cluster.nodes, "highest");
    let test4 = [2, 6].map(|node| Owner::register(&cluster, node, "test4", Some("highest")));
    highest.set(test4[1].process.pid).unwrap();
    cluster.connect(0, 6);
    cluster.await_mesh();

    // One is killed, the other stays registered and is not touched.
    let judge = cluster[2].spawn();
    let monitors = test1.each_ref().map(|owner| judge.monitor(&owner.process.pid));
    let exit = judge.expect(EventKind::Exit);
    let loser = monitors.iter().position(|monitor| *monitor == exit.reference()).expect("one of the two");
    assert!([Reason::CONFLICT_LOST, Reason::NO_PROCESS].contains(&exit.reason()));
    let winner = &test1[1 - loser];
    assert_eq!(cluster.agree_on("test1", |pid| *pid == winner.process.pid), winner.process.pid);
    assert_eq!(test1[loser].process.expect(EventKind::Exit).reason(), Reason::CONFLICT_LOST);

    // Neither keeps it, both live and are told of the other.
    for (owner, other) in [(&test2[0], &test2[1]), (&test2[1], &test2[0])] {
        assert_eq!(owner.is_told(), Some(other.process.pid));
    }
    cluster.await_gone("test2");

    // The loser lives and is told, without the other's pid.
    let loser3 = Process::first_of(&[&test3[0].process, &test3[1].process], EventKind::NameConflict);
    let winner3 = 1 - loser3;
    assert_eq!(test3[loser3].is_told(), None);
    cluster.agree_on("test3", |pid| *pid == test3[winner3].process.pid);
    // One call in the whole cluster.
    assert_eq!(test4[0].is_told(), Some(test4[1].process.pid));
    cluster.agree_on("test4", |pid| *pid == test4[1].process.pid);
    assert_eq!(resolver.asked().len(), 1);
    winner.is_untouched();
    test3[winner3].is_untouched();
    test4[1].is_untouched();
    for owner in test2.iter().chain(&test3) {
        assert!(judge.is_alive(&owner.process.pid), "{}", owner.name);
    }
    for (name, owner) in [("test1", winner), ("test3", &test3[winner3])] {
        owner.process.exit();
        cluster.await_gone(name);
    }
}

/// Three parts that meet at several places at once, while nodes end, come back and are new.
#[test]
fn s12_stress_partition() {
    let mut cluster = two_parts([4, 4]);
    let alone = cluster.open("alone", &[]);
    let highest = std::sync::Arc::new(std::sync::OnceLock::new());
    let kept = highest.clone();
    let resolver = Resolver::new(move |clash| {
        let highest = kept.get().expect("it is registered by now");
        // Of two others the second stays: it is not the last clash of the name.
        if [clash.a, clash.b].contains(highest) { clash.keep(highest) | KILL_LOSER } else { B | KILL_LOSER }
    });
    resolver.add_to_all(&cluster.nodes, "highest");
    let trio = |name, resolver| [1, 6, alone].map(|node| Owner::register(&cluster, node, name, resolver));
    let test1 = trio("test1", None);
    let test3 = trio("test3", Some("random-notify"));
    let test4 = trio("test4", Some("highest"));
    highest.set(test4[2].process.pid).unwrap();
    let test2 = [1, 6].map(|node| Owner::register(&cluster, node, "test2", Some("notify-all")));
    let doomed = Owner::register(&cluster, 2, "of the dead one", None);
    let judge = cluster[0].spawn();

    let dials: Vec<_> = [(0, 4), (3, 7), (alone, 1), (6, alone)]
        .into_iter()
        .map(|(from, to)| {
            let dialler = cluster[from].spawn();
            let op = dialler.begin_connect(&cluster[to].address);
            (dialler, op)
        })
        .collect();
    cluster.crash(5);
    cluster.crash(2);
    drop(doomed);
    // The one that has crashed comes back under its name, and two more are new.
    for name in ["n2", "n9", "n10"] {
        let joined = cluster.join_as(name);
        resolver.add_to(&cluster[joined], "highest");
    }
    for (dialler, op) in dials {
        let ended = dialler.done(op);
        assert!(ended == Status::Ok, "{ended:?}");
    }
    cluster.await_mesh();

    // One of each three is left, or none of two.
    let winner = |owners: &[Owner; 3]| {
        let monitors = owners.each_ref().map(|owner| judge.monitor(&owner.process.pid));
        let mut left = vec![0, 1, 2];
        while left.len() > 1 {
            let is_it =
                |event: &Event| event.kind() == EventKind::Exit && monitors.contains(&event.reference());
            let exit = judge.find("EXIT", is_it);
            left.retain(|index| monitors[*index] != exit.reference());
        }
        left[0]
    };
    let first = &test1[winner(&test1)];
    cluster.agree_on("test1", |pid| *pid == first.process.pid);
    assert_eq!(winner(&test4), 2);
    cluster.agree_on("test4", |pid| *pid == test4[2].process.pid);
    let mut left = vec![0, 1, 2];
    while left.len() > 1 {
        let owners: Vec<&Process> = left.iter().map(|index| &test3[*index].process).collect();
        let loser = left.remove(Process::first_of(&owners, EventKind::NameConflict));
        assert_eq!(test3[loser].is_told(), None);
        assert!(judge.is_alive(&test3[loser].process.pid));
    }
    cluster.agree_on("test3", |pid| *pid == test3[left[0]].process.pid);
    for (owner, other) in [(&test2[0], &test2[1]), (&test2[1], &test2[0])] {
        assert_eq!(owner.is_told(), Some(other.process.pid));
    }
    for name in ["test2", "of the dead one"] {
        cluster.await_gone(name);
    }
    for owner in [first, &test3[left[0]], &test4[2]] {
        owner.is_untouched();
    }
    let names = cluster[0].names();
    assert_eq!(names.len(), 3);
    for node in &cluster.nodes {
        assert_eq!(node.names(), names, "{}", node.name);
    }
    let asked = resolver.asked();
    assert!((1..=3).contains(&asked.len()), "once for each clash: {asked:?}");
}

/// Of two registrations the older stays; the other is told who has it.
#[test]
fn s11_keep_oldest() {
    let mut cluster = Cluster::mesh_with(2, SHORT_WAIT);
    cluster.partition(&[&[0], &[1]]);
    cluster[0].await_peers(&Default::default());
    cluster[1].await_peers(&Default::default());
    for older in [0, 1] {
        let name = ["first", "second"][older];
        let old = Owner::register(&cluster, older, name, Some("keep-oldest"));
        // Ages are compared after one has travelled, so they are as exact as a message is quick.
        let began = std::time::Instant::now();
        let mut rounds = 0;
        while began.elapsed() < std::time::Duration::from_millis(300) {
            old.process.reregister(&format!("{name} {rounds}"), &old.process.pid);
            rounds += 1;
        }
        let young = Owner::register(&cluster, 1 - older, name, Some("keep-oldest"));
        cluster.heal_all();
        cluster.await_mesh();
        assert_eq!(young.is_told(), Some(old.process.pid));
        assert_eq!(cluster.agree_on(name, |pid| *pid == old.process.pid), old.process.pid);
        old.is_untouched();
        assert!(old.process.is_alive(&young.process.pid));
        cluster.partition(&[&[0], &[1]]);
        cluster[0].await_peers(&Default::default());
        cluster[1].await_peers(&Default::default());
    }
}
