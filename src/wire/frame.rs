//! Frames: writing them, and finding them in a stream.

use super::buffer::{ReadBuffer, SMALL_BUFFER};
use super::check::crc16;
use super::handshake::MAX_HANDSHAKE_FRAME;
use super::{Handshake, WireError, codec};
use crate::engine::{MAX_FRAME, Stamped};
use crate::flow::{DataHeader, EncodeData};

const HANDSHAKE: u8 = 0;
const CONTROL: u8 = 1;
const DATA: u8 = 2;

/// Length (u32, of what follows it), lane (u8), check of both (u16), judged by itself as soon as it is there. What comes behind a
/// damaged length would pass for a part of a frame, and so for a sign of life.
pub const HEADER: usize = LENGTH + 3;
const LENGTH: usize = 4;

fn check_of(length: u32, lane: u8) -> u16 {
    crc16(length.to_le_bytes().iter().chain(&[lane]))
}

/// The header of a frame with a body of so many bytes.
pub fn frame_header(lane: u8, body: usize) -> [u8; HEADER] {
    let length = (body + HEADER - LENGTH) as u32;
    let ([a, b, c, d], [low, high]) = (length.to_le_bytes(), check_of(length, lane).to_le_bytes());
    [a, b, c, d, lane, low, high]
}

/// Appends one whole frame, whatever its size; says its length.
fn append(lane: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    body(out);
    let header = frame_header(lane, out.len() - start - HEADER);
    out[start..start + HEADER].copy_from_slice(&header);
    out.len() - start - LENGTH
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
/// [`filled`](FrameReader::filled)) and is parsed there.
#[derive(Default)]
pub struct FrameReader {
    buffer: ReadBuffer,
    /// The connection is a link.
    linked: bool,
}

/// The largest buffer: what one read takes at most.
const LARGE_BUFFER: usize = MAX_FRAME + LENGTH;

impl FrameReader {
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection is a link from the next frame on: control and data frames begin. (A frame of the handshake may
    /// still be on its way from a peer that has not heard of it.)
    pub fn link(&mut self) {
        self.linked = true;
    }

    /// Where the next bytes are to be read to; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        let whole = self.whole();
        self.buffer.space(whole)
    }

    /// So many bytes were read into [`space`](FrameReader::space).
    pub fn filled(&mut self, read: usize) {
        let largest = if self.linked { LARGE_BUFFER } else { 0 };
        self.buffer.filled(read, largest);
    }

    /// Room for `n` bytes that lie open already, to be counted by [`put`](FrameReader::put).
    pub(super) fn space_for(&mut self, n: usize) -> &mut [u8] {
        let whole = self.whole().max(self.buffer.rest().len() + n);
        self.buffer.space(whole)
    }

    pub(super) fn put(&mut self, n: usize) {
        self.buffer.put(n);
    }

    /// What was read and not yet parsed is of no interest any more.
    pub fn discard(&mut self) {
        self.buffer.discard();
    }

    /// The next whole frame, if it is there. An error is final.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        let Some(length) = self.announced() else { return Ok(None) };
        // The header is judged before the rest of the frame is waited for.
        let lane = self.buffer.rest().get(LENGTH).copied();
        let limit = match lane {
            Some(HANDSHAKE) => MAX_HANDSHAKE_FRAME,
            Some(CONTROL | DATA) | None => self.limit(),
            Some(lane) => return Err(WireError::Lane(lane)),
        };
        if length < HEADER - LENGTH || length > limit {
            return Err(WireError::Length { length, limit });
        }
        let Some(lane) = lane else { return Ok(None) };
        if lane != HANDSHAKE && !self.linked {
            return Err(WireError::Lane(lane));
        }
        let Some(check) = self.buffer.rest().get(LENGTH + 1..HEADER) else { return Ok(None) };
        if check != check_of(length as u32, lane).to_le_bytes() {
            return Err(WireError::Header);
        }
        if self.buffer.rest().len() < LENGTH + length {
            return Ok(None);
        }
        let body = &self.buffer.take(LENGTH + length)[HEADER..];
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
        let length = self.buffer.rest().first_chunk::<LENGTH>()?;
        Some(u32::from_le_bytes(*length) as usize)
    }

    /// How much the next frame takes. A length that is not allowed is never buffered for: `next_frame` has reported it.
    fn whole(&self) -> usize {
        self.announced().filter(|&n| n <= self.limit()).map_or(SMALL_BUFFER, |n| n + LENGTH)
    }

    fn limit(&self) -> usize {
        if self.linked { MAX_FRAME } else { MAX_HANDSHAKE_FRAME }
    }
}
