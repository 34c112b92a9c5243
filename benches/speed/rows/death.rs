//! Death: of a process that holds a name, and of a node by SIGKILL.

use super::{Bench, Rounds, Row};
use crate::capi::{E_NOT_FOUND, EVENT_MESSAGE, OK, Pid};
use crate::child::{Side, name_of};
use crate::cluster::{Cluster, Pairs, SETTLE, join, settle};
use crate::measure::{Samples, median, now_ns};
use crate::report::{Figure, Mark};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

pub const DEATH: Row = Row {
    name: "death",
    about: "from the call that ends a process to the moment when a thread on another node that asks whereis again and \
            again no longer finds its name; floor: half of relay, the way there",
    tasks: &[("die", die), ("watch", watch)],
    run: death,
    otp_suite: "register",
};

pub const KILL: Row = Row {
    name: "kill",
    about: "from the SIGKILL of one of 4 nodes, whose processes hold one name each, to the moment when the last of the \
            other 3 shows neither its names nor the node",
    tasks: &[],
    run: kill,
    otp_suite: "kill",
};

const DEATHS: u64 = 200;

fn death(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(3)?;
    let [dying, watching, ..] = &mut cluster.nodes[..] else { return Err("two nodes are needed".to_owned()) };
    let rounds = Rounds::measure(bench, false, || {
        let control = dying.call("mailbox", &Pairs::new(), PATIENCE)?.with("count", DEATHS);
        dying.begin("die", &control)?;
        let gone = watching.call("watch", &control, PATIENCE)?.list("gone")?;
        let died = dying.finish(PATIENCE)?.list("died")?;
        Ok(Samples::new(died.iter().zip(&gone).map(|(d, g)| g.saturating_sub(*d)).collect()).spread())
    })?;
    let figure = Figure::new("process exits, name gone on another node, p50", rounds.row().p50, "us")
        .floor("relay/2", rounds.relay().p50 / 2.0)
        .goal(Mark::Times(1.3))
        .otp("n3.process_death_name_gone_remote_p50", 1.0);
    Ok(vec![rounds.note(figure)])
}

/// Processes register a name each and exit when the other side watches it. When they did.
fn die(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let control = side.mailbox.ok_or("no mailbox")?;
    let heard = || -> Result<(), String> {
        while control.recv(20_000)?.ok_or("nobody watches")?.kind() != EVENT_MESSAGE {}
        Ok(())
    };
    let mut died = Vec::new();
    for index in 0..args.integer("count")? {
        let process = side.node()?.spawn(None)?;
        process.register(&name_of("dead", index), 30_000)?;
        heard()?;
        died.push(now_ns());
        process.exit()?;
        // Nothing else goes on here until it is seen there.
        heard()?;
        process.free();
    }
    control.exit()?;
    control.free();
    Ok(Pairs::new().with("died", join(&died)))
}

fn watch(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let node = side.node()?;
    let process = node.spawn(None)?;
    let control = Pid { node: args.integer("node")?, serial: args.integer("serial")? };
    let (mut gone, mut pid) = (Vec::new(), Pid::default());
    for index in 0..args.integer("count")? {
        let name = name_of("dead", index);
        spin(|| node.whereis(&name, &mut pid) == OK)?;
        process.send(&control, b"watching")?;
        gone.push(spin(|| node.whereis(&name, &mut pid) == E_NOT_FOUND)?);
        process.send(&control, b"gone")?;
    }
    process.free();
    Ok(Pairs::new().with("gone", join(&gone)))
}

fn spin(mut is_so: impl FnMut() -> bool) -> Result<u64, String> {
    let end = now_ns() + 20_000_000_000;
    loop {
        if is_so() {
            return Ok(now_ns());
        }
        if now_ns() > end {
            return Err("it did not come about in 20 s".to_owned());
        }
        std::thread::yield_now();
    }
}

fn kill(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    let mut cluster = Cluster::start(3)?;
    let sizes: &[(u64, usize, f64, &str)] = &[
        (1, 7, 2.0, "n3.sigkill_1_names_gone_all_nodes"),
        (10_000, 5, 10.0, "n3.sigkill_10000_names_gone_all_nodes"),
        (1_000_000, 1, 500.0, ""),
    ];
    for &(count, rounds, goal, otp) in &sizes[..if bench.full { 3 } else { 2 }] {
        let mut times = Vec::new();
        for round in 0..rounds {
            let (mut victim, _) = cluster.join(&format!("victim{count}r{round}"))?;
            settle(cluster.nodes.iter_mut().chain([&mut victim]).collect(), 3, 0)?;
            let fill = Pairs::new().with("count", count).with("prefix", "kill").with("owners", "each");
            victim.call("fill", &fill, Duration::from_secs(300))?;
            settle(cluster.nodes.iter_mut().chain([&mut victim]).collect(), 3, count)?;
            let wanted = Pairs::new().with("peers", 2).with("names", 0);
            cluster.nodes.iter_mut().try_for_each(|node| node.begin("settle", &wanted))?;
            // All of them are asking by now.
            std::thread::sleep(Duration::from_millis(20));
            let killed = now_ns();
            victim.kill()?;
            let mut last = 0;
            for node in &mut cluster.nodes {
                last = last.max(node.finish(SETTLE)?.integer("at")?);
            }
            times.push((last - killed) as f64 / 1e6);
        }
        let longest = times.iter().copied().fold(0.0, f64::max);
        let figure =
            Figure::new(format!("SIGKILL of a node with {count} names, all gone"), median(times), "ms")
                .goal(Mark::AtMost(goal))
                .raw("longest", longest);
        let figure = if count == 10_000 { figure.first(Mark::AtMost(100.0)) } else { figure };
        figures.push(if otp.is_empty() { figure } else { figure.otp(otp, 1.0) });
    }
    Ok(figures)
}
