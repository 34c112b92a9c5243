//! Reading a group: the members from the caller's own thread.

use super::{Bench, Row};
use crate::capi::{Node, Pid};
use crate::child::{Side, done, name_of};
use crate::cluster::{Cluster, Pairs};
use crate::measure::{median, now_ns, thread_cpu_ns};
use crate::report::{Figure, Mark};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(120);

pub const MEMBERS: Row = Row {
    name: "members",
    about: "the members of a group, spread over 3 nodes: group_members, list_pids (all at once, lent) and list_free; CPU time \
            of the calling thread. Floor: the standard HashMap with an Arc of the same pids, which is cloned and dropped \
            (raw: without list_pids)",
    tasks: &[("gather", gather), ("members", members)],
    run,
    otp_suite: "pg",
};

fn run(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let mut figures = Vec::new();
    let sizes =
        [(1u64, "n3.pg_get_members_1"), (10, "n3.pg_get_members_10"), (1000, "n3.pg_get_members_1000")];
    for (size, otp) in sizes {
        let nodes = cluster.nodes.len() as u64;
        for (index, node) in (0..).zip(&mut cluster.nodes) {
            // As evenly as it goes; the first node has one of them in any case.
            let own = size / nodes + u64::from(index < size % nodes);
            let args = Pairs::new().with("size", size).with("own", own).with("create", index == 0);
            node.call("gather", &args, PATIENCE)?;
        }
        let got = cluster.nodes[0].call("members", &Pairs::new().with("size", size), PATIENCE)?;
        let figure = Figure::new(format!("members of a group of {size}"), got.number("node")?, "ns")
            .floor("map and Arc", got.number("map")?)
            .goal(Mark::AtMost(70.0))
            .otp(otp, 1.0)
            .raw("without_list_pids", got.number("bare")?);
        figures.push(if size == 1000 { figure.first(Mark::AtMost(200.0)) } else { figure });
    }
    Ok(figures)
}

/// Processes of this node join the group of that size.
fn gather(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (node, queue) = (side.node()?, side.queue()?);
    let group = name_of("mbrs", args.integer("size")?);
    let maker = node.spawn(None)?;
    if args.text("create")? == "true" {
        maker.group_create(&group, 30_000)?;
    }
    maker.exit()?;
    maker.free();
    for _ in 0..args.integer("own")? {
        let member = node.spawn(Some(queue))?;
        member.join_begin(&group, 30_000)?;
        done(queue)?;
        side.owners.push(member);
    }
    Ok(Pairs::new())
}

/// Medians of rounds in which the node and the map take turns, in ns.
fn members(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let node = side.node()?;
    let size = args.integer("size")?;
    let group = name_of("mbrs", size);
    let pids: Arc<[Pid]> = node.members(&group)?.as_slice()?.into();
    if pids.len() as u64 != size {
        return Err(format!("{} members instead of {size}", pids.len()));
    }
    let map: HashMap<Box<[u8]>, Arc<[Pid]>> = HashMap::from([(Box::from(&group[..]), pids)]);
    let by_node = |node: Node| node.members(&group).and_then(|list| Ok(list.as_slice()?.len()));
    let bare = |node: Node| node.members(&group).map(|_| 0);
    let by_map = || {
        let found = black_box(&map).get(&group[..]).cloned();
        found.map(|pids| pids.len()).ok_or_else(|| "no such group".to_owned())
    };
    let mut all = [("node", Vec::new()), ("bare", Vec::new()), ("map", Vec::new())];
    for _ in 0..7 {
        let round = [cpu_ns(|| by_node(node))?, cpu_ns(|| bare(node))?, cpu_ns(by_map)?];
        all.iter_mut().zip(round).for_each(|((_, values), value)| values.push(value));
    }
    Ok(all.into_iter().fold(Pairs::new(), |pairs, (key, values)| pairs.with(key, median(values))))
}

/// CPU time of one call.
fn cpu_ns(read: impl Fn() -> Result<usize, String>) -> Result<f64, String> {
    /// How long a round takes, in ns.
    const ROUND: u64 = 120_000_000;
    /// How many calls there are between two looks at the clock.
    const CHUNK: u64 = 1000;
    let (began, cpu, mut calls) = (now_ns(), thread_cpu_ns(), 0);
    while now_ns() - began < ROUND {
        for _ in 0..CHUNK {
            black_box(read()?);
        }
        calls += CHUNK;
    }
    Ok((thread_cpu_ns() - cpu) as f64 / calls as f64)
}
