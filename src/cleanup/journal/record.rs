//! One line of the journal, and what many of them come to.

use crate::measure::{Creation, CreationPhase, Fate};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A creation that is neither undone nor known to be nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it was written down; its URL is known where it could be filled in before or after the step was sent.
    pub creation: Creation,
    /// Whether the step's answer said that something was created.
    pub sure: bool,
}

/// The line of a creation.
pub(super) fn line_before(creation: &Creation) -> String {
    let Creation { id, phase, scenario, step, user, group, method, url } = creation;
    let line = json!({
        "id": id, "phase": phase.as_str(), "scenario": scenario, "step": step, "user": user,
        // A number above 2^53 is no safe JSON.
        "group": format!("{group:016x}"), "method": method, "url": url,
    });
    format!("{line}\n")
}

/// The line of a fate.
pub(super) fn line_after(id: u64, fate: &Fate) -> String {
    let line = match fate {
        Fate::Nothing => json!({ "id": id, "fate": "nothing" }),
        Fate::Created { url } => json!({ "id": id, "fate": "created", "url": url }),
        Fate::Undone => json!({ "id": id, "fate": "undone" }),
        Fate::Told => json!({ "id": id, "fate": "told" }),
    };
    format!("{line}\n")
}

/// What is still to be undone, by number, and how many lines could not be read.
///
/// A kill, or a full disk, may tear a line. A creation is sent only after its whole line was written, so a torn one
/// was never sent; a torn fate leaves its creation to be undone once more, which does no harm.
pub(super) fn read(text: &str) -> (BTreeMap<u64, Entry>, usize) {
    let (mut open, mut torn) = (BTreeMap::new(), 0);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let read = serde_json::from_str::<Value>(line).ok();
        if read.and_then(|value| apply(&value, &mut open)).is_none() {
            torn += 1;
        }
    }
    (open, torn)
}

fn apply(value: &Value, open: &mut BTreeMap<u64, Entry>) -> Option<()> {
    let id = value.get("id")?.as_u64()?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    match value.get("fate").map(Value::as_str) {
        None => {
            let creation = Creation {
                id,
                phase: CreationPhase::parse(&text("phase")?)?,
                scenario: text("scenario")?,
                step: text("step")?,
                user: u32::try_from(value.get("user")?.as_u64()?).ok()?,
                group: u64::from_str_radix(&text("group")?, 16).ok()?,
                method: text("method")?,
                url: text("url"),
            };
            open.insert(id, Entry { creation, sure: false });
        }
        Some(Some("created")) => {
            let url = text("url")?;
            if let Some(entry) = open.get_mut(&id) {
                entry.creation.url = Some(url);
                entry.sure = true;
            }
        }
        Some(Some("nothing" | "undone" | "told")) => {
            open.remove(&id);
        }
        Some(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn creation(id: u64) -> Creation {
        Creation {
            id,
            phase: CreationPhase::Iteration,
            scenario: "main".to_owned(),
            step: "agent \"x\"\n".to_owned(),
            user: 3,
            group: u64::MAX,
            method: "DELETE".to_owned(),
            url: None,
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_settled_is_gone() {
        let mut text: String = (1..=4).map(|id| line_before(&creation(id))).collect();
        text += &line_after(1, &Fate::Undone);
        text += &line_after(2, &Fate::Created { url: "http://h/2".to_owned() });
        text += &line_after(4, &Fate::Nothing);
        let (open, torn) = read(&text);
        assert_eq!((open.keys().copied().collect::<Vec<_>>(), torn), (vec![2, 3], 0));
        assert_eq!(open[&3], Entry { creation: creation(3), sure: false });
        assert_eq!(open[&2].creation.url.as_deref(), Some("http://h/2"));
        assert!(open[&2].sure);
    }

    #[test]
    fn a_journal_that_is_cut_anywhere_loses_nothing_but_its_last_line() {
        let text: String = (1..=3).map(|id| line_before(&creation(id))).collect();
        for cut in 0..text.len() {
            let whole = text[..cut].matches('\n').count();
            let (open, torn) = read(&text[..cut]);
            // A line that lacks nothing but its end is whole too.
            assert!(open.len() == whole || (open.len() == whole + 1 && torn == 0), "cut at {cut}");
            assert!(torn <= 1, "cut at {cut}");
        }
    }
}
