//! A figure over time, as small as a word.

use super::scale::Scale;
use super::svg::Svg;

const WIDTH: f64 = 110.0;
const HEIGHT: f64 = 22.0;

/// A figure over time, as small as a word; none where there is nothing to draw. `title` says what is seen in it.
#[must_use]
pub fn spark(title: &str, values: &[Option<f64>]) -> Option<String> {
    let known = || values.iter().flatten();
    if known().count() < 2 {
        return None;
    }
    let high = known().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let x = Scale::exactly(0.0, (values.len() - 1) as f64, 2.0, WIDTH - 3.0);
    let y = Scale::exactly(0.0, high, HEIGHT - 2.0, 2.0);
    let mut svg = Svg::small(WIDTH, HEIGHT, title);
    let places: Vec<(usize, f64)> = values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))).collect();
    // What is missing between two values is passed over: a line with a hole is not read at this size.
    let line: Vec<(f64, f64)> = places.iter().map(|(at, value)| (x.at(*at as f64), y.at(*value))).collect();
    svg.path("line k-up", &line);
    if let Some(last) = line.last() {
        svg.circle("k-up dot", *last, 1.8);
    }
    Some(svg.finish())
}
