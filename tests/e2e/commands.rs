//! The commands that send nothing, and the plans that come with pacecar.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::plan::{one_step, three_steps};
use crate::support::{Mode, Pacecar, Server, root};

/// The ready plans.
fn ready_plans() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("config")).expect("config/ is there");
    let mut plans: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    plans.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    plans.sort();
    plans
}

#[test]
fn there_is_a_ready_plan_for_every_test_of_the_guide() {
    let plans: Vec<String> =
        ready_plans().iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    for wanted in [
        "tenant-workflow",
        "llm-load",
        "spike",
        "stress",
        "soak",
        "business-hours",
        "product-launch",
        "gradual-growth",
        "pool-tuning",
    ] {
        assert!(plans.iter().any(|plan| plan == wanted), "no config/{wanted}.yaml among {plans:?}");
    }
}

#[test]
fn every_ready_plan_passes_check_with_the_target_alone_and_with_all_names() {
    let names = [
        ("LOGIN_URL", "http://127.0.0.1:1/auth/v1/token?grant_type=password"),
        ("PROFILE_URL", "http://127.0.0.1:1/api/user/profile"),
        ("WORKFLOW_URL", "http://127.0.0.1:1/api/llm/chat"),
        ("AUTH_EMAIL", "user@example.com"),
        ("AUTH_PASSWORD", "secret"),
    ];
    for plan in ready_plans().into_iter().chain([root().join("benches/peers/three-step.yaml")]) {
        let check = || Pacecar::new(["check".as_ref(), plan.as_os_str()]).set("API_URL", "http://127.0.0.1:1");
        check().end().expect_code(0);
        let all = names.iter().fold(check(), |check, (name, value)| check.set(name, value));
        all.end().expect_code(0);
    }
}

#[test]
fn every_ready_plan_runs_against_an_api() {
    for plan in ready_plans() {
        let server = Server::start(Mode::Api);
        let run = Pacecar::run(&plan).set("API_URL", server.url()).args(["-i", "2", "--no-thresholds"]);
        let ended = run.end().expect_code(0);
        assert_eq!(ended.summary()["metrics"]["iterations"]["count"], 2, "{}: {ended}", plan.display());
        assert_eq!(server.at("/auth/v1/token").len().min(1), 1, "{}: nobody logged in", plan.display());
    }
}

#[test]
fn check_sends_nothing_and_takes_standard_input() {
    let server = Server::start(Mode::Api);
    let text = std::fs::read(three_steps().path()).unwrap();
    Pacecar::new(["check", "-"]).stdin(text).set("API_URL", server.url()).end().expect_code(0);
    let ended = Pacecar::new(["check", "-"]).stdin("nonsense: 1\n").end().expect_code(104);
    assert!(ended.stderr.contains("-:1:1: "), "{ended}");
    server.expect_untouched();
}

#[test]
fn run_takes_a_plan_from_standard_input_with_its_files_beside_the_working_directory() {
    let server = Server::start(Mode::Api);
    let files = one_step().with("prompts.json", r#"[{ "prompt": "from-the-file" }]"#);
    let text = "\
name: piped
base_url: ${API_URL}
data: { prompts: prompts.json }
workflow: [{ name: a, request: 'GET /{{ data.prompts.prompt }}' }]
scenarios: { main: { executor: shared-iterations, vus: 1, iterations: 1 } }
";
    let run = Pacecar::new(["run", "-"]).stdin(text).directory(files.folder()).set("API_URL", server.url());
    run.end().expect_code(0);
    assert_eq!(server.at("/from-the-file").len(), 1, "{:?}", server.requests());
}

#[test]
fn the_schema_is_a_json_schema_that_names_every_section() {
    let ended = Pacecar::new(["schema"]).end().expect_code(0);
    let schema: Value = serde_json::from_str(&ended.stdout).expect("JSON on standard output");
    assert!(schema["$schema"].as_str().is_some_and(|uri| uri.contains("json-schema.org")), "{schema}");
    let properties = schema["properties"].as_object().expect("properties");
    for section in [
        "name",
        "environment",
        "base_url",
        "tenants",
        "data",
        "http",
        "setup",
        "teardown",
        "workflow",
        "workflows",
        "scenarios",
        "thresholds",
        "outputs",
        "summary",
        "report",
        "judge",
        "correlate",
        "cleanup",
        "guard",
        "slo",
        "tune",
    ] {
        assert!(properties.contains_key(section), "the schema does not know {section}");
    }
}

#[test]
fn check_warns_of_what_the_guide_warns_of() {
    let plan = |body: &str| {
        format!("name: warned\nbase_url: http://127.0.0.1:1\nworkflow: [{{ name: a, request: GET / }}]\n{body}")
    };
    let calm = "scenarios: { main: { executor: constant-vus, vus: 1, duration: 1s } }\n";
    for (what, text) in [
        (
            "a spike without a ramp",
            plan(
                "scenarios: { main: { executor: ramping-vus, stages: [{ duration: 10s, target: 100 }] } }\n\
                 guard: { environments: [staging] }\n",
            ),
        ),
        ("no guard", plan(calm)),
        ("a production-looking host", plan(calm).replace("http://127.0.0.1:1", "https://api.example.com")),
        ("a name that is not set", plan(calm).replace("GET /", "'GET /${NOWHERE_SET}'")),
    ] {
        let ended = Pacecar::new(["check", "-"]).stdin(text).end().expect_code(0);
        assert!(ended.stderr.contains("warning"), "no warning of {what}: {ended}");
    }
}

#[test]
fn every_command_explains_itself() {
    for command in ["run", "check", "schema", "cleanup", "demo", "tune", "status", "pause", "resume", "scale", "stop"] {
        let ended = Pacecar::new([command, "--help"]).end().expect_code(0);
        assert!(ended.stdout.contains("Usage"), "{ended}");
        assert!(ended.stdout.contains("\nExample"), "help shows how a command is called: {ended}");
        // One line or two a flag: its long form makes four of it, and nobody reads them.
        assert!(!ended.stdout.contains("Possible values:"), "{ended}");
    }
    Pacecar::new(["--version"]).end().expect_code(0);
    Pacecar::new(["--help"]).end().expect_code(0);
}
