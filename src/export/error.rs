//! Why an output cannot be used. No variant repeats a password, a token, or the user part of a URL.

use crate::correlate::CollectorError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why an output cannot start.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Its file cannot be opened for writing.
    #[error("the output json cannot write to {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The collector's certificate is none.
    #[error("the output otlp cannot speak TLS")]
    Collector(#[source] CollectorError),
    /// TLS cannot be spoken as its settings ask for.
    #[error("the output {output} cannot speak TLS: {problem}")]
    Tls {
        /// Which output.
        output: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// A thread or its runtime could not be made.
    #[error("the output {output} cannot start")]
    Thread {
        /// Which output.
        output: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What it writes to could not be opened in time: a pipe that nobody reads.
    #[error("the output {output} could not be opened within {within:?}: does anybody read it?")]
    Slow {
        /// Which output.
        output: &'static str,
        /// The time it had.
        within: Duration,
    },
    /// Its thread ended before it had begun.
    #[error("the output {output} ended before it had begun")]
    Died {
        /// Which output.
        output: &'static str,
    },
}
