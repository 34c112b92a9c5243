//! What is under way on a node, and who waits for whom, as the engine knows it.

use super::machine::Engine;
use super::timers::Timer;
use super::*;

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

    /// Looks at no more than what is under way, however much there is at rest.
    pub fn gauges(&self, now: Time) -> Gauges {
        let me = self.cx.config.node;
        let claims = self.claims.counts();
        let links = self.view.nodes();
        let (granted, granted_cap) = self.inbound.granted();
        Gauges {
            links: links.len() as u64,
            links_synced: self.view.synced().len() as u64,
            links_suspected: links.filter(|(node, _)| self.view.is_suspected(*node)).count() as u64,
            parted: self.view.conducts().parted(now).count() as u64,
            targets: self.view.targets() as u64,
            names_own: self.names.count(me) as u64,
            claims_naming: claims.naming as u64,
            claims_locking: claims.locking as u64,
            publications: claims.publications as u64,
            oldest_wait: claims.oldest.map(|since| now.since(since)).unwrap_or_default(),
            claims_here: claims.requests as u64,
            published: self.published() as u64,
            holds: self.holds.len() as u64,
            holds_own: self.holds.count_own() as u64,
            clashes_undecided: self.undecided_clashes() as u64,
            resolvers_running: self.clashes.resolvers().residue() as u64,
            memberships: self.groups.memberships() as u64,
            memberships_own: self.groups.memberships_of(me) as u64,
            forwards: self.calls.residue() as u64,
            granted,
            granted_cap,
            local_health: u64::from(self.view.local_health()),
        }
    }
}
