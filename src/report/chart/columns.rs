//! A distribution: columns over a logarithmic axis, with its percentiles marked.

use super::scale::{Kind, Scale};
use super::svg::{Anchor, Svg, fitted, wide, within};
use super::{Ink, Size, Unit};

/// A distribution as columns.
#[derive(Clone, Debug)]
pub struct Columns {
    /// What it shows.
    pub title: String,
    /// What is seen in it, in a sentence.
    pub description: String,
    /// The values' unit.
    pub unit: Unit,
    /// Side by side, rising.
    pub columns: Vec<Column>,
    /// Values that are marked.
    pub markers: Vec<Marker>,
}

/// One column: how many values lie between two.
#[derive(Clone, Debug)]
pub struct Column {
    /// From.
    pub low: f64,
    /// To.
    pub high: f64,
    /// How many, in the order in which they are stacked: what went well first.
    pub counts: Vec<(Ink, f64)>,
}

/// A value that is marked.
#[derive(Clone, Debug)]
pub struct Marker {
    /// Which.
    pub at: f64,
    /// What it is.
    pub name: String,
}

const HEIGHT: f64 = 150.0;
/// Lines of markers' names above the columns, and their height.
const ROWS: [usize; 2] = [2, 3];
const ROW: f64 = 13.0;
const AXIS: f64 = 24.0;
/// No label beside an axis takes more room.
const MOST_LABEL: f64 = 90.0;

// === impl Columns ===

impl Columns {
    /// Draws it.
    #[must_use]
    pub fn svg(&self, size: Size) -> String {
        let rows = ROWS[usize::from(size == Size::Narrow)];
        let head = 8.0 + ROW * rows as f64;
        let total = |column: &Column| column.counts.iter().map(|(_, count)| count).sum::<f64>();
        let most = self.columns.iter().map(total).fold(0.0, f64::max);
        let low = self.columns.first().map_or(1.0, |column| column.low);
        let high = self.columns.last().map_or(10.0, |column| column.high);
        let y = Scale::new(Kind::Linear, 0.0, most, head + HEIGHT, head);
        let ticks = y.ticks(4);
        let left = ticks.iter().map(|tick| wide(&Unit::Count.label(*tick))).fold(24.0, f64::max).min(MOST_LABEL) + 8.0;
        let right = size.width() - 10.0;
        let x = Scale::log(low, high, left, right);
        let mut svg = Svg::begin(size, head + HEIGHT + AXIS, &self.title, &self.description);
        for tick in &ticks {
            svg.line("grid", (left, y.at(*tick)), (right, y.at(*tick)));
            svg.text("tick", (left - 6.0, y.at(*tick) + 3.5), Anchor::End, &Unit::Count.label(*tick));
        }
        for column in &self.columns {
            let (from, to) = (x.at(column.low), x.at(column.high));
            let range = format!("{} to {}", self.unit.told(column.low), self.unit.told(column.high));
            let mut below = 0.0;
            for (ink, count) in &column.counts {
                let (top, floor) = (y.at(below + count), y.at(below));
                below += count;
                // What is there is seen, however little it is.
                let height = if *count > 0.0 { (floor - top).max(1.0) } else { 0.0 };
                let told = format!("{range}: {}", Unit::Count.told(*count));
                let width = (to - from - 0.5).max(0.5);
                svg.rect(&format!("fill {}", ink.class()), (from, floor - height), (width, height), Some(&told));
            }
        }
        svg.line("axis", (left, head + HEIGHT), (right, head + HEIGHT));
        let mut taken = f64::NEG_INFINITY;
        for tick in x.ticks(if size == Size::Wide { 12 } else { 5 }) {
            let text = self.unit.label(tick);
            let half = wide(&text) / 2.0;
            let place = within(x.at(tick), left.min(half), size.width() - half - 1.0);
            if place - half < taken + 6.0 {
                continue;
            }
            taken = place + half;
            svg.line("axis", (x.at(tick), head + HEIGHT), (x.at(tick), head + HEIGHT + 4.0));
            svg.text("tick", (place, head + HEIGHT + 17.0), Anchor::Middle, &text);
        }
        self.mark(&mut svg, size, &x, left, rows);
        svg.finish()
    }

    /// The markers, whose names stand in lines so that neighbours do not touch; one that finds no room stands
    /// without its value.
    fn mark(&self, svg: &mut Svg, size: Size, x: &Scale, left: f64, rows: usize) {
        let head = 8.0 + ROW * rows as f64;
        let mut ends = vec![f64::NEG_INFINITY; rows];
        for marker in &self.markers {
            let at = x.at(marker.at);
            svg.line("marker", (at, head - 4.0), (at, head + HEIGHT));
            let name = fitted(&marker.name, size.width() / 4.0);
            for text in [format!("{name} {}", self.unit.told(marker.at)), name.clone()] {
                let half = wide(&text) / 2.0;
                let place = within(at, left + half, size.width() - half - 2.0);
                let Some(row) = ends.iter().position(|end| place - half > end + 5.0) else { continue };
                ends[row] = place + half;
                let line = head - 8.0 - ROW * row as f64;
                svg.text("marked", (place, line), Anchor::Middle, &text);
                break;
            }
        }
    }
}
