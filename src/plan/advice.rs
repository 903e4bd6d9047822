//! What a plan can do and had better not: warnings of `check`, over the typed plan, purely.

use super::diagnostics::Diagnostics;
use super::document::{Body, Executor, Plan, Stage, Step, Text};
use super::node::{Kind, Node};
use super::span::Span;
use std::net::IpAddr;

/// A first stage that adds fewer VUs (or arrivals a second) than this is never sudden.
const SMALL: f64 = 20.0;
/// A first stage that adds more than this a second is sudden.
const STEEP: f64 = 2.0;

/// Keys under which a language model's prompt stands in a request.
const PROMPTS: [&str; 6] = ["prompt", "message", "content", "question", "query", "input"];
/// Words in a host's name that say it is not production.
const HARMLESS: [&str; 17] = [
    "staging",
    "stage",
    "stg",
    "dev",
    "develop",
    "development",
    "test",
    "testing",
    "qa",
    "uat",
    "local",
    "localhost",
    "localdomain",
    "sandbox",
    "preview",
    "internal",
    "svc",
];

/// Warns of what the load testing guide advises against.
pub fn advise(plan: &Plan, diagnostics: &mut Diagnostics) {
    if !plan.workflows.is_empty() {
        endless(plan, diagnostics);
        sudden_spikes(plan, diagnostics);
        one_prompt_for_all(plan, diagnostics);
        no_cleanup(plan, diagnostics);
        no_guard(plan, diagnostics);
    }
    production(plan, diagnostics);
}

/// Without a duration a scenario is a canary's: `run` refuses it.
fn endless(plan: &Plan, diagnostics: &mut Diagnostics) {
    for scenario in &plan.scenarios {
        let endless = matches!(
            scenario.executor,
            Executor::ConstantVus { duration: None, .. }
                | Executor::ConstantArrivalRate { duration: None, .. }
                | Executor::ExternallyControlled { duration: None, .. }
        );
        if endless {
            let name = &scenario.name.value;
            diagnostics
                .warning(scenario.span, format!("scenario {name}: the duration is unspecified: only a canary takes it"))
                .hint("`pacecar canary` lasts until it is stopped; for `pacecar run` add `duration`");
        }
    }
}

/// The load jumps before the target could warm up. Later stages may jump: that is a spike test.
fn sudden_spikes(plan: &Plan, diagnostics: &mut Diagnostics) {
    for scenario in &plan.scenarios {
        let (start, stages, per) = match &scenario.executor {
            Executor::RampingVus { start_vus, stages, .. } => (f64::from(start_vus.value), stages, 1.0),
            Executor::RampingArrivalRate { start_rate, stages, time_unit, .. } => {
                (start_rate.value, stages, time_unit.as_secs_f64())
            }
            _ => continue,
        };
        let Some(Stage { duration, target }) = stages.first() else { continue };
        let added = (target.value - start) / per;
        if added >= SMALL && added > STEEP * duration.as_secs_f64() {
            diagnostics
                .warning(target.span, "the load jumps at the start, before the target is warm")
                .hint("ramp up first, for example `{ duration: 2m, target: 10 }`; a spike may follow");
        }
    }
}

/// A prompt without a template is answered from a cache after the first time.
fn one_prompt_for_all(plan: &Plan, diagnostics: &mut Diagnostics) {
    for step in plan.workflows.iter().flat_map(|workflow| &workflow.steps) {
        let found = match &step.body {
            Some(Body::Json(node)) => fixed_prompt(node),
            Some(Body::Form(fields)) => fields.iter().find_map(|(name, node)| fixed_field(name, node)),
            Some(Body::Raw(_)) | None => None,
        };
        if let Some(span) = found {
            diagnostics
                .warning(span, "every iteration sends the same prompt, so a cache answers it")
                .hint("draw one from a data file: `data: { prompts: prompts.json }` and \"{{ data.prompts.prompt }}\"");
        }
    }
}

fn fixed_prompt(node: &Node) -> Option<Span> {
    match &node.kind {
        Kind::Map(entries) => {
            entries.iter().find_map(|(name, value)| fixed_field(name, value).or_else(|| fixed_prompt(value)))
        }
        Kind::List(items) => {
            // A fixed system message before a varied one is how chats are written.
            let varied = items.iter().any(holds_template);
            if varied { None } else { items.iter().find_map(fixed_prompt) }
        }
        _ => None,
    }
}

fn fixed_field(name: &Text, value: &Node) -> Option<Span> {
    let fixed = matches!(&value.kind, Kind::Text(text) if !text.is_empty() && !text.contains("{{"));
    (fixed && PROMPTS.contains(&name.as_str())).then_some(value.span)
}

fn holds_template(node: &Node) -> bool {
    match &node.kind {
        Kind::Text(text) => text.contains("{{"),
        Kind::List(items) => items.iter().any(holds_template),
        Kind::Map(entries) => entries.iter().any(|(_, value)| holds_template(value)),
        _ => false,
    }
}

/// Something is written, and nothing says how it goes away. One that is off has had its warning.
fn no_cleanup(plan: &Plan, diagnostics: &mut Diagnostics) {
    let nothing = plan.cleanup.as_ref().is_none_or(|cleanup| cleanup.postgres.is_none() && cleanup.redis.is_none());
    let writes = |step: &&Step| !matches!(step.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    let first = plan.workflows.iter().flat_map(|workflow| &workflow.steps).chain(&plan.tenants.create).find(writes);
    if let (true, Some(step)) = (nothing, first) {
        diagnostics
            .warning(step.span, "requests that write, and no `cleanup`: what they leave stays")
            .hint("say what is test data under `cleanup: { postgres: { url: …, roots: […] } }`");
    }
}

fn no_guard(plan: &Plan, diagnostics: &mut Diagnostics) {
    if plan.guard.is_none() {
        let span = plan.base_url.as_ref().map_or(Span::new(1, 1), |url| url.span);
        diagnostics
            .warning(span, "no `guard`: only the environments `production` and `prod` are refused")
            .hint("name what may be tested: `guard: { environments: [staging], hosts: [\"*.staging.example.com\"], max_rate: 100/s }`");
    }
}

/// A host that nothing marks as a test's, unless the guard names it.
fn production(plan: &Plan, diagnostics: &mut Diagnostics) {
    let allowed = plan.guard.as_ref().map(|guard| guard.hosts.as_slice()).unwrap_or_default();
    let steps = plan.workflows.iter().flat_map(|workflow| &workflow.steps);
    let steps = steps.chain(&plan.setup).chain(&plan.teardown).chain(&plan.tenants.create);
    let mut told: Vec<String> = Vec::new();
    for url in plan.base_url.iter().chain(steps.map(|step| &step.url)) {
        let Some(host) = host(url) else { continue };
        let named = allowed.iter().any(|pattern| matches(pattern, &host));
        if named || harmless(&host) || told.contains(&host) {
            continue;
        }
        diagnostics
            .warning(url.span, "nothing in this host's name says that it is not production")
            .hint("test in staging first; where this host is meant, name it under `guard: { hosts: […] }`");
        told.push(host);
    }
}

/// The host of an absolute URL; none of a path, or where a template makes it.
fn host(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let plain = scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) && !authority.contains("{{");
    let host = plain.then(|| url::Url::parse(&format!("{scheme}://{authority}/")).ok())??.host_str()?.to_owned();
    Some(host.trim_end_matches('.').to_ascii_lowercase())
}

fn harmless(host: &str) -> bool {
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return match address {
            IpAddr::V4(address) => {
                address.is_loopback() || address.is_private() || address.is_link_local() || address.is_unspecified()
            }
            IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unspecified(),
        };
    }
    // A name without a dot is one of this machine, a compose file or a cluster.
    !host.contains('.')
        || host
            .split(['.', '-', '_'])
            .any(|word| HARMLESS.contains(&word.trim_end_matches(|c: char| c.is_ascii_digit())))
}

/// Whether a guard's host pattern is about this host.
fn matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host.strip_suffix(&parent.to_ascii_lowercase()).is_some_and(|below| below.ends_with('.')),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::plan::{Variables, read};

    fn warnings(source: &str) -> Vec<String> {
        let (plan, mut diagnostics) = read("p.yaml", source.as_bytes(), &Variables::default());
        assert!(!diagnostics.has_errors(), "{diagnostics}");
        advise(&plan.unwrap(), &mut diagnostics);
        diagnostics.sorted().iter().map(|item| format!("{} {}", item.span, item.message)).collect()
    }

    const CALM: &str = "
base_url: http://127.0.0.1:8080
guard: { environments: [staging] }
workflow: [ { request: GET / } ]
";

    #[test]
    fn a_calm_plan_has_no_warning() {
        assert_eq!(warnings(CALM), Vec::<String>::new());
    }

    #[test]
    fn a_sudden_spike_is_told_and_a_ramp_is_not() {
        let with = |stages: &str| {
            warnings(&format!("{CALM}scenarios: {{ a: {{ executor: ramping-vus, stages: {stages} }} }}\n"))
        };
        assert!(with("[{ duration: 10s, target: 100 }]")[0].contains("the load jumps"));
        assert!(with("[{ duration: 0s, target: 50 }]")[0].contains("the load jumps"));
        assert!(with("[{ duration: 2m, target: 10 }, { duration: 10s, target: 500 }]").is_empty());
        assert!(with("[{ duration: 1m, target: 50 }]").is_empty());
        assert!(with("[{ duration: 0s, target: 5 }]").is_empty());
    }

    #[test]
    fn one_prompt_for_all_is_told() {
        let with = |json: &str| {
            let source = CALM.replace("GET /", &format!("POST /, json: {json}"));
            warnings(&format!("{source}cleanup: {{ postgres: {{ url: x }} }}\n"))
        };
        assert!(with("{ prompt: test }")[0].contains("same prompt"));
        assert!(with("{ messages: [ { role: user, content: test } ] }")[0].contains("same prompt"));
        assert!(with("{ prompt: \"{{ data.prompts.prompt }}\" }").is_empty());
        assert!(with("{ messages: [ { content: be brief }, { content: \"{{ x }}\" } ] }").is_empty());
        assert!(with("{ name: test }").is_empty());
    }

    #[test]
    fn writing_without_cleanup_is_told() {
        let all = warnings(&CALM.replace("GET", "POST"));
        assert!(all[0].contains("no `cleanup`"), "{all:?}");
    }

    #[test]
    fn a_missing_guard_is_told() {
        let all = warnings(&CALM.replace("guard: { environments: [staging] }", ""));
        assert_eq!(all.len(), 1);
        assert!(all[0].starts_with("2:11 no `guard`"), "{all:?}");
    }

    #[test]
    fn hosts_that_look_like_production_are_told() {
        for (url, production) in [
            ("https://api.valuecanvas.com", true),
            ("https://api.valuecanvas.com:8443/v1", true),
            ("http://8.8.8.8", true),
            ("https://contest.example.com", true),
            ("https://staging.valuecanvas.com", false),
            ("https://api-staging2.valuecanvas.com", false),
            ("http://localhost:3000", false),
            ("http://10.0.0.8", false),
            ("http://[::1]:80", false),
            ("http://api:3000", false),
            ("http://api.shop.svc.cluster.local", false),
        ] {
            assert_eq!(!warnings(&CALM.replace("http://127.0.0.1:8080", url)).is_empty(), production, "{url}");
        }
        let named = CALM.replace("http://127.0.0.1:8080", "https://api.valuecanvas.com");
        assert!(warnings(&named.replace("environments: [staging]", "hosts: [\"*.valuecanvas.com\"]")).is_empty());
        assert!(!warnings(&CALM.replace("GET /", "GET https://api.valuecanvas.com/x")).is_empty());
    }
}
