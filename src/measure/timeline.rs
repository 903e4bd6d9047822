//! A metric over time, in bounded memory: 300 bins that double their width when the run outgrows them.
//!
//! A value stands in the bin in which it **ended**, work that never finished in the bin in which it was cut off or,
//! where it never started, was due. What a judge asks is asked of a part of the run; the answer is a reading as of any
//! other cut. Timelines of workers add up, whatever their bins' widths.

use super::cells::{Cell, Range, Share};
use super::histogram::Histogram;
use super::tally::Judging;
use super::totals::Reading;
use super::trend::Trend;
use crate::plan::MetricKind;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A cut through a metric that is kept over time: prepared before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimelineId(pub(crate) u32);

/// A part of a run, from its start: what begins at or after the first and before the second.
pub type Part = std::ops::Range<Duration>;

/// A metric over time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Timeline {
    kind: MetricKind,
    /// By scenario, how often its dropped iteration stands here. Empty: once.
    shares: Vec<f64>,
    /// Whether a value is the time from a due to an end, in milliseconds, so that dues can be counted.
    from_due: bool,
    /// A bin is 2^`shift` nanoseconds wide.
    shift: u32,
    /// With its place, rising; where nothing was counted there is none.
    bins: Vec<(u64, Bin)>,
    /// Emptied bins whose memory serves again.
    #[serde(skip)]
    spare: Vec<Bin>,
}

/// One bin of time.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Bin {
    #[serde(flatten)]
    values: Values,
    /// How much work was due in it.
    #[serde(default, skip_serializing_if = "is_nothing")]
    dues: f64,
    /// How much of what ended here, or was due here and never started, never finished.
    #[serde(default, skip_serializing_if = "is_nothing")]
    censored: f64,
    /// The sum of when that was due, in milliseconds from the run's start.
    #[serde(default, skip_serializing_if = "is_nothing")]
    censored_due: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Values {
    Trend(Histogram),
    Rate(Share),
    Counter { sum: f64, count: u64 },
    Gauge { range: Range, sum: f64 },
}

const BINS: u64 = 300;
/// 0.13 s: the bins of the first 40 s of a run.
const FIRST_SHIFT: u32 = 27;
/// Bins of nine years: no run is longer.
const LAST_SHIFT: u32 = 58;
/// 64 buckets an octave, 1.1 % wide: a third of the memory of scale 7, and finer than any judge looks.
const SCALE: u8 = 6;
/// A worker hands over every second and needs few bins in that time.
const MOST_SPARE: usize = 8;

// === impl Timeline ===

impl Timeline {
    /// An empty timeline of values of this kind.
    #[must_use]
    pub const fn new(kind: MetricKind) -> Self {
        Self { kind, shares: Vec::new(), from_due: false, shift: FIRST_SHIFT, bins: Vec::new(), spare: Vec::new() }
    }

    /// An empty timeline of times from a due to an end, in milliseconds: it counts dues as well. `shares` says by
    /// scenario how often its dropped iteration stands here; where empty, once.
    #[must_use]
    pub fn from_due(shares: Vec<f64>) -> Self {
        Self { from_due: true, shares, ..Self::new(MetricKind::Trend) }
    }

    /// Counts a value that ended `at`, from the run's start. What is not finite is no value.
    #[inline]
    pub fn record(&mut self, value: f64, at: Duration) {
        if !value.is_finite() {
            return;
        }
        self.bin(at).values.record(value, at);
        if self.from_due {
            let took = Duration::try_from_secs_f64(value / 1e3).unwrap_or_default();
            self.bin(at.saturating_sub(took)).dues += 1.0;
        }
    }

    /// Counts work that was cut off `at`.
    pub fn cut_off(&mut self, due: Duration, at: Duration) {
        self.censor(due, at, 1.0);
    }

    /// Counts an iteration of a scenario that was due and could not start.
    pub fn dropped(&mut self, scenario: usize, due: Duration) {
        let share = if self.shares.is_empty() { 1.0 } else { self.shares.get(scenario).copied().unwrap_or(0.0) };
        self.censor(due, due, share);
    }

    /// Adds all of `other`; the wider bins stay.
    pub fn merge(&mut self, other: &Self) {
        while self.shift < other.shift {
            self.double();
        }
        for (place, bin) in &other.bins {
            self.bin(Duration::from_nanos(place << other.shift)).merge(bin);
        }
    }

    /// As [`merge`](Self::merge), as if `other` had been due so much later; times of ends stay.
    pub(crate) fn merge_later(&mut self, other: &Self, by: Duration) {
        let mut other = other.clone();
        for (_, bin) in &mut other.bins {
            bin.censored_due += bin.censored * by.as_secs_f64() * 1e3;
        }
        self.merge(&other);
    }

    /// Adds a gauge that was another's at the same time: the levels of both are summed, bin by bin.
    pub(crate) fn add_levels(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.shift < other.shift {
            self.double();
        }
        while other.shift < self.shift {
            other.double();
        }
        for (place, bin) in other.bins {
            match self.bins.binary_search_by_key(&place, |(place, _)| *place) {
                Ok(at) => {
                    if let (
                        Some((_, Bin { values: Values::Gauge { range, sum }, .. })),
                        Values::Gauge { range: more, sum: others },
                    ) = (self.bins.get_mut(at), bin.values)
                    {
                        let level = *sum / range.count.max(1) as f64 + others / more.count.max(1) as f64;
                        range.add(&more);
                        *sum = level * range.count as f64;
                    }
                }
                Err(at) => self.bins.insert(at, (place, bin)),
            }
        }
    }

    /// Whether it is one that could have been recorded: what comes from a file is not believed.
    pub(crate) fn is_sound(&self) -> bool {
        let same = |values: &Values| {
            matches!(
                (self.kind, values),
                (MetricKind::Trend, Values::Trend(_))
                    | (MetricKind::Rate, Values::Rate(_))
                    | (MetricKind::Counter, Values::Counter { .. })
                    | (MetricKind::Gauge, Values::Gauge { .. })
            )
        };
        (FIRST_SHIFT..=LAST_SHIFT).contains(&self.shift)
            && self.bins.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && self.bins.iter().all(|(place, bin)| *place < BINS && same(&bin.values))
    }

    /// What kind of values it has.
    pub(crate) const fn kind(&self) -> MetricKind {
        self.kind
    }

    /// Forgets what was counted. The width stays: the run has not become shorter.
    pub fn clear(&mut self) {
        for (_, mut bin) in self.bins.drain(..) {
            if self.spare.len() < MOST_SPARE {
                bin.clear();
                self.spare.push(bin);
            }
        }
    }

    /// How wide a bin is: at most a 150th of the run after the first 40 s.
    #[must_use]
    pub const fn width(&self) -> Duration {
        Duration::from_nanos(1 << self.shift)
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bins.is_empty()
    }

    /// The figures of all bins that begin in a part of the run, had it ended at `end`.
    #[must_use]
    pub fn reading(&self, part: &Part, end: Duration) -> Reading {
        let mut values = Values::new(self.kind);
        self.within(part).for_each(|bin| values.merge(&bin.values));
        match values {
            Values::Trend(finished) => Reading::Trend(Box::new(Trend::new(finished, self.ages(part, end)))),
            Values::Rate(share) => Reading::Rate(share),
            Values::Counter { sum, .. } => Reading::Counter(sum),
            Values::Gauge { range, .. } => Reading::Gauge(range),
        }
    }

    /// How many values began in a part of the run, those that never finished too.
    #[must_use]
    pub fn count(&self, part: &Part) -> u64 {
        let censored: f64 = self.within(part).map(|bin| bin.censored).sum();
        self.within(part).map(|bin| bin.values.count()).sum::<u64>() + censored.round() as u64
    }

    /// How much work was due in a part of the run; 0 where values are no times from a due.
    #[must_use]
    pub fn dues(&self, part: &Part) -> f64 {
        self.within(part).map(|bin| bin.dues).sum()
    }

    /// The mean of a gauge's values in a part of the run. None where there is none, or this is no gauge.
    #[must_use]
    pub fn level(&self, part: &Part) -> Option<f64> {
        let each = self.within(part).filter_map(|bin| match &bin.values {
            Values::Gauge { range, sum } => Some((*sum, range.count)),
            _ => None,
        });
        let (sum, count) = each.fold((0.0, 0), |(sum, count), (s, n)| (sum + s, count + n));
        (count > 0).then(|| sum / count as f64)
    }

    /// What finished, bin by bin: where this is a trend.
    pub fn histograms(&self, part: &Part) -> impl Iterator<Item = &Histogram> {
        self.within(part).filter_map(|bin| match &bin.values {
            Values::Trend(histogram) => Some(histogram),
            _ => None,
        })
    }

    /// How much never finished, bin by bin, in step with [`histograms`](Self::histograms).
    pub fn censored(&self, part: &Part) -> impl Iterator<Item = f64> {
        self.within(part).map(|bin| bin.censored)
    }

    /// The memory it takes, in bytes, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let inner = |bin: &Bin| match &bin.values {
            Values::Trend(histogram) => histogram.bytes().saturating_sub(size_of::<Histogram>()),
            _ => 0,
        };
        let bins = self.bins.iter().map(|(_, bin)| bin).chain(&self.spare);
        self.bins.capacity() * size_of::<(u64, Bin)>() + bins.map(inner).sum::<usize>()
    }

    fn within(&self, part: &Part) -> impl Iterator<Item = &Bin> {
        let begins = |place: u64| Duration::from_nanos(place << self.shift);
        let from = self.bins.partition_point(|(place, _)| begins(*place) < part.start);
        let to = self.bins.partition_point(|(place, _)| begins(*place) < part.end);
        self.bins.get(from..to.max(from)).unwrap_or_default().iter().map(|(_, bin)| bin)
    }

    /// The lower bounds of what never finished, in milliseconds; the whole is rounded once.
    fn ages(&self, part: &Part, end: Duration) -> Vec<(f64, u64)> {
        let end = end.as_secs_f64() * 1e3;
        let mut ages = Vec::new();
        let (mut seen, mut given) = (0.0, 0);
        for bin in self.within(part).filter(|bin| bin.censored > 0.0) {
            seen += bin.censored;
            let upto = seen.round() as u64;
            if upto > given {
                ages.push(((end - bin.censored_due / bin.censored).max(0.0), upto - given));
                given = upto;
            }
        }
        ages
    }

    fn censor(&mut self, due: Duration, at: Duration, share: f64) {
        if share <= 0.0 {
            return;
        }
        let bin = self.bin(at);
        bin.censored += share;
        bin.censored_due += share * due.as_secs_f64() * 1e3;
        if self.from_due {
            self.bin(due).dues += share;
        }
    }

    /// The bin of an instant; made where there is none.
    #[inline]
    fn bin(&mut self, at: Duration) -> &mut Bin {
        let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
        while nanos >> self.shift >= BINS {
            self.double();
        }
        let place = nanos >> self.shift;
        // Nearly always the last one.
        let found = match self.bins.last() {
            Some((last, _)) if *last == place => Ok(self.bins.len() - 1),
            Some((last, _)) if *last > place => self.bins.binary_search_by_key(&place, |(place, _)| *place),
            _ => Err(self.bins.len()),
        };
        let index = found.unwrap_or_else(|index| {
            let bin = self.spare.pop().unwrap_or_else(|| Bin::new(self.kind));
            self.bins.insert(index, (place, bin));
            index
        });
        &mut self.bins[index].1
    }

    #[cold]
    fn double(&mut self) {
        self.shift += 1;
        let mut joined: Vec<(u64, Bin)> = Vec::with_capacity(self.bins.len());
        for (place, bin) in self.bins.drain(..) {
            match joined.last_mut() {
                Some((last, into)) if *last == place / 2 => into.merge(&bin),
                _ => joined.push((place / 2, bin)),
            }
        }
        self.bins = joined;
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_nothing(value: &f64) -> bool {
    *value == 0.0
}

// === impl Bin, Values ===

impl Bin {
    fn new(kind: MetricKind) -> Self {
        Self { values: Values::new(kind), dues: 0.0, censored: 0.0, censored_due: 0.0 }
    }

    fn merge(&mut self, other: &Self) {
        self.values.merge(&other.values);
        self.dues += other.dues;
        self.censored += other.censored;
        self.censored_due += other.censored_due;
    }

    fn clear(&mut self) {
        (self.dues, self.censored, self.censored_due) = (0.0, 0.0, 0.0);
        match &mut self.values {
            Values::Trend(histogram) => histogram.clear(),
            Values::Rate(share) => *share = Share::default(),
            Values::Counter { sum, count } => (*sum, *count) = (0.0, 0),
            Values::Gauge { range, sum } => (*range, *sum) = (Range::default(), 0.0),
        }
    }
}

impl Values {
    fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Trend => {
                let mut histogram = Histogram::new();
                histogram.scale_down(SCALE);
                Self::Trend(histogram)
            }
            MetricKind::Rate => Self::Rate(Share::default()),
            MetricKind::Counter => Self::Counter { sum: 0.0, count: 0 },
            MetricKind::Gauge => Self::Gauge { range: Range::default(), sum: 0.0 },
        }
    }

    #[inline]
    fn record(&mut self, value: f64, at: Duration) {
        match self {
            Self::Trend(histogram) => histogram.record(value),
            Self::Rate(share) => share.add(value != 0.0),
            Self::Counter { sum, count } => {
                *sum += value;
                *count += 1;
            }
            Self::Gauge { range, sum } => {
                range.set(value, at);
                *sum += value;
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Trend(a), Self::Trend(b)) => a.merge(b),
            (Self::Rate(a), Self::Rate(b)) => a.merge(b),
            (Self::Counter { sum, count }, Self::Counter { sum: more, count: others }) => {
                *sum += more;
                *count += others;
            }
            (Self::Gauge { range, sum }, Self::Gauge { range: other, sum: more }) => {
                range.merge(other);
                *sum += more;
            }
            // Two timelines of one cut have the same kind.
            _ => {}
        }
    }

    const fn count(&self) -> u64 {
        match self {
            Self::Trend(histogram) => histogram.count(),
            Self::Rate(share) => share.total,
            Self::Counter { count, .. } => *count,
            Self::Gauge { range, .. } => range.count,
        }
    }
}

/// What a prepared cell is made as.
#[derive(Clone, Debug)]
pub(crate) enum Prepared {
    /// One figure over all of its samples.
    Whole(MetricKind),
    /// Over time: the empty timeline.
    OverTime(Box<Timeline>),
    /// Judged one by one: nothing counted yet.
    Judged(Box<Judging>),
}

// === impl Prepared ===

impl Prepared {
    pub(crate) fn cell(&self) -> Cell {
        match self {
            Self::Whole(kind) => Cell::new(*kind),
            Self::OverTime(timeline) => Cell::Timeline(timeline.clone()),
            Self::Judged(judging) => Cell::Tally(judging.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::measure::{
        IterationSample, Layout, LayoutBuilder, Recorder, RecorderHandle, RequestSample, Selector, SiteTags, Timings,
        Totals,
    };
    use proptest::prelude::*;
    use std::sync::Arc;
    use tokio::time::Instant;

    const ALL: Part = Duration::ZERO..Duration::MAX;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn trend(reading: Reading) -> Trend {
        match reading {
            Reading::Trend(trend) => *trend,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_part_of_the_run_has_its_own_figures() {
        let mut timeline = Timeline::new(MetricKind::Trend);
        for second in 0..30 {
            timeline.record(if second < 10 { 5.0 } else { 50.0 }, ms(second * 1000 + 500));
        }
        let median = |part: Part| trend(timeline.reading(&part, ms(30_000))).quantile(0.5).unwrap().value;
        assert_eq!(median(ms(0)..ms(10_000)).round(), 5.0);
        assert_eq!(median(ms(10_000)..ms(30_000)).round(), 50.0);
        assert_eq!(timeline.count(&(ms(0)..ms(10_000))), 10);
        assert_eq!(timeline.count(&(ms(40_000)..ms(50_000))), 0);
    }

    #[test]
    fn a_month_takes_what_an_hour_takes() {
        let mut timeline = Timeline::new(MetricKind::Trend);
        let mut hour = 0;
        for minute in 0..60 * 24 * 30 {
            for value in [1.0, 2.5, 9.0, 120.0] {
                timeline.record(value, Duration::from_secs(60 * minute));
            }
            if minute == 60 {
                hour = timeline.bytes();
            }
        }
        assert!(timeline.bins.len() <= 300 && timeline.bins.len() > 140, "{}", timeline.bins.len());
        assert!(timeline.bytes() < 1_000_000 && timeline.bytes() < hour * 5, "{} {hour}", timeline.bytes());
        assert_eq!(timeline.count(&ALL), 4 * 60 * 24 * 30);
    }

    #[test]
    fn what_never_finished_stands_at_its_age_in_the_bin_in_which_it_was_cut_off_or_due() {
        let mut timeline = Timeline::from_due(vec![0.5]);
        timeline.record(20.0, ms(1_000));
        timeline.cut_off(ms(8_000), ms(10_000));
        timeline.dropped(0, ms(4_000));
        timeline.dropped(0, ms(4_001));
        timeline.dropped(1, ms(4_001));
        let censored = |part: Part| trend(timeline.reading(&part, ms(10_000))).censored().to_vec();
        assert_eq!(censored(ms(9_500)..ms(11_000)), [(2_000.0, 1)]);
        assert_eq!(censored(ms(3_000)..ms(5_000)), [(5_999.5, 1)]);
        assert_eq!(censored(ms(0)..ms(3_000)), []);
        assert_eq!(timeline.dues(&ALL), 3.0);
        assert_eq!(timeline.dues(&(ms(7_800)..ms(8_100))), 1.0);
    }

    #[test]
    fn gauges_and_counters_have_means_and_sums() {
        let mut gauge = Timeline::new(MetricKind::Gauge);
        let mut counter = Timeline::new(MetricKind::Counter);
        for second in 0..10 {
            gauge.record(f64::from(second), Duration::from_secs(u64::from(second as u32)));
            counter.record(2.0, Duration::from_secs(u64::from(second as u32)));
        }
        assert_eq!(gauge.level(&ALL), Some(4.5));
        assert_eq!(gauge.level(&(ms(0)..ms(1_500))), Some(0.5));
        assert_eq!(gauge.level(&(ms(1_500)..ms(1_850))), None);
        let Reading::Counter(sum) = counter.reading(&(ms(0)..ms(4_500)), ms(10_000)) else { panic!("a counter") };
        assert_eq!(sum, 10.0);
        let Reading::Gauge(range) = gauge.reading(&ALL, ms(10_000)) else { panic!("a gauge") };
        assert_eq!((range.value, range.min, range.max), (9.0, 0.0, 9.0));
    }

    /// Two scenarios; the second passes through its step every other time.
    fn layout(cuts: &[&str]) -> (Arc<Layout>, Vec<TimelineId>) {
        let mut builder = LayoutBuilder::new(Vec::new());
        for (name, share) in [("a", 1.0), ("b", 0.5)] {
            let scenario = builder.scenario(name, &[]);
            builder.site(scenario, SiteTags { step: "chat".into(), ..SiteTags::default() }, share);
        }
        let ids = cuts.iter().map(|cut| {
            let (name, selector) = Selector::parse_metric(cut).unwrap();
            let metric = builder.find(name).unwrap();
            builder.timeline(metric, &selector)
        });
        let ids: Vec<_> = ids.collect();
        (builder.build(), ids)
    }

    fn request(start: Instant, due: u64, ended: u64, status: u16) -> RequestSample {
        RequestSample {
            due: start + ms(due),
            ended: start + ms(ended),
            timings: Timings { waiting: ms(ended - due), ..Timings::default() },
            status,
            expected: status == 200,
            failure: None,
            proto: None,
            tls: None,
            tenant: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_workers_record_is_read_over_time() {
        use crate::measure::{ScenarioId, SiteId};
        let cuts = [
            "http_req_response_time",
            "http_req_response_time{scenario:b}",
            "http_req_failed{scenario:a}",
            "iteration_response_time",
            "vus",
            "http_req_response_time",
        ];
        let (layout, ids) = layout(&cuts);
        assert_eq!(ids[0], ids[5], "the same cut is kept once");
        let start = Instant::now();
        let mut totals = Totals::new(layout.clone(), start);
        for worker in 0..2_u64 {
            let handle = RecorderHandle::new(Recorder::new(layout.clone(), start));
            let (a, b) = (ScenarioId(0), ScenarioId(1));
            handle.request(SiteId(0), &request(start, 1_000, 1_100 + worker, 200));
            handle.request(SiteId(0), &request(start, 61_000, 61_100, 500));
            handle.request(SiteId(1), &request(start, 1_000, 1_200, 200));
            handle.request_cut_off(SiteId(1), start + ms(99_000), start + ms(100_000));
            handle.iteration_dropped(b, start + ms(50_000));
            handle.iteration(
                a,
                &IterationSample { due: start + ms(1_000), started: start + ms(1_000), ended: start + ms(1_100) },
            );
            handle.iteration_cut_off(b, start + ms(99_000), start + ms(99_000), start + ms(100_000));
            handle.vus(a, 3, 3);
            let full = handle.swap(Recorder::new(layout.clone(), start));
            totals.merge(&full);
        }
        tokio::time::advance(ms(2_000)).await;
        totals.sample_vus();
        let end = ms(100_000);
        let of = |i: usize| totals.timeline(ids[i]).unwrap();
        assert_eq!(of(0).count(&ALL), 9, "three finished and one cut off on either, and half of two that were dropped");
        assert_eq!(of(1).count(&ALL), 5);
        assert_eq!(of(3).count(&ALL), 6);
        assert_eq!(of(3).dues(&(ms(0)..ms(2_000))), 2.0);
        assert_eq!(of(3).dues(&(ms(49_000)..ms(51_000))), 2.0);
        assert_eq!(of(4).level(&ALL), Some(6.0));
        let Reading::Rate(failed) = of(2).reading(&(ms(60_000)..ms(62_000)), end) else { panic!("a rate") };
        assert_eq!((failed.passes, failed.total), (2, 2));
        let late = trend(of(1).reading(&(ms(99_500)..ms(101_000)), end));
        assert_eq!(late.censored(), [(1_000.0, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_ran_before_the_load_stands_on_no_timeline() {
        let (layout, ids) = layout(&["http_req_response_time"]);
        let before = Instant::now();
        let setup = RecorderHandle::new(Recorder::new(layout.clone(), before));
        setup.request(crate::measure::SiteId(0), &request(before, 0, 10, 200));
        tokio::time::advance(ms(50)).await;
        let mut totals = Totals::new(layout.clone(), Instant::now());
        totals.merge(&setup.swap(Recorder::new(layout, before)));
        assert_eq!(totals.requests(), 1);
        assert!(totals.timeline(ids[0]).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn however_it_is_split_and_handed_over_the_sum_is_the_same(
            mut samples in prop::collection::vec((0_u64..10_000_000, 0.1..1e5_f64, 0_usize..3), 1..200),
            split in 0_u64..10_000_000,
        ) {
            let mut whole = Timeline::from_due(Vec::new());
            let mut parts = [(); 3].map(|()| Timeline::from_due(Vec::new()));
            let mut sum = Timeline::from_due(Vec::new());
            samples.sort_by_key(|(at, _, _)| *at);
            for (i, (at, value, worker)) in samples.iter().enumerate() {
                whole.record(*value, ms(*at));
                parts[*worker].record(*value, ms(*at));
                if i % 7 == 0 {
                    sum.merge(&parts[*worker]);
                    parts[*worker].clear();
                }
            }
            parts.iter().for_each(|part| sum.merge(part));
            prop_assert_eq!(whole.width(), sum.width());
            prop_assert!(sum.bins.len() <= 300 && sum.spare.len() <= MOST_SPARE);
            prop_assert_eq!(sum.count(&ALL), samples.len() as u64);
            for part in [ALL, ms(0)..ms(split), ms(split)..ms(20_000_000)] {
                prop_assert_eq!(whole.count(&part), sum.count(&part));
                prop_assert_eq!(whole.dues(&part), sum.dues(&part));
                let quantile = |timeline: &Timeline| trend(timeline.reading(&part, ms(10_000_000))).quantile(0.9);
                prop_assert_eq!(quantile(&whole), quantile(&sum));
            }
        }
    }
}
