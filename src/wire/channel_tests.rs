//! Two channels without sockets, and bytes that no honest end sends.

use super::Protection;
use super::channel::{Channel, Setup, Step};
use super::frame::{Frame, FrameReader, encode_handshake};
use super::golden::{frame_of_data, headers};
use super::{Handshake, Keyring, Opening, Secret, VERSIONS, WireError};
use crate::engine::{Connectivity, Identity, MAX_FRAME};
use crate::model::NodeId;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::sync::Arc;

fn shared() -> Protection {
    let bytes: Vec<u8> = (0..32u32).map(|at| (at * at * 53 + 7) as u8).collect();
    let secret = Secret::from_bytes(&bytes).unwrap();
    Protection::Secret(Arc::new(Keyring::new("c", &[secret]).unwrap()))
}

fn setup(node: u64, protection: &Protection) -> Setup {
    Setup {
        versions: VERSIONS,
        cluster: "c".to_owned(),
        node: NodeId(node),
        name: format!("node{node}"),
        protection: protection.clone(),
        nonce: [node as u8; 16],
    }
}

fn identity(node: u64) -> Identity {
    let name = format!("node{node}");
    Identity {
        node: NodeId(node),
        name,
        address: String::new(),
        uptime_ms: 1,
        connectivity: Connectivity::default(),
        groups: 0,
        message_limit: 1 << 20,
    }
}

/// One end.
struct End {
    channel: Channel,
    frames: FrameReader,
    /// Complete bodies of frames, by their lengths.
    heard: Vec<usize>,
}

impl End {
    fn new(channel: Channel) -> Self {
        Self { channel, frames: FrameReader::new(), heard: Vec::new() }
    }

    /// Takes bytes in pieces of at most `piece`, until their end or the first error; gives what it answers.
    fn hear(&mut self, mut bytes: &[u8], piece: usize) -> Result<Vec<u8>, WireError> {
        loop {
            while self.channel.step(&mut self.frames)? != Step::Wait {
                while let Some(frame) = self.frames.next_frame()? {
                    let length = if let Frame::Data(_, body) = &frame { body.len() } else { 0 };
                    self.heard.push(length);
                }
            }
            if bytes.is_empty() {
                let mut words = Vec::new();
                self.channel.take_handshake_bytes(&mut words);
                return Ok(words);
            }
            let space = self.channel.space(&mut self.frames);
            assert!(!space.is_empty());
            let n = space.len().min(bytes.len()).min(piece);
            space[..n].copy_from_slice(&bytes[..n]);
            self.channel.filled(n, &mut self.frames);
            bytes = &bytes[n..];
        }
    }
}

/// Two open ends and all that the dialler said until then.
fn open_pair(protection: &Protection, piece: usize) -> (End, End, Vec<u8>) {
    let mut dialler = End::new(Channel::dial(setup(1, protection)));
    let mut accepter = End::new(Channel::accept(setup(2, protection)));
    let mut said = Vec::new();
    let mut words = dialler.hear(&[], piece).unwrap();
    while !(dialler.channel.is_open() && accepter.channel.is_open()) {
        said.extend_from_slice(&words);
        let answer = accepter.hear(&words, piece).unwrap();
        words = dialler.hear(&answer, piece).unwrap();
    }
    assert!(words.is_empty());
    (dialler, accepter, said)
}

#[test]
fn two_ends_open_a_channel_however_its_bytes_are_cut() {
    for protection in [Protection::Plain, shared()] {
        for piece in [1, 2, 7, 100, usize::MAX] {
            let (mut dialler, mut accepter, _) = open_pair(&protection, piece);
            assert_eq!((dialler.channel.version(), accepter.channel.version()), (2, 2));
            let is_plain = matches!(protection, Protection::Plain);
            assert_eq!(
                dialler.channel.vouches_for(&identity(3)),
                is_plain,
                "a plain one says nothing of names"
            );
            assert!(dialler.channel.vouches_for(&identity(2)) && accepter.channel.vouches_for(&identity(1)));
            accepter.frames.link();
            for size in [0, 1, 100, 16 << 10, 40_000, 64 << 10] {
                let mut sealed = Vec::new();
                dialler.channel.seal(&frame_of_data(&headers()[0], &vec![7; size]), &mut sealed).unwrap();
                dialler.channel.rekey(&mut sealed).unwrap();
                accepter.hear(&sealed, piece).unwrap();
                assert_eq!(accepter.heard.last(), Some(&size));
            }
        }
    }
}

/// Nothing that speaks it was ever released.
#[test]
fn the_first_version_is_refused() {
    for protection in [Protection::Plain, shared()] {
        let mut words = Vec::new();
        Channel::dial(setup(1, &protection)).take_handshake_bytes(&mut words);
        // As the first version had it: its own number, and nothing behind the hints.
        let hints = usize::from(words[13]);
        words.truncate(40 + 8 * hints);
        words[8..13].copy_from_slice(&[1, 0, 1, 0, 40 + 8 * hints as u8]);
        let mut accepter = End::new(Channel::accept(setup(2, &protection)));
        assert_eq!(accepter.hear(&words, 999), Err(WireError::Version((1, 1), (2, 2))));
        let mut answer = Vec::new();
        accepter.channel.take_handshake_bytes(&mut answer);
        assert_eq!(answer[8..16], [2, 0, 2, 0, 40, 0, protection.mode() as u8, 2]);
    }
}

#[test]
fn a_record_of_another_connection_does_not_open() {
    let (mut one, _, _) = open_pair(&shared(), 999);
    let (_, mut other, _) = open_pair(&shared(), 999);
    let mut sealed = Vec::new();
    one.channel.seal(b"what", &mut sealed).unwrap();
    assert_eq!(other.hear(&sealed, 99), Err(WireError::Forged));
    assert!(other.hear(&sealed, 99).is_err(), "and it is over");
    assert!(other.heard.is_empty());
}

#[test]
fn what_an_end_has_sealed_does_not_come_back_to_it() {
    let (mut one, _, _) = open_pair(&shared(), 999);
    let mut sealed = Vec::new();
    one.channel.seal(b"what", &mut sealed).unwrap();
    assert_eq!(one.hear(&sealed, 99), Err(WireError::Forged));
}

/// A recorded handshake is worth nothing: the answer to it is another one each time.
#[test]
fn a_recorded_handshake_does_not_open_another_channel() {
    let (_, _, said) = open_pair(&shared(), 999);
    let mut victim = End::new(Channel::accept(Setup { nonce: [9; 16], ..setup(2, &shared()) }));
    assert_eq!(victim.hear(&said, 999), Err(WireError::Handshake));
}

#[test]
fn flipped_bits_of_a_handshake_never_open_it() {
    let (_, _, said) = open_pair(&shared(), 999);
    for bit in 0..said.len() * 8 {
        let mut flipped = said.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut victim = End::new(Channel::accept(setup(2, &shared())));
        let _ = victim.hear(&flipped, 999);
        assert!(!victim.channel.is_open(), "bit {bit}");
    }
}

#[test]
fn random_bytes_never_panic_and_find_no_room() {
    let mut rng = StdRng::seed_from_u64(5);
    for round in 0..20_000 {
        let protection = if round % 2 == 0 { Protection::Plain } else { shared() };
        let mut bytes = vec![0; rng.random_range(1..400)];
        rng.fill_bytes(&mut bytes);
        // A beginning that is no garbage, or it would end there.
        let mut words = Vec::new();
        Channel::dial(setup(1, &protection)).take_handshake_bytes(&mut words);
        let keep = rng.random_range(0..=words.len()).min(bytes.len());
        bytes[..keep].copy_from_slice(&words[..keep]);
        let dials = round % 3 == 0;
        let channel = if dials { Channel::dial } else { Channel::accept }(setup(2, &protection));
        let mut victim = End::new(channel);
        let _ = victim.hear(&bytes, rng.random_range(1..500));
        let space = victim.channel.space(&mut victim.frames).len();
        assert!(space <= 4 << 10, "{space} bytes");
    }
}

#[test]
fn random_records_end_the_link_and_find_no_room() {
    let mut rng = StdRng::seed_from_u64(6);
    for _ in 0..500 {
        let (_, mut victim, _) = open_pair(&shared(), 999);
        victim.frames.link();
        let mut bytes = vec![0; rng.random_range(2..70_000)];
        rng.fill_bytes(&mut bytes);
        let _ = victim.hear(&bytes, 9999);
        assert!(victim.heard.is_empty());
        assert!(victim.channel.space(&mut victim.frames).len() <= MAX_FRAME);
    }
}

/// Before the channel is open nothing is decoded, not even what would decode.
#[test]
fn frames_before_the_preamble_are_garbage() {
    let mut frame = Vec::new();
    encode_handshake(&Handshake::identity("c", identity(1), Opening([0; 32])), &mut frame);
    for protection in [Protection::Plain, shared()] {
        let mut victim = End::new(Channel::accept(setup(2, &protection)));
        assert_eq!(victim.hear(&frame, 999), Err(WireError::Stranger));
        assert!(victim.heard.is_empty());
    }
}
