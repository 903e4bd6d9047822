//! A predicate that is no more than a predicate.
//!
//! It is text from a plan that will stand in `DELETE`'s company, so two readers must agree on
//! it before a database ever sees it: a scanner that knows only quotes and refuses whatever
//! could end or hide part of a statement, and a full SQL parser that must see exactly one
//! expression. Later the database itself judges it once more (columns, types, constancy),
//! as one statement that can hold nothing else.

use crate::semconv::RunId;
use sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, InTarget, UnaryOperator, Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;
use std::fmt;

/// How deep parentheses and brackets may nest. The parser's own bound does not count each of its
/// calls, so on a small stack it alone would not hold.
const DEPTH: usize = 16;
/// Words that make the parser go deeper without a parenthesis, and how often each may stand there.
const DEEPER: [(&str, usize); 3] = [("not", 64), ("case", 8), ("select", 16)];
/// What the deepest text that passes the scanner needs, several times over. Only touched pages count.
const STACK: usize = 16 * 1024 * 1024;
/// The parser's own bound.
const PARSER_DEPTH: usize = 40;
/// How long a predicate may be, in bytes.
const MAX_BYTES: usize = 8 * 1024;
/// A run id for judging a predicate without a run. Outside quotes it is no SQL, so `{{ run }}` must stand in quotes.
const ANY_RUN: &str = "0123456789abcdef";

/// The condition of one root, with `{{ run }}` filled in. Its `Display` is SQL in parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    sql: String,
    per_run: bool,
}

/// Why a text is no predicate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredicateError {
    /// Nothing there.
    #[error("the predicate is empty")]
    Empty,
    /// Longer than 8 KiB.
    #[error("the predicate is longer than 8 KiB")]
    TooLong,
    /// `;`, a comment, a parameter, a dollar quote, or NUL.
    #[error("`{0}` cannot stand in a predicate outside quotes")]
    Forbidden(&'static str),
    /// Quotes or parentheses that do not pair.
    #[error("the predicate has {0}")]
    Unbalanced(&'static str),
    /// Nested deeper than anybody writes.
    #[error("the predicate is nested too deep")]
    TooDeep,
    /// Not one expression.
    #[error("the predicate is not one SQL expression")]
    NotOneExpression,
    /// It is true of every row, or of none.
    #[error("the predicate is constant: it says the same of every row")]
    Constant,
    /// Nothing in it can be a column.
    #[error("the predicate names no column of its table")]
    NoColumn,
    /// A `{{ … }}` other than `{{ run }}`.
    #[error("a predicate knows only {{{{ run }}}}")]
    Template,
}

// === impl Predicate ===

impl Predicate {
    /// Judges `text` and fills in the id of `run`.
    ///
    /// # Errors
    /// Where it is more or less than one expression, is constant, or names no column.
    pub fn parse(text: &str, run: RunId) -> Result<Self, PredicateError> {
        Self::judged(text, run, judge)
    }

    /// As [`Self::parse`], for a predicate that says what is real: it may be true of every row.
    ///
    /// # Errors
    /// Where it is more or less than one expression.
    pub(super) fn parse_any(text: &str, run: RunId) -> Result<Self, PredicateError> {
        Self::judged(text, run, |sql| match judge(sql) {
            Err(PredicateError::Constant | PredicateError::NoColumn) => Ok(()),
            judged => judged,
        })
    }

    fn judged(
        text: &str,
        run: RunId,
        judge: impl Fn(&str) -> Result<(), PredicateError>,
    ) -> Result<Self, PredicateError> {
        let (judged, per_run) = fill(text, ANY_RUN)?;
        judge(&judged)?;
        let (sql, _) = fill(text, &run.to_string())?;
        Ok(Self { sql, per_run })
    }

    /// All names in it that could be functions, as Postgres folds them, each with whether a `(` follows.
    /// Words of the language are among them.
    #[must_use]
    pub(super) fn names(&self) -> Vec<(String, bool)> {
        names(&self.sql)
    }

    /// Whether it holds `{{ run }}`, so that it matches the rows of one run only.
    #[must_use]
    pub const fn is_per_run(&self) -> bool {
        self.per_run
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.sql)
    }
}

// === helpers ===

/// Puts `run` in the place of each `{{ run }}`; says whether there was one.
fn fill(text: &str, run: &str) -> Result<(String, bool), PredicateError> {
    let text = text.trim();
    let (mut filled, mut rest, mut found) = (String::with_capacity(text.len()), text, false);
    while let Some((before, behind)) = rest.split_once("{{") {
        let (inner, after) = behind.split_once("}}").ok_or(PredicateError::Template)?;
        if inner.trim() != "run" {
            return Err(PredicateError::Template);
        }
        filled.push_str(before);
        filled.push_str(run);
        (rest, found) = (after, true);
    }
    filled.push_str(rest);
    Ok((filled, found))
}

/// Judges a text on a stack of its own: a parser that calls itself must not be at the mercy of how
/// much is left of the caller's.
fn judge(sql: &str) -> Result<(), PredicateError> {
    if sql.is_empty() {
        return Err(PredicateError::Empty);
    }
    if sql.len() > MAX_BYTES {
        return Err(PredicateError::TooLong);
    }
    scan(sql)?;
    std::thread::scope(|scope| {
        let judge = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || parse_and_judge(sql));
        let judged = judge.map(std::thread::ScopedJoinHandle::join);
        judged.ok().and_then(Result::ok).unwrap_or(Err(PredicateError::NotOneExpression))
    })
}

fn parse_and_judge(sql: &str) -> Result<(), PredicateError> {
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(PARSER_DEPTH)
        .try_with_sql(sql)
        .map_err(|_| PredicateError::NotOneExpression)?;
    let expression = parser.parse_expr().map_err(|_| PredicateError::NotOneExpression)?;
    if parser.peek_token().token != Token::EOF {
        return Err(PredicateError::NotOneExpression);
    }
    if truth(&expression).is_some() {
        return Err(PredicateError::Constant);
    }
    if may_name_column(&expression) { Ok(()) } else { Err(PredicateError::NoColumn) }
}

/// The first reader: walks over quotes and refuses what could be more than an expression.
fn scan(sql: &str) -> Result<(), PredicateError> {
    let bytes = sql.as_bytes();
    let (mut at, mut depth, mut deeper) = (0, 0_usize, [0_usize; DEEPER.len()]);
    while at < bytes.len() {
        let next = bytes.get(at + 1).copied();
        match bytes[at] {
            b'"' if at >= 2 && bytes[at - 1] == b'&' && matches!(bytes[at - 2], b'u' | b'U') => {
                // A name that does not stand there as it is spelt.
                return Err(PredicateError::Forbidden("U&\""));
            }
            quote @ (b'\'' | b'"') => {
                let backslashes = quote == b'\'' && is_escape_string(bytes, at);
                at = skip_quoted(bytes, at, backslashes)
                    .ok_or(PredicateError::Unbalanced("a quote that is not closed"))?;
                continue;
            }
            b';' => return Err(PredicateError::Forbidden(";")),
            b'$' => return Err(PredicateError::Forbidden("$")),
            0 => return Err(PredicateError::Forbidden("NUL")),
            b'-' if next == Some(b'-') => return Err(PredicateError::Forbidden("--")),
            b'/' if next == Some(b'*') => return Err(PredicateError::Forbidden("/*")),
            b'*' if next == Some(b'/') => return Err(PredicateError::Forbidden("*/")),
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.checked_sub(1).ok_or(PredicateError::Unbalanced("a `)` or `]` too many"))?,
            byte if is_word(byte) => {
                let end = bytes[at..].iter().position(|byte| !is_word(*byte)).map_or(bytes.len(), |length| at + length);
                for ((word, limit), count) in DEEPER.iter().zip(&mut deeper) {
                    *count += usize::from(bytes[at..end].eq_ignore_ascii_case(word.as_bytes()));
                    if *count > *limit {
                        return Err(PredicateError::TooDeep);
                    }
                }
                at = end;
                continue;
            }
            _ => {}
        }
        if depth > DEPTH {
            return Err(PredicateError::TooDeep);
        }
        at += 1;
    }
    if depth == 0 { Ok(()) } else { Err(PredicateError::Unbalanced("a `(` or `[` too many")) }
}

/// The words and quoted names of a text that was scanned; those before a `(` are called.
fn names(sql: &str) -> Vec<(String, bool)> {
    let bytes = sql.as_bytes();
    let (mut names, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let start = at;
        let name = match bytes[at] {
            quote @ (b'\'' | b'"') => {
                let end = skip_quoted(bytes, at, quote == b'\'' && is_escape_string(bytes, at)).unwrap_or(bytes.len());
                at = end;
                if quote == b'\'' {
                    continue;
                }
                sql.get(start + 1..end - 1).map(|name| name.replace("\"\"", "\""))
            }
            byte if is_word(byte) || byte == b'$' => {
                while bytes.get(at).is_some_and(|byte| is_word(*byte) || *byte == b'$') {
                    at += 1;
                }
                sql.get(start..at).map(str::to_lowercase)
            }
            _ => {
                at += 1;
                continue;
            }
        };
        let called = sql.get(at..).is_some_and(|rest| rest.trim_start().starts_with('('));
        names.extend(name.map(|name| (name, called)));
    }
    names
}

/// Whether a byte can be part of a word without quotes.
fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Whether the quote at `at` opens an `E'…'`, in which a backslash escapes.
fn is_escape_string(bytes: &[u8], at: usize) -> bool {
    let e = at.checked_sub(1).is_some_and(|before| matches!(bytes[before], b'e' | b'E'));
    e && !at.checked_sub(2).is_some_and(|before| is_word(bytes[before]))
}

/// The place behind the quoted part that begins at `start`. A doubled quote ends one part and
/// begins the next, which comes to the same.
fn skip_quoted(bytes: &[u8], start: usize, backslashes: bool) -> Option<usize> {
    let quote = bytes[start];
    let mut at = start + 1;
    loop {
        match *bytes.get(at)? {
            0 => return None,
            b'\\' if backslashes => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// What an expression is of every row, where its text alone tells.
fn truth(expression: &Expr) -> Option<bool> {
    match expression {
        Expr::Nested(inner) => truth(inner),
        Expr::Value(value) => match &value.value {
            Value::Boolean(value) => Some(*value),
            // Not known is not true: no row.
            Value::Null => Some(false),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Not, expr } => truth(expr).map(|value| !value),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => match (truth(left), truth(right)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => match (truth(left), truth(right)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        // Something compared with itself, `1 = 1` and `id = id` alike.
        Expr::BinaryOp { left, op, right } if bare(left) == bare(right) && is_plain(left) => match op {
            BinaryOperator::Eq | BinaryOperator::GtEq | BinaryOperator::LtEq => Some(true),
            BinaryOperator::NotEq | BinaryOperator::Gt | BinaryOperator::Lt => Some(false),
            _ => None,
        },
        // Only constants on both sides: which it is does not matter.
        Expr::BinaryOp { left, right, .. } if !may_name_column(left) && !may_name_column(right) => Some(true),
        Expr::Like { any: false, negated, pattern, escape_char: None, .. }
        | Expr::ILike { any: false, negated, pattern, escape_char: None, .. }
            if is_match_all(pattern) =>
        {
            Some(!negated)
        }
        Expr::IsTrue(inner) | Expr::IsNotFalse(inner) => truth(inner),
        Expr::IsFalse(inner) | Expr::IsNotTrue(inner) => truth(inner).map(|value| !value),
        Expr::Cast { expr, .. } => truth(expr),
        _ => None,
    }
}

/// Without parentheses around it.
fn bare(expression: &Expr) -> &Expr {
    match expression {
        Expr::Nested(inner) => bare(inner),
        other => other,
    }
}

/// Whether it is the same each time it is evaluated: a name or a value.
fn is_plain(expression: &Expr) -> bool {
    matches!(bare(expression), Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))
}

/// Whether a `LIKE` pattern is nothing but `%`.
fn is_match_all(pattern: &Expr) -> bool {
    let Expr::Value(value) = bare(pattern) else { return false };
    matches!(&value.value, Value::SingleQuotedString(text) if !text.is_empty() && text.bytes().all(|byte| byte == b'%'))
}

/// Whether a column can stand somewhere in it. What is not taken apart here may: the database decides.
fn may_name_column(expression: &Expr) -> bool {
    let any = |expressions: &[&Expr]| expressions.iter().any(|expression| may_name_column(expression));
    match expression {
        Expr::Value(_) | Expr::TypedString(_) => false,
        Expr::Nested(inner)
        | Expr::UnaryOp { expr: inner, .. }
        | Expr::Cast { expr: inner, .. }
        | Expr::Collate { expr: inner, .. }
        | Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotFalse(inner)
        | Expr::IsUnknown(inner)
        | Expr::IsNotUnknown(inner) => may_name_column(inner),
        Expr::BinaryOp { left, right, .. }
        | Expr::IsDistinctFrom(left, right)
        | Expr::IsNotDistinctFrom(left, right)
        | Expr::AnyOp { left, right, .. }
        | Expr::AllOp { left, right, .. } => any(&[left, right]),
        Expr::Like { expr, pattern, .. }
        | Expr::ILike { expr, pattern, .. }
        | Expr::SimilarTo { expr, pattern, .. } => any(&[expr, pattern]),
        Expr::Between { expr, low, high, .. } => any(&[expr, low, high]),
        Expr::In { expr, target: InTarget::List(list), .. } => {
            may_name_column(expr) || list.iter().any(may_name_column)
        }
        Expr::Tuple(parts) => parts.iter().any(may_name_column),
        Expr::Array(array) => array.elem.iter().any(may_name_column),
        Expr::Function(function) => match &function.args {
            FunctionArguments::None => false,
            FunctionArguments::Subquery(_) => true,
            FunctionArguments::List(list) => list.args.iter().any(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))
                | FunctionArg::Named { arg: FunctionArgExpr::Expr(inner), .. } => may_name_column(inner),
                _ => true,
            }),
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Predicate, PredicateError> {
        Predicate::parse(text, RunId::new(0xabcd_ef01_2345_6789))
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        let names = parse("\"E\"\"v\" ('a(b') AND Pg_Catalog.RANDOM\n() < x.y AND \"q\" = 'no'").unwrap().names();
        let called: Vec<_> = names.iter().filter(|(_, called)| *called).map(|(name, _)| name.as_str()).collect();
        assert_eq!(called, ["E\"v", "random"]);
        for name in ["pg_catalog", "x", "y", "q"] {
            assert!(names.contains(&(name.to_owned(), false)), "{name} in {names:?}");
        }
        assert!(!names.iter().any(|(name, _)| name == "no" || name == "b"));
        assert_eq!(parse("U&\"ev\\0069l\"(a)"), Err(PredicateError::Forbidden("U&\"")));
    }

    #[test]
    fn predicates_pass_as_they_are() {
        for text in [
            "email LIKE 'test-%'",
            "user_id LIKE E'test-\\_%' AND created_at > now() - interval '1 day'",
            "tenant_id IN (SELECT id FROM tenants WHERE name LIKE 'test-%')",
            "EXISTS (SELECT 1 FROM users u WHERE u.id = chats.user_id AND u.email LIKE 'test-%')",
            "data->>'synthetic' = 'true'",
            "email ~ '^test-'",
            "email = ANY (ARRAY['a', 'b'])",
            "\"Name\" = 'it''s; -- fine /* here */ $1'",
            "NOT real",
            "real IS FALSE",
            "name = 'x' OR (age BETWEEN 1 AND 2)",
            "name IN ('a', 'b')",
            "lower(name) LIKE 'test-%'",
            "starts_with(email, 'test-')",
            "kind::text = 'test'",
            "(email, tenant) = ('a', 1)",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), format!("({text})"));
        }
    }

    #[test]
    fn what_is_constant_is_refused() {
        for text in [
            "true",
            "TRUE",
            "false",
            "NULL",
            "1=1",
            "1 = 1",
            "(1=1)",
            "((true))",
            "NOT false",
            "'a' = 'a'",
            "1 < 2",
            "2>1",
            "email LIKE 'test-%' OR 1=1",
            "true OR email = 'x'",
            "email = email",
            "(email) = email",
            "u.id = u.id",
            "email LIKE '%'",
            "email ILIKE '%%'",
            "email = 'x' AND false",
            "1=1 AND true",
            "1=1 IS TRUE",
            "1::bool = true::bool",
            "'x' LIKE 'x'",
            "lower('A') = 'a'",
            "1 + 1 = 2",
            "now() > '2020-01-01'",
            "true::boolean",
            "'t'::bool OR email = 'x' OR 1 <> 2",
        ] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, PredicateError::Constant | PredicateError::NoColumn), "{text}: {error}");
        }
    }

    #[test]
    fn what_names_no_column_is_refused() {
        for text in
            ["random()", "1 IN (1, 2)", "1 BETWEEN 0 AND 2", "pg_sleep(10) IS NOT NULL", "lower('a') IN ('a')", "'x'"]
        {
            assert_eq!(parse(text).unwrap_err(), PredicateError::NoColumn, "{text}");
        }
    }

    #[test]
    fn what_tries_to_be_more_is_refused() {
        for text in [
            "",
            "  ",
            "1=1; DROP TABLE x",
            "email LIKE 'x'; DROP TABLE x",
            "email = 'x' --",
            "email = 'x' -- ' AND real",
            "email = 'x' /* */",
            "email = 'x' */",
            "email = 'x') OR (1=1",
            "(email = 'x'",
            "email = 'x')",
            "email = 'x",
            "\"email = 'x'",
            "email = $1",
            "email = $$x$$",
            "email = $tag$x$tag$",
            "email = 'x' RETURNING *",
            "email = 'x' UNION SELECT 1",
            "email = 'x' ORDER BY 1",
            "email = 'x' LIMIT 1",
            "email = 'x', true",
            "DROP TABLE x",
            "SELECT 1",
            "WHERE email = 'x'",
            "email = 'x' GROUP BY 1",
            "email = E'\\\\' OR 1=1 --'",
            "email = 'x'\0",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&format!("{}a = 1{}", "(".repeat(1_000), ")".repeat(1_000))).is_err());
        assert!(parse(&format!("{}a", "NOT ".repeat(2_000))).is_err());
    }

    #[test]
    fn depth_is_bounded_below_what_a_stack_holds() {
        // Each of these once ran over the stack of a thread, or would deeper down.
        let deepest = [
            format!("a = {}1{}", "(".repeat(DEPTH), ")".repeat(DEPTH)),
            format!("{}a", "NOT ".repeat(64)),
            format!("a = {}1{}", "CASE WHEN a THEN ".repeat(8), " END".repeat(8)),
            format!("a = {}1{}", "ARRAY[".repeat(DEPTH), "]".repeat(DEPTH)),
            format!("a IN {}SELECT 1{}", "(SELECT a FROM (".repeat(DEPTH / 2), "))".repeat(DEPTH / 2)),
            format!("a = {}1{}", "f(CASE WHEN (".repeat(8), ") THEN a END)".repeat(8)),
            format!("a{}", " OR a".repeat(1_600)),
            format!("a = {}1", "- ".repeat(4_000)),
            format!("a{} = 1", "::int".repeat(1_600)),
            format!("a{} = 1", "[1]".repeat(2_700)),
        ];
        for text in deepest {
            let _ = parse(&text);
        }
        for text in [
            format!("a = {}1{}", "(".repeat(DEPTH + 1), ")".repeat(DEPTH + 1)),
            format!("a = {}1{}", "CASE WHEN a THEN ".repeat(9), " END".repeat(9)),
            format!("{}a", "not ".repeat(65)),
        ] {
            assert_eq!(parse(&text).unwrap_err(), PredicateError::TooDeep);
        }
    }

    #[test]
    fn a_backslash_does_not_hide_the_end_of_a_string() {
        // To Postgres the string ends at the first quote: the rest would be a second expression.
        assert!(parse(r"email = 'x\' OR 1=1 OR email = '").is_err());
        assert!(parse(r"email = 'x\'").is_ok());
    }

    #[test]
    fn the_run_stands_in_quotes_only() {
        let predicate = parse("run = '{{ run }}' OR tag LIKE '{{run}}-%'").unwrap();
        assert_eq!(predicate.to_string(), "(run = 'abcdef0123456789' OR tag LIKE 'abcdef0123456789-%')");
        assert!(predicate.is_per_run());
        assert!(!parse("run = 'x'").unwrap().is_per_run());
        assert!(parse("run = {{ run }}").is_err(), "as a bare word it could be a column");
        assert_eq!(parse("run = '{{ tenant }}'").unwrap_err(), PredicateError::Template);
        assert_eq!(parse("run = '{{ run'").unwrap_err(), PredicateError::Template);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_sql_makes_it_panic(words in proptest::collection::vec("(a|1|'x'|=|\\(|\\)|AND|OR|NOT|IN|LIKE|SELECT|FROM|;|--|,|CASE|WHEN|END|NULL|::)", 0..14)) {
            let _ = parse(&words.join(" "));
        }

        #[test]
        fn a_semicolon_outside_quotes_never_passes(before in "[a-z =0-9]{0,12}", after in ".{0,12}") {
            let text = format!("{before};{after}");
            prop_assert!(parse(&text).is_err());
        }
    }
}
