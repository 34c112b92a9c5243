//! Locks: holds at their homes, and what every node knows of them.

use super::machine::Engine;
use super::*;

impl Engine {
    #[allow(clippy::too_many_arguments)] // those of the command
    pub(super) fn lock_acquire(
        &mut self,
        process: u64,
        op: Ref,
        _resource: Name,
        _requester: Name,
        _nodes: Option<Vec<String>>,
        _retries: Option<u64>,
        _patience: Patience,
    ) {
        self.answer_call(process, op, Outcome::of(Status::Unsupported));
    }

    pub(super) fn lock_release(
        &mut self,
        process: u64,
        op: Ref,
        _resource: Name,
        _requester: Name,
        _nodes: Option<Vec<String>>,
        _patience: Patience,
    ) {
        self.answer_call(process, op, Outcome::of(Status::Unsupported));
    }

    pub(super) fn lock_watch(&mut self, _process: u64, _reference: Ref, _resource: Name, _requester: Name) {}

    pub(super) fn lock_rows(&self, _resource: Option<&[u8]>) -> Vec<LockRow> {
        Vec::new()
    }

    pub(super) fn hurried(&mut self, _from: NodeId, _tx: Tx, _key: Key) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn held(&mut self, _from: NodeId, _tx: Tx, _hold: Hold) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn dropped(
        &mut self,
        _from: NodeId,
        _resource: Name,
        _requester: Name,
        _serial: u64,
        _rest: Option<Hold>,
        _ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn second_holder(
        &mut self,
        _from: NodeId,
        _resource: Name,
        _requester: Name,
        _serial: u64,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn lock_wanted(
        &mut self,
        _from: NodeId,
        _resource: Name,
        _requester: Name,
        _serial: u64,
        _waiter: Pid,
    ) -> Result<(), &'static str> {
        Ok(())
    }
}
