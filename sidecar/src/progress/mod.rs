//! One line a scenario while a run lives, as k6 shows it: on a terminal only, never in a pipe,
//! nor with `NO_COLOR`.

mod tune;

pub(crate) use tune::TuneLines;

use crate::{logging, output};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pacecar::cleanup;
use pacecar::run::{Phase, Progress, ScenarioProgress};
use std::time::Duration;

/// How wide the bar of a scenario is at most, and how narrow before it is left out, in characters.
const BAR: usize = 24;
const LEAST_BAR: usize = 6;
/// What stands between two columns.
const GAP: &str = "  ";
/// How wide a terminal is that does not say.
const COLUMNS: usize = 80;

/// How often the line of a cleanup turns.
const TURN: Duration = Duration::from_millis(250);

/// The lines of a run. Dropping it removes them.
pub(crate) struct ProgressLines {
    group: MultiProgress,
    phase: Option<ProgressBar>,
    scenarios: Vec<ProgressBar>,
}

/// The line of a cleanup, which turns while a long look has nothing to say. Dropping it removes it.
pub(crate) struct CleanupLine(ProgressBar);

/// Prints while the lines are drawn, without tearing them.
pub(crate) struct Teller(MultiProgress);

/// What a line says, in this order, the bar behind the first.
#[derive(Clone, Copy)]
enum Column {
    Name,
    Share,
    Time,
    Vus,
    Iterations,
    Rate,
    P95,
    Failed,
}

// === impl ProgressLines ===

impl ProgressLines {
    /// Lines on standard error, where that is a terminal without `NO_COLOR` and `quiet` was not asked for; else
    /// none are drawn.
    pub(crate) fn new(quiet: bool) -> Self {
        let visible = !quiet && logging::colour(&std::io::stderr());
        let target = if visible { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() };
        Self { group: MultiProgress::with_draw_target(target), phase: None, scenarios: Vec::new() }
    }

    /// What prints beside the lines.
    pub(crate) fn teller(&self) -> Teller {
        Teller(self.group.clone())
    }

    /// Draws what the run is doing now.
    pub(crate) fn show(&mut self, progress: &Progress) {
        while self.scenarios.len() < progress.scenarios.len() {
            self.scenarios.push(self.group.add(line()));
        }
        // Asked each time: a window may be resized.
        let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
        let texts = describe(&progress.scenarios, if columns == 0 { COLUMNS } else { columns });
        for (line, text) in self.scenarios.iter().zip(texts) {
            line.set_message(text);
        }
        self.say_phase(match progress.phase {
            Phase::Preflight => "asking the guard and the database…".to_owned(),
            Phase::Paused | Phase::Load if !progress.held_by.is_empty() => {
                format!("paused: {}", progress.held_by.join("; "))
            }
            Phase::Paused => "paused; `pacecar resume` starts it…".to_owned(),
            Phase::Setup => "setup…".to_owned(),
            Phase::Load if progress.paused => "paused; `pacecar resume` goes on…".to_owned(),
            Phase::Load => String::new(),
            Phase::Teardown => "teardown…".to_owned(),
            Phase::Correlate => "waiting for the API's spans…".to_owned(),
            Phase::Cleanup { deleted } => format!("deleting test data… {deleted} rows"),
        });
    }

    /// Draws what is done now below the scenarios.
    fn say_phase(&mut self, text: String) {
        let group = &self.group;
        self.phase.get_or_insert_with(|| group.add(line())).set_message(text);
    }

    /// Whether anybody sees them.
    fn is_drawn(&self) -> bool {
        !self.group.is_hidden()
    }
}

impl Drop for ProgressLines {
    fn drop(&mut self) {
        for line in self.scenarios.iter().chain(&self.phase) {
            line.finish_and_clear();
        }
    }
}

// === impl CleanupLine ===

impl CleanupLine {
    /// A line on standard error, where that is a terminal without `NO_COLOR`; else none is drawn.
    pub(crate) fn new() -> Self {
        let visible = logging::colour(&std::io::stderr());
        let target = if visible { ProgressDrawTarget::stderr_with_hz(5) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message("looking for test data…");
        if visible {
            bar.enable_steady_tick(TURN);
        }
        Self(bar)
    }

    /// Says how far it is.
    pub(crate) fn show(&self, progress: cleanup::Progress) {
        let cleanup::Progress { found, deleted } = progress;
        self.0.set_message(format!("deleting test data… {deleted} of {found}"));
    }
}

impl Drop for CleanupLine {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

// === impl Teller ===

impl Teller {
    /// Prints above the lines.
    pub(crate) fn say(&self, text: &str) {
        self.0.suspend(|| output::message(text));
    }
}

// === impl Column ===

impl Column {
    const ALL: [Self; 8] =
        [Self::Name, Self::Share, Self::Time, Self::Vus, Self::Iterations, Self::Rate, Self::P95, Self::Failed];
    /// What a narrow terminal does without, the first first.
    const SPARED: [Self; 3] = [Self::Rate, Self::Iterations, Self::Share];

    fn of(self, scenario: &ScenarioProgress) -> String {
        match self {
            Self::Name => scenario.name.clone(),
            Self::Share => format!("{:.0}%", 100.0 * scenario.share.clamp(0.0, 1.0)),
            Self::Time => match scenario.planned {
                Some(planned) => format!("{}/{}", clock(scenario.elapsed.min(planned)), clock(planned)),
                None => clock(scenario.elapsed),
            },
            Self::Vus => format!("{}/{} VUs", scenario.vus, scenario.vus_made),
            Self::Iterations => match scenario.iterations_planned {
                Some(planned) => format!("{}/{planned} iters", scenario.iterations),
                None => format!("{} iters", scenario.iterations),
            },
            Self::Rate => format!("{:.1}/s", scenario.iterations_per_second),
            Self::P95 => scenario.p95_ms.map_or_else(|| "p95 –".to_owned(), |ms| format!("p95 {ms:.1} ms")),
            Self::Failed => {
                #[allow(clippy::cast_precision_loss, reason = "a share for people")]
                let share = scenario.failed as f64 / scenario.requests.max(1) as f64;
                format!("failed {:.2}%", 100.0 * share)
            }
        }
    }
}

// === helpers ===

fn line() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        bar.set_style(style);
    }
    bar
}

/// A line for each scenario, their columns below each other, fitted to a terminal of so many `columns`.
fn describe(scenarios: &[ScenarioProgress], columns: usize) -> Vec<String> {
    let mut shown: Vec<(Column, usize)> = Column::ALL
        .into_iter()
        .map(|column| (column, scenarios.iter().map(|one| column.of(one).chars().count()).max().unwrap_or(0)))
        .collect();
    let taken = |shown: &[(Column, usize)]| shown.iter().map(|(_, width)| width + GAP.len()).sum::<usize>();
    for spared in Column::SPARED {
        if taken(&shown) > columns + GAP.len() {
            shown.retain(|(column, _)| *column as usize != spared as usize);
        }
    }
    let bar = Some(columns.saturating_sub(taken(&shown)).min(BAR)).filter(|width| *width >= LEAST_BAR);
    let cells = |scenario: &ScenarioProgress| -> Vec<String> {
        let mut cells = Vec::with_capacity(shown.len() + 1);
        for (column, width) in &shown {
            let text = column.of(scenario);
            if matches!(column, Column::Name) {
                cells.push(format!("{text:width$}"));
                cells.extend(bar.map(|bar| filled(scenario.share, bar)));
            } else {
                cells.push(format!("{text:>width$}"));
            }
        }
        cells
    };
    scenarios.iter().map(|scenario| cells(scenario).join(GAP)).collect()
}

fn filled(share: f64, width: usize) -> String {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the width")]
    #[allow(clippy::cast_precision_loss, reason = "a bar is a few characters wide")]
    let filled = (share.clamp(0.0, 1.0) * width as f64).round() as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}

/// Minutes and seconds, with hours where there are any: `12m04s`, `1h02m04s`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}h{minutes:02}m{seconds:02}s") } else { format!("{minutes:02}m{seconds:02}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenarios() -> [ScenarioProgress; 2] {
        let baseline = ScenarioProgress {
            name: "baseline".to_owned(),
            share: 0.5,
            elapsed: Duration::from_secs(5),
            planned: Some(Duration::from_secs(10)),
            vus: 3,
            vus_made: 4,
            iterations: 120,
            iterations_per_second: 24.0,
            p95_ms: Some(12.34),
            failed: 1,
            requests: 200,
            ..ScenarioProgress::default()
        };
        let counted = ScenarioProgress {
            name: "counted-out".to_owned(),
            planned: Some(Duration::from_secs(600)),
            vus_made: 10,
            iterations_planned: Some(60),
            ..ScenarioProgress::default()
        };
        [baseline, counted]
    }

    #[test]
    fn lines_say_time_vus_rate_p95_and_failures_in_columns() {
        assert_eq!(
            describe(&scenarios(), 200),
            [
                "baseline     ████████████░░░░░░░░░░░░  50%  00m05s/00m10s   3/4 VUs   120 iters  24.0/s  p95 12.3 ms  failed 0.50%",
                "counted-out  ░░░░░░░░░░░░░░░░░░░░░░░░   0%  00m00s/10m00s  0/10 VUs  0/60 iters   0.0/s        p95 –  failed 0.00%",
            ]
        );
    }

    #[test]
    fn a_narrow_terminal_still_sees_p95_and_failures() {
        for columns in [120, 100, 80, 66] {
            for text in describe(&scenarios(), columns) {
                assert!(text.chars().count() <= columns, "{columns}: {text}");
                assert!(text.contains("p95") && text.ends_with('%'), "{columns}: {text}");
            }
        }
        let narrow = describe(&scenarios(), 80);
        assert_eq!(narrow[0], "baseline     50%  00m05s/00m10s   3/4 VUs   120 iters  p95 12.3 ms  failed 0.50%");
    }

    #[test]
    fn clocks_read_as_people_read_them() {
        assert_eq!(clock(Duration::from_secs(61)), "01m01s");
        assert_eq!(clock(Duration::from_secs(3661)), "1h01m01s");
    }
}
