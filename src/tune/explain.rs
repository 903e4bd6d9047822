//! Why a value is better than its neighbours: what the requests no longer wait for, and what they wait for instead.
//!
//! A figure without its cause is taken on trust, and is wrong as soon as something else changes. The cause is read off
//! the attribution of each value (where the time of the requests around p95 went), else off the pool's utilisation.

use super::outcome::{Standing, ValueReport};
use super::size::number;
use super::words::{figure, percent};
use crate::correlate::{Band, BandName, Part};

/// A part that changes by less than this share of the total explains nothing.
const TELLING: f64 = 0.1;
/// What is left of a part that is gone: at most this share of what it was.
const GONE: f64 = 0.1;

/// A sentence for each neighbour of the value to take, or of the best one where none is recommended.
pub(super) fn explain(values: &[ValueReport]) -> Vec<String> {
    let Some(pivot) = pivot(values) else { return Vec::new() };
    let knobs: Vec<&str> = pivot.setting.iter().map(|(knob, _)| knob).collect();
    let mut sentences = Vec::new();
    for knob in knobs {
        let along = |value: &&ValueReport| differs_only_in(knob, value, pivot);
        let size = |value: &ValueReport| value.setting.get(knob).and_then(number);
        let Some(here) = size(pivot) else { continue };
        let known = || values.iter().filter(|value| value.objective.is_some()).filter(along);
        let below = known().filter(|value| size(value).is_some_and(|size| size < here));
        let below = below.max_by(|one, other| size(one).unwrap_or(0.0).total_cmp(&size(other).unwrap_or(0.0)));
        let above = known().filter(|value| size(value).is_some_and(|size| size > here));
        let above = above.max_by(|one, other| one.objective.unwrap_or(0.0).total_cmp(&other.objective.unwrap_or(0.0)));
        sentences.extend(below.and_then(|below| gained(knob, below, pivot)));
        sentences.extend(above.and_then(|above| lost(knob, pivot, above)));
    }
    sentences
}

fn pivot(values: &[ValueReport]) -> Option<&ValueReport> {
    let recommended = values.iter().find(|value| value.standing == Standing::Recommended);
    let known = values.iter().filter(|value| !matches!(value.standing, Standing::Out(_) | Standing::NotTried(_)));
    let best = || {
        known
            .filter(|value| value.objective.is_some())
            .min_by(|one, other| one.objective.unwrap_or(0.0).total_cmp(&other.objective.unwrap_or(0.0)))
    };
    recommended.or_else(best)
}

fn differs_only_in(knob: &str, one: &ValueReport, other: &ValueReport) -> bool {
    one.setting.iter().zip(other.setting.iter()).all(|((name, one), (_, other))| (name == knob) != (one == other))
}

/// What a step up from the smaller value took away: `at PG_POOL_MAX=8 the wait for a pool connection is gone …`.
fn gained(knob: &str, smaller: &ValueReport, here: &ValueReport) -> Option<String> {
    let (at, from) = (named(knob, here), named(knob, smaller));
    if let Some((part, before, after, step)) = change(smaller, here, |before, after| before - after) {
        let how = if after <= before * GONE { "is gone" } else { "is less" };
        return Some(format!(
            "at {at} {} {how}: {} ms at p95 of {step}, {} ms at {from}",
            waiting(part),
            figure(after),
            figure(before)
        ));
    }
    let (before, after) = (smaller.utilization?, here.utilization?);
    let worse = smaller.objective? > here.objective? && before - after >= TELLING;
    worse.then(|| format!("the pool is in use for {} at {from} and for {} at {at}", percent(before), percent(after)))
}

/// What a step up to the larger value adds: `beyond PG_POOL_MAX=16 the database slows …`.
fn lost(knob: &str, here: &ValueReport, larger: &ValueReport) -> Option<String> {
    let (part, before, after, step) = change(here, larger, |before, after| after - before)?;
    let (beyond, at) = (named(knob, here), named(knob, larger));
    Some(format!(
        "beyond {beyond} {}: {} ms at p95 of {step} at {at}, {} ms at {beyond}",
        slowing(part),
        figure(after),
        figure(before)
    ))
}

/// The part of the slowest step's p95 that changes most, with its figures before and after; none where no change is
/// worth telling.
fn change(from: &ValueReport, to: &ValueReport, by: impl Fn(f64, f64) -> f64) -> Option<(Part, f64, f64, String)> {
    let p95 = |value: &ValueReport, step: &str| -> Option<Band> {
        value.bands.iter().find(|band| band.band == BandName::P95 && band.step == step).cloned()
    };
    let slowest = [from, to].into_iter().flat_map(|value| &value.bands).filter(|band| band.band == BandName::P95);
    let step = slowest.max_by(|one, other| one.total_ms.total_cmp(&other.total_ms))?.step.clone();
    let (before, after) = (p95(from, &step)?, p95(to, &step)?);
    let changed = |part: &Part| by(before.part(*part), after.part(*part));
    let part = Part::ALL.into_iter().max_by(|one, other| changed(one).total_cmp(&changed(other)))?;
    let telling = changed(&part) >= TELLING * before.total_ms.max(after.total_ms);
    telling.then(|| (part, before.part(part), after.part(part), step))
}

fn named(knob: &str, value: &ValueReport) -> String {
    format!("{knob}={}", value.setting.get(knob).unwrap_or_default())
}

const fn waiting(part: Part) -> &'static str {
    match part {
        Part::Network => "the time on the network",
        Part::ServerQueue => "the wait before the handler",
        Part::PoolWait => "the wait for a pool connection",
        Part::Connect => "the wait for a new connection to the database",
        Part::Db => "the time in the database",
        Part::Upstream => "the time upstream",
        Part::App => "the API's own work",
        Part::Unexplained => "the time that no span explains",
    }
}

const fn slowing(part: Part) -> &'static str {
    match part {
        Part::Network => "the network takes longer",
        Part::ServerQueue => "requests wait longer before the handler",
        Part::PoolWait => "requests wait longer for a pool connection",
        Part::Connect => "new connections to the database take longer",
        Part::Db => "the database slows",
        Part::Upstream => "upstream slows",
        Part::App => "the API's own work takes longer",
        Part::Unexplained => "what no span explains takes longer",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Setting;
    use super::*;

    fn value(size: u32, objective: f64, pool_wait: f64, db: f64, standing: Standing) -> ValueReport {
        let mut parts_ms = [0.0; Part::ALL.len()];
        (parts_ms[Part::PoolWait as usize], parts_ms[Part::Db as usize]) = (pool_wait, db);
        let band =
            Band { band: BandName::P95, step: "agent".into(), total_ms: objective, parts_ms, exemplars: Vec::new() };
        ValueReport {
            setting: [("PG_POOL_MAX", size.to_string()), ("UV", "4".to_owned())].into_iter().collect::<Setting>(),
            baseline: false,
            trials: 5,
            objective: Some(objective),
            interval: None,
            utilization: Some(4.0 / f64::from(size)),
            throughput: 100.0,
            bands: vec![band],
            standing,
        }
    }

    fn worse() -> Standing {
        Standing::Worse { share: 0.5, than: Setting::default() }
    }

    #[test]
    fn a_recommendation_carries_its_cause() {
        let values = [
            value(4, 203.0, 148.0, 55.0, worse()),
            value(8, 60.0, 1.2, 55.0, Standing::Recommended),
            value(16, 62.0, 0.0, 58.0, Standing::AsGood),
            value(32, 92.0, 0.0, 88.0, worse()),
        ];
        assert_eq!(
            explain(&values),
            [
                "at PG_POOL_MAX=8 the wait for a pool connection is gone: 1.2 ms at p95 of agent, 148 ms at PG_POOL_MAX=4",
                "beyond PG_POOL_MAX=8 the database slows: 88 ms at p95 of agent at PG_POOL_MAX=32, 55 ms at PG_POOL_MAX=8",
            ]
        );
    }

    #[test]
    fn without_attribution_the_pool_itself_tells() {
        let mut values = [value(4, 203.0, 0.0, 0.0, worse()), value(8, 60.0, 0.0, 0.0, Standing::Recommended)];
        values.iter_mut().for_each(|value| value.bands.clear());
        assert_eq!(explain(&values), ["the pool is in use for 100 % at PG_POOL_MAX=4 and for 50 % at PG_POOL_MAX=8"]);
    }

    #[test]
    fn what_hardly_changes_explains_nothing() {
        let values = [value(8, 60.0, 1.0, 55.0, Standing::Recommended), value(16, 62.0, 0.0, 57.0, Standing::AsGood)];
        assert!(explain(&values).is_empty());
        assert!(explain(&[]).is_empty());
    }
}
