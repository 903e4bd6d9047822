//! The SVG under way: elements, numbers without noise, and text that stays text.

use super::Size;
use std::fmt::Write as _;

/// An SVG under way.
pub(super) struct Svg {
    out: String,
}

/// How a text stands to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The width of a character of the charts' font at 11 px, on average and a little more.
pub(super) const CHARACTER: f64 = 6.3;

// === impl Svg ===

impl Svg {
    /// Begins a chart with what it says to who cannot see it.
    pub(super) fn begin(size: Size, height: f64, title: &str, description: &str) -> Self {
        let mut svg = Self { out: String::with_capacity(4096) };
        let (width, height) = (number(size.width()), number(height));
        let _ = write!(
            svg.out,
            r#"<svg class="chart {}" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" xmlns="http://www.w3.org/2000/svg"><title>{}</title><desc>{}</desc>"#,
            size.class(),
            escaped(title),
            escaped(description),
        );
        svg
    }

    /// One without size classes, for within a table's cell.
    pub(super) fn small(width: f64, height: f64, title: &str) -> Self {
        let mut svg = Self { out: String::with_capacity(512) };
        let (width, height) = (number(width), number(height));
        let _ = write!(
            svg.out,
            r#"<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" xmlns="http://www.w3.org/2000/svg"><title>{}</title>"#,
            escaped(title),
        );
        svg
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }

    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let (x, y) = (number(x), number(y));
        let _ = write!(self.out, r#"<text class="{class}" x="{x}" y="{y}"{anchor}>{}</text>"#, escaped(text));
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(number);
        let _ = write!(self.out, r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#);
    }

    /// A rectangle; nothing where it has no area. `title` is told on pointing at it.
    pub(super) fn rect(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), title: Option<&str>) {
        if width <= 0.0 || height <= 0.0 {
            return;
        }
        let [x, y, width, height] = [x, y, width, height].map(number);
        let _ = write!(self.out, r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}""#);
        match title {
            Some(title) => {
                let _ = write!(self.out, "><title>{}</title></rect>", escaped(title));
            }
            None => self.out.push_str("/>"),
        }
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (f64, f64), r: f64) {
        let [x, y, r] = [x, y, r].map(number);
        let _ = write!(self.out, r#"<circle class="{class}" cx="{x}" cy="{y}" r="{r}"/>"#);
    }

    /// A line through points. One point alone is a dot.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        match points {
            [] => {}
            [only] => self.circle(&format!("{class} dot"), *only, 2.0),
            points => {
                let _ = write!(self.out, r#"<path class="{class}" d=""#);
                self.through(points, 'M');
                self.out.push_str("\"/>");
            }
        }
    }

    /// The area between an upper line and a lower one.
    pub(super) fn area(&mut self, class: &str, upper: &[(f64, f64)], lower: &[(f64, f64)]) {
        if upper.len() < 2 {
            return;
        }
        let _ = write!(self.out, r#"<path class="{class}" d=""#);
        self.through(upper, 'M');
        let back: Vec<_> = lower.iter().rev().copied().collect();
        self.through(&back, 'L');
        self.out.push_str("Z\"/>");
    }

    fn through(&mut self, points: &[(f64, f64)], first: char) {
        for (at, (x, y)) in points.iter().enumerate() {
            let command = if at == 0 { first } else { 'L' };
            let _ = write!(self.out, "{command}{} {}", number(*x), number(*y));
        }
    }
}

/// A coordinate: a tenth of a pixel is finer than any eye.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text that is no markup, and no control character that XML forbids.
pub(in crate::report) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A text that fits into so many pixels; the end of one that does not is cut off.
pub(super) fn fitted(text: &str, pixels: f64) -> String {
    let most = (pixels / CHARACTER).floor().max(1.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A place that is no less than `low` and, where there is room for both, no more than `high`.
pub(super) const fn within(place: f64, low: f64, high: f64) -> f64 {
    place.min(high).max(low)
}

/// How wide a text is.
pub(super) fn wide(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}
