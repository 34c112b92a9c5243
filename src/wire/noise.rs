//! Links under a shared secret: Noise `NNpsk0` and the records of its session.
//!
//! Each message of the handshake and each record is its length (u16), a check of the length (u16) and that many bytes.
//! Both begin with fresh keys, so what was recorded cannot be read when the secret becomes known later; the secret is mixed in first of all, so that the
//! first message of somebody who does not know it is refused before any costly arithmetic. What both said in the clear is
//! the prologue: had it been changed on its way, the handshake would fail.
//!
//! Records are numbered by the cipher, so one that was changed, dropped, repeated or moved does not open. An empty record
//! says that the next one is under the next key.

use super::WireError;
use super::check::crc16;
use super::secret::{Hint, Key};
use super::wiped::{self, leaving_no_trace};
use snow::{Builder, HandshakeState, TransportState};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// What sealing adds.
const TAG: usize = 16;
/// What stands before each message and record.
pub(super) const HEADER: usize = 4;
/// The most that one record carries: the other end cannot read its first byte before it has all of them.
const MAX_PLAIN: usize = 16 << 10;
/// The longest record.
pub(super) const MAX_RECORD: usize = MAX_PLAIN + TAG;
/// A fresh key, the payload, the tag: the longest message of the handshake.
pub(super) const HANDSHAKE_MESSAGE: usize = 32 + NONCE + TAG;
const NONCE: usize = 16;
/// A key is used for so much at most.
const RECORDS_PER_KEY: u32 = 1 << 20;

fn header(length: usize) -> [u8; HEADER] {
    let [a, b] = (length as u16).to_le_bytes(); // at most MAX_RECORD
    let [c, d] = crc16(&[a, b]).to_le_bytes();
    [a, b, c, d]
}

/// The length of the message or record that begins here, once its header is there. What is longer than any, or was damaged, ends
/// the connection at once.
pub(super) fn announced(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(told @ [a, b, ..]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::from(u16::from_le_bytes([*a, *b]));
    if *told == header(length) && length <= MAX_RECORD { Ok(Some(length)) } else { Err(WireError::Forged) }
}

/// Told under the cipher: see `preamble::Binding`.
pub(super) type Nonce = [u8; NONCE];

fn broken(_: snow::Error) -> WireError {
    WireError::Handshake
}

fn builder<'a>(prologue: &'a [u8], key: &'a Key) -> Result<Builder<'a>, WireError> {
    let params = PATTERN.parse().map_err(broken)?;
    Builder::with_resolver(params, wiped::resolver())
        .prologue(prologue)
        .map_err(broken)?
        .psk(0, &key.psk)
        .map_err(broken)
}

/// The dialler, between its message and the answer.
pub(super) struct Dialled(Box<HandshakeState>, Hint);

impl Dialled {
    /// Appends the first message to `out`.
    pub(super) fn start(
        prologue: &[u8],
        key: &Key,
        nonce: &Nonce,
        out: &mut Vec<u8>,
    ) -> Result<Self, WireError> {
        leaving_no_trace(|| {
            let mut handshake = builder(prologue, key)?.build_initiator().map_err(broken)?;
            let said = append(out, HANDSHAKE_MESSAGE, |room| handshake.write_message(nonce, room));
            forget_key(&mut handshake);
            said.map_err(broken)?;
            Ok(Self(Box::new(handshake), key.hint))
        })
    }

    /// The answer has come.
    pub(super) fn finish(mut self, message: &[u8]) -> Result<(Session, Nonce), WireError> {
        leaving_no_trace(|| {
            let nonce = read_nonce(&mut self.0, message)?;
            Ok((Session::new(*self.0, self.1)?, nonce))
        })
    }
}

/// The end that was dialled: the first message has come, the answer is appended to `out`.
pub(super) fn answer(
    prologue: &[u8],
    key: &Key,
    message: &[u8],
    nonce: &Nonce,
    out: &mut Vec<u8>,
) -> Result<(Session, Nonce), WireError> {
    leaving_no_trace(|| {
        let mut handshake = builder(prologue, key)?.build_responder().map_err(broken)?;
        let theirs = read_nonce(&mut handshake, message);
        forget_key(&mut handshake);
        let theirs = theirs?;
        append(out, HANDSHAKE_MESSAGE, |room| handshake.write_message(nonce, room)).map_err(broken)?;
        Ok((Session::new(handshake, key.hint)?, theirs))
    })
}

/// Of the pre-shared key, which the first message takes, snow has a copy for longer than it is needed.
fn forget_key(handshake: &mut HandshakeState) {
    // It has the right length.
    let _ = handshake.set_psk(0, &[0; 32]);
}

fn read_nonce(handshake: &mut HandshakeState, message: &[u8]) -> Result<Nonce, WireError> {
    let mut payload = [0; HANDSHAKE_MESSAGE];
    let n = handshake.read_message(message, &mut payload).map_err(broken)?;
    payload[..n].try_into().map_err(|_| WireError::Handshake)
}

/// Appends one message or record of at most `room` bytes and the header before it.
fn append(
    out: &mut Vec<u8>,
    room: usize,
    write: impl FnOnce(&mut [u8]) -> Result<usize, snow::Error>,
) -> Result<(), snow::Error> {
    let start = out.len();
    out.resize(start + HEADER + room, 0);
    let written = write(&mut out[start + HEADER..]);
    let n = *written.as_ref().unwrap_or(&0);
    out.truncate(start + HEADER + n);
    out[start..start + HEADER].copy_from_slice(&header(n));
    written.map(|_| ())
}

/// Both directions of a link after the handshake.
pub(super) struct Session {
    state: Box<TransportState>,
    /// Sealed with the present key.
    sealed: u32,
    /// Of the secret that it was made under.
    hint: Hint,
}

impl Session {
    fn new(handshake: HandshakeState, hint: Hint) -> Result<Self, WireError> {
        let state = handshake.into_transport_mode().map_err(broken)?;
        Ok(Self { state: Box::new(state), sealed: 0, hint })
    }

    pub(super) fn hint(&self) -> Hint {
        self.hint
    }

    /// Appends records that carry `plain`. `Err`: the cipher cannot go on, so the link cannot.
    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        out.reserve(plain.len() + (plain.len() / MAX_PLAIN + 1) * (HEADER + TAG));
        for piece in plain.chunks(MAX_PLAIN) {
            if self.sealed >= RECORDS_PER_KEY {
                self.rekey(out)?;
            }
            self.append(piece, out)?;
        }
        Ok(())
    }

    /// What is sealed from now on is under another key, from which the present one cannot be computed.
    pub(super) fn rekey(&mut self, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.append(&[], out)?;
        self.state.rekey_outgoing();
        self.sealed = 0;
        Ok(())
    }

    fn append(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        self.sealed += 1;
        append(out, piece.len() + TAG, |room| self.state.write_message(piece, room))
            .map_err(|_| WireError::Forged)
    }

    /// Opens one record into `room`, which is as long as it; how many bytes it carried.
    pub(super) fn open(&mut self, record: &[u8], room: &mut [u8]) -> Result<usize, WireError> {
        let n = self.state.read_message(record, room).map_err(|_| WireError::Forged)?;
        if n == 0 {
            self.state.rekey_incoming();
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::memory::{count, masked};

    /// Frames under a key that is known and with keys that are not fresh: the bytes as they have always been.
    #[test]
    fn golden() {
        let key = Key::for_test([7; 32]);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let builder = |fresh: &'static [u8; 32]| {
            builder(b"prologue", &key).unwrap().fixed_ephemeral_key_for_testing_only(fresh)
        };
        let mut dialler = builder(&[1; 32]).build_initiator().unwrap();
        let mut accepter = builder(&[2; 32]).build_responder().unwrap();
        append(&mut one, HANDSHAKE_MESSAGE, |room| dialler.write_message(&[3; NONCE], room)).unwrap();
        assert_eq!(read_nonce(&mut accepter, &one[HEADER..]), Ok([3; NONCE]));
        append(&mut two, HANDSHAKE_MESSAGE, |room| accepter.write_message(&[4; NONCE], room)).unwrap();
        assert_eq!(read_nonce(&mut dialler, &two[HEADER..]), Ok([4; NONCE]));
        let mut dialler = Session::new(dialler, key.hint).unwrap();
        let mut accepter = Session::new(accepter, key.hint).unwrap();
        dialler.seal(b"hello", &mut one).unwrap();
        dialler.rekey(&mut one).unwrap();
        dialler.seal(b"hello", &mut one).unwrap();
        accepter.seal(b"hello", &mut two).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let now = format!("{}\n{}\n", hex(&one), hex(&two));
        assert_eq!(now, include_str!("golden_noise.txt"));
    }

    #[cfg(not(miri))] // it has no memory to look at
    #[test]
    fn the_pre_shared_key_gets_into_no_core_dump_and_is_forgotten() {
        let byte = |at: usize| (at as u8).wrapping_mul(113) ^ 0x6b;
        let wanted = masked((0..32).map(byte));
        let mut key = Key::for_test([0; 32]);
        key.psk.iter_mut().enumerate().for_each(|(at, place)| *place = byte(at));
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let dialled = Dialled::start(b"", &key, &[1; NONCE], &mut one).unwrap();
        let (accepter, _) = answer(b"", &key, &one[HEADER..], &[2; NONCE], &mut two).unwrap();
        assert!(answer(b"other", &key, &one[HEADER..], &[2; NONCE], &mut Vec::new()).is_err());
        let (dialler, _) = dialled.finish(&two[HEADER..]).unwrap();
        assert_eq!(count(&wanted), (0, 1));
        drop(key);
        assert_eq!(count(&wanted), (0, 0));
        drop((dialler, accepter));
    }

    #[test]
    fn a_key_is_used_for_so_many_records() {
        let key = Key::for_test([7; 32]);
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let dialled = Dialled::start(b"", &key, &[1; NONCE], &mut one).unwrap();
        let (mut accepter, _) = answer(b"", &key, &one[HEADER..], &[2; NONCE], &mut two).unwrap();
        let (mut dialler, _) = dialled.finish(&two[HEADER..]).unwrap();
        dialler.sealed = RECORDS_PER_KEY - 1;
        let mut records = Vec::new();
        dialler.seal(b"last of the first key", &mut records).unwrap();
        let lone = records.len();
        dialler.seal(b"first of the next", &mut records).unwrap();
        assert_eq!(announced(&records[lone..]), Ok(Some(TAG)), "an empty record goes before it");
        assert_eq!(dialler.sealed, 1);
        let (mut rest, mut opened) = (&records[..], Vec::new());
        while let Some(length) = announced(rest).unwrap() {
            let (record, behind) = rest[HEADER..].split_at(length);
            let mut room = [0; 99];
            let n = accepter.open(record, &mut room).unwrap();
            opened.push(String::from_utf8(room[..n].to_vec()).unwrap());
            rest = behind;
        }
        assert_eq!(opened, ["last of the first key", "", "first of the next"]);
    }

    /// As with plain frames: what was damaged on its way is noticed when it comes, and not when as much has come as it says.
    #[test]
    fn a_damaged_length_is_noticed_at_once() {
        for length in [0, 1, TAG, HANDSHAKE_MESSAGE, MAX_RECORD] {
            assert_eq!(announced(&header(length)), Ok(Some(length)));
            assert_eq!(announced(&header(length)[..HEADER - 1]), Ok(None));
            for bit in 0..8 * HEADER {
                let mut damaged = header(length);
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(announced(&damaged), Err(WireError::Forged), "{length}, bit {bit}");
            }
        }
        assert_eq!(announced(&header(MAX_RECORD + 1)), Err(WireError::Forged));
    }
}
