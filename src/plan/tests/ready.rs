//! The ready plans of config/.

use super::{read, variables};
use crate::plan::*;
use std::time::Duration;

/// Each plan of config/, by name.
pub(super) const READY: [(&str, &str); 9] = [
    ("business-hours", include_str!("../../../config/business-hours.yaml")),
    ("gradual-growth", include_str!("../../../config/gradual-growth.yaml")),
    ("llm-load", include_str!("../../../config/llm-load.yaml")),
    ("pool-tuning", include_str!("../../../config/pool-tuning.yaml")),
    ("product-launch", include_str!("../../../config/product-launch.yaml")),
    ("soak", include_str!("../../../config/soak.yaml")),
    ("spike", include_str!("../../../config/spike.yaml")),
    ("stress", include_str!("../../../config/stress.yaml")),
    ("tenant-workflow", include_str!("../../../config/tenant-workflow.yaml")),
];

fn ready(name: &str, pairs: &[(&str, &str)]) -> (Plan, Diagnostics) {
    let (_, source) = READY.iter().find(|(known, _)| *known == name).unwrap();
    let (plan, mut diagnostics) = read(name, source.as_bytes(), &variables(pairs));
    let plan = plan.unwrap();
    advice::advise(&plan, &mut diagnostics);
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    (plan, diagnostics)
}

#[test]
fn every_plan_of_the_folder_is_here() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str().unwrap().strip_suffix(".yaml").map(str::to_owned))
        .collect();
    names.sort();
    // The canary's has no end and another shape: tests/e2e holds it.
    names.retain(|name| name != "canary");
    assert_eq!(names, READY.map(|(name, _)| name.to_owned()));
}

#[test]
fn each_runs_with_an_api_alone_and_warns_of_nothing_but_the_database() {
    for (name, _) in READY {
        let (plan, diagnostics) = ready(name, &[("API_URL", "https://staging.example.com")]);
        assert_eq!(plan.name.value, name);
        assert_eq!(plan.base_url.unwrap().value, "https://staging.example.com");
        let told: Vec<&str> = diagnostics.sorted().iter().map(|item| item.message.as_str()).collect();
        assert_eq!(told.len(), 1, "{diagnostics}");
        assert!(told[0].contains("cleanup.postgres is off"), "{diagnostics}");
        assert_eq!(plan.tenants.email.value, "test-{{ tenant }}-{{ user }}@example.com");
        assert_eq!((plan.tenants.count.value, plan.tenants.users.value), (20, 5));
        let agent = plan.workflows[0].steps.last().unwrap();
        assert!(matches!(&agent.auth, Some(Auth::Bearer(token)) if token.value == "{{ token }}"));
        let metrics: Vec<&str> = agent.metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(metrics, ["llm_latency", "tokens_per_request", "cost_per_request", "cache_hits"]);
        assert_eq!(plan.workflows[0].steps[0].when.as_ref().unwrap().value, "{{ '' == '' }}");
    }
}

#[test]
fn each_takes_what_the_guide_names() {
    let pairs = [
        ("API_URL", "https://staging.example.com"),
        ("LOGIN_URL", "https://login.staging.example.com/auth/v1/token?grant_type=password"),
        ("PROFILE_URL", "/me"),
        ("WORKFLOW_URL", "/chat"),
        ("AUTH_EMAIL", "user@example.com"),
        ("AUTH_PASSWORD", "007"),
        ("AUTH_TOKEN", "abc"),
        ("DATABASE_URL", "postgres://localhost/app"),
        ("REDIS_URL", "redis://localhost"),
    ];
    for (name, _) in READY {
        let (plan, diagnostics) = ready(name, &pairs);
        assert!(diagnostics.sorted().is_empty(), "{diagnostics}");
        let steps = &plan.workflows[0].steps;
        assert_eq!(steps[0].url.value, "https://login.staging.example.com/auth/v1/token?grant_type=password");
        assert_eq!(steps.last().unwrap().url.value, "/chat");
        assert_eq!((plan.tenants.email.as_str(), plan.tenants.password.as_str()), ("user@example.com", "007"));
        assert!(matches!(&steps.last().unwrap().auth, Some(Auth::Bearer(token)) if token.value == "abc"));
        assert_eq!(plan.cleanup.unwrap().postgres.unwrap().url.value, "postgres://localhost/app");
    }
}

/// The scenario's length and the targets of its stages.
fn shape(name: &str) -> (u64, Vec<u32>) {
    let (plan, _) = ready(name, &[]);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let shape = match &plan.scenarios[0].executor {
        Executor::ConstantVus { vus, duration } => (duration.unwrap(), vec![vus.value]),
        Executor::RampingVus { stages, .. } => (
            stages.iter().map(|stage| stage.duration).sum::<Duration>(),
            stages.iter().map(|stage| stage.target.value as u32).collect(),
        ),
        _ => panic!("{name}"),
    };
    (shape.0.as_secs(), shape.1)
}

#[test]
fn loads_are_the_guides() {
    assert_eq!(shape("tenant-workflow"), (600, vec![60]));
    assert_eq!(shape("soak"), (7200, vec![50]));
    assert_eq!(shape("spike"), (300, vec![10, 10, 200, 200, 10, 10]));
    assert_eq!(shape("llm-load"), (24 * 60, vec![10, 10, 50, 50, 100, 100, 0]));
    assert_eq!(shape("stress"), (18 * 60, vec![50, 50, 100, 100, 200, 200, 300, 300, 0]));
    assert_eq!(shape("business-hours"), (75 * 60, vec![50, 50, 100, 75, 25]));
    assert_eq!(shape("product-launch"), (1590, vec![50, 500, 500, 200, 200]));
    assert_eq!(shape("gradual-growth"), (2400, vec![50, 100, 150, 200]));
}

#[test]
fn prompts_are_many_and_differ() {
    let prompts: Vec<serde_json::Value> = serde_json::from_str(include_str!("../../../config/prompts.json")).unwrap();
    let mut texts: Vec<&str> = prompts.iter().map(|row| row["prompt"].as_str().unwrap()).collect();
    assert!(texts.len() >= 30);
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), prompts.len());
}
