//! The walls of the engine (docs/design.md, *Rooms*): handlers call only what stands in their own room, below it, or in the tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What stands above what. A file that is named here by itself stands apart from its room.
const STOREYS: &[&[&str]] = &[
    &["calls/answers"],
    &["links"],
    &["claims"],
    &["names", "locks", "groups"],
    &["claims/completion"],
    &["calls"],
    &["processes"],
    &["clashes"],
    &["machine", "dispatch", "notices", "inspection", "invariants", "links/lifecycle"],
];

/// Deliberate faults break walls, too.
const EXEMPT: &str = "fault";

/// Where a file stands: its storey and what it is named there by. `None`: among the tools, which everybody uses.
fn storey(file: &str) -> Option<(usize, &'static str)> {
    let find = |name: &str| {
        let storeys = STOREYS.iter().enumerate();
        storeys.flat_map(|(at, names)| names.iter().map(move |it| (at, *it))).find(|(_, it)| *it == name)
    };
    find(file).or_else(|| find(file.split('/').next().unwrap_or(file)))
}

/// The lines of `impl Engine` in each file.
fn handlers() -> BTreeMap<String, Vec<String>> {
    fn collect(folder: &Path, prefix: &str, into: &mut BTreeMap<String, Vec<String>>) {
        for entry in fs::read_dir(folder).expect("the engine's sources").map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            if entry.path().is_dir() {
                collect(&entry.path(), &format!("{prefix}{name}/"), into);
            } else if let Some(name) = name.strip_suffix(".rs") {
                let text = fs::read_to_string(entry.path()).unwrap();
                let mut lines: Vec<String> = Vec::new();
                let mut is_inside = false;
                for line in text.lines() {
                    match line {
                        "impl Engine {" | "impl Machine for Engine {" => is_inside = true,
                        "}" => is_inside = false,
                        _ if !is_inside || line.trim_start().starts_with("//") => {}
                        // A chain of calls that takes several lines.
                        _ if line.trim_start().starts_with('.') && !lines.is_empty() => {
                            lines.last_mut().unwrap().push_str(line.trim());
                        }
                        _ => lines.push(line.to_owned()),
                    }
                }
                into.insert(format!("{prefix}{name}"), lines);
            }
        }
    }
    let mut all = BTreeMap::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/engine/src"), "", &mut all);
    all
}

/// The identifier at the start of a text.
fn word(text: &str) -> &str {
    &text[..text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())]
}

/// The function that is called at the start of a text.
fn called(text: &str) -> Option<&str> {
    let name = word(text);
    text[name.len()..].starts_with('(').then_some(name)
}

#[test]
fn rooms_call_only_what_stands_below_them() {
    let files = handlers();
    let defined = files.iter().flat_map(|(file, lines)| {
        let functions = lines.iter().filter_map(|line| line.split_once("fn ").map(|(_, rest)| word(rest)));
        functions.map(move |function| (function, file.as_str()))
    });
    let defined: BTreeMap<&str, &str> = defined.collect();
    assert!(defined.len() > 300, "the sources are found: {}", defined.len());
    let (mut upward, mut downward) = (Vec::new(), 0);
    for (file, lines) in files.iter().filter(|(file, _)| *file != EXEMPT) {
        let calls = lines.iter().flat_map(|line| {
            ["self.", "engine."]
                .iter()
                .flat_map(move |subject| line.split(subject).skip(1).filter_map(called))
        });
        for (callee, home) in calls.filter_map(|callee| defined.get_key_value(callee)) {
            if home == file || *home == EXEMPT {
                continue;
            }
            let is_allowed = match (storey(file), storey(home)) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some((from, room)), Some((to, other))) => {
                    to < from || to == from && (room == other || from + 1 == STOREYS.len())
                }
            };
            downward += usize::from(is_allowed);
            if !is_allowed {
                upward.push(format!("{file} calls {callee} of {home}"));
            }
        }
    }
    assert!(upward.is_empty(), "{upward:#?}");
    assert!(downward > 300, "the calls are found: {downward}");
}
