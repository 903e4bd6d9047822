//! The flags of `canary`.

use super::EnvArgs;
use clap::Args;
use clap::builder::FalseyValueParser;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct CanaryArgs {
    /// The plan, or - for standard input
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) env: EnvArgs,
    /// A tag of every sample (repeatable)
    #[arg(long = "tag", value_name = "K=V", hide_env = true, env = "PACECAR_TAG")]
    pub(crate) tags: Vec<String>,
    /// Delete nothing; needs no database
    #[arg(long, hide_env = true, env = "PACECAR_NO_CLEANUP", value_parser = FalseyValueParser::new())]
    pub(crate) no_cleanup: bool,
    /// Stream samples: what `pacecar run -o` takes, beside the plan's `outputs`
    #[arg(short = 'o', long = "out", value_name = "OUTPUT", hide_env = true, env = "PACECAR_OUT")]
    pub(crate) outputs: Vec<String>,
    /// No progress
    #[arg(short, long, hide_env = true, env = "PACECAR_QUIET", value_parser = FalseyValueParser::new())]
    pub(crate) quiet: bool,
    /// Where the control API and the live page listen; 127.0.0.1:6565 by default, port 0 is a free one
    #[arg(short, long, value_name = "HOST:PORT", hide_env = true, env = "PACECAR_ADDRESS")]
    pub(crate) address: Option<String>,
    /// Where /healthz, /readyz and /metrics listen for others, without a token
    #[arg(long, value_name = "HOST:PORT", hide_env = true, env = "PACECAR_METRICS_ADDRESS")]
    pub(crate) metrics_address: Option<String>,
}
