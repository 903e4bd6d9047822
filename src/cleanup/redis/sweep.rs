//! Looks through the keys, unlinks those that are test data, and looks again until none is found.
//!
//! Nothing is kept of the keys between two answers, so memory does not grow with their number: `deleted`
//! is what UNLINK says was there, and what is left is counted by a look of its own.

use super::compile::RedisPlan;
use super::error::RedisRefusal;
use super::pattern::Pattern;
use super::session::Session;
use crate::cleanup::outcome::{CleanupOutcome, Refusal, RefusalCause, TableOutcome};
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;
use tokio::time::Instant;

/// How often is looked again.
const ROUNDS: u32 = 5;
/// How long counting may take before the first request: a server with very many keys takes long.
const COUNTING: Duration = Duration::from_secs(60);
/// How long a sweep may take.
const SWEEPING: Duration = Duration::from_secs(600);
/// The most keys of one UNLINK.
const BATCH: usize = 500;

/// Proves before the first request that cleanup could work, and that it may delete what is there. Changes nothing.
///
/// # Errors
/// Where it may not, or cannot.
pub async fn preflight(plan: &RedisPlan) -> Result<(), Refusal> {
    judged(plan).await.map(|_| ()).map_err(refusal)
}

/// Says what a sweep would find. Changes nothing.
pub async fn dry_run(plan: &RedisPlan) -> CleanupOutcome {
    let mut outcome = CleanupOutcome { dry_run: true, ..CleanupOutcome::default() };
    match judged(plan).await {
        Ok(counts) => {
            outcome.remaining = counts.iter().sum();
            outcome.tables =
                plan.patterns.iter().zip(counts).map(|(pattern, found)| table(pattern, found, 0)).collect();
        }
        Err(error) => outcome.refused = Some(refusal(error)),
    }
    outcome
}

/// Deletes what the patterns match, until a look finds nothing. `max_keys` is not judged here: what a run itself added
/// is not to be held against it. `progress` hears how many keys are gone.
///
/// Dropping the future stops it between two commands; what is deleted stays deleted.
pub async fn sweep(plan: &RedisPlan, mut progress: impl FnMut(u64)) -> CleanupOutcome {
    let mut counts = vec![Count::default(); plan.patterns.len()];
    let swept = match tokio::time::timeout(SWEEPING, rounds(plan, &mut counts, &mut progress)).await {
        Ok(swept) => swept,
        Err(_) => Err(RedisRefusal::Timeout { operation: "delete all keys", limit: SWEEPING }),
    };
    CleanupOutcome {
        remaining: counts.iter().map(|count| count.left).sum(),
        tables: plan
            .patterns
            .iter()
            .zip(&counts)
            .map(|(pattern, count)| table(pattern, count.deleted + count.left, count.deleted))
            .collect(),
        refused: swept.err().map(refusal),
        ..CleanupOutcome::default()
    }
}

/// What is known of one pattern.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    deleted: u64,
    left: u64,
}

/// Counts distinct keys by their hashes: eight bytes a key, and no name is kept.
struct Distinct {
    hasher: RandomState,
    seen: HashSet<u64>,
}

async fn rounds(plan: &RedisPlan, counts: &mut [Count], progress: &mut impl FnMut(u64)) -> Result<(), RedisRefusal> {
    let mut session = Session::connect(plan).await?;
    let started = Instant::now();
    let mut sent = 0_u64;
    for _ in 0..ROUNDS {
        for (at, pattern) in plan.patterns.iter().enumerate() {
            let mut cursor = 0;
            loop {
                let (next, keys) = look(&mut session, pattern, cursor).await?;
                for batch in keys.chunks(BATCH) {
                    // Known to be there until Redis says otherwise: an answer that is lost leaves it counted.
                    counts[at].left += batch.len() as u64;
                    let gone = session.unlink(batch).await?;
                    counts[at].left = 0;
                    counts[at].deleted += gone;
                    sent += batch.len() as u64;
                    progress(counts.iter().map(|count| count.deleted).sum());
                    #[allow(clippy::cast_precision_loss, reason = "a fraction of a microsecond does not matter")]
                    let seconds = sent as f64 / f64::from(plan.max_keys_per_second.get());
                    let due = started + Duration::try_from_secs_f64(seconds).unwrap_or(SWEEPING);
                    tokio::time::sleep_until(due).await;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        let mut left = 0;
        for (at, pattern) in plan.patterns.iter().enumerate() {
            counts[at].left = count(&mut session, pattern, u64::MAX).await?;
            left += counts[at].left;
        }
        if left == 0 {
            return Ok(());
        }
    }
    Err(RedisRefusal::StillThere { rounds: ROUNDS })
}

/// Judges rights and extent: how many keys each pattern matches.
async fn judged(plan: &RedisPlan) -> Result<Vec<u64>, RedisRefusal> {
    let counting = async {
        let mut session = Session::connect(plan).await?;
        let mut counts = Vec::with_capacity(plan.patterns.len());
        for pattern in &plan.patterns {
            session.may_unlink(pattern).await?;
            let found = count(&mut session, pattern, plan.max_keys).await?;
            if found > plan.max_keys {
                let pattern = pattern.written().to_owned();
                return Err(RedisRefusal::MaxKeys { pattern, max_keys: plan.max_keys });
            }
            counts.push(found);
        }
        Ok(counts)
    };
    match tokio::time::timeout(COUNTING, counting).await {
        Ok(counted) => counted,
        Err(_) => Err(RedisRefusal::Timeout { operation: "look through all keys", limit: COUNTING }),
    }
}

/// Counts the keys that a pattern matches, each once, and stops just above `most`.
async fn count(session: &mut Session, pattern: &Pattern, most: u64) -> Result<u64, RedisRefusal> {
    let mut distinct = Distinct { hasher: RandomState::new(), seen: HashSet::new() };
    let mut cursor = 0;
    loop {
        let (next, keys) = look(session, pattern, cursor).await?;
        distinct.seen.extend(keys.iter().map(|key| distinct.hasher.hash_one(key)));
        cursor = next;
        if cursor == 0 || distinct.seen.len() as u64 > most {
            return Ok(distinct.seen.len() as u64);
        }
    }
}

/// The next keys of a pattern. One key that is named in full needs no look through all others.
async fn look(session: &mut Session, pattern: &Pattern, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), RedisRefusal> {
    if !pattern.is_exact() {
        return session.scan(pattern, cursor).await;
    }
    let there = session.exists(pattern.prefix()).await?;
    Ok((0, if there { vec![pattern.prefix().to_vec()] } else { Vec::new() }))
}

fn table(pattern: &Pattern, found: u64, deleted: u64) -> TableOutcome {
    let remaining = found.saturating_sub(deleted);
    TableOutcome { name: format!("redis:{pattern}"), found, deleted, remaining, quarantined: 0 }
}

fn refusal(cause: RedisRefusal) -> Refusal {
    Refusal::new(RefusalCause::Redis(cause))
}
