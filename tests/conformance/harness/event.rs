//! An event, read with the accessors of the C interface.

use super::{EventKind, Field, Reason, Status, ok, status};
use convoke::ffi::{
    convoke_event, convoke_event_bytes, convoke_event_free, convoke_event_get_kind, convoke_event_get_reason,
    convoke_event_pid, convoke_event_ref, convoke_event_result, convoke_event_u64, convoke_pid,
};
use std::ptr::null_mut;

/// Owned; freed when dropped.
pub(crate) struct Event(*mut convoke_event);

// SAFETY: events may be used by any thread.
unsafe impl Send for Event {}

impl Event {
    /// Takes the ownership over.
    pub(crate) fn own(event: *mut convoke_event) -> Self {
        assert!(!event.is_null());
        Self(event)
    }

    pub(crate) fn kind(&self) -> EventKind {
        // SAFETY: the event lives as long as `self`, here and below.
        let number = unsafe { convoke_event_get_kind(self.0) };
        EventKind::from_number(number).unwrap_or_else(|| panic!("{number} is no kind of event"))
    }

    pub(crate) fn reference(&self) -> u64 {
        // SAFETY: see above.
        unsafe { convoke_event_ref(self.0) }
    }

    pub(crate) fn reason(&self) -> Reason {
        // SAFETY: see above.
        Reason(unsafe { convoke_event_get_reason(self.0) })
    }

    /// How the operation ended.
    pub(crate) fn result(&self) -> Status {
        // SAFETY: see above.
        status(unsafe { convoke_event_result(self.0, null_mut()) })
    }

    pub(crate) fn pid(&self, field: Field) -> convoke_pid {
        let mut pid = super::NOBODY;
        // SAFETY: see above.
        ok(unsafe { convoke_event_pid(self.0, field.number(), &mut pid) });
        pid
    }

    /// The other process concerned; `None` where the event says "nobody".
    pub(crate) fn peer(&self) -> Option<convoke_pid> {
        Some(self.pid(Field::Peer)).filter(|pid| *pid != super::NOBODY)
    }

    pub(crate) fn number(&self, field: Field) -> u64 {
        let mut value = 0;
        // SAFETY: see above.
        ok(unsafe { convoke_event_u64(self.0, field.number(), &mut value) });
        value
    }

    pub(crate) fn text(&self, field: Field) -> String {
        let (mut data, mut len) = (std::ptr::null(), 0);
        // SAFETY: see above; the bytes are lent as long as the event lives.
        let bytes = unsafe {
            ok(convoke_event_bytes(self.0, field.number(), &mut data, &mut len));
            std::slice::from_raw_parts(data.cast::<u8>(), len)
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned, and freed here only.
        unsafe { convoke_event_free(self.0) };
    }
}
