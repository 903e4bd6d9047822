//! `data:`: files whose rows the iterations draw from.

use super::Text;

/// One data file.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// Its name: `{{ data.NAME.column }}`.
    pub name: Text,
    /// Its path, beside the plan: `.json` (array), `.ndjson`/`.jsonl`, or `.csv`.
    pub file: Text,
    /// How an iteration draws its row.
    pub pick: Pick,
}

/// How an iteration draws its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pick {
    /// Any row, with replacement. The default.
    #[default]
    Random,
    /// In the order of the file, over and over.
    Sequential,
    /// In a random order, each row once before any comes again.
    Shuffled,
}
