//! Who plays which user: a user is unique while in use, and all get their turn.
//!
//! One atomic per user, on pages made when they are first touched, and no lock: all workers draw
//! from the same users. Where several machines play one run, each draws from users of its own.

use super::part::Part;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Users on one page.
const PAGE: usize = 1024;
/// The account is made.
const CREATED: u32 = 1 << 31;
/// Somebody makes the account.
const CREATING: u32 = 1 << 30;
/// How many play the user.
const HOLDERS: u32 = CREATING - 1;

/// All users of a run.
#[derive(Debug)]
pub(crate) struct Users {
    count: u32,
    /// Which of them are played here, and how many those are. At least one: where there are fewer users than
    /// machines, the rest play everybody's, and share them.
    part: Part,
    own: u32,
    others: bool,
    pages: Box<[OnceLock<Box<[AtomicU32]>>]>,
    /// Whose turn it is.
    next: AtomicU64,
    /// How many users somebody plays.
    taken: AtomicU32,
    /// Told whenever an account was made, or was not.
    settled: Notify,
}

/// A user that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) index: u32,
    /// Whether somebody else plays it at the same time.
    pub(crate) shared: bool,
}

/// What is to be done about a user's account before it plays.
#[derive(Debug)]
pub(crate) enum Account<'a> {
    /// Nothing.
    There,
    /// Make it.
    Make(Making<'a>),
}

/// The right to make a user's account. Dropped without [`Making::done`] it passes on.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    users: &'a Users,
    index: u32,
    done: bool,
}

// === impl Users ===

impl Users {
    /// `count` users that nobody plays; at least 1.
    pub(crate) fn new(count: u32) -> Self {
        let count = count.max(1);
        let pages = (count as usize).div_ceil(PAGE);
        Self {
            count,
            part: Part::default(),
            own: count,
            others: false,
            pages: (0..pages).map(|_| OnceLock::new()).collect(),
            next: AtomicU64::new(0),
            taken: AtomicU32::new(0),
            settled: Notify::new(),
        }
    }

    /// Leaves the users of other machines to them. Before the first is taken.
    pub(crate) fn limit_to(&mut self, part: &Part) {
        let own = u32::try_from(part.count(u64::from(self.count))).unwrap_or(self.count);
        self.others = own == 0;
        if !self.others {
            (self.part, self.own) = (part.clone(), own);
        }
    }

    /// Takes the next user that nobody plays, or, where all are played, the next.
    pub(crate) fn take(&self) -> Taken {
        // Bounded: while others take the last free users at the same time, nobody waits for the outcome.
        for _ in 0..4 * u64::from(self.own) + 64 {
            if self.taken.load(Ordering::Relaxed) >= self.own {
                break;
            }
            let index = self.turn();
            let state = self.state(index);
            let now = state.load(Ordering::Relaxed);
            if now & HOLDERS == 0 && state.compare_exchange(now, now + 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                self.taken.fetch_add(1, Ordering::Relaxed);
                return Taken { index, shared: self.others };
            }
        }
        let index = self.turn();
        let shared = self.state(index).fetch_add(1, Ordering::Acquire) & HOLDERS != 0;
        if !shared {
            self.taken.fetch_add(1, Ordering::Relaxed);
        }
        Taken { index, shared: shared || self.others }
    }

    /// Gives a user back.
    pub(crate) fn give_back(&self, index: u32) {
        if self.state(index).fetch_sub(1, Ordering::Release) & HOLDERS == 1 {
            self.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Says what is to be done about a user's account; waits while another makes it.
    pub(crate) async fn account(&self, index: u32) -> Account<'_> {
        let state = self.state(index);
        loop {
            let settled = self.settled.notified();
            let mut settled = std::pin::pin!(settled);
            // Before the state is read, so that nothing is missed between the two.
            settled.as_mut().enable();
            let now = state.load(Ordering::Acquire);
            if now & CREATED != 0 {
                return Account::There;
            }
            if now & CREATING == 0 {
                if state.compare_exchange(now, now | CREATING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return Account::Make(Making { users: self, index, done: false });
                }
                continue;
            }
            settled.await;
        }
    }

    fn turn(&self) -> u32 {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % u64::from(self.own);
        // Less than `count`, so it fits.
        self.part.nth(turn).unwrap_or(turn) as u32
    }

    fn state(&self, index: u32) -> &AtomicU32 {
        let index = index as usize;
        let page = self.pages[index / PAGE].get_or_init(|| (0..PAGE).map(|_| AtomicU32::new(0)).collect());
        &page[index % PAGE]
    }
}

// === impl Making ===

impl Making<'_> {
    /// The account is there.
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        let state = self.users.state(self.index);
        if self.done {
            state.fetch_or(CREATED, Ordering::AcqRel);
        }
        state.fetch_and(!CREATING, Ordering::AcqRel);
        self.users.settled.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    #[test]
    fn a_user_is_unique_while_in_use_and_shared_past_that() {
        let users = Users::new(3);
        let first: BTreeSet<u32> = (0..3).map(|_| users.take()).map(|taken| taken.index).collect();
        assert_eq!(first.len(), 3);
        let fourth = users.take();
        assert!(fourth.shared);
        users.give_back(fourth.index);
        users.give_back(fourth.index);
        assert_eq!(users.take(), Taken { index: fourth.index, shared: false });
    }

    #[test]
    fn machines_never_play_the_same_user_while_there_are_enough() {
        let machine = |of: u64, index: u64| {
            let mut users = Users::new(10);
            users.limit_to(&Part::new(move |k| Some(k * of + index)));
            users
        };
        let mut seen = BTreeSet::new();
        for index in 0..3 {
            let users = machine(3, index);
            let own = (10 - index).div_ceil(3);
            for _ in 0..own {
                let taken = users.take();
                assert!(!taken.shared && taken.index < 10 && seen.insert(taken.index), "{taken:?}");
            }
            assert!(users.take().shared, "it has no more of its own");
        }
        assert_eq!(seen.len(), 10);
        // The eleventh machine has none of its own: it plays those of others, and says so.
        assert!(machine(11, 10).take().shared);
    }

    #[test]
    fn a_user_that_one_of_two_gave_back_is_still_in_use() {
        let users = Users::new(1);
        users.take();
        users.take();
        users.give_back(0);
        assert!(users.take().shared);
    }

    #[test]
    fn every_user_gets_its_turn() {
        let users = Users::new(5000);
        let seen: BTreeSet<u32> = (0..5000)
            .map(|_| {
                let taken = users.take();
                users.give_back(taken.index);
                taken.index
            })
            .collect();
        assert_eq!(seen.len(), 5000);
    }

    #[test]
    fn many_threads_never_hold_the_same_user() {
        let users = Arc::new(Users::new(8));
        let held: Arc<Vec<AtomicU32>> = Arc::new((0..8).map(|_| AtomicU32::new(0)).collect());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (users, held) = (Arc::clone(&users), Arc::clone(&held));
                std::thread::spawn(move || {
                    for _ in 0..5000 {
                        let taken = users.take();
                        assert!(!taken.shared);
                        assert_eq!(held[taken.index as usize].fetch_add(1, Ordering::SeqCst), 0);
                        held[taken.index as usize].fetch_sub(1, Ordering::SeqCst);
                        users.give_back(taken.index);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[tokio::test]
    async fn one_makes_the_account_and_the_others_wait() {
        let users = Arc::new(Users::new(1));
        let Account::Make(making) = users.account(0).await else { panic!("nobody made it") };
        let waiting = tokio::spawn({
            let users = Arc::clone(&users);
            async move { matches!(users.account(0).await, Account::There) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        making.done();
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn an_account_that_was_not_made_is_for_the_next_to_make() {
        let users = Users::new(1);
        drop(users.account(0).await);
        assert!(matches!(users.account(0).await, Account::Make(_)));
    }
}
