//! Whether the run was stationary while the load was held: whether its figures are those of one state of the target.
//!
//! A percentile over a warm-up and what came after it is the percentile of neither. So over the longest time for which the
//! plan holds the load the run is cut into windows, each with its mean response time, and three things are asked: whether the
//! beginning differs from the second half (Geweke), whether there is a trend (Kendall, Theil and Sen), and from where on it had
//! settled (MSER). All three know that neighbouring windows lean on each other.
//!
//! It is told and never a verdict: it is the target that warms up, and `judge.drift` is there for whoever wants it to fail.

use super::profile::Profile;
use crate::measure::{LayoutBuilder, MetricId, Part, Reading, Selector, Timeline, TimelineId, Totals};
use crate::plan::Scenario;
use crate::stats::{Interval, geweke, mser, trend};
use std::time::Duration;

/// The question, prepared.
#[derive(Clone, Debug, Default)]
pub struct Stationarity(Option<Prepared>);

#[derive(Clone, Debug)]
struct Prepared {
    held: Part,
    response_time: TimelineId,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct StationarityReport {
    /// Whether it was stationary.
    pub stationary: bool,
    /// The part of the run that was looked at.
    #[serde(rename = "held_ms", with = "crate::measure::plain::part")]
    pub held: Part,
    /// By which share of its level the mean response time changed over that part.
    pub change: f64,
    /// Where that lies, with 95 % confidence.
    #[serde(with = "crate::measure::plain::interval")]
    pub interval: Interval,
    /// By which share of the level the beginning differed from the second half.
    pub beginning: f64,
    /// How likely so great a difference is in a stationary run.
    pub p_value: f64,
    /// From when on it had settled, from the run's start. None where it had from the beginning, or never did.
    #[serde(rename = "settled_ms", with = "crate::measure::plain::ms_option")]
    pub settled: Option<Duration>,
}

const METRIC: MetricId = MetricId::HTTP_REQ_RESPONSE_TIME;
/// Windows into which the held part is cut, where it has bins for so many.
const WINDOWS: u32 = 30;
/// How surely the beginning must differ.
const SIGNIFICANCE: f64 = 0.01;
/// What changes by less than this share of the level makes no figure another.
const LEAST: f64 = 0.1;
/// Nor does less than this, in milliseconds.
const LEAST_MS: f64 = 0.25;
/// How much neighbouring windows may lean on each other before it is a trend.
const MOST_LEAN: f64 = 0.6;

// === impl Stationarity ===

impl Stationarity {
    /// Prepares what is looked at. Nothing where the plan does not say when the load is held.
    #[must_use]
    pub fn prepare(scenarios: &[Scenario], layout: &mut LayoutBuilder) -> Self {
        let held = Profile::of(scenarios).and_then(|profile| profile.longest_hold());
        Self::over(held, layout)
    }

    /// Prepares what is looked at over the part in which the load was held.
    pub(super) fn over(held: Option<Part>, layout: &mut LayoutBuilder) -> Self {
        Self(held.map(|held| Prepared { held, response_time: layout.timeline(METRIC, &Selector::default()) }))
    }

    /// The part in which the plan holds the load.
    pub(super) fn held(&self) -> Option<Part> {
        self.0.as_ref().map(|prepared| prepared.held.clone())
    }

    /// Judges a run whose load ended at `end`. None where too little was seen.
    #[must_use]
    pub fn judge(&self, totals: &Totals, end: Duration) -> Option<StationarityReport> {
        let Prepared { held, response_time } = self.0.as_ref()?;
        judge(totals.timeline(*response_time)?, held.start..held.end.min(end), end)
    }
}

// === impl StationarityReport ===

impl StationarityReport {
    /// `yes (the mean response time changed by −2 % to 3 %, 95 % sure)`
    #[must_use]
    pub fn sentence(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        let (low, high) = (percent(self.interval.low), percent(self.interval.high));
        let change = format!("over the held load the mean response time changed by {low} to {high}, 95 % sure");
        let began = format!("it began {} of its level off", percent(self.beginning));
        match (self.stationary, self.settled.map(|settled| settled.as_secs())) {
            (true, _) => format!("yes: {change}"),
            // Within the first second nothing can be told apart.
            (false, Some(0)) => format!("no: {began}; {change}"),
            (false, Some(settled)) => {
                let settled = humantime::format_duration(Duration::from_secs(settled));
                format!("no: {began} and settled after {settled}; {change}")
            }
            (false, None) => format!("no: {change}"),
        }
    }
}

fn judge(timeline: &Timeline, held: Part, end: Duration) -> Option<StationarityReport> {
    let length = held.end.checked_sub(held.start)?;
    let window = (length / WINDOWS).max(timeline.width());
    let windows = u32::try_from(length.as_nanos() / window.as_nanos().max(1)).unwrap_or(0).min(WINDOWS);
    let mut values = Vec::new();
    for i in 0..windows {
        let from = held.start + window * i;
        let Reading::Trend(part) = timeline.reading(&(from..from + window), end) else { return None };
        // An empty window is no value; a run with many of them has too few.
        if let Some(mean) = part.mean() {
            values.push((from, mean.value));
        }
    }
    let series: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    let over: Vec<(f64, f64)> = values.iter().map(|(at, value)| (at.as_secs_f64(), *value)).collect();
    let (beginning, trend) = (geweke(&series)?, trend(&over, 0.95, MOST_LEAN)?);
    let cut = mser(&series)?;
    let level = trend.level.abs().max(f64::MIN_POSITIVE);
    let share = |slope: f64| slope * length.as_secs_f64() / level;
    let matters = |share: f64| share.abs() >= LEAST && share.abs() * level >= LEAST_MS;
    let change = share(trend.slope);
    let interval = Interval { low: share(trend.interval.low), high: share(trend.interval.high) };
    let off = beginning.difference / level;
    let begins_off = beginning.p_value < SIGNIFICANCE && matters(off);
    let trends = !interval.contains(0.0) && matters(change);
    // MSER leaves out half at most: where it would have left out more, nothing settled.
    let settled = (begins_off && cut > 0 && cut * 2 < series.len()).then(|| values.get(cut).map(|(at, _)| *at));
    Some(StationarityReport {
        stationary: !begins_off && !trends,
        held,
        change,
        interval,
        beginning: off,
        p_value: beginning.p_value,
        settled: settled.flatten(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::MetricKind;
    use crate::stats::series;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A minute at 20 requests a second, of 20 ms and noise, and `more` by time.
    fn run(seed: u64, more: impl Fn(f64) -> f64) -> Timeline {
        let mut timeline = Timeline::new(MetricKind::Trend);
        for (i, noise) in series::ar1(1200, 0.5, seed).into_iter().enumerate() {
            let at = i as f64 / 20.0;
            timeline.record((20.0 + 2.0 * noise + more(at)).max(0.1), Duration::from_secs_f64(at));
        }
        timeline
    }

    #[test]
    fn a_calm_run_is_stationary() {
        let calm = |seed| judge(&run(seed, |_| 0.0), Duration::ZERO..MINUTE, MINUTE).unwrap();
        let wrong = (0..100).filter(|seed| !calm(*seed).stationary).count();
        assert!(wrong <= 2, "{wrong} of 100");
        assert!(calm(1).sentence().starts_with("yes: "), "{}", calm(1).sentence());
    }

    #[test]
    fn a_warm_up_is_told_with_its_end() {
        for seed in 0..20 {
            let found = judge(&run(seed, |at| 100.0 * (-at / 3.0).exp()), Duration::ZERO..MINUTE, MINUTE).unwrap();
            let settled = found.settled.unwrap();
            assert!(!found.stationary && (4..30).contains(&settled.as_secs()), "{found:?}");
            assert!(found.sentence().contains("settled after"), "{}", found.sentence());
        }
    }

    #[test]
    fn a_creeping_run_is_not() {
        for seed in 0..20 {
            let found = judge(&run(seed, |at| at * 0.3), Duration::ZERO..MINUTE, MINUTE).unwrap();
            assert!(!found.stationary && found.interval.low > 0.0, "{found:?}");
        }
    }

    #[test]
    fn what_changes_too_little_to_matter_is() {
        assert!(judge(&run(3, |at| at * 0.01), Duration::ZERO..MINUTE, MINUTE).unwrap().stationary);
    }

    #[test]
    fn of_too_little_nothing_is_said() {
        let timeline = run(1, |_| 0.0);
        assert_eq!(judge(&timeline, Duration::ZERO..Duration::from_secs(2), MINUTE), None);
        assert_eq!(judge(&timeline, MINUTE..Duration::ZERO, MINUTE), None);
        assert_eq!(judge(&Timeline::new(MetricKind::Trend), Duration::ZERO..MINUTE, MINUTE), None);
    }
}
