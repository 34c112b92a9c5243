//! Limits on what a node keeps, and the configuration of an engine.

use crate::{Name, NodeId, Status, Time};
use std::time::Duration;

/// Length of the requester that a process is if it names none: its pid.
pub const DEFAULT_REQUESTER: usize = 16;

/// What a node never exceeds. Sizes in bytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest name (option `limits.name`).
    pub name: usize,
    /// Largest payload of one message (option `limits.message`).
    pub message: usize,
    /// Largest data of an exit or a kill.
    pub exit_data: usize,
    /// Memory that messages waiting on this node may take, in all (option `limits.memory`). At least twice `message`.
    pub memory: usize,
    /// Bytes that may wait in the buffers of one link before senders get `E_FULL` (option `limits.link_buffer`).
    pub link_buffer: usize,
    /// Processes of this node that are alive at one time (option `limits.processes`).
    pub processes: usize,
    /// Names that processes of this node may hold (option `limits.names`).
    pub names: usize,
    /// Shares of locks that processes of this node may hold (option `limits.locks`).
    pub locks: usize,
    /// Groups that processes of this node may make, and memberships of them (option `limits.groups`).
    pub groups: usize,
    /// Dots of groups that are remembered, whoever made them. The same for all nodes of a cluster, so it is no option: what is
    /// beyond it goes everywhere, as `trim` says.
    pub existence: usize,
    /// Bytes that what peers publish may take on this node, half of it for one peer (option `limits.published`).
    pub published: usize,
    /// Operations and monitors of this node under way at one time (option `limits.operations`).
    pub operations: usize,
    /// Nodes that this node links to (option `limits.peers`).
    pub peers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name: 1024,
            message: 16 << 20,
            exit_data: 64 << 10,
            memory: 256 << 20,
            link_buffer: 8 << 20,
            processes: 1 << 20,
            names: 2 << 20,
            locks: 1 << 20,
            groups: 1 << 20,
            existence: 1 << 20,
            published: 2 << 30,
            operations: 1 << 20,
            peers: 4096,
        }
    }
}

/// The longest name and address of a node, in bytes.
pub const MAX_TEXT: usize = 255;
/// The longest name that any node may be configured to take, in bytes: a longer one does not decode.
pub const MAX_NAME: usize = 32 << 10;
/// The longest name of a resolver function, in bytes: every row may carry one.
pub const MAX_RESOLVER: usize = 255;
/// What an engine is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This incarnation.
    pub node: NodeId,
    /// The node's name in the cluster.
    pub name: String,
    /// The address that other nodes dial, once known; empty: not dialled by others.
    pub address: String,
    /// The address that it listens at, where that is another one; empty otherwise.
    pub bound: String,
    /// Addresses, and names of addresses, that are dialled for ever.
    pub seeds: Vec<String>,
    /// A silent peer is down after this time at the latest (option `detection_ms`).
    pub detection: Duration,
    /// A link that was idle this long carries a heartbeat (option `heartbeat_ms`).
    pub heartbeat: Duration,
    /// First and longest pause between two dials of one address (options `dial.min_ms`, `dial.max_ms`).
    pub dial_min: Duration,
    pub dial_max: Duration,
    /// The longest pause between two dials of a seed that may lead to others next time: a name, an address that has led
    /// to this very node, or to one that says to be dialled elsewhere (option `seeds.refresh_ms`).
    pub seeds_refresh: Duration,
    /// A peer that keeps this node waiting for too long is parted from it for a while (option `peers.slow`).
    pub part_slow: bool,
    /// `names.per_pid = one`: a pid has at most one name (`E_EXISTS`).
    pub one_name_per_pid: bool,
    /// Fencing tokens of this node are above this: wall-clock milliseconds at the start, times 2^20, so that they rise
    /// over restarts; and those of others are not believed if they are days ahead of it. 0: the clock is not set, so they are.
    pub first_token: u64,
    pub limits: Limits,
}

impl Config {
    pub fn new(node: NodeId, name: &str) -> Self {
        Self {
            node,
            name: name.to_owned(),
            address: String::new(),
            bound: String::new(),
            seeds: Vec::new(),
            detection: Duration::from_secs(5),
            heartbeat: Duration::from_millis(500),
            dial_min: Duration::from_millis(50),
            dial_max: Duration::from_secs(5),
            seeds_refresh: Duration::from_secs(30),
            part_slow: true,
            one_name_per_pid: false,
            first_token: 0,
            limits: Limits::default(),
        }
    }
    /// This node itself certainly answers at the address.
    pub fn is_own(&self, address: &str) -> bool {
        address == self.address || address == self.bound
    }
    /// Until when an operation with this time left may run; `None` is for ever.
    pub fn deadline(now: Time, left: Option<Duration>) -> Option<Time> {
        left.map(|d| now + d)
    }
    pub fn check_name(&self, name: &[u8]) -> Result<(), Status> {
        match name.len() {
            0 => Err(Status::Invalid),
            n if n > self.limits.name => Err(Status::TooBig),
            _ => Ok(()),
        }
    }
    /// The names of a lock. A process that names no requester is one by its pid, which fits whatever the limit is: who
    /// never gave a name is not refused for its length.
    pub fn check_lock(&self, resource: &Name, requester: &Name) -> Result<(), Status> {
        self.check_name(resource.as_bytes())?;
        if requester.as_bytes().len() == DEFAULT_REQUESTER {
            Ok(())
        } else {
            self.check_name(requester.as_bytes())
        }
    }
}
