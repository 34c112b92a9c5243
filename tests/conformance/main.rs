//! The scenarios that Erlang's own suites run against `global`, `pg2` and `pg`, and some that they lack, in the form that they
//! have here: through the C interface, with real nodes, links and threads in this OS process, and with links that the test
//! cuts and heals ([`convoke::testing`]). Where Convoke differs from Erlang on purpose its own behaviour is asserted.
//!
//! `scenarios.txt` lists every scenario with its tests, which carry its number. Numbers that it leaves out (8, 17, 26, 37, 42,
//! 43, 55) were never given. Without a form of ours, and so without a test, are
//!
//! - 21 (connect_all_false): every node is a full member of its cluster; none stays out of the exchange of names;
//! - 61 (errors, protocol_upgrade): hostile input is the subject of `tests/engine/hostile.rs`, `src/wire/hostile.rs` and
//!   `src/mesh/tests/hostile.rs`; there is one version of the protocol so far;
//! - global_groups_change (Erlang's configuration files of global groups), compat (a node of R13) and dyn_distribution (to turn
//!   distribution on at run time): there is nothing like it here.
//!
//! Of 19, 22, 23 and 27 the parts on links between processes are left out: Convoke has monitors only. A hung OS process
//! (SIGSTOP) and its death by SIGKILL are `tests/cluster`; here nodes hang and crash by what is done to their links.

mod faults;
mod functions;
mod groups;
mod harness;
mod locks;
mod names;
mod partitions;
mod regroup;
mod resolvers;
mod scale;
mod splits;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Numbers that no scenario has.
const NEVER_GIVEN: [u32; 7] = [8, 17, 26, 37, 42, 43, 55];

/// Every scenario has a test or a reason, every test a scenario, and the list names what is there.
#[test]
fn the_list_of_scenarios_is_complete() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut listed: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let list = fs::read_to_string(folder.join("scenarios.txt")).unwrap();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [number, _scenario, tests] = cells[..] else { panic!("not three cells: {line}") };
        let tests = match tests.strip_prefix("none: ") {
            Some(why) => {
                assert!(why.len() > 20, "{line}");
                Vec::new()
            }
            None => tests.split(',').map(|test| test.trim().to_owned()).collect(),
        };
        assert!(listed.insert(number.parse().unwrap(), tests).is_none(), "twice: {line}");
    }
    let numbers: BTreeSet<u32> = listed.keys().copied().chain(NEVER_GIVEN).collect();
    assert_eq!(numbers, (1..=71).collect());

    let mut there = BTreeSet::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let (file, text) = (path.file_name().unwrap().to_string_lossy(), fs::read_to_string(&path).unwrap());
        let tests = text.split("#[test]\nfn ").skip(1).filter_map(|rest| rest.split_once('('));
        there.extend(
            tests.filter(|(test, _)| test.starts_with('s')).map(|(test, _)| format!("{file}::{test}")),
        );
    }
    let named: BTreeSet<String> = listed.values().flatten().cloned().collect();
    assert_eq!(named, there);
    for test in &there {
        let number: u32 = test.split("::s").nth(1).and_then(|name| name[..2].parse().ok()).expect("a number");
        assert!(
            listed.get(&number).is_some_and(|tests| tests.contains(test)),
            "{test} is not listed under {number}"
        );
    }
}
