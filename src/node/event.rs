//! What an application reads from a queue.

use crate::engine::{Pid, Reason, Ref, Status};
use std::ffi::CStr;

macro_rules! numbered {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $name:ident = $number:literal, $c:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        #[repr(u32)]
        pub enum $type { $($(#[$vdoc])* $name = $number,)* }

        impl $type {
            pub const ALL: &[$type] = &[$($type::$name,)*];
            pub fn number(self) -> u32 {
                self as u32
            }
            /// The symbolic name in the C header.
            pub fn c_name(self) -> &'static str {
                match self { $($type::$name => $c,)* }
            }
            pub fn from_number(number: u32) -> Option<$type> {
                $type::ALL.iter().copied().find(|it| it.number() == number)
            }
        }
    };
}

numbered! {
    /// What happened. The numbers are those of the C interface: append-only, never reused. 6 to 10 are reserved for
    /// groups and locks, 16 and up for what later steps bring.
    EventKind {
        /// A message of another process.
        Message = 1, "CONVOKE_EVENT_MESSAGE";
        /// A monitored process, or the process itself when it was killed, exited.
        Exit = 2, "CONVOKE_EVENT_EXIT";
        /// The answer to an operation.
        Done = 3, "CONVOKE_EVENT_DONE";
        /// The process lost a name and lives on.
        NameConflict = 4, "CONVOKE_EVENT_NAME_CONFLICT";
        /// A monitored name is bound otherwise than before.
        NameChanged = 5, "CONVOKE_EVENT_NAME_CHANGED";
        /// A link to a node came up.
        NodeUp = 11, "CONVOKE_EVENT_NODE_UP";
        /// The link to a node went down.
        NodeDown = 12, "CONVOKE_EVENT_NODE_DOWN";
        /// The node is closed; the last event of a queue.
        NodeClosed = 13, "CONVOKE_EVENT_NODE_CLOSED";
        /// A receiver that refused a message has room again.
        Sendable = 14, "CONVOKE_EVENT_SENDABLE";
        /// The present state has been told; changes follow.
        SnapshotEnd = 15, "CONVOKE_EVENT_SNAPSHOT_END";
    }
}

numbered! {
    /// A field of an event or of a row of a list. The numbers are those of the C interface: append-only.
    Field {
        /// Bytes: a name; of a node, its text.
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
        /// u64: an operation's value.
        Value = 10, "CONVOKE_FIELD_VALUE";
        /// u64: an operation's status, as a two's complement number.
        Status = 11, "CONVOKE_FIELD_STATUS";
        /// Bytes: more than the status says, in English.
        Detail = 12, "CONVOKE_FIELD_DETAIL";
        /// Pid: who killed the process; all zero for nobody.
        KilledBy = 13, "CONVOKE_FIELD_KILLED_BY";
    }
}

/// One event. Immutable; what accessors lend lives as long as the event.
#[derive(Debug)]
pub struct Event {
    kind: EventKind,
}

impl Event {
    pub fn kind(&self) -> EventKind {
        self.kind
    }
    /// The process that the event is for; `None`: it is for the queue as a whole.
    pub fn process(&self) -> Option<Pid> {
        self.pid(Field::Pid)
    }
    /// The other process concerned: a message's sender, the process that exited, a name's new owner, the receiver
    /// that has room again.
    pub fn peer(&self) -> Option<Pid> {
        self.pid(Field::Peer)
    }
    pub fn name(&self) -> Option<&[u8]> {
        self.bytes(Field::Name)
    }
    /// A message's payload, an exit's data.
    pub fn payload(&self) -> Option<&[u8]> {
        self.bytes(Field::Payload)
    }
    /// `Reason::NORMAL` for kinds that have none.
    pub fn reason(&self) -> Reason {
        Reason::NORMAL
    }
    /// The monitor or operation that the event belongs to; 0 for kinds that have none.
    pub fn reference(&self) -> Ref {
        Ref(self.u64(Field::Ref).unwrap_or(0))
    }
    /// How an operation ended and what there is to say about it; `None` unless the kind is DONE.
    pub fn result(&self) -> Option<(Status, &CStr)> {
        None
    }
    /// An operation's value; 0 for kinds that have none.
    pub fn value(&self) -> u64 {
        self.u64(Field::Value).unwrap_or(0)
    }
    /// `None`: this kind has no such field, or it is not bytes.
    pub fn bytes(&self, _field: Field) -> Option<&[u8]> {
        None
    }
    /// `None`: this kind has no such field, or it is not a pid. All zero where the field says "nobody".
    pub fn pid(&self, _field: Field) -> Option<Pid> {
        None
    }
    /// `None`: this kind has no such field, or it is not a number.
    pub fn u64(&self, _field: Field) -> Option<u64> {
        None
    }
}
