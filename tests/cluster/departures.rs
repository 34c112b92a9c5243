//! Programs that are stopped or die while others hold and wait: real OS processes on loopback.

use crate::agent::Agent;

const OPTIONS: &str = "detection_ms=1000 heartbeat_ms=100";

/// Three nodes, all linked.
fn trio() -> [Agent; 3] {
    let mut a = Agent::open("a", &[], OPTIONS);
    let mut b = Agent::open("b", &[&a.address], OPTIONS);
    let mut c = Agent::open("c", &[&a.address], OPTIONS);
    a.wait_for_peers(&["b", "c"]);
    b.wait_for_peers(&["a", "c"]);
    c.wait_for_peers(&["a", "b"]);
    [a, b, c]
}

/// A program waits for a lock that another holds, is stopped for longer than the detection time, and goes on. It is given
/// nothing that is held; what it asks for at once it is not given either. Holder and leader hear nothing of it.
#[test]
fn who_was_stopped_gets_nothing_that_is_held() {
    let [mut a, mut b, mut c] = trio();
    let (holder, leader) = a.spawn();
    let token = a.ok(&format!("lock {holder} job 10000"));
    a.ok(&format!("register {holder} leader"));
    b.wait_for_name("leader", &leader);
    let (waiter, standby) = b.spawn();
    b.forget_events();
    b.post(&format!("lock {waiter} job 30000"));
    b.signal(libc::SIGSTOP);
    a.event("down b");
    c.event("down b");
    b.signal(libc::SIGCONT);
    a.event("up b");
    c.event("up b");
    // It has the links again, and has asked anew: the lock comes to it when it is given back, and not before.
    b.event("up a");
    b.event("up c");
    a.ok(&format!("lock_check {holder} job"));
    assert_eq!(a.seen("lock_lost") + a.seen("exit") + a.seen("conflict"), 0, "the holder is undisturbed");
    a.ok(&format!("unlock {holder} job 10000"));
    let answer = b.answer();
    let later: u64 =
        answer.strip_prefix("ok ").and_then(|t| t.parse().ok()).unwrap_or_else(|| panic!("{answer}"));
    assert!(later > token.parse().expect("a token"), "{later} after {token}");
    // And as soon as it goes on, for the name that it does not see any more.
    b.signal(libc::SIGSTOP);
    a.event("down b");
    c.event("down b");
    b.post(&format!("register {waiter} leader"));
    b.signal(libc::SIGCONT);
    assert!(b.answer().starts_with("CONVOKE_E_EXISTS"));
    b.wait_for_name("leader", &leader);
    assert_eq!(a.ok("whereis leader"), leader);
    assert_eq!(c.ok("whereis leader"), leader);
    assert_eq!(a.seen("exit") + a.seen("conflict"), 0, "the leader lives, and was not asked: {standby}");
}

/// The death of a program on this machine is certain at once, however it dies: with something unread, too. In a pair as among many
/// it costs nobody a lock, and nobody waits.
#[test]
fn a_death_on_this_machine_costs_nobody_a_lock() {
    let mut a = Agent::open("a", &[], OPTIONS);
    let (holder, _) = a.spawn();
    for (round, unread) in [false, true, false].into_iter().enumerate() {
        let name = format!("b{round}");
        let mut b = Agent::open(&name, &[&a.address], OPTIONS);
        a.wait_for_peers(&[&name]);
        b.wait_for_peers(&["a"]);
        a.ok(&format!("lock {holder} job 10000"));
        if unread {
            b.signal(libc::SIGSTOP);
            // Its vote is asked for, which it never reads.
            assert!(a.call(&format!("register {holder} {name} 100")).starts_with("CONVOKE_E_TIMEOUT"));
        }
        b.kill();
        a.event(&format!("down {name}"));
        a.ok(&format!("lock {holder} after{round} 10000"));
        a.ok(&format!("lock_check {holder} job"));
        assert_eq!(a.seen("lock_lost"), 0);
    }
}

/// A program is stopped until it is given up, another one takes its name and its work, and the first one wakes up: that one is closed.
/// The one that works, and those that work with it, notice nothing.
#[test]
fn who_was_replaced_while_it_was_stopped_is_the_one_that_goes() {
    for witnesses in [1, 2] {
        let mut witness = Agent::open("w", &[], OPTIONS);
        let mut other = (witnesses > 1).then(|| Agent::open("v", &[&witness.address], OPTIONS));
        let mut old = Agent::open("db", &[&witness.address], OPTIONS);
        witness.wait_for_peers(if witnesses > 1 { &["db", "v"] } else { &["db"] });
        if let Some(other) = &mut other {
            other.wait_for_peers(&["db", "w"]);
        }
        let (primary, _) = old.spawn();
        old.ok(&format!("register {primary} primary"));
        old.signal(libc::SIGSTOP);
        witness.event("down db");
        if let Some(other) = &mut other {
            other.event("down db");
        }
        let mut new = Agent::open("db", &[&witness.address], OPTIONS);
        let (successor, pid) = new.spawn();
        new.ok(&format!("register {successor} primary"));
        new.ok(&format!("lock {successor} disk 10000"));
        old.signal(libc::SIGCONT);
        old.event("closed reason=10"); // NAME_TAKEN
        // Whatever they still had to tell each other, all nodes have.
        let (asker, _) = witness.spawn();
        witness.ok(&format!("sync {asker} 10000"));
        assert_eq!(witness.ok("whereis primary"), pid);
        new.ok(&format!("lock_check {successor} disk"));
        let lost = ["closed", "exit", "conflict", "lock_lost"].map(|event| new.seen(event));
        assert_eq!(lost, [0; 4], "with {witnesses} witnesses");
    }
}
