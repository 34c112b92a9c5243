//! Options: what is set is checked at once, by the table of keys.

use super::address::{Purpose, canonical, check_address, ip_of};
use super::option_table::OptionType::{Address, Addresses, Choice, Listen, Number, Path as File, Text};
use super::option_table::{OPTIONS, OptionInfo, OptionType};
use super::{Error, Result, security};
use crate::mesh::{Networks, UNPROTECTED};
use crate::model::{Config, NodeId, Status};
use crate::wire::{MAX_SECRETS, SECRET, Secret};
use rand::TryRng;
use rand::rngs::SysRng;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// What may change while a node runs.
const RELOADABLE: &[&str] = &[
    "seeds",
    "secret",
    "secret.previous",
    "secret.file",
    "secret.user",
    "tls.cert",
    "tls.key",
    "tls.ca",
    "tls.crl",
    "reload.links",
];

/// Settings for a node to be opened. What is set is checked at once; what must fit together, at open.
#[derive(Clone, Debug)]
pub struct Options {
    set: BTreeMap<&'static str, String>,
    secrets: BTreeMap<&'static str, Vec<Secret>>,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// The defaults; in test runs, which leave the home of whoever runs them alone, with the secret of the environment or with none.
    pub fn new() -> Self {
        #[cfg(feature = "test-hooks")]
        return match crate::testing::secret() {
            Some(secret) => {
                Self { secrets: BTreeMap::from([("secret", vec![secret])]), ..Self::of_release() }
            }
            None => Self::without_secret(),
        };
        #[cfg(not(feature = "test-hooks"))]
        Options::of_release()
    }

    /// The defaults of a released library.
    pub fn of_release() -> Self {
        Self { set: BTreeMap::new(), secrets: BTreeMap::new() }
    }

    /// Without a secret, whatever the environment of a test run has to say about it: links are plain, and stay on this machine.
    pub fn without_secret() -> Self {
        let set = BTreeMap::from([("insecure.plaintext", "loopback".to_owned())]);
        Self { set, ..Self::of_release() }
    }

    /// `Option`: there is no such key, or it does not take this value; the text says what would do.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let info = find(key)?;
        let value = value.trim();
        if info.option_type.is_secret() {
            let secrets = match info.option_type {
                OptionType::Secret => {
                    std::slice::from_ref(&value).iter().map(|text| Secret::from_text(text)).collect()
                }
                _ => split(value).take(MAX_SECRETS + 1).map(Secret::from_text).collect(),
            };
            return self.set_secrets(info, secrets);
        }
        check(info, value).map_err(|text| refused(format!("{key}: {text}")))?;
        self.set.insert(info.key, value.to_owned());
        Ok(())
    }

    /// The same for a value given as bytes: secrets as they are, several one behind the other; UTF-8 for all others.
    pub fn set_bytes(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let info = find(key)?;
        let is_text = || {
            std::str::from_utf8(value)
                .is_ok_and(|text| split(text).take(MAX_SECRETS).all(|t| Secret::from_text(t).is_ok()))
        };
        if info.option_type == OptionType::Secret && !is_text() {
            return self.set_secrets(info, Secret::from_bytes(value).map(|secret| vec![secret]));
        }
        if info.option_type == OptionType::Secrets && !is_text() {
            return self.set_secrets(
                info,
                value.chunks(SECRET).take(MAX_SECRETS + 1).map(Secret::from_bytes).collect(),
            );
        }
        let text = std::str::from_utf8(value).map_err(|_| refused(format!("{key}: takes UTF-8")))?;
        self.set(info.key, text)
    }

    /// Sets what stands in a file: lines `key = value`, empty lines, lines that begin with `#`. All or nothing.
    /// `Io`: it cannot be read. `Option`: as `set`, with the number of the line.
    pub fn load(&mut self, path: &Path) -> Result<()> {
        let shown = path.display();
        let (file, metadata) = security::open_options(path)?;
        let text = security::read(path, file)?;
        let mut loaded = self.clone();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let set = match line.split_once('=') {
                Some((key, value)) => loaded.set(key.trim(), value),
                None => Err(refused("a line is `key = value`".to_owned())),
            };
            set.map_err(|error| Error::new(error.status, format!("{shown}:{number}: {}", error.detail)))?;
        }
        if loaded.secrets != self.secrets {
            security::check_private(path, &metadata)?;
        }
        *self = loaded;
        Ok(())
    }

    fn set_secrets(&mut self, info: &'static OptionInfo, secrets: Result<Vec<Secret>, String>) -> Result<()> {
        let key = info.key;
        let secrets = secrets.map_err(|text| refused(format!("{key}: {text}")))?;
        // Each takes a page of memory.
        if secrets.len() > MAX_SECRETS {
            return Err(refused(format!("{key}: takes at most {MAX_SECRETS} secrets")));
        }
        self.secrets.insert(key, secrets);
        Ok(())
    }

    pub(super) fn secrets(&self, key: &str) -> &[Secret] {
        self.secrets.get(key).map_or(&[], Vec::as_slice)
    }

    /// The value of a key of the table, or its default.
    pub(super) fn text(&self, key: &str) -> &str {
        let default = || OPTIONS.iter().find(|info| info.key == key).map_or("", |info| info.default);
        self.set.get(key).map_or_else(default, String::as_str)
    }

    /// `Option`: something differs that a node which was opened with these options cannot change.
    pub(super) fn check_reload(&self, other: &Self) -> Result<()> {
        let is_fixed = |info: &&OptionInfo| !RELOADABLE.contains(&info.key);
        let differs = |info: &&OptionInfo| self.text(info.key) != other.text(info.key);
        match OPTIONS.iter().filter(is_fixed).find(differs) {
            Some(info) => {
                let may = RELOADABLE.join(", ");
                Err(refused(format!("{}: cannot change while the node is open; only {may} can", info.key)))
            }
            None => Ok(()),
        }
    }

    /// A copy that keeps no secrets.
    pub(super) fn without_secrets(&self) -> Self {
        Self { set: self.set.clone(), secrets: BTreeMap::new() }
    }

    fn number(&self, key: &str) -> u64 {
        self.text(key).parse().unwrap_or(0)
    }

    /// How long opening waits until the node is in sync; zero: not at all.
    pub(super) fn join_wait_ms(&self) -> i64 {
        i64::try_from(self.number("join.wait")).unwrap_or(i64::MAX)
    }

    /// Addresses to dial, each in its one form.
    pub(super) fn networks(&self) -> Networks {
        // It was checked when it was set.
        Networks::parse(self.text("dial.networks")).unwrap_or_default()
    }

    pub(super) fn seeds(&self) -> Vec<String> {
        split(self.text("seeds")).map(canonical).collect()
    }

    /// Whether links may leave this machine although nothing protects them.
    pub(super) fn plaintext_may_leave(&self) -> bool {
        self.text("insecure.plaintext") == "allow"
    }

    /// Whether a node without another secret takes that of its user.
    pub(super) fn may_take_secret_of_user(&self) -> bool {
        self.text("insecure.plaintext") == "refuse"
    }

    /// Whether a reload ends the links that were made under what it replaces.
    pub(super) fn ends_replaced_links(&self) -> bool {
        self.text("reload.links") == "end"
    }

    pub(super) fn resolver_timeout(&self) -> Duration {
        Duration::from_millis(self.number("resolver.timeout_ms"))
    }

    /// What the engine is told, but for the address.
    pub(super) fn config(&self, node: NodeId) -> Result<Config> {
        let ms = |key| Duration::from_millis(self.number(key));
        let name = match self.text("name") {
            "" => made_up_name()?,
            name => name.to_owned(),
        };
        let mut config = Config::new(node, &name);
        config.seeds = self.seeds();
        config.detection = ms("detection_ms");
        config.heartbeat = match self.text("heartbeat_ms") {
            "" => Duration::from_millis(500).min(config.detection / 10),
            _ => ms("heartbeat_ms"),
        };
        config.dial_min = ms("dial.min_ms");
        config.dial_max = ms("dial.max_ms");
        config.seeds_refresh = ms("seeds.refresh_ms");
        config.part_slow = self.text("peers.slow") == "part";
        config.one_name_per_pid = self.text("names.per_pid") == "one";
        let limits = &mut config.limits;
        let size = |key| usize::try_from(self.number(key)).unwrap_or(usize::MAX);
        limits.name = size("limits.name");
        limits.message = size("limits.message");
        limits.memory = size("limits.memory");
        limits.link_buffer = size("limits.link_buffer");
        limits.processes = size("limits.processes");
        limits.names = size("limits.names");
        limits.locks = size("limits.locks");
        limits.groups = size("limits.groups");
        limits.published = match self.text("limits.published") {
            "" => limits.memory.saturating_mul(8).max(256 << 20),
            _ => size("limits.published"),
        };
        limits.operations = size("limits.operations");
        limits.peers = size("limits.peers");
        fits_together(&config)?;
        Ok(config)
    }
}

/// Without protection what is a number is judged here, what is a name when it is looked up.
/// `Option`: a seed lies in no network that may be dialled. What is a name shows when it is looked up.
pub(super) fn check_networks(seeds: &[String], networks: &Networks) -> Result<()> {
    match seeds.iter().find(|seed| ip_of(seed).is_some_and(|ip| !networks.contain(ip))) {
        Some(seed) => Err(refused(format!("seeds: {seed} is in none of the networks of dial.networks"))),
        None => Ok(()),
    }
}

pub(super) fn check_seeds(seeds: &[String]) -> Result<()> {
    match seeds.iter().find(|seed| ip_of(seed).is_some_and(|ip| !is_here(ip))) {
        Some(seed) => Err(not_loopback("seeds", seed)),
        None => Ok(()),
    }
}

/// Whether it is an address of this machine that no other can reach.
pub(super) fn is_here(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn fits_together(config: &Config) -> Result<()> {
    let limits = &config.limits;
    if config.heartbeat > config.detection / 4 {
        return Err(refused("heartbeat_ms: at most a quarter of detection_ms".to_owned()));
    }
    if config.dial_min > config.dial_max {
        return Err(refused("dial.min_ms: at most dial.max_ms".to_owned()));
    }
    if limits.memory / 4 < limits.message {
        return Err(refused(format!("limits.memory: at least 4 times limits.message, {}", limits.message)));
    }
    Ok(())
}

fn find(key: &str) -> Result<&'static OptionInfo> {
    OPTIONS.iter().find(|info| info.key == key).ok_or_else(|| {
        let shown: String = key.escape_debug().take(64).collect();
        refused(format!("there is no option \"{shown}\"; did you mean \"{}\"?", nearest(key)))
    })
}

fn refused(text: String) -> Error {
    Error::new(Status::Option, text)
}

fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// `Err`: what the option takes.
fn check(info: &OptionInfo, value: &str) -> Result<(), String> {
    match info.option_type {
        Text => match value.len() {
            1..=255 if !value.chars().any(char::is_control) => Ok(()),
            _ => Err("takes 1 to 255 bytes of text without control characters".to_owned()),
        },
        Listen => check_address(value, Purpose::Listen),
        Address => check_address(value, Purpose::Advertise),
        Addresses => split(value).try_for_each(|seed| check_address(seed, Purpose::Dial)),
        OptionType::Networks => {
            Networks::parse(value).map(|_| ()).map_err(|why| format!("takes any, or networks: {why}"))
        }
        Number(low, high) => match value.parse::<u64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(()),
            _ => Err(format!("takes a whole number from {low} to {high} {}", info.unit)),
        },
        File => match value {
            "" => Err("takes the path of a file".to_owned()),
            path if path.len() > 4096 || path.contains('\0') => {
                Err("takes a path of at most 4096 bytes".to_owned())
            }
            _ => Ok(()),
        },
        OptionType::Secret | OptionType::Secrets => Ok(()), // by their own way
        Choice(words) if words.contains(&value) => Ok(()),
        Choice(words) => Err(format!("takes one of: {}", words.join(", "))),
    }
}

pub(super) fn not_loopback(key: &str, value: &str) -> Error {
    refused(format!("{key}: {value} is not a loopback address; {UNPROTECTED}"))
}

/// The key that takes the fewest edits to get to; what is longer than any key counts as its beginning does.
fn nearest(key: &str) -> &'static str {
    let key: String = key.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let keys = OPTIONS.iter().map(|info| info.key);
    keys.min_by_key(|known| strsim::levenshtein(known, &key)).unwrap_or_default()
}

fn made_up_name() -> Result<String> {
    let random = SysRng.try_next_u32().map_err(|e| Error::new(Status::Io, format!("random: {e}")))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| !c.is_control()).take(64).collect();
    let host = if host.is_empty() { "node" } else { &host };
    Ok(format!("{host}-{}-{random:08x}", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(key: &str, value: &str) -> String {
        let error = Options::new().set(key, value).unwrap_err();
        assert_eq!(error.status, Status::Option);
        error.detail
    }

    #[test]
    fn defaults_pass_their_own_checks() {
        for info in OPTIONS {
            if !info.default.is_empty() {
                assert_eq!(check(info, info.default), Ok(()), "{}", info.key);
            }
            assert!(!info.meaning.is_empty());
        }
        let config = Options::new().config(NodeId(1)).unwrap();
        let engine = Config::new(NodeId(1), &config.name);
        assert_eq!(
            format!("{config:?}"),
            format!("{engine:?}"),
            "the table and the engine have the same defaults"
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        assert!(refusal("heartbeat", "1").contains("\"heartbeat_ms\""));
        assert!(refusal("limit.names", "1").contains("\"limits.names\""));
        assert!(refusal("seed", "").contains("\"seeds\""));
        assert!(refusal("TLS.CERTS", "").contains("\"tls.cert\""));
        assert!(refusal(&"x".repeat(100_000), "").contains("did you mean"));
        assert!(refusal("", "").contains("did you mean"));
    }

    #[test]
    fn values_are_checked_at_once_and_the_text_says_what_would_do() {
        assert!(refusal("detection_ms", "99").contains("from 100 to 3600000 ms"));
        assert!(refusal("detection_ms", "-1").contains("from 100"));
        assert!(refusal("detection_ms", "5s").contains("whole number"));
        assert!(refusal("names.per_pid", "two").contains("many, one"));
        assert!(refusal("name", "").contains("1 to 255"));
        assert!(refusal("name", "a\nb").contains("control"));
        assert!(refusal("listen", "4370").contains("host:port"));
        assert!(refusal("listen", "::1:4370:").contains("[::1]:4370"));
        assert!(refusal("seeds", "127.0.0.1:1,nonsense").contains("host:port"));
        let mut options = Options::new();
        for (key, value) in [
            ("listen", "[::1]:0"),
            ("listen", "localhost:0"),
            ("seeds", " 127.0.0.1:1 , localhost:2,, "),
            ("seeds", ""),
            ("name", " spaces around go "),
            ("limits.peers", "4096"),
        ] {
            options.set(key, value).unwrap();
        }
        assert_eq!(options.text("name"), "spaces around go");
        assert_eq!(options.set_bytes("name", &[0xff]).unwrap_err().status, Status::Option);
        options.set_bytes("name", b"bytes").unwrap();
        assert_eq!(options.text("name"), "bytes");
    }

    #[test]
    fn what_does_not_fit_together_is_refused_at_open() {
        for (set, word) in [
            (&[("heartbeat_ms", "2000")][..], "heartbeat_ms"),
            (&[("dial.min_ms", "6000")], "dial.max_ms"),
            (&[("limits.memory", "20000000")], "limits.message"),
        ] {
            let mut options = Options::new();
            set.iter().for_each(|(key, value)| options.set(key, value).unwrap());
            let error = options.config(NodeId(1)).unwrap_err();
            assert_eq!(error.status, Status::Option);
            assert!(error.detail.contains(word), "{error}");
        }
        let seeds = ["127.0.0.1:1".to_owned(), "10.0.0.1:2".to_owned(), "host:3".to_owned()];
        let networks = |text| Networks::parse(text).unwrap();
        let error = check_networks(&seeds, &networks("127.0.0.0/8,10.0.0.2")).unwrap_err();
        assert!(error.status == Status::Option && error.detail.contains("10.0.0.1:2"), "{error:?}");
        assert!(check_networks(&seeds, &networks("127.0.0.0/8,10.0.0.0/24")).is_ok());
        let error = check_seeds(&seeds).unwrap_err();
        assert!(error.detail.contains("10.0.0.1:2 is not a loopback"), "{error}");
        assert!(error.detail.contains("secret.file"), "{error}");
        assert!(check_seeds(&seeds[..1]).is_ok());
        let mut options = Options::new();
        options.set("detection_ms", "100").unwrap();
        assert_eq!(options.config(NodeId(1)).unwrap().heartbeat, Duration::from_millis(10));
    }

    #[test]
    fn secrets_are_bytes_or_text_and_shown_nowhere() {
        let raw: Vec<u8> = (0..32u32).map(|at| (at * at * 37 + 11) as u8).collect();
        let hex: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
        let other: String = raw.iter().map(|byte| format!("{:02x}", byte ^ 0x55)).collect();
        let mut options = Options::without_secret();
        options.set("secret", &hex).unwrap();
        let by_text = options.secrets("secret").to_vec();
        options.set_bytes("secret", &raw).unwrap();
        assert_eq!(options.secrets("secret"), by_text);
        options.set_bytes("secret", hex.as_bytes()).unwrap();
        assert_eq!(options.secrets("secret"), by_text);
        options.set("secret.previous", &format!("{hex},{other}")).unwrap();
        let both = options.secrets("secret.previous").to_vec();
        options
            .set_bytes(
                "secret.previous",
                &[&raw[..], &raw.iter().map(|b| b ^ 0x55).collect::<Vec<_>>()].concat(),
            )
            .unwrap();
        assert_eq!((both.len(), options.secrets("secret.previous")), (2, &both[..]));
        assert!(!format!("{options:?}").to_lowercase().contains(&hex[..8]));
        for many in [[&hex[..]; 9].join(","), vec![&hex[..]; 100_000].join(",")] {
            for error in
                [options.set("secret.previous", &many), options.set_bytes("secret.previous", many.as_bytes())]
            {
                assert!(error.unwrap_err().detail.contains("at most 8"));
            }
        }
        assert!(
            options.set_bytes("secret.previous", &raw.repeat(9)).unwrap_err().detail.contains("at most 8")
        );
        for wrong in ["hunter2", "correct horse battery staple", ""] {
            for error in [options.set("secret", wrong), options.set_bytes("secret", wrong.as_bytes())] {
                let error = error.unwrap_err();
                assert_eq!(error.status, Status::Option);
                assert!(error.detail.contains("Passwords are refused"), "{error}");
                assert!(wrong.is_empty() || !error.detail.contains(wrong), "{error}");
            }
        }
        assert_eq!(options.secrets("secret"), by_text, "nothing was changed");
    }

    #[test]
    fn a_file_of_options_with_a_secret_is_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("convoke-options-secret-{}", std::process::id()));
        let hex = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeef1";
        std::fs::write(&path, format!("name = n\nsecret = {hex}\n")).unwrap();
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut options = Options::without_secret();
        mode(0o644);
        let error = options.load(&path).unwrap_err();
        assert!(error.status == Status::Option && error.detail.contains("chmod 600"), "{error}");
        assert!(options.secrets("secret").is_empty() && options.text("name").is_empty());
        mode(0o600);
        options.load(&path).unwrap();
        assert_eq!((options.secrets("secret").len(), options.text("name")), (1, "n"));
        std::fs::remove_file(&path).unwrap();
    }

    /// It may name the files of certificates, and whom to dial.
    #[test]
    fn a_file_of_options_that_others_may_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("convoke-options-open-{}", std::process::id()));
        std::fs::write(&path, "name = n\n").unwrap();
        let mut options = Options::without_secret();
        for (mode, refused) in [(0o664, true), (0o646, true), (0o644, false), (0o440, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let loaded = options.load(&path);
            assert_eq!(
                loaded.as_ref().err().map(|error| error.status),
                refused.then_some(Status::Option),
                "{mode:o}"
            );
            assert!(loaded.err().is_none_or(|error| error.detail.contains("chmod go-w")));
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_file_is_loaded_whole_or_not_at_all() {
        let path = std::env::temp_dir().join(format!("convoke-options-{}", std::process::id()));
        let mut options = Options::new();
        assert_eq!(options.load(&path).unwrap_err().status, Status::Io);
        std::fs::write(&path, "# a comment\n\n name = n1 \nseeds=127.0.0.1:1\n").unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600); // whatever the umask is
        std::fs::set_permissions(&path, private).unwrap();
        options.load(&path).unwrap();
        assert_eq!((options.text("name"), options.text("seeds")), ("n1", "127.0.0.1:1"));
        std::fs::write(&path, "name = n2\n# fine\ndetection = 5\n").unwrap();
        let error = options.load(&path).unwrap_err();
        assert!(error.status == Status::Option && error.detail.contains(":3: "), "{error}");
        assert!(error.detail.contains("\"detection_ms\""), "{error}");
        std::fs::write(&path, "name\n").unwrap();
        assert!(options.load(&path).unwrap_err().detail.contains(":1: "));
        assert_eq!(options.text("name"), "n1");
        std::fs::remove_file(&path).unwrap();
    }
}
