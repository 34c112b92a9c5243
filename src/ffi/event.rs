//! 5  Events
//!
//! An event never changes. What its accessors lend lives as long as the event does: until convoke_event_free, or in a
//! callback until it returns, unless convoke_event_retain was called. Which fields an event has depends on its kind; the
//! comments of the CONVOKE_EVENT_ constants say which, and ask for any other and the answer is CONVOKE_E_NOT_FOUND.
//!
//! The named accessors are shorthand; convoke_event_bytes, convoke_event_pid and convoke_event_u64 reach every field of
//! every kind. Events are plain memory: they can be read and freed after their node was freed, and in a forked child.
//!
//! What is merged, so that a process which does not read for long is not buried. It happens between events that are both unread,
//! of one monitor or for one process; what was read is never told again or counted again:
//! - NAME_CHANGED: of the changes of one name one event, with the pid before the first (CONVOKE_FIELD_OLD_PID) and after the last
//!   of them (CONVOKE_FIELD_PEER), which may be the same. CONVOKE_FIELD_CHANGES says how many they were.
//! - NODE_UP and NODE_DOWN: a node that came up and went down again is told of by one NODE_DOWN, with a CONVOKE_FIELD_CHANGES of
//!   2; further such nodes are merged into that event, which moves back in the queue, has node, name, address and reason of the
//!   last of them, and counts 2 for each. A NODE_DOWN for a node whose NODE_UP was read counts 1, and is always told, as is the
//!   NODE_UP of every node that is there when the process reads.
//! - GROUP_JOINED and GROUP_LEFT: of one member, what they come to; nothing, if that is what was told before.
//! - LOCK_WANTED: of one watch, the newest who waits.
//! - SENDABLE: one for each receiver.
//! - LOG: beyond 1024 they are dropped, and the next one counts them (CONVOKE_FIELD_VALUE).
//!
//! MESSAGE, EXIT, DONE, NAME_CONFLICT and LOCK_LOST are told one by one.

use super::args::Out;
use super::entry::{Failure, Result, call, quiet};
use super::types::{
    convoke_event, convoke_event_kind, convoke_field, convoke_pid, convoke_reason, convoke_ref,
    convoke_status,
};
use super::{live, thread};
use crate::model::{Pid, Status};
use crate::node::{Event, Field};
use std::ffi::{c_char, c_void};
use std::sync::Arc;

/// Hands an event to the program, which frees it.
pub(super) fn give(event: Arc<Event>) -> *mut convoke_event {
    live::add(thread::lane());
    Arc::into_raw(event).cast_mut().cast()
}

/// # Safety
/// NULL, or an event that is not freed during the call.
unsafe fn get<'a>(event: *const convoke_event) -> Result<&'a Event> {
    // SAFETY: the caller's promise; a `convoke_event` is an `Event` within an `Arc`.
    unsafe { event.cast::<Event>().as_ref() }.ok_or_else(|| Failure::invalid("event is NULL"))
}

/// As `get`, for the accessors that return the value itself.
///
/// # Safety
/// As for `get`.
unsafe fn ask<R: Default>(event: *const convoke_event, what: impl FnOnce(&Event) -> R) -> R {
    // SAFETY: passed on.
    quiet(None, || unsafe { get(event) }.ok().map(what)).unwrap_or_default()
}

pub(super) fn no_such_field() -> Failure {
    Failure::new(Status::NotFound, "there is no such field here")
}

pub(super) fn field(number: convoke_field) -> Result<Field> {
    Field::from_number(number).ok_or_else(no_such_field)
}

pub(super) fn to_c(pid: Pid) -> convoke_pid {
    convoke_pid { node: pid.node.0, serial: pid.serial }
}

/// Where lent bytes go.
pub(super) struct BytesOut {
    data: Out<*const c_void>,
    len: Out<usize>,
}

impl BytesOut {
    /// # Safety
    /// As for [`Out::new`].
    pub(super) unsafe fn new(data: *mut *const c_void, len: *mut usize) -> Self {
        // SAFETY: passed on.
        unsafe { Self { data: Out::new(data, std::ptr::null()), len: Out::new(len, 0) } }
    }

    pub(super) fn check(&self) -> Result {
        if self.data.is_null() || self.len.is_null() {
            return Err(Failure::invalid("data_out or len_out is NULL"));
        }
        Ok(())
    }

    pub(super) fn set(&self, bytes: &[u8]) {
        // No bytes lie nowhere; what is lent is a valid pointer all the same.
        let data = if bytes.is_empty() { c"".as_ptr().cast() } else { bytes.as_ptr() };
        self.data.set(data.cast());
        self.len.set(bytes.len());
    }
}

/// What the event tells.
///
/// @param event the event.
/// @return one of the CONVOKE_EVENT_ constants, or a number that this version of the header does not know: ignore such an
///         event. 0 if `event` is NULL.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_get_kind(event: *const convoke_event) -> convoke_event_kind {
    // SAFETY: a live event or NULL, by the contract.
    unsafe { ask(event, |event| event.kind().number()) }
}

/// Keeps an event, beyond the return of a callback for example: it then has one more owner.
///
/// @param event the event.
/// @return `event`; NULL if it is NULL. Free it with convoke_event_free, once for each call.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_retain(event: *mut convoke_event) -> *mut convoke_event {
    if !event.is_null() {
        // SAFETY: a live event by the contract: the pointer came from `Arc::into_raw` or `Arc::as_ptr`.
        unsafe { Arc::increment_strong_count(event.cast_const().cast::<Event>()) };
        live::add(thread::lane());
    }
    event
}

/// Frees an event. To be called exactly once for each event taken and for each convoke_event_retain; never for an event
/// that is only lent to a callback.
///
/// @param event the event, or NULL: then nothing happens.
/// @threads any; not while another thread uses the event without an ownership of its own
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_free(event: *mut convoke_event) {
    quiet((), || {
        if !event.is_null() {
            live::remove(thread::lane());
            // SAFETY: the caller gives up an ownership that it has, by the contract.
            drop(unsafe { Arc::from_raw(event.cast_const().cast::<Event>()) });
        }
    });
}

/// The process that the event is for (CONVOKE_FIELD_PID): it tells processes that share a queue apart.
///
/// @param event the event.
/// @param pid_out receives the pid; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND the event is for the queue as a whole.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_process(
    event: *const convoke_event,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a live event or NULL, and a valid pointer or NULL, by the contract.
    unsafe { pid_of(event, pid_out, Event::process) }
}

/// The other process concerned (CONVOKE_FIELD_PEER): the sender of a message, the process that exited, the new owner of a
/// name, the receiver that has room again, the member of a group, the process that waits for a lock, the second process of a
/// clash. It is none where there is nobody, such as for a name that is free now.
///
/// @param event the event.
/// @param pid_out receives the pid; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND events of this kind have none.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_peer(
    event: *const convoke_event,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a live event or NULL, and a valid pointer or NULL, by the contract.
    unsafe { pid_of(event, pid_out, Event::peer) }
}

/// # Safety
/// A live event or NULL, and a valid pointer or NULL.
unsafe fn pid_of(
    event: *const convoke_event,
    pid_out: *mut convoke_pid,
    what: impl FnOnce(&Event) -> Option<Pid>,
) -> convoke_status {
    // SAFETY: passed on.
    let out = unsafe { Out::new(pid_out, convoke_pid { node: 0, serial: 0 }) };
    call(|_| {
        let out = out.required("pid_out is NULL")?;
        // SAFETY: passed on.
        let pid = what(unsafe { get(event) }?).ok_or_else(no_such_field)?;
        out.set(to_c(pid));
        Ok(())
    })
}

/// The name concerned (CONVOKE_FIELD_NAME): a registered name, a group, the resource of a lock, or the name of a node.
///
/// @param event the event.
/// @param data_out receives the bytes, lent as long as the event lives; NULL on failure.
/// @param len_out receives their length; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND events of this kind have none.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_name(
    event: *const convoke_event,
    data_out: *mut *const c_void,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: a live event or NULL, and valid pointers or NULL, by the contract.
    unsafe { bytes_of(event, data_out, len_out, |event| Ok(event.name())) }
}

/// The payload of a message, or the data of an exit (CONVOKE_FIELD_PAYLOAD). Aligned for nothing: copy before casting.
///
/// @param event the event.
/// @param data_out receives the bytes, lent as long as the event lives; NULL on failure, never NULL on success.
/// @param len_out receives their length, which may be 0; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND events of this kind have none.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_payload(
    event: *const convoke_event,
    data_out: *mut *const c_void,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: a live event or NULL, and valid pointers or NULL, by the contract.
    unsafe { bytes_of(event, data_out, len_out, |event| Ok(event.payload())) }
}

/// # Safety
/// A live event or NULL, and valid pointers or NULL.
unsafe fn bytes_of(
    event: *const convoke_event,
    data_out: *mut *const c_void,
    len_out: *mut usize,
    what: impl FnOnce(&Event) -> Result<Option<&[u8]>>,
) -> convoke_status {
    // SAFETY: passed on.
    let out = unsafe { BytesOut::new(data_out, len_out) };
    call(|_| {
        out.check()?;
        // SAFETY: passed on.
        out.set(what(unsafe { get(event) }?)?.ok_or_else(no_such_field)?);
        Ok(())
    })
}

/// Why (CONVOKE_FIELD_REASON): of an exit, of a node that went down, of a name or a lock that was lost, of a leaving.
///
/// @param event the event.
/// @return one of the CONVOKE_REASON_ constants or a reason of an application; CONVOKE_REASON_NORMAL for kinds that have
///         none, and if `event` is NULL.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_get_reason(event: *const convoke_event) -> convoke_reason {
    // SAFETY: a live event or NULL, by the contract.
    unsafe { ask(event, |event| event.reason().0) }
}

/// The monitor or the operation that the event belongs to (CONVOKE_FIELD_REF).
///
/// @param event the event.
/// @return the reference; 0 for kinds that have none, and if `event` is NULL.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_ref(event: *const convoke_event) -> convoke_ref {
    // SAFETY: a live event or NULL, by the contract.
    unsafe { ask(event, |event| event.reference().0) }
}

/// How an operation ended: what the call would have returned had it waited (CONVOKE_FIELD_STATUS).
///
/// Statuses of the operation and of this call are one set: make sure first that the kind is DONE.
///
/// @param event the event.
/// @param detail_out receives a text that says more, UTF-8 and zero-terminated, often empty, lent as long as the event
///        lives; NULL when this is no DONE event. May be NULL.
/// @return the status of the operation, any that its function documents, or:
/// @retval CONVOKE_OK the operation did what it says.
/// @retval CONVOKE_E_INVALID `event` is NULL.
/// @retval CONVOKE_E_STATE the event is not of the kind DONE.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_result(
    event: *const convoke_event,
    detail_out: *mut *const c_char,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(detail_out, std::ptr::null()) };
    let mut ended = Status::Ok;
    let asked = call(|_| {
        // SAFETY: a live event or NULL, by the contract.
        let result = unsafe { get(event) }?.result();
        let (status, detail) =
            result.ok_or(Failure::new(Status::State, "the event is not of the kind DONE"))?;
        ended = status;
        out.set(detail.as_ptr());
        Ok(())
    });
    if asked == Status::Ok as i32 { ended as convoke_status } else { asked }
}

/// What an operation yielded beside its status (CONVOKE_FIELD_VALUE): for convoke_process_is_alive 1 or 0, for
/// convoke_lock_acquire the fencing token.
///
/// @param event the event.
/// @return the value; 0 for kinds that have none, and if `event` is NULL.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_value(event: *const convoke_event) -> u64 {
    // SAFETY: a live event or NULL, by the contract.
    unsafe { ask(event, Event::value) }
}

/// Any field that consists of bytes.
///
/// @param event the event.
/// @param field one of the CONVOKE_FIELD_ constants.
/// @param data_out receives the bytes, lent as long as the event lives; NULL on failure, never NULL on success.
/// @param len_out receives their length; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND events of this kind have no such field, or it does not consist of bytes.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_bytes(
    event: *const convoke_event,
    field: convoke_field,
    data_out: *mut *const c_void,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: a live event or NULL, and valid pointers or NULL, by the contract.
    unsafe { bytes_of(event, data_out, len_out, |event| Ok(event.bytes(self::field(field)?))) }
}

/// Any field that is a pid.
///
/// @param event the event.
/// @param field one of the CONVOKE_FIELD_ constants.
/// @param pid_out receives the pid, which may be none where the field says "nobody"; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND events of this kind have no such field, or it is not a pid.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_pid(
    event: *const convoke_event,
    field: convoke_field,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a live event or NULL, and a valid pointer or NULL, by the contract.
    unsafe { pid_of(event, pid_out, |event| event.pid(Field::from_number(field)?)) }
}

/// Any field that is a number.
///
/// @param event the event.
/// @param field one of the CONVOKE_FIELD_ constants.
/// @param value_out receives the number; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND events of this kind have no such field, or it is not a number.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_event_u64(
    event: *const convoke_event,
    field: convoke_field,
    value_out: *mut u64,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(value_out, 0) };
    call(|_| {
        let out = out.required("value_out is NULL")?;
        // SAFETY: a live event or NULL, by the contract.
        let value = unsafe { get(event) }?.u64(self::field(field)?);
        out.set(value.ok_or_else(no_such_field)?);
        Ok(())
    })
}
