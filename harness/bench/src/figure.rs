//! One measured figure, its target and its baseline, as a table row and as a line of JSON.

use serde::Serialize;
use tabled::builder::Builder;
use tabled::settings::Style;

/// A figure.
#[derive(Debug)]
pub struct Figure {
    /// What was measured, such as `build-100`.
    pub name: &'static str,
    /// How much it was.
    pub figure: f64,
    /// Of what.
    pub unit: &'static str,
    /// What it should be.
    pub target: Target,
    /// What it is compared with.
    pub baseline: Baseline,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Anything: the figure is for reading.
    None,
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// The ratio to the baseline should be this or more.
    Ratio(f64),
}

/// What a figure is compared with.
#[derive(Debug)]
pub enum Baseline {
    /// Nothing.
    None,
    /// The same work done another way, in the unit of the figure.
    Measured {
        /// The other way.
        way: &'static str,
        /// How much it was.
        value: f64,
        /// Whether more or less of it is better.
        better: Better,
    },
    /// What the other way had, without a ratio: one of them may be 0.
    Beside(&'static str, f64),
    /// It could not be measured here, and why.
    NotMeasured(String),
}

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy)]
pub enum Better {
    /// The smaller: durations.
    Less,
    /// The larger: rates.
    More,
}

#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    figure: f64,
    unit: &'a str,
    target: Option<String>,
    baseline: Option<String>,
    ratio: Option<f64>,
    met: Option<bool>,
}

impl Figure {
    /// The figure as one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let line = Line {
            name: self.name,
            figure: rounded(self.figure),
            unit: self.unit,
            target: self.target.text(self.unit),
            baseline: self.baseline.text(self.unit),
            ratio: self.ratio().map(rounded),
            met: self.met(),
        };
        serde_json::to_string(&line).expect("text, numbers and truth values are JSON")
    }

    /// How many times better than the baseline.
    fn ratio(&self) -> Option<f64> {
        match self.baseline {
            Baseline::Measured { value, better, .. } => Some(match better {
                Better::Less => value / self.figure,
                Better::More => self.figure / value,
            }),
            Baseline::None | Baseline::Beside(..) | Baseline::NotMeasured(_) => None,
        }
    }

    /// `None` where there is no target, or nothing to compare with.
    fn met(&self) -> Option<bool> {
        match self.target {
            Target::None => None,
            Target::AtMost(most) => Some(self.figure <= most),
            Target::AtLeast(least) => Some(self.figure >= least),
            Target::Ratio(least) => self.ratio().map(|ratio| ratio >= least),
        }
    }
}

impl Target {
    fn text(self, unit: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::AtMost(most) => Some(format!("<= {} {unit}", number(most))),
            Self::AtLeast(least) => Some(format!(">= {} {unit}", number(least))),
            Self::Ratio(least) => Some(format!(">= {} times", number(least))),
        }
    }
}

impl Baseline {
    fn text(&self, unit: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Measured { way, value, .. } | Self::Beside(way, value) => {
                Some(format!("{way} {} {unit}", number(*value)))
            }
            Self::NotMeasured(why) => Some(format!("not measured: {why}")),
        }
    }
}

/// The figures as a table.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut builder = Builder::default();
    builder.push_record(["name", "figure", "target", "baseline", "ratio", "met"]);
    for figure in figures {
        builder.push_record([
            figure.name.to_owned(),
            format!("{} {}", number(figure.figure), figure.unit),
            figure.target.text(figure.unit).unwrap_or_default(),
            figure.baseline.text(figure.unit).unwrap_or_default(),
            figure.ratio().map(number).unwrap_or_default(),
            match figure.met() {
                Some(true) => "yes".to_owned(),
                Some(false) => "no".to_owned(),
                None => String::new(),
            },
        ]);
    }
    builder.build().with(Style::markdown()).to_string()
}

/// The middle one of the values.
///
/// # Panics
/// When there are none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Three digits that count, or the whole number.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 || size.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(target: Target, baseline: Baseline) -> Figure {
        Figure {
            name: "build-100",
            figure: 0.8,
            unit: "ms/node",
            target,
            baseline,
        }
    }

    fn ip(value: f64) -> Baseline {
        Baseline::Measured {
            way: "ip",
            value,
            better: Better::Less,
        }
    }

    #[test]
    fn a_line_has_the_figure_and_whether_it_met_its_target() {
        assert_eq!(
            figure(Target::Ratio(20.0), ip(28.0)).json(),
            r#"{"name":"build-100","figure":0.8,"unit":"ms/node","target":">= 20 times","baseline":"ip 28 ms/node","ratio":35.0,"met":true}"#
        );
        assert_eq!(
            figure(Target::AtMost(0.5), Baseline::None).json(),
            r#"{"name":"build-100","figure":0.8,"unit":"ms/node","target":"<= 0.500 ms/node","baseline":null,"ratio":null,"met":false}"#
        );
    }

    #[test]
    fn a_ratio_to_what_was_not_measured_is_neither_met_nor_missed() {
        let missing = figure(
            Target::Ratio(20.0),
            Baseline::NotMeasured("no `ip` on the PATH".into()),
        );
        assert_eq!(missing.met(), None);
        assert!(table(&[missing]).contains("not measured: no `ip` on the PATH"));
    }

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    }
}
