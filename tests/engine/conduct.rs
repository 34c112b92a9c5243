//! Peers that keep others waiting, in virtual time: a path that swallows what is large, a process that is stopped most of
//! the time, one that answers pings and nothing else. Healthy nodes wait a tenth of their time at most.

use crate::harness::{DETECTION, NodeIndex, World, address, config, ms};
use crate::holds::by;
use convoke::engine::Refusal;
use convoke::model::{Config, Deadline, Status};
use std::time::Duration;

const SICK: NodeIndex = 2;
/// Long enough for several pauses.
const LONG: Duration = Duration::from_secs(300);
const STEP: Duration = Duration::from_millis(20);

/// Three nodes that dial each other; the last one is sick, and the others part whoever keeps them waiting.
fn trio(part_slow: [bool; 3]) -> World {
    let mut world = World::empty();
    world.dials_go_through = true;
    for (index, part_slow) in part_slow.into_iter().enumerate() {
        let seeds = if index == 0 { vec![] } else { vec![address(0)] };
        world.add(Config { part_slow, seeds, ..config(index) });
    }
    world.advance(DETECTION * 2);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(world.is_linked(a, b), "{}", world.picture());
    }
    world
}

/// Node 0 registers and unregisters for so long; which part of the time it has waited for answers.
fn waiting(world: &mut World, time: Duration, mut each_step: impl FnMut(&mut World, Duration)) -> f64 {
    let pid = world.spawn(0);
    let (began, mut waited) = (world.now, Duration::ZERO);
    let mut registered = false;
    let mut op = None;
    while world.now.since(began) < time {
        let elapsed = world.now.since(began);
        each_step(world, elapsed);
        let call = *op.get_or_insert_with(|| {
            registered = !registered;
            if registered { world.register(pid, "x") } else { world.unregister(pid, "x") }
        });
        world.settle();
        match world.status(call) {
            None => waited += STEP,
            Some(status) => {
                assert_eq!(status, Status::Ok);
                op = None;
            }
        }
        world.advance(STEP);
    }
    waited.as_secs_f64() / time.as_secs_f64()
}

fn parted(world: &World, node: NodeIndex) -> Vec<(String, u64)> {
    world.engine(node).counters().parted.clone()
}

fn only_the_sick_one_was_parted(world: &World) {
    for healthy in 0..2 {
        let parted = parted(world, healthy);
        assert!(parted.iter().all(|(name, _)| name == "node2"), "node {healthy} parted {parted:?}");
        assert!(world.is_linked(healthy, 1 - healthy), "{}", world.picture());
    }
    let times: u64 = parted(world, 0).iter().map(|(_, count)| count).sum();
    assert!((1..=8).contains(&times), "parted {times} times");
}

/// Stopped for 1.8 s of every 1.85 s: no single wait is long enough for the detection time.
pub(crate) fn who_is_stopped_most_of_the_time_is_parted() {
    let mut world = trio([true; 3]);
    let stopped = |world: &mut World, elapsed: Duration| {
        if elapsed.as_millis() % 1850 < 1800 {
            world.hang(SICK);
        } else {
            world.wake(SICK);
        }
    };
    let part = waiting(&mut world, LONG, stopped);
    assert!(part <= 0.1, "the healthy wait {:.1} % of the time", part * 100.0);
    only_the_sick_one_was_parted(&world);
    // It does not take its own pauses for those of others.
    assert_eq!(parted(&world, SICK), []);
}

#[test]
fn who_is_stopped_most_of_the_time_is_parted_and_judges_nobody() {
    who_is_stopped_most_of_the_time_is_parted();
}

#[test]
fn who_answers_pings_only_is_parted() {
    let mut world = trio([true; 3]);
    world.pings_only.insert(SICK);
    let part = waiting(&mut world, LONG, |_, _| {});
    assert!(part <= 0.1, "the healthy wait {:.1} % of the time", part * 100.0);
    only_the_sick_one_was_parted(&world);
    // It gets well, and is back after its pause, for good.
    world.pings_only.clear();
    let times = parted(&world, 0);
    world.advance(DETECTION * 12 * 9);
    for other in 0..2 {
        assert!(world.is_linked(SICK, other) && world.is_linked(other, SICK), "{}", world.picture());
    }
    assert!(waiting(&mut world, LONG / 4, |_, _| {}) < 0.01);
    assert_eq!(parted(&world, 0), times);
}

/// A path that swallows what is large: a link comes up, its snapshots never arrive, and nothing behind them.
#[test]
fn a_path_that_swallows_what_is_large_does_not_stall_the_others() {
    let mut world = trio([true; 3]);
    for node in 0..3 {
        let pid = world.spawn(node);
        world.register(pid, &format!("name of {node}"));
        world.settle();
    }
    for healthy in 0..2 {
        world.swallows.insert((SICK, healthy));
        world.swallows.insert((healthy, SICK));
        world.cut(SICK, healthy);
    }
    let part = waiting(&mut world, LONG, |_, _| {});
    assert!(part <= 0.1, "the healthy wait {:.1} % of the time", part * 100.0);
    for healthy in 0..2 {
        assert!(world.is_linked(healthy, 1 - healthy), "{}", world.picture());
    }
    // The path is mended: the nodes find each other again.
    world.swallows.clear();
    world.advance(DETECTION * 12 * 9);
    assert!(world.is_linked(SICK, 0) && world.is_linked(1, SICK), "{}", world.picture());
}

/// "It is neither dialled nor admitted during the pause, and the refusal says why"; pauses grow. With the option off it is
/// waited for.
#[test]
fn who_is_parted_is_neither_dialled_nor_admitted() {
    let mut world = trio([true, false, false]);
    world.pings_only.insert(SICK);
    let pid = world.spawn(0);
    let op = world.register(pid, "x");
    world.advance(DETECTION + ms(1000));
    assert!(!world.is_linked(0, SICK) && world.is_linked(1, SICK), "{}", world.picture());
    assert_eq!(world.status(op), Some(Status::Ok), "nobody waits for it any more");
    assert!(world.nodes[SICK].closed.is_none());
    let row = |world: &World| world.engine(0).inspect(world.now).parted.rows.first().cloned();
    let first = row(&world).expect("a parted peer");
    assert!(first.left_ms > 50_000 && first.level == 1, "{first:?}");
    world.answered.clear();
    world.refused.clear();
    world.connect(SICK, 0);
    world.settle();
    assert!(world.refused.iter().any(|(_, why)| *why == Refusal::Slow), "{:?}", world.refused);
    // Nor is it when somebody asks for it.
    let connect = world.connect_call(pid, &address(SICK), Deadline::FOREVER);
    assert_eq!(world.status(connect), Some(Status::Unreachable));
    world.advance(Duration::from_millis(first.left_ms - 2000));
    assert!(!world.answered.contains(&(0, address(SICK))), "it was dialled");
    world.pings_only.clear();
    world.advance(ms(10_000));
    assert!(world.is_linked(0, SICK), "{}", world.picture());
    // Once more: twice as long.
    world.pings_only.insert(SICK);
    world.unregister(pid, "x");
    world.advance(DETECTION + ms(1000));
    let second = row(&world).expect("a parted peer");
    assert!(second.level == 2 && second.left_ms > 2 * first.left_ms - 5000, "{second:?}");
}

#[test]
fn with_the_option_off_it_is_waited_for() {
    let mut world = trio([false; 3]);
    world.pings_only.insert(SICK);
    let pid = world.spawn(0);
    let op = world.register(pid, "x");
    world.advance(DETECTION * 10);
    assert_eq!(world.status(op), None);
    assert!(world.is_linked(0, SICK));
}

/// A claim that a voter queues behind somebody else's is not the voter's debt, however long it waits, and for a name that is
/// taken out of sight the answer is Busy.
#[test]
fn who_queues_a_claim_owes_nothing() {
    let mut world = trio([true; 3]);
    let (holder, waiter) = (world.spawn(1), world.spawn(0));
    let held = world.acquire(holder, by("holder"));
    world.settle();
    assert_eq!(world.status(held), Some(Status::Ok));
    let waits = world.acquire(waiter, by("waiter"));
    world.advance(DETECTION * 30);
    assert_eq!(world.status(waits), None);
    for node in 0..3 {
        assert_eq!(parted(&world, node), [], "{}", world.picture());
    }
    assert!(
        world.engine(0).residue().contains(&("answers that peers owe", 0)),
        "{:?}",
        world.engine(0).residue()
    );
    let release = world.release(holder, by("holder"));
    world.settle();
    assert_eq!((world.status(release), world.status(waits)), (Some(Status::Ok), Some(Status::Ok)));
}

/// Answers that take a fiftieth of the detection time are no debt, whatever the load.
#[test]
fn a_long_way_is_no_debt() {
    let mut world = trio([true; 3]);
    // What is sent is handled up to 80 ms later, the pings too.
    let mut since = Duration::ZERO;
    let part = waiting(&mut world, LONG / 4, |world, elapsed| {
        if elapsed.saturating_sub(since) >= ms(80) {
            since = elapsed;
            world.wake(SICK);
            world.settle();
        }
        world.hang(SICK);
    });
    assert!(part > 0.5, "{part}");
    assert_eq!(parted(&world, 0), [], "{}", world.picture());
}

/// A node that is cut off from all others blames none of them.
#[test]
fn who_is_cut_off_blames_nobody() {
    let mut world = trio([true; 3]);
    let pid = world.spawn(0);
    for round in 0..6 {
        // For 1.8 s it hears nobody, and nobody hears it.
        let op = world.register(pid, &format!("name {round}"));
        world.advance_still(ms(1800));
        world.advance(DETECTION);
        assert_eq!(world.status(op), Some(Status::Ok));
    }
    for node in 0..3 {
        assert_eq!(parted(&world, node), [], "{}", world.picture());
    }
}
