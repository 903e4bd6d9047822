//! The flags of `run`, with k6's letters.

use super::EnvArgs;
use clap::Args;
use clap::builder::FalseyValueParser;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The plan, or - for standard input
    #[arg(value_name = "PLAN")]
    pub(crate) plan: PathBuf,
    #[command(flatten)]
    pub(crate) env: EnvArgs,

    /// VUs; alone: as many shared iterations
    #[arg(
        short = 'u',
        long,
        value_name = "N",
        hide_env = true,
        env = "PACECAR_VUS",
        help_heading = "Load, in place of the plan's scenarios"
    )]
    pub(crate) vus: Option<u32>,
    /// How long the VUs iterate; with -i the most time it may take
    #[arg(
        short = 'd',
        long,
        value_name = "D",
        hide_env = true,
        env = "PACECAR_DURATION",
        help_heading = "Load, in place of the plan's scenarios"
    )]
    pub(crate) duration: Option<String>,
    /// Iterations, shared by the VUs
    #[arg(
        short = 'i',
        long,
        value_name = "N",
        hide_env = true,
        env = "PACECAR_ITERATIONS",
        help_heading = "Load, in place of the plan's scenarios"
    )]
    pub(crate) iterations: Option<u64>,
    /// A stage: ramp to N VUs over D (repeatable, or a list with commas)
    #[arg(
        short = 's',
        long = "stage",
        value_name = "D:N",
        value_delimiter = ',',
        hide_env = true,
        env = "PACECAR_STAGE",
        help_heading = "Load, in place of the plan's scenarios"
    )]
    pub(crate) stages: Vec<String>,

    /// Run only this scenario (repeatable)
    #[arg(long = "scenario", value_name = "NAME", hide_env = true, env = "PACECAR_SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// One more threshold, e.g. 'http_req_duration=p(95)<3000' (repeatable)
    #[arg(long = "threshold", value_name = "METRIC=EXPR", hide_env = true, env = "PACECAR_THRESHOLD")]
    pub(crate) thresholds: Vec<String>,
    /// A tag of every sample (repeatable)
    #[arg(long = "tag", value_name = "K=V", hide_env = true, env = "PACECAR_TAG")]
    pub(crate) tags: Vec<String>,
    /// Do not judge the plan's thresholds
    #[arg(long, hide_env = true, env = "PACECAR_NO_THRESHOLDS", value_parser = FalseyValueParser::new())]
    pub(crate) no_thresholds: bool,
    /// Delete nothing; needs no database
    #[arg(long, hide_env = true, env = "PACECAR_NO_CLEANUP", value_parser = FalseyValueParser::new())]
    pub(crate) no_cleanup: bool,

    /// The most requests a second
    #[arg(long, value_name = "N", hide_env = true, env = "PACECAR_RPS", help_heading = "HTTP")]
    pub(crate) rps: Option<u32>,
    /// How many redirects are followed
    #[arg(long, value_name = "N", hide_env = true, env = "PACECAR_MAX_REDIRECTS", help_heading = "HTTP")]
    pub(crate) max_redirects: Option<u32>,
    /// The user-agent
    #[arg(long, value_name = "S", hide_env = true, env = "PACECAR_USER_AGENT", help_heading = "HTTP")]
    pub(crate) user_agent: Option<String>,
    /// Do not check certificates
    #[arg(long, hide_env = true, env = "PACECAR_INSECURE_SKIP_TLS_VERIFY", value_parser = FalseyValueParser::new(), help_heading = "HTTP")]
    pub(crate) insecure_skip_tls_verify: bool,
    /// A connection serves one request
    #[arg(long, hide_env = true, env = "PACECAR_NO_CONNECTION_REUSE", value_parser = FalseyValueParser::new(), help_heading = "HTTP")]
    pub(crate) no_connection_reuse: bool,
    /// Print each request and answer to standard error, without secrets; =full with bodies
    #[arg(long, value_name = "full", num_args = 0..=1, require_equals = true, default_missing_value = "headers", hide_env = true, env = "PACECAR_HTTP_DEBUG", help_heading = "HTTP")]
    pub(crate) http_debug: Option<String>,

    /// Write the summary as JSON, in k6's shape
    #[arg(long, value_name = "FILE", hide_env = true, env = "PACECAR_SUMMARY_EXPORT", help_heading = "Output")]
    pub(crate) summary_export: Option<PathBuf>,
    /// Which figures trends show, e.g. 'avg,p(95),p(99.9)'
    #[arg(long, value_name = "LIST", hide_env = true, env = "PACECAR_SUMMARY_TREND_STATS", help_heading = "Output")]
    pub(crate) summary_trend_stats: Option<String>,
    /// Where samples go: json=FILE, influxdb=URL/DB, otlp[=URL], prometheus-rw=URL (repeatable)
    #[arg(
        short = 'o',
        long = "out",
        value_name = "OUTPUT",
        hide_env = true,
        env = "PACECAR_OUT",
        help_heading = "Output"
    )]
    pub(crate) outputs: Vec<String>,
    /// Write a result: it can be rendered again, merged and compared
    #[arg(long, value_name = "FILE", hide_env = true, env = "PACECAR_RESULT", help_heading = "Output")]
    pub(crate) result: Option<String>,
    /// Write a report: one HTML file that opens offline
    #[arg(long, value_name = "FILE.html", hide_env = true, env = "PACECAR_REPORT", help_heading = "Output")]
    pub(crate) report: Option<String>,
    /// Write JUnit XML: thresholds and judges as test cases
    #[arg(long, value_name = "FILE.xml", hide_env = true, env = "PACECAR_JUNIT", help_heading = "Output")]
    pub(crate) junit: Option<String>,
    /// No progress
    #[arg(short, long, hide_env = true, env = "PACECAR_QUIET", value_parser = FalseyValueParser::new(), help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Threads that make load; as many as cores by default
    #[arg(long, value_name = "N", hide_env = true, env = "PACECAR_WORKERS", help_heading = "Machine")]
    pub(crate) workers: Option<std::num::NonZeroUsize>,
    /// The part of the run this machine does, e.g. 0:1/3
    #[arg(long, value_name = "A:B", hide_env = true, env = "PACECAR_EXECUTION_SEGMENT", help_heading = "Machine")]
    pub(crate) execution_segment: Option<String>,
    /// All the parts, e.g. 0,1/3,2/3,1
    #[arg(
        long,
        value_name = "LIST",
        hide_env = true,
        env = "PACECAR_EXECUTION_SEGMENT_SEQUENCE",
        help_heading = "Machine"
    )]
    pub(crate) execution_segment_sequence: Option<String>,
    /// Start paused: before setup, until `pacecar resume`
    #[arg(long, hide_env = true, env = "PACECAR_PAUSED", value_parser = FalseyValueParser::new(), help_heading = "Control")]
    pub(crate) paused: bool,
    /// After the end keep the address up until stopped
    #[arg(long, hide_env = true, env = "PACECAR_LINGER", value_parser = FalseyValueParser::new(), help_heading = "Control")]
    pub(crate) linger: bool,
    /// Where the control API and the live page listen; 127.0.0.1:6565 by default, port 0 is a free one
    #[arg(short, long, value_name = "HOST:PORT", hide_env = true, env = "PACECAR_ADDRESS", help_heading = "Control")]
    pub(crate) address: Option<String>,
    /// Where /healthz, /readyz and /metrics listen for others, without a token
    #[arg(long, value_name = "HOST:PORT", hide_env = true, env = "PACECAR_METRICS_ADDRESS", help_heading = "Control")]
    pub(crate) metrics_address: Option<String>,
}

/// Splits `KEY=VALUE` texts. `flag` is named where one is malformed.
///
/// # Errors
/// The message for the user where a text has no `=` or an empty key.
pub(crate) fn assignments(flag: &str, texts: &[String]) -> Result<Vec<(String, String)>, String> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
            // The text itself is not repeated: it may be a secret without its name.
            _ => Err(format!("{flag}: expected KEY=VALUE")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn assignments_split_at_the_first_equals_sign() {
        let given = ["A=b=c".to_owned(), "B=".to_owned()];
        assert_eq!(assignments("-e", &given).unwrap(), [("A".into(), "b=c".into()), ("B".into(), String::new())]);
        assert!(assignments("-e", &["A".to_owned()]).is_err());
        assert!(assignments("-e", &["=x".to_owned()]).is_err());
    }
}
