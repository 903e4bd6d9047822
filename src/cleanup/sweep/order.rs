//! In which order to delete, so that no foreign key is in the way. Plain data in, plain data out.

/// Tables that are deleted from together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// The tables, by number.
    pub(super) tables: Vec<usize>,
    /// Whether they refer to each other, or one to itself: then rows have an order too.
    pub(super) cyclic: bool,
}

/// Orders `tables` tables so that whoever refers comes before what it refers to.
/// A reference is (who refers, to what).
pub(super) fn components(tables: usize, references: &[(usize, usize)]) -> Vec<Component> {
    // reaches[a][b]: a refers to b, over others too. Roots are few, so the cube of their number is nothing.
    let mut reaches = vec![vec![false; tables]; tables];
    for &(from, to) in references {
        reaches[from][to] = true;
    }
    for over in 0..tables {
        let further = reaches[over].clone();
        for row in &mut reaches {
            if row[over] {
                row.iter_mut().zip(&further).for_each(|(reached, more)| *reached |= more);
            }
        }
    }
    let mut placed = vec![false; tables];
    let mut ordered = Vec::new();
    while let Some(next) = (0..tables).find(|&table| {
        // Free to go: whoever refers to it and is not placed yet is in a ring with it.
        !placed[table] && (0..tables).all(|other| placed[other] || !reaches[other][table] || reaches[table][other])
    }) {
        let mut together: Vec<usize> =
            (0..tables).filter(|&other| other != next && reaches[next][other] && reaches[other][next]).collect();
        together.push(next);
        together.sort_unstable();
        together.iter().for_each(|&table| placed[table] = true);
        ordered.push(Component { tables: together, cyclic: reaches[next][next] });
    }
    ordered
}

/// Orders `rows` rows in waves: no row is referred to by one of its own or a later wave.
/// Gives the waves, and the rows that refer to each other in rings, or stand below one.
pub(super) fn waves(rows: usize, references: &[(usize, usize)]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut referrers = vec![0_u32; rows];
    let mut references: Vec<_> = references.iter().copied().filter(|(from, to)| from != to).collect();
    references.sort_unstable();
    for &(_, to) in &references {
        referrers[to] += 1;
    }
    let mut wave: Vec<usize> = (0..rows).filter(|&row| referrers[row] == 0).collect();
    let (mut waves, mut placed) = (Vec::new(), vec![false; rows]);
    while !wave.is_empty() {
        let mut next = Vec::new();
        for &row in &wave {
            placed[row] = true;
            let first = references.partition_point(|(from, _)| *from < row);
            for &(_, to) in references[first..].iter().take_while(|(from, _)| *from == row) {
                referrers[to] -= 1;
                if referrers[to] == 0 {
                    next.push(to);
                }
            }
        }
        next.sort_unstable();
        waves.push(std::mem::replace(&mut wave, next));
    }
    let ring = (0..rows).filter(|&row| !placed[row]).collect();
    (waves, ring)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_refers_goes_first() {
        // 0 users, 1 chats -> users, 2 messages -> chats, 3 alone
        let ordered = components(4, &[(1, 0), (2, 1)]);
        let place = |table| ordered.iter().position(|component| component.tables.contains(&table)).unwrap();
        assert!(place(2) < place(1) && place(1) < place(0));
        assert!(ordered.iter().all(|component| !component.cyclic));
    }

    #[test]
    fn a_ring_of_tables_is_one_component() {
        let ordered = components(4, &[(0, 1), (1, 0), (2, 0), (3, 3)]);
        assert!(ordered.contains(&Component { tables: vec![0, 1], cyclic: true }));
        assert!(ordered.contains(&Component { tables: vec![3], cyclic: true }));
        let place = |table| ordered.iter().position(|component| component.tables.contains(&table)).unwrap();
        assert!(place(2) < place(0));
    }

    #[test]
    fn rows_of_a_ring_are_told_apart() {
        let (waves, ring) = waves(5, &[(0, 1), (1, 2), (3, 4), (4, 3), (2, 2)]);
        assert_eq!(waves, [vec![0], vec![1], vec![2]]);
        assert_eq!(ring, [3, 4]);
    }

    proptest! {
        #[test]
        fn no_table_comes_before_one_that_refers_to_it(references in proptest::collection::vec((0..9_usize, 0..9_usize), 0..20)) {
            let ordered = components(9, &references);
            let mut all: Vec<_> = ordered.iter().flat_map(|component| component.tables.clone()).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..9).collect::<Vec<_>>());
            let place = |table| ordered.iter().position(|component| component.tables.contains(&table)).unwrap();
            for (from, to) in references {
                prop_assert!(place(from) <= place(to));
                prop_assert!(place(from) < place(to) || ordered[place(from)].cyclic);
            }
        }

        #[test]
        fn no_row_comes_before_one_that_refers_to_it(references in proptest::collection::vec((0..30_usize, 0..30_usize), 0..60)) {
            let (waves, ring) = waves(30, &references);
            let place = |row| waves.iter().position(|wave| wave.contains(&row));
            prop_assert_eq!(waves.iter().map(Vec::len).sum::<usize>() + ring.len(), 30);
            for (from, to) in references {
                if let (Some(to_place), true) = (place(to), from != to) {
                    prop_assert!(place(from).is_some_and(|from_place| from_place < to_place));
                }
            }
        }
    }
}
