//! Who waits for whom, since when, as JSON.
//!
//! Half of it is the engine's [`Inspection`]; the other half, what callers and the node's thread share, is told even when that
//! thread is stuck. Every list is bounded.

use super::observe::{PATIENCE, observe};
use super::peers::PeerRow;
use super::shared::lock;
use super::{Error, List, Node, Result, Security};
use crate::model::{Inspection, Rows, Status, Text};
use crate::wire::Mode;
use serde::Serialize;

#[derive(Serialize)]
struct Dump {
    convoke: &'static str,
    node: About,
    security: SecurityRow,
    links: Rows<LinkRow>,
    /// `None`: the node's thread does not answer, and that is why something hangs.
    engine: Option<Inspection>,
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

/// How links that begin now are protected.
#[derive(Serialize)]
struct SecurityRow {
    protection: &'static str,
    /// Hints of the secrets that are good, the preferred one first.
    secrets: Vec<String>,
    /// The file, if it is the secret of the user.
    user_file: Option<Text>,
    certificate: Option<CertificateRow>,
}

#[derive(Serialize)]
struct CertificateRow {
    fingerprint: String,
    /// Seconds since 1970.
    expires: Option<u64>,
}

/// How a link is protected.
#[derive(Serialize)]
struct LinkRow {
    incarnation: String,
    name: Text,
    protection: &'static str,
    secret: Option<String>,
    /// Of the peer.
    certificate: Option<CertificateRow>,
    replaced: bool,
    since_ms: u64,
    bytes_read: u64,
    bytes_written: u64,
}

impl LinkRow {
    fn of(row: PeerRow, (bytes_read, bytes_written): (u64, u64)) -> Self {
        let (secret, certificate) = match row.protection {
            "secret" => (Some(row.credential), None),
            "tls" => (None, Some(CertificateRow { fingerprint: row.credential, expires: row.expires })),
            _ => (None, None),
        };
        Self {
            incarnation: hex(row.node.0),
            name: Text::new(row.name.as_bytes()),
            protection: row.protection,
            secret,
            certificate,
            replaced: row.is_replaced,
            since_ms: row.since_ms,
            bytes_read,
            bytes_written,
        }
    }
}

impl SecurityRow {
    fn of(security: &Security) -> Self {
        let present = security.present();
        Self {
            protection: match present.mode() {
                Mode::Plain => "plain",
                Mode::Secret => "secret",
                Mode::Tls => "tls",
            },
            secrets: present.hints(),
            user_file: present.user_file().map(|path| Text::new(path.as_os_str().as_encoded_bytes())),
            certificate: present.certificate().map(|certificate| CertificateRow {
                fingerprint: certificate.fingerprint_text(),
                expires: certificate.expires,
            }),
        }
    }
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
        // Those that a change of secrets or certificates has left behind are looked for first.
        let mut links = shared.peer_rows();
        links.sort_by_key(|row| !row.is_replaced);
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
            security: SecurityRow::of(&shared.security),
            links: Rows::new(links, |row| {
                let bytes = shared.links.get(row.node).map(|link| link.bytes.figures());
                LinkRow::of(row, bytes.unwrap_or_default())
            }),
            engine: observed.and_then(|observed| observed.engine.inspection),
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
