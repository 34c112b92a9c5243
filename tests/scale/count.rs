//! What is counted, and the rows that it is told in.

use convoke::engine::Message;
use std::fmt::Write;

/// Messages are told apart by what they are about.
pub(crate) const KINDS: [&str; 13] = [
    "Hello",
    "HelloAck",
    "life signs",
    "Probe",
    "ProbeAnswer",
    "Acquire",
    "votes",
    "Commit",
    "Ack",
    "groups",
    "clashes",
    "addresses",
    "others",
];

pub(crate) fn kind(message: &Message) -> usize {
    match message {
        Message::Hello { .. } => 0,
        Message::HelloAck => 1,
        Message::Heartbeat | Message::Ping { .. } | Message::Pong { .. } => 2,
        Message::Probe { .. } => 3,
        Message::ProbeAnswer { .. } => 4,
        Message::Acquire { .. } => 5,
        Message::Grant { .. } | Message::Busy { .. } | Message::Deny { .. } | Message::Release { .. } => 6,
        Message::Commit { .. } | Message::SharePublished { .. } | Message::Unregistered { .. } => 7,
        Message::Ack { .. } => 8,
        Message::Membership { .. }
        | Message::Create { .. }
        | Message::Retract { .. }
        | Message::Delete { .. }
        | Message::GroupDigest { .. }
        | Message::GroupState { .. } => 9,
        Message::Engage { .. }
        | Message::Engaged { .. }
        | Message::ClashEnded { .. }
        | Message::Verdict { .. }
        | Message::ClashSeen { .. }
        | Message::Relayed { .. } => 10,
        Message::Where { .. } | Message::Peers { .. } => 11,
        _ => 12,
    }
}

/// Messages that are exchanged for ever, at rest too, or while somebody is silent.
pub(crate) fn is_life_sign(message: &Message) -> bool {
    (2..=4).contains(&kind(message))
}

/// What happened since the counting began.
#[derive(Clone, Default)]
pub(crate) struct Count {
    pub(crate) messages: [u64; KINDS.len()],
    pub(crate) bytes: u64,
    /// Bytes of life signs.
    pub(crate) idle_bytes: u64,
    pub(crate) dials: u64,
    pub(crate) dials_failed: u64,
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) resolver_calls: u64,
    /// Of each host: messages that it was sent (no plain life signs), and what its engine took, in ns of the processor.
    pub(crate) received: Vec<u64>,
    pub(crate) engine_ns: Vec<u64>,
    /// The longest single input of any engine.
    pub(crate) longest_ns: u64,
}

impl Count {
    /// All but plain life signs.
    pub(crate) fn work(&self) -> u64 {
        self.messages.iter().sum::<u64>() - self.messages[2]
    }
    pub(crate) fn of(&self, kind: &str) -> u64 {
        let at = KINDS.iter().position(|k| *k == kind).expect("a kind of messages");
        self.messages[at]
    }
}

/// One row of the table.
pub(crate) struct Row {
    pub(crate) nodes: usize,
    pub(crate) what: String,
    /// Virtual, in us.
    pub(crate) took: u64,
    pub(crate) count: Count,
    /// The real time of the simulation.
    pub(crate) real_ms: u128,
}

pub(crate) const HEAD: &str =
    "| nodes | what | virtual time | messages | MB | most at one node | dials | connections | refused | engine CPU per node: mean, most | longest input | of the messages |
|---|---|---|---|---|---|---|---|---|---|---|---|";

impl Row {
    pub(crate) fn line(&self) -> String {
        let count = &self.count;
        let ms = |ns: u64| ns as f64 / 1e6;
        let mean = count.engine_ns.iter().sum::<u64>() / self.nodes as u64;
        let most = count.engine_ns.iter().copied().max().unwrap_or(0);
        let mut kinds = String::new();
        for (kind, sent) in KINDS.iter().zip(count.messages).filter(|(_, sent)| *sent > 0) {
            let _ = write!(kinds, "{}{kind} {sent}", if kinds.is_empty() { "" } else { ", " });
        }
        format!(
            "| {} | {} | {:.1} ms | {} | {:.2} | {} | {} | {} | {} | {:.2}, {:.2} ms | {:.2} ms | {kinds} |",
            self.nodes,
            self.what,
            self.took as f64 / 1e3,
            count.work(),
            (count.bytes - count.idle_bytes) as f64 / 1e6,
            count.received.iter().max().copied().unwrap_or(0),
            count.dials,
            count.connections,
            count.refused,
            ms(mean),
            ms(most),
            ms(count.longest_ns),
        )
    }
}
