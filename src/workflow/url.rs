//! The URL of a step: text with what is filled in percent-encoded.

use super::escape::Escape;
use super::expression::Expression;
use super::site::Site;
use super::template::{Part, Template};
use super::value::Got;
use super::variable::{Context, Missing};
use crate::plan::{Span, Text};
use bytes::Bytes;
use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS};

/// What no URL may hold as it is; what a plan writes is otherwise left alone, `%` too.
const ILLEGAL: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// The URL of a step.
#[derive(Clone, Debug)]
pub(crate) enum Url {
    /// Known when the plan is compiled.
    Fixed(Uri),
    /// Exactly one expression: an absolute URL as it is, a path below the base, or one segment of it.
    Whole {
        /// What it is.
        expression: Expression,
        /// What a path is appended to.
        base: Option<String>,
    },
    /// Put together from parts.
    Parts(Vec<UrlPart>),
}

/// A part of a URL.
#[derive(Clone, Debug)]
pub(crate) enum UrlPart {
    /// As it is.
    Text(String),
    /// Filled in, percent-encoded.
    Encoded(Expression),
    /// Filled in as host or port.
    Authority(Expression),
}

// === impl Url ===

impl Url {
    /// Compiles a step's URL below `base`.
    pub(crate) fn compile(url: &Text, base: Option<&str>, site: &mut Site<'_, '_>) -> Self {
        let base =
            base.map(|base| percent_encoding::utf8_percent_encode(base.trim_end_matches('/'), ILLEGAL).to_string());
        let base = base.as_deref();
        let mut parts = Template::unfolded(&url.value, url.span, site).parts;
        if let [Part::Value(expression)] = parts.as_slice() {
            match expression.constant() {
                None => return Self::Whole { expression: expression.clone(), base: base.map(str::to_owned) },
                Some(value) => {
                    let text = Got::Json(value).text().into_owned();
                    if is_absolute(&text) || text.starts_with('/') {
                        parts = vec![Part::Text(text)];
                    }
                }
            }
        }
        without_fragment(&mut parts);
        absolute_front(&mut parts);
        let absolute = matches!(parts.first(), Some(Part::Text(text)) if is_absolute(text));
        let mut all = Vec::new();
        if !absolute {
            let Some(base) = base else {
                let hint = "set `base_url`, or write the whole URL";
                site.error(url.span, "a path, and no `base_url` to append it to", Some(hint));
                return Self::nowhere();
            };
            let slash = !matches!(parts.first(), Some(Part::Text(text)) if text.starts_with(['/', '?']));
            // Without a path a query needs its slash all the same.
            let bare = base.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
            let query = matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('?'));
            all.push(UrlPart::Text(format!("{base}{}", if slash || (query && bare) { "/" } else { "" })));
        }
        encode(parts, absolute, &mut all);
        Self::finish(all, absolute, url.span, site)
    }

    /// Fills it in.
    pub(crate) fn fill(&self, context: Context<'_>) -> Result<Uri, Missing> {
        match self {
            Self::Fixed(uri) => Ok(uri.clone()),
            Self::Whole { expression, base } => {
                let got = expression.get(context)?;
                whole(&got.text(), base.as_deref()).ok_or(Missing(expression.absent()))
            }
            Self::Parts(parts) => {
                let mut out = Vec::with_capacity(128);
                for part in parts {
                    match part {
                        UrlPart::Text(text) => out.extend_from_slice(text.as_bytes()),
                        UrlPart::Encoded(expression) => expression.get(context)?.write_text(Escape::Url, &mut out),
                        UrlPart::Authority(expression) => {
                            let got = expression.get(context)?;
                            let text = got.text();
                            if text.is_empty() || text.contains(['/', '?', '#', '@', '\\']) {
                                return Err(Missing(expression.absent()));
                            }
                            out.extend_from_slice(text.as_bytes());
                        }
                    }
                }
                Uri::from_maybe_shared(Bytes::from(out)).map_err(|_| Missing(self.absent()))
            }
        }
    }

    fn finish(parts: Vec<UrlPart>, absolute: bool, span: Span, site: &mut Site<'_, '_>) -> Self {
        let [UrlPart::Text(text)] = parts.as_slice() else {
            return Self::Parts(parts);
        };
        match text.parse::<Uri>() {
            Ok(uri) if uri.host().is_none_or(str::is_empty) => {
                site.error(span, "a URL without a host", None);
                Self::nowhere()
            }
            // It would stand in tags and logs.
            Ok(uri) if absolute && uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
                site.error(span, "a user in a URL", Some("write `auth: { basic: { user: …, password: … } }`"));
                Self::nowhere()
            }
            Ok(uri) => match ::url::Url::parse(text) {
                Ok(_) => Self::Fixed(uri),
                // A port past 65535, a host that cannot be one.
                Err(error) => {
                    site.error(span, format!("not a URL: {error}"), None);
                    Self::nowhere()
                }
            },
            Err(error) => {
                site.error(span, format!("not a URL: {error}"), None);
                Self::nowhere()
            }
        }
    }

    /// What stands in for a URL that is none; the error is recorded, so it is never asked.
    fn nowhere() -> Self {
        Self::Fixed(Uri::default())
    }

    fn absent(&self) -> Option<crate::measure::CheckId> {
        match self {
            Self::Fixed(_) => None,
            Self::Whole { expression, .. } => expression.absent(),
            Self::Parts(parts) => parts.iter().find_map(|part| match part {
                UrlPart::Authority(expression) => expression.absent(),
                UrlPart::Text(_) | UrlPart::Encoded(_) => None,
            }),
        }
    }
}

/// The URL that one value alone gives.
fn whole(text: &str, base: Option<&str>) -> Option<Uri> {
    if is_absolute(text) {
        let text = text.split('#').next().unwrap_or_default();
        return text.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    }
    let mut out = base?.as_bytes().to_vec();
    if text.starts_with('/') {
        let text = text.split('#').next().unwrap_or_default();
        for piece in percent_encoding::utf8_percent_encode(text, ILLEGAL) {
            out.extend_from_slice(piece.as_bytes());
        }
    } else {
        out.push(b'/');
        Escape::Url.push(text, &mut out);
    }
    Uri::from_maybe_shared(Bytes::from(out)).ok()
}

fn is_absolute(text: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
}

/// Cuts off a fragment: it is never sent.
fn without_fragment(parts: &mut Vec<Part>) {
    let found = parts.iter().enumerate().find_map(|(at, part)| match part {
        Part::Text(text) => text.find('#').map(|end| (at, end)),
        Part::Value(_) => None,
    });
    if let Some((at, end)) = found {
        parts.truncate(at + 1);
        if let Some(Part::Text(text)) = parts.last_mut() {
            text.truncate(end);
        }
    }
}

/// An absolute URL at the front that the plan alone gives (`{{ env.API }}/x`) is meant as one.
fn absolute_front(parts: &mut [Part]) {
    let Some(Part::Value(expression)) = parts.first() else { return };
    let Some(value) = expression.constant() else { return };
    let text = Got::Json(value).text().into_owned();
    if is_absolute(&text) {
        parts[0] = Part::Text(text.trim_end_matches('/').to_owned());
    }
}

/// Appends parts, all that the plan alone gives as one text.
fn encode(parts: Vec<Part>, absolute: bool, all: &mut Vec<UrlPart>) {
    let mut before = String::new();
    for part in parts {
        // Host and port end at the first slash behind `://`.
        let in_authority = absolute && before.split_once("://").is_some_and(|(_, after)| !after.contains(['/', '?']));
        let text = match part {
            Part::Text(text) => percent_encoding::utf8_percent_encode(&text, ILLEGAL).to_string(),
            Part::Value(expression) => match expression.constant().map(|value| Got::Json(value).text().into_owned()) {
                Some(text) if in_authority => text,
                Some(text) => {
                    let mut out = Vec::new();
                    Escape::Url.push(&text, &mut out);
                    String::from_utf8(out).unwrap_or_default()
                }
                None if in_authority => {
                    all.push(UrlPart::Authority(expression));
                    continue;
                }
                None => {
                    all.push(UrlPart::Encoded(expression));
                    continue;
                }
            },
        };
        before.push_str(&text);
        match all.last_mut() {
            Some(UrlPart::Text(last)) => last.push_str(&text),
            _ => all.push(UrlPart::Text(text)),
        }
    }
}
