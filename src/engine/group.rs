//! Groups: memberships as facts of their homes, and the existence of groups, which belongs to nobody.

use super::machine::Engine;
use super::*;
use std::collections::BTreeSet;

impl Engine {
    pub(super) fn group_create(&mut self, process: u64, op: Ref, _group: Name, _patience: Patience) {
        self.answer_call(process, op, Outcome::of(Status::Unsupported));
    }

    pub(super) fn group_delete(&mut self, process: u64, op: Ref, _group: Name, _patience: Patience) {
        self.answer_call(process, op, Outcome::of(Status::Unsupported));
    }

    pub(super) fn group_join(&mut self, process: u64, op: Ref, _group: Name, _pid: Pid, _patience: Patience) {
        self.answer_call(process, op, Outcome::of(Status::Unsupported));
    }

    pub(super) fn group_leave(
        &mut self,
        process: u64,
        op: Ref,
        _group: Name,
        _pid: Pid,
        _patience: Patience,
    ) {
        self.answer_call(process, op, Outcome::of(Status::Unsupported));
    }

    pub(super) fn group_monitor(&mut self, _process: u64, _reference: Ref, _group: Name) {}

    pub(super) fn all_groups(&self) -> Vec<(Name, Members)> {
        Vec::new()
    }

    pub(super) fn membership(
        &mut self,
        _from: NodeId,
        _membership: Membership,
        _ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn group_created(
        &mut self,
        _from: NodeId,
        _group: Name,
        _dot: Dot,
        _replaces: Option<Dot>,
        _ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn group_deleted(
        &mut self,
        _from: NodeId,
        _group: Name,
        _dots: BTreeSet<Dot>,
        _ack: Option<Tx>,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn group_digest(&mut self, _from: NodeId, _digest: u64) -> Result<(), &'static str> {
        Ok(())
    }

    pub(super) fn group_state(
        &mut self,
        _from: NodeId,
        _parts: Vec<Existence>,
        _last: bool,
        _answer: bool,
    ) -> Result<(), &'static str> {
        Ok(())
    }

    /// Joins that this node runs: for its own processes, whoever asks.
    pub(super) fn join_here(
        &mut self,
        origin: forward::Origin,
        _group: Name,
        _serial: u64,
        _dots: BTreeSet<Dot>,
        _patience: Patience,
    ) {
        self.conclude(origin, Outcome::of(Status::Unsupported));
    }

    pub(super) fn leave_here(
        &mut self,
        origin: forward::Origin,
        _group: Name,
        _serial: u64,
        _patience: Patience,
    ) {
        self.conclude(origin, Outcome::of(Status::Unsupported));
    }
}
