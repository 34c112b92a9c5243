//! What the README's table says is there: each function of Erlang's manual pages in its C form, through the C interface.

#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Each is one C program with several rows.
const SUBJECTS: [&str; 4] = ["names", "resolvers", "locks", "groups"];

/// Where the programs are.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manual");
        let programs = support::scratch_dir("manual");
        for subject in SUBJECTS {
            support::compile_c(&sources.join(format!("{subject}.c")), &programs.join(subject));
        }
        programs
    })
}

fn row(subject: &str, name: &str) {
    let out = Command::new(programs().join(subject)).arg(name).output().expect("it runs");
    assert!(out.status.success(), "{name}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
}

#[test]
fn no_row_is_forgotten() {
    for subject in SUBJECTS {
        let out = Command::new(programs().join(subject)).output().expect("it runs");
        let names = String::from_utf8(out.stdout).expect("names");
        assert!(out.status.success() && names.lines().count() > 0, "{subject} tells no rows");
        for name in names.lines() {
            let test = format!("#[test]\nfn {name}() {{\n    row(\"{subject}\", \"{name}\");");
            assert!(include_str!("main.rs").contains(&test), "no test runs the row {name} of {subject}");
        }
    }
}

#[test]
fn register_name() {
    row("names", "register_name");
}

#[test]
fn re_register_name() {
    row("names", "re_register_name");
}

#[test]
fn unregister_name() {
    row("names", "unregister_name");
}

#[test]
fn whereis_name() {
    row("names", "whereis_name");
}

#[test]
fn registered_names() {
    row("names", "registered_names");
}

#[test]
fn send() {
    row("names", "send");
}

#[test]
fn atomic() {
    row("names", "atomic");
}

#[test]
fn sync() {
    row("names", "sync");
}

#[test]
fn random_exit_name() {
    row("resolvers", "random_exit_name");
}

#[test]
fn random_notify_name() {
    row("resolvers", "random_notify_name");
}

#[test]
fn notify_all_name() {
    row("resolvers", "notify_all_name");
}

#[test]
fn own_resolver() {
    row("resolvers", "own_resolver");
}

#[test]
fn blocking_resolver() {
    row("resolvers", "blocking_resolver");
}

#[test]
fn stuck_resolver() {
    row("resolvers", "stuck_resolver");
}

#[test]
fn set_lock() {
    row("locks", "set_lock");
}

#[test]
fn set_lock_nodes() {
    row("locks", "set_lock_nodes");
}

#[test]
fn set_lock_shared() {
    row("locks", "set_lock_shared");
}

#[test]
fn set_lock_death() {
    row("locks", "set_lock_death");
}

#[test]
fn set_lock_deadlock() {
    row("locks", "set_lock_deadlock");
}

#[test]
fn del_lock() {
    row("locks", "del_lock");
}

#[test]
fn trans() {
    row("locks", "trans");
}

#[test]
fn start() {
    row("groups", "start");
}

#[test]
fn create() {
    row("groups", "create");
}

#[test]
fn delete() {
    row("groups", "delete");
}

#[test]
fn join() {
    row("groups", "join");
}

#[test]
fn leave() {
    row("groups", "leave");
}

#[test]
fn get_members() {
    row("groups", "get_members");
}

#[test]
fn get_local_members() {
    row("groups", "get_local_members");
}

#[test]
fn get_closest_pid() {
    row("groups", "get_closest_pid");
}

#[test]
fn which_groups() {
    row("groups", "which_groups");
}
