//! The settings of the sample API, from the environment: the knobs that a tune turns.

use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

/// The most connections that its pool may have.
pub(super) const POOL_MOST: usize = 10_000;

/// What the API is set to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::demo) struct ApiSettings {
    /// `PG_POOL_MIN`: connections opened at the start and kept. Default 4.
    pub(in crate::demo) pool_min: usize,
    /// `PG_POOL_MAX`: default 40.
    pub(in crate::demo) pool_max: NonZeroUsize,
    /// `PG_POOL_IDLE_TIMEOUT_MS`: default 10,000; 0 is never.
    pub(in crate::demo) pool_idle: Duration,
    /// `PG_POOL_CONNECTION_TIMEOUT_MS`: default 2,000; 0 waits for ever.
    pub(in crate::demo) pool_wait: Duration,
    /// `PG_QUERY_MS`: how long a profile's query takes in the database. Default 0.
    pub(in crate::demo) query: Duration,
    /// `YIELD_IN_FLIGHT`: synthetic requests are turned away while more than so many are in flight. Default 0: never.
    pub(in crate::demo) yield_in_flight: usize,
    /// `YIELD_POOL_WAITING`: and while more than so many wait for a connection. Default 0: never.
    pub(in crate::demo) yield_pool_waiting: usize,
    /// `LIMIT_PER_TENANT`: synthetic requests of one tenant in a second. Default 0: any number.
    pub(in crate::demo) limit_per_tenant: Option<NonZeroU32>,
    /// `LLM_LATENCY_MS`: default 40.
    pub(in crate::demo) llm_latency: Duration,
    /// `LLM_JITTER`: the share by which latency and tokens vary up and down. Default 0.25.
    pub(in crate::demo) llm_jitter: f64,
    /// `LLM_TOKENS`: of an answer. Default 300.
    pub(in crate::demo) llm_tokens: u32,
    /// `LLM_COST`: of an answer that was not cached. Default 0.002.
    pub(in crate::demo) llm_cost: f64,
    /// `LLM_CACHE_HIT_RATE`: default 0.45.
    pub(in crate::demo) llm_cache_hit_rate: f64,
    /// `LLM_FAILURE_RATE`: default 0.
    pub(in crate::demo) llm_failure_rate: f64,
    /// `TOKIO_WORKER_THREADS`: default as many as cores.
    pub(in crate::demo) worker_threads: usize,
    /// `UV_THREADPOOL_SIZE`: threads that hash passwords, named as a Node service names them. Default 4.
    pub(in crate::demo) blocking_threads: usize,
}

/// A variable whose value is no setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} must be {expected}")]
pub(crate) struct SettingError {
    /// The variable.
    pub(crate) name: &'static str,
    /// What it must be.
    pub(crate) expected: &'static str,
}

// === impl ApiSettings ===

impl ApiSettings {
    /// Reads the process environment; what it does not say, `usual` may.
    pub(in crate::demo) fn from_environment(usual: &[(&str, &str)]) -> Result<Self, SettingError> {
        Self::read(|name| {
            let given = std::env::var(name).ok().filter(|value| !value.trim().is_empty());
            given.or_else(|| usual.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
        let whole = |name, default, range: std::ops::RangeInclusive<usize>, expected| {
            value(&get, name, default, |value| range.contains(value), expected)
        };
        let share =
            |name, default| value(&get, name, default, |share| (0.0..=1.0).contains(share), "a share from 0 to 1");
        let time = |name, default: u64| {
            let limit = 3_600_000;
            let time = value(&get, name, default, |time| *time <= limit, "milliseconds, at most an hour");
            time.map(Duration::from_millis)
        };
        let pool_max = whole("PG_POOL_MAX", 40, 1..=POOL_MOST, "a number from 1 to 10000")?;
        Ok(Self {
            pool_min: whole("PG_POOL_MIN", 4, 0..=10_000, "a number up to 10000")?.min(pool_max),
            pool_max: NonZeroUsize::new(pool_max).unwrap_or(NonZeroUsize::MIN),
            pool_idle: time("PG_POOL_IDLE_TIMEOUT_MS", 10_000)?,
            pool_wait: time("PG_POOL_CONNECTION_TIMEOUT_MS", 2_000)?,
            query: time("PG_QUERY_MS", 0)?,
            yield_in_flight: whole("YIELD_IN_FLIGHT", 0, 0..=1_000_000, "a number up to 1000000")?,
            yield_pool_waiting: whole("YIELD_POOL_WAITING", 0, 0..=1_000_000, "a number up to 1000000")?,
            limit_per_tenant: NonZeroU32::new(value(
                &get,
                "LIMIT_PER_TENANT",
                0,
                |n| *n <= 1_000_000,
                "a number up to 1000000",
            )?),
            llm_latency: time("LLM_LATENCY_MS", 40)?,
            llm_jitter: share("LLM_JITTER", 0.25)?,
            llm_tokens: value(&get, "LLM_TOKENS", 300, |tokens| *tokens <= 100_000, "a number up to 100000")?,
            llm_cost: value(&get, "LLM_COST", 0.002, |cost| (0.0..=1000.0).contains(cost), "a number from 0 to 1000")?,
            llm_cache_hit_rate: share("LLM_CACHE_HIT_RATE", 0.45)?,
            llm_failure_rate: share("LLM_FAILURE_RATE", 0.0)?,
            worker_threads: whole("TOKIO_WORKER_THREADS", cores, 1..=1024, "a number from 1 to 1024")?,
            blocking_threads: whole("UV_THREADPOOL_SIZE", 4, 1..=1024, "a number from 1 to 1024")?,
        })
    }
}

// === helpers ===

/// Reads one variable; an empty one is as if it were not there.
fn value<T: FromStr>(
    get: impl Fn(&str) -> Option<String>,
    name: &'static str,
    default: T,
    fits: impl Fn(&T) -> bool,
    expected: &'static str,
) -> Result<T, SettingError> {
    match get(name).as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text.parse().ok().filter(fits).ok_or(SettingError { name, expected }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(name: &str, value: &str) -> Result<ApiSettings, SettingError> {
        ApiSettings::read(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn a_variable_is_a_setting_or_an_error() {
        assert_eq!(read("PG_POOL_MAX", "2").unwrap().pool_max.get(), 2);
        assert_eq!(read("PG_POOL_MAX", "2").unwrap().pool_min, 2, "never more than the most");
        assert_eq!(read("PG_POOL_MAX", " "), ApiSettings::read(|_| None));
        for (name, value) in [
            ("PG_POOL_MAX", "0"),
            ("PG_POOL_MAX", "many"),
            ("LLM_CACHE_HIT_RATE", "1.1"),
            ("LLM_JITTER", "NaN"),
            ("LLM_COST", "inf"),
            ("LLM_LATENCY_MS", "-1"),
            ("TOKIO_WORKER_THREADS", "0"),
        ] {
            assert_eq!(read(name, value).unwrap_err().name, name, "{value}");
        }
    }
}
