//! Rows of an inspection that several rooms have.

use super::machine::Engine;
use super::timers::Timer;
use super::*;
use std::time::Duration;

pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    pub(super) fn node_row(&self, node: NodeId) -> NodeRow {
        let name =
            if node == self.cx.config.node { Some(&self.cx.config.name) } else { self.view.name(node) };
        NodeRow { incarnation: format!("{:016x}", node.0), name: name.map(|name| Text::new(name.as_bytes())) }
    }

    pub(super) fn pid_row(&self, pid: Pid) -> PidRow {
        PidRow { node: self.node_row(pid.node), serial: pid.serial }
    }

    pub(super) fn silent_ms(&self, now: Time, node: NodeId) -> Option<u64> {
        self.view.last_heard(node).map(|at| ms(now.since(at)))
    }

    pub(super) fn left(&self, now: Time, timer: &Timer) -> Option<u64> {
        self.cx.timers.at(timer).map(|at| ms(at.since(now)))
    }

    pub(super) fn caller_row(&self, caller: &calls::Caller) -> CallerRow {
        match caller {
            calls::Caller::Call { process, op } => CallerRow::Process { serial: *process, reference: op.0 },
            calls::Caller::Forwarded { id } => CallerRow::Node(self.node_row(id.node)),
            calls::Caller::Part { joint, .. } => CallerRow::PartOfCall(*joint),
            calls::Caller::Nobody => CallerRow::Nobody,
        }
    }
}
