//! Who waits for whom, since when, as JSON.
//!
//! Half of it is the engine's [`Picture`]; the other half, what callers and the node's thread share, is told even when that
//! thread is stuck. Every list is bounded.

use super::observe::{PATIENCE, observe};
use super::shared::lock;
use super::{Error, List, Node, Result};
use crate::engine::{Picture, Rows, Status, Text};
use serde::Serialize;

#[derive(Serialize)]
struct Dump {
    convoke: &'static str,
    node: About,
    /// `None`: the node's thread does not answer, and that is why something hangs.
    engine: Option<Picture>,
    node_thread: &'static str,
    inbox_requests: u64,
    outboxes: Rows<OutboxRow>,
    mailboxes: Rows<MailboxRow>,
    queues: Rows<usize>,
    resolver: ResolverRow,
    memory: Memory,
    limits: Limits,
    counts: Counts,
}

#[derive(Serialize)]
struct About {
    name: Text,
    incarnation: String,
    cluster: Text,
    address: Text,
    uptime_ms: u64,
    detection_ms: u64,
    heartbeat_ms: u64,
}

/// What waits to be written to a link.
#[derive(Serialize)]
struct OutboxRow {
    incarnation: String,
    name: Option<Text>,
    bytes: usize,
    full: bool,
}

/// A process with unread events.
#[derive(Serialize)]
struct MailboxRow {
    process: u64,
    events: usize,
}

/// The threads that call resolver functions.
#[derive(Serialize)]
struct ResolverRow {
    /// `none`, `idle` or `in a function`.
    state: &'static str,
    waiting: usize,
    /// Functions that run and whose deadline has passed.
    late: usize,
}

#[derive(Serialize)]
struct Memory {
    local_messages: u64,
    local_messages_limit: u64,
}

#[derive(Serialize)]
struct Limits {
    message: usize,
    memory: usize,
    link_buffer: usize,
    processes: usize,
    names: usize,
    locks: usize,
    groups: usize,
    published: usize,
    operations: usize,
    peers: usize,
}

#[derive(Serialize)]
struct Counts {
    processes: usize,
    names: usize,
    groups: usize,
    links: usize,
    operations_and_monitors: u64,
}

impl Node {
    /// One row, with Text: what is under way on this node as JSON. Waits for the node's thread, two seconds at most.
    pub fn dump(&self) -> Result<List> {
        let shared = self.shared();
        let observed = observe(shared, true)?;
        let answers = observed.is_some();
        let (config, now) = (&shared.config, shared.clock.now());
        let (mut mailboxes, queues): (Vec<_>, Vec<_>) =
            self.depths().into_iter().partition(|depth| depth.process.is_some());
        mailboxes.retain(|depth| depth.events > 0);
        mailboxes.sort_by_key(|depth| std::cmp::Reverse(depth.events));
        let peers = shared.tables.peers();
        let mut outboxes: Vec<OutboxRow> = Vec::new();
        for (node, peer) in peers {
            let Some(link) = shared.links.get(node) else { continue };
            let bytes = lock(&link.outbox).backlog();
            if bytes > 0 {
                let (incarnation, name) = (hex(node.0), Some(Text::new(peer.name.as_bytes())));
                outboxes.push(OutboxRow {
                    incarnation,
                    name,
                    bytes,
                    full: bytes >= config.limits.link_buffer,
                });
            }
        }
        outboxes.sort_by_key(|row| std::cmp::Reverse(row.bytes));
        let (local_messages, local_messages_limit) = shared.account.figures();
        let (state, waiting, late) = shared.resolvers.figures();
        let limits = &config.limits;
        let dump = Dump {
            convoke: env!("CARGO_PKG_VERSION"),
            node: About {
                name: Text::new(config.name.as_bytes()),
                incarnation: hex(config.node.0),
                cluster: Text::new(shared.cluster.as_bytes()),
                address: Text::new(config.address.as_bytes()),
                uptime_ms: now.0 / 1000,
                detection_ms: config.detection.as_millis().try_into().unwrap_or(u64::MAX),
                heartbeat_ms: config.heartbeat.as_millis().try_into().unwrap_or(u64::MAX),
            },
            engine: observed.and_then(|observed| observed.picture),
            node_thread: if answers { "answers" } else { "stuck" },
            inbox_requests: shared.inbox.figures().0,
            outboxes: Rows::new(outboxes, |row| row),
            mailboxes: Rows::new(mailboxes, |depth| MailboxRow {
                process: depth.process.unwrap_or_default(),
                events: depth.events,
            }),
            queues: Rows::new(queues, |depth| depth.events),
            resolver: ResolverRow { state, waiting, late },
            memory: Memory { local_messages, local_messages_limit },
            limits: Limits {
                message: limits.message,
                memory: limits.memory,
                link_buffer: limits.link_buffer,
                processes: limits.processes,
                names: limits.names,
                locks: limits.locks,
                groups: limits.groups,
                published: limits.published,
                operations: limits.operations,
                peers: limits.peers,
            },
            counts: Counts {
                processes: shared.processes.len(),
                names: shared.tables.names_len(),
                groups: shared.tables.groups_len(),
                links: shared.tables.peers_len(),
                operations_and_monitors: shared.operations(),
            },
        };
        let text = serde_json::to_string_pretty(&dump);
        // Strings and numbers only: there is nothing that JSON cannot say.
        text.map(List::of_text).map_err(|e| Error::new(Status::Internal, format!("the dump: {e}")))
    }
}

fn hex(node: u64) -> String {
    format!("{node:016x}")
}

// Named in the documents.
const _: () = assert!(PATIENCE.as_secs() == 2);
