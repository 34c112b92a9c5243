//! Whatever bytes a peer sends, decoding them takes no more memory than the frame that they came in allows.
//! A test binary of its own, because it counts every allocation.

#[path = "support/memory.rs"]
mod memory;

use convoke::model::NodeId;
use convoke::wire::{Channel, FrameReader, Keyring, Protection, Secret, Setup, Step, VERSIONS, frame_header};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::sync::Arc;

/// The most memory that was in use at one time while a reader took in these bytes.
fn peak_of(linked: bool, bytes: &[u8]) -> usize {
    memory::peak_of(|| read(linked, bytes))
}

fn read(linked: bool, bytes: &[u8]) {
    let mut reader = FrameReader::new();
    if linked {
        reader.link();
    }
    let mut rest = bytes;
    'stream: loop {
        loop {
            match reader.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
        if rest.is_empty() {
            break;
        }
        let space = reader.space();
        let n = space.len().min(rest.len());
        space[..n].copy_from_slice(&rest[..n]);
        reader.filled(n);
        rest = &rest[n..];
    }
}

/// The same for a channel that was dialled.
fn peak_of_channel(protection: &Protection, bytes: &[u8]) -> usize {
    let setup = Setup {
        versions: VERSIONS,
        cluster: "c".to_owned(),
        node: NodeId(1),
        name: "n".to_owned(),
        protection: protection.clone(),
        nonce: [1; 16],
    };
    memory::peak_of(|| read_channel(setup, bytes))
}

fn read_channel(setup: Setup, bytes: &[u8]) {
    let mut channel = Channel::accept(setup);
    let mut frames = FrameReader::new();
    let mut rest = bytes;
    loop {
        while let Ok(step) = channel.step(&mut frames)
            && step != Step::Wait
        {}
        if rest.is_empty() {
            break;
        }
        let space = channel.space(&mut frames);
        let n = space.len().min(rest.len());
        space[..n].copy_from_slice(&rest[..n]);
        channel.filled(n, &mut frames);
        rest = &rest[n..];
    }
}

fn frame(lane: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = frame_header(lane, body.len()).to_vec();
    frame.extend_from_slice(body);
    frame
}

/// The reader's largest buffer, and the lists of a message: at most 4096 elements of some 200 bytes, twice while a list
/// grows.
const LINK_LIMIT: usize = (256 << 10) + 2 * 4096 * 200 + (64 << 10);
/// Before a connection is a link.
const STRANGER_LIMIT: usize = 8 << 10;

#[test]
fn hostile_bytes_take_no_more_memory_than_their_frame() {
    let u64_max = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let gigabyte = [0xfd, 0, 0, 0, 0x40, 0, 0, 0, 0];
    let list_limit = [0xfb, 0x00, 0x10];
    // Clock 0, then Hello with claimed counts of bindings; Grant with claimed regs; Acquire with a claimed name.
    for count in [&u64_max[..], &gigabyte, &list_limit] {
        for head in [&[0, 0][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 0], &[0, 10, 0, 0, 0, 0], &[0, 9, 0, 0, 0]] {
            for filler in [0, 1] {
                let mut body = [head, count].concat();
                body.resize((256 << 10) - 3, filler);
                let peak = peak_of(true, &frame(1, &body));
                assert!(peak <= LINK_LIMIT, "{head:?} {count:?}: {peak} bytes");
            }
        }
    }

    // A length for which nobody should make room.
    for length in [(256u32 << 10) + 1, 1 << 30, u32::MAX] {
        assert!(peak_of(true, &length.to_le_bytes()) <= 8 << 10);
        assert!(peak_of(false, &length.to_le_bytes()) <= STRANGER_LIMIT);
    }

    // Before a stranger has shown that it knows the secret.
    let mut secret = [0; 32];
    StdRng::seed_from_u64(4).fill_bytes(&mut secret);
    let secret = Secret::from_bytes(&secret).unwrap();
    let protection = Protection::Secret(Arc::new(Keyring::new("c", &[secret]).unwrap()));
    let preamble = b"CONVOKE\0\x01\0\x01\0\xff\x08\x01\0";
    for filler in [0, 1, 0xff] {
        let mut bytes = preamble.to_vec();
        bytes.resize(100_000, filler);
        let peak = peak_of_channel(&protection, &bytes);
        assert!(peak <= STRANGER_LIMIT, "{peak} bytes");
    }

    let mut rng = StdRng::seed_from_u64(3);
    for round in 0..20_000 {
        let mut body = vec![0; rng.random_range(1..2000)];
        rng.fill_bytes(&mut body);
        body[0] &= 0x3f;
        if let Some(variant) = body.get_mut(1) {
            *variant &= 0x3f;
        }
        let lane = (round % 3) as u8;
        let peak = peak_of(lane != 0, &frame(lane, &body));
        assert!(peak <= if lane == 0 { STRANGER_LIMIT } else { LINK_LIMIT }, "{peak} bytes");
    }
}

/// A text that claims more bytes than there are gets no room for them: a stranger's too, for an identity has three.
#[test]
fn texts_take_no_more_memory_than_their_bytes() {
    let claims = [&[0xfb, 0xff, 0xff][..], &[0xfc, 0xff, 0xff, 0x03, 0x00]];
    for claim in claims {
        // The cluster; the name, behind the incarnation; the address.
        for head in [&[][..], &[0, 7], &[0, 7, 1, b'n']] {
            let body = [&[0], head, claim, b"text"].concat();
            let peak = peak_of(false, &frame(0, &body));
            assert!(peak <= STRANGER_LIMIT, "{head:?} {claim:?}: {peak} bytes");
        }
        // Clock 0, Peers with one peer: its name, and where it can be dialled.
        for head in [&[0, 44, 1, 7][..], &[0, 44, 1, 7, 1, b'n']] {
            let peak = peak_of(true, &frame(1, &[head, claim, b"text"].concat()));
            assert!(peak <= 8 << 10, "{head:?} {claim:?}: {peak} bytes");
        }
    }
}
