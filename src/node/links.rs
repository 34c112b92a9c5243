//! The links that senders write into.

use crate::engine::message::{Outbox, SendRefusal};
use crate::engine::{ConnectionId, Limits, NodeId};
use crate::node::Inbox;
use crate::node::encoder::DataEncoder;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The sending side of one link: callers put messages in, the node's thread writes them to the socket.
pub struct LinkOutbox {
    pub outbox: Mutex<Outbox<DataEncoder>>,
    pub connection: ConnectionId,
    dirty: AtomicBool,
}

impl LinkOutbox {
    /// From a caller's thread: puts a message in and wakes the node's thread if need be.
    pub fn send(&self, inbox: &Inbox, from: u64, to: u64, payload: &[u8]) -> Result<(), SendRefusal> {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = outbox.send(from, to, payload);
        let waiting = !outbox.is_empty();
        drop(outbox);
        if waiting {
            self.poke(inbox);
        }
        sent
    }

    /// There may be something to write: names this connection in the inbox, unless that is so already.
    pub fn poke(&self, inbox: &Inbox) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            inbox.poke(self.connection);
        }
    }

    /// The node's thread begins to look at the outbox: what is put in from now on pokes again.
    pub fn begin(&self) {
        self.dirty.store(false, Ordering::Release);
    }
}

/// The present links by the node at the other end.
pub struct Links {
    limits: Limits,
    map: RwLock<HashMap<NodeId, Arc<LinkOutbox>>>,
}

impl Links {
    pub fn new(limits: &Limits) -> Links {
        Links { limits: limits.clone(), map: RwLock::default() }
    }

    /// Makes the outbox of a connection that becomes a link (or gives the one that it has). Senders find it at once.
    pub fn up(&self, node: NodeId, connection: ConnectionId) -> Arc<LinkOutbox> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = map.get(&node).filter(|link| link.connection == connection) {
            return link.clone();
        }
        let outbox = Mutex::new(Outbox::new(&self.limits));
        let link = Arc::new(LinkOutbox { outbox, connection, dirty: AtomicBool::new(false) });
        map.insert(node, link.clone());
        link
    }

    /// The link over this connection is over; another connection's stays.
    pub fn down(&self, node: NodeId, connection: ConnectionId) {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if map.get(&node).is_some_and(|link| link.connection == connection) {
            map.remove(&node);
        }
    }

    pub fn get(&self, node: NodeId) -> Option<Arc<LinkOutbox>> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }
}
