//! Groups: which exist, who is a member, and how nodes come to agree about what belongs to nobody.

mod convergence;
mod existence;
mod joining;
mod maker;
mod memberships;
mod operations;
mod trim;
mod withdrawal;

pub(crate) use memberships::Groups;
