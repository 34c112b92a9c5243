//! What was read from a peer and is not yet taken apart.

/// The buffer of a link that is idle, and of a stranger.
pub(super) const SMALL_BUFFER: usize = 2 << 10;
const SMALL_READS_BEFORE_SHRINKING: u32 = 256;

/// Bytes in the order in which they came. Grows while its peer fills it and shrinks when it no longer does, so that an
/// idle link costs little.
#[derive(Default)]
pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    /// What was read and not yet taken: `bytes[start..end]`.
    start: usize,
    end: usize,
    /// Reads in a row that used little of the buffer.
    small_reads: u32,
}

impl ReadBuffer {
    /// What was read and not yet taken.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes the first `n` bytes of the rest.
    pub(super) fn take(&mut self, n: usize) -> &[u8] {
        let taken = self.start..(self.start + n).min(self.end);
        self.start = taken.end;
        &self.bytes[taken]
    }

    /// Where the next bytes are to be read to. Never empty; `whole`: the rest and what is missing to it is so long.
    pub(super) fn space(&mut self, whole: usize) -> &mut [u8] {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
            if self.small_reads >= SMALL_READS_BEFORE_SHRINKING && self.bytes.len() > SMALL_BUFFER {
                self.bytes = Vec::new();
            }
        }
        if self.start > 0 {
            // The rest is less than one frame or record, and the next read gets all the room there is.
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() < whole.max(self.end + 1) {
            self.resize(whole.max(self.end + SMALL_BUFFER));
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were put into the [`space`](ReadBuffer::space).
    pub(super) fn put(&mut self, n: usize) {
        self.end = (self.end + n).min(self.bytes.len());
        if n > self.bytes.len() / 4 {
            self.small_reads = 0;
        } else {
            self.small_reads = self.small_reads.saturating_add(1);
        }
    }

    /// The same, read from a socket: a peer that has filled all that there was most likely has more, so the buffer grows,
    /// to at most `largest`.
    pub(super) fn filled(&mut self, n: usize, largest: usize) {
        self.put(n);
        if self.end == self.bytes.len() && self.bytes.len() < largest {
            self.resize((self.bytes.len() * 4).min(largest));
        }
    }

    pub(super) fn discard(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    fn resize(&mut self, size: usize) {
        // Exact: a Vec that grows by itself would take twice as much.
        self.bytes.reserve_exact(size - self.bytes.len());
        self.bytes.resize(size, 0);
    }
}
