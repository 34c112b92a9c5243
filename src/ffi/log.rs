//! The log of the library, for all nodes of the program.

use super::callback::logger;
use super::entry::{call, call_on};
use super::queue::QueueHandle;
use super::types::{convoke_free_fn, convoke_log_fn, convoke_queue, convoke_status};
use crate::node::set_logger;
use std::ffi::c_void;

/// Sets the function that gets the log of all nodes of this program. There is one; a second call replaces the first.
///
/// It runs on a thread of its own ("convoke/log"), never on the thread of a node and with no lock held, so it may do
/// anything: block, call any function of the library, remove itself. Up to 1024 records wait for it; what comes when it is
/// slower than that is dropped and counted, and a record of the target "convoke.log" says how many were. Calls never
/// overlap, but for one of a function that was replaced meanwhile. When this returns, no new call of the former function
/// begins; records that waited for it are dropped.
///
/// Records have a level, a target (docs/operations.md lists them) and a text that begins with the name of the node. They hold
/// no secrets and no payloads. When nobody listens, nothing is formatted.
///
/// @param max_level CONVOKE_LOG_ERROR to CONVOKE_LOG_TRACE: records up to this level; CONVOKE_LOG_OFF: none any more.
/// @param fn the function; NULL for none any more.
/// @param user_data handed to `fn` as it is; owned by the library until `free_fn` is called with it.
/// @param free_fn gives `user_data` back, exactly once, after the last call, also when this call fails; may be NULL.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID there is no such level.
/// @retval CONVOKE_E_IO the system has no thread left. The former function stays.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any; also in `fn`; a forked child has no function until it sets one
/// @since 0.1.0
#[unsafe(no_mangle)]
pub unsafe extern "C" fn convoke_log_set(
    max_level: i32,
    r#fn: convoke_log_fn,
    user_data: *mut c_void,
    free_fn: convoke_free_fn,
) -> convoke_status {
    let logger = logger(r#fn, user_data, free_fn);
    call(|_| Ok(set_logger(max_level, logger)?))
}

/// From now on a queue gets the log of all nodes of this program, as LOG events: for languages that cannot be called back on
/// threads they do not know. Several queues may get it, each up to its own level.
///
/// Up to 1024 LOG events may be unread in a queue; further ones are dropped and counted, in the value of the next one. They
/// take no room from other events.
///
/// @param queue the queue.
/// @param max_level CONVOKE_LOG_ERROR to CONVOKE_LOG_TRACE: records up to this level; CONVOKE_LOG_OFF: none any more (those
///        that wait in the queue stay).
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `queue` is not a live queue, or there is no such level.
/// @retval CONVOKE_E_CLOSED the node of the queue is closed, or the queue is being freed.
/// @retval CONVOKE_E_FORKED the queue was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_log_to_queue(queue: *mut convoke_queue, max_level: i32) -> convoke_status {
    call_on::<QueueHandle>(queue as usize, |held| Ok(held.queue.log(max_level)?))
}
