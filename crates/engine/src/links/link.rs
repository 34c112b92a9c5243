//! A link, and the three things that are kept of it: how far the tables of its two ends are merged, what is heard of the peer, and
//! what the peer owes.

use crate::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// The one authenticated connection to another node.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) connection: ConnectionId,
    pub(super) name: String,
    pub(super) address: String,
    pub(super) counts: PeerCounts,
    /// The highest clock that was heard on it, as far as it counts: what a namesake of the peer claims to have counted to
    /// must not make the peer's own snapshots stale.
    pub(super) clock: u64,
    pub(super) goodbye: Option<Goodbye>,
    /// When the peer has dialled although it is linked. Once, that may be a dial that crossed what led to the link, or one
    /// that looks for others at an address that leads to several.
    pub(super) redialled: Option<Time>,
    /// The peer did not want it after this side's Go: whether that is a failure the refusal says.
    pub(super) refused: bool,
    pub(super) merge: Merge,
    pub(super) pulse: Pulse,
    pub(super) debts: Debts,
}

/// How far the tables of both ends are merged.
#[derive(Debug)]
pub(super) struct Merge {
    /// The registrations that the peer's snapshot has named so far; `None`: it is complete here.
    reading: Option<BTreeSet<Reg>>,
    /// Operations whose publication this node's snapshot contained, acknowledged with it; `None`: it is complete there.
    unacknowledged: Option<BTreeSet<Tx>>,
    /// Since when both are.
    since: Option<Time>,
    /// It has been so for a detection time.
    has_lasted: bool,
    /// For how long the peer had been waited for when the link came up.
    pub(super) waited: Duration,
}

impl Merge {
    pub(super) fn new(in_snapshot: BTreeSet<Tx>, waited: Duration) -> Self {
        let (reading, unacknowledged) = (Some(BTreeSet::new()), Some(in_snapshot));
        Self { reading, unacknowledged, since: None, has_lasted: false, waited }
    }
    /// The peer's snapshot is complete here.
    pub(super) fn is_synced(&self) -> bool {
        self.reading.is_none()
    }
    /// The peer's table is merged here, and this node's there.
    pub(super) fn is_complete(&self) -> bool {
        self.since.is_some()
    }
    /// The peer's snapshot names a registration. How many it has named.
    pub(super) fn read(&mut self, reg: Reg) -> usize {
        let Some(reading) = &mut self.reading else { return 0 };
        reading.insert(reg);
        reading.len()
    }
    /// The peer's snapshot is complete. The registrations that it has named.
    pub(super) fn end_reading(&mut self, now: Time) -> BTreeSet<Reg> {
        let read = self.reading.take().unwrap_or_default();
        self.note_complete(now);
        read
    }
    /// This node's snapshot is complete at the peer. The operations that are acknowledged by that.
    pub(super) fn acknowledged(&mut self, now: Time) -> BTreeSet<Tx> {
        let acknowledged = self.unacknowledged.take().unwrap_or_default();
        self.note_complete(now);
        acknowledged
    }
    fn note_complete(&mut self, now: Time) {
        if self.since.is_none() && self.reading.is_none() && self.unacknowledged.is_none() {
            self.since = Some(now);
        }
    }
    /// For how long both have been complete.
    pub(super) fn lasted(&self, now: Time) -> Duration {
        self.since.map(|since| now.since(since)).unwrap_or_default()
    }
    pub(super) fn has_lasted(&self) -> bool {
        self.has_lasted
    }
    /// Says whether it has lasted for so long, for the first time.
    pub(super) fn begins_to_have_lasted(&mut self, now: Time, long: Duration) -> bool {
        let begins = !self.has_lasted && self.lasted(now) >= long;
        self.has_lasted |= begins;
        begins
    }
}

/// What is heard of the peer: see `liveness`.
#[derive(Debug)]
pub(super) struct Pulse {
    pub(super) last_heard: Time,
    /// Since when part of a frame has been there, and not the whole.
    pub(super) part_since: Option<Time>,
    pub(super) last_sent: Time,
    /// Pinged, because this node claims its name or its place; and the number of that ping.
    pub(super) doubted: Option<(u64, NodeId)>,
    /// Others that want to know whether it is heard, and the ping whose answer shows it.
    pub(super) inquiries: Option<(u64, BTreeSet<NodeId>)>,
    /// How much of its present silence was forgiven because this node was paused itself.
    pub(super) forgiven: Duration,
    /// Silent for a while: the neighbours that were asked and have not said that they do not hear it either.
    pub(super) suspected: Option<BTreeSet<NodeId>>,
    /// The highest number of a ping that it has answered, or of one before the link was there.
    pub(super) answered: u64,
    /// The ping whose answer is measured, and when it was sent.
    pub(super) pinged: Option<(u64, Time)>,
    pub(super) round_trip: RoundTrip,
}

#[derive(Default, Debug)]
pub(super) struct RoundTrip {
    pub(super) last: Option<Duration>,
    /// The shortest one so far.
    pub(super) fastest: Option<Duration>,
}

impl Pulse {
    /// Of a link that has come up. `pings`: so many were sent on others.
    pub(super) fn new(now: Time, pings: u64) -> Self {
        Self {
            last_heard: now,
            part_since: None,
            last_sent: now,
            doubted: None,
            inquiries: None,
            forgiven: Duration::ZERO,
            suspected: None,
            answered: pings,
            pinged: None,
            round_trip: RoundTrip::default(),
        }
    }
}

/// What the peer owes: see `conduct`.
#[derive(Debug)]
pub(super) struct Debts {
    /// Answers, and since when, by the clock of this node's attention.
    pub(super) owed: BTreeSet<(Time, Tx)>,
    /// Until then it reads the tables of this node.
    pub(super) excused_until: Time,
    /// What was owed until then has been added up.
    pub(super) charged_until: Time,
    /// What was owed while it was silent, and counts if it is heard again.
    pub(super) unsaid: Duration,
}

impl Debts {
    /// `awake`: the clock of attention.
    pub(super) fn new(awake: Time) -> Self {
        Self { owed: BTreeSet::new(), excused_until: awake, charged_until: awake, unsaid: Duration::ZERO }
    }
}
