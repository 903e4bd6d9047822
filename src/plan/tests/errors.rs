//! What a bad plan is told: every problem, each at its place, each with a hint.

use super::problems;
use crate::plan::{LARGEST, Variables, read, unreadable};
use std::fmt::Write;

/// Asserts that a plan has exactly these errors: `LINE:COLUMN text that the message holds`.
#[track_caller]
fn errors(source: &str, expected: &[&str]) {
    let diagnostics = problems(source);
    let found: Vec<String> = diagnostics
        .sorted()
        .iter()
        .filter(|item| item.severity == crate::plan::Severity::Error)
        .map(|item| format!("{} {}", item.span, item.message))
        .collect();
    assert_eq!(found.len(), expected.len(), "{diagnostics}");
    for (found, expected) in found.iter().zip(expected) {
        let (place, part) = expected.split_once(' ').unwrap();
        assert!(found.starts_with(&format!("{place} ")) && found.contains(part), "{found}\n{expected}");
    }
}

#[test]
fn unknown_keys_name_the_nearest_and_all() {
    errors("name: x\ntenant:\n  count: 1\n", &["2:1 unknown key `tenant` in plan"]);
    let hint = problems("http: { timout: 1s }").to_string();
    assert!(hint.contains("p.yaml:1:9: unknown key `timout` in http"), "{hint}");
    assert!(hint.contains("hint: did you mean `timeout`? known are: timeout, redirects"), "{hint}");
    errors(
        "judge: { drift: { x: 1 } }\nslo: [{ name: a, good: b, objective: 9, x: 1 }]\ncorrelate: { pool: { http: { url: a, x: 1 } } }\n",
        &[
            "1:19 unknown key `x` in judge.drift",
            "2:41 unknown key `x` in slo",
            "3:38 unknown key `x` in correlate.pool.http",
        ],
    );
}

#[test]
fn every_problem_is_told_at_once() {
    errors(
        "name: a b
environment: []
base_url: ftp://x
tenants: { count: 0, users: many }
http: { timeout: 0s, redirects: -1, version: 3, keep_alive: 1 }
workflow:
  - { request: FETCH / }
  - { name: b, request: GET x }
  - { name: b, request: GET /, think: 3s..1s, json: 1, form: {} }
",
        &[
            "1:7 `a b` cannot be a name",
            "2:14 `environment` must be text, not a list",
            "3:11 `base_url` is neither http:// nor https://",
            "4:19 `count` must be a whole number from 1",
            "4:29 `users` must be a whole number from 1 to 1000000, not the text `many`",
            "5:18 `timeout` must be longer than zero",
            "5:33 `redirects` must be a whole number from 0",
            "5:46 `version` cannot be `3`",
            "5:61 `keep_alive` must be true or false, not `1`",
            "7:16 `request` does not begin with a method: `FETCH /`",
            "8:25 the URL of `request` is neither a path nor absolute",
            "9:13 two steps of `workflow` are called `b`",
            "9:39 `think` must be a pause, not `3s..1s`: its end is not after its start",
            "9:56 a request sends one of `json`, `form` and `body`",
        ],
    );
}

#[test]
fn steps_that_cannot_be_are_told() {
    let step = |text: &str, expected: &str| errors(&format!("workflow:\n- {{ {text} }}"), &[expected]);
    step("name: x", "2:3 step needs `request`");
    step("request: /x", "2:14 `request` does not begin with a method");
    step("request: GET", "2:14 the URL of `request` is missing");
    step("request: GET /a b", "2:14 the URL of `request` holds a blank");
    step("request: GET /, name: 'a::b'", "2:27 `a::b` cannot be the name of a step");
    step("request: GET /, auth: {}", "2:27 `auth` says nothing");
    step("request: GET /, auth: { bearer: a, basic: { user: b } }", "2:40 `auth` is `bearer` or `basic`, not both");
    step("request: GET /, headers: { 'a b': c }", "2:32 `a b` cannot be the name of a header");
    step("request: GET /, headers: { a: \"b\\nc\" }", "2:35 the value of the header `a` holds a line break");
    step("request: GET /, headers: { a: b, A: c }", "2:38 the header `A` stands here twice");
    step("request: GET /, expect: { status: 99 }", "2:39 `status` must be a whole number from 100 to 599, not `99`");
    step("request: GET /, expect: { status: [] }", "2:39 `status` is an empty list");
    step("request: GET /, capture: { token: access_token }", "2:39 `access_token` is no JSONPath");
    step("request: GET /, capture: { t: { header: a, cookie: b } }", "2:35 a capture has exactly one source");
    step("request: GET /, capture: { t: { regex: '(' } }", "2:44 `regex` is no regular expression");
    step("request: GET /, capture: { a-b: $.a }", "2:32 `a-b` cannot be a name in templates");
    step("request: GET /, metrics: { http_reqs: { counter: 1 } }", "2:32 the metric `http_reqs` is measured already");
    step("request: GET /, metrics: { a: { counter: 1 } }", "2:32 `a` cannot be the name of a metric");
    step("request: GET /, metrics: { aa: { counter: 1, rate: 1 } }", "2:36 a metric has exactly one type");
    step("request: GET /, metrics: { aa: { rate: duration } }", "2:44 only a trend takes `duration`");
    step("request: GET /, metrics: { aa: { trend: durations } }", "2:45 no value of a metric comes from `durations`");
    step("request: POST /, json: { a: .nan }", "2:33 JSON has no such number");
    step("request: GET /, undo: /x", "2:27 `undo` does not begin with a method");
    step("request: GET /, on_failure: halt", "2:33 `on_failure` cannot be `halt`");
    errors("workflow:\n- request: GET /\n  body: {{ x }}\n", &["3:9 `body` must be text", "3:10 a key must be text"]);
    assert!(problems("name: {{ x }}").to_string().contains("hint: a text that begins with `{{` wants quotes"));
}

#[test]
fn scenarios_are_held_to_k6s_rules() {
    let scenario = |text: &str, expected: &str| {
        errors(&format!("workflow: [{{ request: GET / }}]\nscenarios:\n  a: {{ {text} }}"), &[expected]);
    };
    scenario("vus: 1", "3:6 scenario needs `executor`");
    scenario("executor: constnt-vus", "3:18 `executor` cannot be `constnt-vus`");
    scenario(
        "executor: constant-vus, rate: 1",
        "3:32 `rate` is no parameter of constant-vus, but of constant-arrival-rate",
    );
    scenario("executor: constant-vus, stages: []", "3:32 `stages` is no parameter of constant-vus, but of ramping-vus");
    scenario("executor: constant-vus, vus: 0", "3:37 `vus` must be a whole number from 1");
    scenario("executor: constant-vus, durations: 1m", "3:32 unknown key `durations` in scenario");
    scenario("executor: shared-iterations, vus: 3, iterations: 2", "3:57 there are fewer iterations than VUs");
    scenario("executor: ramping-vus", "3:6 scenario needs `stages`");
    scenario("executor: ramping-vus, stages: []", "3:39 `stages` is empty");
    scenario("executor: ramping-vus, stages: [{ target: 1 }]", "3:40 scenario.stages needs `duration`");
    scenario("executor: ramping-vus, stages: [{ duration: 1, target: 1.5 }]", "3:63 `target` must be a whole number");
    scenario("executor: ramping-vus, startVUs: 0, stages: [{ duration: 1, target: 0 }]", "3:6 there is never a VU");
    scenario("executor: constant-arrival-rate, rate: 1", "3:6 scenario needs `preAllocatedVUs`");
    scenario("executor: constant-arrival-rate, preAllocatedVUs: 1", "3:6 scenario needs `rate`");
    scenario("executor: constant-arrival-rate, rate: 0, preAllocatedVUs: 1", "3:47 `rate` must be a number above 0");
    scenario(
        "executor: constant-arrival-rate, rate: 1, preAllocatedVUs: 5, maxVUs: 4",
        "3:78 `maxVUs` must be a whole number from 5",
    );
    scenario("executor: externally-controlled, gracefulStop: 1s", "3:41 `gracefulStop` is no parameter of externally");
    scenario("executor: constant-vus, exec: other", "3:38 `exec` names no workflow: `other`");
    errors(
        "workflow: [{ request: GET / }]\nscenarios: { 'a b': { executor: constant-vus } }",
        &["2:14 `a b` cannot be a name"],
    );
    errors("scenarios: { a: { executor: constant-vus } }", &["1:1 there are scenarios, but no workflow"]);
}

#[test]
fn workflows_stand_once() {
    errors(
        "workflow: [{ request: GET / }]\nworkflows: { a: { steps: [{ request: GET / }] } }",
        &["2:1 `workflow` or `workflows`"],
    );
    errors("workflows: { a: { weight: 1 } }", &["1:17 workflows needs `steps`"]);
    errors("workflows: { a: { weight: 0, steps: [{ request: GET / }] } }", &["1:1 every workflow has the weight 0"]);
    errors("workflows: {}", &["1:1 `workflows` is empty"]);
    errors(
        "workflows: { a: { weight: -1, steps: [{ request: GET / }] } }",
        &["1:27 `weight` must be a number of at least 0"],
    );
    errors(
        "workflow:\n- { request: GET /, metrics: { aa: { rate: $.a } } }\n- { request: GET /b, metrics: { aa: { trend: $.a } } }",
        &["3:33 the metric `aa` has another type"],
    );
}

#[test]
fn what_is_no_plan_is_told_at_its_place() {
    for (source, expected) in [
        ("", "1:1 the plan is empty"),
        ("# only a comment\n", "1:1 the plan is empty"),
        ("---\n...\n", "1:1 the plan is empty"),
        ("null", "1:1 the plan is empty"),
        ("just text", "1:1 `plan` must be a mapping"),
        ("- a\n- b\n", "1:1 `plan` must be a mapping"),
        ("name: x\n---\nname: y\n", "2:1 a second YAML document"),
        ("name: x\nname: y\n", "2:1 `name` stands here twice"),
        ("http: { headers: { a: 1, a: 2 } }\n", "1:26 `a` stands here twice"),
        ("name: !!str x\n", "1:7 a plan has no YAML tags"),
        ("<<: { name: x }\nname: y", "1:1 merge keys"),
        ("? [a, b]\n: c\nname: x", "1:3 a key must be text"),
        ("name: &a x\n*a : y\n", "2:1 a key cannot be an alias"),
        ("setup: &a [ *a ]\n", "1:13 this alias stands inside"),
        ("name: x\n\"\": 1\n", "2:1 a key is empty"),
    ] {
        errors(source, &[expected]);
    }
}

#[test]
fn malformed_yaml_is_told_with_a_hint_that_fits() {
    for (source, place, hint) in [
        ("name: x\n\tenvironment: y\n", "p.yaml:1:7", "spaces, never with tabs"),
        ("name: [x\n", "p.yaml:2:", "hint: check indentation"),
        ("name: \"x\n", "p.yaml:", "hint: check"),
        ("name: x: y\n", "p.yaml:1:8", "hint: check"),
        ("tenants: { count: ${N} }\nname: x\n", "p.yaml:1:", "wants quotes"),
    ] {
        let text = problems(source).to_string();
        assert!(text.starts_with(place) && text.contains("not YAML"), "{source}: {text}");
        assert!(text.contains(hint), "{source}: {text}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let told = |source: &[u8]| read("p.yaml", source, &Variables::default()).1.to_string();
    assert!(
        told(b"name: x\nsummary: \xc3\xa4\xff\n").starts_with("p.yaml:2:11: the plan is not UTF-8 here\n    hint: ")
    );
    assert!(told(b"\xff\xfen\0").starts_with("p.yaml:1:1: the plan is UTF-16"));
    assert!(told(&vec![b'#'; LARGEST + 1]).starts_with("p.yaml:1:1: the plan has 1048577 bytes"));
    let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
    let text = unreadable("nowhere.yaml", &missing).to_string();
    assert!(text.starts_with("nowhere.yaml:1:1: the plan cannot be read: ") && text.contains("hint: check the path"));
}

#[test]
fn what_never_ends_ends_soon() {
    let repeated = |part: &str| part.repeat(LARGEST / part.len());
    let mut laughs = "a0: &a0 [x, x]\n".to_owned();
    for i in 1..40 {
        writeln!(laughs, "a{i}: &a{i} [*a{}, *a{}]", i - 1, i - 1).unwrap();
    }
    let long = format!("a: &a \"{}\"\nb: [{}]", "x".repeat(500_000), "*a, ".repeat(100_000));
    let fat = format!("a: [{}]", "'${A}', ".repeat(100_000));
    let hostile = [
        "[".repeat(1000),
        "[".repeat(LARGEST),
        "{a: ".repeat(200_000),
        "- ".repeat(500_000),
        repeated("a: {b: "),
        laughs,
        long,
        fat,
        repeated("- a\n"),
        repeated("? "),
        repeated("\""),
        repeated("&a "),
        repeated("*a "),
        repeated("!a "),
        repeated("[a: b, "),
        repeated("- &a x\n"),
        repeated("a:\n "),
        repeated("# x\n"),
        repeated("${A:-"),
        repeated("%TAG ! x\n"),
        repeated("|\n"),
        repeated("---\n"),
        repeated("\t"),
        repeated(": "),
        repeated("[a,"),
        repeated("a\n\n"),
        repeated("'"),
        (0..60_000).map(|i| format!("k{i}: 1\n")).collect(),
        (0..60_000).map(|i| format!("${{A{i}}} ")).collect(),
        format!("name: {} ", "x ".repeat(500_000)),
        format!("{}: 1", "x".repeat(1000)),
        (0..2_000).fold(String::new(), |text, i| format!("{text}{}- \n", " ".repeat(i % 500))),
    ];
    let large = Variables::new([("A".to_owned(), "y".repeat(100_000))], []);
    for source in &hostile {
        let began = tokio::time::Instant::now();
        let (_, diagnostics) = read("p.yaml", &source.as_bytes()[..source.len().min(LARGEST)], &large);
        let start = &source[..source.len().min(30)];
        assert!(diagnostics.has_errors(), "{start}");
        let took = began.elapsed();
        // Unoptimised, beside other tests; a release build takes a tenth.
        assert!(took.as_secs() < 10, "{start}: {took:?}");
    }
}
