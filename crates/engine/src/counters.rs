//! What the engine tells of its own doings, for metrics. Nothing in the engine depends on it.

use super::machine::Engine;
use super::{Counters, Gauges, Time};

/// One more of this kind; there are few kinds.
pub(super) fn count<K: PartialEq>(rows: &mut Vec<(K, u64)>, kind: K) {
    match rows.iter_mut().find(|(known, _)| *known == kind) {
        Some((_, count)) => *count += 1,
        None => rows.push((kind, 1)),
    }
}

impl Engine {
    pub fn counters(&self) -> &Counters {
        &self.cx.counters
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
