//! Groups that change: joining and leaving, and what a member more costs in a large group.

use super::{Bench, Rounds, Row};
use crate::child::{Pair, Side, done, name_of, pairs_in_flight};
use crate::cluster::{Cluster, Pairs, join};
use crate::measure::{Samples, median, now_ns, own_cpu_ns};
use crate::report::{Figure, Mark};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);
const IN_FLIGHT: u64 = 256;

pub const GROUP: Row = Row {
    name: "group",
    about: "a join and a leave that wait until all 3 nodes show them, one after the other; OTP: pg2, if PG2_SRC names its \
            source",
    tasks: &[("group_one", group_one)],
    run: group,
    otp_suite: "pg2",
};

pub const FLIGHT: Row = Row {
    name: "group-flight",
    about: "join + leave pairs a second, 256 in flight, each in a group of its own: one thread, one process, op_out and a \
            queue, on one of 3 nodes; OTP: pg with 16 in flight, whose calls wait for no other node",
    tasks: &[("group_flight", group_flight)],
    run: flight,
    otp_suite: "pg",
};

pub const GROW: Row = Row {
    name: "group-grow",
    about: "processes of one node join one group, one after the other or 64 in flight: is the cost of a join the same in a \
            large group?",
    tasks: &[("group_grow", group_grow)],
    run: grow,
    otp_suite: "",
};

fn group(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let node = &mut cluster.nodes[0];
    let mut leave = Vec::new();
    let rounds = Rounds::measure(bench, false, || {
        let got = node.call("group_one", &Pairs::new().with("ms", 800), PATIENCE)?;
        leave.push(Samples::new(got.list("leave")?).spread());
        Ok(Samples::new(got.list("join")?).spread())
    })?;
    let figure = Figure::new("join, one at a time, p50", rounds.row().p50, "us")
        .floor("relay", rounds.relay().p50)
        .first(Mark::Times(2.0))
        .goal(Mark::Times(1.3))
        .otp("n3.pg2_join_seq_p50", 1.0);
    Ok(vec![
        rounds.note(figure),
        Figure::new("join, one at a time, p99", rounds.row().p99, "us")
            .floor("relay", rounds.relay().p99)
            .otp("n3.pg2_join_seq_p99", 1.0),
        Figure::new("leave, p50", median(leave.iter().map(|s| s.p50).collect()), "us")
            .floor("relay", rounds.relay().p50)
            .otp("n3.pg2_leave_seq_p50", 1.0),
    ])
}

/// For so many ms: durations of both halves of each pair, in ns.
fn group_one(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let process = side.node()?.spawn(None)?;
    let time = args.integer("ms")? * 1_000_000;
    let group = name_of("one", 0);
    process.group_create(&group, 30_000)?;
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    let began = now_ns();
    loop {
        let first = now_ns();
        process.join(&group, 30_000)?;
        let second = now_ns();
        process.leave(&group, 30_000)?;
        let third = now_ns();
        joins.push(second - first);
        leaves.push(third - second);
        if third - began > time {
            break;
        }
    }
    process.group_delete(&group, 30_000)?;
    process.exit()?;
    process.free();
    Ok(Pairs::new().with("join", join(&joins)).with("leave", join(&leaves)))
}

fn flight(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let (mut rates, mut cpu) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let got = cluster.nodes[0].call("group_flight", &Pairs::new().with("ms", 1500), PATIENCE)?;
        rates.push(got.number("rate")?);
        cpu.push(got.number("cpu_ns")? / 1e3);
    }
    Ok(vec![
        Figure::new("256 in flight, one node", median(rates), "pairs/s")
            .goal(Mark::AtLeast(100_000.0))
            .otp("n3.pg_join_leave_c16", 1.0)
            .raw("cpu_us_per_pair_of_the_home", median(cpu)),
    ])
}

fn group_flight(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let queue = side.queue()?;
    let process = side.node()?.spawn(Some(queue))?;
    let group = |slot| name_of("flgt", slot);
    (0..IN_FLIGHT).try_for_each(|slot| process.group_create(&group(slot), 30_000))?;
    let enter = |pair: Pair| process.join_begin(&group(pair.slot), 30_000);
    let leave = |pair: Pair| process.leave_begin(&group(pair.slot), 30_000);
    let got = pairs_in_flight(queue, IN_FLIGHT, args.integer("ms")? * 1_000_000, enter, leave)?;
    (0..IN_FLIGHT).try_for_each(|slot| process.group_delete(&group(slot), 30_000))?;
    process.exit()?;
    process.free();
    Ok(got)
}

fn grow(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let mut figures = Vec::new();
    for (flight, how) in [(1, "one after the other"), (64, "64 in flight")] {
        let mut each = Vec::new();
        for count in [1_000, 10_000] {
            let (mut first, mut second, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
            for round in 0..3 {
                let args = Pairs::new().with("count", count).with("flight", flight).with("round", round);
                let got = cluster.nodes[0].call("group_grow", &args, PATIENCE)?;
                first.push(got.number("first_ns")? / 1e6);
                second.push(got.number("second_ns")? / 1e6);
                cpu.push(got.number("cpu_ns")? / 1e3 / f64::from(count));
            }
            let (first, second, half) = (median(first), median(second), count / 2);
            figures.push(
                Figure::new(format!("the second {half} of {count} members, {how}"), second, "ms")
                    .floor(format!("the first {half}"), first)
                    .first(Mark::Times(1.5))
                    .raw("cpu_us_per_member_of_the_home", median(cpu)),
            );
            each.push((first + second) * 1e3 / f64::from(count));
        }
        figures.push(
            Figure::new(format!("10000 members, {how}, per join"), each[1], "us")
                .floor("with 1000", each[0])
                .first(Mark::Times(1.5)),
        );
    }
    Ok(figures)
}

/// So many processes join one group: ns for the first half of them and for the second.
fn group_grow(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (node, queue) = (side.node()?, side.queue()?);
    let (count, flight) = (args.integer("count")?, args.integer("flight")?);
    let group = name_of("grow", args.integer("round")?);
    let maker = node.spawn(None)?;
    maker.group_create(&group, 30_000)?;
    let members: Result<Vec<_>, String> = (0..count).map(|_| node.spawn(Some(queue))).collect();
    let members = members?;
    let (began, cpu, mut half, mut finished) = (now_ns(), own_cpu_ns(), 0, 0);
    let mut one_done = || {
        done(queue)?;
        finished += 1;
        if finished == count / 2 {
            half = now_ns();
        }
        Ok::<(), String>(())
    };
    for (begun, member) in (1..).zip(&members) {
        member.join_begin(&group, 30_000)?;
        if begun >= flight {
            one_done()?;
        }
    }
    (1..flight).try_for_each(|_| one_done())?;
    let (end, cpu) = (now_ns(), own_cpu_ns() - cpu);
    for member in members {
        member.exit()?;
        member.free();
    }
    // It is answered behind what the exits sent: the next round finds all quiet.
    maker.group_delete(&group, 30_000)?;
    maker.exit()?;
    maker.free();
    Ok(Pairs::new().with("first_ns", half - began).with("second_ns", end - half).with("cpu_ns", cpu))
}
