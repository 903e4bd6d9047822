//! CORRELATION: what the requests waited for, as one sentence, a table, and JSON.

use super::format;
use super::timelines::TimelinesReport;
use crate::correlate::{AttributionReport, Band, BandName, Part};
use serde_json::{Map, Value, json};

/// What correlation came to. Parts that have nothing to say are absent.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct CorrelationReport {
    /// What the requests waited for.
    pub attribution: Option<AttributionReport>,
    /// What was received; none where nobody listened.
    pub receiver: Option<ReceiverFigures>,
    /// The pool, the runtime and their neighbours over time; none where nobody watched.
    pub timelines: Option<TimelinesReport>,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// What was received and sent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ReceiverFigures {
    /// Spans received.
    pub spans: u64,
    /// Spans of other traces among them.
    pub foreign: u64,
    /// Spans that the collector acknowledged.
    pub forwarded: u64,
    /// Spans that it never acknowledged.
    pub lost: u64,
    /// Messages refused.
    pub rejected: u64,
}

/// The section as text: cells of a table, headed by their names.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Below this many ms a part is not worth a column.
const NOTHING: f64 = 0.005;

// === impl CorrelationReport ===

impl CorrelationReport {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let quiet = self.attribution.is_none() && self.receiver.is_none() && self.notes.is_empty();
        quiet && self.timelines.as_ref().is_none_or(TimelinesReport::is_empty)
    }

    /// What a person should know first: the largest part of the slowest step.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let bands = &self.attribution.as_ref()?.bands;
        let slowest = |band| {
            let of_it = bands.iter().filter(move |known| known.band == band);
            of_it.max_by(|one, other| one.total_ms.total_cmp(&other.total_ms))
        };
        let band = [BandName::P95, BandName::P99, BandName::P50].into_iter().find_map(slowest)?;
        let (part, time) = band.largest();
        let (of, total, step, band) = (whole(time), whole(band.total_ms), &band.step, band.band.as_str());
        let pool = self.timelines.as_ref().filter(|_| part == Part::PoolWait).and_then(TimelinesReport::pool_clause);
        let pool = pool.map(|clause| format!("; {clause}")).unwrap_or_default();
        Some(format!("at {band}, {of} of {total} ms of {step} {}{pool}", waiting(part)))
    }

    /// Steps and bands, with the parts that any of them has.
    pub(super) fn table(&self) -> Table {
        let Some(AttributionReport { bands, .. }) = &self.attribution else { return Table::default() };
        let shown: Vec<Part> =
            Part::ALL.into_iter().filter(|part| bands.iter().any(|band| band.part(*part) >= NOTHING)).collect();
        let mut head = vec!["step", "band", "total"];
        head.extend(shown.iter().map(|part| part.as_str()));
        let row = |band: &Band| {
            let mut row =
                vec![band.step.clone(), band.band.as_str().to_owned(), format::duration(rounded(band.total_ms))];
            row.extend(shown.iter().map(|part| format::duration(rounded(band.part(*part)))));
            row
        };
        Table { head, rows: bands.iter().map(row).collect() }
    }

    /// Lines of figures below the table: a name, and what it is.
    pub(super) fn lines(&self) -> Vec<(&'static str, String, Vec<String>)> {
        let mut lines = Vec::new();
        if let Some(AttributionReport { counts, .. }) = &self.attribution {
            let share = if counts.expected > 0 { counts.joined as f64 / counts.expected as f64 } else { 0.0 };
            let of = format!("{} of {} requests", counts.joined, counts.expected);
            lines.push(("joined", format::percent(share), vec![of]));
        }
        if let Some(receiver) = &self.receiver {
            let mut more = vec![format!("{} foreign", receiver.foreign)];
            for (count, what) in
                [(receiver.forwarded, "forwarded"), (receiver.lost, "lost"), (receiver.rejected, "rejected")]
            {
                if count > 0 {
                    more.push(format!("{count} {what}"));
                }
            }
            lines.push(("receiver", format!("{} spans", receiver.spans), more));
        }
        lines.extend(self.timelines.iter().flat_map(TimelinesReport::lines));
        lines
    }

    /// The keys below `pacecar`, each where there is something to say.
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let mut values = Vec::new();
        if let Some(receiver) = &self.receiver {
            let ReceiverFigures { spans, foreign, forwarded, lost, rejected } = receiver;
            let value = json!({
                "spans": spans, "foreign": foreign, "forwarded": forwarded, "lost": lost, "rejected": rejected,
            });
            values.push(("receiver", value));
        }
        if let Some(AttributionReport { counts, bands, .. }) = &self.attribution {
            let bands: Vec<_> = bands.iter().map(band_value).collect();
            let mut value = json!({ "joined": counts.joined, "expected": counts.expected, "bands": bands });
            if let (Some(map), Some(sentence)) = (value.as_object_mut(), self.sentence()) {
                map.insert("sentence".to_owned(), sentence.into());
            }
            if let (Some(map), false) = (value.as_object_mut(), self.notes.is_empty()) {
                map.insert("notes".to_owned(), self.notes.clone().into());
            }
            values.push(("attribution", value));
        }
        values.extend(self.timelines.iter().flat_map(TimelinesReport::values));
        values
    }
}

fn band_value(band: &Band) -> Value {
    let parts: Map<_, _> = Part::ALL.iter().map(|part| (part.as_str().to_owned(), json!(band.part(*part)))).collect();
    let exemplars: Vec<_> = band.exemplars.iter().map(ToString::to_string).collect();
    json!({
        "band": band.band.as_str(),
        "step": band.step,
        "total_ms": band.total_ms,
        "parts_ms": parts,
        "exemplars": exemplars,
    })
}

/// What a request does while it waits for a part.
const fn waiting(part: Part) -> &'static str {
    match part {
        Part::Network => "were spent on the network",
        Part::ServerQueue => "were waiting at the server before the handler began",
        Part::PoolWait => "were waiting for a pool connection",
        Part::Connect => "were waiting for a new connection to the database",
        Part::Db => "were waiting for the database",
        Part::Upstream => "were waiting for an upstream",
        Part::App => "were the API's own work",
        Part::Unexplained => "are not explained by any span",
    }
}

/// Milliseconds as people say them: whole, or with a digit where they are few.
fn whole(ms: f64) -> String {
    format::trimmed(ms, if ms < 10.0 { 1 } else { 0 })
}

/// A table needs no more than a hundredth of a millisecond.
fn rounded(ms: f64) -> f64 {
    (ms * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::correlate::JoinCounts;
    use crate::semconv::{RunId, TraceId};

    fn band(step: &str, band: BandName, pool_wait: f64, db: f64) -> Band {
        let mut parts_ms = [0.0; Part::ALL.len()];
        (parts_ms[Part::PoolWait as usize], parts_ms[Part::Db as usize]) = (pool_wait, db);
        let exemplars = vec![TraceId::of_run(RunId::new(1), 2)];
        Band { band, step: step.into(), total_ms: pool_wait + db, parts_ms, exemplars }
    }

    fn report() -> CorrelationReport {
        let counts = JoinCounts { expected: 10, joined: 9, ..JoinCounts::default() };
        let bands = vec![
            band("login", BandName::P95, 0.0, 20.0),
            band("agent", BandName::P95, 148.25, 54.5),
            band("agent", BandName::P99, 300.0, 54.6),
        ];
        CorrelationReport {
            attribution: Some(AttributionReport { counts, bands, ..AttributionReport::default() }),
            receiver: None,
            timelines: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_first_sentence_is_of_the_slowest_step_at_p95() {
        let told = report().sentence();
        assert_eq!(told.as_deref(), Some("at p95, 148 of 203 ms of agent were waiting for a pool connection"));
        assert_eq!(CorrelationReport::default().sentence(), None);
        assert!(CorrelationReport::default().is_empty());
    }

    #[test]
    fn only_parts_that_any_band_has_are_columns() {
        let table = report().table();
        assert_eq!(table.head, ["step", "band", "total", "pool_wait", "db"]);
        assert_eq!(table.rows[1], ["agent", "p95", "202.75ms", "148.25ms", "54.5ms"]);
    }

    #[test]
    fn the_json_has_all_eight_parts_and_nothing_that_nobody_measured() {
        let values = report().values();
        let [("attribution", value)] = values.as_slice() else { panic!("{values:?}") };
        let parts = value["bands"][1]["parts_ms"].as_object().unwrap();
        assert_eq!(parts.keys().collect::<Vec<_>>(), Part::ALL.map(Part::as_str).iter().collect::<Vec<_>>());
        assert_eq!((value["joined"].as_u64(), value["bands"][1]["step"].as_str()), (Some(9), Some("agent")));
        assert_eq!(value["bands"][0]["exemplars"][0], "00000000000000010000000000000002");
        assert!(value.get("notes").is_none());
    }
}
