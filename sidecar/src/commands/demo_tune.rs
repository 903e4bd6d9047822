//! `pacecar demo --tune`: an experiment over the sample API's pool, in two minutes.

use super::tune::{self, watch};
use crate::demo::Demo;
use crate::output;
use pacecar::plan::Variables;
use pacecar::report::Exit;
use pacecar::run::{self, Settings, Source, Tuning};
use pacecar::tune::apply::Guardian;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// The plan: any other plan of this kind does the same to any other API.
const PLAN: &str = include_str!("../demo/tune.yaml");
/// What the demo leaves behind: the figures of its trials.
const RESULT: &str = "pacecar-demo-tune.json";

/// Tunes the API of a running demo, which exports its spans to where `spans` is bound.
pub(super) async fn show(demo: &Demo, spans: Option<TcpListener>) -> Exit {
    output::result(&opening(demo));
    let directory = match tempfile::tempdir() {
        Ok(directory) => directory,
        Err(error) => {
            output::error(&format!("no temporary directory: {}", run::chain(&error)));
            return Exit::Refused;
        }
    };
    let source = Source {
        name: "demo-tune.yaml".to_owned(),
        bytes: plan(spans.as_ref().and_then(|held| held.local_addr().ok())).into_bytes(),
        directory: PathBuf::from(directory.path()),
    };
    // Nothing else: the demo must not depend on what happens to be in the environment.
    let given = [("API_URL", demo.api_url.as_str()), ("DATABASE_URL", demo.database_url.as_str())];
    let variables = Variables::new(given.map(|(key, value)| (key.to_owned(), value.to_owned())), []);
    let (tuning, diagnostics) =
        Tuning::compile(source, Settings::new(super::new_run_id(), variables), Guardian::this_program());
    output::message(&diagnostics.to_string());
    let Some(tuning) = tuning else { return Exit::InvalidPlan };
    drop(spans);
    match watch(tuning, false).await {
        Ok(tuned) => {
            let exit = tune::finish(&tuned, Some(Path::new(RESULT)), None);
            if tuned.outcome.is_some() {
                output::result(CLOSING);
            }
            exit
        }
        Err(exit) => exit,
    }
}

/// The plan, joined with the API's spans where they can be received.
fn plan(listen: Option<SocketAddr>) -> String {
    let traces = |address| format!("  traces: {{ listen: \"{address}\", linger: 1s }}\n");
    PLAN.replace("TRACES\n", &listen.map_or_else(String::new, traces))
}

fn opening(demo: &Demo) -> String {
    format!(
        "\nHow many connections does this API need? pacecar tries, measures, and says.\n\n  \
         1  the API        {api}: each profile takes a connection for 20 ms\n  \
         2  the load       60 profiles a second, whatever the API does\n  \
         3  the trials     1, 2, 4 and 8 connections, each several times, in an order drawn by lot\n  \
         4  the proof      the smallest that is as good as any, at twice the load\n\n",
        api = demo.api_url,
    )
}

const CLOSING: &str = "
The pool is at 8 again, as it was. The trials: pacecar-demo-tune.json

Next: the same for your API. config/pool-tuning.yaml is the plan for a Node service, docs/tuning.md the way.

";
