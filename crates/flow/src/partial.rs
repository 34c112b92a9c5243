//! Messages of which pieces are missing.

use super::MAX_STREAMS;
use super::inbound::Violation;
use crate::FRAGMENT;
use std::collections::BTreeMap;

struct Partial {
    total: usize,
    bytes: Vec<u8>,
}

/// The partial messages of one link, by (receiver, sender): one for each pair at most.
#[derive(Default)]
pub(super) struct Partials {
    map: BTreeMap<(u64, u64), Partial>,
}

impl Partials {
    pub(super) fn has(&self, to: u64, from: u64) -> bool {
        self.map.contains_key(&(to, from))
    }

    /// The first piece of a message; its credit is checked.
    pub(super) fn begin(&mut self, to: u64, from: u64, total: usize, piece: &[u8]) -> Result<(), Violation> {
        if self.map.len() >= MAX_STREAMS {
            return Err(Violation("too many messages in pieces"));
        }
        self.map.insert((to, from), Partial { total, bytes: piece.to_vec() });
        Ok(())
    }

    /// The next piece; the whole message when it was the last.
    pub(super) fn add(&mut self, to: u64, from: u64, piece: &[u8]) -> Result<Option<Vec<u8>>, Violation> {
        let Some(partial) = self.map.get_mut(&(to, from)) else {
            return Err(Violation("a piece of a message that never began"));
        };
        let (len, missing) = (partial.bytes.len(), partial.total - partial.bytes.len());
        if piece.is_empty() || piece.len() > FRAGMENT || piece.len() > missing {
            return Err(Violation("a piece of the wrong length"));
        }
        if partial.bytes.capacity() - len < piece.len() {
            // Grows with what has come, not with what was announced, and never beyond the announced.
            partial.bytes.reserve_exact(len.max(piece.len()).min(missing));
        }
        partial.bytes.extend_from_slice(piece);
        if piece.len() < missing {
            return Ok(None);
        }
        Ok(self.map.remove(&(to, from)).map(|whole| whole.bytes))
    }

    /// The receiver is no more.
    pub(super) fn drop_receiver(&mut self, to: u64) {
        let gone: Vec<_> = self.map.range((to, 0)..=(to, u64::MAX)).map(|(&pair, _)| pair).collect();
        for pair in gone {
            self.map.remove(&pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_with_what_has_come() {
        let (mut partials, total) = (Partials::default(), 16 << 20);
        partials.begin(1, 2, total, &[0; FRAGMENT]).unwrap();
        let mut come = FRAGMENT;
        while come < total {
            let capacity = partials.map[&(1, 2)].bytes.capacity();
            assert!(capacity <= 2 * come && capacity <= total, "{capacity} for {come}");
            partials.add(1, 2, &[0; FRAGMENT]).unwrap();
            come += FRAGMENT;
        }
        assert!(partials.map.is_empty());
    }
}
