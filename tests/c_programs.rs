//! The C interface as C and C++ programs see it: each program of `tests/c` is compiled as C11 and as C++17 with all
//! warnings as errors, and runs against the library that cargo built; what the library exports is what the header says.

#[path = "header/read.rs"]
#[allow(dead_code)] // the test of the header reads more of it
mod read;
#[path = "support/mod.rs"]
#[allow(dead_code)] // other tests use the rest
mod support;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No program waits for time to pass; this is for one that hangs.
const TIME_LIMIT: Duration = Duration::from_secs(180);

#[derive(Clone, Copy, PartialEq)]
enum Language {
    C11,
    Cpp17,
}
use Language::{C11, Cpp17};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> String {
    fs::read_to_string(root().join("include/convoke.h")).expect("include/convoke.h")
}

/// The compiler with what every program is compiled with.
fn compiler(language: Language) -> Command {
    let (name, standard) = match language {
        C11 => ("cc", ["-x", "c", "-std=c11"]),
        Cpp17 => ("c++", ["-x", "c++", "-std=c++17"]),
    };
    let mut command = Command::new(name);
    command.args(standard).args([
        "-D_GNU_SOURCE",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-g",
        "-pthread",
        "-I",
    ]);
    command.arg(root().join("include"));
    command
}

/// A folder with the library under its soname, as it is installed.
fn installed() -> PathBuf {
    let dir = support::scratch_dir("c-lib");
    for name in ["libconvoke.so", "libconvoke.so.0"] {
        // Tests run side by side; whoever is first makes it.
        let _ = std::os::unix::fs::symlink(support::library_dir().join("libconvoke.so"), dir.join(name));
    }
    dir
}

fn run(command: &mut Command) -> Output {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|error| panic!("{shown}: {error}"));
    let pid = child.id();
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    match ended.recv_timeout(TIME_LIMIT) {
        Ok(output) => output.unwrap_or_else(|error| panic!("{shown}: {error}")),
        Err(_) => {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            panic!("{shown} hangs");
        }
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout).into_owned()
}

/// Compiles a program of `tests/c`, with these arguments for the compiler too.
fn build(name: &str, language: Language, arguments: &[&str]) -> PathBuf {
    let suffix = if language == C11 { "c" } else { "cpp" };
    let program = support::scratch_dir("c-bin").join(format!("{name}-{suffix}{}", arguments.join("")));
    let lib = installed();
    let mut command = compiler(language);
    command.args(arguments).arg(root().join(format!("tests/c/{name}.c"))).arg("-o").arg(&program);
    command.args(["-x", "none", "-L"]).arg(&lib);
    if name == "dlopen" {
        command.arg("-ldl");
    } else {
        command.args([OsStr::new("-lconvoke"), format!("-Wl,-rpath,{}", lib.display()).as_ref()]);
    }
    succeed(&mut command);
    program
}

/// Runs a program; its last words are "ok", and it says nothing on stderr, nor does the library.
fn check(name: &str, language: Language) {
    let program = build(name, language, &[]);
    let mut command = Command::new(&program);
    if name == "dlopen" {
        command.arg(installed().join("libconvoke.so.0"));
    }
    let output = run(&mut command);
    assert!(
        output.status.success() && output.stdout.ends_with(b"ok\n") && output.stderr.is_empty(),
        "{name}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    let _ = fs::remove_file(&program);
    if name == "exits" {
        let said = text(&output.stdout).into_owned();
        assert_eq!(said, "thread data\nthread data\natexit\nstatic object\nok\n");
    }
}

macro_rules! programs {
    ($($name:ident)*) => {
        $(mod $name {
            #[test]
            fn as_c11() {
                super::check(stringify!($name), super::C11);
            }
            #[test]
            fn as_cpp17() {
                super::check(stringify!($name), super::Cpp17);
            }
        })*

        #[test]
        fn every_program_is_run() {
            let listed: BTreeSet<String> = [$(stringify!($name)),*].map(str::to_owned).into();
            let files = fs::read_dir(root().join("tests/c")).unwrap().map(|entry| entry.unwrap().path());
            let files = files.filter(|path| path.extension() == Some(OsStr::new("c")));
            let there: BTreeSet<String> =
                files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
            assert_eq!(listed, there);
        }
    };
}

programs! {
    callbacks dlopen everything exits fanout fork free_fn free_order groups handles inherited join locks logs nofile nulls observe
    operations random reentrancy resolver secrets sigchld sigpipe texts unread user_secret waiters
}

#[test]
fn some_programs_leave_out_no_function() {
    for program in ["nulls", "random", "reentrancy"] {
        let source = fs::read_to_string(root().join(format!("tests/c/{program}.c"))).unwrap();
        let helpers = fs::read_to_string(root().join("tests/c/check.h")).unwrap();
        for function in read::functions(&header()) {
            let used = source.contains(&format!("{}(", function.name))
                || program != "nulls" && helpers.contains(&format!("{}(", function.name));
            assert!(used, "{program}.c does not call {}", function.name);
        }
    }
}

#[test]
fn the_header_compiles_alone_in_every_standard() {
    let dir = support::scratch_dir("c-header");
    let source = dir.join("alone.c");
    fs::write(&source, "#include \"convoke.h\"\n#include \"convoke.h\"\ntypedef int not_empty;\n").unwrap();
    let standards = [
        ("cc", "c", &["c99", "c11", "c17", "c2x", "gnu11"][..]),
        ("c++", "c++", &["c++11", "c++14", "c++17", "c++20", "c++23"][..]),
    ];
    for (compiler, language, standards) in standards {
        for standard in standards {
            let mut command = Command::new(compiler);
            command.args(["-x", language, &format!("-std={standard}"), "-fsyntax-only"]);
            command.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-Wundef", "-Wshadow", "-Wconversion"]);
            command.arg("-I").arg(root().join("include")).arg(&source);
            succeed(&mut command);
        }
    }
}

/// What C and C++ make of the constants is what the golden file says.
#[test]
fn constants_have_the_golden_values() {
    let golden = fs::read_to_string(root().join("tests/c/constants.txt")).unwrap();
    let dir = support::scratch_dir("c-constants");
    let mut source = String::from("#include \"convoke.h\"\n#include <stdio.h>\nint main(void) {\n");
    for name in golden.lines().filter_map(|line| line.split(' ').next()) {
        source += &format!("    printf(\"%s %lld\\n\", \"{name}\", (long long){name});\n");
    }
    source += "    return 0;\n}\n";
    for (language, file) in [(C11, "constants.c"), (Cpp17, "constants.cpp")] {
        let (path, program) = (dir.join(file), dir.join(format!("{file}.out")));
        fs::write(&path, &source).unwrap();
        succeed(compiler(language).arg(&path).arg("-o").arg(&program));
        assert_eq!(succeed(&mut Command::new(&program)), golden);
    }
}

#[test]
fn exactly_the_functions_of_the_header_are_exported() {
    exports_what_the_header_declares(&support::library_dir().join("libconvoke.so"));
}

fn exports_what_the_header_declares(library: &Path) {
    let listed = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let exported: BTreeSet<&str> = listed.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let header = header();
    let functions = read::functions(&header);
    let declared: BTreeSet<&str> = functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(exported, declared);
}

/// The library as `cargo build` makes it, with its debugging symbols: without the feature that tests switch on. In a folder
/// of its own, with the dependencies of this test run: only Convoke is compiled anew, by a compiler that is not told of the
/// feature. (Cargo would compile most of the dependencies anew, since without tests they have other features.)
fn released() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("released");
    // `None`: this is a copy of the program outside of cargo's folders.
    let profile = deps.parent().filter(|profile| profile.join(".fingerprint").exists());
    let own = target.join(profile.map_or("debug".as_ref(), |profile| profile.file_name().unwrap()));
    if let Some(profile) = profile.filter(|_| !own.exists()) {
        fs::create_dir_all(own.join("deps")).unwrap();
        let mut copy = Command::new("cp");
        copy.arg("--archive").args([profile.join(".fingerprint"), profile.join("build")]).arg(&own);
        succeed(&mut copy);
        for entry in fs::read_dir(&deps).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            let is_wanted = [".rlib", ".rmeta", ".so"].iter().any(|end| name.ends_with(end));
            if is_wanted && !name.starts_with("libconvoke") {
                // Cargo compiles what is missing.
                let _ = fs::hard_link(&entry, own.join("deps").join(name));
            }
        }
    }
    fs::create_dir_all(&target).unwrap();
    let compiler = target.join("compiler");
    fs::write(
        &compiler,
        "#!/bin/sh\nfor word; do\n    shift\n    [ \"$word\" != 'feature=\"test-hooks\"' ] || word=released\n    \
         set -- \"$@\" \"$word\"\ndone\nexec \"$@\"\n",
    )
    .unwrap();
    fs::set_permissions(&compiler, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut build = Command::new(env!("CARGO"));
    // A small test, for the sake of what it depends on.
    build.args(["test", "--no-run", "--test", "descriptors", "--locked", "--offline", "--quiet"]);
    build.env("CARGO_INCREMENTAL", "0");
    if !own.ends_with("debug") {
        build.arg("--profile").arg(own.file_name().unwrap());
    }
    build.arg("--manifest-path").arg(root().join("Cargo.toml")).arg("--target-dir").arg(&target);
    // What cargo says of this test would be news to build scripts that look at it.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"]
            .iter()
            .any(|start| name.to_string_lossy().starts_with(start))
        {
            build.env_remove(name);
        }
    }
    succeed(build.env("RUSTC_WORKSPACE_WRAPPER", &compiler));
    own.join("deps/libconvoke.so")
}

#[test]
fn a_build_has_no_feature_that_it_was_not_asked_for() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--depth", "0", "--format", "{f}", "--edges"]);
    tree.arg("no-dev").arg("--manifest-path").arg(root().join("Cargo.toml"));
    assert_eq!(succeed(&mut tree).trim(), "");
    assert!(
        succeed(tree.args(["--features", "test-hooks"])).contains("test-hooks"),
        "what is looked for is found"
    );
}

/// Whether the code that lets tests cut links is there: by its symbols, and by a text of it.
fn has_test_hooks(library: &Path) -> (bool, bool) {
    let symbols = succeed(Command::new("nm").arg("-C").arg(library));
    let (bytes, word) = (fs::read(library).unwrap(), b"cut by a test");
    (symbols.contains("convoke::testing::"), bytes.windows(word.len()).any(|window| window == word))
}

#[test]
fn a_released_library_has_nothing_of_the_test_hooks() {
    let own = support::library_dir().join("libconvoke.so");
    assert_eq!(has_test_hooks(&own), (true, true), "what is looked for is found where it is");
    let released = released();
    assert_eq!(has_test_hooks(&released), (false, false));
    exports_what_the_header_declares(&released);
}

#[test]
fn the_library_has_its_soname_and_stays_loaded() {
    let library = support::library_dir().join("libconvoke.so");
    let dynamic = succeed(Command::new("readelf").args(["-d", "-W"]).arg(&library));
    assert!(dynamic.contains("Library soname: [libconvoke.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    assert!(!dynamic.contains("TEXTREL"), "{dynamic}");
}

/// `cc -L target/release -lconvoke`, and the program starts: the folder that cargo builds in has the name that it looks for.
#[test]
fn the_folder_that_cargo_builds_in_is_enough_to_link_and_start_a_program() {
    let library = released();
    let folder = library.ancestors().nth(2).unwrap();
    // `cargo build` puts the library here too, and `cargo test` does not.
    let uplifted = folder.join("libconvoke.so");
    let _ = fs::remove_file(&uplifted);
    fs::hard_link(&library, &uplifted).unwrap();
    let dir = support::scratch_dir("c-start");
    let (source, program) = (dir.join("start.c"), dir.join("start"));
    let text = "#include <convoke.h>\n#include <stdio.h>\nint main(void) { return puts(convoke_version_string()) < 0; }\n";
    fs::write(&source, text).unwrap();
    succeed(
        compiler(C11)
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .args(["-x", "none", "-lconvoke", "-L"])
            .arg(folder),
    );
    let said = succeed(Command::new(&program).env("LD_LIBRARY_PATH", folder));
    assert_eq!(said.trim_end(), env!("CARGO_PKG_VERSION"));
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn nothing_leaks_under_valgrind() {
    if !is_installed("valgrind") {
        println!("SKIPPED: valgrind is not installed");
        return;
    }
    let program = build("everything", C11, &["-DUNDER_VALGRIND"]);
    let mut command = Command::new("valgrind");
    command.args([
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite,indirect",
    ]);
    command.args(["--fair-sched=yes", "--num-callers=30"]).arg(&program);
    let said = succeed(&mut command);
    assert!(said.ends_with("ok\n"), "{said}");
}

#[test]
fn the_address_sanitizer_finds_nothing() {
    let flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let probe = support::scratch_dir("c-probe").join("probe");
    let source = support::scratch_dir("c-probe").join("probe.c");
    fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built = compiler(C11).args(flags).arg(&source).arg("-o").arg(&probe).output().expect("cc runs");
    if !built.status.success() || !run(&mut Command::new(&probe)).status.success() {
        println!("SKIPPED: the compiler has no address sanitizer here: {}", text(&built.stderr));
        return;
    }
    for name in [
        "everything",
        "handles",
        "free_order",
        "callbacks",
        "operations",
        "random",
        "resolver",
        "locks",
        "groups",
    ] {
        // Its allocator is not in order in a child that was forked beside other threads: only check.h forks, before them.
        let source = fs::read_to_string(root().join(format!("tests/c/{name}.c"))).unwrap();
        assert!(
            !source.contains("fork("),
            "{name}.c forks; start_helper of check.h does it before there are threads"
        );
        let program = build(name, C11, &flags);
        let said = succeed(&mut Command::new(&program));
        assert!(said.ends_with("ok\n"), "{name}: {said}");
    }
}
