//! Reads the tables of every node through the C interface, and judges them.

use crate::cluster::{Cluster, PATIENCE};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What one node shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// The peers and the node itself.
    pub view: BTreeSet<String>,
    pub names: BTreeMap<String, String>,
    pub groups: BTreeMap<String, Vec<String>>,
    /// Resource, pid, token, "holds" or "waits".
    pub locks: BTreeSet<(String, String, String, String)>,
}

impl Tables {
    fn parse(text: &str, own: &str) -> Self {
        let mut tables = Self::default();
        for row in text.split("; ") {
            let words: Vec<&str> = row.split(' ').collect();
            let owned = |range: &[&str]| range.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
            match words[..] {
                ["peers", ref peers @ ..] => tables.view = owned(peers).into_iter().collect(),
                ["name", name, pid] => drop(tables.names.insert(name.to_owned(), pid.to_owned())),
                ["group", name, ref members @ ..] => {
                    let mut members = owned(members);
                    members.sort();
                    tables.groups.insert(name.to_owned(), members);
                }
                ["lock", resource, pid, fence, role] => {
                    let row = (resource.to_owned(), pid.to_owned(), fence.to_owned(), role.to_owned());
                    tables.locks.insert(row);
                }
                _ => panic!("{own}: a row of the tables: {row}"),
            }
        }
        tables.view.insert(own.to_owned());
        tables
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.groups.is_empty() && self.locks.is_empty()
    }

    /// Every pid in them.
    fn pids(&self) -> impl Iterator<Item = &String> {
        let locks = self.locks.iter().map(|(_, pid, ..)| pid);
        self.names.values().chain(self.groups.values().flatten()).chain(locks)
    }
}

impl Cluster {
    pub fn tables(&mut self) -> Vec<Tables> {
        self.running()
            .map(|agent| {
                let name = agent.name.clone();
                Tables::parse(&agent.ok("tables"), &name)
            })
            .collect()
    }

    /// Waits until all nodes that run see each other and show the same, and returns it. Clashes that came with a heal are
    /// decided, and what was under way has arrived.
    pub fn rest(&mut self) -> Tables {
        self.wait_for_full_mesh();
        let deadline = Instant::now() + PATIENCE;
        let mut same_since = None;
        let mut last = Vec::new();
        loop {
            let tables = self.tables();
            let all = self.nodes.iter().flatten().count();
            let equal = tables.iter().all(|other| *other == tables[0]) && tables[0].view.len() == all;
            // Nothing waits for a lock at rest, and what is seen twice does not merely pass by.
            let waits = tables[0].locks.iter().any(|lock| lock.3 == "waits");
            if equal && !waits && last == tables {
                let since = *same_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(300) {
                    return tables.into_iter().next().unwrap_or_default();
                }
            } else {
                same_since = None;
            }
            if Instant::now() > deadline {
                let shown = tables.iter().map(|tables| format!("{tables:?}")).collect::<Vec<_>>().join("\n");
                panic!("the nodes do not come to show the same:\n{shown}");
            }
            last = tables;
            std::thread::sleep(Duration::from_millis(50)); // between two looks at all tables
        }
    }

    /// Everything that is shown belongs to a process that lives, by what the programs themselves know.
    pub fn all_live(&mut self, tables: &Tables) {
        let live: BTreeSet<String> = self
            .running()
            .flat_map(|agent| agent.ok("churn_live").split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        for pid in tables.pids() {
            assert!(live.contains(pid), "{pid} does not live; {tables:?}");
        }
    }

    /// No node has seen a promise broken.
    pub fn no_violations(&mut self) {
        for agent in self.running() {
            let violations = agent.all("violation");
            assert!(violations.is_empty(), "{}: {violations:?}", agent.name);
        }
    }
}
