//! What a step creates beyond any database's reach, written down before the step is sent so that it can be undone.
//!
//! The workflow makes it and cleanup keeps it: neither names the other, so the types stand here.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// A step that is about to create something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Creation {
    /// Its number within its run.
    pub id: u64,
    /// In what it happens.
    pub phase: CreationPhase,
    /// The scenario, or the phase's name.
    pub scenario: String,
    /// The step.
    pub step: String,
    /// Which user played it, from 0.
    pub user: u32,
    /// What was created by the same play of the steps shares it; undone in reverse order.
    pub group: u64,
    /// The method of the request that undoes it.
    pub method: String,
    /// The URL of that request, where it is known already.
    pub url: Option<String>,
}

/// In what something is created. What is created later is undone earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CreationPhase {
    /// `setup:`
    Setup,
    /// `tenants.create`
    Account,
    /// An iteration.
    Iteration,
    /// `teardown:`
    Teardown,
}

/// What became of a [`Creation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The request did not create anything.
    Nothing,
    /// It did, and this URL undoes it.
    Created {
        /// The URL.
        url: String,
    },
    /// It is undone.
    Undone,
    /// Nobody knows what it created, and that was told.
    Told,
}

/// Where creations are written down. A clone of it may be asked from any thread.
pub trait CreationLog: Send + Sync + fmt::Debug {
    /// Writes a creation down; the future ends when it would outlive this process.
    ///
    /// The future is an error where it could not be written: then the step is not to be sent.
    fn before(&self, creation: &Creation) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

    /// Writes down what became of creation `id`. Does not wait.
    fn after(&self, id: u64, fate: Fate);
}

// === impl CreationPhase ===

impl CreationPhase {
    /// `setup`, `account`, `iteration` or `teardown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Account => "account",
            Self::Iteration => "iteration",
            Self::Teardown => "teardown",
        }
    }

    /// Reads [`Self::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Setup, Self::Account, Self::Iteration, Self::Teardown].into_iter().find(|phase| phase.as_str() == text)
    }
}
