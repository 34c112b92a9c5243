//! What a stranger says before its connection is a link: nothing but frames of the handshake comes out of it, with
//! texts within their limits, and little memory is used.

use convoke::engine::{MAX_TEXT, NodeId};
use convoke::wire::{Frame, FrameReader, Handshake};

pub(super) fn run(input: &[u8]) {
    let mut reader = FrameReader::new();
    let mut rest = input;
    loop {
        loop {
            match reader.next_frame() {
                Ok(None) => break,
                Err(_) => return,
                Ok(Some(Frame::Handshake(Handshake::Identity { cluster, identity, .. }))) => {
                    assert!(
                        [&cluster, &identity.name, &identity.address].iter().all(|t| t.len() <= MAX_TEXT)
                    );
                    assert!(!identity.name.is_empty() && identity.node != NodeId(0));
                }
                Ok(Some(Frame::Handshake(Handshake::Go | Handshake::Refuse(_)))) => {}
                Ok(Some(other)) => panic!("{other:?} before the connection is a link"),
            }
        }
        if rest.is_empty() {
            return;
        }
        let space = reader.space();
        let count = space.len().min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        reader.filled(count);
        rest = &rest[count..];
    }
}
