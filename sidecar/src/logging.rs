//! Logs: to standard error, as text or JSON, so that standard output holds results only.

use crate::cli::{LogArgs, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Installs the subscriber for this process. `PACECAR_LOG` takes tracing's directives and goes before `-v`.
pub(crate) fn install(args: &LogArgs) {
    let level = match args.verbose {
        0 => "warn",
        1 => "pacecar=info,warn",
        2 => "pacecar=debug,info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("PACECAR_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(colour(&std::io::stderr())).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// Whether colour may go to `stream`: a terminal, and `NO_COLOR` not set.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
