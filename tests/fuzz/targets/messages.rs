//! Bodies of control frames and data headers: what decodes is encoded and decodes to the same. Half of the inputs are
//! the bytes of a body, half are choices that make a message with plausible and implausible values.

use super::source::Source;
use super::words::Words;
use convoke::engine::{MAX_FRAME, Stamped};
use convoke::flow::EncodeData;
use convoke::wire::{DataEncoder, Frame, FrameReader, encode_control, frame_header};

fn frame(lane: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = frame_header(lane, body.len()).to_vec();
    frame.extend_from_slice(body);
    frame
}

/// Reads one frame that is all of the bytes, and encodes it anew.
fn again(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reader = FrameReader::new();
    reader.link();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = reader.space();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        reader.filled(count);
        rest = &rest[count..];
        if !rest.is_empty() && reader.next_frame() != Ok(None) {
            return None;
        }
    }
    let mut out = Vec::new();
    match reader.next_frame().ok()?? {
        Frame::Control(message) => encode_control(&message, &mut out).expect("no larger than it came"),
        Frame::Data(header, body) => DataEncoder::encode(&header, body, &mut out),
        Frame::Handshake(_) => return None,
    }
    Some(out)
}

pub(super) fn run(input: &[u8]) {
    let mut source = Source::new(input);
    match source.byte() % 4 {
        lane @ 0..=1 => {
            if let Some(canonical) = again(&frame(lane + 1, source.rest())) {
                assert_eq!(again(&canonical).as_ref(), Some(&canonical));
            }
        }
        _ => {
            let mut words = Words::default();
            let message = words.message(&mut source);
            let stamped = Stamped { clock: source.number(), message };
            let mut bytes = Vec::new();
            if encode_control(&stamped, &mut bytes).is_err() {
                assert!(bytes.is_empty(), "nothing of what is too large is sent");
                return;
            }
            assert!(bytes.len() <= MAX_FRAME + 4);
            assert_eq!(again(&bytes), Some(bytes), "{stamped:?}");
        }
    }
}
