//! What the database says about the tables that a sweep may touch: the roots' tables, what follows
//! them along foreign keys, and what the ledger has rows of.
//!
//! Read anew for each look: a partition or a foreign key that came meanwhile is seen. The queries
//! give plain data; [`Catalog::of`] makes the catalog from it.

use super::keys::{ForeignKey, KeyFacts, load_keys};
use super::order::{Component, components};
use super::session::{Session, timed};
use super::tables::{Classes, load_classes, refuse_rules, resolve};
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::outcome::{Refusal, RefusalCause};
use crate::cleanup::scope::{LedgerScope, Scope};
use crate::plan::{Follow, Ledger, Span};
use std::collections::{BTreeSet, HashMap};

/// One table with its partitions.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// The topmost parent's name as Postgres quotes it: what is reported.
    pub(super) name: String,
    /// Whether it has a root.
    pub(super) rooted: bool,
    /// Whether it has a root or leads to one.
    pub(super) followed: bool,
    /// Which component of the order it belongs to.
    pub(super) component: usize,
    /// The topmost parent.
    oid: u32,
}

/// A table or partition in which rows lie.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) target: usize,
    /// Its own name as Postgres quotes it.
    pub(super) name: String,
    /// What its rows are deleted from: itself, or the topmost parent where the rights are there.
    pub(super) access: String,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    pub(super) targets: Vec<Target>,
    pub(super) keys: Vec<ForeignKey>,
    /// Whoever refers before what it refers to.
    pub(super) order: Vec<Component>,
    /// The relations that the ledger has rows of.
    pub(super) recorded: Vec<u32>,
    /// By target, the numbers of the plan's `keep` that can match rows of it.
    pub(super) keeps: Vec<Vec<usize>>,
    relations: HashMap<u32, Relation>,
}

// === impl Catalog ===

impl Catalog {
    /// Looks everything up, and whether this user may do what is to be done.
    pub(super) async fn load(session: &Session, plan: &CleanupPlan, scope: &Scope) -> Result<Self, Refusal> {
        let standby = "SELECT pg_catalog.pg_is_in_recovery()";
        let standby = timed("say what it is", session.client.query_one(standby, &[])).await.map_err(Refusal::new)?;
        if standby.get(0) {
            return Err(Refusal::new(RefusalCause::Standby));
        }
        let classes = load_classes(session).await.map_err(Refusal::new)?;
        let mut roots = Vec::with_capacity(plan.roots.len());
        for root in &plan.roots {
            roots.push((root.span, resolve(session, &classes, root.span, &root.table).await?));
        }
        let mut keeps = Vec::with_capacity(plan.keep.len());
        for keep in &plan.keep {
            let oid = resolve(session, &classes, keep.span, &keep.table).await?;
            let judged = classes.get(oid).map_or(Ok(()), |class| class.refuse_missing_rights(false));
            judged.map_err(|cause| Refusal::at(keep.span, cause))?;
            keeps.push(oid);
        }
        let keys = load_keys(session).await.map_err(Refusal::new)?;
        let recorded = load_recorded(session, plan, scope).await.map_err(Refusal::new)?;
        let mut catalog = Self::of(&classes, &roots, &recorded, keys, plan.follow);
        catalog.keeps = catalog
            .targets
            .iter()
            .map(|target| {
                let matches = |oid: &u32| classes.with_children(*oid).contains(&target.oid);
                keeps.iter().enumerate().filter(|(_, oid)| matches(oid)).map(|(number, _)| number).collect()
            })
            .collect();
        catalog.refuse_missing_rights(&classes, &roots)?;
        let all: Vec<u32> = catalog.relations.keys().chain(roots.iter().map(|(_, oid)| oid)).copied().collect();
        refuse_rules(session, &all).await?;
        Ok(catalog)
    }

    /// From what the database says to what it means for a sweep.
    fn of(classes: &Classes, roots: &[(Span, u32)], recorded: &[u32], keys: Vec<KeyFacts>, follow: Follow) -> Self {
        // What inherits from a root's table holds rows that the root matches.
        let rooted: BTreeSet<u32> = roots.iter().flat_map(|(_, oid)| classes.with_children(*oid)).collect();
        let follows = |reached: &mut BTreeSet<u32>, once: bool| loop {
            let more: Vec<u32> = keys
                .iter()
                .filter(|key| reached.contains(&classes.topmost(key.referred)))
                .map(|key| classes.topmost(key.referrer))
                .filter(|referrer| !reached.contains(referrer))
                .collect();
            let done = more.is_empty() || once;
            reached.extend(more);
            if done {
                break;
            }
        };
        let mut followed = rooted.clone();
        if follow == Follow::ForeignKeys {
            follows(&mut followed, false);
        }
        let mut touched = followed.clone();
        touched.extend(recorded.iter().filter(|oid| classes.get(**oid).is_some()).map(|oid| classes.topmost(*oid)));
        // What refers to them, if only to see who needs their rows.
        follows(&mut touched, true);

        // The roots' tables first, in the plan's order: that is how they are told.
        let mut order: Vec<u32> = Vec::new();
        for oid in roots.iter().map(|(_, oid)| classes.topmost(*oid)).chain(touched.iter().copied()) {
            if !order.contains(&oid) {
                order.push(oid);
            }
        }
        let numbers: HashMap<u32, usize> = order.iter().enumerate().map(|(number, oid)| (*oid, number)).collect();
        let mut targets: Vec<Target> = order
            .iter()
            .map(|oid| Target {
                name: classes.name(*oid),
                rooted: rooted.contains(oid),
                followed: followed.contains(oid),
                component: 0,
                oid: *oid,
            })
            .collect();
        let relations = classes.all().filter_map(|(oid, class)| {
            let target = *numbers.get(&classes.topmost(oid))?;
            let own = class.may_select && class.may_delete && class.may_use;
            let access = match (own, class.partitioned) {
                (true, false) => format!("ONLY {}", class.name),
                _ => targets[target].name.clone(),
            };
            Some((oid, Relation { target, name: class.name.clone(), access }))
        });
        let relations = relations.collect();
        let keys: Vec<ForeignKey> = keys
            .into_iter()
            .filter_map(|key| {
                let from = *numbers.get(&classes.topmost(key.referrer))?;
                let to = *numbers.get(&classes.topmost(key.referred))?;
                Some(ForeignKey::of(key, classes, from, to, targets[from].followed && targets[to].followed))
            })
            .collect();
        let references: Vec<_> = keys.iter().map(|key| (key.from, key.to)).collect();
        let order = components(targets.len(), &references);
        for (number, component) in order.iter().enumerate() {
            component.tables.iter().for_each(|table| targets[*table].component = number);
        }
        Self { targets, keys, order, recorded: recorded.to_vec(), keeps: Vec::new(), relations }
    }

    /// The table or partition, if it is one that a sweep may touch.
    pub(super) fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    /// The target that a table or a partition belongs to.
    pub(super) fn target_of(&self, relation: u32) -> Option<usize> {
        self.relations.get(&relation).map(|relation| relation.target)
    }

    /// The foreign keys into a target, by number.
    pub(super) fn keys_into(&self, target: usize) -> impl Iterator<Item = (usize, &ForeignKey)> {
        self.keys.iter().enumerate().filter(move |(_, key)| key.to == target)
    }

    /// The foreign keys of a target, by number.
    pub(super) fn keys_of(&self, target: usize) -> impl Iterator<Item = (usize, &ForeignKey)> {
        self.keys.iter().enumerate().filter(move |(_, key)| key.from == target)
    }

    /// Whether both targets are in one ring of tables.
    pub(super) fn together(&self, key: &ForeignKey) -> bool {
        self.targets[key.from].component == self.targets[key.to].component
    }

    /// Rows of these tables are read; of those with test data, deleted.
    fn refuse_missing_rights(&self, classes: &Classes, roots: &[(Span, u32)]) -> Result<(), Refusal> {
        let mut asked: Vec<(Span, u32, bool)> = Vec::new();
        for (span, oid) in roots {
            asked.push((*span, *oid, true));
        }
        for key in &self.keys {
            asked.extend([key.referrer_oid, key.referred_oid].map(|oid| (Span::NONE, oid, false)));
        }
        for target in &self.targets {
            let below = target.followed && !target.rooted;
            let recorded = self.recorded.iter().any(|oid| classes.topmost(*oid) == target.oid);
            if below || recorded {
                asked.push((Span::NONE, target.oid, true));
            }
        }
        for (span, oid, deletes) in asked {
            let Some(class) = classes.get(oid) else { continue };
            class.refuse_missing_rights(deletes).map_err(|cause| Refusal::at(span, cause))?;
        }
        Ok(())
    }
}

// === helpers ===

/// The relations that the ledger has rows of, for what is asked.
async fn load_recorded(session: &Session, plan: &CleanupPlan, scope: &Scope) -> Result<Vec<u32>, RefusalCause> {
    if plan.ledger == Ledger::Off || scope.ledger == LedgerScope::None {
        return Ok(Vec::new());
    }
    let there = "SELECT pg_catalog.to_regclass('pacecar.ledger') IS NOT NULL";
    let there = timed("look for the ledger", session.client.query_one(there, &[])).await?;
    if !there.get::<_, bool>(0) {
        return Err(RefusalCause::NoLedger);
    }
    // Whoever made the ledger may have put anything into it: it proves nothing about tables that are not his.
    const RECORDED: &str = "
        SELECT r.relation, r.relation::regclass::text, pg_catalog.pg_has_role(g.relowner, c.relowner, 'USAGE')
        FROM (SELECT DISTINCT l.relation FROM pacecar.ledger l) r
        JOIN pg_catalog.pg_class c ON c.oid = r.relation
        JOIN pg_catalog.pg_class g ON g.oid = 'pacecar.ledger'::regclass";
    let rows = timed("read the ledger", session.client.query(RECORDED, &[])).await?;
    match rows.iter().find(|row| !row.get::<_, bool>(2)) {
        Some(row) => Err(RefusalCause::LedgerOfAnother { table: row.get(1) }),
        None => Ok(rows.iter().map(|row| row.get(0)).collect()),
    }
}
