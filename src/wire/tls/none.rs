//! What stands for TLS in a library that was built without it.

use super::{Complaint, Pem, Proven};
use crate::wire::buffer::ReadBuffer;
use crate::wire::noise::Nonce;
use crate::wire::protection::{Certificate, Certificates, Mark};
use crate::wire::{FrameReader, WireError};

/// There are none.
#[derive(Debug)]
pub enum Credentials {}

impl Credentials {
    pub fn new(_: &str, _: &Pem<'_>) -> Result<Self, Complaint> {
        let text = "this library was built without TLS; build it with: cargo build --release --features tls";
        Err(("tls.cert", text.to_owned()))
    }

    pub(in crate::wire) fn mark(&self) -> Mark {
        match *self {}
    }

    pub(in crate::wire) fn certificate(&self) -> Certificate {
        match *self {}
    }
}

pub(in crate::wire) enum Session {}

impl Session {
    pub(in crate::wire) fn dial(
        credentials: &Credentials,
        _: &[u8],
        _: &str,
        _: &Nonce,
    ) -> Result<Self, WireError> {
        match *credentials {}
    }

    pub(in crate::wire) fn accept(
        credentials: &Credentials,
        _: &[u8],
        _: &str,
        _: &Nonce,
    ) -> Result<Self, WireError> {
        match *credentials {}
    }

    pub(in crate::wire) fn shake(
        &mut self,
        _: &mut ReadBuffer,
        _: &mut Vec<u8>,
    ) -> Result<Option<Proven>, WireError> {
        match *self {}
    }

    pub(in crate::wire) fn open(
        &mut self,
        _: &mut ReadBuffer,
        _: &mut FrameReader,
    ) -> Result<usize, WireError> {
        match *self {}
    }

    pub(in crate::wire) fn certificates(&self) -> Certificates {
        match *self {}
    }

    pub(in crate::wire) fn seal(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), WireError> {
        match *self {}
    }
}
