//! Each setting as the report has it.

use super::evidence::Row;
use super::look::{Look, SURE, State};
use super::noise::{CONFIDENCE, LEAST_TRIALS};
use super::outcome::{Standing, ValueReport};
use super::terms::Infeasible;
use super::trial::Measured;
use crate::correlate::{Band, Part};
use crate::stats::{Differences, Interval, mean};

/// Every setting, smallest first; those that were not tried last.
pub(super) fn report(look: &Look<'_>, chosen: Option<usize>) -> Vec<ValueReport> {
    let tried = look.evidence.rows.iter().enumerate().map(|(place, row)| {
        let standing = standing(look, place, chosen);
        of_row(row, look.evidence.baseline == Some(place), standing)
    });
    let known = |infeasible: &&Infeasible| look.evidence.rows.iter().all(|row| row.setting != infeasible.setting);
    let not_tried = look.terms.infeasible.iter().filter(known).map(|infeasible| {
        let row = Row::new(infeasible.setting.clone(), false, false);
        of_row(&row, false, Standing::NotTried(infeasible.reason.clone()))
    });
    tried.chain(not_tried).collect()
}

fn of_row(row: &Row<'_>, baseline: bool, standing: Standing) -> ValueReport {
    let logarithms: Vec<f64> = row.values().collect();
    let spread = Differences::of(logarithms.iter().copied()).map(|found| found.interval(CONFIDENCE));
    let of = |figure: fn(&Measured) -> Option<f64>| {
        mean(&row.measured.iter().filter_map(|measured| figure(measured)).collect::<Vec<_>>())
    };
    ValueReport {
        setting: row.setting.clone(),
        baseline,
        trials: row.measured.len(),
        objective: mean(&logarithms).map(f64::exp),
        interval: spread.map(|found| Interval { low: found.low.exp(), high: found.high.exp() }),
        utilization: of(|measured| measured.utilization),
        throughput: of(|measured| Some(measured.throughput)).unwrap_or(0.0),
        bands: bands(&row.measured),
        standing,
    }
}

fn standing(look: &Look<'_>, place: usize, chosen: Option<usize>) -> Standing {
    if chosen == Some(place) {
        return Standing::Recommended;
    }
    match &look.states[place] {
        State::Out { reason, .. } => return Standing::Out(reason.clone()),
        State::Open { reason, .. } => return Standing::Undecided(reason.clone()),
        State::Reference => {
            let why = look.terms.why_not(&look.evidence.rows[place].setting).unwrap_or_default();
            return Standing::Reference(why.to_owned());
        }
        State::Live => {}
    }
    let few = |row: usize| look.evidence.rows[row].blocks() < LEAST_TRIALS;
    if few(place) {
        return Standing::Undecided("fewer than five trials".to_owned());
    }
    // Compared with the one to take; where there is none, with the best that passes.
    let passing = || (0..look.states.len()).filter(|row| look.passes(*row) && !few(*row));
    let mean_of = |row: &usize| look.evidence.rows[*row].mean();
    let best = || passing().min_by(|one, other| mean_of(one).total_cmp(&mean_of(other)));
    let Some(other) = chosen.or_else(best).filter(|other| *other != place) else {
        return Standing::Undecided("the least so far".to_owned());
    };
    let than = look.evidence.rows[other].setting.clone();
    let found = look.evidence.differences(place, other);
    match found {
        Some(found) if look.worse(place, other, SURE) => Standing::Worse { share: found.mean.exp_m1(), than },
        Some(_) if look.no_worse(place, other) => Standing::AsGood,
        Some(found) => Standing::Undecided(format!(
            "{} of the figure at {than}, but between {} and {} for all that is known",
            super::words::percent(found.mean.exp()),
            super::words::percent(found.interval(CONFIDENCE).low.exp()),
            super::words::percent(found.interval(CONFIDENCE).high.exp()),
        )),
        None => Standing::Undecided("too few trials to compare it".to_owned()),
    }
}

/// The means over trials of each band and step that all have in common, in the order of the first trial.
fn bands(trials: &[&Measured]) -> Vec<Band> {
    let Some(first) = trials.first() else { return Vec::new() };
    let mut bands: Vec<Band> = first.bands.iter().filter_map(|band| averaged(band, trials)).collect();
    bands.sort_by(|one, other| other.total_ms.total_cmp(&one.total_ms));
    bands
}

fn averaged(band: &Band, trials: &[&Measured]) -> Option<Band> {
    let same = |trial: &&Measured| {
        trial.bands.iter().find(|other| other.band == band.band && other.step == band.step).cloned()
    };
    let all: Vec<Band> = trials.iter().map(same).collect::<Option<_>>()?;
    let n = all.len() as f64;
    let mut parts_ms = [0.0; Part::ALL.len()];
    for one in &all {
        parts_ms.iter_mut().zip(one.parts_ms).for_each(|(sum, part)| *sum += part / n);
    }
    let total_ms = all.iter().map(|one| one.total_ms).sum::<f64>() / n;
    Some(Band { parts_ms, total_ms, exemplars: Vec::new(), ..band.clone() })
}
