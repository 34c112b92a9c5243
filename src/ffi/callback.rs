//! The program's callbacks: what is called with each event, and who gives its `user_data` back.

use super::thread;
use super::types::{convoke_event_fn, convoke_free_fn, convoke_log_fn, convoke_resolve_fn};
use crate::node::{Handler, Logger, Resolve, answer_of};
use std::ffi::c_void;
use std::sync::Arc;

/// The program's data behind a callback. Dropping it calls `free_fn`: once, whatever has become of the registration.
struct UserData {
    pointer: *mut c_void,
    free_fn: convoke_free_fn,
}

// SAFETY: the library never looks behind the pointer; that the callbacks may use it on any thread is in the contract.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free_fn) = self.free_fn {
            // SAFETY: the program gave this pair.
            thread::outside(|| unsafe { free_fn(self.pointer) });
        }
    }
}

/// The handler that the program registers; `None` (after `free_fn` was called) when `function` is NULL. To be made
/// before anything can fail, so that a registration that fails gives `user_data` back too.
pub(super) fn handler(
    function: convoke_event_fn,
    user_data: *mut c_void,
    free_fn: convoke_free_fn,
) -> Option<Handler> {
    let data = UserData { pointer: user_data, free_fn };
    let function = function?;
    Some(Box::new(move |event| {
        // The whole of it moves into the closure, not its fields: its drop is what matters.
        let data = &data;
        // SAFETY: the program gave this pair; the event lives until the handler returns.
        thread::outside(|| unsafe { function(Arc::as_ptr(event).cast_mut().cast(), data.pointer) });
    }))
}

/// The same for a resolver function.
pub(super) fn resolve(
    function: convoke_resolve_fn,
    user_data: *mut c_void,
    free_fn: convoke_free_fn,
) -> Option<Resolve> {
    let data = UserData { pointer: user_data, free_fn };
    let function = function?;
    Some(Box::new(move |event| {
        let data = &data;
        // SAFETY: as above.
        answer_of(thread::outside(|| unsafe { function(Arc::as_ptr(event).cast(), data.pointer) }))
    }))
}

/// The same for the function that gets the log.
pub(super) fn logger(
    function: convoke_log_fn,
    user_data: *mut c_void,
    free_fn: convoke_free_fn,
) -> Option<Logger> {
    let data = UserData { pointer: user_data, free_fn };
    let function = function?;
    Some(Box::new(move |record| {
        let data = &data;
        let (level, topic, text) =
            (i32::from(record.level.number()), record.topic.name_for_c(), record.text());
        let len = text.count_bytes();
        // SAFETY: as above; the texts live until it returns.
        thread::outside(|| unsafe { function(level, topic.as_ptr(), text.as_ptr(), len, data.pointer) });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::convoke_event;
    use std::sync::atomic::{AtomicUsize, Ordering};

    unsafe extern "C" fn count(user_data: *mut c_void) {
        // SAFETY: the tests pass a live counter.
        unsafe { &*user_data.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
    }
    unsafe extern "C" fn ignore(_: *mut convoke_event, _: *mut c_void) {}

    #[test]
    fn user_data_is_given_back_once() {
        let freed = AtomicUsize::new(0);
        let user_data = (&raw const freed).cast_mut().cast();
        let made = handler(Some(ignore), user_data, Some(count)).unwrap();
        assert_eq!(freed.load(Ordering::SeqCst), 0);
        drop(made);
        assert_eq!(freed.load(Ordering::SeqCst), 1);
        assert!(handler(None, user_data, Some(count)).is_none());
        assert_eq!(freed.load(Ordering::SeqCst), 2);
        drop(handler(Some(ignore), user_data, None));
        assert_eq!(freed.load(Ordering::SeqCst), 2);
    }
}
