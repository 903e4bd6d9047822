//! A stand-in for a language model: it takes its time, costs, and sometimes knows the answer.

use super::settings::ApiSettings;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The share of a call's time that a cached answer takes.
const CACHED_SHARE: f64 = 0.1;

/// The model's settings and its counters.
#[derive(Debug)]
pub(super) struct Llm {
    settings: ApiSettings,
    requests: AtomicU64,
    cache_hits: AtomicU64,
    failures: AtomicU64,
}

/// How one call will go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) latency: Duration,
    pub(super) prompt_tokens: u32,
    pub(super) completion_tokens: u32,
    pub(super) cost: f64,
    pub(super) cached: bool,
    pub(super) failed: bool,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calls {
    pub(super) requests: u64,
    pub(super) cache_hits: u64,
    pub(super) failures: u64,
}

// === impl Llm ===

impl Llm {
    pub(super) fn new(settings: &ApiSettings) -> Self {
        Self {
            settings: *settings,
            requests: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Draws how a call will go, and counts it.
    pub(super) fn call(&self, prompt: &str) -> Call {
        let settings = &self.settings;
        let vary = || 1.0 + settings.llm_jitter * (2.0 * fastrand::f64() - 1.0);
        let cached = fastrand::f64() < settings.llm_cache_hit_rate;
        let failed = !cached && fastrand::f64() < settings.llm_failure_rate;
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.cache_hits.fetch_add(u64::from(cached), Ordering::Relaxed);
        self.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        let share = if cached { CACHED_SHARE } else { 1.0 };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 200,000, never negative")]
        let completion_tokens = (f64::from(settings.llm_tokens) * vary()).round() as u32;
        Call {
            latency: settings.llm_latency.mul_f64(vary() * share),
            prompt_tokens: u32::try_from(prompt.len().div_ceil(4)).unwrap_or(u32::MAX).max(1),
            completion_tokens,
            cost: if cached { 0.0 } else { settings.llm_cost },
            cached,
            failed,
        }
    }

    pub(super) fn calls(&self) -> Calls {
        Calls {
            requests: self.requests.load(Ordering::Relaxed),
            cache_hits: self.cache_hits.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }
}
