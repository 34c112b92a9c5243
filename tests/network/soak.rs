//! A long day: processes, names, locks, groups, messages and whole nodes come and go, and at the end everything is as it
//! was, measured from outside.
//!
//! `CONVOKE_SOAK_SECONDS=900 cargo test --release --test network soak -- --nocapture`.

use crate::cluster::{Cluster, NODES, PATIENCE};
use crate::outside::Footprint;
use crate::work;
use std::time::{Duration, Instant};

/// The nodes from this one on are killed again and again; those before live through it all.
const MORTAL: usize = 3;
/// How long each of those lives.
const LIFE: Duration = Duration::from_millis(1500);
/// Resident memory may be so much larger at the end. What is kept on purpose about nodes that have died is some hundred
/// bytes for each; the rest is what the C library's allocator does not give back of a peak.
const MARGIN: u64 = 8 << 20;

/// Work and deaths for so long; then rest.
fn live(cluster: &mut Cluster, time: Duration, seed: &mut u64) {
    let began = Instant::now();
    let mut work = |cluster: &mut Cluster, node: usize| {
        *seed += 1;
        work::begin(cluster.node(node), *seed);
    };
    (0..NODES).for_each(|node| work(cluster, node));
    let mut next = MORTAL;
    while began.elapsed() + LIFE < time {
        std::thread::sleep(LIFE / 2);
        cluster.kill(next);
        std::thread::sleep(LIFE / 2);
        cluster.start(next);
        work(cluster, next);
        next = if next + 1 < NODES { next + 1 } else { MORTAL };
        cluster.no_violations();
    }
    cluster.end_of_work(true);
}

#[test]
fn soak_leaves_nothing_behind() {
    let seconds = crate::number("CONVOKE_SOAK_SECONDS").unwrap_or(10);
    let time = Duration::from_secs(seconds);
    let _turn = crate::turn();
    let mut cluster = Cluster::on_loopback("");
    let mut seed = 0;
    // What every part of the library needs once, it has after this.
    live(&mut cluster, (time / 5).max(Duration::from_secs(3)), &mut seed);
    let before: Vec<Footprint> = (0..MORTAL).map(|node| Footprint::of(cluster.node(node))).collect();
    live(&mut cluster, time - time / 5, &mut seed);
    for (node, before) in before.iter().enumerate() {
        let agent = cluster.node(node);
        // The last connections of a node that was killed may be on their way out.
        let deadline = Instant::now() + PATIENCE;
        let mut after = Footprint::of(agent);
        while !after.is_back_at(before, MARGIN) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
            after = Footprint::of(agent);
        }
        println!("n{node} before: {before}\nn{node} after:  {after}");
        assert!(after.is_back_at(before, MARGIN), "n{node} before: {before}; after: {after}");
    }
}
