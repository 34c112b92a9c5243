//! Whom a node has refused and why: counted, and told to the log ever more rarely for each address and reason.

use super::origin::Origin;
use crate::wire::{Denial, WireError};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Between two lines in the log about one address and reason; twice as long after each, up to the longest, for as long as
/// there is something to tell.
const INTERVAL: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);
/// Addresses and reasons that are told apart; those beyond share a line.
const MAX_ROWS: usize = 256;

macro_rules! refused {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $word:literal;)*) => {
        /// Why a connection was refused or ended because of what came over it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Refused { $($(#[$doc])* $name = $number,)* }

        impl Refused {
            pub const ALL: &[Refused] = &[$(Refused::$name,)*];
            /// One word, for metrics.
            pub const fn word(self) -> &'static str { match self { $(Refused::$name => $word,)* } }
        }
    };
}

refused! {
    /// Bytes that no node sends.
    Stranger = 0, "stranger";
    /// No common version of the protocol.
    Version = 1, "version";
    /// One end has a secret or TLS and the other does not.
    Mode = 2, "mode";
    /// Another cluster name.
    Cluster = 3, "cluster";
    /// No common secret.
    Secret = 4, "secret";
    /// The handshake of the cipher failed.
    Handshake = 5, "handshake";
    /// A record of an established link did not open.
    Record = 6, "record";
    /// The handshake was not over in time.
    Late = 7, "late";
    /// Too many handshakes were under way.
    Busy = 8, "busy";
    /// An address on another machine, and links are not protected.
    Unprotected = 9, "unprotected";
    /// A later version's reason.
    Other = 10, "other";
    /// A certificate that is not taken, by one end or the other.
    Certificate = 11, "certificate";
    /// An address that is not to be dialled (option `dial.networks`).
    Network = 12, "network";
}

impl Refused {
    pub(super) fn of(error: &WireError) -> Self {
        match error {
            WireError::Length { .. }
            | WireError::Lane(_)
            | WireError::Header
            | WireError::Malformed(_)
            | WireError::Stranger => Self::Stranger,
            WireError::Version(..) => Self::Version,
            WireError::Denied(denial) | WireError::DeniedByPeer(denial) => match denial {
                Denial::Version => Self::Version,
                Denial::Mode => Self::Mode,
                Denial::Cluster => Self::Cluster,
                Denial::Secret => Self::Secret,
                Denial::Busy => Self::Busy,
            },
            WireError::DeniedUnknown(_) => Self::Other,
            WireError::Handshake | WireError::Identity => Self::Handshake,
            WireError::Certificate(_) | WireError::CertificateByPeer(_) => Self::Certificate,
            WireError::Forged => Self::Record,
        }
    }
}

/// How often each was refused since the node was opened. For any thread.
#[derive(Debug, Default)]
pub struct RefusalCounts([AtomicU64; Refused::ALL.len()]);

impl RefusalCounts {
    pub fn get(&self, why: Refused) -> u64 {
        self.0[why as usize].load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, why: Refused) {
        self.0[why as usize].fetch_add(1, Ordering::Relaxed);
    }
}

struct Row {
    since: Instant,
    interval: Duration,
    /// Not told since then.
    untold: u64,
}

impl Row {
    /// Nothing was untold for so long that it begins anew.
    fn is_over(&self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.since);
        quiet >= 2 * self.interval || self.untold == 0 && quiet >= self.interval
    }
}

/// When what was told.
#[derive(Default)]
pub(super) struct Told {
    rows: BTreeMap<(Origin, Refused), Row>,
}

impl Told {
    /// Whether this is to be told, and how many went untold since the last line.
    pub(super) fn is_due(&mut self, why: Refused, address: Option<IpAddr>, now: Instant) -> Option<u64> {
        let mut key = (Origin::of(address), why);
        if !self.rows.contains_key(&key) && self.rows.len() >= MAX_ROWS {
            self.rows.retain(|_, row| !row.is_over(now));
            if self.rows.len() >= MAX_ROWS {
                key.0 = Origin::of(None);
            }
        }
        let Some(row) = self.rows.get_mut(&key) else {
            self.rows.insert(key, Row { since: now, interval: INTERVAL, untold: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(row.since) < row.interval {
            row.untold += 1;
            return None;
        }
        row.interval = if row.is_over(now) { INTERVAL } else { (2 * row.interval).min(LONGEST) };
        row.since = now;
        Some(std::mem::take(&mut row.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(n.into()))
    }

    #[test]
    fn each_address_and_reason_is_told_ever_more_rarely() {
        let mut told = Told::default();
        let now = Instant::now();
        assert_eq!(told.is_due(Refused::Secret, address(1), now), Some(0));
        for _ in 0..5 {
            assert_eq!(told.is_due(Refused::Secret, address(1), now + INTERVAL / 2), None);
        }
        assert_eq!(told.is_due(Refused::Secret, address(2), now), Some(0));
        assert_eq!(told.is_due(Refused::Version, address(1), now), Some(0));
        assert_eq!(told.is_due(Refused::Secret, address(1), now + INTERVAL), Some(5));
        assert_eq!(told.is_due(Refused::Secret, address(1), now + 2 * INTERVAL), None);
        assert_eq!(told.is_due(Refused::Secret, address(1), now + 3 * INTERVAL), Some(1));
        // What begins again after a pause is told at once, and anew.
        let later = now + 30 * INTERVAL;
        assert_eq!(told.is_due(Refused::Secret, address(1), later), Some(0));
        assert_eq!(told.is_due(Refused::Secret, address(1), later + INTERVAL), Some(0));
    }

    #[test]
    fn what_never_ends_is_told_once_an_hour() {
        let mut told = Told::default();
        let begin = Instant::now();
        let lines: Vec<u64> = (0..24 * 3600)
            .filter(|second| {
                told.is_due(Refused::Busy, address(1), begin + Duration::from_secs(*second)).is_some()
            })
            .collect();
        assert_eq!(lines[..5], [0, 10, 30, 70, 150]);
        assert!(lines.windows(2).all(|pair| pair[1] - pair[0] <= LONGEST.as_secs()));
        assert_eq!(lines.len(), 10 + 22);
    }

    #[test]
    fn a_flood_of_addresses_keeps_the_table_small_and_the_log_quiet() {
        let mut told = Told::default();
        let now = Instant::now();
        let lines =
            (0..100_000).filter(|&n| told.is_due(Refused::Stranger, address(n), now).is_some()).count();
        assert!(lines <= MAX_ROWS + 1, "{lines} lines");
        assert!(told.rows.len() <= MAX_ROWS + Refused::ALL.len());
        let later = now + 2 * INTERVAL;
        assert_eq!(told.is_due(Refused::Stranger, address(100_000), later), Some(0));
        assert_eq!(told.rows.len(), 1);
    }

    #[test]
    fn numbers_count_from_zero() {
        for (number, why) in Refused::ALL.iter().enumerate() {
            assert_eq!(*why as usize, number);
        }
    }
}
