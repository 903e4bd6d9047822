//! What refuses to start: an environment, a host, or a rate that the plan does not allow; and what
//! makes a running pacecar yield.
//!
//! The guard is an allowlist and is judged twice. [`Guard::admit`] looks at the plan before
//! anything is sent, as far as hosts are known then; [`Guard::host_filter`] looks at every
//! request when it is sent, because templates, captures and redirects can lead anywhere.
//! [`Breaker`] decides when conditions pause the traffic. Who holds it, and how, is the run's.

mod breaker;
mod budget;
mod condition;
mod hosts;
mod rate;
mod window;

pub use breaker::{Breaker, Move};
pub use budget::{Book, Budget, Granted, Pocket, Report, Term, compile_budgets};
pub use condition::{Condition, compile_conditions};
pub use hosts::{HostFilter, HostPattern, HostPatternError};
pub use window::{Slice, Window};

use crate::plan::{Diagnostics, Plan, Rate, Span, Spanned, Step, Text};
use std::sync::Arc;

/// Refused without a guard that names them.
const NEVER_BY_DEFAULT: [&str; 2] = ["production", "prod"];

/// What may be driven, and how fast.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Lower case; empty: all but [`NEVER_BY_DEFAULT`].
    environments: Vec<String>,
    /// None: all.
    hosts: Option<Arc<[HostPattern]>>,
    max_rate: Option<Spanned<Rate>>,
}

/// Why a run may not start. Exit code 121.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The environment is none of those that are allowed.
    #[error("the environment `{environment}` is not allowed by the guard")]
    Environment {
        /// Where it stands.
        span: Span,
        /// What it is.
        environment: String,
    },
    /// The guard allows certain environments, and the plan names none.
    #[error("the guard allows certain environments only, and the plan does not say which one this is")]
    NoEnvironment,
    /// A request would go to a host that is not allowed.
    #[error("the host `{host}` is not allowed by the guard")]
    Host {
        /// Where the URL stands.
        span: Span,
        /// What it is.
        host: String,
    },
    /// The arrival rates ask for more requests than are allowed.
    #[error("the scenarios ask for {asked:.1} requests a second, and the guard's max_rate is {allowed:.1} a second")]
    Rate {
        /// Where `max_rate` stands.
        span: Span,
        /// Requests a second at the highest point: arrival rates times the steps of their workflows.
        asked: f64,
        /// Requests a second.
        allowed: f64,
    },
}

/// Compiles the guard of a plan; without a section, the default one.
pub fn compile(plan: &Plan, diagnostics: &mut Diagnostics) -> Guard {
    let Some(section) = &plan.guard else { return Guard::default() };
    let environments = section.environments.iter().map(|name| name.trim().to_lowercase()).collect();
    let patterns = |pattern: &Text| match HostPattern::parse(pattern) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let said = diagnostics.error(pattern.span, format!("`{}` is no host: {error}", **pattern));
            said.hint("a name, an address, or `*.` and a name; a port is ignored");
            None
        }
    };
    let hosts = (!section.hosts.is_empty()).then(|| section.hosts.iter().filter_map(patterns).collect());
    if let Some(max_rate) = &section.max_rate
        && rate::per_second(**max_rate) <= 0.0
    {
        diagnostics.error(max_rate.span, "`max_rate` is above 0");
    }
    Guard { environments, hosts, max_rate: section.max_rate }
}

// === impl Guard ===

impl Guard {
    /// Judges a plan before anything is sent.
    ///
    /// # Errors
    /// The first thing that is not allowed.
    pub fn admit(&self, plan: &Plan) -> Result<(), Refusal> {
        self.admit_environment(plan.environment.as_ref())?;
        for (span, host) in known_hosts(plan) {
            if !self.allows_host(&host) {
                return Err(Refusal::Host { span, host });
            }
        }
        let Some(max_rate) = &self.max_rate else { return Ok(()) };
        let (asked, allowed) = (rate::highest(plan), rate::per_second(**max_rate));
        // As much as is allowed is allowed, whatever the last bit of a sum says.
        if asked > allowed * (1.0 + 1e-9) {
            return Err(Refusal::Rate { span: max_rate.span, asked, allowed });
        }
        Ok(())
    }

    /// Judges where a request goes, each time one is sent. A URI without a host goes nowhere else.
    #[must_use]
    pub fn host_filter(&self) -> HostFilter {
        match self.hosts.clone() {
            None => Arc::new(|_| true),
            Some(patterns) => {
                Arc::new(move |uri| uri.host().is_none_or(|host| patterns.iter().any(|pattern| pattern.matches(host))))
            }
        }
    }

    /// The most requests in a time, redirects too; none where there is no such bound.
    #[must_use]
    pub fn max_rate(&self) -> Option<Rate> {
        self.max_rate.map(|rate| rate.value)
    }

    fn allows_host(&self, host: &str) -> bool {
        self.hosts.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(host)))
    }

    fn admit_environment(&self, environment: Option<&Text>) -> Result<(), Refusal> {
        let name = environment.map(|environment| environment.trim()).filter(|name| !name.is_empty());
        let allowed = match name {
            None if self.environments.is_empty() => return Ok(()),
            None => return Err(Refusal::NoEnvironment),
            Some(name) if self.environments.is_empty() => !NEVER_BY_DEFAULT.contains(&name.to_lowercase().as_str()),
            Some(name) => self.environments.contains(&name.to_lowercase()),
        };
        let span = environment.map_or(Span::NONE, |environment| environment.span);
        let refusal = || Refusal::Environment { span, environment: name.unwrap_or_default().to_owned() };
        if allowed { Ok(()) } else { Err(refusal()) }
    }
}

// === impl Refusal ===

impl Refusal {
    /// Where it stands in the plan.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Environment { span, .. } | Self::Host { span, .. } | Self::Rate { span, .. } => *span,
            Self::NoEnvironment => Span::NONE,
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Environment { .. } => "if this is meant, name it in guard.environments",
            Self::NoEnvironment => "environment: staging",
            Self::Host { .. } => "if this is meant, name it in guard.hosts",
            Self::Rate { .. } => "lower the rate of the scenarios, or raise guard.max_rate",
        }
    }
}

// === helpers ===

/// The hosts that are known before anything is sent, with the places of their URLs.
fn known_hosts(plan: &Plan) -> Vec<(Span, String)> {
    let mut hosts = Vec::new();
    let mut relative = false;
    let steps = plan.workflows.iter().flat_map(|workflow| &workflow.steps);
    let steps = steps.chain(&plan.setup).chain(&plan.teardown).chain(&plan.tenants.create);
    for url in steps.flat_map(urls) {
        match hosts::of_url(&url.value) {
            hosts::UrlHost::Known(host) => hosts.push((url.span, host)),
            hosts::UrlHost::Relative => relative = true,
            hosts::UrlHost::Unknown => {}
        }
    }
    if let (true, Some(base_url)) = (relative, &plan.base_url)
        && let hosts::UrlHost::Known(host) = hosts::of_url(base_url)
    {
        hosts.insert(0, (base_url.span, host));
    }
    hosts
}

/// The URLs of a step: its own, and that of its undoing (`METHOD URL`).
fn urls(step: &Step) -> impl Iterator<Item = Text> {
    let undo = step.undo.as_ref().map(|undo| {
        let url = undo.split_once(' ').map_or(undo.as_str(), |(_, url)| url);
        Spanned::new(url.trim().to_owned(), undo.span)
    });
    [Some(step.url.clone()), undo].into_iter().flatten()
}

#[cfg(test)]
mod tests;
