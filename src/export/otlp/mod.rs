//! `otlp[=URL]`: OpenTelemetry's protocol: metrics as exponential histograms with exemplars, spans of iterations and
//! requests, and what the run itself did as logs.
//!
//! Messages are written with the writer that the receiver's room has, and leave through its forwarder: queue, retries
//! and transport are one piece. OpenTelemetry's SDK has no way in for a finished histogram.

mod config;
mod logs;
mod metrics;

pub use config::Otlp;

use super::error::OutputError;
use super::exports::Exported;
use super::news::News;
use super::queue::Tally;
use super::series::Series;
use super::sink::Sink;
use super::tags::Tagging;
use crate::correlate::otlp::Signal;
use crate::correlate::{Collector, Forward, ForwardPart, ForwardStats, Forwarder, Kind, Narrator, OwnValue, resource};
use crate::measure::WallClock;
use crate::semconv::RunId;
use logs::Logs;
use metrics::Metrics;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Sends metrics, spans and logs.
pub(super) struct OtlpSink {
    series: Series,
    metrics: Option<(Metrics, Forwarder)>,
    spans: Option<(Narrator, Forwarder)>,
    logs: Option<(Logs, Forwarder)>,
    /// When metrics were sent last, and how often they are.
    sent: Instant,
    interval: Duration,
    tally: Arc<Tally>,
}

/// What of a run its messages say.
#[derive(Clone, Debug)]
pub(super) struct About {
    run: RunId,
    plan: String,
}

/// How often spans and logs are handed on.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How long a collector may take for what waits at the end.
const LAST: Duration = Duration::from_secs(5);

// === impl About ===

impl About {
    pub(super) fn of(run: &Exported<'_>) -> Self {
        Self { run: run.run, plan: run.plan.to_owned() }
    }
}

// === impl OtlpSink ===

impl OtlpSink {
    /// No connection is made before something is to be sent.
    ///
    /// # Errors
    /// [`OutputError::Collector`]
    pub(super) fn open(
        config: &Otlp,
        about: &About,
        tagging: &Arc<Tagging>,
        clock: WallClock,
        tally: Arc<Tally>,
    ) -> Result<Self, OutputError> {
        let start = |collector: &Option<Collector>| match collector {
            Some(collector) => Forwarder::start(collector.clone(), about.run).map(Some).map_err(OutputError::Collector),
            None => Ok(None),
        };
        let id = about.run.to_string();
        let given = config.resource.iter().map(|(key, value)| (key.as_str(), OwnValue::Text(value)));
        let own = [("pacecar.run", OwnValue::Text(&id)), ("pacecar.plan", OwnValue::Text(&about.plan))];
        let attributes: Vec<_> = given.chain(own).collect();
        let resource = resource(&attributes);
        let narrator = |forwarder: Forwarder| {
            let way = forwarder.handle();
            (Narrator::new(about.run, tagging.layout(), config.sampling, clock, &attributes, way), forwarder)
        };
        Ok(Self {
            series: Series::new(tagging, 1.0),
            metrics: start(&config.metrics)?
                .map(|forwarder| (Metrics::new(tagging, config.delta, clock, resource.clone()), forwarder)),
            spans: start(&config.traces)?.map(narrator),
            logs: start(&config.logs)?.map(|forwarder| (Logs::new(clock, resource.clone()), forwarder)),
            sent: Instant::now(),
            interval: config.interval,
            tally,
        })
    }

    fn send_metrics(&mut self) {
        self.sent = Instant::now();
        let Some((metrics, forwarder)) = &mut self.metrics else { return };
        let way = forwarder.handle();
        for (body, count) in metrics.encode(&mut self.series, self.sent) {
            hand_on(&way, Signal::Metrics, body, count);
        }
    }
}

impl Sink for OtlpSink {
    fn take(&mut self, news: &News, part: &Range<usize>) -> bool {
        if self.metrics.is_some() {
            self.series.take(news, part);
        }
        match news {
            News::Batch(batch) if part.start == 0 => {
                if let Some((narrator, _)) = &mut self.spans {
                    narrator.take(batch);
                }
            }
            News::Event(event) => {
                if let Some((logs, forwarder)) = &mut self.logs {
                    hand_on(&forwarder.handle(), Signal::Logs, logs.encode(event), 1);
                }
            }
            _ => {}
        }
        false
    }

    async fn flush(&mut self) {
        if let Some((narrator, _)) = &mut self.spans {
            narrator.flush();
        }
        if self.sent.elapsed() >= self.interval {
            self.send_metrics();
        }
    }

    async fn finish(&mut self) {
        self.send_metrics();
        let metrics = self.metrics.take().map(|(_, forwarder)| forwarder);
        // Dropped, it hands on what it has.
        let spans = self.spans.take().map(|(_, forwarder)| forwarder);
        let logs = self.logs.take().map(|(_, forwarder)| forwarder);
        let (metrics, spans, logs) = tokio::join!(last(metrics), last(spans), last(logs));
        self.tally.wrote(metrics.others.acknowledged);
        for fate in [spans.own, logs.others] {
            self.tally.offer(fate.acknowledged + fate.lost);
            self.tally.wrote(fate.acknowledged);
        }
    }
}

/// What became of all that was handed on.
async fn last(forwarder: Option<Forwarder>) -> ForwardStats {
    match forwarder {
        Some(forwarder) => forwarder.finish(LAST).await,
        None => ForwardStats::default(),
    }
}

fn hand_on(way: &Forward, signal: Signal, body: Vec<u8>, count: u64) {
    way.push_or_lose(ForwardPart { signal, kind: Kind::Other, body: body.into(), count });
}
