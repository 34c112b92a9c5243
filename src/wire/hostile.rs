//! Bytes that no honest peer sends: decoding ends, in a value or an error, whatever they are. (That it also keeps
//! within its memory is watched by `tests/wire_memory.rs`, which counts allocations.)

use super::frame::{Frame, FrameReader, HEADER, encode_handshake, frame_header};
use super::golden::{frame_of, frame_of_data, handshakes, headers, messages};
use super::{Handshake, Opening, WireError};
use crate::engine::{Connectivity, Dot, Existence, Identity, MAX_DOT, MAX_FRAME, Message};
use crate::model::{MAX_NAME, Name, NodeId};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Feeds the bytes in pieces of at most `piece` and counts the frames until the end or the first error.
fn feed(reader: &mut FrameReader, mut bytes: &[u8], piece: usize) -> Result<usize, WireError> {
    let mut frames = 0;
    loop {
        while let Some(frame) = reader.next_frame()? {
            frames += 1;
            if frame == Frame::Handshake(Handshake::Go) {
                reader.link();
            }
        }
        if bytes.is_empty() {
            return Ok(frames);
        }
        let space = reader.space();
        let n = space.len().min(bytes.len()).min(piece);
        space[..n].copy_from_slice(&bytes[..n]);
        reader.filled(n);
        bytes = &bytes[n..];
    }
}

fn linked() -> FrameReader {
    let mut reader = FrameReader::new();
    reader.link();
    reader
}

/// Every frame there is, one after the other.
fn link_stream() -> (Vec<u8>, usize) {
    let mut stream = Vec::new();
    let mut frames = 0;
    for message in messages() {
        stream.extend(frame_of(message));
        frames += 1;
    }
    for header in headers() {
        for size in [0, 1, 3000, 64 << 10] {
            stream.extend(frame_of_data(&header, &vec![size as u8; size]));
            frames += 1;
        }
    }
    (stream, frames)
}

#[test]
fn frames_are_found_however_the_stream_is_cut() {
    let (stream, frames) = link_stream();
    for piece in [1, 2, 3, 7, 100, 4096, 100_000, usize::MAX] {
        assert_eq!(feed(&mut linked(), &stream, piece), Ok(frames), "pieces of {piece}");
    }
}

#[test]
fn a_link_may_follow_the_handshake_in_one_read() {
    let mut stream = Vec::new();
    encode_handshake(&handshakes()[0], &mut stream);
    encode_handshake(&Handshake::Go, &mut stream);
    let (link, frames) = link_stream();
    stream.extend(link);
    for piece in [1, 1000, usize::MAX] {
        assert_eq!(feed(&mut FrameReader::new(), &stream, piece), Ok(frames + 2));
    }
}

#[test]
fn a_length_is_judged_before_anything_is_buffered_for_it() {
    for (mut reader, limit) in [(linked(), MAX_FRAME), (FrameReader::new(), 1024)] {
        for length in [0, limit as u32 + 1, u32::MAX] {
            let error = feed(&mut reader, &length.to_le_bytes(), 4).unwrap_err();
            assert_eq!(error, WireError::Length { length: length as usize, limit });
            assert!(reader.space().len() < 8 << 10, "nothing is kept for it");
            reader = FrameReader::new();
            if limit == MAX_FRAME {
                reader.link();
            }
        }
    }
}

#[test]
fn lanes_are_open_at_their_time_only() {
    assert_eq!(feed(&mut linked(), &[3, 0, 0, 0, 3], 99), Err(WireError::Lane(3)));
    assert_eq!(
        feed(&mut linked(), &[1, 4, 0, 0, 0], 99),
        Err(WireError::Length { length: 1025, limit: 1024 }),
        "the handshake's frames are small on a link too"
    );
    // A stranger's first words: judged by the first five bytes.
    for words in [&frame_of(messages().remove(1))[..], b"GET / HTTP/1.1\r\n", b"\x10\0\0\0\x01"] {
        assert!(feed(&mut FrameReader::new(), words, 99).is_err());
    }
}

/// A length that was damaged must not have the reader wait for what never comes, with all that is said meanwhile counted
/// as a part of it: the header alone is enough to notice, whatever one or two of its bits were flipped.
#[test]
fn a_damaged_header_is_noticed_before_the_body_is_there() {
    for frame in [frame_of(messages().remove(1)), frame_of_data(&headers()[0], &[7; 40_000])] {
        assert_eq!(feed(&mut linked(), &frame[..HEADER], 99), Ok(0), "a sound one is waited behind");
        for first in 0..HEADER * 8 {
            for second in first..HEADER * 8 {
                let mut damaged = frame[..HEADER].to_vec();
                damaged[first / 8] ^= 1 << (first % 8);
                if second > first {
                    damaged[second / 8] ^= 1 << (second % 8);
                }
                let found = feed(&mut linked(), &damaged, 99);
                assert!(found.is_err(), "bits {first} and {second}: {damaged:?}");
            }
        }
    }
}

/// "No one or two bits" is what one of the polynomial's properties says; this is its check value.
#[test]
fn the_check_is_the_one_that_is_written_down() {
    // CRC-16/CCITT-FALSE of the five bytes 05 00 00 00 01, as another implementation gives it.
    assert_eq!(frame_header(1, 2), [5, 0, 0, 0, 1, 0x7a, 0x22]);
}

#[test]
fn texts_of_a_handshake_are_limited() {
    let identity = |name: &str, address: &str| Identity {
        node: NodeId(1),
        name: name.to_owned(),
        address: address.to_owned(),
        connectivity: Connectivity::default(),
        groups: 0,
        uptime_ms: 0,
        message_limit: 1 << 20,
    };
    let (fits, long) = ("x".repeat(255), "x".repeat(256));
    let try_one = |cluster: &str, name: &str, address: &str| {
        let mut frame = Vec::new();
        encode_handshake(
            &Handshake::identity(cluster, identity(name, address), Opening([0; 32])),
            &mut frame,
        );
        feed(&mut FrameReader::new(), &frame, 9999)
    };
    assert_eq!(try_one(&fits, &fits, &fits), Ok(1));
    assert_eq!(try_one("", "n", ""), Ok(1));
    for (cluster, name, address) in [(&*long, "n", ""), ("", &*long, ""), ("", "n", &*long), ("", "", "")] {
        assert!(try_one(cluster, name, address).is_err());
    }
}

#[test]
fn truncated_bodies_and_trailing_bytes_are_errors() {
    for message in messages() {
        let frame = frame_of(message);
        for cut in HEADER..frame.len() {
            let mut short = frame[..cut].to_vec();
            short[..HEADER].copy_from_slice(&frame_header(frame[4], cut - HEADER));
            assert_eq!(feed(&mut linked(), &short, 999), Err(WireError::Malformed("control message")));
        }
        let mut long = frame.clone();
        long.push(0);
        long[..HEADER].copy_from_slice(&frame_header(frame[4], frame.len() + 1 - HEADER));
        assert_eq!(feed(&mut linked(), &long, 999), Err(WireError::Malformed("control message")));
    }
}

/// How hard to try: enough to meet every branch, short enough for every run.
const ROUNDS: usize = 20_000;

#[test]
fn random_bodies_never_panic() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut bytes = [0; 300];
    for round in 0..ROUNDS {
        rng.fill_bytes(&mut bytes);
        let length = rng.random_range(0..=300 - HEADER);
        bytes[..HEADER].copy_from_slice(&frame_header((round % 3) as u8, length));
        // A clock and a plausible variant, or most of it would end there.
        bytes[HEADER] &= 0x3f;
        bytes[HEADER + 1] &= 0x3f;
        let mut reader = if bytes[4] == 0 { FrameReader::new() } else { linked() };
        let _ = feed(&mut reader, &bytes[..HEADER + length], 999);
    }
}

#[test]
fn flipped_bits_never_panic() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut frames: Vec<Vec<u8>> = messages().into_iter().map(frame_of).collect();
    frames.extend(headers().iter().map(|h| frame_of_data(h, b"payload")));
    for _ in 0..ROUNDS {
        let mut frame = frames[rng.random_range(0..frames.len())].clone();
        for _ in 0..rng.random_range(1..4) {
            let bit = rng.random_range(0..frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        let _ = feed(&mut linked(), &frame, 999);
    }
    for handshake in handshakes() {
        let mut frame = Vec::new();
        encode_handshake(&handshake, &mut frame);
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = feed(&mut FrameReader::new(), &flipped, 999);
        }
    }
}

#[test]
fn the_buffer_grows_under_load_and_shrinks_when_it_is_over() {
    let mut reader = linked();
    let big = frame_of_data(&headers()[0], &vec![1; 64 << 10]);
    for _ in 0..20 {
        assert_eq!(feed(&mut reader, &big, usize::MAX), Ok(1));
    }
    assert!(reader.space().len() >= 64 << 10);
    let small = frame_of(messages().remove(1));
    for _ in 0..300 {
        assert_eq!(feed(&mut reader, &small, usize::MAX), Ok(1));
    }
    assert!(reader.space().len() <= 4 << 10);
}

/// What cannot be true of anybody does not decode, so that nobody passes it on in good faith: dots before the first and
/// beyond the last, names longer than any.
#[test]
fn what_nobody_can_mean_does_not_decode() {
    let dot = |number| Dot { node: NodeId(1), number };
    let live = |number| Existence::Live { group: Name::new(b"g"), dot: dot(number) };
    let state = |part| Message::GroupState { parts: vec![part], last: true, answer: false };
    let create =
        |len| Message::Create { group: Name::new(&vec![b'n'; len]), dot: dot(1), generation: 0, ack: None };
    let seen = |up_to| Existence::Seen { node: NodeId(1), up_to };
    for good in [state(live(1)), state(live(MAX_DOT)), state(seen(0)), state(seen(MAX_DOT)), create(MAX_NAME)]
    {
        assert_eq!(feed(&mut linked(), &frame_of(good), usize::MAX), Ok(1));
    }
    let bad = [
        state(live(0)),
        state(live(MAX_DOT + 1)),
        state(Existence::Beyond(dot(0))),
        state(seen(MAX_DOT + 1)),
        create(MAX_NAME + 1),
    ];
    for bad in bad {
        let error = Err(WireError::Malformed("control message"));
        assert_eq!(feed(&mut linked(), &frame_of(bad), usize::MAX), error);
    }
}
