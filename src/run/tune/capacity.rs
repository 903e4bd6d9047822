//! Which settings fit the database: all replicas with all their connections, while a deployment rolls.

use crate::plan::{Plan, TuneDocument};
use crate::postgres::Database;
use crate::run::completed::chain;
use crate::tune::{Infeasible, Need, Terms};
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
    (need.infeasible(terms, knob, connections), None)
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
        let answer = tokio::select! {
            answer = &mut answer => answer?,
            () = &mut driver => return Err("the connection to the database broke".to_owned()),
        };
        answer.trim().parse().map_err(|_| format!("max_connections is {answer:?}"))
    };
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err("the database does not answer".to_owned()))
}
