//! What the client does, from the plan and the flags over it.

use super::{HostFilter, Listener, Proving};
use crate::measure::Gate;
use crate::plan::{Diagnostics, HttpVersion, Plan, Rate, Span};
use crate::semconv::{self, Sampling, Secret};
use http::{HeaderValue, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of a body, decoded, that are read.
pub const DEFAULT_MAX_BODY: u64 = 64 * 1024 * 1024;

/// What the client does. Plain values; [`super::Shared`] makes a client of them.
#[derive(Clone)]
pub struct ClientConfig {
    /// The time a request may take, all hops and the body included.
    pub timeout: Duration,
    /// How many redirects are followed.
    pub redirects: u32,
    /// Which HTTP.
    pub version: HttpVersion,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// Whether certificates go unchecked.
    pub insecure_skip_verify: bool,
    /// What stands in `user-agent`, unless the request has one.
    pub user_agent: HeaderValue,
    /// The time between two requests of all workers together; none: no cap.
    pub period: Option<Duration>,
    /// Where requests may go; none: anywhere.
    pub hosts: Option<HostFilter>,
    /// What holds requests back while it is closed; none: nothing.
    pub gate: Option<Gate>,
    /// Who hears that the target asks to be left alone for a time.
    pub back_off: Option<BackOff>,
    /// Which traces bear the flag of one that is recorded.
    pub sampling: Sampling,
    /// Whether `traceparent` has the random flag of W3C Trace Context level 2.
    pub random_flag: bool,
    /// The most bytes of a body, decoded, that are read.
    pub max_body: u64,
    /// Who proves to whom that he knows the shared secret; none: nobody.
    pub proving: Option<Proving>,
    /// Who listens to what is sent and answered; none: nobody.
    pub listener: Option<Listener>,
}

/// Hears that the target asks to be left alone for a time: `Retry-After` on 429 or 503.
pub type BackOff = Arc<dyn Fn(Duration) + Send + Sync>;

/// What flags say over the plan. The default says nothing.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--rps`; 0 is no cap, as in k6. The lower of it and the guard's `max_rate` holds.
    pub rps: Option<f64>,
    /// `--max-redirects`.
    pub max_redirects: Option<u32>,
    /// `--user-agent`.
    pub user_agent: Option<String>,
    /// `--insecure-skip-tls-verify`.
    pub insecure_skip_tls_verify: bool,
    /// `--no-connection-reuse`.
    pub no_connection_reuse: bool,
    /// The guard's `hosts`.
    pub hosts: Option<HostFilter>,
    /// This machine's part of the run, 0 to 1, and so of the guard's `max_rate`; none is all of it.
    pub share: Option<f64>,
    /// `PACECAR_SECRET`; an empty one is none.
    pub secret: Option<String>,
    /// `--http-debug`: who listens.
    pub listener: Option<Listener>,
}

/// What the client does in a run of this plan. Problems are recorded, and a default stands in.
pub fn compile(plan: &Plan, overrides: &Overrides, diagnostics: &mut Diagnostics) -> ClientConfig {
    let http = &plan.http;
    let user_agent = match &overrides.user_agent {
        None => HeaderValue::from_static(semconv::USER_AGENT),
        Some(text) => HeaderValue::from_str(text).unwrap_or_else(|_| {
            diagnostics
                .error(Span::NONE, "--user-agent is no header value")
                .hint("leave out line breaks and control characters");
            HeaderValue::from_static(semconv::USER_AGENT)
        }),
    };
    let guard = plan.guard.as_ref().and_then(|guard| guard.max_rate);
    let max_rate = guard.and_then(|rate| {
        let Rate { count, per } = rate.value;
        let period = period_of(Rate { count: count * overrides.share.unwrap_or(1.0), per });
        if period.is_none() {
            diagnostics.error(rate.span, "max_rate must be above 0").hint("for example 100/s");
        }
        period
    });
    let rps = match overrides.rps {
        None | Some(0.0) => None,
        Some(rps) => {
            let period = period_of(Rate { count: rps, per: Duration::from_secs(1) });
            if period.is_none() {
                diagnostics.error(Span::NONE, "--rps must not be below 0").hint("0 is no cap");
            }
            period
        }
    };
    let traces = plan.later.correlate.as_ref().and_then(|correlate| correlate.traces.as_ref());
    ClientConfig {
        timeout: http.timeout.value,
        redirects: overrides.max_redirects.unwrap_or(http.redirects.value),
        version: http.version,
        keep_alive: http.keep_alive && !overrides.no_connection_reuse,
        insecure_skip_verify: http.insecure_skip_verify || overrides.insecure_skip_tls_verify,
        user_agent,
        period: max_rate.max(rps),
        hosts: overrides.hosts.clone(),
        gate: None,
        back_off: None,
        sampling: traces.map_or(Sampling::ALL, |traces| Sampling::ratio(traces.sample.value)),
        random_flag: traces.is_some_and(|traces| traces.random_flag),
        max_body: DEFAULT_MAX_BODY,
        proving: proving(plan, overrides, diagnostics),
        listener: overrides.listener.clone(),
    }
}

/// Who proves what to whom. Without a `base_url` nobody knows whom the secret is shared with.
fn proving(plan: &Plan, overrides: &Overrides, diagnostics: &mut Diagnostics) -> Option<Proving> {
    let text = overrides.secret.as_deref().filter(|secret| !secret.is_empty())?;
    let secret = Secret::new(text)
        .map_err(|error| {
            let told = diagnostics.error(Span::NONE, format!("{}: {error}", semconv::SECRET));
            told.hint("for example the output of `openssl rand -hex 32`");
        })
        .ok()?;
    let home =
        plan.base_url.as_ref().and_then(|base| base.value.parse::<Uri>().ok()).filter(|base| base.host().is_some());
    if home.is_none() {
        let told = diagnostics.warning(Span::NONE, format!("{} is set and proves nothing", semconv::SECRET));
        told.hint("give the plan a `base_url`: proofs go there and nowhere else");
    }
    home.map(|home| Proving { secret, home })
}

/// The time between two events of a rate; none where the rate is none.
fn period_of(rate: Rate) -> Option<Duration> {
    let seconds = rate.per.as_secs_f64() / rate.count;
    (rate.count > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

// === impl ClientConfig ===

impl Default for ClientConfig {
    /// The plan's defaults.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            redirects: 10,
            version: HttpVersion::Auto,
            keep_alive: true,
            insecure_skip_verify: false,
            user_agent: HeaderValue::from_static(semconv::USER_AGENT),
            period: None,
            hosts: None,
            gate: None,
            back_off: None,
            sampling: Sampling::ALL,
            random_flag: false,
            max_body: DEFAULT_MAX_BODY,
            proving: None,
            listener: None,
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("timeout", &self.timeout)
            .field("redirects", &self.redirects)
            .field("version", &self.version)
            .field("keep_alive", &self.keep_alive)
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .field("user_agent", &self.user_agent)
            .field("period", &self.period)
            .field("hosts", &self.hosts.is_some())
            .field("gate", &self.gate.is_some())
            .field("sampling", &self.sampling)
            .field("random_flag", &self.random_flag)
            .field("max_body", &self.max_body)
            .field("proving", &self.proving.is_some())
            .field("listener", &self.listener)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::plan::{Guard, HttpSettings, Later, Spanned, Tenants};

    fn plan(max_rate: Option<Rate>) -> Plan {
        let guard = Guard {
            span: Span::NONE,
            environments: Vec::new(),
            hosts: Vec::new(),
            max_rate: max_rate.map(Spanned::nowhere),
            budget: Vec::new(),
            pause_when: Vec::new(),
            stop_file: None,
        };
        Plan {
            name: Spanned::nowhere("plan".to_owned()),
            environment: None,
            base_url: None,
            tenants: Tenants {
                count: Spanned::nowhere(1),
                users: Spanned::nowhere(1),
                email: Spanned::default(),
                password: Spanned::default(),
                create: None,
            },
            data: Vec::new(),
            http: HttpSettings {
                timeout: Spanned::nowhere(Duration::from_secs(7)),
                redirects: Spanned::nowhere(3),
                version: HttpVersion::Http1,
                keep_alive: true,
                insecure_skip_verify: false,
                headers: Vec::new(),
            },
            setup: Vec::new(),
            teardown: Vec::new(),
            workflows: Vec::new(),
            scenarios: Vec::new(),
            thresholds: Vec::new(),
            outputs: Vec::new(),
            summary: None,
            report: None,
            cleanup: None,
            guard: Some(guard),
            later: Later::default(),
        }
    }

    #[test]
    fn flags_go_over_the_plan() {
        let mut diagnostics = Diagnostics::new("-");
        let config = compile(&plan(None), &Overrides::default(), &mut diagnostics);
        assert_eq!((config.timeout, config.redirects, config.version), (Duration::from_secs(7), 3, HttpVersion::Http1));
        assert!(config.keep_alive && !config.insecure_skip_verify && config.period.is_none());
        let flags = Overrides {
            max_redirects: Some(0),
            user_agent: Some("mine".to_owned()),
            insecure_skip_tls_verify: true,
            no_connection_reuse: true,
            ..Overrides::default()
        };
        let config = compile(&plan(None), &flags, &mut diagnostics);
        assert_eq!((config.redirects, config.user_agent.to_str().unwrap()), (0, "mine"));
        assert!(!config.keep_alive && config.insecure_skip_verify && !diagnostics.has_errors());
    }

    #[test]
    fn the_lower_of_two_caps_holds() {
        let per_second = |count| Rate { count, per: Duration::from_secs(1) };
        for (max_rate, rps, period) in [
            (None, None, None),
            (None, Some(0.0), None),
            (Some(100.0), None, Some(10)),
            (Some(100.0), Some(10.0), Some(100)),
            (Some(10.0), Some(100.0), Some(100)),
            (Some(10.0), Some(0.0), Some(100)),
        ] {
            let mut diagnostics = Diagnostics::new("-");
            let overrides = Overrides { rps, ..Overrides::default() };
            let config = compile(&plan(max_rate.map(per_second)), &overrides, &mut diagnostics);
            assert_eq!(config.period, period.map(Duration::from_millis), "{max_rate:?} {rps:?}");
            assert!(!diagnostics.has_errors());
        }
    }

    #[test]
    fn a_part_of_a_run_has_a_part_of_what_the_guard_allows() {
        let mut diagnostics = Diagnostics::new("-");
        let plan = plan(Some(Rate { count: 100.0, per: Duration::from_secs(1) }));
        let overrides = Overrides { share: Some(0.25), ..Overrides::default() };
        let config = compile(&plan, &overrides, &mut diagnostics);
        assert_eq!(config.period, Some(Duration::from_millis(40)));
    }

    #[test]
    fn every_problem_is_named() {
        let mut diagnostics = Diagnostics::new("-");
        let flags = Overrides { rps: Some(-1.0), user_agent: Some("a\nb".to_owned()), ..Overrides::default() };
        compile(&plan(Some(Rate { count: 0.0, per: Duration::from_secs(1) })), &flags, &mut diagnostics);
        assert_eq!(diagnostics.sorted().len(), 3);
    }

    #[test]
    fn a_rate_has_a_period() {
        let period = |count, per| period_of(Rate { count, per: Duration::from_secs(per) });
        assert_eq!(period(100.0, 1), Some(Duration::from_millis(10)));
        assert_eq!(period(5.0, 10), Some(Duration::from_secs(2)));
        assert_eq!(period(0.0, 1), None);
        assert_eq!(period(-1.0, 1), None);
        assert_eq!(period(f64::NAN, 1), None);
        assert_eq!(period(1e-300, 1), None);
    }
}
