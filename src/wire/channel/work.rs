//! What a channel that was dialled does for a stranger, and what it leaves to other threads.

use super::{Channel, Cipher, Stage, Step};
use crate::wire::WireError;
use crate::wire::tls::{Work, Worked};

/// What a peer that has dialled has shown of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    Nothing,
    /// It speaks the protocol and is set up alike, as anybody may be.
    Fits,
    /// A holder of the secret has made its first words, which these bytes tell from all others. They may be a recording.
    Signed([u8; 16]),
    /// It has a secret or a certificate that is taken.
    Proven,
}

impl Channel {
    /// Too much of what came from there was in vain: who does not fit is not told why, and no costly work is done.
    pub fn be_curt(&mut self) {
        self.is_curt = true;
    }

    /// What the peer of a channel that was dialled has shown of itself.
    pub fn shown(&self) -> Shown {
        match &self.stage {
            Stage::Answers { theirs, .. } => Shown::Signed(*theirs),
            Stage::Shakes(..) | Stage::Works(..) => Shown::Fits,
            Stage::Open if self.is_plain() => Shown::Fits,
            Stage::Open => Shown::Proven,
            Stage::Dials { .. } | Stage::Accepts | Stage::Finishes(..) | Stage::Over => Shown::Nothing,
        }
    }

    /// The work that a [`Step::Work`] has told of.
    pub fn work(&mut self) -> Option<Work> {
        match &mut self.stage {
            Stage::Works(work, _) => work.take(),
            _ => None,
        }
    }

    /// The work is done, or (`None`) could not be. As after a [`step`](Channel::step), which is the next to be called.
    pub fn worked(&mut self, worked: Option<Worked>) -> Result<Step, WireError> {
        let Stage::Works(_, theirs) = std::mem::replace(&mut self.stage, Stage::Over) else {
            return Err(WireError::Handshake);
        };
        let Some(Worked { shaken, incoming, mut words }) = worked else {
            return self.judge(Err(WireError::Handshake));
        };
        let is_word = !words.is_empty();
        self.handshake_bytes.append(&mut words);
        self.incoming = incoming;
        let stepped = shaken.map(|(session, proven)| match proven {
            Some(proven) => {
                self.peer = Some((proven.nonce, theirs));
                self.certified = Some(proven.name);
                self.cipher = Cipher::Tls(session);
                self.stage = Stage::Open;
                Step::Open
            }
            None => {
                self.stage = Stage::Shakes(session, theirs);
                if is_word { Step::Words } else { Step::Wait }
            }
        });
        self.judge(stepped)
    }
}
