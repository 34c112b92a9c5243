//! Snapshots that a call returns.

use crate::engine::Pid;
use crate::node::Field;

/// Rows of a table as they were at one moment.
#[derive(Debug, Default)]
pub struct List {}

impl List {
    pub fn len(&self) -> usize {
        0
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The name of a row; `None`: no such row, or it has none.
    pub fn name(&self, _index: usize) -> Option<&[u8]> {
        None
    }
    pub fn pid(&self, _index: usize) -> Option<Pid> {
        None
    }
    pub fn bytes(&self, _index: usize, _field: Field) -> Option<&[u8]> {
        None
    }
    pub fn u64(&self, _index: usize, _field: Field) -> Option<u64> {
        None
    }
    /// All pids at once as (node, serial), laid out as in C; `None`: the rows have no pids.
    pub fn pids(&self) -> Option<&[[u64; 2]]> {
        None
    }
}
