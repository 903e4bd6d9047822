//! The pool out of Prometheus' text: OpenTelemetry's names in Prometheus' spelling, or those of the plan.

use super::super::pool::{PoolSample, PoolSource};
use super::super::prometheus::{Pick, Sample, samples};
use super::super::timelines::Told;
use super::fetch::{Fetch, Target, Trouble};
use super::poll::Source;
use std::time::Duration;

/// A Prometheus endpoint, and the names of the pool's metrics in it.
#[derive(Clone, Debug)]
pub(super) struct ScrapePlan {
    pub(super) target: Target,
    pub(super) every: Duration,
    pub(super) max: Option<Pick>,
    pub(super) used: Option<Pick>,
    pub(super) pending: Option<Pick>,
}

/// Looks at one.
pub(super) struct Scrape {
    plan: ScrapePlan,
    fetch: Fetch,
}

const MAX: [&str; 3] = ["db_client_connection_max", "db_client_connections_max", "db_sql_connection_max_open"];
const USED: [&str; 3] = ["db_client_connection_count", "db_client_connections_usage", "db_sql_connection_open"];
const PENDING: [&str; 2] = ["db_client_connection_pending_requests", "db_client_connections_pending_requests"];
/// The labels that tell used connections from idle ones, and their values.
const STATE: [&str; 4] = ["db_client_connection_state", "db_client_connections_state", "state", "status"];
const IN_USE: [&str; 4] = ["used", "inuse", "in_use", "active"];

// === impl Scrape ===

impl Scrape {
    pub(super) fn new(plan: &ScrapePlan) -> Self {
        let accept = "text/plain;version=0.0.4,application/openmetrics-text;q=0.5,*/*;q=0.1";
        Self { plan: plan.clone(), fetch: Fetch::new(plan.target.clone(), accept) }
    }
}

impl Source for Scrape {
    type Trouble = Trouble;

    fn name(&self) -> String {
        "correlate.pool.scrape".to_owned()
    }

    async fn look(&mut self) -> Result<Vec<Told>, Trouble> {
        let (body, at) = self.fetch.get().await?;
        let text = std::str::from_utf8(&body).map_err(|_| Trouble::Malformed("text"))?;
        let sample = read(&self.plan, text);
        if sample == PoolSample::default() {
            return Err(Trouble::Nothing);
        }
        Ok(vec![Told::Pool { source: PoolSource::Scrape, at, sample }])
    }
}

/// The sums of what each figure's names meet.
fn read(plan: &ScrapePlan, text: &str) -> PoolSample {
    let mut found = PoolSample::default();
    let in_use = |sample: &Sample<'_>| {
        STATE.iter().any(|label| sample.label(label).is_some_and(|state| IN_USE.contains(&state)))
    };
    for sample in samples(text).filter(|sample| sample.value.is_finite()) {
        let meets = |pick: &Option<Pick>, known: &[&str]| match pick {
            Some(pick) => pick.takes(&sample),
            None => known.contains(&sample.name),
        };
        let add = |sum: &mut Option<f64>| *sum = Some(sum.unwrap_or(0.0) + sample.value);
        if meets(&plan.max, &MAX) {
            add(&mut found.max);
        }
        if meets(&plan.used, &USED) && (plan.used.is_some() || in_use(&sample)) {
            add(&mut found.used);
        }
        if meets(&plan.pending, &PENDING) {
            add(&mut found.pending);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::Method;

    fn plan(names: [Option<&str>; 3]) -> ScrapePlan {
        let [max, used, pending] = names.map(|name| name.and_then(Pick::parse));
        let target = Target::new(Method::GET, "http://127.0.0.1/metrics".parse().unwrap(), &[]);
        ScrapePlan { target, every: Duration::from_secs(1), max, used, pending }
    }

    const TEXT: &str = "\
# TYPE db_client_connection_count gauge
db_client_connection_count{db_client_connection_pool_name=\"a\",db_client_connection_state=\"used\"} 2
db_client_connection_count{db_client_connection_pool_name=\"b\",db_client_connection_state=\"used\"} 3
db_client_connection_count{db_client_connection_pool_name=\"a\",db_client_connection_state=\"idle\"} 8
db_client_connection_max{db_client_connection_pool_name=\"a\"} 10
db_client_connection_pending_requests 0
db_pool{what=\"size\"} 7
db_pool{what=\"busy\"} 6
mine_waiting 4
";

    #[test]
    fn opentelemetrys_names_are_the_default() {
        let found = read(&plan([None; 3]), TEXT);
        assert_eq!(found, PoolSample { max: Some(10.0), used: Some(5.0), pending: Some(0.0) });
        let old = read(&plan([None; 3]), "db_client_connections_usage{state=\"used\"} 1\ndb_sql_connection_max_open 4");
        assert_eq!(old, PoolSample { max: Some(4.0), used: Some(1.0), pending: None });
    }

    #[test]
    fn names_of_the_plan_go_before() {
        let names = [Some("db_pool{what=\"size\"}"), Some("db_pool{what=\"busy\"}"), Some("mine_waiting")];
        let found = read(&plan(names), TEXT);
        assert_eq!(found, PoolSample { max: Some(7.0), used: Some(6.0), pending: Some(4.0) });
        assert_eq!(read(&plan([Some("x"), Some("y"), Some("z")]), TEXT), PoolSample::default());
    }
}
