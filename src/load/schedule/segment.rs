//! k6's execution segments: the part of a run that this machine plays.
//!
//! With `--execution-segment-sequence` the parts are striped as k6 stripes them. Without one
//! k6 fills the gaps around each segment by its own guess, and the guesses of three machines
//! do not add up. Here a segment `p/D:q/D` takes the cells `p` to `q` of `D` equal ones,
//! which every machine cuts alike: `i/N:(i+1)/N` for all `i`, or any parts whose ends have
//! the same denominator (or one that divides the next), are exactly the whole.

use super::ratio::{Ratio, common_denominator};
use super::stripes::Stripes;
use thiserror::Error;

/// The part of a run that this machine plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    stripes: Stripes,
    text: String,
}

/// Why a text is no segment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// Not a percentage, a decimal or a fraction.
    #[error("'{0}' is not a percentage, decimal, fraction or interval such as 1/3:2/3")]
    Malformed(String),
    /// Below 0, above 1, or with nothing below the line.
    #[error("a segment lies between 0 and 1")]
    OutOfRange,
    /// It ends where it starts, or before.
    #[error("a segment must start before it ends")]
    Empty,
    /// The ends have no common denominator up to 100,000.
    #[error("a segment is cut into at most 100000 parts; write fractions such as 1/3")]
    TooFine,
    /// The sequence has fewer than two points, or does not rise.
    #[error("a segment sequence is a rising list such as 0,1/3,2/3,1")]
    BadSequence,
    /// The segment is not one of the sequence's.
    #[error("the segment is not one of the sequence")]
    NotInSequence,
}

impl Segment {
    /// All of the run.
    #[must_use]
    pub fn whole() -> Self {
        Self { stripes: Stripes::whole(), text: "0:1".to_owned() }
    }

    /// Part `index` (from 0) of `count` equal ones.
    ///
    /// # Errors
    /// [`SegmentError`] where `index` is not below `count`, or `count` is above 100,000.
    pub fn part(index: u64, count: u64) -> Result<Self, SegmentError> {
        let end = index.checked_add(1).ok_or(SegmentError::OutOfRange)?;
        Self::from_cells(Ratio::new(index, count)?, Ratio::new(end, count)?)
    }

    /// Reads `--execution-segment` and `--execution-segment-sequence`; empty texts are as if they were not given.
    ///
    /// # Errors
    /// [`SegmentError`] where one is malformed, or the segment is not part of the sequence.
    pub fn parse(segment: Option<&str>, sequence: Option<&str>) -> Result<Self, SegmentError> {
        let (from, to) = match segment.map(str::trim).filter(|text| !text.is_empty()) {
            None => (Ratio::ZERO, Ratio::ONE),
            Some(text) => match text.split_once(':') {
                Some((from, to)) => (Ratio::parse(from)?, Ratio::parse(to)?),
                None => (Ratio::ZERO, Ratio::parse(text)?),
            },
        };
        if from >= to {
            return Err(SegmentError::Empty);
        }
        match sequence.map(str::trim).filter(|text| !text.is_empty()) {
            None => Self::from_cells(from, to),
            Some(text) => {
                let points = text.split(',').map(Ratio::parse).collect::<Result<Vec<_>, _>>()?;
                Self::from_sequence(from, to, points)
            }
        }
    }

    /// What of anything countable belongs to it.
    #[must_use]
    pub const fn stripes(&self) -> &Stripes {
        &self.stripes
    }

    fn from_cells(from: Ratio, to: Ratio) -> Result<Self, SegmentError> {
        let cells = common_denominator([from, to])?;
        let mine = from.over(cells)..to.over(cells);
        let owned = (0..cells).filter(|number| mine.contains(&cell_of(*number, cells))).collect();
        Ok(Self { stripes: Stripes::from_table(cells, owned), text: describe(from, to) })
    }

    fn from_sequence(from: Ratio, to: Ratio, mut points: Vec<Ratio>) -> Result<Self, SegmentError> {
        if points.len() < 2 || points.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(SegmentError::BadSequence);
        }
        if points.first() != Some(&Ratio::ZERO) {
            points.insert(0, Ratio::ZERO);
        }
        if points.last() != Some(&Ratio::ONE) {
            points.push(Ratio::ONE);
        }
        let position =
            points.windows(2).position(|pair| pair == [from, to].as_slice()).ok_or(SegmentError::NotInSequence)?;
        let cycle = common_denominator(points.iter().copied())?;
        let lengths: Vec<u64> = points.windows(2).map(|pair| pair[1].over(cycle) - pair[0].over(cycle)).collect();
        Ok(Self { stripes: Stripes::from_table(cycle, striped(&lengths, position)), text: describe(from, to) })
    }
}

impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn describe(from: Ratio, to: Ratio) -> String {
    let one = |ratio: Ratio| match ratio.denominator {
        1 => ratio.numerator.to_string(),
        denominator => format!("{}/{denominator}", ratio.numerator),
    };
    format!("{}:{}", one(from), one(to))
}

/// The cell of `number` among `cells`: its digits to the bases of the prime factors of
/// `cells`, read backwards. Neighbours lie far apart, and a coarser cut is a union of cells.
fn cell_of(number: u64, cells: u64) -> u64 {
    let (mut rest, mut width, mut cell, mut factor) = (number, cells, 0, 2);
    while width > 1 {
        if factor * factor > width {
            factor = width;
        }
        if width.is_multiple_of(factor) {
            width /= factor;
            cell += (rest % factor) * width;
            rest /= factor;
        } else {
            factor += 1;
        }
    }
    cell
}

/// k6's striping of one cycle among parts of these `lengths` (which add up to the cycle):
/// each number goes to the largest part that has had less than its share so far.
fn striped(lengths: &[u64], position: usize) -> Vec<u64> {
    let cycle: u64 = lengths.iter().sum();
    let mut parts: Vec<(usize, u64, u64)> = lengths.iter().enumerate().map(|(at, length)| (at, *length, 0)).collect();
    parts.sort_by_key(|(_, length, _)| std::cmp::Reverse(*length));
    let mut owned = Vec::new();
    for number in 0..cycle {
        let next = parts.iter_mut().find(|(_, length, taken)| *taken < *length && number * *length >= *taken * cycle);
        if let Some((at, _, taken)) = next {
            *taken += 1;
            if *at == position {
                owned.push(number);
            }
        }
    }
    owned
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn members(segment: &Segment, below: u64) -> Vec<u64> {
        let stripes = segment.stripes();
        (0..stripes.count(below)).map(|k| stripes.nth(k).unwrap()).collect()
    }

    /// Each number below `below` belongs to exactly one of the parts.
    fn assert_partition(parts: &[Stripes], below: u64) {
        let mut all: Vec<u64> =
            parts.iter().flat_map(|part| (0..part.count(below)).map(|k| part.nth(k).unwrap())).collect();
        all.sort_unstable();
        assert_eq!(all, (0..below).collect::<Vec<_>>());
    }

    #[test]
    fn segments_are_read_as_k6_reads_them() {
        for (text, shown) in [
            ("", "0:1"),
            ("20%", "0:1/5"),
            ("0.2", "0:1/5"),
            ("1/5", "0:1/5"),
            ("1/2:3/4", "1/2:3/4"),
            ("50%:75%", "1/2:3/4"),
            ("2/4:.75", "1/2:3/4"),
            ("0:1.0", "0:1"),
        ] {
            assert_eq!(Segment::parse(Some(text), None).unwrap().to_string(), shown, "{text}");
        }
        for text in ["1:0", "1/2:1/2", "-1:1", "0:2", "0:1/0", "a:b", "1/2:", "0.", "0:1:2", "0:0.1234567"] {
            assert!(Segment::parse(Some(text), None).is_err(), "{text}");
        }
        assert_eq!(Segment::parse(Some("0:1/3"), Some("0,1/2,1")), Err(SegmentError::NotInSequence));
        assert_eq!(Segment::parse(Some("0:1"), Some("1,0")), Err(SegmentError::BadSequence));
        assert_eq!(Segment::parse(None, Some("0")), Err(SegmentError::BadSequence));
    }

    #[test]
    fn a_sequence_is_striped_as_in_k6() {
        let part = |text| Segment::parse(Some(text), Some("0,1/2,3/4,1")).unwrap();
        assert_eq!(members(&part("0:1/2"), 12), [0, 2, 4, 6, 8, 10]);
        assert_eq!(members(&part("1/2:3/4"), 12), [1, 5, 9]);
        assert_eq!(members(&part("3/4:1"), 12), [3, 7, 11]);
        let tenth = Segment::parse(Some("0:0.3"), Some("0,0.3,0.6,0.9,1")).unwrap();
        assert_eq!(members(&tenth, 30), [0, 4, 7, 10, 14, 17, 20, 24, 27]);
    }

    #[test]
    fn segments_without_a_sequence_still_add_up() {
        for parts in [
            vec!["0:1/3", "1/3:2/3", "2/3:1"],
            vec!["0:1/2", "1/2:3/4", "3/4:1"],
            vec!["0:20%", "20%:60%", "60%:1"],
            vec!["0:0.1", "0.1:0.5", "0.5:1"],
            vec!["0:3/7", "3/7:1"],
        ] {
            let parts: Vec<Stripes> =
                parts.iter().map(|text| Segment::parse(Some(text), None).unwrap().stripes).collect();
            assert_partition(&parts, 500);
        }
    }

    proptest! {
        #[test]
        fn equal_parts_are_the_whole_and_fair(count in 1_u64..40, below in 0_u64..500) {
            let parts: Vec<Stripes> = (0..count).map(|i| Segment::part(i, count).unwrap().stripes).collect();
            assert_partition(&parts, below);
            for part in &parts {
                prop_assert!(part.count(below) >= below / count && part.count(below) <= below.div_ceil(count));
            }
        }

        #[test]
        fn a_sequence_is_the_whole(mut cuts in prop::collection::btree_set(1_u64..60, 1..6), below in 0_u64..500) {
            cuts.insert(0);
            cuts.insert(60);
            let points: Vec<String> = cuts.iter().map(|cut| format!("{cut}/60")).collect();
            let sequence = points.join(",");
            let parts: Vec<Stripes> = points
                .windows(2)
                .map(|pair| Segment::parse(Some(&pair.join(":")), Some(&sequence)).unwrap().stripes)
                .collect();
            assert_partition(&parts, below);
        }

        #[test]
        fn parts_of_parts_are_the_part(count in 1_u64..9, workers in 1_usize..9, seats in 1_u64..50, below in 0_u64..400) {
            let mut all = Vec::new();
            for index in 0..count {
                let segment = Segment::part(index, count).unwrap();
                for worker in 0..workers {
                    all.push(segment.stripes().split(worker, workers).by_seats(seats));
                }
            }
            assert_partition(&all, below);
        }

        #[test]
        fn shares_never_shrink(cut in 1_u64..97, n in 0_u64..300) {
            let part = Segment::parse(Some(&format!("0:{cut}/97")), None).unwrap();
            let (here, next) = (part.stripes().count(n), part.stripes().count(n + 1));
            prop_assert!(next == here || next == here + 1);
        }
    }
}
