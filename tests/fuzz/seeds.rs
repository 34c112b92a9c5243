//! Inputs to begin with: what honest nodes send, from the golden bytes of the protocol, and what was found before.

use std::path::{Path, PathBuf};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The inputs that are kept in the repository, in the order of their names.
pub(crate) fn kept(target: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.sort();
    let read = |path: &PathBuf| std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    paths.iter().map(read).collect()
}

/// The frames of a golden file: a line is the bytes in hexadecimal and what they are.
fn golden(text: &str) -> Vec<Vec<u8>> {
    let hex = |line: &str| {
        let digits = line.split_whitespace().next()?;
        let pairs = (0..digits.len()).step_by(2);
        pairs.map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect::<Option<Vec<u8>>>()
    };
    text.lines().filter_map(hex).collect()
}

/// Honest traffic as inputs of a target.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    let handshake = golden(include_str!("../../src/wire/golden_handshake.txt"));
    let control = golden(include_str!("../../src/wire/golden_control.txt"));
    let data = golden(include_str!("../../src/wire/golden_data.txt"));
    assert!(!handshake.is_empty() && !control.is_empty() && !data.is_empty());
    let with = |head: &[u8], rest: &[u8]| [head, rest].concat();
    match target {
        "frames" => {
            let pieces = [1, 0, 7, 100, 1, 2, 3, 255, 9];
            let mut inputs: Vec<Vec<u8>> =
                control.iter().chain(&data).map(|frame| with(&pieces, frame)).collect();
            inputs.push(with(&pieces, &control.concat()));
            // A connection from its first byte on: who the peer is, Go, and a link.
            let stream = [&handshake[0][..], &handshake[1], &control.concat(), &data.concat()].concat();
            inputs.push(with(&[0; 9], &stream));
            inputs
        }
        // A header goes before the body.
        "messages" => {
            let bodies = control.iter().map(|frame| with(&[0], &frame[convoke::wire::HEADER..]));
            bodies.chain(data.iter().map(|frame| with(&[1], &frame[convoke::wire::HEADER..]))).collect()
        }
        // A preamble that accepts, or dials, on a plain connection of this cluster, and frames behind it; and what the
        // dialler with a secret says.
        "handshake" => {
            let mut inputs = Vec::new();
            for (choice, words) in crate::targets::first_words() {
                inputs.push(with(&[choice], &words));
                for frame in &handshake {
                    inputs.push(with(&[choice], &with(&words, frame)));
                }
                inputs.push(with(&[choice], &with(&words, &handshake.concat())));
            }
            inputs
        }
        "options" => {
            let all = convoke::node::OPTIONS;
            let lines =
                all.iter().map(|info| format!("{} = {}\n", info.key, info.default)).collect::<String>();
            let mut inputs =
                vec![with(&[0, 0, 0], b"# a file\n\nname = n1\n"), with(&[0, 0, 0], lines.as_bytes())];
            for (index, info) in all.iter().enumerate() {
                let value = info.default.as_bytes();
                inputs.push(with(&[2, index as u8, value.len() as u8], value));
            }
            inputs
        }
        _ => Vec::new(),
    }
}
