//! What the library keeps per calling thread: the text of the last failure and the thread's lane.
//!
//! Nothing here has a destructor, so it works at any moment of a thread's life: in static destructors, in `atexit` and
//! `pthread_key` handlers, in a forked child.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// Longer texts are cut, at a character.
const TEXT: usize = 1024;

struct Thread {
    /// 0: not given yet.
    lane: Cell<u32>,
    /// Whether the thread is in a call of the library, and not in a callback of the program.
    inside: Cell<bool>,
    len: Cell<usize>,
    text: [Cell<u8>; TEXT],
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            lane: Cell::new(0),
            inside: Cell::new(false),
            len: Cell::new(0),
            text: [const { Cell::new(0) }; TEXT],
        }
    };
}

static LANES_GIVEN: AtomicU32 = AtomicU32::new(0);

/// What [`leave`] restores.
pub(super) struct Entry {
    was_inside: bool,
    /// A number of this thread, to spread what all threads count.
    pub(super) lane: u32,
}

/// A fallible call begins: the text of an earlier failure is forgotten.
pub(super) fn enter() -> Entry {
    let enter = |thread: &Thread| {
        thread.len.set(0);
        if thread.lane.get() == 0 {
            thread.lane.set(LANES_GIVEN.fetch_add(1, Ordering::Relaxed) | 1 << 31);
        }
        Entry { was_inside: thread.inside.replace(true), lane: thread.lane.get() }
    };
    THREAD.try_with(enter).unwrap_or(Entry { was_inside: false, lane: 0 })
}

/// A fallible call ends. What callbacks within it left is forgotten: the text, if any, is set after this.
pub(super) fn leave(entry: &Entry) {
    let _ = THREAD.try_with(|thread| {
        thread.len.set(0);
        thread.inside.set(entry.was_inside);
    });
}

/// Says what it was before.
pub(super) fn set_inside(inside: bool) -> bool {
    THREAD.try_with(|thread| thread.inside.replace(inside)).unwrap_or(false)
}

/// Runs the program's code: a panic in it is not the library's.
pub(super) fn outside<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_inside(self.0);
        }
    }
    let _restore = Restore(set_inside(false));
    f()
}

pub(super) fn is_inside() -> bool {
    THREAD.try_with(|thread| thread.inside.get()).unwrap_or(false)
}

/// This thread's lane, outside of a fallible call.
pub(super) fn lane() -> u32 {
    THREAD.try_with(|thread| thread.lane.get()).unwrap_or(0)
}

/// As much of the text as fits into `room` bytes, cut at a character.
pub(super) fn cut(text: &str, room: usize) -> &str {
    let fits = |end: &usize| text.is_char_boundary(*end);
    // The beginning is a boundary.
    let end = (0..=room.min(text.len())).rev().find(fits).unwrap_or(0);
    &text[..end]
}

/// Keeps the text of a failure.
pub(super) fn set_text(text: &str) {
    let text = cut(text, TEXT);
    let _ = THREAD.try_with(|thread| {
        for (to, from) in thread.text.iter().zip(text.as_bytes()) {
            to.set(*from);
        }
        thread.len.set(text.len());
    });
}

pub(super) fn has_text() -> bool {
    THREAD.try_with(|thread| thread.len.get() > 0).unwrap_or(false)
}

/// Hands the text to `f`; empty when there is none.
pub(super) fn with_text<R>(f: impl FnOnce(&str) -> R) -> R {
    let mut copy = [0; TEXT];
    let len = THREAD.try_with(|thread| {
        let len = thread.len.get();
        for (to, from) in copy.iter_mut().zip(&thread.text[..len]) {
            *to = from.get();
        }
        len
    });
    f(std::str::from_utf8(&copy[..len.unwrap_or(0)]).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_call_forgets_the_old_text() {
        leave(&enter());
        set_text("bad");
        assert!(with_text(|text| text == "bad"));
        leave(&enter());
        assert!(!has_text());
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        set_text(&"é".repeat(TEXT));
        assert!(with_text(|text| text == "é".repeat(TEXT / 2)));
        set_text(&format!("x{}", "é".repeat(TEXT)));
        assert_eq!(with_text(str::len), TEXT - 1);
    }

    #[test]
    fn callbacks_are_outside() {
        let entry = enter();
        assert!(is_inside());
        outside(|| assert!(!is_inside()));
        assert!(is_inside());
        leave(&entry);
        assert!(!is_inside());
    }
}
