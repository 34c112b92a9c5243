//! 9  Groups
//!
//! A group has a name, any 1 to 1024 bytes (option `limits.name`), and members: processes of any node. It exists in the
//! whole cluster from its creation until it is deleted, with or without members. A process may join a group several times,
//! and is then a member until it has left it as often. Its memberships end with it. Any process may create and delete any
//! group, and make any process join and leave.
//!
//! convoke_group_create, convoke_group_delete, convoke_group_join and convoke_group_leave return when every node that this one
//! has a link to shows the change. The readers, convoke_group_members and the like, look into the memory of their own node and
//! are never blocked by anything.
//!
//! When two parts of a cluster join that were cut off from each other, a group that one part has deleted stays deleted,
//! unless the other part created it anew or has members in it. The memory of a deletion is kept for 24 hours after the nodes
//! that made the group have gone; after a longer cut a deleted group may return.
//!
//! The rules of waiting stand at the head of this file. And in this section:
//! - `pid` NULL, where a process joins or leaves: the process itself.

use super::args::{Out, bytes, name, optional_pid, timeout};
use super::entry::{Failure, Result, call_on};
use super::event::to_c;
use super::list;
use super::process::{ProcessHandle, completion};
use super::types::{convoke_list, convoke_node, convoke_pid, convoke_process, convoke_ref, convoke_status};
use crate::node::{Completion, Done, Error, List, Node};
use std::ffi::c_void;

/// Creates a group. One that exists already keeps its members, and nothing seems to happen; but a deletion by somebody
/// who has not seen this creation does not end it. A cluster has 1,048,576 groups at most; where parts of a cluster join that
/// together have made groups more than four times as often, the latest ones of the nodes that made the most are deleted.
///
/// @param process on whose behalf.
/// @param name the name of the group, copied.
/// @param name_len its length in bytes.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK every linked node shows the group; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_TIMEOUT a node did not answer in time. It is undone. Try again.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL processes of this node have made too many groups, or too many operations are under way (options
///         `limits.groups`, `limits.operations`), or the cluster has as many groups as it may.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: pg2:create/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_create(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: passed on.
    unsafe {
        operate(process, name, name_len, op_out, |process, group, completion| {
            Ok(process.group_create(group, timeout(timeout_ms)?, completion)?)
        })
    }
}

/// Deletes a group. Its members live on, and are not told; those who monitor it are, with CONVOKE_REASON_GROUP_DELETED. A
/// group that does not exist: CONVOKE_OK.
///
/// @param process on whose behalf; need not be a member.
/// @param name the name of the group, copied.
/// @param name_len its length in bytes.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK no linked node shows the group any more, unless it was created anew meanwhile; with `op_out`: the
///         operation has begun.
/// @retval CONVOKE_E_TIMEOUT it is done here, and on its way to the nodes that have not answered yet. Nothing is undone.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: pg2:delete/1
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_group_delete(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: passed on.
    unsafe {
        operate(process, name, name_len, op_out, |process, group, completion| {
            Ok(process.group_delete(group, timeout(timeout_ms)?, completion)?)
        })
    }
}

/// Makes a process a member of a group, once more if it is one already.
///
/// @param process on whose behalf.
/// @param name the name of the group, copied. It must exist.
/// @param name_len its length in bytes.
/// @param pid who joins, on any node; NULL for `process`.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK every linked node shows the membership; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_NOT_FOUND there is no such group, as this node sees it.
/// @retval CONVOKE_E_TIMEOUT a node did not answer in time. It is undone. Try again.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`; or it broke before the answer, and what became of the
///         joining is unknown.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, `pid` is none, or `timeout_ms` is below
///         -1.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL too many memberships or operations (options `limits.groups`, `limits.operations`).
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. It is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: pg2:join/2
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_join(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    pid: *const convoke_pid,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: passed on; a pid or NULL, by the contract.
    unsafe {
        operate(process, name, name_len, op_out, |process, group, completion| {
            Ok(process.group_join(group, optional_pid(pid)?, timeout(timeout_ms)?, completion)?)
        })
    }
}

/// Leaves a group: takes back one join of a process. A process that is no member: CONVOKE_OK.
///
/// @param process on whose behalf.
/// @param name the name of the group, copied.
/// @param name_len its length in bytes.
/// @param pid who leaves, on any node; NULL for `process`.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK every linked node shows it; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_NOT_FOUND there is no such group, as this node sees it.
/// @retval CONVOKE_E_TIMEOUT it is done, and on its way to the nodes that have not answered yet. Nothing is undone.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited, or there is no process `pid`.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the node of `pid`; or it broke before the answer, and what became of the
///         leaving is unknown.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `name` is NULL or empty, `pid` is none, or `timeout_ms` is below
///         -1.
/// @retval CONVOKE_E_TOO_BIG the name is longer than the limit.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called. Nothing is undone.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: pg2:leave/2
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_group_leave(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    pid: *const convoke_pid,
    timeout_ms: i64,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: passed on; a pid or NULL, by the contract.
    unsafe {
        operate(process, name, name_len, op_out, |process, group, completion| {
            Ok(process.group_leave(group, optional_pid(pid)?, timeout(timeout_ms)?, completion)?)
        })
    }
}

/// What the operations on groups have in common.
///
/// # Safety
/// `name` is NULL or `name_len` bytes that stay as they are during the call, `op_out` as for [`Out::new`].
unsafe fn operate(
    process: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    op_out: *mut convoke_ref,
    begin: impl FnOnce(&ProcessHandle, &[u8], Completion) -> Result<Done>,
) -> convoke_status {
    // SAFETY: passed on.
    let op = unsafe { Out::new(op_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: passed on.
        let group = unsafe { self::name(name, name_len) }?;
        op.set(begin(process, group, completion(&op))?.op.0);
        Ok(())
    })
}

/// Lists the members of a group, as this node sees it: a look-up in memory that copies nothing and is never blocked by anything.
///
/// Each row has a pid: every member as often as it has joined, its rows side by side, those of this node first. Read them
/// all at once with convoke_list_pids.
///
/// @param node the node.
/// @param name the name of the group.
/// @param name_len its length in bytes.
/// @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK also when the group is empty.
/// @retval CONVOKE_E_NOT_FOUND there is no such group.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `list_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits
/// @see Erlang: pg2:get_members/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_members(
    node: *const convoke_node,
    name: *const c_void,
    name_len: usize,
    list_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: passed on.
    unsafe { look_up(node, name, name_len, list_out, Node::members) }
}

/// Lists the members of a group that live on this very node; see convoke_group_members.
///
/// @param node the node.
/// @param name the name of the group.
/// @param name_len its length in bytes.
/// @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK also when there are none.
/// @retval CONVOKE_E_NOT_FOUND there is no such group.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `list_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits
/// @see Erlang: pg2:get_local_members/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_local_members(
    node: *const convoke_node,
    name: *const c_void,
    name_len: usize,
    list_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: passed on.
    unsafe { look_up(node, name, name_len, list_out, Node::local_members) }
}

/// # Safety
/// `name` is NULL or `name_len` bytes that stay as they are during the call, `list_out` as for [`Out::new`].
unsafe fn look_up(
    node: *const convoke_node,
    name: *const c_void,
    name_len: usize,
    list_out: *mut *mut convoke_list,
    members: impl FnOnce(&Node, &[u8]) -> Result<List, Error>,
) -> convoke_status {
    // SAFETY: passed on.
    let out = unsafe { Out::new(list_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("list_out is NULL")?;
        // SAFETY: passed on.
        out.set(list::give(members(node, unsafe { self::name(name, name_len) }?)?));
        Ok(())
    })
}

/// Picks one member of a group to turn to: of those on this node, if there are any, else of all. Which one is decided by chance,
/// each row of convoke_group_members being as likely. A look-up in memory, never blocked by anything.
///
/// @param node the node.
/// @param name the name of the group.
/// @param name_len its length in bytes.
/// @param pid_out receives the pid; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_NOT_FOUND there is no such group.
/// @retval CONVOKE_E_NO_PROCESS the group is empty.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `name` is NULL or empty, or `pid_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits
/// @see Erlang: pg2:get_closest_pid/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_closest(
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
        out.set(to_c(node.closest(unsafe { self::name(name, name_len) }?)?));
        Ok(())
    })
}

/// Lists all groups, empty ones too, as this node sees them. Each row has a name and CONVOKE_FIELD_COUNT, the number of rows that
/// convoke_group_members would give; they are sorted by name, byte by byte.
///
/// @param node the node.
/// @param list_out receives the list, owned by the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK also when there are none.
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `list_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @see Erlang: pg2:which_groups/0
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_list(
    node: *const convoke_node,
    list_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(list_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("list_out is NULL")?;
        out.set(list::give(node.groups()?));
        Ok(())
    })
}

/// Monitors a group for a process: a GROUP_JOINED event for every present member, a SNAPSHOT_END event, then a
/// GROUP_JOINED or GROUP_LEFT event for every change, each with this reference and with CONVOKE_FIELD_COUNT, how often the
/// process is a member now.
///
/// The reason of a GROUP_LEFT event is CONVOKE_REASON_NORMAL for one that left, CONVOKE_REASON_GROUP_DELETED, or why the
/// process or its node has gone. Of unread events about one member only what they come to is kept.
///
/// @param process who is told; may be a member.
/// @param name the name of the group, copied; need not exist.
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
/// @see Erlang: pg:monitor/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_monitor(
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
        out.set(process.group_monitor(unsafe { self::name(name, name_len) }?)?.0);
        Ok(())
    })
}

/// Sends bytes to every member of a group, once each, however often it has joined, as this node sees the group. Never waits.
///
/// It goes to each member as by convoke_send, in the order of that pair; among different members there is no order. Members
/// that are known to be no more, and those whose node has no link to this one, are passed over.
///
/// @param from the sender; if it is a member it gets the message too.
/// @param name the name of the group.
/// @param name_len its length in bytes.
/// @param data the payload, copied; NULL if `len` is 0.
/// @param len its length in bytes: 0 to 16 MiB (option `limits.message`).
/// @param count_out receives how many members have taken the message, also with CONVOKE_E_FULL and CONVOKE_E_TOO_BIG; 0 on
///        other failures. May be NULL.
/// @return the status:
/// @retval CONVOKE_OK no member has refused it; also when the group is empty.
/// @retval CONVOKE_E_FULL one or more members, or the links to them, have no room; the others have got it. One SENDABLE event
///         for each of those follows when it has room again: send it the message then with convoke_send.
/// @retval CONVOKE_E_NOT_FOUND there is no such group.
/// @retval CONVOKE_E_NO_PROCESS `from` has exited.
/// @retval CONVOKE_E_INVALID `from` is not a live process, `name` is NULL or empty, or `data` is NULL and `len` is not 0.
/// @retval CONVOKE_E_TOO_BIG `len` is more than the limit of this node; or more than that of another node, whose members have
///         not got it.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_group_send(
    from: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    data: *const c_void,
    len: usize,
    count_out: *mut u32,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let count = unsafe { Out::new(count_out, 0) };
    call_on::<ProcessHandle>(from as usize, |from| {
        // SAFETY: `name_len` and `len` bytes, or NULL, by the contract.
        let (group, data) =
            unsafe { (self::name(name, name_len)?, bytes(data, len, "data is NULL and len is not 0")?) };
        let sent = from.group_send(group, data)?;
        count.set(sent.accepted);
        sent.refused.map_or(Ok(()), |error| Err(Failure::from(error)))
    })
}
