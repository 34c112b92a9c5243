//! How a node protects its links: from options and files of secrets to what the mesh is told.

use super::user_secret::{self, Found};
use super::{Error, Options, Result};
use crate::mesh::{Networks, RefusalCounts};
use crate::model::{Level, Status};
use crate::os::effective_user;
use crate::sync::RwLock;
use crate::wire::{Credentials, Keyring, MAX_SECRETS, Mode, Pem, Protection, Secret};
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use zeroize::Zeroizing;

/// Much more than [`MAX_SECRETS`] and what is to be said about them take.
const MAX_FILE: u64 = 64 << 10;
/// Authorities and what they have revoked may be many.
const MAX_BUNDLE: u64 = 16 << 20;

/// What protects the links of a node that runs. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// For connections that begin.
    pub protection: Arc<RwLock<Protection>>,
    /// Option `insecure.plaintext`.
    pub plaintext_may_leave: bool,
    /// Those that may be dialled.
    pub networks: Networks,
    pub refusals: Arc<RefusalCounts>,
}

impl Security {
    /// For the node of this name. `Option`, `Io`, `Auth`, `Unsupported`: as [`protection`].
    pub(super) fn new(options: &Options, name: &str) -> Result<Self> {
        Ok(Self {
            protection: Arc::new(RwLock::new(protection(options, name)?)),
            plaintext_may_leave: options.plaintext_may_leave(),
            networks: options.networks(),
            refusals: Arc::default(),
        })
    }

    /// Whether links may leave this machine.
    pub(super) fn may_leave(&self) -> bool {
        self.plaintext_may_leave || self.present().may_leave()
    }

    /// For a node that listens where no other machine reaches it: takes the secret of the user, if the options give nothing else. What
    /// the log is to say of it. `Option`, `Io`: as [`user_secret::find`].
    pub(super) fn take_secret_of_user(&self, options: &Options) -> Result<Option<(Level, String)>> {
        if !matches!(self.present(), Protection::Plain) || !options.may_take_secret_of_user() {
            return Ok(None);
        }
        match user_secret::find(options.text("secret.user"))? {
            Found::Secrets { secrets, path, made } => {
                let text = format!(
                    "links are protected by the secret of this user, from {}{}",
                    path.display(),
                    if made { ", which was made just now" } else { "" }
                );
                self.replace(of_user(options, &secrets, path)?);
                Ok(Some((Level::Info, text)))
            }
            Found::Nowhere(why) => {
                let text = format!(
                    "links are not protected, and every user of this machine can join: there is no place for a secret of this user \
                     ({why}). Set secret.user to a file in a folder of the user's, or secret.file; or insecure.plaintext to loopback if \
                     that is meant"
                );
                Ok(Some((Level::Warn, text)))
            }
        }
    }

    /// What the options ask for now, of a node that runs. `Option`: that is another way to protect links; and as [`protection`].
    pub(super) fn reloaded(&self, options: &Options, name: &str) -> Result<Protection> {
        let refused = |text: &str| Err(Error::new(Status::Option, text));
        let (new, old) = (protection(options, name)?, self.present());
        match (new.mode(), old.mode()) {
            (Mode::Plain, _) if old.user_file().is_some() && options.may_take_secret_of_user() => {
                match user_secret::find(options.text("secret.user"))? {
                    Found::Secrets { secrets, path, .. } => of_user(options, &secrets, path),
                    Found::Nowhere(why) => Err(Error::new(
                        Status::Io,
                        format!("secret.user: the secret of this user cannot be read again: {why}"),
                    )),
                }
            }
            (now, before) if now == before => Ok(new),
            (Mode::Plain, _) => {
                refused("secret: a node that was opened with one, or with TLS, cannot go on without")
            }
            (_, Mode::Secret | Mode::Tls) => {
                refused("tls.cert: a node cannot change between a secret and TLS while it is open")
            }
            (_, Mode::Plain) => refused(
                "secret: a node that was opened without one cannot be given one, for its links would stay as they are; open it \
                 anew",
            ),
        }
    }

    pub(super) fn present(&self) -> Protection {
        self.protection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that begin from now on are protected so. Links keep the keys of their sessions.
    pub(super) fn replace(&self, protection: Protection) {
        *self.protection.write().unwrap_or_else(PoisonError::into_inner) = protection;
    }
}

/// What the options ask for. `Option`: they do not fit together, or a secret or a certificate is none, or others may
/// read or write a file of secrets. `Io`: a file cannot be read. `Unsupported`: TLS, and the library was built without.
pub(super) fn protection(options: &Options, name: &str) -> Result<Protection> {
    let refused = |text: &str| Err(Error::new(Status::Option, text));
    if ["tls.cert", "tls.key", "tls.ca", "tls.crl"].iter().any(|key| !options.text(key).is_empty()) {
        return match ["secret", "secret.previous"].iter().all(|key| options.secrets(key).is_empty())
            && options.text("secret.file").is_empty()
        {
            true => Ok(Protection::Tls(Arc::new(credentials(options, name)?))),
            false => {
                refused("tls.cert: not together with a secret; links are protected by the one or the other")
            }
        };
    }
    let mut secrets = options.secrets("secret").to_vec();
    let previous = options.secrets("secret.previous");
    match options.text("secret.file") {
        "" => {}
        _ if !secrets.is_empty() => return refused("secret.file: not together with secret"),
        path => secrets = secrets_of_file(Path::new(path))?,
    }
    if secrets.is_empty() {
        return match previous.is_empty() {
            true => Ok(Protection::Plain),
            false => refused("secret.previous: only together with secret or secret.file"),
        };
    }
    secrets.extend_from_slice(previous);
    match Keyring::new(options.text("cluster"), &secrets) {
        Some(keyring) => Ok(Protection::Secret(Arc::new(keyring))),
        None => refused(&format!("secret.previous: at most {MAX_SECRETS} secrets in all")),
    }
}

fn of_user(options: &Options, secrets: &[Secret], file: PathBuf) -> Result<Protection> {
    let keyring = Keyring::new(options.text("cluster"), secrets);
    let keyring = keyring.ok_or_else(|| {
        Error::new(Status::Option, format!("secret.user: at most {MAX_SECRETS} secrets in all"))
    })?;
    Ok(Protection::Secret(Arc::new(keyring.of_user(file))))
}

/// The certificate of the node, and whom it trusts.
fn credentials(options: &Options, name: &str) -> Result<Credentials> {
    if !cfg!(feature = "tls") {
        let text = "tls.cert: this library was built without TLS; build it with --features tls";
        return Err(Error::new(Status::Unsupported, text));
    }
    if let Some(missing) = ["tls.cert", "tls.key", "tls.ca"].iter().find(|key| options.text(key).is_empty()) {
        let text = format!("{missing}: is missing; TLS needs tls.cert, tls.key and tls.ca");
        return Err(Error::new(Status::Option, text));
    }
    if options.text("name").is_empty() {
        let text = "name: must be set with TLS, for the certificate says it";
        return Err(Error::new(Status::Option, text));
    }
    let file = |key: &str, most: u64| -> Result<Zeroizing<String>> {
        let path = Path::new(options.text(key));
        let (file, metadata) = open_regular(path)?;
        if key == "tls.key" {
            check_private(path, &metadata)?;
        }
        read_up_to(path, file, most)
    };
    let (cert, key, ca) =
        (file("tls.cert", MAX_FILE)?, file("tls.key", MAX_FILE)?, file("tls.ca", MAX_BUNDLE)?);
    let crl = match options.text("tls.crl") {
        "" => None,
        _ => Some(file("tls.crl", MAX_BUNDLE)?),
    };
    let pem = Pem {
        cert: cert.as_bytes(),
        key: key.as_bytes(),
        ca: ca.as_bytes(),
        crl: crl.as_ref().map(|crl| crl.as_bytes()),
    };
    Credentials::new(name, &pem).map_err(|(key, text)| {
        let path = options.text(key);
        let place = if key == "name" || path.is_empty() { key.to_owned() } else { format!("{key}: {path}") };
        Error::new(Status::Option, format!("{place}: {text}"))
    })
}

/// The secrets of a file that is for nobody else: one a line, the present one first. Empty lines, and those that begin
/// with `#`, are passed over.
pub(super) fn secrets_of_file(path: &Path) -> Result<Vec<Secret>> {
    let shown = path.display();
    let (file, metadata) = open_regular(path)?;
    check_private(path, &metadata)?;
    let text = read(path, file)?;
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if secrets.len() == MAX_SECRETS {
            let text = format!("{shown}:{number}: there may be {MAX_SECRETS} secrets at most");
            return Err(Error::new(Status::Option, text));
        }
        let secret = Secret::from_text(line);
        secrets.push(secret.map_err(|text| Error::new(Status::Option, format!("{shown}:{number}: {text}")))?);
    }
    match secrets.is_empty() {
        true => Err(Error::new(Status::Option, format!("{shown}: there is no secret in it"))),
        false => Ok(secrets),
    }
}

fn io(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Status::Io, format!("{}: {error}", path.display()))
}

/// Opens a file without waiting for whoever is at the other end of a pipe.
fn open_regular(path: &Path) -> Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|e| io(path, &e))?;
    let metadata = file.metadata().map_err(|e| io(path, &e))?;
    if !metadata.is_file() {
        return Err(Error::new(Status::Io, format!("{}: it is not a regular file", path.display())));
    }
    check_unwritable(path, &metadata)?;
    Ok((file, metadata))
}

/// Opens a file of options.
pub(super) fn open_options(path: &Path) -> Result<(File, Metadata)> {
    let file = File::open(path).map_err(|e| io(path, &e))?;
    let metadata = file.metadata().map_err(|e| io(path, &e))?;
    check_unwritable(path, &metadata)?;
    Ok((file, metadata))
}

/// `Option`: others may write the file or folder. Whoever can write a list of authorities, of revoked certificates or of options
/// decides who is a member, without ever having read a secret. A pipe or a terminal is whoever opened it.
pub(super) fn check_unwritable(path: &Path, metadata: &Metadata) -> Result<()> {
    let mode = metadata.mode() & 0o7777;
    let what = if metadata.is_dir() { "folder" } else { "file" };
    if !(metadata.is_file() || metadata.is_dir()) || mode & 0o022 == 0 {
        return Ok(());
    }
    let shown = path.display();
    let text =
        format!("{shown}: others than its owner may write this {what} (mode {mode:04o}); chmod go-w {shown}");
    Err(Error::new(Status::Option, text))
}

/// What is read may be a secret: it is erased when it is dropped.
pub(super) fn read(path: &Path, file: File) -> Result<Zeroizing<String>> {
    read_up_to(path, file, MAX_FILE)
}

fn read_up_to(path: &Path, file: File, most: u64) -> Result<Zeroizing<String>> {
    // Room for all of what may be a secret from the start, so that no copies stay behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    file.take(most + 1).read_to_string(&mut text).map_err(|e| io(path, &e))?;
    if text.len() as u64 > most {
        return Err(Error::new(Status::Io, format!("{}: longer than {most} bytes", path.display())));
    }
    Ok(text)
}

/// `Option`: somebody else than the user of this process, and the system, may read or write the file.
pub(super) fn check_private(path: &Path, metadata: &Metadata) -> Result<()> {
    let shown = path.display();
    let refused = |text: String| Err(Error::new(Status::Option, text));
    let (owner, user, mode) = (metadata.uid(), effective_user(), metadata.mode() & 0o7777);
    if mode & 0o077 != 0 {
        return refused(format!(
            "{shown}: others may read or write this file of secrets (mode {mode:04o}); chmod 600 {shown}, and if somebody \
             may have read it make a new secret"
        ));
    }
    if owner != user && owner != 0 {
        return refused(format!(
            "{shown}: this file of secrets belongs to user {owner}, not to user {user} or to root; chown it"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    const ONE: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddeef1";
    const TWO: &str = "9d1e2d3c4b5a69788796a5b4c3d2e1f000112233445566778899aabbccddee72";

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, text: &str, mode: u32) -> Self {
            let path = std::env::temp_dir().join(format!("convoke-{name}-{}", std::process::id()));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn options(set: &[(&str, &str)]) -> Options {
        let mut options = Options::without_secret();
        set.iter().for_each(|(key, value)| options.set(key, value).unwrap());
        options
    }

    fn mode(set: &[(&str, &str)]) -> String {
        match protection(&options(set), "n") {
            Ok(protection) => format!("{protection:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn secrets_make_a_keyring() {
        assert_eq!(mode(&[]), "Plain");
        assert_eq!(mode(&[("secret", ONE)]), "Secret(Keyring of 1)");
        assert_eq!(mode(&[("secret", ONE), ("secret.previous", TWO)]), "Secret(Keyring of 2)");
        let three = format!("{ONE}, {TWO},{ONE}");
        assert_eq!(mode(&[("secret", TWO), ("secret.previous", &three)]), "Secret(Keyring of 4)");
        assert!(mode(&[("secret.previous", ONE)]).contains("only together with secret"));
        let many = [ONE; 8].join(",");
        assert!(mode(&[("secret", ONE), ("secret.previous", &many)]).contains("at most 8"));
    }

    #[test]
    fn a_file_holds_the_present_secret_and_those_before_it() {
        let file = Scratch::new("ring", &format!("# cluster one\n\n {ONE} \n{TWO}\n"), 0o600);
        let path = file.0.to_str().unwrap();
        assert_eq!(mode(&[("secret.file", path)]), "Secret(Keyring of 2)");
        assert_eq!(mode(&[("secret.file", path), ("secret.previous", TWO)]), "Secret(Keyring of 3)");
        assert!(mode(&[("secret.file", path), ("secret", TWO)]).contains("not together"));
        let link = Scratch(file.0.with_extension("link"));
        std::os::unix::fs::symlink(&file.0, &link.0).unwrap();
        assert_eq!(mode(&[("secret.file", link.0.to_str().unwrap())]), "Secret(Keyring of 2)");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        for mode in [0o604, 0o640, 0o620, 0o602, 0o666, 0o601] {
            let file = Scratch::new("open", ONE, mode);
            let error = protection(&options(&[("secret.file", file.0.to_str().unwrap())]), "n").unwrap_err();
            assert_eq!(error.status, Status::Option);
            assert!(error.detail.contains("chmod"), "{error}");
        }
        let file = Scratch::new("shut", ONE, 0o400);
        assert_eq!(mode(&[("secret.file", file.0.to_str().unwrap())]), "Secret(Keyring of 1)");
    }

    #[test]
    fn what_is_no_file_of_secrets_is_refused() {
        for (text, word) in [
            ("", "there is no secret"),
            ("# nothing\n", "there is no secret"),
            ("hunter2\n", ":1: a secret as text"),
            (&format!("{ONE}\n{}\n", "0".repeat(64)), ":2: these bytes are not random"),
            (&"#\n".repeat(40_000), "longer than"),
            (&format!("{ONE}\n").repeat(9), ":9: there may be 8 secrets at most"),
        ] {
            let file = Scratch::new("none", text, 0o600);
            let error = protection(&options(&[("secret.file", file.0.to_str().unwrap())]), "n").unwrap_err();
            assert!(error.detail.contains(word), "{error}");
            assert!(!error.detail.contains("hunter2"), "what was in it is not repeated");
        }
        for path in ["/nonexistent/secret", "/dev/null", "/tmp"] {
            assert_eq!(protection(&options(&[("secret.file", path)]), "n").unwrap_err().status, Status::Io);
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn without_tls_its_options_say_how_to_get_it() {
        let error = protection(&options(&[("tls.cert", "/nonexistent")]), "n").unwrap_err();
        assert_eq!(error.status, Status::Unsupported);
        assert!(error.detail.contains("--features tls"), "{error}");
    }

    #[test]
    fn tls_and_a_secret_do_not_go_together() {
        assert!(mode(&[("tls.ca", "/nonexistent"), ("secret", ONE)]).contains("not together with a secret"));
    }
}
