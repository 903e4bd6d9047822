//! Requests as APIs in the field record them, and what no set of spans may ever do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::correlate::intake::{ServerSpan, SpanKind};
use crate::semconv::{RunId, TraceId};
use proptest::prelude::*;
use std::time::Duration;

const CLIENT: u64 = 1;

fn id(n: u64) -> SpanId {
    SpanId::new(n)
}

fn ms(n: i64) -> i64 {
    n * 1_000_000
}

/// A call of so many milliseconds that began at 1,000 ms.
fn call(total: u64) -> Call {
    Call {
        span: id(CLIENT),
        start: ms(1_000),
        sending: 0,
        waiting: total * 1_000_000,
        receiving: 0,
        offset: 0,
        way: None,
        local: true,
        complete: true,
    }
}

/// A span by role, from and to in milliseconds after the call's start.
fn span(number: u64, parent: u64, role: Role, from: i64, to: i64) -> Span {
    Span { id: id(number), parent: Some(id(parent)), service: 0, role, start: ms(1_000 + from), end: ms(1_000 + to) }
}

fn elsewhere(span: Span, service: u16) -> Span {
    Span { service, ..span }
}

const SERVER: Role = Role::Server { queued: 0 };

fn parts(call: &Call, spans: &[Span]) -> Vec<(&'static str, u64)> {
    let found = attribute(call, spans).expect("a server span");
    assert_eq!(found.parts.total(), call.total());
    found.parts.iter().filter(|(_, value)| *value > 0).map(|(part, value)| (part.as_str(), value / 1_000_000)).collect()
}

#[test]
fn a_request_of_node_with_a_pool_is_told_apart() {
    let spans = [
        span(2, 1, SERVER, 2, 198),
        span(3, 2, Role::Internal, 3, 197),
        span(4, 3, Role::Pool, 10, 110),
        span(5, 4, Role::Connect, 90, 110),
        span(6, 3, Role::Db, 110, 160),
        span(7, 3, Role::Upstream, 160, 190),
    ];
    let expected = [("network", 4), ("pool_wait", 80), ("connect", 20), ("db", 50), ("upstream", 30), ("app", 16)];
    assert_eq!(parts(&call(200), &spans), expected);
}

#[test]
fn knex_without_a_pool_span_has_a_connect_and_no_negative_wait() {
    // knex' CLIENT span wraps pg's; before it a hole, which is nobody's wait.
    let spans = [
        span(2, 1, SERVER, 0, 100),
        span(3, 2, Role::Connect, 40, 50),
        span(4, 2, Role::Db, 50, 90),
        span(5, 4, Role::Db, 52, 88),
    ];
    assert_eq!(parts(&call(100), &spans), [("connect", 10), ("db", 40), ("app", 50)]);
}

#[test]
fn queries_at_once_are_counted_once() {
    let spans = [
        span(2, 1, SERVER, 0, 100),
        span(3, 2, Role::Db, 10, 40),
        span(4, 2, Role::Db, 10, 90),
        span(5, 2, Role::Db, 60, 80),
    ];
    assert_eq!(parts(&call(100), &spans), [("db", 80), ("app", 20)]);
    let overlapping = [span(2, 1, SERVER, 0, 100), span(3, 2, Role::Db, 0, 60), span(4, 2, Role::Upstream, 40, 100)];
    assert_eq!(parts(&call(100), &overlapping), [("db", 40), ("upstream", 60)]);
}

#[test]
fn what_outlives_the_answer_was_not_waited_for() {
    let spans = [
        span(2, 1, SERVER, 0, 100),
        span(3, 2, Role::Upstream, 20, 500),
        span(4, 3, Role::Db, 20, 99),
        span(5, 2, Role::Db, 10, 30),
    ];
    assert_eq!(parts(&call(102), &spans), [("network", 2), ("db", 20), ("app", 80)]);
    assert_eq!(attribute(&call(102), &spans).unwrap().detached, 1);
}

#[test]
fn children_of_a_middleware_that_ended_early_are_kept() {
    let spans = [span(2, 1, SERVER, 0, 100), span(3, 2, Role::Handler, 10, 11), span(4, 3, Role::Db, 20, 80)];
    assert_eq!(parts(&call(100), &spans), [("server_queue", 10), ("db", 60), ("app", 30)]);
}

#[test]
fn a_clock_that_is_off_is_put_right() {
    for off in [3_600_000, -3_600_000, 60, -60] {
        let spans = [span(2, 1, SERVER, off + 5, off + 95), span(3, 2, Role::Db, off + 10, off + 70)];
        assert_eq!(parts(&call(100), &spans), [("network", 10), ("db", 60), ("app", 30)], "{off}");
        assert!(attribute(&call(100), &spans).unwrap().skewed);
    }
    // One wrong span made the clock known wrongly: who lies within its request as it is, is left alone.
    let within = [span(2, 1, SERVER, 5, 95)];
    assert!(!attribute(&Call { offset: ms(-3_600_000), ..call(100) }, &within).unwrap().skewed);
    // Known from other requests: nothing is left to put right.
    let spans = [span(2, 1, SERVER, 65, 155)];
    assert!(!attribute(&Call { offset: ms(60), ..call(100) }, &spans).unwrap().skewed);
}

#[test]
fn a_start_on_whole_milliseconds_is_no_skew() {
    let mut server = span(2, 1, SERVER, 0, 20);
    server.start -= 900_000;
    server.end -= 900_000;
    assert!(!attribute(&call(21), &[server]).unwrap().skewed);
    assert_eq!(attribute(&call(21), &[server]).unwrap().parts.total(), 21_000_000);
}

#[test]
fn a_service_behind_the_api_is_upstream_but_for_its_database() {
    // Its clock is an hour off.
    let off = 3_600_000;
    let spans = [
        span(2, 1, SERVER, 0, 100),
        span(3, 2, Role::Upstream, 10, 90),
        elsewhere(span(4, 3, SERVER, off + 20, off + 80), 1),
        elsewhere(span(5, 4, Role::Db, off + 30, off + 60), 1),
    ];
    assert_eq!(parts(&call(100), &spans), [("db", 30), ("upstream", 50), ("app", 20)]);
}

#[test]
fn of_several_server_spans_the_outermost_counts() {
    let spans = [span(3, 1, SERVER, 20, 80), span(2, 1, SERVER, 5, 95)];
    assert_eq!(parts(&call(100), &spans), [("network", 10), ("app", 90)]);
}

#[test]
fn a_missing_span_between_client_and_server_is_unexplained() {
    let spans = [span(2, 77, SERVER, 30, 90), span(3, 2, Role::Db, 40, 60)];
    assert_eq!(parts(&call(100), &spans), [("db", 20), ("app", 40), ("unexplained", 40)]);
    assert_eq!(parts(&Call { complete: false, ..call(60) }, &[span(2, 1, SERVER, 0, 60)]), [("unexplained", 60)]);
}

#[test]
fn orphans_hang_at_the_server_and_circles_are_left_out() {
    let spans = [
        span(2, 1, SERVER, 0, 100),
        span(3, 99, Role::Db, 20, 60),
        span(4, 5, Role::Upstream, 60, 80),
        span(5, 4, Role::Upstream, 60, 80),
        span(6, 6, Role::Internal, 0, 10),
    ];
    assert_eq!(parts(&call(100), &spans), [("db", 40), ("app", 60)]);
}

#[test]
fn without_a_server_span_nothing_is_said() {
    assert!(attribute(&call(100), &[]).is_none());
    assert!(attribute(&call(100), &[span(3, 2, Role::Db, 10, 20)]).is_none());
}

#[test]
fn a_stream_goes_on_behind_the_server_span() {
    let streamed = Call { waiting: 20_000_000, receiving: 180_000_000, ..call(0) };
    let spans = [span(2, 1, SERVER, 1, 20), span(3, 2, Role::Upstream, 5, 195)];
    assert_eq!(parts(&streamed, &spans), [("network", 6), ("upstream", 190), ("app", 4)]);
}

#[test]
fn the_time_before_the_handler_needs_evidence() {
    let before = |queued| [Span { role: Role::Server { queued }, ..span(2, 1, SERVER, 60, 100) }];
    assert_eq!(parts(&call(100), &before(0)), [("network", 60), ("app", 40)]);
    assert_eq!(parts(&call(100), &before(50_000_000)), [("network", 10), ("server_queue", 50), ("app", 40)]);
    assert_eq!(parts(&call(100), &before(70_000_000)), [("server_queue", 70), ("app", 30)]);
    // Every other request was there after a millisecond.
    let known = Call { way: Some(1_000_000), ..call(100) };
    assert_eq!(parts(&known, &before(0)), [("network", 1), ("server_queue", 59), ("app", 40)]);
    // From another host a lost packet would look the same.
    let remote = Call { local: false, ..known };
    assert_eq!(parts(&remote, &before(0)), [("network", 1), ("app", 40), ("unexplained", 59)]);
    let near = [span(2, 1, SERVER, 4, 100)];
    assert_eq!(parts(&known, &near), [("network", 4), ("app", 96)]);
    let queue = [span(2, 1, Role::Queue, 0, 100), span(3, 2, SERVER, 70, 100)];
    assert_eq!(parts(&call(100), &queue), [("server_queue", 70), ("app", 30)]);
}

#[test]
fn spans_are_known_by_old_and_new_names() {
    let of = |name: &str, scope: &str, kind, attributes: &[(&str, &str)]| {
        classify(&ServerSpan {
            trace: TraceId::of_run(RunId::new(1), 1),
            span: id(9),
            parent: None,
            name: name.into(),
            scope: scope.into(),
            service: "api".into(),
            kind,
            start: Duration::ZERO,
            end: Duration::ZERO,
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        })
    };
    let pg = "@opentelemetry/instrumentation-pg";
    let old = [("db.system", "postgresql"), ("db.statement", "SELECT 1")];
    let new = [("db.system.name", "postgresql"), ("db.query.text", "SELECT 1")];
    assert_eq!(of("pg-pool.connect", pg, SpanKind::Client, &old[..1]), Role::Pool);
    assert_eq!(of("pg-pool.connect", pg, SpanKind::Internal, &new[..1]), Role::Pool);
    assert_eq!(of("pg.connect", pg, SpanKind::Client, &new[..1]), Role::Connect);
    assert_eq!(of("pg.query:SELECT app", pg, SpanKind::Client, &old), Role::Db);
    assert_eq!(of("SELECT users", "", SpanKind::Client, &new), Role::Db);
    assert_eq!(of("sqlx", "", SpanKind::Internal, &new), Role::Db);
    let otelsql = "github.com/XSAM/otelsql";
    for (name, role) in [
        ("sql.conn.query", Role::Db),
        ("sql.rows", Role::Db),
        ("sql.conn.begin_tx", Role::Db),
        ("sql.conn.reset_session", Role::Db),
        ("sql.connector.connect", Role::Connect),
    ] {
        assert_eq!(of(name, otelsql, SpanKind::Client, &[]), role, "{name}");
    }
    assert_eq!(of("POST", "http", SpanKind::Client, &[("http.method", "POST")]), Role::Upstream);
    assert_eq!(of("chat", "x", SpanKind::Client, &[("gen_ai.system", "openai")]), Role::Upstream);
    assert_eq!(
        of("middleware - query", "express", SpanKind::Internal, &[("express.type", "middleware")]),
        Role::Handler
    );
    let queued = [("http.server.request.time_in_queue", "0.25")];
    assert_eq!(of("GET /", "", SpanKind::Server, &queued), Role::Server { queued: 250_000_000 });
    for nonsense in ["NaN", "-1", "1e99", "soon"] {
        let said = [("http.server.request.time_in_queue", nonsense)];
        assert_eq!(of("GET /", "", SpanKind::Server, &said), SERVER, "{nonsense}");
    }
}

#[test]
fn server_timing_stands_in_where_there_are_no_spans() {
    let told = |total: u64, header: &str| {
        by_server_timing(total * 1_000_000, header).map(|parts| {
            assert_eq!(parts.total(), total * 1_000_000, "{header}");
            let told = parts.iter().filter(|(_, value)| *value > 0);
            told.map(|(part, value)| (part.as_str(), value / 1_000_000)).collect::<Vec<_>>()
        })
    };
    let all = "db;dur=12, pool;desc=\"wait\";dur=30,total;dur=50";
    assert_eq!(told(60, all).unwrap(), [("network", 10), ("pool_wait", 30), ("db", 12), ("app", 8)]);
    assert_eq!(told(60, "db;dur=12").unwrap(), [("db", 12), ("unexplained", 48)]);
    assert_eq!(told(60, "db;dur=100, llm;dur=20").unwrap(), [("db", 50), ("upstream", 10)]);
    for nothing in ["", "cache;desc=hit", "db", "db;dur=x", "db;dur=-1", ";;;,,,"] {
        assert_eq!(told(60, nothing), None, "{nothing}");
    }
}

fn any_role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(SERVER),
        (0..80_000_000_u64).prop_map(|queued| Role::Server { queued }),
        Just(Role::Queue),
        Just(Role::Handler),
        Just(Role::Pool),
        Just(Role::Connect),
        Just(Role::Db),
        Just(Role::Upstream),
        Just(Role::Internal),
    ]
}

prop_compose! {
    /// Ids and parents from few, so that they collide, miss and lead in circles; times anywhere.
    fn any_span()(number in 1..14_u64, parent in 0..14_u64, service in 0..3_u16, role in any_role(),
                  from in -300_i64..300, length in -20_i64..300, far in any::<bool>()) -> Span {
        let off = if far { 86_400_000 } else { 0 };
        Span { parent: (parent > 0).then(|| id(parent)), ..elsewhere(span(number, 1, role, off + from, off + from + length), service) }
    }
}

/// Any time at all, with those that matter more often.
fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(i64::MAX), Just(ms(1_000)), any::<u64>().prop_map(|n| (n >> 1).cast_signed())]
}

prop_compose! {
    fn nonsense()(number in 1..8_u64, parent in 0..8_u64, service in 0..4_u16, role in any_role(),
                  start in any_time(), end in any_time()) -> Span {
        Span { id: id(number), parent: (parent > 0).then(|| id(parent)), service, role, start, end }
    }
}

proptest! {
    #[test]
    fn no_time_is_too_absurd(spans in proptest::collection::vec(nonsense(), 1..20), total in 0..200_000_000_u64,
                             start in any_time(), offset in any::<i64>()) {
        let call = Call { start, waiting: total, offset, ..call(0) };
        if let Some(found) = attribute(&call, &spans) {
            prop_assert_eq!(found.parts.total(), total);
        }
    }

    #[test]
    fn parts_always_add_up(spans in proptest::collection::vec(any_span(), 0..40),
                           phases in (0..40_000_000_u64, 0..200_000_000_u64, 0..200_000_000_u64),
                           way in proptest::option::of(0..50_000_000_u64), complete in any::<bool>(),
                           offset in -200_000_000_i64..200_000_000) {
        let call = Call { sending: phases.0, waiting: phases.1, receiving: phases.2, way, complete, offset, ..call(0) };
        if let Some(found) = attribute(&call, &spans) {
            prop_assert_eq!(found.parts.total(), call.total());
            prop_assert!(found.server < spans.len());
        }
    }

    #[test]
    fn no_part_is_longer_than_the_union_of_its_spans(spans in proptest::collection::vec(any_span(), 0..20)) {
        let root = span(1_000, 1, SERVER, 0, 250);
        let spans: Vec<_> = spans
            .into_iter()
            .filter(|span| !matches!(span.role, Role::Server { .. } | Role::Queue))
            .map(|span| Span { service: 0, parent: span.parent.filter(|parent| *parent != id(CLIENT)), ..span })
            .chain([root])
            .collect();
        let found = attribute(&call(250), &spans).unwrap().parts;
        for (part, role) in [(Part::Db, Role::Db), (Part::PoolWait, Role::Pool)] {
            // What is nested in a span of the kind counts as it, so the bound is the union of those.
            let mut covered: Vec<_> = spans.iter().filter(|span| span.role == role)
                .map(|span| (span.start.max(root.start), span.end.min(root.end))).filter(|(from, to)| to > from).collect();
            covered.sort_unstable();
            let (mut union, mut reached) = (0, i64::MIN);
            for (from, to) in covered {
                union += (to - from.max(reached)).max(0);
                reached = reached.max(to);
            }
            prop_assert!(found[part] <= u64::try_from(union).unwrap() , "{:?}", part);
        }
    }

    #[test]
    fn any_header_is_read_without_harm(header in ".{0,200}", total in 0..u64::MAX / 4) {
        if let Some(parts) = by_server_timing(total, &header) {
            prop_assert_eq!(parts.total(), total);
        }
    }
}
