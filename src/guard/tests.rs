//! What the guard lets through and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::plan::{
    self, ArrivalVus, Arrivals, Executor, Expect, HttpSettings, HttpVersion, Later, Scenario, Stage, Tenants,
    WorkflowDocument,
};
use std::time::Duration;

fn text(value: &str) -> Text {
    Spanned::new(value.to_owned(), Span::new(7, 3))
}

fn step(url: &str) -> Step {
    Step {
        span: Span::NONE,
        name: text("s"),
        method: Spanned::nowhere("GET".to_owned()),
        url: text(url),
        headers: Vec::new(),
        auth: None,
        body: None,
        expect: Expect::default(),
        capture: Vec::new(),
        think: None,
        when: None,
        on_failure: None,
        undo: None,
        stream: None,
        metrics: Vec::new(),
    }
}

fn workflow(name: &str, weight: f64, urls: &[&str]) -> WorkflowDocument {
    WorkflowDocument {
        name: text(name),
        weight: Spanned::nowhere(weight),
        steps: urls.iter().map(|url| step(url)).collect(),
    }
}

fn scenario(start: u64, executor: Executor) -> Scenario {
    Scenario {
        name: text("s"),
        span: Span::NONE,
        executor,
        start_time: Duration::from_secs(start),
        graceful_stop: Duration::from_secs(30),
        env: Vec::new(),
        tags: Vec::new(),
        exec: None,
    }
}

const VUS: ArrivalVus = ArrivalVus { pre_allocated: Spanned::nowhere(1), max: Spanned::nowhere(1) };

fn constant(rate: f64, unit: u64, duration: Option<u64>) -> Executor {
    Executor::ConstantArrivalRate {
        rate: Spanned::nowhere(rate),
        time_unit: Duration::from_secs(unit),
        duration: duration.map(Duration::from_secs),
        vus: VUS,
        arrivals: Arrivals::Constant,
    }
}

fn ramping(stages: &[(u64, f64)]) -> Executor {
    let stage = |(duration, target): &(u64, f64)| Stage {
        duration: Duration::from_secs(*duration),
        target: Spanned::nowhere(*target),
    };
    Executor::RampingArrivalRate {
        start_rate: Spanned::nowhere(0.0),
        time_unit: Duration::from_secs(1),
        stages: stages.iter().map(stage).collect(),
        vus: VUS,
        arrivals: Arrivals::Constant,
    }
}

fn plan() -> Plan {
    Plan {
        name: text("p"),
        environment: None,
        base_url: Some(text("http://127.0.0.1:8080")),
        tenants: Tenants {
            count: Spanned::nowhere(1),
            users: Spanned::nowhere(1),
            email: text("e"),
            password: text("p"),
            create: None,
        },
        data: Vec::new(),
        http: HttpSettings {
            timeout: Spanned::nowhere(Duration::from_secs(60)),
            redirects: Spanned::nowhere(10),
            version: HttpVersion::Auto,
            keep_alive: true,
            insecure_skip_verify: false,
            headers: Vec::new(),
        },
        setup: Vec::new(),
        teardown: Vec::new(),
        workflows: vec![workflow("default", 1.0, &["/a", "/b", "/c"])],
        scenarios: Vec::new(),
        thresholds: Vec::new(),
        outputs: Vec::new(),
        summary: None,
        report: None,
        cleanup: None,
        guard: None,
        later: Later::default(),
    }
}

/// A plan with a guard of these environments, hosts and rate.
fn guarded(environments: &[&str], hosts: &[&str], max_rate: Option<(f64, u64)>) -> Plan {
    let max_rate =
        max_rate.map(|(count, per)| Spanned::new(Rate { count, per: Duration::from_secs(per) }, Span::new(9, 9)));
    let guard = plan::Guard {
        span: Span::NONE,
        environments: environments.iter().map(|name| text(name)).collect(),
        hosts: hosts.iter().map(|name| text(name)).collect(),
        max_rate,
        budget: Vec::new(),
        pause_when: Vec::new(),
        stop_file: None,
    };
    Plan { guard: Some(guard), ..plan() }
}

fn admit(plan: &Plan) -> Result<(), Refusal> {
    let mut diagnostics = Diagnostics::new("p");
    let guard = compile(plan, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    guard.admit(plan)
}

#[test]
fn production_is_refused_where_nobody_allowed_it() {
    let of = |plan: Plan, environment: Option<&str>| admit(&Plan { environment: environment.map(text), ..plan });
    for name in ["production", "Production", "PROD", " prod "] {
        assert!(matches!(of(plan(), Some(name)), Err(Refusal::Environment { .. })), "{name}");
        assert!(of(guarded(&[], &[], None), Some(name)).is_err(), "{name}");
        assert!(of(guarded(&["staging"], &[], None), Some(name)).is_err(), "{name}");
        assert!(of(guarded(&["staging", "production", "prod"], &[], None), Some(name)).is_ok(), "{name}");
    }
    for name in [None, Some(""), Some("staging"), Some("preprod"), Some("anything")] {
        assert!(of(plan(), name).is_ok(), "{name:?}");
    }
    assert!(of(guarded(&["staging"], &[], None), Some("Staging")).is_ok());
    assert!(of(guarded(&["staging"], &[], None), Some("dev")).is_err());
    assert_eq!(of(guarded(&["staging"], &[], None), None), Err(Refusal::NoEnvironment));
}

#[test]
fn hosts_are_looked_at_before_the_start_where_they_are_known() {
    let hosts = ["127.0.0.1", "*.staging.example.com"];
    let of = |change: fn(&mut Plan)| {
        let mut plan = guarded(&[], &hosts, None);
        change(&mut plan);
        admit(&plan)
    };
    assert!(of(|_| ()).is_ok());
    let refused = of(|plan| plan.base_url = Some(text("https://api.example.com")));
    assert_eq!(refused, Err(Refusal::Host { span: Span::new(7, 3), host: "api.example.com".to_owned() }));
    assert!(of(|plan| plan.workflows[0].steps[1].url = text("http://evil.example/x")).is_err());
    assert!(of(|plan| plan.workflows[0].steps[1].url = text("http://a.staging.example.com:81/{{ x }}")).is_ok());
    assert!(of(|plan| plan.workflows[0].steps[1].url = text("{{ anywhere }}")).is_ok(), "known only when sent");
    assert!(of(|plan| plan.setup.push(step("http://evil.example"))).is_err());
    assert!(of(|plan| plan.teardown.push(step("http://evil.example"))).is_err());
    assert!(of(|plan| plan.tenants.create = Some(step("http://evil.example"))).is_err());
    assert!(of(|plan| plan.workflows[0].steps[0].undo = Some(text("DELETE http://evil.example/{{ id }}"))).is_err());
    let unused = |plan: &mut Plan| {
        plan.base_url = Some(text("http://evil.example"));
        plan.workflows = vec![workflow("default", 1.0, &["http://127.0.0.1/a"])];
    };
    assert!(of(unused).is_ok(), "a base that nothing goes to");
}

#[test]
fn hosts_are_looked_at_again_when_a_request_is_sent() {
    let plan = guarded(&[], &["127.0.0.1", "[::1]", "*.staging.example.com"], None);
    let filter = compile(&plan, &mut Diagnostics::new("p")).host_filter();
    for uri in ["http://127.0.0.1:9/x", "http://[::1]:8080/", "https://a.staging.example.com/", "/x"] {
        assert!(filter(&uri.parse().unwrap()), "{uri}");
    }
    for uri in
        ["http://127.0.0.2/", "http://127.0.0.1@evil.example/", "http://localhost/", "http://staging.example.com/"]
    {
        assert!(!filter(&uri.parse().unwrap()), "{uri}");
    }
    assert!(Guard::default().host_filter()(&"http://anywhere.example/".parse().unwrap()));
}

#[test]
fn a_pattern_that_is_none_is_an_error_of_the_plan_and_lets_nothing_through() {
    let plan = guarded(&[], &["http://x"], None);
    let mut diagnostics = Diagnostics::new("p");
    let guard = compile(&plan, &mut diagnostics);
    assert!(diagnostics.has_errors());
    assert!(!guard.host_filter()(&"http://x/".parse().unwrap()));
}

#[test]
fn an_arrival_rate_times_its_steps_stays_below_the_highest_allowed() {
    let of = |max_rate, scenarios: Vec<Scenario>| admit(&Plan { scenarios, ..guarded(&[], &[], Some(max_rate)) });
    // Three steps an iteration.
    assert!(of((30.0, 1), vec![scenario(0, constant(10.0, 1, Some(60)))]).is_ok());
    let refused = of((29.0, 1), vec![scenario(0, constant(10.0, 1, Some(60)))]);
    assert_eq!(refused, Err(Refusal::Rate { span: Span::new(9, 9), asked: 30.0, allowed: 29.0 }));
    assert!(of((5.0, 10), vec![scenario(0, constant(10.0, 60, None))]).is_ok(), "units differ, rates are equal");
    assert!(of((4.0, 10), vec![scenario(0, constant(10.0, 60, None))]).is_err());
    assert!(of((30.0, 1), vec![scenario(0, ramping(&[(10, 10.0), (10, 0.0)]))]).is_ok());
    assert!(of((30.0, 1), vec![scenario(0, ramping(&[(10, 5.0), (0, 11.0), (10, 0.0)]))]).is_err());
    let vus = Executor::ConstantVus { vus: Spanned::nowhere(1000), duration: None };
    assert!(of((1.0, 1), vec![scenario(0, vus)]).is_ok(), "a closed scenario is paced instead");
}

#[test]
fn scenarios_at_the_same_time_add_up_and_those_in_a_row_do_not() {
    let of = |starts: [u64; 2]| {
        let scenarios = starts.map(|start| scenario(start, constant(10.0, 1, Some(60)))).to_vec();
        admit(&Plan { scenarios, ..guarded(&[], &[], Some((40.0, 1))) })
    };
    assert!(of([0, 60]).is_ok());
    assert!(of([0, 59]).is_err());
    let ramps = vec![scenario(0, ramping(&[(10, 10.0), (10, 0.0)])), scenario(10, ramping(&[(10, 10.0)]))];
    assert!(
        admit(&Plan { scenarios: ramps, ..guarded(&[], &[], Some((30.0, 1))) }).is_ok(),
        "one falls as the other rises"
    );
}

#[test]
fn a_scenario_asks_for_the_steps_of_the_workflow_it_runs() {
    let of = |exec: Option<&str>, allowed: f64| {
        let mut plan = guarded(&[], &[], Some((allowed, 1)));
        plan.workflows = vec![workflow("long", 1.0, &["/"; 6]), workflow("short", 3.0, &["/"; 2])];
        plan.scenarios = vec![Scenario { exec: exec.map(text), ..scenario(0, constant(10.0, 1, None)) }];
        admit(&plan).is_ok()
    };
    assert!(of(Some("long"), 60.0) && !of(Some("long"), 59.0));
    assert!(of(Some("short"), 20.0) && !of(Some("short"), 19.0));
    assert!(of(None, 30.0) && !of(None, 29.0), "by weight: (6 + 3 x 2) / 4 steps");
}
