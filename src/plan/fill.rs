//! `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and the literal `$${`.
//!
//! One text in, one text out: what is filled in is never looked at again, so a value can
//! neither become structure nor name another variable. As in a shell, `:-` and `:?` take a
//! name that is set to nothing for one that is not set. Braces balance, so a default may hold
//! `{{ … }}` or another `${…}`.

use super::variables::Variables;

/// How deep defaults may stand in defaults.
const DEEPEST: usize = 16;

/// How many problems of one text are worth telling.
const MOST_PROBLEMS: usize = 16;

/// A text after filling.
#[derive(Debug, Default)]
pub(crate) struct Filled {
    /// The text.
    pub(crate) text: String,
    /// Whether anything was filled in (a literal `$${` is not).
    pub(crate) touched: bool,
    /// What went wrong, in the order of the text.
    pub(crate) problems: Vec<Problem>,
}

/// What can go wrong in filling one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The name is not set, and there is no default. Filled with nothing.
    Unset(String),
    /// `${NAME:?message}` without a value.
    Required {
        /// The name.
        name: String,
        /// The plan's message; may be empty.
        message: String,
    },
    /// `${` without its `}`.
    Unclosed,
    /// Between the braces stands none of the three forms.
    Form,
    /// Defaults stand too deep in defaults.
    Deep,
    /// More text than a plan may hold.
    Large,
}

/// Fills one text. `budget` is how many bytes the plan may still grow to; what was made is taken off it.
pub(crate) fn fill(text: &str, variables: &Variables, budget: &mut usize) -> Filled {
    let mut filled = Filled::default();
    fill_into(text, variables, budget, 0, &mut filled);
    filled
}

fn fill_into(text: &str, variables: &Variables, budget: &mut usize, depth: usize, out: &mut Filled) {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        out.push(before, budget);
        if let Some(after) = from.strip_prefix("$${") {
            out.push("${", budget);
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let Some(end) = closing_brace(after) else {
                out.problem(Problem::Unclosed);
                return out.push(from, budget);
            };
            out.touched = true;
            reference(&after[..end], variables, budget, depth, out);
            rest = &after[end + 1..];
        } else {
            out.push("$", budget);
            rest = &from[1..];
        }
    }
    out.push(rest, budget);
}

/// Fills what stands between `${` and `}`.
fn reference(inner: &str, variables: &Variables, budget: &mut usize, depth: usize, out: &mut Filled) {
    let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inner.len());
    let (name, form) = inner.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return out.problem(Problem::Form);
    }
    let value = variables.get(name);
    if form.is_empty() {
        match value {
            Some(value) => out.push(value, budget),
            None => out.problem(Problem::Unset(name.to_owned())),
        }
    } else if let Some(default) = form.strip_prefix(":-") {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => out.push(value, budget),
            None if depth >= DEEPEST => out.problem(Problem::Deep),
            None => fill_into(default, variables, budget, depth + 1, out),
        }
    } else if let Some(message) = form.strip_prefix(":?") {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => out.push(value, budget),
            None => out.problem(Problem::Required { name: name.to_owned(), message: message.to_owned() }),
        }
    } else {
        out.problem(Problem::Form);
    }
}

/// Where the `}` stands that closes a brace opened before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 1 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

// === impl Filled ===

impl Filled {
    fn push(&mut self, text: &str, budget: &mut usize) {
        match budget.checked_sub(text.len()) {
            Some(left) => {
                *budget = left;
                self.text.push_str(text);
            }
            None => self.problem(Problem::Large),
        }
    }

    /// Records a problem, the same one once.
    fn problem(&mut self, problem: Problem) {
        if self.problems.len() < MOST_PROBLEMS && !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn variables() -> Variables {
        let pairs =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        Variables::new(
            pairs(&[("A", "given"), ("EMPTY", "")]),
            pairs(&[("A", "env"), ("B", "env ${A}"), ("EMPTY", "env")]),
        )
    }

    fn filled(text: &str) -> String {
        fill(text, &variables(), &mut 1000).text
    }

    #[test]
    fn given_goes_before_the_environment_and_values_are_not_read_again() {
        assert_eq!(filled("<${A}> <${B}>"), "<given> <env ${A}>");
        assert_eq!(filled("${EMPTY}"), "", "`-e EMPTY=` hides the environment");
    }

    #[test]
    fn defaults_nest_and_braces_balance() {
        assert_eq!(filled("${X:-y}${A:-y}${EMPTY:-y}"), "ygiveny");
        assert_eq!(filled("${X:-${Y:-${A}}}!"), "given!");
        assert_eq!(
            filled("${X:-test-{{ tenant }}-{{ user }}@example.com}"),
            "test-{{ tenant }}-{{ user }}@example.com"
        );
        assert_eq!(filled("${X:-}"), "");
        assert_eq!(filled("${A:-${NOT:?never asked}}"), "given");
    }

    #[test]
    fn dollars_that_are_no_reference_stay() {
        assert_eq!(filled("$.a $A $$ $ {{ x }} ${A}$"), "$.a $A $$ $ {{ x }} given$");
        assert_eq!(filled("$${A} $$${A}"), "${A} $${A}");
        assert_eq!(filled("${X:-$${A}}"), "${A}");
        assert!(!fill("$${A}", &variables(), &mut 100).touched);
    }

    #[test]
    fn problems_are_named() {
        let problems = |text: &str| fill(text, &variables(), &mut 1000).problems;
        assert_eq!(problems("${X} ${X}"), [Problem::Unset("X".into())]);
        assert_eq!(problems("${X:?say it}"), [Problem::Required { name: "X".into(), message: "say it".into() }]);
        assert_eq!(problems("${A"), [Problem::Unclosed]);
        for text in ["${}", "${1A}", "${A-b}", "${A:b}", "${{ secrets.A }}", "${A.b}", "${ A }"] {
            assert_eq!(problems(text), [Problem::Form], "{text}");
        }
        assert_eq!(fill("${A}${A}", &variables(), &mut 7).problems, [Problem::Large]);
        let deep = format!("{}x{}", "${X:-".repeat(40), "}".repeat(40));
        assert_eq!(problems(&deep), [Problem::Deep]);
    }

    proptest! {
        #[test]
        fn text_without_dollars_is_untouched(text in "[^$]{0,40}") {
            prop_assert_eq!(filled(&text), text);
        }

        #[test]
        fn no_text_panics(text in "[$A{}:?\\-äX ]{0,40}") {
            let _ = filled(&text);
        }
    }
}
