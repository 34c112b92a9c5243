//! The README and `docs/` say what is so: the program, the functions, the table of the manual, the options, the demo and
//! the installation are compared with what is there or run.
//!
//! `CONVOKE_BLESS=1 cargo test --test readme` writes the program in the README and the table of options anew.

mod support;

use convoke::model::{Level, Topic};
use convoke::node::{METRICS, OPTIONS, OptionType};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const DOCUMENTS: [&str; 11] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/decisions.md",
    "docs/protocol.md",
    "docs/design.md",
    "docs/operations.md",
    "docs/options.md",
    "docs/security.md",
    "docs/hostile.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Compares a part of a document, from the line `from` to the line `to` (both excluded), with what it should be; or
/// writes it.
fn part(document: &str, from: &str, to: &str, expected: &str) {
    let text = read(document);
    let start = text.find(from).unwrap_or_else(|| panic!("{document}: no line {from}")) + from.len() + 1;
    let end = start + text[start..].find(to).unwrap_or_else(|| panic!("{document}: no {to} after {from}"));
    if std::env::var_os("CONVOKE_BLESS").is_some() {
        fs::write(root().join(document), format!("{}{expected}{}", &text[..start], &text[end..])).unwrap();
        return;
    }
    assert!(
        text[start..end] == *expected,
        "{document} is not up to date: CONVOKE_BLESS=1 cargo test --test readme"
    );
}

#[test]
fn the_program_in_the_readme_is_the_example() {
    part("README.md", "```c", "```", &read("c-examples/embed.c"));
}

#[test]
fn the_table_of_options_is_that_of_the_code() {
    let mut table = String::from("| key | value | default | meaning |\n|---|---|---|---|\n");
    for option in OPTIONS {
        let value = match option.option_type {
            OptionType::Text => "text".to_owned(),
            OptionType::Listen => "host:port, or host:low-high".to_owned(),
            OptionType::Address => "host:port".to_owned(),
            OptionType::Networks => "`any`, or networks with commas".to_owned(),
            OptionType::Addresses => "host:port or host:low-high, with commas".to_owned(),
            OptionType::Number(low, high) => format!("{low} to {high} {}", option.unit).trim_end().to_owned(),
            OptionType::Secret => "32 bytes, or 64 hexadecimal digits".to_owned(),
            OptionType::Secrets => "the same, with commas".to_owned(),
            OptionType::Path => "a path".to_owned(),
            OptionType::Choice(words) => {
                words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or ")
            }
        };
        let default = if option.default.is_empty() { String::new() } else { format!("`{}`", option.default) };
        let meaning = option.meaning;
        writeln!(table, "| `{}` | {value} | {default} | {meaning} |", option.key).unwrap();
    }
    part(
        "docs/options.md",
        "<!-- the table is written by tests/readme.rs -->",
        "<!-- end of the table -->",
        &table,
    );
}

#[test]
fn the_tables_of_the_log_and_of_metrics_are_those_of_the_code() {
    let document = "docs/operations.md";
    let mut levels = String::from("| level | | what has it |\n|---|---|---|\n");
    for level in Level::ALL {
        writeln!(levels, "| `{}` | {} | {} |", level.c_name(), level.number(), level.text()).unwrap();
    }
    let (from, to) = ("<!-- the levels are written by tests/readme.rs -->", "<!-- end of the levels -->");
    part(document, from, to, &levels);
    let mut targets = String::from("| target | what it tells of |\n|---|---|\n");
    for topic in Topic::ALL {
        writeln!(targets, "| `{}` | {} |", topic.c_name(), topic.text()).unwrap();
    }
    let (from, to) = ("<!-- the targets are written by tests/readme.rs -->", "<!-- end of the targets -->");
    part(document, from, to, &targets);
    let mut metrics = String::from("| metric | type | unit | label | meaning |\n|---|---|---|---|---|\n");
    for metric in METRICS {
        let label = match metric.label.split_once(": ") {
            Some((label, says)) => format!("`{label}`: {says}"),
            None => String::new(),
        };
        let (name, kind, unit) = (metric.name, metric.kind.name(), metric.unit());
        writeln!(metrics, "| `{name}` | {kind} | {unit} | {label} | {} |", metric.meaning).unwrap();
    }
    let (from, to) = ("<!-- the metrics are written by tests/readme.rs -->", "<!-- end of the metrics -->");
    part(document, from, to, &metrics);
}

/// Words of this form in a text.
fn words<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c| !is_part(c)).filter(move |word| word.starts_with(prefix) && word.len() > prefix.len())
}

#[test]
fn every_function_and_constant_that_the_documents_name_is_in_the_header() {
    let header = read("include/convoke.h");
    let metrics = METRICS.iter().map(|metric| metric.name);
    let known = words(&header, "convoke_").chain(words(&header, "CONVOKE_")).chain(metrics);
    let known: BTreeSet<&str> = known.collect();
    // Not of the C interface: the CMake targets, and settings of builds and tests.
    let others = [
        "convoke_static",
        "CONVOKE_BLESS",
        "CONVOKE_FUZZ_FILE",
        "CONVOKE_FUZZ_SECONDS",
        "CONVOKE_FUZZ_SEED",
        "CONVOKE_FUZZ_TARGET",
        "CONVOKE_SIM_MODE",
        "CONVOKE_SIM_SEED",
        "CONVOKE_SIM_SEEDS",
        "CONVOKE_SIM_FOREVER",
        "CONVOKE_TEST_SECRET",
    ];
    for document in DOCUMENTS {
        let text = read(document);
        for word in words(&text, "convoke_").chain(words(&text, "CONVOKE_")) {
            assert!(
                known.contains(word) || others.contains(&word),
                "{document}: {word} is not in the header"
            );
        }
    }
}

/// Every function of Erlang's manual pages for `global` and `pg2`, with the numbers of arguments it may have.
const MANUAL: [(&str, &str, &[usize]); 23] = [
    ("global", "del_lock", &[1, 2]),
    ("global", "notify_all_name", &[3]),
    ("global", "random_exit_name", &[3]),
    ("global", "random_notify_name", &[3]),
    ("global", "register_name", &[2, 3]),
    ("global", "registered_names", &[0]),
    ("global", "re_register_name", &[2, 3]),
    ("global", "send", &[2]),
    ("global", "set_lock", &[1, 2, 3]),
    ("global", "sync", &[0]),
    ("global", "trans", &[2, 3, 4]),
    ("global", "unregister_name", &[1]),
    ("global", "whereis_name", &[1]),
    ("pg2", "create", &[1]),
    ("pg2", "delete", &[1]),
    ("pg2", "get_closest_pid", &[1]),
    ("pg2", "get_local_members", &[1]),
    ("pg2", "get_members", &[1]),
    ("pg2", "join", &[2]),
    ("pg2", "leave", &[2]),
    ("pg2", "start", &[0]),
    ("pg2", "start_link", &[0]),
    ("pg2", "which_groups", &[0]),
];

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the table with this heading, in cells.
fn table<'a>(document: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let rows = document.split(heading).nth(1).unwrap_or_else(|| panic!("no table {heading}")).lines().skip(2);
    let cells = |row: &'a str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// `tests/...::name` is a test.
fn is_test(word: &str) -> bool {
    word.split_once("::").is_some_and(|(file, name)| {
        root().join(file).is_file() && read(file).contains(&format!("\n#[test]\nfn {name}() {{\n"))
    })
}

/// Each function of the manual pages has a row, and each row has a C function and tests that exist.
#[test]
fn every_function_of_the_manual_has_a_row_with_a_test() {
    let text = read("README.md");
    let mut held = BTreeSet::new();
    for row in table(&text, "| Erlang | C | test |") {
        let [erlang, c, tests] = row[..] else { panic!("not three cells: {row:?}") };
        assert!(words(c, "convoke_").next().is_some(), "no C function: {row:?}");
        assert!(tests.starts_with('`') && quoted(tests).all(is_test), "no test: {row:?}");
        for function in quoted(erlang).filter(|word| word.contains('/')) {
            let (name, arities) = function.split_once('/').expect("a slash");
            for arity in arities.split(',') {
                held.insert(format!("{name}/{arity}"));
            }
        }
    }
    let all = MANUAL.iter().flat_map(|(module, name, arities)| {
        arities.iter().map(move |arity| format!("{module}:{name}/{arity}"))
    });
    let all: BTreeSet<String> = all.collect();
    assert_eq!(held, all, "the functions with a row, and those of the manual pages");
}

/// Each decision that differs from Erlang has a row, and each row a test.
#[test]
fn every_difference_from_erlang_has_a_test() {
    let text = read("README.md");
    let mut numbers = BTreeSet::new();
    for row in table(&text, "| | in question | Erlang | Convoke | test |") {
        let [decisions, _, _, _, tests] = row[..] else { panic!("not five cells: {row:?}") };
        assert!(tests.starts_with('`') && quoted(tests).all(is_test), "no test: {row:?}");
        for decision in decisions.split(", ") {
            let number = decision.strip_prefix('D').and_then(|number| number.parse().ok());
            assert!(
                numbers.insert(number.unwrap_or_else(|| panic!("not a number: {row:?}"))),
                "twice: {row:?}"
            );
        }
    }
    // Comments in the code refer to them by number.
    assert_eq!(numbers, (1..=22).collect::<BTreeSet<u32>>());
}

#[test]
fn the_tests_that_the_documents_name_are_there() {
    for document in DOCUMENTS {
        for word in quoted(&read(document)).filter(|word| word.starts_with("tests/") && word.contains("::")) {
            assert!(is_test(word), "{document} names {word}, which is no test");
        }
    }
}

#[test]
fn what_the_documents_link_to_is_there() {
    for document in DOCUMENTS {
        let text = read(document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            let target = root().join(document).parent().expect("a folder").join(link);
            assert!(link.contains("://") || target.exists(), "{document} links to {link}");
        }
    }
}

/// Each row of hostile input names tests, or whole programs, that exist.
#[test]
fn every_hostile_input_has_a_test() {
    let text = read("docs/hostile.md");
    let mut rows = 0;
    for row in table(&text, "| input | what happens | where tested |") {
        let [input, _, tests] = row[..] else { panic!("not three cells: {row:?}") };
        if input.starts_with("**") {
            continue;
        }
        rows += 1;
        assert!(tests.starts_with('`'), "no test: {row:?}");
        for word in quoted(tests) {
            let (file, name) = word.split_once("::").unwrap_or((word, ""));
            assert!(root().join(file).is_file(), "{word}");
            let is_there = name.is_empty() || read(file).contains(&format!("fn {name}() {{"));
            assert!(is_there, "there is no test {word}");
        }
    }
    assert!(rows > 20, "the table is not read");
}

/// Runs a command; its output, if it succeeds.
fn run(command: &mut Command) -> String {
    // A make that runs the tests must not give its own settings to the makes below.
    command.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").env_remove("CARGO_TARGET_DIR");
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", out.status);
    stdout.into_owned()
}

fn make(target: &str, out: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(root().join("c-examples")).arg(target);
    // The library of this test run, and no second cargo.
    make.arg(format!("CONVOKE_LIB={}", support::library_dir().display()));
    make.arg(format!("OUT={}", out.display())).arg("CFLAGS=-O1 -g -Wpedantic -Werror");
    make
}

#[test]
fn the_program_in_the_readme_does_what_it_says() {
    let program = support::scratch_dir("embed").join("embed");
    support::compile_c(&root().join("c-examples/embed.c"), &program);
    assert_eq!(run(&mut Command::new(program)), "one received: hello from two\n");
}

/// README command 1, with the library of this test run.
#[test]
fn the_demo_holds() {
    let told = run(&mut make("demo", &support::scratch_dir("demo")));
    assert!(told.contains("\nAll of it held."), "{told}");
}

#[test]
fn the_directory_answers_looks_up_and_lists() {
    let out = support::scratch_dir("directory");
    run(&mut make("all", &out));
    let told = run(Command::new("python3").arg(root().join("tests/directory.py")).arg(&out));
    assert!(told.ends_with("all held\n"), "{told}");
}

/// `NAME=VALUE` or `Name: value` of a pkg-config file, with its variables put in.
fn pkg_config(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| {
        let rest = line.strip_prefix(key)?;
        rest.strip_prefix(": ").or_else(|| rest.strip_prefix('='))
    });
    let mut value = line.unwrap_or_else(|| panic!("no {key} in the pkg-config file")).to_owned();
    while let Some((before, rest)) = value.split_once("${") {
        let (name, after) = rest.split_once('}').expect("a closing brace");
        value = format!("{before}{}{after}", pkg_config(text, name));
    }
    value
}

/// Header, libraries and pkg-config file as installed build a program, shared and static.
#[test]
fn an_installed_library_builds_programs() {
    let prefix = support::scratch_dir("install").join("prefix");
    let mut install = Command::new(root().join("packaging/install"));
    run(install.arg("--prefix").arg(&prefix).arg("--target-dir").arg(support::library_dir()));
    let text = fs::read_to_string(prefix.join("lib/pkgconfig/convoke.pc")).expect("the pkg-config file");
    assert_eq!(pkg_config(&text, "Version"), env!("CARGO_PKG_VERSION"));
    let (cflags, libs) = (pkg_config(&text, "Cflags"), pkg_config(&text, "Libs"));
    let libdir = pkg_config(&text, "libdir");
    let system = pkg_config(&text, "Libs.private");
    let shared = format!("{libs} -Wl,-rpath,{libdir}");
    let fixed = format!("{libdir}/libconvoke.a {system}");
    for (name, link) in [("shared", &shared), ("static", &fixed)] {
        let program = prefix.join(name);
        let mut cc = Command::new("cc");
        cc.args(cflags.split(' ')).arg(root().join("c-examples/embed.c")).arg("-o").arg(&program);
        run(cc.args(link.split(' ')));
        assert_eq!(run(&mut Command::new(&program)), "one received: hello from two\n", "{name}");
    }
    for library in ["libconvoke.so", "libconvoke.a"] {
        let bytes = fs::read(prefix.join("lib").join(library)).expect("the installed library");
        assert!(!bytes.windows(12).any(|part| part == b".debug_info\0"), "{library} is not stripped");
    }
    let licences = read_installed(&prefix, "share/doc/convoke/THIRD-PARTY-LICENCES.txt");
    assert!(licences.contains("\nring 0."), "the licences of what is in the library go along");
    let version = read_installed(&prefix, "lib/cmake/Convoke/ConvokeConfigVersion.cmake");
    assert!(version.contains(&format!("set(PACKAGE_VERSION \"{}\")", env!("CARGO_PKG_VERSION"))));
    for file in ["ConvokeConfig.cmake", "ConvokeConfigVersion.cmake"] {
        let text = read_installed(&prefix, &format!("lib/cmake/Convoke/{file}"));
        let left =
            text.split('@').nth(1).filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
        assert_eq!(left, None, "{file} has something left to fill in");
    }
    // Moved as a whole, as packagers do it.
    let staged = support::scratch_dir("install").join("staged");
    let mut install = Command::new(root().join("packaging/install"));
    install.arg("--prefix=/usr").arg("--libdir=/usr/lib64").arg("--destdir").arg(&staged);
    run(install.arg("--target-dir").arg(support::library_dir()));
    assert!(staged.join("usr/lib64/libconvoke.so.0").exists());
    let config = read_installed(&staged, "usr/lib64/cmake/Convoke/ConvokeConfig.cmake");
    assert!(config.contains("\"../../../include\""), "{config}");
}

fn read_installed(prefix: &Path, path: &str) -> String {
    fs::read_to_string(prefix.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
