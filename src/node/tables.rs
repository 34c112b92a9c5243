//! The tables that callers read without asking anybody and without waiting for anybody.

use super::map::Map;
use super::process_core::Life;
use crate::model::{Members, Name, NodeId, Pid, Time};
use crate::sync::RwLock;
use crate::wire::LinkProtection;
use std::collections::BTreeMap;
use std::io;
use std::sync::PoisonError;

/// Published names, groups and peers. Written by the node's thread alone.
pub struct Tables {
    node: NodeId,
    names: Map<Published>,
    groups: Map<Members>,
    peers: RwLock<BTreeMap<NodeId, Peer>>,
}

/// A node that this one has a link to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) protection: LinkProtection,
    /// When the link came up.
    pub(super) since: Time,
}

struct Published {
    pid: Pid,
    /// Of a process of this node: its death shows at once, before the binding is withdrawn.
    local: Option<Life>,
}

impl Published {
    fn visible(&self) -> Option<Pid> {
        self.local.as_ref().is_none_or(Life::is_alive).then_some(self.pid)
    }
}

impl Tables {
    pub(super) fn new(node: NodeId) -> io::Result<Self> {
        Ok(Self { node, names: Map::new()?, groups: Map::new()?, peers: RwLock::default() })
    }

    // ---- the node's thread

    /// `local`: whether the process lives, if it is one of this node.
    pub(super) fn publish_name(&self, name: Name, pid: Option<Pid>, local: Option<Life>) {
        match pid {
            Some(pid) if pid.node != self.node || local.is_some() => {
                self.names.insert(name, Published { pid, local });
            }
            // None any more, or a process of this node that is gone already.
            _ => self.names.remove(&name),
        }
    }

    pub(super) fn publish_groups(&self, groups: Vec<(Name, Option<Members>)>) {
        self.groups.set_all(groups);
    }

    pub(super) fn peer_up(&self, node: NodeId, peer: Peer) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).insert(node, peer);
    }

    pub(super) fn peer_down(&self, node: NodeId) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }

    // ---- callers

    /// Who has the name. A process of this node that has died is never given.
    pub fn whereis(&self, name: &[u8]) -> Option<Pid> {
        self.names.get(name, Published::visible)?
    }

    /// The names that begin with `prefix`, sorted.
    pub(super) fn names(&self, prefix: &[u8]) -> Vec<(Name, Pid)> {
        let mut rows = self.names.pick(|name, published| {
            let pid = published.visible().filter(|_| name.as_bytes().starts_with(prefix))?;
            Some((name.clone(), pid))
        });
        rows.sort_unstable();
        rows
    }

    /// How many names are published.
    pub(super) fn names_len(&self) -> usize {
        self.names.len()
    }

    /// What `f` makes of the members of a group as they were published; `None`: there is no such group. A process of
    /// this node that has just died may still be among them.
    #[inline]
    pub(super) fn members<R>(&self, group: &[u8], f: impl FnOnce(&Members) -> R) -> Option<R> {
        self.groups.get(group, f)
    }

    /// All groups, sorted by name, and how many entries each has.
    pub(super) fn groups(&self) -> Vec<(Name, u64)> {
        let mut rows = self.groups.pick(|group, members| Some((group.clone(), members.len() as u64)));
        rows.sort_unstable();
        rows
    }

    pub(super) fn groups_len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn peers(&self) -> Vec<(NodeId, Peer)> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.iter().map(|(node, peer)| (*node, peer.clone())).collect()
    }

    pub(super) fn peers_len(&self) -> usize {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn peer_name(&self, node: NodeId) -> Option<String> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).get(&node).map(|peer| peer.name.clone())
    }
}
