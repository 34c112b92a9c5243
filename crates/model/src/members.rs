//! The members of a group as readers see them: a list that is lent, of pieces that are shared.
//!
//! A list of members is published at every change. Were it made anew each time, a join would cost as much as the group is
//! large. So the entries lie in pieces, and a change replaces one of them; all others are shared by the lists that readers
//! have. A caller that wants all entries in one array gets one that is made when the first asks for it, for all that have the list.

use crate::{NodeId, Pid};
use std::sync::{Arc, OnceLock};

/// A piece with more entries than this is cut in two.
const MOST: usize = 256;
/// One with fewer is joined to its neighbour, if the two are not too many.
const FEWEST: usize = MOST / 4;

/// Entries in ascending order, the copies of a pid side by side and in one piece.
type Piece = Arc<Vec<Pid>>;

/// The entries of some homes, in ascending order.
#[derive(Default, Debug)]
struct Sequence {
    /// None is empty, and each begins above the end of the one before.
    pieces: Vec<Piece>,
}

impl Sequence {
    /// The pid has so many entries from now on.
    fn set(&mut self, pid: Pid, count: usize) {
        let behind = self.pieces.partition_point(|piece| piece.first().is_some_and(|first| *first <= pid));
        let at = behind.saturating_sub(1);
        let Some(piece) = self.pieces.get_mut(at) else {
            if count > 0 {
                self.pieces.push(Arc::new(vec![pid; count]));
            }
            return;
        };
        let (from, to) = (piece.partition_point(|it| *it < pid), piece.partition_point(|it| *it <= pid));
        let copies = std::iter::repeat_n(pid, count);
        match Arc::get_mut(piece) {
            Some(entries) => drop(entries.splice(from..to, copies)),
            None => {
                let kept = piece[..from].iter().copied();
                *piece = Arc::new(kept.chain(copies).chain(piece[to..].iter().copied()).collect());
            }
        }
        self.balance(at);
    }

    /// Cuts or joins the piece, or takes it out.
    fn balance(&mut self, at: usize) {
        let len = self.pieces[at].len();
        if len == 0 {
            self.pieces.remove(at);
        } else if len > MOST {
            // Between two pids, as near to the middle as there are any.
            let piece = &self.pieces[at];
            let middle = piece[len / 2];
            let (low, high) =
                (piece.partition_point(|it| *it < middle), piece.partition_point(|it| *it <= middle));
            let cut = if low > 0 { low } else { high };
            if cut < len {
                let parts = [Arc::new(piece[..cut].to_vec()), Arc::new(piece[cut..].to_vec())];
                self.pieces.splice(at..=at, parts);
            }
        } else if len < FEWEST && self.pieces.len() > 1 {
            let fits = |pair: &[Piece]| pair.iter().map(|piece| piece.len()).sum::<usize>() <= MOST / 2;
            let mut pairs = [at.checked_sub(1), Some(at)].into_iter().flatten().map(|first| first..first + 2);
            let pair = pairs.find(|pair| self.pieces.get(pair.clone()).is_some_and(fits));
            if let Some(pair) = pair {
                let both = self.pieces[pair.clone()].iter().flat_map(|piece| piece.iter()).copied().collect();
                self.pieces.splice(pair, [Arc::new(both)]);
            }
        }
    }
}

/// The entries of a group, as they are now.
#[derive(Default, Debug)]
pub struct Entries {
    own: Sequence,
    others: Sequence,
}

impl Entries {
    /// The pid has so many entries from now on. `me`: this node.
    pub fn set(&mut self, me: NodeId, pid: Pid, count: u64) {
        let of = if pid.node == me { &mut self.own } else { &mut self.others };
        of.set(pid, usize::try_from(count).unwrap_or(usize::MAX));
    }

    pub fn members(&self) -> Members {
        Members::of(self.own.pieces.clone(), &self.others.pieces)
    }
}

/// The members of a group at one moment: every pid as often as it has joined, its copies adjacent, those of this node
/// first. Cheap to clone.
#[derive(Clone)]
pub struct Members(Arc<Inner>);

struct Inner {
    pieces: Vec<Piece>,
    /// How many entries there are before the end of each piece.
    ends: Vec<usize>,
    /// So many of the entries, the first ones, live on this node.
    local: usize,
    /// All entries side by side, once somebody has asked for that.
    all: OnceLock<Box<[Pid]>>,
}

impl Members {
    /// `local`: entries of this node; both in ascending order.
    pub fn new(local: Vec<Pid>, others: Vec<Pid>) -> Self {
        let piece = |entries: Vec<Pid>| (!entries.is_empty()).then(|| Arc::new(entries));
        Self::of(piece(local).into_iter().collect(), piece(others).as_slice())
    }

    fn of(mut pieces: Vec<Piece>, others: &[Piece]) -> Self {
        let local = pieces.iter().map(|piece| piece.len()).sum();
        pieces.extend_from_slice(others);
        let mut end = 0;
        let ends = pieces.iter().map(|piece| {
            end += piece.len();
            end
        });
        let ends = ends.collect();
        Self(Arc::new(Inner { pieces, ends, local, all: OnceLock::new() }))
    }

    pub fn len(&self) -> usize {
        self.0.ends.last().copied().unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// So many of the entries, the first ones, live on this node.
    pub fn local(&self) -> usize {
        self.0.local
    }

    pub fn get(&self, index: usize) -> Option<Pid> {
        let at = self.0.ends.partition_point(|end| *end <= index);
        let piece = self.0.pieces.get(at)?;
        piece.get(index + piece.len() - self.0.ends[at]).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pid> {
        self.0.pieces.iter().flat_map(|piece| piece.iter())
    }

    /// All of them, side by side.
    pub fn as_slice(&self) -> &[Pid] {
        match &self.0.pieces[..] {
            [] => &[],
            [piece] => piece,
            _ => self.0.all.get_or_init(|| self.iter().copied().collect()),
        }
    }
}

impl Default for Members {
    fn default() -> Self {
        Self::of(Vec::new(), &[])
    }
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        self.0.local == other.0.local && self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Members {}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("local", &self.0.local).field("entries", &self.as_slice()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    const ME: NodeId = NodeId(5);

    fn pid(node: u64, serial: u64) -> Pid {
        Pid { node: NodeId(node), serial }
    }

    /// Whatever comes and goes, readers see what a table of counts says, and what they have does not change.
    #[test]
    fn the_pieces_say_what_a_plain_list_says() {
        for seed in 0..20 {
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut entries, mut model, mut lent) = (Entries::default(), BTreeMap::new(), Vec::new());
            for step in 0..4000 {
                let range = if step < 3000 { 3000 } else { 60 };
                let pid = pid(rng.random_range(4..7), rng.random_range(1..range));
                let count = if rng.random_bool(if step < 2000 { 0.1 } else { 0.8 }) { 0 } else { 1 };
                let count = if rng.random_bool(0.01) { rng.random_range(0..600) } else { count };
                entries.set(ME, pid, count);
                model.insert((pid.node != ME, pid), usize::try_from(count).unwrap());
                if step % 400 == 0 {
                    let all = model.iter().flat_map(|((_, pid), count)| std::iter::repeat_n(*pid, *count));
                    lent.push((entries.members(), all.collect::<Vec<_>>()));
                }
            }
            for (members, expected) in &lent {
                assert_eq!(members.as_slice(), expected, "seed {seed}");
                assert_eq!(members.iter().copied().collect::<Vec<_>>(), *expected);
                let local = expected.iter().filter(|pid| pid.node == ME).count();
                assert_eq!((members.len(), members.local()), (expected.len(), local));
                for (index, pid) in expected.iter().enumerate() {
                    assert_eq!(members.get(index), Some(*pid));
                }
                assert_eq!(members.get(expected.len()), None);
            }
            let pieces = entries.own.pieces.iter().chain(&entries.others.pieces);
            for piece in pieces {
                assert!(!piece.is_empty() && piece.len() <= MOST + 600, "{}", piece.len());
            }
        }
    }

    /// A change of a large group makes one piece anew, and no more.
    #[test]
    fn a_change_leaves_all_other_pieces_shared() {
        let mut entries = Entries::default();
        for serial in 1..=10_000 {
            entries.set(ME, pid(6, serial), 1);
        }
        let before = entries.members();
        entries.set(ME, pid(6, 5000), 2);
        entries.set(ME, pid(6, 5001), 0);
        let after = entries.members();
        let is_shared = |piece: &&Piece| before.0.pieces.iter().any(|old| Arc::ptr_eq(old, piece));
        let made = after.0.pieces.iter().filter(|piece| !is_shared(piece)).count();
        assert!(made <= 2, "{made} of {}", after.0.pieces.len());
        assert!(after.0.pieces.len() <= 10_000 / FEWEST);
        assert_eq!(before.len(), 10_000);
    }

    #[test]
    fn small_pieces_are_joined() {
        let mut entries = Entries::default();
        for serial in 1..=10_000 {
            entries.set(ME, pid(ME.0, serial), 1);
        }
        for serial in (1..=10_000).filter(|serial| serial % 100 != 0) {
            entries.set(ME, pid(ME.0, serial), 0);
        }
        assert_eq!(entries.members().len(), 100);
        assert!(entries.own.pieces.len() <= 4, "{}", entries.own.pieces.len());
        for serial in 1..=10_000 {
            entries.set(ME, pid(ME.0, serial), 0);
        }
        assert!(entries.own.pieces.is_empty() && entries.members().is_empty());
    }
}
