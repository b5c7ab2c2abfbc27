//! Figures: the measured value, the value to compare it with, and whether the goal is met.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use serde_json::{Value, json};

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured.
    pub measure: String,
    /// The agent's values.
    pub ours: Series,
    /// The values of a lower bound or a peer, and its name.
    pub beside: Option<(String, Series)>,
    /// The goal.
    pub goal: Option<Goal>,
}

/// The values of all rounds.
#[derive(Clone, Debug)]
pub struct Series {
    unit: Unit,
    /// In ascending order.
    values: Vec<f64>,
}

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// The goal, in words.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At most this many times the value for comparison.
    Ratio(f64),
    /// At most this value.
    Most(f64),
}

// === impl Figure ===

impl Figure {
    /// A figure without a comparison.
    pub fn new(measure: impl Into<String>, ours: Series) -> Self {
        Self { measure: measure.into(), ours, beside: None, goal: None }
    }

    /// Adds a comparison.
    #[must_use]
    pub fn beside(self, what: impl Into<String>, series: Series) -> Self {
        Self { beside: Some((what.into(), series)), ..self }
    }

    /// Sets a goal.
    #[must_use]
    pub fn goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// The ratio to the value for comparison.
    pub fn ratio(&self) -> Option<f64> {
        self.beside.as_ref().map(|(_, series)| self.ours.median() / series.median())
    }

    /// Whether the goal is met, if there is one.
    pub fn is_met(&self) -> Option<bool> {
        match self.goal? {
            Goal::Ratio(most) => self.ratio().map(|ratio| ratio <= most),
            Goal::Most(most) => Some(self.ours.median() <= most),
        }
    }

    /// The figure for machines; seconds and bytes.
    pub fn json(&self) -> Value {
        json!({
            "measure": self.measure,
            "ours": self.ours.json(),
            "beside": self.beside.as_ref().map(|(what, series)| json!({"what": what, "figure": series.json()})),
            "ratio": self.ratio(),
            "goal": self.goal.map(|goal| match goal {
                Goal::Ratio(most) => json!({"ratio": most}),
                Goal::Most(most) => json!({"most": most}),
            }),
            "met": self.is_met(),
        })
    }
}

/// The figures as a table.
pub fn table(figures: &[Figure]) -> String {
    const HEAD: [&str; 6] = ["MEASURE", "OURS", "BESIDE", "RATIO", "GOAL", ""];
    let mut rows = vec![HEAD.map(str::to_owned)];
    for figure in figures {
        let beside = figure.beside.as_ref().map(|(what, series)| format!("{series} {what}"));
        let goal = figure.goal.map(|goal| match goal {
            Goal::Ratio(most) => format!("<= {most:.2} x"),
            Goal::Most(most) => format!("<= {}", figure.ours.unit.show(most)),
        });
        let met = figure.is_met().map(|met| if met { "ok" } else { "missed" });
        rows.push([
            figure.measure.clone(),
            figure.ours.to_string(),
            beside.unwrap_or_default(),
            figure.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            goal.unwrap_or_default(),
            met.unwrap_or_default().to_owned(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

// === impl Series ===

impl Series {
    /// Times.
    pub fn times(times: impl IntoIterator<Item = Duration>) -> Self {
        Self::new(Unit::Seconds, times.into_iter().map(|time| time.as_secs_f64()))
    }

    /// Amounts of memory.
    pub fn bytes(bytes: impl IntoIterator<Item = u64>) -> Self {
        Self::new(Unit::Bytes, bytes.into_iter().map(|bytes| bytes as f64))
    }

    fn new(unit: Unit, values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        Self { unit, values }
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value below which this share of all values is; between two values the nearer one.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.values.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.values.get(at).copied().unwrap_or(f64::NAN)
    }

    /// Only that value.
    #[must_use]
    pub fn only(&self, share: f64) -> Self {
        Self { unit: self.unit, values: vec![self.quantile(share)] }
    }

    /// Every value times `factor`.
    #[must_use]
    pub fn times_over(&self, factor: f64) -> Self {
        Self::new(self.unit, self.values.iter().map(|value| value * factor))
    }

    /// The median, less that of another series.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        Self { unit: self.unit, values: vec![self.median() - other.median()] }
    }

    fn json(&self) -> Value {
        let (least, most) = (self.quantile(0.0), self.quantile(1.0));
        json!({"median": self.median(), "least": least, "most": most, "count": self.values.len()})
    }
}

impl Display for Series {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&self.unit.show(self.median()))
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Seconds if value >= 1.0 => format!("{value:.2} s"),
            Self::Seconds if value >= 0.1 => format!("{:.0} ms", value * 1e3),
            Self::Seconds if value >= 0.01 => format!("{:.1} ms", value * 1e3),
            Self::Seconds => format!("{:.2} ms", value * 1e3),
            Self::Bytes if value >= 1048576.0 => format!("{:.1} MiB", value / 1048576.0),
            Self::Bytes => format!("{:.1} KiB", value / 1024.0),
        }
    }
}
