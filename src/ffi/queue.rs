//! 4  Queues
//!
//! A queue is where the events of one or many processes wait. It is served in three ways, freely mixed: pull with
//! convoke_queue_next; watch its descriptor in an event loop; or have callbacks called, by convoke_queue_dispatch on a
//! thread of the program or by the queue's own thread.
//!
//! Events of one process come in the order in which they happened to it; messages of one sender to one receiver in the
//! order sent. Messages are bounded (their sender gets CONVOKE_E_FULL); no other event is dropped, but some are merged while
//! they are unread: section 5 says which.

use super::args::{Out, timeout};
use super::callback::handler;
use super::entry::{call_on, quiet};
use super::event;
use super::handle::{Checked, Single, Table};
use super::types::{
    convoke_event, convoke_event_fn, convoke_free_fn, convoke_node, convoke_queue, convoke_status,
};
use crate::model::Status;
use crate::node::{Node, Queue};
use std::ffi::{c_int, c_void};

/// What a queue handle stands for.
pub(super) struct QueueHandle {
    pub(super) queue: Queue,
    node: Node,
}

impl Checked for QueueHandle {
    type Lanes = Single;
    const TAG: usize = 2;
    fn table() -> &'static Table<Self> {
        static TABLE: Table<QueueHandle> = Table::new();
        &TABLE
    }
    fn poison(&self) {
        self.node.shut();
    }
}

/// Makes a queue for processes of a node.
///
/// @param node the node.
/// @param queue_out receives the queue, owned by the caller: free it with convoke_queue_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `queue_out` is NULL.
/// @retval CONVOKE_E_IO the system has no descriptor left; see the detail.
/// @retval CONVOKE_E_MEMORY there is no memory for another queue.
/// @retval CONVOKE_E_FULL there are more queues in this program than the library can number.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_queue_new(
    node: *mut convoke_node,
    queue_out: *mut *mut convoke_queue,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(queue_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("queue_out is NULL")?;
        let made = QueueHandle { queue: Queue::new(node)?, node: node.clone() };
        out.set(QueueHandle::table().insert(made)? as *mut convoke_queue);
        Ok(())
    })
}

/// Frees a queue. Never waits: when it returns no new callback starts, one that runs on another thread may still be
/// finishing (callback rule 5). The queue's own thread ends by itself.
///
/// Events that wait in it are dropped, and its processes get no further ones; the processes live on and are still to be
/// freed. The descriptor of the queue is closed when its last user has left.
///
/// @param queue the queue, or NULL: then nothing happens. A queue freed before is left alone.
/// @threads any; also in callbacks of the queue, static destructors and a forked child (where it does nothing to the
///          parent's queue)
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_queue_free(queue: *mut convoke_queue) {
    quiet((), || {
        if let Some(held) = QueueHandle::table().close(queue as usize)
            && !held.is_forked()
        {
            held.queue.close();
        }
    });
}

/// A descriptor for `poll`, `epoll` and the event loops built on them: readable exactly while the queue has something
/// (level-triggered), or was woken. Watch for reading only; then take events with a timeout of 0 until
/// CONVOKE_E_TIMEOUT, or come back.
///
/// @param queue the queue.
/// @param fd_out receives the descriptor, lent until convoke_queue_free: never read, write or close it. -1 on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `queue` is not a live queue, or `fd_out` is NULL.
/// @retval CONVOKE_E_IO the system has no descriptor left.
/// @retval CONVOKE_E_CLOSED the queue is being freed.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_queue_fd(queue: *mut convoke_queue, fd_out: *mut c_int) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(fd_out, -1) };
    call_on::<QueueHandle>(queue as usize, |held| {
        let out = out.required("fd_out is NULL")?;
        out.set(held.queue.fd()?);
        Ok(())
    })
}

/// Takes the oldest event.
///
/// After the node has closed the events that wait can still be taken; the last is NODE_CLOSED.
///
/// @param queue the queue.
/// @param timeout_ms how long to wait for one; -1 for ever, 0 not at all.
/// @param event_out receives the event, owned by the caller: free it with convoke_event_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_TIMEOUT there was none in time, or convoke_queue_wake was called.
/// @retval CONVOKE_E_INVALID `queue` is not a live queue, `event_out` is NULL, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_CLOSED the node is closed and all was taken, or the queue is being freed. Free it.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; several threads may take from one queue, each event goes to one of them
/// @see Erlang: the receive expression
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_queue_next(
    queue: *mut convoke_queue,
    timeout_ms: i64,
    event_out: *mut *mut convoke_event,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(event_out, std::ptr::null_mut()) };
    call_on::<QueueHandle>(queue as usize, |held| {
        let out = out.required("event_out is NULL")?;
        out.set(event::give(held.queue.next(timeout(timeout_ms)?)?));
        Ok(())
    })
}

/// Sets what convoke_queue_dispatch and the queue's own thread call with each event, but for processes that have a handler
/// of their own (convoke_process_set_handler). See the callback contract.
///
/// Without a handler events wait, and a dispatch that meets one answers CONVOKE_E_STATE.
///
/// @param queue the queue.
/// @param fn the handler; NULL for none any more.
/// @param user_data handed to `fn` as it is; owned by the library until `free_fn` is called with it.
/// @param free_fn gives `user_data` back, exactly once, also when this call fails; may be NULL.
/// @return the status:
/// @retval CONVOKE_OK the former handler is replaced; its `free_fn` is called when its last call has ended.
/// @retval CONVOKE_E_INVALID `queue` is not a live queue.
/// @retval CONVOKE_E_CLOSED the queue is being freed, or the node is closed.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; also in callbacks of the queue
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_queue_set_handler(
    queue: *mut convoke_queue,
    r#fn: convoke_event_fn,
    user_data: *mut c_void,
    free_fn: convoke_free_fn,
) -> convoke_status {
    let handler = handler(r#fn, user_data, free_fn);
    call_on::<QueueHandle>(queue as usize, |held| Ok(held.queue.set_handler(handler)?))
}

/// Calls the handlers with events that wait, on the calling thread, and waits for the first one.
///
/// @param queue the queue.
/// @param max_events return after so many; 0 for those that wait when the call begins (at least one).
/// @param timeout_ms how long to wait for the first; -1 for ever, 0 not at all.
/// @param count_out receives how many events were handled, 0 on failure; may be NULL.
/// @return the status:
/// @retval CONVOKE_OK at least one event was handled.
/// @retval CONVOKE_E_TIMEOUT there was none in time, or convoke_queue_wake was called.
/// @retval CONVOKE_E_INVALID `queue` is not a live queue, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_WOULD_DEADLOCK called from a callback of this queue. Return from it first.
/// @retval CONVOKE_E_STATE there is no handler for the first event. It stays in the queue.
/// @retval CONVOKE_E_CLOSED the node is closed and all was handled, or the queue is being freed. Free it.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any, but not from a callback of the same queue; callbacks of one queue never overlap, so a second thread waits
///          until the first has returned from its callback
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_queue_dispatch(
    queue: *mut convoke_queue,
    max_events: u32,
    timeout_ms: i64,
    count_out: *mut u32,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(count_out, 0) };
    call_on::<QueueHandle>(queue as usize, |held| {
        out.set(held.queue.dispatch(max_events, timeout(timeout_ms)?)?);
        Ok(())
    })
}

/// Starts a thread of the library that does nothing but call the handlers with each event: for programs without an event
/// loop. All signals are blocked in it. It ends with convoke_queue_stop_thread, convoke_queue_free, or the last event after
/// the node has closed.
///
/// @param queue the queue.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `queue` is not a live queue.
/// @retval CONVOKE_E_STATE the thread runs already.
/// @retval CONVOKE_E_IO the system has no thread left.
/// @retval CONVOKE_E_CLOSED the node is closed, or the queue is being freed.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_queue_start_thread(queue: *mut convoke_queue) -> convoke_status {
    call_on::<QueueHandle>(queue as usize, |held| Ok(held.queue.start_thread()?))
}

/// Ends the queue's own thread and waits until it is gone: then no callback of it runs any more. Events stay in the queue.
///
/// @param queue the queue.
/// @param timeout_ms how long to wait; -1 for ever, 0 not at all.
/// @return the status:
/// @retval CONVOKE_OK the thread has ended, or there was none.
/// @retval CONVOKE_E_TIMEOUT its callback is still running; it ends after that. May be called again.
/// @retval CONVOKE_E_WOULD_DEADLOCK called from a callback on that thread: it ends when the callback returns.
/// @retval CONVOKE_E_INVALID `queue` is not a live queue, or `timeout_ms` is below -1.
/// @retval CONVOKE_E_CLOSED the queue is being freed.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_queue_stop_thread(
    queue: *mut convoke_queue,
    timeout_ms: i64,
) -> convoke_status {
    call_on::<QueueHandle>(queue as usize, |held| Ok(held.queue.stop_thread(timeout(timeout_ms)?)?))
}

/// Makes a convoke_queue_next or convoke_queue_dispatch that waits, or else the next one, return early with
/// CONVOKE_E_TIMEOUT. Several calls before it returns are one.
///
/// Leaves the text of convoke_last_error alone.
///
/// @param queue the queue.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `queue` is not a live queue.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any; async-signal-safe
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_queue_wake(queue: *mut convoke_queue) -> convoke_status {
    // Not the usual guard: thread-locals may be allocated at their first use, which a signal handler must not do.
    quiet_in_signal_handler(|| match QueueHandle::table().enter(queue as usize, 0) {
        Ok(held) => {
            held.queue.wake();
            held.leave_in_signal_handler();
            Status::Ok
        }
        Err(status) => status,
    })
}

fn quiet_in_signal_handler(f: impl FnOnce() -> Status) -> convoke_status {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or(Status::Internal) as convoke_status
}
