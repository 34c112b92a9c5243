//! One misfortune at a time, and what is promised for it.

use crate::cluster::{Cluster, DETECTION, NODES, PATIENCE, name};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONFLICT_LOST: &str = "reason=8";
const MINORITY: &str = "reason=13";
const SECOND_HOLDER: &str = "reason=14";

impl Cluster {
    /// A process of its own on this node: its index and its pid.
    fn process(&mut self, node: usize) -> (String, String) {
        self.node(node).spawn()
    }

    /// From now on the node tells of links that come and go.
    fn watch_links(&mut self) {
        for node in 0..NODES {
            let (watcher, _) = self.process(node);
            self.node(node).ok(&format!("monitor_nodes {watcher}"));
            for peer in (0..NODES).filter(|peer| *peer != node) {
                self.node(node).event(&format!("up {}", name(peer)));
            }
            self.node(node).forget_events();
        }
    }
}

#[test]
fn halves_go_on_by_themselves_and_become_one_again() {
    let Some(mut cluster) = Cluster::new("") else { return };
    let (few, many) = ([0, 1], [2, 3, 4]);
    cluster.watch_links();
    // What is held by either side when the cable breaks.
    let (a, pid_a) = cluster.process(0);
    let (b, _) = cluster.process(2);
    cluster.node(0).ok(&format!("lock {a} before-few"));
    cluster.node(2).ok(&format!("lock {b} before-many"));
    cluster.split(&few);
    for node in few {
        for peer in many {
            cluster.node(node).event(&format!("down {}", name(peer)));
            cluster.node(peer).event(&format!("down {}", name(node)));
        }
    }
    // Who has most of the nodes keeps its lock, and who has not is told.
    cluster.node(0).event(&format!("lock_lost before-few {pid_a} {MINORITY}"));
    assert!(cluster.node(0).call(&format!("lock_check {a} before-few")).starts_with("CONVOKE_E_NOT_OWNER"));
    cluster.node(2).ok(&format!("lock_check {b} before-many"));
    // Both sides go on: the same name, the same lock, the same group.
    let (p, pid_p) = cluster.process(1);
    let (q, pid_q) = cluster.process(3);
    // The locks are held by processes that the clash of the names does not end.
    let ((l, pid_l), (m, pid_m)) = (cluster.process(1), cluster.process(3));
    for (node, process, locker) in [(1, &p, &l), (3, &q, &m)] {
        cluster.node(node).ok(&format!("register {process} job"));
        cluster.node(node).ok(&format!("lock {locker} resource"));
        cluster.node(node).ok(&format!("create {process} group"));
        cluster.node(node).ok(&format!("join {process} group"));
    }
    assert_eq!(cluster.node(0).ok("whereis job"), pid_p);
    assert_eq!(cluster.node(4).ok("whereis job"), pid_q);
    cluster.heal();
    let tables = cluster.rest();
    // The name has one winner, everywhere, and the loser was told.
    let winner = tables.names.get("job").expect("somebody has the name").clone();
    let (loser_node, loser) = if winner == pid_p { (3, &pid_q) } else { (1, &pid_p) };
    assert!(winner == pid_p || winner == pid_q, "{winner}");
    cluster.node(loser_node).event(&format!("exit {loser} {loser} {CONFLICT_LOST}"));
    // Both holders could rely on the lock, each on its side: both are told that they were not alone, and keep it.
    for (node, pid) in [(1, &pid_l), (3, &pid_m)] {
        cluster.node(node).event(&format!("lock_lost resource {pid} {SECOND_HOLDER}"));
    }
    // The loser took its membership with it.
    assert_eq!(tables.groups.get("group"), Some(&vec![winner.clone()]));
    let holders: Vec<_> = tables.locks.iter().filter(|lock| lock.0 == "resource").collect();
    assert_eq!(holders.len(), 2, "{holders:?}");
    assert_eq!(tables.locks.len(), 4, "those from before the split are still there: {:?}", tables.locks);
}

#[test]
fn a_pair_that_hears_each_other_in_one_direction_only_loses_its_link_and_nothing_else() {
    let Some(mut cluster) = Cluster::new("") else { return };
    cluster.watch_links();
    cluster.switch().set(0, 1, |path| path.cut = true);
    let began = Instant::now();
    cluster.node(0).event("down n1");
    cluster.node(1).event("down n0");
    println!("both ends gave the link up after {:?}", began.elapsed());
    assert!(began.elapsed() < DETECTION * 4);
    // Those that have links to both see to it that the two do not have the same name.
    let (p, pid) = cluster.process(0);
    let (q, _) = cluster.process(1);
    cluster.node(0).ok(&format!("register {p} once"));
    let refused = cluster.node(1).call(&format!("register {q} once"));
    assert!(refused.starts_with("CONVOKE_E_EXISTS"), "{refused}");
    for node in 2..NODES {
        assert_eq!(cluster.node(node).ok("whereis once"), pid);
        assert_eq!(cluster.node(node).seen("down"), 0, "a link that was good");
    }
    cluster.heal();
    assert_eq!(cluster.rest().names.get("once"), Some(&pid));
}

#[test]
fn delay_disorder_and_loss_are_no_deaths() {
    // What TCP needs to mend two losses in a row is longer than the second that the other tests give.
    let Some(mut cluster) = Cluster::new("detection_ms=4000") else { return };
    cluster.watch_links();
    cluster.switch().set_all(|path| {
        path.delay = Duration::from_millis(80);
        path.jitter = Duration::from_millis(40);
        path.loss = 20;
    });
    let processes: Vec<_> = (0..NODES).map(|node| cluster.process(node).0).collect();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        for (node, process) in processes.iter().enumerate() {
            cluster.node(node).ok(&format!("register {process} far-{node}"));
        }
        for (node, process) in processes.iter().enumerate() {
            cluster.node(node).ok(&format!("lock {process} lock-{node}"));
            cluster.node(node).ok(&format!("unlock {process} lock-{node}"));
            cluster.node(node).ok(&format!("unregister {process} far-{node}"));
        }
    }
    let (carried, lost) = cluster.switch().counts();
    println!("{carried} packets, {lost} lost");
    assert!(lost > 0);
    cluster.nobody_was_down();
    cluster.heal();
    cluster.rest();
}

#[test]
fn a_slow_line_full_of_data_lets_control_pass() {
    // In a queue of 400 ms that is full TCP may take more than a second to mend one loss. And every answer takes seconds on such a
    // line: the nodes are to wait for each other all the same.
    let Some(mut cluster) = Cluster::new("detection_ms=3000 peers.slow=wait") else { return };
    if let Err(e) = cluster.limit_rate(0, Some("1mbit")) {
        return crate::skipped(&format!("this kernel cannot limit a rate (sch_tbf): {e}"));
    }
    cluster.watch_links();
    let (p, _) = cluster.process(0);
    let (_, receiver) = cluster.process(1);
    // Two megabytes take 16 seconds.
    let began = Instant::now();
    cluster.node(0).ok(&format!("send_size {p} {receiver} 2000000"));
    let mut slowest = Duration::ZERO;
    while began.elapsed() < DETECTION * 5 {
        let asked = Instant::now();
        cluster.node(0).ok(&format!("register {p} slow"));
        cluster.node(0).ok(&format!("unregister {p} slow"));
        slowest = slowest.max(asked.elapsed());
    }
    println!("registering and unregistering took {slowest:?} at most");
    assert!(slowest < DETECTION * 10);
    cluster.nobody_was_down();
    assert_eq!(cluster.node(1).seen("message"), 0, "the line was busy all the time");
    cluster.limit_rate(0, None).expect("tc qdisc del");
    cluster.node(1).event("message");
    cluster.nobody_was_down();
}

#[test]
fn what_a_killed_node_had_is_gone_everywhere_and_free() {
    let Some(mut cluster) = Cluster::new("") else { return };
    cluster.watch_links();
    let (p, pid) = cluster.process(0);
    let (w, watcher) = cluster.process(1);
    cluster.node(0).ok(&format!("register {p} job"));
    cluster.node(0).ok(&format!("lock {p} resource"));
    cluster.node(1).ok(&format!("create {w} group"));
    cluster.node(0).ok(&format!("join {p} group"));
    cluster.node(1).ok(&format!("monitor {w} {pid}"));
    assert_eq!(cluster.node(1).ok(&format!("alive {w} {pid}")), "alive");
    cluster.kill(0);
    let killed = Instant::now();
    cluster.node(1).event(&format!("exit {watcher} {pid} reason=5"));
    println!("an EXIT {:?} after the kill", killed.elapsed());
    for node in 1..NODES {
        cluster.node(node).event("down n0");
    }
    cluster.node(1).ok(&format!("register {w} job"));
    cluster.node(1).ok(&format!("lock {w} resource"));
    let tables = cluster.rest();
    assert_eq!(tables.names.get("job"), Some(&watcher));
    assert_eq!(tables.groups.get("group"), Some(&Vec::new()));
    assert_eq!(tables.locks.len(), 1);
    // It comes back as another.
    cluster.start(0);
    assert_eq!(cluster.rest(), {
        let mut all = tables;
        all.view.insert(name(0));
        all
    });
    assert_eq!(cluster.node(1).seen("exit"), 0, "no EXIT comes twice");
}

#[test]
fn a_node_that_was_stopped_comes_back_and_knows_what_it_lost() {
    let Some(mut cluster) = Cluster::new("") else { return };
    cluster.watch_links();
    let (p, pid) = cluster.process(0);
    let (q, pid_q) = cluster.process(1);
    cluster.node(0).ok(&format!("register {p} job"));
    cluster.node(0).ok(&format!("lock {p} resource"));
    cluster.node(1).ok(&format!("monitor {q} {pid}"));
    assert_eq!(cluster.node(1).ok(&format!("alive {q} {pid}")), "alive");
    let stopped = Instant::now();
    cluster.node(0).signal(libc::SIGSTOP);
    cluster.node(1).event(&format!("exit {pid_q} {pid} reason=6"));
    println!("given up after {:?}", stopped.elapsed());
    for node in 1..NODES {
        cluster.node(node).event("down n0");
    }
    cluster.node(1).ok(&format!("register {q} job"));
    cluster.node(1).ok(&format!("lock {q} resource"));
    std::thread::sleep((DETECTION * 3).saturating_sub(stopped.elapsed())); // a pause of a given length
    cluster.node(0).signal(libc::SIGCONT);
    let told = cluster.node(0).event(&format!("lock_lost resource {pid}"));
    assert!(told.ends_with(MINORITY) || told.ends_with(SECOND_HOLDER), "{told}");
    let tables = cluster.rest();
    let winner = tables.names.get("job").expect("somebody has the name");
    let (node, loser) = if *winner == pid { (1, &pid_q) } else { (0, &pid) };
    assert!(*winner == pid || *winner == pid_q);
    cluster.node(node).event(&format!("exit {loser} {loser} {CONFLICT_LOST}"));
    assert_eq!(tables.locks.iter().filter(|lock| lock.1 == *loser).count(), 0);
    assert_eq!(cluster.node(1).seen(&format!("exit {pid_q} {pid} ")), 0, "no EXIT comes twice");
}

#[test]
fn a_pulled_cable_is_a_split_and_is_mended() {
    let Some(mut cluster) = Cluster::new("") else { return };
    cluster.watch_links();
    let (p, pid) = cluster.process(4);
    cluster.node(4).ok(&format!("register {p} far"));
    cluster.cable(4, false);
    let pulled = Instant::now();
    for node in 0..4 {
        cluster.node(node).event("down n4");
        cluster.node(4).event(&format!("down {}", name(node)));
    }
    println!("noticed everywhere after {:?}", pulled.elapsed());
    assert!(cluster.node(0).call("whereis far").starts_with("CONVOKE_E_NOT_FOUND"));
    assert_eq!(cluster.node(4).ok("whereis far"), pid);
    cluster.cable(4, true);
    assert_eq!(cluster.rest().names.get("far"), Some(&pid));
    assert!(pulled.elapsed() < PATIENCE);
}

/// Long enough for a sick node to be parted, and to come back and be parted again.
const LONG: Duration = Duration::from_secs(30);
/// A call that takes no longer was not kept waiting by anybody.
const AT_ONCE: Duration = Duration::from_millis(100);

impl Cluster {
    /// Registers and unregisters at the first node all the time. Which part of it others kept it waiting.
    fn part_waited(&mut self) -> f64 {
        let (p, _) = self.process(0);
        let (began, mut waited, mut calls) = (Instant::now(), Duration::ZERO, 0);
        while began.elapsed() < LONG {
            for call in ["register", "unregister"] {
                let asked = Instant::now();
                self.node(0).ok(&format!("{call} {p} again-and-again 30000"));
                waited += asked.elapsed().saturating_sub(AT_ONCE);
                calls += 1;
            }
        }
        let part = waited.as_secs_f64() / began.elapsed().as_secs_f64();
        println!("{calls} calls, kept waiting {:.1} % of the time", part * 100.0);
        part
    }

    /// Of the links between the first four nodes none has ended.
    fn the_healthy_kept_their_links(&mut self) {
        for node in 0..NODES - 1 {
            for peer in (0..NODES - 1).filter(|peer| *peer != node) {
                assert_eq!(
                    self.node(node).seen(&format!("down {}", name(peer))),
                    0,
                    "{} at {}",
                    name(peer),
                    name(node)
                );
            }
        }
    }
}

/// "A path that swallows large packets": the links of the last node come up, and its tables never arrive. The others go on.
#[test]
fn a_path_that_swallows_large_packets_stalls_nobody() {
    let Some(mut cluster) = Cluster::new("") else { return };
    cluster.watch_links();
    for node in 0..NODES {
        // More than one packet of names.
        let (p, _) = cluster.process(node);
        for number in 0..40 {
            cluster.node(node).ok(&format!("register {p} a-rather-long-name-of-{node}-{number:060}"));
        }
    }
    let sick = NODES - 1;
    for healthy in 0..sick {
        for (from, to) in [(sick, healthy), (healthy, sick)] {
            cluster.switch().set(from, to, |path| path.largest = Some(600));
        }
    }
    // All its links begin anew.
    cluster.cable(sick, false);
    for healthy in 0..sick {
        cluster.node(healthy).event(&format!("down {}", name(sick)));
    }
    cluster.cable(sick, true);
    let part = cluster.part_waited();
    assert!(part <= 0.1, "{part}");
    cluster.the_healthy_kept_their_links();
    cluster.heal();
}

/// A node that is stopped for nine tenths of the time, never for as long as the detection time. The others go on.
#[test]
fn a_node_that_is_stopped_most_of_the_time_stalls_nobody() {
    let Some(mut cluster) = Cluster::new("") else { return };
    cluster.watch_links();
    let sick = cluster.node(NODES - 1).id().cast_signed();
    let over = Arc::new(AtomicBool::new(false));
    let stutter = std::thread::spawn({
        let over = over.clone();
        move || {
            while !over.load(Ordering::Relaxed) {
                for (signal, pause) in [(libc::SIGSTOP, DETECTION * 9 / 25), (libc::SIGCONT, DETECTION / 100)]
                {
                    // SAFETY: sends a signal to a child of this test that lives as long as this thread.
                    assert_eq!(unsafe { libc::kill(sick, signal) }, 0);
                    std::thread::sleep(pause); // pauses of a given length
                }
            }
        }
    });
    let part = cluster.part_waited();
    over.store(true, Ordering::Relaxed);
    stutter.join().expect("the thread that stops it");
    assert!(part <= 0.1, "{part}");
    cluster.the_healthy_kept_their_links();
}
