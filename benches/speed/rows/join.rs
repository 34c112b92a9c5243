//! A node joins: how long until the tables are equal, and what a name costs on the joiner.

use super::{Bench, Row};
use crate::cluster::{Cluster, Pairs, settle};
use crate::measure::{median, status_of};
use crate::report::{Figure, Mark};
use std::time::Duration;

pub const JOIN: Row = Row {
    name: "join",
    about: "from the call that opens a node, with one seed, to the moment when it has links to all 3 nodes of a cluster \
            and all names, and each of them a link to it; the tables are compared afterwards. The names belong to \
            processes of the seed, one each",
    tasks: &[],
    run: join,
    otp_suite: "join",
};

pub const MEMORY: Row = Row {
    name: "memory",
    about: "growth of the resident memory of a node that joins one which holds many names of 16 bytes, per name",
    tasks: &[],
    run: memory,
    otp_suite: "join",
};

fn join(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    let sizes: &[(u64, usize, f64, &str)] = &[
        (0, 7, 5.0, "n3.join_cluster_0_names_synced"),
        (10_000, 5, 30.0, "n3.join_cluster_10000_names_synced"),
        (1_000_000, 3, 1500.0, ""),
    ];
    for &(count, rounds, goal, otp) in &sizes[..if bench.full { 3 } else { 2 }] {
        let mut cluster = Cluster::start(3)?;
        let fill = Pairs::new().with("count", count).with("prefix", "join").with("owners", "each");
        // The joiner's seed is the last node.
        cluster.nodes[2].call("fill", &fill, Duration::from_secs(300))?;
        cluster.settle(2, count)?;
        let mut times = Vec::new();
        for round in 0..rounds {
            let (mut joiner, began) = cluster.join(&format!("joiner{round}"))?;
            let equal = settle(cluster.nodes.iter_mut().chain([&mut joiner]).collect(), 3, count)?;
            times.push((equal - began) as f64 / 1e6);
            cluster.check_equal(Some(&mut joiner))?;
            drop(joiner);
            cluster.settle(2, count)?;
        }
        let longest = times.iter().copied().fold(0.0, f64::max);
        let figure =
            Figure::new(format!("join of a cluster with {count} names, tables equal"), median(times), "ms")
                .goal(Mark::AtMost(goal))
                .raw("longest", longest);
        let figure = if count == 10_000 { figure.first(Mark::AtMost(100.0)) } else { figure };
        figures.push(if otp.is_empty() { figure } else { figure.otp(otp, 1.0) });
    }
    Ok(figures)
}

fn memory(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    let sizes: &[u64] = if bench.full { &[100_000, 1_000_000] } else { &[100_000] };
    for &count in sizes {
        let mut empty = Cluster::start(2)?;
        let before = rss(&empty)?;
        empty.nodes.clear();
        let mut cluster = Cluster::start(1)?;
        let fill = Pairs::new().with("count", count).with("prefix", "mem").with("owners", "one");
        cluster.nodes[0].call("fill", &fill, Duration::from_secs(300))?;
        let (joiner, _) = cluster.join("replica")?;
        cluster.nodes.push(joiner);
        cluster.settle(1, count)?;
        // The driver gives buffers back, if it does.
        std::thread::sleep(Duration::from_millis(500));
        let after = rss(&cluster)?;
        let figure =
            Figure::new(format!("replica of {count} names, per name"), (after - before) / count as f64, "B")
                .raw("rss_before_bytes", before)
                .raw("rss_after_bytes", after)
                .otp("pair.mem_total_per_name_replica_10000", 1.0);
        figures.push(if count == 1_000_000 { figure.goal(Mark::AtMost(160.0)) } else { figure });
    }
    Ok(figures)
}

/// Resident memory of the cluster's last node, in bytes.
fn rss(cluster: &Cluster) -> Result<f64, String> {
    let last = cluster.nodes.last().ok_or("no node")?;
    Ok(status_of(last.id(), "VmRSS").ok_or("no VmRSS")? as f64 * 1024.0)
}
