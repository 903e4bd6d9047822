//! What is made of answers.

use super::*;

fn one(step: &str) -> String {
    format!("workflow:\n  - {{ name: s, request: GET /s, {step} }}\n  - {{ name: after, request: GET /after }}\n")
}

/// The checks counted where every answer is this, and how many requests were sent.
async fn played(step: &str, reply: Reply) -> (Vec<(String, (u64, u64))>, usize) {
    let (stage, target) = (stage(&one(step)), Target::new(move |_| reply.clone()));
    stage.play(&target, 1).await;
    (stage.checks().into_iter().collect(), target.lines().len())
}

fn check(name: &str, passed: bool) -> (String, (u64, u64)) {
    (format!("s {name}"), if passed { (1, 0) } else { (0, 1) })
}

#[tokio::test(start_paused = true)]
async fn each_key_of_expect_is_one_check() {
    let reply = || Reply::json(201, &json!({ "a": 1, "b": "x", "ids": [1, 2] })).header("x-a", "1").header("x-a", "2");
    for (expect, name, passes) in [
        ("status: 201", "status", true),
        ("status: [200, 202]", "status", false),
        ("json: { $.a: 1, $.b: x }", "json", true),
        ("json: { $.a: 1, $.b: y }", "json", false),
        ("json: { $.none: null }", "json", false),
        ("json: { '$.ids[*]': [1, 2] }", "json", true),
        ("json: { $.b: \"{{ 'x' }}\" }", "json", true),
        ("json: { $.a: \"{{ tenant.id }}\" }", "json", true),
        ("headers: { X-A: \"2\" }", "headers", true),
        ("headers: { X-A: \"3\" }", "headers", false),
        ("headers: { X-B: \"\" }", "headers", false),
        ("body: '\"b\":\"x\"'", "body", true),
        ("body: '{{ run }}'", "body", false),
        ("max_duration: 1s", "max_duration", true),
    ] {
        let (checks, sent) = played(&format!("expect: {{ {expect} }}"), reply()).await;
        assert_eq!((checks, sent), (vec![check(name, passes)], 2), "{expect}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_fails_its_limit() {
    let slow = Reply::status(200).after(Duration::from_millis(51));
    assert_eq!(played("expect: { max_duration: 50ms }", slow.clone()).await.0, [check("max_duration", false)]);
    assert_eq!(played("expect: { max_duration: 51ms }", slow).await.0, [check("max_duration", true)]);
}

#[tokio::test(start_paused = true)]
async fn a_capture_is_a_check_only_where_it_fails_and_then_ends_the_iteration() {
    let reply = || {
        Reply::text(200, r#"{"a":{"b":[1]},"text":"id=42;"} "#)
            .header("location", "/x")
            .header("set-cookie", "other=1")
            .header("set-cookie", "sid=s3cr3t; Path=/")
    };
    for (capture, fails) in [
        ("$.a.b", false),
        ("$.a.c", true),
        ("'$..b[0]'", false),
        ("{ header: Location }", false),
        ("{ header: etag }", true),
        ("{ cookie: sid }", false),
        ("{ cookie: SID }", true),
        ("{ regex: 'id=(\\d+)' }", false),
        ("{ regex: 'id=(\\d+)x' }", true),
    ] {
        let (checks, sent) = played(&format!("capture: {{ x: {capture} }}"), reply()).await;
        let expected = if fails { (vec![check("x", false)], 1) } else { (vec![], 2) };
        assert_eq!((checks, sent), expected, "{capture}");
        let step = format!("on_failure: continue, capture: {{ x: {capture} }}");
        assert_eq!(played(&step, reply()).await.1, 2, "{capture}");
    }
}

#[tokio::test(start_paused = true)]
async fn captured_values_are_what_the_answer_says() {
    let yaml = r#"
workflow:
  - name: a
    request: GET /a
    capture: { h: { header: x-h }, c: { cookie: sid }, r: { regex: 'id=(\d+)' }, w: { regex: 'id=\d+' }, l: '$.l[*].n', f: '$.l[?@.n==2].n' }
  - { name: b, request: POST /b, json: ["{{ h }}", "{{ c }}", "{{ r }}", "{{ w }}", "{{ l }}", "{{ f }}"] }
"#;
    let target = Target::new(|_| {
        Reply::text(200, r#"{"l":[{"n":1},{"n":2}],"t":"id=42"}"#)
            .header("x-h", "v")
            .header("set-cookie", "sid=x=y; Secure")
    });
    stage(yaml).play(&target, 1).await;
    assert_eq!(target.bodies()[1], r#"["v","x=y","42","id=42",[1,2],2]"#);
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_variable_is_missing_is_not_sent_and_ends_the_iteration() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, on_failure: continue, capture: { token: $.token, me: $.me } }
  - { name: b, request: GET /b, on_failure: continue, auth: { bearer: "{{ token }}" } }
  - { name: c, request: GET /c }
"#;
    let (stage, target) = (stage(yaml), Target::json(json!({ "me": 1 })));
    stage.play(&target, 2).await;
    assert_eq!(target.lines(), ["GET http://api.test/v1/a"; 2]);
    assert_eq!(stage.checks(), [("a token".to_owned(), (0, 2)), ("b token".to_owned(), (0, 2))].into());
}

#[tokio::test(start_paused = true)]
async fn a_variable_that_only_a_check_uses_must_be_there_too() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, on_failure: continue, capture: { id: $.id } }
  - { name: b, request: GET /b, expect: { json: { $.id: "{{ id }}" } } }
"#;
    let (stage, target) = (stage(yaml), Target::json(json!({})));
    stage.play(&target, 1).await;
    assert_eq!(target.lines().len(), 1);
    assert_eq!(stage.checks(), [("a id".to_owned(), (0, 1)), ("b id".to_owned(), (0, 1))].into());
}

#[tokio::test(start_paused = true)]
async fn a_capture_that_fails_forgets_what_was_captured_before() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, capture: { id: $.id } }
  - { name: b, request: GET /b, on_failure: continue, capture: { id: $.id } }
  - { name: c, request: "GET /c/{{ id }}" }
"#;
    let target =
        Target::new(|seen| Reply::json(200, &if seen.line.ends_with("/a") { json!({ "id": 1 }) } else { json!({}) }));
    stage(yaml).play(&target, 1).await;
    assert_eq!(target.lines().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn on_failure_decides_what_a_failed_check_does() {
    let not_found = || Reply::status(404);
    assert_eq!(played("expect: { status: 200 }", not_found()).await.1, 2);
    assert_eq!(played("expect: { status: 200 }, on_failure: stop", not_found()).await.1, 1);
    assert_eq!(played("expect: { body: x }, on_failure: stop", Reply::status(200)).await.1, 1);
    assert_eq!(played("on_failure: stop", not_found()).await.1, 1);
    assert_eq!(played("on_failure: stop", Reply::failed(FailureKind::Reset)).await.1, 1);
    assert_eq!(played("think: 1s", Reply::failed(FailureKind::Reset)).await.1, 2);
}

#[tokio::test(start_paused = true)]
async fn the_status_decides_what_is_expected() {
    for (expect, status, failed) in [
        ("", 200, 0.0),
        ("", 399, 0.0),
        ("", 400, 1.0),
        ("expect: { status: 404 }", 404, 0.0),
        ("expect: { status: 404 }", 200, 1.0),
    ] {
        let stage = stage(&format!("workflow: [ {{ name: s, request: GET /, {expect} }} ]"));
        stage.play(&Target::new(move |_| Reply::status(status)), 1).await;
        assert_eq!(figure(&stage, &stage.totals(), "http_req_failed"), failed, "{expect} {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_target_sheds_is_sent_and_neither_failed_nor_a_figure() {
    let shed = |status| {
        let headers = vec![("pacecar-shed", "in-flight".to_owned()), ("retry-after", "1".to_owned())];
        Reply { headers, delay: Duration::from_millis(5), ..Reply::status(status) }
    };
    let yaml = one("expect: { status: 200 }, capture: { x: $.x }, metrics: { took: { trend: duration } }");
    for status in [503, 429] {
        let stage = stage(&yaml);
        let target = Target::new(move |_| shed(status));
        let mut vu = stage.vu(&target, 1);
        let finished = iterate(&mut vu, Instant::now(), 0).await;
        assert!(finished.shed);
        stage.recorder.iteration_shed(stage.program.scenarios()[0], finished.ended);
        let totals = stage.totals();
        assert_eq!(target.lines().len(), 1, "the iteration ends there");
        for (metric, expected) in [
            ("http_reqs", 1.0),
            ("http_reqs_shed", 1.0),
            ("http_reqs_shed{step:s}", 1.0),
            ("iterations", 1.0),
            ("http_req_duration", 0.0),
            ("http_req_response_time", 0.0),
            ("iteration_duration", 0.0),
            ("took", 0.0),
        ] {
            assert_eq!(figure(&stage, &totals, metric), expected, "{status} {metric}");
        }
        let (id, all) = (stage.layout.find("http_req_failed").unwrap(), Selector::default());
        let failed = totals.metric(id, &all, Duration::from_secs(1)).unwrap();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(totals.errors(), Default::default());
        assert!(checks(&stage.layout, &totals).is_empty());
    }
    // The marker on another status is none, and the status alone is a failure.
    for reply in [shed(500), Reply::status(503)] {
        let stage = stage(&yaml);
        stage.play(&Target::new(move |_| reply.clone()), 1).await;
        assert_eq!(figure(&stage, &stage.totals(), "http_req_failed"), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_fails_all_that_was_expected() {
    let expect = "expect: { status: 200, json: { $.a: 1 }, headers: { a: b }, body: c, max_duration: 1s }";
    let stage = stage(&one(&format!("{expect}, capture: {{ x: $.x }}")));
    stage.play(&Target::new(|_| Reply::failed(FailureKind::Refused)), 1).await;
    let totals = stage.totals();
    assert!(checks(&stage.layout, &totals).values().all(|counts| *counts == (0, 1)));
    assert_eq!(checks(&stage.layout, &totals).len(), 6);
    assert_eq!(totals.errors().connection_refused, 1);
    assert_eq!(figure(&stage, &totals, "http_req_failed"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_a_failure_with_a_status() {
    let frames = vec![(Duration::ZERO, Ok(Bytes::from(r#"{"x":1}"#))), (Duration::ZERO, Err(FailureKind::Reset))];
    let reply = Reply { frames, ..Reply::status(200) };
    let stage = stage(&one("expect: { status: 200, body: x }, capture: { x: $.x }"));
    stage.play(&Target::new(move |_| reply.clone()), 1).await;
    let totals = stage.totals();
    let counted = checks(&stage.layout, &totals);
    assert_eq!(counted, [check("status", true), check("body", false), check("x", false)].into());
    assert_eq!(totals.errors().connection_reset, 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_too_large_to_keep_is_a_failed_capture_and_read_to_its_end() {
    let part = Bytes::from(vec![b' '; 1 << 20]);
    let mut frames = vec![(Duration::ZERO, Ok(Bytes::from(r#"{"x":1}"#)))];
    frames.extend((0..8).map(|_| (Duration::ZERO, Ok(part.clone()))));
    let reply = Reply { frames, ..Reply::status(200) };
    let (checks, sent) = played("capture: { x: $.x }", reply.clone()).await;
    assert_eq!((checks, sent), (vec![check("x", false)], 1));
    // Nothing looks into it here, so its size does not matter.
    assert_eq!(played("expect: { status: 200 }", reply).await.1, 2);
}

#[tokio::test(start_paused = true)]
async fn custom_metrics_have_a_sample_only_where_there_is_a_figure() {
    let yaml = r#"
workflow:
  - name: s
    request: GET /s
    capture: { n: $.n }
    metrics:
      took: { trend: duration }
      tokens: { trend: $.usage.tokens }
      hits: { rate: $.cached }
      cost: { counter: $.cost }
      sent: { counter: 1 }
      level: { gauge: "{{ n * 2 }}" }
      each: { counter: "$.items[*].n" }
"#;
    let stage = stage(yaml);
    let at = Rc::new(std::cell::Cell::new(0));
    let target = Target::new(move |_| {
        at.set(at.get() + 1);
        let value = match at.get() {
            1 => {
                json!({ "n": 3, "usage": { "tokens": 10 }, "cached": true, "cost": 0.25, "items": [{ "n": 1 }, { "n": 2 }] })
            }
            2 => json!({ "n": 4, "cached": false, "cost": "0.5" }),
            _ => json!({ "n": 5, "usage": { "tokens": "many" }, "cached": null, "cost": [] }),
        };
        Reply::json(200, &value).after(Duration::from_millis(7))
    });
    stage.play(&target, 3).await;
    let totals = stage.totals();
    for (metric, value) in
        [("took", 3.0), ("tokens", 1.0), ("hits", 0.5), ("cost", 0.75), ("sent", 3.0), ("level", 10.0), ("each", 3.0)]
    {
        assert_eq!(figure(&stage, &totals, metric), value, "{metric}");
    }
    assert!((largest(&stage, &totals, "took") - 7.0).abs() < 0.03);
}
