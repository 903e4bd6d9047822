//! Objectives in a run: counted each second, told where people look, kept over a restart.
//!
//! Everything here lives beside the reporter, off the path of any request.

use super::compile::Compiled;
use super::completed::{Findings, chain};
use super::guard::Keeper;
use super::mode::Mode;
use super::state::{State, StatePlace};
use super::webhook::Webhooks;
use crate::export::{EventKind, Exports};
use crate::load::{LoadPlan, ScenarioPlan};
use crate::measure::slo::{AlertChange, SloBook, SloStatus, TooFew};
use crate::measure::{Layout, Slos, Totals};
use crate::plan::{Diagnostics, Plan};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// The key under which the windows stand.
const KEY: &str = "slo";
/// How often they are written.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// Where a book's time begins: what comes back from before a restart is earlier than its start.
const BEGINNING: Duration = crate::plan::units::LONGEST;
/// After so long the rate of samples is known well enough to say that it is too low.
const SETTLED: Duration = Duration::from_secs(60);

/// The objectives as they stand, for whoever asks. Clones show the same.
#[derive(Clone, Debug, Default)]
pub(super) struct SloBoard(Arc<Mutex<Arc<Vec<SloStatus>>>>);

/// Counts and judges the objectives of one run.
#[derive(Debug)]
pub(super) struct SloKeeper {
    book: SloBook,
    board: SloBoard,
    /// The book's [`BEGINNING`].
    start: Instant,
    /// Since when samples are counted; none before the load.
    load: Option<Instant>,
    /// None where nothing is kept.
    state: Option<State>,
    written: Instant,
    /// Who is told beside the log.
    webhooks: Webhooks,
    /// Alerts whose rate was told to be too low, by objective and window.
    told: BTreeSet<(String, String)>,
}

// === impl SloBoard ===

impl SloBoard {
    pub(super) fn read(&self) -> Arc<Vec<SloStatus>> {
        Arc::clone(&self.lock())
    }

    fn show(&self, status: Vec<SloStatus>) {
        *self.lock() = Arc::new(status);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Vec<SloStatus>>> {
        // What is in there is whole, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Warns of objectives that the planned rate cannot judge: closed models are looked at while they run.
pub(super) fn warn(slos: &Slos, plan: &Plan, layout: &Layout, load: &LoadPlan, diagnostics: &mut Diagnostics) {
    let rate_of = |scenario: &ScenarioPlan| Some((usize::from(scenario.id().0), scenario.peak_rate()?));
    let Some(rates) = load.scenarios().iter().map(rate_of).collect::<Option<BTreeMap<_, _>>>() else { return };
    for (slo, document) in slos.items().iter().zip(&plan.later.slo) {
        let shares = layout.samples_per_iteration(slo.tally);
        let of = |(scenario, share): (&usize, &f64)| rates.get(scenario).copied().unwrap_or(0.0) * share;
        let rate: f64 = shares.iter().map(of).sum();
        for alert in &slo.alerts {
            let (come, fewest) = (rate * alert.short.length.as_secs_f64(), slo.fewest(alert.burn));
            if come < fewest {
                let told = too_few(&slo.name, &alert.short.text, alert.severity.as_str(), come, fewest);
                diagnostics.warning(document.span, told).hint(
                    "more traffic, longer windows, or a lower objective; until then a failure is not yet a trend",
                );
            }
        }
    }
}

fn too_few(slo: &str, short: &str, severity: &str, come: f64, fewest: f64) -> String {
    format!(
        "slo {slo}: the rate is too low to judge: about {come:.0} samples come in {short}, and with fewer than \
         {fewest:.0} a single bad one is enough for the {severity}'s short window"
    )
}

// === impl Compiled ===

impl Compiled {
    /// Begins to keep the objectives; none where the plan has none. A canary takes up what an earlier one left.
    pub(super) async fn keep_slos(&self, guard: &Keeper, findings: &mut Findings) -> Option<SloKeeper> {
        if self.slos.is_empty() {
            return None;
        }
        let webhooks = Webhooks::start(&self.slos, self.name(), self.run);
        let mut keeper = SloKeeper::new(&self.slos, self.board.slos(), webhooks);
        if self.mode == Mode::Canary {
            keeper.resume(guard.state(), self.guarding.place(), findings).await;
        }
        Some(keeper)
    }
}

// === impl SloKeeper ===

impl SloKeeper {
    fn new(slos: &Slos, board: SloBoard, webhooks: Webhooks) -> Self {
        let now = Instant::now();
        let mut book = SloBook::new(slos);
        board.show(book.status(BEGINNING));
        Self { book, board, start: now, load: None, state: None, written: now, webhooks, told: BTreeSet::new() }
    }

    /// Takes back what stands at `place` (which may be open already), and writes there from now on. Where that cannot be, the canary goes on: its
    /// windows begin anew with each start, and that is told.
    async fn resume(&mut self, open: Option<State>, place: &StatePlace, findings: &mut Findings) {
        let opened = async {
            let (state, set_aside) = match open {
                Some(state) => (state, None),
                None => State::open(place.clone()).await?,
            };
            let saved = state.get(KEY).await?;
            Ok::<_, super::state::StateError>((state, set_aside, saved))
        };
        match opened.await {
            Ok((state, set_aside, saved)) => {
                if let Some(set_aside) = set_aside {
                    tracing::warn!("{set_aside}");
                    findings.note(set_aside.to_string());
                }
                if let Some(saved) = saved {
                    let ago = unix().saturating_sub(written_at(&saved));
                    let at = self.at();
                    let objectives = self.book.restore(&saved, at, ago);
                    self.board.show(self.book.status(at));
                    tracing::info!(objectives, ?ago, "windows of SLOs taken up");
                }
                self.state = Some(state);
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(%error, "windows of SLOs do not survive a restart");
                findings.note(format!("windows of SLOs do not survive a restart: {error}"));
            }
        }
    }

    /// The load begins.
    pub(super) fn begin(&mut self, at: Instant) {
        self.load = Some(at);
    }

    /// Once a second: counts what came, judges, shows, and writes now and then.
    pub(super) fn tick(&mut self, totals: &Totals, exports: &Exports) {
        let at = self.at();
        self.book.count(totals, at);
        for change in self.book.judge(at) {
            tell(&change);
            self.webhooks.tell(&change);
            exports.event(EventKind::Alert(Box::new(change)));
        }
        self.board.show(self.book.status(at));
        self.warn(at);
        if self.written.elapsed() >= WRITE_EVERY {
            self.write();
        }
    }

    /// The load is over: the last of it is counted, and written.
    pub(super) async fn finish(mut self, totals: &Totals, exports: &Exports, findings: &mut Findings) {
        self.tick(totals, exports);
        self.write();
        if let Some(state) = self.state.take()
            && let Err(error) = state.close().await
        {
            findings.note(format!("the last windows of SLOs could not be kept: {}", chain(&error)));
        }
        self.webhooks.finish().await;
    }

    fn write(&mut self) {
        self.written = Instant::now();
        let Some(state) = &self.state else { return };
        let at = self.at();
        let mut saved = self.book.save(at);
        if let Some(saved) = saved.as_object_mut() {
            let at = u64::try_from(unix().as_millis()).unwrap_or(u64::MAX);
            saved.insert("at_ms".to_owned(), Value::from(at));
        }
        state.put(KEY, saved);
    }

    /// Says once of each alert that a single bad sample is enough for it.
    fn warn(&mut self, at: Duration) {
        let Some(lasted) = self.load.map(|load| load.elapsed()).filter(|lasted| *lasted >= SETTLED) else { return };
        for TooFew { slo, alert, come, fewest } in self.book.too_few(at, lasted) {
            if self.told.insert((slo.clone(), alert.short.text.clone())) {
                let told = too_few(&slo, &alert.short.text, alert.severity.as_str(), come, fewest);
                tracing::warn!("{told}");
            }
        }
    }

    /// Now, on the book's clock.
    fn at(&self) -> Duration {
        BEGINNING + self.start.elapsed()
    }
}

// === helpers ===

/// The log line of an alert.
fn tell(change: &AlertChange) {
    let AlertChange { slo, alert, burns: [long, short], budget_remaining, .. } = change;
    let (severity, over, and) = (alert.severity.as_str(), &alert.long, &alert.short);
    if alert.firing.is_some() {
        tracing::warn!(
            slo,
            severity,
            burn_rate = long,
            over,
            burn_rate_now = short,
            and,
            limit = alert.burn,
            budget_remaining,
            "SLO alert fires"
        );
    } else {
        tracing::warn!(slo, severity, over, and, budget_remaining, "SLO alert clears");
    }
}

fn unix() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// When it was written; now where that is not known, so that nothing is older than it may be.
fn written_at(saved: &Value) -> Duration {
    saved.get("at_ms").and_then(Value::as_u64).map_or_else(unix, Duration::from_millis)
}
