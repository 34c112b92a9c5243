//! What comes out: the table on stdout and `target/speed.json`.

use std::fmt::Write;
use std::path::PathBuf;

/// A limit on a figure, or on its ratio to its floor.
#[derive(Clone, Copy)]
pub enum Mark {
    /// The figure is at most this.
    AtMost(f64),
    /// The figure is at least this.
    AtLeast(f64),
    /// The figure is at most so many times its floor.
    Times(f64),
    /// The figure is at least so many times its floor.
    AtLeastTimes(f64),
}

impl Mark {
    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("<= {}", short(limit)),
            Self::AtLeast(limit) => format!(">= {}", short(limit)),
            Self::Times(limit) => format!("<= {}x", short(limit)),
            Self::AtLeastTimes(limit) => format!(">= {}x", short(limit)),
        }
    }
    /// `None`: the floor is missing.
    fn holds(self, value: f64, ratio: Option<f64>) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(value <= limit),
            Self::AtLeast(limit) => Some(value >= limit),
            Self::Times(limit) => ratio.map(|r| r <= limit),
            Self::AtLeastTimes(limit) => ratio.map(|r| r >= limit),
        }
    }
}

/// One line of the table.
pub struct Figure {
    row: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    /// What it is compared with, and how much that is in the same unit.
    floor: Option<(String, f64)>,
    goal: Option<Mark>,
    first: Option<Mark>,
    /// Other numbers of the same measurement.
    raw: Vec<(String, f64)>,
    /// The metric of the Erlang scripts that is the same thing, and by how much it is multiplied for our unit.
    otp: Option<(&'static str, f64)>,
    otp_value: Option<f64>,
    /// CPUs that other programs used meanwhile.
    foreign: f64,
}

impl Figure {
    pub fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            row: "",
            what: what.into(),
            value,
            unit,
            floor: None,
            goal: None,
            first: None,
            raw: Vec::new(),
            otp: None,
            otp_value: None,
            foreign: 0.0,
        }
    }
    pub fn floor(mut self, what: impl Into<String>, value: f64) -> Self {
        self.floor = Some((what.into(), value));
        self
    }
    pub fn goal(mut self, mark: Mark) -> Self {
        self.goal = Some(mark);
        self
    }
    /// The mark to reach first, on the way to the goal.
    pub fn first(mut self, mark: Mark) -> Self {
        self.first = Some(mark);
        self
    }
    pub fn raw(mut self, what: impl Into<String>, value: f64) -> Self {
        self.raw.push((what.into(), value));
        self
    }
    pub fn otp(mut self, metric: &'static str, factor: f64) -> Self {
        self.otp = Some((metric, factor));
        self
    }
    fn ratio(&self) -> Option<f64> {
        self.floor.as_ref().map(|(_, floor)| self.value / floor)
    }
}

/// Everything that one run found.
#[derive(Default)]
pub struct Report {
    head: Vec<(&'static str, String)>,
    figures: Vec<Figure>,
    /// Rows that could not be measured, and why.
    failures: Vec<(&'static str, String)>,
}

impl Report {
    /// `head`: what the figures depend on.
    pub fn new(head: Vec<(&'static str, String)>) -> Self {
        Self { head, ..Self::default() }
    }
    pub fn head(&self) -> &[(&'static str, String)] {
        &self.head
    }
    pub fn add(&mut self, row: &'static str, foreign: f64, figures: Vec<Figure>) {
        self.figures.extend(figures.into_iter().map(|figure| Figure { row, foreign, ..figure }));
    }
    pub fn fail(&mut self, row: &'static str, why: String) {
        self.failures.push((row, why));
    }
    /// What `look_up` knows of Erlang's metrics.
    pub fn add_otp(&mut self, look_up: impl Fn(&str) -> Option<f64>) {
        for figure in &mut self.figures {
            figure.otp_value =
                figure.otp.and_then(|(metric, factor)| look_up(metric).map(|value| value * factor));
        }
    }

    pub fn table(&self) -> String {
        let title =
            ["row", "what", "figure", "unit", "floor", "x floor", "first mark", "goal", "OTP", "foreign"];
        let mut lines: Vec<Vec<String>> = vec![title.map(String::from).to_vec()];
        for f in &self.figures {
            let ratio = f.ratio();
            let judged = |mark: Option<Mark>| {
                mark.map_or(String::new(), |mark| match mark.holds(f.value, ratio) {
                    Some(true) => format!("{} pass", mark.text()),
                    Some(false) => format!("{} MISS", mark.text()),
                    None => format!("{} ?", mark.text()),
                })
            };
            lines.push(vec![
                f.row.to_owned(),
                f.what.clone(),
                short(f.value),
                f.unit.to_owned(),
                f.floor.as_ref().map_or(String::new(), |(what, value)| format!("{what} {}", short(*value))),
                ratio.map_or(String::new(), |r| format!("{r:.2}")),
                judged(f.first),
                judged(f.goal),
                f.otp_value.map_or(String::new(), short),
                format!("{:.2}", f.foreign),
            ]);
        }
        let widths: Vec<usize> = (0..title.len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut out = String::new();
        for line in &lines {
            for (cell, width) in line.iter().zip(&widths) {
                let _ = write!(out, "{cell:<width$}  ");
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        for (row, why) in &self.failures {
            let _ = writeln!(out, "{row}: NOT MEASURED: {why}");
        }
        out
    }

    pub fn json(&self) -> String {
        let pairs = |pairs: &[(String, f64)]| {
            let all: Vec<String> =
                pairs.iter().map(|(k, v)| format!("{}:{}", quoted(k), number(*v))).collect();
            format!("{{{}}}", all.join(","))
        };
        let mark = |mark: Option<Mark>, f: &Figure| match mark {
            None => "null".to_owned(),
            Some(mark) => format!(
                "{{\"mark\":{},\"pass\":{}}}",
                quoted(&mark.text()),
                mark.holds(f.value, f.ratio()).map_or("null".to_owned(), |holds| holds.to_string())
            ),
        };
        let figures: Vec<String> = self
            .figures
            .iter()
            .map(|f| {
                let floor = f.floor.as_ref().map_or("null".to_owned(), |(what, value)| {
                    format!("{{\"what\":{},\"value\":{}}}", quoted(what), number(*value))
                });
                format!(
                    "{{\"row\":{},\"what\":{},\"value\":{},\"unit\":{},\"floor\":{floor},\"ratio\":{},\"first_mark\":{},\
                     \"goal\":{},\"otp\":{},\"foreign_cpus\":{},\"raw\":{}}}",
                    quoted(f.row),
                    quoted(&f.what),
                    number(f.value),
                    quoted(f.unit),
                    f.ratio().map_or("null".to_owned(), number),
                    mark(f.first, f),
                    mark(f.goal, f),
                    f.otp_value.map_or("null".to_owned(), number),
                    number(f.foreign),
                    pairs(&f.raw),
                )
            })
            .collect();
        let head: Vec<String> =
            self.head.iter().map(|(key, value)| format!("{}:{}", quoted(key), quoted(value))).collect();
        let failures: Vec<String> = self
            .failures
            .iter()
            .map(|(row, why)| format!("{{\"row\":{},\"why\":{}}}", quoted(row), quoted(why)))
            .collect();
        format!(
            "{{\"head\":{{{}}},\n\"figures\":[\n{}\n],\n\"failures\":[{}]}}\n",
            head.join(","),
            figures.join(",\n"),
            failures.join(",")
        )
    }

    /// Writes `speed.json` into the target folder of the build that runs.
    pub fn write(&self) -> Result<PathBuf, String> {
        let here = std::env::current_exe().map_err(|e| e.to_string())?;
        let folder = here.ancestors().nth(3).ok_or("no target folder")?;
        let path = folder.join("speed.json");
        std::fs::write(&path, self.json()).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn number(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { "null".to_owned() }
}

/// Three figures that count.
fn short(value: f64) -> String {
    match value.abs() {
        a if a >= 1_000_000.0 => format!("{:.2} M", value / 1e6),
        a if a >= 10_000.0 => format!("{:.1} k", value / 1e3),
        a if a >= 100.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 0.1 || a == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
