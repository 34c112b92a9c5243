//! What a stranger says before its connection is a link, to the end that was dialled and to the one that dials, with a
//! secret and without: nothing but frames of the handshake comes out of it, with texts within their limits; without the
//! secret nothing at all; and little memory is used.

use super::source::Source;
use convoke::model::{MAX_TEXT, NodeId};
use convoke::wire::{
    Channel, Frame, FrameReader, Handshake, Keyring, Protection, Secret, Setup, Step, VERSIONS, WireError,
};
use std::sync::{Arc, OnceLock};

fn setup(is_secret: bool) -> Setup {
    static SECRET: OnceLock<Protection> = OnceLock::new();
    let secret = || {
        let bytes: Vec<u8> = (0..32u32).map(|at| (at * at * 53 + 7) as u8).collect();
        let secret = Secret::from_bytes(&bytes).expect("a secret");
        Protection::Secret(Arc::new(Keyring::new("blue", &[secret]).expect("a keyring")))
    };
    Setup {
        versions: VERSIONS,
        cluster: "blue".to_owned(),
        node: NodeId(1),
        name: "node".to_owned(),
        protection: if is_secret { SECRET.get_or_init(secret).clone() } else { Protection::Plain },
        nonce: [1; 16],
    }
}

fn frames_of(channel: &Channel, frames: &mut FrameReader, is_secret: bool) -> Result<(), WireError> {
    while let Some(frame) = frames.next_frame()? {
        assert!(channel.is_open() && !is_secret, "{frame:?} from somebody who does not know the secret");
        match frame {
            Frame::Handshake(Handshake::Identity { cluster, identity, .. }) => {
                assert!([&cluster, &identity.name, &identity.address].iter().all(|t| t.len() <= MAX_TEXT));
                assert!(!identity.name.is_empty() && identity.node != NodeId(0));
            }
            Frame::Handshake(Handshake::Go | Handshake::Refuse(_)) => {}
            other => panic!("{other:?} before the connection is a link"),
        }
    }
    Ok(())
}

/// The first byte chooses the end and its protection; the others are what it hears.
pub(super) fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let choice = source.byte();
    let (is_secret, dials) = (choice & 1 == 1, choice & 2 == 2);
    let mut channel = if dials { Channel::dial(setup(is_secret)) } else { Channel::accept(setup(is_secret)) };
    let mut frames = FrameReader::new();
    let mut rest = source.rest();
    // What a peer is told is bounded, too.
    let mut words = Vec::new();
    loop {
        loop {
            match channel.step(&mut frames) {
                Ok(Step::Wait) => break,
                Ok(_) => {
                    channel.take_handshake_bytes(&mut words);
                    if frames_of(&channel, &mut frames, is_secret).is_err() {
                        return;
                    }
                }
                Err(_) => {
                    channel.take_handshake_bytes(&mut words);
                    assert!(words.len() <= 1024, "{} bytes are said", words.len());
                    return;
                }
            }
        }
        assert!(words.len() <= 1024, "{} bytes are said", words.len());
        if rest.is_empty() {
            return;
        }
        let space = channel.space(&mut frames);
        assert!(!space.is_empty());
        let count = space.len().min(rest.len()).min(700);
        space[..count].copy_from_slice(&rest[..count]);
        channel.filled(count, &mut frames);
        rest = &rest[count..];
    }
}

/// What an honest peer of each end says first, with the choice that makes this end.
pub(super) fn first_words() -> Vec<(u8, Vec<u8>)> {
    let said = |channel: &mut Channel| {
        let mut words = Vec::new();
        channel.take_handshake_bytes(&mut words);
        words
    };
    let mut all = Vec::new();
    for is_secret in [false, true] {
        let (mut dialler, mut accepter) =
            (Channel::dial(setup(is_secret)), Channel::accept(setup(is_secret)));
        let mut frames = FrameReader::new();
        let first = said(&mut dialler);
        accepter.space(&mut frames)[..first.len()].copy_from_slice(&first);
        accepter.filled(first.len(), &mut frames);
        while accepter.step(&mut frames) != Ok(Step::Wait) {}
        all.push((u8::from(is_secret), first));
        all.push((2 + u8::from(is_secret), said(&mut accepter)));
    }
    all
}
