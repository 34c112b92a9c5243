//! What the native protocol numbers: transactions, registrations, dots of groups.

use super::NodeId;
use super::decode::dot_number;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A claim's transaction. Smaller is older, and older wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tx {
    pub lamport: u64,
    pub node: NodeId,
}

/// One binding. `seq` rises with every one that its owner makes, and is the time of the commit by its clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reg {
    pub node: NodeId,
    pub seq: u64,
}

/// One making of a group: the `number`-th that this incarnation did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dot {
    pub node: NodeId,
    #[serde(deserialize_with = "dot_number")]
    pub number: u64,
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tx{}@{:?}", self.lamport, self.node)
    }
}
impl fmt::Debug for Reg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reg{}@{:?}", self.seq, self.node)
    }
}
impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dot{}@{:?}", self.number, self.node)
    }
}
