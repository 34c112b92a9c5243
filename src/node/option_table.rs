//! The table of options: every key, what it takes, and what it means.

use crate::model::MAX_NAME;

/// What values an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OptionType {
    /// 1 to 255 bytes of text without control characters.
    Text,
    /// `host:port`, or `host:low-high` for a range of ports; an IPv6 host in brackets.
    Listen,
    /// `host:port`.
    Address,
    /// Addresses or ranges of ports, separated by commas.
    Addresses,
    /// `any`, or networks separated by commas.
    Networks,
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A secret; shown nowhere.
    Secret,
    /// Secrets, separated by commas.
    Secrets,
    /// The path of a file; it is read at open.
    Path,
}

impl OptionType {
    pub(super) fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets)
    }
}

/// A row of the table of options.
#[derive(Debug)]
pub struct OptionInfo {
    pub key: &'static str,
    pub option_type: OptionType,
    /// Empty: made up at open, as `meaning` says.
    pub default: &'static str,
    pub unit: &'static str,
    pub meaning: &'static str,
}

macro_rules! options {
    ($($key:literal: $type:expr, $default:literal, $unit:literal, $meaning:literal;)*) => {
        /// Every key there is, in the order of the manual.
        pub const OPTIONS: &[OptionInfo] = &[$(OptionInfo {
            key: $key, option_type: $type, default: $default, unit: $unit, meaning: $meaning,
        },)*];
    };
}

use OptionType::{Address, Addresses, Choice, Listen, Number, Path as File, Text};
const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;
const HOUR_MS: u64 = 3_600_000;

options! {
    "name": Text, "", "", "The node's name, unique in the cluster. Default: host name, process id and a random number.";
    "cluster": Text, "default", "", "Nodes link only with nodes of the same cluster name.";
    "listen": Listen, "127.0.0.1:0", "", "Where the node listens; port 0 takes any that is free, a range (`host:4370-4380`) its first that is free. `0.0.0.0` and `[::]` (IPv4 too) need `advertise`. An address that is not a loopback one needs a secret that is set (or `insecure.plaintext`).";
    "advertise": Address, "", "", "The address that other nodes are told to dial, where it is not the one listened at: NAT, containers. Port 0 is replaced by the one that was bound. Default: the address that was bound.";
    "seeds": Addresses, "", "", "Nodes to dial, for ever; they tell of all others. A name may stand for many addresses, which may change; a range of ports (`host:4370-4380`) for each of them. An own address among them does no harm.";
    "seeds.refresh_ms": Number(100, 24 * HOUR_MS), "30000", "ms", "How often, at the latest, a seed is dialled again that may lead to other nodes than before: a name, or the address of a balancer.";
    "secret": OptionType::Secret, "", "", "The secret that all nodes of the cluster share: 32 random bytes (`convoke_options_set_bytes`) or 64 hexadecimal digits. With it every link is encrypted, and nobody else can join. No password: see security.md.";
    "secret.previous": OptionType::Secrets, "", "", "Other secrets that are good too, while the secret is being changed: at most 7, separated by commas.";
    "secret.file": File, "", "", "A file with the secret instead, and behind it those that are good too, one a line as hexadecimal digits. Nobody but its owner may read or write it (mode 0600 or 0400).";
    "secret.user": File, "", "", "The file with the secret of the user, which is read, and made when it is not there, by a node that listens at a loopback address and is given no other secret, no certificate and no `insecure.plaintext`. So programs of one user find each other and those of other users are kept out. It does not let links leave the machine. Default: `$XDG_CONFIG_HOME/convoke/secret`, or `~/.config/convoke/secret`; without a place for it links are plain, with a warning in the log.";
    "tls.cert": File, "", "", "A file with the certificate of this node in PEM, and those between it and the authority. Instead of a secret, and for a library that was built with TLS (`--features tls`): see security.md.";
    "tls.key": File, "", "", "A file with the private key to it in PEM. Nobody but its owner may read or write it (mode 0600 or 0400).";
    "tls.ca": File, "", "", "A file with the certificates of the authorities whose nodes are taken, in PEM.";
    "tls.crl": File, "", "", "A file with lists of revoked certificates in PEM, one of each authority. Nodes with such a certificate are refused.";
    "insecure.plaintext": Choice(&["refuse", "loopback", "allow"]), "refuse", "", "What to do without a secret. `refuse`: see `secret.user`. `loopback`: links are plain and stay on this machine, where every user can then read what is said, and join. `allow`: they may leave it too; whoever can reach the network can read, change and join.";
    "reload.links": Choice(&["keep", "end"]), "keep", "", "What `convoke_node_reload` does with links that were made under a secret, a certificate, authorities or a list that it replaces and that is good no more: `keep`: they go on, under keys of their own; `end`: they are cut, and both ends dial each other again.";
    "heartbeat_ms": Number(10, HOUR_MS), "", "ms", "A link that was idle this long carries a heartbeat. Default: 500, or a tenth of detection_ms if that is less.";
    "detection_ms": Number(100, HOUR_MS), "5000", "ms", "A silent peer is given up after this time at the latest.";
    "dial.min_ms": Number(1, HOUR_MS), "50", "ms", "The first pause between two dials of one address.";
    "dial.max_ms": Number(1, HOUR_MS), "5000", "ms", "The longest pause between two dials of one address; of one that only other nodes tell of, and where no node was met yet, 24 times as much.";
    "dial.networks": OptionType::Networks, "any", "", "Which networks this node dials, as `10.0.0.0/8,fd00::/8`, whoever names an address there: the program, a peer or the name service. Who dials this node may come from anywhere.";
    "join.wait": Number(0, HOUR_MS), "5000", "ms", "How long opening waits, at most, for the node to be merged with its seeds and all others that they tell of. 0: not at all.";
    "peers.slow": Choice(&["part", "wait"]), "part", "", "A peer that lives and keeps votes or acknowledgements owing for longer than detection_ms in twelve times as long (a minute by default), in one piece or in many: `part` ends its link and leaves it alone for a pause, `wait` waits for it.";
    "names.per_pid": Choice(&["many", "one"]), "many", "", "Whether a process may have many names or one.";
    "resolver.timeout_ms": Number(1, HOUR_MS), "5000", "ms", "For how long a resolver function may run. After that nobody keeps the name.";
    "limits.name": Number(1, MAX_NAME as u64), "1024", "bytes", "The longest name, those of peers included: a node that publishes a longer one is parted, so this is to be alike on all nodes.";
    "limits.message": Number(1, GIB), "16777216", "bytes", "The largest payload of a message.";
    "limits.memory": Number(1024 * KIB, 1024 * GIB), "268435456", "bytes", "Memory that waiting messages may take on this node, in all. At least 4 times limits.message.";
    "limits.link_buffer": Number(128 * KIB, GIB), "8388608", "bytes", "Bytes that wait in one link before senders are refused.";
    "limits.processes": Number(1, 1 << 32), "1048576", "processes", "Processes of this node that are alive at one time.";
    "limits.names": Number(1, 1 << 32), "2097152", "names", "Names that processes of this node may hold.";
    "limits.locks": Number(1, 1 << 32), "1048576", "locks", "Locks that processes of this node may hold.";
    "limits.groups": Number(1, 1 << 32), "1048576", "groups", "Groups that processes of this node may make, and memberships that they may have. In the whole cluster there are 1048576 groups at most.";
    "limits.published": Number(16 * 1024 * KIB, 1024 * GIB), "", "bytes", "Memory that names, locks, memberships and requests of other nodes may take on this node, in all; a node that takes more than half of it is parted. Default: 8 times limits.memory, 256 MiB at least.";
    "limits.operations": Number(1, 1 << 32), "1048576", "operations", "Operations and monitors of this node under way, and their events unread. Of calls that nobody waits for, an eighth as many may be ahead of the node.";
    "limits.peers": Number(1, 4096), "4096", "nodes", "Nodes that this one links to.";
}
