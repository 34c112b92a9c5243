//! The links that senders write into.

use super::shared::lock;
use crate::flow::{Outbox, SendRefusal};
use crate::model::{ConnectionId, Limits, NodeId, Status};
use crate::node::Inbox;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Mutex, RwLock};
use crate::wire::DataEncoder;
use rand::TryRng;
use rand::rngs::SysRng;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// What callers put in and the network takes out, in the form of the link's protocol.
pub enum Lane {
    Native(Outbox<DataEncoder>),
}

impl Lane {
    fn send(&mut self, from: u64, to: u64, payload: &[u8]) -> Result<(), SendRefusal> {
        match self {
            Self::Native(outbox) => outbox.send(from, to, payload),
        }
    }
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Native(outbox) => outbox.is_empty(),
        }
    }
    /// Bytes that wait to be written.
    pub fn backlog(&self) -> usize {
        match self {
            Self::Native(outbox) => outbox.backlog(),
        }
    }
    /// The next block of whole frames; of a large payload `fragment` bytes at most.
    pub(super) fn next_block(&mut self, fragment: usize) -> Option<Vec<u8>> {
        match self {
            Self::Native(outbox) => outbox.next_block_of(fragment),
        }
    }
    /// The block is written. (sender, receiver) of those who may try again.
    pub(super) fn written(&mut self, block: Vec<u8>) -> Vec<(u64, u64)> {
        match self {
            Self::Native(outbox) => outbox.written(block),
        }
    }
    /// The sender is no more.
    pub(super) fn forget_sender(&mut self, serial: u64) {
        match self {
            Self::Native(outbox) => outbox.forget_sender(serial),
        }
    }
    /// Drops what waits. (sender, receiver) of those who wait for room.
    fn close(&mut self) -> Vec<(u64, u64)> {
        match self {
            Self::Native(outbox) => outbox.close(),
        }
    }
}

/// The sending side of one link: callers put messages in, the node's thread writes them to the socket.
pub struct LinkOutbox {
    pub outbox: Mutex<Lane>,
    pub connection: ConnectionId,
    pub bytes: Bytes,
    /// The largest payload that the peer takes.
    message_limit: u64,
    /// Beyond so many bytes of backlog kills are refused too; messages are refused at half of it.
    crowd: usize,
    /// The connection is named in the inbox, or the node's thread is at it.
    dirty: AtomicBool,
    /// The link is over. Set under the outbox's lock.
    closed: AtomicBool,
}

/// Bytes on the wire since the link came up. Only the node's thread adds to them.
#[derive(Default)]
pub struct Bytes {
    read: AtomicU64,
    written: AtomicU64,
}

impl Bytes {
    pub fn add(&self, read: u64, written: u64) {
        self.read.store(self.read.load(Ordering::Relaxed).wrapping_add(read), Ordering::Relaxed);
        self.written.store(self.written.load(Ordering::Relaxed).wrapping_add(written), Ordering::Relaxed);
    }
    /// Read and written.
    pub fn figures(&self) -> (u64, u64) {
        (self.read.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }
}

impl LinkOutbox {
    fn new(limits: &Limits, connection: ConnectionId, message_limit: u64) -> Self {
        // Without random numbers the number of the connection must do: a peer that knows it can only slow this link.
        let seed = SysRng.try_next_u64().unwrap_or(connection.0);
        Self {
            outbox: Mutex::new(Lane::Native(Outbox::with_seed(limits, seed))),
            connection,
            bytes: Bytes::default(),
            message_limit,
            crowd: limits.link_buffer.saturating_mul(2),
            dirty: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// From a caller's thread: puts a message in and wakes the node's thread if need be. `Full`: the sender is told
    /// when there is room. `TooBig` for the peer; `NoProcess`; `Unreachable`.
    pub(super) fn send(&self, inbox: &Inbox, from: u64, to: u64, payload: &[u8]) -> Result<(), Status> {
        if payload.len() as u64 > self.message_limit {
            return Err(Status::TooBig);
        }
        let mut outbox = lock(&self.outbox);
        if self.closed.load(Ordering::Relaxed) {
            return Err(Status::Unreachable);
        }
        let sent = outbox.send(from, to, payload);
        let has_work = !outbox.is_empty();
        drop(outbox);
        if has_work {
            self.poke(inbox);
        }
        sent.map_err(|refusal| match refusal {
            SendRefusal::Full => Status::Full,
            SendRefusal::NoProcess => Status::NoProcess,
        })
    }

    /// So much waits to be written that nothing more of a caller is to be added: a kill needs no room at its receiver, so
    /// nothing else bounds kills.
    pub(super) fn is_crowded(&self) -> bool {
        lock(&self.outbox).backlog() >= self.crowd
    }

    /// There may be something to write: names this connection in the inbox, unless that is so already.
    pub fn poke(&self, inbox: &Inbox) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            inbox.poke(self.connection);
        }
    }

    /// The node's thread begins to look at the outbox: what is put in from now on pokes again.
    pub fn begin(&self) {
        self.dirty.swap(false, Ordering::AcqRel);
    }

    /// The link is over: drops what waits. (sender, receiver) of those who wait for room.
    fn close(&self) -> Vec<(u64, u64)> {
        let mut outbox = lock(&self.outbox);
        self.closed.store(true, Ordering::Relaxed);
        outbox.close()
    }
}

/// The present links, by the node at the other end and by their connections.
pub struct Links {
    limits: Limits,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    by_node: BTreeMap<NodeId, Arc<LinkOutbox>>,
    by_connection: BTreeMap<ConnectionId, NodeId>,
}

impl Links {
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), table: RwLock::default() }
    }

    /// The connection is the link with `node` from now on: senders find its outbox. (sender, receiver) of those who waited for
    /// room on another connection that was it.
    pub fn up(&self, node: NodeId, connection: ConnectionId, message_limit: u64) -> Vec<(u64, u64)> {
        self.replace(node, Some((connection, message_limit)))
    }

    /// The link with `node` is over. (sender, receiver) of those who wait for room on it.
    pub fn down(&self, node: NodeId) -> Vec<(u64, u64)> {
        self.replace(node, None)
    }

    fn replace(&self, node: NodeId, new: Option<(ConnectionId, u64)>) -> Vec<(u64, u64)> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let old = table.by_node.get(&node).map(|link| link.connection);
        if old == new.map(|(connection, _)| connection) {
            return Vec::new();
        }
        if let Some(old) = old {
            table.by_connection.remove(&old);
        }
        let old = match new {
            Some((connection, message_limit)) => {
                table.by_connection.insert(connection, node);
                let link = LinkOutbox::new(&self.limits, connection, message_limit);
                table.by_node.insert(node, Arc::new(link))
            }
            None => table.by_node.remove(&node),
        };
        drop(table);
        old.map(|old| old.close()).unwrap_or_default()
    }

    pub fn get(&self, node: NodeId) -> Option<Arc<LinkOutbox>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_node.get(&node).cloned()
    }

    /// The link that goes over this connection, and the node at its other end.
    pub(super) fn over_connection(&self, connection: ConnectionId) -> Option<(NodeId, Arc<LinkOutbox>)> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let node = *table.by_connection.get(&connection)?;
        Some((node, table.by_node.get(&node)?.clone()))
    }

    pub(super) fn all(&self) -> Vec<Arc<LinkOutbox>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).by_node.values().cloned().collect()
    }
}
