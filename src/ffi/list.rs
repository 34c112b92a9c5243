//! 11  Results
//!
//! A list is what a table held at one moment; it never changes. What its accessors lend lives until convoke_list_free.
//! Lists are plain memory: they can be read and freed after their node was freed, and in a forked child.

use super::args::Out;
use super::entry::{Failure, Result, call, quiet};
use super::event::{BytesOut, field, no_such_field, to_c};
use super::types::{convoke_field, convoke_list, convoke_pid, convoke_status};
use super::{live, thread};
use crate::model::Pid;
use crate::node::List;
use std::ffi::c_void;
use std::mem::offset_of;

// A list lends its pids as they lie there.
const _: () = assert!(size_of::<convoke_pid>() == size_of::<Pid>());
const _: () = assert!(align_of::<convoke_pid>() == align_of::<Pid>());
const _: () = assert!(offset_of!(convoke_pid, serial) == offset_of!(Pid, serial));

/// Hands a list to the program, which frees it.
pub(super) fn give(list: List) -> *mut convoke_list {
    live::add(thread::lane());
    Box::into_raw(Box::new(list)).cast()
}

/// # Safety
/// NULL, or a list that is not freed during the call.
unsafe fn get<'a>(list: *const convoke_list) -> Result<&'a List> {
    // SAFETY: the caller's promise; a `convoke_list` is a `List` in a `Box`.
    unsafe { list.cast::<List>().as_ref() }.ok_or_else(|| Failure::invalid("list is NULL"))
}

/// As `get`, and the row is there.
///
/// # Safety
/// As for `get`.
unsafe fn row<'a>(list: *const convoke_list, index: usize) -> Result<&'a List> {
    // SAFETY: passed on.
    let list = unsafe { get(list) }?;
    if index < list.len() { Ok(list) } else { Err(Failure::invalid("index is not below the length")) }
}

/// The number of rows.
///
/// @param list the list.
/// @return the number; 0 if `list` is NULL.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_list_len(list: *const convoke_list) -> usize {
    // SAFETY: a live list or NULL, by the contract.
    quiet(0, || unsafe { get(list) }.map_or(0, List::len))
}

/// The name of a row (CONVOKE_FIELD_NAME).
///
/// @param list the list.
/// @param index the row, from 0 on.
/// @param data_out receives the bytes, lent until the list is freed; NULL on failure.
/// @param len_out receives their length; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
/// @retval CONVOKE_E_NOT_FOUND rows of this list have no name.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_list_name(
    list: *const convoke_list,
    index: usize,
    data_out: *mut *const c_void,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: valid pointers or NULL, by the contract.
    let out = unsafe { BytesOut::new(data_out, len_out) };
    call(|_| {
        out.check()?;
        // SAFETY: a live list or NULL, by the contract.
        out.set(unsafe { row(list, index) }?.name(index).ok_or_else(no_such_field)?);
        Ok(())
    })
}

/// The pid of a row (CONVOKE_FIELD_PID).
///
/// @param list the list.
/// @param index the row, from 0 on.
/// @param pid_out receives the pid; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
/// @retval CONVOKE_E_NOT_FOUND rows of this list have no pid.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_list_pid(
    list: *const convoke_list,
    index: usize,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(pid_out, convoke_pid { node: 0, serial: 0 }) };
    call(|_| {
        let out = out.required("pid_out is NULL")?;
        // SAFETY: a live list or NULL, by the contract.
        out.set(to_c(unsafe { row(list, index) }?.pid(index).ok_or_else(no_such_field)?));
        Ok(())
    })
}

/// Any field of a row that is a number.
///
/// @param list the list.
/// @param index the row, from 0 on.
/// @param field one of the CONVOKE_FIELD_ constants; which ones the rows have says the function that made the list.
/// @param value_out receives the number; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
/// @retval CONVOKE_E_NOT_FOUND rows of this list have no such field, or it is not a number.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_list_u64(
    list: *const convoke_list,
    index: usize,
    field: convoke_field,
    value_out: *mut u64,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(value_out, 0) };
    call(|_| {
        let out = out.required("value_out is NULL")?;
        // SAFETY: a live list or NULL, by the contract.
        let row = unsafe { row(list, index) }?;
        out.set(row.u64(index, self::field(field)?).ok_or_else(no_such_field)?);
        Ok(())
    })
}

/// Any field of a row that consists of bytes.
///
/// @param list the list.
/// @param index the row, from 0 on.
/// @param field one of the CONVOKE_FIELD_ constants; which ones the rows have says the function that made the list.
/// @param data_out receives the bytes, lent until the list is freed; NULL on failure.
/// @param len_out receives their length; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL, or there is no such row.
/// @retval CONVOKE_E_NOT_FOUND rows of this list have no such field, or it does not consist of bytes.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_list_bytes(
    list: *const convoke_list,
    index: usize,
    field: convoke_field,
    data_out: *mut *const c_void,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: valid pointers or NULL, by the contract.
    let out = unsafe { BytesOut::new(data_out, len_out) };
    call(|_| {
        out.check()?;
        // SAFETY: a live list or NULL, by the contract.
        let row = unsafe { row(list, index) }?;
        out.set(row.bytes(index, self::field(field)?).ok_or_else(no_such_field)?);
        Ok(())
    })
}

/// The pids of all rows at once.
///
/// @param list the list.
/// @param pids_out receives an array, in the order of the rows, lent until the list is freed; NULL on failure and when the
///        list is empty.
/// @param len_out receives the number of pids; 0 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL.
/// @retval CONVOKE_E_NOT_FOUND rows of this list have no pid.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_list_pids(
    list: *const convoke_list,
    pids_out: *mut *const convoke_pid,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: valid pointers or NULL, by the contract.
    let (pids, len) = unsafe { (Out::new(pids_out, std::ptr::null()), Out::new(len_out, 0)) };
    call(|_| {
        let (to, len) = (pids.required("pids_out is NULL")?, len.required("len_out is NULL")?);
        // SAFETY: a live list or NULL, by the contract.
        let pids = unsafe { get(list) }?.pids().ok_or_else(no_such_field)?;
        if !pids.is_empty() {
            to.set(pids.as_ptr().cast());
            len.set(pids.len());
        }
        Ok(())
    })
}

/// Frees a list. To be called exactly once for each list.
///
/// @param list the list, or NULL: then nothing happens.
/// @threads any; not while another call uses the same list or what it lends
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_list_free(list: *mut convoke_list) {
    quiet((), || {
        if !list.is_null() {
            live::remove(thread::lane());
            // SAFETY: made by `give` and freed once, by the contract.
            drop(unsafe { Box::from_raw(list.cast::<List>()) });
        }
    });
}
