//! What an application reads from a queue.

use super::Record;
use crate::model::{Event as EngineEvent, Name, NodeId, Payload, Pid, Reason, Ref, Status, numbered};
use std::ffi::{CStr, CString};
use std::sync::Arc;

numbered! {
    /// What happened. The numbers are those of the C interface: append-only, never reused; 10 is spare.
    EventKind: u32 {
        /// A message of another process: see convoke_send.
        Message = 1, "CONVOKE_EVENT_MESSAGE";
        /// A monitored process, or the process itself when it was killed, exited: see convoke_process_monitor.
        Exit = 2, "CONVOKE_EVENT_EXIT";
        /// The answer to an operation, a call that was made with an `op_out`.
        Done = 3, "CONVOKE_EVENT_DONE";
        /// The process lost a name and lives on. The peer is who has it now or lost it too; none if that is not told.
        NameConflict = 4, "CONVOKE_EVENT_NAME_CONFLICT";
        /// A monitored name is bound otherwise than before: see convoke_name_monitor. Unread ones are merged.
        NameChanged = 5, "CONVOKE_EVENT_NAME_CHANGED";
        /// A process joined a monitored group: see convoke_group_monitor.
        GroupJoined = 6, "CONVOKE_EVENT_GROUP_JOINED";
        /// A process left a monitored group, or ended: see convoke_group_monitor.
        GroupLeft = 7, "CONVOKE_EVENT_GROUP_LEFT";
        /// The process can rely on a lock no longer: see section 8.
        LockLost = 8, "CONVOKE_EVENT_LOCK_LOST";
        /// Somebody waits for a lock that the process holds and watches: see convoke_lock_watch.
        LockWanted = 9, "CONVOKE_EVENT_LOCK_WANTED";
        /// A link to a node came up: see convoke_node_monitor.
        NodeUp = 11, "CONVOKE_EVENT_NODE_UP";
        /// The link to a node went down: see convoke_node_monitor. One may stand for nodes that came and went unread.
        NodeDown = 12, "CONVOKE_EVENT_NODE_DOWN";
        /// The node is closed; the last event of a queue.
        NodeClosed = 13, "CONVOKE_EVENT_NODE_CLOSED";
        /// A receiver that refused a message has room again.
        Sendable = 14, "CONVOKE_EVENT_SENDABLE";
        /// The present state has been told to a monitor of nodes or of a group; changes follow.
        SnapshotEnd = 15, "CONVOKE_EVENT_SNAPSHOT_END";
        /// A clash for a resolver function to decide: see convoke_resolver_add. Never in a queue.
        Clash = 16, "CONVOKE_EVENT_CLASH";
        /// A record of the log: see convoke_log_to_queue. The value is how many were dropped before it, because too many
        /// were unread.
        Log = 17, "CONVOKE_EVENT_LOG";
    }
}

numbered! {
    /// A field of an event or of a row of a list. The numbers are those of the C interface: append-only.
    Field: u32 {
        /// Bytes: the name concerned: of a process, a group, a lock's resource, or a node.
        Name = 1, "CONVOKE_FIELD_NAME";
        /// u64: a node's incarnation, as in pids.
        Node = 2, "CONVOKE_FIELD_NODE";
        /// Bytes: the address of a node.
        Address = 3, "CONVOKE_FIELD_ADDRESS";
        /// Pid: the process that the event is for; in a list, the row's process.
        Pid = 4, "CONVOKE_FIELD_PID";
        /// Pid: the other process concerned.
        Peer = 5, "CONVOKE_FIELD_PEER";
        /// Pid: what a name was bound to before; all zero for none.
        OldPid = 6, "CONVOKE_FIELD_OLD_PID";
        /// Bytes: a message's payload or an exit's data.
        Payload = 7, "CONVOKE_FIELD_PAYLOAD";
        /// u64: why.
        Reason = 8, "CONVOKE_FIELD_REASON";
        /// u64: the monitor or operation.
        Ref = 9, "CONVOKE_FIELD_REF";
        /// u64: an operation's value; of a LOG event, how many records were dropped before it.
        Value = 10, "CONVOKE_FIELD_VALUE";
        /// u64: an operation's status, as a two's complement number.
        Status = 11, "CONVOKE_FIELD_STATUS";
        /// Bytes: more than the status says, in English.
        Detail = 12, "CONVOKE_FIELD_DETAIL";
        /// Pid: who killed the process; all zero for nobody.
        KilledBy = 13, "CONVOKE_FIELD_KILLED_BY";
        /// Bytes: under which requester a lock is held or wanted.
        Requester = 14, "CONVOKE_FIELD_REQUESTER";
        /// u64: for how many ms a lock is held or wanted, as seen from this node; for how many ms there is a link.
        SinceMs = 15, "CONVOKE_FIELD_SINCE_MS";
        /// u64: of a clash, for how many ms the process has had the name.
        AgeMs = 16, "CONVOKE_FIELD_AGE_MS";
        /// u64: of a clash, for how many ms the other process has had the name.
        OtherAgeMs = 17, "CONVOKE_FIELD_OTHER_AGE_MS";
        /// u64: a lock's fencing token; 0 for one that waits.
        Fence = 18, "CONVOKE_FIELD_FENCE";
        /// u64: 1 if the row is of one that waits for the lock, 0 if it holds it.
        IsWaiter = 19, "CONVOKE_FIELD_IS_WAITER";
        /// u64: how often the process is a member of the group.
        Count = 20, "CONVOKE_FIELD_COUNT";
        /// u64: how much a record of the log matters: one of the CONVOKE_LOG_ constants.
        Level = 21, "CONVOKE_FIELD_LEVEL";
        /// Bytes: what a record of the log is about, such as "convoke.link".
        Target = 22, "CONVOKE_FIELD_TARGET";
        /// Bytes: a text, with a zero behind it: of a record of the log, of metrics, of a dump.
        Text = 23, "CONVOKE_FIELD_TEXT";
        /// u64: how many changes the event stands for: 1, or more if earlier ones were unread and it was merged with them; see
        /// section 5.
        Changes = 24, "CONVOKE_FIELD_CHANGES";
        /// Bytes: how a link is protected: "plain", "secret" or "tls".
        Protection = 25, "CONVOKE_FIELD_PROTECTION";
        /// Bytes: what the peer of a link has shown, in hexadecimal digits: 16 that tell its secret from others and nothing about
        /// it, or the 64 of the SHA-256 fingerprint of its certificate; empty for a plain link.
        Credential = 26, "CONVOKE_FIELD_CREDENTIAL";
        /// u64: when the peer's certificate, or one between it and the authority, expires: ms since 1970; 0 without a certificate.
        ExpiresMs = 27, "CONVOKE_FIELD_EXPIRES_MS";
        /// u64: 1 if the link was made under a secret, a certificate, authorities or a list that convoke_node_reload has replaced
        /// since, and that is good no more; else 0.
        IsReplaced = 28, "CONVOKE_FIELD_IS_REPLACED";
    }
}

/// "No process" where a pid is told.
pub(super) const NOBODY: Pid = Pid { node: NodeId(0), serial: 0 };

/// What accessor reaches a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    Bytes,
    Pid,
    Number,
}

impl Field {
    pub fn field_type(self) -> FieldType {
        match self {
            Self::Name
            | Self::Address
            | Self::Payload
            | Self::Detail
            | Self::Requester
            | Self::Target
            | Self::Text
            | Self::Protection
            | Self::Credential => FieldType::Bytes,
            Self::Pid | Self::Peer | Self::OldPid | Self::KilledBy => FieldType::Pid,
            Self::Node
            | Self::Reason
            | Self::Ref
            | Self::Value
            | Self::Status
            | Self::SinceMs
            | Self::AgeMs
            | Self::OtherAgeMs
            | Self::Fence
            | Self::IsWaiter
            | Self::Count
            | Self::Changes
            | Self::Level
            | Self::ExpiresMs
            | Self::IsReplaced => FieldType::Number,
        }
    }
}

/// Which fields an event of each kind has; it has no others.
pub const EVENT_FIELDS: &[(EventKind, &[Field])] = &[
    (EventKind::Message, &[Field::Pid, Field::Peer, Field::Payload]),
    (EventKind::Exit, &[Field::Pid, Field::Peer, Field::Payload, Field::Reason, Field::Ref, Field::KilledBy]),
    (EventKind::Done, &[Field::Pid, Field::Ref, Field::Value, Field::Status, Field::Detail]),
    (EventKind::NameConflict, &[Field::Pid, Field::Name, Field::Peer, Field::Reason]),
    (
        EventKind::NameChanged,
        &[Field::Pid, Field::Name, Field::Peer, Field::OldPid, Field::Changes, Field::Ref],
    ),
    (EventKind::GroupJoined, &[Field::Pid, Field::Name, Field::Peer, Field::Count, Field::Ref]),
    (EventKind::GroupLeft, &[Field::Pid, Field::Name, Field::Peer, Field::Count, Field::Reason, Field::Ref]),
    (EventKind::LockLost, &[Field::Pid, Field::Name, Field::Requester, Field::Fence, Field::Reason]),
    (EventKind::LockWanted, &[Field::Pid, Field::Name, Field::Requester, Field::Peer, Field::Ref]),
    (EventKind::NodeUp, &[Field::Pid, Field::Name, Field::Node, Field::Address, Field::Ref]),
    (
        EventKind::NodeDown,
        &[Field::Pid, Field::Name, Field::Node, Field::Address, Field::Reason, Field::Changes, Field::Ref],
    ),
    (EventKind::NodeClosed, &[Field::Reason]),
    (EventKind::Sendable, &[Field::Pid, Field::Peer]),
    (EventKind::SnapshotEnd, &[Field::Pid, Field::Ref]),
    (EventKind::Clash, &[Field::Pid, Field::Name, Field::Peer, Field::AgeMs, Field::OtherAgeMs]),
    (EventKind::Log, &[Field::Value, Field::Level, Field::Target, Field::Text]),
];

/// What an event says beside the process that it is for.
#[derive(Debug)]
pub(super) enum Body {
    /// What the engine has said.
    Engine(EngineEvent),
    Message {
        from: Pid,
        payload: Payload,
    },
    Done {
        op: Ref,
        status: Status,
        detail: CString,
        value: u64,
    },
    NodeClosed {
        reason: Reason,
    },
    Sendable {
        receiver: Pid,
    },
    /// The process that it is for is the clash's first.
    Clash {
        name: Name,
        other: Pid,
        age_ms: u64,
        other_age_ms: u64,
    },
    Log {
        record: Arc<Record>,
        /// So many before it were dropped.
        dropped: u64,
    },
}

/// One event. Immutable; what accessors lend lives as long as the event.
#[derive(Debug)]
pub struct Event {
    process: Pid,
    body: Body,
}

impl Event {
    /// `process`: whom it is for; `None`: the queue as a whole.
    pub(super) fn new(process: Option<Pid>, body: Body) -> Self {
        Self { process: process.unwrap_or(NOBODY), body }
    }

    pub fn kind(&self) -> EventKind {
        match &self.body {
            Body::Message { .. } => EventKind::Message,
            Body::Engine(EngineEvent::Exit { .. }) => EventKind::Exit,
            Body::Done { .. } => EventKind::Done,
            Body::Engine(EngineEvent::NameConflict { .. }) => EventKind::NameConflict,
            Body::Engine(EngineEvent::NameChanged { .. }) => EventKind::NameChanged,
            Body::Engine(EngineEvent::NodeUp { .. }) => EventKind::NodeUp,
            Body::Engine(EngineEvent::NodeDown { .. }) => EventKind::NodeDown,
            Body::NodeClosed { .. } => EventKind::NodeClosed,
            Body::Sendable { .. } => EventKind::Sendable,
            Body::Engine(EngineEvent::SnapshotEnd { .. }) => EventKind::SnapshotEnd,
            Body::Engine(EngineEvent::GroupJoined { .. }) => EventKind::GroupJoined,
            Body::Engine(EngineEvent::GroupLeft { .. }) => EventKind::GroupLeft,
            Body::Engine(EngineEvent::LockLost { .. }) => EventKind::LockLost,
            Body::Engine(EngineEvent::LockWanted { .. }) => EventKind::LockWanted,
            Body::Clash { .. } => EventKind::Clash,
            Body::Log { .. } => EventKind::Log,
        }
    }
    /// The process that the event is for; `None`: it is for the queue as a whole.
    pub fn process(&self) -> Option<Pid> {
        self.pid(Field::Pid)
    }
    /// The other process concerned: a message's sender, the process that exited, a name's new owner or winner, the
    /// receiver that has room again. All zero: nobody.
    pub fn peer(&self) -> Option<Pid> {
        self.pid(Field::Peer)
    }
    /// The name concerned; of NODE_UP and NODE_DOWN the node's.
    pub fn name(&self) -> Option<&[u8]> {
        self.bytes(Field::Name)
    }
    /// A message's payload, an exit's data.
    pub fn payload(&self) -> Option<&[u8]> {
        self.bytes(Field::Payload)
    }
    /// `Reason::NORMAL` for kinds that have none.
    pub fn reason(&self) -> Reason {
        match &self.body {
            Body::Engine(
                EngineEvent::Exit { reason, .. }
                | EngineEvent::NameConflict { reason, .. }
                | EngineEvent::NodeDown { reason, .. }
                | EngineEvent::GroupLeft { reason, .. }
                | EngineEvent::LockLost { reason, .. },
            )
            | Body::NodeClosed { reason } => *reason,
            _ => Reason::NORMAL,
        }
    }
    /// The monitor or operation that the event belongs to; 0 for kinds that have none, and for the process's own EXIT.
    pub fn reference(&self) -> Ref {
        Ref(self.u64(Field::Ref).unwrap_or(0))
    }
    /// How an operation ended and what there is to say about it; `None` unless the kind is DONE.
    pub fn result(&self) -> Option<(Status, &CStr)> {
        match &self.body {
            Body::Done { status, detail, .. } => Some((*status, detail)),
            _ => None,
        }
    }
    /// An operation's value; 0 for kinds that have none.
    pub fn value(&self) -> u64 {
        self.u64(Field::Value).unwrap_or(0)
    }

    /// `None`: this kind has no such field, or it is not bytes.
    pub fn bytes(&self, field: Field) -> Option<&[u8]> {
        match (field, &self.body) {
            (
                Field::Name,
                Body::Engine(EngineEvent::NameConflict { name, .. } | EngineEvent::NameChanged { name, .. })
                | Body::Clash { name, .. }
                | Body::Engine(
                    EngineEvent::GroupJoined { group: name, .. }
                    | EngineEvent::GroupLeft { group: name, .. }
                    | EngineEvent::LockLost { resource: name, .. }
                    | EngineEvent::LockWanted { resource: name, .. },
                ),
            ) => Some(name.as_bytes()),
            (
                Field::Requester,
                Body::Engine(
                    EngineEvent::LockLost { requester, .. } | EngineEvent::LockWanted { requester, .. },
                ),
            ) => Some(requester.as_bytes()),
            (
                Field::Name,
                Body::Engine(EngineEvent::NodeUp { name, .. } | EngineEvent::NodeDown { name, .. }),
            ) => Some(name.as_bytes()),
            (
                Field::Address,
                Body::Engine(EngineEvent::NodeUp { address, .. } | EngineEvent::NodeDown { address, .. }),
            ) => Some(address.as_bytes()),
            (
                Field::Payload,
                Body::Message { payload, .. } | Body::Engine(EngineEvent::Exit { data: payload, .. }),
            ) => Some(payload.as_bytes()),
            (Field::Detail, Body::Done { detail, .. }) => Some(detail.to_bytes()),
            (Field::Text, Body::Log { record, .. }) => Some(record.text().to_bytes()),
            // With a zero behind it, as C has texts.
            (Field::Target, Body::Log { record, .. }) => Some(record.topic.name_for_c().to_bytes()),
            _ => None,
        }
    }

    /// `None`: this kind has no such field, or it is not a pid. All zero where the field says "nobody".
    pub fn pid(&self, field: Field) -> Option<Pid> {
        match (field, &self.body) {
            (Field::Pid, Body::NodeClosed { .. } | Body::Log { .. }) => None,
            (Field::Pid, _) => Some(self.process),
            (Field::Peer, Body::Message { from: pid, .. } | Body::Engine(EngineEvent::Exit { pid, .. })) => {
                Some(*pid)
            }
            (Field::Peer, Body::Sendable { receiver }) => Some(*receiver),
            (
                Field::Peer,
                Body::Engine(
                    EngineEvent::GroupJoined { pid, .. }
                    | EngineEvent::GroupLeft { pid, .. }
                    | EngineEvent::LockWanted { waiter: pid, .. },
                )
                | Body::Clash { other: pid, .. },
            ) => Some(*pid),
            (
                Field::Peer,
                Body::Engine(
                    EngineEvent::NameConflict { winner: pid, .. } | EngineEvent::NameChanged { new: pid, .. },
                ),
            )
            | (Field::OldPid, Body::Engine(EngineEvent::NameChanged { old: pid, .. }))
            | (Field::KilledBy, Body::Engine(EngineEvent::Exit { by: pid, .. })) => {
                Some(pid.unwrap_or(NOBODY))
            }
            _ => None,
        }
    }

    /// `None`: this kind has no such field, or it is not a number.
    pub fn u64(&self, field: Field) -> Option<u64> {
        match (field, &self.body) {
            (
                Field::Node,
                Body::Engine(EngineEvent::NodeUp { node, .. } | EngineEvent::NodeDown { node, .. }),
            ) => Some(node.0),
            (
                Field::Reason,
                Body::Engine(
                    EngineEvent::Exit { reason, .. }
                    | EngineEvent::NameConflict { reason, .. }
                    | EngineEvent::NodeDown { reason, .. }
                    | EngineEvent::GroupLeft { reason, .. }
                    | EngineEvent::LockLost { reason, .. },
                )
                | Body::NodeClosed { reason },
            ) => Some(u64::from(reason.0)),
            (
                Field::Ref,
                Body::Engine(EngineEvent::Exit { reference, .. })
                | Body::Done { op: reference, .. }
                | Body::Engine(
                    EngineEvent::NameChanged { reference, .. }
                    | EngineEvent::NodeUp { reference, .. }
                    | EngineEvent::NodeDown { reference, .. }
                    | EngineEvent::GroupJoined { reference, .. }
                    | EngineEvent::GroupLeft { reference, .. }
                    | EngineEvent::LockWanted { reference, .. }
                    | EngineEvent::SnapshotEnd { reference },
                ),
            ) => Some(reference.0),
            (
                Field::Count,
                Body::Engine(EngineEvent::GroupJoined { count, .. } | EngineEvent::GroupLeft { count, .. }),
            ) => Some(*count),
            (
                Field::Changes,
                Body::Engine(
                    EngineEvent::NameChanged { changes, .. } | EngineEvent::NodeDown { changes, .. },
                ),
            ) => Some(*changes),
            (Field::Fence, Body::Engine(EngineEvent::LockLost { token, .. })) => Some(*token),
            (Field::AgeMs, Body::Clash { age_ms, .. }) => Some(*age_ms),
            (Field::OtherAgeMs, Body::Clash { other_age_ms, .. }) => Some(*other_age_ms),
            (Field::Value, Body::Done { value, .. }) => Some(*value),
            (Field::Value, Body::Log { dropped, .. }) => Some(*dropped),
            (Field::Level, Body::Log { record, .. }) => Some(u64::from(record.level.number())),
            (Field::Status, Body::Done { status, .. }) => Some(*status as i32 as i64 as u64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One event of every kind.
    fn samples() -> Vec<Event> {
        let pid = Pid { node: NodeId(7), serial: 9 };
        let (name, group, data) = (Name::new(b"n"), Name::new(b"g"), Payload::new(b"data"));
        let (node, text, reference) = (NodeId(8), || "host:1".to_owned(), Ref(3));
        let reason = Reason::KILLED;
        let process = Some(Pid { node: NodeId(7), serial: 1 });
        vec![
            Event::new(process, Body::Message { from: pid, payload: data.clone() }),
            Event::new(process, Body::Engine(EngineEvent::Exit { reference, pid, reason, data, by: None })),
            Event::new(
                process,
                Body::Done { op: reference, status: Status::Timeout, detail: CString::default(), value: 5 },
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::NameConflict { name: name.clone(), winner: None, reason }),
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::NameChanged {
                    reference,
                    name,
                    old: None,
                    new: Some(pid),
                    changes: 1,
                }),
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::GroupJoined {
                    reference,
                    group: group.clone(),
                    pid,
                    old: 0,
                    count: 2,
                }),
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::GroupLeft {
                    reference,
                    group: group.clone(),
                    pid,
                    old: 2,
                    count: 1,
                    reason,
                }),
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::LockLost {
                    resource: group.clone(),
                    requester: group.clone(),
                    token: 4,
                    reason,
                }),
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::LockWanted {
                    reference,
                    resource: group.clone(),
                    requester: group.clone(),
                    waiter: pid,
                }),
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::NodeUp { reference, node, name: text(), address: text() }),
            ),
            Event::new(
                process,
                Body::Engine(EngineEvent::NodeDown {
                    reference,
                    node,
                    name: text(),
                    address: text(),
                    reason,
                    changes: 1,
                }),
            ),
            Event::new(None, Body::NodeClosed { reason }),
            Event::new(process, Body::Sendable { receiver: pid }),
            Event::new(process, Body::Engine(EngineEvent::SnapshotEnd { reference })),
            Event::new(process, Body::Clash { name: group, other: pid, age_ms: 6, other_age_ms: 7 }),
            Event::new(None, Body::Log { record: Record::sample(), dropped: 8 }),
        ]
    }

    #[test]
    fn every_kind_has_exactly_the_fields_of_the_table() {
        let samples = samples();
        assert_eq!(EVENT_FIELDS.iter().map(|row| row.0).collect::<Vec<_>>(), EventKind::ALL);
        assert_eq!(samples.iter().map(Event::kind).collect::<Vec<_>>(), EventKind::ALL);
        for (event, (kind, fields)) in samples.iter().zip(EVENT_FIELDS) {
            for &field in Field::ALL {
                let has = fields.contains(&field);
                let reached =
                    (event.bytes(field).is_some(), event.pid(field).is_some(), event.u64(field).is_some());
                let expected = match field.field_type() {
                    FieldType::Bytes => (has, false, false),
                    FieldType::Pid => (false, has, false),
                    FieldType::Number => (false, false, has),
                };
                assert_eq!(reached, expected, "{kind:?} {field:?}");
            }
            assert_eq!(event.reason().0, event.u64(Field::Reason).unwrap_or(0) as u32);
        }
    }

    #[test]
    fn numbers_and_names_are_unique_and_found_again() {
        for &kind in EventKind::ALL {
            assert_eq!(EventKind::from_number(kind.number()), Some(kind));
            assert!(kind.c_name().starts_with("CONVOKE_EVENT_"));
        }
        for &field in Field::ALL {
            assert_eq!(Field::from_number(field.number()), Some(field));
            assert!(field.c_name().starts_with("CONVOKE_FIELD_"));
        }
        assert_eq!(EventKind::from_number(10), None);
        assert_eq!(Event::new(None, Body::Sendable { receiver: NOBODY }).result(), None);
    }
}
