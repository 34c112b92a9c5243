//! Clashes: two bindings of one name, met when two parts of a cluster join, and decided once.

mod pair;
mod relay;
mod resolver;
mod state;

pub(crate) use state::Clashes;
