//! The command line as typed: commands, flags, their help. What it means is decided in `commands/`.

mod canary;
mod common;
mod results;
mod run;
mod tune;

pub(crate) use canary::CanaryArgs;
pub(crate) use common::{EnvArgs, LogArgs, LogFormat};
pub(crate) use results::{CompareArgs, Format, MergeArgs, ReportArgs};
pub(crate) use run::{RunArgs, assignments};
pub(crate) use tune::TuneArgs;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Plays the tenants of your API at a controlled rate, judges the figures, deletes the rows it made.
#[derive(Debug, Parser)]
#[command(name = "pacecar", version, propagate_version = true, max_term_width = 100, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) log: LogArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Start here:
  pacecar demo                                   see everything on this machine, nothing set up
  pacecar check plan.yaml                        every mistake of a plan at once
  pacecar run -e API_URL=http://127.0.0.1:8080 plan.yaml

Every flag can be given as a variable too: --summary-export FILE as PACECAR_SUMMARY_EXPORT=FILE.

Exit codes:
  0 passed · 99 a threshold failed · 100, 107 setup failed · 103 stopped through the API
  104 the plan or a flag is invalid · 105 stopped by a signal · 106 an address cannot be bound
  120 the run is invalid · 121 the guard refused to start · 122 cleanup did not finish";

const RUN_HELP: &str = "\
Examples:
  pacecar run plan.yaml                              the plan's own scenarios
  pacecar run -u 1 -i 1 plan.yaml                    one user, once: are paths and passwords right?
  pacecar run -u 10 -d 30s plan.yaml                 ten VUs, each as fast as it is answered
  pacecar run -s 10s:5 -s 20s:20 -s 10s:0 plan.yaml  up to 5, on to 20, down to none
  pacecar run -e API_URL=https://staging.example.com -q --summary-export summary.json plan.yaml

The exit code is the verdict: 0 passed, 99 a threshold failed; the others: pacecar --help.
Every flag can be given as a variable too: -u 10 as PACECAR_VUS=10.";

const CANARY_HELP: &str = "\
Examples:
  pacecar canary plan.yaml                                     until Ctrl-C or SIGTERM; the live page: 127.0.0.1:6565
  pacecar canary --metrics-address 0.0.0.0:9465 plan.yaml      with probes and a scrape for others
  pacecar status, pause, resume, stop                          steer it from another terminal

Scenarios need no `duration`, and one that is there is not obeyed. Exits with 0 on SIGTERM and SIGINT, after
its iterations have ended, teardown and cleanup; with 122 where cleanup did not finish. A second signal
leaves at once.";

const CHECK_HELP: &str = "\
Examples:
  pacecar check plan.yaml
  pacecar check -e API_URL=https://staging.example.com plan.yaml
  pacecar check - <plan.yaml

Exits with 0 where the plan is right, warnings or not, and with 104 where it is not.";

const CLEANUP_HELP: &str = "\
Examples:
  pacecar cleanup --dry-run plan.yaml    what would go: nothing is deleted
  pacecar cleanup plan.yaml              all that the plan's roots match goes, whoever made it
  pacecar cleanup --expired plan.yaml    what killed runs left goes
  pacecar cleanup install plan.yaml      the ledger: which run inserted which row, recorded by triggers

Exits with 0 where nothing is left, and with 122 where something may be.";

const SCHEMA_HELP: &str = "\
Example:
  pacecar schema > pacecar.schema.json

With this as the first line of a plan, editors complete its keys and mark mistakes:
  # yaml-language-server: $schema=pacecar.schema.json";

const TUNE_HELP: &str = "\
Examples:
  pacecar tune plan.yaml                               the trials that the plan's section `tune` asks for
  pacecar tune --result tune.json --write-env pool.env plan.yaml
  pacecar tune --restore plan.yaml                     put back what a killed tune left in effect

Exits with 0 where values are recommended, with 99 where none passes, with 120 where more trials
are needed to say. Ctrl-C puts the original values back: 105.";

const STEER_HELP: &str = "\
Examples:
  pacecar status
  pacecar pause --address 127.0.0.1:7000
  PACECAR_TOKEN=… pacecar stop -a 10.1.2.3:6565

With PACECAR_TOKEN set, it is sent. Exits with 0 where the run took it, else with 104.";

const SCALE_HELP: &str = "\
Examples:
  pacecar scale --vus 20
  pacecar scale --vus 50 --max 100

Of the first scenario whose executor is externally-controlled. More VUs than `maxVUs` need --max;
fewer than the plan's own `maxVUs` it cannot be. Exits with 0 where the run took it, else with 104.";

const DEMO_HELP: &str = "\
Examples:
  pacecar demo            a run with its cleanup, in less than a minute; only its report is left
  pacecar demo --tune     how many connections the sample API needs, in two minutes
  pacecar demo --serve    the sample API stays up; its address is the first line of standard output
  pacecar demo -- node examples/node-api/server.mjs
                          another API in its place, told DATABASE_URL, PORT and SEED_PASSWORD";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a plan: drive its workflow, print the summary, clean up, exit with the verdict
    #[command(after_help = RUN_HELP)]
    Run(Box<RunArgs>),
    /// Parse and validate a plan: every error at once, nothing sent
    #[command(after_help = CHECK_HELP)]
    Check(CheckArgs),
    /// Print the plan's JSON Schema, for editors
    #[command(after_help = SCHEMA_HELP)]
    Schema,
    /// Find and delete the test data that a plan declares
    #[command(after_help = CLEANUP_HELP)]
    Cleanup(CleanupArgs),
    /// See it all on this machine: a sample API, a temporary Postgres, a short run, a report
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArgs),
    /// Always on: low-rate traffic, live page and control API, SLO burn, until it is stopped
    #[command(after_help = CANARY_HELP)]
    Canary(Box<CanaryArgs>),
    /// An experiment over knobs: trials, verdict, recommendation
    #[command(after_help = TUNE_HELP)]
    Tune(TuneArgs),
    /// Two or more results side by side, with confidence; exits with 99 on a regression
    #[command(after_help = results::COMPARE_HELP)]
    Compare(CompareArgs),
    /// The results of several workers as one run: thresholds are judged on the whole
    #[command(after_help = results::MERGE_HELP)]
    Merge(MergeArgs),
    /// Render a result again
    #[command(after_help = results::REPORT_HELP)]
    Report(ReportArgs),
    /// What a running pacecar is doing, as `k6 status` prints it
    #[command(after_help = STEER_HELP)]
    Status(SteerArgs),
    /// Pause a running pacecar: what runs is finished, nothing new starts
    #[command(after_help = STEER_HELP)]
    Pause(SteerArgs),
    /// Resume a paused pacecar
    #[command(after_help = STEER_HELP)]
    Resume(SteerArgs),
    /// Change the VUs of a running externally-controlled scenario
    #[command(after_help = SCALE_HELP)]
    Scale(ScaleArgs),
    /// Stop a running pacecar: teardown, cleanup and summary follow; it exits with 103
    #[command(after_help = STEER_HELP)]
    Stop(SteerArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The plan, or - for standard input
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) env: EnvArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct CleanupArgs {
    /// The plan, or - for standard input. `install PLAN` and `uninstall PLAN` are for the row ledger
    #[arg(value_name = "PLAN", required = true, num_args = 1..=2)]
    pub(crate) words: Vec<PathBuf>,
    /// All that the roots match, whoever made it: the default
    #[arg(long, hide_env = true, env = "PACECAR_ALL", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) all: bool,
    /// What this run left (16 hex digits)
    #[arg(long, value_name = "ID", hide_env = true, env = "PACECAR_RUN", conflicts_with_all = ["all", "expired"])]
    pub(crate) run: Option<String>,
    /// What runs of this plan's name left whose lease ran out
    #[arg(long, hide_env = true, env = "PACECAR_EXPIRED", conflicts_with = "all", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) expired: bool,
    /// Print the same table; delete nothing, create nothing
    #[arg(long, hide_env = true, env = "PACECAR_DRY_RUN", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) dry_run: bool,
    /// Write the summary as JSON
    #[arg(long, value_name = "FILE", hide_env = true, env = "PACECAR_SUMMARY_EXPORT")]
    pub(crate) summary_export: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) env: EnvArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep the sample API and its database up, for playing, until Ctrl-C or SIGTERM
    #[arg(long, hide_env = true, env = "PACECAR_SERVE", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) serve: bool,
    /// An experiment over the sample API's pool instead: trials, verdict, recommendation, in two minutes
    #[arg(long, hide_env = true, env = "PACECAR_TUNE", value_parser = clap::builder::FalseyValueParser::new(), conflicts_with_all = ["serve", "command"])]
    pub(crate) tune: bool,
    /// The database to use; without it a temporary Postgres is started
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Option<String>,
    /// The port of the sample API; a free one by default
    #[arg(long, hide_env = true, env = "PACECAR_PORT")]
    pub(crate) port: Option<u16>,
    /// An API in the sample API's place: a program that listens on 127.0.0.1:$PORT and uses $DATABASE_URL
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// Which running pacecar is meant.
#[derive(Debug, Args)]
pub(crate) struct SteerArgs {
    /// Where the running pacecar listens
    #[arg(
        short,
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:6565",
        hide_env = true,
        env = "PACECAR_ADDRESS"
    )]
    pub(crate) address: String,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// VUs that are to iterate
    #[arg(short = 'u', long, value_name = "N", hide_env = true, env = "PACECAR_VUS", required_unless_present = "max")]
    pub(crate) vus: Option<u32>,
    /// VUs that there are to be, to iterate
    #[arg(short, long, value_name = "N", hide_env = true, env = "PACECAR_MAX")]
    pub(crate) max: Option<u32>,
    #[command(flatten)]
    pub(crate) steer: SteerArgs,
}
