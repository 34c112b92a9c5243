//! Many runs: a number of seeds, each in every mode, or fresh ones for ever; on all cores, until the first that is red.

use crate::book::Stats;
use crate::plan::Mode;
use crate::report;
use crate::run;
use crate::trace::Tracing;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

pub(crate) fn modes() -> Vec<Mode> {
    match std::env::var("CONVOKE_SIM_MODE").ok().map(|m| (Mode::from_name(&m), m)) {
        Some((Some(mode), _)) => vec![mode],
        Some((None, other)) => panic!("CONVOKE_SIM_MODE is stable, join or faulty, not {other}"),
        None => Mode::ALL.to_vec(),
    }
}

/// To stderr, past the harness: it keeps what a test prints until its end, and this one may have none.
fn say(line: &str) {
    // Whoever has closed stderr does not want to know.
    let _ = writeln!(std::io::stderr(), "{line}");
}

struct Campaign {
    modes: Vec<Mode>,
    from: u64,
    began: Instant,
    /// How many runs were begun: seed by seed, each in all modes.
    begun: AtomicU64,
    /// The first run of all that is red.
    red: AtomicU64,
    stats: Mutex<BTreeMap<&'static str, Stats>>,
}

impl Campaign {
    fn place(&self, index: u64) -> (Mode, u64) {
        let modes = self.modes.len() as u64;
        (self.modes[(index % modes) as usize], self.from.wrapping_add(index / modes))
    }

    /// One thread's share.
    fn work(&self, count: u64) {
        loop {
            let index = self.begun.fetch_add(1, Ordering::Relaxed);
            if index >= count || index > self.red.load(Ordering::Relaxed) {
                return;
            }
            let (mode, seed) = self.place(index);
            let (world, result) = run(mode, seed, Tracing::Off);
            if result.is_err() {
                self.red.fetch_min(index, Ordering::Relaxed);
            }
            if let Ok(mut stats) = self.stats.lock() {
                stats.entry(mode.name()).or_default().add(&world.book.stats);
            }
        }
    }

    fn progress(&self) -> String {
        let stats = self.stats.lock().map(|stats| stats.clone()).unwrap_or_default();
        let runs: u64 = stats.values().map(|s| s.seeds).sum();
        let steps: u64 = stats.values().map(|s| s.steps).sum();
        let took = self.began.elapsed();
        format!(
            "simulator: {runs} runs of {} modes from seed {} in {:.0} s, {:.0} runs/s, {:.1} M steps, all clean",
            self.modes.len(),
            self.from,
            took.as_secs_f64(),
            runs as f64 / took.as_secs_f64().max(0.001),
            steps as f64 / 1e6,
        )
    }
}

/// `count`: of seeds, each run once in every mode; `None`: for ever, with a word each minute. The first failure is told.
pub(crate) fn run_many(modes: Vec<Mode>, from: u64, count: Option<u64>) -> Result<(), String> {
    let runs = count.map_or(u64::MAX, |count| count.saturating_mul(modes.len() as u64));
    let campaign = Campaign {
        modes,
        from,
        began: Instant::now(),
        begun: AtomicU64::new(0),
        red: AtomicU64::new(u64::MAX),
        stats: Mutex::new(BTreeMap::new()),
    };
    let workers = number("CONVOKE_SIM_THREADS")
        .map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), |n| n as usize);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| campaign.work(runs))).collect();
        let mut said = Instant::now();
        while threads.iter().any(|thread| !thread.is_finished()) {
            std::thread::park_timeout(Duration::from_millis(50));
            if said.elapsed() >= Duration::from_secs(60) {
                said = Instant::now();
                say(&campaign.progress());
            }
        }
    });
    match campaign.red.load(Ordering::Relaxed) {
        u64::MAX => {
            println!("{}", campaign.progress());
            for (mode, stats) in campaign.stats.lock().iter().flat_map(|stats| stats.iter()) {
                println!("{mode}: {stats:?}");
            }
            Ok(())
        }
        index => {
            let (mode, seed) = campaign.place(index);
            Err(report(mode, seed))
        }
    }
}
