//! The HTML report: one file that opens offline, to be looked at rather than read.
//!
//! What came from the plan or the target is text and never markup: the template escapes all of it but the charts, which
//! escape for themselves. The file begins with its verdict; nothing before it has one of the three words.

mod clean;
mod distribution;
mod over_time;
mod page;
mod steps;
#[cfg(test)]
mod tests;
mod tiles;

use super::chart::{STYLE, Size};
use super::saved::Opened;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value};
use serde::Serialize;
use thiserror::Error;

const PAGE: &str = include_str!("page.html");
const LOOKS: &str = include_str!("style.css");

/// Why a report could not be put together.
#[derive(Debug, Error)]
#[error("the report could not be put together")]
pub struct HtmlError(#[from] minijinja::Error);

/// A chart in both sizes, of which the page shows the one that fits.
#[derive(Clone, Debug, Serialize)]
struct Drawn {
    svg: Vec<Value>,
    /// Name and class of what is in it.
    legend: Vec<(String, &'static str)>,
}

/// The report of a result.
///
/// # Errors
/// Where the template could not be filled.
pub fn html(result: &Opened) -> Result<String, HtmlError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("page", PAGE)?;
    let page = page::Page::of(result);
    let style = Value::from_safe_string(format!("{STYLE}{LOOKS}"));
    let context = minijinja::context! { style, page => Value::from(Serde(page)) };
    Ok(environment.get_template("page")?.render(context)?)
}

// === impl Drawn ===

impl Drawn {
    fn new(draw: impl Fn(Size) -> String) -> Self {
        Self {
            svg: Size::ALL.into_iter().map(|size| Value::from_safe_string(draw(size))).collect(),
            legend: Vec::new(),
        }
    }
}
