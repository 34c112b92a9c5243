//! Processes, and what is done on their behalf.

use crate::engine::{Pid, Reason, Ref};
use crate::node::{Event, Handler, Node, Queue, Result};
use std::sync::Arc;

/// Where the answer to a call that may wait goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// The call waits for it (`op_out` is NULL in C).
    Wait,
    /// The call returns at once, one DONE event follows.
    Event,
}

/// A call that may wait was accepted or is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// The operation that a DONE event will name; 0 when it was waited for.
    pub op: Ref,
    /// The result's value, when it was waited for.
    pub value: u64,
}

/// A process; clones are the same process.
#[derive(Clone)]
pub struct Process {
    pid: Pid,
}

impl Process {
    /// `queue`: where its events go; `None`: to a mailbox of its own, read by `recv`.
    pub fn spawn(_node: &Node, _queue: Option<&Queue>) -> Result<Process> {
        Err(crate::engine::Status::Full.into())
    }
    pub fn pid(&self) -> Pid {
        self.pid
    }
    pub fn exit(&self, _reason: Reason, _data: &[u8]) -> Result<()> {
        Ok(())
    }
    /// Ends the process, if it lives, with reason FREED, and lets go of its handler. Never waits, never fails.
    pub fn free(&self) {}
    pub fn recv(&self, _timeout_ms: i64) -> Result<Arc<Event>> {
        Err(crate::engine::Status::Timeout.into())
    }
    /// Overrides the handler of the queue for this process. `State`: it has a mailbox of its own. The handler is
    /// dropped when this fails.
    pub fn set_handler(&self, _handler: Option<Handler>) -> Result<()> {
        Ok(())
    }
    pub fn monitor(&self, _target: Pid) -> Result<Ref> {
        Ok(Ref(0))
    }
    pub fn kill(&self, _target: Pid, _reason: Reason) -> Result<()> {
        Ok(())
    }
    /// Value 1: alive, 0: not.
    pub fn is_alive(&self, _pid: Pid, _timeout_ms: i64, _completion: Completion) -> Result<Done> {
        Ok(Done { op: Ref(0), value: 0 })
    }
    pub fn cancel(&self, _reference: Ref) -> Result<()> {
        Ok(())
    }
    /// `pid`: who gets the name, `None` for this process. `resolver`: `None` for the default.
    pub fn register(
        &self,
        _name: &[u8],
        _pid: Option<Pid>,
        _resolver: Option<&str>,
        _replace: bool,
        _timeout_ms: i64,
        _completion: Completion,
    ) -> Result<Done> {
        Ok(Done { op: Ref(0), value: 0 })
    }
    pub fn unregister(&self, _name: &[u8], _timeout_ms: i64, _completion: Completion) -> Result<Done> {
        Ok(Done { op: Ref(0), value: 0 })
    }
    pub fn name_monitor(&self, _name: &[u8]) -> Result<Ref> {
        Ok(Ref(0))
    }
    pub fn node_monitor(&self) -> Result<Ref> {
        Ok(Ref(0))
    }
    pub fn connect(&self, _address: &str, _timeout_ms: i64, _completion: Completion) -> Result<Done> {
        Ok(Done { op: Ref(0), value: 0 })
    }
    pub fn disconnect(&self, _node_name: &str, _timeout_ms: i64, _completion: Completion) -> Result<Done> {
        Ok(Done { op: Ref(0), value: 0 })
    }
    pub fn send(&self, _to: Pid, _payload: &[u8]) -> Result<()> {
        Ok(())
    }
    /// To whoever has the name; who that was.
    pub fn send_name(&self, _name: &[u8], _payload: &[u8]) -> Result<Pid> {
        Ok(self.pid)
    }
}
