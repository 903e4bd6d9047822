//! Correlation in a run: what is compiled of it, and the tasks that join while the load lives.
//!
//! Everything here lives on the reporter's runtime: workers only hand over what they recorded anyway. The order at
//! the end is the promise: first nothing more is recorded, then what the API still sends is waited for, then the
//! sockets close, then the collector gets what waits; each has a bound.

use crate::correlate::timeline::Told;
use crate::correlate::{
    AttributionReport, Bound, Collector, CollectorError, Forwarder, Incoming, Intake, JoinConfig, Joiner, Narrator,
    Receiver, ReceiverConfig, ReceiverError, ReceiverStats, Taker, intake, local,
};
use crate::export::Otlp;
use crate::measure::{Batch, Layout, LayoutBuilder, WallClock};
use crate::plan::{Diagnostics, Plan, Span, Variables};
use crate::report::{CorrelationReport, ReceiverFigures};
use crate::semconv::{RunId, Sampling};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// What of a plan correlation needs.
#[derive(Debug)]
pub(super) struct CorrelationPlan {
    receiver: ReceiverConfig,
    collector: Option<Collector>,
    sampling: Sampling,
    linger: Duration,
    /// The longest that a request may take.
    longest: Duration,
    /// Whether `base_url` is on this machine.
    local: bool,
}

/// Why it does not start.
#[derive(Debug, Error)]
pub(super) enum CorrelationError {
    /// An address that the plan names cannot be bound: exit 106.
    #[error("the OTLP receiver cannot start")]
    Receiver(#[from] ReceiverError),
    /// The collector's certificate is none: exit 104.
    #[error("spans cannot be sent on")]
    Collector(#[from] CollectorError),
}

/// What joins while a run lives. Dropped, it ends at once.
#[derive(Debug)]
pub(super) struct Correlation {
    joining: JoinSet<AttributionReport>,
    receiver: Option<Receiver>,
    forwarder: Option<Forwarder>,
}

/// Where what happened is handed on. The last one that is dropped ends the telling.
#[derive(Clone, Debug)]
pub(super) struct Feed(mpsc::Sender<Arc<Batch>>);

/// Joins until the feed ends and what still comes has come.
struct Joining {
    joiner: Joiner,
    narrator: Option<Narrator>,
    incoming: Option<Incoming>,
    feed: mpsc::Receiver<Arc<Batch>>,
    linger: Duration,
    /// Who keeps timelines.
    ear: Option<mpsc::Sender<Told>>,
}

/// Handovers that may wait: two a worker are made before it needs one back.
const FEED: usize = 16;
/// How often windows are looked at.
const TICK: Duration = Duration::from_millis(100);
/// After how many ticks pacecar's own spans are handed on.
const FLUSH_EVERY: u32 = 10;
/// How long the collector may take for what waits at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Compiles `correlate.traces`, and asks the layout for the stream; none where the plan has none.
pub(super) fn compile(
    plan: &Plan,
    variables: &Variables,
    layout: &mut LayoutBuilder,
    diagnostics: &mut Diagnostics,
) -> Option<CorrelationPlan> {
    let traces = plan.later.correlate.as_ref()?.traces.as_ref()?;
    let lookup = |name: &str| variables.environment.get(name).cloned();
    let (found, named, span) = match &traces.forward {
        Some(forward) => (Collector::at(forward.trim(), &lookup).map(Some), "correlate.traces.forward", forward.span),
        None => (Collector::from_environment(&lookup), "OTEL_EXPORTER_OTLP_ENDPOINT", traces.span),
    };
    let collector = found.unwrap_or_else(|error| {
        diagnostics.error(span, error.to_string()).hint("an OTLP/HTTP base URL: `http://collector:4318`");
        None
    });
    let receiver = ReceiverConfig {
        listen: traces.listen.as_ref().map(|address| address.value.clone()),
        grpc: traces.grpc.as_ref().map(|address| address.value.clone()),
    };
    let listening: Vec<&str> = receiver.listen.iter().chain(&receiver.grpc).map(String::as_str).collect();
    if let Some(Err(error)) = collector.as_ref().map(|collector| collector.refuse_own(named, &listening)) {
        diagnostics
            .error(span, error.to_string())
            .hint("pacecar receives there what the API sends; name the collector that is to get it");
    }
    layout.stream();
    Some(CorrelationPlan {
        receiver,
        collector,
        sampling: Sampling::ratio(traces.sample.value),
        linger: traces.linger.value,
        longest: plan.http.timeout.value,
        local: plan.base_url.as_ref().and_then(|url| local(url)).unwrap_or(false),
    })
}

// === impl CorrelationPlan ===

impl CorrelationPlan {
    /// Tells the output otlp what it must know of its neighbour: which traces are recorded, that spans which go to the
    /// same collector are not sent twice, and where pacecar itself listens.
    pub(super) fn share_with(&self, otlp: &mut Otlp, diagnostics: &mut Diagnostics) {
        otlp.sample(self.sampling);
        let listening: Vec<&str> = self.receiver.listen.iter().chain(&self.receiver.grpc).map(String::as_str).collect();
        if let Err(error) = otlp.refuse_own(&listening) {
            diagnostics.error(Span::NONE, error.to_string()).hint("name the collector that is to get it: otlp=URL");
        }
        if let Some(collector) = &self.collector {
            otlp.leave_spans_to(collector);
        }
    }

    /// Binds what is named and begins to join what the feed tells.
    /// `ear` hears what timelines are made of.
    pub(super) async fn start(
        &self,
        run: RunId,
        layout: &Layout,
        ear: Option<mpsc::Sender<Told>>,
    ) -> Result<(Correlation, Feed), CorrelationError> {
        let bound = Bound::bind(&self.receiver).await?;
        let forwarder = match &self.collector {
            Some(collector) => Some(Forwarder::start(collector.clone(), run)?),
            None => None,
        };
        let clock = WallClock::now();
        let way = forwarder.as_ref().map(Forwarder::handle);
        let narrator = way.clone().map(|way| Narrator::new(run, layout, self.sampling, clock, &[], way));
        let (receiver, incoming) = if bound.http().is_some() || bound.grpc().is_some() {
            for (protocol, address) in [("http", bound.http()), ("grpc", bound.grpc())] {
                if let Some(address) = address {
                    tracing::info!(protocol, %address, "receiving OTLP");
                }
            }
            let (outgoing, incoming) = intake();
            // Only `forward` gets what others sent; the collector of the environment is for pacecar's own spans.
            let through = way.filter(|_| self.forwards());
            (Some(bound.start(Taker::new(run, outgoing, through))), Some(incoming))
        } else {
            (None, None)
        };
        let config = JoinConfig {
            sampling: self.sampling,
            linger: self.linger,
            longest: self.longest,
            clock,
            local: self.local,
        };
        let joiner = Joiner::new(config, layout);
        let (sender, feed) = mpsc::channel(FEED);
        let mut joining = JoinSet::new();
        joining.spawn(Joining { joiner, narrator, incoming, feed, linger: self.linger, ear }.run());
        Ok((Correlation { joining, receiver, forwarder }, Feed(sender)))
    }
}

// === impl Correlation ===

impl Correlation {
    /// The feed has ended: waits for what still comes, closes the sockets, and says what it all came to.
    pub(super) async fn finish(self) -> CorrelationReport {
        let Self { mut joining, receiver, forwarder } = self;
        let attribution = match joining.join_next().await {
            Some(Ok(report)) => report,
            // A join that panicked joined nothing: that is told as what it is, spans that are missing.
            Some(Err(_)) | None => AttributionReport::default(),
        };
        let received = match receiver {
            Some(receiver) => Some(receiver.stop().await),
            None => None,
        };
        let forwarded = match forwarder {
            Some(forwarder) => Some(forwarder.finish(FAREWELL).await),
            None => None,
        };
        let receiver = received.map(|received| ReceiverFigures {
            spans: received.spans,
            foreign: received.foreign,
            forwarded: forwarded.map_or(0, |forwarded| forwarded.spans.acknowledged),
            lost: forwarded.map_or(0, |forwarded| forwarded.spans.lost),
            rejected: received.rejected,
        });
        let mut notes = told(&attribution, received);
        if let Some(lost) = forwarded.map(|forwarded| forwarded.own.lost).filter(|lost| *lost > 0) {
            notes.push(format!("{lost} of pacecar's own spans were not acknowledged by the collector"));
        }
        let attribution = (attribution.counts.expected > 0).then_some(attribution);
        CorrelationReport { attribution, receiver, timelines: None, notes }
    }
}

// === impl Feed ===

impl Feed {
    /// Hands on what a worker recorded. Waits where the join is behind: the workers do not.
    pub(super) async fn tell(&self, batch: Arc<Batch>) {
        if !batch.is_empty() {
            // Gone only where the join panicked, which its report tells.
            let _ = self.0.send(batch).await;
        }
    }
}

// === impl Joining ===

impl Joining {
    /// Ends when the feed has ended and every answer has its server span, or `linger` later.
    async fn run(mut self) -> AttributionReport {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tick = 0_u32;
        let mut until = None;
        loop {
            tokio::select! {
                batch = self.feed.recv(), if until.is_none() => match batch {
                    Some(batch) => {
                        if let Some(narrator) = &mut self.narrator {
                            narrator.take(&batch);
                        }
                        self.joiner.take(&batch, Instant::now());
                    }
                    None => until = Some(Instant::now() + self.linger),
                },
                came = next(self.incoming.as_mut()) => match came {
                    Some(mut batch) => {
                        let now = Instant::now();
                        for item in batch.drain() {
                            match item {
                                Intake::Span(span) => self.joiner.span(&span, now),
                                Intake::Metric(point) => self.tell(Told::Metric(point, now)).await,
                            }
                        }
                    }
                    None => self.incoming = None,
                },
                _ = ticks.tick() => {
                    tick = tick.wrapping_add(1);
                    self.joiner.tick(Instant::now());
                    self.tell_waits().await;
                    if let Some(narrator) = self.narrator.as_mut().filter(|_| tick.is_multiple_of(FLUSH_EVERY)) {
                        narrator.flush();
                    }
                }
            }
            let now = Instant::now();
            let done = |until: Instant| now >= until || self.incoming.is_none() || self.joiner.is_settled(now);
            if until.is_some_and(done) {
                break;
            }
        }
        // Its spans are handed on here, before the forwarder is told to finish.
        drop(self.narrator.take());
        self.joiner.close_all();
        self.tell_waits().await;
        self.joiner.finish()
    }

    async fn tell_waits(&mut self) {
        let waits = self.joiner.take_pool_waits();
        if !waits.is_empty() {
            self.tell(Told::Waits(waits)).await;
        }
    }

    /// There is always somebody who takes it in, until the run is dropped.
    async fn tell(&self, told: Told) {
        if let Some(ear) = &self.ear {
            let _ = ear.send(told).await;
        }
    }
}

/// What the next message held; never where nobody listens.
async fn next(incoming: Option<&mut Incoming>) -> Option<crate::correlate::Batch> {
    match incoming {
        Some(incoming) => incoming.next().await,
        None => std::future::pending().await,
    }
}

// === impl CorrelationPlan ===

impl CorrelationPlan {
    fn forwards(&self) -> bool {
        self.collector.as_ref().is_some_and(Collector::takes_all)
    }
}

/// What a person should know of a join that is not whole.
fn told(report: &AttributionReport, received: Option<ReceiverStats>) -> Vec<String> {
    let counts = &report.counts;
    let mut notes = Vec::new();
    let few = counts.joined * 2 < counts.expected;
    if let Some(received) = received.filter(|_| few) {
        if received.strayed > 0 || (counts.joined == 0 && received.foreign > 0) {
            let strayed = received.strayed.max(received.foreign.min(counts.expected));
            notes.push(format!(
                "{strayed} spans of the API came back under other trace ids: it does not continue the trace in \
                 `traceparent` (no W3C propagator, or a proxy that begins traces of its own)"
            ));
        } else if received.spans == 0 {
            notes.push(
                "no span came: set OTEL_EXPORTER_OTLP_ENDPOINT of the API to pacecar's receiver, and let it export \
                 before the run ends (OTEL_BSP_SCHEDULE_DELAY=1000)"
                    .to_owned(),
            );
        }
    }
    let missing = counts.expected - counts.joined.min(counts.expected);
    if missing > 0 && (counts.joined as f64) < 0.95 * counts.expected as f64 {
        notes.push(format!("{missing} of {} requests have no server span", counts.expected));
    }
    if counts.by_header > 0 {
        notes.push(format!("{} requests are explained by their server-timing header alone", counts.by_header));
    }
    if counts.skewed > 0 {
        notes.push(format!("the clocks of {} requests' spans were put right", counts.skewed));
    }
    if counts.records_lost + counts.spans_lost > 0 {
        notes.push(format!(
            "{} requests and {} spans found no room: `sample` below 1 takes less",
            counts.records_lost, counts.spans_lost
        ));
    }
    notes
}
