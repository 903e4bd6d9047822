//! The schema and the reading are one: the same keys, and the same plans pass.

use super::{EVERYTHING, ready::READY};
use crate::plan::reader::{Reader, Registry};
use crate::plan::*;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Where the committed schema stands.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/plan.schema.json");

#[test]
fn the_committed_schema_is_todays() {
    let today = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("PACECAR_BLESS").is_some() {
        std::fs::write(COMMITTED, &today).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(committed == today, "config/plan.schema.json is out of date: run this test with PACECAR_BLESS=1");
}

/// The sections that everything.yaml opens, with the keys that were asked for.
fn asked(source: &str) -> Registry {
    let mut diagnostics = Diagnostics::new("p.yaml");
    let tree = yaml::parse(source, &Variables::default(), &mut diagnostics).unwrap();
    let mut reader = Reader::new(&mut diagnostics, &tree.marks);
    read::plan(&mut reader, &tree.root);
    let registry = reader.into_registry();
    assert!(!diagnostics.has_errors(), "{diagnostics}");
    registry
}

#[test]
fn every_key_of_the_schema_is_read_and_every_key_read_is_in_the_schema() {
    let schema = schema();
    let mut described = Registry::new();
    let sections = schema["$defs"].as_object().unwrap().iter().map(|(name, section)| (name.as_str(), section));
    for (name, section) in sections.chain([("plan", &schema)]) {
        if let Some(properties) = section.get("properties").and_then(Value::as_object) {
            assert_eq!(section["additionalProperties"], json!(false), "{name}");
            for (key, property) in properties {
                assert!(property["description"].is_string(), "{name}.{key} has no description");
            }
            let keys: BTreeSet<&'static str> = properties.keys().map(|key| &*key.clone().leak()).collect();
            described.insert(name.to_owned().leak(), keys);
        }
    }
    let mut read = asked(EVERYTHING);
    // One plan cannot show the ways that exclude each other.
    let other = "workflow: [{ request: GET / }]\ntune:
  knobs: { A: [1] }
  apply: { kubernetes: { namespace: a, deployment: b, container: c, within: 1m } }
scenarios: { a: { executor: constant-arrival-rate, rate: 1, preAllocatedVUs: 1, duration: 1s } }\n";
    for (name, keys) in asked(other) {
        read.entry(name).or_default().extend(keys);
    }
    for (name, keys) in &read {
        assert_eq!(Some(keys), described.get(name), "section {name}: read, and described");
    }
    let names = |registry: &Registry| registry.keys().copied().collect::<Vec<_>>();
    assert_eq!(names(&read), names(&described));
}

#[test]
fn plans_that_are_read_pass_the_schema() {
    let schema = schema();
    for (name, source) in READY.into_iter().chain([("everything", EVERYTHING)]) {
        let mut diagnostics = Diagnostics::new(name);
        let tree = yaml::parse(source, &Variables::default(), &mut diagnostics).unwrap();
        let problems = check(&schema, &schema, &value(&tree.root));
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
}

#[test]
fn the_schema_takes_references_for_numbers_and_refuses_what_reading_refuses() {
    let schema = schema();
    let passes = |plan: Value| check(&schema, &schema, &plan).is_empty();
    let scenario = |key: &str, value: Value| {
        let mut scenario = json!({ "executor": "constant-vus" });
        scenario[key] = value;
        json!({ "scenarios": { "a": scenario } })
    };
    assert!(passes(scenario("vus", json!("${VUS:-60}"))));
    assert!(passes(scenario("duration", json!("1h30m"))) && passes(scenario("duration", json!(500))));
    assert!(passes(json!({ "guard": { "max_rate": "5/10s" }, "setup": null })));
    for wrong in [
        scenario("vus", json!("60")),
        scenario("vus", json!(-1)),
        scenario("duration", json!("10 minutes")),
        scenario("executor", json!("constant")),
        scenario("speed", json!(1)),
        json!({ "names": "x" }),
        json!({ "workflow": [{ "name": "x" }] }),
        json!({ "workflow": [{ "request": "GET /", "expect": { "status": 99 } }] }),
        json!({ "guard": { "max_rate": "100" } }),
    ] {
        assert!(!passes(wrong.clone()), "{wrong}");
    }
}

/// A tree as JSON.
fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => json!(value),
        Kind::Int(value) => json!(value),
        Kind::Float(value) => json!(value),
        Kind::Text(text) => json!(text),
        Kind::List(items) => items.iter().map(value).collect(),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.value.clone(), value(node))).collect::<Map<_, _>>())
        }
    }
}

/// As much of JSON Schema as ours uses; another keyword is a panic, so that none goes unchecked.
fn check(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let Value::Object(keywords) = schema else { return Vec::new() };
    let mut problems = Vec::new();
    let mut problem = |holds: bool, keyword: &str| {
        if !holds {
            problems.push(format!("{keyword} {} of {value}", schema[keyword]));
        }
    };
    let mut below = Vec::new();
    for (keyword, argument) in keywords {
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" => {}
            "$ref" => {
                let target = root.pointer(&argument.as_str().unwrap()[1..]).unwrap_or_else(|| panic!("{argument}"));
                below.extend(check(root, target, value));
            }
            "type" => {
                let is = |name: &str| match name {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "integer" => value.is_i64(),
                    "number" => value.is_number(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    other => panic!("{other}"),
                };
                let holds = match argument {
                    Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
                    name => is(name.as_str().unwrap()),
                };
                problem(holds, keyword);
            }
            "const" => problem(value == argument, keyword),
            "enum" => problem(argument.as_array().unwrap().contains(value), keyword),
            "pattern" => {
                let pattern = regex::Regex::new(argument.as_str().unwrap()).unwrap();
                problem(value.as_str().is_none_or(|text| pattern.is_match(text)), keyword);
            }
            "minimum" => problem(value.as_f64().is_none_or(|n| n >= argument.as_f64().unwrap()), keyword),
            "maximum" => problem(value.as_f64().is_none_or(|n| n <= argument.as_f64().unwrap()), keyword),
            "minItems" => {
                problem(value.as_array().is_none_or(|items| items.len() as u64 >= argument.as_u64().unwrap()), keyword)
            }
            "required" => {
                let has = |key: &Value| value.get(key.as_str().unwrap()).is_some();
                problem(!value.is_object() || argument.as_array().unwrap().iter().all(has), keyword);
            }
            "items" => {
                below.extend(value.as_array().into_iter().flatten().flat_map(|item| check(root, argument, item)))
            }
            "additionalProperties" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    match (schema["properties"].get(key), argument) {
                        (Some(property), _) => below.extend(check(root, property, value)),
                        (None, Value::Bool(false)) => below.push(format!("unknown key {key}")),
                        (None, other) => below.extend(check(root, other, value)),
                    }
                }
            }
            "anyOf" | "oneOf" => {
                let ways = argument.as_array().unwrap();
                problem(ways.iter().any(|way| check(root, way, value).is_empty()), keyword);
            }
            other => panic!("the schema uses {other}, which this test does not know"),
        }
    }
    problems.extend(below);
    problems
}
