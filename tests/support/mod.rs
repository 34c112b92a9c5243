//! What the tests that build C programs share.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with the libconvoke.so that cargo built for this very test run.
pub(crate) fn library_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("the path of the test program");
    let deps = exe.parent().expect("a folder").to_path_buf();
    let beside = deps.parent().expect("a folder").to_path_buf();
    // Both may exist; cargo writes into `deps` first and links the other to it, not for every command.
    let newest = [deps, beside].into_iter().filter_map(|dir| {
        let modified = dir.join("libconvoke.so").metadata().and_then(|m| m.modified()).ok()?;
        Some((modified, dir))
    });
    newest.max().expect("libconvoke.so beside the test program").1
}

/// A folder of this test run for what it builds.
pub(crate) fn scratch_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a scratch folder");
    dir
}

/// Compiles one C program against the header and the library of this tree.
pub(crate) fn compile_c(source: &Path, program: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lib = library_dir();
    let out = Command::new("cc")
        .args(["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"])
        .arg("-I")
        .arg(root.join("include"))
        .arg(source)
        .arg("-o")
        .arg(program)
        .arg("-L")
        .arg(&lib)
        .arg(format!("-Wl,-rpath,{}", lib.display()))
        .arg("-lconvoke")
        .output()
        .expect("cc runs");
    assert!(out.status.success(), "{}: {}", source.display(), String::from_utf8_lossy(&out.stderr));
    // The library is looked up by its soname.
    let soname = lib.join("libconvoke.so.0");
    if !soname.exists() {
        // Several test programs may do this at once; whoever is first wins.
        let _ = std::os::unix::fs::symlink("libconvoke.so", soname);
    }
}
