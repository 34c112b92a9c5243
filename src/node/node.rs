//! Opening and closing a node, and what it can be asked.

use crate::engine::Pid;
use crate::node::{List, Options, Result};

/// A running node; clones are the same node. The last clone dropped closes it as `shut` does.
#[derive(Clone)]
pub struct Node {}

/// Counters and gauges, as in `convoke_stats`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    pub messages_sent: u64,
    pub messages_received: u64,
    pub names: u64,
    pub locks_held: u64,
    pub groups: u64,
    pub peers: u64,
    pub queue_depth: u64,
    pub dropped: u64,
}

impl Node {
    pub fn open(_options: &Options) -> Result<Node> {
        Ok(Node {})
    }
    /// Leaves in order and waits for the end. `Timeout`: it goes on; may be called again.
    pub fn close(&self, _timeout_ms: i64) -> Result<()> {
        Ok(())
    }
    /// Starts to leave in order and does not wait.
    pub fn shut(&self) {}
    pub fn name(&self) -> &str {
        ""
    }
    /// The address that other nodes dial.
    pub fn address(&self) -> &str {
        ""
    }
    /// Rows with Name, Node and Address: the nodes that this one has a link to.
    pub fn peers(&self) -> Result<List> {
        Ok(List::default())
    }
    pub fn stats(&self) -> Stats {
        Stats::default()
    }
    pub fn whereis(&self, _name: &[u8]) -> Result<Pid> {
        Err(crate::engine::Status::NotFound.into())
    }
    /// Rows with Name and Pid, sorted by name.
    pub fn names(&self, _prefix: &[u8]) -> Result<List> {
        Ok(List::default())
    }
    /// The name of the node that the process lives on.
    pub fn node_of(&self, _pid: Pid) -> Result<String> {
        Err(crate::engine::Status::NotFound.into())
    }
    /// The fork epoch that the node was opened in.
    pub fn epoch(&self) -> u32 {
        0
    }
}
