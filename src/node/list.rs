//! Snapshots that a call returns.

use super::Field;
use super::tables::Peer;
use crate::engine::{Name, NodeId, Pid};

/// Rows of a table as they were at one moment. What accessors lend lives as long as the list.
#[derive(Debug, Default)]
pub struct List {
    rows: Rows,
    pids: Vec<[u64; 2]>,
}

#[derive(Debug)]
enum Rows {
    Names(Vec<Name>),
    Peers(Vec<(NodeId, Peer)>),
}

impl Default for Rows {
    fn default() -> Rows {
        Rows::Names(Vec::new())
    }
}

impl List {
    pub(super) fn of_names(rows: Vec<(Name, Pid)>) -> List {
        let pids = rows.iter().map(|(_, pid)| [pid.node.0, pid.serial]).collect();
        List { rows: Rows::Names(rows.into_iter().map(|(name, _)| name).collect()), pids }
    }

    pub(super) fn of_peers(rows: Vec<(NodeId, Peer)>) -> List {
        List { rows: Rows::Peers(rows), pids: Vec::new() }
    }

    pub fn len(&self) -> usize {
        match &self.rows {
            Rows::Names(rows) => rows.len(),
            Rows::Peers(rows) => rows.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of a row; `None`: no such row.
    pub fn name(&self, index: usize) -> Option<&[u8]> {
        self.bytes(index, Field::Name)
    }

    /// `None`: no such row, or the rows have no pids.
    pub fn pid(&self, index: usize) -> Option<Pid> {
        self.pids.get(index).map(|&[node, serial]| Pid { node: NodeId(node), serial })
    }

    /// `None`: no such row, the rows have no such field, or it is not bytes.
    pub fn bytes(&self, index: usize, field: Field) -> Option<&[u8]> {
        match (&self.rows, field) {
            (Rows::Names(rows), Field::Name) => rows.get(index).map(Name::as_bytes),
            (Rows::Peers(rows), Field::Name) => rows.get(index).map(|(_, peer)| peer.name.as_bytes()),
            (Rows::Peers(rows), Field::Address) => rows.get(index).map(|(_, peer)| peer.address.as_bytes()),
            _ => None,
        }
    }

    /// `None`: no such row, the rows have no such field, or it is not a number.
    pub fn u64(&self, index: usize, field: Field) -> Option<u64> {
        match (&self.rows, field) {
            (Rows::Peers(rows), Field::Node) => rows.get(index).map(|(node, _)| node.0),
            _ => None,
        }
    }

    /// All pids at once as (node, serial), laid out as in C; `None`: the rows have no pids.
    pub fn pids(&self) -> Option<&[[u64; 2]]> {
        matches!(self.rows, Rows::Names(_)).then_some(self.pids.as_slice())
    }
}
