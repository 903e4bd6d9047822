//! `pacecar demo`: the front door. A sample API on a real Postgres, a short run of the ready plan
//! `tenant-workflow`, its cleanup, and the proof that real rows are untouched.

use super::demo_tune;
use super::run::{Left, watch};
use crate::cli::DemoArgs;
use crate::demo::{Demo, DemoSettings, RealDigest};
use crate::output;
use crate::results::{self, Wanted};
use crate::signals::StopSignals;
use pacecar::plan::{Span, Spanned, Stage, Variables};
use pacecar::report::{self, Exit, Figures, RunReport, Verdict};
use pacecar::run::{self, Completed, Overrides, Settings, Source};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

/// The plan that the demo plays: the ready one, shortened by flags anybody can give.
const PLAN: &str = include_str!("../../../config/tenant-workflow.yaml");
const PROMPTS: &str = include_str!("../../../config/prompts.json");
/// Where the sample API tells of its pool.
const POOL: &str = "  pool: { http: { url: /api/llm/stats, every: 500ms, max: $.pool.max, used: $.pool.used, pending: $.pool.pending } }\n";
/// How many tenants' users come: one after the other over `RAMP`, as people do, and all of them for `HOLD`.
const VUS: u32 = 20;
const RAMP: Duration = Duration::from_secs(3);
const HOLD: Duration = Duration::from_secs(9);
/// What the demo leaves behind: the report of its run.
const REPORT: &str = "pacecar-demo.html";

pub(crate) async fn execute(args: DemoArgs) -> Exit {
    let mut signals = match StopSignals::install() {
        Ok(signals) => signals,
        Err(error) => {
            output::error(&format!("signals cannot be handled: {error}"));
            return Exit::Refused;
        }
    };
    let own = !args.command.is_empty();
    // Held until the run listens there itself. Where there is none, there is no CORRELATION.
    let spans = if args.serve { None } else { TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok() };
    let settings = DemoSettings {
        database_url: args.database_url.clone(),
        port: args.port,
        command: args.command.clone(),
        spans_to: spans.as_ref().and_then(|held| held.local_addr().ok()),
        for_a_tune: args.tune,
    };
    let what = if own { "your API" } else { "a sample API" };
    output::message(&format!("Starting {what} and its database …\n"));
    let starting = Demo::start(settings);
    tokio::pin!(starting);
    let started = tokio::select! {
        started = &mut starting => started,
        // What is started by now is stopped again, and awaited, when the future is dropped.
        () = signals.next() => {
            output::message("\npacecar: stopping\n");
            return Exit::Signal;
        }
    };
    let demo = match started {
        Ok(demo) => demo,
        Err(error) => {
            output::error(&format!("the demo cannot start: {}", run::chain(&error)));
            return Exit::Refused;
        }
    };
    // The same signals to the end: one that comes between two phases is not lost.
    let exit = if args.serve {
        serve(&demo, &mut signals).await
    } else if args.tune {
        demo_tune::show(&demo, spans).await
    } else {
        show(&demo, own, spans, &mut signals).await
    };
    match demo.stop().await {
        Ok(()) => exit,
        Err(error) => {
            output::error(&format!("the demo did not stop cleanly: {}", run::chain(&error)));
            Exit::choose([exit, Exit::CleanupUnfinished])
        }
    }
}

/// Keeps the API up until somebody stops it.
async fn serve(demo: &Demo, signals: &mut StopSignals) -> Exit {
    output::result(&format!("{}\n", demo.api_url));
    output::message(&format!(
        "\nThe sample API is up, with {users}. Play with it from another terminal:\n\n  \
         {program} run -e API_URL={api}{database} -u 20 -d 15s config/tenant-workflow.yaml\n\n\
         Ctrl-C stops it and removes what it made.\n",
        users = "the users of config/tenant-workflow.yaml (test-1-1@example.com …, password `secret`)",
        program = program(),
        api = demo.api_url,
        // The temporary cluster's URL is no secret: it goes with the demo, and listens on loopback only.
        database = if demo.temporary_postgres {
            format!(" -e DATABASE_URL='{}'", demo.database_url)
        } else {
            " -e DATABASE_URL=\"$DATABASE_URL\"".to_owned()
        },
    ));
    signals.next().await;
    Exit::Passed
}

/// The story: what is there, the tenants, what they made, that it is gone.
async fn show(demo: &Demo, own: bool, spans: Option<TcpListener>, signals: &mut StopSignals) -> Exit {
    output::result(&opening(demo, own));
    let before = tokio::select! {
        before = demo.real_digest() => before,
        () = signals.next() => return Exit::Signal,
    };
    let before = match before {
        Ok(rows) => rows,
        Err(error) => return failed("the real rows cannot be counted", &error),
    };
    let completed = match play(demo, own, spans).await {
        Ok(completed) => completed,
        Err(exit) => return exit,
    };
    let after = match demo.real_digest().await {
        Ok(rows) => rows,
        Err(error) => return failed("the real rows cannot be counted", &error),
    };
    // Counted by the demo itself: the sweep's word is not taken for it.
    let left = match demo.counts().await {
        Ok(counts) => counts.test_chats,
        Err(error) => return failed("the test rows cannot be counted", &error),
    };
    if let Some(finished) = &completed.report {
        results::print(finished);
        wanted().write(finished, completed.saved.as_deref());
        output::result(&closing(finished, left, &before, &after));
    }
    for problem in &completed.problems {
        output::error(problem);
    }
    if before == after && left == 0 {
        return completed.exit;
    }
    output::error("the database is not what it was: this must never happen");
    Exit::choose([completed.exit, Exit::CleanupUnfinished])
}

/// Runs the ready plan against the API, which exports its spans to where `spans` is bound.
async fn play(demo: &Demo, own: bool, spans: Option<TcpListener>) -> Result<Completed, Exit> {
    let directory = tempfile::tempdir().map_err(|error| failed("no temporary directory", &error))?;
    let prompts = directory.path().join("prompts.json");
    std::fs::write(prompts, PROMPTS).map_err(|error| failed("the prompts cannot be written", &error))?;
    let source = Source {
        name: "config/tenant-workflow.yaml".to_owned(),
        bytes: plan(spans.as_ref().and_then(|held| held.local_addr().ok()), own).into_bytes(),
        directory: PathBuf::from(directory.path()),
    };
    let given = [("API_URL", demo.api_url.as_str()), ("DATABASE_URL", demo.database_url.as_str())];
    // Nothing else: the demo must not depend on what happens to be in the environment.
    let variables = Variables::new(given.map(|(key, value)| (key.to_owned(), value.to_owned())), []);
    let mut settings = Settings::new(super::new_run_id(), variables);
    settings.keep = true;
    // The sample API asks for a proof where it is set.
    settings.client.secret = std::env::var(pacecar::semconv::SECRET).ok();
    let stage = |duration| Stage { duration, target: Spanned::new(f64::from(VUS), Span::NONE) };
    settings.overrides = Overrides { stages: vec![stage(RAMP), stage(HOLD)], ..Overrides::default() };
    let (compiled, diagnostics) = run::compile(&source, settings);
    output::message(&diagnostics.to_string());
    let compiled = compiled.ok_or(Exit::InvalidPlan)?;
    drop(spans);
    watch(compiled, false).await.map_err(|left| match left {
        Left::Unable => Exit::Refused,
        // No word on rows: the demo takes away what its API wrote when it stops.
        Left::AtOnce => Exit::Signal,
    })
}

/// The ready plan, joined with the API's spans, and the sample API's pool beside them. An API that exports none keeps
/// nobody waiting for long.
fn plan(listen: Option<SocketAddr>, own: bool) -> String {
    let traces = |address| format!("  traces: {{ listen: \"{address}\", linger: 2s }}\n");
    match listen {
        None => PLAN.to_owned(),
        Some(address) => {
            format!("{PLAN}\ncorrelate:\n{}{}", traces(address), if own { "" } else { POOL })
        }
    }
}

/// The files that the demo's run leaves.
fn wanted() -> Wanted {
    Wanted { report: Some(REPORT.to_owned()), ..Wanted::default() }
}

fn opening(demo: &Demo, own: bool) -> String {
    let database = if demo.temporary_postgres {
        "a temporary Postgres, which goes when the demo ends"
    } else {
        "the one of DATABASE_URL"
    };
    let what = if own { "your API    " } else { "a sample API" };
    format!(
        "\npacecar plays the tenants of an API, says how the API took it,\n\
         and deletes every row it caused.\n\n  \
         1  a database     {database}\n  \
         2  {what}   {api}: login, profile, chat;\n                    \
         real customers' rows stand beside the test users'\n  \
         3  the tenants    {VUS} users for {seconds} s, as config/tenant-workflow.yaml says:\n                    \
         log in → read the profile → ask the LLM\n\n",
        api = demo.api_url,
        seconds = (RAMP + HOLD).as_secs(),
    )
}

fn closing(report: &RunReport, left: u64, before: &RealDigest, after: &RealDigest) -> String {
    let p95 = report.metric("http_req_duration").and_then(|metric| match &metric.figures {
        Figures::Trend(trend) => trend.get("p(95)"),
        _ => None,
    });
    let p95 = p95.map_or_else(|| "no request".to_owned(), |figure| format!("{:.1} ms", figure.value));
    let (found, deleted) = report.cleanup.as_ref().map_or((0, 0), |cleanup| {
        let sum = |of: fn(&report::TableReport) -> u64| cleanup.tables.iter().map(of).sum::<u64>();
        (sum(|table| table.found), sum(|table| table.deleted))
    });
    let verdict = match report.run.verdict {
        Verdict::Pass => "pass: every threshold of the plan holds",
        Verdict::Fail => "fail: a threshold of the plan does not hold; is the machine busy with something else?",
        Verdict::Invalid => "invalid: this machine is too busy to measure on",
    };
    let real = if before == after { "untouched, to the byte" } else { "CHANGED" };
    format!(
        "  What happened\n\n    \
         verdict        {verdict}\n    \
         p95            {p95}\n    \
         rows made      {found}\n    \
         rows deleted   {deleted}\n    \
         rows left      {left} left\n    \
         real rows      {count} before, {count_after} after: {real}\n    \
         report         {REPORT}\n\n  \
         Next:  {program} demo --serve\n         \
         keeps the API up and prints the command that plays the tenants from another terminal.\n         \
         Then write a plan of your own: docs/first-plan.md\n\n",
        program = program(),
        count = before.rows,
        count_after = after.rows,
    )
}

/// How this program was called, so that what is printed can be copied.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "pacecar".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn failed(what: &str, error: &dyn std::error::Error) -> Exit {
    output::error(&format!("{what}: {}", run::chain(error)));
    Exit::Refused
}
