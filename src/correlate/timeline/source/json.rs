//! Figures out of a JSON endpoint: the pool's, or any others.

use super::super::pool::{PoolSample, PoolSource};
use super::super::timelines::Told;
use super::fetch::{Fetch, Target, Trouble};
use super::poll::Source;
use serde_json::Value;
use serde_json_path::JsonPath;
use std::time::Duration;

/// A JSON endpoint and what is taken out of it.
#[derive(Clone, Debug)]
pub(super) struct JsonPlan {
    /// As the plan names it.
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) every: Duration,
    pub(super) figures: JsonFigures,
}

/// What is taken out.
#[derive(Clone, Debug)]
pub(super) enum JsonFigures {
    /// The pool.
    Pool { max: Option<JsonPath>, used: Option<JsonPath>, pending: Option<JsonPath> },
    /// Named figures of a source.
    Named { source: String, values: Vec<(String, JsonPath)> },
}

/// Looks at one.
pub(super) struct Json {
    name: String,
    fetch: Fetch,
    figures: JsonFigures,
}

// === impl Json ===

impl Json {
    pub(super) fn new(plan: &JsonPlan) -> Self {
        let fetch = Fetch::new(plan.target.clone(), "application/json");
        Self { name: plan.name.clone(), fetch, figures: plan.figures.clone() }
    }
}

impl Source for Json {
    type Trouble = Trouble;

    fn name(&self) -> String {
        self.name.clone()
    }

    async fn look(&mut self) -> Result<Vec<Told>, Trouble> {
        let (body, at) = self.fetch.get().await?;
        let value: Value = serde_json::from_slice(&body).map_err(|_| Trouble::Malformed("JSON"))?;
        match &self.figures {
            JsonFigures::Pool { max, used, pending } => {
                let of = |path: &Option<JsonPath>| path.as_ref().and_then(|path| figure(path, &value));
                let sample = PoolSample { max: of(max), used: of(used), pending: of(pending) };
                if sample == PoolSample::default() {
                    return Err(Trouble::Nothing);
                }
                Ok(vec![Told::Pool { source: PoolSource::Http, at, sample }])
            }
            JsonFigures::Named { source, values } => {
                let found = values.iter().filter_map(|(name, path)| Some((name.clone(), figure(path, &value)?)));
                let values: Vec<_> = found.collect();
                if values.is_empty() {
                    return Err(Trouble::Nothing);
                }
                Ok(vec![Told::Figures { source: source.clone(), at, values }])
            }
        }
    }
}

/// What a path finds, as a number; several are summed. Truth is 1, and a number in quotes is one.
fn figure(path: &JsonPath, value: &Value) -> Option<f64> {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    let found = path.query(value).all();
    found.into_iter().filter_map(number).fold(None, |sum: Option<f64>, number| Some(sum.unwrap_or(0.0) + number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_found_however_they_are_written() {
        let value = json!({ "pool": { "max": 10, "text": "4.5", "on": true, "none": null },
                            "pools": [{ "used": 2 }, { "used": 3 }] });
        let of = |path: &str| figure(&JsonPath::parse(path).unwrap(), &value);
        assert_eq!((of("$.pool.max"), of("$.pool.text"), of("$.pool.on")), (Some(10.0), Some(4.5), Some(1.0)));
        assert_eq!((of("$.pool.none"), of("$.nobody"), of("$.pool")), (None, None, None));
        assert_eq!(of("$.pools[*].used"), Some(5.0));
    }
}
