//! Tests of the data lane, with an encoding of their own.

mod inbound;
mod outbox;
mod schedule;
mod steps;

use super::{Credit, DataHeader, EncodeData};

/// Length of the frame, then the header as numbers, then the body.
pub(super) struct TestEncoder;

impl EncodeData for TestEncoder {
    fn encode(header: &DataHeader, body: &[u8], out: &mut Vec<u8>) {
        let fields: [u64; 5] = match *header {
            DataHeader::Message { from, to } => [0, from, to, 0, 0],
            DataHeader::First { from, to, total } => [1, from, to, total, 0],
            DataHeader::More { from, to } => [2, from, to, 0, 0],
            DataHeader::Request { to, bytes } => [3, 0, to, bytes, 0],
            DataHeader::Exit { from, to, reference, reason } => [4, from, to, reference, u64::from(reason)],
            DataHeader::Kill { from, to, reason } => [5, from, to, 0, u64::from(reason)],
            DataHeader::Wait { to, want } => [6, want.messages, to, want.bytes, want.taken],
        };
        out.extend((body.len() as u32).to_le_bytes());
        fields.iter().for_each(|field| out.extend(field.to_le_bytes()));
        out.extend(body);
    }
}

/// The frames of a block.
pub(super) fn decode(block: &[u8]) -> Vec<(DataHeader, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[..4].try_into().unwrap()) as usize;
        let field = |n: usize| u64::from_le_bytes(rest[4 + 8 * n..12 + 8 * n].try_into().unwrap());
        let [kind, from, to, third, fourth] = [0, 1, 2, 3, 4].map(field);
        let header = match kind {
            0 => DataHeader::Message { from, to },
            1 => DataHeader::First { from, to, total: third },
            2 => DataHeader::More { from, to },
            3 => DataHeader::Request { to, bytes: third },
            4 => DataHeader::Exit { from, to, reference: third, reason: fourth as u32 },
            5 => DataHeader::Kill { from, to, reason: fourth as u32 },
            6 => DataHeader::Wait { to, want: Credit { messages: from, bytes: third, taken: fourth } },
            _ => panic!("no such frame"),
        };
        frames.push((header, rest[44..44 + len].to_vec()));
        rest = &rest[44 + len..];
    }
    frames
}
