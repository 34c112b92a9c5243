//! Until when certificates are valid: the one thing that is read out of them here. Everything else is judged by rustls, which tells
//! nothing of it.

use rustls::pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the first of a chain expires, in seconds since 1970. `None`: one of them does not say so in the way that RFC 5280 has it.
pub(super) fn expires(chain: &[CertificateDer<'_>]) -> Option<u64> {
    let each: Option<Vec<u64>> = chain.iter().map(|certificate| not_after(certificate)).collect();
    each?.into_iter().min()
}

fn not_after(certificate: &[u8]) -> Option<u64> {
    let (whole, _) = value(SEQUENCE, certificate)?;
    let (signed, _) = value(SEQUENCE, whole)?;
    let rest = value(VERSION, signed).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = value(INTEGER, rest)?;
    let (_algorithm, rest) = value(SEQUENCE, rest)?;
    let (_issuer, rest) = value(SEQUENCE, rest)?;
    let (validity, _) = value(SEQUENCE, rest)?;
    let (_, rest) = time(validity)?;
    time(rest).map(|(end, _)| end)
}

/// The content of the element of this kind that `der` begins with, and what is behind it.
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // So many bytes of length; no certificate takes more than three.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length))?
}

/// The time that `der` begins with, and what is behind it. Before 1970 counts as 1970.
fn time(der: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest, year_digits) = match value(UTC_TIME, der) {
        Some((text, rest)) => (text, rest, 2),
        None => {
            let (text, rest) = value(GENERALIZED_TIME, der)?;
            (text, rest, 4)
        }
    };
    let (digits, b"Z") = text.split_at_checked(year_digits + 10)? else { return None };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let (year, digits) = digits.split_at(year_digits);
    let year = match (year_digits, number(year)) {
        (2, short @ 50..) => 1900 + short,
        (2, short) => 2000 + short,
        (_, year) => year,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|at| number(&digits[at..at + 2]));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((u64::try_from(seconds).unwrap_or(0), rest))
}

/// From 1970 to a day, in the calendar of today. Years are counted from March on, so that the odd day is the last of them.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(until: (i32, u8, u8)) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["n".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_first_of_a_chain_to_expire_counts() {
        // The second is beyond what two digits of a year can say. The numbers are those of `date -u +%s -d ...`.
        for (until, seconds) in [
            ((2030, 2, 28), 1_898_467_200),
            ((2077, 3, 1), 3_381_782_400),
            ((2000, 2, 29), 951_782_400),
            ((1970, 1, 1), 0),
        ] {
            assert_eq!(expires(&[certificate(until)]), Some(seconds), "{until:?}");
        }
        assert_eq!(expires(&[certificate((2077, 3, 1)), certificate((2030, 2, 28))]), Some(1_898_467_200));
        assert_eq!(expires(&[]), None);
    }

    /// Peers send certificates.
    #[test]
    fn whatever_the_bytes_are_it_is_a_number_or_none() {
        let good = certificate((2030, 2, 28));
        for cut in 0..good.len() {
            let _ = not_after(&good[..cut]);
        }
        for at in 0..good.len() {
            for byte in [0, 1, 0x17, 0x30, 0x7f, 0x80, 0x83, 0x84, 0xff] {
                let mut bytes = good.to_vec();
                bytes[at] = byte;
                let _ = not_after(&bytes);
            }
        }
        assert_eq!(not_after(b"\x30\x83\xff\xff\xff"), None);
    }
}
