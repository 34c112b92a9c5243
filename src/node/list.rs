//! Snapshots that a call returns.

use super::Field;
use super::peers::PeerRow;
use crate::model::{LockRow, Members, Name, Pid};
use std::ffi::CString;

/// Rows of a table as they were at one moment. What accessors lend lives as long as the list.
#[derive(Debug)]
pub struct List(Rows);

#[derive(Debug)]
enum Rows {
    Names {
        names: Vec<Name>,
        pids: Vec<Pid>,
    },
    Peers(Vec<PeerRow>),
    Groups(Vec<(Name, u64)>),
    /// The table's own entries; so many of them, the first ones.
    Members(Members, usize),
    Locks {
        rows: Vec<LockRow>,
        pids: Vec<Pid>,
    },
    /// One row.
    Text(CString),
}

impl List {
    pub(super) fn of_names(rows: Vec<(Name, Pid)>) -> Self {
        let (names, pids) = rows.into_iter().unzip();
        Self(Rows::Names { names, pids })
    }

    pub(super) fn of_peers(rows: Vec<PeerRow>) -> Self {
        Self(Rows::Peers(rows))
    }

    pub(super) fn of_groups(rows: Vec<(Name, u64)>) -> Self {
        Self(Rows::Groups(rows))
    }

    pub(super) fn of_members(members: Members) -> Self {
        let len = members.len();
        Self(Rows::Members(members, len))
    }

    /// Those of this node only.
    pub(super) fn of_local_members(members: Members) -> Self {
        let len = members.local();
        Self(Rows::Members(members, len))
    }

    pub(super) fn of_locks(rows: Vec<LockRow>) -> Self {
        let pids = rows.iter().map(|row| row.pid).collect();
        Self(Rows::Locks { rows, pids })
    }

    /// One row, with Text. No text of ours has a zero in it.
    pub(super) fn of_text(text: String) -> Self {
        let mut bytes = text.into_bytes();
        bytes.retain(|byte| *byte != 0);
        Self(Rows::Text(CString::new(bytes).unwrap_or_default()))
    }

    pub fn len(&self) -> usize {
        match &self.0 {
            Rows::Names { names, .. } => names.len(),
            Rows::Peers(rows) => rows.len(),
            Rows::Groups(rows) => rows.len(),
            Rows::Members(_, len) => *len,
            Rows::Locks { rows, .. } => rows.len(),
            Rows::Text(_) => 1,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of a row; `None`: no such row, or the rows have no names.
    pub fn name(&self, index: usize) -> Option<&[u8]> {
        self.bytes(index, Field::Name)
    }

    /// `None`: no such row, or the rows have no pids.
    pub fn pid(&self, index: usize) -> Option<Pid> {
        self.pids()?.get(index).copied()
    }

    /// `None`: no such row, the rows have no such field, or it is not bytes.
    pub fn bytes(&self, index: usize, field: Field) -> Option<&[u8]> {
        match (&self.0, field) {
            (Rows::Names { names, .. }, Field::Name) => names.get(index).map(Name::as_bytes),
            (Rows::Peers(rows), field) => {
                let row = rows.get(index)?;
                match field {
                    Field::Name => Some(row.name.as_bytes()),
                    Field::Address => Some(row.address.as_bytes()),
                    Field::Protection => Some(row.protection.as_bytes()),
                    Field::Credential => Some(row.credential.as_bytes()),
                    _ => None,
                }
            }
            (Rows::Groups(rows), Field::Name) => rows.get(index).map(|(group, _)| group.as_bytes()),
            (Rows::Locks { rows, .. }, Field::Name) => rows.get(index).map(|row| row.resource.as_bytes()),
            (Rows::Locks { rows, .. }, Field::Requester) => {
                rows.get(index).map(|row| row.requester.as_bytes())
            }
            (Rows::Text(text), Field::Text) if index == 0 => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// `None`: no such row, the rows have no such field, or it is not a number.
    pub fn u64(&self, index: usize, field: Field) -> Option<u64> {
        match (&self.0, field) {
            (Rows::Peers(rows), field) => {
                let row = rows.get(index)?;
                match field {
                    Field::Node => Some(row.node.0),
                    Field::ExpiresMs => Some(row.expires.unwrap_or(0).saturating_mul(1000)),
                    Field::IsReplaced => Some(u64::from(row.is_replaced)),
                    Field::SinceMs => Some(row.since_ms),
                    _ => None,
                }
            }
            (Rows::Groups(rows), Field::Count) => rows.get(index).map(|(_, count)| *count),
            (Rows::Locks { rows, .. }, Field::Fence) => rows.get(index).map(|row| row.token),
            (Rows::Locks { rows, .. }, Field::IsWaiter) => {
                rows.get(index).map(|row| u64::from(row.is_waiter))
            }
            (Rows::Locks { rows, .. }, Field::SinceMs) => rows.get(index).map(|row| row.since_ms),
            _ => None,
        }
    }

    /// All pids at once, laid out as in C; `None`: the rows have no pids.
    pub fn pids(&self) -> Option<&[Pid]> {
        match &self.0 {
            Rows::Names { pids, .. } | Rows::Locks { pids, .. } => Some(pids),
            Rows::Members(members, len) => members.as_slice().get(..*len),
            Rows::Peers(_) | Rows::Groups(_) | Rows::Text(_) => None,
        }
    }
}
