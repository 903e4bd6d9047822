//! What of a run is played here, where several machines share it: its users, and its places in data files.

use std::fmt;
use std::sync::Arc;

/// Which of the numbers 0, 1, 2, … are played here; the others are other machines'.
#[derive(Clone, Default)]
pub struct Part(Option<Nth>);

/// The `k`-th number of a part, ascending; none of an empty one.
type Nth = Arc<dyn Fn(u64) -> Option<u64> + Send + Sync>;

// === impl Part ===

impl Part {
    /// A part by its `k`-th number, for every `k`.
    pub fn new(nth: impl Fn(u64) -> Option<u64> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(nth)))
    }

    /// The `k`-th number; none of an empty part.
    pub(crate) fn nth(&self, k: u64) -> Option<u64> {
        self.0.as_ref().map_or(Some(k), |nth| nth(k))
    }

    /// How many of the first `n` numbers are played here.
    pub(crate) fn count(&self, n: u64) -> u64 {
        let (mut low, mut high) = (0, n);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.nth(middle).is_some_and(|number| number < n) { low = middle + 1 } else { high = middle }
        }
        low
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Part" } else { "Part(whole)" })
    }
}
