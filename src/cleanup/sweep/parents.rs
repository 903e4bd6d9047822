//! What test rows refer to in other tables, as a look saw it.
//!
//! A row that is test data by what it refers to is that as long as those rows are the same: a key
//! that did not change leads to the row that it led to, unless that one changed. So before it is
//! deleted only they are asked about, by their places.

use super::look::small;

/// By foreign key, what each row refers to: 4 bytes a row.
#[derive(Clone, Debug, Default)]
pub(super) struct Parents {
    /// By key; then by the position of who refers.
    by_key: Vec<Vec<u32>>,
}

/// It refers to nothing by this key.
const NOTHING: u32 = u32::MAX;

// === impl Parents ===

impl Parents {
    /// The row at `from` refers by foreign key `key` to the row at `to`.
    pub(super) fn insert(&mut self, key: usize, from: usize, to: usize) {
        if self.by_key.len() <= key {
            self.by_key.resize(key + 1, Vec::new());
        }
        let of_key = &mut self.by_key[key];
        if of_key.len() <= from {
            of_key.resize(from + 1, NOTHING);
        }
        of_key[from] = small(to);
    }

    /// What the row at `from` refers to by `key`.
    pub(super) fn of(&self, key: usize, from: usize) -> Option<usize> {
        let to = *self.by_key.get(key)?.get(from)?;
        (to != NOTHING).then_some(to as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_refers_to_one_row_by_each_key() {
        let mut parents = Parents::default();
        parents.insert(1, 3, 7);
        parents.insert(1, 0, 9);
        parents.insert(0, 3, 2);
        assert_eq!([parents.of(1, 3), parents.of(1, 0), parents.of(0, 3)], [Some(7), Some(9), Some(2)]);
        assert_eq!([parents.of(1, 1), parents.of(0, 4), parents.of(5, 0)], [None; 3]);
    }
}
