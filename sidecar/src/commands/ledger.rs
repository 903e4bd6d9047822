//! `pacecar cleanup install` and `uninstall`: the ledger of rows.

use super::cleanup::refused;
use crate::output;
use pacecar::cleanup::{CleanupPlan, Ledger, Refusal, Uninstalled};
use pacecar::report::Exit;

/// Installs the ledger, or adds the tables that came since; prints which tables it records and which not.
pub(super) async fn install(plan: CleanupPlan) -> Exit {
    let done: Result<_, Refusal> = async { Ledger::connect(plan).await?.install().await }.await;
    let installed = match done {
        Ok(installed) => installed,
        Err(refusal) => return refused(&refusal),
    };
    let mut text =
        format!("the ledger records {}, {} of them new\n", tables(installed.recorded.len()), installed.new.len());
    for table in &installed.recorded {
        let new = if installed.new.contains(table) { "  (new)" } else { "" };
        text.push_str(&format!("  {table}{new}\n"));
    }
    if !installed.keyless.is_empty() {
        text.push_str(&format!("not recorded, for want of a primary key: {}\n", tables(installed.keyless.len())));
        for table in &installed.keyless {
            text.push_str(&format!("  {table}\n"));
        }
    }
    output::result(&text);
    Exit::Passed
}

/// Takes the ledger away.
pub(super) async fn uninstall(plan: CleanupPlan) -> Exit {
    let done: Result<_, Refusal> = async { Ledger::connect(plan).await?.uninstall().await }.await;
    match done {
        Ok(Uninstalled::Gone) => {
            output::result("the ledger is gone; the schema is what it was before it was installed\n")
        }
        Ok(Uninstalled::NotThere) => output::result("no ledger was installed\n"),
        Err(refusal) => return refused(&refusal),
    }
    Exit::Passed
}

fn tables(number: usize) -> String {
    format!("{number} table{}", if number == 1 { "" } else { "s" })
}
