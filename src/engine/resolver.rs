//! Resolvers: which functions this node has, and how a clash is decided by the one that its name was registered with.

use super::machine::Engine;
use super::*;

impl Engine {
    pub(super) fn add_resolver(&mut self, _resolver: Name) {}

    pub(super) fn resolved(&mut self, _id: u64, _answer: ClashAnswer) {}
}
