//! `${}` in whole plans.

use super::{good_with, variables};
use crate::plan::*;

fn told(source: &str, pairs: &[(&str, &str)]) -> Vec<String> {
    let (_, diagnostics) = read("p.yaml", source.as_bytes(), &variables(pairs));
    diagnostics.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn an_unquoted_scalar_is_typed_again() {
    let plan = good_with(
        "tenants: { count: 1 }\nhttp:\n  redirects: ${N}\n  keep_alive: ${K}\n  timeout: ${T}",
        &[("N", "4"), ("K", "false"), ("T", "1500")],
    );
    assert_eq!((plan.http.redirects.value, plan.http.keep_alive), (4, false));
    assert_eq!(plan.http.timeout.value.as_millis(), 1500);
}

#[test]
fn a_quoted_scalar_stays_text_in_a_body() {
    let source = "workflow:\n  - request: POST /\n    json:\n      a: ${N}\n      b: \"${N}\"\n      c: ${E}\n      d: \"${E}\"\n      e: [\"${N}\", 1]";
    let plan = good_with(source, &[("N", "8"), ("E", "")]);
    let Some(Body::Json(Node { kind: Kind::Map(entries), .. })) = &plan.workflows[0].steps[0].body else { panic!() };
    let kinds: Vec<(&str, Kind)> =
        entries.iter().take(3).map(|(key, node)| (key.as_str(), node.kind.clone())).collect();
    assert_eq!(kinds, [("a", Kind::Int(8)), ("b", Kind::Text("8".into())), ("d", Kind::Text(String::new())),]);
}

#[test]
fn inside_braces_a_quoted_reference_may_be_a_number() {
    let source = "workflow: [{ request: GET / }]\nscenarios: { a: { executor: constant-vus, vus: \"${V:-60}\", duration: \"${D:-10m}\" } }";
    let plan = good_with(source, &[("V", "7")]);
    assert!(matches!(plan.scenarios[0].executor, Executor::ConstantVus { vus: Spanned { value: 7, .. }, .. }));
    assert!(told("tenants: { count: \"7\" }", &[])[0].contains("1:19: `count` must be a whole number"));
}

#[test]
fn what_is_filled_in_never_becomes_structure() {
    for value in
        ["a: b", "[1, 2]", "{a: b}", "- x\n- y", "# c", "\"q", "*x", "&x y", "!t z", "| ", "${N}", "a\nname: other"]
    {
        for source in
            ["environment: ${V}\nname: x", "environment: \"${V}\"\nname: x", "{ environment: '${V}', name: x }"]
        {
            let plan = good_with(source, &[("V", value), ("N", "no")]);
            assert_eq!(plan.environment.unwrap().value, value);
            assert_eq!(plan.name.value, "x");
        }
    }
    let plan = good_with("summary: ${V}", &[("V", "007")]);
    assert_eq!(plan.summary.unwrap().value, "007", "a password of digits keeps its zeros");
}

#[test]
fn an_empty_unquoted_scalar_is_as_if_the_key_were_not_there() {
    let source =
        "name: ${X:-}\ntenants:\n  count: ${X:-}\nguard:\n  hosts:\n    - ${X:-}\n    - 127.0.0.1\nhttp: ${X:-}";
    let plan = good_with(source, &[]);
    assert_eq!((plan.name.value.as_str(), plan.tenants.count.value), ("plan", 20));
    assert_eq!(plan.guard.unwrap().hosts.len(), 1);
}

#[test]
fn an_empty_url_is_off_with_a_warning() {
    for url in ["${DATABASE_URL}", "${DATABASE_URL:-}", "\"${DATABASE_URL}\"", "\"\""] {
        let source = format!("cleanup:\n  postgres:\n    url: {url}\n    roots: [{{ table: a, where: b = 1 }}]\n");
        let (plan, diagnostics) = read("p.yaml", source.as_bytes(), &variables(&[]));
        assert!(!diagnostics.has_errors(), "{diagnostics}");
        assert_eq!(plan.unwrap().cleanup.unwrap().postgres.unwrap().url.value, "");
        let off = diagnostics.sorted().iter().filter(|item| item.message.contains("cleanup.postgres is off")).count();
        assert_eq!(off, 1, "{url}: {diagnostics}");
    }
    let source = "cleanup: { redis: { url: \"${REDIS_URL}\", match: [a] } }";
    assert!(told(source, &[]).iter().any(|line| line.contains("cleanup.redis is off")));
    assert!(told(source, &[("REDIS_URL", "redis://x")]).is_empty());
}

#[test]
fn a_name_that_is_not_set_is_told_once_a_place() {
    let lines = told("name: x\nsummary: ${A}${A}\nenvironment: \"${A}\"\n", &[]);
    let warnings: Vec<&String> = lines.iter().filter(|line| line.contains("warning")).collect();
    assert_eq!(warnings.len(), 2, "{lines:?}");
    assert!(warnings[0].starts_with("p.yaml:2:10: warning: `A` is not set and has no default"));
    assert!(told("name: x\nsummary: ${A}", &[("A", "")]).is_empty(), "one set to nothing is set");
}

#[test]
fn a_required_name_is_an_error_with_the_plans_words() {
    let lines = told("name: x\nbase_url: ${API_URL:?where is the API}\n", &[]);
    assert_eq!(lines[0], "p.yaml:2:11: `API_URL` is not set: where is the API");
    assert!(lines[1].contains("hint: set it with `-e API_URL=…`"));
}

#[test]
fn keys_are_filled_and_stay_text() {
    let plan = good_with(
        "thresholds: { \"http_req_duration{step:${S}}\": avg<1 }\ndata:\n  ${D:-rows}: a.csv",
        &[("S", "login")],
    );
    assert_eq!(plan.thresholds[0].metric.value, "http_req_duration{step:login}");
    assert_eq!(plan.data[0].name.value, "rows");
}

#[test]
fn templates_are_not_touched() {
    let source = "tenants:\n  email: \"${AUTH_EMAIL:-test-{{ tenant }}-{{ user }}@example.com}\"\n  password: '{{ \"a\" }}$$ $x'";
    let plan = good_with(source, &[]);
    assert_eq!(plan.tenants.email.value, "test-{{ tenant }}-{{ user }}@example.com");
    assert_eq!(plan.tenants.password.value, "{{ \"a\" }}$$ $x");
}

#[test]
fn what_was_filled_in_is_never_shown() {
    let secret = "hunter2 secret";
    for source in [
        "name: ${S}",
        "base_url: ${S}",
        "tenants:\n  count: ${S}",
        "http:\n  timeout: ${S}\n  version: ${S}",
        "workflow:\n  - request: ${S}",
        "workflow:\n  - { request: GET /, when: \"${S}\", think: \"${S}\" }",
        "workflow:\n  - { request: \"GET ${S}\", name: \"a::${S}\" }",
        "\"${S}\": 1",
        "tenants: { \"${S}\": 1 }",
        "guard: { hosts: [\"${S}\"], max_rate: \"${S}\" }",
        "cleanup: { when: \"${S}\" }",
        "\"${S}\": 1\n'${S}': 2",
        "scenarios: { \"${S}\": { executor: \"${S}\" } }",
        "data: { a: \"${S}\", \"${S}\": b }",
        "workflow: [{ request: GET /, headers: { \"${S}\": 1 }, capture: { \"${S}\": \"${S}\", b: { regex: \"(${S}\" } } }]",
        "workflow: [{ request: GET /, metrics: { \"${S}\": 1, aa: { trend: \"${S}\" } }, form: { \"${S}\": [] } }]",
        "workflow: [{ request: GET /, headers: { a: { \"${S}\": 1 } }, expect: { json: { \"${S}\": 1 } } }]",
        "tenants: { password: { \"${S}\": 1 } }\nhttp: { headers: { \"${S}\": [] } }\nworkflow: [\"${S}\"]",
        "workflow: [{ request: GET / }]\nscenarios: { a: { executor: constant-vus, exec: \"${S}\", \"${S}\": 1 } }",
    ] {
        let (_, diagnostics) = read("p.yaml", source.as_bytes(), &variables(&[("S", secret)]));
        let text = diagnostics.to_string();
        assert!(diagnostics.has_errors(), "{source}");
        assert!(!text.contains("hunter2"), "{source}: {text}");
    }
}
