//! What is kept of an answer, by name.

use super::answer::Answer;
use super::names::BUILT_IN;
use super::query::{Found, Queries};
use super::site::Site;
use crate::measure::CheckId;
use crate::plan::{self, CaptureFrom};
use http::HeaderName;
use http::header::SET_COOKIE;
use regex::bytes::Regex;
use serde_json::Value;

/// Something that is kept of an answer.
#[derive(Debug)]
pub(crate) struct Capture {
    /// Its name.
    pub(crate) name: String,
    /// Where it is kept.
    pub(crate) slot: usize,
    from: From,
    /// The check that fails where it is not there.
    pub(crate) check: Option<CheckId>,
}

#[derive(Debug)]
enum From {
    Query(usize),
    Header(HeaderName),
    Cookie(String),
    Regex(Regex),
}

// === impl Capture ===

impl Capture {
    /// Compiles a capture. Its JSONPath joins the step's queries, its name the names known from here on.
    pub(crate) fn compile(document: &plan::Capture, queries: &mut Queries, site: &mut Site<'_, '_>) -> Option<Self> {
        let name = &document.name;
        if BUILT_IN.contains(&name.as_str()) {
            let message = format!("`{}` is a name of pacecar's own", name.value);
            site.error(name.span, message, Some("capture it under another name"));
            return None;
        }
        if super::expression::is_word(name) {
            let message = format!("`{}` is a word of the template language", name.value);
            site.error(name.span, message, Some("capture it under another name"));
            return None;
        }
        let from = match &document.from {
            CaptureFrom::Json(path) => From::Query(queries.add(path, site)?),
            CaptureFrom::Header(header) => match HeaderName::from_bytes(header.as_bytes()) {
                Ok(header) => From::Header(header),
                Err(_) => {
                    site.error(header.span, format!("`{}` cannot be the name of a header", header.value), None);
                    return None;
                }
            },
            CaptureFrom::Cookie(cookie) => From::Cookie(cookie.value.clone()),
            CaptureFrom::Regex(regex) => match Regex::new(regex) {
                Ok(regex) => From::Regex(regex),
                Err(_) => {
                    // The plan's reader has said so.
                    site.problems.failed();
                    return None;
                }
            },
        };
        let slot = site.names.slots.iter().position(|slot| *slot == name.value)?;
        site.names.captured.insert(slot);
        let check = site.check(name);
        Some(Self { name: name.value.clone(), slot, from, check })
    }

    /// Whether it looks into the text of the answer itself.
    pub(crate) const fn needs_text(&self) -> bool {
        matches!(self.from, From::Regex(_))
    }

    /// Its value, where the answer has it.
    pub(crate) fn take(&self, answer: &Answer, found: &[Option<Found>]) -> Option<Value> {
        match &self.from {
            From::Query(at) => found.get(*at)?.clone().map(Found::into_value),
            From::Header(name) => answer.headers.get(name).map(|value| text(value.as_bytes())),
            From::Cookie(name) => {
                let mut set = answer.headers.get_all(SET_COOKIE).iter();
                set.find_map(|value| cookie(value.as_bytes(), name)).map(text)
            }
            From::Regex(regex) => {
                let groups = regex.captures(answer.text()?)?;
                // A group that took no part in the match has no value.
                let group = if groups.len() > 1 { groups.get(1) } else { groups.get(0) };
                group.map(|group| text(group.as_bytes()))
            }
        }
    }
}

fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

/// The value of a `set-cookie`, where it sets the cookie `name`.
fn cookie<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let pair = header.split(|byte| *byte == b';').next()?;
    let at = pair.iter().position(|byte| *byte == b'=')?;
    (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_cookie_is_taken_by_its_name() {
        assert_eq!(cookie(b"sid=a=b; Path=/; HttpOnly", "sid"), Some(&b"a=b"[..]));
        assert_eq!(cookie(b"sid2=x", "sid"), None);
        assert_eq!(cookie(b"sid=", "sid"), Some(&b""[..]));
        assert_eq!(cookie(b"nonsense", "nonsense"), None);
    }
}
