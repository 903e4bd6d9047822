//! Outputs: what they write, held against k6 and against real servers; and what becomes of a run whose outputs do not
//! take what it writes.

mod faults;
mod influxdb;
mod json;
mod otlp;
mod prometheus;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

use crate::support::Ended;
use crate::support::json::count;

/// A line of NDJSON.
#[derive(Debug)]
enum Line {
    Metric(Value),
    Point(Point),
}

/// A point.
#[derive(Debug)]
struct Point {
    metric: String,
    value: f64,
    time: String,
    tags: BTreeMap<String, String>,
}

/// All lines of a text: each must be one.
#[track_caller]
fn lines(text: &str) -> Vec<Line> {
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let name = value["metric"].as_str().expect("a metric").to_owned();
        if value["type"] == "Metric" {
            return Line::Metric(value);
        }
        assert_eq!(value["type"], "Point", "{line}");
        let tag = |(name, value): (&String, &Value)| (name.clone(), value.as_str().expect("a text").to_owned());
        Line::Point(Point {
            metric: name,
            value: value["data"]["value"].as_f64().expect("a number"),
            time: value["data"]["time"].as_str().expect("a time").to_owned(),
            tags: value["data"]["tags"].as_object().expect("tags").iter().map(tag).collect(),
        })
    };
    text.lines().map(read).collect()
}

fn points(text: &str) -> Vec<Point> {
    let point = |line| match line {
        Line::Point(point) => Some(point),
        Line::Metric(_) => None,
    };
    lines(text).into_iter().filter_map(point).collect()
}

#[track_caller]
fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What the summary says of an output: written, lost.
#[track_caller]
fn fate(ended: &Ended, name: &str) -> (u64, u64) {
    let summary = ended.summary();
    let of = |key| count(&summary, &["pacecar", "outputs", name, key]);
    (of("written"), of("lost"))
}
