//! Who is logged in. A user keeps one token while it is fresh, so there are as many as users.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a token is valid.
pub(super) const LIFETIME: Duration = Duration::from_secs(3600);
/// The most that are held; the oldest goes.
const MAX: usize = 100_000;

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) email: String,
    pub(super) tenant: i64,
}

/// All tokens.
#[derive(Default)]
pub(super) struct Tokens {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    sessions: HashMap<String, (Session, Instant)>,
    /// The token of each user.
    by_email: HashMap<String, String>,
    /// In the order in which they were issued.
    order: VecDeque<String>,
}

// === impl Tokens ===

impl Tokens {
    /// The user's token: the one that is there, or `fresh` where there is none or it gets old.
    pub(super) fn issue(&self, session: Session, fresh: String) -> String {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        if let Some(token) = held.by_email.get(&session.email)
            && let Some((known, issued)) = held.sessions.get(token)
            && issued.elapsed() < LIFETIME / 2
            && *known == session
        {
            return token.clone();
        }
        while held.order.len() >= MAX
            && let Some(oldest) = held.order.pop_front()
        {
            if let Some((session, _)) = held.sessions.remove(&oldest)
                && held.by_email.get(&session.email) == Some(&oldest)
            {
                held.by_email.remove(&session.email);
            }
        }
        held.by_email.insert(session.email.clone(), fresh.clone());
        held.order.push_back(fresh.clone());
        held.sessions.insert(fresh.clone(), (session, Instant::now()));
        fresh
    }

    /// Whose a token is, while it is valid.
    pub(super) fn find(&self, token: &str) -> Option<Session> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (session, issued) = held.sessions.get(token)?;
        (issued.elapsed() < LIFETIME).then(|| session.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn session(n: usize) -> Session {
        Session { email: format!("{n}@example.com"), tenant: 1 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_while_fresh_and_ends() {
        let tokens = Tokens::default();
        assert_eq!(tokens.issue(session(1), "a".to_owned()), "a");
        assert_eq!(tokens.issue(session(1), "b".to_owned()), "a");
        assert_eq!(tokens.find("a"), Some(session(1)));
        assert_eq!(tokens.find("b"), None);
        tokio::time::advance(LIFETIME / 2).await;
        assert_eq!(tokens.issue(session(1), "c".to_owned()), "c");
        assert!(tokens.find("a").is_some(), "who has the old one may go on");
        tokio::time::advance(LIFETIME / 2).await;
        assert!(tokens.find("a").is_none() && tokens.find("c").is_some());
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let tokens = Tokens::default();
        for n in 0..MAX + 10 {
            tokens.issue(session(n), n.to_string());
        }
        let held = tokens.held.lock().unwrap();
        assert_eq!((held.sessions.len(), held.by_email.len(), held.order.len()), (MAX, MAX, MAX));
        assert!(!held.sessions.contains_key("9") && held.sessions.contains_key("10"));
    }
}
