//! Puts the header together: cbindgen turns types and functions into C, the rest comes from the tables of the library.

use convoke::model::{Level, Reason, Status};
use convoke::node::{CLASH_CHOICES, EVENT_FIELDS, EventKind, Field, LOG_OFF};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The files with the functions, in the order of the header.
const SECTIONS: &[&str] = &[
    "library", "log", "options", "node", "observe", "queue", "event", "process", "pid", "name", "resolver",
    "lock", "group", "message", "list",
];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the library: of `src`, or of the crates beside it.
fn source(path: impl AsRef<Path>) -> String {
    let path = root().join("src").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A number with a name in the header.
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) value: i64,
    pub(crate) doc: String,
}

/// The constants of an enum of the library.
macro_rules! constants_of {
    ($type:ident) => {
        $type::ALL.iter().map(|it| Constant {
            name: it.c_name().to_owned(),
            value: i64::from(it.number()),
            doc: it.text().to_owned(),
        })
    };
}

fn kinds() -> Vec<Constant> {
    let fields = |kind: &EventKind| {
        let (_, fields) = EVENT_FIELDS.iter().find(|row| row.0 == *kind).expect("every kind has a row");
        let names = fields.iter().map(|field| field.c_name().trim_start_matches("CONVOKE_FIELD_"));
        names.collect::<Vec<_>>().join(", ")
    };
    let with_fields = |(constant, kind): (Constant, &EventKind)| Constant {
        doc: format!("{} Fields: {}.", constant.doc, fields(kind)),
        ..constant
    };
    constants_of!(EventKind).zip(EventKind::ALL).map(with_fields).collect()
}

fn reasons() -> Vec<Constant> {
    let text = source("../crates/model/src/status.rs");
    let constant = |(reason, name): &(Reason, &str)| Constant {
        name: format!("CONVOKE_REASON_{name}"),
        value: i64::from(reason.0),
        doc: doc_before(&text, &format!("{name} = {};", reason.0)),
    };
    let user = Constant {
        name: "CONVOKE_REASON_USER".to_owned(),
        value: 0x10000,
        doc: "The first of the application's own reasons.".to_owned(),
    };
    Reason::ALL.iter().map(constant).chain([user]).collect()
}

fn choices() -> Vec<Constant> {
    let text = source("node/resolver.rs");
    let constant = |(name, value): &(&str, i32)| Constant {
        name: (*name).to_owned(),
        value: i64::from(*value),
        doc: doc_before(&text, &format!("const {}:", name.trim_start_matches("CONVOKE_"))),
    };
    CLASH_CHOICES.iter().map(constant).collect()
}

fn levels() -> Vec<Constant> {
    let off = Constant {
        name: "CONVOKE_LOG_OFF".to_owned(),
        value: i64::from(LOG_OFF),
        doc: "No record has this level: who names it hears of nothing.".to_owned(),
    };
    [off].into_iter().chain(constants_of!(Level)).collect()
}

/// Every constant of the header.
pub(crate) fn constants() -> Vec<Constant> {
    let (statuses, fields) = (constants_of!(Status).collect(), constants_of!(Field).collect());
    [statuses, kinds(), reasons(), fields, choices(), levels()].into_iter().flatten().collect()
}

/// The documentation in front of the line with `mark`.
fn doc_before(text: &str, mark: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.contains(mark) && !line.starts_with("//"));
    let at = at.unwrap_or_else(|| panic!("no line with {mark}"));
    let doc = lines[..at].iter().rev().map_while(|line| line.strip_prefix("///")).map(str::trim);
    let mut doc: Vec<&str> = doc.collect();
    doc.reverse();
    doc.join(" ")
}

/// Breaks a text into lines of at most `width`.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if !line.is_empty() && line.len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn comment(text: &str, indent: &str) -> String {
    let lines = wrap(text, 110);
    match &lines[..] {
        [line] => format!("{indent}/** {line} */\n"),
        lines => format!("{indent}/** {} */\n", lines.join(&format!("\n{indent} *  "))),
    }
}

fn members(constants: &[Constant]) -> String {
    constants.iter().fold(String::new(), |mut text, constant| {
        text += &comment(&constant.doc, "    ");
        writeln!(text, "    {} = {},", constant.name, hex(constant)).unwrap();
        text
    })
}

fn hex(constant: &Constant) -> String {
    if constant.value >= 0x100 { format!("{:#x}", constant.value) } else { constant.value.to_string() }
}

/// A closed set: an enumeration of `int32_t` where the language has such, a plain number elsewhere.
fn status_type() -> String {
    format!(
        "\
/** What became of a call: 0 is success, everything below is a failure. The numbers are never used anew. */
enum convoke_status
#if defined(__cplusplus) || (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
    : int32_t
#endif
{{
{}}};
#ifndef __cplusplus
# if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L
typedef enum convoke_status convoke_status;
# else
typedef int32_t convoke_status;
# endif
#endif
",
        members(&constants_of!(Status).collect::<Vec<_>>())
    )
}

/// An open set: numbers without a type of their own, since a library may give ones that the header does not know.
fn open_set(what: &str, constants: &[Constant]) -> String {
    format!("{}enum {{\n{}}};\n", comment(what, ""), members(constants))
}

fn version() -> String {
    let [major, minor, patch] =
        ["MAJOR", "MINOR", "PATCH"].map(|part| std::env::var(format!("CARGO_PKG_VERSION_{part}")).unwrap());
    format!(
        "\
/** The version of this header; convoke_version() is that of the library. */
#define CONVOKE_VERSION_MAJOR {major}
#define CONVOKE_VERSION_MINOR {minor}
#define CONVOKE_VERSION_PATCH {patch}
#define CONVOKE_VERSION_STRING \"{}\"
#define CONVOKE_VERSION ((CONVOKE_VERSION_MAJOR << 16) | (CONVOKE_VERSION_MINOR << 8) | CONVOKE_VERSION_PATCH)
",
        env!("CARGO_PKG_VERSION")
    )
}

fn config() -> cbindgen::Config {
    cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml")
}

/// What cbindgen makes of one file, without the frame of a header.
fn bindings(file: &str) -> String {
    let mut config = config();
    config.sys_includes.clear();
    config.include_guard = None;
    config.after_includes = None;
    let path = root().join("src/ffi").join(file);
    let built = cbindgen::Builder::new().with_config(config).with_src(&path).generate();
    let mut text = Vec::new();
    built.unwrap_or_else(|error| panic!("{}: {error}", path.display())).write(&mut text);
    lay_out(&String::from_utf8(text).unwrap())
}

/// One declaration: on one line if it fits.
fn lay_out(bindings: &str) -> String {
    let mut text = String::new();
    let mut lines = bindings.trim().lines();
    while let Some(line) = lines.next() {
        let mut whole = line.trim_end().to_owned();
        if line.starts_with("CONVOKE_") || line.starts_with("typedef") && line.contains("(*") {
            while !whole.ends_with(';') {
                let next = lines.next().expect("a declaration ends").trim();
                whole = if whole.ends_with('(') { whole + next } else { format!("{whole} {next}") };
            }
            whole = wrap(&whole, 116).join("\n    ");
        }
        text += &whole;
        text.push('\n');
    }
    text
}

/// The head of a section: the module's documentation.
fn banner(file: &str) -> String {
    let text = source(format!("ffi/{file}.rs"));
    let mut lines = text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line));
    let title = lines.next().unwrap();
    if !title.starts_with(|c: char| c.is_ascii_digit()) {
        // The file goes on with the section before it.
        return String::new();
    }
    let rule = "=".repeat(114);
    let body = lines.skip(1).fold(String::new(), |mut body, line| {
        writeln!(body, "{}", format!(" * {line}").trim_end()).unwrap();
        body
    });
    format!("/* {rule}\n * {title}\n{body} * {rule} */\n\n")
}

/// The whole of `include/convoke.h`.
pub(crate) fn header() -> String {
    let config = config();
    let guard = config.include_guard.as_ref().unwrap();
    let mut text = String::from("/*\n * convoke.h: the C interface of Convoke.\n *\n");
    text += " * Generated from the library's sources: do not change it by hand.\n *\n";
    for line in source("ffi/contract.md").lines() {
        writeln!(text, "{}", format!(" * {line}").trim_end()).unwrap();
    }
    writeln!(text, " */\n#ifndef {guard}\n#define {guard}\n").unwrap();
    for include in &config.sys_includes {
        writeln!(text, "#include <{include}>").unwrap();
    }
    writeln!(text, "\n{}{}\n", version(), config.after_includes.as_ref().unwrap()).unwrap();
    writeln!(text, "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n").unwrap();
    writeln!(text, "{}", status_type()).unwrap();
    let what =
        "Kinds of events: values of convoke_event_kind. Each has exactly the fields that its comment names.";
    writeln!(text, "{}", open_set(what, &kinds())).unwrap();
    writeln!(text, "{}", open_set("Reasons: values of convoke_reason.", &reasons())).unwrap();
    writeln!(
        text,
        "{}",
        open_set(
            "Fields of events and lists: values of convoke_field.",
            &constants_of!(Field).collect::<Vec<_>>()
        )
    )
    .unwrap();
    let what = "What a resolver function returns: one of the first three, plus one of the flags or none.";
    writeln!(text, "{}", open_set(what, &choices())).unwrap();
    writeln!(text, "{}", open_set("How much a record of the log matters.", &levels())).unwrap();
    writeln!(text, "{}", bindings("types.rs")).unwrap();
    for section in SECTIONS {
        writeln!(text, "{}{}", banner(section), bindings(&format!("{section}.rs"))).unwrap();
    }
    writeln!(text, "#ifdef __cplusplus\n}}\n#endif\n#endif /* {guard} */").unwrap();
    text
}
