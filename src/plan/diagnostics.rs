//! Every problem of a plan at once, each with its place and a hint.

use super::span::Span;
use std::fmt;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The plan can run; the reader should know.
    Warning,
    /// The plan cannot run.
    Error,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub span: Span,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it, in one line.
    pub hint: Option<String>,
}

/// The problems of one plan, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// How the plan is called in messages: its path, or `-`.
    pub file: String,
    items: Vec<Diagnostic>,
}

// === impl Diagnostics ===

impl Diagnostics {
    /// No problems yet, of a plan that is called `file` in messages.
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), items: Vec::new() }
    }

    /// Records an error.
    pub fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, span, message.into())
    }

    /// Records a warning.
    pub fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, span, message.into())
    }

    /// Records that a thing which the format has does not work yet.
    pub fn not_yet(&mut self, span: Span, what: &str) -> &mut Diagnostic {
        self.error(span, format!("{what}: not yet")).hint("this part of the format is reserved; leave it out for now")
    }

    /// Whether the plan cannot run.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.severity == Severity::Error)
    }

    /// The problems, sorted by place.
    #[must_use]
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut items: Vec<_> = self.items.iter().collect();
        items.sort_by_key(|item| item.span);
        items
    }

    #[allow(clippy::expect_used, reason = "an item was pushed the line before")]
    fn push(&mut self, severity: Severity, span: Span, message: String) -> &mut Diagnostic {
        self.items.push(Diagnostic { severity, span, message, hint: None });
        self.items.last_mut().expect("just pushed")
    }
}

impl fmt::Display for Diagnostics {
    /// One problem a line, `FILE:LINE:COLUMN: message`, each followed by its hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in self.sorted() {
            let label = match item.severity {
                Severity::Error => "",
                Severity::Warning => "warning: ",
            };
            if item.span == Span::NONE {
                // A flag: it stands in no file.
                writeln!(f, "pacecar: {label}{}", item.message)?;
            } else {
                writeln!(f, "{}:{}: {label}{}", self.file, item.span, item.message)?;
            }
            if let Some(hint) = &item.hint {
                writeln!(f, "    hint: {hint}")?;
            }
        }
        Ok(())
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// Adds what to do about it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }
}
