//! What decides a clash of two registrations of one name.

use crate::Name;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Who decides a clash of this name: the name of a resolver, for a pointer cannot travel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Resolver {
    /// `random-exit`: one of the two is chosen at random, the other is killed. The manual's default.
    RandomExit,
    /// `random-notify`: one of the two is chosen at random, the other is told.
    RandomNotify,
    /// `notify-all`: neither keeps the name, and both are told of each other.
    NotifyAll,
    /// `keep-oldest`: the older registration stays, the other process is told.
    KeepOldest,
    /// A function of the program, known by this name on the home of the process.
    Function(Arc<Name>),
}

impl Resolver {
    /// The names of those that are built in.
    pub const BUILT_IN: [(&'static str, Self); 4] = [
        ("random-exit", Self::RandomExit),
        ("random-notify", Self::RandomNotify),
        ("notify-all", Self::NotifyAll),
        ("keep-oldest", Self::KeepOldest),
    ];

    /// The resolver with this name. Whether there is such a function its home knows.
    pub fn from_name(name: &str) -> Self {
        let built_in = Self::BUILT_IN.into_iter().find(|(known, _)| *known == name);
        built_in.map_or_else(|| Self::Function(Arc::new(Name::new(name.as_bytes()))), |(_, it)| it)
    }
}
