//! How a node protects its links: from options and files of secrets to what the mesh is told.

use super::{Error, Options, Result};
use crate::engine::Status;
use crate::mesh::RefusalCounts;
use crate::os::effective_user;
use crate::wire::{Keyring, MAX_SECRETS, Protection, Secret};
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// Much more than [`MAX_SECRETS`] and what is to be said about them take.
const MAX_FILE: u64 = 64 << 10;

/// What protects the links of a node that runs. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// For connections that begin.
    pub protection: Arc<RwLock<Protection>>,
    /// Option `insecure.plaintext`.
    pub plaintext_may_leave: bool,
    pub refusals: Arc<RefusalCounts>,
}

impl Security {
    /// `Option`, `Io`: as [`protection`].
    pub(super) fn new(options: &Options) -> Result<Security> {
        Ok(Security {
            protection: Arc::new(RwLock::new(protection(options)?)),
            plaintext_may_leave: options.plaintext_may_leave(),
            refusals: Arc::default(),
        })
    }

    pub(super) fn present(&self) -> Protection {
        self.protection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that begin from now on are protected so. Links keep the keys of their sessions.
    pub(super) fn replace(&self, protection: Protection) {
        *self.protection.write().unwrap_or_else(PoisonError::into_inner) = protection;
    }
}

/// What the options ask for. `Option`: they do not fit together, a secret is none, or others may read or write its file.
/// `Io`: the file cannot be read.
pub(super) fn protection(options: &Options) -> Result<Protection> {
    let refused = |text: &str| Err(Error::new(Status::Option, text));
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

/// The secrets of a file that is for nobody else: one a line, the present one first. Empty lines, and those that begin
/// with `#`, are passed over.
fn secrets_of_file(path: &Path) -> Result<Vec<Secret>> {
    let shown = path.display();
    // Without waiting for whoever is at the other end of a pipe.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(|e| io(path, &e))?;
    let metadata = file.metadata().map_err(|e| io(path, &e))?;
    if !metadata.is_file() {
        return Err(Error::new(Status::Io, format!("{shown}: it is not a regular file")));
    }
    check_private(path, &metadata)?;
    let text = read(path, file)?;
    let mut secrets = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
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

/// Opens a file of options.
pub(super) fn open_options(path: &Path) -> Result<(File, Metadata)> {
    let file = File::open(path).map_err(|e| io(path, &e))?;
    let metadata = file.metadata().map_err(|e| io(path, &e))?;
    Ok((file, metadata))
}

/// What is read may be a secret: it is erased when it is dropped.
pub(super) fn read(path: &Path, file: File) -> Result<Zeroizing<String>> {
    // Room for all of it from the start, so that no copies stay behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize + 1));
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|e| io(path, &e))?;
    if text.len() as u64 > MAX_FILE {
        return Err(Error::new(Status::Io, format!("{}: longer than {MAX_FILE} bytes", path.display())));
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
        fn new(name: &str, text: &str, mode: u32) -> Scratch {
            let path = std::env::temp_dir().join(format!("convoke-{name}-{}", std::process::id()));
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Scratch(path)
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
        match protection(&options(set)) {
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
            let error = protection(&options(&[("secret.file", file.0.to_str().unwrap())])).unwrap_err();
            assert_eq!(error.status, Status::Option);
            assert!(error.detail.contains("chmod 600"), "{error}");
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
        ] {
            let file = Scratch::new("none", text, 0o600);
            let error = protection(&options(&[("secret.file", file.0.to_str().unwrap())])).unwrap_err();
            assert!(error.detail.contains(word), "{error}");
            assert!(!error.detail.contains("hunter2"), "what was in it is not repeated");
        }
        for path in ["/nonexistent/secret", "/dev/null", "/tmp"] {
            assert_eq!(protection(&options(&[("secret.file", path)])).unwrap_err().status, Status::Io);
        }
    }
}
