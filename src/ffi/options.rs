//! 2  Options
//!
//! The configuration of a node is a set of text keys with text values, so that new options never change the ABI. The
//! options are copied when a node is opened: change or free them afterwards as you like.

use super::args::{Out, bytes, text};
use super::entry::{Failure, Result, call, keep_panics_quiet, quiet};
use super::types::{convoke_options, convoke_status};
use super::{live, thread};
use crate::model::Status;
use crate::node::Options;
use crate::node::SECRET;
use crate::os;
use crate::sync::{Mutex, MutexGuard};
use rand::TryRng;
use rand::rngs::SysRng;
use std::ffi::{c_char, c_void};
use std::path::Path;
use std::sync::{PoisonError, TryLockError};

/// What a `convoke_options` pointer points to.
pub(super) struct Held {
    epoch: u32,
    options: Mutex<Options>,
}

impl Held {
    /// # Safety
    /// NULL, or options that are not freed during the call.
    pub(super) unsafe fn get<'a>(options: *const convoke_options) -> Result<&'a Self> {
        // SAFETY: the caller's promise; a `convoke_options` is a `Held` made by `convoke_options_new`.
        unsafe { options.cast::<Self>().as_ref() }.ok_or_else(|| Failure::invalid("options is NULL"))
    }

    pub(super) fn lock(&self) -> Result<MutexGuard<'_, Options>> {
        match self.options.try_lock() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            // The thread that holds it may exist in the parent only.
            Err(TryLockError::WouldBlock) if self.epoch != os::fork_epoch() => Err(Status::Forked.into()),
            Err(TryLockError::WouldBlock) => Ok(self.options.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

/// Makes a set of options with the defaults.
///
/// @param options_out receives the options, owned by the caller: free them with convoke_options_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `options_out` is NULL.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_options_new(options_out: *mut *mut convoke_options) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(options_out, std::ptr::null_mut()) };
    call(|lane| {
        let out = out.required("options_out is NULL")?;
        os::watch_forks();
        keep_panics_quiet();
        let held = Box::new(Held { epoch: os::fork_epoch(), options: Mutex::new(Options::new()) });
        live::add(lane);
        out.set(Box::into_raw(held).cast());
        Ok(())
    })
}

/// Sets one option. The keys and their values stand in `docs/options.md` of the sources; durations are whole numbers of ms.
///
/// A key that is set again gets the new value.
///
/// @param options the options.
/// @param key UTF-8, zero-terminated; copied.
/// @param value UTF-8, zero-terminated; copied.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL, or a text is not UTF-8.
/// @retval CONVOKE_E_OPTION there is no such key, or the value is not acceptable: the detail names the nearest key, or
///         what is acceptable. Nothing was changed. Correct the program or its configuration.
/// @retval CONVOKE_E_FORKED another thread of the parent was at these options when this child was forked. Make new ones.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_options_set(
    options: *mut convoke_options,
    key: *const c_char,
    value: *const c_char,
) -> convoke_status {
    call(|_| {
        // SAFETY: live options or NULL, and zero-terminated texts or NULL, by the contract.
        let (held, key, value) = unsafe {
            let held = Held::get(options)?;
            let key = text(key, "key is NULL", "key is not UTF-8")?;
            (held, key, text(value, "value is NULL", "value is not UTF-8")?)
        };
        Ok(held.lock()?.set(key, value)?)
    })
}

/// Sets one option whose value is bytes of any content: a secret. For options with text values the bytes must be their
/// UTF-8.
///
/// @param options the options.
/// @param key UTF-8, zero-terminated; copied.
/// @param data the value, copied; NULL if `len` is 0.
/// @param len its length in bytes.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `options` or `key` is NULL, `data` is NULL and `len` is not 0, or `key` is not UTF-8.
/// @retval CONVOKE_E_TOO_BIG `len` is beyond half of the address space.
/// @retval CONVOKE_E_OPTION as for convoke_options_set.
/// @retval CONVOKE_E_FORKED as for convoke_options_set.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_options_set_bytes(
    options: *mut convoke_options,
    key: *const c_char,
    data: *const c_void,
    len: usize,
) -> convoke_status {
    call(|_| {
        // SAFETY: live options, a zero-terminated text and `len` bytes, or NULL, by the contract.
        let (held, key, value) = unsafe {
            let held = Held::get(options)?;
            let key = text(key, "key is NULL", "key is not UTF-8")?;
            (held, key, bytes(data, len, "data is NULL and len is not 0")?)
        };
        Ok(held.lock()?.set_bytes(key, value)?)
    })
}

/// Sets the options that stand in a file: lines of `key = value`, empty lines, and
/// comments: lines that begin with `#`.
///
/// @param options the options.
/// @param path the file, UTF-8, zero-terminated.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID a pointer is NULL, or the path is not UTF-8.
/// @retval CONVOKE_E_IO the file cannot be read, or is longer than 64 KiB: the detail says why.
/// @retval CONVOKE_E_OPTION a line is not acceptable: the detail names the line. Or others than its owner may write the file
///         (chmod go-w), or there is a secret in it and others may read it (chmod 600). Nothing was changed.
/// @retval CONVOKE_E_FORKED as for convoke_options_set.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any; reads the file on the calling thread
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_options_load(
    options: *mut convoke_options,
    path: *const c_char,
) -> convoke_status {
    call(|_| {
        // SAFETY: live options or NULL, and a zero-terminated text or NULL, by the contract.
        let (held, path) = unsafe {
            let held = Held::get(options)?;
            (held, text(path, "path is NULL", "path is not UTF-8")?)
        };
        Ok(held.lock()?.load(Path::new(path))?)
    })
}

/// Makes a secret for the option `secret`: 32 bytes from the operating system's source of random numbers.
///
/// All nodes of a cluster need the same one, so this is called once and not at each start: write the bytes into a file
/// that nobody else can read, as 64 hexadecimal digits for the option `secret.file`, and bring it to the other machines on
/// a way that you trust.
///
/// @param buf room for `cap` bytes; receives the secret in its first 32. Zeroed on failure.
/// @param cap the size of `buf`, at least 32.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `buf` is NULL.
/// @retval CONVOKE_E_BUFFER `cap` is below 32.
/// @retval CONVOKE_E_IO the operating system has no random numbers.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_secret_generate(buf: *mut u8, cap: usize) -> convoke_status {
    // SAFETY: room for `cap` bytes or NULL, by the contract.
    let room = unsafe { room(buf, cap) };
    call(|_| {
        let Some(room) = room else { return Err(Failure::invalid("buf is NULL")) };
        let Some(secret) = room.first_chunk_mut::<SECRET>() else {
            return Err(Status::Buffer.into());
        };
        let filled = SysRng.try_fill_bytes(secret);
        filled.map_err(|e| Failure { status: Status::Io, detail: format!("random: {e}").into() })
    })
}

/// The caller's room, zeroed.
///
/// # Safety
/// `buf` is NULL or has room for `cap` bytes, for as long as the result is used.
unsafe fn room<'a>(buf: *mut u8, cap: usize) -> Option<&'a mut [u8]> {
    if buf.is_null() || isize::try_from(cap).is_err() {
        return None;
    }
    // SAFETY: the caller's promise; any byte is a u8 once it is written.
    unsafe {
        buf.write_bytes(0, cap);
        Some(std::slice::from_raw_parts_mut(buf, cap))
    }
}

/// Frees options. To be called exactly once for each convoke_options_new.
///
/// @param options the options, or NULL: then nothing happens.
/// @threads any; not while another call uses the same options
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_options_free(options: *mut convoke_options) {
    quiet((), || {
        if !options.is_null() {
            // SAFETY: made by `convoke_options_new` and freed once, by the contract.
            drop(unsafe { Box::from_raw(options.cast::<Held>()) });
            live::remove(thread::lane());
        }
    });
}
