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
        &self.counters
    }

    /// Looks at no more than what is under way, however much there is at rest.
    pub fn gauges(&self, now: Time) -> Gauges {
        let me = self.config.node;
        let claims = &self.claims;
        // Numbers of transactions rise, so the first is the oldest.
        let oldest = claims.operations.values().next().map(|op| now.since(op.since));
        let links = self.view.links.values();
        let (granted, granted_cap) = self.inbound.granted();
        Gauges {
            links: links.len() as u64,
            links_synced: links.clone().filter(|link| link.synced).count() as u64,
            links_suspected: links.filter(|link| link.suspected.is_some()).count() as u64,
            parted: self.conducts.parted(now).count() as u64,
            targets: self.view.dials.len() as u64,
            names_own: self.names.count(me) as u64,
            claims_naming: claims.naming as u64,
            claims_locking: claims.locking as u64,
            publications: (claims.operations.len() - claims.naming - claims.locking) as u64,
            oldest_wait: oldest.unwrap_or_default(),
            claims_here: claims.requests as u64,
            published: self.published() as u64,
            holds: self.holds.len() as u64,
            holds_own: self.holds.own.len() as u64,
            clashes_undecided: self.undecided_clashes() as u64,
            resolvers_running: self.resolvers.residue() as u64,
            memberships: self.groups.memberships() as u64,
            memberships_own: self.groups.memberships_of(me) as u64,
            forwards: self.forwards.residue() as u64,
            granted,
            granted_cap,
            local_health: u64::from(self.view.local_health),
        }
    }
}
