//! Figures over the time of a run: panels below each other with one time axis, so that what happened at once stands
//! in one line.

use super::scale::{Kind, Scale, seconds_between};
use super::svg::{Anchor, Svg, fitted, wide};
use super::unit::{Unit, instant};
use super::{Ink, Size};

/// Panels over one time axis.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    /// What it shows.
    pub title: String,
    /// What is seen in it, in a sentence.
    pub description: String,
    /// From when to when, in seconds.
    pub span: (f64, f64),
    /// From above.
    pub panels: Vec<Panel>,
    /// Stretches of time that stand out in every panel.
    pub shades: Vec<Shade>,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What it shows, in a few words.
    pub label: String,
    /// Its values' unit.
    pub unit: Unit,
    /// How they are laid out.
    pub kind: Kind,
    /// Its height in pixels, without its label.
    pub height: f64,
    /// From below.
    pub marks: Vec<Mark>,
    /// Lines at fixed values: what a threshold asks.
    pub bounds: Vec<Bound>,
}

/// Something drawn; where there was nothing there is none. Times in seconds.
#[derive(Clone, Debug)]
pub enum Mark {
    /// Between a low and a high value.
    Band {
        /// What it is; empty: not told.
        name: String,
        /// With which ink.
        ink: Ink,
        /// Time, low, high.
        points: Vec<(f64, Option<(f64, f64)>)>,
    },
    /// A line.
    Line {
        /// What it is; empty: not told.
        name: String,
        /// With which ink.
        ink: Ink,
        /// Time, value.
        points: Vec<(f64, Option<f64>)>,
    },
    /// Columns from 0.
    Bars {
        /// What it is; empty: not told.
        name: String,
        /// With which ink.
        ink: Ink,
        /// From, to, value.
        bars: Vec<(f64, f64, f64)>,
    },
}

/// A line at a fixed value.
#[derive(Clone, Debug)]
pub struct Bound {
    /// At which.
    pub at: f64,
    /// What it is.
    pub name: String,
}

/// A stretch of time that stands out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shade {
    /// From, in seconds.
    pub from: f64,
    /// To, in seconds.
    pub to: f64,
}

/// How much wider a label is than other text.
const BOLD: f64 = 1.15;
const LABEL: f64 = 34.0;
const GAP: f64 = 10.0;
const AXIS: f64 = 22.0;
/// What is there is seen, however little it is.
const LEAST: f64 = 2.5;

// === impl Panels ===

impl Panels {
    /// Draws it.
    #[must_use]
    pub fn svg(&self, size: Size) -> String {
        let (from, to) = (self.span.0, self.span.1.max(self.span.0 + 1e-3));
        let label = |panel: &Panel| if size == Size::Narrow && panel.legend_is_long() { LABEL + 14.0 } else { LABEL };
        let height: f64 = self.panels.iter().map(|panel| label(panel) + panel.height + GAP).sum::<f64>() + AXIS;
        let ticks: Vec<Vec<f64>> =
            self.panels.iter().map(|panel| panel.scale(0.0, 1.0).ticks(panel.most_ticks())).collect();
        let longest = self
            .panels
            .iter()
            .zip(&ticks)
            .flat_map(|(panel, ticks)| ticks.iter().map(|tick| wide(&panel.unit.label(*tick))));
        let left = longest.fold(24.0, f64::max) + 11.0;
        let right = size.width() - 8.0;
        let x = Scale::exactly(from, to, left, right);
        let mut svg = Svg::begin(size, height, &self.title, &self.description);
        let step = seconds_between(to - from, if size == Size::Wide { 9 } else { 4 });
        let first = (from / step).ceil();
        let times: Vec<f64> =
            (0..64).map(|n| (first + f64::from(n)) * step).take_while(|at| *at <= to + 1e-9).collect();
        let mut top = 0.0;
        for (panel, ticks) in self.panels.iter().zip(&ticks) {
            let head = label(panel);
            panel.head(&mut svg, size, (left, top), right, head);
            top += head;
            let y = panel.scale(top + panel.height, top);
            for at in &times {
                svg.line("grid", (x.at(*at), top), (x.at(*at), top + panel.height));
            }
            for tick in ticks {
                svg.line("grid", (left, y.at(*tick)), (right, y.at(*tick)));
                svg.text("tick", (left - 6.0, y.at(*tick) + 3.5), Anchor::End, &panel.unit.label(*tick));
            }
            for shade in &self.shades {
                let (from, to) = (x.at(shade.from), x.at(shade.to));
                svg.rect("shade", (from, top), ((to - from).max(1.0), panel.height), None);
            }
            for mark in &panel.marks {
                mark.draw(&mut svg, &x, &y);
            }
            for bound in &panel.bounds {
                let at = y.at(bound.at);
                svg.line("k-limit", (left, at), (right, at));
                // Above the line, where there is room for it.
                let text = if at - top < 14.0 { at + 11.0 } else { at - 4.0 };
                svg.text("bound", (right - 2.0, text), Anchor::End, &fitted(&bound.name, right - left - 8.0));
            }
            svg.line("axis", (left, top + panel.height), (right, top + panel.height));
            top += panel.height + GAP;
        }
        for at in &times {
            let place = x.at(*at);
            let text = instant(*at);
            let half = wide(&text) / 2.0;
            let place = place.clamp(left.min(half), size.width() - half - 1.0);
            svg.text("tick", (place, top + 6.0), Anchor::Middle, &text);
        }
        svg.finish()
    }
}

// === impl Panel ===

impl Panel {
    /// Whether there is nothing to see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.iter().all(Mark::is_empty)
    }

    fn most_ticks(&self) -> usize {
        if self.height >= 120.0 { 5 } else { 3 }
    }

    fn legend_is_long(&self) -> bool {
        let legend: f64 = self.legend().map(|(_, name)| wide(name) + 24.0).sum();
        legend + wide(&self.label) * BOLD + 20.0 > Size::Narrow.width() - 50.0
    }

    fn scale(&self, from: f64, to: f64) -> Scale {
        let values = || self.marks.iter().flat_map(Mark::values).chain(self.bounds.iter().map(|bound| bound.at));
        let high = values().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let low = values().filter(|value| *value > 0.0 && value.is_finite()).fold(f64::INFINITY, f64::min);
        Scale::new(self.kind, low, high, from, to)
    }

    fn legend(&self) -> impl Iterator<Item = (Ink, &str)> {
        self.marks.iter().map(Mark::name).filter(|(_, name)| !name.is_empty())
    }

    /// What it shows, and what its marks are.
    fn head(&self, svg: &mut Svg, size: Size, (left, top): (f64, f64), right: f64, height: f64) {
        let first = top + 18.0;
        svg.text("label", (left, first), Anchor::Start, &fitted(&self.label, (right - left) / BOLD));
        let own_line = height > LABEL;
        let line = if own_line { first + 15.0 } else { first };
        let wanted: f64 = self.legend().map(|(_, name)| wide(name) + 24.0).sum();
        let mut at = if own_line || size == Size::Narrow && wanted > right - left - wide(&self.label) * BOLD {
            left
        } else {
            (right - wanted + 8.0).max(left + wide(&self.label) * BOLD + 16.0)
        };
        for (ink, name) in self.legend() {
            // One that has no room at all is left out: its mark is there.
            if at + 30.0 > right {
                break;
            }
            svg.rect(&format!("key {}", ink.class()), (at, line - 8.0), (10.0, 9.0), None);
            svg.text("legend", (at + 14.0, line), Anchor::Start, &fitted(name, (right - at - 14.0).max(12.0)));
            at += wide(name) + 24.0;
        }
    }
}

// === impl Mark ===

impl Mark {
    /// Whether there is nothing to see.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Band { points, .. } => points.iter().all(|(_, point)| point.is_none()),
            Self::Line { points, .. } => points.iter().all(|(_, point)| point.is_none()),
            Self::Bars { bars, .. } => bars.iter().all(|(.., value)| *value <= 0.0),
        }
    }

    fn name(&self) -> (Ink, &str) {
        match self {
            Self::Band { name, ink, .. } | Self::Line { name, ink, .. } | Self::Bars { name, ink, .. } => (*ink, name),
        }
    }

    fn values(&self) -> Vec<f64> {
        match self {
            Self::Band { points, .. } => {
                points.iter().filter_map(|(_, point)| *point).flat_map(|(low, high)| [low, high]).collect()
            }
            Self::Line { points, .. } => points.iter().filter_map(|(_, point)| *point).collect(),
            Self::Bars { bars, .. } => bars.iter().map(|(.., value)| *value).collect(),
        }
    }

    fn draw(&self, svg: &mut Svg, x: &Scale, y: &Scale) {
        match self {
            Self::Band { ink, points, .. } => {
                for run in points.split(|(_, point)| point.is_none()) {
                    let of = |pick: fn((f64, f64)) -> f64| -> Vec<(f64, f64)> {
                        run.iter().filter_map(|(at, point)| Some((x.at(*at), y.at(pick((*point)?))))).collect()
                    };
                    svg.area(&format!("fill {}", ink.class()), &of(|(_, high)| high), &of(|(low, _)| low));
                }
            }
            Self::Line { ink, points, .. } => {
                for run in points.split(|(_, point)| point.is_none()) {
                    let line: Vec<_> =
                        run.iter().filter_map(|(at, point)| Some((x.at(*at), y.at((*point)?)))).collect();
                    svg.path(&format!("line {}", ink.class()), &line);
                }
            }
            Self::Bars { ink, bars, .. } => {
                let floor = y.at(0.0);
                for (from, to, value) in bars.iter().filter(|(.., value)| *value > 0.0) {
                    let (left, right, top) = (x.at(*from), x.at(*to), y.at(*value));
                    let size = ((right - left).max(1.0), (floor - top).max(LEAST));
                    svg.rect(&format!("fill {}", ink.class()), (left, floor - size.1), size, None);
                }
            }
        }
    }
}
