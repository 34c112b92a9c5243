//! From the first byte of a connection to its frames: preambles, the handshake of the cipher, records.
//!
//! Touches no socket: what was read is put in, what is to be written is taken out. Every cipher has its place here, and
//! nobody else asks which one it is, except where plain bytes spare a copy.

mod work;

use super::buffer::{ReadBuffer, SMALL_BUFFER};
use super::noise::{self, Nonce};
use super::preamble::{self, Binding, Denial, Mode, Opcode, Preamble};
use super::secret::{Found, Key};
use super::tls::{self, Work};
use super::{FrameReader, LinkProtection, Protection, WireError};
use crate::engine::{Identity, MAX_FRAME};
use crate::model::NodeId;
use std::sync::Arc;

pub use self::work::Shown;

/// What a node brings to a new connection.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The versions of the protocol that it speaks, first and last.
    pub versions: (u16, u16),
    pub cluster: String,
    pub node: NodeId,
    pub name: String,
    pub protection: Protection,
    /// Random, and another one for each connection.
    pub nonce: Nonce,
}

/// What came of the bytes that were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// More bytes are needed.
    Wait,
    /// There is something to be written ([`Channel::take_handshake_bytes`]).
    Words,
    /// There is costly [work](Channel::work), for another thread. Until [it is done](Channel::worked) nothing is read.
    Work,
    /// The channel is open: frames may be written from now on.
    Open,
    /// The frame reader has got something.
    Data,
}

enum Stage {
    /// This end has dialled: it has said its preamble.
    Dials {
        mine: Vec<u8>,
    },
    /// This end was dialled: the peer's preamble comes first.
    Accepts,
    /// The answer to this end's first message of the cipher is awaited.
    Finishes(noise::Dialled, Binding),
    /// The dialler's first message of the cipher is awaited.
    Answers {
        prologue: Vec<u8>,
        key: Key,
        theirs: Binding,
    },
    /// The handshake of TLS is under way: the peer's next words are awaited.
    Shakes(Box<tls::Session>, Binding),
    /// Its next step is to be taken, or (`None`) is being taken.
    Works(Option<Work>, Binding),
    Open,
    /// It has failed.
    Over,
}

enum Cipher {
    Plain,
    Noise(noise::Session),
    Tls(Box<tls::Session>),
}

/// One connection, below its frames.
pub struct Channel {
    setup: Setup,
    stage: Stage,
    cipher: Cipher,
    /// What was read and is not open yet. Not used by open plain channels, which are read into their frames at once.
    incoming: ReadBuffer,
    /// What the handshake has to say.
    handshake_bytes: Vec<u8>,
    /// A plain channel has got bytes that nobody has looked at.
    fresh: bool,
    version: u16,
    /// The node that the handshake spoke of.
    peer: Option<(Nonce, Binding)>,
    /// The name that its certificate is valid for.
    certified: Option<String>,
    is_curt: bool,
}

/// The most that is read at one time.
const LARGE_BUFFER: usize = MAX_FRAME;

impl Channel {
    /// This end has dialled.
    pub fn dial(setup: Setup) -> Self {
        let hints = match &setup.protection {
            Protection::Plain | Protection::Tls(_) => Vec::new(),
            Protection::Secret(keyring) => keyring.hints().collect(),
        };
        let mut mine = preamble(&setup, Opcode::Dial, &hints).encode();
        if let Protection::Secret(keyring) = &setup.protection {
            keyring.sign(&mut mine);
        }
        let handshake_bytes = mine.clone();
        Self { handshake_bytes, ..Self::new(setup, Stage::Dials { mine }) }
    }

    /// This end was dialled.
    pub fn accept(setup: Setup) -> Self {
        Self::new(setup, Stage::Accepts)
    }

    fn new(setup: Setup, stage: Stage) -> Self {
        Self {
            setup,
            stage,
            cipher: Cipher::Plain,
            incoming: ReadBuffer::default(),
            handshake_bytes: Vec::new(),
            fresh: false,
            version: 0,
            peer: None,
            certified: None,
            is_curt: false,
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Frames are written as they are.
    pub fn is_plain(&self) -> bool {
        matches!(self.cipher, Cipher::Plain)
    }

    /// The version of the protocol that both ends speak; 0 until that is known.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Under what the link is made, once the channel is open.
    pub fn protection(&self) -> LinkProtection {
        match &self.cipher {
            Cipher::Plain => LinkProtection::Plain,
            Cipher::Noise(session) => LinkProtection::Secret(session.hint()),
            Cipher::Tls(session) => LinkProtection::Tls(session.certificates()),
        }
    }

    /// Whether the link, or the handshake, could not be made any more, because what it was made under has been replaced.
    pub fn is_replaced(&self, now: &Protection) -> bool {
        match (&self.stage, &self.setup.protection, now) {
            (Stage::Open, ..) => self.protection().is_replaced(now),
            (_, Protection::Plain, Protection::Plain) => false,
            (_, Protection::Secret(then), Protection::Secret(now)) => !Arc::ptr_eq(then, now),
            (_, Protection::Tls(then), Protection::Tls(now)) => then.mark() != now.mark(),
            _ => true,
        }
    }

    /// Whether the handshake spoke of this node. (On a plain link it speaks of none.)
    pub fn vouches_for(&self, peer: &Identity) -> bool {
        self.certified.as_ref().is_none_or(|name| *name == peer.name)
            && self.peer.is_none_or(|(nonce, told)| preamble::binding(&nonce, peer.node, &peer.name) == told)
    }

    // ---- reading

    fn is_direct(&self) -> bool {
        self.is_open() && self.is_plain()
    }

    /// Where the next bytes are to be read to; never empty.
    pub fn space<'a>(&'a mut self, frames: &'a mut FrameReader) -> &'a mut [u8] {
        if self.is_direct() {
            return frames.space();
        }
        let noise = matches!(self.cipher, Cipher::Noise(_));
        // A damaged header is for the next step to judge.
        let record = self.announced().ok().flatten().filter(|_| noise);
        self.incoming.space(record.map_or(SMALL_BUFFER, |n| n + noise::HEADER))
    }

    /// So many bytes were read into the [`space`](Channel::space).
    pub fn filled(&mut self, n: usize, frames: &mut FrameReader) {
        if self.is_direct() {
            frames.filled(n);
            self.fresh = true;
        } else {
            self.incoming.filled(n, if self.is_open() { LARGE_BUFFER } else { 0 });
        }
    }

    /// What was read and is not open yet is of no interest any more.
    pub fn discard(&mut self) {
        self.incoming.discard();
        self.fresh = false;
    }

    /// Goes on with what was read: to be called until it says [`Step::Wait`]. An error is final; what is left to be
    /// [said](Channel::take_handshake_bytes) then tells the peer why.
    pub fn step(&mut self, frames: &mut FrameReader) -> Result<Step, WireError> {
        let stepped = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Open => {
                self.stage = Stage::Open;
                self.open_record(frames)
            }
            Stage::Accepts => self.accepts(frames),
            Stage::Dials { mine } => self.dials(mine, frames),
            Stage::Answers { prologue, key, theirs } => self.answers(prologue, key, theirs),
            Stage::Finishes(dialled, theirs) => self.finishes(dialled, theirs),
            Stage::Shakes(session, theirs) if self.incoming.is_empty() => {
                self.stage = Stage::Shakes(session, theirs);
                Ok(Step::Wait)
            }
            Stage::Shakes(session, theirs) => {
                let work = Work::go_on(session, std::mem::take(&mut self.incoming));
                self.stage = Stage::Works(Some(work), theirs);
                Ok(Step::Work)
            }
            Stage::Works(work, theirs) => {
                self.stage = Stage::Works(work, theirs);
                Ok(Step::Wait)
            }
            Stage::Over => Err(WireError::Stranger),
        };
        self.judge(stepped)
    }

    fn judge(&mut self, stepped: Result<Step, WireError>) -> Result<Step, WireError> {
        if stepped.is_err() {
            self.stage = Stage::Over;
            self.incoming.discard();
        }
        stepped
    }

    /// The length of the next record or message of the cipher's handshake.
    fn announced(&self) -> Result<Option<usize>, WireError> {
        noise::announced(self.incoming.rest())
    }

    fn peers_preamble(&mut self) -> Result<Option<Preamble>, WireError> {
        let decoded = Preamble::decode(self.incoming.rest(), self.setup.versions)?;
        if let Some((preamble, _)) = &decoded {
            self.version = preamble::common(self.setup.versions, preamble.versions).unwrap_or(0);
        }
        Ok(decoded.map(|(preamble, _)| preamble))
    }

    fn accepts(&mut self, frames: &mut FrameReader) -> Result<Step, WireError> {
        let theirs = match self.peers_preamble() {
            Ok(Some(theirs)) => theirs,
            Ok(None) => {
                self.stage = Stage::Accepts;
                return Ok(Step::Wait);
            }
            Err(error @ WireError::Version(..)) => return Err(self.deny(Denial::Version, error)),
            Err(error) => return Err(error),
        };
        if theirs.word != Opcode::Dial {
            return Err(WireError::Stranger);
        }
        if theirs.mode != Some(self.setup.protection.mode()) {
            return Err(self.deny(Denial::Mode, WireError::Denied(Denial::Mode)));
        }
        // All of it, with what a later version may have put behind it.
        let length = usize::from(self.incoming.rest()[12]);
        match self.setup.protection.clone() {
            Protection::Plain => {
                if theirs.cluster != preamble::cluster_digest(&self.setup.cluster) {
                    return Err(self.deny(Denial::Cluster, WireError::Denied(Denial::Cluster)));
                }
                self.handshake_bytes = preamble(&self.setup, Opcode::Accept, &[]).encode();
                self.incoming.take(length);
                self.open_plain(frames);
                Ok(Step::Open)
            }
            Protection::Secret(keyring) => {
                let key = match keyring.find(theirs.hints()) {
                    Found::Key(key) => key,
                    Found::OtherCluster => {
                        return Err(self.deny(Denial::Cluster, WireError::Denied(Denial::Cluster)));
                    }
                    Found::Nothing => {
                        return Err(self.deny(Denial::Secret, WireError::Denied(Denial::Secret)));
                    }
                };
                let at = theirs.hints().iter().position(|hint| *hint == key.hint);
                let whole = self.incoming.take(length);
                let signed = at.and_then(|at| preamble::signed(whole, at));
                if !signed.is_some_and(|(said, mac)| key.has_signed(said, mac)) {
                    return Err(WireError::Handshake);
                }
                let mine = preamble(&self.setup, Opcode::Accept, &[key.hint]).encode();
                let prologue = prologue(whole, &mine, keyring.cluster());
                self.handshake_bytes = mine;
                self.stage = Stage::Answers { prologue, key: key.clone(), theirs: theirs.binding };
                Ok(Step::Words)
            }
            Protection::Tls(_) if self.is_curt => {
                Err(self.deny(Denial::Busy, WireError::Denied(Denial::Busy)))
            }
            Protection::Tls(credentials) => {
                let mine = preamble(&self.setup, Opcode::Accept, &[]).encode();
                let clear = [self.incoming.take(length), &mine].concat();
                self.handshake_bytes = mine;
                let (cluster, nonce) = (&self.setup.cluster, &self.setup.nonce);
                let session = tls::Session::accept(&credentials, &clear, cluster, nonce)?;
                self.stage = Stage::Shakes(Box::new(session), theirs.binding);
                Ok(Step::Words)
            }
        }
    }

    fn dials(&mut self, mine: Vec<u8>, frames: &mut FrameReader) -> Result<Step, WireError> {
        let Some(theirs) = self.peers_preamble()? else {
            self.stage = Stage::Dials { mine };
            return Ok(Step::Wait);
        };
        match theirs.word {
            Opcode::Accept => {}
            Opcode::Deny(denial) => return Err(WireError::DeniedByPeer(denial)),
            Opcode::DenyUnknown(reason) => return Err(WireError::DeniedUnknown(reason)),
            Opcode::Dial => return Err(WireError::Stranger),
        }
        if theirs.mode != Some(self.setup.protection.mode()) {
            return Err(WireError::Denied(Denial::Mode));
        }
        let length = usize::from(self.incoming.rest()[12]);
        match self.setup.protection.clone() {
            Protection::Plain => {
                self.incoming.take(length);
                self.open_plain(frames);
                Ok(Step::Open)
            }
            Protection::Secret(keyring) => {
                let Found::Key(key) = keyring.find(theirs.hints()) else {
                    return Err(WireError::Denied(Denial::Secret));
                };
                let prologue = prologue(&mine, self.incoming.take(length), keyring.cluster());
                let dialled =
                    noise::Dialled::start(&prologue, key, &self.setup.nonce, &mut self.handshake_bytes)?;
                self.stage = Stage::Finishes(dialled, theirs.binding);
                Ok(Step::Words)
            }
            Protection::Tls(credentials) => {
                let clear = [&mine, self.incoming.take(length)].concat();
                let (cluster, nonce) = (&self.setup.cluster, &self.setup.nonce);
                let work =
                    Work::begin(credentials, clear, cluster, nonce, std::mem::take(&mut self.incoming));
                self.stage = Stage::Works(Some(work), theirs.binding);
                Ok(Step::Work)
            }
        }
    }

    /// The whole next message of the cipher's handshake, once it is there.
    fn handshake_message(&mut self) -> Result<Option<[u8; noise::HANDSHAKE_MESSAGE]>, WireError> {
        match self.announced()? {
            None => return Ok(None),
            Some(noise::HANDSHAKE_MESSAGE) => {}
            Some(_) => return Err(WireError::Handshake),
        }
        let whole = self.incoming.rest()[noise::HEADER..].first_chunk().copied();
        if whole.is_some() {
            self.incoming.take(noise::HEADER + noise::HANDSHAKE_MESSAGE);
        }
        Ok(whole)
    }

    fn answers(&mut self, prologue: Vec<u8>, key: Key, theirs: Binding) -> Result<Step, WireError> {
        let Some(message) = self.handshake_message()? else {
            self.stage = Stage::Answers { prologue, key, theirs };
            return Ok(Step::Wait);
        };
        let (session, nonce) =
            noise::answer(&prologue, &key, &message, &self.setup.nonce, &mut self.handshake_bytes)?;
        self.open_noise(session, nonce, theirs);
        Ok(Step::Open)
    }

    fn finishes(&mut self, dialled: noise::Dialled, theirs: Binding) -> Result<Step, WireError> {
        let Some(message) = self.handshake_message()? else {
            self.stage = Stage::Finishes(dialled, theirs);
            return Ok(Step::Wait);
        };
        let (session, nonce) = dialled.finish(&message)?;
        self.open_noise(session, nonce, theirs);
        Ok(Step::Open)
    }

    fn open_noise(&mut self, session: noise::Session, nonce: Nonce, theirs: Binding) {
        self.peer = Some((nonce, theirs));
        self.cipher = Cipher::Noise(session);
        self.stage = Stage::Open;
    }

    fn open_plain(&mut self, frames: &mut FrameReader) {
        // Frames may have come with the preamble.
        let incoming = std::mem::take(&mut self.incoming);
        let rest = incoming.rest();
        frames.space_for(rest.len())[..rest.len()].copy_from_slice(rest);
        frames.put(rest.len());
        self.fresh = !rest.is_empty();
        self.stage = Stage::Open;
    }

    fn deny(&mut self, denial: Denial, error: WireError) -> WireError {
        if !self.is_curt || denial == Denial::Busy {
            self.handshake_bytes = deny(&self.setup.protection, self.setup.versions, denial);
        }
        error
    }

    fn open_record(&mut self, frames: &mut FrameReader) -> Result<Step, WireError> {
        let session = match &mut self.cipher {
            Cipher::Noise(session) => session,
            Cipher::Plain => {
                return Ok(if std::mem::take(&mut self.fresh) { Step::Data } else { Step::Wait });
            }
            Cipher::Tls(session) => {
                let n = session.open(&mut self.incoming, frames)?;
                return Ok(if n > 0 { Step::Data } else { Step::Wait });
            }
        };
        loop {
            let rest = self.incoming.rest();
            let Some(length) = noise::announced(rest)? else { return Ok(Step::Wait) };
            if rest.len() < noise::HEADER + length {
                return Ok(Step::Wait);
            }
            let record = &self.incoming.take(noise::HEADER + length)[noise::HEADER..];
            let n = session.open(record, frames.space_for(length))?;
            if n > 0 {
                frames.put(n);
                return Ok(Step::Data);
            }
        }
    }

    // ---- writing

    /// Appends what the handshake has to say; it goes out before all frames.
    pub fn take_handshake_bytes(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.handshake_bytes);
        if self.is_open() {
            self.handshake_bytes = Vec::new();
        }
    }

    /// Whether there is something to be said that is no frame.
    pub fn has_handshake_bytes(&self) -> bool {
        !self.handshake_bytes.is_empty()
    }

    /// Appends the frames of an open channel as they travel. `Err`: the link cannot go on.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        match &mut self.cipher {
            Cipher::Plain => {
                out.extend_from_slice(plain);
                Ok(())
            }
            Cipher::Noise(session) => session.seal(plain, out),
            Cipher::Tls(session) => session.seal(plain, out),
        }
    }

    /// Frames are sealed with another key from now on, if they are sealed.
    pub fn rekey(&mut self, out: &mut Vec<u8>) -> Result<(), WireError> {
        match &mut self.cipher {
            // TLS sees to that by itself.
            Cipher::Plain | Cipher::Tls(_) => Ok(()),
            Cipher::Noise(session) => session.rekey(out),
        }
    }
}

/// What tells a dialler that it is not taken.
pub fn deny(protection: &Protection, versions: (u16, u16), denial: Denial) -> Vec<u8> {
    Preamble::new(versions, protection.mode(), Opcode::Deny(denial), []).encode()
}

fn preamble(setup: &Setup, word: Opcode, hints: &[super::secret::Hint]) -> Preamble {
    let mode = setup.protection.mode();
    let mut preamble = Preamble::new(setup.versions, mode, word, hints.iter().copied());
    match mode {
        Mode::Plain => preamble.cluster = preamble::cluster_digest(&setup.cluster),
        Mode::Secret | Mode::Tls => {
            preamble.binding = preamble::binding(&setup.nonce, setup.node, &setup.name);
        }
    }
    preamble
}

/// What both ends must have heard alike for the handshake of the cipher to succeed.
fn prologue(dialler: &[u8], accepter: &[u8], cluster: &str) -> Vec<u8> {
    [dialler, accepter, cluster.as_bytes()].concat()
}
