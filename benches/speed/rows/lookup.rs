//! Look-up: `whereis` from the caller's own thread, beside a bare read-only map in the same OS process.

use super::{Bench, Row};
use crate::capi::{Node, OK, Pid};
use crate::child::{Side, name_of};
use crate::cluster::{Cluster, Pairs};
use crate::measure::{median, now_ns};
use crate::report::{Figure, Mark};
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Duration;

pub const LOOKUP: Row = Row {
    name: "lookup",
    about: "whereis of names of 16 bytes that are there, in random order, on a node without peers; floor: HashMap (foldhash, \
            Box<[u8]> keys, 16-byte values) with the same names in the same process, read in the same order",
    tasks: &[("lookup", lookup)],
    run,
    otp_suite: "whereis",
};

type Map = HashMap<Box<[u8]>, Pid, foldhash::fast::RandomState>;

fn run(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let mut figures = Vec::new();
    for count in [1_000u64, 1_000_000] {
        let mut cluster = Cluster::start(1)?;
        let node = &mut cluster.nodes[0];
        let minutes = Duration::from_secs(120);
        node.call(
            "fill",
            &Pairs::new().with("count", count).with("prefix", "look").with("owners", "one"),
            minutes,
        )?;
        let got = node.call("lookup", &Pairs::new().with("count", count), minutes)?;
        let number = |key| got.number(key);
        let (one, two, map_one, map_two) =
            (number("one")?, number("two")?, number("map_one")?, number("map_two")?);
        let goal = if count == 1000 { Mark::AtMost(60.0) } else { Mark::Times(2.0) };
        let one_figure = Figure::new(format!("{count} names, 1 thread"), 1e9 / one, "ns")
            .floor("map", 1e9 / map_one)
            .first(Mark::Times(3.0))
            .goal(goal);
        let one_figure =
            if count == 1000 { one_figure.otp("n3.whereis_hit_remote_pid_1t", 1.0) } else { one_figure };
        figures.push(one_figure);
        let two_figure = Figure::new(format!("{count} names, 2 threads in all"), two / 1e6, "M/s")
            .floor("map", map_two / 1e6)
            .raw("one_thread_m_per_s", one / 1e6);
        let otp = ("n3.whereis_hit_remote_pid_2t_total", 1e-6);
        figures.push(if count == 1000 { two_figure.otp(otp.0, otp.1) } else { two_figure });
        figures.push(
            Figure::new(format!("{count} names, gain of the 2nd thread"), two / one, "x")
                .floor("map", map_two / map_one)
                .first(Mark::AtLeast(1.05))
                .goal(Mark::AtLeastTimes(0.9)),
        );
    }
    Ok(figures)
}

/// Look-ups a second, with 1 and 2 threads, of the node and of the map: medians of rounds that take turns.
fn lookup(side: &mut Side, args: &Pairs) -> Result<Pairs, String> {
    let node = side.node()?;
    let count = args.integer("count")?;
    let mut names: Vec<[u8; 16]> = (0..count).map(|index| name_of("look", index)).collect();
    let map: Map = names
        .iter()
        .map(|name| {
            let mut pid = Pid::default();
            let found = node.whereis(name, &mut pid) == OK;
            found.then_some((Box::from(&name[..]), pid)).ok_or_else(|| "a name is not there".to_owned())
        })
        .collect::<Result<_, _>>()?;
    shuffle(&mut names);
    let mut all: [Vec<f64>; 4] = Default::default();
    for _ in 0..7 {
        for (threads, at) in [(1, 0), (2, 1)] {
            all[at].push(rate(threads, &names, |chunk| by_node(node, chunk)));
            all[at + 2].push(rate(threads, &names, |chunk| by_map(&map, chunk)));
        }
    }
    let [one, two, map_one, map_two] = all.map(median);
    Ok(Pairs::new().with("one", one).with("two", two).with("map_one", map_one).with("map_two", map_two))
}

fn by_node(node: Node, names: &[[u8; 16]]) {
    let mut pid = Pid::default();
    for name in names {
        assert_eq!(node.whereis(name, &mut pid), OK);
        black_box(pid);
    }
}

fn by_map(map: &Map, names: &[[u8; 16]]) {
    for name in names {
        black_box(map.get(&name[..]).copied().unwrap_or_default());
    }
}

/// Calls a second of all threads; each starts at another place of the list.
fn rate(threads: usize, names: &[[u8; 16]], read: impl Fn(&[[u8; 16]]) + Sync) -> f64 {
    const TIME: u64 = 200_000_000;
    let barrier = Barrier::new(threads);
    let run = |index: usize| {
        let (before, after) = names.split_at(names.len() * index / threads);
        let chunks = || after.chunks(1000).chain(before.chunks(1000)).cycle();
        chunks().take(20).for_each(&read);
        barrier.wait();
        let (began, mut calls) = (now_ns(), 0);
        for chunk in chunks() {
            read(chunk);
            calls += chunk.len();
            let passed = now_ns() - began;
            if passed >= TIME {
                return calls as f64 * 1e9 / passed as f64;
            }
        }
        0.0
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|index| scope.spawn(move || run(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(0.0)).sum()
    })
}

/// In an order that is random and always the same.
fn shuffle<T>(all: &mut [T]) {
    let mut state = 0x9e3779b97f4a7c15u64;
    for index in (1..all.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.swap(index, (state % (index as u64 + 1)) as usize);
    }
}
