//! 1  The library
//!
//! Nothing needs to be initialised or shut down. These functions work at any time, also before a node is opened, in
//! static destructors and in a forked child.

use super::args::copy_text;
use super::entry::{Failure, call, quiet};
use super::types::convoke_status;
use super::{live, thread};
use crate::model::Status;
use std::ffi::c_char;

const MAJOR: u32 = number(env!("CARGO_PKG_VERSION_MAJOR"));
const MINOR: u32 = number(env!("CARGO_PKG_VERSION_MINOR"));
const PATCH: u32 = number(env!("CARGO_PKG_VERSION_PATCH"));
const VERSION: u32 = (MAJOR << 16) | (MINOR << 8) | PATCH;
/// The first version with the present soname: headers older than that describe another ABI.
const OLDEST_HEADER: u32 = 1 << 8;
const _: () = assert!(MINOR < 256 && PATCH < 256, "a version is one number with 8 bits for minor and patch");

const fn number(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    let mut value = 0;
    let mut at = 0;
    while at < digits.len() {
        value = value * 10 + (digits[at] - b'0') as u32;
        at += 1;
    }
    value
}

/// The version of the library that is loaded, as one number: (major << 16) | (minor << 8) | patch.
///
/// Compare it with CONVOKE_VERSION, the version of the header that the program was compiled with.
///
/// @return the version.
/// @threads any; async-signal-safe
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn convoke_version() -> u32 {
    VERSION
}

/// The version of the library that is loaded, as text: "0.1.0".
///
/// @return a static string, never NULL. Not to be freed.
/// @threads any; async-signal-safe
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn convoke_version_string() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// Whether a program compiled with a header of this version can use the library that is loaded.
///
/// Call it once at the start, with CONVOKE_VERSION. It cannot be so when the header is of a later minor version than the
/// library, or from before the present ABI.
///
/// @param header_version CONVOKE_VERSION.
/// @return the status:
/// @retval CONVOKE_OK they fit.
/// @retval CONVOKE_E_VERSION they do not; the detail names both versions. Install the library that the program was
///         built for, or build it anew.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn convoke_check_version(header_version: u32) -> convoke_status {
    call(|_| {
        // A patch does not change the header.
        if header_version >> 8 <= VERSION >> 8 && header_version >= OLDEST_HEADER {
            return Ok(());
        }
        let [_, major, minor, patch] = header_version.to_be_bytes();
        let detail = format!(
            "the program was built for convoke {major}.{minor}.{patch}, the library is {}",
            env!("CARGO_PKG_VERSION")
        );
        Err(Failure { status: Status::Version, detail: detail.into() })
    })
}

/// The symbolic name of a status: "CONVOKE_E_TIMEOUT".
///
/// @param status any number.
/// @return a static string, never NULL; "CONVOKE_UNKNOWN" for a number that is no status. Not to be freed.
/// @threads any; async-signal-safe
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn convoke_status_name(status: convoke_status) -> *const c_char {
    Status::from_number(status).map_or(c"CONVOKE_UNKNOWN", Status::name_for_c).as_ptr()
}

/// What a status means, in one English sentence.
///
/// @param status any number.
/// @return a static string, never NULL. Not to be freed.
/// @threads any; async-signal-safe
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn convoke_status_text(status: convoke_status) -> *const c_char {
    let unknown = c"This number is not a status of this version of the library.";
    Status::from_number(status).map_or(unknown, Status::text_for_c).as_ptr()
}

/// Whether the same call may succeed later although the caller changes nothing: a time ran out, a limit is reached, a
/// node cannot be reached just now.
///
/// @param status any number.
/// @return true for CONVOKE_E_TIMEOUT, CONVOKE_E_FULL, CONVOKE_E_UNREACHABLE, CONVOKE_E_MEMORY and CONVOKE_E_IO.
/// @threads any; async-signal-safe
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn convoke_status_is_retryable(status: convoke_status) -> bool {
    Status::from_number(status).is_some_and(Status::is_retryable)
}

/// More about the last failure on this thread than its status says: which argument, which option, which file.
///
/// Every function that returns a status forgets the text of earlier ones when it begins (convoke_queue_wake leaves it
/// alone), so it is never stale; it is empty when there is nothing to add. The text is UTF-8, English, meant for people:
/// do not parse it. Answers that come later carry their own text, see convoke_event_result.
///
/// @param buf room for `cap` bytes; receives as much as fits, always with a zero at the end. NULL asks for the length.
/// @param cap the size of `buf`.
/// @return the length of the whole text without its zero, as `snprintf` counts: it was cut if that is not below `cap`.
/// @threads any; the text is that of the calling thread
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_last_error(buf: *mut c_char, cap: usize) -> usize {
    quiet(0, || {
        thread::with_text(|text| {
            if !buf.is_null() {
                // SAFETY: room for `cap` bytes by the contract.
                unsafe { copy_text(text, buf, cap) };
            }
            text.len()
        })
    })
}

/// How many objects the program holds: nodes, queues, processes, options, events and lists that were made or retained
/// and not yet freed. At the end of a program without leaks it is 0.
///
/// An event lent to a callback does not count. A forked child goes on with the count of its parent.
///
/// @return the count; exact when no other thread makes or frees anything meanwhile.
/// @threads any; async-signal-safe
/// @since 0.1.0
#[unsafe(no_mangle)]
pub extern "C" fn convoke_live_handles() -> usize {
    live::count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn text(pointer: *const c_char) -> &'static str {
        // SAFETY: the functions under test return static strings.
        unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
    }

    #[test]
    fn every_status_has_its_texts() {
        for status in Status::ALL {
            assert_eq!(text(convoke_status_name(*status as i32)), status.c_name());
            assert_eq!(text(convoke_status_text(*status as i32)), status.text());
            assert_eq!(convoke_status_is_retryable(*status as i32), status.is_retryable());
        }
        assert_eq!(text(convoke_status_name(1)), "CONVOKE_UNKNOWN");
        assert!(!convoke_status_is_retryable(i32::MIN));
    }

    #[test]
    fn versions() {
        assert_eq!(text(convoke_version_string()), env!("CARGO_PKG_VERSION"));
        assert_eq!(convoke_check_version(convoke_version()), 0);
        assert_eq!(convoke_check_version(VERSION | 0xff), 0, "a later patch has the same header");
        for wrong in [0, OLDEST_HEADER - 1, VERSION + (1 << 8), 1 << 24, u32::MAX] {
            assert_eq!(convoke_check_version(wrong), Status::Version as i32, "{wrong:x}");
        }
    }

    #[test]
    fn the_last_error_follows_snprintf() {
        convoke_check_version(0);
        // SAFETY: asks for the length only; then the buffers have the sizes that are given.
        let whole = unsafe { convoke_last_error(std::ptr::null_mut(), 0) };
        assert!(whole > 10);
        let mut buf = [b'x' as c_char; 8];
        assert_eq!(unsafe { convoke_last_error(buf.as_mut_ptr(), 5) }, whole);
        assert_eq!(text(buf.as_ptr()), "the ");
        assert_eq!(buf[5], b'x' as c_char);
        assert_eq!(unsafe { convoke_last_error(buf.as_mut_ptr(), 0) }, whole);
    }
}
