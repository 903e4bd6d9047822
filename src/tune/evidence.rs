//! What the trials made so far say of each setting: the raw material of every decision.

use super::noise::{LEAST_TRIALS, Noise};
use super::setting::Setting;
use super::size::Sizes;
use super::terms::Terms;
use super::trial::{Failure, Measured, Phase, Trial};
use crate::stats::Differences;

/// All settings with what is known of them, smallest first.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) rows: Vec<Row<'a>>,
    /// What the others are compared with: today's setting, else the first that works.
    pub(super) baseline: Option<usize>,
}

/// What is known of one setting.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) setting: Setting,
    /// Whether it may be recommended: an original that does not fit the database is only compared with.
    pub(super) candidate: bool,
    /// Whether it is today's.
    pub(super) original: bool,
    /// The logarithm of the objective in each block, by block. The preflight is no block.
    blocks: Vec<(u32, f64)>,
    /// The same of the preflight.
    repeated: Vec<f64>,
    /// All believed trials at the plan's load.
    pub(super) measured: Vec<&'a Measured>,
    pub(super) failures: Vec<&'a Failure>,
    /// Why each unbelieved trial at the plan's load was not.
    pub(super) invalid: Vec<&'a [String]>,
    /// Trials at more load.
    pub(super) holds: Vec<&'a Trial>,
}

/// How often a setting may fail before it is not tried again.
pub(super) const MOST_FAILURES: usize = 2;
/// How many invalid trials, where they are more than the valid ones, say that it cannot be measured.
const MOST_INVALID: usize = 3;
/// Settings whose mean is further from the best one's than this (in logarithms) are saturated: their noise is another.
const ALIKE: f64 = 0.4;
/// Below this a figure says no more than 'nothing'; its logarithm must be finite.
const LEAST_OBJECTIVE: f64 = 1e-6;

// === impl Evidence ===

impl<'a> Evidence<'a> {
    pub(super) fn of(terms: &Terms, trials: &'a [Trial]) -> Self {
        let sizes = Sizes::of(terms);
        let grid = terms.grid();
        let mut rows: Vec<Row<'a>> = Vec::with_capacity(grid.len() + 1);
        for setting in grid.into_iter().chain(terms.original.clone()) {
            let original = terms.original.as_ref() == Some(&setting);
            let candidate = terms.why_not(&setting).is_none();
            if (candidate || original) && rows.iter().all(|row| row.setting != setting) {
                rows.push(Row::new(setting, candidate, original));
            }
        }
        let mut evidence = Self { rows, baseline: None };
        for trial in trials {
            if let Some(row) = evidence.rows.iter_mut().find(|row| row.setting == trial.order.setting) {
                row.add(trial);
            }
        }
        evidence.baseline = evidence.baseline();
        // The order of the plan decides what the first is, the order of sizes everything else.
        let baseline = evidence.baseline.map(|place| evidence.rows[place].setting.clone());
        evidence.rows.sort_by(|one, other| sizes.compare(&one.setting, &other.setting));
        evidence.baseline = baseline.and_then(|baseline| evidence.rows.iter().position(|row| row.setting == baseline));
        evidence
    }

    /// Today's setting where it works; else the first that does, or that nobody has tried yet.
    fn baseline(&self) -> Option<usize> {
        let usable = |row: &Row<'_>| !row.is_unworkable() && !row.is_unmeasurable();
        let today = self.rows.iter().position(|row| row.original && usable(row));
        let works = || self.rows.iter().position(|row| usable(row) && !row.measured.is_empty());
        today.or_else(works).or_else(|| self.rows.iter().position(usable))
    }

    /// The blocks that two settings share, as differences of logarithms: above 0 where `one` is more.
    pub(super) fn differences(&self, one: usize, other: usize) -> Option<Differences> {
        let (one, other) = (&self.rows[one].blocks, &self.rows[other].blocks);
        Differences::of(one.iter().filter_map(|(block, value)| {
            let found = other.binary_search_by_key(block, |(block, _)| *block).ok()?;
            Some(value - other[found].1)
        }))
    }

    /// The noise between trials of one block: from the preflight and the screening, so that it does not move with what
    /// is looked at later.
    pub(super) fn noise(&self) -> Option<Noise> {
        let repeated = self.baseline.map_or(&[][..], |baseline| &self.rows[baseline].repeated);
        let screened = |row: &&Row<'_>| row.blocks.len() >= 2;
        let best = self.rows.iter().filter(screened).map(Row::mean).fold(f64::INFINITY, f64::min);
        let alike: Vec<&Row<'_>> = self.rows.iter().filter(screened).filter(|row| row.mean() < best + ALIKE).collect();
        let complete = |block: u32| alike.iter().map(|row| row.in_block(block)).collect::<Option<Vec<f64>>>();
        let blocks = alike.first().map_or(&[][..], |row| &row.blocks);
        let table: Vec<Vec<f64>> = blocks.iter().filter_map(|(block, _)| complete(*block)).take(LEAST_TRIALS).collect();
        Noise::of(repeated, &table)
    }
}

// === impl Row ===

impl<'a> Row<'a> {
    pub(super) const fn new(setting: Setting, candidate: bool, original: bool) -> Self {
        Self {
            setting,
            candidate,
            original,
            blocks: Vec::new(),
            repeated: Vec::new(),
            measured: Vec::new(),
            failures: Vec::new(),
            invalid: Vec::new(),
            holds: Vec::new(),
        }
    }

    fn add(&mut self, trial: &'a Trial) {
        if trial.order.phase == Phase::Hold {
            self.holds.push(trial);
            return;
        }
        let measured = match &trial.result {
            Ok(measured) if measured.is_valid() => measured,
            Ok(measured) => return self.invalid.push(&measured.invalid),
            Err(failure) => return self.failures.push(failure),
        };
        self.measured.push(measured);
        let value = measured.objective.value.max(LEAST_OBJECTIVE).ln();
        let block = trial.order.block;
        match trial.order.phase {
            Phase::Preflight => self.repeated.push(value),
            // Twice in a block would make it count twice.
            _ => match self.blocks.binary_search_by_key(&block, |(block, _)| *block) {
                Ok(_) => {}
                Err(place) => self.blocks.insert(place, (block, value)),
            },
        }
    }

    /// How many blocks it was measured in.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Its mean over the blocks, in logarithms; infinite where there is none.
    pub(super) fn mean(&self) -> f64 {
        let sum: f64 = self.blocks.iter().map(|(_, value)| value).sum();
        if self.blocks.is_empty() { f64::INFINITY } else { sum / self.blocks.len() as f64 }
    }

    /// How often the baseline was repeated before the first block.
    pub(super) fn repeated(&self) -> usize {
        self.repeated.len()
    }

    /// Every figure of the objective at the plan's load, in logarithms.
    pub(super) fn values(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        self.blocks.iter().map(|(_, value)| *value).chain(self.repeated.iter().copied())
    }

    fn in_block(&self, block: u32) -> Option<f64> {
        let found = self.blocks.binary_search_by_key(&block, |(block, _)| *block).ok()?;
        Some(self.blocks[found].1)
    }

    /// Whether it failed so often that it is not tried again.
    pub(super) fn is_unworkable(&self) -> bool {
        self.failures.len() >= MOST_FAILURES
    }

    /// Whether the generator fails at it more often than not.
    pub(super) fn is_unmeasurable(&self) -> bool {
        self.invalid.len() >= MOST_INVALID && self.invalid.len() > self.measured.len()
    }
}
