//! The picture of a tune in text: each value's figure with its interval, and beside it how full the pool was.
//!
//! The scale is logarithmic, because values differ by factors. Nothing is told by colour alone.

use super::TuneText;
use crate::report::format;
use crate::report::text::width;
use crate::tune::{Standing, ValueReport};

/// Columns of the bar that says how full the pool was.
const BAR: usize = 10;
/// The least columns in which a figure's place still says something.
const LEAST_PLOT: usize = 16;
/// The most.
const MOST_PLOT: usize = 60;
/// Columns around the picture: margins, and the gap before the bar.
const AROUND: usize = 8;
/// The longest name of a value that is shown whole.
const MOST_NAME: usize = 40;

/// The lines of the picture, at most `columns` wide with a margin of four. None where no value has a figure.
pub(super) fn lines(text: &TuneText<'_>, columns: usize) -> Vec<String> {
    let values: Vec<&ValueReport> = text.outcome.values.iter().filter(|value| value.objective.is_some()).collect();
    let Some(scale) = Scale::of(&values) else { return Vec::new() };
    let names: Vec<String> = values.iter().map(|value| name(text, value)).collect();
    let longest = names.iter().map(|name| width(name)).max().unwrap_or(0);
    let used = values.iter().any(|value| value.utilization.is_some());
    let room = columns.saturating_sub(AROUND + longest);
    // Where it is narrow, the bar goes first.
    let bar = used && room >= LEAST_PLOT + BAR + 7;
    let plot = if bar { room - BAR - 7 } else { room }.clamp(LEAST_PLOT, MOST_PLOT);
    let figure = |value: f64| format::value(rounded(value), text.contains);
    let (low, high) = (figure(scale.low.exp()), figure(scale.high.exp()));
    let between = " ".repeat(plot.saturating_sub(width(&low) + width(&high)));
    let pool = if bar { "  pool in use" } else { "" };
    let mut lines = vec![format!("{}  {low}{between}{high}{pool}", " ".repeat(longest))];
    for (name, value) in names.iter().zip(&values) {
        let gap = " ".repeat(longest - width(name));
        let mark = if value.standing == Standing::Recommended { '◆' } else { '●' };
        let mut line = format!("{gap}{name}  {}", scale.drawn(value, plot, mark));
        if let Some(used) = value.utilization.filter(|_| bar) {
            let full = ((used.clamp(0.0, 1.0) * BAR as f64).round() as usize).min(BAR);
            line.push_str(&format!("  {}{} {:>3.0} %", "█".repeat(full), "░".repeat(BAR - full), used * 100.0));
        }
        lines.push(line);
    }
    lines
}

/// A text in lines of at most so many characters, broken between words.
pub(super) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Three digits that count: more are noise.
pub(super) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(2 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// A value's name: of a single knob only its value, else all.
fn name(text: &TuneText<'_>, value: &ValueReport) -> String {
    let whole = match text.terms.knobs.as_slice() {
        [knob] => value.setting.get(&knob.name).unwrap_or_default().to_owned(),
        _ => value.setting.to_string(),
    };
    if width(&whole) <= MOST_NAME {
        return whole;
    }
    let kept: String = whole.chars().take(MOST_NAME - 1).collect();
    format!("{kept}…")
}

/// What is more than tenfold the least is off the scale, in logarithms: or what is to be compared would be one column.
const MOST_SPAN: f64 = std::f64::consts::LN_10;

/// From the least to the most, in logarithms.
struct Scale {
    low: f64,
    high: f64,
}

// === impl Scale ===

impl Scale {
    fn of(values: &[&ValueReport]) -> Option<Self> {
        let ends = values.iter().flat_map(|value| {
            let (low, high) = ends(value);
            [low, high]
        });
        let (low, high) =
            ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)));
        let least = values.iter().filter_map(|value| value.objective).fold(f64::INFINITY, f64::min).ln();
        (low.is_finite() && high.is_finite()).then_some(Self { low, high: high.min(least + MOST_SPAN) })
    }

    fn place(&self, logarithm: f64, columns: usize) -> usize {
        let span = self.high - self.low;
        let share = if span > 0.0 { (logarithm - self.low) / span } else { 0.5 };
        ((share * (columns - 1) as f64).round() as usize).min(columns - 1)
    }

    fn drawn(&self, value: &ValueReport, columns: usize, mark: char) -> String {
        let (low, high) = ends(value);
        let (from, to) = (self.place(low, columns), self.place(high, columns));
        let middle = value.objective.unwrap_or(1.0).ln();
        let at = self.place(middle, columns);
        let mark = if middle > self.high { '▸' } else { mark };
        let drawn = |column: usize| match column {
            _ if column == at => mark,
            _ if column == from => '├',
            _ if column == to => '┤',
            _ if (from..to).contains(&column) => '─',
            _ => ' ',
        };
        (0..columns).map(drawn).collect()
    }
}

/// The ends of a value's interval, in logarithms; its figure where there is none. An interval of few trials may be
/// thousandfold: it is cut off where the scale is.
fn ends(value: &ValueReport) -> (f64, f64) {
    let middle = value.objective.unwrap_or(1.0).ln();
    let (low, high) = value.interval.map_or((middle, middle), |found| (found.low.ln(), found.high.ln()));
    (low.max(middle - MOST_SPAN), high.min(middle + MOST_SPAN))
}
