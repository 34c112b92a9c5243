//! Clocks, percentiles, and what the kernel tells about processes and the machine.

use std::time::Duration;

/// CLOCK_MONOTONIC: the same in all processes of the machine.
pub fn now_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread so far, in ns: what it would have taken had nobody else wanted the processor.
pub fn thread_cpu_ns() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid pointer.
    unsafe { libc::clock_gettime(which, &mut at) };
    at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64
}

/// CPU time, user and system, of this process (all threads) so far, in ns.
pub fn own_cpu_ns() -> u64 {
    usage(libc::RUSAGE_SELF)
}

fn usage(who: libc::c_int) -> u64 {
    // SAFETY: all zeroes is a valid value, and the pointer is valid.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    let ns = |t: libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1000;
    ns(usage.ru_utime) + ns(usage.ru_stime)
}

/// CPU time of another process by its threads' scheduler statistics, in ns: exact, and without disturbing it.
pub fn cpu_ns_of(pid: u32) -> Option<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

/// A line of `/proc/<pid>/status` that starts with a number: `VmRSS` (kB), `Threads`.
pub fn status_of(pid: u32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many CPUs other processes used: a measurement with foreign load is worth less.
pub struct Foreign {
    started: u64,
    busy: f64,
    own: f64,
}

impl Foreign {
    pub fn start(children: &[u32]) -> Self {
        Self { started: now_ns(), busy: machine_busy_s(), own: own_s(children) }
    }
    /// CPUs in use by others on the mean since the start. `children`: those that live now.
    pub fn cpus(&self, children: &[u32]) -> f64 {
        let seconds = (now_ns() - self.started) as f64 / 1e9;
        ((machine_busy_s() - self.busy) - (own_s(children) - self.own)).max(0.0) / seconds.max(0.001)
    }
}

/// CPU seconds of the whole machine that were not idle (stolen time included).
fn machine_busy_s() -> f64 {
    // SAFETY: no memory is involved.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<f64> = line.split_whitespace().skip(1).take(8).filter_map(|f| f.parse().ok()).collect();
    let idle: f64 = fields.iter().skip(3).take(2).sum();
    (fields.iter().sum::<f64>() - idle) / ticks
}

fn own_s(children: &[u32]) -> f64 {
    let ended = usage(libc::RUSAGE_SELF) + usage(libc::RUSAGE_CHILDREN);
    (ended + children.iter().filter_map(|pid| cpu_ns_of(*pid)).sum::<u64>()) as f64 / 1e9
}

/// Durations in ns, sorted.
#[derive(Clone, Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    pub fn new(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        Self(all)
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// The nearest rank; 0 when there are none.
    pub fn percentile_ns(&self, percent: f64) -> f64 {
        let rank = (self.0.len() as f64 * percent / 100.0).ceil() as usize;
        self.0.get(rank.max(1) - 1).map_or(0.0, |ns| *ns as f64)
    }
    pub fn max_ns(&self) -> f64 {
        self.0.last().map_or(0.0, |ns| *ns as f64)
    }
    /// In us.
    pub fn spread(&self) -> Spread {
        let us = |percent| self.percentile_ns(percent) / 1e3;
        Spread { p50: us(50.0), p99: us(99.0), p999: us(99.9), max: self.max_ns() / 1e3 }
    }
}

/// Percentiles in us.
#[derive(Clone, Copy, Default, Debug)]
pub struct Spread {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Spread {
    /// Of several rounds, the median of each percentile.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |pick: fn(&Self) -> f64| median(rounds.iter().map(pick).collect());
        Self { p50: of(|s| s.p50), p99: of(|s| s.p99), p999: of(|s| s.p999), max: of(|s| s.max) }
    }
    pub fn sum(self, other: Self) -> Self {
        Self {
            p50: self.p50 + other.p50,
            p99: self.p99 + other.p99,
            p999: self.p999 + other.p999,
            max: self.max + other.max,
        }
    }
}

pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    match all.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => all[n / 2],
        n => (all[n / 2 - 1] + all[n / 2]) / 2.0,
    }
}

/// The gaps that a thread sees which does nothing but look at the clock: what the machine alone makes anybody wait.
pub fn stalls(time: Duration) -> Samples {
    let end = now_ns() + time.as_nanos() as u64;
    let mut last = now_ns();
    let mut gaps = Vec::new();
    while last < end {
        let now = now_ns();
        // Anything shorter is the clock itself.
        if now - last > 2_000 {
            gaps.push(now - last);
        }
        last = now;
    }
    Samples::new(gaps)
}
