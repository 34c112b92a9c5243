//! Where the rows with a certain value are, for tables that are searched by something else than their key.

use super::{Sound, same};
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// The keys of the rows that have each value; values without a row are not kept.
#[derive(Debug)]
pub(super) struct Index<V, K>(BTreeMap<V, BTreeSet<K>>);

impl<V, K> Default for Index<V, K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<V: Ord, K: Ord> Index<V, K> {
    pub(super) fn insert(&mut self, value: V, key: K) {
        self.0.entry(value).or_default().insert(key);
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, value: &V, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(keys) = self.0.get_mut(value) {
            keys.remove(key);
            if keys.is_empty() {
                self.0.remove(value);
            }
        }
    }

    /// It is made of these rows.
    pub(super) fn check(&self, what: &str, rows: impl Iterator<Item = (V, K)>) -> Sound
    where
        V: std::fmt::Debug,
        K: std::fmt::Debug,
    {
        let mut made = Self::default();
        rows.for_each(|(value, key)| made.insert(value, key));
        same(what, &self.0, &made.0)
    }

    /// In the order of the keys.
    pub(super) fn with<Q: Ord + ?Sized>(&self, value: &Q) -> impl Iterator<Item = &K>
    where
        V: Borrow<Q>,
    {
        self.0.get(value).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_gives_the_rows_in_order_and_keeps_no_empty_values() {
        let mut index: Index<String, u64> = Index::default();
        for key in [3, 1, 2] {
            index.insert("a".to_owned(), key);
        }
        index.insert("b".to_owned(), 1);
        index.remove(&"a".to_owned(), &1);
        assert_eq!(index.with("a").copied().collect::<Vec<_>>(), [2, 3]);
        index.remove(&"b".to_owned(), &1);
        assert_eq!(index.with("b").count(), 0);
        assert_eq!(index.0.len(), 1, "b is kept without a row");
    }
}
