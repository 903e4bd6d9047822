//! Processes that share a budget, use it, fail, and are killed; and a meter at the target that sees all of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::measure::{Cost, Reserved};
use proptest::prelude::*;
use serde_json::Value;

fn budget(sum: f64, per: u64, each: Option<f64>) -> Budget {
    let name = "cost".to_owned();
    Budget { metric: MetricId(99), name, sum, per: Duration::from_millis(per), each }
}

/// One process.
struct Process {
    id: u64,
    pocket: Pocket,
    /// Until when its lease is good, as it knows.
    until: u64,
    flying: Vec<(Reserved, usize)>,
}

/// What the target saw of one request.
struct Seen {
    sent: u64,
    /// Where its process had its lease until then.
    ended: Option<u64>,
    cost: f64,
}

struct World {
    budget: Budget,
    /// As it is kept: text.
    book: Value,
    now: u64,
    length: u64,
    processes: Vec<Process>,
    ids: u64,
    seen: Vec<Seen>,
    refused: bool,
}

impl World {
    fn new(budget: Budget, processes: usize) -> Self {
        let length = 400;
        let mut world = Self {
            budget,
            book: Book::default().value(),
            now: 5_000_000,
            length,
            processes: Vec::new(),
            ids: 0,
            seen: Vec::new(),
            refused: false,
        };
        for _ in 0..processes {
            let process = world.process();
            world.processes.push(process);
        }
        world
    }

    fn process(&mut self) -> Process {
        self.ids += 1;
        Process { id: self.ids, pocket: Pocket::new(self.budget.clone()), until: 0, flying: Vec::new() }
    }

    /// Sends where it may. The cost is what it will be, whoever hears of it.
    fn send(&mut self, at: usize, cost: f64) -> bool {
        let process = &mut self.processes[at];
        if self.now >= process.until {
            return false;
        }
        let Some(reserved) = process.pocket.reserve() else { return false };
        process.flying.push((reserved, self.seen.len()));
        self.seen.push(Seen { sent: self.now, ended: None, cost });
        true
    }

    fn settle(&mut self, at: usize, which: usize, known: bool) {
        let process = &mut self.processes[at];
        if process.flying.is_empty() {
            return;
        }
        let (reserved, seen) = process.flying.swap_remove(which % process.flying.len());
        let seen = &mut self.seen[seen];
        seen.ended = (self.now < process.until).then_some(self.now);
        process.pocket.settle(reserved, if known { Cost::Figure(seen.cost) } else { Cost::Unknown });
    }

    fn report(&mut self, at: usize, hungry: bool, back: bool, reached: bool) -> Option<Granted> {
        let process = &mut self.processes[at];
        let report = process.pocket.report(hungry, back);
        let holder = process.id.to_string();
        let length = Duration::from_millis(self.length);
        let term = Term { holder: &holder, now: Duration::from_millis(self.now), length };
        let mut book = Book::parse(&self.book).unwrap();
        let granted = book.report(&self.budget, term, report);
        let text = book.value().to_string();
        if !reached {
            // It may have been written all the same.
            if self.refused {
                self.book = serde_json::from_str(&text).unwrap();
            }
            self.refused = !self.refused;
            process.pocket.refused(&report);
            return None;
        }
        self.book = serde_json::from_str(&text).unwrap();
        process.pocket.granted(&report, &granted);
        process.until = self.now + self.length;
        Some(granted)
    }

    /// The dearest window, by when requests were sent, and by when they ended.
    fn worst(&self) -> f64 {
        let per = self.budget.per.as_millis() as u64;
        let worst = |mut events: Vec<(u64, f64)>| {
            events.sort_by_key(|(at, _)| *at);
            let window = |(end, _): &(u64, f64)| {
                let within = events.iter().filter(|(at, _)| at <= end && at + per > *end);
                within.map(|(_, cost)| cost).sum::<f64>()
            };
            events.iter().map(window).fold(0.0, f64::max)
        };
        let sent = self.seen.iter().map(|seen| (seen.sent, seen.cost)).collect();
        let ended = self.seen.iter().filter_map(|seen| Some((seen.ended?, seen.cost))).collect();
        worst(sent).max(worst(ended))
    }
}

#[derive(Clone, Debug)]
enum Op {
    Send(usize, f64),
    Settle(usize, usize, bool),
    Report(usize, bool, bool, bool),
    Kill(usize),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0_usize..4, 0.0..=1.0_f64).prop_map(|(at, cost)| Op::Send(at, cost)),
        5 => (0_usize..4, any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(at, which, known)| Op::Settle(at, which, known)),
        6 => (0_usize..4, prop::bool::weighted(0.8), prop::bool::weighted(0.1), prop::bool::weighted(0.85))
            .prop_map(|(at, hungry, back, reached)| Op::Report(at, hungry, back, reached)),
        1 => (0_usize..4).prop_map(Op::Kill),
        3 => prop_oneof![0_u64..50, 0_u64..1200].prop_map(Op::Wait),
    ]
}

fn play(world: &mut World, ops: Vec<Op>, cost: impl Fn(f64) -> f64) {
    for op in ops {
        match op {
            Op::Send(at, share) => drop(world.send(at, cost(share))),
            Op::Settle(at, which, known) => world.settle(at, which, known),
            Op::Report(at, hungry, back, reached) => drop(world.report(at, hungry, back, reached)),
            Op::Kill(at) => world.processes[at] = world.process(),
            Op::Wait(time) => world.now += time,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_window_ever_costs_more_than_its_sum(ops in prop::collection::vec(op(), 1..250), sum in 1.0..40.0_f64) {
        let mut world = World::new(budget(sum, 3_000, Some(1.0)), 4);
        play(&mut world, ops, |share| share);
        prop_assert!(world.worst() <= sum * (1.0 + 1e-6), "{} of {sum}", world.worst());
    }

    #[test]
    fn nor_where_nobody_said_what_a_request_costs(ops in prop::collection::vec(op(), 1..250), price in 0.1..3.0_f64) {
        let sum = 7.0;
        let mut world = World::new(budget(sum, 3_000, None), 4);
        play(&mut world, ops, |_| price);
        prop_assert!(world.worst() <= sum * (1.0 + 1e-6), "{} of {sum}", world.worst());
    }

    #[test]
    fn after_any_trouble_the_whole_sum_is_there_again(ops in prop::collection::vec(op(), 1..200)) {
        let mut world = World::new(budget(10.0, 3_000, Some(1.0)), 4);
        play(&mut world, ops, |share| share);
        for at in 0..4 {
            while !world.processes[at].flying.is_empty() {
                world.settle(at, 0, true);
            }
            world.report(at, false, true, true).unwrap();
        }
        world.now += 4_000;
        let mut sent = 0;
        for _ in 0..40 {
            world.report(0, true, false, true).unwrap();
            while world.send(0, 1.0) {
                sent += 1;
            }
        }
        prop_assert_eq!(sent, 10);
    }
}

#[test]
fn a_hundred_times_five_hundredths_is_five() {
    let mut world = World::new(budget(5.0, 60_000, Some(0.05)), 1);
    let mut sent = 0;
    for _ in 0..400 {
        world.report(0, true, false, true).unwrap();
        while world.send(0, 0.05) {
            sent += 1;
            world.settle(0, 0, true);
        }
        world.now += 10;
    }
    assert_eq!(sent, 100);
    let granted = world.report(0, true, false, true).unwrap();
    assert!((granted.used - 5.0).abs() < 1e-9, "{granted:?}");
    // It comes back when the first of it has left the window: within a slice of a minute after it was spent.
    let after = granted.after.unwrap();
    assert!(after <= Duration::from_secs(60) && after >= Duration::from_millis(55_900), "{after:?}");
    world.now += after.as_millis() as u64;
    assert!(world.report(0, true, false, true).unwrap().more >= 0.05);
}

#[test]
fn where_nobody_knows_a_price_one_goes_at_a_time_until_one_is_settled() {
    let mut world = World::new(budget(10.0, 60_000, None), 2);
    world.report(0, true, false, true).unwrap();
    assert!(world.send(0, 0.4) && !world.send(0, 0.4));
    let other = world.report(1, true, false, true).unwrap();
    assert_eq!((other.more, world.send(1, 0.4)), (0.0, false), "nor another process");
    world.settle(0, 0, true);
    for at in [0, 1, 0, 1] {
        world.report(at, true, false, true).unwrap();
        world.processes[0].pocket.report(false, false);
    }
    assert!(world.send(0, 0.4) && world.send(0, 0.4));
    // A process that comes later knows it from the book.
    world.processes[0] = world.process();
    world.report(0, true, false, true).unwrap();
    assert!(!world.processes[0].pocket.is_unpriced());
}

#[test]
fn what_was_leased_by_a_process_that_was_killed_counts_as_spent() {
    let mut world = World::new(budget(2.0, 3_000, Some(1.0)), 2);
    assert_eq!(world.report(0, true, false, true).unwrap().more, 1.0);
    assert!(world.send(0, 1.0));
    world.processes[0] = world.process();
    world.now += 1_000;
    world.report(1, true, false, true).unwrap();
    assert!(world.send(1, 1.0));
    world.settle(1, 0, true);
    let granted = world.report(1, true, false, true).unwrap();
    assert_eq!((granted.more, granted.used), (0.0, 2.0));
    // The lease ran out 400 ms after it was taken, and counts from there.
    world.now += granted.after.unwrap().as_millis() as u64;
    assert_eq!(world.report(1, true, false, true).unwrap().more, 1.0);
    assert!(world.now >= 5_000_000 + 400 + 3_000);
}

#[test]
fn what_cost_more_than_was_reserved_is_counted_and_reserved_from_then_on() {
    let mut world = World::new(budget(10.0, 60_000, Some(1.0)), 1);
    for _ in 0..5 {
        world.report(0, true, false, true).unwrap();
        if world.send(0, 3.0) {
            world.settle(0, 0, true);
        }
    }
    assert_eq!(world.seen.len(), 3, "3 + 3 + 3, and a fourth would be 12");
    assert_eq!(world.processes[0].pocket.need(), 3.0);
    assert!(world.worst() <= 10.0);
}

#[test]
fn what_never_left_costs_nothing_and_what_is_unknown_all_that_was_reserved() {
    let mut pocket = Pocket::new(budget(2.0, 60_000, Some(1.0)));
    let mut book = Book::default();
    let term = Term { holder: "a", now: Duration::from_secs(9), length: Duration::from_secs(1) };
    let mut tell = |pocket: &mut Pocket| {
        let report = pocket.report(true, false);
        let granted = book.report(&pocket.budget().clone(), term, report);
        pocket.granted(&report, &granted);
        granted
    };
    tell(&mut pocket);
    let reserved = pocket.reserve().unwrap();
    pocket.settle(reserved, Cost::Nothing);
    assert_eq!(tell(&mut pocket).used, 1.0, "on lease, not spent");
    for cost in [Cost::Unknown, Cost::Figure(f64::NAN)] {
        let reserved = pocket.reserve().unwrap();
        pocket.settle(reserved, cost);
        tell(&mut pocket);
    }
    assert!(pocket.reserve().is_none());
    assert_eq!(tell(&mut pocket).used, 2.0);
}

#[test]
fn a_book_that_is_none_is_not_read() {
    let book = r#"{"dearest":1.5,"spent":[[1000,2.5,1.5]],"leases":{"a":{"amount":1.0,"until":2000}}}"#;
    let read = Book::parse(&serde_json::from_str(book).unwrap()).unwrap();
    assert_eq!(read.value().to_string(), book);
    for damaged in [
        "{}",
        "[]",
        r#"{"dearest":-1.0,"spent":[],"leases":{}}"#,
        r#"{"dearest":1.0,"spent":[[1,2]],"leases":{}}"#,
        r#"{"dearest":1.0,"spent":[["1",2.0,0.0]],"leases":{}}"#,
        r#"{"dearest":1.0,"spent":[],"leases":{"a":{"amount":-1.0,"until":1}}}"#,
        r#"{"dearest":1.0,"spent":[],"leases":[]}"#,
    ] {
        assert!(Book::parse(&serde_json::from_str(damaged).unwrap()).is_none(), "{damaged}");
    }
}
