//! Which settings fit the database: all replicas with all their connections, while a deployment rolls.

use crate::plan::{Plan, TuneDocument};
use crate::postgres::Database;
use crate::run::completed::chain;
use crate::tune::{Infeasible, Setting, Terms};
use std::time::Duration;
use tokio::time::timeout;

/// How long the database may take to say how many connections it has.
const ANSWER: Duration = Duration::from_secs(5);

/// The settings that do not fit; and what a person should know where that could not be found out.
pub(super) async fn infeasible(plan: &Plan, tune: &TuneDocument, terms: &Terms) -> (Vec<Infeasible>, Option<String>) {
    let Some(capacity) = &tune.capacity else { return (Vec::new(), None) };
    // Said where the plan was read.
    let Some(knob) = &tune.pool_knob else { return (Vec::new(), None) };
    let connections = match most_connections(plan).await {
        Ok(connections) => connections,
        Err(problem) => return (Vec::new(), Some(format!("capacity is not checked: {problem}"))),
    };
    let need = Need { replicas: capacity.replicas.value, surge: capacity.surge.value, reserve: capacity.reserve.value };
    let fits = |setting: Setting| {
        let most: f64 = setting.get(knob)?.trim().parse().ok()?;
        let reason = need.too_much(most, connections)?;
        Some(Infeasible { setting, reason })
    };
    let today = terms.original.clone().filter(|original| !terms.grid().contains(original));
    (terms.grid().into_iter().chain(today).filter_map(fits).collect(), None)
}

/// What all replicas together need.
struct Need {
    replicas: u64,
    surge: f64,
    reserve: u64,
}

// === impl Need ===

impl Need {
    /// Why so many connections of each replica are too many; none where they fit.
    fn too_much(&self, most: f64, connections: u64) -> Option<String> {
        let Self { replicas, surge, reserve } = *self;
        let all = replicas as f64 * most * (1.0 + surge) + reserve as f64;
        // As much as there is is there, whatever the last bit of a sum says.
        let over = all > connections as f64 * (1.0 + 1e-9);
        over.then(|| {
            format!(
                "{replicas} × {most} × (1 + {surge}) + {reserve} = {all} connections, of which the database has {connections}"
            )
        })
    }
}

/// `max_connections` of the database that the plan names, for correlation or for cleanup.
async fn most_connections(plan: &Plan) -> Result<u64, String> {
    let correlated = plan.later.correlate.as_ref().and_then(|section| section.postgres.as_ref()).map(|it| &it.url);
    let cleaned = plan.cleanup.as_ref().and_then(|section| section.postgres.as_ref()).map(|it| &it.url);
    let url = [correlated, cleaned].into_iter().flatten().find(|url| !url.trim().is_empty());
    let url = url.ok_or("the plan names no database: correlate.postgres or cleanup.postgres")?;
    let database = Database::parse(url.trim()).map_err(|_| "its url is no connection string")?;
    let asked = async {
        let (client, driver) = database.connect().await.map_err(|error| chain(&error))?;
        let answer = async {
            let row = client.query_one("SELECT current_setting('max_connections')", &[]).await;
            row.and_then(|row| row.try_get::<_, String>(0)).map_err(|error| chain(&error))
        };
        tokio::pin!(driver, answer);
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer?,
                () = &mut driver => return Err("the connection to the database broke".to_owned()),
            }
        };
        answer.trim().parse().map_err(|_| format!("max_connections is {answer:?}"))
    };
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err("the database does not answer".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_replicas_need_while_a_deployment_rolls_must_be_there() {
        let need = Need { replicas: 2, surge: 0.25, reserve: 10 };
        assert_eq!(need.too_much(36.0, 100), None, "exactly all of them");
        assert_eq!(
            need.too_much(64.0, 100).as_deref(),
            Some("2 × 64 × (1 + 0.25) + 10 = 170 connections, of which the database has 100")
        );
        let tight = Need { replicas: 3, surge: 0.1, reserve: 0 };
        assert_eq!(tight.too_much(10.0, 33), None, "a sum of tenths is no exact one");
    }
}
