//! Locks that nobody fights for: one at a time, and 64 in flight.

use super::{Bench, Rounds, Row};
use crate::child::{Pair, Side, name_of, pairs_in_flight};
use crate::cluster::{Cluster, Pairs, join};
use crate::measure::{Samples, median, now_ns};
use crate::report::{Figure, Mark};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const IN_FLIGHT: u64 = 64;

pub const LOCK: Row = Row {
    name: "lock",
    about: "an acquire and a release that wait, one after the other, of a lock on all 3 nodes that nobody else wants",
    tasks: &[("lock_one", lock_one)],
    run: lock,
    otp_suite: "lock",
};

pub const FLIGHT: Row = Row {
    name: "lock-flight",
    about: "acquire + release pairs a second, 64 in flight, each of a lock of its own: one thread, one process, op_out and a \
            queue, on one of 3 nodes",
    tasks: &[("lock_flight", lock_flight)],
    run: flight,
    otp_suite: "lock",
};

fn lock(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let node = &mut cluster.nodes[0];
    let mut release = Vec::new();
    let rounds = Rounds::measure(bench, false, || {
        let got = node.call("lock_one", &Pairs::new().with("ms", 800), PATIENCE)?;
        release.push(Samples::new(got.list("release")?).spread());
        Ok(Samples::new(got.list("acquire")?).spread())
    })?;
    let figure = Figure::new("acquire, one at a time, p50", rounds.row().p50, "us")
        .floor("relay", rounds.relay().p50)
        .first(Mark::Times(2.0))
        .goal(Mark::Times(1.3))
        .otp("n3.set_lock_seq_p50", 1.0);
    Ok(vec![
        rounds.note(figure),
        Figure::new("acquire, one at a time, p99", rounds.row().p99, "us")
            .floor("relay", rounds.relay().p99)
            .otp("n3.set_lock_seq_p99", 1.0),
        Figure::new("release, p50", median(release.iter().map(|s| s.p50).collect()), "us")
            .floor("relay", rounds.relay().p50)
            .otp("n3.del_lock_seq_p50", 1.0),
    ])
}

/// For so many ms: durations of both halves of each pair, in ns.
fn lock_one(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let process = side.node()?.spawn(None)?;
    let time = args.integer("ms")? * 1_000_000;
    let resource = name_of("lock", 0);
    let (mut acquires, mut releases) = (Vec::new(), Vec::new());
    let began = now_ns();
    loop {
        let first = now_ns();
        process.acquire(&resource, 30_000)?;
        let second = now_ns();
        process.release(&resource, 30_000)?;
        let third = now_ns();
        acquires.push(second - first);
        releases.push(third - second);
        if third - began > time {
            break;
        }
    }
    process.exit()?;
    process.free();
    Ok(Pairs::new().with("acquire", join(&acquires)).with("release", join(&releases)))
}

fn flight(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let got = cluster.nodes[0].call("lock_flight", &Pairs::new().with("ms", 1500), PATIENCE)?;
        rates.push(got.number("rate")?);
        cpu.push(got.number("cpu_ns")? / 1e3);
    }
    Ok(vec![
        Figure::new("64 in flight, one node", median(rates), "pairs/s")
            .first(Mark::AtLeast(40_000.0))
            .goal(Mark::AtLeast(100_000.0))
            .otp("n3.lock_unlock_one_node_c64", 1.0)
            .raw("cpu_us_per_pair_of_the_coordinator", median(cpu)),
    ])
}

fn lock_flight(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let queue = side.queue()?;
    let process = side.node()?.spawn(Some(queue))?;
    let acquire = |pair: Pair| process.acquire_begin(&name_of("lock", pair.slot), 30_000);
    let release = |pair: Pair| process.release_begin(&name_of("lock", pair.slot), 30_000);
    let got = pairs_in_flight(queue, IN_FLIGHT, args.integer("ms")? * 1_000_000, acquire, release)?;
    process.exit()?;
    process.free();
    Ok(got)
}
