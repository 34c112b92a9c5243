//! One connection under TLS.

use super::Proven;
use super::credentials::{Credentials, certificate_of, is_valid_for};
use crate::wire::buffer::ReadBuffer;
use crate::wire::noise::Nonce;
use crate::wire::preamble::cluster_digest;
use crate::wire::protection::{Certificates, Mark};
use crate::wire::{Certificate, Denial, Flaw, FrameReader, WireError};
use blake2::{Blake2s256, Digest};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, Error, ServerConnection};
use std::io::{Read, Write};

/// No name is asked for in the clear: whoever answers says who it is.
const NO_NAME: &str = "convoke.invalid";
const NONCE: usize = size_of::<Nonce>();
const DIGEST: usize = 32;
const CLUSTER: usize = 8;
/// The most that a record carries.
const RECORD: usize = 16 << 10;
/// What stands before the name in a proof; its last byte is the length of the name.
const PROOF: usize = NONCE + DIGEST + CLUSTER + 1;

/// One connection.
pub(in crate::wire) struct Session {
    tls: Box<Connection>,
    /// What both ends have said in the clear, as a digest, and the cluster's name.
    clear: [u8; DIGEST + CLUSTER],
    /// This node's proof, until it can be said.
    proof: Vec<u8>,
    /// As much of the peer's as has come.
    heard: Vec<u8>,
    /// Of the credentials that it was begun with.
    own: (Mark, Certificate),
    /// What has come does not open; what came before it may still have to be read.
    failed: Option<WireError>,
}

impl Session {
    pub(in crate::wire) fn dial(
        credentials: &Credentials,
        clear: &[u8],
        cluster: &str,
        nonce: &Nonce,
    ) -> Result<Self, WireError> {
        let name = ServerName::try_from(NO_NAME).map_err(|_| WireError::Handshake)?;
        let tls = ClientConnection::new(credentials.client.clone(), name).map_err(|e| broken(&e))?;
        Ok(Self::new(tls.into(), credentials, clear, cluster, nonce))
    }

    pub(in crate::wire) fn accept(
        credentials: &Credentials,
        clear: &[u8],
        cluster: &str,
        nonce: &Nonce,
    ) -> Result<Self, WireError> {
        let tls = ServerConnection::new(credentials.server.clone()).map_err(|e| broken(&e))?;
        Ok(Self::new(tls.into(), credentials, clear, cluster, nonce))
    }

    fn new(
        mut tls: Connection,
        credentials: &Credentials,
        clear: &[u8],
        cluster: &str,
        nonce: &Nonce,
    ) -> Self {
        // What is written at one time is bounded by the caller.
        tls.set_buffer_limit(None);
        let mut said = [0; DIGEST + CLUSTER];
        said[..DIGEST].copy_from_slice(
            &Blake2s256::new().chain_update(b"convoke 1 clear\0").chain_update(clear).finalize(),
        );
        said[DIGEST..].copy_from_slice(&cluster_digest(cluster));
        let mut proof = Vec::with_capacity(PROOF + credentials.name.len());
        proof.extend_from_slice(nonce);
        proof.extend_from_slice(&said);
        proof.push(credentials.name.len() as u8); // a DNS name: at most 253
        proof.extend_from_slice(credentials.name.as_bytes());
        let own = (credentials.mark(), credentials.certificate());
        Self { tls: Box::new(tls), clear: said, proof, heard: Vec::new(), own, failed: None }
    }

    /// What both ends have shown.
    pub(in crate::wire) fn certificates(&self) -> Certificates {
        let (mark, own) = self.own.clone();
        let peer = certificate_of(self.tls.peer_certificates().unwrap_or_default());
        Certificates { mark, own, peer }
    }

    /// Goes on with the handshake: takes what has come, appends what is to be said. `Some`: it is over.
    pub(in crate::wire) fn shake(
        &mut self,
        incoming: &mut ReadBuffer,
        out: &mut Vec<u8>,
    ) -> Result<Option<Proven>, WireError> {
        let mut shaken = self.take(incoming).map(|_| ());
        if shaken.is_ok() && !self.tls.is_handshaking() && !self.proof.is_empty() {
            let proof = std::mem::take(&mut self.proof);
            shaken = self.tls.writer().write_all(&proof).map_err(|_| WireError::Handshake);
        }
        // Also after an error: it says why.
        self.write(out)?;
        shaken?;
        if self.tls.is_handshaking() || !self.proof.is_empty() {
            return Ok(None);
        }
        self.peers_proof()
    }

    /// What the peer has said first of all, once all of it is there.
    fn peers_proof(&mut self) -> Result<Option<Proven>, WireError> {
        if !self.hear(PROOF)? {
            return Ok(None);
        }
        let whole = PROOF + usize::from(self.heard[PROOF - 1]);
        if !self.hear(whole)? {
            return Ok(None);
        }
        let heard = std::mem::take(&mut self.heard);
        let (nonce, rest) = heard.split_at(NONCE);
        let (digest, rest) = rest.split_at(DIGEST);
        let (cluster, rest) = rest.split_at(CLUSTER);
        if *cluster != self.clear[DIGEST..] {
            return Err(WireError::Denied(Denial::Cluster));
        }
        if *digest != self.clear[..DIGEST] {
            return Err(WireError::Handshake);
        }
        let certificate = self.tls.peer_certificates().and_then(<[_]>::first);
        let name = std::str::from_utf8(&rest[1..]).map_err(|_| WireError::Handshake)?;
        if !certificate.is_some_and(|certificate| is_valid_for(certificate, name)) {
            return Err(WireError::Certificate(Flaw::Name));
        }
        let nonce = nonce.try_into().map_err(|_| WireError::Handshake)?;
        Ok(Some(Proven { nonce, name: name.to_owned() }))
    }

    /// Reads up to this length into `heard`. Says whether all of it is there.
    fn hear(&mut self, length: usize) -> Result<bool, WireError> {
        let mut have = self.heard.len();
        self.heard.resize(length.max(have), 0);
        while have < length {
            match self.tls.reader().read(&mut self.heard[have..]) {
                Ok(n @ 1..) => have += n,
                Ok(0) => return Err(WireError::Handshake),
                Err(_) => break, // there is no more yet
            }
        }
        self.heard.truncate(have);
        Ok(have == length)
    }

    /// Takes what has come and puts what it carried into `frames`; how many bytes that is. What came before a record that
    /// does not open counts.
    pub(in crate::wire) fn open(
        &mut self,
        incoming: &mut ReadBuffer,
        frames: &mut FrameReader,
    ) -> Result<usize, WireError> {
        let n = match self.failed {
            Some(_) => RECORD,
            None => self.take(incoming).unwrap_or_else(|error| {
                self.failed = Some(if error == WireError::Handshake { WireError::Forged } else { error });
                RECORD
            }),
        };
        if n == 0 {
            return Ok(0);
        }
        match (self.tls.reader().read(&mut frames.space_for(n)[..n]), self.failed) {
            (Ok(n @ 1..), _) => {
                frames.put(n);
                Ok(n)
            }
            (_, Some(error)) => Err(error),
            _ => Err(WireError::Forged),
        }
    }

    /// Takes what has come until there is something to be read. How much that is: what a few records carry at most.
    fn take(&mut self, incoming: &mut ReadBuffer) -> Result<usize, WireError> {
        loop {
            let state = self.tls.process_new_packets().map_err(|e| broken(&e))?;
            let n = state.plaintext_bytes_to_read();
            let mut rest = incoming.rest();
            if n > 0 || rest.is_empty() {
                return Ok(n);
            }
            let taken = self.tls.read_tls(&mut rest).map_err(|_| WireError::Handshake)?;
            incoming.take(taken);
        }
    }

    /// Appends records that carry `plain`.
    pub(in crate::wire) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        self.tls.writer().write_all(plain).map_err(|_| WireError::Forged)?;
        self.write(out)
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Result<(), WireError> {
        while self.tls.wants_write() {
            self.tls.write_tls(out).map_err(|_| WireError::Handshake)?;
        }
        Ok(())
    }
}

fn broken(error: &Error) -> WireError {
    match error {
        Error::InvalidCertificate(_)
        | Error::NoCertificatesPresented
        | Error::InvalidCertRevocationList(_) => WireError::Certificate(Flaw::of(error)),
        Error::AlertReceived(alert) => {
            Flaw::of_alert(*alert).map_or(WireError::Handshake, WireError::CertificateByPeer)
        }
        _ => WireError::Handshake,
    }
}
