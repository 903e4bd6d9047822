//! A submetric's `{tag:value,…}`: read as k6 reads it, and split into what is known when a plan
//! is compiled and what only a sample knows.

use super::layout::{ScenarioDef, SiteDef};
use super::metric::{FAILURES, Scope};
use super::outcome::{Proto, TlsVersion};
use super::recorder::RequestSample;
use thiserror::Error;

/// Tags and the values that they must have. Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Tag and value.
    pub tags: Vec<(String, String)>,
}

/// Why a text is no metric name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SelectorError {
    /// One brace without the other.
    #[error("metric {0:?} has an unmatched curly brace")]
    Unmatched(String),
    /// Something behind the closing brace.
    #[error("metric {0:?} lacks a closing curly brace in its last position")]
    Trailing(String),
    /// A part that is not `tag:value`.
    #[error("tag expression {0:?} is malformed")]
    Tag(String),
}

/// What only a sample knows: the conditions on its dynamic tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dynamic {
    pub(crate) expected: Option<bool>,
    status: Option<u16>,
    /// Which failures, as a bit set over [`FAILURES`].
    failures: Option<u16>,
    /// The status whose `error_code` is asked for.
    error_status: Option<u16>,
    tenant: Option<u32>,
    proto: Option<Proto>,
    tls: Option<TlsVersion>,
}

/// Whether a condition can be met.
pub(crate) enum Condition {
    /// By every sample of the place.
    Always,
    /// By none.
    Never,
    /// By some: the place's samples must be looked at.
    Sample,
}

// === impl Selector ===

impl Selector {
    /// Splits `metric` or `metric{tag:value,…}`.
    ///
    /// # Errors
    /// Where k6 refuses it: unmatched braces, an empty tag or value.
    pub fn parse_metric(text: &str) -> Result<(&str, Self), SelectorError> {
        let (open, close) = (text.find('{'), text.rfind('}'));
        let (open, close) = match (open, close) {
            (None, None) => return Ok((text.trim(), Self::default())),
            (Some(open), Some(close)) if open < close => (open, close),
            _ => return Err(SelectorError::Unmatched(text.into())),
        };
        if close + 1 != text.trim_end().len() {
            return Err(SelectorError::Trailing(text.into()));
        }
        let tags = text[open + 1..close].split(',').map(|part| {
            let clean = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
            match part.split_once(':') {
                Some((tag, value)) if !value.is_empty() && !clean(tag).is_empty() => Ok((clean(tag), clean(value))),
                _ => Err(SelectorError::Tag(part.into())),
            }
        });
        Ok((text[..open].trim(), Self { tags: tags.collect::<Result<_, _>>()? }))
    }

    /// The conditions on dynamic tags. None where no sample of the scope can meet them.
    pub(crate) fn dynamic(&self, scope: Scope) -> Option<Dynamic> {
        let mut dynamic = Dynamic::default();
        if scope != Scope::Request {
            return Some(dynamic);
        }
        for (tag, value) in &self.tags {
            match tag.as_str() {
                "expected_response" => dynamic.expected = Some(value.parse().ok()?),
                "status" => dynamic.status = Some(value.parse().ok()?),
                "tenant" => dynamic.tenant = Some(value.parse().ok()?),
                "proto" => {
                    let known = [Proto::Http10, Proto::Http11, Proto::Http2];
                    dynamic.proto = Some(known.into_iter().find(|proto| proto.as_str() == value)?);
                }
                "tls_version" => {
                    let known = [TlsVersion::V12, TlsVersion::V13];
                    dynamic.tls = Some(known.into_iter().find(|tls| tls.as_str() == value)?);
                }
                "error" => dynamic.add_failures(mask(|kind| kind.as_str() == value))?,
                "error_code" => {
                    let code: u16 = value.parse().ok()?;
                    let failures = mask(|kind| kind.error_code() == code);
                    match (failures, code) {
                        (0, 1400..=1599) => dynamic.error_status = Some(code - 1000),
                        (0, _) => return None,
                        _ => dynamic.add_failures(failures)?,
                    }
                }
                _ => {}
            }
        }
        Some(dynamic)
    }

    /// Whether samples of a scope carry this tag at all, so that a wrong name can be told from an empty metric.
    pub(crate) fn known_tag(scope: Scope, tag: &str) -> bool {
        const REQUEST: [&str; 13] = [
            "scenario",
            "group",
            "step",
            "method",
            "url",
            "name",
            "expected_response",
            "status",
            "tenant",
            "proto",
            "tls_version",
            "error",
            "error_code",
        ];
        match scope {
            Scope::Request => REQUEST.contains(&tag),
            Scope::Group => ["scenario", "group", "step"].contains(&tag),
            Scope::Custom => ["scenario", "step"].contains(&tag),
            Scope::Check => ["scenario", "group", "step", "check"].contains(&tag),
            Scope::Scenario => tag == "scenario",
            Scope::Run | Scope::Target => false,
        }
    }

    /// Whether a place (a site, a scenario, a check, or the run) can meet the tags that it fixes.
    pub(crate) fn meets(&self, scope: Scope, run: &[(String, String)], place: &Place<'_>) -> bool {
        self.tags.iter().all(|(tag, value)| match place.condition(scope, run, tag, value) {
            Condition::Always | Condition::Sample => true,
            Condition::Never => false,
        })
    }
}

/// What a sample's fixed tags come from.
pub(crate) struct Place<'a> {
    pub(crate) scenario: Option<&'a ScenarioDef>,
    pub(crate) site: Option<&'a SiteDef>,
    pub(crate) check: Option<&'a str>,
}

// === impl Place ===

impl Place<'_> {
    fn condition(&self, scope: Scope, run: &[(String, String)], tag: &str, value: &str) -> Condition {
        if !Selector::known_tag(scope, tag) {
            let own = self.scenario.map_or(&[][..], |scenario| &scenario.tags);
            let found = own.iter().chain(run).find(|(name, _)| name == tag);
            return if found.is_some_and(|(_, has)| has == value) { Condition::Always } else { Condition::Never };
        }
        let site = self.site.map(|site| &site.tags);
        let fixed = match tag {
            "scenario" => self.scenario.map(|scenario| scenario.name.as_str()),
            "step" => site.map(|tags| tags.step.as_str()),
            "method" => site.map(|tags| tags.method.as_str()),
            "url" | "name" => site.map(|tags| tags.url.as_str()),
            "check" => self.check,
            "group" => {
                // What a person from k6 asks of setup, whose requests carry their step's group too.
                let whole = self.scenario.is_some_and(|scenario| value.strip_prefix("::") == Some(&scenario.name));
                let setup = self.scenario.is_some_and(|scenario| ["setup", "teardown"].contains(&&*scenario.name));
                let step = site.is_some_and(|tags| value.strip_prefix("::") == Some(&tags.step));
                return if step || (whole && setup) { Condition::Always } else { Condition::Never };
            }
            _ => return Condition::Sample,
        };
        if fixed == Some(value) { Condition::Always } else { Condition::Never }
    }
}

// === impl Dynamic ===

impl Dynamic {
    /// Whether anything but `expected_response` is asked: that one is a base cut.
    pub(crate) fn needs_sample(&self) -> bool {
        *self != Self { expected: self.expected, ..Self::default() }
    }

    /// Whether work that never came to an answer belongs here: it has no dynamic tag, but what only asks for
    /// answers that went well must not look better because work was dropped.
    pub(crate) fn takes_censored(&self) -> bool {
        !self.needs_sample() && self.expected != Some(false)
    }

    #[inline]
    pub(crate) fn meets(&self, sample: &RequestSample) -> bool {
        let failures = sample.failure.map_or(0, |kind| 1 << super::metric::failure_index(kind));
        self.expected.is_none_or(|expected| expected == sample.expected)
            && self.status.is_none_or(|status| status == sample.status)
            && self.failures.is_none_or(|wanted| wanted & failures != 0)
            && self.error_status.is_none_or(|status| status == sample.status && sample.failure.is_none())
            && self.tenant.is_none_or(|tenant| tenant == sample.tenant)
            && self.proto.is_none_or(|proto| Some(proto) == sample.proto)
            && self.tls.is_none_or(|tls| Some(tls) == sample.tls)
    }

    fn add_failures(&mut self, failures: u16) -> Option<()> {
        let both = self.failures.map_or(failures, |had| had & failures);
        self.failures = Some(both);
        (both != 0).then_some(())
    }
}

/// The failures that `wanted` picks, as a bit set.
fn mask(wanted: impl Fn(super::FailureKind) -> bool) -> u16 {
    FAILURES.iter().enumerate().filter(|(_, kind)| wanted(**kind)).fold(0, |mask, (i, _)| mask | 1 << i)
}
