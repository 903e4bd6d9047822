//! Charts: plain data in, one inline SVG out.
//!
//! The report and the live page draw with the same hand. A chart has its colours from the page that it stands in
//! ([`STYLE`]: light, dark, print), carries a title and a description for who cannot see it, and is drawn for a width
//! ([`Size`]) rather than scaled to it: scaled-down text is not read on a phone. All text is escaped.

mod columns;
mod panels;
mod scale;
mod spark;
mod stack;
mod svg;
#[cfg(test)]
mod tests;
mod unit;

pub use columns::{Column, Columns, Marker};
pub use panels::{Bound, Mark, Panel, Panels, Shade};
pub use scale::Kind;
pub use spark::spark;
pub use stack::{Row, Segment, Stack};
pub(super) use svg::escaped;
pub use unit::Unit;

/// What the classes of all charts look like: to be put into the page's `<style>`.
pub const STYLE: &str = include_str!("chart.css");

/// For which width a chart is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A desk's: 920 wide.
    Wide,
    /// A hand's: 340 wide.
    Narrow,
}

/// The ink of a mark: a class of [`STYLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The middle of a distribution.
    Middle,
    /// From its middle to its upper part, or what lies below a line.
    Body,
    /// Its upper part.
    Upper,
    /// Its tail.
    Tail,
    /// What went well.
    Good,
    /// What did not.
    Bad,
    /// What was never done.
    Missing,
    /// A level: VUs, connections.
    Level,
    /// What lies below it.
    LevelBody,
    /// A second one beside it.
    Second,
    /// A limit.
    Limit,
    /// The n-th of several parts of a whole.
    Part(u8),
}

// === impl Size ===

impl Size {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Wide, Self::Narrow];

    /// The class of a chart of this size.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }

    const fn width(self) -> f64 {
        match self {
            Self::Wide => 920.0,
            Self::Narrow => 340.0,
        }
    }
}

// === impl Ink ===

impl Ink {
    fn class(self) -> &'static str {
        match self {
            Self::Middle => "k-mid",
            Self::Body => "k-body",
            Self::Upper => "k-up",
            Self::Tail => "k-tail",
            Self::Good => "k-good",
            Self::Bad => "k-bad",
            Self::Missing => "k-miss",
            Self::Level => "k-level",
            Self::LevelBody => "k-levels",
            Self::Second => "k-second",
            Self::Limit => "k-limit",
            Self::Part(n) => {
                const PARTS: [&str; 8] =
                    ["k-part0", "k-part1", "k-part2", "k-part3", "k-part4", "k-part5", "k-part6", "k-part7"];
                PARTS.get(usize::from(n) % PARTS.len()).copied().unwrap_or("k-part0")
            }
        }
    }
}
