//! From the last look to what is told: the verdict, what it saves, and why.

use super::explain::explain;
use super::held;
use super::look::{Choice, Look, Remedy, State};
use super::noise::{CONFIDENCE, LEAST_TRIALS};
use super::outcome::{Improvement, NoiseReport, Outcome, Standing, ValueReport, Verdict};
use super::values;
use super::words::{counted, listed, percent};
use crate::stats::Interval;

/// What the experiment comes to, where there will be no more trials.
pub(super) fn conclude(look: &Look<'_>, choice: &Choice) -> Outcome {
    let mut told = Told { look, reasons: Vec::new() };
    let (verdict, chosen, further) = told.verdict(choice);
    let improvement = chosen.and_then(|row| told.improvement(row));
    let values = values::report(look, chosen);
    told.of_each(&values);
    told.reasons.extend(explain(&values));
    Outcome {
        verdict,
        recommendation: chosen.map(|row| look.evidence.rows[row].setting.clone()),
        improvement,
        noise: noise(look),
        further_trials: u32::try_from(further).unwrap_or(u32::MAX),
        reasons: told.reasons,
        values,
    }
}

fn noise(look: &Look<'_>) -> Option<NoiseReport> {
    let noise = look.noise?;
    let ranked = look.evidence.rows.iter().map(super::evidence::Row::blocks).filter(|blocks| *blocks >= LEAST_TRIALS);
    let most = ranked.max().unwrap_or(LEAST_TRIALS);
    Some(NoiseReport {
        relative: noise.floor(most).exp_m1(),
        detectable: noise.detectable(most).exp_m1(),
        margin: noise.margin().exp_m1(),
    })
}

/// Sentences, as they come up.
struct Told<'a, 'b> {
    look: &'a Look<'b>,
    reasons: Vec<String>,
}

// === impl Told ===

impl Told<'_, '_> {
    fn say(&mut self, reason: String) {
        self.reasons.push(reason);
    }

    fn name(&self, row: usize) -> String {
        self.look.evidence.rows[row].setting.to_string()
    }

    fn names(&self, rows: &[usize]) -> String {
        listed(&rows.iter().map(|row| self.name(*row)).collect::<Vec<_>>())
    }

    /// The verdict, which setting it recommends, and how many trials more would settle it.
    fn verdict(&mut self, choice: &Choice) -> (Verdict, Option<usize>, usize) {
        let for_hold = usize::from(self.look.terms.hold.is_some());
        match choice {
            Choice::Chosen(row) if self.look.holds(*row) => {
                self.recommended(*row);
                (Verdict::Recommended, Some(*row), 0)
            }
            Choice::Chosen(row) => {
                self.not_held(*row);
                (Verdict::Inconclusive, None, 1)
            }
            Choice::Screen(rows) => {
                let missing = |row: &usize| LEAST_TRIALS.saturating_sub(self.look.evidence.rows[*row].blocks());
                let most = rows.iter().map(missing).max().unwrap_or(0);
                let members =
                    rows.len() + usize::from(self.look.evidence.baseline.is_some_and(|row| !rows.contains(&row)));
                let further = most * members + for_hold;
                let names = self.names(rows);
                self.say(format!(
                    "nothing is ranked on fewer than five trials each, which {names} did not get within the budget: {} \
                     more would do",
                    counted(further as u64, "trial")
                ));
                (Verdict::Inconclusive, None, further)
            }
            Choice::Resolve { rows, blocks } => {
                let members =
                    rows.len() + usize::from(self.look.evidence.baseline.is_some_and(|row| !rows.contains(&row)));
                let further = (blocks * members).max(1) + for_hold;
                self.unresolved(rows, further);
                (Verdict::Inconclusive, None, further)
            }
            Choice::Nobody => self.nobody(for_hold),
        }
    }

    fn recommended(&mut self, row: usize) {
        let margin = percent(self.look.margin().exp_m1());
        let objective = &self.look.terms.objective;
        let name = self.name(row);
        self.say(format!(
            "{name} is the smallest that passes and whose {} of {} is shown to be no more than {margin} above any \
             other's that passes",
            objective.stat, objective.metric
        ));
        let held = self.look.evidence.rows[row].holds.iter().find_map(|trial| held::sentence(trial));
        self.reasons.extend(held);
    }

    fn not_held(&mut self, row: usize) {
        let name = self.name(row);
        let spoiled = self.look.evidence.rows[row].holds.iter().rev().find_map(|trial| trial.result.as_ref().ok());
        let reason = match spoiled {
            Some(spoiled) => format!("the generator could not make the load: {}", listed(&spoiled.invalid)),
            None => "the budget had no trial left for it".to_owned(),
        };
        self.say(format!("{name} is chosen, but not held at more load: {reason}"));
    }

    fn unresolved(&mut self, rows: &[usize], further: usize) {
        let Some((first, others)) = rows.split_first() else { return };
        let (name, more) = (self.name(*first), counted(further as u64, "trial"));
        if others.is_empty() {
            self.say(format!("{name} may pass, which about {more} more would tell"));
            return;
        }
        let margin = percent(self.look.margin().exp_m1());
        let others = self.names(others);
        self.say(format!(
            "{name} is neither shown to be within {margin} of {others} nor to be worse; about {more} more would tell"
        ));
    }

    /// All are out: whether that is known, or more trials might change it.
    fn nobody(&mut self, for_hold: usize) -> (Verdict, Option<usize>, usize) {
        let states = &self.look.states;
        let remedies: Vec<Remedy> = states
            .iter()
            .filter_map(|state| match state {
                State::Out { remedy, .. } => Some(*remedy),
                _ => None,
            })
            .collect();
        let unknown = remedies.iter().any(|remedy| *remedy != Remedy::Nothing);
        if remedies.is_empty() {
            self.say("no setting fits the database, so none was tried".to_owned());
        }
        if !unknown {
            return (Verdict::NonePasses, None, 0);
        }
        self.say("no setting is shown to pass, and not all are shown to fail".to_owned());
        let further = remedies.iter().filter_map(|remedy| match remedy {
            Remedy::Trials(trials) => Some(*trials),
            _ => None,
        });
        let least = further.min().map_or(0, |trials| trials + for_hold);
        (Verdict::Inconclusive, None, least)
    }

    /// What the recommended one saves of today's figure; none where no difference stands out of the noise.
    fn improvement(&mut self, row: usize) -> Option<Improvement> {
        let look = self.look;
        let baseline = look.evidence.baseline.filter(|baseline| look.evidence.rows[*baseline].original);
        let Some(baseline) = baseline else {
            self.say(match look.terms.original {
                Some(_) => "today's setting does not work here, so nothing is compared with it".to_owned(),
                None => "the plan has no `original`, so nothing is compared with today".to_owned(),
            });
            return None;
        };
        let name = self.name(baseline);
        if baseline == row {
            self.say(format!("{name} is what runs today"));
            return None;
        }
        let found = look.evidence.differences(baseline, row).filter(|found| found.n >= LEAST_TRIALS)?;
        let floor = look.noise?.floor(found.n);
        // What was chosen among several looks better than it is: the interval allows for each of them, and for the choice
        // of when to stop.
        let interval = found.interval(1.0 - (1.0 - CONFIDENCE) / look.choosable().max(2) as f64);
        if interval.contains(0.0) || found.mean.abs() <= floor {
            self.say(format!("no difference from {name} stands out of the noise of {}", percent(floor.exp_m1())));
            return None;
        }
        let saved = |logarithm: f64| -(-logarithm).exp_m1();
        let improvement = Improvement {
            over: look.evidence.rows[baseline].setting.clone(),
            share: saved(found.mean),
            interval: Interval { low: saved(interval.low), high: saved(interval.high) },
        };
        let (share, low, high) = (improvement.share, improvement.interval.low, improvement.interval.high);
        self.say(if share > 0.0 {
            format!("it saves {} of the figure at {name} ({} to {})", percent(share), percent(low), percent(high))
        } else {
            format!("it costs {} over the figure at {name} ({} to {})", percent(-share), percent(-high), percent(-low))
        });
        Some(improvement)
    }

    /// Why each of the others is not recommended.
    fn of_each(&mut self, values: &[ValueReport]) {
        for value in values {
            let name = &value.setting;
            match &value.standing {
                Standing::Out(reason) | Standing::Undecided(reason) | Standing::Reference(reason) => {
                    self.reasons.push(format!("{name}: {reason}"));
                }
                Standing::NotTried(reason) => self.reasons.push(format!("{name} was not tried: {reason}")),
                Standing::Worse { share, than } => {
                    self.reasons.push(format!("{name}: the figure is {} more than at {than}", percent(*share)));
                }
                Standing::Recommended | Standing::AsGood => {}
            }
        }
    }
}
