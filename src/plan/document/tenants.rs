//! `tenants:`: the synthetic tenants and their users.

use super::{Step, Text};
use crate::plan::span::Spanned;

/// The synthetic tenants and their users; every one recognisable as test data.
#[derive(Clone, Debug)]
pub struct Tenants {
    /// How many tenants; at least 1. Default 20.
    pub count: Spanned<u32>,
    /// How many users each has; at least 1. Default 5.
    pub users: Spanned<u32>,
    /// A template over `tenant` and `user`, here numbers from 1. Default `test-{{ tenant }}-{{ user }}@example.com`.
    pub email: Text,
    /// A template over the same. Default `secret`.
    pub password: Text,
    /// Once per user, before its first iteration.
    pub create: Option<Step>,
}
