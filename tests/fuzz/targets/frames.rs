//! A stream of any bytes in pieces of any size, before the connection is a link and after. However it is cut, the same
//! frames are found in it.

use super::source::Source;
use convoke::flow::EncodeData;
use convoke::wire::{DataEncoder, Frame, FrameReader, Handshake, encode_control, encode_handshake};

/// What was found: every frame, encoded anew, and whether the stream ended in an error.
#[derive(PartialEq, Debug)]
struct Found {
    frames: usize,
    bytes: Vec<u8>,
    is_wrong: bool,
}

fn read(linked: bool, mut stream: &[u8], mut piece: impl FnMut() -> usize) -> Found {
    let mut reader = FrameReader::new();
    if linked {
        reader.link();
    }
    let mut found = Found { frames: 0, bytes: Vec::new(), is_wrong: false };
    loop {
        loop {
            let frame = match reader.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => frame,
                Err(_) => {
                    found.is_wrong = true;
                    return found;
                }
            };
            found.frames += 1;
            match &frame {
                Frame::Handshake(handshake) => encode_handshake(handshake, &mut found.bytes),
                // What came in one frame may go into one.
                Frame::Control(message) => encode_control(message, &mut found.bytes).expect("it fits"),
                Frame::Data(header, body) => DataEncoder::encode(header, body, &mut found.bytes),
            }
            if frame == Frame::Handshake(Handshake::Go) {
                reader.link();
            }
        }
        if stream.is_empty() {
            return found;
        }
        let space = reader.space();
        assert!(!space.is_empty(), "a reader that reads nothing never gets on");
        let count = space.len().min(stream.len()).min(piece().max(1));
        space[..count].copy_from_slice(&stream[..count]);
        reader.filled(count);
        stream = &stream[count..];
    }
}

pub(super) fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let linked = source.flag();
    let mut pieces = Source::new(source.take(8));
    let stream = source.rest();
    let cut = read(linked, stream, || {
        let size = pieces.byte();
        if pieces.is_over() { 1 + usize::from(size) * 7 } else { usize::from(size) }
    });
    let whole = read(linked, stream, || usize::MAX);
    assert_eq!(cut, whole, "the same stream, cut in another way");
    // What an honest node would have sent for these frames is read as the same frames.
    let again = read(true, &whole.bytes, || usize::MAX);
    assert_eq!((again.frames, &again.bytes, again.is_wrong), (whole.frames, &whole.bytes, false));
}
