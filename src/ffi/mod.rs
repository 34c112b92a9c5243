//! The C ABI: one file per section of the header, `handle` for checked handles, `entry` for the guard around every
//! entry point. It may touch [`node`](crate::node), and `unsafe` lives here and in [`os`](crate::os) only.
//!
//! Each function checks every argument, zeroes its outputs, enters the handles that it is given, calls `node`, and turns
//! the answer into a status. The documentation of the functions is that of the header, which `tests/header.rs` generates
//! from these files; what a caller has to promise is the contract that follows.
//!
#![doc = include_str!("contract.md")]
#![allow(unsafe_code)] // this room and `os` are where unsafe lives
#![allow(clippy::missing_safety_doc)] // the header has no room for Rust's safety sections; see above
#![allow(rustdoc::broken_intra_doc_links)] // the documentation is Doxygen's
#![allow(rustdoc::invalid_html_tags)] // likewise

mod args;
mod callback;
mod entry;
mod event;
mod group;
mod handle;
mod library;
mod list;
mod live;
mod lock;
mod log;
mod message;
mod name;
mod node;
mod observe;
mod options;
mod pid;
mod process;
mod queue;
mod resolver;
mod thread;
mod types;

pub use event::*;
pub use group::*;
pub use library::*;
pub use list::*;
pub use lock::*;
pub use log::*;
pub use message::*;
pub use name::*;
pub use node::*;
pub use observe::*;
pub use options::*;
pub use pid::*;
pub use process::*;
pub use queue::*;
pub use resolver::*;
pub use types::*;
