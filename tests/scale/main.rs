//! How many messages things take, and how long, when a cluster is large: real engines, a virtual network and clock.
//!
//! `cargo test --test scale` checks what must hold, with few nodes.
//! `CONVOKE_SCALE=100,300,1000 cargo test --release --test scale -- --nocapture` prints the table of docs/scale.md; a
//! thousand nodes take some gigabytes and minutes.

mod count;
mod network;
#[path = "../sim/rng.rs"]
#[allow(dead_code)] // the simulator uses all of it
mod rng;
mod scenes;
mod world;

use count::Row;
use network::Wall;
use world::{Plan, World};

const SEED: u64 = 1;

fn plan(nodes: usize, names: usize) -> Plan {
    Plan { seed: SEED, nodes, names, groups: 10, receive_us: 5, send_us: 2 }
}

/// Resident memory of this process, in bytes; where there is no such file: 0.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

fn print(row: Row) -> Row {
    println!("{} ({:.1} s)", row.line(), row.real_ms as f64 / 1e3);
    row
}

/// The rows of the table for one size, in one life of a cluster.
fn table(nodes: usize) {
    let before = resident();
    let mut world = World::new(plan(nodes, 10_000));
    print(scenes::full_start(&mut world));
    let memory = resident() - before;
    world.check_tables(10_000);
    println!(
        "  memory of the simulated mesh: {} MiB, {} KiB per node",
        memory >> 20,
        (memory >> 10) / nodes as u64
    );
    let row = print(scenes::idle(&mut world));
    let per_second = row.count.messages.iter().sum::<u64>() as f64 / (2.0 * nodes as f64);
    println!("  idle: {per_second:.0} messages per node and second");
    print(scenes::register(&mut world));
    print(scenes::register_many(&mut world, 100));
    print(scenes::acquire(&mut world));
    print(scenes::join(&mut world));
    world.check_tables(10_101);
    print(scenes::leave(&mut world));
    print(scenes::split(&mut world, Wall::Silence));
    print(scenes::register_clashing(&mut world, 10));
    let row = print(scenes::heal(&mut world, 10));
    assert_eq!(row.count.resolver_calls, 10);
    world.check_tables(10_111);
    print(scenes::split(&mut world, Wall::Resets));
    print(scenes::heal(&mut world, 0));
    world.check_tables(10_111);
}

const NODES: usize = 24;

fn mesh() -> (World, Row) {
    let mut world = World::new(plan(NODES, 240));
    let row = scenes::full_start(&mut world);
    (world, row)
}

/// Every two nodes get one link, however many dial at once, and nobody is told twice where others are.
#[test]
fn a_full_start() {
    let (world, row) = mesh();
    let (nodes, pairs) = (NODES as u64, (NODES * (NODES - 1) / 2) as u64);
    assert_eq!(row.count.of("HelloAck"), 2 * pairs);
    assert_eq!(row.count.connections - row.count.refused, pairs);
    assert!(row.count.refused < pairs / 2, "{} dials were refused", row.count.refused);
    assert!(
        row.count.of("addresses") < 2 * nodes * 8,
        "{} messages about addresses",
        row.count.of("addresses")
    );
    world.check_tables(240);
}

/// "Two round trips and 4(n-1) messages", and nothing else for it; no node has more than its part.
#[test]
fn a_registration() {
    let (mut world, _) = mesh();
    let others = NODES as u64 - 1;
    let row = scenes::register(&mut world);
    for kind in ["Acquire", "votes", "Commit", "Ack"] {
        assert_eq!(row.count.of(kind), others, "{kind}");
    }
    assert_eq!(row.count.work(), 4 * others);
    assert_eq!(row.count.received.iter().max(), Some(&(2 * others)), "at the coordinator");
    assert!(row.took < 4 * (network::DELAY + network::JITTER) + 1000, "{} us", row.took);

    let row = scenes::register_many(&mut world, 100);
    assert_eq!(row.count.work(), 400 * others, "those that run at once do not disturb each other");
    assert_eq!(scenes::acquire(&mut world).count.work(), 3 * others);
    world.check_tables(240 + 1 + 100);
}

/// A newcomer costs one link to everybody, and its leaving one word to everybody.
#[test]
fn a_join() {
    let (mut world, _) = mesh();
    let row = scenes::join(&mut world);
    let nodes = NODES as u64;
    assert_eq!((row.count.connections, row.count.refused), (nodes, 0));
    assert_eq!(row.count.of("HelloAck"), 2 * nodes);
    assert!(
        row.count.of("addresses") <= 2 * 3 * 2,
        "only its seeds are asked: {}",
        row.count.of("addresses")
    );
    world.check_tables(240);
    let row = scenes::leave(&mut world);
    assert_eq!(row.count.of("others"), nodes, "goodbyes");
}

/// A split is noticed as early as the death of one node, without a storm of questions; nobody dials in vain without pause;
/// and when the halves meet again every clash is decided by one call.
#[test]
fn a_split_and_its_end() {
    let (mut world, _) = mesh();
    let (nodes, across) = (NODES as u64, (NODES * NODES / 4) as u64);
    for (wall, clashes) in [(Wall::Silence, 5), (Wall::Resets, 0)] {
        let row = scenes::split(&mut world, wall);
        if wall == Wall::Silence {
            assert!(row.took < 3_100_000, "it took {} us", row.took);
            assert!(row.count.of("Probe") < nodes * 3 * 8, "{} questions", row.count.of("Probe"));
        }
        assert!(row.count.dials < across * 2 * 8, "{} dials", row.count.dials);
        if clashes > 0 {
            scenes::register_clashing(&mut world, clashes);
        }
        let row = scenes::heal(&mut world, clashes);
        assert_eq!(row.count.connections - row.count.refused, across);
        assert!(row.count.refused <= across, "{} dials were refused", row.count.refused);
        assert_eq!(row.count.resolver_calls, clashes as u64);
        world.check_tables(240 + 5);
    }
}

/// Heartbeats and nothing else.
#[test]
fn at_rest() {
    let (mut world, _) = mesh();
    let row = scenes::idle(&mut world);
    assert_eq!(row.count.work(), 0);
    let per_link = row.count.of("life signs") as f64 / 2.0 / (NODES * (NODES - 1)) as f64;
    assert!((2.0..2.5).contains(&per_link), "{per_link} heartbeats in a second");
}

#[test]
fn the_table() {
    let Ok(sizes) = std::env::var("CONVOKE_SCALE") else { return };
    println!("{}", count::HEAD);
    for size in sizes.split(',') {
        table(size.trim().parse().expect("CONVOKE_SCALE is a list of numbers of nodes"));
    }
}
