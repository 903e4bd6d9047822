//! What `--result` and the terminal get of a tune.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::correlate::{Band, Part};
use crate::measure::threshold::Operator;
use crate::measure::trend::Quantile;
use crate::tune::{
    Budget, ConstraintValue, Failure, Hold, Incidents, Infeasible, Knob, Next, NoiseReport, Objective, Order, next,
};
use std::time::Duration;

/// An API whose pool of 8 is enough, whose database slows beyond 16, and which does not start with 2.
fn trial(order: Order) -> Trial {
    let size: f64 = order.setting.get("PG_POOL_MAX").unwrap().parse().unwrap();
    // What the block has in common, and a little of the trial's own.
    let own = (order.seed as u8).wrapping_mul(size as u8 | 1) % 7;
    let wobble = 1.0 + 0.02 * f64::from(order.block % 3) + 0.002 * f64::from(own);
    let p95 = wobble
        * if size < 8.0 {
            200.0
        } else if size > 16.0 {
            160.0
        } else {
            100.0
        };
    let value = |name: &str, value: f64| ConstraintValue { name: name.into(), value: Some(value), of: None };
    let measured = Measured {
        objective: Quantile { value: p95, censored: false },
        p95,
        constraints: vec![value("pool_utilization", 4.8 / size), value("http_req_failed", 0.0)],
        utilization: Some(4.8 / size),
        requests: 36_000,
        throughput: 1200.0,
        ..Measured::default()
    };
    let result = if size < 4.0 { Err(Failure::NotApplied("no such size".into())) } else { Ok(measured) };
    Trial { order, result, took: Duration::from_secs(40) }
}

fn terms() -> Terms {
    let setting = |size: &str| [("PG_POOL_MAX", size)].into_iter().collect::<Setting>();
    Terms {
        knobs: vec![Knob {
            name: "PG_POOL_MAX".into(),
            values: ["2", "8", "16", "32", "64"].map(str::to_owned).into(),
        }],
        original: Some(setting("32")),
        infeasible: vec![Infeasible { setting: setting("64"), reason: "170 connections of 100".into() }],
        objective: Objective { metric: "http_req_response_time".into(), stat: "p(95)".into() },
        constraints: vec![
            Constraint { name: "pool_utilization".into(), operator: Operator::Less, bound: 0.8 },
            Constraint { name: "http_req_failed".into(), operator: Operator::Equal, bound: 0.0 },
        ],
        warmup: Duration::from_secs(5),
        duration: Duration::from_secs(30),
        hold: Some(Hold { factor: 2.0, duration: Duration::from_secs(60) }),
        budget: Budget { trials: 60, time: Duration::from_secs(3600) },
        seed: 1,
    }
}

fn tuned(terms: &Terms) -> (Outcome, Vec<Trial>) {
    let mut trials = Vec::new();
    loop {
        match next(terms, &trials) {
            Next::Done(outcome) => return (*outcome, trials),
            Next::Run(order) => trials.push(trial(order)),
        }
    }
}

#[test]
fn the_result_has_the_keys_of_the_contract_and_values_as_text() {
    let terms = terms();
    let (outcome, trials) = tuned(&terms);
    let value = tune_value(&terms, &outcome, &trials);
    let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["verdict", "recommendation", "improvement", "noise_floor", "further_trials", "trials", "reasons"]
    );
    assert_eq!(value["verdict"], "recommended");
    assert_eq!(value["recommendation"], json!({ "PG_POOL_MAX": "8" }));
    assert_eq!(value["improvement"]["over"], json!({ "PG_POOL_MAX": "32" }));
    let share = value["improvement"]["share"].as_f64().unwrap();
    assert!((share - 0.375).abs() < 0.01, "{share}");
    let interval = &value["improvement"]["interval"];
    assert!(interval[0].as_f64().unwrap() <= share && share <= interval[1].as_f64().unwrap());
    assert!(value["noise_floor"]["relative"].as_f64().unwrap() > 0.0);
    assert_eq!(value["further_trials"], 0);
    let told = value["trials"].as_array().unwrap();
    assert_eq!(told.len(), trials.len());
    for trial in told {
        let keys: Vec<&String> = trial.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["knobs", "p95", "utilization", "valid", "error", "hold", "failed"]);
    }
    let failed = told.iter().find(|trial| trial["knobs"]["PG_POOL_MAX"] == "2").unwrap();
    assert_eq!((&failed["valid"], &failed["p95"]), (&json!(false), &Value::Null));
    assert_eq!(failed["error"], "could not be applied: no such size");
    let held: Vec<&Value> = told.iter().filter(|trial| trial["hold"] == true).collect();
    assert_eq!((held.len(), &held[0]["knobs"]["PG_POOL_MAX"]), (1, &json!("8")));
    assert!(told.iter().all(|trial| trial["knobs"]["PG_POOL_MAX"] != "64"), "what does not fit is not tried");
    let reasons = value["reasons"].to_string();
    for wanted in ["PG_POOL_MAX=64 was not tried: 170 connections of 100", "below 0.01 %", "PG_POOL_MAX=2: could not"] {
        assert!(reasons.contains(wanted), "{wanted} in {reasons}");
    }
}

#[test]
fn what_broke_in_a_trial_is_named_and_at_more_load_only_what_must_hold_there() {
    let terms = terms();
    let order = |phase| Order {
        setting: [("PG_POOL_MAX", "8")].into_iter().collect(),
        phase,
        block: 1,
        seed: 1,
        factor: 1.0,
        warmup: Duration::ZERO,
        duration: Duration::from_secs(30),
    };
    let value = |name: &str, value: f64| ConstraintValue { name: name.into(), value: Some(value), of: None };
    let measured = Measured {
        constraints: vec![value("pool_utilization", 0.97), value("http_req_failed", 0.01)],
        incidents: Incidents { resets: 3, ..Incidents::default() },
        invalid: vec!["lag p(99) was 80 ms".into()],
        ..Measured::default()
    };
    let told = |phase| {
        let trial = Trial { order: order(phase), result: Ok(measured.clone()), took: Duration::ZERO };
        trial_value(&terms, &trial)
    };
    let plain = told(Phase::Screening);
    assert_eq!(plain["failed"], json!(["pool_utilization", "http_req_failed"]));
    assert_eq!((&plain["valid"], &plain["error"]), (&json!(false), &json!("lag p(99) was 80 ms")));
    assert_eq!(told(Phase::Hold)["failed"], json!(["http_req_failed", "connection_reset"]));
}

fn rendered(columns: usize, style: Style) -> String {
    let terms = terms();
    let (outcome, _) = tuned(&terms);
    TuneText { terms: &terms, outcome: &outcome, contains: Contains::Time, pods: None }.render(style, columns)
}

#[test]
fn the_text_has_a_verdict_a_table_and_a_picture() {
    let text = rendered(100, Style::Plain);
    assert!(text.contains("recommended: PG_POOL_MAX=8"), "{text}");
    assert!(text.contains("PG_POOL_MAX=32") && text.contains("(baseline)") && text.contains("not tried"), "{text}");
    let drawn: Vec<&str> = text.lines().filter(|line| line.contains('●') || line.contains('◆')).collect();
    assert_eq!(drawn.len(), 3, "{text}");
    let place = |line: &str, mark| line.chars().position(|c| c == mark);
    assert!(place(drawn[0], '◆') < place(drawn[2], '●'), "less stands further left: {text}");
    assert!(drawn[0].ends_with("60 %") && drawn[2].ends_with("15 %"), "{text}");
    assert!(!text.contains('\x1b'));
    assert!(rendered(100, Style::Coloured).contains('\x1b'));
}

#[test]
fn what_is_beyond_all_measure_does_not_flatten_the_rest() {
    let terms = terms();
    let (mut outcome, _) = tuned(&terms);
    let saturated = outcome.values.iter_mut().find(|value| value.setting.to_string() == "PG_POOL_MAX=32").unwrap();
    (saturated.objective, saturated.interval) = (Some(60_000.0), None);
    let text = TuneText { terms: &terms, outcome: &outcome, contains: Contains::Time, pods: None };
    let text = text.render(Style::Plain, 100);
    let beyond = text.lines().find(|line| line.contains('▸')).unwrap();
    assert!(beyond.trim_start().starts_with("32"), "{text}");
    assert!(!text.lines().any(|line| line.contains("1m0s") && line.contains("pool in use")), "{text}");
}

#[test]
fn a_narrow_terminal_loses_the_bar_and_no_figure() {
    let text = rendered(40, Style::Plain);
    let drawn: Vec<&str> = text.lines().filter(|line| line.contains('●') || line.contains('◆')).collect();
    assert!(drawn.iter().all(|line| width(line) <= 40 && !line.contains('█')), "{text}");
    assert!(text.contains("60 %"), "the table still has it: {text}");
    for columns in [0, 1, 10, 200] {
        assert!(rendered(columns, Style::Plain).contains('◆'));
    }
}

#[test]
fn what_the_requests_waited_for_stands_beside_each_value() {
    let terms = terms();
    let (mut outcome, _) = tuned(&terms);
    let mut parts_ms = [0.0; Part::ALL.len()];
    parts_ms[Part::PoolWait as usize] = 148.26;
    for value in &mut outcome.values {
        let band = BandName::P95;
        value.bands = vec![Band { band, step: "agent".into(), total_ms: 200.0, parts_ms, exemplars: Vec::new() }];
    }
    let text = TuneText { terms: &terms, outcome: &outcome, contains: Contains::Time, pods: None };
    assert!(text.render(Style::Plain, 120).contains("pool_wait 148ms of agent"));
    assert!(!text.render(Style::Plain, 60).contains("waits most for"));
    assert!(!rendered(120, Style::Plain).contains("waits most for"), "nobody correlated");
}

#[test]
fn an_outcome_that_settles_nothing_says_how_many_trials_would() {
    let terms = Terms { budget: Budget { trials: 7, time: Duration::from_secs(3600) }, ..terms() };
    let (outcome, trials) = tuned(&terms);
    assert!(trials.len() <= 7);
    let value = tune_value(&terms, &outcome, &trials);
    assert_eq!((&value["verdict"], &value["recommendation"]), (&json!("inconclusive"), &Value::Null));
    assert!(value["further_trials"].as_u64().unwrap() > 0);
    let text = TuneText { terms: &terms, outcome: &outcome, contains: Contains::Time, pods: None };
    assert!(text.render(Style::Plain, 80).contains("more trials would settle it"));
    assert_eq!(tune_exit(outcome.verdict), Exit::InvalidRun);
}

#[test]
fn noise_and_pods_stand_in_the_text() {
    let terms = terms();
    let (mut outcome, _) = tuned(&terms);
    outcome.noise = Some(NoiseReport { relative: 0.04, detectable: 0.06, margin: 0.1 });
    let pods = Some(Pods { target: 2400.0, per_pod: 700.0, pods: 4, interval: (3, 5) });
    let text = TuneText { terms: &terms, outcome: &outcome, contains: Contains::Time, pods };
    let text = text.render(Style::Plain, 100);
    assert!(text.contains("noise floor 4 %") && text.contains("4 pods for 2400 requests/s (3 to 5;"), "{text}");
}
