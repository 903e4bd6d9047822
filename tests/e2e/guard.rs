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
