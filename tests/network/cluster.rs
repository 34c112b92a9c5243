//! Five nodes in five network namespaces, and what can be done to them.

use crate::agent::Agent;
use crate::namespace::{DEVICE, Namespace};
use crate::ports::Ports;
use crate::switch::{Path, Switch};
use std::time::{Duration, Instant};

pub const NODES: usize = 5;
/// A silent peer is given up after so long at the latest.
pub const DETECTION: Duration = Duration::from_secs(1);
/// A wait that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// With it links may leave the machine, and into a namespace of its own is out of it.
const SECRET: &str = "26d66729dbeab67a3aec12cf8e5900eb45dd801bc7bf0e4d7d9970b0bcaf7483";

pub struct Cluster {
    /// `None`: killed.
    pub nodes: Vec<Option<Agent>>,
    /// Where each listens, whenever it is started.
    addresses: Vec<String>,
    options: String,
    /// `None`: they are on loopback.
    network: Option<Network>,
    /// Those of a cluster on loopback.
    _ports: Option<Ports>,
}

struct Network {
    switch: Switch,
    namespaces: Vec<Namespace>,
}

pub fn name(node: usize) -> String {
    format!("n{node}")
}

impl Cluster {
    /// `None`, and a line that says so, where a test may not make network namespaces.
    pub fn new(options: &str) -> Option<Self> {
        Self::with_seed(options, 1)
    }

    /// The seed decides what becomes of packets.
    pub fn with_seed(options: &str, seed: u64) -> Option<Self> {
        let hosts: Vec<String> = (1..=NODES).map(|host| format!("10.77.0.{host}")).collect();
        let made: std::io::Result<Vec<_>> =
            hosts.iter().map(|host| Namespace::new(&format!("{host}/24"))).collect();
        let (namespaces, devices): (Vec<_>, Vec<_>) = match made {
            Ok(made) => made.into_iter().unzip(),
            Err(e) => {
                crate::skipped(&format!("no network namespaces with devices here: {e}"));
                return None;
            }
        };
        let network = Network { switch: Switch::new(devices, seed), namespaces };
        let addresses = hosts.iter().map(|host| format!("{host}:4370")).collect();
        Some(Self::start_all(addresses, options, Some(network), None))
    }

    pub fn on_loopback(options: &str) -> Self {
        let ports = Ports::on_loopback(NODES);
        let addresses = ports.addresses().iter().map(ToString::to_string).collect();
        Self::start_all(addresses, options, None, Some(ports))
    }

    fn start_all(
        addresses: Vec<String>,
        options: &str,
        network: Option<Network>,
        ports: Option<Ports>,
    ) -> Self {
        let nodes = (0..NODES).map(|_| None).collect();
        let mut cluster = Self { nodes, addresses, options: options.to_owned(), network, _ports: ports };
        (0..NODES).for_each(|node| cluster.start(node));
        cluster.wait_for_full_mesh();
        cluster
    }

    /// Starts a node that is not there, on the thread of the test: it ends with it.
    pub fn start(&mut self, node: usize) {
        let mut agent = Agent::start(|command| {
            if let Some(network) = &self.network {
                network.namespaces[node].prepare(command);
            }
        });
        agent.open_node(&format!(
            "name={} listen={} seeds={} secret={SECRET} detection_ms={} dial.max_ms=500 {}",
            name(node),
            self.addresses[node],
            self.addresses.join(","),
            DETECTION.as_millis(),
            self.options
        ));
        self.nodes[node] = Some(agent);
    }

    fn network(&self) -> &Network {
        self.network.as_ref().expect("a cluster with a network of its own")
    }

    pub fn switch(&self) -> &Switch {
        &self.network().switch
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
                    self.switch().set(a, b, |path| path.cut = true);
                }
            }
        }
    }

    /// All paths are as at first.
    pub fn heal(&self) {
        self.switch().set_all(|path| *path = Path::default());
    }

    /// The cable of one node is pulled or put back.
    pub fn cable(&self, node: usize, plugged: bool) {
        let state = if plugged { "up" } else { "down" };
        self.network().namespaces[node].run("ip", &["link", "set", DEVICE, state]).expect("ip link set");
    }

    /// What a node may send: a rate of tc's, as in "1mbit", or none. `Err`: the kernel cannot do that.
    pub fn limit_rate(&self, node: usize, rate: Option<&str>) -> std::io::Result<()> {
        let tc = |args: &[&str]| self.network().namespaces[node].run("tc", args);
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
