//! The buffers of one link's data lane: frames are encoded into blocks, blocks are written and come back.

use super::{DataHeader, EncodeData};
use crate::FRAGMENT;
use std::collections::VecDeque;
use std::mem;

/// More than a frame takes beside its body, so that no block grows after it was allocated.
const FRAME_ROOM: usize = 128;
/// Blocks that are kept for reuse: enough for a link that is written as fast as it is filled.
const SPARE: usize = 4;

/// Blocks are numbered in the order they are filled, from 1, which is also the order they are given out. So "what was put
/// in block n has been given out" is one comparison.
#[derive(Default)]
pub(super) struct Blocks {
    current: Vec<u8>,
    ready: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// Lengths of what was given out and has not come back, oldest first. Kept here, for the writer may have cleared
    /// the buffer that it returns.
    writing: VecDeque<usize>,
    given_out: u64,
    backlog: usize,
}

impl Blocks {
    /// Encodes a frame behind all others; returns the number of its block.
    pub(super) fn put<E: EncodeData>(&mut self, header: &DataHeader, body: &[u8]) -> u64 {
        if !self.current.is_empty() && self.current.len() + body.len() > FRAGMENT {
            let full = mem::take(&mut self.current);
            self.ready.push_back(full);
        }
        if self.current.capacity() == 0 {
            self.current = self.empty();
        }
        let before = self.current.len();
        E::encode(header, body, &mut self.current);
        self.backlog += self.current.len() - before;
        self.given_out + self.ready.len() as u64 + 1
    }

    /// The oldest block, to be written.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let block = match self.ready.pop_front() {
            Some(block) => block,
            None if self.current.is_empty() => return None,
            None => mem::take(&mut self.current),
        };
        self.given_out += 1;
        self.writing.push_back(block.len());
        Some(block)
    }

    /// A block of its own for one frame, to be written before all that waits.
    pub(super) fn frame<E: EncodeData>(&mut self, header: &DataHeader, body: &[u8]) -> Vec<u8> {
        let mut block = self.empty();
        E::encode(header, body, &mut block);
        self.backlog += block.len();
        self.writing.push_back(block.len());
        block
    }

    /// A block was written (or will never be).
    pub(super) fn written(&mut self, mut block: Vec<u8>) {
        let Some(len) = self.writing.pop_front() else { return };
        self.backlog -= len;
        if self.spare.len() < SPARE && (FRAGMENT..=2 * (FRAGMENT + FRAME_ROOM)).contains(&block.capacity()) {
            block.clear();
            self.spare.push(block);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.current.is_empty() && self.ready.is_empty()
    }

    /// The number of the last block that was given out.
    pub(super) fn given_out(&self) -> u64 {
        self.given_out
    }

    /// Bytes of frames that are not written yet, and of payloads that wait to be cut into frames.
    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    /// A payload waits beside the blocks.
    pub(super) fn add_backlog(&mut self, bytes: usize) {
        self.backlog += bytes;
    }

    /// So much of the payloads beside the blocks was put into frames or dropped.
    pub(super) fn sub_backlog(&mut self, bytes: usize) {
        self.backlog -= bytes;
    }

    fn empty(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(FRAGMENT + FRAME_ROOM))
    }
}
