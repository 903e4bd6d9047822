//! From the section `cleanup.redis` to what will be deleted there, with every problem at once.

use super::pattern::Pattern;
use crate::plan::{CleanupRedis, Diagnostics, Span, Text};
use crate::semconv::RunId;
use redis::{Client, ConnectionAddr};
use std::fmt;
use std::num::NonZeroU32;

/// What cleanup will do in Redis. Its `Debug` shows no secret.
#[derive(Clone)]
pub struct RedisPlan {
    pub(super) client: Client,
    /// At least one.
    pub(super) patterns: Vec<Pattern>,
    pub(super) max_keys: u64,
    pub(super) max_keys_per_second: NonZeroU32,
}

/// Compiles the section for the run `run`. None where it is off, or wrong.
pub fn compile(section: &CleanupRedis, run: RunId, diagnostics: &mut Diagnostics) -> Option<RedisPlan> {
    let patterns = compile_patterns(section, run, diagnostics);
    let url = section.url.trim();
    if url.is_empty() {
        // Off: the plan's reader has said so.
        return None;
    }
    let client = open(url, section.url.span, diagnostics);
    let max_keys_per_second = NonZeroU32::new(section.max_keys_per_second.value)?;
    Some(RedisPlan { client: client?, patterns: patterns?, max_keys: section.max_keys.value, max_keys_per_second })
}

// === impl RedisPlan ===

impl RedisPlan {
    /// Only the patterns with `{{ run }}`: what `--run ID` takes. None where there is none.
    #[must_use]
    pub fn only_of_its_run(mut self) -> Option<Self> {
        self.patterns.retain(Pattern::is_per_run);
        (!self.patterns.is_empty()).then_some(self)
    }

    /// Only the patterns whose number `takes` takes. None where there is none.
    #[must_use]
    pub(in crate::cleanup) fn only(mut self, takes: impl Fn(usize) -> bool) -> Option<Self> {
        let mut number = 0..;
        self.patterns.retain(|_| number.next().is_some_and(&takes));
        (!self.patterns.is_empty()).then_some(self)
    }

    /// What each pattern is called in a lease where it is shared by all runs: where it is, and what it matches.
    pub(in crate::cleanup) fn shared(&self) -> Vec<Option<String>> {
        let info = self.client.get_connection_info();
        let place = format!("{}/{}", info.addr(), info.redis_settings().db());
        let name = |pattern: &Pattern| format!("redis {place} {pattern}");
        self.patterns.iter().map(|pattern| (!pattern.is_per_run()).then(|| name(pattern))).collect()
    }

    /// What a pattern is called where it is told.
    pub(in crate::cleanup) fn label(&self, number: usize) -> String {
        self.patterns.get(number).map(|pattern| format!("redis:{pattern}")).unwrap_or_default()
    }
}

impl fmt::Debug for RedisPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPlan").field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

// === helpers ===

/// Reads the address. What is wrong with it is not repeated: it may be a secret.
fn open(url: &str, span: Span, diagnostics: &mut Diagnostics) -> Option<Client> {
    let hint = "redis://USER:PASSWORD@HOST:PORT/DATABASE, a special character in it percent-encoded; rediss:// is TLS";
    let Ok(client) = Client::open(url) else {
        diagnostics.error(span, "the `url` of cleanup.redis is no address of Redis").hint(hint);
        return None;
    };
    if let ConnectionAddr::TcpTls { insecure: true, .. } = client.get_connection_info().addr() {
        diagnostics.not_yet(span, "`#insecure` in the `url` of cleanup.redis");
        return None;
    }
    if client.get_connection_info().redis_settings().db() < 0 {
        diagnostics.error(span, "the database in the `url` of cleanup.redis is a number from 0").hint(hint);
        return None;
    }
    Some(client)
}

/// Compiles every pattern, so that every problem is told; none where one is wrong, or there is none.
fn compile_patterns(section: &CleanupRedis, run: RunId, diagnostics: &mut Diagnostics) -> Option<Vec<Pattern>> {
    if section.patterns.is_empty() {
        if section.url.trim().is_empty() {
            return None;
        }
        let told = diagnostics.error(section.span, "cleanup.redis names no `match`, so nothing says what is test data");
        told.hint("match: [\"session:test-*\"]");
        return None;
    }
    let compiled: Vec<_> = section.patterns.iter().map(|text| compile_pattern(text, run, diagnostics)).collect();
    compiled.into_iter().collect()
}

fn compile_pattern(text: &Text, run: RunId, diagnostics: &mut Diagnostics) -> Option<Pattern> {
    match Pattern::parse(text, run) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let told =
                diagnostics.error(text.span, format!("`match` of cleanup.redis cannot be `{}`: {error}", **text));
            told.hint("begin with what only test data begins with, such as \"session:test-*\"");
            None
        }
    }
}
