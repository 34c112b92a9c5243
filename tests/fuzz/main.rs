//! The targets of the fuzzers, on every toolchain: the inputs that are kept in `fuzz/corpus`, honest traffic, and
//! mutations of both, with every allocation counted.
//!
//!   CONVOKE_FUZZ_SECONDS   for how long each target gets mutated inputs, in processor time (default 3)
//!   CONVOKE_FUZZ_SEED      which mutations (default 1)

// The targets of `engine` need part of what the tests of the engine are made of.
#[path = "../engine/asks.rs"]
#[allow(dead_code)]
mod asks;
mod cost;
#[path = "../engine/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../support/memory.rs"]
mod memory;
mod mutate;
#[path = "../engine/outputs.rs"]
mod outputs;
#[path = "../engine/passage.rs"]
#[allow(dead_code)]
mod passage;
mod seeds;
mod targets;

use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use targets::{MAX_INPUT, TARGETS, Target};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// No input takes longer, on a machine that is ten times too slow.
const PATIENCE: Duration = Duration::from_secs(60);

type Running = (Instant, Vec<u8>);

/// Runs inputs one after the other; what fails is kept in a file, so that it can go into the corpus.
struct Trial {
    target: &'static Target,
    /// The input that runs, and since when.
    running: Arc<Mutex<Option<Running>>>,
}

impl Trial {
    fn of(target: &'static Target) -> Self {
        let running = Arc::new(Mutex::new(None::<Running>));
        let watched = Arc::downgrade(&running);
        std::thread::spawn(move || {
            while let Some(running) = watched.upgrade() {
                if let Some((_, input)) =
                    running.lock().unwrap().as_ref().filter(|(since, _)| since.elapsed() > PATIENCE)
                {
                    eprintln!("it hangs: {}", kept(target, input));
                    std::process::abort();
                }
                drop(running);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Self { target, running }
    }

    /// Within the memory that the target may need.
    fn run(&self, input: &[u8]) {
        *self.running.lock().unwrap() = Some((Instant::now(), input.to_vec()));
        let peak = catch_unwind(|| memory::peak_of(|| (self.target.run)(input)));
        *self.running.lock().unwrap() = None;
        match peak {
            Ok(peak) if peak <= self.target.memory => {}
            Ok(peak) => panic!("{peak} bytes of memory: {}", kept(self.target, input)),
            Err(_) => panic!("{}", kept(self.target, input)),
        }
    }
}

fn kept(target: &Target, input: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("convoke-fuzz-{}-{}", target.name, std::process::id()));
    std::fs::write(&path, input).expect("the input is kept");
    format!("{} with the input in {}", target.name, path.display())
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = seeds::of(target.name);
    inputs.extend(seeds::kept(target.name));
    inputs
}

/// Of this thread: what runs beside it takes away no inputs.
fn processor_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the times of this thread");
    Duration::from_nanos(times.split(' ').next().and_then(|time| time.parse().ok()).expect("a number"))
}

/// Every input of the corpus, then mutations of them until the time is over.
fn fuzz(name: &str) {
    let target = targets::target(name);
    let corpus = corpus(target);
    let trial = Trial::of(target);
    for input in &corpus {
        trial.run(input);
    }
    let end = processor_time() + Duration::from_secs(setting("CONVOKE_FUZZ_SECONDS", 3));
    let mut rng = StdRng::seed_from_u64(setting("CONVOKE_FUZZ_SEED", 1));
    let mut count = 0;
    // To ask for the time takes as long as some of the inputs.
    while count % 16 != 0 || processor_time() < end {
        trial.run(&mutate::input(&mut rng, &corpus));
        count += 1;
    }
    println!("{name}: {} inputs of the corpus, {count} mutated ones", corpus.len());
}

#[test]
fn frames() {
    fuzz("frames");
}

#[test]
fn messages() {
    fuzz("messages");
}

#[test]
fn handshake() {
    fuzz("handshake");
}

#[test]
fn options() {
    fuzz("options");
}

#[test]
fn engine() {
    fuzz("engine");
}

/// The file named by `CONVOKE_FUZZ_FILE` for the target named by `CONVOKE_FUZZ_TARGET`: to look at one failure.
#[test]
fn one_input() {
    let (Ok(file), Ok(name)) = (std::env::var("CONVOKE_FUZZ_FILE"), std::env::var("CONVOKE_FUZZ_TARGET"))
    else {
        return;
    };
    let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let target = targets::target(&name);
    println!("{} bytes of memory", memory::peak_of(|| (target.run)(&input)));
}

/// What is listed here, has a fuzzer and has a corpus is the same.
#[test]
fn every_target_has_a_fuzzer_and_a_corpus() {
    let names: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let in_folder = |folder: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(seeds::root().join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let stem = |file: std::io::Result<std::fs::DirEntry>| {
            file.ok()?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned())
        };
        files.filter_map(stem).collect()
    };
    assert_eq!(in_folder("fuzz/fuzz_targets"), names);
    assert_eq!(in_folder("fuzz/corpus"), names);
    for target in TARGETS {
        let kept = seeds::kept(target.name);
        assert!(!kept.is_empty(), "{} has no corpus", target.name);
        assert!(kept.iter().all(|input| input.len() <= MAX_INPUT), "{}", target.name);
    }
}

/// The choices of `words` reach every message of the protocol, as the golden bytes list them.
#[test]
fn every_message_is_said() {
    let golden = include_str!("../../src/wire/golden_control.txt");
    let all: BTreeSet<&str> = golden.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let mut said = BTreeSet::new();
    for byte in 0..=u8::MAX {
        let choice = [byte];
        let mut source = targets::source_of(&choice);
        let message = format!("{:?}", targets::words::Words::default().message(&mut source));
        said.insert(message.split([' ', '(']).next().unwrap_or_default().to_owned());
    }
    assert_eq!(said.iter().map(String::as_str).collect::<BTreeSet<_>>(), all);
}
