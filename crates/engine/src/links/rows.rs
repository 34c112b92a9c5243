//! What is told of links, of peers that are left alone, and of dials.

use super::conduct::Misconduct;
use crate::machine::Engine;
use crate::timers::Timer;
use crate::*;
use std::collections::BTreeSet;

impl Engine {
    pub(crate) fn link_rows(&self, now: Time) -> Rows<LinkRow> {
        Rows::new(&self.view.links, |(node, link)| LinkRow {
            node: self.node_row(*node),
            address: Text::new(link.address.as_bytes()),
            synced: link.merge.is_synced(),
            acknowledged: link.merge.is_complete(),
            silent_ms: ms(now.since(link.pulse.last_heard)),
            round_trip_us: link
                .pulse
                .round_trip
                .last
                .map(|took| took.as_micros().try_into().unwrap_or(u64::MAX)),
            suspected: link.pulse.suspected.as_ref().map(BTreeSet::len),
            doubted: link.pulse.doubted.is_some(),
            owed_ms: ms(self.view.conducts.owed_of(*node)),
            published: self.published_by(*node),
            counts: self.counts_of(*node),
        })
    }

    /// Peers whose links are over.
    pub(crate) fn past_rows(&self) -> Rows<PastRow> {
        Rows::new(self.view.past.rows(), |row| row)
    }

    pub(crate) fn parted_rows(&self, now: Time) -> Rows<PartedRow> {
        Rows::new(self.view.conducts.parted(now), |parted| PartedRow {
            incarnation: format!("{:016x}", parted.node.0),
            name: Text::new(parted.name.as_bytes()),
            address: Text::new(parted.address.as_bytes()),
            left_ms: ms(parted.left),
            level: parted.level,
            why: parted.why.map_or("", Misconduct::as_str),
        })
    }

    pub(crate) fn target_rows(&self, now: Time) -> Rows<TargetRow> {
        Rows::new(self.view.dials.rows(), |(address, name, seed, state, failures)| TargetRow {
            next_dial_ms: self.left(now, &Timer::Dial(address.to_owned())),
            address: Text::new(address.as_bytes()),
            name: Text::new(name.as_bytes()),
            seed,
            state,
            failures,
        })
    }

    /// Calls of `connect`, `sync` and `join`, and whom they wait for.
    pub(crate) fn meeting_rows(&self) -> Rows<MeetingRow> {
        let connects = self.view.dials.connects().map(|(op, process, address)| (op, process, Some(address)));
        let syncs = self.calls.syncs().map(|(op, process)| (op, process, None));
        Rows::new(connects.chain(syncs), |(op, process, address)| {
            let unmerged = self.view.links.iter().filter(|(_, link)| !link.merge.is_complete());
            MeetingRow {
                kind: if address.is_some() { "connect" } else { "sync" },
                process,
                reference: op.0,
                address: address.map(|address| Text::new(address.as_bytes())),
                waits_for: Rows::inner(unmerged.filter(|_| address.is_none()), |(node, _)| {
                    self.node_row(*node)
                }),
            }
        })
    }
}
