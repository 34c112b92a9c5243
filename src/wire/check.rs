//! The check of a length that stands before something: without it, a length that was damaged on its way would have the reader
//! wait for bytes that never come.

/// CRC-16/CCITT: no one or two bits that were flipped, nor any 16 in a row, pass unnoticed.
pub(super) fn crc16<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = (byte as u16) << 8;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    let next = |crc: u16, byte: &u8| crc << 8 ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)];
    bytes.into_iter().fold(0xffff, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value that catalogues of CRCs give (CRC-16/CCITT-FALSE).
    #[test]
    fn it_is_the_one_that_others_compute() {
        assert_eq!(crc16(b"123456789"), 0x29b1);
    }
}
