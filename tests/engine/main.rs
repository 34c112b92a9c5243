//! The engine by hand: each message in each state, and each promise, in schedules small enough to read. Random
//! schedules are the simulator's job.

mod asks;
mod claims;
mod clashes;
mod close;
mod deadlines;
mod dial;
mod forward;
mod groups;
mod groups_deletes;
mod groups_full;
mod groups_hostile;
mod groups_memory;
mod groups_splits;
mod groups_undone;
mod groups_watched;
mod harness;
mod holds;
mod hostile;
mod limits;
mod lock_hostile;
mod lock_lists;
mod lock_minority;
mod lock_patience;
mod lock_scopes;
mod lock_splits;
mod lock_tokens;
mod lock_voter;
mod lock_watch;
mod locks;
mod lookup;
mod membership;
#[cfg(feature = "faults")]
mod mutants;
mod names;
mod namesakes;
mod outputs;
mod passage;
mod processes;
mod reregister;
mod resolver_functions;
mod resolver_homes;
mod resolvers;
mod rules;
mod sync;
mod tables;
