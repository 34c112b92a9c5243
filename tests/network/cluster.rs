//! Five nodes in five network namespaces, and what can be done to them.

use crate::agent::Agent;
use crate::namespace::{DEVICE, Namespace};
use crate::switch::{Path, Switch};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub const NODES: usize = 5;
/// A silent peer is given up after so long at the latest.
pub const DETECTION: Duration = Duration::from_secs(1);
/// A wait that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One cluster at a time: these tests measure time, and each has enough to do for the whole machine.
static TURN: Mutex<()> = Mutex::new(());

pub struct Cluster {
    /// `None`: killed.
    pub nodes: Vec<Option<Agent>>,
    pub switch: Switch,
    namespaces: Vec<Namespace>,
    options: String,
    _turn: MutexGuard<'static, ()>,
}

pub fn name(node: usize) -> String {
    format!("n{node}")
}

fn address(node: usize) -> String {
    format!("10.77.0.{}", node + 1)
}

impl Cluster {
    /// `None`, and a line that says so, where a test may not make network namespaces.
    pub fn new(options: &str) -> Option<Cluster> {
        Cluster::with_seed(options, 1)
    }

    pub fn with_seed(options: &str, seed: u64) -> Option<Cluster> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut namespaces = Vec::new();
        let mut devices = Vec::new();
        for node in 0..NODES {
            match Namespace::new(&format!("{}/24", address(node))) {
                Ok((namespace, device)) => {
                    namespaces.push(namespace);
                    devices.push(device);
                }
                Err(e) => {
                    println!("SKIPPED: no network namespaces with devices here ({e}); see docs/faults.md");
                    return None;
                }
            }
        }
        let mut cluster = Cluster {
            nodes: (0..NODES).map(|_| None).collect(),
            switch: Switch::new(devices, seed),
            namespaces,
            options: options.to_owned(),
            _turn: turn,
        };
        (0..NODES).for_each(|node| cluster.start(node));
        cluster.wait_for_full_mesh();
        Some(cluster)
    }

    /// Starts a node that is not there, on the thread of the test: it ends with it.
    pub fn start(&mut self, node: usize) {
        let mut agent = Agent::start(|command| self.namespaces[node].prepare(command));
        let seeds: Vec<String> = (0..NODES).map(|n| format!("{}:4370", address(n))).collect();
        agent.open_node(&format!(
            "name={} listen={}:4370 seeds={} insecure.plaintext=allow detection_ms={} dial.max_ms=500 {}",
            name(node),
            address(node),
            seeds.join(","),
            DETECTION.as_millis(),
            self.options
        ));
        self.nodes[node] = Some(agent);
    }

    pub fn node(&mut self, node: usize) -> &mut Agent {
        self.nodes[node].as_mut().expect("a node that runs")
    }

    /// Those that run.
    pub fn running(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.nodes.iter_mut().flatten()
    }

    /// SIGKILL.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().expect("a node that runs").kill();
    }

    /// Cuts every pair with one node on each side, in both directions.
    pub fn split(&self, side: &[usize]) {
        for a in 0..NODES {
            for b in 0..NODES {
                if side.contains(&a) != side.contains(&b) {
                    self.switch.set(a, b, |path| path.cut = true);
                }
            }
        }
    }

    /// All paths are as at first.
    pub fn heal(&self) {
        self.switch.set_all(|path| *path = Path::default());
    }

    /// The cable of one node is pulled or put back.
    pub fn cable(&self, node: usize, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        self.namespaces[node].run("ip", &["link", "set", DEVICE, state]).expect("ip link set");
    }

    /// What a node may send: a rate of tc's, as in "1mbit", or none. `Err`: the kernel cannot do that.
    pub fn limit_rate(&self, node: usize, rate: Option<&str>) -> std::io::Result<()> {
        let tc = |args: &[&str]| self.namespaces[node].run("tc", args);
        match rate {
            Some(rate) => tc(&[
                "qdisc", "replace", "dev", DEVICE, "root", "tbf", "rate", rate, "burst", "10kb", "latency",
                "400ms",
            ]),
            None => tc(&["qdisc", "del", "dev", DEVICE, "root"]),
        }
    }

    /// Every two nodes that run have a link, and their tables are merged.
    pub fn wait_for_full_mesh(&mut self) {
        let running = self.nodes.iter().flatten().count();
        let wanted = (running - 1).to_string();
        for agent in self.nodes.iter_mut().flatten() {
            let watcher = agent.spawn().0;
            agent.ok(&format!("monitor_nodes {watcher}"));
            let deadline = Instant::now() + PATIENCE;
            loop {
                let peers = agent.ok("peers");
                if peers.split(' ').next() == Some(wanted.as_str()) {
                    break;
                }
                assert!(Instant::now() < deadline, "{}: links to {peers} only", agent.name);
                // Woken by the next link; a link that broke meanwhile is looked for anew.
                let _ = agent.wait_for_event("up ", Duration::from_millis(200));
            }
            agent.ok(&format!("sync {watcher} {}", PATIENCE.as_millis()));
            agent.ok(&format!("free {watcher}"));
        }
    }

    /// No peer was declared down at any node since its events were last forgotten.
    pub fn nobody_was_down(&mut self) {
        let downs: Vec<_> = self.running().map(|agent| (agent.name.clone(), agent.all("down "))).collect();
        assert!(downs.iter().all(|(_, downs)| downs.is_empty()), "{downs:?}");
    }
}
