//! `include/convoke.h` is what is generated from `src/ffi`, and its documentation is complete.
//!
//! `CONVOKE_BLESS=1 cargo test --test header` writes the header anew.

#[path = "header/generate.rs"]
mod generate;
#[path = "header/read.rs"]
mod read;

use convoke::model::{Level, Reason, Status};
use convoke::node::{CLASH_CHOICES, EventKind, Field};
use generate::root;
use read::Function;
use std::collections::BTreeSet;
use std::fs;

fn checked_in() -> String {
    fs::read_to_string(root().join("include/convoke.h")).unwrap_or_default()
}

fn bless() -> bool {
    std::env::var_os("CONVOKE_BLESS").is_some()
}

#[test]
fn the_header_is_up_to_date() {
    let generated = generate::header();
    if bless() {
        fs::create_dir_all(root().join("include")).unwrap();
        fs::write(root().join("include/convoke.h"), &generated).unwrap();
        return;
    }
    let checked_in = checked_in();
    let differs = generated.lines().zip(checked_in.lines()).position(|(new, old)| new != old);
    assert!(
        generated == checked_in,
        "include/convoke.h is not what src/ffi gives, from line {} on: CONVOKE_BLESS=1 cargo test --test header",
        differs.map_or(generated.lines().count().min(checked_in.lines().count()), |line| line) + 1
    );
}

/// The numbers of the ABI: append-only. A line that changes or goes breaks every program that was compiled before.
#[test]
fn constants_keep_their_numbers() {
    let now: String = generate::constants().iter().map(|c| format!("{} {}\n", c.name, c.value)).collect();
    let golden = root().join("tests/c/constants.txt");
    if bless() {
        let old = fs::read_to_string(&golden).unwrap_or_default();
        let lost: Vec<&str> = old.lines().filter(|line| !now.lines().any(|new| new == *line)).collect();
        assert!(lost.is_empty(), "renumbered or removed: {lost:?}");
        fs::write(&golden, now).unwrap();
        return;
    }
    assert_eq!(fs::read_to_string(&golden).unwrap(), now);
}

#[test]
fn every_constant_is_documented() {
    for constant in generate::constants() {
        assert!(
            constant.doc.ends_with('.') && constant.doc.len() > 5,
            "{}: {:?}",
            constant.name,
            constant.doc
        );
    }
    assert_eq!(
        generate::constants().len(),
        Status::ALL.len()
            + EventKind::ALL.len()
            + Reason::ALL.len()
            + 1
            + Field::ALL.len()
            + CLASH_CHOICES.len()
            + 1
            + Level::ALL.len()
    );
}

#[test]
fn every_function_is_documented() {
    let statuses: BTreeSet<&str> = Status::ALL.iter().map(|status| status.c_name()).collect();
    let functions = read::functions(&generate::header());
    assert!(functions.len() > 50);
    let mut wrong = Vec::new();
    for function in &functions {
        let mut complain = |what: &str| wrong.push(format!("{}: {what}", function.name));
        for line in ["@threads", "@since"] {
            if !function.has(line) {
                complain(&format!("no {line}"));
            }
        }
        let (documented, parameters) = (function.documented_parameters(), &function.parameters);
        if documented != *parameters {
            complain(&format!("@param {documented:?}, but it takes {parameters:?}"));
        }
        if function.returns != "void" && !function.has("@return ") {
            complain("no @return");
        }
        let listed = function.listed_statuses();
        if function.returns == "convoke_status" {
            for needed in ["CONVOKE_OK", "CONVOKE_E_INVALID", "CONVOKE_E_INTERNAL", "CONVOKE_E_FORKED"] {
                let applies = match (needed, function) {
                    ("CONVOKE_OK", _) => true,
                    (_, Function { name, .. }) if name == "convoke_check_version" => false,
                    ("CONVOKE_E_FORKED", function) => function.takes_a_handle(),
                    _ => true,
                };
                if applies && !listed.contains(&needed) {
                    complain(&format!("no @retval {needed}"));
                }
            }
        } else if !listed.is_empty() {
            complain("@retval without a status");
        }
        for status in &listed {
            if !statuses.contains(status) {
                complain(&format!("{status} does not exist"));
            }
        }
        if listed.iter().collect::<BTreeSet<_>>().len() != listed.len() {
            complain("a status is listed twice");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What comments of the header mention is there.
#[test]
fn comments_name_what_exists() {
    let header = generate::header();
    let functions: BTreeSet<String> = read::functions(&header).into_iter().map(|f| f.name).collect();
    let constants: BTreeSet<String> = generate::constants().into_iter().map(|c| c.name).collect();
    let code = read::without_comments(&header);
    for word in header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let known = functions.contains(word) || constants.contains(word) || code.contains(word);
        let group = word.ends_with('_') && constants.iter().any(|constant| constant.starts_with(word));
        // What convoke_status_name answers for a number that is no status.
        let unknown = word == "CONVOKE_UNKNOWN";
        if word.to_ascii_lowercase().starts_with("convoke_") && !unknown {
            assert!(known || group, "{word} is mentioned and does not exist");
        }
    }
}

/// What callers through FFI complain of: see that none of it creeps in.
#[test]
fn the_header_stays_plain() {
    let code = read::without_comments(&generate::header());
    for word in
        ["inline", "long", "short", "errno", "time_t", "static", "va_list", "union", "volatile", "unsigned"]
    {
        let there = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|found| found == word);
        assert!(!there, "the header uses {word}");
    }
    assert!(!code.contains("..."), "a function takes varargs");
    for function in read::functions(&generate::header()) {
        for by_value in ["convoke_pid", "convoke_stats", "convoke_event", "convoke_list"] {
            let declaration = &function.declaration;
            let by_value = [format!("{by_value} {}", function.name), format!("{by_value} p")];
            assert!(!by_value.iter().any(|part| declaration.contains(part.as_str())), "{declaration}");
        }
        assert!(function.declaration.starts_with("CONVOKE_API "), "{}", function.declaration);
    }
    // Variables would be declarations without parentheses.
    assert!(!code.contains("extern ") || code.matches("extern ").count() == 1);
    assert!(generate::header().is_ascii());
    assert!(generate::header().lines().all(|line| line.trim_end() == line));
}
