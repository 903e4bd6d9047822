//! Line protocol: `measurement,tag=value field=value time`.

use super::super::tags::{Class, TagSets, Tagging, Tags};
use super::config::{FieldKind, InfluxDb};
use crate::measure::{MetricId, WallClock};
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use tokio::time::Instant;

/// Makes lines.
pub(super) struct Lines {
    clock: WallClock,
    metrics: Vec<String>,
    tags: TagSets<Written>,
    /// Nanoseconds of one unit of time.
    unit: u64,
    out: Vec<u8>,
    count: u64,
    /// Two points of one series at one instant would be one: the next free instant after each that is taken.
    taken: HashMap<(MetricId, Class, u64), u64>,
}

/// Tags as they stand in lines.
struct Written {
    /// `,tag=value…` and a blank.
    tags: String,
    /// `field=value,…`
    fields: String,
}

// === impl Lines ===

impl Lines {
    pub(super) fn new(tagging: &Arc<Tagging>, config: &InfluxDb, clock: WallClock) -> Self {
        let metrics = tagging.layout().metrics().map(|(_, metric)| escaped(&metric.name, ", "));
        let fields = config.fields.clone();
        Self {
            clock,
            metrics: metrics.collect(),
            tags: TagSets::new(Arc::clone(tagging), move |tags| Written::of(tags, &fields)),
            unit: config.unit,
            out: Vec::new(),
            count: 0,
            taken: HashMap::new(),
        }
    }

    /// Adds the line of a point.
    pub(super) fn point(&mut self, metric: MetricId, class: Class, at: Instant, value: f64) {
        let Some(measurement) = self.metrics.get(usize::from(metric.0)) else { return };
        let nanos = u64::try_from(self.clock.unix(at).as_nanos()).unwrap_or(u64::MAX);
        let wanted = nanos / self.unit;
        let mut time = wanted;
        while let Some(next) = self.taken.get(&(metric, class, time)) {
            time = *next;
        }
        self.taken.insert((metric, class, time), time + 1);
        if time != wanted {
            self.taken.insert((metric, class, wanted), time + 1);
        }
        let written = self.tags.of(class);
        self.out.extend_from_slice(measurement.as_bytes());
        self.out.extend_from_slice(written.tags.as_bytes());
        self.out.extend_from_slice(written.fields.as_bytes());
        // Writing into memory does not fail.
        let _ = writeln!(self.out, "value={value} {time}");
        self.count += 1;
    }

    /// Lines that were made since the last [`Lines::take`].
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Takes them: text, and how many.
    pub(super) fn take(&mut self) -> (Bytes, u64) {
        (std::mem::take(&mut self.out).into(), std::mem::take(&mut self.count))
    }

    /// Forgets which instants are taken: what comes now is later.
    pub(super) fn forget(&mut self) {
        self.taken.clear();
    }
}

// === impl Written ===

impl Written {
    fn of(tags: &Tags, fields: &[(String, FieldKind)]) -> Self {
        let mut written = Self { tags: String::new(), fields: String::new() };
        for (name, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
            match fields.iter().find(|(field, _)| field == name) {
                Some((_, kind)) => {
                    let _ = write!(written.fields, "{}={},", escaped(name, ",= "), kind.written(value));
                }
                None => {
                    let _ = write!(written.tags, ",{}={}", escaped(name, ",= "), escaped(value, ",= "));
                }
            }
        }
        written.tags.push(' ');
        written
    }
}

// === impl FieldKind ===

impl FieldKind {
    /// A value as a field; what cannot be read as its kind is a text, as in k6.
    fn written(self, value: &str) -> String {
        let read = match self {
            Self::Text => None,
            Self::Integer => value.parse::<i64>().ok().map(|number| format!("{number}i")),
            Self::Float => {
                value.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number.to_string())
            }
            Self::Truth => super::super::settings::truth(value).map(|truth| truth.to_string()),
        };
        read.unwrap_or_else(|| format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"")))
    }
}

/// A name or a tag's value: what separates is escaped, a line ends nowhere but at its end, and no backslash stands
/// last, where it would escape what follows.
fn escaped(text: &str, separators: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.trim_end_matches('\\').chars() {
        if separators.contains(c) {
            out.push('\\');
        }
        out.push(if matches!(c, '\n' | '\r') { '_' } else { c });
    }
    if out.is_empty() { "_".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::measure::{Contains, LayoutBuilder, Place, SiteTags};
    use crate::plan::MetricKind;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn lines_are_k6s_and_escaped() {
        let tags =
            [("a b", "c,d=e"), ("empty", ""), ("slash", "x\\"), ("lines", "a\nb"), ("vu", "7"), ("url", "u\"\\")];
        let mut layout = LayoutBuilder::new(tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let scenario = layout.scenario("main", &[]);
        let site = layout.site(scenario, SiteTags::default(), 1.0);
        let cost = layout.metric("cost", MetricKind::Trend, Contains::Default).unwrap();
        let tagging = Arc::new(Tagging::new(layout.build(), 1));
        let config = InfluxDb::read("http://h/db?tagsAsFields=url&tagsAsFields=vu:int", &|_| None).unwrap();
        let now = Instant::now();
        let mut lines = Lines::new(&tagging, &config, WallClock::new(now, Duration::from_nanos(1_000)));
        let class = Class::of_mark(cost, Place::Site(site));
        for value in [0.25, 1.0, 3.0] {
            lines.point(cost, class, now, value);
        }
        lines.point(cost, class, now + Duration::from_nanos(1), 4.0);
        let (text, count) = lines.take();
        let head = r#"cost,a\ b=c\,d\=e,lines=a_b,scenario=main,slash=x url="u\"\\",vu=7i,value="#;
        let wanted = ["0.25 1000", "1 1001", "3 1002", "4 1003"].map(|end| format!("{head}{end}\n")).concat();
        assert_eq!((std::str::from_utf8(&text).unwrap(), count), (wanted.as_str(), 4));
    }
}
