//! One look at the evidence: who is out, who can be told apart, who is chosen, and what must be run to know.
//!
//! A setting may be chosen where it is shown to be no worse, by more than the margin, than any other that passes (each
//! of the two-sided pair of tests of equivalence is one of these); the smallest of them is. It is rejected where it is
//! shown to be worse. What is neither is undecided, and more trials decide it: once an interval is narrower than the
//! margin it must be one or the other.

use super::evidence::{Evidence, Row};
use super::held;
use super::keeping::Keeping;
use super::noise::{LEAST_TRIALS, Noise};
use super::terms::Terms;
use super::trial::{Phase, Trial};
use super::words::listed;

/// One look at the evidence.
pub(super) struct Look<'a> {
    pub(super) terms: &'a Terms,
    pub(super) evidence: Evidence<'a>,
    /// How each row stands, in the order of the rows.
    pub(super) states: Vec<State>,
    pub(super) noise: Option<Noise>,
}

/// How a setting stands before it is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// May be chosen, and passes so far.
    Live,
    /// May pass: so many trials would tell. Why, as a clause.
    Open { reason: String, trials: usize },
    /// Cannot be chosen. Why, as a clause, and what could change that.
    Out { reason: String, remedy: Remedy },
    /// Is only compared with.
    Reference,
}

/// What could bring a setting back that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing: it is known not to pass.
    Nothing,
    /// So many more trials of it, which is more than there can be.
    Trials(usize),
    /// Another machine, or another source of figures.
    Elsewhere,
}

/// What a look comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Choice {
    /// These rows have fewer than five trials.
    Screen(Vec<usize>),
    /// These cannot be told apart yet.
    Resolve {
        /// The rows to compare, the one in question first.
        rows: Vec<usize>,
        /// How many more blocks would tell.
        blocks: usize,
    },
    /// This one.
    Chosen(usize),
    /// All are out.
    Nobody,
}

/// How sure 'no worse than' and 'worse' are, one-sided, in what is told.
pub(super) const SURE: f64 = 0.95;
/// How sure 'worse' is before a setting gets no more trials. There are many looks, and what is out does not come back.
const VERY_SURE: f64 = 0.97;
/// How sure 'worse' is where nobody asks again.
const BEYOND_DOUBT: f64 = 0.99;
/// Fewer shared blocks than this compare nothing.
const LEAST_SHARED: usize = 3;
/// How often the generator may fail to make the load of `hold`.
const MOST_HOLDS: usize = 3;

// === impl Look ===

impl<'a> Look<'a> {
    /// `spare`: how many more trials of one setting there could be; what takes more to decide is not waited for.
    pub(super) fn at(terms: &'a Terms, trials: &'a [Trial], spare: usize) -> Self {
        let evidence = Evidence::of(terms, trials);
        let states = evidence.rows.iter().map(|row| State::of(terms, row, spare)).collect();
        let noise = evidence.noise();
        Self { terms, evidence, states, noise }
    }

    /// What counts as equal, in logarithms.
    pub(super) fn margin(&self) -> f64 {
        self.noise.map_or(0.0, |noise| noise.margin())
    }

    fn live(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let may = |state: &State| matches!(state, State::Live | State::Open { .. });
        self.states.iter().enumerate().filter(move |(_, state)| may(state)).map(|(row, _)| row)
    }

    /// Whether a setting passes all constraints so far.
    pub(super) fn passes(&self, row: usize) -> bool {
        self.states[row] == State::Live
    }

    /// Whether `one` is shown to be no worse than `other` by the margin.
    pub(super) fn no_worse(&self, one: usize, other: usize) -> bool {
        let found = self.evidence.differences(one, other).filter(|found| found.n >= LEAST_SHARED);
        found.is_some_and(|found| found.upper(SURE) < self.margin())
    }

    /// Whether `one` is shown to be worse than `other`: by more than noise hides, and not merely by less than the margin.
    /// `sure` holds for all comparisons of this look together (Bonferroni): among several equal settings some pair
    /// always looks different.
    pub(super) fn worse(&self, one: usize, other: usize, sure: f64) -> bool {
        let Some(found) = self.evidence.differences(one, other).filter(|found| found.n >= LEAST_SHARED) else {
            return false;
        };
        let live = self.live().count().max(2);
        let sure = 1.0 - (1.0 - sure) * 2.0 / (live * (live - 1)) as f64;
        let floor = self.noise.map_or(0.0, |noise| noise.floor(found.n));
        found.mean > floor && found.lower(sure) > 0.0 && found.upper(SURE) >= self.margin()
    }

    /// Whether any live setting shows it to be worse.
    pub(super) fn rejected(&self, row: usize, sure: f64) -> bool {
        self.live().any(|other| other != row && self.worse(row, other, sure))
    }

    /// The choice. `closing`: there will be no more trials, so what is told is what is sure enough to tell.
    pub(super) fn choose(&self, closing: bool) -> Choice {
        let live: Vec<usize> = self.live().collect();
        if live.is_empty() {
            return Choice::Nobody;
        }
        let lacking: Vec<usize> =
            live.iter().copied().filter(|row| self.evidence.rows[*row].blocks() < LEAST_TRIALS).collect();
        if !lacking.is_empty() {
            return Choice::Screen(lacking);
        }
        let sure = if closing { SURE } else { VERY_SURE };
        let rivals: Vec<usize> = live.iter().copied().filter(|row| !self.rejected(*row, sure)).collect();
        // The smallest is asked first, and it alone: if it may be chosen, no other matters.
        let Some(row) = rivals.first().copied() else { return Choice::Nobody };
        let unresolved: Vec<usize> =
            rivals.iter().copied().filter(|other| *other != row && !self.no_worse(row, *other)).collect();
        if !unresolved.is_empty() {
            let blocks = unresolved.iter().map(|other| self.blocks_to_tell(row, *other)).max().unwrap_or(1);
            return Choice::Resolve { rows: std::iter::once(row).chain(unresolved).collect(), blocks };
        }
        match &self.states[row] {
            State::Open { trials, .. } => {
                let blocks = trials.saturating_sub(self.evidence.rows[row].measured.len()).max(1);
                Choice::Resolve { rows: vec![row], blocks }
            }
            _ => Choice::Chosen(row),
        }
    }

    /// How many more blocks tell whether `one` is worse than `other` or no worse, if it goes on like this.
    fn blocks_to_tell(&self, one: usize, other: usize) -> usize {
        let Some(found) = self.evidence.differences(one, other) else { return LEAST_TRIALS };
        // Whichever can be told sooner: that it is below the margin, or that it is above nothing.
        let distance = (self.margin() - found.mean).max(found.mean);
        found.blocks_for(distance, SURE).saturating_sub(found.n).max(1)
    }

    /// How many settings might have been chosen: those that pass and are not plainly worse.
    pub(super) fn choosable(&self) -> usize {
        self.live().filter(|row| !self.rejected(*row, VERY_SURE)).count()
    }

    /// Whether it must be held before it may be recommended, and may still be: the generator fails at most three times.
    pub(super) fn must_hold(&self, row: usize) -> bool {
        let holds = &self.evidence.rows[row].holds;
        self.terms.hold.is_some() && !self.holds(row) && holds.len() < MOST_HOLDS
    }

    /// Whether it held what it must hold.
    pub(super) fn holds(&self, row: usize) -> bool {
        let holds = &self.evidence.rows[row].holds;
        self.terms.hold.is_none() || holds.iter().any(|trial| held::sentence(trial).is_some())
    }

    /// The live setting with the least objective besides `row`.
    pub(super) fn best_rival(&self, row: usize) -> Option<usize> {
        let others = self.live().filter(|other| *other != row && !self.rejected(*other, VERY_SURE));
        others.min_by(|one, other| self.mean(*one).total_cmp(&self.mean(*other)))
    }

    /// The largest passing setting that is smaller than `row`, unless it is beyond doubt that it is worse: a smaller one
    /// that was rejected by bad luck must be able to come back.
    pub(super) fn doubtful_smaller(&self, row: usize) -> Option<usize> {
        self.live().filter(|other| *other < row && !self.rejected(*other, BEYOND_DOUBT)).last()
    }

    fn mean(&self, row: usize) -> f64 {
        self.evidence.rows[row].mean()
    }

    /// The phase of the block that follows: as long as half of what was screened is still in it, halving.
    pub(super) fn phase(&self, members: usize) -> Phase {
        if members > self.evidence.rows.len().div_ceil(2) { Phase::Halving } else { Phase::Confirmation }
    }
}

// === impl State ===

impl State {
    fn of(terms: &Terms, row: &Row<'_>, spare: usize) -> Self {
        if !row.candidate {
            return Self::Reference;
        }
        let out = |reason: String, remedy| Self::Out { reason, remedy };
        if let Some(failure) = row.failures.last().filter(|_| row.is_unworkable()) {
            return out(failure.to_string(), Remedy::Nothing);
        }
        if let Some(reasons) = row.invalid.last().filter(|_| row.is_unmeasurable()) {
            return out(format!("cannot be measured here: {}", listed(reasons)), Remedy::Elsewhere);
        }
        if let Some(reason) = row.holds.iter().find_map(|trial| held::broken(terms, trial)) {
            return out(reason, Remedy::Nothing);
        }
        let mut state = Self::Live;
        for constraint in &terms.constraints {
            match Keeping::of(constraint, &row.measured) {
                Keeping::Holds => {}
                Keeping::Broken(reason) => {
                    return out(format!("{constraint} does not hold: {reason}"), Remedy::Nothing);
                }
                Keeping::Unmeasured => return out(format!("{constraint}: nobody measured it"), Remedy::Elsewhere),
                // Until five trials are made, whatever is open is only too little.
                Keeping::Open { .. } if row.measured.len() < LEAST_TRIALS => {}
                Keeping::Open { reason, trials } if trials > row.measured.len() + spare => {
                    let more = Remedy::Trials(trials - row.measured.len());
                    state = out(format!("{constraint} is not shown: {reason}"), more);
                }
                Keeping::Open { reason, trials } => {
                    if !matches!(state, Self::Out { .. }) {
                        state = Self::Open { reason: format!("{constraint} is not shown yet: {reason}"), trials };
                    }
                }
            }
        }
        state
    }
}
