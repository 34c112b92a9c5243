//! What a node can tell of itself: asked of its thread, which may be stuck, so the wait is bounded; what the node's thread
//! and callers share is told in any case.

use super::shared::closed;
use super::{Node, Request, Result, Shared};
use crate::model::Observation;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// A thread that has not answered by then is stuck.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// What the node's thread counts beside the engine, since the node was opened.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Control messages; one to several nodes counts for each.
    pub messages_read: u64,
    pub messages_written: u64,
    /// Frames of the data lane.
    pub data_read: u64,
    pub accepted: u64,
    /// Batches of input.
    pub turns: u64,
    pub resolvers_late: u64,
}

/// The answer of the node's thread.
#[derive(Debug)]
pub struct Observed {
    pub engine: Observation,
    pub traffic: Traffic,
}

/// `None`: the node's thread does not answer. `Closed`: there is none any more.
pub(super) fn observe(shared: &Shared, inspect: bool) -> Result<Option<Box<Observed>>> {
    shared.check_open()?;
    let (answer, answered) = sync_channel(1);
    shared.inbox.push(Request::Observe { inspect, answer })?;
    match answered.recv_timeout(PATIENCE) {
        Ok(observed) => Ok(Some(observed)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        // A request that is dropped, because the node is over, drops its end of the channel.
        Err(RecvTimeoutError::Disconnected) => Err(closed()),
    }
}

/// Events that wait in one queue or mailbox.
pub(super) struct Depth {
    /// The process whose mailbox it is; `None`: a queue of the program.
    pub(super) process: Option<u64>,
    pub(super) events: usize,
}

impl Node {
    /// The queues of the program and the mailboxes of the node's processes.
    pub(super) fn depths(&self) -> Vec<Depth> {
        let shared = self.shared();
        let mailboxes = shared.processes.all();
        let mailboxes = mailboxes
            .iter()
            .filter(|process| process.has_mailbox)
            .map(|process| Depth { process: Some(process.pid().serial), events: process.queue.depth() });
        let queues = shared.queues();
        let queues = queues.iter().map(|queue| Depth { process: None, events: queue.depth() });
        queues.chain(mailboxes).collect()
    }
}
