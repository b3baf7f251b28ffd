//! The result of a scenario, and how it is printed.

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

/// One line of the result.
#[derive(Serialize)]
pub struct Row {
    /// What was measured.
    pub scenario: &'static str,
    /// The gateway's value, in `unit`.
    pub value: f64,
    /// What `value` and `baseline` count.
    pub unit: &'static str,
    /// Half of the calls took at most this many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 99 of 100 calls took at most this many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// What the value is compared with: the bare echo, unless `note` names another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// `value` divided by `baseline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What to reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Whether the target was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub met: Option<bool>,
    /// Calls that failed, on either side.
    pub errors: u64,
    /// How it was measured, where that is not plain.
    pub note: String,
}

/// What to reach.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The value must not be below this.
    AtLeast(f64),
    /// The value must not be above this.
    AtMost(f64),
    /// The ratio must not be below this.
    RatioAtLeast(f64),
    /// The ratio must not be above this.
    RatioAtMost(f64),
}

impl Row {
    /// A value without more.
    pub fn new(scenario: &'static str, value: f64, unit: &'static str) -> Self {
        let (p50_ms, p99_ms, baseline, ratio, target, met) = (None, None, None, None, None, None);
        Self { scenario, value, unit, p50_ms, p99_ms, baseline, ratio, target, met, errors: 0, note: String::new() }
    }

    /// Compares the value with another.
    pub fn against(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self.ratio = (baseline > 0.0).then(|| self.value / baseline);
        self
    }

    /// Names a value to hold it against, where a ratio of the two would say nothing.
    pub fn beside(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// Judges the value, or the ratio that [`Row::against`] set. With errors nothing is reached.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = match target {
            Target::AtLeast(bound) => Some(self.value >= bound),
            Target::AtMost(bound) => Some(self.value <= bound),
            Target::RatioAtLeast(bound) => self.ratio.map(|ratio| ratio >= bound),
            Target::RatioAtMost(bound) => self.ratio.map(|ratio| ratio <= bound),
        };
        self.met = self.met.map(|met| met && self.errors == 0);
        self
    }

    /// Adds the latencies.
    pub fn latency(mut self, p50: Option<Duration>, p99: Option<Duration>) -> Self {
        self.p50_ms = p50.map(millis);
        self.p99_ms = p99.map(millis);
        self
    }

    /// Adds a note.
    pub fn note(mut self, note: impl AsRef<str>) -> Self {
        if !self.note.is_empty() {
            self.note.push_str("; ");
        }
        self.note.push_str(note.as_ref());
        self
    }

    /// Adds the errors of one side, and what the first of them was.
    pub fn errors(mut self, side: &str, errors: u64, first: Option<&str>) -> Self {
        self.errors += errors;
        match first {
            Some(error) => self.note(format!("first error of the {side}: {error}")),
            None => self,
        }
    }
}

impl Target {
    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {}", number(bound)),
            Self::AtMost(bound) => format!("≤ {}", number(bound)),
            Self::RatioAtLeast(bound) => format!("≥ {bound:.2}×"),
            Self::RatioAtMost(bound) => format!("≤ {bound:.2}×"),
        }
    }
}

/// Milliseconds, with their fraction.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The rows as a table for people; notes follow below it.
pub fn table(rows: &[Row]) -> String {
    let head = ["scenario", "value", "unit", "p50 ms", "p99 ms", "baseline", "ratio", "target", "met", "errors"];
    let mut lines = vec![head.map(str::to_owned)];
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for row in rows {
        lines.push([
            row.scenario.to_owned(),
            number(row.value),
            row.unit.to_owned(),
            or_dash(row.p50_ms.map(|ms| format!("{ms:.2}"))),
            or_dash(row.p99_ms.map(|ms| format!("{ms:.2}"))),
            or_dash(row.baseline.map(number)),
            or_dash(row.ratio.map(|ratio| format!("{ratio:.2}×"))),
            or_dash(row.target.map(Target::text)),
            or_dash(row.met.map(|met| if met { "met" } else { "NOT MET" }.to_owned())),
            row.errors.to_string(),
        ]);
    }
    let widths: Vec<usize> = (0..head.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default())
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        let _ = writeln!(text, "{}: {}", row.scenario, row.note);
    }
    text
}

/// A number with as many digits as its size deserves, thousands set apart.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
