//! An API of somebody's own in the sample API's place: a program that is told its database and its port.
//!
//! Its life is bound to ours: it is asked to stop when the demo stops, and a watchdog stops it with all that it
//! started where we were killed.

use super::postgres::watchdog::Watchdog;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

/// How long it may take until it answers.
const READY: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(50);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);
/// What tells that it is up, whatever it answers.
const PROBE: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
/// The password of the test users of config/tenant-workflow.yaml.
const PASSWORD: &str = "secret";

/// What makes an SDK send to `OTEL_EXPORTER_OTLP_ENDPOINT`, and while the demo still runs.
const EXPORT_SOON: [(&str, &str); 5] = [
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ("OTEL_TRACES_EXPORTER", "otlp"),
    ("OTEL_BSP_SCHEDULE_DELAY", "300"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "1000"),
];
/// Variables that would send spans elsewhere, or none.
const OTHER_EXPORTERS: [&str; 5] = [
    "OTEL_SDK_DISABLED",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_TRACES_SAMPLER",
];

/// The running program.
pub(super) struct OwnApi {
    child: Child,
    address: SocketAddr,
    /// Dropped last: it guards the program until that is gone.
    _watchdog: Watchdog,
}

/// Why it does not come up. The program says more on standard error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnApiError {
    /// No such program.
    #[error("cannot run {program:?}")]
    Spawn {
        /// What was asked for.
        program: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// It ended.
    #[error("it ended before it answered: {0}")]
    Ended(ExitStatus),
    /// It runs and does not answer.
    #[error("it did not answer on {address} within {READY:?}: does it listen on 127.0.0.1:$PORT?")]
    Silent {
        /// Where it should listen.
        address: SocketAddr,
    },
}

// === impl OwnApi ===

impl OwnApi {
    /// Starts `command` with `DATABASE_URL`, `PORT`, `SEED_PASSWORD` and, with `spans_to`, OpenTelemetry's variables,
    /// and waits until it answers.
    pub(super) async fn start(
        command: &[OsString],
        database_url: &str,
        port: u16,
        spans_to: Option<SocketAddr>,
    ) -> Result<Self, OwnApiError> {
        let (program, arguments) = command
            .split_first()
            .map_or((OsString::new(), &[][..]), |(program, arguments)| (program.clone(), arguments));
        let failed = |source| OwnApiError::Spawn { program: program.clone(), source };
        let mut watchdog = Watchdog::start(None).map_err(failed)?;
        let mut child = Command::new(&program);
        child.args(arguments).env("DATABASE_URL", database_url).env("PORT", port.to_string());
        if let Some(receiver) = spans_to {
            for name in OTHER_EXPORTERS {
                child.env_remove(name);
            }
            child.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{receiver}"));
            child.envs(EXPORT_SOON.iter().copied());
        }
        // What it prints is not a result of ours.
        child.env("SEED_PASSWORD", PASSWORD).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let mut child = tokio::process::Command::from(child).kill_on_drop(true).spawn().map_err(failed)?;
        if let Some(pid) = child.id() {
            watchdog.watch_group(pid).map_err(failed)?;
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let begun = Instant::now();
        while !answers(address).await {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(OwnApiError::Ended(status));
            }
            if begun.elapsed() > READY {
                return Err(OwnApiError::Silent { address });
            }
            sleep(POLL).await;
        }
        Ok(Self { child, address, _watchdog: watchdog })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it to stop; who does not within `patience` is killed.
    pub(super) async fn stop(mut self, patience: Duration) {
        let group = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let Some(group) = group else { return };
        let _ = kill_process_group(group, Signal::TERM);
        if timeout(patience, self.child.wait()).await.is_err() {
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait().await;
        }
    }
}

// === helpers ===

/// Whether something answers in HTTP there.
async fn answers(address: SocketAddr) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(PROBE).await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        Ok::<_, io::Error>(answer == *b"HTTP/")
    };
    matches!(timeout(ANSWER, asked).await, Ok(Ok(true)))
}
