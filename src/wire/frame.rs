//! Frames: writing them, and finding them in a stream.

use super::handshake::MAX_HANDSHAKE_FRAME;
use super::{Handshake, WireError, codec};
use crate::engine::message::{DataHeader, EncodeData};
use crate::engine::{MAX_FRAME, Stamped};

const HANDSHAKE: u8 = 0;
const CONTROL: u8 = 1;
const DATA: u8 = 2;

/// Appends one whole frame, whatever its size.
fn append(lane: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, lane]);
    body(out);
    let length = out.len() - start - 4;
    out[start..start + 4].copy_from_slice(&(length as u32).to_le_bytes());
    length
}

/// Appends a frame of the handshake lane.
pub fn encode_handshake(handshake: &Handshake, out: &mut Vec<u8>) {
    append(HANDSHAKE, out, |out| codec::encode(handshake, out));
}

/// Appends a frame of the control lane. A message that no peer would accept because of its size is not appended.
pub fn encode_control(message: &Stamped, out: &mut Vec<u8>) -> Result<(), WireError> {
    let start = out.len();
    let length = append(CONTROL, out, |out| codec::encode(message, out));
    if length > MAX_FRAME {
        out.truncate(start);
        return Err(WireError::Length { length, limit: MAX_FRAME });
    }
    Ok(())
}

/// Writes frames of the data lane: the header through the codec, the payload as it is.
pub struct DataEncoder;

impl EncodeData for DataEncoder {
    fn encode(header: &DataHeader, body: &[u8], out: &mut Vec<u8>) {
        append(DATA, out, |out| {
            codec::encode(header, out);
            out.extend_from_slice(body);
        });
    }
}

/// One frame of a peer.
#[derive(PartialEq, Debug)]
pub enum Frame<'a> {
    Handshake(Handshake),
    Control(Stamped),
    /// The payload lies in the reader's buffer.
    Data(DataHeader, &'a [u8]),
}

/// Takes a stream apart into frames. What is read goes straight into its buffer ([`space`](FrameReader::space),
/// [`filled`](FrameReader::filled)) and is parsed there. The buffer grows while the peer fills it and shrinks when it no
/// longer does, so that an idle link costs little.
pub struct FrameReader {
    buffer: Vec<u8>,
    /// What was read and not yet parsed: `buffer[start..end]`.
    start: usize,
    end: usize,
    /// The connection is a link.
    linked: bool,
    /// Reads in a row that used little of the buffer.
    small_reads: u32,
}

/// The buffer of a link that is idle, and of a stranger.
const SMALL_BUFFER: usize = 2 << 10;
/// The largest buffer: what one read takes at most.
const LARGE_BUFFER: usize = MAX_FRAME + 4;
const SMALL_READS_BEFORE_SHRINKING: u32 = 256;

impl Default for FrameReader {
    fn default() -> FrameReader {
        FrameReader::new()
    }
}

impl FrameReader {
    pub fn new() -> FrameReader {
        FrameReader { buffer: Vec::new(), start: 0, end: 0, linked: false, small_reads: 0 }
    }

    /// The connection is a link from the next frame on: control and data frames begin. (A frame of the handshake may
    /// still be on its way from a peer that has not heard of it.)
    pub fn link(&mut self) {
        self.linked = true;
    }

    /// Where the next bytes are to be read to; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.small_reads >= SMALL_READS_BEFORE_SHRINKING && self.buffer.len() > SMALL_BUFFER {
                self.buffer = Vec::new();
            }
        }
        // A length that is not allowed is never buffered for: `next` has reported it.
        let needed = self.announced().filter(|&n| n <= self.limit()).map_or(SMALL_BUFFER, |n| n + 4);
        if self.start > 0 {
            // The rest is at most one frame, and the next read gets all the room there is.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() < needed.max(self.end + 1) {
            self.resize(needed.max(self.end + SMALL_BUFFER));
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read into [`space`](FrameReader::space).
    pub fn filled(&mut self, read: usize) {
        self.end = (self.end + read).min(self.buffer.len());
        if read > self.buffer.len() / 4 {
            self.small_reads = 0;
        } else {
            self.small_reads = self.small_reads.saturating_add(1);
        }
        // The peer has filled all that there was: it most likely has more.
        if self.linked && self.end == self.buffer.len() && self.buffer.len() < LARGE_BUFFER {
            self.resize((self.buffer.len() * 4).min(LARGE_BUFFER));
        }
    }

    /// What was read and not yet parsed is of no interest any more.
    pub fn discard(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The next whole frame, if it is there. An error is final.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let Some(length) = self.announced() else { return Ok(None) };
        // The lane is judged before the rest of the frame is waited for.
        let lane = self.buffer[..self.end].get(self.start + 4).copied();
        let limit = match lane {
            Some(HANDSHAKE) => MAX_HANDSHAKE_FRAME,
            Some(CONTROL | DATA) | None => self.limit(),
            Some(lane) => return Err(WireError::Lane(lane)),
        };
        if length == 0 || length > limit {
            return Err(WireError::Length { length, limit });
        }
        let Some(lane) = lane else { return Ok(None) };
        if lane != HANDSHAKE && !self.linked {
            return Err(WireError::Lane(lane));
        }
        if self.end - self.start < 4 + length {
            return Ok(None);
        }
        let body = &self.buffer[self.start + 5..self.start + 4 + length];
        self.start += 4 + length;
        Ok(Some(match lane {
            HANDSHAKE => Frame::Handshake(Handshake::decode(body)?),
            CONTROL => Frame::Control(codec::decode("control message", body)?),
            _ => {
                let (header, used) = codec::decode_prefix("data header", body)?;
                Frame::Data(header, &body[used..])
            }
        }))
    }

    /// The length that stands before the next frame.
    fn announced(&self) -> Option<usize> {
        let length = self.buffer[self.start..self.end].first_chunk::<4>()?;
        Some(u32::from_le_bytes(*length) as usize)
    }

    fn limit(&self) -> usize {
        if self.linked { MAX_FRAME } else { MAX_HANDSHAKE_FRAME }
    }

    fn resize(&mut self, size: usize) {
        // Exact: a Vec that grows by itself would take twice as much.
        self.buffer.reserve_exact(size - self.buffer.len());
        self.buffer.resize(size, 0);
    }
}
