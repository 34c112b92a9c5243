//! What a node tells of itself: metrics and the dump.

use super::args::Out;
use super::entry::call_on;
use super::list;
use super::types::{convoke_list, convoke_node, convoke_status};
use crate::node::Node;

/// Metrics of the node as OpenMetrics 1.0 text, to be served to Prometheus and the like: links, traffic, names, locks, claims
/// in flight, clashes, queues, round trips and more, each with a label `node`. docs/operations.md lists them.
///
/// Asks the node's thread, and waits for two seconds at most. If that does not answer, what only it knows is left out, and
/// the metric that says so is 0.
///
/// @param node the node.
/// @param text_out receives a list with one row, whose CONVOKE_FIELD_TEXT is the text (UTF-8, with a zero behind it); owned by
///        the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `text_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_metrics(
    node: *const convoke_node,
    text_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(text_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("text_out is NULL")?;
        out.set(list::give(node.metrics()?));
        Ok(())
    })
}

/// What is under way on the node as JSON: every operation that is not answered, since when, and which nodes it waits for;
/// who holds the locks that others wait for; links and how long their peers have been silent; clashes, resolvers, queues.
/// The first thing to look at when something hangs; docs/operations.md explains it.
///
/// Lists are cut after some hundreds of rows and long names after 256 bytes, so the text is a few MiB at most. Names that are
/// not UTF-8 are objects with their bytes in hexadecimal. Fields may be added in later versions.
///
/// Asks the node's thread, and waits for two seconds at most. If that does not answer, "node_thread" is "stuck", and the text
/// has what is known without it.
///
/// @param node the node.
/// @param text_out receives a list with one row, whose CONVOKE_FIELD_TEXT is the text (UTF-8, with a zero behind it); owned by
///        the caller: free it with convoke_list_free. NULL on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID `node` is not a live node, or `text_out` is NULL.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_node_dump(
    node: *const convoke_node,
    text_out: *mut *mut convoke_list,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(text_out, std::ptr::null_mut()) };
    call_on::<Node>(node as usize, |node| {
        let out = out.required("text_out is NULL")?;
        out.set(list::give(node.dump()?));
        Ok(())
    })
}
