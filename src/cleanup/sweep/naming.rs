//! Names the real rows that need test rows, by their keys.

use super::look::{Look, Need};
use super::rows::Marks;
use crate::cleanup::outcome::{Blocked, Blocker, Note, RefusalCause};
use crate::plan::Follow;
use tokio_postgres::types::Type;

/// How many real rows are told by name.
const NAMED: usize = 50;
/// How much of a key is told, in characters.
const KEY: usize = 200;

// === impl Look ===

impl Look<'_> {
    /// The first rows that need test rows, and what the reader should know of all of them.
    pub(super) async fn name_needs(&mut self) -> Result<(Vec<Blocked>, Vec<Note>), RefusalCause> {
        let catalog = self.catalog;
        let needs = std::mem::take(&mut self.needs);
        let mut blocked = Vec::new();
        for need in needs.iter().take(NAMED) {
            blocked.push(self.name(*need).await?);
        }
        let mut notes = Vec::new();
        if needs.len() > NAMED {
            notes.push(Note::MoreBlockers { rows: (needs.len() - NAMED) as u64 });
        }
        if self.plan.follow == Follow::None {
            for (number, key) in catalog.keys.iter().enumerate() {
                let rows = needs.iter().filter(|need| need.key == number).count() as u64;
                if rows > 0 && !catalog.targets[key.from].rooted {
                    let table = catalog.targets[key.from].name.clone();
                    notes.push(Note::NotFollowed { table, root: catalog.targets[key.to].name.clone(), rows });
                }
            }
        }
        for (target, fixed) in catalog.targets.iter().zip(&self.fixed) {
            let rows = fixed.count(|row| {
                let waits = row.marks.has(Marks::TEST) && !row.marks.has(Marks::BELOW);
                waits || row.marks.has(Marks::HELD) && !row.marks.has(Marks::QUARANTINED)
            });
            if rows > 0 {
                notes.push(Note::ForNow { table: target.name.clone(), rows });
            }
        }
        Ok((blocked, notes))
    }

    /// Says who needs a row: `(id)=(17)`; its place where the table has no key.
    async fn name(&mut self, need: Need) -> Result<Blocked, RefusalCause> {
        let catalog = self.catalog;
        let key = &catalog.keys[need.key];
        let row = self.fixed[need.from.0 as usize].rows()[need.from.1 as usize];
        let mut columns = self.primary_key(row.relation).await?;
        if columns.is_empty() {
            columns.push("ctid".to_owned());
        }
        let values: Vec<_> = columns
            .iter()
            .map(|column| format!("pg_catalog.left(coalesce(r.{column}::text, 'null'), {KEY})"))
            .collect();
        let sql = format!(
            "SELECT pg_catalog.concat_ws(', ', {}) FROM {} r WHERE r.tableoid = $1 AND r.ctid = $2",
            values.join(", "),
            key.from_referrer
        );
        let mut text = String::new();
        let see = |row: &tokio_postgres::Row| text = row.get(0);
        self.session
            .each_row("look a row's key up", &sql, &[(&row.relation, Type::OID), (&row.tid, Type::TID)], see)
            .await?;
        let blocker = |table: String, key: String, constraint: String| match row.marks.has(Marks::TEST) {
            true => Blocker::Fixture { table, key, constraint },
            false => Blocker::Row { table, key, constraint },
        };
        let by = blocker(
            catalog.targets[key.from].name.clone(),
            format!("({})=({text})", columns.join(", ")),
            key.name.clone(),
        );
        Ok(Blocked { table: catalog.targets[key.to].name.clone(), by })
    }
}
