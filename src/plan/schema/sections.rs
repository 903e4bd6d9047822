//! The sections that a run uses today, steps apart.

use super::step::Step;
use super::values::{Flag, Integer, Number, Part, Rate, Text, Texts, Time, Word};
use schemars::JsonSchema;
use std::collections::BTreeMap;

/// The synthetic tenants and their users.
#[derive(JsonSchema)]
#[schemars(rename = "tenants", deny_unknown_fields)]
pub(super) struct Tenants {
    /// How many tenants. Default 20.
    count: Option<Integer>,
    /// How many users each has. Default 5.
    users: Option<Integer>,
    /// A template over `tenant` and `user`, here numbers from 1. Default `test-{{ tenant }}-{{ user }}@example.com`.
    email: Option<Text>,
    /// A template over the same. Default `secret`.
    password: Option<Text>,
    /// Once per user, before its first iteration; these accounts are part of the test data.
    create: Option<Step>,
}

/// A data file.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "data-file")]
pub(super) enum Data {
    /// Its path beside the plan: a JSON array, NDJSON or CSV.
    File(String),
    /// Path and way of drawing.
    Long(DataFile),
}

/// A data file and how its rows are drawn.
#[derive(JsonSchema)]
#[schemars(rename = "data", deny_unknown_fields)]
pub(super) struct DataFile {
    /// Its path beside the plan: a JSON array, NDJSON or CSV.
    file: Text,
    /// How an iteration draws its row. Default random.
    pick: Option<Word<Pick>>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Pick {
    /// Any row, with replacement.
    Random,
    /// In the order of the file, over and over.
    Sequential,
    /// In a random order, each row once before any comes again.
    Shuffled,
}

/// What holds for every request.
#[derive(JsonSchema)]
#[schemars(rename = "http", deny_unknown_fields)]
pub(super) struct Http {
    /// The time a request may take, body included. Default 60s.
    timeout: Option<Time>,
    /// How many redirects are followed. Default 10.
    redirects: Option<Integer>,
    /// `auto`, `1.1` or `2`. Default auto.
    version: Option<Text>,
    /// Whether a connection serves more than one request. Default true.
    keep_alive: Option<Flag>,
    /// Whether certificates go unchecked. Default false.
    insecure_skip_verify: Option<Flag>,
    /// Headers of every request.
    headers: Option<BTreeMap<String, Text>>,
}

/// A sequence of steps with a weight.
#[derive(JsonSchema)]
#[schemars(rename = "workflows", deny_unknown_fields)]
pub(super) struct Workflow {
    /// How often it is drawn, against the others. Default 1.
    weight: Option<Number>,
    /// The steps of one iteration, in order.
    steps: Vec<Step>,
}

/// One executor with its parameters; each executor has its own.
#[derive(JsonSchema)]
#[schemars(rename = "scenario", rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Scenario {
    /// What starts iterations.
    executor: Word<ExecutorName>,
    /// VUs. Default 1.
    vus: Option<Integer>,
    /// How many iterations: shared, or each VU's. Default 1.
    iterations: Option<Integer>,
    /// The longest that iterations may take. Default 10m.
    max_duration: Option<Time>,
    /// How long it lasts. Without one it is endless, for a canary only.
    duration: Option<Time>,
    /// VUs at the start. Default 1.
    #[schemars(rename = "startVUs")]
    start_vus: Option<Integer>,
    /// Linear changes, one after the other.
    stages: Option<Vec<Stage>>,
    /// How long running iterations get when VUs are taken away. Default 30s.
    graceful_ramp_down: Option<Time>,
    /// Iterations per time unit.
    rate: Option<Number>,
    /// Iterations per time unit at the start. Default 0.
    start_rate: Option<Number>,
    /// The time unit of rates. Default 1s.
    time_unit: Option<Time>,
    /// VUs made before the start.
    #[schemars(rename = "preAllocatedVUs")]
    pre_allocated_vus: Option<Integer>,
    /// The most VUs. Default: `preAllocatedVUs`.
    #[schemars(rename = "maxVUs")]
    max_vus: Option<Integer>,
    /// How arrivals are spaced. Default constant.
    arrivals: Option<Word<ArrivalsName>>,
    /// How long after the start of the run it begins. Default 0s.
    start_time: Option<Time>,
    /// How long running iterations get at the end. Default 30s.
    graceful_stop: Option<Time>,
    /// Variables of this scenario: `{{ env.NAME }}`.
    env: Option<BTreeMap<String, Text>>,
    /// Tags of all its samples.
    tags: Option<BTreeMap<String, Text>>,
    /// The workflow it runs; without one it draws by weight.
    exec: Option<Text>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum ExecutorName {
    /// `iterations` shared by `vus`.
    SharedIterations,
    /// `iterations` for each of `vus`.
    PerVuIterations,
    /// `vus` iterate for `duration`.
    ConstantVus,
    /// The number of VUs follows `stages`.
    RampingVus,
    /// `rate` iterations start per `timeUnit`, whatever the target does.
    ConstantArrivalRate,
    /// The arrival rate follows `stages`.
    RampingArrivalRate,
    /// The number of VUs is set from outside.
    ExternallyControlled,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum ArrivalsName {
    /// Evenly.
    Constant,
    /// As a Poisson process.
    Poisson,
}

/// A linear change to `target` over `duration`.
#[derive(JsonSchema)]
#[schemars(rename = "scenario.stages", deny_unknown_fields)]
struct Stage {
    /// How long; 0 jumps.
    duration: Time,
    /// Where it ends: VUs, or iterations per time unit.
    target: Number,
}

/// `aggregation operator number`, one or several.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "thresholds-of-metric")]
pub(super) enum Thresholds {
    /// A single one.
    One(Expression),
    /// Several: all must hold.
    Several(Vec<Expression>),
}

/// `aggregation operator number`, for example `p(95)<200`.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "threshold")]
pub(super) enum Expression {
    /// As text.
    Plain(String),
    /// With what happens when it fails.
    Long(Threshold),
}

/// A threshold and what happens when it fails.
#[derive(JsonSchema)]
#[schemars(rename = "thresholds", rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Threshold {
    /// `aggregation operator number`.
    threshold: Text,
    /// Whether the run ends as soon as it fails. Default false.
    abort_on_fail: Option<Flag>,
    /// How long it is not judged for abort. Default 0s.
    delay_abort_eval: Option<Time>,
    /// The part of the run it is judged over: `2m..3m`.
    during: Option<Part>,
}

/// What is test data, and how it is deleted.
#[derive(JsonSchema)]
#[schemars(rename = "cleanup", deny_unknown_fields)]
pub(super) struct Cleanup {
    /// Rows in Postgres.
    postgres: Option<CleanupPostgres>,
    /// Keys in Redis.
    redis: Option<CleanupRedis>,
    /// `end`, `never`, or `every 10m`. Default end; of a canary every 10m.
    when: Option<Text>,
    /// A run that has not renewed its lease for so long is dead. Default 60s.
    lease: Option<Time>,
    /// How long to wait for stragglers before the sweep. Default 0s.
    settle: Option<Time>,
    /// With `every`: how old a row must be to be swept while traffic runs. Default 0s.
    keep_for: Option<Time>,
}

/// Rows in Postgres.
#[derive(JsonSchema)]
#[schemars(rename = "cleanup.postgres", deny_unknown_fields)]
struct CleanupPostgres {
    /// The connection string; empty is off, with a warning.
    url: Option<Text>,
    /// The database it must be; anything else is refused.
    database: Option<Text>,
    /// What is test data.
    roots: Option<Vec<Root>>,
    /// Whether the roots' rows are fixtures and stay. Default false.
    keep_roots: Option<Flag>,
    /// What is real whatever it refers to.
    keep: Option<Vec<Keep>>,
    /// Whether what refers to the roots is test data too. Default foreign-keys.
    follow: Option<Word<Follow>>,
    /// The record of rows by run. Default off.
    ledger: Option<Word<Ledger>>,
    /// Rows per statement. Default 1000.
    batch: Option<Integer>,
    /// The most rows that may match. Default 1000000.
    max_rows: Option<Integer>,
    /// The most rows deleted in a second. Default 20000.
    max_rows_per_second: Option<Integer>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum Follow {
    /// The roots only.
    None,
    /// Also all that refers to the roots.
    ForeignKeys,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum Ledger {
    /// None.
    Off,
    /// Per run, by triggers.
    Record,
    /// Ledger and roots must agree.
    TwoKey,
}

/// A predicate that says what is test data.
#[derive(JsonSchema)]
#[schemars(rename = "cleanup.postgres.roots", deny_unknown_fields)]
struct Root {
    /// The table: `name` or `schema.name`.
    table: Text,
    /// The predicate; `{{ run }}` is this run's id.
    r#where: Option<Text>,
    /// The largest share of its table that it may match. Default 0.5.
    max_share: Option<Number>,
    /// The column that says how old a row is.
    age: Option<Text>,
}

/// What is real whatever it refers to.
#[derive(JsonSchema)]
#[schemars(rename = "cleanup.postgres.keep", deny_unknown_fields)]
struct Keep {
    /// The table.
    table: Text,
    /// The predicate.
    r#where: Text,
}

/// Keys in Redis.
#[derive(JsonSchema)]
#[schemars(rename = "cleanup.redis", deny_unknown_fields)]
struct CleanupRedis {
    /// The address; empty is off, with a warning.
    url: Option<Text>,
    /// Patterns of keys. Each begins with at least 3 characters of literal text.
    r#match: Option<Texts>,
    /// The most keys that one pattern may match before the run. Default 1000000.
    max_keys: Option<Integer>,
    /// The most keys deleted in a second. Default 20000.
    max_keys_per_second: Option<Integer>,
}

/// What refuses to start, and what makes a running pacecar yield.
#[derive(JsonSchema)]
#[schemars(rename = "guard", deny_unknown_fields)]
pub(super) struct Guard {
    /// The environments that may be tested. Default: all but `production` and `prod`.
    environments: Option<Texts>,
    /// The hosts that may be asked; `*.` at the front stands for any names below.
    hosts: Option<Texts>,
    /// The most requests in a time: `100/s`.
    max_rate: Option<Rate>,
    /// What may be spent, by metric.
    budget: Option<BTreeMap<String, Budget>>,
    /// Conditions that pause all traffic: `http_req_failed>0.5 over 30s`.
    pause_when: Option<Texts>,
    /// A kill switch: no traffic while this file exists.
    stop_file: Option<Text>,
}

/// What any window of a length may sum up to.
#[derive(JsonSchema)]
#[schemars(rename = "guard.budget", deny_unknown_fields)]
struct Budget {
    /// The most in one window.
    sum: Number,
    /// The window's length.
    per: Time,
    /// What is reserved before a request.
    each: Option<Number>,
}
