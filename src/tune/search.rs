//! From the trials so far to the next one: a pure function.
//!
//! The baseline against itself first (preflight), so that the noise is known before anything is compared. Then blocks:
//! each holds every setting that is still of interest and the baseline, once, in an order drawn by lot, under the same
//! arrivals; so what drifts from block to block is in none of the comparisons. Five blocks of all (screening), then
//! blocks of what cannot be told apart yet (halving, confirmation), and the chosen one at more load (hold).
//!
//! A block is planned from the trials before it alone, so that asking again in the middle of one plans the same.

use super::conclude::conclude;
use super::evidence::MOST_FAILURES;
use super::look::{Choice, Look};
use super::noise::LEAST_TRIALS;
use super::outcome::Outcome;
use super::purse::Purse;
use super::setting::Setting;
use super::terms::Terms;
use super::trial::{Order, Phase, Trial};

/// What to do next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Make this trial.
    Run(Order),
    /// Stop: this is what it comes to.
    Done(Box<Outcome>),
}

/// A block: what it is for and who is in it.
#[derive(Debug)]
struct Block {
    phase: Phase,
    members: Vec<Setting>,
}

enum Step {
    Block(Block),
    Done(Box<Outcome>),
}

/// How often the baseline is repeated before anything is compared.
const REPEATED: usize = LEAST_TRIALS;
/// Fewer repetitions say nothing of noise.
const LEAST_REPEATED: usize = 2;
/// How many blocks a recommended value was in, where the budget allows: five that chose it, three that confirm it.
const CONFIRMED: usize = LEAST_TRIALS + 3;
/// How often a trial that the generator spoiled is made again within its block.
const REPEATS: usize = 1;

/// What to do after these trials.
#[must_use]
pub fn next(terms: &Terms, trials: &[Trial]) -> Next {
    let begun = trials.last().map(|trial| trial.order.block);
    if let Some(block) = begun {
        let before = trials.partition_point(|trial| trial.order.block < block);
        if let (before, Some(within)) = (&trials[..before], trials.get(before..))
            && let Step::Block(mut planned) = plan(terms, before)
            && let Some(setting) = {
                planned.members.retain(|member| !gave_up(member, trials));
                rest(terms, &planned, block, within)
            }
            && may_go_on(terms, &planned, trials)
        {
            return Next::Run(order(terms, &planned, block, setting));
        }
    }
    match plan(terms, trials) {
        Step::Done(outcome) => Next::Done(outcome),
        Step::Block(planned) => {
            let block = begun.map_or(0, |block| block + 1);
            match rest(terms, &planned, block, &[]) {
                Some(setting) => Next::Run(order(terms, &planned, block, setting)),
                None => Next::Done(closing(terms, trials)),
            }
        }
    }
}

/// The next block, or the end.
fn plan(terms: &Terms, trials: &[Trial]) -> Step {
    let purse = Purse::after(terms, trials);
    let look = Look::at(terms, trials, purse.trials);
    let done = || Step::Done(closing(terms, trials));
    let Some(baseline) = look.evidence.baseline else { return done() };
    if let Some(block) = preflight(trials, &look, &purse, baseline) {
        return Step::Block(block);
    }
    let (rows, phase) = match look.choose(false) {
        Choice::Nobody => return done(),
        Choice::Screen(rows) => (rows, Phase::Screening),
        Choice::Resolve { rows, .. } => {
            let phase = look.phase(rows.len());
            (rows, phase)
        }
        Choice::Chosen(row) => {
            let others = look.best_rival(row).into_iter().chain(look.doubtful_smaller(row));
            let rows: Vec<usize> = std::iter::once(row).chain(others).collect();
            let size = members(&look, &rows, baseline).len();
            if look.evidence.rows[row].blocks() >= CONFIRMED || size > purse.trials {
                return chosen(&look, &purse, row);
            }
            (rows, Phase::Confirmation)
        }
    };
    let members = members(&look, &rows, baseline);
    if members.len() > purse.trials {
        // What is sure enough to be told may still be held.
        let look = Look::at(terms, trials, 0);
        return match look.choose(true) {
            Choice::Chosen(row) => chosen(&look, &purse, row),
            choice => Step::Done(Box::new(conclude(&look, &choice))),
        };
    }
    Step::Block(Block { phase, members: settings(&look, &members) })
}

/// The last look: what takes more trials to decide is left undecided.
fn closing(terms: &Terms, trials: &[Trial]) -> Box<Outcome> {
    let look = Look::at(terms, trials, 0);
    let choice = look.choose(true);
    Box::new(conclude(&look, &choice))
}

/// What is chosen is held where the plan asks for that and the budget has it, and then it is done.
fn chosen(look: &Look<'_>, purse: &Purse, row: usize) -> Step {
    if look.must_hold(row) && purse.hold {
        return Step::Block(Block { phase: Phase::Hold, members: settings(look, &[row]) });
    }
    Step::Done(Box::new(conclude(look, &Choice::Chosen(row))))
}

/// The baseline against itself, before the first block of others.
fn preflight(trials: &[Trial], look: &Look<'_>, purse: &Purse, baseline: usize) -> Option<Block> {
    if trials.iter().any(|trial| trial.order.phase != Phase::Preflight) {
        return None;
    }
    let made = look.evidence.rows[baseline].repeated();
    let wanted = (purse.trials + trials.len()).saturating_sub(needed(look)).min(REPEATED);
    let wanted = if wanted < LEAST_REPEATED { 0 } else { wanted };
    let missing = wanted.saturating_sub(made).min(purse.trials);
    (missing > 0).then(|| {
        let setting = &look.evidence.rows[baseline].setting;
        Block { phase: Phase::Preflight, members: vec![setting.clone(); missing] }
    })
}

/// How many trials five of each setting are: from these the preflight takes none.
fn needed(look: &Look<'_>) -> usize {
    LEAST_TRIALS * look.evidence.rows.len()
}

/// The rows of a block: those, and the baseline.
fn members(look: &Look<'_>, rows: &[usize], baseline: usize) -> Vec<usize> {
    let mut members = rows.to_vec();
    members.push(baseline);
    members.sort_unstable();
    members.dedup();
    debug_assert!(members.iter().all(|row| *row < look.evidence.rows.len()));
    members
}

fn settings(look: &Look<'_>, rows: &[usize]) -> Vec<Setting> {
    rows.iter().map(|row| look.evidence.rows[*row].setting.clone()).collect()
}

/// Whether a setting failed so often that a block goes on without it.
fn gave_up(setting: &Setting, trials: &[Trial]) -> bool {
    let failed = |trial: &&Trial| trial.order.setting == *setting && trial.result.is_err();
    trials.iter().filter(failed).count() >= MOST_FAILURES
}

/// Who of a block is next, in the order drawn by lot; none where all had their trial.
fn rest(terms: &Terms, planned: &Block, block: u32, within: &[Trial]) -> Option<Setting> {
    let mut lots: Vec<&Setting> = planned.members.iter().collect();
    fastrand::Rng::with_seed(seed(terms, block) ^ 0x5EED).shuffle(&mut lots);
    // Of one that stands in it several times, so many trials are wanted.
    let wanted = |setting: &Setting| planned.members.iter().filter(|member| *member == setting).count();
    let of = |setting: &Setting| within.iter().filter(|trial| trial.order.setting == *setting).collect::<Vec<_>>();
    let due = |setting: &Setting| {
        let made = of(setting);
        let spoiled = made.iter().filter(|trial| trial.result.as_ref().is_ok_and(|found| !found.is_valid())).count();
        made.len() - spoiled.min(REPEATS) < wanted(setting)
    };
    lots.into_iter().find(|setting| due(setting)).cloned()
}

/// Whether the budget has a trial more for a block that was begun.
fn may_go_on(terms: &Terms, planned: &Block, trials: &[Trial]) -> bool {
    let purse = Purse::after(terms, trials);
    match planned.phase {
        Phase::Hold => purse.hold,
        // The first trial says how long one takes: the rest of the preflight may be more than there is time for.
        Phase::Preflight => purse.trials > needed(&Look::at(terms, trials, 0)),
        _ => purse.trials > 0,
    }
}

fn order(terms: &Terms, planned: &Block, block: u32, setting: Setting) -> Order {
    let hold = terms.hold.filter(|_| planned.phase == Phase::Hold);
    Order {
        setting,
        phase: planned.phase,
        block,
        seed: seed(terms, block),
        factor: hold.map_or(1.0, |hold| hold.factor),
        warmup: terms.warmup,
        duration: hold.map_or(terms.duration, |hold| hold.duration),
    }
}

/// The seed of a block's arrivals (Steele, Lea and Flood's splitmix, so that neighbouring blocks have nothing in common).
fn seed(terms: &Terms, block: u32) -> u64 {
    let mut mixed = terms.seed.wrapping_add((u64::from(block) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
