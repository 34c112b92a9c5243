//! The sending side of one link's data lane.

use super::{Credit, DataHeader};
use crate::engine::Limits;
use std::marker::PhantomData;

/// Turns a data frame into bytes; implemented by the room `wire`.
pub trait EncodeData {
    fn encode(header: &DataHeader, body: &[u8], out: &mut Vec<u8>);
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendRefusal {
    Full,
    NoProcess,
}

pub struct Outbox<E>(PhantomData<E>);

impl<E: EncodeData> Outbox<E> {
    pub fn new(_limits: &Limits) -> Self {
        Outbox(PhantomData)
    }
    pub fn send(&mut self, _from: u64, _to: u64, _payload: &[u8]) -> Result<(), SendRefusal> {
        Ok(())
    }
    pub fn signal(&mut self, _header: DataHeader, _data: &[u8]) {}
    pub fn credit(&mut self, _to: u64, _credit: Credit) -> Vec<(u64, u64)> {
        Vec::new()
    }
    pub fn no_receiver(&mut self, _to: u64) -> Vec<(u64, u64)> {
        Vec::new()
    }
    pub fn forget_sender(&mut self, _from: u64) {}
    pub fn is_empty(&self) -> bool {
        true
    }
    pub fn next_block(&mut self) -> Option<Vec<u8>> {
        None
    }
    pub fn written(&mut self, _block: Vec<u8>) -> Vec<(u64, u64)> {
        Vec::new()
    }
    pub fn close(&mut self) -> Vec<(u64, u64)> {
        Vec::new()
    }
}
