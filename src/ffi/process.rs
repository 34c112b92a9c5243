//! 6  Processes
//!
//! A process is a light entity with a pid and a mailbox: not a thread, nothing runs in it. Names, locks and memberships
//! of groups belong to processes, and messages are sent to them. It lives until it exits, is killed, its handle is freed, or its node closes.
//!
//! Any number of threads may use a process at once.

use super::args::{Out, bytes, pid, timeout};
use super::callback::handler;
use super::entry::{Failure, call_on, quiet};
use super::event::{self, to_c};
use super::handle::{Checked, Single, Table};
use super::queue::QueueHandle;
use super::types::{
    convoke_event, convoke_event_fn, convoke_free_fn, convoke_node, convoke_pid, convoke_process,
    convoke_queue, convoke_reason, convoke_ref, convoke_status,
};
use crate::model::{Reason, Ref};
use crate::node::{Completion, Node, Process};
use std::ffi::c_void;
use std::ops::Deref;

/// What a process handle stands for.
pub(super) struct ProcessHandle {
    process: Process,
    node: Node,
}

impl Deref for ProcessHandle {
    type Target = Process;
    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Checked for ProcessHandle {
    type Lanes = Single;
    const TAG: usize = 3;
    fn table() -> &'static Table<Self> {
        static TABLE: Table<ProcessHandle> = Table::new();
        &TABLE
    }
    fn poison(&self) {
        self.node.shut();
    }
}

/// NULL waits, anything else asks for a DONE event.
pub(super) fn completion(op: &Out<convoke_ref>) -> Completion {
    if op.is_null() { Completion::Wait } else { Completion::Event }
}

/// Makes a process on a node.
///
/// @param node the node.
/// @param queue where its events go, a queue of the same node that may serve others too; NULL gives it a mailbox of its
///        own, read by convoke_process_recv.
/// @param process_out receives the process, owned by the caller: free it with convoke_process_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node` is not a live node, `queue` is not NULL and not a live queue of this node, or
///         `process_out` is NULL.
/// @retval CONVOKE_E_FULL the node has as many processes as it may (option `limits.processes`), or it has not got round to too
///         many earlier calls, ends of processes among them (option `limits.operations`). Try again.
/// @retval CONVOKE_E_IO the system has no descriptor left.
/// @retval CONVOKE_E_MEMORY there is no memory for another process.
/// @retval CONVOKE_E_CLOSED the node is closed, or the queue is being freed.
/// @retval CONVOKE_E_FORKED the node or the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: erlang:spawn/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_process_spawn(
    node: *mut convoke_node,
    queue: *mut convoke_queue,
    process_out: *mut *mut convoke_process,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(process_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("process_out is NULL")?;
        let process = if queue.is_null() {
            Process::spawn(node, None)?
        } else {
            let held = QueueHandle::table()
                .enter(queue as usize, 0)
                .map_err(|status| Failure::new(status, "queue is neither NULL nor a live queue"))?;
            Process::spawn(node, Some(&held.queue))?
        };
        let made = ProcessHandle { process, node: node.clone() };
        out.set(ProcessHandle::table().insert(made)? as *mut convoke_process);
        Ok(())
    })
}

/// Ends the process: its names, locks, memberships and monitors go, its pending operations and waiting calls end with
/// CONVOKE_E_NO_PROCESS, and each process that monitors it gets one EXIT event with this reason and data. It gets none
/// itself. Messages that it has sent are still delivered, before the EXIT; those that it has not read are dropped.
///
/// The handle stays to be freed.
///
/// @param process the process.
/// @param reason CONVOKE_REASON_NORMAL, CONVOKE_REASON_EXPLICIT, or one of the application's own from
///        CONVOKE_REASON_USER on.
/// @param data for whoever monitors it, copied; NULL if `len` is 0.
/// @param len its length in bytes, at most 64 KiB.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `process` is not a live process, `data` is NULL and `len` is not 0, or the reason is one that
///         only the library gives.
/// @retval CONVOKE_E_TOO_BIG `len` is more than 64 KiB.
/// @retval CONVOKE_E_NO_PROCESS it has exited before.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: erlang:exit/1
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_process_exit(
    process: *mut convoke_process,
    reason: convoke_reason,
    data: *const c_void,
    len: usize,
) -> convoke_status {
    call_on::<ProcessHandle>(process as usize, |process| {
        // SAFETY: `len` bytes or NULL, by the contract.
        let data = unsafe { bytes(data, len, "data is NULL and len is not 0") }?;
        Ok(process.exit(given(reason, &[Reason::NORMAL, Reason::EXPLICIT])?, data)?)
    })
}

/// A reason that the program gives: one of its own or one of these.
fn given(reason: convoke_reason, allowed: &[Reason]) -> super::entry::Result<Reason> {
    /// From here on reasons are the application's.
    const USER: u32 = 0x10000;
    if reason >= USER || allowed.contains(&Reason(reason)) {
        return Ok(Reason(reason));
    }
    Err(Failure::invalid("a reason below 0x10000 that only the library gives"))
}

/// Frees the handle of a process. If the process lives it exits, with CONVOKE_REASON_FREED. Never waits.
///
/// @param process the process, or NULL: then nothing happens. A process freed before is left alone.
/// @threads any; also in callbacks, static destructors and a forked child (where it does nothing to the parent's process)
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_process_free(process: *mut convoke_process) {
    quiet((), || {
        if let Some(process) = ProcessHandle::table().close(process as usize)
            && !process.is_forked()
        {
            process.free();
        }
    });
}

/// The pid of the process: also after it has exited.
///
/// @param process the process.
/// @param pid_out receives the pid; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `process` is not a live process, or `pid_out` is NULL.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: erlang:self/0
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_process_pid(
    process: *const convoke_process,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(pid_out, convoke_pid { node: 0, serial: 0 }) };
    call_on::<ProcessHandle>(process as usize, |process| {
        let out = out.required("pid_out is NULL")?;
        out.set(to_c(process.pid()));
        Ok(())
    })
}

/// Takes the oldest event from the mailbox of a process that was spawned without a queue.
///
/// After the process has exited the events that wait can still be taken.
///
/// @param process the process.
/// @param timeout_ms how long to wait for one; -1 for ever, 0 not at all.
/// @param event_out receives the event, owned by the caller: free it with convoke_event_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_TIMEOUT there was none in time.
/// @retval CONVOKE_E_STATE the process has no mailbox of its own: its events go to its queue.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `event_out` is NULL, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_NO_PROCESS the process has exited and all was taken.
/// @retval CONVOKE_E_CLOSED the node is closed and all was taken.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: the receive expression
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_process_recv(
    process: *mut convoke_process,
    timeout_ms: i64,
    event_out: *mut *mut convoke_event,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(event_out, std::ptr::null_mut()) };
    call_on::<ProcessHandle>(process as usize, |process| {
        let out = out.required("event_out is NULL")?;
        out.set(event::give(process.recv(timeout(timeout_ms)?)?));
        Ok(())
    })
}

/// Sets what is called with the events of this process instead of the handler of its queue. See the callback contract.
///
/// @param process a process that was spawned on a queue.
/// @param fn the handler; NULL for that of the queue again.
/// @param user_data handed to `fn` as it is; owned by the library until `free_fn` is called with it.
/// @param free_fn gives `user_data` back, exactly once, also when this call fails; may be NULL.
/// @return the status:
/// @retval CONVOKE_OK the former handler is replaced; its `free_fn` is called when its last call has ended.
/// @retval CONVOKE_E_STATE the process has a mailbox of its own, which calls nobody.
/// @retval CONVOKE_E_INVALID `process` is not a live process.
/// @retval CONVOKE_E_NO_PROCESS the process has exited.
/// @retval CONVOKE_E_CLOSED the node is closed, or the queue is being freed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; also in callbacks of the process
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_process_set_handler(
    process: *mut convoke_process,
    r#fn: convoke_event_fn,
    user_data: *mut c_void,
    free_fn: convoke_free_fn,
) -> convoke_status {
    let handler = handler(r#fn, user_data, free_fn);
    call_on::<ProcessHandle>(process as usize, |process| Ok(process.set_handler(handler)?))
}

/// Monitors another process: exactly one EXIT event with this reference follows, when it exits, when its node goes down or
/// the link to it, or at once if there is no such process. Several monitors of one process are independent.
///
/// @param process who is told.
/// @param target who is watched; may be on any node.
/// @param ref_out receives the monitor; end it with convoke_cancel. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `process` is not a live process, `target` is NULL or none, or `ref_out` is NULL.
/// @retval CONVOKE_E_FULL too many monitors and operations are under way, or the node has not got round to too many earlier
///         calls (option `limits.operations`). A monitor that is cancelled counts until the node has got round to that.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @see Erlang: erlang:monitor/2
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_process_monitor(
    process: *mut convoke_process,
    target: *const convoke_pid,
    ref_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(ref_out, 0) };
    call_on::<ProcessHandle>(process as usize, |process| {
        let out = out.required("ref_out is NULL")?;
        // SAFETY: a pid or NULL, by the contract.
        out.set(process.monitor(unsafe { pid(target) }?)?.0);
        Ok(())
    })
}

/// Kills any process, on this node or another. It gets a last EXIT event about itself, and those that monitor it get
/// theirs. Goes the way of the messages from `from` to it: those sent before arrive before.
///
/// Nothing tells whether there was such a process: monitor it to know.
///
/// @param from on whose behalf; named in the events as CONVOKE_FIELD_KILLED_BY.
/// @param target who is to end.
/// @param reason CONVOKE_REASON_KILLED, CONVOKE_REASON_EXPLICIT, or one of the application's own from CONVOKE_REASON_USER on;
///        CONVOKE_REASON_NORMAL counts as KILLED.
/// @return the status:
/// @retval CONVOKE_OK it is on its way.
/// @retval CONVOKE_E_INVALID `from` is not a live process, `target` is NULL or none, or the reason is one that only the
///         library gives.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the node of `target`.
/// @retval CONVOKE_E_FULL the node has not got round to too many earlier calls (option `limits.operations`), or the node of
///         `target` leaves too much unread. Try again.
/// @retval CONVOKE_E_NO_PROCESS `from` has exited, or `target` is known to be no more.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @see Erlang: erlang:exit/2
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_process_kill(
    from: *mut convoke_process,
    target: *const convoke_pid,
    reason: convoke_reason,
) -> convoke_status {
    call_on::<ProcessHandle>(from as usize, |from| {
        // SAFETY: a pid or NULL, by the contract.
        let target = unsafe { pid(target) }?;
        let reason = given(reason, &[Reason::KILLED, Reason::NORMAL, Reason::EXPLICIT])?;
        Ok(from.kill(target, reason)?)
    })
}

/// Asks the home of a process whether it lives.
///
/// @param process on whose behalf.
/// @param pid who is asked about; may be on any node.
/// @param timeout_ms how long it may take; see the rules of waiting.
/// @param alive_out receives the answer; false on failure. May be NULL if `op_out` is not: the answer is then the value of
///        the DONE event, 1 or 0.
/// @param op_out NULL to wait, or receives the operation; see the rules of waiting. 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK `*alive_out` holds the answer; with `op_out`: the operation has begun.
/// @retval CONVOKE_E_UNREACHABLE there is no link to the home of `pid`, so nobody knows.
/// @retval CONVOKE_E_TIMEOUT its home did not answer in time.
/// @retval CONVOKE_E_INVALID `process` is not a live process, `pid` is NULL or none, both outputs are NULL, or `timeout_ms` is
///         below -1.
/// @retval CONVOKE_E_FULL too many operations are under way.
/// @retval CONVOKE_E_NO_PROCESS `process` has exited.
/// @retval CONVOKE_E_CANCELLED (in the DONE event only) convoke_cancel was called.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: erlang:is_process_alive/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_process_is_alive(
    process: *mut convoke_process,
    pid: *const convoke_pid,
    timeout_ms: i64,
    alive_out: *mut bool,
    op_out: *mut convoke_ref,
) -> convoke_status {
    // SAFETY: valid pointers or NULL, by the contract.
    let (alive, op) = unsafe { (Out::new(alive_out, false), Out::new(op_out, 0)) };
    call_on::<ProcessHandle>(process as usize, |process| {
        if alive.is_null() && op.is_null() {
            return Err(Failure::invalid("alive_out and op_out are NULL"));
        }
        // SAFETY: a pid or NULL, by the contract.
        let pid = unsafe { self::pid(pid) }?;
        let done = process.is_alive(pid, timeout(timeout_ms)?, completion(&op))?;
        op.set(done.op.0);
        alive.set(done.value == 1);
        Ok(())
    })
}

/// Ends a monitor, silently, or a pending operation of a process: its DONE event then says CONVOKE_E_CANCELLED, unless it was
/// complete already. Exactly one DONE follows in every case. An event of the monitor that waits already still comes.
///
/// @param process whose monitor or operation it is.
/// @param ref what was given out; one that has ended is left alone.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `process` is not a live process, or `ref` is 0.
/// @retval CONVOKE_E_NO_PROCESS the process has exited, and its monitors and operations with it.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the process was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits
/// @see Erlang: erlang:demonitor/1
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_cancel(process: *mut convoke_process, r#ref: convoke_ref) -> convoke_status {
    call_on::<ProcessHandle>(process as usize, |process| {
        if r#ref == 0 {
            return Err(Failure::invalid("ref is 0"));
        }
        Ok(process.cancel(Ref(r#ref))?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_reasons_are_given_by_programs() {
        let ok = |reason| given(reason, &[Reason::NORMAL]).is_ok();
        assert!(ok(0) && ok(0x10000) && ok(u32::MAX));
        assert!(!ok(1) && !ok(5) && !ok(0xffff));
    }
}
