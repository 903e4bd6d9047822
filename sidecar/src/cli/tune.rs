//! The flags of `tune`.

use super::EnvArgs;
use clap::Args;
use clap::builder::FalseyValueParser;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct TuneArgs {
    /// The plan, or - for standard input
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) env: EnvArgs,
    /// Write the result as JSON: verdict, recommendation, trials
    #[arg(long, value_name = "FILE", hide_env = true, env = "PACECAR_RESULT", help_heading = "Output")]
    pub(crate) result: Option<PathBuf>,
    /// Write the recommended values, a line each: PG_POOL_MAX=24
    #[arg(long, value_name = "FILE", hide_env = true, env = "PACECAR_WRITE_ENV", help_heading = "Output")]
    pub(crate) write_env: Option<PathBuf>,
    /// No progress
    #[arg(short, long, hide_env = true, env = "PACECAR_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,
    /// Put back what a killed tune left in effect, and nothing else
    #[arg(long, hide_env = true, env = "PACECAR_RESTORE", value_parser = FalseyValueParser::new(), help_heading = "Control")]
    pub(crate) restore: bool,
    /// Where the control API and the live page listen; 127.0.0.1:6565 by default, port 0 is a free one
    #[arg(short, long, value_name = "HOST:PORT", hide_env = true, env = "PACECAR_ADDRESS", help_heading = "Control")]
    pub(crate) address: Option<String>,
}
