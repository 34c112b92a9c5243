//! One lock that 8 processes on 2 of 3 nodes fight for.

use super::{Bench, Rounds, Row};
use crate::capi::Process;
use crate::child::{Side, name_of};
use crate::cluster::{Cluster, Pairs, join};
use crate::measure::{Samples, median, now_ns, stalls};
use crate::report::{Figure, Mark};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
/// On each of the two nodes.
const FIGHTERS: usize = 4;
const TIME_NS: u64 = 4_000_000_000;
/// After this all fight.
const START_NS: u64 = 300_000_000;

pub const FIGHT: Row = Row {
    name: "lock-fight",
    about: "4 processes on each of 2 nodes of 3, one thread each, acquire and release one lock on all nodes without a pause \
            and without holding it. A hand-over is an acquisition by another process than the one before. The fair wait is 8 \
            times the mean time between acquisitions: everybody once, in turn. Floor of the rate: 1 / (2 x plain)",
    tasks: &[("fight", fight)],
    run,
    otp_suite: "contend",
};

/// One acquisition.
struct Turn {
    at: u64,
    fighter: usize,
    wait: u64,
}

/// What one round of the fight comes to.
struct Outcome {
    hand_overs: f64,
    fair_us: f64,
    luckiest: f64,
    unluckiest: f64,
}

impl Outcome {
    fn of(turns: &[Turn]) -> Result<Self, String> {
        let mut shares = [0u64; 2 * FIGHTERS];
        turns.iter().for_each(|turn| shares[turn.fighter] += 1);
        let all = turns.len() as f64;
        let share = |of: Option<&u64>| of.map_or(0.0, |n| *n as f64 * 100.0 / all);
        let hand_overs = turns.windows(2).filter(|pair| pair[0].fighter != pair[1].fighter).count();
        let (Some(first), Some(last)) = (turns.first(), turns.last()) else {
            return Err("nobody had the lock".to_owned());
        };
        let mean_ns = (last.at - first.at) as f64 / all;
        Ok(Self {
            hand_overs: hand_overs as f64 * 1e9 / TIME_NS as f64,
            fair_us: mean_ns * shares.len() as f64 / 1e3,
            luckiest: share(shares.iter().max()),
            unluckiest: share(shares.iter().min()),
        })
    }
}

fn run(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let stall = stalls(Duration::from_secs(3)).spread();
    let mut cluster = Cluster::start(3)?;
    let mut outcomes = Vec::new();
    let rounds = Rounds::measure(bench, false, || {
        let from = now_ns() + START_NS;
        let args = Pairs::new().with("from", from).with("until", from + TIME_NS);
        let nodes = &mut cluster.nodes[..2];
        nodes.iter_mut().try_for_each(|node| node.begin("fight", &args))?;
        let mut turns = Vec::new();
        for (index, node) in nodes.iter_mut().enumerate() {
            let got = node.finish(PATIENCE)?;
            for own in 0..FIGHTERS {
                let (at, waits) = (got.list(&format!("at{own}"))?, got.list(&format!("wait{own}"))?);
                let fighter = index * FIGHTERS + own;
                turns.extend(at.into_iter().zip(waits).map(|(at, wait)| Turn { at, fighter, wait }));
            }
        }
        turns.sort_unstable_by_key(|turn| turn.at);
        // A wait that ends late counts as a wait, but not as a turn of this time.
        let waits = Samples::new(turns.iter().map(|turn| turn.wait).collect()).spread();
        turns.retain(|turn| turn.at <= from + TIME_NS);
        outcomes.push(Outcome::of(&turns)?);
        Ok(waits)
    })?;
    let of = |pick: fn(&Outcome) -> f64| median(outcomes.iter().map(pick).collect());
    let waits = rounds.row();
    let rate = Figure::new("8 processes on 2 nodes, hand-overs", of(|o| o.hand_overs), "/s")
        .floor("1/(2 x plain)", 1e6 / (2.0 * rounds.plain().p50))
        .first(Mark::AtLeastTimes(0.3))
        .goal(Mark::AtLeastTimes(0.7))
        .otp("n3.lock_contended_2x4_handoffs", 1.0)
        .raw("unluckiest_percent", of(|o| o.unluckiest));
    Ok(vec![
        rounds.note(rate),
        Figure::new("the same, waits, p99.9", waits.p999, "us")
            .floor("fair wait", of(|o| o.fair_us))
            .first(Mark::Times(5.0))
            .goal(Mark::Times(3.0))
            .otp("n3.lock_contended_2x4_wait_p99.9", 1.0),
        Figure::new("the same, share of the luckiest", of(|o| o.luckiest), "%")
            .goal(Mark::AtMost(14.0))
            .otp("n3.lock_contended_2x4_share_of_luckiest", 1.0),
        Figure::new("the same, longest wait", waits.max / 1e3, "ms")
            .floor("spinning thread's longest stall", stall.max / 1e3)
            .otp("n3.lock_contended_2x4_wait_max", 1.0),
    ])
}

/// From one moment to the other: when each of this node's processes had the lock, and how long it had waited.
fn fight(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let (node, from, until) = (side.node()?, args.integer("from")?, args.integer("until")?);
    let turns = |process: Process| -> Result<(Vec<u64>, Vec<u64>), String> {
        let resource = name_of("fght", 0);
        let (mut at, mut waits) = (Vec::new(), Vec::new());
        loop {
            let asked = now_ns();
            if asked > until {
                return Ok((at, waits));
            }
            process.acquire(&resource, 30_000)?;
            let got = now_ns();
            process.release(&resource, 30_000)?;
            // The first moments, when not all were there, do not count.
            if asked >= from {
                at.push(got);
                waits.push(got - asked);
            }
        }
    };
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..FIGHTERS {
            let process = node.spawn(None)?;
            threads.push((process, scope.spawn(move || turns(process))));
        }
        let mut answer = Pairs::new();
        for (index, (process, thread)) in threads.into_iter().enumerate() {
            let (at, waits) = thread.join().map_err(|_| "a fighter panicked")??;
            answer =
                answer.with(&format!("at{index}"), join(&at)).with(&format!("wait{index}"), join(&waits));
            process.exit()?;
            process.free();
        }
        Ok(answer)
    })
}
