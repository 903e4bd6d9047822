//! Both sides come late, twice, in any order, or never.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::correlate::{BandName, Part, SpanKind};
use crate::measure::{IterationOutcome, LayoutBuilder, RequestSample, ScenarioId, SiteId, SiteTags, Timings};
use crate::semconv::RunId;

const EPOCH: Duration = Duration::from_secs(1_800_000_000);

struct Stage {
    joiner: Joiner,
    start: Instant,
    site: SiteId,
    scenario: ScenarioId,
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn trace(n: u64) -> TraceId {
    TraceId::of_run(RunId::new(7), n)
}

fn id(n: u64) -> SpanId {
    SpanId::new(n)
}

fn stage(sampling: Sampling) -> Stage {
    let mut layout = LayoutBuilder::new(Vec::new());
    let scenario = layout.scenario("main", &[]);
    let tags = SiteTags { step: "agent".into(), method: "GET".into(), url: "/".into() };
    let site = layout.site(scenario, tags, 1.0);
    let start = Instant::now();
    let clock = WallClock::new(start, EPOCH);
    let config = JoinConfig { sampling, linger: ms(10_000), longest: ms(60_000), clock, local: true };
    Stage { joiner: Joiner::new(config, &layout.build()), start, site, scenario }
}

impl Stage {
    #[allow(clippy::too_many_arguments, reason = "each test says all of them")]
    /// A request with the client span `span` from and to so many ms after the start.
    fn record(
        &self,
        trace: TraceId,
        span: u64,
        hop: u16,
        last: bool,
        from: u64,
        to: u64,
        header: Option<&str>,
    ) -> Record {
        let sample = RequestSample {
            due: self.start,
            ended: self.start + ms(to),
            timings: Timings { waiting: ms(to - from), ..Timings::default() },
            status: 200,
            expected: true,
            failure: None,
            proto: None,
            tls: None,
            tenant: 0,
        };
        let server_timing = header.map(Into::into);
        Record::Request(RequestRecord { site: self.site, trace, span: id(span), hop, last, sample, server_timing })
    }

    fn request(&mut self, trace: TraceId, span: u64, from: u64, to: u64) {
        let records = vec![self.record(trace, span, 0, true, from, to, None)];
        self.joiner.take(&Batch { records, ..Batch::default() }, self.start + ms(to));
    }

    fn span(&mut self, trace: TraceId, span: u64, parent: u64, kind: SpanKind, from: u64, to: u64) {
        self.named(trace, span, parent, kind, "span", from, to);
    }

    #[allow(clippy::too_many_arguments)]
    fn named(&mut self, trace: TraceId, span: u64, parent: u64, kind: SpanKind, name: &str, from: u64, to: u64) {
        let span = ServerSpan {
            trace,
            span: id(span),
            parent: Some(id(parent)),
            name: name.into(),
            scope: String::new(),
            service: "api".into(),
            kind,
            start: EPOCH + ms(from),
            end: EPOCH + ms(to),
            attributes: Vec::new(),
        };
        self.joiner.span(&span, self.start + ms(to));
    }

    fn ended(&mut self, trace: TraceId, at: u64) {
        let (started, ended) = (self.start, self.start + ms(at));
        let (scenario, outcome) = (self.scenario, IterationOutcome::Completed);
        let record = IterationRecord { scenario, trace, due: started, started, ended, tenant: 0, outcome };
        self.joiner.take(&Batch { records: vec![Record::Iteration(record)], ..Batch::default() }, ended);
    }

    fn tick(&mut self, at: u64) {
        self.joiner.tick(self.start + ms(at));
    }

    fn finish(self) -> AttributionReport {
        self.joiner.finish()
    }
}

#[tokio::test(start_paused = true)]
async fn either_side_may_come_first_and_the_window_closes_linger_after_the_end() {
    for spans_first in [false, true] {
        let mut stage = stage(Sampling::ALL);
        if !spans_first {
            stage.request(trace(1), 11, 0, 100);
            assert!(!stage.joiner.is_settled(stage.start + ms(5_000)));
        }
        // The child comes in a message before its parent.
        stage.named(trace(1), 13, 12, SpanKind::Internal, "pool.acquire", 10, 70);
        stage.span(trace(1), 12, 11, SpanKind::Server, 5, 95);
        if spans_first {
            stage.request(trace(1), 11, 0, 100);
        }
        stage.ended(trace(1), 101);
        assert!(!stage.joiner.is_settled(stage.start + ms(200)), "a straggler may be on its way");
        assert!(stage.joiner.is_settled(stage.start + ms(5_000)));
        stage.tick(10_099);
        assert_eq!((stage.joiner.counts().joined, stage.joiner.held_spans), (0, 2), "{spans_first}");
        stage.tick(10_100);
        assert_eq!((stage.joiner.counts().joined, stage.joiner.counts().expected), (1, 1));
        assert_eq!((stage.joiner.held_spans, stage.joiner.traces.len(), stage.joiner.unjoined), (0, 0, 0));
        let report = stage.finish();
        assert_eq!(report.bands.len(), 3);
        assert_eq!(report.bands[0].band, BandName::P50);
        assert!((report.bands[0].part(Part::PoolWait) - 60.0).abs() < 1e-9);
        assert_eq!(report.bands[0].exemplars, [trace(1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_twice_counts_once_and_what_comes_too_late_not_at_all() {
    let mut stage = stage(Sampling::ALL);
    stage.request(trace(1), 11, 0, 100);
    stage.span(trace(1), 12, 11, SpanKind::Server, 0, 100);
    stage.span(trace(1), 12, 11, SpanKind::Server, 0, 100);
    stage.ended(trace(1), 100);
    stage.tick(10_200);
    stage.span(trace(1), 13, 12, SpanKind::Client, 0, 100);
    assert_eq!(stage.joiner.counts().duplicates, 1);
    // Nobody claims it any more.
    stage.tick(100_000);
    assert_eq!((stage.joiner.held_spans, stage.joiner.traces.len()), (0, 0));
    let counts = stage.finish().counts;
    assert_eq!((counts.joined, counts.unclaimed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn sampled_out_is_not_expected_and_what_never_comes_is() {
    let mut stage = stage(Sampling::ratio(0.5));
    let (taken, left) = (trace(1), trace(u64::MAX));
    stage.request(taken, 11, 0, 50);
    stage.request(left, 21, 0, 50);
    stage.span(left, 22, 21, SpanKind::Server, 0, 50);
    stage.tick(20_000);
    let report = stage.finish();
    assert_eq!((report.counts.expected, report.counts.joined), (1, 0));
    assert!(report.bands.is_empty(), "nobody knows anything");
}

#[tokio::test(start_paused = true)]
async fn the_steps_of_an_iteration_are_told_apart_and_orphans_by_time() {
    let mut stage = stage(Sampling::ALL);
    stage.request(trace(1), 11, 0, 100);
    stage.request(trace(1), 21, 200, 300);
    stage.span(trace(1), 12, 11, SpanKind::Server, 0, 100);
    stage.span(trace(1), 22, 21, SpanKind::Server, 200, 300);
    // The parent of each is missing.
    stage.named(trace(1), 13, 88, SpanKind::Client, "sql.query", 10, 60);
    stage.named(trace(1), 23, 99, SpanKind::Client, "sql.query", 210, 280);
    stage.ended(trace(1), 301);
    let report = stage.finish();
    assert_eq!((report.counts.expected, report.counts.joined, report.counts.unclaimed), (2, 2, 0));
    let p50 = &report.bands[0];
    assert!((p50.part(Part::Db) - 60.0).abs() < 1e-9, "50 of one, 70 of the other: {p50:?}");
}

#[tokio::test(start_paused = true)]
async fn each_hop_of_a_redirect_has_its_own_server_span() {
    let mut stage = stage(Sampling::ALL);
    let hops = [stage.record(trace(1), 11, 0, false, 0, 40, None), stage.record(trace(1), 11, 1, true, 40, 140, None)];
    stage.joiner.take(&Batch { records: hops.into(), ..Batch::default() }, stage.start + ms(140));
    assert_eq!(stage.joiner.unjoined, 2);
    stage.span(trace(1), 12, 11, SpanKind::Server, 0, 40);
    assert_eq!(stage.joiner.unjoined, 1);
    stage.span(trace(1), 13, 11, SpanKind::Server, 45, 135);
    stage.named(trace(1), 14, 13, SpanKind::Client, "sql.query", 50, 130);
    let report = stage.finish();
    assert_eq!((report.counts.expected, report.counts.joined), (2, 2));
    let slow = report.bands.iter().find(|band| band.band == BandName::P99).unwrap();
    assert!((slow.total_ms - 100.0).abs() < 1e-9 && (slow.part(Part::Db) - 80.0).abs() < 1e-9, "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn a_header_stands_in_for_spans_that_do_not_come() {
    let mut stage = stage(Sampling::ALL);
    let record = stage.record(trace(1), 11, 0, true, 0, 100, Some("pool;dur=60, total;dur=90"));
    stage.joiner.take(&Batch { records: vec![record], lost: 3, ..Batch::default() }, stage.start + ms(100));
    let report = stage.finish();
    assert_eq!((report.counts.joined, report.counts.by_header, report.counts.records_lost), (1, 1, 3));
    assert!((report.bands[0].part(Part::PoolWait) - 60.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_whatever_comes() {
    let mut stage = stage(Sampling::ALL);
    for n in 0..MOST_OF_A_TRACE as u64 + 10 {
        stage.span(trace(1), n + 1, 0, SpanKind::Internal, 0, 1);
    }
    assert_eq!((stage.joiner.held_spans, stage.joiner.counts().spans_lost), (MOST_OF_A_TRACE, 10));
    for n in 0..MOST_SPANS as u64 + 5_000 {
        stage.span(trace(n + 2), 1, 0, SpanKind::Internal, 0, 1);
    }
    assert!(stage.joiner.held_spans <= MOST_SPANS && stage.joiner.traces.len() <= MOST_SPANS);
    // A flood that nobody claims does not keep a request from being joined.
    stage.request(trace(u64::MAX), 11, 0, 100);
    stage.span(trace(u64::MAX), 12, 11, SpanKind::Server, 0, 100);
    stage.tick(10_100);
    assert_eq!(stage.joiner.counts().joined, 1);
    stage.tick(1_000_000);
    assert_eq!((stage.joiner.held_spans, stage.joiner.traces.len(), stage.joiner.unjoined), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_first_requests_of_a_run_know_the_way_as_well_as_the_last() {
    let mut stage = stage(Sampling::ALL);
    // The first waits 80 ms for the server's attention; the others are there at once.
    for n in 0..40 {
        let (from, late) = (n * 100, if n == 0 { 80 } else { 0 });
        stage.request(trace(n), 2 * n + 10, from, from + late + 10);
        stage.span(trace(n), 2 * n + 11, 2 * n + 10, SpanKind::Server, from + late, from + late + 10);
        stage.ended(trace(n), from + late + 10);
    }
    let report = stage.finish();
    let slow = report.bands.iter().find(|band| band.band == BandName::P99).unwrap();
    assert!(slow.part(Part::ServerQueue) > 0.0 && slow.part(Part::Network) < 1e-9, "{slow:?}");
}

#[test]
fn what_is_on_this_machine_is_seen_from_the_url() {
    for (url, expected) in [
        ("http://127.0.0.1:8080", Some(true)),
        ("http://[::1]/x", Some(true)),
        ("https://localhost", Some(true)),
        ("http://192.0.2.1", Some(false)),
        ("http://localhost.example.com", Some(false)),
        ("/api/{{ id }}", None),
        ("{{ anywhere }}", None),
    ] {
        assert_eq!(local(url), expected, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_without_end_and_a_circle_are_joined_in_no_time() {
    let mut stage = stage(Sampling::ALL);
    stage.request(trace(1), 1, 0, 100);
    stage.span(trace(1), 2, 1, SpanKind::Server, 0, 100);
    let most = MOST_OF_A_TRACE as u64 - 1_000;
    for n in 3..most {
        stage.named(trace(1), n, n - 1, SpanKind::Client, "sql.query", 10, 60);
    }
    // A circle of the rest, and one too many for the trace, so that the API's own time is not known.
    for n in 0..999 {
        stage.named(trace(1), most + n, most + (n + 1) % 999, SpanKind::Client, "sql.query", 10, 90);
    }
    for n in 0..10 {
        stage.span(trace(1), 1_000_000 + n, 2, SpanKind::Internal, 0, 1);
    }
    stage.ended(trace(1), 100);
    let report = stage.finish();
    assert_eq!((report.counts.joined, report.counts.expected), (1, 1));
    let p50 = &report.bands[0];
    assert!((p50.total_ms - 100.0).abs() < 1e-9 && (p50.part(Part::Db) - 50.0).abs() < 1e-9, "{p50:?}");
    assert!((p50.part(Part::Unexplained) - 50.0).abs() < 1e-9, "{p50:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_joined_leaves_nothing_however_long_a_request_may_take() {
    let mut stage = stage(Sampling::ALL);
    stage.joiner.config.longest = Duration::from_secs(24 * 3_600);
    for n in 0..200_000 {
        stage.request(trace(n), 11, n, n + 1);
        stage.span(trace(n), 12, 11, SpanKind::Server, n, n + 1);
        stage.ended(trace(n), n + 1);
    }
    // Of 200 s the last ten are waited for.
    let waiting = stage.joiner.traces.len();
    assert!(waiting <= 10_001 && stage.joiner.closing.len() == waiting && stage.joiner.held_spans == waiting);
    assert!(stage.joiner.forgetting.len() <= 2 * waiting + FEW + 1, "{}", stage.joiner.forgetting.len());
}
