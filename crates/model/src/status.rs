//! How operations end, and why things end. The numbers are those of the C interface: append-only, never reused.

use crate::numbered;
use serde::{Deserialize, Serialize};

numbered! {
    /// The outcome of an operation.
    #[derive(Serialize, Deserialize)]
    Status: i32 {
        /// The call did what it says.
        Ok = 0, "CONVOKE_OK";
        /// An argument is null, out of range or not a live handle.
        Invalid = -1, "CONVOKE_E_INVALID";
        /// Memory could not be allocated.
        Memory = -2, "CONVOKE_E_MEMORY";
        /// Internal error (a bug in Convoke); the node has been closed.
        Internal = -3, "CONVOKE_E_INTERNAL";
        /// The handle was made by the parent of this forked process.
        Forked = -4, "CONVOKE_E_FORKED";
        /// The node or the queue is closed.
        Closed = -5, "CONVOKE_E_CLOSED";
        /// The time given to the call ran out.
        Timeout = -6, "CONVOKE_E_TIMEOUT";
        /// The operation was cancelled.
        Cancelled = -7, "CONVOKE_E_CANCELLED";
        /// The call would wait for the very callback that makes it.
        WouldDeadlock = -8, "CONVOKE_E_WOULD_DEADLOCK";
        /// A limit is reached or a receiver has no room; try again later.
        Full = -9, "CONVOKE_E_FULL";
        /// There is no such name, group, resolver or node.
        NotFound = -10, "CONVOKE_E_NOT_FOUND";
        /// The name is already in use.
        Exists = -11, "CONVOKE_E_EXISTS";
        /// The process does not hold the lock.
        NotOwner = -12, "CONVOKE_E_NOT_OWNER";
        /// The process does not exist or has exited.
        NoProcess = -13, "CONVOKE_E_NO_PROCESS";
        /// The node of the process cannot be reached.
        Unreachable = -14, "CONVOKE_E_UNREACHABLE";
        /// A name or a payload is larger than the limit.
        TooBig = -15, "CONVOKE_E_TOO_BIG";
        /// The buffer is too small; the needed length was stored.
        Buffer = -16, "CONVOKE_E_BUFFER";
        /// An option is unknown or its value is not acceptable.
        Option = -17, "CONVOKE_E_OPTION";
        /// The peer belongs to another cluster or does not share the secret.
        Auth = -18, "CONVOKE_E_AUTH";
        /// The operating system refused an operation on a file or a socket.
        Io = -19, "CONVOKE_E_IO";
        /// The versions of header and library, or of two nodes, do not fit.
        Version = -20, "CONVOKE_E_VERSION";
        /// This build or platform cannot do that.
        Unsupported = -21, "CONVOKE_E_UNSUPPORTED";
        /// The object is not in a state that allows the call.
        State = -22, "CONVOKE_E_STATE";
        /// The lock was not obtained, and the function was not called.
        Aborted = -23, "CONVOKE_E_ABORTED";
    }
}

impl Status {
    /// Whether the same call may succeed later with nothing changed by the caller.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Timeout | Self::Full | Self::Unreachable | Self::Memory | Self::Io)
    }
}

/// Why a process exited, a node went away or a name was lost. Below 0x10000 the library's own; from there on the
/// application's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reason(pub u32);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl Reason {
            $($(#[$doc])* pub const $name: Reason = Reason($number);)*
            /// The reasons that have a name.
            pub const ALL: &[(Reason, &'static str)] = &[$((Reason::$name, stringify!($name)),)*];
        }
    };
}

reasons! {
    /// Nothing special.
    NORMAL = 0;
    /// The process exited by itself without naming a reason of its own.
    EXPLICIT = 1;
    /// The handle of the process was freed.
    FREED = 2;
    /// Another process killed it.
    KILLED = 3;
    /// Its node was closed in order.
    NODE_CLOSED = 4;
    /// The connection to its node ended without a goodbye: the OS process most likely died.
    OS_PROCESS_DIED = 5;
    /// Its node has fallen silent, has kept this one waiting for too long (option `peers.slow`), or has no link to this one.
    NODE_UNREACHABLE = 6;
    /// Its node does not know such a process.
    NO_PROCESS = 7;
    /// It lost the clash of a name when two parts of a cluster joined.
    CONFLICT_LOST = 8;
    /// Its name was registered anew for another process.
    REPLACED = 9;
    /// Another node of the same name has more links, or as many and has been open for longer.
    NAME_TAKEN = 10;
    /// A caught panic closed the node.
    INTERNAL_ERROR = 11;
    /// The link was ended by `convoke_node_disconnect`.
    DISCONNECTED = 12;
    /// Broken links leave at most half of the nodes that a lock was taken on.
    MINORITY = 13;
    /// Another holder of the same lock was met when two parts of a cluster joined.
    SECOND_HOLDER = 14;
    /// The group was deleted.
    GROUP_DELETED = 15;
}

impl std::fmt::Debug for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match Self::ALL.iter().find(|(r, _)| r == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "Reason({})", self.0),
        }
    }
}
