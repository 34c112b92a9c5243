//! Clusters of several nodes in this OS process, driven through the C interface only.
//!
//! Every wait is for an event and bounded by [`LONG`]; nothing sleeps. What a bound is for is a hang, not a speed.

mod cluster;
mod event;
mod group;
mod lock;
mod node;
mod process;
mod resolver;
mod work;

pub(crate) use cluster::{Cluster, SHORT_WAIT};
pub(crate) use convoke::ffi::convoke_pid;
pub(crate) use convoke::model::{Reason, Status};
pub(crate) use convoke::node::{EventKind, Field};
pub(crate) use convoke::testing::Noticed;
pub(crate) use event::Event;
pub(crate) use group::{Change, Members, sorted};
pub(crate) use lock::Lock;
pub(crate) use node::Node;
pub(crate) use process::Process;
pub(crate) use resolver::{A, B, KILL_LOSER, NEITHER, NONSENSE, NOTIFY_LOSER, Resolver};
pub(crate) use work::Work;

use std::ffi::c_char;

/// Longer than anything takes that does not hang, in ms.
pub(crate) const LONG: i64 = 40_000;

pub(crate) const NOBODY: convoke_pid = convoke_pid { node: 0, serial: 0 };

/// The status of a call, and the text if it failed.
pub(crate) fn status(number: i32) -> Status {
    Status::from_number(number).unwrap_or_else(|| panic!("{number} is no status"))
}

/// The call did what it says.
#[track_caller]
pub(crate) fn ok(number: i32) {
    expect(Status::Ok, number);
}

#[track_caller]
pub(crate) fn expect(expected: Status, number: i32) {
    let got = status(number);
    if got != expected {
        let mut detail = [0_u8; 512];
        // SAFETY: the buffer is as large as is said.
        let len =
            unsafe { convoke::ffi::convoke_last_error(detail.as_mut_ptr().cast::<c_char>(), detail.len()) };
        let detail = String::from_utf8_lossy(&detail[..len.min(detail.len() - 1)]);
        panic!("{got:?} \"{detail}\", not {expected:?}");
    }
}
