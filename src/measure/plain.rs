//! Durations and intervals as plain JSON: milliseconds, and `null` for an end that is open.
//!
//! What is kept in a result file is read by other programs too; serde's own form of a duration is Rust's affair.

use crate::stats::Interval;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::time::Duration;

fn to_ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn from_ms<E: Error>(ms: f64) -> Result<Duration, E> {
    match Duration::try_from_secs_f64(ms / 1e3) {
        Ok(duration) => Ok(duration),
        Err(_) if ms > 0.0 => Ok(Duration::MAX),
        Err(_) => Err(E::custom(format_args!("{ms} is no time in milliseconds"))),
    }
}

/// A duration in milliseconds.
pub(crate) mod ms {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(to_ms(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        from_ms(f64::deserialize(deserializer)?)
    }
}

/// A duration in milliseconds, or `null`.
pub(crate) mod ms_option {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(to_ms).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(deserializer)?.map(from_ms).transpose()
    }
}

/// A part of a run as `[from, to]` in milliseconds.
pub(crate) mod part {
    use super::*;
    use crate::measure::Part;

    pub(crate) fn serialize<S: Serializer>(part: &Part, serializer: S) -> Result<S::Ok, S::Error> {
        [to_ms(part.start), to_ms(part.end)].serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Part, D::Error> {
        let [from, to] = <[f64; 2]>::deserialize(deserializer)?;
        Ok(from_ms(from)?..from_ms(to)?)
    }
}

/// An interval as `[low, high]`, each `null` where that end is open.
pub(crate) mod interval {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(interval: &Interval, serializer: S) -> Result<S::Ok, S::Error> {
        let end = |value: f64| value.is_finite().then_some(value);
        [end(interval.low), end(interval.high)].serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Interval, D::Error> {
        let [low, high] = <[Option<f64>; 2]>::deserialize(deserializer)?;
        Ok(Interval { low: low.unwrap_or(f64::NEG_INFINITY), high: high.unwrap_or(f64::INFINITY) })
    }
}

/// An interval as above, or `null`.
pub(crate) mod interval_option {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Plain(#[serde(with = "super::interval")] Interval);

    pub(crate) fn serialize<S: Serializer>(interval: &Option<Interval>, serializer: S) -> Result<S::Ok, S::Error> {
        interval.map(Plain).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Interval>, D::Error> {
        Ok(Option::<Plain>::deserialize(deserializer)?.map(|plain| plain.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        #[serde(with = "ms")]
        time: Duration,
        #[serde(with = "ms_option")]
        perhaps: Option<Duration>,
        #[serde(with = "interval")]
        open: Interval,
        #[serde(with = "interval_option")]
        none: Option<Interval>,
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all = All {
            time: Duration::from_nanos(1_234_567_891),
            perhaps: None,
            open: Interval { low: f64::NEG_INFINITY, high: 2.5 },
            none: None,
        };
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(text, r#"{"time":1234.567891,"perhaps":null,"open":[null,2.5],"none":null}"#);
        assert_eq!(serde_json::from_str::<All>(&text).unwrap(), all);
        assert!(serde_json::from_str::<All>(&text.replace("1234.5", "-1234.5")).is_err());
    }
}
