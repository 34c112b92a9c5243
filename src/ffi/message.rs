//! 10  Messages
//!
//! Messages from one process to another arrive in the order sent, at most once, and none is lost while the link between
//! their nodes is up. A slow receiver costs its senders CONVOKE_E_FULL, never memory without bound, and nobody else
//! anything.

use super::args::{Out, bytes, name, pid};
use super::entry::call_on;
use super::event::to_c;
use super::process::ProcessHandle;
use super::types::{convoke_pid, convoke_process, convoke_status};
use std::ffi::c_void;

/// Sends bytes to a process, which gets a MESSAGE event. Never waits.
///
/// CONVOKE_OK says that the message was accepted, not that it arrived: monitor the receiver to know of its end.
///
/// @param from the sender.
/// @param to the receiver, on any node.
/// @param data the payload, copied; NULL if `len` is 0.
/// @param len its length in bytes: 0 to 16 MiB (option `limits.message`).
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_FULL the receiver, or the link to it, has no room. One SENDABLE event follows when there is room
///         again: send the message then.
/// @retval CONVOKE_E_NO_PROCESS `from` has exited, or `to` is known to be no more.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the node of `to`.
/// @retval CONVOKE_E_INVALID `from` is not a live process, `to` is NULL or none, or `data` is NULL and `len` is not 0.
/// @retval CONVOKE_E_TOO_BIG `len` is more than the limit.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; messages that several threads send for one process are in the order in which the calls began to act
/// @see Erlang: erlang:send/2
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_send(
    from: *mut convoke_process,
    to: *const convoke_pid,
    data: *const c_void,
    len: usize,
) -> convoke_status {
    call_on::<ProcessHandle>(from as usize, |from| {
        // SAFETY: a pid and `len` bytes, or NULL, by the contract.
        let (to, data) = unsafe { (pid(to)?, bytes(data, len, "data is NULL and len is not 0")?) };
        Ok(from.send(to, data)?)
    })
}

/// Sends bytes to the process that has a name, as this node sees it. Never waits.
///
/// @param from the sender.
/// @param name the name.
/// @param name_len its length in bytes.
/// @param data the payload, copied; NULL if `len` is 0.
/// @param len its length in bytes: 0 to 16 MiB (option `limits.message`).
/// @param pid_out receives who that was; none on failure. May be NULL.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_NOT_FOUND nobody has the name.
/// @retval CONVOKE_E_FULL the receiver, or the link to it, has no room. One SENDABLE event follows when there is room
///         again: send the message then.
/// @retval CONVOKE_E_NO_PROCESS `from` has exited, or the receiver is known to be no more.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the node of the receiver.
/// @retval CONVOKE_E_INVALID `from` is not a live process, `name` is NULL or empty, or `data` is NULL and `len` is not 0.
/// @retval CONVOKE_E_TOO_BIG `len` is more than the limit.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: global:send/2
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_send_name(
    from: *mut convoke_process,
    name: *const c_void,
    name_len: usize,
    data: *const c_void,
    len: usize,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(pid_out, convoke_pid { node: 0, serial: 0 }) };
    call_on::<ProcessHandle>(from as usize, |from| {
        // SAFETY: `name_len` and `len` bytes, or NULL, by the contract.
        let (name, data) =
            unsafe { (self::name(name, name_len)?, bytes(data, len, "data is NULL and len is not 0")?) };
        out.set(to_c(from.send_name(name, data)?));
        Ok(())
    })
}
