//! 3  Nodes
//!
//! A node is one member of the cluster. Several may live in one program. Everything that a program does in the cluster it
//! does through a node of its own: there is no server.

use super::args::{Out, TextOut, text, timeout};
use super::entry::{Failure, Result, call, call_on, keep_panics_quiet, quiet};
use super::handle::{Checked, Striped, Table};
use super::list;
use super::options::Held;
use super::process::{ProcessHandle, completion};
use super::types::{
    convoke_list, convoke_node, convoke_options, convoke_process, convoke_ref, convoke_stats, convoke_status,
};
use crate::node::{Node, Options};
use crate::os;
use std::ffi::c_char;

impl Checked for Node {
    type Lanes = Striped;
    const TAG: usize = 1;
    fn table() -> &'static Table<Self> {
        static TABLE: Table<Node> = Table::new();
        &TABLE
    }
    fn poison(&self) {
        self.shut();
    }
}

/// Opens a node: listens, starts its thread, and begins to look for the nodes named by the option `seeds`.
///
/// A node that listens at a loopback address and is given no secret, no certificate and no `insecure.plaintext` takes the secret of the
/// user that this program runs as, and makes the file that it lies in (`~/.config/convoke/secret`; option `secret.user`) when
/// there is none. The log says so.
///
/// With seeds it returns when the node is merged with them and with all others that they tell of, as by
/// convoke_node_sync, and after the time of the option `join.wait` (5 s) in any case. So a program that registers a name at
/// once gets CONVOKE_E_EXISTS if another has it, and does not clash with it. All seeds are dialled at the same time. One
/// that refuses, or where the node itself answers, is not waited for: the first node of a cluster is open at once. One that
/// says nothing (a program that hangs, a machine that is off) is waited for until `join.wait` is over if nobody else
/// answers, for a second at most if another node does, and never makes this call fail.
///
/// With a `join.wait` of 0, or without seeds, it returns as soon as the node listens; others are met later: see
/// convoke_node_monitor. Seeds are dialled for ever, whatever came of them here.
///
/// A peer that lives and yet keeps votes or acknowledgements owing, for longer than `detection_ms` in twelve times as long, is
/// parted: its link ends (CONVOKE_REASON_NODE_UNREACHABLE) and it is left alone for a pause that grows, so that it does not hold up
/// the calls of all others. The log, convoke_node_dump and the metrics name it; the option `peers.slow` = `wait` has it waited for.
///
/// @param options what to open, copied; NULL for the defaults.
/// @param node_out receives the node, owned by the caller: free it with convoke_node_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node_out` is NULL.
/// @retval CONVOKE_E_OPTION options that do not fit together, or a missing one: see the detail. So it is when the node would
///         listen, dial or be dialled beyond this machine and has no secret, and when others may read or write the file of
///         `secret.file`, or that of the user's secret (option `secret.user`).
/// @retval CONVOKE_E_UNSUPPORTED the options ask for TLS, and this library was built without it.
/// @retval CONVOKE_E_IO the address cannot be listened on, or the system has no thread or descriptor left: see the detail.
/// @retval CONVOKE_E_MEMORY there is no memory for another node.
/// @retval CONVOKE_E_FULL there are more nodes in this program than the library can number.
/// @retval CONVOKE_E_EXISTS another node of the same name is open in the cluster. Choose another name. If that is found out
///         only after `join.wait`, or that is 0, the node is opened, and closed with CONVOKE_REASON_NAME_TAKEN.
/// @retval CONVOKE_E_TIMEOUT a node has answered, and the tables were not merged with it within `join.wait`. The node is
///         closed. Try again, with a longer one if the tables are very large.
/// @retval CONVOKE_E_FORKED another thread of the parent was at these options when this child was forked.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any; also in a forked child, which has none of its parent's nodes
/// @see Erlang: net_kernel:start/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_open(
    options: *const convoke_options,
    node_out: *mut *mut convoke_node,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(node_out, std::ptr::null_mut()) };
    call(|_| {
        let out = out.required("node_out is NULL")?;
        os::watch_forks();
        keep_panics_quiet();
        // SAFETY: live options or NULL, by the contract.
        let options = unsafe { copy(options) }?;
        out.set(Node::table().insert(Node::open(&options)?)? as *mut convoke_node);
        Ok(())
    })
}

/// Leaves the cluster in order, and waits until that is done: every process of the node exits with
/// CONVOKE_REASON_NODE_CLOSED, every peer is told, every queue gets a NODE_CLOSED event, every waiting call ends with
/// CONVOKE_E_CLOSED.
///
/// The node stays to be freed. It may be closed again: then the call waits for the end of the first.
///
/// @param node the node.
/// @param timeout_ms how long to wait for the end; -1 for ever, 0 not at all.
/// @return the status:
/// @retval CONVOKE_OK the node is closed.
/// @retval CONVOKE_E_TIMEOUT it is being closed and will be soon. Nothing needs to be done.
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process. Open another.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: erlang:halt/0, net_kernel:stop/0
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_node_close(node: *mut convoke_node, timeout_ms: i64) -> convoke_status {
    call_on::<Node>(node as usize, |node| Ok(node.close(timeout(timeout_ms)?)?))
}

/// Frees the handle of a node. If the node is not closed it begins to leave in order, as by convoke_node_close, in the
/// background. Never waits.
///
/// Its queues and processes become inert (CONVOKE_E_CLOSED) and are still to be freed, before or after it, in any order.
///
/// @param node the node, or NULL: then nothing happens. A node freed before is left alone.
/// @threads any; also in callbacks, static destructors and a forked child (where it does nothing to the parent's node)
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_node_free(node: *mut convoke_node) {
    quiet((), || {
        if let Some(node) = Node::table().close(node as usize)
            && !node.is_forked()
        {
            node.free();
        }
    });
}

/// Changes what can be changed of a node that is open: the options `seeds`, `secret`, `secret.previous`, `secret.file` and
/// `secret.user`, and those that begin with `tls.`; files are read anew.
///
/// New seeds are dialled at once. An address that is none any more and is not linked is not dialled any longer; links stay.
///
/// Connections that begin from now on follow the new values. Links that there are go on: each has keys of its own. So a
/// secret is changed without losing anything. First every node gets the new secret as `secret` and the old one as
/// `secret.previous`, one node after the other; when all have it, every node gets the new one alone. Certificates are
/// renewed by writing the new ones into the files and calling this with the options as they are.
///
/// With the option `reload.links` = `end` the links are cut that were made under what is good no more: a secret that is neither `secret`
/// nor in `secret.previous`, files of certificates that have changed. That is for the last round, to shut out whoever has got an
/// old secret or a certificate that is revoked now. It counts as a broken link: both ends dial each other again, and meanwhile locks may be lost
/// (CONVOKE_REASON_MINORITY). convoke_node_peers says which links were made under what.
///
/// @param node the node.
/// @param options everything that the node was opened with, and the new values. NULL for the defaults.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node` is not a live node.
/// @retval CONVOKE_E_OPTION another option differs from what the node was opened with, the options do not fit together, a
///         secret is none, others may read or write the file of `secret.file`, or the node was opened without a secret and is
///         to get one, or the reverse: see the detail. Nothing was changed.
/// @retval CONVOKE_E_UNSUPPORTED the options ask for TLS, and this library was built without it. Nothing was changed.
/// @retval CONVOKE_E_IO a file cannot be read: see the detail. Nothing was changed.
/// @retval CONVOKE_E_FULL the seeds were not changed: the node has not got round to too many earlier calls. Try again.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process, or another thread of the parent was at
///         these options when this child was forked.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; reads files on the calling thread
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_reload(
    node: *mut convoke_node,
    options: *const convoke_options,
) -> convoke_status {
    call_on::<Node>(node as usize, |node| {
        // SAFETY: live options or NULL, by the contract.
        let options = unsafe { copy(options) }?;
        Ok(node.reload(&options)?)
    })
}

/// The options, or the defaults.
///
/// # Safety
/// NULL, or options that are not freed during the call.
unsafe fn copy(options: *const convoke_options) -> Result<Options> {
    if options.is_null() {
        return Ok(Options::new());
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { Held::get(options) }?.lock()?.clone())
}

/// The name of the node: the option `name`, or what the library made up.
///
/// @param node the node.
/// @param buf room for `cap` bytes; receives the name with a zero at the end, cut if it does not fit. NULL with a `cap` of
///        0 asks for the length.
/// @param cap the size of `buf`.
/// @param len_out receives the length of the name without its zero, also when it does not fit; may be NULL.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_BUFFER the name does not fit. Try again with `*len_out` + 1 bytes.
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `buf` is NULL and `cap` is not 0.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: erlang:node/0
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_name(
    node: *const convoke_node,
    buf: *mut c_char,
    cap: usize,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: room for `cap` bytes and a valid pointer, or NULL, by the contract.
    let out = unsafe { TextOut::new(buf, cap, len_out) };
    call_on::<Node>(node as usize, |node| {
        out.check()?;
        out.set(node.name())
    })
}

/// The address that other nodes dial: with the port that was chosen when the option `listen` left it open.
///
/// @param node the node.
/// @param buf as for convoke_node_name.
/// @param cap the size of `buf`.
/// @param len_out as for convoke_node_name.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_BUFFER the address does not fit. Try again with `*len_out` + 1 bytes.
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `buf` is NULL and `cap` is not 0.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_address(
    node: *const convoke_node,
    buf: *mut c_char,
    cap: usize,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: room for `cap` bytes and a valid pointer, or NULL, by the contract.
    let out = unsafe { TextOut::new(buf, cap, len_out) };
    call_on::<Node>(node as usize, |node| {
        out.check()?;
        out.set(node.address())
    })
}

/// Makes a link to the node at an address, once. Nodes that are linked find all others by themselves; addresses that are
/// to be dialled for ever belong into the option `seeds`. A name may stand for several addresses, and a range of ports does:
/// each is dialled, and one that leads to a link is enough.
///
/// @param process on whose behalf; its node dials.
/// @param address host and port, UTF-8, zero-terminated: "10.0.0.7:4370", "[::1]:4370", "host.example:4370",
///        "127.0.0.1:4370-4380".
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait for the link, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK there is a link; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_UNREACHABLE nobody answers at the address. Try again later.
/// @retval CONVOKE_E_TIMEOUT there was no link in time.
/// @retval CONVOKE_E_AUTH the two nodes share no secret, only one of them has one, or their clusters have different names:
///         the detail says which. Check the options `secret`, `secret.file` and `cluster` on both.
/// @retval CONVOKE_E_OPTION the address is on another machine, and the node has no secret. Set the option `secret` or
///         `secret.file`.
/// @retval CONVOKE_E_VERSION the other end speaks no version of the protocol that this one does.
/// @retval CONVOKE_E_EXISTS the other end refuses this node, because another one has the same name.
/// @retval CONVOKE_E_INVALID an argument is NULL, not UTF-8, not a live process, not an address, or below -1.
/// @retval CONVOKE_E_FULL too many operations are under way, or the node has as many links as it may.
/// @retval CONVOKE_E_IO this machine did not try: no descriptor, memory, port or thread is left, or a rule forbids it; see the
///         detail.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: net_kernel:connect_node/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_connect(
    process: *mut convoke_process,
    address: *const c_char,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let op = unsafe { Out::new(op_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: a zero-terminated text or NULL, by the contract.
        let address = unsafe { text(address, "address is NULL", "address is not UTF-8") }?;
        op.set(process.connect(address, timeout(timeout_ms)?, completion(&op))?.op.0);
        Ok(())
    })
}

/// Ends the link to a node, and does not dial it again until convoke_node_connect asks for it. Both sides see the other
/// as down, with CONVOKE_REASON_DISCONNECTED. For locks that is a broken link, on both sides: whoever keeps at most half of the nodes
/// that a lock was taken on gets LOCK_LOST with CONVOKE_REASON_MINORITY.
///
/// The other node may still dial this one; a disconnected pair that both know keeps apart until one of them connects. What
/// is not dialled are the addresses that led to it; one that leads to another node each time (a balancer) may bring it back.
///
/// @param process on whose behalf.
/// @param node_name the name of the node, UTF-8, zero-terminated.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK the link is over; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_NOT_FOUND there is no link to a node of that name.
/// @retval CONVOKE_E_TIMEOUT it was not done in time.
/// @retval CONVOKE_E_INVALID an argument is NULL, not UTF-8, not a live process, or below -1.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: erlang:disconnect_node/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_disconnect(
    process: *mut convoke_process,
    node_name: *const c_char,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let op = unsafe { Out::new(op_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: a zero-terminated text or NULL, by the contract.
        let name = unsafe { text(node_name, "node_name is NULL", "node_name is not UTF-8") }?;
        op.set(process.disconnect(name, timeout(timeout_ms)?, completion(&op))?.op.0);
        Ok(())
    })
}

/// The nodes that this node has a link to now, itself not among them. Each row has a name, an address
/// (CONVOKE_FIELD_ADDRESS) and an incarnation (CONVOKE_FIELD_NODE, as in the pids of its processes).
///
/// And each says how its link is protected: CONVOKE_FIELD_PROTECTION, CONVOKE_FIELD_CREDENTIAL, CONVOKE_FIELD_EXPIRES_MS,
/// CONVOKE_FIELD_SINCE_MS; and CONVOKE_FIELD_IS_REPLACED, which is 0 on all rows of all nodes when a change of the secret or of
/// certificates is through.
///
/// @param node the node.
/// @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `list_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @see Erlang: erlang:nodes/0
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_peers(
    node: *const convoke_node,
    list_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(list_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("list_out is NULL")?;
        out.set(list::give(node.peers()?));
        Ok(())
    })
}

/// Waits until the tables of this node and of all nodes that it knows are merged: every seed was tried, every node that
/// was learned of is linked, and each has the facts of the other. Nodes that cannot be reached are not waited for; a node
/// that is alone is in sync at once.
///
/// What other nodes published before this returns is seen here, and the reverse. Clashes of names that came to light may
/// still be undecided.
///
/// @param process on whose behalf; its node is meant.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK all tables are merged; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_TIMEOUT not all are merged yet. Nothing is undone: the rest is under way.
/// @retval CONVOKE_E_INVALID `process` is not a live process, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:sync/0
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_sync(
    process: *mut convoke_process,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let op = unsafe { Out::new(op_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        op.set(process.sync(timeout(timeout_ms)?, completion(&op))?.op.0);
        Ok(())
    })
}

/// Tells a process which nodes there are and what becomes of them: a NODE_UP event for each present peer, one
/// SNAPSHOT_END, then NODE_UP and NODE_DOWN events as links come and go, each with this reference. Nodes that come and go
/// while that is unread are counted by one event: see section 5.
///
/// @param process who is told.
/// @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `process` is not a live process, or `ref_out` is NULL.
/// @retval CONVOKE_E_FULL too many monitors and operations are under way, or calls that the node has not got round to.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: net_kernel:monitor_nodes/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_monitor(
    process: *mut convoke_process,
    ref_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(ref_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        let out = out.required("ref_out is NULL")?;
        out.set(process.node_monitor()?.0);
        Ok(())
    })
}

/// Numbers about the node: see convoke_stats. They are read one after the other, not at one moment.
///
/// @param node the node.
/// @param stats set `stats->struct_size` to `sizeof(convoke_stats)` first; the rest is filled in, or zeroed on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node` is not a live node, `stats` is NULL, or `struct_size` is less than that of a size_t or
///         more than 4096.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_stats(
    node: *const convoke_node,
    stats: *mut convoke_stats,
) -> convoke_status {
    // SAFETY: NULL, or a structure as long as its first member says, by the contract.
    let room = unsafe { StatsOut::new(stats) };
    call_on::<Node>(node as usize, |node| {
        let room = room?;
        let stats = node.stats();
        room.set(&convoke_stats {
            struct_size: room.size,
            messages_sent: stats.messages_sent,
            messages_received: stats.messages_received,
            names: stats.names,
            locks_held: stats.locks_held,
            groups: stats.groups,
            peers: stats.peers,
            queue_depth: stats.queue_depth,
            dropped: stats.dropped,
        });
        Ok(())
    })
}

/// A `convoke_stats` of the caller's version.
struct StatsOut {
    to: *mut convoke_stats,
    size: usize,
}

impl StatsOut {
    /// Zeroes it behind its size.
    ///
    /// # Safety
    /// `to` is NULL, or points to as many bytes as the first member says.
    unsafe fn new(to: *mut convoke_stats) -> Result<Self> {
        if to.is_null() {
            return Err(Failure::invalid("stats is NULL"));
        }
        // SAFETY: the size is the first member in every version.
        let size = unsafe { to.cast::<usize>().read_unaligned() };
        // A size that was not set is most likely garbage: nothing is written behind it then.
        if !(size_of::<usize>()..=4096).contains(&size) {
            return Err(Failure::invalid("stats->struct_size is not sizeof(convoke_stats)"));
        }
        // SAFETY: `size` bytes, by the caller's promise.
        unsafe { to.cast::<u8>().add(size_of::<usize>()).write_bytes(0, size - size_of::<usize>()) };
        Ok(Self { to, size })
    }

    /// Writes as much as there is room for; what the library does not know stays zero.
    fn set(&self, stats: &convoke_stats) {
        let known = self.size.min(size_of::<convoke_stats>());
        // SAFETY: `size` bytes at `to` by the promise given to `new`; a `convoke_stats` has no padding.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const *stats).cast::<u8>(), self.to.cast::<u8>(), known);
        }
    }
}
