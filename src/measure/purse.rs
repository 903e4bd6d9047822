//! What a request may cost is had before it is sent: how the workflow asks, whoever keeps the budget.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// Keeps budgets. Asked from any thread.
pub trait Purse: Send + Sync + fmt::Debug {
    /// Reserves what one request of this budget may cost. Waits until it can be had; cancel safe.
    fn reserve(&self, budget: usize) -> Pin<Box<dyn Future<Output = Reserved> + Send + '_>>;

    /// Says what became of a reservation. Does not wait.
    fn settle(&self, budget: usize, reserved: Reserved, cost: Cost);
}

/// What was reserved for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reserved {
    /// How much.
    pub amount: f64,
}

/// What a request has cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// This much.
    Figure(f64),
    /// Nobody knows: it failed, was cut off, or its answer did not say. All that was reserved counts as spent.
    Unknown,
    /// Nothing: it was never sent, or turned away.
    Nothing,
}
