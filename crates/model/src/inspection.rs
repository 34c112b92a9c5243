//! What is under way on a node, and who waits for whom: the first thing to look at when something hangs.
//!
//! Every list is cut after [`ROWS`] rows, those that wait for longest first, and every name after [`TEXT`] bytes, so an
//! inspection is of bounded size however much is under way. Serialized, it is the middle of `convoke_node_dump`.

use crate::Name;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Rows of one list.
pub const ROWS: usize = 200;
/// Rows of a list within a row.
const INNER_ROWS: usize = 20;
/// Rows beyond those that are counted.
const COUNTED: usize = 1000;
/// Bytes of one name.
pub const TEXT: usize = 256;

/// Any bytes: a text where they are one and not too long, otherwise the first of them in hexadecimal, and how many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(Vec<u8>, usize);

impl Text {
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes[..bytes.len().min(TEXT)].to_vec(), bytes.len())
    }
}

impl From<&Name> for Text {
    fn from(name: &Name) -> Self {
        Self::new(name.as_bytes())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if self.1 <= TEXT => s.serialize_str(text),
            _ => {
                let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut map = s.serialize_map(Some(2))?;
                map.serialize_entry("hex", &hex)?;
                map.serialize_entry("bytes", &self.1)?;
                map.end()
            }
        }
    }
}

/// The first rows of a list, and how many more there are.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Rows<T> {
    pub rows: Vec<T>,
    pub more: usize,
}

impl<T> Rows<T> {
    /// Only the rows that are told are made.
    pub fn new<I>(items: impl IntoIterator<Item = I>, row: impl FnMut(I) -> T) -> Self {
        let mut items = items.into_iter();
        Self { rows: items.by_ref().take(ROWS).map(row).collect(), more: items.count() }
    }
    /// For a list within a row: not all are counted either.
    /// Those of a list within a row: fewer.
    pub fn inner<I>(items: impl IntoIterator<Item = I>, row: impl FnMut(I) -> T) -> Self {
        let mut items = items.into_iter();
        Self { rows: items.by_ref().take(INNER_ROWS).map(row).collect(), more: items.take(COUNTED).count() }
    }
}

/// A node. An incarnation has 64 bits, more than a number of JSON is good for.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct NodeRow {
    pub incarnation: String,
    /// `None`: there is no link to it.
    pub name: Option<Text>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PidRow {
    pub node: NodeRow,
    pub serial: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct LinkRow {
    pub node: NodeRow,
    pub address: Text,
    /// The peer's facts are complete here, and mine there.
    pub synced: bool,
    pub acknowledged: bool,
    pub silent_ms: u64,
    pub round_trip_us: Option<u64>,
    /// Suspected: so many neighbours were asked after it and have not answered that they do not hear it either.
    pub suspected: Option<usize>,
    /// Its life is in doubt because somebody else claims its place.
    pub doubted: bool,
    /// For how long it has kept votes and acknowledgements owing of late.
    pub owed_ms: u64,
    /// Bytes that are kept here of what it has published: see `limits.published`.
    pub published: usize,
    pub counts: PeerCounts,
}

/// A peer that is left alone for a while: it kept this node waiting, broke the protocol, or published too much.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PartedRow {
    pub incarnation: String,
    pub name: Text,
    pub address: Text,
    pub left_ms: u64,
    /// How often it was, less what good behaviour has taken back.
    pub level: u32,
    /// `slow`, `too much` or `violation`.
    pub why: &'static str,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct TargetRow {
    pub address: Text,
    pub name: Text,
    pub seed: bool,
    /// `linked`, `dialling`, `waiting`, `resting` (who answered there is left alone), `parted` (until somebody connects)
    /// or `myself`.
    pub state: &'static str,
    pub failures: u32,
    pub next_dial_ms: Option<u64>,
}

/// A node that an operation waits for.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct WaitRow {
    pub node: NodeRow,
    /// `grant`, `grant, it shows a binding`, or `acknowledgement`.
    pub what: &'static str,
    /// For how long nothing was heard of it; `None`: it is this node, or there is no link.
    pub silent_ms: Option<u64>,
    pub suspected: bool,
    /// Whose binding it shows.
    pub behind: Option<PidRow>,
}

/// Who is in the way of a claim, as far as this node knows.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct BlockerRow {
    pub pid: PidRow,
    pub requester: Option<Text>,
    /// `holds`, `is granted here` or `waits here, and is older`.
    pub how: &'static str,
    pub since_ms: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct OperationRow {
    pub kind: &'static str,
    pub key: Option<Text>,
    pub requester: Option<Text>,
    /// The process that it is for; a process that only asks for it stands in `caller`.
    pub process: Option<u64>,
    pub caller: CallerRow,
    pub since_ms: u64,
    pub deadline_in_ms: Option<u64>,
    /// `claiming` or `publishing`.
    pub phase: &'static str,
    pub granted: usize,
    pub waits_for: Rows<WaitRow>,
    pub behind: Rows<BlockerRow>,
}

/// Who gets the answer.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerRow {
    Process { serial: u64, reference: u64 },
    Node(NodeRow),
    PartOfCall(u64),
    Nobody,
}

/// What another node runs for this one.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ForwardRow {
    pub home: NodeRow,
    pub caller: CallerRow,
    pub since_ms: u64,
    pub silent_ms: Option<u64>,
    pub cancelled: bool,
    pub deadline_in_ms: Option<u64>,
}

/// Calls that wait for links.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct MeetingRow {
    /// `connect` or `sync`.
    pub kind: &'static str,
    pub process: u64,
    pub reference: u64,
    pub address: Option<Text>,
    /// Links whose snapshots are not exchanged yet.
    pub waits_for: Rows<NodeRow>,
}

/// A claim at this voter.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ClaimRow {
    pub node: NodeRow,
    /// Of a lock.
    pub pid: Option<PidRow>,
    pub requester: Option<Text>,
    pub since_ms: u64,
}

/// A key that claims wait for at this voter.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct VoteRow {
    /// `name` or `lock`.
    pub kind: &'static str,
    pub key: Text,
    pub holders: Rows<BlockerRow>,
    pub granted: Rows<ClaimRow>,
    pub queue: Rows<ClaimRow>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ClashRow {
    pub name: Text,
    /// `decides` (this node is the lower home) or `takes part`.
    pub role: &'static str,
    pub other: NodeRow,
    /// `asked`, `its resolver runs`, `decided`, `engaged` or `waiting`.
    pub state: &'static str,
    pub since_ms: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct CallRow {
    pub name: Text,
    pub a: PidRow,
    pub b: PidRow,
    pub since_ms: u64,
}

/// Deletes of other nodes that wait until members of this one are withdrawn everywhere.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct WithdrawalRow {
    pub groups: Rows<Text>,
    pub deletes_of: Rows<NodeRow>,
    pub waits_for: Rows<NodeRow>,
}

/// What the engine knows at one moment.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Inspection {
    pub links: Rows<LinkRow>,
    /// Peers whose links are over, the latest first.
    pub past: Rows<PastRow>,
    pub parted: Rows<PartedRow>,
    pub targets: Rows<TargetRow>,
    pub operations: Rows<OperationRow>,
    pub forwarded: Rows<ForwardRow>,
    /// Operations that this node runs for others and has not answered.
    pub served: usize,
    pub meetings: Rows<MeetingRow>,
    /// Keys that somebody waits for at this voter.
    pub contended: Rows<VoteRow>,
    pub clashes: Rows<ClashRow>,
    pub resolver_calls: Rows<CallRow>,
    pub withdrawals: Rows<WithdrawalRow>,
    pub names_own: usize,
    pub locks: usize,
    pub locks_own: usize,
    pub local_health: u32,
    pub clock: u64,
}

/// What a peer has done here on all links of its incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize)]
pub struct PeerCounts {
    pub links: u64,
    /// Messages of the protocol, without data.
    pub messages: u64,
    /// Messages to processes of this node, and what they consist of.
    pub payloads: u64,
    pub payload_bytes: u64,
    /// Processes of this node that its processes have killed.
    pub kills: u64,
    /// Names of processes of this node that its processes have taken from them.
    pub unregistered: u64,
    /// Groups that its processes have deleted.
    pub deletes: u64,
    /// What it has said in the name of others and was not heard.
    pub relays_refused: u64,
    /// How often it has broken the protocol, and the link was ended for that.
    pub violations: u64,
}

/// A peer that has no link at present.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PastRow {
    pub incarnation: String,
    pub name: Text,
    pub counts: PeerCounts,
}
