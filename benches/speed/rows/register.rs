//! Register and unregister: one at a time, 64 in flight, from one node and from all three.

use super::{Bench, Rounds, Row};
use crate::child::{Pair, Side, name_of, pairs_in_flight};
use crate::cluster::{Cluster, Pairs, join};
use crate::measure::{Samples, median, now_ns, stalls};
use crate::report::{Figure, Mark};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const IN_FLIGHT: u64 = 64;

pub const REGISTER: Row = Row {
    name: "register",
    about: "a register and an unregister that wait, one after the other, from one of 3 nodes; floor: relay + plain, the \
            latter because register takes two round trips",
    tasks: &[("register_one", register_one)],
    run: register,
    otp_suite: "register",
};

pub const FLIGHT: Row = Row {
    name: "flight",
    about: "register + unregister pairs a second, 64 in flight: one thread, one process, op_out and a queue, on one of 3 nodes",
    tasks: &[("register_flight", register_flight)],
    run: flight,
    otp_suite: "register",
};

pub const FLIGHT_ALL: Row = Row {
    name: "flight-all",
    about: "the same from all 3 nodes at once, 64 in flight each, different names: pairs a second in all",
    tasks: &[],
    run: flight_all,
    otp_suite: "register",
};

pub const WAITS: Row = Row {
    name: "waits",
    about: "one registrant on each of 3 nodes, registers that wait, different names, for 10 s: the longest waits; beside \
            them what a spinning thread alone saw of the machine just before",
    tasks: &[],
    run: waits,
    otp_suite: "register",
};

fn register(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let args = Pairs::new().with("ms", 800).with("tag", "one");
    let node = &mut cluster.nodes[0];
    let mut unregister = Vec::new();
    let rounds = Rounds::measure(bench, false, || {
        let got = node.call("register_one", &args, PATIENCE)?;
        unregister.push(Samples::new(got.list("unregister")?).spread());
        Ok(Samples::new(got.list("register")?).spread())
    })?;
    let floor = rounds.relay().sum(rounds.plain());
    let floor_p99 = {
        // The worse half of the floor decides the tail: percentiles do not add up.
        rounds.relay().p99.max(rounds.plain().p99) + rounds.plain().p50
    };
    let figure = Figure::new("one at a time, p50", rounds.row().p50, "us")
        .floor("relay+plain", floor.p50)
        .first(Mark::Times(2.0))
        .goal(Mark::Times(1.3))
        .otp("n3.register_seq_p50", 1.0);
    Ok(vec![
        rounds.note(figure),
        Figure::new("one at a time, p99", rounds.row().p99, "us")
            .floor("relay+plain", floor_p99)
            .goal(Mark::Times(2.0))
            .otp("n3.register_seq_p99", 1.0),
        Figure::new("unregister, p50", median(unregister.iter().map(|s| s.p50).collect()), "us")
            .floor("relay", rounds.relay().p50)
            .otp("n3.unregister_seq_p50", 1.0),
    ])
}

/// For so many ms: durations of both halves of each pair, in ns.
fn register_one(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let process = side.node()?.spawn(None)?;
    let (time, tag) = (args.integer("ms")? * 1_000_000, args.text("tag")?);
    let (mut registers, mut unregisters) = (Vec::new(), Vec::new());
    let began = now_ns();
    for index in 0.. {
        let name = name_of(tag, index);
        let first = now_ns();
        process.register(&name, 30_000)?;
        let second = now_ns();
        process.unregister(&name, 30_000)?;
        let third = now_ns();
        registers.push(second - first);
        unregisters.push(third - second);
        if third - began > time {
            break;
        }
    }
    process.exit()?;
    process.free();
    Ok(Pairs::new().with("register", join(&registers)).with("unregister", join(&unregisters)))
}

fn flight(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let args = Pairs::new().with("ms", 1500).with("tag", "fl");
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let got = cluster.nodes[0].call("register_flight", &args, PATIENCE)?;
        rates.push(got.number("rate")?);
        cpu.push(got.number("cpu_ns")? / 1e3);
    }
    Ok(vec![
        Figure::new("64 in flight, one node", median(rates), "pairs/s")
            .first(Mark::AtLeast(20_000.0))
            .goal(Mark::AtLeast(60_000.0))
            .otp("n3.reg_unreg_one_node_c64", 1.0)
            .raw("cpu_us_per_pair_of_the_coordinator", median(cpu)),
    ])
}

fn flight_all(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let mut rates = Vec::new();
    for _ in 0..3 {
        for (index, node) in cluster.nodes.iter_mut().enumerate() {
            node.begin("register_flight", &Pairs::new().with("ms", 1500).with("tag", format!("a{index}")))?;
        }
        let got: Result<Vec<Pairs>, String> =
            cluster.nodes.iter_mut().map(|node| node.finish(PATIENCE)).collect();
        rates.push(got?.iter().map(|pairs| pairs.number("rate")).sum::<Result<f64, String>>()?);
    }
    Ok(vec![
        Figure::new("64 in flight on each of 3 nodes", median(rates), "pairs/s")
            .goal(Mark::AtLeast(60_000.0))
            .otp("n3.reg_unreg_all_nodes_c64", 1.0),
    ])
}

fn register_flight(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let queue = side.queue()?;
    let process = side.node()?.spawn(Some(queue))?;
    let (time, tag) = (args.integer("ms")? * 1_000_000, args.text("tag")?);
    let register = |pair: Pair| process.register_begin(&name_of(tag, pair.number), 30_000);
    let unregister = |pair: Pair| process.unregister_begin(&name_of(tag, pair.number), 30_000);
    let got = pairs_in_flight(queue, IN_FLIGHT, time, register, unregister)?;
    process.exit()?;
    process.free();
    Ok(got)
}

fn waits(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let stall = stalls(Duration::from_secs(3));
    let mut cluster = Cluster::start(3)?;
    for (index, node) in cluster.nodes.iter_mut().enumerate() {
        node.begin("register_one", &Pairs::new().with("ms", 10_000).with("tag", format!("w{index}")))?;
    }
    let mut all = Vec::new();
    for node in &mut cluster.nodes {
        all.extend(node.finish(PATIENCE)?.list("register")?);
    }
    let waits = Samples::new(all);
    let spread = waits.spread();
    let stall = stall.spread();
    Ok(vec![
        Figure::new("1 registrant on each of 3 nodes, p99.9", spread.p999, "us")
            .floor("own p50", spread.p50)
            .goal(Mark::Times(20.0))
            .raw("count", waits.len() as f64)
            .raw("p99_us", spread.p99),
        Figure::new("the same, longest", spread.max / 1e3, "ms")
            .floor("spinning thread's longest stall", stall.max / 1e3)
            .otp("n3.register_contended_1_per_node_max", 1.0),
    ])
}
