//! Keys, values and files of options: taken or refused with a text; what is refused changes nothing.

use super::source::Source;
use convoke::model::Status;
use convoke::node::{OPTIONS, Options};
use std::path::PathBuf;

fn state(options: &Options) -> String {
    format!("{options:?}")
}

/// A file of this thread, which goes with it.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

thread_local! {
    static FILE: File = {
        let of = (std::process::id(), std::thread::current().id());
        File(std::env::temp_dir().join(format!("convoke-options-{of:?}")))
    };
}

fn load(options: &mut Options, content: &[u8]) -> convoke::node::Result<()> {
    FILE.with(|file| {
        std::fs::write(&file.0, content).expect("a file for options");
        options.load(&file.0)
    })
}

pub(super) fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut options = Options::new();
    while !source.is_over() {
        let before = state(&options);
        let kind = source.byte();
        let known = OPTIONS[source.below(OPTIONS.len())].key;
        let length = usize::from(source.byte());
        let result = match kind % 4 {
            0 => load(&mut options, source.rest()),
            1 => options.set_bytes(known, source.take(length)),
            2 => options.set(known, &String::from_utf8_lossy(source.take(length))),
            _ => {
                let key = String::from_utf8_lossy(source.take(length / 4)).into_owned();
                options.set(&key, &String::from_utf8_lossy(source.take(length)))
            }
        };
        if let Err(error) = result {
            assert!(matches!(error.status, Status::Option | Status::Io), "{error}");
            assert!(!error.detail.is_empty(), "a refusal says what would do");
            assert_eq!(state(&options), before, "what is refused changes nothing");
        }
    }
}
