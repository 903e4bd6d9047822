//! Flags that several commands take.

use clap::{ArgAction, Args, ValueEnum};

/// How logs are written: to standard error, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    // For people. (No doc comments here: clap would show every help in its long form because of them.)
    #[default]
    Text,
    // One object a line.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// How logs are written
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        hide_env = true,
        env = "PACECAR_LOG_FORMAT",
        value_name = "FORMAT",
        help_heading = "Logs"
    )]
    pub(crate) log_format: LogFormat,
    /// Say more: -v for what pacecar does, -vv for each request
    #[arg(
        short,
        long,
        global = true,
        action = ArgAction::Count,
        hide_env = true,
        env = "PACECAR_VERBOSE",
        help_heading = "Logs"
    )]
    pub(crate) verbose: u8,
}

#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// A value for `${KEY}` in the plan; goes before the environment's (repeatable)
    #[arg(short, long = "env", value_name = "KEY=VALUE", hide_env = true, env = "PACECAR_ENV", hide_env_values = true)]
    pub(crate) env: Vec<String>,
}
