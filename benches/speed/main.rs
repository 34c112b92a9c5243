//! Speed, side by side with its floors: `cargo bench --bench speed`.
//!
//! Prints a table and writes `target/speed.json`. Every figure goes through the C interface of the shared library that
//! was built along with it (or the one that `CONVOKE_LIBRARY` names). Nodes are OS processes of their own: this program
//! again, in another role, on loopback. There is no pass or fail exit code: a figure that misses its mark says so in the
//! table, and the reader knows what else the machine was doing (column "foreign": CPUs that other programs used).
//!
//! Arguments: `--only <row>` (may be repeated; a name or the beginning of one), `--full` (the large sizes too),
//! `--awake` (idle-priority spinners keep the processors from sleeping: no wake-up latency), `--no-otp` (do not measure
//! Erlang/OTP even if it is installed), `--list`.

#![allow(unreachable_pub)] // a program of its own: nothing in it is public, whatever it says

mod capi;
mod child;
mod cluster;
mod erlang;
mod floors;
mod measure;
mod report;
mod rows;

use cluster::Peer;
use measure::Foreign;
use report::{Figure, Report};
use rows::{Bench, Row};
use std::process::Command;
use std::time::Duration;

#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // switches of a command line
struct Arguments {
    only: Vec<String>,
    full: bool,
    awake: bool,
    no_otp: bool,
    list: bool,
    role: Option<String>,
    /// cargo says that it is to measure, not to test.
    is_bench: bool,
    unknown: Option<String>,
}

fn arguments() -> Result<Arguments, String> {
    let mut found = Arguments::default();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value"));
        match &argument[..] {
            "--only" => found.only.push(value()?),
            "--role" => found.role = Some(value()?),
            "--full" => found.full = true,
            "--awake" => found.awake = true,
            "--no-otp" => found.no_otp = true,
            "--list" => found.list = true,
            "--bench" => found.is_bench = true,
            other => found.unknown = Some(other.to_owned()),
        }
    }
    match &found.unknown {
        Some(unknown) if found.is_bench => Err(format!("unknown argument {unknown}")),
        _ => Ok(found),
    }
}

fn main() {
    let outcome = arguments().and_then(|arguments| match arguments.role.as_deref() {
        Some("node") => {
            child::serve();
            Ok(())
        }
        Some("floor") => {
            floors::serve();
            Ok(())
        }
        Some("spin") => spin(),
        Some(other) => Err(format!("unknown role {other}")),
        // `cargo test --all-targets` runs it too, with the arguments of a test.
        None if !arguments.is_bench => {
            println!("to measure: cargo bench --bench speed");
            Ok(())
        }
        None => measure_all(&arguments),
    });
    if let Err(why) = outcome {
        eprintln!("{why}");
        std::process::exit(2);
    }
}

fn measure_all(arguments: &Arguments) -> Result<(), String> {
    let chosen = |row: &&Row| {
        arguments.only.is_empty() || arguments.only.iter().any(|o| row.name == o)
            // A beginning counts when it is nobody's full name.
            || arguments.only.iter().any(|o| row.name.starts_with(&o[..]) && !rows::ALL.iter().any(|r| r.name == o))
    };
    let rows: Vec<&Row> = rows::ALL.iter().filter(chosen).collect();
    if rows.is_empty() || arguments.list {
        println!("Rows:");
        rows::ALL.iter().for_each(|row| println!("  {:12} {}", row.name, row.about));
        return if rows.is_empty() { Err("no such row".to_owned()) } else { Ok(()) };
    }
    let mut report = Report::new(head(arguments));
    let _awake = if arguments.awake { spinners()? } else { Vec::new() };
    let mut bench = Bench { floors: floors::Floors::start()?, full: arguments.full };
    match floor_figures(&mut bench) {
        Ok(figures) => report.add("floors", 0.0, figures),
        Err(why) => report.fail("floors", why),
    }
    for row in &rows {
        eprintln!("{} ...", row.name);
        let foreign = Foreign::start(&cluster::children());
        match (row.run)(&mut bench) {
            Ok(figures) => report.add(row.name, foreign.cpus(&cluster::children()), figures),
            Err(why) => report.fail(row.name, why),
        }
    }
    drop(bench);
    if !arguments.no_otp && erlang::installed() {
        let mut suites: Vec<&str> = rows.iter().map(|row| row.otp_suite).filter(|s| !s.is_empty()).collect();
        suites.sort_unstable();
        suites.dedup();
        if !suites.is_empty() {
            eprintln!("Erlang/OTP: {suites:?} ...");
            match erlang::measure(&suites) {
                Ok(metrics) => report.add_otp(|metric| metrics.get(metric).copied()),
                Err(why) => report.fail("Erlang/OTP", why),
            }
        }
    }
    println!("What the rows measure:");
    rows.iter().for_each(|row| println!("  {:12} {}", row.name, row.about));
    println!();
    report.head().iter().for_each(|(key, value)| println!("{key}: {value}"));
    println!("\n{}", report.table());
    println!("{}", report.write()?.display());
    Ok(())
}

/// The floors by themselves, at the start of the run.
fn floor_figures(bench: &mut Bench) -> Result<Vec<Figure>, String> {
    let time = Duration::from_millis(800);
    let mut figures = Vec::new();
    for (what, spread) in [
        ("plain", bench.floors.plain(time)?),
        ("relay", bench.floors.relay(false, time)?),
        ("relay with application", bench.floors.relay(true, time)?),
    ] {
        let percentiles = [("p50", spread.p50), ("p99", spread.p99), ("p99.9", spread.p999)];
        figures.extend(percentiles.map(|(name, us)| Figure::new(format!("{what}, {name}"), us, "us")));
    }
    figures.push(Figure::new("stream", bench.floors.stream(time)? / 1e6, "MB/s"));
    Ok(figures)
}

/// What the figures depend on.
fn head(arguments: &Arguments) -> Vec<(&'static str, String)> {
    let output = |program: &str, args: &[&str]| {
        let ran = Command::new(program).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        ran.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned()).unwrap_or_default()
    };
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.trim_start_matches([' ', '\t', ':']).to_owned()
    };
    let dirty =
        if output("git", &["status", "--porcelain", "-uno"]).is_empty() { "" } else { " and changes" };
    let mode =
        [(arguments.full, "full"), (arguments.awake, "awake"), (!arguments.only.is_empty(), "some rows")];
    let mode: Vec<&str> = mode.iter().filter(|(is, _)| *is).map(|(_, text)| *text).collect();
    vec![
        ("date", output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])),
        ("revision", output("git", &["rev-parse", "--short", "HEAD"]) + dirty),
        ("library", capi::version()),
        ("rustc", output("rustc", &["--version"])),
        ("processor", after(&file("/proc/cpuinfo"), "model name")),
        ("processors", std::thread::available_parallelism().map_or(String::new(), |n| n.to_string())),
        ("memory", after(&file("/proc/meminfo"), "MemTotal")),
        ("kernel", file("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("load before", file("/proc/loadavg").trim().to_owned()),
        ("mode", if mode.is_empty() { "default".to_owned() } else { mode.join(", ") }),
    ]
}

/// One idle-priority process per processor.
fn spinners() -> Result<Vec<Peer>, String> {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    (0..count).map(|_| Peer::start("spin", "a spinner")).collect()
}

fn spin() -> Result<(), String> {
    child::die_with_parent();
    // SAFETY: a valid pointer.
    let status = unsafe {
        let lowest: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &lowest)
    };
    if status != 0 {
        return Err("no idle priority".to_owned());
    }
    loop {
        std::hint::spin_loop();
    }
}
