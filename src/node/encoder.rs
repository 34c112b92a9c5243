//! Stand-in for `wire::DataEncoder` until it lands.

use crate::engine::message::{DataHeader, EncodeData};

pub struct DataEncoder;

impl EncodeData for DataEncoder {
    fn encode(_header: &DataHeader, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(body);
    }
}
