//! Who an operation is answered to, and what is known of calls that are not answered yet.

use super::forward::Asked;
use super::sync::Meeting;
use crate::machine::Engine;
use crate::*;
use std::collections::BTreeMap;

/// Who gets the answer of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Caller {
    /// A process of this node.
    Call { process: u64, op: Ref },
    /// Another node, whose caller waits for it.
    Forwarded { id: Tx },
    /// One of several parts of a call. `covered`: it takes away what is hidden behind another part's.
    Part { joint: u64, covered: bool },
    /// Nobody waits any more.
    Nobody,
}

/// What a call that is not answered yet is doing.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Operation(Tx),
    Forward(Tx),
    Joint(u64),
    Connect,
    Sync,
}

/// A call of several parts, answered with the first failure or OK.
#[derive(Debug)]
pub(super) struct Joint {
    pub(super) caller: Caller,
    pub(super) parts: Vec<Work>,
    pub(super) left: usize,
    pub(super) outcome: Outcome,
}

#[derive(Default, Debug)]
pub(crate) struct Calls {
    pub(super) asked: BTreeMap<Tx, Asked>,
    /// What this node runs for others.
    pub(super) served: BTreeMap<Tx, Option<Tx>>,
    pub(super) joints: BTreeMap<u64, Joint>,
    pub(super) last_joint: u64,
    /// Calls of `sync` and `join` that wait.
    pub(super) syncs: BTreeMap<Ref, Meeting>,
}

impl Calls {
    /// What other nodes run for this one: whose it is, where, since when, and whether it is to stop.
    pub(crate) fn asked(&self) -> impl Iterator<Item = (Tx, &Caller, NodeId, Time, bool)> {
        let rows = self.asked.iter();
        rows.map(|(id, asked)| (*id, &asked.caller, asked.home, asked.since, asked.cancelled.is_some()))
    }
    pub(crate) fn served(&self) -> usize {
        self.served.len()
    }
    pub(crate) fn residue(&self) -> usize {
        self.asked.len() + self.served.len() + self.joints.len()
    }
    /// Calls of `sync` and `join` that wait, and whose they are.
    pub(crate) fn syncs(&self) -> impl ExactSizeIterator<Item = (Ref, u64)> {
        self.syncs.iter().map(|(op, meeting)| (*op, meeting.process))
    }
}

impl Engine {
    /// The operation's work is remembered with whoever waits for it, so that it can be cancelled.
    pub(crate) fn track(&mut self, caller: &Caller, tx: Tx) {
        self.track_work(caller, Work::Operation(tx));
    }

    pub(super) fn track_work(&mut self, caller: &Caller, work: Work) {
        match caller {
            Caller::Call { process, op } => {
                self.processes.begin_call(*process, *op, work);
            }
            Caller::Forwarded { id } => {
                if let (Some(served), Work::Operation(tx)) = (self.calls.served.get_mut(id), work) {
                    *served = Some(tx);
                }
            }
            Caller::Part { joint, .. } => {
                if let Some(joint) = self.calls.joints.get_mut(joint) {
                    joint.parts.push(work);
                }
            }
            Caller::Nobody => {}
        }
    }

    /// The one answer.
    pub(crate) fn conclude(&mut self, caller: Caller, outcome: Outcome) {
        match caller {
            Caller::Call { process, op } => self.answer_call(process, op, outcome),
            Caller::Forwarded { id } => {
                if self.calls.served.remove(&id).is_some() {
                    let Outcome { status, value, .. } = outcome;
                    self.send(id.node, Message::Answer { id, status, value });
                }
            }
            Caller::Part { joint, covered } => {
                let Some(whole) = self.calls.joints.get_mut(&joint) else { return };
                // What is covered was replaced for good, or else is not seen here any more: a home that is out of reach
                // does not make a failure of it.
                let is_void = covered && outcome.status == Status::Unreachable;
                if whole.outcome.status == Status::Ok && !is_void {
                    whole.outcome = outcome;
                }
                whole.left -= 1;
                if whole.left == 0
                    && let Some(whole) = self.calls.joints.remove(&joint)
                {
                    self.conclude(whole.caller, whole.outcome);
                }
            }
            Caller::Nobody => {}
        }
    }

    pub(crate) fn answer_call(&mut self, process: u64, op: Ref, outcome: Outcome) {
        self.processes.end_call(process, op);
        self.event(Effect::Answer { process, op, outcome });
    }
}
