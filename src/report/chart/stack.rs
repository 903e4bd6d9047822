//! Parts of a whole: bars that lie below each other, on one axis.

use super::scale::{Kind, Scale};
use super::svg::{Anchor, Svg, fitted, wide};
use super::{Ink, Size, Unit};

/// Bars of parts.
#[derive(Clone, Debug)]
pub struct Stack {
    /// What it shows.
    pub title: String,
    /// What is seen in it, in a sentence.
    pub description: String,
    /// The values' unit.
    pub unit: Unit,
    /// From above.
    pub rows: Vec<Row>,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is.
    pub name: String,
    /// From the left.
    pub segments: Vec<Segment>,
    /// Whether it begins a group: a little apart from the bar before it.
    pub apart: bool,
}

/// One part of a bar.
#[derive(Clone, Debug)]
pub struct Segment {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// With which ink.
    pub ink: Ink,
}

const BAR: f64 = 18.0;
const AXIS: f64 = 24.0;
/// How much wider bold figures are.
const BOLD: f64 = 1.2;

// === impl Stack ===

impl Stack {
    /// Draws it.
    #[must_use]
    pub fn svg(&self, size: Size) -> String {
        let narrow = size == Size::Narrow;
        // On a phone the name stands above its bar.
        let (line, gap) = if narrow { (BAR + 20.0, 10.0) } else { (BAR + 6.0, 8.0) };
        let height: f64 = self.rows.iter().map(|row| line + if row.apart { gap } else { 0.0 }).sum::<f64>() + AXIS;
        let total = |row: &Row| row.segments.iter().map(|segment| segment.value).sum::<f64>();
        let most = self.rows.iter().map(total).fold(0.0, f64::max);
        let names = self.rows.iter().map(|row| wide(&row.name)).fold(0.0, f64::max).min(size.width() / 3.0);
        let totals = self.rows.iter().map(|row| wide(&self.unit.told(total(row))) * BOLD).fold(0.0, f64::max);
        let left = if narrow { 2.0 } else { names + 12.0 };
        let right = size.width() - totals - 12.0;
        let x = Scale::exactly(0.0, most.max(f64::MIN_POSITIVE), left, right);
        let mut svg = Svg::begin(size, height, &self.title, &self.description);
        let ticks = Scale::new(Kind::Linear, 0.0, most, 0.0, 1.0).ticks(if narrow { 3 } else { 7 });
        let floor = height - AXIS;
        for tick in ticks.iter().filter(|tick| **tick <= most) {
            svg.line("grid", (x.at(*tick), 0.0), (x.at(*tick), floor));
            let text = self.unit.label(*tick);
            let half = wide(&text) / 2.0;
            svg.text("tick", (x.at(*tick).max(half), floor + 16.0), Anchor::Middle, &text);
        }
        let mut top = 0.0;
        for row in &self.rows {
            if row.apart {
                top += gap;
            }
            let bar = if narrow { top + 17.0 } else { top + 2.0 };
            let name = fitted(&row.name, if narrow { size.width() - 4.0 } else { names + 6.0 });
            if narrow {
                svg.text("name", (left, top + 12.0), Anchor::Start, &name);
            } else {
                svg.text("name", (left - 8.0, bar + 13.0), Anchor::End, &name);
            }
            let mut from = 0.0;
            for segment in row.segments.iter().filter(|segment| segment.value > 0.0) {
                let (start, end) = (x.at(from), x.at(from + segment.value));
                from += segment.value;
                let told = format!("{}: {}", segment.name, self.unit.told(segment.value));
                let class = format!("fill {}", segment.ink.class());
                svg.rect(&class, (start, bar), ((end - start).max(0.5), BAR), Some(&told));
                let inside = self.unit.told(segment.value);
                if end - start > wide(&inside) + 8.0 {
                    let class = format!("inside on-{}", segment.ink.class());
                    svg.text(&class, (f64::midpoint(start, end), bar + 13.0), Anchor::Middle, &inside);
                }
            }
            svg.text("total", (x.at(from) + 6.0, bar + 13.0), Anchor::Start, &self.unit.told(total(row)));
            top += line;
        }
        svg.line("axis", (left, floor), (right, floor));
        svg.finish()
    }

    /// Every part that any bar has, with its ink, in the order of the bars: for a legend beside the chart.
    #[must_use]
    pub fn legend(&self) -> Vec<(&str, &'static str)> {
        let mut legend: Vec<(&str, &'static str)> = Vec::new();
        for segment in self.rows.iter().flat_map(|row| &row.segments).filter(|segment| segment.value > 0.0) {
            if !legend.iter().any(|(name, _)| *name == segment.name) {
                legend.push((&segment.name, segment.ink.class()));
            }
        }
        legend
    }
}
