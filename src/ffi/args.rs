//! What comes in from C and what goes out to it: every pointer and range is checked here, before any state changes.
//!
//! An output is set to zero at the start, so that on failure it holds nothing stale, and written on success only.

use super::entry::{Failure, Result};
use super::thread;
use super::types::convoke_pid;
use crate::model::{NodeId, Pid, Status};
use std::ffi::{CStr, c_char, c_void};

/// Where a result goes. The pointer may be NULL; whether that is allowed the call decides.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// NULL, or room for a `T` that nobody else uses during the call. Alignment is not asked for: packed structs of C
    /// programs have none.
    pub(super) unsafe fn new(to: *mut T, nothing: T) -> Self {
        if !to.is_null() {
            // SAFETY: the caller's promise.
            unsafe { to.write_unaligned(nothing) };
        }
        Self(to)
    }

    pub(super) fn is_null(&self) -> bool {
        self.0.is_null()
    }

    /// E_INVALID with this text when the pointer is NULL.
    pub(super) fn required(self, text: &'static str) -> Result<Self> {
        if self.is_null() { Err(Failure::invalid(text)) } else { Ok(self) }
    }

    /// Does nothing when the pointer is NULL.
    pub(super) fn set(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: the promise given to `new`.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

/// Bytes of any content.
///
/// # Safety
/// `data` is NULL or points to `len` bytes that stay as they are during the call.
pub(super) unsafe fn bytes<'a>(data: *const c_void, len: usize, null: &'static str) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Failure::invalid(null));
    }
    if isize::try_from(len).is_err() {
        return Err(Failure::new(Status::TooBig, "a length beyond half of the address space"));
    }
    // SAFETY: not NULL, `len` bytes long by the caller's promise, not longer than an object can be.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// A name: like [`bytes`], but not empty.
///
/// # Safety
/// As for [`bytes`].
pub(super) unsafe fn name<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    if len == 0 {
        return Err(Failure::invalid("a name has at least one byte"));
    }
    // SAFETY: passed on.
    unsafe { bytes(data, len, "name is NULL") }
}

/// A text that ends with a zero byte; `None` when it is NULL.
///
/// # Safety
/// `text` is NULL or a zero-terminated string that stays as it is during the call.
pub(super) unsafe fn optional_text<'a>(
    text: *const c_char,
    not_utf8: &'static str,
) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and terminated by the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Failure::invalid(not_utf8))
}

/// A text that must be given.
///
/// # Safety
/// As for [`optional_text`].
pub(super) unsafe fn text<'a>(
    text: *const c_char,
    null: &'static str,
    not_utf8: &'static str,
) -> Result<&'a str> {
    // SAFETY: passed on.
    unsafe { optional_text(text, not_utf8) }?.ok_or_else(|| Failure::invalid(null))
}

/// A pid; `None` when the pointer is NULL. A pid that is "none" is refused.
///
/// # Safety
/// `pid` is NULL or points to a pid.
pub(super) unsafe fn optional_pid(pid: *const convoke_pid) -> Result<Option<Pid>> {
    if pid.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL and a pid by the caller's promise; every bit pattern is one.
    let convoke_pid { node, serial } = unsafe { pid.read_unaligned() };
    if node == 0 || serial == 0 {
        return Err(Failure::invalid("the pid is none"));
    }
    Ok(Some(Pid { node: NodeId(node), serial }))
}

/// A pid that must be given.
///
/// # Safety
/// As for [`optional_pid`].
pub(super) unsafe fn pid(pid: *const convoke_pid) -> Result<Pid> {
    // SAFETY: passed on.
    unsafe { optional_pid(pid) }?.ok_or_else(|| Failure::invalid("the pid is NULL"))
}

/// A timeout in ms: -1 and everything above.
pub(super) fn timeout(timeout_ms: i64) -> Result<i64> {
    if timeout_ms < -1 { Err(Failure::invalid("timeout_ms is below -1")) } else { Ok(timeout_ms) }
}

/// Where a short text goes: a buffer of `cap` bytes and the length that the text has or would have had.
pub(super) struct TextOut {
    buf: *mut c_char,
    cap: usize,
    len: Out<usize>,
}

impl TextOut {
    /// # Safety
    /// `buf` is NULL or room for `cap` bytes; `len` as for [`Out::new`].
    pub(super) unsafe fn new(buf: *mut c_char, cap: usize, len: *mut usize) -> Self {
        if !buf.is_null() && cap > 0 {
            // SAFETY: there is room for at least one byte.
            unsafe { buf.write(0) };
        }
        // SAFETY: passed on.
        Self { buf, cap, len: unsafe { Out::new(len, 0) } }
    }

    /// Room without a pointer is a mistake of the caller.
    pub(super) fn check(&self) -> Result {
        if self.buf.is_null() && self.cap > 0 {
            return Err(Failure::invalid("buf is NULL and cap is not 0"));
        }
        Ok(())
    }

    /// E_BUFFER when the text and its zero do not fit; asking with NULL and 0 is answered with OK.
    pub(super) fn set(&self, text: &str) -> Result {
        self.len.set(text.len());
        if self.buf.is_null() {
            return Ok(());
        }
        // SAFETY: `buf` has room for `cap` bytes by the promise given to `new`.
        unsafe { copy_text(text, self.buf, self.cap) };
        if text.len() < self.cap { Ok(()) } else { Err(Status::Buffer.into()) }
    }
}

/// As much of the text as fits, cut at a character, always terminated when there is any room.
///
/// # Safety
/// `buf` is room for `cap` bytes.
pub(super) unsafe fn copy_text(text: &str, buf: *mut c_char, cap: usize) {
    let Some(room) = cap.checked_sub(1) else { return };
    let text = thread::cut(text, room);
    // SAFETY: what is left is shorter than `cap`, and the two do not overlap: the text is the library's.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buf, text.len());
        buf.add(text.len()).write(0);
    }
}
