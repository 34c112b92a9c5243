//! What drives an engine's sockets, as the node's thread sees it.

use super::bridge::Bridge;
use super::desk::Desk;
use crate::engine::Engine;
use crate::mesh::Mesh;
use crate::model::{ConnectionId, Machine};
use std::task::Waker;
use std::time::Duration;
use tokio::net::TcpListener;

/// Lives on the node's thread. Monomorphic: a node has one kind from its beginning to its end.
pub(super) trait Network {
    type Machine: Machine;

    fn with_desk<R>(&self, f: impl FnOnce(&mut Desk<Self::Machine>) -> R) -> R;
    fn listen(&self, listener: TcpListener);
    /// Carries out what the engine has put out.
    fn turn(&self);
    /// A caller has put something into the outbox of this link.
    fn data_ready(&self, connection: ConnectionId);
    /// The driver is to be woken when it has something to do.
    fn watch(&self, waker: &Waker);
    /// How often something was read from a socket.
    fn reads(&self) -> u64;
    /// What a panic of one of its tasks said.
    fn panic(&self) -> Option<String>;
    /// No new connections; those that are there say goodbye.
    fn close(&self);
    /// The longest that each may take for that.
    fn farewell(&self) -> Duration;
    fn is_empty(&self) -> bool;
}

impl Network for Mesh<Bridge> {
    type Machine = Engine;

    fn with_desk<R>(&self, f: impl FnOnce(&mut Desk<Engine>) -> R) -> R {
        self.with_core(|core| f(&mut core.desk))
    }
    fn listen(&self, listener: TcpListener) {
        self.listen(listener);
    }
    fn turn(&self) {
        self.turn();
    }
    fn data_ready(&self, connection: ConnectionId) {
        self.data_ready(connection);
    }
    fn watch(&self, waker: &Waker) {
        self.watch(waker);
    }
    fn reads(&self) -> u64 {
        self.reads()
    }
    fn panic(&self) -> Option<String> {
        self.panic()
    }
    fn close(&self) {
        self.close();
    }
    fn farewell(&self) -> Duration {
        self.settings().farewell
    }
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}
