//! Clashes: two bindings of one name, met when two parts of a cluster join, and decided once.

mod pair;
mod relay;
mod resolver;

pub(crate) use pair::Clashes;
