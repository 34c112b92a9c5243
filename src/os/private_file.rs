//! Files that are for one user alone.

use std::collections::hash_map::RandomState;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a folder that nobody else gets into, unless there is one of this name already. Not those above it.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes a file that nobody else may read or write. It appears under its name with all of its content or not at all, and is never
/// replaced: of several who make it at once one does, and the others get `AlreadyExists`.
pub fn make_private_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(ErrorKind::InvalidInput)?;
    // Not by the number of the process: two containers may share the folder.
    let draft = folder.join(format!(".draft-{:016x}", RandomState::new().build_hasher().finish()));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    // A link, not a renaming: that would replace the file of whoever was first.
    let made = write(file, content).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    made.and(removed)
}

fn write(mut file: File, content: &[u8]) -> io::Result<()> {
    // Whatever the umask has taken away.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    // After a crash of the machine there is either all of it or nothing.
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::sync::Barrier;

    #[test]
    fn of_many_who_make_it_at_once_one_does() {
        let folder = std::env::temp_dir().join(format!("convoke-private-{}", std::process::id()));
        make_private_folder(&folder).unwrap();
        make_private_folder(&folder).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o7777, 0o700);
        let path = folder.join("file");
        let start = Barrier::new(16);
        let made = std::thread::scope(|scope| {
            let (path, start) = (&path, &start);
            let makers = (0..16u8).map(|maker| {
                scope.spawn(move || {
                    start.wait();
                    let made = make_private_file(path, &[maker; 1000]);
                    // Whoever did: all of it is there.
                    (maker, made, fs::read(path).unwrap())
                })
            });
            makers.collect::<Vec<_>>().into_iter().map(|maker| maker.join().unwrap()).collect::<Vec<_>>()
        });
        let winners: Vec<u8> =
            made.iter().filter(|(_, made, _)| made.is_ok()).map(|(maker, ..)| *maker).collect();
        let &[winner] = &winners[..] else { panic!("{winners:?} made it") };
        for (_, made, content) in made {
            assert!(made.is_ok() || made.is_err_and(|e| e.kind() == ErrorKind::AlreadyExists));
            assert_eq!(content, [winner; 1000]);
        }
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no drafts are left");
        fs::remove_dir_all(&folder).unwrap();
    }
}
