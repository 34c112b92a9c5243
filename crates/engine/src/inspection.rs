//! What is under way on a node, and who waits for whom, as the engine knows it.

use super::machine::Engine;
use super::timers::Timer;
use super::*;
use std::time::Duration;

pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Engine {
    pub fn inspect(&self, now: Time) -> Inspection {
        let row = |node| self.node_row(node);
        Inspection {
            links: self.link_rows(now),
            past: self.past_rows(),
            parted: self.parted_rows(now),
            targets: self.target_rows(now),
            operations: self.operation_rows(now),
            forwarded: Rows::new(self.calls.asked(), |(id, caller, home, since, cancelled)| ForwardRow {
                home: row(home),
                caller: self.caller_row(caller),
                since_ms: ms(now.since(since)),
                silent_ms: self.silent_ms(now, home),
                cancelled,
                deadline_in_ms: self.left(now, &Timer::Forward(id)),
            }),
            served: self.calls.served(),
            meetings: self.meeting_rows(),
            contended: self.contended_rows(now),
            clashes: Rows::new(self.clash_rows(), |(name, role, other, state, since)| ClashRow {
                name: name.into(),
                role,
                other: row(other),
                state,
                since_ms: since.map(|since| ms(now.since(since))),
            }),
            resolver_calls: Rows::new(self.clashes.resolvers().calls(), |(name, a, b, since)| CallRow {
                name: name.into(),
                a: self.pid_row(a),
                b: self.pid_row(b),
                since_ms: ms(now.since(since)),
            }),
            withdrawals: Rows::new(self.groups.withdrawals(), |(tx, groups, deletes)| WithdrawalRow {
                groups: Rows::inner(groups, Text::from),
                deletes_of: Rows::inner(deletes, |(node, _)| row(*node)),
                waits_for: Rows::inner(self.not_acknowledged(*tx), row),
            }),
            names_own: self.names.count(self.cx.config.node),
            locks: self.holds.len(),
            locks_own: self.holds.count_own(),
            local_health: self.view.local_health(),
            clock: self.cx.clock(),
        }
    }

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
