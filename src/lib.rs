//! Convoke: a program that links this library becomes a node of a cluster with no server to run.
//!
//! The map of the house (docs/design.md has the whole story):
//!
//! | room | what it is for | what it may touch |
//! |---|---|---|
//! | [`model`], a crate of its own | what any engine and the node say to each other | nothing else |
//! | [`flow`], a crate of its own | windows, pools, outboxes: the flow control of messages | `model` |
//! | [`engine`], a crate of its own | the state machine: names, claims, clashes, processes, links, messages | `model`, `flow`; no I/O, clock, threads or unseeded randomness |
//! | [`wire`] | bytes <-> messages: frames, codec, handshake | `engine`'s messages, `os` |
//! | [`mesh`] | sockets: listener, dialler, link tasks | `engine`, `wire`, `os`, tokio |
//! | [`node`] | a running node: its thread, commands in, tables and events out | all of the above |
//! | [`os`] | safe wrappers of the few libc calls | libc (`unsafe`) |
//! | [`ffi`] | the C ABI | `node` (`unsafe`) |
//! | `testing` | cut links, for tests of whole clusters; never in a released library | `node` |
//!
//! The product is the C interface in `include/convoke.h`. The Rust items are public for the simulator, the tests
//! and the benches; they carry no promise of stability.

#![deny(unsafe_code)]

pub mod ffi;
pub mod mesh;
pub mod node;
pub mod os;
mod sync;
#[cfg(feature = "test-hooks")]
pub mod testing;
pub mod wire;

pub use convoke_engine as engine;
pub use convoke_flow as flow;
pub use convoke_model as model;
