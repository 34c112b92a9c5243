//! Several nodes, and the cables between them.

use super::{LONG, Node, Noticed, Process, Status};
use convoke::ffi::convoke_pid;
use convoke::testing;
use std::collections::BTreeSet;
use std::ops::Index;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) struct Cluster {
    /// Makes the names of its nodes unlike those of other tests.
    name: String,
    options: Vec<(String, String)>,
    pub(crate) nodes: Vec<Node>,
    /// Pairs that are cut.
    cut: BTreeSet<[String; 2]>,
}

impl Index<usize> for Cluster {
    type Output = Node;
    fn index(&self, index: usize) -> &Node {
        &self.nodes[index]
    }
}

/// For a cluster that falls into parts which are no majorities: what they begin waits for the others for so long.
pub(crate) const SHORT_WAIT: &[(&str, &str)] = &[("detection_ms", "4000")];

impl Cluster {
    /// This many nodes, all linked and merged.
    pub(crate) fn mesh(count: usize) -> Self {
        Self::mesh_with(count, &[])
    }

    pub(crate) fn mesh_with(count: usize, options: &[(&str, &str)]) -> Self {
        let mut cluster = Self::isolated_with(0, options);
        for _ in 0..count {
            cluster.join();
        }
        cluster
    }

    /// This many nodes that know nothing of each other.
    pub(crate) fn isolated(count: usize) -> Self {
        Self::isolated_with(count, &[])
    }

    pub(crate) fn isolated_with(count: usize, options: &[(&str, &str)]) -> Self {
        static CLUSTERS: AtomicU64 = AtomicU64::new(0);
        let name = format!("c{}", CLUSTERS.fetch_add(1, Ordering::Relaxed));
        let options = options.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let mut cluster = Self { name, options, nodes: Vec::new(), cut: BTreeSet::new() };
        for index in 0..count {
            cluster.open(&format!("n{index}"), &[]);
        }
        cluster
    }

    /// Opens one more node.
    #[track_caller]
    pub(crate) fn open(&mut self, name: &str, options: &[(&str, &str)]) -> usize {
        let full = self.full_name(name);
        // Ports are given again, to other runs on this machine too.
        let cluster = format!("{} of {}", self.name, std::process::id());
        let mut all = vec![("name", full.as_str()), ("cluster", cluster.as_str())];
        // Back-off is not what is tested here; and no busy machine is to make a node look dead: tests of silence say less.
        all.extend([("dial.min_ms", "5"), ("dial.max_ms", "200"), ("detection_ms", "30000")]);
        all.extend(self.options.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        all.extend(options);
        self.nodes.push(Node::open(&all));
        self.nodes.len() - 1
    }

    /// Opens one more node, which is merged with all the others when this returns.
    #[track_caller]
    pub(crate) fn join(&mut self) -> usize {
        let name = format!("n{}", self.nodes.len());
        self.join_as(&name)
    }

    #[track_caller]
    pub(crate) fn join_as(&mut self, name: &str) -> usize {
        let seeds: Vec<String> = self.nodes.iter().take(3).map(|node| node.address.clone()).collect();
        let (seeds, wait) = (seeds.join(","), LONG.to_string());
        self.open(name, &[("seeds", &seeds), ("join.wait", &wait)])
    }

    /// Opens more nodes, which know of each other and of none of those before.
    pub(crate) fn mesh_part(&mut self, count: usize) {
        let first = self.nodes.len();
        for index in first..first + count {
            let seed = self.nodes.get(first).map(|node| node.address.clone()).unwrap_or_default();
            let wait = LONG.to_string();
            self.open(&format!("n{index}"), &[("seeds", &seed), ("join.wait", &wait)]);
        }
    }

    /// Links two nodes; what they know of others follows by itself.
    #[track_caller]
    pub(crate) fn connect(&self, from: usize, to: usize) {
        assert_eq!(self.nodes[from].spawn().try_connect(&self.nodes[to].address, LONG), Status::Ok);
    }

    pub(crate) fn full_name(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// A process on each node.
    pub(crate) fn spawn_all(&self) -> Vec<Process> {
        self.nodes.iter().map(Node::spawn).collect()
    }

    // ---- cables

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut_noticed(a, b, Noticed::ByBoth);
    }

    pub(crate) fn cut_noticed(&mut self, a: usize, b: usize, noticed: Noticed<'_>) {
        let (a, b) = (&self.nodes[a].name, &self.nodes[b].name);
        testing::cut(a, b, noticed);
        self.cut.insert(pair(a, b));
    }

    /// Cuts every link between nodes of different parts.
    pub(crate) fn partition(&mut self, parts: &[&[usize]]) {
        for (index, part) in parts.iter().enumerate() {
            for other in &parts[index + 1..] {
                for (&a, &b) in part.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                    self.cut(a, b);
                }
            }
        }
    }

    pub(crate) fn heal(&mut self, a: usize, b: usize) {
        let (a, b) = (&self.nodes[a].name, &self.nodes[b].name);
        self.cut.remove(&pair(a, b));
        testing::heal(a, b);
    }

    pub(crate) fn heal_all(&mut self) {
        for [a, b] in std::mem::take(&mut self.cut) {
            testing::heal(&a, &b);
        }
    }

    /// The end of an OS process: the links break without a goodbye. Nodes behind it move up.
    pub(crate) fn crash(&mut self, index: usize) {
        let gone = self.nodes.remove(index);
        for node in &self.nodes {
            testing::cut(&gone.name, &node.name, Noticed::ByBoth);
        }
        let name = gone.name.clone();
        drop(gone);
        // A later node of this name may link.
        for node in &self.nodes {
            testing::heal(&name, &node.name);
        }
    }

    // ---- waiting

    /// Waits until every node is linked to every other, and all have each other's tables.
    #[track_caller]
    pub(crate) fn await_mesh(&self) {
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        self.await_mesh_of(&all);
    }

    /// The same for some of the nodes, which have no other peers.
    #[track_caller]
    pub(crate) fn await_mesh_of(&self, part: &[usize]) {
        for &index in part {
            let others = part.iter().filter(|other| **other != index);
            let wanted = others.map(|other| self.nodes[*other].name.clone()).collect();
            self.nodes[index].await_peers(&wanted);
        }
        for &index in part {
            self.nodes[index].spawn().sync();
        }
    }

    /// Waits until every node shows the same under the name, and returns it. To be asked when whatever decides has
    /// decided: `is_final` says what can be the end.
    #[track_caller]
    pub(crate) fn agree_on(&self, name: &str, is_final: impl Fn(&convoke_pid) -> bool) -> convoke_pid {
        let first = self.nodes[0].await_name(name, |shown| shown.as_ref().is_some_and(&is_final));
        for node in &self.nodes[1..] {
            node.await_name(name, |shown| shown == first);
        }
        first.expect("somebody has the name")
    }

    #[track_caller]
    pub(crate) fn await_gone(&self, name: &str) {
        for node in &self.nodes {
            node.await_gone(name);
        }
    }

    /// Every node shows this now: after a call that is synchronous.
    #[track_caller]
    pub(crate) fn all_show(&self, name: &str, pid: Option<convoke_pid>) {
        for node in &self.nodes {
            assert_eq!(node.whereis(name), pid, "{name} at {}", node.name);
        }
    }
}

fn pair(a: &str, b: &str) -> [String; 2] {
    let mut pair = [a.to_owned(), b.to_owned()];
    pair.sort();
    pair
}
