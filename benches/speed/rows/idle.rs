//! What a node costs that does nothing, and the size of the library.

use super::{Bench, Row};
use crate::capi::library_path;
use crate::cluster::Cluster;
use crate::measure::{cpu_ns_of, now_ns, status_of};
use crate::report::{Figure, Mark};
use std::process::Command;
use std::time::Duration;

pub const IDLE: Row = Row {
    name: "idle",
    about: "an OS process that has opened one of 3 linked nodes and does nothing: CPU time of all its threads over some \
            seconds, resident memory, threads (its own main thread included)",
    tasks: &[],
    run: idle,
    otp_suite: "",
};

pub const LIBRARY: Row = Row {
    name: "library",
    about: "size of the shared library without symbols",
    tasks: &[],
    run: library,
    otp_suite: "",
};

fn idle(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let cluster = Cluster::start(3)?;
    let seconds = 6;
    // The bustle of the start is over after two heartbeats.
    std::thread::sleep(Duration::from_millis(1500));
    let ids: Vec<u32> = cluster.nodes.iter().map(|node| node.id()).collect();
    let cpu = |ids: &[u32]| ids.iter().map(|id| cpu_ns_of(*id)).sum::<Option<u64>>().ok_or("no schedstat");
    let (began, before) = (now_ns(), cpu(&ids)?);
    std::thread::sleep(Duration::from_secs(seconds));
    let used = (cpu(&ids)? - before) as f64 / (now_ns() - began) as f64 / ids.len() as f64;
    let of = |key| status_of(ids[0], key).ok_or_else(|| format!("no {key}"));
    Ok(vec![
        Figure::new("idle node, CPU", used * 100.0, "% of a core")
            .first(Mark::AtMost(0.1))
            .goal(Mark::AtMost(0.05)),
        Figure::new("idle node, resident memory", of("VmRSS")? as f64 / 1024.0, "MiB")
            .first(Mark::AtMost(10.0))
            .goal(Mark::AtMost(6.0)),
        Figure::new("idle node, threads", of("Threads")? as f64, "")
            .first(Mark::AtMost(3.0))
            .goal(Mark::AtMost(3.0)),
    ])
}

fn library(_: &mut Bench) -> Result<Vec<Figure>, String> {
    let stripped = std::env::temp_dir().join(format!("convoke-stripped-{}.so", std::process::id()));
    let outcome = Command::new("strip").arg("-o").arg(&stripped).arg(library_path()?).output();
    let size = std::fs::metadata(&stripped).map(|m| m.len() as f64 / (1 << 20) as f64);
    // It may not exist: then the size says so.
    let _ = std::fs::remove_file(&stripped);
    let size = size.map_err(|e| format!("strip: {e} ({outcome:?})"))?;
    Ok(vec![Figure::new("shared library, stripped", size, "MiB").goal(Mark::AtMost(2.5))])
}
