//! All outputs of a run.

use super::error::OutputError;
use super::influxdb::InfluxSink;
use super::json::JsonSink;
use super::news::{Event, EventKind, News};
use super::otlp::{self, About, OtlpSink};
use super::output::Output;
use super::remote::RemoteSink;
use super::sink::Running;
use super::tags::Tagging;
use crate::measure::{Batch, Layout, Thresholds, Unfinished, WallClock};
use crate::semconv::RunId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The outputs of a run while it lives. Without outputs it does nothing.
#[derive(Debug, Default)]
pub struct Exports {
    running: Vec<Running>,
}

/// What became of the points of the outputs of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputFigures {
    /// `json`, `influxdb`, `prometheus-rw`, `otlp`.
    pub name: &'static str,
    /// Points that were acknowledged.
    pub written: u64,
    /// Points that were not.
    pub lost: u64,
}

/// What outputs must know of a run.
#[derive(Clone, Debug)]
pub struct Exported<'a> {
    /// Its id.
    pub run: RunId,
    /// The plan's name.
    pub plan: &'a str,
    /// What can be counted.
    pub layout: &'a Arc<Layout>,
    /// How many of its scenarios are the plan's.
    pub planned: usize,
    /// The thresholds of the plan.
    pub thresholds: &'a Thresholds,
}

/// How often outputs are flushed that have no interval of their own.
const EVERY: Duration = Duration::from_secs(1);

// === impl Exports ===

impl Exports {
    /// Opens the outputs. Nothing is written before [`begin`](Self::begin).
    ///
    /// # Errors
    /// The first output that cannot be opened.
    pub async fn open(outputs: &[Output], run: &Exported<'_>) -> Result<Self, OutputError> {
        let clock = WallClock::now();
        let tagging = Arc::new(Tagging::new(Arc::clone(run.layout), run.planned));
        let mut running = Vec::with_capacity(outputs.len());
        for output in outputs {
            let (tagging, thresholds, output) = (Arc::clone(&tagging), run.thresholds.clone(), output.clone());
            running.push(match output {
                Output::Json(place) => {
                    Running::start("json", EVERY, move |tally, _| {
                        JsonSink::open(&place, &tagging, &thresholds, clock, tally)
                    })
                    .await?
                }
                Output::InfluxDb(config) => {
                    Running::start("influxdb", config.interval(), move |tally, closing| {
                        InfluxSink::open(&config, &tagging, clock, tally, closing)
                    })
                    .await?
                }
                Output::Otlp(config) => {
                    let about = About::of(run);
                    Running::start("otlp", otlp::EVERY, move |tally, _| {
                        OtlpSink::open(&config, &about, &tagging, clock, tally)
                    })
                    .await?
                }
                Output::PrometheusRw(config) => {
                    Running::start("prometheus-rw", config.interval(), move |tally, closing| {
                        RemoteSink::open(&config, &tagging, clock, tally, closing)
                    })
                    .await?
                }
            });
        }
        Ok(Self { running })
    }

    /// The run begins.
    pub fn begin(&self) {
        self.tell(&News::Begin);
        self.event(EventKind::Started);
    }

    /// What was recorded. Never waits.
    pub fn record(&self, batch: &Arc<Batch>) {
        if !batch.is_empty() {
            self.tell(&News::Batch(Arc::clone(batch)));
        }
    }

    /// What never finished, known at the end of the load.
    pub fn unfinished(&self, unfinished: Vec<Unfinished>) {
        if !unfinished.is_empty() {
            self.tell(&News::Unfinished(unfinished.into(), Instant::now()));
        }
    }

    /// The run itself did something.
    pub fn event(&self, kind: EventKind) {
        self.tell(&News::Event(Arc::new(Event { at: Instant::now(), kind })));
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Nothing more is told. What waits is written while the run goes on to clean up.
    pub fn close(&mut self) {
        self.running.iter_mut().for_each(Running::close);
    }

    /// Waits for all outputs, at most some seconds after they were closed. By name, in the order in which they were
    /// asked for; several of one name are one.
    pub async fn finish(mut self) -> Vec<OutputFigures> {
        self.close();
        let mut figures: Vec<OutputFigures> = Vec::new();
        for running in self.running {
            let name = running.name();
            let (written, lost) = running.finish().await;
            match figures.iter_mut().find(|known| known.name == name) {
                Some(known) => {
                    known.written += written;
                    known.lost += lost;
                }
                None => figures.push(OutputFigures { name, written, lost }),
            }
        }
        figures
    }

    fn tell(&self, news: &News) {
        self.running.iter().for_each(|running| running.tell(news));
    }
}
