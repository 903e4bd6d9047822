//! Whether all pods together fit the database, and how many pods bear a load.
//!
//! Feasibility is arithmetic and comes first: a pool that suits one pod may be more than the database has for all of
//! them, while a deployment rolls. How many pods a load takes is read off the Universal Scalability Law, fitted to what
//! one pod yielded at the loads that were seen.

use super::setting::Setting;
use super::terms::{Infeasible, Terms};
use super::words::figure;
use crate::stats::scalability::{LoadPoint, Scalability};
use crate::stats::{Interval, bootstrap};

/// What all replicas together need of the database: replicas × max × (1 + surge) + reserve connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// How many replicas.
    pub replicas: u64,
    /// The share that is added while a deployment rolls.
    pub surge: f64,
    /// Connections kept for others.
    pub reserve: u64,
}

/// How many pods bear a load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pods {
    /// Requests a second of all of them.
    pub target: f64,
    /// What one yields at its best, in requests a second.
    pub per_pod: f64,
    /// So many.
    pub pods: u32,
    /// From so many to so many, with 95 % confidence.
    pub interval: (u32, u32),
}

/// How often the loads are drawn anew for the interval.
const DRAWS: usize = 400;
/// The law is not believed further beyond the highest load that was seen than this factor.
const FURTHEST: f64 = 2.0;

// === impl Need ===

impl Need {
    /// How many connections pools of `max` need.
    #[must_use]
    pub fn connections(&self, max: f64) -> f64 {
        self.replicas as f64 * max * (1.0 + self.surge) + self.reserve as f64
    }

    /// Why pools of `max` do not fit a database with so many connections, as a clause; none where they do.
    #[must_use]
    pub fn too_much(&self, max: f64, connections: u64) -> Option<String> {
        let all = self.connections(max);
        // A sum of tenths is not exact to its last bit.
        let over = all > connections as f64 * (1.0 + 1e-9);
        let Self { replicas, surge, reserve } = self;
        over.then(|| {
            let all = figure((all * 100.0).round() / 100.0);
            format!(
                "{replicas} × {max} × (1 + {surge}) + {reserve} = {all} connections, of which the database has {connections}"
            )
        })
    }

    /// The settings that do not fit, the original too where it does not. `pool`: the knob that is the pool's size. A
    /// value that is no number says nothing of connections.
    #[must_use]
    pub fn infeasible(&self, terms: &Terms, pool: &str, connections: u64) -> Vec<Infeasible> {
        let fits = |setting: Setting| {
            let reason = self.too_much(super::size::number(setting.get(pool)?)?, connections)?;
            Some(Infeasible { setting, reason })
        };
        let grid = terms.grid();
        let today = terms.original.clone().filter(|original| !grid.contains(original));
        grid.into_iter().chain(today).filter_map(fits).collect()
    }
}

// === impl Pods ===

impl Pods {
    /// How many pods bear `target` requests a second, where one yielded these. None where the law cannot be fitted: too
    /// few loads, or all of them alike.
    ///
    /// A law that shows no peak is taken at twice the highest load that was seen, no further.
    #[must_use]
    pub fn of(seen: &[LoadPoint], target: f64, seed: u64) -> Option<Self> {
        let highest = seen.iter().map(|point| point.load).fold(0.0, f64::max);
        let best = |law: &Scalability| {
            let bound = FURTHEST * highest;
            law.yielded(law.peak().map_or(bound, |peak| peak.min(bound)))
        };
        let per_pod = best(&Scalability::fit(seen)?);
        let block = bootstrap::block_length(seen.len());
        let Interval { low, high } = bootstrap::interval(seen.len(), block, DRAWS, 0.95, seed, |places| {
            let drawn: Vec<LoadPoint> = places.iter().filter_map(|place| seen.get(*place)).copied().collect();
            Scalability::fit(&drawn).map(|law| best(&law))
        })?;
        let pods = |per_pod: f64| (target / per_pod).ceil().clamp(1.0, f64::from(u32::MAX)) as u32;
        let (fewest, most) = (pods(high), pods(low));
        let pods = pods(per_pod);
        Some(Self { target, per_pod, pods, interval: (fewest.min(pods), most.max(pods)) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::terms::Knob;
    use super::*;
    use crate::stats::series;
    use proptest::prelude::*;

    const NEED: Need = Need { replicas: 2, surge: 0.25, reserve: 10 };

    #[test]
    fn what_all_replicas_need_while_a_deployment_rolls_must_be_there() {
        assert_eq!(NEED.too_much(36.0, 100), None, "exactly all of them");
        assert_eq!(
            NEED.too_much(64.0, 100).as_deref(),
            Some("2 × 64 × (1 + 0.25) + 10 = 170 connections, of which the database has 100")
        );
        let tight = Need { replicas: 3, surge: 0.1, reserve: 0 };
        assert_eq!(tight.too_much(10.0, 33), None, "a sum of tenths is no exact one");
    }

    #[test]
    fn settings_that_do_not_fit_are_named_and_todays_too() {
        let knob = |name: &str, values: &[&str]| Knob {
            name: name.into(),
            values: values.iter().map(ToString::to_string).collect(),
        };
        let terms = Terms {
            knobs: vec![knob("PG_POOL_MAX", &["8", "64", "auto"]), knob("UV", &["4", "8"])],
            original: Some([("PG_POOL_MAX", "40"), ("UV", "4")].into_iter().collect()),
            ..Terms::default()
        };
        let found = NEED.infeasible(&terms, "PG_POOL_MAX", 100);
        let named: Vec<String> = found.iter().map(|infeasible| infeasible.setting.to_string()).collect();
        assert_eq!(named, ["PG_POOL_MAX=64 UV=4", "PG_POOL_MAX=64 UV=8", "PG_POOL_MAX=40 UV=4"]);
        assert!(NEED.infeasible(&terms, "OTHER", 100).is_empty());
    }

    /// What one pod yields at loads that rise.
    fn seen(law: Scalability, highest: usize, noise: f64, seed: u64) -> Vec<LoadPoint> {
        let errors = series::ar1(60, 0.3, seed);
        let point = |(i, error): (usize, f64)| {
            let load = (1 + i * highest / 60) as f64;
            LoadPoint { load, yielded: law.yielded(load) * (1.0 + noise * error) }
        };
        errors.into_iter().enumerate().map(point).collect()
    }

    const LAW: Scalability = Scalability { alone: 20.0, contention: 0.02, coherency: 0.0001 };

    #[test]
    fn pods_are_as_many_as_the_law_says_and_the_interval_holds_the_truth() {
        let best = LAW.yielded(LAW.peak().unwrap());
        let pods = Pods::of(&seen(LAW, 200, 0.0, 1), 10.0 * best - 1.0, 1).unwrap();
        assert_eq!((pods.pods, pods.interval), (10, (10, 10)));
        let target = 40.5 * best;
        let held = (0..40).filter(|seed| {
            let pods = Pods::of(&seen(LAW, 200, 0.05, *seed), target, 1).unwrap();
            (pods.interval.0..=pods.interval.1).contains(&41)
        });
        assert!(held.count() >= 34);
    }

    #[test]
    fn what_was_not_loaded_is_not_promised() {
        let linear = Scalability { alone: 5.0, contention: 0.0, coherency: 0.0 };
        let pods = Pods::of(&seen(linear, 20, 0.0, 1), 1000.0, 1).unwrap();
        assert!((pods.per_pod - 5.0 * 40.0).abs() < 1e-6, "twice what was seen, no further");
        assert_eq!(Pods::of(&[LoadPoint { load: 5.0, yielded: 5.0 }; 30], 100.0, 1), None, "one load is no law");
    }

    proptest! {
        #[test]
        fn a_larger_pool_never_needs_fewer(replicas in 1_u64..50, surge in 0.0..2.0_f64, reserve in 0_u64..50,
            max in 1.0..500.0_f64, more in 0.0..100.0_f64, connections in 1_u64..1000) {
            let need = Need { replicas, surge, reserve };
            prop_assert!(need.connections(max + more) >= need.connections(max));
            prop_assert!(need.too_much(max, connections).is_none() || need.too_much(max + more, connections).is_some());
        }
    }
}
