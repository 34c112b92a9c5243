//! A map that callers read without waiting for anybody, and that the node's thread alone writes.

use crate::model::Name;
use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use papaya::{Guard, HashMap};
use rand::TryRng;
use rand::rngs::SysRng;
use std::io;
use std::sync::OnceLock;

/// Values by name.
pub(super) struct Map<V>(HashMap<Name, V, SeedableRandomState>);

/// Keys come from peers, so the hash is seeded by the operating system.
fn hasher() -> io::Result<SeedableRandomState> {
    static SEED: OnceLock<SharedSeed> = OnceLock::new();
    let random = || SysRng.try_next_u64().map_err(|e| io::Error::other(e.to_string()));
    let (shared, own) = (random()?, random()?);
    Ok(SeedableRandomState::with_seed(own, SEED.get_or_init(|| SharedSeed::from_u64(shared))))
}

/// Tells whether the thread-locals of this library still stand: it is destroyed with the others.
struct Standing;

impl Drop for Standing {
    fn drop(&mut self) {
        // Having something to run is what makes it go with the others.
    }
}

thread_local! { static STANDING: Standing = const { Standing }; }

impl<V> Map<V> {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(HashMap::with_hasher(hasher()?)))
    }

    // ---- the node's thread

    pub(super) fn insert(&self, name: Name, value: V) {
        self.0.insert(name, value, &self.0.guard());
    }

    pub(super) fn remove(&self, name: &Name) {
        self.0.remove(name, &self.0.guard());
    }

    /// Many changes: `None` removes.
    pub(super) fn set_all(&self, changes: Vec<(Name, Option<V>)>) {
        let guard = self.0.guard();
        // A map that would grow in steps meanwhile grows once.
        if changes.len() > self.0.len() {
            self.0.reserve(changes.len(), &guard);
        }
        for (name, value) in changes {
            match value {
                Some(value) => drop(self.0.insert(name, value, &guard)),
                None => drop(self.0.remove(&name, &guard)),
            }
        }
    }

    // ---- callers

    /// What `f` makes of the value, if there is one.
    #[inline]
    pub(super) fn get<R>(&self, name: &[u8], f: impl FnOnce(&V) -> R) -> Option<R> {
        // The cheap guard needs a thread-local of the map's library, whose access panics when it is destroyed already,
        // as in a C++ static destructor; there the other guard serves.
        match STANDING.try_with(|_| ()) {
            Ok(()) => self.0.get(name, &self.0.guard()).map(f),
            Err(_) => self.0.get(name, &self.0.owned_guard()).map(f),
        }
    }

    /// What `f` picks of all, in no particular order.
    pub(super) fn pick<R>(&self, f: impl FnMut(&Name, &V) -> Option<R>) -> Vec<R> {
        match STANDING.try_with(|_| ()) {
            Ok(()) => self.pick_with(&self.0.guard(), f),
            Err(_) => self.pick_with(&self.0.owned_guard(), f),
        }
    }

    fn pick_with<R>(&self, guard: &impl Guard, mut f: impl FnMut(&Name, &V) -> Option<R>) -> Vec<R> {
        self.0.iter(guard).filter_map(|(name, value)| f(name, value)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
