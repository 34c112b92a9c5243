//! Messages: one way from one sender to one receiver on another node, and there and back.

use super::{Bench, Rounds, Row};
use crate::capi::{E_FULL, EVENT_MESSAGE, EVENT_SENDABLE, OK, Pid};
use crate::child::Side;
use crate::cluster::{Cluster, Pairs, join};
use crate::measure::{Samples, median, now_ns, own_cpu_ns};
use crate::report::{Figure, Mark};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

pub const SEND: Row = Row {
    name: "send",
    about: "messages a second from one thread to a process with a mailbox on another node, which takes them one by one with \
            recv; a sender that meets E_FULL waits for SENDABLE; floor: MB/s of one blocking TCP stream on loopback",
    tasks: &[("mailbox", mailbox), ("drain", drain), ("flood", flood)],
    run: send,
    otp_suite: "send",
};

pub const ROUND_TRIP: Row = Row {
    name: "roundtrip",
    about: "32 bytes to a process on another node, whose application thread sends them back; floor: relay with an \
            application that answers",
    tasks: &[("echo", echo), ("ping", ping)],
    run: round_trip,
    otp_suite: "send",
};

fn send(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for (size, otp) in [(32, "n3.send_cross_node_1s_32B"), (1024, "n3.send_cross_node_1s_1024B")] {
        let mut cluster = Cluster::start(2)?;
        let (mut rates, mut stream, mut cpu, mut sender, mut receiver, mut refused) =
            (vec![], vec![], vec![], vec![], vec![], vec![]);
        for _ in 0..super::ROUNDS {
            stream.push(bench.floors.stream(Duration::from_millis(300))? / 1e6);
            let (from, to) = two(&mut cluster)?;
            let target = to.call("mailbox", &Pairs::new(), PATIENCE)?;
            to.begin("drain", &Pairs::new())?;
            let flood = target.with("ms", 1500).with("size", size);
            let sent = from.call("flood", &flood, PATIENCE)?;
            let got = to.finish(PATIENCE)?;
            let count = got.number("count")?;
            if count != sent.number("count")? {
                return Err(format!("{} sent, {count} received", sent.number("count")?));
            }
            rates.push(count * 1e9 / got.number("ns")?);
            sender.push(sent.number("cpu_ns")? / count);
            receiver.push(got.number("cpu_ns")? / count);
            cpu.push((sent.number("cpu_ns")? + got.number("cpu_ns")?) / count);
            refused.push(sent.number("refused")?);
        }
        let (rate, stream) = (median(rates), median(stream));
        let figure = Figure::new(format!("one way, {size} B"), rate, "msg/s")
            .otp(otp, 1.0)
            .raw("refused_with_E_FULL", median(refused))
            .raw("megabytes_per_s", rate * f64::from(size) / 1e6);
        figures.push(if size == 32 {
            figure.first(Mark::AtLeast(800_000.0)).goal(Mark::AtLeast(2e6)).raw("stream_mb_per_s", stream)
        } else {
            figure.floor("stream", stream * 1e6 / f64::from(size)).goal(Mark::AtLeastTimes(0.5))
        });
        figures.push(
            Figure::new(format!("one way, {size} B: CPU of both"), median(cpu), "ns/msg")
                .raw("sender", median(sender))
                .raw("receiver", median(receiver)),
        );
    }
    Ok(figures)
}

pub(super) fn two(
    cluster: &mut Cluster,
) -> Result<(&mut crate::cluster::Peer, &mut crate::cluster::Peer), String> {
    match &mut cluster.nodes[..] {
        [first, second, ..] => Ok((first, second)),
        _ => Err("two nodes are needed".to_owned()),
    }
}

/// Spawns the receiver and tells its pid.
fn mailbox(side: &mut Side, _: &Pairs) -> Result<Pairs, String> {
    let process = side.node()?.spawn(None)?;
    side.mailbox = Some(process);
    let pid = process.pid()?;
    Ok(Pairs::new().with("node", pid.node).with("serial", pid.serial))
}

fn pid_of(args: &Pairs) -> Result<Pid, String> {
    Ok(Pid { node: args.integer("node")?, serial: args.integer("serial")? })
}

/// Takes messages until an empty one.
fn drain(side: &mut Side, _: &Pairs) -> Result<Pairs, String> {
    let process = side.mailbox.ok_or("no mailbox")?;
    let (mut count, mut began, mut cpu) = (0u64, 0, 0);
    loop {
        let event = process.recv(20_000)?.ok_or("no message in 20 s")?;
        if event.kind() != EVENT_MESSAGE {
            continue;
        }
        if count == 0 {
            (began, cpu) = (now_ns(), own_cpu_ns());
        }
        if event.payload()?.is_empty() {
            break;
        }
        count += 1;
    }
    let (ns, cpu) = (now_ns() - began, own_cpu_ns() - cpu);
    process.exit()?;
    process.free();
    Ok(Pairs::new().with("count", count).with("ns", ns).with("cpu_ns", cpu))
}

/// Sends as much as it can for so many ms, then an empty message.
fn flood(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (to, time) = (pid_of(args)?, args.integer("ms")? * 1_000_000);
    let payload = vec![7; args.integer("size")? as usize];
    let process = side.node()?.spawn(None)?;
    let (began, cpu, mut count, mut refused) = (now_ns(), own_cpu_ns(), 0u64, 0u64);
    let mut over = false;
    loop {
        let body = if over { &[][..] } else { &payload };
        match process.send_status(&to, body) {
            OK if over => break,
            OK => count += 1,
            E_FULL => {
                refused += 1;
                while process.recv(20_000)?.ok_or("no SENDABLE in 20 s")?.kind() != EVENT_SENDABLE {}
            }
            _ => process.send(&to, body)?,
        }
        // The clock is read now and then only.
        over = over || (count.is_multiple_of(64) && now_ns() - began > time);
    }
    let cpu = own_cpu_ns() - cpu;
    process.free();
    Ok(Pairs::new().with("count", count).with("refused", refused).with("cpu_ns", cpu))
}

fn round_trip(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut cluster = Cluster::start(2)?;
    let (from, to) = two(&mut cluster)?;
    let rounds = Rounds::measure(bench, true, || {
        let target = to.call("mailbox", &Pairs::new(), PATIENCE)?;
        to.begin("echo", &Pairs::new())?;
        let got = from.call("ping", &target.with("ms", 800).with("size", 32), PATIENCE)?;
        to.finish(PATIENCE)?;
        Ok(Samples::new(got.list("ns")?).spread())
    })?;
    let figure = Figure::new("32 B there and back, p50", rounds.row().p50, "us")
        .floor("relay with application", rounds.relay().p50)
        .goal(Mark::Times(1.3))
        .otp("n3.send_rtt_32B_p50", 1.0);
    Ok(vec![
        rounds.note(figure),
        Figure::new("32 B there and back, p99", rounds.row().p99, "us")
            .floor("relay with application", rounds.relay().p99)
            .otp("n3.send_rtt_32B_p99", 1.0),
    ])
}

/// Sends every message back, until an empty one.
fn echo(side: &mut Side, _: &Pairs) -> Result<Pairs, String> {
    let process = side.mailbox.ok_or("no mailbox")?;
    loop {
        let event = process.recv(20_000)?.ok_or("no message in 20 s")?;
        if event.kind() != EVENT_MESSAGE {
            continue;
        }
        let payload = event.payload()?;
        if payload.is_empty() {
            break;
        }
        process.send(&event.peer()?, payload)?;
    }
    process.exit()?;
    process.free();
    Ok(Pairs::new())
}

fn ping(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (to, time) = (pid_of(args)?, args.integer("ms")? * 1_000_000);
    let payload = vec![7; args.integer("size")? as usize];
    let process = side.node()?.spawn(None)?;
    let (began, mut samples) = (now_ns(), Vec::new());
    let mut last = began;
    while last - began < time {
        process.send(&to, &payload)?;
        while process.recv(20_000)?.ok_or("no answer in 20 s")?.kind() != EVENT_MESSAGE {}
        let now = now_ns();
        samples.push(now - last);
        last = now;
    }
    process.send(&to, &[])?;
    process.free();
    Ok(Pairs::new().with("ns", join(&samples)))
}
