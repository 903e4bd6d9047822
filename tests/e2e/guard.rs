//! What refuses to start: exit 121, and nothing sent.

use crate::support::plan::one_step;
use crate::support::{Mode, Pacecar, PlanFile, Server};

fn plan(head: &str, tail: &str) -> PlanFile {
    PlanFile::new(format!(
        "\
name: guarded
{head}
base_url: ${{API_URL}}
workflow: [{{ name: home, request: 'GET ${{STEP:-/}}' }}]
scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: 1 }} }}
{tail}
"
    ))
}

#[test]
fn an_environment_or_a_host_that_is_not_allowed_is_121_and_nothing_is_sent() {
    for (head, tail) in [
        ("environment: production", ""),
        ("environment: prod", ""),
        ("environment: production", "guard: { environments: [staging, dev] }"),
        ("environment: qa", "guard: { environments: [staging, dev] }"),
        ("", "guard: { hosts: [\"*.staging.example.com\"] }"),
        ("", "guard: { hosts: [\"localhost\", \"127.0.0.2\", \"27.0.0.1\"] }"),
    ] {
        let server = Server::start(Mode::Api);
        let ended = Pacecar::run(&plan(head, tail).path()).set("API_URL", server.url()).end().expect_code(121);
        assert!(!ended.stderr.trim().is_empty(), "{head} {tail}: no reason");
        server.expect_untouched();
    }
}

#[test]
fn what_is_allowed_runs() {
    for (head, tail) in [
        ("environment: staging", ""),
        ("environment: production", "guard: { environments: [production] }"),
        ("environment: dev", "guard: { environments: [staging, dev], hosts: [\"127.0.0.1\"] }"),
    ] {
        let server = Server::start(Mode::Api);
        Pacecar::run(&plan(head, tail).path()).set("API_URL", server.url()).end().expect_code(0);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_step_that_leads_elsewhere_is_refused_at_start() {
    let (server, other) = (Server::start(Mode::Api), Server::start(Mode::Api));
    let elsewhere = format!("http://localhost:{}/away", other.port());
    let plan = plan("", "guard: { hosts: [\"127.0.0.1\"] }");
    let run = Pacecar::run(&plan.path()).set("API_URL", server.url()).set("STEP", elsewhere);
    run.end().expect_code(121);
    server.expect_untouched();
    other.expect_untouched();
}

#[test]
fn a_redirect_that_leads_elsewhere_is_not_followed() {
    let other = Server::start(Mode::Api);
    let elsewhere = format!("http://localhost:{}/away", other.port());
    let server = Server::start(Mode::RedirectTo(elsewhere));
    let plan = plan("", "guard: { hosts: [\"127.0.0.1\"] }");
    Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    assert_eq!(server.requests().len(), 1);
    other.expect_untouched();
}

#[test]
fn what_would_be_refused_for_the_plan_is_104_first() {
    let text = std::fs::read_to_string(one_step().path()).unwrap();
    let plan = PlanFile::new(format!("environment: production\nnonsense: 1\n{text}"));
    Pacecar::run(&plan.path()).set("API_URL", "http://127.0.0.1:1").end().expect_code(104);
}

#[test]
fn however_a_host_is_spelled_a_request_goes_nowhere_else() {
    let (server, other) = (Server::start(Mode::Api), Server::start(Mode::Api));
    let port = other.port();
    let spelled = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "127.0.0.1@localhost",
        "127.0.0.1:80@localhost",
        "127.0.0.2",
        "[::1]",
        "[::ffff:127.0.0.2]",
        // All these are 127.0.0.1 to a resolver, and none of them is what the plan allows.
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
    ];
    let rows: Vec<String> =
        spelled.iter().map(|host| format!("{{ \"url\": \"http://{host}:{port}/away\" }}")).collect();
    let plan = PlanFile::new(
        "\
name: elsewhere
base_url: ${API_URL}
data: { places: { file: places.json, pick: sequential } }
workflow:
  - { name: away, request: 'GET {{ data.places.url }}' }
  - { name: home, request: GET / }
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 12 } }
guard: { hosts: [\"127.0.0.1\"] }
",
    );
    let plan = plan.with("places.json", format!("[{}]", rows.join(",")));
    let ended = Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(0);
    other.expect_untouched();
    assert_eq!(server.requests().len(), spelled.len(), "{ended}");
    let failed = ended.summary()["metrics"]["http_req_failed"]["passes"].as_u64();
    assert_eq!(failed, Some(spelled.len() as u64), "{ended}");
}

#[test]
fn what_is_around_the_load_goes_nowhere_else_either() {
    let (server, other) = (Server::start(Mode::Api), Server::start(Mode::Api));
    let away = format!("http://localhost:{}", other.port());
    for part in [
        format!("setup: [{{ name: s, request: GET {away}/s }}]"),
        format!("teardown: [{{ name: s, request: GET {away}/s }}]"),
        format!("tenants: {{ create: {{ request: POST {away}/s }} }}"),
        format!("workflow: [{{ name: s, request: POST /s, undo: DELETE {away}/s }}]"),
    ] {
        let workflow = if part.contains("workflow") { "" } else { "workflow: [{ name: home, request: GET / }]" };
        let plan = PlanFile::new(format!(
            "\
name: around
base_url: ${{API_URL}}
{part}
{workflow}
scenarios: {{ main: {{ executor: shared-iterations, vus: 1, iterations: 1 }} }}
guard: {{ hosts: [\"127.0.0.1\"] }}
"
        ));
        Pacecar::run(&plan.path()).set("API_URL", server.url()).end().expect_code(121);
    }
    server.expect_untouched();
    other.expect_untouched();
}

#[test]
fn no_more_is_sent_than_the_highest_rate_redirects_too_by_however_many_workers() {
    let server = Server::start(Mode::RedirectLoop);
    let plan = PlanFile::new(
        "\
name: capped
base_url: ${API_URL}
http: { redirects: 3 }
workflow: [{ name: home, request: GET / }]
scenarios: { main: { executor: constant-vus, vus: 8, duration: 2s, gracefulStop: 0s } }
guard: { max_rate: 25/s }
",
    );
    let run = |arguments: &[&str]| {
        let before = server.requests().len();
        Pacecar::run(&plan.path()).set("API_URL", server.url()).args(arguments).end().expect_ran();
        let came: Vec<_> = server.requests()[before..].iter().map(|request| request.at).collect();
        let span = came[came.len() - 1].duration_since(came[0]).as_secs_f64();
        (came.len() as f64, span)
    };
    for (arguments, rate) in [
        (&["--workers", "2"][..], 25.0),
        (&["--workers", "2", "--rps", "1000"], 25.0),
        (&["-u", "20", "-d", "2s", "--workers", "3"], 25.0),
        // A fifth of the machines sends a fifth.
        (&["--execution-segment", "0:1/5", "--workers", "2"], 5.0),
    ] {
        let (came, span) = run(arguments);
        // The first may have come late, by as much as the machine is slow.
        assert!(came <= span * rate + 5.0, "{arguments:?}: {came} requests in {span}s");
        assert!(came >= 2.0, "{arguments:?}");
    }
}

#[test]
fn flags_that_replace_the_scenarios_are_judged_too() {
    let server = Server::start(Mode::Api);
    let plan = plan("", "guard: { max_rate: 5/s }");
    let arriving = PlanFile::new(std::fs::read_to_string(plan.path().as_ref()).unwrap().replace(
        "{ executor: shared-iterations, vus: 1, iterations: 1 }",
        "{ executor: constant-arrival-rate, rate: 6, duration: 1s, preAllocatedVUs: 1 }",
    ));
    let run = || Pacecar::run(&arriving.path()).set("API_URL", server.url());
    let refused = run().end().expect_code(121);
    assert!(refused.stderr.contains("6.0 requests a second"), "{refused}");
    server.expect_untouched();
    run().args(["-u", "1", "-i", "1"]).end().expect_code(0);
    assert_eq!(server.requests().len(), 1);
}
