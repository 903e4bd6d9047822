//! A fraction between 0 and 1, exact: a third is a third, so no VU is lost between segments.

use super::segment::SegmentError;

/// A reduced fraction between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ratio {
    pub(super) numerator: u64,
    /// Never 0, and at most [`Ratio::FINEST`].
    pub(super) denominator: u64,
}

impl Ratio {
    pub(super) const ZERO: Self = Self { numerator: 0, denominator: 1 };
    pub(super) const ONE: Self = Self { numerator: 1, denominator: 1 };
    /// The largest denominator: stripes are kept as a table of one cycle of the common denominator.
    pub(super) const FINEST: u64 = 100_000;

    /// Reduces a fraction.
    pub(super) fn new(numerator: u64, denominator: u64) -> Result<Self, SegmentError> {
        if denominator == 0 || numerator > denominator {
            return Err(SegmentError::OutOfRange);
        }
        let divisor = gcd(numerator, denominator);
        let reduced = Self { numerator: numerator / divisor, denominator: denominator / divisor };
        if reduced.denominator > Self::FINEST { Err(SegmentError::TooFine) } else { Ok(reduced) }
    }

    /// Reads k6's ways to write a fraction: `20%`, `0.2`, `1/5`.
    pub(super) fn parse(text: &str) -> Result<Self, SegmentError> {
        let text = text.trim();
        let malformed = || SegmentError::Malformed(text.to_owned());
        let whole = |digits: &str| {
            let plain = !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit());
            if plain { digits.parse::<u64>().map_err(|_| malformed()) } else { Err(malformed()) }
        };
        if let Some(percent) = text.strip_suffix('%') {
            return Self::new(whole(percent)?, 100);
        }
        if let Some((numerator, denominator)) = text.split_once('/') {
            return Self::new(whole(numerator)?, whole(denominator)?);
        }
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let integer = if integer.is_empty() && !fraction.is_empty() { 0 } else { whole(integer)? };
        if fraction.is_empty() {
            return if text.ends_with('.') { Err(malformed()) } else { Self::new(integer, 1) };
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() {
            return Self::new(integer, 1);
        }
        let digits = u32::try_from(fraction.len()).map_err(|_| malformed())?;
        let value = whole(fraction)?;
        if integer > 1 {
            return Err(SegmentError::OutOfRange);
        }
        let scale = 10_u64.checked_pow(digits).ok_or(SegmentError::TooFine)?;
        Self::new(integer * scale + value, scale)
    }

    /// Its numerator over `denominator`, which must be a multiple of its own.
    pub(super) const fn over(self, denominator: u64) -> u64 {
        self.numerator * (denominator / self.denominator)
    }
}

/// The least common denominator, where it is not too fine.
pub(super) fn common_denominator(ratios: impl IntoIterator<Item = Ratio>) -> Result<u64, SegmentError> {
    ratios.into_iter().try_fold(1_u64, |common, ratio| {
        let next = common / gcd(common, ratio.denominator) * ratio.denominator;
        if next > Ratio::FINEST { Err(SegmentError::TooFine) } else { Ok(next) }
    })
}

/// The greatest common divisor; of 0 and n it is n.
pub(super) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ratio {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.numerator * other.denominator).cmp(&(other.numerator * self.denominator))
    }
}
