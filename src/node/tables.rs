//! The tables that callers read without asking anybody and without waiting for anybody.

use super::process_core::ProcessCore;
use crate::engine::{Name, NodeId, Pid};
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use papaya::{HashMap, LocalGuard, OwnedGuard};
use rand::TryRng;
use rand::rngs::SysRng;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Published names and peers. Written by the node's thread alone.
pub struct Tables {
    node: NodeId,
    names: HashMap<Name, Published, SeedableRandomState>,
    peers: RwLock<BTreeMap<NodeId, Peer>>,
}

/// A node that this one has a link to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) address: String,
}

struct Published {
    pid: Pid,
    /// The process, if it lives here: its death shows at once, before the binding is withdrawn.
    local: Option<Arc<ProcessCore>>,
}

impl Published {
    fn visible(&self) -> Option<Pid> {
        self.local.as_ref().is_none_or(|process| process.is_alive()).then_some(self.pid)
    }
}

/// Keys come from peers, so the hash is seeded by the operating system.
fn hasher() -> io::Result<SeedableRandomState> {
    static SEED: OnceLock<SharedSeed> = OnceLock::new();
    let random = || SysRng.try_next_u64().map_err(|e| io::Error::other(e.to_string()));
    let (shared, own) = (random()?, random()?);
    Ok(SeedableRandomState::with_seed(own, SEED.get_or_init(|| SharedSeed::from_u64(shared))))
}

/// What a reader of the map holds. The cheap guard needs a thread-local of the map's library, whose access panics
/// when it is destroyed already, as in a C++ static destructor; there the other guard serves.
enum Guard<'a> {
    Local(LocalGuard<'a>),
    Owned(OwnedGuard<'a>),
}

/// Tells whether the thread-locals of this library still stand: it is destroyed with the others.
struct Standing;

impl Drop for Standing {
    fn drop(&mut self) {
        // Having something to run is what makes it go with the others.
    }
}

thread_local! { static STANDING: Standing = const { Standing }; }

impl Tables {
    pub(super) fn new(node: NodeId) -> io::Result<Tables> {
        Ok(Tables { node, names: HashMap::with_hasher(hasher()?), peers: RwLock::default() })
    }

    fn guard(&self) -> Guard<'_> {
        match STANDING.try_with(|_| ()) {
            Ok(()) => Guard::Local(self.names.guard()),
            Err(_) => Guard::Owned(self.names.owned_guard()),
        }
    }

    // ---- the node's thread

    /// `local`: the process, if it lives on this node.
    pub(super) fn publish_name(&self, name: Name, pid: Option<Pid>, local: Option<Arc<ProcessCore>>) {
        let guard = self.names.guard();
        match pid {
            Some(pid) if pid.node != self.node || local.is_some() => {
                self.names.insert(name, Published { pid, local }, &guard);
            }
            // None any more, or a process of this node that is gone already.
            _ => {
                self.names.remove(&name, &guard);
            }
        }
    }

    pub(super) fn peer_up(&self, node: NodeId, name: String, address: String) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).insert(node, Peer { name, address });
    }

    pub(super) fn peer_down(&self, node: NodeId) {
        self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }

    // ---- callers

    /// Who has the name. A process of this node that has died is never given.
    pub fn whereis(&self, name: &[u8]) -> Option<Pid> {
        match self.guard() {
            Guard::Local(guard) => self.names.get(name, &guard)?.visible(),
            Guard::Owned(guard) => self.names.get(name, &guard)?.visible(),
        }
    }

    /// The names that begin with `prefix`, sorted.
    pub(super) fn names(&self, prefix: &[u8]) -> Vec<(Name, Pid)> {
        let pick = |(name, published): (&Name, &Published)| {
            let pid = published.visible().filter(|_| name.as_bytes().starts_with(prefix))?;
            Some((name.clone(), pid))
        };
        let mut rows: Vec<_> = match self.guard() {
            Guard::Local(guard) => self.names.iter(&guard).filter_map(pick).collect(),
            Guard::Owned(guard) => self.names.iter(&guard).filter_map(pick).collect(),
        };
        rows.sort_unstable();
        rows
    }

    /// How many names are published.
    pub(super) fn names_len(&self) -> usize {
        self.names.len()
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
