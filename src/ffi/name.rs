//! 7  Names
//!
//! A name is any 1 to 1024 bytes (option `limits.name`) and belongs to one process in the whole cluster, until it is
//! unregistered or its process exits. Any process may register any pid, and unregister any name.
//!
//! When two parts of a cluster that were cut off from each other join, and a name is registered in both, its resolver
//! decides once which of the two processes keeps it. Of the two resolvers it is that of the process on the node with the
//! lower incarnation (`node` in convoke_pid). With three and more parts the winner meets the next.
//!
//! - "random-exit", the default: one of the two, chosen at random, keeps the name; the other exits with
//!   CONVOKE_REASON_CONFLICT_LOST.
//! - "random-notify": one of the two, chosen at random, keeps the name; the other gets a NAME_CONFLICT event, in which the
//!   peer is none.
//! - "notify-all": neither keeps the name; each gets a NAME_CONFLICT event, in which the peer is the other.
//! - "keep-oldest": the process that has had the name for longer keeps it, as its node counts since the registration; the
//!   other gets a NAME_CONFLICT event, in which the peer is the winner.
//! - any other: the function that was given to the node of the process by convoke_resolver_add.
//!
//! NAME_CONFLICT events of a clash have CONVOKE_REASON_CONFLICT_LOST.
//!
//! The rules of waiting stand at the head of this file. And in this section:
//! - `pid` NULL, where a process is given a name: the process itself.
//! - Unregistering a name that nobody has is CONVOKE_OK. A resolver that does not exist is CONVOKE_E_NOT_FOUND.

use super::args::{Out, bytes, name, optional_pid, optional_text, timeout};
use super::entry::call_on;
use super::event::to_c;
use super::list;
use super::process::{ProcessHandle, completion};
use super::types::{convoke_list, convoke_node, convoke_pid, convoke_process, convoke_ref, convoke_status};
use crate::node::Node;
use std::ffi::{c_char, c_void};

/// Registers a name for a process; fails if it is taken. When it returns CONVOKE_OK every node that the node of `pid` has a
/// link to shows the name, and at no moment two processes had it.
///
/// On any other status no node keeps it, with one exception: CONVOKE_E_UNREACHABLE for a pid of another node, whose link
/// broke before the answer, leaves open what became of it, and so does CONVOKE_E_CLOSED.
///
/// @param process on whose behalf.
/// @param name the name, copied.
/// @param name_len its length in bytes.
/// @param pid who gets the name, on any node; NULL for `process`.
/// @param resolver who decides a clash, UTF-8, zero-terminated: "random-exit", "random-notify", "notify-all",
///        "keep-oldest", or the name of a function that the node of the process has (see convoke_resolver_add); NULL for
///        "random-exit". What they do stands above.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK the name is registered; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_EXISTS the name is taken, also when this very process has it; or, with the option `names.per_pid` =
///         `one`, the process has another. See convoke_name_whereis, convoke_name_reregister, convoke_name_monitor.
/// @retval CONVOKE_E_TIMEOUT not in time: another claim of the name was in the way, or a node did not answer. It is undone. Try
///         again.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`.
/// @retval CONVOKE_E_NOT_FOUND the node of the process has no resolver of that name.
/// @retval CONVOKE_E_WOULD_DEADLOCK called by the resolver function that decides a clash of this very name.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, `pid` is none, `resolver` is not UTF-8,
///         or `timeout_ms` is below -1.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL too many names or operations (options `limits.names`, `limits.operations`).
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:register_name/2, global:register_name/3
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_name_register(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    pid: *const convoke_pid,
    resolver: *const c_char,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: passed on.
    unsafe { register(process, name, name_len, pid, resolver, false, timeout_ms, op_out) }
}

/// Registers a name for a process in place of the one that has it, if any. At every moment a reader on any node sees the old
/// process or the new one, never none. A name that nobody has is registered.
///
/// The former process lives on and is told by a NAME_CONFLICT event with CONVOKE_REASON_REPLACED, also where its node has no link
/// to that of the new one; there, and on nodes linked to it alone, the name is nobody's then. Should `process` exit before the
/// answer of another node arrives, what was complete there by then stays.
///
/// @param process on whose behalf.
/// @param name the name, copied.
/// @param name_len its length in bytes.
/// @param pid who gets the name, on any node; NULL for `process`.
/// @param resolver as for convoke_name_register; replaces the former one.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK every node that the node of `pid` has a link to shows the new process; with `op_out`: the operation has
///         begun.
/// @retval CONVOKE_E_EXISTS with the option `names.per_pid` = `one`: the process has another name.
/// @retval CONVOKE_E_TIMEOUT not in time: it is undone, the former process has the name. Try again.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`.
/// @retval CONVOKE_E_NOT_FOUND the node of the process has no resolver of that name.
/// @retval CONVOKE_E_WOULD_DEADLOCK called by the resolver function that decides a clash of this very name.
/// @retval CONVOKE_E_INVALID as for convoke_name_register.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL too many names or operations (options `limits.names`, `limits.operations`).
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:re_register_name/2, global:re_register_name/3
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_name_reregister(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    pid: *const convoke_pid,
    resolver: *const c_char,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: passed on.
    unsafe { register(process, name, name_len, pid, resolver, true, timeout_ms, op_out) }
}

/// # Safety
/// As for `convoke_name_register`.
#[allow(clippy::too_many_arguments)] // those of the two functions of the header
unsafe fn register(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    pid: *const convoke_pid,
    resolver: *const c_char,
    replace: bool,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let op = unsafe { Out::new(op_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: `name_len` bytes, a pid and a zero-terminated text, or NULL, by the contract.
        let (name, pid, resolver) = unsafe {
            let resolver = optional_text(resolver, "resolver is not UTF-8")?;
            (self::name(name, name_len)?, optional_pid(pid)?, resolver)
        };
        let wait = timeout(timeout_ms)?;
        op.set(process.register(name, pid, resolver, replace, wait, completion(&op))?.op.0);
        Ok(())
    })
}

/// Unregisters a name, whichever process has it. The process lives on and is not told. A name that nobody has: CONVOKE_OK.
///
/// @param process on whose behalf; need not be the one that has the name.
/// @param name the name, copied.
/// @param name_len its length in bytes.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK it is gone on this node, and on all that have a link to the node of its process; with `op_out`: the
///         operation has begun. Only where links are missing another node may show the name of a process that this one cannot see.
/// @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
/// @retval CONVOKE_E_UNREACHABLE the link to the home of the name's process broke, or there is none.
/// @retval CONVOKE_E_WOULD_DEADLOCK called by the resolver function that decides a clash of this very name.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:unregister_name/1
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_name_unregister(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let op = unsafe { Out::new(op_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: `name_len` bytes or NULL, by the contract.
        let name = unsafe { self::name(name, name_len) }?;
        op.set(process.unregister(name, timeout(timeout_ms)?, completion(&op))?.op.0);
        Ok(())
    })
}

/// Looks up which process has a name, as this node sees it: in memory, never blocked by anything.
///
/// @param node the node.
/// @param name the name.
/// @param name_len its length in bytes.
/// @param pid_out receives the pid; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_NOT_FOUND nobody has it.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `pid_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits
/// @see Erlang: global:whereis_name/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_name_whereis(
    node: *const convoke_node,
    name: *const c_void,
    name_len: usize,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(pid_out, convoke_pid { node: 0, serial: 0 }) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("pid_out is NULL")?;
        // SAFETY: `name_len` bytes or NULL, by the contract.
        out.set(to_c(node.whereis(unsafe { self::name(name, name_len) }?)?));
        Ok(())
    })
}

/// Lists all names that begin with a prefix, as this node sees them. Each row has a name and a pid; they are sorted by name, byte
/// by byte.
///
/// @param node the node.
/// @param prefix the first bytes of the names; NULL if `prefix_len` is 0.
/// @param prefix_len its length in bytes; 0 for all names.
/// @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK also when there are none.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `prefix` is NULL and `prefix_len` is not 0, or `list_out` is NULL.
/// @retval CONVOKE_E_TOO_BIG `prefix_len` is beyond half of the address space.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @see Erlang: global:registered_names/0
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_name_list(
    node: *const convoke_node,
    prefix: *const c_void,
    prefix_len: usize,
    list_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(list_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("list_out is NULL")?;
        // SAFETY: `prefix_len` bytes or NULL, by the contract.
        let prefix = unsafe { bytes(prefix, prefix_len, "prefix is NULL and prefix_len is not 0") }?;
        out.set(list::give(node.names(prefix)?));
        Ok(())
    })
}

/// Monitors a name for a process: a NAME_CHANGED event at once with the present process or none, then one when that
/// changes, each with this reference. Changes that are unread are merged into one event, and counted: see section 5.
///
/// @param process who is told.
/// @param name the name, copied; need not be registered.
/// @param name_len its length in bytes.
/// @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `ref_out` is NULL.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL too many monitors and operations are under way, or calls that the node has not got round to.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_name_monitor(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    ref_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(ref_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        let out = out.required("ref_out is NULL")?;
        // SAFETY: `name_len` bytes or NULL, by the contract.
        out.set(process.name_monitor(unsafe { self::name(name, name_len) }?)?.0);
        Ok(())
    })
}
