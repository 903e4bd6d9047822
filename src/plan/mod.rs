//! The plan: the whole declarative document, read once into types that cannot be wrong.
//!
//! YAML events become a tree of [`Node`]s that remember where they stood; `${}` is filled
//! scalar by scalar; each section is read through one small reader that records **every**
//! problem and goes on. No other room is compiled here: each has its own
//! `compile(&document, &mut Diagnostics)`.

pub mod advice;
pub mod diagnostics;
pub mod document;
mod fill;
pub mod node;
mod read;
mod reader;
mod scalar;
mod schema;
mod source;
pub mod span;
#[cfg(test)]
mod tests;
pub mod units;
mod variables;
mod yaml;

pub use diagnostics::{Diagnostic, Diagnostics, Severity};
pub use document::*;
pub use node::{Kind, Node};
pub use schema::schema;
pub use source::{LARGEST, unreadable};
pub use span::{Span, Spanned};
pub use variables::Variables;
pub(crate) use yaml::plain as plain_yaml;

/// Reads a plan: `file` is how it is called in messages, `source` its bytes.
///
/// The plan is there even with errors, as far as it could be read, so that the other rooms can
/// add what they find; it is none where there was nothing to read on with. Whether it may run is
/// [`Diagnostics::has_errors`].
#[must_use]
pub fn read(file: &str, source: &[u8], variables: &Variables) -> (Option<Plan>, Diagnostics) {
    let mut diagnostics = Diagnostics::new(file);
    let tree = source::decode(source, &mut diagnostics).and_then(|text| yaml::parse(text, variables, &mut diagnostics));
    let plan = tree.map(|tree| {
        let mut reader = reader::Reader::new(&mut diagnostics, &tree.marks);
        read::plan(&mut reader, &tree.root)
    });
    (plan, diagnostics)
}
