//! Synthetic tenants and who their users are.
//!
//! A user is a number until it plays: email and password are rendered into the VU's own
//! buffers, so millions of users cost nothing.

use super::escape::Escape;
use super::site::Site;
use super::template::Template;
use super::variable::{Context, Variables, World};
use crate::plan::Tenants;

/// The most users a plan may have.
pub(crate) const MAX_USERS: u64 = 10_000_000;

/// The synthetic tenants and their users.
#[derive(Debug)]
pub(crate) struct Tenancy {
    /// How many tenants; at least 1.
    pub(crate) tenants: u32,
    /// How many users in all; at least 1.
    pub(crate) users: u32,
    email: Template,
    password: Template,
}

/// The user that an iteration plays.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    /// The tenant's number, from 1.
    pub(crate) tenant: u32,
    /// The user's number within its tenant, from 1.
    pub(crate) user: u32,
    email: Rendered,
    password: Rendered,
}

/// A text in a buffer that is used again.
#[derive(Debug, Default)]
struct Rendered {
    text: String,
    there: bool,
}

// === impl Tenancy ===

impl Tenancy {
    /// Compiles `tenants:`. `site` knows the names of [`super::names::Audience::Identity`].
    pub(crate) fn compile(document: &Tenants, site: &mut Site<'_, '_>) -> Self {
        let all = u64::from(document.count.value.max(1)) * u64::from(document.users.value.max(1));
        if all > MAX_USERS {
            let message = format!("{all} users are more than {MAX_USERS}");
            site.error(document.users.span, message, Some("`count` × `users` is what counts"));
        }
        let this = Self {
            tenants: document.count.value.max(1),
            users: u32::try_from(all.min(MAX_USERS)).unwrap_or(u32::MAX),
            email: Template::compile(&document.email, site),
            password: Template::compile(&document.password, site),
        };
        // The first user says whether the templates work at all.
        let mut first = Identity::default();
        this.identify(0, &mut first);
        for (there, text) in [(first.email.there, &document.email), (first.password.there, &document.password)] {
            if !there && !site.problems.has_errors() {
                site.error(text.span, "this has no value for the first user", None);
            }
        }
        this
    }

    /// Fills in who user `index` is. Neighbours are of different tenants, so a few VUs already play many.
    pub(crate) fn identify(&self, index: u32, identity: &mut Identity) {
        identity.tenant = index % self.tenants + 1;
        identity.user = index / self.tenants + 1;
        let (mut email, mut password) = (std::mem::take(&mut identity.email), std::mem::take(&mut identity.password));
        let variables = Variables {
            identity: Identity { tenant: identity.tenant, user: identity.user, ..Identity::default() },
            ..Variables::default()
        };
        let world = World::default();
        let context = Context { variables: &variables, world: &world };
        email.fill(&self.email, context);
        password.fill(&self.password, context);
        (identity.email, identity.password) = (email, password);
    }
}

// === impl Identity ===

impl Identity {
    /// The user's email, where its template has a value.
    pub(crate) fn email(&self) -> Option<&str> {
        self.email.there.then_some(self.email.text.as_str())
    }

    /// The user's password, where its template has a value.
    pub(crate) fn password(&self) -> Option<&str> {
        self.password.there.then_some(self.password.text.as_str())
    }
}

// === impl Rendered ===

impl Rendered {
    fn fill(&mut self, template: &Template, context: Context<'_>) {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        self.there = template.render(context, Escape::None, &mut bytes).is_ok();
        // Templates render texts, so this keeps the buffer.
        self.text = String::from_utf8(bytes).unwrap_or_default();
    }
}
