//! Bounds of the native protocol: the same for all nodes, so they are no options.

/// The largest frame on a link: a fragment and its header, or one control message.
pub const MAX_FRAME: usize = 256 << 10;
/// Facts in one part of a snapshot. A part is at most this many rows and stays below [`MAX_FRAME`].
pub const SNAPSHOT_ROWS: usize = 128;
/// Peers named in one snapshot part, and elements of any other list in a message.
pub const MAX_LIST: usize = 4096;
/// The last dot of an incarnation; what claims a later one does not decode. Beyond any count of real ones, and far from
/// where numbers end: a node that was made to believe in its last dot makes no further group.
pub const MAX_DOT: u64 = 1 << 56;
/// One message moves the clock by no more than this; a clock that is further ahead is followed step by step. It is no
/// violation: an honest node whose clock somebody has moved would lose its links with all others.
pub const MAX_CLOCK_STEP: u64 = 1 << 32;
/// Clocks of others are followed up to here. What is left above lasts for all times.
pub const LAST_CLOCK: u64 = 1 << 62;
