//! What counts as a run's data, as its lease keeps it: enough for another to finish the work.
//!
//! The section `cleanup.postgres` as it was read, in JSON, and the patterns of `cleanup.redis`. Whoever finishes a killed run
//! compiles and judges it anew, by the same path as a plan: what stands in a table is no more
//! trusted than what stands in a file.

use crate::cleanup::compile::{CleanupPlan, compile};
use crate::plan::{Cleanup, CleanupPostgres, CleanupRedis, Diagnostics, Follow, Keep, Ledger, Root, Spanned, When};
use crate::semconv::RunId;
use serde_json::{Value, json};

/// The sections in JSON, without what says where the data is.
pub(in crate::cleanup) fn claim(section: &CleanupPostgres, keys: Option<&CleanupRedis>) -> Value {
    let roots: Vec<_> = section
        .roots
        .iter()
        .map(|root| {
            json!({
                "table": *root.table,
                "where": root.where_.as_ref().map(|text| text.value.as_str()),
                "max_share": *root.max_share,
                "age": root.age.as_ref().map(|text| text.value.as_str()),
            })
        })
        .collect();
    let keep: Vec<_> = section.keep.iter().map(|keep| json!({ "table": *keep.table, "where": *keep.where_ })).collect();
    let (follow, ledger) = (section.follow.value, section.ledger.value);
    let mut claim = json!({
        "roots": roots,
        "keep": keep,
        "keep_roots": section.keep_roots.value,
        "follow": match follow { Follow::None => "none", Follow::ForeignKeys => "foreign-keys" },
        "ledger": match ledger { Ledger::Off => "off", Ledger::Record => "record", Ledger::TwoKey => "two-key" },
    });
    if let Some(keys) = keys {
        claim["keys"] = keys.patterns.iter().map(|text| text.value.as_str()).collect();
    }
    claim
}

/// Whether a claim is about keys in Redis too.
pub(super) fn has_keys(claim: &Value) -> bool {
    claim["keys"].as_array().is_some_and(|patterns| !patterns.is_empty())
}

/// The plan of cleanup that a claim of the run `run` was, in the databases and at the pace of `now`.
/// None where the claim is not one.
pub(super) fn compile_claim(now: &CleanupPlan, claim: &Value, run: RunId) -> Option<CleanupPlan> {
    let section = read(now, claim)?;
    let mut diagnostics = Diagnostics::new("lease".to_owned());
    let compiled = compile(&section, run, &mut diagnostics)?;
    (!diagnostics.has_errors()).then(|| CleanupPlan { database: now.database.clone(), ..compiled })
}

// === helpers ===

fn read(now: &CleanupPlan, claim: &Value) -> Option<Cleanup> {
    let text = |value: &Value| value.as_str().map(|text| Spanned::nowhere(text.to_owned()));
    let root = |root: &Value| {
        Some(Root {
            table: text(&root["table"])?,
            where_: text(&root["where"]),
            max_share: Spanned::nowhere(root["max_share"].as_f64()?),
            age: text(&root["age"]),
        })
    };
    let keep = |keep: &Value| Some(Keep { table: text(&keep["table"])?, where_: text(&keep["where"])? });
    let follow = match claim["follow"].as_str()? {
        "none" => Follow::None,
        "foreign-keys" => Follow::ForeignKeys,
        _ => return None,
    };
    let ledger = match claim["ledger"].as_str()? {
        "off" => Ledger::Off,
        "record" => Ledger::Record,
        "two-key" => Ledger::TwoKey,
        _ => return None,
    };
    let mut postgres = now.section.clone();
    postgres.roots = claim["roots"].as_array()?.iter().map(root).collect::<Option<_>>()?;
    postgres.keep = claim["keep"].as_array()?.iter().map(keep).collect::<Option<_>>()?;
    postgres.keep_roots = Spanned::nowhere(claim["keep_roots"].as_bool()?);
    (postgres.follow, postgres.ledger) = (Spanned::nowhere(follow), Spanned::nowhere(ledger));
    let pattern = |pattern: &Value| text(pattern);
    let patterns = match &claim["keys"] {
        Value::Null => Vec::new(),
        patterns => patterns.as_array()?.iter().map(pattern).collect::<Option<_>>()?,
    };
    let redis = now.keys.as_ref().map(|keys| CleanupRedis { patterns, ..keys.section.clone() });
    Some(Cleanup {
        span: now.section.span,
        postgres: Some(postgres),
        redis,
        when: Spanned::nowhere(When::End),
        lease: Spanned::nowhere(now.lease),
        settle: Spanned::nowhere(now.settle),
        keep_for: Spanned::nowhere(std::time::Duration::ZERO),
    })
}
