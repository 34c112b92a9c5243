//! Clusters of real OS processes on loopback, through the C interface.

#[path = "../support/agent.rs"]
#[allow(dead_code)] // other tests use more of it
mod agent;
mod damage;
mod departures;
#[path = "../support/ports.rs"]
#[allow(dead_code)] // other tests use the rest
mod ports;
#[path = "../support/mod.rs"]
mod support;

use agent::Agent;
use ports::Ports;
use std::time::{Duration, Instant};

const KILLED: &str = "reason=3";
const NODE_CLOSED: &str = "reason=4";
const OS_PROCESS_DIED: &str = "reason=5";
const NODE_UNREACHABLE: &str = "reason=6";
const NO_PROCESS: &str = "reason=7";
const NAME_TAKEN: &str = "reason=10";

#[test]
fn a_node_given_one_seed_finds_all_others() {
    let mut a = Agent::open("a", &[], "");
    let mut b = Agent::open("b", &[&a.address], "");
    let mut c = Agent::open("c", &[&b.address], "");
    a.wait_for_peers(&["b", "c"]);
    b.wait_for_peers(&["a", "c"]);
    c.wait_for_peers(&["a", "b"]);
    for agent in [&mut a, &mut b, &mut c] {
        assert_eq!(agent.ok("peers").split(' ').next(), Some("2"));
    }
}

#[test]
fn nodes_come_up_in_any_order_and_a_seed_may_be_down_at_first() {
    let port = Ports::on_loopback(1);
    let address = port.addresses()[0].to_string();
    let mut b = Agent::open("b", &[&address], "");
    let mut c = Agent::open("c", &[&address], "");
    let (p, pid) = b.spawn();
    b.ok(&format!("register {p} early"));
    let mut a = Agent::open("a", &[], &format!("listen={address}"));
    a.wait_for_peers(&["b", "c"]);
    b.wait_for_peers(&["a", "c"]);
    a.wait_for_name("early", &pid);
    c.wait_for_name("early", &pid);
}

/// With the default options and a seed: whoever registers a name as soon as its node is open is refused one that is taken,
/// and the process that has it hears nothing of that. Each start is a new program.
#[test]
fn a_program_that_registers_at_once_is_refused_what_is_taken() {
    let mut a = Agent::open("a", &[], "");
    let (leader, pid) = a.spawn();
    a.ok(&format!("register {leader} leader"));
    for start in 0..50 {
        let mut starter = Agent::start(|_| {});
        // All in one go: nothing but the library makes it wait.
        starter.post(&agent::open_command(&format!("name=starter{start} seeds={}", a.address)));
        starter.post("spawn");
        starter.post("register 0 leader");
        assert!(starter.answer().starts_with("ok"));
        assert!(starter.answer().starts_with("ok 0 "));
        let refused = starter.answer();
        assert!(refused.starts_with("CONVOKE_E_EXISTS"), "start {start}: {refused}");
        assert_eq!(starter.ok("whereis leader"), pid);
    }
    assert_eq!(a.ok("whereis leader"), pid);
    assert_eq!(a.seen("exit"), 0, "the leader was killed");
}

/// Two that are started at the same moment, each with the addresses of both: one of them has the name.
#[test]
fn programs_that_start_at_once_do_not_clash() {
    for _ in 0..10 {
        let ports = Ports::on_loopback(2);
        let addresses: Vec<String> = ports.addresses().iter().map(ToString::to_string).collect();
        let seeds = addresses.join(",");
        let mut starters: Vec<Agent> = addresses.iter().map(|_| Agent::start(|_| {})).collect();
        for (index, starter) in starters.iter_mut().enumerate() {
            starter.post(&agent::open_command(&format!(
                "name=n{index} listen={} seeds={seeds}",
                addresses[index]
            )));
            starter.post("spawn");
            starter.post("register 0 leader");
        }
        let mut granted = 0;
        for starter in &mut starters {
            assert!(starter.answer().starts_with("ok"));
            starter.answer();
            granted += usize::from(starter.answer().starts_with("ok"));
        }
        assert_eq!(granted, 1, "of two programs that register the same name as soon as they are open");
    }
}

#[test]
fn a_name_is_registered_once_seen_everywhere_and_used() {
    let mut a = Agent::open("a", &[], "");
    let mut b = Agent::open("b", &[&a.address], "");
    // The end that is told of the link hears of it last: before that, "everywhere" is that node alone.
    a.wait_for_peers(&["b"]);
    b.wait_for_peers(&["a"]);
    let (pa, pid_a) = a.spawn();
    let (pb, pid_b) = b.spawn();
    a.ok(&format!("register {pa} job"));
    // "Completely synchronous": b shows it with no waiting.
    assert_eq!(b.ok("whereis job"), pid_a);
    assert!(b.call(&format!("register {pb} job")).starts_with("CONVOKE_E_EXISTS"));
    b.ok(&format!("send_name {pb} job hello"));
    a.event(&format!("message {pid_a} {pid_b} hello"));
    b.ok(&format!("reregister {pb} job"));
    assert_eq!(a.ok("whereis job"), pid_b);
    assert_eq!(a.ok(&format!("unregister {pa} job")), "");
    assert!(b.call("whereis job").starts_with("CONVOKE_E_NOT_FOUND"));
    // A pid of another node, and one that its home does not know.
    a.ok(&format!("register_for {pa} far 10000 {pid_b}"));
    assert_eq!(b.ok("whereis far"), pid_b);
    b.ok(&format!("free {pb}"));
    a.wait_for_name("far", "none");
    assert!(a.call(&format!("register_for {pa} far 10000 {pid_b}")).starts_with("CONVOKE_E_NO_PROCESS"));
}

#[test]
fn every_end_has_its_reason() {
    // By silence nothing would be noticed here.
    let options = "detection_ms=600000";
    let mut a = Agent::open("a", &[], options);
    let mut b = Agent::open("b", &[&a.address], options);
    let mut c = Agent::open("c", &[&a.address], options);
    b.wait_for_peers(&["a", "c"]);
    let (w, watcher) = b.spawn();
    let mut watched = Vec::new();
    for _ in 0..4 {
        let (index, pid) = a.spawn();
        b.ok(&format!("monitor {w} {pid}"));
        // A monitor is set without waiting; the question behind it on the same link is answered after that.
        assert_eq!(b.ok(&format!("alive {w} {pid}")), "alive");
        watched.push((index, pid));
    }
    let exit = |pid: &str, reason: &str| format!("exit {watcher} {pid} {reason}");
    a.ok(&format!("exit {} 65537", watched[0].0));
    b.event(&exit(&watched[0].1, "reason=65537"));
    a.ok(&format!("free {}", watched[1].0));
    b.event(&exit(&watched[1].1, "reason=2"));
    b.ok(&format!("kill {w} {}", watched[2].1));
    b.event(&exit(&watched[2].1, KILLED));
    a.event(&format!("exit {} {} {KILLED} ref=0", watched[2].1, watched[2].1));
    // Never existed.
    let unknown = format!("{}.999999", watched[0].1.split('.').next().unwrap_or_default());
    b.ok(&format!("monitor {w} {unknown}"));
    b.event(&exit(&unknown, NO_PROCESS));
    // The OS process is killed.
    let (_, on_c) = c.spawn();
    b.ok(&format!("monitor {w} {on_c}"));
    assert_eq!(b.ok(&format!("alive {w} {on_c}")), "alive");
    c.kill();
    b.event(&exit(&on_c, OS_PROCESS_DIED));
    b.ok(&format!("monitor {w} {on_c}"));
    b.event(&exit(&on_c, NODE_UNREACHABLE));
    // The node is closed in order.
    a.ok("close");
    b.event(&exit(&watched[3].1, NODE_CLOSED));
    assert_eq!(b.seen("exit"), 0, "no exit notice comes twice");
}

#[test]
fn the_next_takes_over_when_the_owner_is_killed() {
    let mut a = Agent::open("a", &[], "");
    let mut b = Agent::open("b", &[&a.address], "");
    let mut c = Agent::open("c", &[&a.address], "");
    b.wait_for_peers(&["a", "c"]);
    c.wait_for_peers(&["a", "b"]);
    let (pa, pid_a) = a.spawn();
    let (pb, pid_b) = b.spawn();
    a.ok(&format!("register {pa} leader"));
    let (watcher, _) = b.spawn();
    b.ok(&format!("monitor_name {watcher} leader"));
    b.event(&format!("name leader {pid_a}"));
    a.kill();
    b.event("name leader none");
    b.ok(&format!("register {pb} leader"));
    assert_eq!(c.ok("whereis leader"), pid_b);
}

#[test]
fn a_node_restarted_under_its_old_name_is_a_new_incarnation() {
    let mut a = Agent::open("a", &[], "");
    let mut b = Agent::open("b", &[&a.address], "");
    a.wait_for_peers(&["b"]);
    b.wait_for_peers(&["a"]);
    let (p, old) = b.spawn();
    b.ok(&format!("register {p} thing"));
    assert_eq!(a.ok("whereis thing"), old);
    let address = b.address.clone();
    b.kill();
    a.event("down b");
    let mut b = Agent::open("b", &[&a.address], &format!("listen={address}"));
    a.event("up b");
    b.wait_for_peers(&["a"]);
    assert!(a.call("whereis thing").starts_with("CONVOKE_E_NOT_FOUND"));
    let (p, new) = b.spawn();
    b.ok(&format!("register {p} thing"));
    assert_ne!(old, new);
    assert_eq!(a.ok("whereis thing"), new);
    let (pa, _) = a.spawn();
    assert!(a.call(&format!("send {pa} {old} x")).starts_with("CONVOKE_E_UNREACHABLE"));
}

#[test]
fn a_stopped_node_is_noticed_within_the_detection_time_and_comes_back() {
    let options = "detection_ms=1000 heartbeat_ms=100";
    let mut a = Agent::open("a", &[], options);
    let mut b = Agent::open("b", &[&a.address], options);
    let mut c = Agent::open("c", &[&a.address], options);
    a.wait_for_peers(&["b", "c"]);
    c.wait_for_peers(&["a", "b"]);
    let (pb, pid_b) = b.spawn();
    b.ok(&format!("register {pb} held"));
    let (w, _) = a.spawn();
    a.ok(&format!("monitor {w} {pid_b}"));
    assert_eq!(a.ok(&format!("alive {w} {pid_b}")), "alive");
    let stopped = Instant::now();
    b.signal(libc::SIGSTOP);
    let exit = a.event("exit");
    assert!(exit.contains(NODE_UNREACHABLE), "{exit}");
    // The bound is the engine's; the rest is what a busy test machine may add.
    assert!(stopped.elapsed() < Duration::from_millis(2500), "noticed after {:?}", stopped.elapsed());
    a.wait_for_name("held", "none");
    // c judges by itself: had b gone on before, it would have kept its link.
    c.event("down b");
    b.signal(libc::SIGCONT);
    a.event("up b");
    c.event("up b");
    a.wait_for_name("held", &pid_b);
    c.wait_for_name("held", &pid_b);
    assert_eq!(b.ok("whereis held"), pid_b);
}

#[test]
fn of_two_live_nodes_of_one_name_the_younger_goes() {
    let mut a = Agent::open("a", &[], "");
    let mut old = Agent::open("twin", &[&a.address], "");
    a.wait_for_peers(&["twin"]);
    let (p, pid) = old.spawn();
    old.ok(&format!("register {p} mine"));
    let refused = Agent::start(|_| {}).call(&agent::open_command(&format!("name=twin seeds={}", a.address)));
    assert!(refused.starts_with("CONVOKE_E_EXISTS"), "{refused}");
    // Whoever does not wait learns of it later.
    let mut young = loop {
        let mut young = Agent::start(|_| {});
        let opened = young.call(&agent::open_command(&format!("name=twin seeds={} join.wait=0", a.address)));
        if opened.starts_with("ok ") {
            break young;
        }
        // On a busy machine it has closed before the agent has a queue for its last event: another one may tell why.
        assert!(opened.starts_with("CONVOKE_E_CLOSED"), "{opened}");
    };
    young.event(&format!("closed {NAME_TAKEN}"));
    assert!(young.call("spawn").starts_with("CONVOKE_E_CLOSED"));
    assert_eq!(a.ok("whereis mine"), pid);
}

#[test]
fn a_clash_is_decided_once_when_two_clusters_join() {
    let mut a = Agent::open("a", &[], "");
    let mut b = Agent::open("b", &[], "");
    let (pa, pid_a) = a.spawn();
    let (pb, pid_b) = b.spawn();
    a.ok(&format!("register {pa} both"));
    b.ok(&format!("register {pb} both"));
    let (helper, _) = b.spawn();
    b.ok(&format!("connect {helper} {}", a.address));
    let (winner, loser, lost) = loop {
        // One of the two processes is told that it was killed; it is the last event that it gets.
        if a.seen("exit") > 0 {
            break (pid_b.clone(), &mut a, &pid_a);
        }
        if b.seen("exit") > 0 {
            break (pid_a.clone(), &mut b, &pid_b);
        }
        // An answer is an event to wait for: each look is a round trip to the agent.
        a.ok("names");
        b.ok("names");
    };
    loser.event(&format!("exit {lost} {lost} reason=8"));
    a.wait_for_name("both", &winner);
    b.wait_for_name("both", &winner);
    assert_eq!(a.seen("exit") + b.seen("exit"), 0, "the winner lives");
}

#[test]
fn ten_nodes_register_a_thousand_names_each_at_once() {
    // The death of one is not noticed by its silence, and no busy machine makes one look dead.
    let options = "detection_ms=600000";
    let first = Agent::open("n0", &[], options);
    let seed = first.address.clone();
    let mut nodes = vec![first];
    for i in 1..10 {
        nodes.push(Agent::open(&format!("n{i}"), &[&seed], options));
    }
    let names: Vec<String> = (0..10).map(|i| format!("n{i}")).collect();
    for (i, node) in nodes.iter_mut().enumerate() {
        let others: Vec<&str> =
            names.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, n)| &**n).collect();
        node.wait_for_peers(&others);
    }
    for (i, node) in nodes.iter_mut().enumerate() {
        node.post(&format!("bulk_register own{i}- 1000"));
    }
    for node in &mut nodes {
        assert_eq!(node.answer().trim_end(), "ok 0 failed");
    }
    for node in &mut nodes {
        let listed = node.ok("names own");
        assert_eq!(listed.split(' ').next(), Some("10000"), "{}", node.name);
    }
    // All of them want the same names: each name is won exactly once.
    for node in &mut nodes {
        node.post("bulk_register same- 100");
    }
    let failed: usize = nodes
        .iter_mut()
        .map(|node| node.answer())
        .map(|answer| answer.split(' ').nth(1).and_then(|n| n.parse::<usize>().ok()).expect("a count"))
        .sum();
    assert_eq!(failed, 900);
    for node in &mut nodes {
        assert_eq!(node.ok("names same").split(' ').next(), Some("100"));
    }
    // A node with a thousand names is killed.
    let dead = nodes.pop().expect("ten nodes");
    dead.kill();
    for node in &mut nodes {
        node.event("down n9");
        assert_eq!(node.ok("names own9-").split(' ').next(), Some("0"));
    }
}

#[test]
fn memory_stays_under_the_cap_and_nobody_else_is_slowed() {
    const CAP: u64 = 32 << 20;
    let mut receiver =
        Agent::open("receiver", &[], &format!("limits.memory={CAP} limits.message={}", 4 << 20));
    let mut senders: Vec<Agent> =
        (0..2).map(|i| Agent::open(&format!("sender{i}"), &[&receiver.address], "")).collect();
    for sender in &mut senders {
        sender.wait_for_peers(&["receiver"]);
    }
    // What is larger than the receiver takes is refused at the sender, and harms nothing.
    let (p, _) = senders[0].spawn();
    let (_, reader) = receiver.spawn();
    let refused = senders[0].call(&format!("flood {p} {reader} {}", 5 << 20));
    assert!(refused.starts_with("CONVOKE_E_TOO_BIG"), "{refused}");
    let mailboxes: Vec<(String, String)> = (0..12)
        .map(|_| {
            let answer = receiver.ok("spawn_mailbox");
            let (index, pid) = answer.split_once(' ').expect("index and pid");
            (index.to_owned(), pid.to_owned())
        })
        .collect();
    let before = receiver.memory();
    let mut sent = vec![0; mailboxes.len()];
    // Receivers that do not read: first a burst that lets windows grow, then all that goes in, of all sizes.
    for size in [0, 100, 70_000, 4 << 20, 1000] {
        for sender in &mut senders {
            let (p, _) = sender.spawn();
            for (i, (_, pid)) in mailboxes.iter().enumerate() {
                let answer = sender.ok(&format!("flood {p} {pid} {size}"));
                sent[i] += answer.parse::<u64>().expect("a count");
            }
        }
        // Half of them read what they have, so that their windows grow; then the flood goes on.
        for (i, (index, _)) in mailboxes.iter().enumerate().skip(6) {
            receiver.ok(&format!("drain {index} {}", sent[i]));
            sent[i] = 0;
        }
        let grown = receiver.memory().saturating_sub(before);
        assert!(grown < CAP + CAP / 10, "{} MiB after payloads of {size} bytes", grown >> 20);
    }
    // Somebody who does read is served as if nothing else were there.
    let (q, pid) = receiver.spawn();
    let (p, from) = senders[0].spawn();
    senders[0].ok(&format!("send {p} {pid} ping"));
    receiver.event(&format!("message {pid} {from} ping"));
    receiver.ok(&format!("register {q} still-works"));
    // Nothing that was accepted is lost.
    for (i, (index, _)) in mailboxes.iter().enumerate() {
        receiver.ok(&format!("drain {index} {}", sent[i]));
    }
    senders[0].event("sendable");
}
