//! The same things done by Erlang/OTP, when it is installed: runs the scripts of `benches/erlang` on the suites that the
//! chosen rows have a counterpart in. OTP brings its own three nodes; nothing of Convoke runs meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Metrics by name, in the units of the scripts.
pub type Metrics = BTreeMap<String, f64>;

pub fn installed() -> bool {
    let found =
        |tool| Command::new(tool).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found("erl").is_ok() && found("erlc").is_ok()
}

/// One run of each suite. It is as noisy as the machine: the scripts by themselves do better.
pub fn measure(suites: &[&str]) -> Result<Metrics, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/erlang/run.sh");
    let work = std::env::temp_dir().join(format!("convoke-otp-{}", std::process::id()));
    let output = Command::new("timeout")
        // No wait of this bench is without a bound.
        .args(["900", "bash"])
        .arg(script)
        .env("SUITES", suites.join(" "))
        .env("OUT", &work)
        .envs([("RUNS", "1"), ("TRIES", "1"), ("QUIET_WAIT", "2"), ("BENCH_SECS", "1"), ("NODES", "3")])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| e.to_string())?;
    // What the scripts leave there is the compiled code and the same lines again.
    let _ = std::fs::remove_dir_all(&work);
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect())
}
