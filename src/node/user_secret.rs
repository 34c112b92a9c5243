//! The secret of the user: what keeps the programs of other users of this machine out when nobody has set anything.
//!
//! It lies in a file of the user's, and is made by whichever node needs it first. What somebody has made unsafe is refused; where there
//! is no place for such a file the node does without, as in a container without a home.

use super::security::{check_unwritable, secrets_of_file};
use super::{Error, Result};
use crate::model::Status;
use crate::os::{effective_user, make_private_file, make_private_folder};
use crate::wire::{SECRET, Secret};
use rand::TryRng;
use rand::rngs::SysRng;
use std::ffi::OsString;
use std::fmt::Write;
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const ABOUT: &str = "# The secret of this user's Convoke nodes, for those that are given no other: see the option secret.user.\n\
                     # Whoever can read it can join them. Without it new nodes make another, and do not find the running ones.\n";

/// What there is for the user of this process.
#[derive(Debug)]
pub(super) enum Found {
    Secrets {
        secrets: Vec<Secret>,
        path: PathBuf,
        /// Just now.
        made: bool,
    },
    /// There is no place for a file, for this reason.
    Nowhere(String),
}

/// Reads the secret of the user, or makes it. `given`: the option `secret.user`. `Option`: others may read or write the file or its
/// folder, or they belong to another user. `Io`: it is there and cannot be read.
pub(super) fn find(given: &str) -> Result<Found> {
    find_with(given, |name| std::env::var_os(name))
}

fn find_with(given: &str, environment: impl Fn(&str) -> Option<OsString>) -> Result<Found> {
    let Some(place) = Place::of(given, environment) else {
        return Ok(Found::Nowhere("neither XDG_CONFIG_HOME nor HOME names a folder".to_owned()));
    };
    let nowhere = |path: &Path, error: &io::Error| Ok(Found::Nowhere(format!("{}: {error}", path.display())));
    let mut made = false;
    match place.file.symlink_metadata() {
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => match place.make() {
            Ok(is_new) => made = is_new,
            Err(e) => return nowhere(&place.file, &e),
        },
        Err(e) => return nowhere(&place.file, &e),
    }
    place.check_folder()?;
    let secrets = secrets_of_file(&place.file)?;
    Ok(Found::Secrets { secrets, path: place.file, made })
}

struct Place {
    file: PathBuf,
    /// The folders that are made if they are not there, the upper one first.
    folders: Vec<PathBuf>,
}

impl Place {
    /// `None`: nobody says where.
    fn of(given: &str, environment: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        if !given.is_empty() {
            let file = PathBuf::from(given);
            let folders = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            return Some(Self { folders: folders.map(Path::to_owned).into_iter().collect(), file });
        }
        // As the specification of base directories has it, what is not absolute counts as not set.
        let absolute = |name| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        let folder = config.join("convoke");
        Some(Self { file: folder.join("secret"), folders: vec![config, folder] })
    }

    /// Whoever may write the folder may put another file in the place of this one.
    fn check_folder(&self) -> Result<()> {
        let Some(folder) = self.folders.last() else { return Ok(()) };
        let metadata =
            folder.metadata().map_err(|e| Error::new(Status::Io, format!("{}: {e}", folder.display())))?;
        check_unwritable(folder, &metadata)?;
        if !is_ours(&metadata) && metadata.uid() != 0 {
            let (shown, owner) = (folder.display(), metadata.uid());
            let text = format!(
                "{shown}: this folder of the user's secret belongs to user {owner}, not to user {} or to root; chown it, or set \
                 another file (option secret.user)",
                effective_user()
            );
            return Err(Error::new(Status::Option, text));
        }
        Ok(())
    }

    /// Says whether it was made by this call; another program may have done it at the same moment.
    fn make(&self) -> io::Result<bool> {
        for folder in &self.folders {
            make_private_folder(folder)?;
            // Else somebody who acts as another user for a moment (sudo) would leave a file there that its owner cannot use.
            if !is_ours(&folder.metadata()?) {
                let text = format!("{} belongs to another user", folder.display());
                return Err(io::Error::new(ErrorKind::PermissionDenied, text));
            }
        }
        match make_private_file(&self.file, content()?.as_bytes()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn is_ours(metadata: &Metadata) -> bool {
    metadata.uid() == effective_user()
}

fn content() -> io::Result<Zeroizing<String>> {
    let mut secret = Zeroizing::new([0; SECRET]);
    SysRng.try_fill_bytes(&mut *secret).map_err(io::Error::other)?;
    // Room for all of it from the start, so that no copies stay behind.
    let mut text = Zeroizing::new(String::with_capacity(ABOUT.len() + 2 * SECRET + 1));
    text.push_str(ABOUT);
    for byte in *secret {
        // Nothing is written to a string in vain.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::sync::Barrier;

    /// A home of its own for each test, gone with it.
    struct Home(PathBuf);

    impl Home {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("convoke-home-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn find(&self) -> Result<Found> {
            find_with("", |name| (name == "HOME").then(|| self.0.clone().into()))
        }

        fn file(&self) -> PathBuf {
            self.0.join(".config/convoke/secret")
        }
    }

    impl Drop for Home {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn secret(found: Result<Found>) -> (Secret, bool) {
        match found.unwrap() {
            Found::Secrets { secrets, made, .. } => (secrets[0].clone(), made),
            Found::Nowhere(why) => panic!("{why}"),
        }
    }

    fn nowhere(found: Result<Found>) -> String {
        match found.unwrap() {
            Found::Nowhere(why) => why,
            found => panic!("{found:?}"),
        }
    }

    fn refused(found: Result<Found>) -> String {
        let error = found.map(|_| ()).unwrap_err();
        assert_eq!(error.status, Status::Option, "{error}");
        error.detail
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn it_is_made_on_first_use_and_found_from_then_on() {
        let home = Home::new("first");
        let (first, made) = secret(home.find());
        assert!(made);
        assert_eq!((mode(&home.file()), mode(home.file().parent().unwrap())), (0o600, 0o700));
        assert_eq!(mode(&home.0.join(".config")), 0o700);
        assert!(secret(home.find()) == (first.clone(), false));
        // Where the environment says, or the option, and not in a home.
        let config = home.0.join("elsewhere");
        let by_environment = || {
            find_with("", |name| match name {
                "XDG_CONFIG_HOME" => Some(config.clone().into()),
                _ => Some(home.0.clone().into()),
            })
        };
        let (other, made) = secret(by_environment());
        assert!(made && other != first && config.join("convoke/secret").exists());
        let given = config.join("convoke/secret");
        assert!(secret(find_with(given.to_str().unwrap(), |_| None)) == (other, false));
    }

    #[test]
    fn programs_that_start_at_once_agree_on_one() {
        let home = Home::new("race");
        let start = Barrier::new(16);
        let found = std::thread::scope(|scope| {
            let seek = || {
                scope.spawn(|| {
                    start.wait();
                    secret(home.find())
                })
            };
            let seekers: Vec<_> = (0..16).map(|_| seek()).collect();
            seekers.into_iter().map(|seeker| seeker.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(found.iter().all(|(secret, _)| *secret == found[0].0), "not all have the same");
        assert_eq!(found.iter().filter(|(_, made)| *made).count(), 1);
    }

    #[test]
    fn what_others_can_get_at_is_refused() {
        let home = Home::new("open");
        secret(home.find());
        let (file, folder) = (home.file(), home.file().parent().unwrap().to_owned());
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for open in [0o604, 0o640, 0o620, 0o602] {
            set(&file, open);
            assert!(refused(home.find()).contains("chmod "), "{open:o}");
        }
        set(&file, 0o400);
        secret(home.find());
        for open in [0o770, 0o702] {
            set(&folder, open);
            assert!(refused(home.find()).contains("chmod go-w"), "{open:o}");
        }
        set(&folder, 0o755);
        secret(home.find());
        fs::write(&file, "hunter2\n").unwrap();
        assert!(refused(home.find()).contains("hexadecimal digits"));
        if effective_user() == 0 {
            chown(&file, Some(4711), None).unwrap();
            assert!(refused(home.find()).contains("belongs to user 4711"));
            chown(&folder, Some(4711), None).unwrap();
            assert!(refused(home.find()).contains("this folder"));
        }
    }

    #[test]
    fn where_there_is_no_place_for_it_there_is_none() {
        assert!(nowhere(find_with("", |_| None)).contains("XDG_CONFIG_HOME"));
        assert!(nowhere(find_with("", |_| Some("relative".into()))).contains("XDG_CONFIG_HOME"));
        // Nobody makes a home.
        let home = Home::new("none");
        let missing = home.0.join("missing");
        nowhere(find_with("", |name| (name == "HOME").then(|| missing.clone().into())));
        assert!(!missing.exists());
        // A file where the folder should be.
        fs::write(home.0.join(".config"), "").unwrap();
        nowhere(home.find());
        if effective_user() == 0 {
            let theirs = Home::new("theirs");
            fs::create_dir(theirs.0.join(".config")).unwrap();
            chown(theirs.0.join(".config"), Some(4711), None).unwrap();
            assert!(nowhere(theirs.find()).contains("another user"));
            assert!(!theirs.file().exists());
        }
    }
}
