//! What is fuzzed: functions that take any bytes and must come back. The tests of this folder feed them with the
//! checked-in corpus and with mutations of it; the fuzzers of `fuzz/` feed the same functions.

mod engine;
mod frames;
mod handshake;
mod messages;
mod options;
mod source;
pub(crate) mod words;

/// One target, and the memory in bytes that it may need at one time, whatever the input.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub memory: usize,
}

/// The largest input that the fuzzers and the tests try.
pub const MAX_INPUT: usize = 4096;

pub const TARGETS: &[Target] = &[
    // A reader for a link, twice: its buffer, a string as long as a frame may claim, and the lists of a message.
    Target { name: "frames", run: frames::run, memory: 2 << 20 },
    Target { name: "messages", run: messages::run, memory: 2 << 20 },
    Target { name: "handshake", run: handshake::run, memory: 16 << 10 },
    Target { name: "options", run: options::run, memory: 256 << 10 },
    // Two engines with small limits, and everything that the test itself remembers.
    Target { name: "engine", run: engine::run, memory: 8 << 20 },
];

pub fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name}"))
}

/// Choices made of these bytes.
pub(crate) fn source_of(bytes: &[u8]) -> source::Source<'_> {
    source::Source::new(bytes)
}

/// What each kind of end hears first from an honest one: the choice of the target `handshake`, and the bytes.
pub(crate) fn first_words() -> Vec<(u8, Vec<u8>)> {
    handshake::first_words()
}
