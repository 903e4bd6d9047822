//! One look at the database: which rows are test data, which of them go, and which stay because
//! something that stays needs them. In one snapshot, reading only.
//!
//! Rings of tables are taken in the order of their foreign keys. Downwards, from what is referred
//! to: find who refers, judge (`closure`), go on from what is test data. Then back upwards: what
//! stays, and each row that it needs.

use super::catalog::Catalog;
use super::closure::{self, Candidate};
use super::parents::Parents;
use super::places::Places;
use super::rows::{Fixed, FixedRow, Marks, Xid, batches};
use super::seeds::ASK;
use super::session::{Access, Session, Value};
use crate::cleanup::compile::CleanupPlan;
use crate::cleanup::lease::Term;
use crate::cleanup::outcome::{Blocked, Note, Refusal, RefusalCause};
use crate::cleanup::scope::Scope;
use crate::plan::{Follow, Ledger};
use tokio_postgres::types::Type;

/// How many fixed rows, real ones that refer to test data too, make a look give up: about 700 MB.
const CEILING: u64 = 20_000_000;

/// What a look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By target.
    pub(super) fixed: Vec<Fixed>,
    /// By component, the references between rows of its tables where these refer to each other.
    pub(super) references: Vec<Vec<Reference>>,
    /// What rows refer to in other tables.
    pub(super) parents: Parents,
    /// The real rows that need test rows, the first few of them.
    pub(super) blocked: Vec<Blocked>,
    pub(super) notes: Vec<Note>,
    /// No transaction before this one was open when it was looked.
    pub(super) horizon: Option<Xid>,
}

/// A row by target and position.
pub(super) type Place = (u32, u32);

/// One fixed row refers to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) from: Place,
    pub(super) to: Place,
    /// The foreign key, by number.
    pub(super) key: u32,
}

/// A real row, or a fixture, that needs a test row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) from: Place,
    pub(super) key: usize,
}

/// A look under way.
pub(super) struct Look<'a> {
    pub(super) session: &'a mut Session,
    pub(super) plan: &'a CleanupPlan,
    pub(super) scope: &'a Scope,
    pub(super) catalog: &'a Catalog,
    pub(super) fixed: Vec<Fixed>,
    /// By component.
    pub(super) references: Vec<Vec<Reference>>,
    pub(super) parents: Parents,
    pub(super) needs: Vec<Need>,
    /// The most rows that may be found, where that is judged.
    pub(super) max_rows: Option<u64>,
}

// === impl Found ===

impl Found {
    /// Rows that are to go, over all tables, those that something needs too.
    pub(super) fn rows(&self) -> u64 {
        self.fixed.iter().map(|fixed| fixed.count(FixedRow::is_found)).sum()
    }

    /// Those that must stay.
    pub(super) fn quarantined(&self) -> u64 {
        self.fixed.iter().map(|fixed| fixed.count(FixedRow::is_quarantined)).sum()
    }

    /// The row of a place.
    pub(super) fn row(&self, (target, position): Place) -> &FixedRow {
        &self.fixed[target as usize].rows()[position as usize]
    }
}

// === impl Look ===

impl<'a> Look<'a> {
    /// Looks. `before` are rows that an earlier look found by a root and that may still be there.
    pub(super) async fn look(
        session: &'a mut Session,
        plan: &'a CleanupPlan,
        scope: &'a Scope,
        catalog: &'a Catalog,
        before: &[FixedRow],
        max_rows: Option<u64>,
    ) -> Result<Found, Refusal> {
        session.begin(Access::Read).await.map_err(Refusal::new)?;
        let mut look = Look {
            session,
            plan,
            scope,
            catalog,
            fixed: vec![Fixed::default(); catalog.targets.len()],
            references: vec![Vec::new(); catalog.order.len()],
            parents: Parents::default(),
            needs: Vec::new(),
            max_rows,
        };
        let looked = look.all(before).await;
        let ended = look.session.end().await.map_err(Refusal::new);
        let found = looked?;
        ended.map(|()| found)
    }

    async fn all(&mut self, before: &[FixedRow]) -> Result<Found, Refusal> {
        const HORIZON: &str = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text";
        let mut horizon = None;
        let read = |row: &tokio_postgres::Row| horizon = row.get::<_, &str>(0).parse().ok().map(Xid::of);
        self.session.each_row("take a snapshot", HORIZON, &[], read).await.map_err(Refusal::new)?;
        self.refuse_lost_lease().await?;
        self.fix_roots(before).await?;
        self.fix_recorded().await?;
        for component in (0..self.catalog.order.len()).rev() {
            self.judge(component).await?;
            self.go_on(component).await?;
        }
        for component in 0..self.catalog.order.len() {
            self.come_back(component).await.map_err(Refusal::new)?;
        }
        let (blocked, notes) = self.name_needs().await.map_err(Refusal::new)?;
        let found = Found {
            fixed: std::mem::take(&mut self.fixed),
            references: std::mem::take(&mut self.references),
            parents: std::mem::take(&mut self.parents),
            blocked,
            notes,
            horizon,
        };
        match self.max_rows {
            Some(max_rows) if found.rows() > max_rows => {
                Err(Refusal::new(RefusalCause::MaxRows { matched: found.rows(), max_rows }))
            }
            _ => Ok(found),
        }
    }

    /// Whoever looks under a lease that is lost may see rows of a run that began since. Asked in the look's own
    /// snapshot: what is in it was there while the lease was held.
    async fn refuse_lost_lease(&mut self) -> Result<(), Refusal> {
        const HELD: &str = "SELECT 1 FROM pacecar.lease
            WHERE run = $1 AND term = $2 AND ended IS NULL AND expires > pg_catalog.clock_timestamp()";
        let Some(Term { run, term }) = self.scope.under else { return Ok(()) };
        let (run, mut held) = (run.to_string(), false);
        let values: [Value<'_>; 2] = [(&run, Type::TEXT), (&term, Type::INT4)];
        let read = self.session.each_row("look at the lease", HELD, &values, |_| held = true);
        read.await.map_err(Refusal::new)?;
        if held { Ok(()) } else { Err(Refusal::new(RefusalCause::LeaseLost { run })) }
    }

    /// Refuses before memory runs out.
    pub(super) fn refuse_too_many(&self) -> Result<(), Refusal> {
        let matched: u64 = self.fixed.iter().map(|fixed| fixed.rows().len() as u64).sum();
        // What is real is looked at too; how much of it there is nobody limits but this.
        let max_rows = self.max_rows.map_or(CEILING, |max_rows| max_rows.saturating_mul(4).saturating_add(1_000_000));
        if matched > max_rows.min(CEILING) {
            return Err(Refusal::new(RefusalCause::MaxRows { matched, max_rows: max_rows.min(CEILING) }));
        }
        Ok(())
    }

    /// Finds what of a ring of tables is test data, when all that it refers to outside is known.
    async fn judge(&mut self, component: usize) -> Result<(), Refusal> {
        let catalog = self.catalog;
        let tables = &catalog.order[component].tables;
        let mut done = vec![0; tables.len()];
        loop {
            let mut more = false;
            for (at, &target) in tables.iter().enumerate() {
                let (from, to) = (done[at], self.fixed[target].rows().len());
                if from == to {
                    continue;
                }
                (done[at], more) = (to, true);
                self.mark_kept(target, from).await?;
                for (number, key) in catalog.keys_into(target).filter(|(_, key)| catalog.together(key)) {
                    let positions: Vec<usize> =
                        (from..to).filter(|row| !self.fixed[target].rows()[*row].marks.has(Marks::KEPT)).collect();
                    self.expand(number, &positions, key.from).await.map_err(Refusal::new)?;
                    self.refuse_too_many()?;
                }
            }
            if !more {
                break;
            }
        }
        let numbers = Numbers::of(tables, &self.fixed);
        let references: Vec<(u32, u32)> = self.references[component]
            .iter()
            .filter(|reference| catalog.keys[reference.key as usize].counts)
            .map(|reference| (numbers.number(reference.from), numbers.number(reference.to)))
            .collect();
        let backwards: Vec<(u32, u32)> = references.iter().map(|&(from, to)| (to, from)).collect();
        let rows: Vec<FixedRow> = tables.iter().flat_map(|target| self.fixed[*target].rows().iter().copied()).collect();

        let mut reached: Vec<bool> = rows
            .iter()
            .map(|row| row.marks.has(Marks::ROOT.and(Marks::REACHED)) && !row.marks.has(Marks::KEPT))
            .collect();
        if self.plan.follow == Follow::ForeignKeys {
            closure::spread(&mut reached, &backwards, |row| !rows[row].marks.has(Marks::KEPT));
        }
        let recorded = self.plan.ledger == Ledger::Record;
        let candidates: Vec<Candidate> = rows
            .iter()
            .zip(&reached)
            .map(|(row, reached)| Candidate {
                proven: row.marks.has(Marks::ROOT) || recorded && row.marks.has(Marks::RECORDED),
                kept: row.marks.has(Marks::KEPT),
                reached: *reached && self.plan.follow == Follow::ForeignKeys,
                open: row.open,
            })
            .collect();
        let proven = closure::provable(&candidates, &references);
        let mut judged: Vec<FixedRow> = rows;
        for (number, row) in judged.iter_mut().enumerate() {
            let test = proven[number] && (self.plan.ledger != Ledger::TwoKey || row.marks.has(Marks::RECORDED));
            row.marks.set(
                Marks::when(proven[number], Marks::PROVEN)
                    .and(Marks::when(test, Marks::TEST))
                    .and(Marks::when(test && !candidates[number].proven, Marks::FOLLOWED))
                    .and(Marks::when(reached[number], Marks::REACHED)),
            );
        }
        let mut goes: Vec<bool> = judged.iter().map(|row| self.goes_on(row)).collect();
        let every: Vec<(u32, u32)> = self.references[component]
            .iter()
            .map(|reference| (numbers.number(reference.to), numbers.number(reference.from)))
            .collect();
        closure::spread(&mut goes, &every, |row| judged[row].marks.has(Marks::TEST) && !self.waits(&judged[row]));
        for (number, row) in judged.iter_mut().enumerate() {
            if goes[number] {
                let fixture = self.plan.keep_roots && row.marks.has(Marks::ROOT);
                row.marks.set(Marks::BELOW.and(Marks::when(!fixture, Marks::GOES)));
            }
        }
        let mut judged = judged.into_iter();
        for &target in tables {
            for position in 0..self.fixed[target].rows().len() {
                if let Some(row) = judged.next() {
                    *self.fixed[target].row(position) = row;
                }
            }
        }
        Ok(())
    }

    /// Goes on from what is test data to what refers to it from other tables.
    async fn go_on(&mut self, component: usize) -> Result<(), Refusal> {
        let catalog = self.catalog;
        for &target in &catalog.order[component].tables {
            let on = Marks::PROVEN.and(Marks::TEST);
            let rows = self.fixed[target].rows();
            let positions: Vec<usize> = (0..rows.len()).filter(|row| rows[*row].marks.has(on)).collect();
            for (number, key) in catalog.keys_into(target).filter(|(_, key)| !catalog.together(key)) {
                self.expand(number, &positions, key.from).await.map_err(Refusal::new)?;
                self.refuse_too_many()?;
            }
        }
        Ok(())
    }

    /// Finds what refers by `key` to rows of its target, and fixes it as rows of target `from`.
    async fn expand(&mut self, number: usize, positions: &[usize], from: usize) -> Result<(), RefusalCause> {
        let (catalog, follow) = (self.catalog, self.plan.follow);
        let key = &catalog.keys[number];
        let inside = catalog.together(key);
        let component = catalog.targets[key.to].component;
        let mut rows: Vec<FixedRow> = positions.iter().map(|row| self.fixed[key.to].rows()[*row]).collect();
        rows.sort_unstable_by_key(FixedRow::place);
        let sql = format!(
            "SELECT t.ctid, r.tableoid, r.ctid, r.xmin, ({})::int4 FROM {} t JOIN {} r ON {} WHERE ",
            key.open(&catalog.keys),
            key.from_referred,
            key.from_referrer,
            key.join()
        );
        for batch in batches(&rows, ASK) {
            let places = Places::of(batch, self.session.ranges);
            let sql = format!("{sql}{}", places.condition("t.", 1));
            let (fixed, references) = (&mut self.fixed, &mut self.references[component]);
            let parents = &mut self.parents;
            let see = |row: &tokio_postgres::Row| {
                let Some(to) = fixed[key.to].position(places.relation, row.get(0)) else { return };
                let marks = fixed[key.to].rows()[to].marks;
                let reached = key.counts && follow == Follow::ForeignKeys;
                let reached = reached && marks.has(Marks::ROOT.and(Marks::REACHED));
                let referrer = FixedRow {
                    relation: row.get(1),
                    tid: row.get(2),
                    xmin: row.get(3),
                    open: 0,
                    marks: Marks::when(reached && !inside, Marks::REACHED)
                        .and(Marks::when(marks.has(Marks::BELOW) && !inside, Marks::BELOW)),
                };
                let (position, _) = fixed[from].insert(referrer);
                let referrer = fixed[from].row(position);
                if !referrer.marks.has(Marks::REFERS) {
                    referrer.marks.set(Marks::REFERS);
                    referrer.open = u16::try_from(row.get::<_, i32>(4)).unwrap_or(u16::MAX);
                }
                if inside {
                    let place = |target: usize, row: usize| (small(target), small(row));
                    references.push(Reference {
                        from: place(from, position),
                        to: place(key.to, to),
                        key: small(number),
                    });
                } else if key.counts {
                    referrer.open = referrer.open.saturating_sub(1);
                    parents.insert(number, position, to);
                }
            };
            self.session.each_row("look for what refers to test rows", &sql, &places.values(), see).await?;
        }
        Ok(())
    }

    /// What of a ring of tables stays, and what it needs, here and in the tables it refers to.
    async fn come_back(&mut self, component: usize) -> Result<(), RefusalCause> {
        let catalog = self.catalog;
        let tables = &catalog.order[component].tables;
        let numbers = Numbers::of(tables, &self.fixed);
        let inside: Vec<(u32, u32)> = self.references[component]
            .iter()
            .map(|reference| (numbers.number(reference.from), numbers.number(reference.to)))
            .collect();
        for kind in [Marks::QUARANTINED, Marks::HELD] {
            let mut needed = Vec::with_capacity(numbers.all);
            for &target in tables {
                needed.extend(self.fixed[target].rows().iter().map(|row| self.stays(row).has(kind)));
            }
            let goes = |number: usize| self.fixed_row(&numbers, tables, number).marks.has(Marks::GOES);
            closure::spread(&mut needed, &inside, goes);
            for &target in tables {
                for position in 0..self.fixed[target].rows().len() {
                    let number = numbers.number((small(target), small(position)));
                    let row = self.fixed[target].row(position);
                    if needed[number as usize] && row.marks.has(Marks::GOES) {
                        row.marks.set(kind);
                    }
                }
            }
        }
        for reference in &self.references[component] {
            let row = |(target, position): Place| &self.fixed[target as usize].rows()[position as usize];
            let from = row(reference.from);
            let needs = self.stays(from).has(Marks::QUARANTINED) && row(reference.to).marks.has(Marks::GOES);
            if needs && !from.marks.has(Marks::GOES) {
                self.needs.push(Need { from: reference.from, key: reference.key as usize });
            }
        }
        for &target in tables {
            let mut staying: Vec<FixedRow> =
                self.fixed[target].rows().iter().filter(|row| self.stays(row) != Marks::none()).copied().collect();
            staying.sort_unstable_by_key(FixedRow::place);
            for (number, key) in catalog.keys_of(target).filter(|(_, key)| !catalog.together(key)) {
                self.look_up(number, key.to, &staying).await?;
            }
        }
        Ok(())
    }

    /// Marks what rows that stay need by a foreign key that leads out of their ring of tables.
    async fn look_up(&mut self, number: usize, to: usize, staying: &[FixedRow]) -> Result<(), RefusalCause> {
        let key = &self.catalog.keys[number];
        let sql = format!(
            "SELECT r.ctid, t.tableoid, t.ctid FROM {} r JOIN {} t ON {} WHERE ",
            key.from_referrer,
            key.from_referred,
            key.join()
        );
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for batch in batches(staying, ASK) {
            let places = Places::of(batch, self.session.ranges);
            let sql = format!("{sql}{}", places.condition("r.", 1));
            let fixed = &self.fixed;
            let see = |row: &tokio_postgres::Row| {
                let from = fixed[key.from].position(places.relation, row.get(0));
                let to = fixed[to].position(row.get(1), row.get(2));
                pairs.extend(from.zip(to));
            };
            self.session.each_row("look for what a row that stays needs", &sql, &places.values(), see).await?;
        }
        for (from, needed) in pairs {
            let row = self.fixed[key.from].rows()[from];
            let kind = self.stays(&row);
            let needed = self.fixed[to].row(needed);
            if needed.marks.has(Marks::GOES) {
                needed.marks.set(kind);
                if kind.has(Marks::QUARANTINED) && !row.marks.has(Marks::GOES) {
                    self.needs.push(Need { from: (small(key.from), small(from)), key: number });
                }
            }
        }
        Ok(())
    }

    /// Why a row that refers to test data stays, if it does: for good, for now, or both.
    fn stays(&self, row: &FixedRow) -> Marks {
        let marks = row.marks;
        if marks.has(Marks::GOES) {
            return Marks::when(marks.has(Marks::QUARANTINED), Marks::QUARANTINED)
                .and(Marks::when(marks.has(Marks::HELD), Marks::HELD));
        }
        let fixture = self.plan.keep_roots && marks.has(Marks::ROOT);
        let for_now = marks.has(Marks::TEST) && !fixture;
        Marks::when(marks.has(Marks::REFERS), if for_now { Marks::HELD } else { Marks::QUARANTINED })
    }

    /// Whether a test row stays for now: another run holds it, or it is not old enough.
    fn waits(&self, row: &FixedRow) -> bool {
        let evidence = row.marks.has(Marks::ROOT.and(Marks::RECORDED));
        let young = row.marks.has(Marks::YOUNG) || evidence && !row.marks.has(Marks::OLD);
        let left_alone = row.marks.has(Marks::ROOT) && !row.marks.has(Marks::TAKEN);
        left_alone || self.scope.older_than.is_some() && young
    }

    /// Whether a row goes, or is a fixture below which rows go.
    fn goes_on(&self, row: &FixedRow) -> bool {
        row.marks.has(Marks::TEST) && row.marks.has(Marks::TAKEN.and(Marks::BELOW)) && !self.waits(row)
    }

    fn fixed_row(&self, numbers: &Numbers, tables: &[usize], number: usize) -> &FixedRow {
        let at = numbers.first.partition_point(|(_, first)| *first <= number) - 1;
        &self.fixed[tables[at]].rows()[number - numbers.first[at].1]
    }
}

// === helpers ===

/// Rows of several targets, numbered through.
struct Numbers {
    /// (target, number of its first row), in the order of the targets.
    first: Vec<(usize, usize)>,
    all: usize,
}

impl Numbers {
    fn of(tables: &[usize], fixed: &[Fixed]) -> Self {
        let (mut first, mut all) = (Vec::with_capacity(tables.len()), 0);
        for &target in tables {
            first.push((target, all));
            all += fixed[target].rows().len();
        }
        Self { first, all }
    }

    fn number(&self, (target, position): Place) -> u32 {
        let first = self.first.iter().find(|(other, _)| *other == target as usize);
        small(first.map_or(0, |(_, first)| *first)) + position
    }
}

/// A count that fits, because [`CEILING`] bounds it.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
