//! The fallback where an API exports no spans: what it says of its own time in `server-timing` (W3C Server Timing).

use super::{Part, Parts};

/// The most entries that are read.
const MOST: usize = 32;

/// Attributes a request by its answer's header; none where the header says nothing of time.
///
/// `total` bounds the server's own time, and what of it has no name is the application's; without it what has no name
/// is unexplained. What is said is scaled down where it is more than there was.
#[must_use]
pub fn by_server_timing(total: u64, header: &str) -> Option<Parts> {
    let mut said = Parts::default();
    let mut whole = None;
    let mut any = false;
    for entry in header.split(',').take(MOST) {
        let mut fields = entry.split(';').map(str::trim);
        let name = fields.next().unwrap_or_default().to_ascii_lowercase();
        let duration = fields.find_map(|field| {
            let (key, value) = field.split_once('=')?;
            key.trim().eq_ignore_ascii_case("dur").then(|| nanoseconds(value))?
        });
        let Some(duration) = duration else { continue };
        match part(&name) {
            Some(part) => said[part] = said[part].saturating_add(duration),
            None if TOTALS.contains(&name.as_str()) => whole = Some(duration),
            None => continue,
        }
        any = true;
    }
    if !any {
        return None;
    }
    let within = whole.map_or(total, |whole| whole.min(total));
    let sum = said.iter().fold(0_u64, |sum, (_, value)| sum.saturating_add(value));
    if sum > within {
        let scale = |value: u64| u64::try_from(u128::from(value) * u128::from(within) / u128::from(sum)).unwrap_or(0);
        for part in Part::ALL {
            said[part] = scale(said[part]);
        }
    }
    let unnamed = within.saturating_sub(said.total());
    if whole.is_some() {
        said[Part::App] += unnamed;
        said[Part::Network] += total - within;
    } else {
        said[Part::Unexplained] += unnamed;
    }
    Some(said)
}

/// Names of the whole time of the server.
const TOTALS: [&str; 5] = ["total", "tot", "server", "request", "response"];

/// What a name stands for.
fn part(name: &str) -> Option<Part> {
    Some(match name {
        "queue" | "queued" | "server_queue" | "wait" => Part::ServerQueue,
        "pool" | "pool_wait" | "pool-wait" | "acquire" => Part::PoolWait,
        "connect" | "db_connect" | "db-connect" => Part::Connect,
        "db" | "database" | "sql" | "postgres" | "pg" | "query" => Part::Db,
        "upstream" | "llm" | "ai" | "model" | "external" | "fetch" => Part::Upstream,
        "app" | "handler" | "cpu" | "render" | "view" => Part::App,
        _ => return None,
    })
}

/// Milliseconds as text, in nanoseconds.
fn nanoseconds(text: &str) -> Option<u64> {
    let value: f64 = text.trim().trim_matches('"').parse().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 0, and at most a day")]
    (0.0..=86_400e3).contains(&value).then_some((value * 1e6) as u64)
}
