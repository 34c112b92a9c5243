//! What is done to a cluster: each scene returns what it took.

use crate::count::Row;
use crate::network::Wall;
use crate::world::World;
use convoke::model::Status;

const SECOND: u64 = 1_000_000;

/// All nodes start within a second.
pub(crate) fn full_start(world: &mut World) -> Row {
    world.measure("full start within 1 s", |world| {
        let (began, nodes) = (world.now, world.plan.nodes);
        let mut starts: Vec<u64> = (0..nodes).map(|_| world.rng.below(SECOND)).collect();
        starts.sort_unstable();
        for start in starts {
            world.run_for((began + start).saturating_sub(world.now));
            world.start();
        }
        world.run_until("a full mesh", 120 * SECOND, World::is_meshed);
        let meshed = world.now;
        world.run_until("rest after the start", 60 * SECOND, World::is_quiet);
        meshed - began
    })
}

pub(crate) fn idle(world: &mut World) -> Row {
    world.measure("idle for 2 s", |world| {
        world.run_for(2 * SECOND);
        2 * SECOND
    })
}

/// The calls are made at one moment; the time is that of the last answer.
fn calls(world: &mut World, what: &str, make: impl FnOnce(&mut World) -> Vec<u64>) -> Row {
    world.measure(what, |world| {
        let began = world.now;
        let ops = make(world);
        world.run_until(what, 60 * SECOND, |world| ops.iter().all(|op| world.answers.contains_key(op)));
        for op in &ops {
            assert_eq!(world.answers[op].0, Status::Ok, "{what}");
        }
        let last = ops.iter().map(|op| world.answers[op].1).max().unwrap_or(began);
        world.run_until("rest after the calls", 60 * SECOND, World::is_quiet);
        last - began
    })
}

pub(crate) fn register(world: &mut World) -> Row {
    calls(world, "register one name", |world| {
        let host = world.hosts.len() / 2;
        vec![world.register(host, "alone")]
    })
}

/// From as many different nodes, each another name.
pub(crate) fn register_many(world: &mut World, count: usize) -> Row {
    calls(world, &format!("register {count} names at once"), |world| {
        let hosts = world.hosts.len();
        (0..count).map(|number| world.register(number % hosts, &format!("many-{number}"))).collect()
    })
}

pub(crate) fn acquire(world: &mut World) -> Row {
    calls(world, "lock on all nodes", |world| vec![world.acquire(0, "lock")])
}

/// One node more.
pub(crate) fn join(world: &mut World) -> Row {
    world.measure("join of one node", |world| {
        let began = world.now;
        world.start();
        world.run_until("the newcomer in the mesh", 60 * SECOND, World::is_meshed);
        let took = world.now - began;
        world.run_until("rest after the join", 60 * SECOND, World::is_quiet);
        took
    })
}

pub(crate) fn leave(world: &mut World) -> Row {
    world.measure("one node leaves", |world| {
        let began = world.now;
        world.leave(world.hosts.len() - 1);
        world.run_until("everybody else in the mesh", 60 * SECOND, World::is_meshed);
        let took = world.now - began;
        world.run_until("rest after the leave", 60 * SECOND, World::is_quiet);
        took
    })
}

/// Two halves that cannot reach each other. The time is that until every node is rid of the others.
pub(crate) fn split(world: &mut World, wall: Wall) -> Row {
    let how = if wall == Wall::Silence { "noticed by silence" } else { "noticed by resets" };
    world.measure(&format!("split in halves, {how}"), |world| {
        let began = world.now;
        world.split(wall);
        world.run_until("two meshes", 60 * SECOND, World::is_meshed);
        let took = world.now - began;
        world.run_until("rest after the split", 60 * SECOND, World::is_quiet);
        took
    })
}

/// Registers names on both sides of a split that will clash.
pub(crate) fn register_clashing(world: &mut World, count: usize) -> Row {
    calls(world, &format!("register {count} names on both sides"), |world| {
        let half = world.hosts.len() / 2;
        (0..2 * count)
            .map(|number| {
                world.register(number / 2 % half + (number % 2) * half, &format!("clash-{}", number / 2))
            })
            .collect()
    })
}

/// The two halves find each other again. The time is that until every two nodes are linked.
pub(crate) fn heal(world: &mut World, clashes: usize) -> Row {
    world.measure(&format!("heal, {clashes} names clash"), |world| {
        let began = world.now;
        world.heal();
        world.run_until("one mesh again", 120 * SECOND, World::is_meshed);
        let took = world.now - began;
        world.run_until("rest after the heal", 60 * SECOND, World::is_quiet);
        took
    })
}
