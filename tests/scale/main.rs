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

#[test]
fn the_table() {
    let Ok(sizes) = std::env::var("CONVOKE_SCALE") else { return };
    println!("{}", count::HEAD);
    for size in sizes.split(',') {
        table(size.trim().parse().expect("CONVOKE_SCALE is a list of numbers of nodes"));
    }
}
