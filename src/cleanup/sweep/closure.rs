//! What is test data by what it refers to. Plain data in, plain data out.
//!
//! **The definition.** A table is *followed* where it has a root, or a foreign key that leads
//! into a followed table. `keep` makes a row real. Any other row that a root matches, or that
//! the ledger has, is test data. A row is *reached* where it refers to a row that a root
//! matches, or to one that was reached. A reached row is test data where **every** reference of
//! it into a followed table leads to test data: the largest set of reached rows for which that
//! holds. A reference with a NULL in it leads nowhere and makes nothing real; one that leads to
//! no row (a key that is `NOT VALID`) leads to no test data, so the row is real.
//!
//! *Why the largest.* An order and its last item that refer to each other are both test data
//! where all else they refer to is; the smallest set would have neither, because each waits for
//! the other. Still nothing is in it without a reason: take any row of it that no root matches
//! and the ledger does not have, and follow the references by which it was reached: each row on
//! that way is in the set, for one that is not would have put the next one out, and the way
//! ends at a root. A ring that no root leads to is not reached, so it is never in it.
//!
//! Tables come in the order of their foreign keys, so this is asked of one ring of tables at a
//! time (mostly one table), when all that it refers to outside is known.

use std::collections::VecDeque;

/// One row of a ring of tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidate {
    /// A root matches it, or the ledger has it.
    pub(super) proven: bool,
    /// `keep` matches it.
    pub(super) kept: bool,
    /// A root's row was come from.
    pub(super) reached: bool,
    /// References into followed tables that are not known to lead to test data outside the ring.
    pub(super) open: u16,
}

/// Which of `rows` are test data. `references` are those among them: (who refers, to what), each
/// as often as there are foreign keys that say so.
pub(super) fn provable(rows: &[Candidate], references: &[(u32, u32)]) -> Vec<bool> {
    let mut in_set: Vec<bool> = rows.iter().map(|row| !row.kept && (row.proven || row.reached)).collect();
    let mut open: Vec<u32> = rows.iter().map(|row| u32::from(row.open)).collect();
    for &(from, to) in references {
        if in_set[to as usize] {
            open[from as usize] = open[from as usize].saturating_sub(1);
        }
    }
    let by_referred = sorted(references.iter().map(|&(from, to)| (to, from)));
    let leaves = |row: usize, in_set: &[bool], open: &[u32]| in_set[row] && !rows[row].proven && open[row] > 0;
    let mut leaving: VecDeque<usize> = (0..rows.len()).filter(|&row| leaves(row, &in_set, &open)).collect();
    while let Some(row) = leaving.pop_front() {
        if !std::mem::replace(&mut in_set[row], false) {
            continue;
        }
        for from in of(&by_referred, row) {
            open[from] += 1;
            if leaves(from, &in_set, &open) {
                leaving.push_back(from);
            }
        }
    }
    in_set
}

/// Spreads a mark over references, from `marked` rows to all that lies behind `references`, as long
/// as `passes` lets it on to the next row.
pub(super) fn spread(marked: &mut [bool], references: &[(u32, u32)], passes: impl Fn(usize) -> bool) {
    let along = sorted(references.iter().copied());
    let mut fresh: VecDeque<usize> = (0..marked.len()).filter(|&row| marked[row]).collect();
    while let Some(row) = fresh.pop_front() {
        for next in of(&along, row) {
            if !marked[next] && passes(next) {
                marked[next] = true;
                fresh.push_back(next);
            }
        }
    }
}

// === helpers ===

fn sorted(references: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut sorted: Vec<_> = references.collect();
    sorted.sort_unstable();
    sorted
}

/// What stands beside `row` in sorted pairs.
fn of(sorted: &[(u32, u32)], row: usize) -> impl Iterator<Item = usize> + '_ {
    let first = sorted.partition_point(|(key, _)| (*key as usize) < row);
    sorted[first..].iter().take_while(move |(key, _)| *key as usize == row).map(|(_, value)| *value as usize)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    const ROOT: Candidate = Candidate { proven: true, kept: false, reached: false, open: 0 };

    fn reached(open: u16) -> Candidate {
        Candidate { reached: true, open, ..Candidate::default() }
    }

    #[test]
    fn a_chain_below_a_root_is_test_data() {
        assert_eq!(provable(&[ROOT, reached(1), reached(1)], &[(1, 0), (2, 1)]), [true, true, true]);
    }

    #[test]
    fn one_reference_to_a_real_row_makes_all_below_real() {
        let rows = [ROOT, reached(2), reached(1)];
        assert_eq!(provable(&rows, &[(1, 0), (2, 1)]), [true, false, false]);
    }

    #[test]
    fn a_ring_is_test_data_where_all_else_it_refers_to_is() {
        let rows = [ROOT, reached(2), reached(1), reached(1)];
        assert_eq!(provable(&rows, &[(1, 0), (1, 2), (2, 1), (3, 3)]), [true; 4]);
        let rows = [ROOT, reached(2), reached(2)];
        assert_eq!(provable(&rows, &[(1, 0), (1, 2), (2, 1)]), [true, false, false]);
    }

    #[test]
    fn what_is_kept_is_real_whatever_matches_it() {
        let kept = Candidate { kept: true, ..ROOT };
        assert_eq!(provable(&[kept, reached(1)], &[(1, 0)]), [false, false]);
    }

    #[test]
    fn what_nothing_came_from_is_real() {
        assert_eq!(provable(&[Candidate::default(), Candidate::default()], &[(0, 1), (1, 0)]), [false, false]);
    }

    proptest! {
        /// By the definition itself: of all sets of rows for which it holds, the largest.
        #[test]
        fn it_is_the_largest_set_for_which_the_definition_holds(
            rows in proptest::collection::vec((0..4_u8, any::<bool>(), 0..2_u16), 1..9),
            references in proptest::collection::vec((0..9_u32, 0..9_u32), 0..14),
        ) {
            let references: Vec<_> =
                references.into_iter().filter(|(a, b)| (*a as usize) < rows.len() && (*b as usize) < rows.len()).collect();
            let rows: Vec<Candidate> = rows.iter().enumerate().map(|(number, &(kind, reached, outside))| {
                let inside = references.iter().filter(|(from, _)| *from as usize == number).count();
                Candidate { proven: kind == 0, kept: kind == 1, reached, open: u16::try_from(inside).unwrap() + outside / 2 }
            }).collect();
            let holds = |set: u32| (0..rows.len()).all(|row| {
                let row_is_in = set >> row & 1 == 1;
                let inside = references.iter().filter(|(from, to)| *from as usize == row && set >> to & 1 == 1).count();
                let supported = rows[row].reached && inside >= usize::from(rows[row].open);
                if rows[row].kept { !row_is_in } else if rows[row].proven { row_is_in } else { !row_is_in || supported }
            });
            let union = (0..1_u32 << rows.len()).filter(|set| holds(*set)).fold(0, |all, set| all | set);
            let expected: Vec<bool> = (0..rows.len()).map(|row| union >> row & 1 == 1).collect();
            prop_assert!(holds(union));
            prop_assert_eq!(provable(&rows, &references), expected);
        }
    }
}
