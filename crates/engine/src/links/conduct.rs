//! Peers that harm others: those that keep them waiting, break the protocol or publish too much, and what follows from it.
//!
//! A peer that answers pings is alive, and may yet hold up every registration: its process is stopped for most of the time,
//! its way swallows what is large, it never votes. Silence does not find that out. So each node keeps account of what it
//! waits for: votes, acknowledgements, the tables at the beginning of a link. A peer that owes for longer than a detection time
//! in any twelve of them (a minute by default), in one piece or in many, is *parted*: its link is ended, and it is neither
//! dialled nor admitted for a pause, which is doubled each time, and halved for every such minute of good behaviour. So is who
//! breaks the protocol, or publishes more than is kept of one peer (`budget`).
//!
//! - Only what the peer itself owes counts. A voter that queues a claim behind somebody else says so at once (`Queued`,
//!   `Busy`) and owes nothing then. Nobody owes the acknowledgement of a delete, which waits for third nodes.
//! - An answer takes a while: what is older than a fiftieth of the detection time is overdue, or than three times the
//!   shortest round trip of the link, up to a twentieth. Of overlapping waits only their union counts.
//! - Time in which this node did not run itself is nobody's debt (`Context::awake`, as Lifeguard has it), and silence is
//!   none while most of the other peers are silent too: then this node is the one that is cut off, or the network is.

use super::departure::Departure;
use super::link::{Debts, Link};
use crate::fault::Fault;
use crate::machine::Engine;
use crate::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Detection times in which what is owed is added up.
const WINDOW: usize = 12;
/// The longest pause, in windows.
const LONGEST: u32 = 8;
/// What takes the place of a transaction for the tables at the beginning of a link: the peer's, and its word that it has
/// this node's.
const TABLES: u64 = 0;
const TABLES_ACK: u64 = 1;
/// No answer is overdue before this.
const SHORTEST: Duration = Duration::from_millis(20);
/// How long a peer may take for each row of the tables.
const PER_ROW: Duration = Duration::from_micros(100);
/// Names of parted peers that are counted one by one.
const NAMES_COUNTED: usize = 256;

/// Why a peer is parted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Misconduct {
    /// It has kept votes and acknowledgements owing for so long.
    Slow { owed: Duration },
    /// It has published so much.
    TooMuch { bytes: usize },
    /// It has published so long a name.
    LongName { bytes: usize, limit: usize },
    /// It has broken the protocol.
    Violation(&'static str),
}

impl Misconduct {
    fn goodbye(self) -> Goodbye {
        match self {
            Self::Slow { .. } => Goodbye::Slow,
            Self::TooMuch { .. } | Self::LongName { .. } => Goodbye::TooMuch,
            Self::Violation(_) => Goodbye::Violation,
        }
    }

    fn refusal(self) -> Refusal {
        match self {
            Self::Slow { .. } => Refusal::Slow,
            Self::TooMuch { .. } | Self::LongName { .. } => Refusal::TooMuch,
            Self::Violation(_) => Refusal::Violation,
        }
    }

    /// For the dump: `slow`, `too much`, `long name` or `violation`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Slow { .. } => "slow",
            Self::TooMuch { .. } => "too much",
            Self::LongName { .. } => "long name",
            Self::Violation(_) => "violation",
        }
    }
}

/// For the log: what the peer has done.
impl std::fmt::Display for Misconduct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Slow { owed } => {
                let owed = owed.as_millis();
                write!(f, "within a minute or so it has kept votes and acknowledgements owing for {owed} ms")
            }
            Self::TooMuch { bytes } => {
                write!(
                    f,
                    "what it has published takes {bytes} bytes, more than limits.published leaves for it"
                )
            }
            Self::LongName { bytes, limit } => {
                write!(f, "it has published a name of {bytes} bytes, and limits.name is {limit} here")
            }
            Self::Violation(what) => write!(f, "it has broken the protocol: {what}"),
        }
    }
}

/// What is remembered of an incarnation, also without a link.
#[derive(Default, Debug)]
pub(super) struct Conduct {
    /// What was charged in each of the last detection times, and the number of the latest.
    charged: [Duration; WINDOW],
    latest: u64,
    /// How often it was parted, less what good behaviour has taken back.
    level: u32,
    /// The end of its pause, the last one or the present one.
    until: Option<Time>,
    why: Option<Misconduct>,
    name: String,
    address: String,
}

impl Conduct {
    fn roll(&mut self, slot: u64) {
        let passed = slot.saturating_sub(self.latest).min(WINDOW as u64);
        for number in 1..=passed {
            self.charged[((self.latest + number) % WINDOW as u64) as usize] = Duration::ZERO;
        }
        if passed == WINDOW as u64 {
            self.charged = [Duration::ZERO; WINDOW];
        }
        self.latest = self.latest.max(slot);
    }
    fn owed(&self) -> Duration {
        self.charged.iter().sum()
    }
}

/// A peer in its pause.
pub(crate) struct Parted<'a> {
    pub(super) node: NodeId,
    pub(super) name: &'a str,
    pub(super) address: &'a str,
    pub(super) left: Duration,
    pub(super) level: u32,
    pub(super) why: Option<Misconduct>,
}

#[derive(Default, Debug)]
pub(crate) struct Conducts {
    by_node: BTreeMap<NodeId, Conduct>,
    /// Peers that owe an answer to an operation of this node, and since when by the clock of attention.
    owed: BTreeMap<Tx, BTreeMap<NodeId, Time>>,
}

impl Conducts {
    /// For how long the node will not be dialled or admitted; `None`: it is.
    pub(super) fn parted_for(&self, node: NodeId, now: Time) -> Option<Duration> {
        let until = self.by_node.get(&node)?.until?;
        (until > now).then(|| until.since(now))
    }
    /// What the node hears that knocks during its pause.
    pub(super) fn refusal(&self, node: NodeId, now: Time) -> Option<Refusal> {
        self.parted_for(node, now)?;
        self.by_node.get(&node)?.why.map(Misconduct::refusal)
    }
    pub(crate) fn parted(&self, now: Time) -> impl Iterator<Item = Parted<'_>> {
        self.by_node.iter().filter_map(move |(node, conduct)| {
            let left = conduct.until?.since(now);
            let (name, address, level) = (conduct.name.as_str(), conduct.address.as_str(), conduct.level);
            let why = conduct.why;
            (left > Duration::ZERO).then_some(Parted { node: *node, name, address, left, level, why })
        })
    }
    /// The link with the peer is over.
    pub(crate) fn forget_owed_by(&mut self, peer: NodeId) {
        self.owed.retain(|_, peers| {
            peers.remove(&peer);
            !peers.is_empty()
        });
    }
    /// The node closes, and waits for nobody.
    pub(super) fn forget_all_owed(&mut self) {
        self.owed.clear();
    }
    /// What peers owe stands with the operation and with the link.
    pub(super) fn check_debts<'a>(&self, debts: impl Iterator<Item = (NodeId, &'a Debts)>) -> Sound {
        let is_answer = |node: NodeId, tx: &Tx| tx.node != node;
        let of_links =
            debts.flat_map(|(node, debts)| debts.owed.iter().map(move |(since, tx)| (*tx, node, *since)));
        let of_links: BTreeSet<_> = of_links.filter(|(tx, node, _)| is_answer(*node, tx)).collect();
        let of_operations = self
            .owed
            .iter()
            .flat_map(|(tx, peers)| peers.iter().map(move |(node, since)| (*tx, *node, *since)));
        same("answers that are owed", of_links, of_operations.collect())
    }
    pub(super) fn owed_of(&self, node: NodeId) -> Duration {
        self.by_node.get(&node).map(Conduct::owed).unwrap_or_default()
    }
}

impl Engine {
    // ---- what is owed

    /// The link with the peer begins: it owes its tables, and the word that it has the rows that are sent to it.
    pub(super) fn expect_tables(&mut self, node: NodeId, rows: usize) {
        let awake = self.cx.awake;
        let Some(link) = self.view.links.get_mut(&node) else { return };
        link.debts.excused_until = awake + PER_ROW.saturating_mul(u32::try_from(rows).unwrap_or(u32::MAX));
        link.debts.charged_until = awake;
        for what in [TABLES, TABLES_ACK] {
            link.debts.owed.insert((link.debts.excused_until, Tx { lamport: what, node }));
        }
    }

    /// Part of its tables has come, or all of them.
    pub(crate) fn note_tables(&mut self, node: NodeId, last: bool) {
        // Large tables take their time; as long as they come nothing is overdue.
        self.settle_tables(node, Tx { lamport: TABLES, node });
        let awake = self.cx.awake;
        let Some(link) = self.view.links.get_mut(&node).filter(|_| !last) else { return };
        link.debts.owed.insert((awake.max(link.debts.excused_until), Tx { lamport: TABLES, node }));
    }

    pub(super) fn tables_acknowledged(&mut self, node: NodeId) {
        self.settle_tables(node, Tx { lamport: TABLES_ACK, node });
    }

    fn settle_tables(&mut self, node: NodeId, what: Tx) {
        self.charge(node);
        if let Some(link) = self.view.links.get_mut(&node) {
            link.debts.owed.retain(|(_, tx)| *tx != what);
        }
    }

    /// From now on these peers owe an answer to the operation.
    pub(crate) fn expect_answers(&mut self, tx: Tx, nodes: &BTreeSet<NodeId>) {
        for node in nodes {
            let Some(link) = self.view.links.get_mut(node) else { continue };
            let since = self.cx.awake.max(link.debts.excused_until);
            if let Some(old) = self.view.conducts.owed.entry(tx).or_default().insert(*node, since) {
                link.debts.owed.remove(&(old, tx));
            }
            link.debts.owed.insert((since, tx));
        }
    }

    /// The peer has answered the operation, or says that others are to be waited for.
    pub(crate) fn note_answer(&mut self, tx: Tx, node: NodeId) {
        let Some(owed) = self.view.conducts.owed.get_mut(&tx) else { return };
        let Some(since) = owed.remove(&node) else { return };
        if owed.is_empty() {
            self.view.conducts.owed.remove(&tx);
        }
        self.charge(node);
        if let Some(link) = self.view.links.get_mut(&node) {
            link.debts.owed.remove(&(since, tx));
        }
    }

    /// The operation is over.
    pub(crate) fn forget_owed_to(&mut self, tx: Tx) {
        for (node, since) in self.view.conducts.owed.remove(&tx).unwrap_or_default() {
            self.charge(node);
            if let Some(link) = self.view.links.get_mut(&node) {
                link.debts.owed.remove(&(since, tx));
            }
        }
    }

    /// Answers to operations of this node that peers owe: none when none is under way.
    pub(crate) fn owed_answers(&self) -> usize {
        let me = self.cx.config.node;
        self.view.links.values().flat_map(|link| &link.debts.owed).filter(|(_, tx)| tx.node == me).count()
    }

    // ---- what is overdue

    /// Adds up what the peer has owed since this was asked last.
    pub(super) fn charge(&mut self, node: NodeId) {
        let (now, awake, detection) = (self.cx.now, self.cx.awake, self.cx.config.detection);
        let Some(link) = self.view.links.get_mut(&node) else { return };
        // Of a peer that hardly ever runs the shortest round trip may be long: no more than a twentieth for that.
        let way = (link.pulse.round_trip.fastest.unwrap_or_default() * 3).min(detection / 20);
        let deadline = way.max(detection / 50).max(SHORTEST);
        let oldest = link.debts.owed.first().map(|(since, _)| *since + deadline);
        let from = oldest.map(|overdue| overdue.max(link.debts.charged_until)).filter(|from| *from < awake);
        link.debts.charged_until = awake;
        let Some(from) = from else { return };
        let by = awake.since(from);
        let silent = |link: &Link| now.since(link.pulse.last_heard) > self.cx.config.heartbeat * 3 / 2;
        let (is_silent, has_lasted) = (silent(link), link.merge.has_lasted());
        if is_silent && has_lasted {
            let others = self.view.links.iter().filter(|(other, _)| **other != node);
            let (all, mute) =
                others.fold((0, 0), |(all, mute), (_, link)| (all + 1, mute + usize::from(silent(link))));
            if all == 0 {
                // Whether the peer is slow or the network down shows when it is heard again.
                if let Some(link) = self.view.links.get_mut(&node) {
                    link.debts.unsaid += by;
                }
                return;
            }
            if 2 * mute > all {
                return;
            }
        }
        let unsaid = self.view.links.get_mut(&node).map(|link| std::mem::take(&mut link.debts.unsaid));
        let conduct = self.conduct_of(node);
        conduct.charged[(conduct.latest % WINDOW as u64) as usize] += by + unsaid.unwrap_or_default();
    }

    fn conduct_of(&mut self, node: NodeId) -> &mut Conduct {
        let slot =
            self.cx.now.0 / u64::try_from(self.cx.config.detection.as_micros()).unwrap_or(u64::MAX).max(1);
        let most = self.cx.config.limits.peers.saturating_mul(2);
        let conducts = &mut self.view.conducts.by_node;
        if conducts.len() >= most && !conducts.contains_key(&node) {
            // The one that has shown nothing for longest.
            let stalest = conducts.iter().min_by_key(|(_, conduct)| (conduct.until, conduct.latest));
            if let Some(stalest) = stalest.map(|(node, _)| *node) {
                conducts.remove(&stalest);
            }
        }
        let conduct = conducts.entry(node).or_default();
        conduct.roll(slot);
        conduct
    }

    /// For how many windows the peer has been linked without being parted.
    fn good_windows(&self, node: NodeId) -> u32 {
        let until =
            self.view.conducts.by_node.get(&node).and_then(|conduct| conduct.until).unwrap_or(Time(0));
        let merged =
            self.view.links.get(&node).map(|link| link.merge.lasted(self.cx.now)).unwrap_or_default();
        let window = self.cx.config.detection.as_micros() * WINDOW as u128;
        u32::try_from(merged.min(self.cx.now.since(until)).as_micros() / window.max(1)).unwrap_or(u32::MAX)
    }

    /// A look at the peer, with every heartbeat. `true`: it was parted.
    pub(super) fn judge_conduct(&mut self, node: NodeId) -> bool {
        self.charge(node);
        if !self.view.conducts.by_node.contains_key(&node) {
            return false;
        }
        let (detection, good) = (self.cx.config.detection, self.good_windows(node));
        let stays = !self.cx.config.part_slow || self.is_broken(Fault::SlowPeersStay);
        let conduct = self.conduct_of(node);
        let owed = conduct.owed();
        if owed <= detection {
            if owed.is_zero() && good > conduct.level {
                self.view.conducts.by_node.remove(&node);
            }
            return false;
        }
        if stays {
            return false;
        }
        self.part(node, Misconduct::Slow { owed });
        true
    }

    /// After a message of the peer. A peer that says too much is parted; where all do together, the one that has just said more.
    pub(crate) fn keep_within_budget(&mut self, from: NodeId) {
        if self.published_by_all() <= self.most_of_one() || self.is_broken(Fault::PublishedWithoutBound) {
            return; // the rule, and quick
        }
        let published = self.published_by(from);
        if published > self.most_of_one() || self.published() > self.cx.config.limits.published {
            self.part(from, Misconduct::TooMuch { bytes: published });
        }
    }

    /// Ends the link with the peer, and leaves it alone for a while.
    pub(crate) fn part(&mut self, node: NodeId, why: Misconduct) {
        let Some(link) = self.view.links.get(&node) else { return };
        let (name, address) = (link.name.clone(), link.address.clone());
        if matches!(why, Misconduct::Violation(_)) {
            self.cx.counters.violations += 1;
            self.view.count_for(node, |counts| counts.violations += 1);
        }
        let (window, now, good) =
            (self.cx.config.detection * WINDOW as u32, self.cx.now, self.good_windows(node));
        let conduct = self.conduct_of(node);
        conduct.level = conduct.level.saturating_sub(good).min(16) + 1;
        conduct.charged = [Duration::ZERO; WINDOW];
        let (pause, level) = ((window * (1 << (conduct.level - 1))).min(window * LONGEST), conduct.level);
        (conduct.until, conduct.why) = (Some(now + pause), Some(why));
        (conduct.name, conduct.address) = (name.clone(), address);
        let rows = &mut self.cx.counters.parted;
        let many = rows.len() >= NAMES_COUNTED && rows.iter().all(|(known, _)| *known != name);
        counters::count(rows, if many { "others".to_owned() } else { name });
        let severity = if matches!(why, Misconduct::Slow { .. }) { Level::Warn } else { Level::Error };
        self.log_paced(severity, Topic::Liveness, |engine| {
            let (name, seconds) = (engine.identity_of(node), pause.as_secs_f64());
            format!("node {name} is parted for {seconds} s (number {level}): {why}")
        });
        self.end_link(node, Reason::NODE_UNREACHABLE, Some(why.goodbye()), Departure::Parted);
    }

    // ---- links that do not last

    /// With every heartbeat: a link that has lasted ends the back-off of the addresses that led to it.
    pub(super) fn notice_lasting(&mut self, node: NodeId) {
        let (now, detection) = (self.cx.now, self.cx.config.detection);
        let Some(link) = self.view.links.get_mut(&node) else { return };
        if link.merge.begins_to_have_lasted(now, detection) {
            self.link_lasts(node);
        }
    }

    // ---- the time in which this node ran

    /// Before each input: the time since the last one counts, unless the node was asleep when it was to do something.
    pub(crate) fn count_awake(&mut self, before: Time) {
        let gap = self.cx.now.since(before);
        let slack = (self.cx.config.detection / 100).max(Duration::from_millis(5));
        let overslept = self.cx.timers.next().is_some_and(|due| self.cx.now > due + slack);
        if !overslept {
            self.cx.awake = self.cx.awake + gap;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_forgotten_after_a_window() {
        let second = Duration::from_secs(1);
        let mut conduct = Conduct::default();
        for slot in 0..40 {
            conduct.roll(slot);
            conduct.charged[(slot % WINDOW as u64) as usize] += second;
            assert_eq!(conduct.owed(), second * ((slot + 1).min(WINDOW as u64) as u32));
        }
        conduct.roll(44);
        assert_eq!(conduct.owed(), second * (WINDOW as u32 - 5));
        conduct.roll(40 + 3 * WINDOW as u64);
        assert_eq!(conduct.owed(), Duration::ZERO);
    }
}
