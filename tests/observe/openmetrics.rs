//! Reads OpenMetrics 1.0 text, and accepts nothing that the standard does not.

use std::collections::{BTreeMap, BTreeSet};

pub struct Metrics {
    /// In the order of the text.
    pub families: Vec<String>,
    pub node: String,
    /// By the name of the sample and the label beside `node`.
    samples: BTreeMap<(String, String), f64>,
}

impl Metrics {
    pub fn value(&self, sample: &str, label: &str) -> f64 {
        let key = (sample.to_owned(), label.to_owned());
        *self.samples.get(&key).unwrap_or_else(|| panic!("no sample {sample} {label}"))
    }
}

#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    unit: String,
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: bool,
    samples: BTreeSet<String>,
}

impl Family {
    fn end(&self) {
        if self.kind == "histogram" {
            let count = self.count.unwrap_or_else(|| panic!("{}: no _count", self.name));
            assert!(self.sum, "{}: no _sum", self.name);
            let (bounds, counts): (Vec<f64>, Vec<f64>) = self.buckets.iter().copied().unzip();
            assert!(bounds.is_sorted() && counts.is_sorted(), "{}: buckets in disorder", self.name);
            assert_eq!(bounds.last(), Some(&f64::INFINITY), "{}", self.name);
            assert_eq!(counts.last(), Some(&count), "{}", self.name);
        }
    }
}

fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// A number as the standard has it.
fn number(text: &str) -> f64 {
    if text == "+Inf" {
        return f64::INFINITY;
    }
    assert!(text.starts_with(|c: char| c.is_ascii_digit() || c == '-'), "not a number: {text}");
    assert!(text.chars().all(|c| c.is_ascii_digit() || "-+.e".contains(c)), "not a number: {text}");
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// `{name="value",...}` and what is behind it.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut found = BTreeMap::new();
    let mut rest = text.strip_prefix('{').expect("labels");
    loop {
        let (name, behind) = rest.split_once("=\"").expect("a label has a value in quotes");
        assert!(is_name(name), "not the name of a label: {name}");
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, c @ ('\\' | '"'))) => value.push(c),
                    other => panic!("escaped: {other:?}"),
                },
                (_, c) => value.push(c),
            }
        };
        assert_eq!(found.insert(name.to_owned(), value), None, "a label twice: {text}");
        rest = &behind[end..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (found, rest.strip_prefix('}').expect("the end of the labels")),
        }
    }
}

pub fn read(text: &str) -> Metrics {
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    let (mut families, mut samples, mut nodes) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    let mut family = Family::default();
    for line in body.lines() {
        if let Some(said) = line.strip_prefix("# ") {
            let mut words = said.splitn(3, ' ');
            let (what, name, rest) =
                (words.next(), words.next().expect("a name"), words.next().expect("a word"));
            if what == Some("TYPE") {
                family.end();
                assert!(is_name(name) && !families.contains(&name.to_owned()), "twice, or no name: {name}");
                assert!(["counter", "gauge", "histogram", "info"].contains(&rest), "{line}");
                family = Family { name: name.to_owned(), kind: rest.to_owned(), ..Family::default() };
                families.push(name.to_owned());
            }
            assert_eq!(name, family.name, "of another family: {line}");
            assert!(family.samples.is_empty(), "behind its samples: {line}");
            match what {
                Some("TYPE") => {}
                Some("UNIT") => {
                    assert!(name.ends_with(&format!("_{rest}")), "the unit is not in the name: {line}");
                    family.unit = rest.to_owned();
                }
                Some("HELP") => assert!(!rest.is_empty(), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let at = line.find('{').unwrap_or_else(|| panic!("no labels: {line}"));
        let (name, (mut labels, rest)) = (&line[..at], labels(&line[at..]));
        let suffix = name.strip_prefix(&family.name).unwrap_or_else(|| panic!("of no family: {line}"));
        let value = number(rest.strip_prefix(' ').expect("one space"));
        nodes.insert(labels.remove("node").expect("a node"));
        match (&*family.kind, suffix) {
            ("counter", "_total") => assert!(value >= 0.0, "{line}"),
            ("gauge", "") => {}
            ("info", "_info") => assert_eq!(value, 1.0, "{line}"),
            ("histogram", "_bucket") => {
                family.buckets.push((number(&labels.remove("le").expect("a bound")), value));
                continue;
            }
            ("histogram", "_count") => family.count = Some(value),
            ("histogram", "_sum") => family.sum = true,
            _ => panic!("a sample of the wrong kind: {line}"),
        }
        assert!(labels.len() <= 1, "{line}");
        let label = labels.into_values().next().unwrap_or_default();
        assert!(family.samples.insert(format!("{name} {label}")), "twice: {line}");
        samples.insert((name.to_owned(), label), value);
    }
    family.end();
    assert_eq!(nodes.len(), 1, "of one node");
    Metrics { families, node: nodes.pop_first().unwrap_or_default(), samples }
}
