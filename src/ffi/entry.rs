//! The guard around every entry point: a panic becomes `E_INTERNAL` and closes the node, the program lives on; the
//! text of a failure is kept for `convoke_last_error`.

use super::handle::Checked;
use super::thread;
use crate::model::Status;
use crate::node;
use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

/// A call that did not do what it says.
pub(super) struct Failure {
    pub(super) status: Status,
    pub(super) detail: Cow<'static, str>,
}

pub(super) type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(super) fn new(status: Status, detail: &'static str) -> Self {
        Self { status, detail: Cow::Borrowed(detail) }
    }
    /// E_INVALID, with the argument that is at fault.
    pub(super) fn invalid(detail: &'static str) -> Self {
        Self::new(Status::Invalid, detail)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::new(status, "")
    }
}

impl From<node::Error> for Failure {
    fn from(error: node::Error) -> Self {
        Self { status: error.status, detail: Cow::Owned(error.detail) }
    }
}

/// Runs a fallible call. `f` gets the lane of the thread.
pub(super) fn call(f: impl FnOnce(u32) -> Result) -> i32 {
    let entry = thread::enter();
    let outcome = catch(|| f(entry.lane));
    thread::leave(&entry);
    match outcome {
        Ok(Ok(())) => Status::Ok as i32,
        Ok(Err(failure)) | Err(failure) => fail(&failure) as i32,
    }
}

/// Runs a fallible call on a checked object.
pub(super) fn call_on<T: Checked>(handle: usize, f: impl FnOnce(&T) -> Result) -> i32 {
    call(|lane| {
        let object = match T::table().enter(handle, lane) {
            Ok(object) => object,
            Err(Status::Invalid) if handle == 0 => return Err(Failure::invalid("the handle is NULL")),
            Err(Status::Invalid) => return Err(Failure::invalid("not a live handle of this type")),
            Err(status) => return Err(status.into()),
        };
        catch(|| f(&object)).unwrap_or_else(|error| {
            object.poison();
            Err(error)
        })
    })
}

/// Runs a call that cannot fail. `otherwise` is the answer should it meet an internal error all the same.
pub(super) fn quiet<R>(otherwise: R, f: impl FnOnce() -> R) -> R {
    let was_inside = thread::set_inside(true);
    let answer = catch(f);
    thread::set_inside(was_inside);
    answer.unwrap_or(otherwise)
}

#[cold]
fn fail(failure: &Failure) -> Status {
    if !failure.detail.is_empty() {
        thread::set_text(&node::printable(&failure.detail));
    }
    failure.status
}

fn catch<R>(f: impl FnOnce() -> R) -> Result<R> {
    // An internal error closes the node, so nobody sees what the panic may have left half done.
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| internal_error(&*panic))
}

#[cold]
fn internal_error(panic: &(dyn Any + Send)) -> Failure {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        // The hook has written where it happened too.
        _ if thread::has_text() => thread::with_text(str::to_owned),
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a text".to_owned(),
    };
    Failure { status: Status::Internal, detail: Cow::Owned(text) }
}

/// Keeps panics of this library off the program's stderr: they are told by `E_INTERNAL` and `convoke_last_error`.
/// Panics of other Rust code that shares this hook go where they went before.
pub(super) fn keep_panics_quiet() {
    // Not `Once`: a child that was forked in between would wait for ever.
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if thread::is_inside() {
                thread::set_text(&info.to_string());
            } else if !std::thread::current().name().is_some_and(|name| name.starts_with("convoke/")) {
                before(info);
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_a_text() {
        assert_eq!(call(|_| panic!("defect {}", 7)), Status::Internal as i32);
        assert!(thread::with_text(|text| text.contains("defect 7")));
        assert_eq!(call(|_| Ok(())), 0);
        assert!(!thread::has_text());
        assert_eq!(quiet(5, || panic!("again")), 5);
    }

    /// The hook is installed with the first node; then the text says where it happened, and nothing goes to stderr.
    #[test]
    fn a_panic_closes_the_node_and_no_other() {
        keep_panics_quiet();
        let open = || node::Node::open(&node::Options::new()).unwrap();
        let (torn, other) = (open(), open());
        let cookie = node::Node::table().insert(torn.clone()).unwrap();
        assert_eq!(call_on::<node::Node>(cookie, |_| Ok(())), 0);
        assert!(torn.is_open());
        assert_eq!(call_on::<node::Node>(cookie, |_| panic!("torn")), Status::Internal as i32);
        assert!(thread::with_text(|text| text.contains("torn") && text.contains("entry.rs")));
        assert!(!torn.is_open());
        assert!(other.is_open());
        // The guard has left: the handle can still be used and freed.
        assert_eq!(call_on::<node::Node>(cookie, |node| Ok(node.close(-1)?)), 0);
        assert!(node::Node::table().close(cookie).is_some());
        other.close(-1).unwrap();
    }

    #[test]
    fn a_failure_keeps_its_text() {
        assert_eq!(call(|_| Err(Failure::invalid("x is NULL"))), Status::Invalid as i32);
        assert!(thread::with_text(|text| text == "x is NULL"));
        assert_eq!(call(|_| Err(Status::Full.into())), Status::Full as i32);
        assert!(!thread::has_text());
    }
}
