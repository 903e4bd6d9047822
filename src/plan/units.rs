//! The units of a plan: durations as k6 and Go write them, rates, ranges of time.
//!
//! Integer arithmetic throughout: `0.1s` is exactly 100,000,000 ns, and no text overflows.

use super::document::{During, Rate, Think};
use std::time::Duration;

/// The longest duration a plan may name: ten years. It keeps every sum of instants in range.
pub const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// What a duration looks like, for a hint.
pub const DURATION_HINT: &str =
    "write a duration as `500ms`, `1.5s`, `10m`, `1h30m` or `30d`; a bare number is milliseconds";

/// Why a text is not the quantity it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// A number is expected at this place.
    #[error("a number is missing")]
    NoNumber,
    /// A number has no unit, or an unknown one.
    #[error("a number has no known unit")]
    NoUnit,
    /// Below zero.
    #[error("it is negative")]
    Negative,
    /// Beyond [`LONGEST`].
    #[error("it is longer than 3650d")]
    TooLong,
    /// Zero where something must pass.
    #[error("it is zero")]
    Zero,
    /// Not two durations with `..` between them.
    #[error("there is no `..` between two durations")]
    NoRange,
    /// The end comes before the start.
    #[error("its end is not after its start")]
    Backwards,
    /// Not a number and a time with `/` between them.
    #[error("there is no `/` between a number and a time")]
    NoSlash,
}

/// Reads a duration: `10m`, `1h30m`, `500ms`, `1.5s`, `30d`; a bare number is milliseconds, as in k6.
///
/// # Errors
/// [`UnitError`] where the text is none, is negative, or is longer than [`LONGEST`].
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: u128 = 0;
    let mut parts = 0;
    while !rest.is_empty() {
        let (number, after) = decimal(rest)?;
        let (unit, after) = unit(after);
        let nanos_per_unit = match (unit, parts, after.is_empty()) {
            ("", 0, true) => 1_000_000,
            _ => nanos_of(unit).ok_or(UnitError::NoUnit)?,
        };
        total = total.saturating_add(number.times(nanos_per_unit));
        parts += 1;
        rest = after;
    }
    match parts {
        0 => Err(UnitError::NoNumber),
        _ => within_bounds(total),
    }
}

/// A number of milliseconds as a duration.
///
/// # Errors
/// [`UnitError`] where it is negative, no number, or beyond [`LONGEST`].
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked against both bounds first")]
pub fn milliseconds(number: f64) -> Result<Duration, UnitError> {
    if number.is_nan() {
        Err(UnitError::NoNumber)
    } else if number < 0.0 {
        Err(UnitError::Negative)
    } else if number > LONGEST.as_secs_f64() * 1e3 {
        Err(UnitError::TooLong)
    } else {
        within_bounds((number * 1e6) as u128)
    }
}

/// Reads a pause: `2s`, or `1s..3s` to draw evenly between the two.
///
/// # Errors
/// [`UnitError`] where the text is neither.
pub fn think(text: &str) -> Result<Think, UnitError> {
    let (min, max) = match text.split_once("..") {
        Some((min, max)) => (duration(min.trim())?, duration(max.trim())?),
        None => duration(text).map(|both| (both, both))?,
    };
    if max < min { Err(UnitError::Backwards) } else { Ok(Think { min, max }) }
}

/// Reads a part of a run: `2m..3m`, or `2m..` to its end.
///
/// # Errors
/// [`UnitError`] where the text is neither, or ends before it starts.
pub fn during(text: &str) -> Result<During, UnitError> {
    let (from, to) = text.split_once("..").ok_or(UnitError::NoRange)?;
    let from = duration(from.trim())?;
    let to = match to.trim() {
        "" => None,
        to => Some(duration(to)?),
    };
    if to.is_some_and(|to| to <= from) { Err(UnitError::Backwards) } else { Ok(During { from, to }) }
}

/// Reads a rate: `100/s`, `5/10s`, `0.5/m`.
///
/// # Errors
/// [`UnitError`] where the text is none, or the number or the time is zero.
pub fn rate(text: &str) -> Result<Rate, UnitError> {
    let (count, per) = text.split_once('/').ok_or(UnitError::NoSlash)?;
    let (count, per) = (count.trim(), per.trim());
    let plain = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if count.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let count: f64 =
        if plain { count.parse().map_err(|_| UnitError::NoNumber)? } else { return Err(UnitError::NoNumber) };
    let per = match nanos_of(per) {
        Some(nanos) => within_bounds(nanos)?,
        // A bare number is milliseconds for a duration, but `100/5` says nothing a reader could know.
        None if per.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => return Err(UnitError::NoUnit),
        None => duration(per)?,
    };
    if count <= 0.0 || !count.is_finite() || per.is_zero() { Err(UnitError::Zero) } else { Ok(Rate { count, per }) }
}

/// A decimal number as digits: `15` with `scale` 10 is 1.5.
struct Decimal {
    digits: u128,
    scale: u128,
}

impl Decimal {
    /// This many times `unit`, rounded down; saturates.
    const fn times(&self, unit: u128) -> u128 {
        self.digits.saturating_mul(unit) / self.scale
    }
}

/// Takes a decimal number off the front.
fn decimal(text: &str) -> Result<(Decimal, &str), UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(UnitError::NoNumber);
    }
    let mut decimal = Decimal { digits: 0, scale: 1 };
    for digit in whole.bytes() {
        decimal.digits = decimal.digits.saturating_mul(10).saturating_add(u128::from(digit - b'0'));
        if decimal.digits > LONGEST.as_nanos() {
            return Err(UnitError::TooLong);
        }
    }
    // Finer than a nanosecond of a day is beyond every unit: further digits change nothing.
    for digit in fraction.bytes().take(18) {
        decimal.digits = decimal.digits.saturating_mul(10).saturating_add(u128::from(digit - b'0'));
        decimal.scale *= 10;
    }
    Ok((decimal, rest))
}

/// Takes a unit off the front: all up to the next digit.
fn unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(text.len()))
}

fn nanos_of(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

fn within_bounds(nanos: u128) -> Result<Duration, UnitError> {
    match u64::try_from(nanos) {
        Ok(nanos) if Duration::from_nanos(nanos) <= LONGEST => Ok(Duration::from_nanos(nanos)),
        _ => Err(UnitError::TooLong),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn durations_are_read_as_k6_reads_them() {
        for (text, expected) in [
            ("10m", SECOND * 600),
            ("1h30m", SECOND * 5400),
            ("500ms", SECOND / 2),
            ("1.5s", SECOND * 3 / 2),
            (".5s", SECOND / 2),
            ("30d", SECOND * 30 * 86_400),
            ("1d12h", SECOND * 36 * 3600),
            ("250", SECOND / 4),
            ("0", Duration::ZERO),
            ("0s", Duration::ZERO),
            ("1.5", Duration::from_micros(1500)),
            ("10us", Duration::from_micros(10)),
            ("0.1s", Duration::from_millis(100)),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_says_why() {
        for (text, expected) in [
            ("", UnitError::Empty),
            ("-1s", UnitError::Negative),
            ("s", UnitError::NoNumber),
            ("1 s", UnitError::NoUnit),
            ("1x", UnitError::NoUnit),
            ("1m30", UnitError::NoUnit),
            ("1..5s", UnitError::NoNumber),
            (".s", UnitError::NoNumber),
            ("+", UnitError::NoNumber),
            ("3651d", UnitError::TooLong),
            ("99999999999999999999999999999999999999999999h", UnitError::TooLong),
        ] {
            assert_eq!(duration(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn ranges_and_rates_are_read() {
        assert_eq!(think("1s..3s"), Ok(Think { min: SECOND, max: SECOND * 3 }));
        assert_eq!(think("2s"), Ok(Think { min: SECOND * 2, max: SECOND * 2 }));
        assert_eq!(think("3s..1s"), Err(UnitError::Backwards));
        assert_eq!(during("2m..3m"), Ok(During { from: SECOND * 120, to: Some(SECOND * 180) }));
        assert_eq!(during("2m.."), Ok(During { from: SECOND * 120, to: None }));
        assert_eq!(during("2m..2m"), Err(UnitError::Backwards));
        assert_eq!(during("2m"), Err(UnitError::NoRange));
        assert_eq!(rate("100/s"), Ok(Rate { count: 100.0, per: SECOND }));
        assert_eq!(rate("5/10s"), Ok(Rate { count: 5.0, per: SECOND * 10 }));
        assert_eq!(rate("0.5/m"), Ok(Rate { count: 0.5, per: SECOND * 60 }));
        for (text, expected) in [
            ("100", UnitError::NoSlash),
            ("0/s", UnitError::Zero),
            ("-1/s", UnitError::Negative),
            ("x/s", UnitError::NoNumber),
            ("1e3/s", UnitError::NoNumber),
            ("5/10", UnitError::NoUnit),
            ("5/0s", UnitError::Zero),
        ] {
            assert_eq!(rate(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (duration(&text), think(&text), during(&text), rate(&text));
        }

        #[test]
        fn whole_milliseconds_survive(ms in 0_u64..=315_360_000_000) {
            prop_assert_eq!(duration(&format!("{ms}ms")), Ok(Duration::from_millis(ms)));
            prop_assert_eq!(duration(&ms.to_string()), Ok(Duration::from_millis(ms)));
        }
    }
}
