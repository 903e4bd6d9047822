//! What is sent.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_tenant_workflow_is_played_as_written() {
    let (stage, target) = (stage(TENANTS), api());
    stage.play(&target, 1).await;
    assert_eq!(
        target.lines(),
        [
            "POST http://api.test/v1/auth/v1/token?grant_type=password",
            "GET http://api.test/v1/api/user/profile",
            "POST http://api.test/v1/api/llm/chat"
        ]
    );
    assert_eq!(
        target.bodies(),
        [r#"{"email":"test-1-1@example.com","password":"secret"}"#, "", r#"{"prompt":"hello 1","tenant":1}"#]
    );
    assert_eq!(target.header(0, "content-type").unwrap(), "application/json");
    assert_eq!(target.header(1, "authorization").unwrap(), "Bearer t-1");
    assert_eq!(target.header(1, "content-type"), None);
    assert_eq!(target.header(2, "authorization").unwrap(), "Bearer t-1");
    let checks = stage.checks();
    let all: Vec<_> = checks.iter().map(|(name, counts)| (name.as_str(), *counts)).collect();
    assert_eq!(
        all,
        [
            ("login status", (1, 0)),
            ("profile json", (1, 0)),
            ("profile max_duration", (1, 0)),
            ("profile status", (1, 0))
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_iteration_is_a_trace_of_the_run_and_each_request_a_span() {
    let (stage, target) = (stage(TENANTS), api());
    stage.play(&target, 2).await;
    let seen = target.seen.borrow();
    let traces: Vec<_> = seen.iter().map(|seen| seen.context.trace).collect();
    assert!(traces.iter().all(|trace| trace.run() == RunId::new(RUN)));
    assert!(traces[..3].iter().all(|trace| *trace == traces[0]) && traces[3..].iter().all(|trace| *trace == traces[3]));
    assert_ne!(traces[0], traces[3]);
    let spans: std::collections::HashSet<_> = seen.iter().map(|seen| seen.context.span).collect();
    assert_eq!(spans.len(), 6);
    assert_eq!(seen.iter().map(|seen| seen.context.iteration).collect::<Vec<_>>(), [0, 0, 0, 1, 1, 1]);
    assert_eq!(
        seen[1].context.baggage,
        "pacecar.run=0123456789abcdef,pacecar.scenario=main,pacecar.tenant=1,pacecar.step=profile"
    );
    // The second iteration is another tenant's.
    assert_eq!(
        seen[3].context.baggage,
        "pacecar.run=0123456789abcdef,pacecar.scenario=main,pacecar.tenant=2,pacecar.step=login"
    );
}

#[tokio::test(start_paused = true)]
async fn types_are_kept_where_a_value_is_one_expression() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, capture: { n: $.n, yes: $.yes, list: $.list, map: $.map, none: $.none } }
  - name: b
    request: POST /b
    json: { n: "{{ n }}", yes: "{{yes}}", list: "{{ list }}", map: "{{ map }}", none: "{{ none_ }}", deep: "{{ map.a[1] }}",
            text: "n={{ n }} {{ list }} {{ none_ }}", sum: "{{ n + 1 }}", up: "{{ map.s | upper }}", eight: "{{ 8 }}",
            fixed: [1, 2.5, true, null, "x"], tojson: "{{ list | tojson }}" }
"#
    .replace("none: $.none", "none_: $.none");
    let target = Target::json(
        json!({ "n": 8, "yes": true, "list": [1, "a"], "map": { "z": 1, "a": [0, 7], "s": "x\"y" }, "none": null }),
    );
    stage(&yaml).play(&target, 1).await;
    let body: Value = serde_json::from_str(&target.bodies()[1]).unwrap();
    assert_eq!(
        body,
        json!({
            "n": 8, "yes": true, "list": [1, "a"], "map": { "z": 1, "a": [0, 7], "s": "x\"y" }, "none": null, "deep": 7,
            "text": "n=8 [1,\"a\"] null", "sum": 9, "up": "X\"Y", "eight": 8, "fixed": [1, 2.5, true, null, "x"],
            "tojson": "[1, \"a\"]"
        })
    );
    assert!(target.bodies()[1].contains(r#"{"z":1,"a":[0,7]"#), "the order of names is kept");
}

#[tokio::test(start_paused = true)]
async fn what_is_filled_in_never_becomes_structure() {
    let hostile = "a/b?c=d&e#f \"x\"\n\\{{ run }}é";
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, capture: { x: $.x } }
  - { name: b, request: "GET /i/{{ x }}/j?q={{ x }}&r={{ run }}#frag" }
  - { name: c, request: POST /c, json: { x: "<{{ x }}>" } }
  - { name: d, request: POST /d, form: { a b: "{{ x }}", n: 1, t: "1 {{ x }}", e: "" } }
  - { name: e, request: POST /e, body: "{{ x }}" }
"#;
    let target = Target::json(json!({ "x": hostile }));
    let stage = stage(yaml);
    stage.play(&target, 1).await;
    let encoded = "a%2Fb%3Fc%3Dd%26e%23f%20%22x%22%0A%5C%7B%7B%20run%20%7D%7D%C3%A9";
    assert_eq!(target.lines()[1], format!("GET http://api.test/v1/i/{encoded}/j?q={encoded}&r=0123456789abcdef"));
    let json: Value = serde_json::from_str(&target.bodies()[2]).unwrap();
    assert_eq!(json, json!({ "x": format!("<{hostile}>") }));
    let form: Vec<_> = ::url::form_urlencoded::parse(target.bodies()[3].as_bytes()).into_owned().collect();
    let pairs = [("a b", hostile), ("n", "1"), ("t", &format!("1 {hostile}")), ("e", "")];
    assert_eq!(form, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(target.header(3, "content-type").unwrap(), "application/x-www-form-urlencoded");
    assert_eq!(target.bodies()[4], hostile);
    assert_eq!(target.header(4, "content-type"), None);
}

#[tokio::test(start_paused = true)]
async fn a_url_that_is_one_expression_may_be_absolute_or_a_path() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, capture: { next: $.next, path: $.path, part: $.part } }
  - { name: b, request: "GET {{ next }}" }
  - { name: c, request: "GET {{ path }}" }
  - { name: d, request: "GET {{ part }}" }
  - { name: e, request: "GET {{ env.OTHER }}/e/{{ part }}" }
  - { name: f, request: "GET http://{{ env.HOST }}:{{ env.PORT }}/f" }
"#;
    let target = Target::json(json!({ "next": "https://other.test/x?y=1#z", "path": "/p/q?r=s t", "part": "x y/z" }));
    let env = [("OTHER", "http://127.0.0.1:9/base/"), ("HOST", "h.test"), ("PORT", "81")];
    stage_in(yaml, Path::new("."), &env).play(&target, 1).await;
    assert_eq!(
        target.lines()[1..],
        [
            "GET https://other.test/x?y=1",
            "GET http://api.test/v1/p/q?r=s%20t",
            "GET http://api.test/v1/x%20y%2Fz",
            "GET http://127.0.0.1:9/base/e/x%20y%2Fz",
            "GET http://h.test:81/f"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_header_with_a_line_break_is_not_sent() {
    for bad in ["a\r\nx: y", "a\nb", "a\0b"] {
        let yaml = r#"
workflow:
  - { name: a, request: GET /a, capture: { x: $.x } }
  - { name: b, request: GET /b, headers: { X-Custom: "{{ x }}" } }
  - { name: c, request: GET /c }
"#;
        let (stage, target) = (stage(yaml), Target::json(json!({ "x": bad })));
        stage.play(&target, 1).await;
        assert_eq!(target.lines(), ["GET http://api.test/v1/a"]);
        assert_eq!(stage.checks(), [("b x-custom".to_owned(), (0, 1))].into());
    }
}

#[tokio::test(start_paused = true)]
async fn headers_of_the_step_win_over_auth_and_those_of_the_plan() {
    let yaml = r#"
http: { headers: { accept: a/b, X-All: "{{ run }}", content-type: x/y, authorization: plan } }
workflow:
  - { name: a, request: POST /a, json: {}, headers: { Accept: c/d } }
  - { name: b, request: GET /b, auth: { basic: { user: "{{ user.email }}", password: "p:w" } } }
  - { name: c, request: GET /c, auth: { bearer: t }, headers: { Authorization: own } }
"#;
    let target = Target::json(json!({}));
    stage(yaml).play(&target, 1).await;
    assert_eq!(target.header(0, "accept").unwrap(), "c/d");
    assert_eq!(target.header(0, "x-all").unwrap(), "0123456789abcdef");
    assert_eq!(target.header(0, "content-type").unwrap(), "x/y");
    assert_eq!(target.header(0, "authorization").unwrap(), "plan");
    // test-1-1@example.com:p:w
    assert_eq!(target.header(1, "authorization").unwrap(), "Basic dGVzdC0xLTFAZXhhbXBsZS5jb206cDp3");
    assert_eq!(target.header(2, "authorization").unwrap(), "own");
    assert!(target.seen.borrow()[2].headers["authorization"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_step_whose_condition_is_false_is_left_out_with_its_checks() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, when: "{{ later is defined }}", expect: { status: 200 }, capture: { x: $.x } }
  - { name: b, request: GET /b, when: "{{ x is not defined and 1 < 2 }}", capture: { later: $.later, n: $.n } }
  - { name: c, request: GET /c, when: "{{ n }}" }
  - { name: d, request: GET /d, when: "{{ n == 0 }}" }
  - { name: e, request: GET /e, when: true }
  - { name: f, request: GET /f, when: "{{ x.y.z == 1 }}" }
  - { name: g, request: GET /g, when: "{{ env.NO is defined }}" }
"#;
    let (stage, target) = (stage(yaml), Target::json(json!({ "later": 1, "n": 0 })));
    stage.play(&target, 1).await;
    assert_eq!(target.lines(), ["b", "d", "e"].map(|path| format!("GET http://api.test/v1/{path}")));
    assert!(stage.checks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn data_rows_env_vu_and_iteration_are_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.json"), r#"[{"a":"x","n":1},{"a":"y"}]"#).unwrap();
    std::fs::write(folder.path().join("words.ndjson"), "\"one\"\n\"two\"\n").unwrap();
    let yaml = r#"
data: { p: { file: p.json, pick: sequential }, w: { file: words.ndjson, pick: sequential } }
workflow:
  - name: a
    request: POST /a
    json: { a: "{{ data.p.a }}", w: "{{ data.w }}", row: "{{ data.p }}", vu: "{{ vu }}", i: "{{ iteration }}", e: "{{ env.E }}",
            d: "{{ data.p.n | default(-1) }}" }
  - { name: b, request: "GET /{{ data.p.n }}" }
scenarios: { main: { executor: constant-vus, vus: 1, duration: 1s, env: { E: own } } }
"#;
    let stage = stage_in(yaml, folder.path(), &[("E", "given")]);
    let target = Target::json(json!({}));
    stage.play(&target, 2).await;
    let bodies: Vec<Value> =
        target.bodies().iter().filter(|b| !b.is_empty()).map(|b| serde_json::from_str(b).unwrap()).collect();
    assert_eq!(
        bodies,
        [
            json!({ "a": "x", "w": "one", "row": { "a": "x", "n": 1 }, "vu": 1, "i": 0, "e": "own", "d": 1 }),
            json!({ "a": "y", "w": "two", "row": { "a": "y" }, "vu": 1, "i": 1, "e": "own", "d": -1 })
        ]
    );
    // The second row has no `n`, so the last step is not sent.
    assert_eq!(target.lines().len(), 3);
    assert_eq!(stage.checks(), [("b data.p.n".to_owned(), (0, 1))].into());
}

#[tokio::test(start_paused = true)]
async fn workflows_are_drawn_by_weight_or_named() {
    let yaml = r#"
workflows:
  often: { weight: 3, steps: [ { name: o, request: GET /often } ] }
  seldom: { weight: 1, steps: [ { name: s, request: GET /seldom } ] }
  never: { weight: 0, steps: [ { name: n, request: GET /never } ] }
scenarios:
  drawn: { executor: constant-vus, vus: 1, duration: 1s }
  named: { executor: constant-vus, vus: 1, duration: 1s, exec: never }
"#;
    let (stage, target) = (stage(yaml), Target::json(json!({})));
    stage.play(&target, 1000).await;
    let often = target.lines().iter().filter(|line| line.ends_with("often")).count();
    assert!((680..820).contains(&often), "{often}");
    assert!(!target.lines().iter().any(|line| line.ends_with("never")));
    let id = VuId { scenario: stage.program.scenarios()[1], number: 2 };
    let mut vu = stage.worker.vu(id, target.clone(), Traffic::default());
    iterate(&mut vu, Instant::now(), 0).await;
    assert!(target.lines()[1000].ends_with("never"));
}

#[tokio::test(start_paused = true)]
async fn an_expression_cannot_fill_memory_or_spin() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, capture: { n: $.n } }
  - { name: b, request: POST /b, body: "{{ 'x' * n }}" }
  - { name: c, request: GET /c }
"#;
    let (stage, target) = (stage(yaml), Target::json(json!({ "n": 1_000_000_000 })));
    stage.play(&target, 1).await;
    assert_eq!(target.lines().len(), 1);
    assert_eq!(stage.checks(), [("b '…' * n".to_owned(), (0, 1))].into());
}

#[tokio::test(start_paused = true)]
async fn what_a_plan_writes_into_a_url_stays_but_for_what_no_url_may_hold() {
    let yaml = r#"
base_url: http://api.test/é/
workflow:
  - { name: a, request: "GET /x/é/%2F?ids[]=1&f={a}|&q={{ user.id }}" }
  - { name: b, request: "GET /x?ids[]=1+2" }
"#;
    let target = Target::json(json!({}));
    stage(yaml).play(&target, 1).await;
    assert_eq!(
        target.lines(),
        ["GET http://api.test/%C3%A9/x/%C3%A9/%2F?ids[]=1&f=%7Ba%7D%7C&q=1", "GET http://api.test/%C3%A9/x?ids[]=1+2"]
    );
}
