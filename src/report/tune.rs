//! A tune's outcome: exit code, text, and the JSON that `--result` writes.

use super::Exit;
use super::format;
use super::text::{CYAN, FAINT, GREEN, Page, RED, Style, YELLOW, width};
use crate::correlate::BandName;
use crate::measure::Contains;
use crate::tune::{
    Constraint, Measured, Outcome, Phase, Pods, Setting, Standing, Terms, Trial, ValueReport, Verdict, words,
};
use serde_json::{Map, Value, json};

mod picture;

/// How a tune ends that was not stopped.
#[must_use]
pub const fn tune_exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::Recommended => Exit::Passed,
        Verdict::NonePasses => Exit::Failed,
        Verdict::Inconclusive => Exit::InvalidRun,
    }
}

/// The outcome and every trial, as `--result` writes them.
#[must_use]
pub fn tune_value(terms: &Terms, outcome: &Outcome, trials: &[Trial]) -> Value {
    let improvement = outcome.improvement.as_ref().map(|found| {
        json!({
            "over": knobs(&found.over),
            "share": found.share,
            "interval": [found.interval.low, found.interval.high],
        })
    });
    json!({
        "verdict": outcome.verdict.as_str(),
        "recommendation": outcome.recommendation.as_ref().map(knobs),
        "improvement": improvement,
        "noise_floor": outcome.noise.map(|noise| json!({ "relative": noise.relative })),
        "further_trials": outcome.further_trials,
        "trials": trials.iter().map(|trial| trial_value(terms, trial)).collect::<Vec<_>>(),
        "reasons": outcome.reasons,
    })
}

fn trial_value(terms: &Terms, trial: &Trial) -> Value {
    let measured = trial.result.as_ref().ok();
    let error = match &trial.result {
        Ok(measured) => (!measured.is_valid()).then(|| measured.invalid.join("; ")),
        Err(failure) => Some(failure.to_string()),
    };
    json!({
        "knobs": knobs(&trial.order.setting),
        "p95": measured.map(|measured| measured.p95),
        "utilization": measured.and_then(|measured| measured.utilization),
        "valid": measured.is_some_and(Measured::is_valid),
        "error": error,
        "hold": trial.order.phase == Phase::Hold,
        "failed": measured.map(|measured| failed(terms, trial.order.phase, measured)).unwrap_or_default(),
    })
}

/// The constraints that a trial did not keep. At more load only those that must hold there too.
fn failed(terms: &Terms, phase: Phase, measured: &Measured) -> Vec<String> {
    let hold = phase == Phase::Hold;
    let judged = terms.constraints.iter().filter(|constraint| !hold || constraint.is_exact());
    let broken = judged.filter(|constraint| constraint.kept(measured) == Some(false));
    let mut names: Vec<String> = broken.map(|constraint: &Constraint| constraint.name.clone()).collect();
    if hold {
        let implied = measured.incidents.kinds().into_iter().filter(|(_, n)| *n > 0).map(|(name, _)| name.to_owned());
        names.extend(implied.filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    names
}

/// Values as text, whatever the plan wrote.
fn knobs(setting: &Setting) -> Value {
    Value::Object(setting.iter().map(|(knob, value)| (knob.to_owned(), json!(value))).collect::<Map<_, _>>())
}

/// Columns of the table.
const COLUMNS: usize = 7;
/// The one with the interval.
const INTERVAL: usize = 3;
/// The one with what the requests wait for.
const WAITS: usize = 5;
/// What stands where nothing was measured.
const NONE: &str = "-";

/// What the text is about.
#[derive(Clone, Copy, Debug)]
pub struct TuneText<'a> {
    /// What was asked.
    pub terms: &'a Terms,
    /// What came of it.
    pub outcome: &'a Outcome,
    /// How the objective's figures read.
    pub contains: Contains,
    /// How many pods bear the load; none where nobody asked, or nobody knows.
    pub pods: Option<Pods>,
}

// === impl TuneText ===

impl TuneText<'_> {
    /// The outcome as text, for a terminal so many columns wide. It begins with an empty line and ends with a line's
    /// end.
    #[must_use]
    pub fn render(&self, style: Style, columns: usize) -> String {
        let mut page = Page::new(style);
        page.title("TUNE");
        self.verdict(&mut page, columns);
        page.blank();
        self.table(&mut page, columns);
        page.blank();
        for line in picture::lines(self, columns) {
            page.line(format_args!("    {line}"));
        }
        page.blank();
        self.reasons(&mut page, columns);
        page.blank();
        page.finish()
    }

    fn verdict(&self, page: &mut Page, columns: usize) {
        let outcome = self.outcome;
        let (text, colour) = match (outcome.verdict, &outcome.recommendation) {
            (Verdict::Recommended, Some(setting)) => (format!("recommended: {setting}"), GREEN),
            (Verdict::Inconclusive, _) => {
                let more = match outcome.further_trials {
                    0 => String::new(),
                    1 => ": 1 more trial would settle it".to_owned(),
                    n => format!(": about {n} more trials would settle it"),
                };
                (format!("inconclusive{more}"), YELLOW)
            }
            _ => ("none passes".to_owned(), RED),
        };
        let text = page.paint(&text, colour);
        page.line(format_args!("    {text}"));
        if let Some(noise) = outcome.noise {
            let line = format!(
                "noise floor {}: what differs by less is not ranked; a difference of {} is found 4 times of 5; what is \
                 worse by less than {} is as good",
                words::percent(noise.relative),
                words::percent(noise.detectable),
                words::percent(noise.margin)
            );
            for line in picture::wrapped(&line, text_width(columns)) {
                let line = page.paint(&line, FAINT);
                page.line(format_args!("    {line}"));
            }
        }
        if let Some(pods) = &self.pods {
            let (fewest, most) = pods.interval;
            let line = format!(
                "{} pods for {} requests/s ({fewest} to {most}; one yields up to {}/s)",
                pods.pods,
                format::trimmed(pods.target, 1),
                format::trimmed(pods.per_pod, 1)
            );
            page.line(format_args!("    {line}"));
        }
    }

    fn table(&self, page: &mut Page, columns: usize) {
        let stat = self.terms.objective.stat.as_str();
        let head = ["value", "trials", stat, "95 % interval", "pool in use", "waits most for", ""].map(str::to_owned);
        let mut rows = vec![head];
        rows.extend(self.outcome.values.iter().map(|value| self.row(value)));
        // What nobody measured is no column, and where it is narrow the least needed go first.
        let empty = |at: usize| rows.iter().skip(1).all(|row| row[at] == NONE);
        let mut shown: Vec<usize> = (0..COLUMNS).filter(|at| !empty(*at)).collect();
        let widest = |at: usize| rows.iter().map(|row| width(&row[at])).max().unwrap_or(0);
        for dropped in [WAITS, INTERVAL] {
            let needed: usize = shown.iter().map(|at| widest(*at) + 2).sum();
            if needed + 2 > columns {
                shown.retain(|at| *at != dropped);
            }
        }
        let line = |row: &[String; COLUMNS]| {
            let cell = |at: &usize| {
                let gap = " ".repeat(widest(*at) - width(&row[*at]));
                let left = *at == 0 || *at >= WAITS;
                if left { format!("{}{gap}", row[*at]) } else { format!("{gap}{}", row[*at]) }
            };
            shown.iter().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let standings = std::iter::once(None).chain(self.outcome.values.iter().map(|value| Some(&value.standing)));
        for (row, standing) in rows.iter().zip(standings) {
            let line = match standing {
                Some(Standing::Recommended) => page.paint(&line(row), GREEN),
                None | Some(Standing::Out(_) | Standing::NotTried(_)) => page.paint(&line(row), FAINT),
                Some(_) => line(row),
            };
            page.line(format_args!("    {line}"));
        }
    }

    fn row(&self, value: &ValueReport) -> [String; COLUMNS] {
        let figure = |figure: f64| format::value(picture::rounded(figure), self.contains);
        let none = || NONE.to_owned();
        let interval = value.interval.map(|found| format!("{} to {}", figure(found.low), figure(found.high)));
        let waits = value.bands.iter().find(|band| band.band == BandName::P95).map(|band| {
            let (part, ms) = band.largest();
            format!("{} {} of {}", part.as_str(), format::duration(picture::rounded(ms)), band.step)
        });
        let standing = match &value.standing {
            Standing::Worse { share, .. } => format!("{} worse", words::percent(*share)),
            other => other.as_str().to_owned(),
        };
        let today = if value.baseline { "  (baseline)" } else { "" };
        [
            value.setting.to_string(),
            value.trials.to_string(),
            value.objective.map_or_else(none, figure),
            interval.unwrap_or_else(none),
            value.utilization.map_or_else(none, |used| format!("{:.0} %", used * 100.0)),
            waits.unwrap_or_else(none),
            format!("{standing}{today}"),
        ]
    }

    fn reasons(&self, page: &mut Page, columns: usize) {
        for reason in &self.outcome.reasons {
            let lines = picture::wrapped(reason, text_width(columns));
            for (at, line) in lines.iter().enumerate() {
                let mark = if at == 0 { page.paint("-", CYAN) } else { " ".to_owned() };
                page.line(format_args!("    {mark} {line}"));
            }
        }
    }
}

/// The columns that a sentence may take.
fn text_width(columns: usize) -> usize {
    columns.saturating_sub(6).clamp(30, 100)
}

#[cfg(test)]
mod tests;
