//! What the README's table says is there: each function of Erlang's manual in its C form, through the C interface.

#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = support::scratch_dir("manual").join("manual");
        support::compile_c(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manual/manual.c"), &program);
        program
    })
}

fn row(name: &str) {
    let out = Command::new(program()).arg(name).output().expect("it runs");
    assert!(out.status.success(), "{name}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
}

#[test]
fn register_name() {
    row("register_name");
}

#[test]
fn re_register_name() {
    row("re_register_name");
}

#[test]
fn unregister_name() {
    row("unregister_name");
}

#[test]
fn whereis_name() {
    row("whereis_name");
}

#[test]
fn registered_names() {
    row("registered_names");
}

#[test]
fn send() {
    row("send");
}

#[test]
fn random_exit_name() {
    row("random_exit_name");
}

#[test]
fn random_notify_name() {
    row("random_notify_name");
}

#[test]
fn notify_all_name() {
    row("notify_all_name");
}

#[test]
fn own_resolver() {
    row("own_resolver");
}
