//! Two clusters become one.

use super::{Bench, Row};
use crate::capi::{OK, Pid};
use crate::child::{Side, name_of};
use crate::cluster::{Cluster, Pairs, settle};
use crate::measure::{median, now_ns};
use crate::report::{Figure, Mark};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// Names of each half, beside the one that both have.
const NAMES: u64 = 100;
const ROUNDS: usize = 5;
/// By then all nodes watch.
const START_NS: u64 = 100_000_000;
/// A table that has not changed for so long is taken for final; the comparison at the end says whether it was.
const CALM_NS: u64 = 500_000_000;

pub const MERGE: Row = Row {
    name: "merge",
    about: "two clusters of 2 nodes, 100 names each and one that both have (random-notify), are joined by one link: from the \
            moment when one end of it shows the link, and from the call that asked for it, to the moment when the last of the \
            4 nodes has links to all others, all names, and the one winner; the tables are compared afterwards",
    tasks: &[("clash", clash), ("merge", merge)],
    run,
    otp_suite: "merge",
};

fn run(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let (mut from_link, mut from_call) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut cluster = Cluster::named("left", 2)?;
        let right = Cluster::named("right", 2)?;
        cluster.nodes.extend(right.nodes);
        for (index, prefix) in [(0, "left"), (2, "righ")] {
            let fill = Pairs::new().with("count", NAMES).with("prefix", prefix).with("owners", "each");
            cluster.nodes[index].call("fill", &fill, PATIENCE)?;
            cluster.nodes[index].call("clash", &Pairs::new(), PATIENCE)?;
        }
        settle(cluster.nodes.iter_mut().collect(), 1, NAMES + 1)?;
        // One node of the left half asks for the link when all are watching.
        let args = Pairs::new().with("peers", 3).with("names", 2 * NAMES + 1).with("at", now_ns() + START_NS);
        let address = cluster.nodes[2].address.clone();
        for (index, node) in cluster.nodes.iter_mut().enumerate() {
            node.begin("merge", &args.clone().with("address", if index == 1 { &address } else { "" }))?;
        }
        let got: Result<Vec<Pairs>, String> =
            cluster.nodes.iter_mut().map(|node| node.finish(PATIENCE)).collect();
        let got = got?;
        let all = |key| got.iter().map(|pairs| pairs.integer(key)).collect::<Result<Vec<u64>, String>>();
        let last = all("changed")?.into_iter().max().unwrap_or_default();
        let linked = all("linked")?.into_iter().min().unwrap_or_default();
        let called = got[1].integer("called")?;
        from_link.push(last.saturating_sub(linked) as f64 / 1e6);
        from_call.push(last.saturating_sub(called) as f64 / 1e6);
        cluster.check_equal(None)?;
    }
    let longest = |times: &[f64]| times.iter().copied().fold(0.0, f64::max);
    let (link_longest, call_longest) = (longest(&from_link), longest(&from_call));
    Ok(vec![
        Figure::new("2 x 2 nodes, 1 clash, after the link is up", median(from_link), "ms")
            .first(Mark::AtMost(100.0))
            .goal(Mark::AtMost(20.0))
            .raw("longest", link_longest),
        Figure::new("the same, after the call that connects", median(from_call), "ms")
            .otp("pair.merge_2x2_clusters_1_clash", 1.0)
            .raw("longest", call_longest),
    ])
}

/// What both halves have.
fn clashing() -> [u8; 16] {
    name_of("clsh", 0)
}

fn clash(side: &mut Side, _: &Pairs) -> Result<Pairs, String> {
    let process = side.node()?.spawn(None)?;
    process.register_with(&clashing(), c"random-notify", 30_000)?;
    side.owners.push(process);
    Ok(Pairs::new())
}

/// Watches the node until it is linked, complete and calm: when it had its first new link, and when it changed last. With
/// an address it asks for that link, and tells when.
fn merge(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (node, at, address) = (side.node()?, args.integer("at")?, args.text("address")?);
    let (peers, names) = (args.integer("peers")?, args.integer("names")?);
    let connect = || -> Result<u64, String> {
        let process = node.spawn(None)?;
        std::thread::sleep(Duration::from_nanos(at.saturating_sub(now_ns())));
        let called = now_ns();
        process.connect(address, 30_000)?;
        process.free();
        Ok(called)
    };
    let look = || {
        let (stats, mut winner) = (node.stats()?, Pid::default());
        if node.whereis(&clashing(), &mut winner) != OK {
            // Neither, for the moment: a state like another.
            winner = Pid::default();
        }
        Ok::<_, String>((stats.peers, stats.names, winner))
    };
    std::thread::scope(|scope| {
        let connecting = (!address.is_empty()).then(|| scope.spawn(connect));
        let first = look()?;
        let (mut state, mut changed, mut linked) = (first, 0, 0);
        loop {
            let (found, now) = (look()?, now_ns());
            if found != state {
                (state, changed) = (found, now);
            }
            if linked == 0 && found.0 > first.0 {
                linked = now;
            }
            if changed > 0 && now - changed > CALM_NS && state.0 == peers && state.1 == names {
                break;
            }
            if now > at + 30_000_000_000 {
                return Err(format!("after 30 s: {} peers, {} names", state.0, state.1));
            }
            // Short against what is measured, long enough to leave the cores to the nodes.
            std::thread::sleep(Duration::from_micros(20));
        }
        let answer = Pairs::new().with("linked", linked).with("changed", changed);
        match connecting {
            None => Ok(answer),
            Some(thread) => {
                Ok(answer.with("called", thread.join().map_err(|_| "the connecting thread panicked")??))
            }
        }
    })
}
