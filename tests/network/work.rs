//! The workload of all nodes: its beginning, its end, and what must be true then.

use crate::agent::Agent;
use crate::cluster::Cluster;

/// Threads at each node that call Convoke all the time.
const WORKERS: usize = 2;

/// Begins at one node. The seed decides what is asked for.
pub fn begin(agent: &mut Agent, seed: u64) {
    agent.ok(&format!("churn {seed} {WORKERS}"));
}

impl Cluster {
    /// The work at all nodes ends, and what has become of it is judged. `print`: what they have done.
    pub fn end_of_work(&mut self, print: bool) {
        self.all("churn_stop", print);
        let tables = self.rest();
        self.all_live(&tables);
        if print {
            let (names, groups, locks) = (tables.names.len(), tables.groups.len(), tables.locks.len());
            println!("at rest: {names} names, {groups} groups, {locks} locks");
        }
        self.all("churn_exit", false);
        self.all("churn_end", false);
        let tables = self.rest();
        assert!(tables.is_empty(), "{tables:?}");
        self.no_violations();
    }

    /// A command for all of them at once.
    fn all(&mut self, command: &str, print: bool) {
        self.running().for_each(|agent| agent.post(command));
        for agent in self.running() {
            let answer = agent.answer();
            assert!(answer.starts_with("ok"), "{}: {command}: {answer}", agent.name);
            if print {
                println!("{}: {answer}", agent.name);
            }
        }
    }
}
