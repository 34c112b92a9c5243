//! The part of a handshake that takes keys and signatures: hundreds of microseconds, at the wish of whoever connects.

use super::{Credentials, Proven, Session};
use crate::wire::WireError;
use crate::wire::buffer::ReadBuffer;
use crate::wire::noise::Nonce;
use std::sync::Arc;

enum Party {
    /// This end has dialled and begins; its key is made first.
    Begins {
        credentials: Arc<Credentials>,
        clear: Vec<u8>,
        cluster: String,
        nonce: Nonce,
    },
    Goes(Box<Session>),
}

#[cfg(test)]
thread_local! {
    /// Steps that were taken on this thread.
    pub(crate) static WORK_HERE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A step of a handshake, to be taken on a thread that nobody waits for.
pub struct Work {
    party: Party,
    incoming: ReadBuffer,
}

/// What came of it: the session, and what the peer has proven if that was all.
pub struct Worked {
    pub(in crate::wire) shaken: Result<(Box<Session>, Option<Proven>), WireError>,
    pub(in crate::wire) incoming: ReadBuffer,
    /// To be said, also after an error.
    pub(in crate::wire) words: Vec<u8>,
}

impl Work {
    pub(in crate::wire) fn begin(
        credentials: Arc<Credentials>,
        clear: Vec<u8>,
        cluster: &str,
        nonce: &Nonce,
        incoming: ReadBuffer,
    ) -> Self {
        let (cluster, nonce) = (cluster.to_owned(), *nonce);
        Self { party: Party::Begins { credentials, clear, cluster, nonce }, incoming }
    }

    pub(in crate::wire) fn go_on(session: Box<Session>, incoming: ReadBuffer) -> Self {
        Self { party: Party::Goes(session), incoming }
    }

    pub fn run(self) -> Worked {
        #[cfg(test)]
        WORK_HERE.set(WORK_HERE.get() + 1);
        let Self { party, mut incoming } = self;
        let mut words = Vec::new();
        let session = match party {
            Party::Goes(session) => Ok(session),
            Party::Begins { credentials, clear, cluster, nonce } => {
                Session::dial(&credentials, &clear, &cluster, &nonce).map(Box::new)
            }
        };
        let shaken = session.and_then(|mut session| {
            let proven = session.shake(&mut incoming, &mut words)?;
            Ok((session, proven))
        });
        Worked { shaken, incoming, words }
    }
}
