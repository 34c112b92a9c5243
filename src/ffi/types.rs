//! The types of the header.

use std::ffi::{c_char, c_void};

/// What became of a call.
// An enumeration of `int32_t` in the header, written by its generator from the table of statuses. A plain number here:
// one that is no member of a Rust enumeration would be undefined behaviour.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_status = i32;

/// What an event tells: one of the CONVOKE_EVENT_ constants. An open set: ignore the kinds that you do not know.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_event_kind = u32;

/// Why a process exited, a node went away or a name was lost: one of the CONVOKE_REASON_ constants below 0x10000; from
/// CONVOKE_REASON_USER on the application's own. An open set: ignore the reasons that you do not know.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_reason = u32;

/// What the general accessors of events and lists name: one of the CONVOKE_FIELD_ constants. An open set.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_field = u32;

/// Names a monitor or a pending operation of one node; 0 is none. A number: there is nothing to free.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_ref = u64;

// The header's generator does not see through macros.

/// The configuration of a node that is going to be opened.
#[allow(non_camel_case_types)] // the name in the header
pub struct convoke_options {
    _opaque: [u8; 0],
}

/// A member of the cluster. A checked handle.
#[allow(non_camel_case_types)] // the name in the header
pub struct convoke_node {
    _opaque: [u8; 0],
}

/// Where events of one or many processes wait. A checked handle.
#[allow(non_camel_case_types)] // the name in the header
pub struct convoke_queue {
    _opaque: [u8; 0],
}

/// A process of this program: it has a pid and a mailbox, and names, locks and memberships belong to it. A checked handle.
#[allow(non_camel_case_types)] // the name in the header
pub struct convoke_process {
    _opaque: [u8; 0],
}

/// Something that a process is told.
#[allow(non_camel_case_types)] // the name in the header
pub struct convoke_event {
    _opaque: [u8; 0],
}

/// The answer to a question that has many: names, nodes, groups, members or locks at one moment.
#[allow(non_camel_case_types)] // the name in the header
pub struct convoke_list {
    _opaque: [u8; 0],
}

/// Identifies a process in the whole cluster: the incarnation of its node and a serial that the node never uses again.
///
/// 16 bytes for ever. Two pids are the same process exactly when `memcmp` says so. All zero is "none". Passed by
/// pointer only. May be copied, stored and sent to other nodes as it is (both numbers in the byte order of the machine).
#[allow(non_camel_case_types)] // the name in the header
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct convoke_pid {
    /// The incarnation of the process's node: random at every opening of a node, never 0.
    pub node: u64,
    /// Counts the processes of that incarnation from 1 on.
    pub serial: u64,
}

/// Numbers about a node, filled in by convoke_node_stats.
///
/// Later versions append members. Set `struct_size` to `sizeof(convoke_stats)` before the call: the library writes no
/// more than that, and zeroes what it does not know.
#[allow(non_camel_case_types)] // the name in the header
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct convoke_stats {
    /// `sizeof(convoke_stats)` as the caller was compiled with. Set by the caller, left as it is.
    pub struct_size: usize,
    /// Messages that processes of this node have sent.
    pub messages_sent: u64,
    /// Messages that were handed to processes of this node.
    pub messages_received: u64,
    /// Names in the table of this node: those of the whole cluster as it sees it.
    pub names: u64,
    /// Locks that processes of this node hold and may rely on; each share counts.
    pub locks_held: u64,
    /// Groups in the table of this node: those of the whole cluster as it sees it.
    pub groups: u64,
    /// Nodes that this node has a link to.
    pub peers: u64,
    /// Events that wait in the queues and mailboxes of this node.
    pub queue_depth: u64,
    /// Messages that were sent to processes of this node and dropped, because they had exited.
    pub dropped: u64,
}

/// Gives `user_data` back: called exactly once, after the last callback that gets it, and also when the registration
/// fails. On whichever thread did the last release, never with a lock of the library held. May be NULL.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_free_fn = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Runs under a lock: see convoke_lock_with. What it returns is handed out there. It must return normally: no C++ exception, no
/// `longjmp`.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_with_fn = Option<unsafe extern "C" fn(fence: u64, user_data: *mut c_void) -> i32>;

/// Gets an event; see the callback contract. `event` is borrowed until it returns.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_event_fn = Option<unsafe extern "C" fn(event: *mut convoke_event, user_data: *mut c_void)>;

/// Decides a clash: two processes that have one name, met when two parts of a cluster join. See convoke_resolver_add.
///
/// `clash` is of kind CONVOKE_EVENT_CLASH and borrowed until it returns: convoke_event_name, convoke_event_process (a),
/// convoke_event_peer (b), and for how many ms each has had the name, CONVOKE_FIELD_AGE_MS and CONVOKE_FIELD_OTHER_AGE_MS.
/// Returns one of CONVOKE_CLASH_NEITHER, CONVOKE_CLASH_A and CONVOKE_CLASH_B, plus one of the flags or none.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_resolve_fn =
    Option<unsafe extern "C" fn(clash: *const convoke_event, user_data: *mut c_void) -> i32>;

/// Gets a record of the log: see convoke_log_set. `target` and `text` are UTF-8, zero-terminated and lent until it returns;
/// `text_len` is the length of `text` without its zero. It must return normally: no C++ exception, no `longjmp`.
#[allow(non_camel_case_types)] // the name in the header
pub type convoke_log_fn = Option<
    unsafe extern "C" fn(
        level: i32,
        target: *const c_char,
        text: *const c_char,
        text_len: usize,
        user_data: *mut c_void,
    ),
>;
