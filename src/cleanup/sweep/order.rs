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

/// Orders `rows` rows into batches of about `size`: whoever refers stands in the same batch as what
/// it refers to, or in an earlier one. A ring of rows is never parted, so its batch may be larger;
/// within a batch the order does not matter, because a foreign key is looked at when a statement ends.
pub(super) fn row_batches(rows: usize, references: &[(u32, u32)], size: usize) -> Vec<Vec<u32>> {
    let mut batches: Vec<Vec<u32>> = Vec::new();
    for ring in rings(rows, references) {
        match batches.last_mut() {
            Some(batch) if batch.len() + ring.len() <= size => batch.extend(ring),
            _ => batches.push(ring),
        }
    }
    batches
}

/// The rows in rings (mostly of one), whoever refers before what it refers to: Tarjan's strongly
/// connected components, without recursion.
fn rings(rows: usize, references: &[(u32, u32)]) -> Vec<Vec<u32>> {
    const NEW: u32 = u32::MAX;
    // Along the references backwards, so that who refers is done first.
    let mut referrers: Vec<(u32, u32)> = references.iter().map(|&(from, to)| (to, from)).collect();
    referrers.sort_unstable();
    let first = |row: u32| referrers.partition_point(|(to, _)| *to < row);
    let (mut index, mut low, mut open) = (vec![NEW; rows], vec![0_u32; rows], vec![false; rows]);
    let (mut counter, mut stack, mut rings) = (0_u32, Vec::new(), Vec::new());
    for start in (0_u32..).take(rows) {
        if index[start as usize] != NEW {
            continue;
        }
        // (row, which of its referrers is next)
        let mut path = vec![(start, first(start))];
        while let Some(&mut (row, ref mut next)) = path.last_mut() {
            let at = row as usize;
            if index[at] == NEW {
                (index[at], low[at], open[at]) = (counter, counter, true);
                counter += 1;
                stack.push(row);
            }
            if let Some(&(to, from)) = referrers.get(*next)
                && to == row
            {
                *next += 1;
                if index[from as usize] == NEW {
                    path.push((from, first(from)));
                } else if open[from as usize] {
                    low[at] = low[at].min(index[from as usize]);
                }
                continue;
            }
            if low[at] == index[at] {
                let ring =
                    stack.iter().rposition(|member| *member == row).map_or_else(Vec::new, |from| stack.split_off(from));
                ring.iter().for_each(|member| open[*member as usize] = false);
                rings.push(ring);
            }
            path.pop();
            if let Some((above, _)) = path.last() {
                low[*above as usize] = low[*above as usize].min(low[at]);
            }
        }
    }
    rings
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
    fn a_ring_of_rows_is_one_batch_however_small_batches_are() {
        let batches = row_batches(5, &[(0, 1), (1, 2), (3, 4), (4, 3), (2, 2), (4, 0)], 1);
        let sorted: Vec<Vec<u32>> = batches
            .into_iter()
            .map(|mut batch| {
                batch.sort_unstable();
                batch
            })
            .collect();
        assert_eq!(sorted, [vec![3, 4], vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn a_long_chain_is_ordered_without_a_deep_stack() {
        let chain: Vec<_> = (1..200_000).map(|row| (row, row - 1)).collect();
        let batches = row_batches(200_000, &chain, 1_000);
        assert_eq!(batches.len(), 200);
        assert!(batches[0].contains(&199_999) && batches[199].contains(&0));
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
        fn no_row_comes_before_one_that_refers_to_it(references in proptest::collection::vec((0..30_u32, 0..30_u32), 0..60), size in 1..9_usize) {
            let batches = row_batches(30, &references, size);
            let place = |row: u32| batches.iter().position(|batch| batch.contains(&row)).unwrap();
            prop_assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 30);
            for &(from, to) in &references {
                prop_assert!(place(from) <= place(to));
            }
            for batch in batches.iter().filter(|batch| batch.len() > size) {
                // Only a ring may be larger: from each of its rows each other is reached.
                let mut marked = [false; 30];
                marked[batch[0] as usize] = true;
                for _ in 0..30 {
                    for &(from, to) in &references {
                        marked[to as usize] |= marked[from as usize];
                    }
                }
                prop_assert!(batch.iter().all(|row| marked[*row as usize]));
            }
        }
    }
}
