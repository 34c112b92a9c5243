//! 8  Locks
//!
//! A lock is a resource, any bytes, that a process holds on a set of nodes as a requester, any bytes too. Processes with the
//! same requester share it, and each of them has one share, however often it acquires it. Two requesters exclude each other
//! wherever their sets have a node in common that both are linked to; so guard one thing by one set of nodes, best by the
//! default: all nodes that this one has a link to, itself, and those that join while the lock is held.
//!
//! A share ends when it is released, when its process exits, and when its node is closed or dies; nobody else can release it.
//! Those who wait are served in the order in which they began, the oldest first, at once when the lock is free. Whoever
//! shares a lock that is held enters at once. Two processes that wait for each other's lock wait until a timeout: take
//! several locks in one order everywhere.
//!
//! What a lock cannot promise, and what to do about it: a process that is stopped for a while, or cut off by a broken
//! network, may go on in the belief that it holds a lock which others have got meanwhile. So:
//! - Let the resource check. Every acquisition yields a fencing token, and it is larger than the token of every hold by another
//!   requester that was bound at a node of the set before that node agreed. Send the token with every write, and let the store
//!   refuse one that is smaller than the largest it has seen. Across a network that is cut nothing is promised about tokens.
//! - Tokens rise over restarts because each node begins with the clock of its machine: 2^20 times the milliseconds since 1970.
//!   As long as one node of a cluster stays up, the others learn from it what was given. But when all nodes were down at the
//!   same time, and start on machines whose clocks are behind those of before, tokens are smaller than before, and a store
//!   that refuses small ones refuses everybody until the clocks have caught up. So have the clocks set before nodes start, and
//!   do not restart all nodes at once. If it has happened: wait for as long as the clocks differ (the largest token that the
//!   store has seen, divided by 2^20, is a time in milliseconds that has to be over), then restart the nodes; or, when it is
//!   certain that no program of before runs any more, take the store's number back to 0.
//! - Processes that share a lock may have different tokens, and a later one need not have a larger one: let sharers agree on
//!   one token.
//! - A LOCK_LOST event tells the process that it cannot rely on the lock any more, once for what it acquired to be kept and once
//!   for each convoke_lock_with: CONVOKE_REASON_MINORITY, broken links leave at most half of the set (nodes that were closed, or
//!   whose death is certain, are no part of it any more; convoke_node_disconnect breaks a link);
//!   CONVOKE_REASON_SECOND_HOLDER, two parts of a cluster joined, and another requester holds it too and could rely on it as
//!   well. From then on convoke_lock_check says so, until what was lost has been released or acquired anew (on a list: on all
//!   of the list). What a nested convoke_lock_with acquires does not make good what was lost outside of it.
//! - The share still keeps others out until it is released. One that was lost by CONVOKE_REASON_MINORITY ends before that if it
//!   meets another holder when the parts join; nobody is told, and to release it is CONVOKE_E_NOT_OWNER then.
//!
//! A node whose link breaks while a lock is being acquired is waited for until it is back, or for one detection time: for this
//! program may be the one that was stopped or cut off, and another may hold the lock. So is one whose link broke before that, if
//! without such nodes there is no majority.
//!
//! The rules of waiting stand at the head of this file. And in this section:
//! - `requester` NULL with a length of 0: the 16 bytes of the process's pid (node, serial, little endian), shared by nobody
//!   who does not ask for exactly that.
//! - `nodes` NULL with a length of 0: all nodes, as above. Else an array of `nodes_len` names of nodes, UTF-8, zero-terminated;
//!   this node's own may be among them, duplicates do no harm. An array of length 0 is CONVOKE_E_INVALID.

use super::args::{Out, bytes, name, text, timeout};
use super::entry::{Failure, Result, call_on};
use super::list;
use super::process::{ProcessHandle, completion};
use super::thread;
use super::types::{
    convoke_list, convoke_node, convoke_process, convoke_ref, convoke_status, convoke_with_fn,
};
use crate::model::Status;
use crate::node::{Attempt, LockId, Node};
use std::ffi::{c_char, c_void};

/// # Safety
/// NULL, or so many bytes that stay as they are during the call, each.
unsafe fn lock_id<'a>(
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
) -> Result<LockId<'a>> {
    if requester.is_null() != (requester_len == 0) {
        return Err(Failure::invalid("requester is NULL and requester_len is not 0, or the other way round"));
    }
    // SAFETY: passed on.
    let (resource, requester) =
        unsafe { (name(resource, resource_len)?, bytes(requester, requester_len, "requester is NULL")?) };
    Ok(LockId { resource, requester: (!requester.is_empty()).then_some(requester) })
}

/// # Safety
/// NULL, or an array of so many pointers, each NULL or a zero-terminated string, that stay as they are during the call.
unsafe fn node_names(nodes: *const *const c_char, len: usize) -> Result<Option<Vec<String>>> {
    if nodes.is_null() != (len == 0) {
        return Err(Failure::invalid("nodes is NULL and nodes_len is not 0, or the other way round"));
    }
    if len > isize::MAX as usize / size_of::<*const c_char>() {
        return Err(Failure::new(Status::TooBig, "an array beyond half of the address space"));
    }
    let name = |index| {
        // SAFETY: within the array, by the caller's promise. Arrays of packed structs are not aligned.
        let name = unsafe { nodes.add(index).read_unaligned() };
        // SAFETY: NULL or a zero-terminated string, by the caller's promise.
        unsafe { text(name, "a name in nodes is NULL", "a name in nodes is not UTF-8") }.map(str::to_owned)
    };
    (!nodes.is_null()).then(|| (0..len).map(name).collect()).transpose()
}

/// -1 is for ever.
fn retries(retries: i64) -> Result<Option<u64>> {
    match retries {
        -1 => Ok(None),
        _ => u64::try_from(retries).map(Some).map_err(|_| Failure::invalid("retries is below -1")),
    }
}

/// Acquires a lock for a process on all nodes: convoke_lock_acquire_on with no list and CONVOKE_RETRIES_FOREVER.
///
/// @param process who is to hold it.
/// @param resource what is locked, copied.
/// @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
/// @param requester as whom, copied; NULL for the process alone.
/// @param requester_len its length in bytes; 0 with NULL.
/// @param timeout_ms how long it may take; 0: it is not waited for while others hold it. See the rules of waiting.
/// @param fence_out receives the fencing token; 0 on failure, and with `op_out`, when convoke_event_value of the DONE event
///        has it. May be NULL.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK every node of the set has agreed: the process holds the lock; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_TIMEOUT not in time: others have it, or a node did not answer. It is undone. Try again.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
///         `requester_len` is not 0 or the reverse, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
/// @retval CONVOKE_E_FULL too many locks or operations (options `limits.locks`, `limits.operations`).
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:set_lock/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_lock_acquire(
    process: *mut convoke_process,
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
    timeout_ms: i64,
    fence_out: *mut u64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    let (nodes, forever) = (std::ptr::null(), -1);
    // SAFETY: passed on; no list of nodes.
    unsafe {
        convoke_lock_acquire_on(
            process,
            resource,
            resource_len,
            requester,
            requester_len,
            nodes,
            0,
            forever,
            timeout_ms,
            fence_out,
            op_out,
        )
    }
}

/// Acquires a lock for a process on a set of nodes. When it returns CONVOKE_OK every node of the set has agreed, and no other
/// requester holds it on any of them.
///
/// If the process holds the lock already, nodes are added to its share: one release still gives all of it back. An attempt
/// that fails gives back only what it has taken itself.
///
/// A process that cannot have the lock at once waits in a queue, and nobody polls. `retries` bounds the time in it as the manual's
/// attempts would: one try, and so many chances more, which makes at most the sum over k = 1 to `retries` of half of
/// min(250 * 2^(k-1), 8000) ms. `timeout_ms` bounds the whole call. Whichever is over first ends it.
///
/// @param process who is to hold it.
/// @param resource what is locked, copied.
/// @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
/// @param requester as whom, copied; NULL for the process alone.
/// @param requester_len its length in bytes; 0 with NULL.
/// @param nodes where, copied: names of nodes; NULL for all.
/// @param nodes_len how many names; 0 with NULL.
/// @param retries chances after the first try; 0: it is not waited for while others hold it; CONVOKE_RETRIES_FOREVER: as many
///        as the timeout lets it.
/// @param timeout_ms how long it may take; 0: it is not waited for while others hold it. See the rules of waiting.
/// @param fence_out receives the fencing token; 0 on failure, and with `op_out`, when convoke_event_value of the DONE event
///        has it. May be NULL.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK the process holds the lock; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_TIMEOUT not in time or retries: others have it, or a node did not answer. It is undone. Try again.
/// @retval CONVOKE_E_UNREACHABLE a node of the list has no link to this one, or lost it before all had agreed. It is undone.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
///         `requester_len` is not 0 or the reverse, likewise `nodes`, a name in `nodes` is NULL or not UTF-8, or `retries` or
///         `timeout_ms` is below -1.
/// @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit, or `nodes_len` is beyond any array.
/// @retval CONVOKE_E_FULL too many locks or operations (options `limits.locks`, `limits.operations`).
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:set_lock/2, global:set_lock/3
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_lock_acquire_on(
    process: *mut convoke_process,
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
    nodes: *const *const c_char,
    nodes_len: usize,
    retries: i64,
    timeout_ms: i64,
    fence_out: *mut u64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: valid pointers or NULL, by the contract.
    let (fence, op) = unsafe { (Out::new(fence_out, 0), Out::new(op_out, 0)) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: so many bytes and names, or NULL, by the contract.
        let (id, nodes) = unsafe {
            (lock_id(resource, resource_len, requester, requester_len)?, node_names(nodes, nodes_len)?)
        };
        let attempt = Attempt { nodes, retries: self::retries(retries)?, timeout_ms: timeout(timeout_ms)? };
        let done = process.acquire(id, attempt, completion(&op))?;
        fence.set(done.value);
        op.set(done.op.0);
        Ok(())
    })
}

/// Releases the whole of a process's share of a lock. The one that has waited for longest gets it at once; others that share it keep
/// theirs.
///
/// @param process who holds it. Nobody else can release it.
/// @param resource what is locked.
/// @param resource_len its length in bytes.
/// @param requester as whom it was acquired; NULL for the process alone.
/// @param requester_len its length in bytes; 0 with NULL.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK no linked node shows the share any more; also when the lock had been lost. With `op_out`: the operation
///         has begun.
/// @retval CONVOKE_E_NOT_OWNER the process has no share of the lock as this requester, or has none any more: it was lost by
///         CONVOKE_REASON_MINORITY and has met another holder since. Nothing changes.
/// @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
///         `requester_len` is not 0 or the reverse, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited, and has given back all its locks by that.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:del_lock/1
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_lock_release(
    process: *mut convoke_process,
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    let nodes = std::ptr::null();
    // SAFETY: passed on; no list of nodes.
    unsafe {
        convoke_lock_release_on(
            process,
            resource,
            resource_len,
            requester,
            requester_len,
            nodes,
            0,
            timeout_ms,
            op_out,
        )
    }
}

/// Releases a process's share of a lock on some nodes; on the others of its set it goes on holding it.
///
/// @param process who holds it. Nobody else can release it.
/// @param resource what is locked.
/// @param resource_len its length in bytes.
/// @param requester as whom it was acquired; NULL for the process alone.
/// @param requester_len its length in bytes; 0 with NULL.
/// @param nodes on which: names of nodes; those that are not of the set do not matter, as long as one is. NULL for all of the
///        set.
/// @param nodes_len how many names; 0 with NULL.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK no linked node shows that part of the share any more; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_NOT_OWNER the process has no share of the lock as this requester, or none on these nodes. Nothing changes.
/// @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
///         `requester_len` is not 0 or the reverse, likewise `nodes`, a name in `nodes` is NULL or not UTF-8, or `timeout_ms`
///         is below -1.
/// @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit, or `nodes_len` is beyond any array.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited, and has given back all its locks by that.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:del_lock/2
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_lock_release_on(
    process: *mut convoke_process,
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
    nodes: *const *const c_char,
    nodes_len: usize,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let op = unsafe { Out::new(op_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: so many bytes and names, or NULL, by the contract.
        let (id, nodes) = unsafe {
            (lock_id(resource, resource_len, requester, requester_len)?, node_names(nodes, nodes_len)?)
        };
        op.set(process.release(id, nodes, timeout(timeout_ms)?, completion(&op))?.op.0);
        Ok(())
    })
}

/// Whether a process holds a lock and may rely on it, as far as this node knows: a look-up in memory, never blocked by
/// anything. Others may know more: let the resource check the token.
///
/// @param process who is asked about.
/// @param resource what is locked.
/// @param resource_len its length in bytes.
/// @param requester as whom it was acquired; NULL for the process alone.
/// @param requester_len its length in bytes; 0 with NULL.
/// @param fence_out receives the fencing token; 0 on failure. May be NULL.
/// @return the status:
/// @retval CONVOKE_OK it does.
/// @retval CONVOKE_E_NOT_OWNER it has no share, or has lost it or a part of it (LOCK_LOST), and that was not made good.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, or `requester` is NULL and
///         `requester_len` is not 0 or the reverse.
/// @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_lock_check(
    process: *const convoke_process,
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
    fence_out: *mut u64,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let fence = unsafe { Out::new(fence_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: so many bytes, or NULL, by the contract.
        let id = unsafe { lock_id(resource, resource_len, requester, requester_len) }?;
        fence.set(process.lock_check(id)?);
        Ok(())
    })
}

/// Runs a function under a lock: acquires it as convoke_lock_acquire_on, calls `fn`, and gives back what it has acquired,
/// also when `fn` has ended the process or closed the node. `fn` is called exactly when CONVOKE_OK is returned.
///
/// The lock is left as it was found: if the process holds it already, on these nodes or others, it goes on holding it there
/// after the call. So nested use does no harm.
///
/// A lock that is lost meanwhile is told by its event and not by this status: let `fn` hand its token on, and ask
/// convoke_lock_check before it relies on what it has done.
///
/// @param process who is to hold it.
/// @param resource what is locked, copied.
/// @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
/// @param requester as whom, copied; NULL for the process alone.
/// @param requester_len its length in bytes; 0 with NULL.
/// @param nodes where, copied: names of nodes; NULL for all.
/// @param nodes_len how many names; 0 with NULL.
/// @param retries as for convoke_lock_acquire_on.
/// @param timeout_ms how long it may take to get the lock, and once more to give it back; see the rules of waiting.
/// @param fn what to run, on this thread, with no lock of the library held: it may call everything. It gets the fencing token.
/// @param user_data handed to `fn`.
/// @param result_out receives what `fn` returned; 0 on failure. May be NULL.
/// @return the status:
/// @retval CONVOKE_OK `fn` was called.
/// @retval CONVOKE_E_ABORTED the lock was not obtained in time or retries.
/// @retval CONVOKE_E_UNREACHABLE a node of the list has no link to this one, or lost it before all had agreed.
/// @retval CONVOKE_E_INVALID as for convoke_lock_acquire_on, or `fn` is NULL.
/// @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit, or `nodes_len` is beyond any array.
/// @retval CONVOKE_E_FULL too many locks or operations (options `limits.locks`, `limits.operations`).
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:trans/2, global:trans/3, global:trans/4
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_lock_with(
    process: *mut convoke_process,
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
    nodes: *const *const c_char,
    nodes_len: usize,
    retries: i64,
    timeout_ms: i64,
    r#fn: convoke_with_fn,
    user_data: *mut c_void,
    result_out: *mut i32,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let result = unsafe { Out::new(result_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        let function = r#fn.ok_or_else(|| Failure::invalid("fn is NULL"))?;
        // SAFETY: so many bytes and names, or NULL, by the contract.
        let (id, nodes) = unsafe {
            (lock_id(resource, resource_len, requester, requester_len)?, node_names(nodes, nodes_len)?)
        };
        let attempt = Attempt { nodes, retries: self::retries(retries)?, timeout_ms: timeout(timeout_ms)? };
        // SAFETY: the program gave this pair.
        let run = |fence| thread::outside(|| unsafe { function(fence, user_data) });
        result.set(process.lock_with(id, attempt, run)?);
        Ok(())
    })
}

/// Monitors a lock for a process that holds it: a LOCK_WANTED event with this reference whenever another requester
/// begins to wait and none waited before, also at once when one waits already. The process may be asked so to give way.
///
/// The lock need not be held yet: what counts is whether it is held then. Unread, only the newest is kept.
///
/// @param process who is told.
/// @param resource what is locked, copied.
/// @param resource_len its length in bytes: 1 to 1024 (option `limits.name`).
/// @param requester as whom it is acquired, copied; NULL for the process alone.
/// @param requester_len its length in bytes; 0 with NULL.
/// @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `process` is not a live process, `resource` is NULL or empty, `requester` is NULL and
///         `requester_len` is not 0 or the reverse, or `ref_out` is NULL.
/// @retval CONVOKE_E_TOO_BIG `resource` or `requester` is longer than the limit.
/// @retval CONVOKE_E_FULL too many monitors and operations are under way, or calls that the node has not got round to.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_lock_watch(
    process: *mut convoke_process,
    resource: *const c_void,
    resource_len: usize,
    requester: *const c_void,
    requester_len: usize,
    ref_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(ref_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        let out = out.required("ref_out is NULL")?;
        // SAFETY: so many bytes, or NULL, by the contract.
        let id = unsafe { lock_id(resource, resource_len, requester, requester_len) }?;
        out.set(process.lock_watch(id)?.0);
        Ok(())
    })
}

/// Lists who holds a lock and who waits for it, as this node sees it: all holders in the cluster, and those who wait for a set of
/// nodes to which this one belongs. What happens on other nodes is seen a moment later.
///
/// Each row has the resource (CONVOKE_FIELD_NAME), CONVOKE_FIELD_REQUESTER, CONVOKE_FIELD_PID, CONVOKE_FIELD_FENCE (0 for one
/// who waits), CONVOKE_FIELD_IS_WAITER (1 or 0) and CONVOKE_FIELD_SINCE_MS, for how long this node has seen it so.
///
/// @param node the node.
/// @param resource which lock; NULL for all.
/// @param resource_len its length in bytes; 0 with NULL.
/// @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK also when nobody holds it.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `resource` is NULL and `resource_len` is not 0 or the reverse, or
///         `list_out` is NULL.
/// @retval CONVOKE_E_TOO_BIG `resource` is longer than the limit.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_lock_list(
    node: *const convoke_node,
    resource: *const c_void,
    resource_len: usize,
    list_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(list_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("list_out is NULL")?;
        if resource.is_null() != (resource_len == 0) {
            return Err(Failure::invalid(
                "resource is NULL and resource_len is not 0, or the other way round",
            ));
        }
        // SAFETY: so many bytes, or NULL, by the contract.
        let resource = unsafe { bytes(resource, resource_len, "resource is NULL") }?;
        let resource = (!resource.is_empty()).then_some(resource);
        out.set(list::give(node.locks(resource)?));
        Ok(())
    })
}
