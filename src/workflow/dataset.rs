//! Data files: read whole when the plan is compiled, a row of each drawn per iteration.
//!
//! Drawing takes no lock and keeps no list: a shuffled order is a keyed permutation that is
//! computed for each place anew, so a month of it costs what its first second did.

use super::names::Unknown;
use super::part::Part;
use super::problems::{Problems, did_you_mean};
use crate::plan::{DataSource, Pick};
use crate::semconv::RunId;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest data file, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// A data file.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) name: String,
    /// At least one. Objects, or values of their own.
    pub(crate) rows: Vec<Value>,
    /// In how many rows each column stands.
    columns: BTreeMap<String, usize>,
    pick: Pick,
    /// How many rows were drawn in order, by all workers.
    drawn: AtomicU64,
    /// Which places in that order are drawn here.
    part: Part,
    seed: u64,
}

/// How a data file is written, by the end of its name.
#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Lines,
    Csv,
}

// === impl Format ===

impl Format {
    fn of(file: &str) -> Option<Self> {
        match Path::new(file).extension()?.to_ascii_lowercase().to_str()? {
            "json" => Some(Self::Json),
            "ndjson" | "jsonl" => Some(Self::Lines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

// === impl Dataset ===

impl Dataset {
    /// Reads the file of `source`, which stands beside the plan.
    pub(crate) fn load(source: &DataSource, base: &Path, run: RunId, problems: &mut Problems<'_>) -> Option<Self> {
        let (span, file) = (source.file.span, source.file.value.as_str());
        let Some(format) = Format::of(file) else {
            // The plan's reader has said so.
            problems.failed();
            return None;
        };
        match read(&base.join(file)).and_then(|text| parse(format, &text)) {
            Ok(rows) => Some(Self::new(source, rows, run)),
            Err(problem) => {
                problems.error(span, format!("data file `{file}`: {problem}"), None);
                None
            }
        }
    }

    /// One that stands in for a file which could not be read, so that its problem is not told at each use too.
    pub(crate) fn unreadable(source: &DataSource) -> Self {
        Self::new(source, vec![Value::Null], RunId::new(0))
    }

    fn new(source: &DataSource, rows: Vec<Value>, run: RunId) -> Self {
        let mut columns = BTreeMap::new();
        for key in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
            *columns.entry(key.clone()).or_default() += 1;
        }
        // Each file has its own order, the same in every run with the same id.
        let seed = source.name.value.bytes().fold(run.bits(), |seed, byte| mix(seed ^ u64::from(byte)));
        Self {
            name: source.name.value.clone(),
            rows,
            columns,
            pick: source.pick,
            drawn: AtomicU64::new(0),
            part: Part::default(),
            seed,
        }
    }

    /// Leaves the places of other machines to them. Before the first row is drawn.
    pub(crate) fn limit_to(&mut self, part: &Part) {
        self.part = part.clone();
    }

    /// The next place in the order of rows.
    fn place(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        self.part.nth(drawn).unwrap_or(drawn)
    }

    /// Draws a row: its index.
    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> usize {
        let rows = self.rows.len() as u64;
        let row = match self.pick {
            Pick::Random => random.u64(..rows),
            Pick::Sequential => self.place() % rows,
            Pick::Shuffled => {
                let place = self.place();
                permuted(place % rows, rows, mix(self.seed.wrapping_add(place / rows)))
            }
        };
        // Less than the number of rows, so it fits.
        row as usize
    }

    /// Whether every row has this column.
    pub(crate) fn has_everywhere(&self, column: &str) -> bool {
        self.columns.get(column) == Some(&self.rows.len())
    }

    /// That some row has this column, or why it cannot be named.
    pub(crate) fn check_column(&self, column: &str) -> Result<(), Unknown> {
        if self.columns.contains_key(column) || self.rows == [Value::Null] {
            return Ok(());
        }
        let message = format!("no row of data file `{}` has a `{column}`", self.name);
        let known: Vec<&str> = self.columns.keys().map(String::as_str).collect();
        let hint = did_you_mean(column, known.iter().copied()).unwrap_or_else(|| match known.as_slice() {
            [] => format!("its rows are plain values: write `{{{{ data.{} }}}}`", self.name),
            known => format!("it has: {}", known.join(", ")),
        });
        Err(Unknown { message, hint: Some(hint) })
    }
}

fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("larger than {} MiB", MAX_BYTES >> 20));
    }
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_owned(),
        None => text,
    })
}

fn parse(format: Format, text: &str) -> Result<Vec<Value>, String> {
    if text.trim().is_empty() {
        return Err("empty".to_owned());
    }
    let rows = match format {
        Format::Json => parse_json(text)?,
        Format::Lines => parse_lines(text)?,
        Format::Csv => parse_csv(text)?,
    };
    if rows.is_empty() { Err("it has no rows".to_owned()) } else { Ok(rows) }
}

fn parse_json(text: &str) -> Result<Vec<Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Array(rows)) => Ok(rows),
        Ok(_) => Err("not a JSON array".to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

fn parse_lines(text: &str) -> Result<Vec<Value>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| format!("line {}, column {}: not JSON", at + 1, error.column()))
        })
        .collect()
}

fn parse_csv(text: &str) -> Result<Vec<Value>, String> {
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| format!("not CSV: {error}"))?.clone();
    let mut seen = std::collections::BTreeSet::new();
    for column in &header {
        if column.is_empty() {
            return Err("a column of the header has no name".to_owned());
        }
        if !seen.insert(column) {
            return Err(format!("the header has `{column}` twice"));
        }
    }
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| format!("not CSV: {error}"))?;
            let cells = header.iter().zip(&record);
            Ok(Value::Object(cells.map(|(name, cell)| (name.to_owned(), Value::String(cell.to_owned()))).collect()))
        })
        .collect()
}

/// Where `place` stands in a random order of `rows`: a Feistel network over the next power of
/// four, walked until it lands inside (fewer than four rounds of it on average).
fn permuted(place: u64, rows: u64, key: u64) -> u64 {
    let bits = u64::BITS - rows.saturating_sub(1).leading_zeros();
    let half = bits.div_ceil(2).max(1);
    let mask = (1_u64 << half) - 1;
    let mut value = place;
    loop {
        let (mut left, mut right) = (value >> half, value & mask);
        for round in 0..4_u64 {
            (left, right) = (right, left ^ (mix(key ^ right ^ (round << 60)) & mask));
        }
        value = (left << half) | right;
        if value < rows {
            return value;
        }
    }
}

/// The finalizer of splitmix64.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::plan::{Diagnostics, Span, Spanned};
    use proptest::prelude::*;
    use serde_json::json;

    fn source(file: &str, pick: Pick) -> DataSource {
        let text = |text: &str| Spanned::new(text.to_owned(), Span::new(3, 7));
        DataSource { name: text("rows"), file: text(file), pick }
    }

    fn load(file: &str, content: &[u8]) -> Result<Vec<Value>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(file), content).unwrap();
        let mut diagnostics = Diagnostics::new("plan.yaml");
        let mut problems = Problems::new(&mut diagnostics);
        let set = Dataset::load(&source(file, Pick::Random), folder.path(), RunId::new(1), &mut problems);
        set.map(|set| set.rows).ok_or_else(|| diagnostics.to_string())
    }

    #[test]
    fn all_formats_are_read() {
        assert_eq!(load("a.json", br#"[{"x":1},"y"]"#).unwrap(), [json!({"x": 1}), json!("y")]);
        assert_eq!(load("a.ndjson", b"{\"x\":1}\r\n\n{\"x\":2}\n").unwrap(), [json!({"x": 1}), json!({"x": 2})]);
        assert_eq!(load("a.JSONL", b"1").unwrap(), [json!(1)]);
        let csv = "\u{feff}name,note\nana,\"a, \"\"b\"\"\"\n";
        assert_eq!(load("a.csv", csv.as_bytes()).unwrap(), [json!({"name": "ana", "note": "a, \"b\""})]);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_at_its_place_that_names_the_file() {
        for (file, content) in [
            ("a.json", &b""[..]),
            ("a.json", b"  \n"),
            ("a.json", b"[]"),
            ("a.json", b"{}"),
            ("a.json", b"[1,"),
            ("a.ndjson", b"{}\n{"),
            ("a.csv", b"name\n"),
            ("a.csv", b"a,a\n1,2\n"),
            ("a.csv", b"a,b\n1\n"),
            ("a.csv", b"a\n\xff\n"),
        ] {
            let told = load(file, content).unwrap_err();
            assert!(told.starts_with("plan.yaml:3:7: "), "{told}");
            assert!(told.contains(file), "{told}");
        }
    }

    #[test]
    fn sequential_rows_come_in_order_over_and_over() {
        let set = Dataset::new(&source("a.json", Pick::Sequential), vec![json!(0), json!(1), json!(2)], RunId::new(1));
        let mut random = fastrand::Rng::with_seed(1);
        let drawn: Vec<usize> = (0..7).map(|_| set.draw(&mut random)).collect();
        assert_eq!(drawn, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn machines_draw_every_row_once_together() {
        let rows: Vec<Value> = (0..10).map(|row| json!(row)).collect();
        for pick in [Pick::Sequential, Pick::Shuffled] {
            let mut seen = Vec::new();
            for index in 0..3_u64 {
                let mut set = Dataset::new(&source("a.json", pick), rows.clone(), RunId::new(1));
                set.limit_to(&Part::new(move |k| Some(k * 3 + index)));
                seen.extend((0..(10 - index).div_ceil(3)).map(|_| set.draw(&mut fastrand::Rng::with_seed(1))));
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>(), "{pick:?}");
        }
    }

    #[test]
    fn the_order_of_shuffled_rows_differs_from_round_to_round() {
        let rows = (0..50).map(|row| json!(row)).collect();
        let set = Dataset::new(&source("a.json", Pick::Shuffled), rows, RunId::new(1));
        let mut random = fastrand::Rng::with_seed(1);
        let mut round = || (0..50).map(|_| set.draw(&mut random)).collect::<Vec<_>>();
        let (first, second) = (round(), round());
        assert_ne!(first, second);
        assert_ne!(first, (0..50).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn shuffled_rows_come_once_each_before_any_comes_again(rows in 1_u64..300, key in any::<u64>()) {
            let mut seen: Vec<u64> = (0..rows).map(|place| permuted(place, rows, key)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..rows).collect::<Vec<_>>());
        }
    }
}
