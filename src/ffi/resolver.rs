//! Resolver functions: the part of section 7 that gives a node a function of the program.

use super::args::text;
use super::callback::resolve;
use super::entry::{Failure, call_on};
use super::types::{convoke_free_fn, convoke_node, convoke_resolve_fn, convoke_status};
use crate::node::Node;
use std::ffi::{c_char, c_void};

/// Gives a node a function that decides clashes, under a name: names can be registered with it as their resolver from now on.
///
/// A pointer cannot travel, so each node on which processes register with this resolver needs a function of that name. Where
/// two parts of a cluster that join have the same name, one of the two nodes concerned calls its function, once for the two
/// processes; a link that breaks meanwhile does not make it be called again. Until it returns each side goes on seeing
/// its own process under the name, and only registrations of that name wait.
///
/// What it returns says who keeps the name and what becomes of whoever loses it: CONVOKE_CLASH_NEITHER, CONVOKE_CLASH_A
/// (the event's process) or CONVOKE_CLASH_B (its peer), with CONVOKE_CLASH_KILL_LOSER or CONVOKE_CLASH_NOTIFY_LOSER added, or
/// without: then the loser lives on and is not told. Anything else, both flags at once too, and no answer within the
/// option `resolver.timeout_ms`, is a failure: no process keeps the name, and both get a NAME_CONFLICT event with the
/// other pid.
///
/// Functions are called on threads of the node, `convoke/resolver`, never on a queue's. There are up to four such threads, so that a
/// function that hangs delays no other name: calls for different names may run at the same time, those for one name never do,
/// unless the first is late already. They may call anything, but to register, reregister or unregister the name concerned in
/// that cluster is CONVOKE_E_WOULD_DEADLOCK. One that does not return in time keeps its thread until it returns; while four of
/// them do so, clashes there that need a function stay undecided. Closing and freeing the node does not wait for a function
/// that runs.
///
/// @param node the node.
/// @param resolver the name: 1 to 255 bytes of UTF-8, zero-terminated, copied.
/// @param fn the function. Its event is of kind CONVOKE_EVENT_CLASH and lent until it returns.
/// @param user_data given to it; on several threads at the same time, so mind what it points to.
/// @param free_fn gives `user_data` back when the node is freed and no call is running any more; may be NULL.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_EXISTS the node has a function of that name, or it is the name of a resolver that is built in. A function
///         cannot be replaced or taken away: names that rely on it are registered.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `resolver` is NULL, empty or not UTF-8, or `fn` is NULL.
/// @retval CONVOKE_E_TOO_BIG the name is longer than 255 bytes.
/// @retval CONVOKE_E_FULL the node has 4096 functions.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any
/// @see Erlang: the parameter Resolve of global:register_name/3
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_resolver_add(
    node: *mut convoke_node,
    resolver: *const c_char,
    r#fn: convoke_resolve_fn,
    user_data: *mut c_void,
    free_fn: convoke_free_fn,
) -> convoke_status {
    let function = resolve(r#fn, user_data, free_fn);
    call_on::<Node>(node as usize, |node| {
        // SAFETY: a zero-terminated text or NULL, by the contract.
        let name = unsafe { text(resolver, "resolver is NULL", "resolver is not UTF-8") }?;
        let function = function.ok_or_else(|| Failure::invalid("fn is NULL"))?;
        Ok(node.add_resolver(name, function)?)
    })
}
