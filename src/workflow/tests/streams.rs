//! Server-sent events.

use super::*;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn stream(parts: &[(u64, &'static str)]) -> Reply {
    let frames = parts.iter().map(|(after, text)| (ms(*after), Ok(Bytes::from_static(text.as_bytes())))).collect();
    Reply { frames, ..Reply::status(200) }.header("content-type", "text/event-stream")
}

const PLAN: &str = r#"
workflow:
  - name: chat
    request: POST /chat
    stream: sse
    on_failure: continue
    expect: { body: world }
    capture: { id: $.id, tokens: $.usage.total }
    metrics: { cost_total: { counter: $.cost } }
  - { name: after, request: "GET /{{ id }}/{{ tokens }}" }
"#;

#[tokio::test(start_paused = true)]
async fn time_to_first_token_and_gaps_are_measured() {
    let reply = stream(&[
        (10, ": ping\n\n"),
        (20, "data: {\"id\":\"a\",\"t\":\"hello\"}\n\n"),
        (5, "data: {\"id\":\"a\",\"t\":\"wor"),
        (7, "ld\"}\r\n\r\ndata: {\"usage\":{\"total\":7},\"cost\":0.5}\n\n"),
        (3, "data: [DONE]\n\n"),
    ])
    .after(ms(100));
    let (stage, target) = (stage(PLAN), Target::new(move |_| reply.clone()));
    stage.play(&target, 1).await;
    let totals = stage.totals();
    assert!((largest(&stage, &totals, "llm_ttft{step:chat}") - 130.0).abs() < 0.5);
    assert_eq!(figure(&stage, &totals, "llm_ttft"), 1.0);
    assert_eq!(figure(&stage, &totals, "llm_token_gap"), 2.0);
    assert!((largest(&stage, &totals, "llm_token_gap") - 12.0).abs() < 0.1);
    assert_eq!(figure(&stage, &totals, "cost_total"), 0.5);
    // Each path is read from the last event that has it.
    assert_eq!(target.lines()[1], "GET http://api.test/v1/a/7");
    assert_eq!(checks(&stage.layout, &totals), [("chat body".to_owned(), (1, 0))].into());
}

#[tokio::test(start_paused = true)]
async fn an_error_in_plain_json_is_read_as_such() {
    let reply =
        Reply::json(200, &json!({ "id": "e", "usage": { "total": 0 } })).header("content-type", "application/json");
    let (stage, target) = (stage(PLAN), Target::new(move |_| reply.clone()));
    stage.play(&target, 1).await;
    let totals = stage.totals();
    assert_eq!(figure(&stage, &totals, "llm_ttft"), 0.0);
    assert_eq!(target.lines()[1], "GET http://api.test/v1/e/0");
}
