//! Metrics as OpenMetrics 1.0 text.
//!
//! One table says what each metric is called, what it means and how its value is had; the documents are made from it too.
//! Every sample has the label `node`. Metrics of what only the node's thread knows are left out while it does not answer.

use super::observe::{Depth, Observed, observe};
use super::peers::PeerRow;
use super::shared::lock;
use super::{List, Node, Result, Shared, log};
use crate::mesh::Refused;
use crate::model::{Histogram, Time};
use crate::wire::{Certificate, Protection};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// What may be done with the values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl MetricKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// One family of metrics. The samples of a counter are called `name` and `_total`.
pub struct MetricInfo {
    pub name: &'static str,
    pub kind: MetricKind,
    pub meaning: &'static str,
    /// A label beside `node`, and what it says.
    pub label: &'static str,
    value: fn(&Facts<'_>) -> Option<Value>,
}

impl MetricInfo {
    /// `seconds`, `bytes` or none.
    pub fn unit(&self) -> &'static str {
        let last = self.name.rsplit('_').next().unwrap_or_default();
        if ["seconds", "bytes"].contains(&last) { last } else { "" }
    }
}

enum Value {
    Number(u64),
    Time(Duration),
    /// By the value of the metric's label.
    Each(Vec<(String, u64)>),
    Histogram(Histogram),
}

/// Where values come from.
struct Facts<'a> {
    shared: &'a Shared,
    now: Time,
    /// `None`: the node's thread does not answer.
    observed: Option<Box<Observed>>,
    depths: Vec<Depth>,
    peers: Vec<PeerRow>,
    protection: Protection,
    certificate: Option<Certificate>,
    /// Bytes in the outboxes of the links, and how many of those are full.
    outboxes: (u64, u64),
}

macro_rules! metrics {
    ($($kind:ident $name:literal $([$label:literal])? |$facts:ident| $value:expr, $meaning:literal;)*) => {
        /// Every metric, in the order of the text. Names and meanings are append-only.
        pub const METRICS: &[MetricInfo] = &[$(MetricInfo {
            name: $name,
            kind: MetricKind::$kind,
            meaning: $meaning,
            label: concat!($($label)?),
            value: |$facts| $value,
        },)*];
    };
}

use Value::{Number, Time as Took};

/// What the engine has counted.
macro_rules! counted {
    ($facts:ident.$field:ident) => {
        Some(Number($facts.observed.as_ref()?.engine.counters.$field))
    };
}
/// What there is, as the engine says.
macro_rules! present {
    ($facts:ident.$field:ident) => {
        Some(Number($facts.observed.as_ref()?.engine.gauges.$field))
    };
}
macro_rules! traffic {
    ($facts:ident.$field:ident) => {
        Some(Number($facts.observed.as_ref()?.traffic.$field))
    };
}
macro_rules! shared {
    ($facts:ident.$field:ident) => {
        Some(Number($facts.shared.counters.$field.load(std::sync::atomic::Ordering::Relaxed)))
    };
}
macro_rules! took {
    ($facts:ident.$field:ident) => {
        Some(Value::Histogram($facts.observed.as_ref()?.engine.counters.$field.clone()))
    };
}

fn each<K: std::fmt::Debug>(rows: &[(K, u64)]) -> Option<Value> {
    Some(Value::Each(rows.iter().map(|(kind, count)| (format!("{kind:?}"), *count)).collect()))
}

fn refusals(shared: &Shared) -> Option<Value> {
    let counts = &shared.security.refusals;
    Some(Value::Each(Refused::ALL.iter().map(|why| (why.word().to_owned(), counts.get(*why))).collect()))
}

/// How many rows there are of each word, of these in any case.
fn counted_by<'a>(
    rows: &'a [PeerRow],
    words: &[&'a str],
    word: fn(&'a PeerRow) -> &'a str,
) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = words.iter().map(|word| (*word, 0)).collect();
    rows.iter().for_each(|row| *counts.entry(word(row)).or_default() += 1);
    counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect()
}

/// Secrets are few: a node knows some, and a link has one that its node knew when it was made.
fn by_secret(facts: &Facts<'_>) -> Vec<(String, u64)> {
    let hints = facts.protection.hints();
    let hints: Vec<&str> = hints.iter().map(String::as_str).collect();
    let mut counts =
        counted_by(&facts.peers, &hints, |row| if row.protection == "secret" { &row.credential } else { "" });
    counts.retain(|(hint, _)| !hint.is_empty());
    counts
}

/// One, or none.
fn sample(number: Option<u64>) -> Value {
    number.map_or(Value::Each(Vec::new()), Number)
}

fn oldest(rows: &[PeerRow]) -> Duration {
    Duration::from_millis(rows.iter().map(|row| row.since_ms).max().unwrap_or(0))
}

metrics! {
    Info "convoke_build" ["version: of the library"] |_f| Some(Value::Each(vec![(env!("CARGO_PKG_VERSION").to_owned(), 1)])),
        "The library.";
    Gauge "convoke_uptime_seconds" |f| Some(Took(f.now.since(Time(0)))),
        "Since the node was opened.";
    Gauge "convoke_node_thread_answers" |f| Some(Number(f.observed.is_some().into())),
        "1 if the node's own thread answered within two seconds; 0: it is stuck, and most of the others are missing.";
    Gauge "convoke_links" |f| Some(Number(f.shared.tables.peers_len() as u64)),
        "Nodes that this one has a link to.";
    Gauge "convoke_links_synced" |f| present!(f.links_synced),
        "Links whose peer's facts are complete here.";
    Gauge "convoke_links_suspected" |f| present!(f.links_suspected),
        "Links whose peer is silent at the moment.";
    Gauge "convoke_links_protected" ["protection: plain, secret or tls"]
        |f| Some(Value::Each(counted_by(&f.peers, &["plain", "secret", "tls"], |row| row.protection))),
        "Links by how they are protected.";
    Gauge "convoke_links_by_secret" ["secret: 16 hexadecimal digits that tell a secret from others and nothing about it"]
        |f| Some(Value::Each(by_secret(f))),
        "Links by the secret that they were made under, those of this node in any case; missing without a secret.";
    Gauge "convoke_links_replaced" |f| Some(Number(f.peers.iter().filter(|row| row.is_replaced).count() as u64)),
        "Links that were made under a secret, a certificate, authorities or a list that a reload has replaced and that is good no more.";
    Gauge "convoke_link_age_max_seconds" |f| Some(Took(oldest(&f.peers))),
        "For how long there is the oldest link.";
    Gauge "convoke_certificate_expiry_timestamp_seconds" |f| Some(sample(f.certificate.as_ref().and_then(|own| own.expires))),
        "When the certificate of this node, or one between it and the authority, expires, in seconds since 1970; missing without TLS.";
    Gauge "convoke_peer_certificate_expiry_timestamp_seconds" |f| Some(sample(f.peers.iter().filter_map(|row| row.expires).min())),
        "The same of the peer whose certificate expires first; missing without TLS, and without links.";
    Counter "convoke_links_up" |f| counted!(f.links_up),
        "Links that came up.";
    Counter "convoke_links_down" ["reason: why, as in NODE_DOWN events"] |f| each(&f.observed.as_ref()?.engine.counters.links_down),
        "Links that went down.";
    Counter "convoke_reconnects" |f| counted!(f.reconnects),
        "Links that came up with a node that had one before.";
    Gauge "convoke_dial_targets" |f| present!(f.targets),
        "Addresses that this node knows of and dials when there is no link.";
    Counter "convoke_dials" |f| counted!(f.dials),
        "Connections that this node tried to make.";
    Counter "convoke_dial_failures" |f| counted!(f.dials_failed),
        "Those that failed.";
    Counter "convoke_connections_accepted" |f| traffic!(f.accepted),
        "Connections that others made to this node.";
    Counter "convoke_handshakes_refused" ["reason: why"] |f| refusals(f.shared),
        "Connections that were refused or cut before it was known who the peer is: strangers, other clusters, wrong secrets.";
    Counter "convoke_links_refused" ["reason: why"] |f| Some(Value::Each(f.observed.as_ref()?.engine.counters.refused.clone())),
        "Connections that this node refused after the peer had said who it is; some are the rule when dials cross (Linked).";
    Counter "convoke_protocol_violations" |f| counted!(f.violations),
        "Links that were ended because the peer broke the protocol.";
    Counter "convoke_read_bytes" |f| traffic!(f.bytes_read),
        "Read from sockets.";
    Counter "convoke_written_bytes" |f| traffic!(f.bytes_written),
        "Written to sockets.";
    Counter "convoke_control_messages_read" |f| traffic!(f.messages_read),
        "Control messages of peers: everything but payloads.";
    Counter "convoke_control_messages_written" |f| traffic!(f.messages_written),
        "Control messages to peers; one to several nodes counts for each.";
    Counter "convoke_data_frames_read" |f| traffic!(f.data_read),
        "Frames with payloads, or pieces of them.";
    Counter "convoke_heartbeats" |f| counted!(f.heartbeats),
        "Life signs sent because a link was idle.";
    Histogram "convoke_round_trip_seconds" |f| took!(f.round_trips),
        "From a life sign to its answer, of all peers.";
    Counter "convoke_suspicions" |f| counted!(f.suspicions),
        "Peers that were silent for so long that others were asked after them.";
    Counter "convoke_rescues" |f| counted!(f.rescues),
        "Suspected peers that were heard again.";
    Counter "convoke_peers_parted" ["peer: the name of the node"] |f| Some(Value::Each(f.observed.as_ref()?.engine.counters.parted.clone())),
        "Peers that were left alone for a while because they kept votes or acknowledgements owing (option `peers.slow`).";
    Gauge "convoke_peers_resting" |f| present!(f.parted),
        "Peers that are left alone at the moment because they kept this node waiting.";
    Counter "convoke_own_pauses" |f| counted!(f.own_pauses),
        "Times that this node found itself paused or starved.";
    Gauge "convoke_local_health" |f| present!(f.local_health),
        "How late this node's timers were lately, from 0 (well) to 6: so much more patient it is with others.";
    Counter "convoke_messages_sent" |f| shared!(f.messages_sent),
        "Messages that were accepted from processes of this node.";
    Counter "convoke_messages_received" |f| shared!(f.messages_received),
        "Messages that were put into queues of this node.";
    Counter "convoke_messages_dropped" |f| shared!(f.dropped),
        "Messages that were dropped unread, because their receiver ended or its queue was freed.";
    Counter "convoke_messages_refused" |f| shared!(f.refused),
        "Messages that were not taken because there was no room (CONVOKE_E_FULL).";
    Gauge "convoke_outbox_bytes" |f| Some(Number(f.outboxes.0)),
        "Payloads that wait to be written to links.";
    Gauge "convoke_outboxes_full" |f| Some(Number(f.outboxes.1)),
        "Links whose senders are refused because `limits.link_buffer` is reached.";
    Gauge "convoke_local_message_bytes" |f| Some(Number(f.shared.account.figures().0)),
        "Unread messages between processes of this node.";
    Gauge "convoke_local_message_limit_bytes" |f| Some(Number(f.shared.account.figures().1)),
        "How much they may be: a quarter of `limits.memory`.";
    Gauge "convoke_granted_bytes" |f| present!(f.granted),
        "Room granted to messages of other nodes, beyond the first windows.";
    Gauge "convoke_granted_limit_bytes" |f| present!(f.granted_cap),
        "How much it may be.";
    Gauge "convoke_names" |f| Some(Number(f.shared.tables.names_len() as u64)),
        "Names in the table of this node: those of the whole cluster as it sees it.";
    Gauge "convoke_names_own" |f| present!(f.names_own),
        "Names of processes of this node.";
    Gauge "convoke_groups" |f| Some(Number(f.shared.tables.groups_len() as u64)),
        "Groups in the table of this node.";
    Gauge "convoke_memberships" |f| present!(f.memberships),
        "Members of groups, as this node sees them.";
    Gauge "convoke_memberships_own" |f| present!(f.memberships_own),
        "Members that are processes of this node.";
    Gauge "convoke_locks" |f| present!(f.holds),
        "Shares of locks, as this node sees them.";
    Gauge "convoke_locks_own" |f| present!(f.holds_own),
        "Shares of locks of processes of this node.";
    Gauge "convoke_locks_held" |f| shared!(f.locks_held),
        "Those of them that their processes may rely on.";
    Counter "convoke_locks_lost" |f| counted!(f.locks_lost),
        "Shares that a process of this node could no longer rely on (LOCK_LOST).";
    Counter "convoke_claims" |f| counted!(f.claims),
        "Registrations and acquisitions that this node began.";
    Counter "convoke_claims_failed" |f| counted!(f.claims_failed),
        "Those that ended without success.";
    Gauge "convoke_claims_in_flight" ["kind: name or lock"]
        |f| f.observed.as_ref().map(|it| Value::Each(vec![
            ("name".to_owned(), it.engine.gauges.claims_naming),
            ("lock".to_owned(), it.engine.gauges.claims_locking),
        ])),
        "Registrations and acquisitions of this node under way, those that wait for others included.";
    Gauge "convoke_publications_in_flight" |f| present!(f.publications),
        "What this node has told others and they have not acknowledged: withdrawals, releases, memberships.";
    Gauge "convoke_oldest_wait_seconds" |f| Some(Took(f.observed.as_ref()?.engine.gauges.oldest_wait)),
        "For how long the oldest of all these is under way.";
    Gauge "convoke_claims_here" |f| present!(f.claims_here),
        "Claims of any node at this voter: granted and not complete, or waiting.";
    Gauge "convoke_published_bytes" |f| present!(f.published),
        "Memory that what other nodes have published takes here: what `limits.published` bounds.";
    Histogram "convoke_register_seconds" |f| took!(f.registering),
        "From the beginning of a registration to its success.";
    Histogram "convoke_acquire_seconds" |f| took!(f.acquiring),
        "From the beginning of an acquisition to its success: how long locks are waited for.";
    Counter "convoke_clashes" |f| counted!(f.clashes),
        "Clashes of names that were for this node to decide.";
    Counter "convoke_clashes_decided" |f| counted!(f.clashes_decided),
        "Those that were decided.";
    Gauge "convoke_clashes_undecided" |f| present!(f.clashes_undecided),
        "Clashes that this node has a part in and that are not over.";
    Counter "convoke_resolver_calls" |f| counted!(f.resolver_calls),
        "Calls of resolver functions of the program.";
    Counter "convoke_resolver_failures" |f| counted!(f.resolver_failures),
        "Those that were late, crashed, or gave no answer that makes sense.";
    Counter "convoke_resolvers_late" |f| traffic!(f.resolvers_late),
        "Resolver functions that did not return in time.";
    Gauge "convoke_resolvers_running" |f| present!(f.resolvers_running),
        "Calls of resolver functions that are not answered.";
    Counter "convoke_forwarded" |f| counted!(f.forwards),
        "Operations for processes of other nodes, run by those.";
    Gauge "convoke_forwards_in_flight" |f| present!(f.forwards),
        "Operations that other nodes run for this one, or this one for others.";
    Gauge "convoke_processes" |f| Some(Number(f.shared.processes.len() as u64)),
        "Processes of this node.";
    Gauge "convoke_operations" |f| Some(Number(f.shared.operations())),
        "Monitors, and operations whose DONE event is to come or unread: what `limits.operations` bounds.";
    Gauge "convoke_queues" |f| Some(Number(f.depths.iter().filter(|it| it.process.is_none()).count() as u64)),
        "Queues of the program on this node, mailboxes not among them.";
    Gauge "convoke_queue_depth" |f| Some(Number(f.depths.iter().map(|it| it.events as u64).sum())),
        "Events that wait in queues and mailboxes.";
    Gauge "convoke_queue_depth_max" |f| Some(Number(f.depths.iter().map(|it| it.events as u64).max().unwrap_or(0))),
        "Events that wait in the fullest of them.";
    Counter "convoke_log_records_dropped" |_f| Some(Number(log::dropped())),
        "Records of the log that nobody read in time, of all nodes of the program.";
    Gauge "convoke_inbox_requests" |f| Some(Number(f.shared.inbox.figures().0)),
        "Requests of the program that the node's thread has not taken yet.";
    Counter "convoke_node_wakeups" |f| Some(Number(f.shared.inbox.figures().1)),
        "Times that the node's thread was woken.";
    Counter "convoke_node_turns" |f| traffic!(f.turns),
        "Batches of work that it did.";
    Counter "convoke_relays_refused" |f| counted!(f.relays_refused),
        "What peers said in the name of another node that is linked here, or of this one, and what was not theirs to pass on.";
}

impl Node {
    /// One row, with Text: all metrics as OpenMetrics 1.0 text. Waits for the node's thread, two seconds at most.
    pub fn metrics(&self) -> Result<List> {
        let shared = self.shared();
        let observed = observe(shared, false)?;
        let mut outboxes = (0, 0);
        for link in shared.links.all() {
            let backlog = lock(&link.outbox).backlog();
            outboxes.0 += backlog as u64;
            outboxes.1 += u64::from(backlog >= shared.config.limits.link_buffer);
        }
        let now = shared.clock.now();
        let protection = shared.security.present();
        let facts = Facts {
            shared,
            now,
            observed,
            depths: self.depths(),
            peers: shared.peer_rows(),
            certificate: protection.certificate(),
            protection,
            outboxes,
        };
        Ok(List::of_text(text(&facts)))
    }
}

fn text(facts: &Facts<'_>) -> String {
    let mut text = String::with_capacity(16 << 10);
    let node = format!("node=\"{}\"", escaped(&facts.shared.config.name));
    for metric in METRICS {
        let Some(value) = (metric.value)(facts) else { continue };
        // Nothing is written to a string in vain.
        let _ = write_family(&mut text, metric, &node, &value);
    }
    text + "# EOF\n"
}

fn write_family(text: &mut String, metric: &MetricInfo, node: &str, value: &Value) -> std::fmt::Result {
    let (name, unit) = (metric.name, metric.unit());
    writeln!(text, "# TYPE {name} {}", metric.kind.name())?;
    if !unit.is_empty() {
        writeln!(text, "# UNIT {name} {unit}")?;
    }
    writeln!(text, "# HELP {name} {}", escaped(metric.meaning))?;
    let suffix = match metric.kind {
        MetricKind::Counter => "_total",
        MetricKind::Info => "_info",
        MetricKind::Gauge | MetricKind::Histogram => "",
    };
    match value {
        Number(number) => writeln!(text, "{name}{suffix}{{{node}}} {number}"),
        Value::Time(time) => writeln!(text, "{name}{suffix}{{{node}}} {:?}", time.as_secs_f64()),
        Value::Each(rows) => {
            let label = metric.label.split(':').next().unwrap_or_default();
            for (value, number) in rows {
                writeln!(text, "{name}{suffix}{{{node},{label}=\"{}\"}} {number}", escaped(value))?;
            }
            Ok(())
        }
        Value::Histogram(histogram) => {
            for (bound, count) in histogram.cumulative() {
                let le = bound.map_or("+Inf".to_owned(), |us| format!("{:?}", us as f64 / 1e6));
                writeln!(text, "{name}_bucket{{{node},le=\"{le}\"}} {count}")?;
            }
            writeln!(text, "{name}_count{{{node}}} {}", histogram.count())?;
            writeln!(text, "{name}_sum{{{node}}} {:?}", histogram.sum_us() as f64 / 1e6)
        }
    }
}

/// A text within a line, and within quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
