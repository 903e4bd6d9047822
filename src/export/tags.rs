//! The tags of samples: k6's, as k6 1.1.0 sets them, and `step`.
//!
//! What tells two sets of tags apart is a small value, a [`Class`]: nothing is written as text for a sample whose class
//! has been seen.

use crate::measure::{
    CheckId, FailureKind, Layout, MetricId, Place, Proto, RequestSample, ScenarioId, SiteId, TlsVersion,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Tags by name, none of them empty but `group`.
pub(super) type Tags = BTreeMap<String, String>;

/// What decides the tags of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Class {
    /// VUs, and what the target tells of itself.
    Run,
    /// Samples of an iteration, and its bytes.
    Iteration(ScenarioId),
    /// An iteration that could not start.
    Dropped(ScenarioId),
    /// An iteration that never finished, at its lower bound.
    UnfinishedIteration(ScenarioId),
    /// A step's group.
    Group(SiteId),
    /// A step's own metrics.
    Custom(SiteId),
    /// The tokens of a step's stream.
    Stream(SiteId),
    /// A check.
    Check(CheckId),
    /// A request.
    Request(RequestClass),
    /// A request that never finished, at its lower bound.
    UnfinishedRequest(SiteId),
}

/// What decides the tags of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestClass {
    site: SiteId,
    status: u16,
    expected: bool,
    failure: Option<FailureKind>,
    proto: Option<Proto>,
    tls: Option<TlsVersion>,
    /// 0 for none.
    tenant: u32,
}

/// What of a run its tags are made of.
#[derive(Debug)]
pub(super) struct Tagging {
    layout: Arc<Layout>,
    /// How many of the layout's scenarios are the plan's; the others are `setup`, `teardown`, `create`.
    planned: usize,
    /// Whether requests carry their tenant.
    tenants: bool,
}

/// What was made of sets of tags, kept for those that come again.
pub(super) struct TagSets<T> {
    tagging: Arc<Tagging>,
    known: HashMap<Class, T>,
    make: Box<dyn Fn(&Tags) -> T + Send>,
}

/// The most that is kept; past it all is forgotten and made again. A plan has a few hundred.
const MOST_KEPT: usize = 4096;

// === impl Class ===

impl Class {
    /// The class of a request.
    pub(super) fn of_request(site: SiteId, sample: &RequestSample, tenants: bool) -> Self {
        // An answer that broke off is no answer, whatever its head said.
        let answered = sample.failure.is_none();
        Self::Request(RequestClass {
            site,
            status: if answered { sample.status } else { 0 },
            expected: sample.expected && answered,
            failure: sample.failure,
            proto: sample.proto.filter(|_| answered),
            tls: sample.tls.filter(|_| answered),
            tenant: if tenants { sample.tenant } else { 0 },
        })
    }

    /// The class of a value of `metric` that belongs to `place`.
    pub(super) const fn of_mark(metric: MetricId, place: Place) -> Self {
        match place {
            Place::Run => Self::Run,
            Place::Scenario(scenario) => match metric {
                MetricId::DROPPED_ITERATIONS => Self::Dropped(scenario),
                _ => Self::Iteration(scenario),
            },
            Place::Site(site) => match metric {
                MetricId::GROUP_DURATION => Self::Group(site),
                MetricId::LLM_TTFT | MetricId::LLM_TOKEN_GAP => Self::Stream(site),
                _ => Self::Custom(site),
            },
            Place::Check(check) => Self::Check(check),
        }
    }

    /// The class of work that never finished.
    pub(super) const fn of_unfinished(place: Place) -> Self {
        match place {
            Place::Scenario(scenario) => Self::UnfinishedIteration(scenario),
            Place::Site(site) => Self::UnfinishedRequest(site),
            Place::Run => Self::Run,
            Place::Check(check) => Self::Check(check),
        }
    }
}

// === impl Tagging ===

impl Tagging {
    /// Of a run with this layout, whose first `planned` scenarios are the plan's.
    pub(super) fn new(layout: Arc<Layout>, planned: usize) -> Self {
        Self { tenants: layout.asks_for_tenants(), layout, planned }
    }

    pub(super) const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Whether requests carry their tenant.
    pub(super) const fn tenants(&self) -> bool {
        self.tenants
    }

    /// The tags of a class.
    pub(super) fn tags(&self, class: Class) -> Tags {
        let mut tags: Tags = self.layout.tags().iter().cloned().collect();
        match class {
            Class::Run => {}
            Class::Iteration(scenario) => self.iteration(&mut tags, scenario),
            Class::UnfinishedIteration(scenario) => {
                self.iteration(&mut tags, scenario);
                set(&mut tags, "censored", "true");
            }
            // k6 gives it neither group nor the scenario's own tags.
            Class::Dropped(scenario) => {
                if let Some(scenario) = self.layout.scenarios().get(usize::from(scenario.0)) {
                    set(&mut tags, "scenario", &scenario.name);
                }
            }
            Class::Group(site) => self.grouped(&mut tags, site),
            Class::Custom(site) | Class::Stream(site) => {
                if let Some(def) = self.layout.sites().get(site.0 as usize) {
                    self.iteration(&mut tags, def.scenario);
                    if matches!(class, Class::Stream(_)) {
                        set(&mut tags, "step", &def.tags.step);
                    }
                }
            }
            Class::Check(check) => {
                if let Some(check) = self.layout.checks().get(check.0 as usize) {
                    self.grouped(&mut tags, check.site);
                    set(&mut tags, "check", &check.name);
                }
            }
            Class::Request(request) => self.request(&mut tags, &request),
            Class::UnfinishedRequest(site) => {
                self.site(&mut tags, site);
                set(&mut tags, "censored", "true");
            }
        }
        // An empty tag is none; `group` is k6's word for "in no group".
        tags.retain(|name, value| !value.is_empty() || name == "group");
        tags
    }

    fn request(&self, tags: &mut Tags, request: &RequestClass) {
        self.site(tags, request.site);
        set(tags, "status", &request.status.to_string());
        set(tags, "expected_response", if request.expected { "true" } else { "false" });
        if let Some(proto) = request.proto {
            set(tags, "proto", proto.as_str());
        }
        if let Some(tls) = request.tls {
            set(tags, "tls_version", tls.as_str());
        }
        match request.failure {
            Some(failure) => {
                set(tags, "error", failure.as_str());
                set(tags, "error_code", &failure.error_code().to_string());
            }
            // k6's number for an answer that is an error.
            None if request.status >= 400 => set(tags, "error_code", &(1000 + request.status).to_string()),
            None => {}
        }
        if request.tenant > 0 {
            set(tags, "tenant", &request.tenant.to_string());
        }
    }

    /// What a step fixes for its requests.
    fn site(&self, tags: &mut Tags, site: SiteId) {
        self.grouped(tags, site);
        if let Some(def) = self.layout.sites().get(site.0 as usize) {
            set(tags, "method", &def.tags.method);
            set(tags, "name", &def.tags.url);
            set(tags, "url", &def.tags.url);
        }
    }

    /// What is in a step's group.
    fn grouped(&self, tags: &mut Tags, site: SiteId) {
        let Some(def) = self.layout.sites().get(site.0 as usize) else { return };
        let within = self.phase(def.scenario).unwrap_or_default();
        self.scenario(tags, def.scenario);
        set(tags, "group", &format!("{within}::{}", def.tags.step));
        set(tags, "step", &def.tags.step);
    }

    fn iteration(&self, tags: &mut Tags, scenario: ScenarioId) {
        self.scenario(tags, scenario);
        set(tags, "group", &self.phase(scenario).unwrap_or_default());
    }

    /// The scenario with its own tags; setup and teardown are none, as in k6.
    fn scenario(&self, tags: &mut Tags, id: ScenarioId) {
        let Some(scenario) = self.layout.scenarios().get(usize::from(id.0)) else { return };
        for (name, value) in &scenario.tags {
            set(tags, name, value);
        }
        if self.phase(id).is_none() {
            set(tags, "scenario", &scenario.name);
        }
    }

    /// k6's group around all of setup, or of teardown.
    fn phase(&self, id: ScenarioId) -> Option<String> {
        let at = usize::from(id.0);
        let name = &self.layout.scenarios().get(at).filter(|_| at >= self.planned)?.name;
        matches!(name.as_str(), "setup" | "teardown").then(|| format!("::{name}"))
    }
}

// === impl TagSets ===

impl<T> TagSets<T> {
    /// Sets of which `make` makes what is kept.
    pub(super) fn new(tagging: Arc<Tagging>, make: impl Fn(&Tags) -> T + Send + 'static) -> Self {
        Self { tagging, known: HashMap::new(), make: Box::new(make) }
    }

    /// What was made of the tags of a class.
    pub(super) fn of(&mut self, class: Class) -> &T {
        if self.known.len() >= MOST_KEPT && !self.known.contains_key(&class) {
            self.known.clear();
        }
        self.known.entry(class).or_insert_with(|| (self.make)(&self.tagging.tags(class)))
    }
}

fn set(tags: &mut Tags, name: &str, value: &str) {
    tags.insert(name.to_owned(), value.to_owned());
}
