//! A process as the operating system sees it.

use crate::agent::Agent;
use std::fmt;
use std::time::Duration;

/// What a process holds at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Footprint {
    /// Objects of the library, by its own count.
    pub handles: String,
    pub descriptors: usize,
    pub threads: usize,
    /// Resident memory in bytes.
    pub memory: u64,
}

impl Footprint {
    pub fn of(agent: &mut Agent) -> Self {
        Self {
            handles: agent.ok("handles"),
            descriptors: descriptors(agent),
            threads: entries(agent, "task"),
            memory: agent.memory(),
        }
    }

    /// The same but for memory, which may have grown by `margin`.
    pub fn is_back_at(&self, before: &Self, margin: u64) -> bool {
        Self { memory: 0, ..self.clone() } == Self { memory: 0, ..before.clone() }
            && self.memory <= before.memory + margin
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { handles, descriptors, threads, memory } = self;
        let memory = memory >> 10;
        write!(f, "{handles} handles, {descriptors} descriptors, {threads} threads, {memory} KiB")
    }
}

pub fn descriptors(agent: &Agent) -> usize {
    entries(agent, "fd")
}

fn entries(agent: &Agent, folder: &str) -> usize {
    std::fs::read_dir(format!("/proc/{}/{folder}", agent.id())).expect("a process that runs").count()
}

/// The processor time that it has had.
pub fn processor_time(agent: &Agent) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", agent.id())).expect("a process that runs");
    // Behind the name, which may hold anything: utime and stime are the 14th and 15th of all.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    // SAFETY: asks for a constant.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_millis(ticks * 1000 / u64::try_from(per_second).expect("ticks"))
}

/// How many descriptors a process may have from now on; gives what it was.
pub fn limit_descriptors(agent: &Agent, most: u64) -> u64 {
    let pid = libc::pid_t::try_from(agent.id()).expect("a process id");
    set_limit(pid, |_| most)
}

/// This process may have as many as it may ever have.
pub fn many_descriptors() {
    set_limit(0, |limit| limit.rlim_max);
}

fn set_limit(pid: libc::pid_t, soft: impl FnOnce(&libc::rlimit) -> u64) -> u64 {
    // SAFETY: both calls work on live rlimits.
    unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        assert_eq!(libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit), 0);
        let old = limit.rlim_cur;
        limit.rlim_cur = soft(&limit);
        assert_eq!(libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()), 0);
        old
    }
}
