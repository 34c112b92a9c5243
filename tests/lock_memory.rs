//! What a lock that is held costs in memory, on its home and on every other node. A test binary of its own, because it
//! counts every allocation.

#[path = "support/memory.rs"]
mod memory;

use convoke::model::Status;
use convoke::node::{Attempt, Completion, EventKind, LockId, Node, Options, Process};

const LONG: i64 = 120_000;

/// Without optimization fewer have to do.
const LOCKS: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// Bytes for each lock, everything counted that grows with it.
const LIMIT: usize = 600;

fn attempt() -> Attempt {
    Attempt { nodes: None, retries: None, timeout_ms: LONG }
}

/// What a cluster of so many nodes has in use when a process of the first holds the locks, for each of them.
fn bytes_for_each(nodes: usize) -> usize {
    let mut options = Options::new();
    let mut all: Vec<(Node, Process)> = Vec::new();
    for _ in 0..nodes {
        let node = Node::open(&options).unwrap();
        if all.is_empty() {
            options.set("seeds", node.address()).unwrap();
        }
        let process = Process::spawn(&node, None).unwrap();
        for (other, _) in &all {
            process.connect(other.address(), LONG, Completion::Wait).unwrap();
        }
        all.push((node, process));
    }
    for (_, process) in &all {
        process.sync(LONG, Completion::Wait).unwrap();
    }
    let holder = &all[0].1;
    let before = memory::in_use();
    let (mut begun, mut done) = (0, 0);
    while done < LOCKS {
        while begun < LOCKS && begun - done < 64 {
            let resource = format!("x{begun:09}");
            let id = LockId { resource: resource.as_bytes(), requester: None };
            holder.acquire(id, attempt(), Completion::Event).unwrap();
            begun += 1;
        }
        let event = holder.recv(LONG).unwrap();
        assert_eq!(event.kind(), EventKind::Done);
        assert_eq!(event.result().map(|(status, _)| status), Some(Status::Ok));
        done += 1;
    }
    // All nodes have heard of them when they have granted one more.
    let last = LockId { resource: b"last", requester: None };
    holder.acquire(last, attempt(), Completion::Wait).unwrap();
    let in_use = memory::in_use() - before;
    for (node, _) in &all {
        assert_eq!(node.locks(Some(b"x000000007")).unwrap().len(), 1);
    }
    for (node, _) in all {
        node.close(LONG).unwrap();
    }
    usize::try_from(in_use).unwrap() / LOCKS
}

#[test]
fn a_lock_that_is_held_is_cheap_everywhere() {
    let (two, three) = (bytes_for_each(2), bytes_for_each(3));
    let elsewhere = three - two;
    let at_home = two - elsewhere;
    println!("{LOCKS} locks: {at_home} bytes each at home, {elsewhere} on every other node");
    assert!(at_home <= LIMIT && elsewhere <= LIMIT, "{at_home} at home, {elsewhere} elsewhere");
}
