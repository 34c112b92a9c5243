//! What the nodes of a cluster have had to do, in processor time: a busy machine adds nothing to it, as it does to the clock's.

use super::Cluster;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

pub(crate) struct Work {
    /// How the threads of the cluster's nodes are called.
    prefix: String,
    before: BTreeMap<String, Duration>,
}

impl Work {
    pub(crate) fn begin(cluster: &Cluster) -> Self {
        let mut work = Self { prefix: format!("convoke/{}", cluster.full_name("")), before: BTreeMap::new() };
        assert!(work.prefix.len() < 15, "the kernel cuts names of threads at 15 bytes");
        work.before = work.times();
        assert!(!work.before.is_empty(), "no thread is called {}", work.prefix);
        work
    }

    /// Of the nodes that are open now, those that were opened meanwhile included.
    pub(crate) fn so_far(&self) -> Duration {
        let had = |thread| self.before.get(thread).copied().unwrap_or_default();
        self.times().iter().map(|(thread, time)| *time - had(thread)).sum()
    }

    /// Of each thread.
    fn times(&self) -> BTreeMap<String, Duration> {
        let threads = fs::read_dir("/proc/self/task").unwrap().filter_map(|thread| {
            let path = thread.ok()?.path();
            // Threads of other tests end meanwhile.
            let name = fs::read_to_string(path.join("comm")).ok()?;
            let times = fs::read_to_string(path.join("schedstat")).ok()?;
            let time = Duration::from_nanos(times.split(' ').next()?.parse().ok()?);
            name.starts_with(&self.prefix).then(|| (path.to_string_lossy().into_owned(), time))
        });
        threads.collect()
    }
}
