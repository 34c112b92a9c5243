//! Look-up: `whereis` from the caller's own thread, beside a bare read-only map in the same OS process.

use super::{Bench, Row};
use crate::capi::{Node, OK, Pid};
use crate::child::{Side, name_of};
use crate::cluster::{Cluster, Pairs};
use crate::measure::{median, now_ns, thread_cpu_ns};
use crate::report::{Figure, Mark};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;

pub const LOOKUP: Row = Row {
    name: "lookup",
    about: "whereis of names of 16 bytes that are there, in random order, on a node without peers. 1 thread: each look-up \
            waits for the answer of the one before, as in a program that uses it; CPU time of the thread. 2 threads: \
            look-ups that do not wait for one another, wall time. Floor: the standard HashMap, hasher too, with Box<[u8]> keys \
            and 16-byte values, of the same names in the same OS process and order (raw: the same with foldhash)",
    tasks: &[("lookup", lookup)],
    run,
    otp_suite: "whereis",
};

const PATIENCE: Duration = Duration::from_secs(120);

fn run(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for count in [1_000u64, 1_000_000] {
        let small = count == 1000;
        let mut cluster = Cluster::start(1)?;
        let node = &mut cluster.nodes[0];
        let fill = Pairs::new().with("count", count).with("prefix", "look").with("owners", "one");
        node.call("fill", &fill, PATIENCE)?;
        let got = node.call("lookup", &Pairs::new().with("count", count), PATIENCE)?;
        let number = |key| got.number(key);
        let figure = Figure::new(format!("{count} names, 1 thread"), number("node_wait")?, "ns")
            .floor("map", number("map_wait")?)
            .first(Mark::Times(3.0))
            .goal(if small { Mark::AtMost(60.0) } else { Mark::Times(2.0) })
            .raw("foldhash_map", number("fold_wait")?)
            .raw("independent", number("node_cpu")?)
            .raw("map_independent", number("map_cpu")?)
            .raw("foldhash_map_independent", number("fold_cpu")?);
        figures.push(if small { figure.otp("n3.whereis_hit_remote_pid_1t", 1.0) } else { figure });
        let (one, two) = (number("node_one")?, number("node_two")?);
        let (map_one, map_two) = (number("map_one")?, number("map_two")?);
        let figure = Figure::new(format!("{count} names, 2 threads in all"), two / 1e6, "M/s")
            .floor("map", map_two / 1e6)
            .raw("one_thread_m_per_s", one / 1e6);
        figures.push(if small { figure.otp("n3.whereis_hit_remote_pid_2t_total", 1e-6) } else { figure });
        figures.push(
            Figure::new(format!("{count} names, gain of the 2nd thread"), two / one, "x")
                .floor("map", map_two / map_one)
                .first(Mark::AtLeast(1.05))
                .goal(Mark::AtLeastTimes(0.9)),
        );
    }
    Ok(figures)
}

type Map<S> = HashMap<Box<[u8]>, Pid, S>;
type Names = [[u8; 16]];

fn map_of<S: BuildHasher + Default>(node: Node, names: &Names) -> Result<Map<S>, String> {
    let row = |name: &[u8; 16]| {
        let mut pid = Pid::default();
        let found = node.whereis(name, &mut pid) == OK;
        found.then_some((Box::from(&name[..]), pid)).ok_or_else(|| "a name is not there".to_owned())
    };
    names.iter().map(row).collect()
}

/// Medians of rounds in which the node and the maps take turns.
fn lookup(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let node = side.node()?;
    let mut names: Vec<[u8; 16]> = (0..args.integer("count")?).map(|index| name_of("look", index)).collect();
    let map: Map<std::hash::RandomState> = map_of(node, &names)?;
    let fold: Map<foldhash::fast::RandomState> = map_of(node, &names)?;
    // Random, and always the same.
    names.shuffle(&mut StdRng::seed_from_u64(1));
    let by_node = |name: &[u8; 16]| {
        let mut pid = Pid::default();
        assert_eq!(node.whereis(name, &mut pid), OK);
        pid
    };
    let by_map = |name: &[u8; 16]| map.get(&name[..]).copied().unwrap_or_default();
    let by_fold = |name: &[u8; 16]| fold.get(&name[..]).copied().unwrap_or_default();
    let mut all: [(&str, Vec<f64>); 10] = [
        "node_wait",
        "map_wait",
        "fold_wait",
        "node_cpu",
        "map_cpu",
        "fold_cpu",
        "node_one",
        "map_one",
        "node_two",
        "map_two",
    ]
    .map(|key| (key, Vec::new()));
    for _ in 0..7 {
        let round = [
            waiting(&names, by_node),
            waiting(&names, by_map),
            waiting(&names, by_fold),
            1e9 / rate(1, thread_cpu_ns, &names, by_node),
            1e9 / rate(1, thread_cpu_ns, &names, by_map),
            1e9 / rate(1, thread_cpu_ns, &names, by_fold),
            rate(1, now_ns, &names, by_node),
            rate(1, now_ns, &names, by_map),
            rate(2, now_ns, &names, by_node),
            rate(2, now_ns, &names, by_map),
        ];
        all.iter_mut().zip(round).for_each(|((_, values), value)| values.push(value));
    }
    Ok(all.into_iter().fold(Pairs::new(), |pairs, (key, values)| pairs.with(key, median(values))))
}

/// How long a round takes, in ns.
const ROUND: u64 = 120_000_000;
/// How many look-ups there are between two looks at the clock.
const CHUNK: usize = 1000;

/// CPU ns for a look-up that begins when the one before has answered.
fn waiting(names: &Names, read: impl Fn(&[u8; 16]) -> Pid) -> f64 {
    // Nobody but this line knows that it is zero: the next name depends on the answer.
    let zero = black_box(0u64);
    let (mut at, mut calls, mut last) = (0, 0, 0);
    let began = thread_cpu_ns();
    loop {
        for _ in 0..CHUNK {
            let pid = read(&names[at + last as usize]);
            last = pid.serial & zero;
            at = if at + 1 == names.len() { 0 } else { at + 1 };
        }
        calls += CHUNK;
        let passed = thread_cpu_ns() - began;
        if passed >= ROUND {
            return passed as f64 / calls as f64;
        }
    }
}

/// Calls a second of all threads; each starts at another place of the list.
fn rate(threads: usize, clock: fn() -> u64, names: &Names, read: impl Fn(&[u8; 16]) -> Pid + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let run = |index: usize| {
        let (before, after) = names.split_at(names.len() * index / threads);
        let chunks = || after.chunks(CHUNK).chain(before.chunks(CHUNK)).cycle();
        let each = |chunk: &Names| {
            chunk.iter().for_each(|name| {
                black_box(read(name));
            })
        };
        chunks().take(20).for_each(each);
        barrier.wait();
        let (began, mut calls) = (clock(), 0);
        for chunk in chunks() {
            each(chunk);
            calls += chunk.len();
            let passed = clock() - began;
            if passed >= ROUND {
                return calls as f64 * 1e9 / passed as f64;
            }
        }
        0.0
    };
    let run = &run;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|index| scope.spawn(move || run(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}
