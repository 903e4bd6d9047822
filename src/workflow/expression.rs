//! What stands between `{{` and `}}`.
//!
//! A plain `a.b` is a variable, looked up in nanoseconds; filters and logic are compiled once by
//! the template engine. It runs on fuel, so no plan can make it spin or fill memory.

use super::names::Names;
use super::site::Site;
use super::value::{Got, from_engine, to_engine};
use super::variable::{Context, Key, Missing, Source, Variable};
use crate::measure::CheckId;
use crate::plan::Span;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// What one evaluation may cost: an instruction is one, and so are 64 bytes of data (6 MB in all).
const FUEL: u64 = 100_000;
/// How many operators, filters and brackets one expression may have. The engine's parser calls itself
/// for each of them and does not count all of its calls.
const MARKS: usize = 256;
/// The widest indentation of `tojson`, in spaces.
const MAX_INDENT: usize = 16;
/// Words of the template language, which are no variables.
const WORDS: [&str; 13] =
    ["true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else"];

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    engine.set_fuel(Some(FUEL));
    // It would put every variable, passwords too, into a request.
    engine.remove_global("debug");
    engine.add_filter("tojson", to_json);
    engine
});

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    /// A plain variable.
    Variable(Variable),
    /// One with filters, operators or logic.
    Computed(Arc<Computed>),
}

/// An expression that the template engine evaluates.
pub(crate) struct Computed {
    code: minijinja::Expression<'static, 'static>,
    roots: Box<[Root]>,
    /// The check that fails where it cannot be evaluated.
    failed: Option<CheckId>,
}

struct Root {
    name: Arc<str>,
    source: Source,
    absent: Option<CheckId>,
}

/// `when:`: whether a step is sent.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// `NAME is defined`, the usual one.
    Defined {
        /// Of what.
        variable: Variable,
        /// `true` for `is not defined`.
        not: bool,
    },
    /// Any expression.
    True(Expression),
}

// === impl Expression ===

impl Expression {
    /// Compiles what stands between the braces.
    pub(crate) fn compile(source: &str, span: Span, site: &mut Site<'_, '_>) -> Option<Self> {
        let source = source.trim();
        if source.is_empty() {
            site.error(span, "an empty `{{ }}`", None);
            return None;
        }
        if let Some((name, path)) = plain(source) {
            return Variable::compile(source, name, path, span, site).map(Self::Variable);
        }
        if marks(source) > MARKS {
            let message = format!("a `{{{{ … }}}}` with more than {MARKS} operators, filters and brackets");
            site.error(span, message, Some("put lists into a data file, and what is long into several steps"));
            return None;
        }
        let shown = without_literals(source);
        let code = match ENGINE.compile_expression_owned(source.to_owned()) {
            Ok(code) => code,
            Err(error) => {
                let detail = error.detail().unwrap_or("not an expression").to_owned();
                site.error(span, format!("`{{{{ {shown} }}}}`: {detail}"), None);
                return None;
            }
        };
        let computed = Computed::compile(&shown, code, span, site)?;
        let constant = computed.roots.iter().all(|root| matches!(root.source, Source::Constant(_)));
        match computed.trial() {
            Err(error) if is_unknown(error.kind()) => {
                let detail = error.detail().unwrap_or("unknown").to_owned();
                site.error(span, format!("`{{{{ {shown} }}}}`: {detail}"), None);
                return None;
            }
            Err(error) if constant => {
                let detail = error.detail().unwrap_or("cannot be evaluated").to_owned();
                site.error(span, format!("`{{{{ {shown} }}}}`: {detail}"), None);
                return None;
            }
            Ok(value) if constant => {
                let Some(value) = from_engine(&value) else {
                    site.error(span, format!("`{{{{ {shown} }}}}` has no value"), None);
                    return None;
                };
                let source = Source::Constant(value);
                return Some(Self::Variable(Variable { source, path: Box::default(), absent: None }));
            }
            _ => {}
        }
        Some(Self::Computed(Arc::new(computed)))
    }

    /// Its value.
    pub(crate) fn get<'a>(&'a self, context: Context<'a>) -> Result<Got<'a>, Missing> {
        match self {
            Self::Variable(variable) => variable.get(context),
            Self::Computed(computed) => {
                let value = computed.evaluate(context).ok().and_then(|value| from_engine(&value));
                value.map(Got::Owned).ok_or_else(|| computed.missing(context))
            }
        }
    }

    /// Its value where the plan alone gives it.
    pub(crate) const fn constant(&self) -> Option<&Value> {
        match self {
            Self::Variable(Variable { source: Source::Constant(value), .. }) => Some(value),
            _ => None,
        }
    }

    /// The check that fails where it has no value.
    pub(crate) fn absent(&self) -> Option<CheckId> {
        match self {
            Self::Variable(variable) => variable.absent,
            Self::Computed(computed) => computed.failed,
        }
    }

    /// The plain variable that it is.
    pub(crate) const fn variable(&self) -> Option<&Variable> {
        match self {
            Self::Variable(variable) => Some(variable),
            Self::Computed(_) => None,
        }
    }
}

// === impl Variable ===

impl Variable {
    fn compile(text: &str, name: &str, path: Vec<Key>, span: Span, site: &mut Site<'_, '_>) -> Option<Self> {
        let (source, path) = match site.names.resolve(name, path) {
            Ok(resolved) => resolved,
            Err(unknown) => {
                site.unknown(span, unknown);
                return None;
            }
        };
        let absent = if site.names.always_there(&source, &path) { None } else { site.absent(text) };
        Some(Self { source, path: path.into(), absent })
    }
}

// === impl Computed ===

impl Computed {
    fn compile(
        text: &str,
        code: minijinja::Expression<'static, 'static>,
        span: Span,
        site: &mut Site<'_, '_>,
    ) -> Option<Self> {
        let globals: BTreeSet<&str> = ENGINE.globals().map(|(name, _)| name).collect();
        // A part that is not there may be meant to be missing where the expression asks for it.
        let asks = text.contains("defined") || text.contains("default");
        let nested: BTreeSet<String> = code.undeclared_variables(true).into_iter().collect();
        let mut roots: Vec<Root> = Vec::new();
        let mut known = true;
        for path in &nested {
            let mut keys = path.split('.');
            let name = keys.next().unwrap_or_default();
            let listed = site.names.slots.iter().chain(site.names.setup).any(|known| known == name);
            if globals.contains(name) && !listed {
                continue;
            }
            let keys: Vec<Key> = keys.map(|key| Key::Name(key.to_owned())).collect();
            let resolved = match site.names.resolve(name, keys.clone()) {
                Ok(_) => root_of(&mut site.names, name, &keys),
                Err(_) if asks && !keys.is_empty() => root_of(&mut site.names, name, &keys),
                Err(unknown) => Err(unknown),
            };
            match resolved {
                Ok(_) if roots.iter().any(|root| &*root.name == name) => {}
                Ok(source) => {
                    let absent = if source.can_be_missing() { site.absent(name) } else { None };
                    roots.push(Root { name: Arc::from(name), source, absent });
                }
                Err(unknown) => {
                    site.unknown(span, unknown);
                    known = false;
                }
            }
        }
        let constant = roots.iter().all(|root| matches!(root.source, Source::Constant(_)));
        let failed = if constant || !known { None } else { site.absent(text) };
        known.then(|| Self { code, roots: roots.into(), failed })
    }

    fn evaluate(&self, context: Context<'_>) -> Result<minijinja::Value, minijinja::Error> {
        let values = self
            .roots
            .iter()
            .filter_map(|root| Some((minijinja::Value::from(&root.name), root.source.get(context)?.to_engine())));
        self.code.eval(minijinja::Value::from_pairs(values))
    }

    /// Evaluates it with what the plan alone knows, to find filters and functions that do not exist.
    fn trial(&self) -> Result<minijinja::Value, minijinja::Error> {
        let values = self.roots.iter().filter_map(|root| match &root.source {
            Source::Constant(value) => Some((minijinja::Value::from(&root.name), to_engine(value))),
            _ => None,
        });
        self.code.eval(minijinja::Value::from_pairs(values))
    }

    /// The check that fails where it has no value: of the variable that is missing, or of the whole.
    fn missing(&self, context: Context<'_>) -> Missing {
        let root = self.roots.iter().find(|root| root.source.can_be_missing() && root.source.get(context).is_none());
        Missing(root.and_then(|root| root.absent).or(self.failed))
    }
}

impl std::fmt::Debug for Computed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.roots.iter().map(|root| &root.name)).finish()
    }
}

// === impl Condition ===

impl Condition {
    /// Compiles `when:` from its expression. Names that only a later step captures are allowed.
    pub(crate) fn compile(source: &str, span: Span, site: &mut Site<'_, '_>) -> Option<Self> {
        let before = std::mem::replace(&mut site.names.any_slot, true);
        let condition = Self::read(source.trim(), span, site);
        site.names.any_slot = before;
        condition
    }

    /// Whether the step is sent. A name without a value is not true; anything else that cannot be
    /// evaluated is missing.
    pub(crate) fn holds(&self, context: Context<'_>) -> Result<bool, Missing> {
        match self {
            Self::Defined { variable, not } => Ok(variable.get(context).is_ok() != *not),
            Self::True(Expression::Variable(variable)) => Ok(variable.get(context).is_ok_and(|value| value.is_true())),
            Self::True(Expression::Computed(computed)) => match computed.evaluate(context) {
                Ok(value) => Ok(value.is_true()),
                Err(error) if error.kind() == ErrorKind::UndefinedError => Ok(false),
                Err(_) => Err(computed.missing(context)),
            },
        }
    }

    fn read(source: &str, span: Span, site: &mut Site<'_, '_>) -> Option<Self> {
        let words: Vec<&str> = source.split_whitespace().collect();
        let (name, not) = match words.as_slice() {
            [name, "is", "defined"] => (*name, false),
            [name, "is", "not", "defined"] | ["not", name, "is", "defined"] => (*name, true),
            _ => return Expression::compile(source, span, site).map(Self::True),
        };
        match plain(name) {
            Some((root, path)) => {
                // `env.X is defined` asks for what need not be there.
                if root == "env" && site.names.resolve(root, path.clone()).is_err() {
                    return Expression::compile(source, span, site).map(Self::True);
                }
                Variable::compile(name, root, path, span, site).map(|variable| Self::Defined { variable, not })
            }
            None => Expression::compile(source, span, site).map(Self::True),
        }
    }
}

/// The source that gives an engine's expression the name `root`; a data file is drawn from where it is named.
fn root_of(names: &mut Names<'_>, root: &str, keys: &[Key]) -> Result<Source, super::names::Unknown> {
    let drawn = names.drawn.clone();
    let source = names.root(root)?;
    if let (Source::Data, Some(Key::Name(file))) = (&source, keys.first()) {
        names.drawn = drawn;
        names.drawn.extend(names.data.iter().position(|data| data.name == *file));
    }
    Ok(source)
}

const fn is_unknown(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction)
}

/// Whether a name is a word of the template language, so that no variable can have it.
pub(crate) fn is_word(name: &str) -> bool {
    WORDS.contains(&name)
}

/// How many parts of an expression, outside its texts, can make the parser go deeper.
fn marks(source: &str) -> usize {
    let bare = without_literals(source);
    let signs = bare.chars().filter(|c| !(c.is_alphanumeric() || c.is_whitespace() || "_,'\"…".contains(*c)));
    let words = bare.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| is_word(word));
    signs.count() + words.count()
}

/// The engine's `tojson`, which is paid for when its text is there: so how long it can get is looked at before.
fn to_json(
    value: &minijinja::Value,
    indent: Option<minijinja::Value>,
    kwargs: Kwargs,
) -> Result<minijinja::Value, minijinja::Error> {
    let too_much = |what| minijinja::Error::new(ErrorKind::InvalidOperation, what);
    let wide = |indent: &minijinja::Value| indent.as_usize().is_some_and(|indent| indent > MAX_INDENT);
    let named: Option<minijinja::Value> = kwargs.get("indent")?;
    if indent.iter().chain(&named).any(wide) {
        return Err(too_much("tojson indents by 16 at most"));
    }
    let mut room = FUEL;
    pay(value, 0, &mut room).ok_or_else(|| too_much("tojson would make too long a text"))?;
    minijinja::filters::tojson(value, indent, kwargs)
}

/// Takes what a value's parts cost off `room`: each is one, and so are 64 bytes. None where there is not enough.
fn pay(value: &minijinja::Value, depth: u32, room: &mut u64) -> Option<()> {
    /// Deeper than any JSON that was read.
    const DEEP: u32 = 150;
    let bytes = value.as_str().map_or(0, str::len) as u64;
    *room = room.checked_sub(1 + bytes / 64)?;
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Some(());
    }
    for part in value.try_iter().ok().filter(|_| depth < DEEP)? {
        if value.kind() == ValueKind::Map {
            pay(&value.get_item(&part).ok()?, depth + 1, room)?;
        }
        pay(&part, depth + 1, room)?;
    }
    Some(())
}

/// An expression as it may be shown: texts in it can be secrets that `${…}` filled in.
fn without_literals(source: &str) -> String {
    let mut shown = String::with_capacity(source.len());
    let mut chars = source.chars();
    while let Some(c) = chars.next() {
        shown.push(c);
        if c != '\'' && c != '"' {
            continue;
        }
        let mut empty = true;
        while let Some(inside) = chars.next() {
            match inside {
                '\\' => {
                    chars.next();
                }
                inside if inside == c => break,
                _ => {}
            }
            empty = false;
        }
        if !empty {
            shown.push('…');
        }
        shown.push(c);
    }
    shown
}

/// Reads `name.key[0]["key"]`; none where it is anything else.
fn plain(source: &str) -> Option<(&str, Vec<Key>)> {
    let (name, mut rest) = identifier(source)?;
    if is_word(name) {
        return None;
    }
    let mut path = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let (key, after) = identifier(after)?;
            path.push(Key::Name(key.to_owned()));
            rest = after;
            continue;
        }
        let (key, after) = rest.strip_prefix('[')?.split_once(']')?;
        let key = key.trim();
        path.push(match key.as_bytes() {
            [quote @ (b'"' | b'\''), inner @ .., last] if quote == last => {
                let inner = std::str::from_utf8(inner).ok()?;
                if inner.contains(['\\', '"', '\'']) {
                    return None;
                }
                Key::Name(inner.to_owned())
            }
            digits if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => Key::Index(key.parse().ok()?),
            _ => return None,
        });
        rest = after;
    }
    Some((name, path))
}

fn identifier(source: &str) -> Option<(&str, &str)> {
    let end = source.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(source.len());
    let (name, rest) = source.split_at(end);
    (!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())).then_some((name, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_plain_variable_is_a_name_and_a_way() {
        let (name, path) = plain(r#"a.b[0]["c d"]['e']"#).unwrap();
        assert_eq!(name, "a");
        let keys = [Key::Name("b".into()), Key::Index(0), Key::Name("c d".into()), Key::Name("e".into())];
        assert_eq!(path, keys);
        for other in ["a.0", "a[-1]", "a | upper", "1", "true", "not", "a.", "a[b]", "'x'", "a b", r#"a["\""]"#] {
            assert!(plain(other).is_none(), "{other}");
        }
    }

    #[test]
    fn an_expression_that_passes_the_count_never_overflows_the_stack() {
        for (part, end) in [("not ", "1"), ("-", "1"), ("1+", "1"), ("1 if 1 else ", "1"), ("(", "1"), ("[", "")] {
            let text = format!("{}{end}", part.repeat(20_000));
            assert!(marks(&text) > MARKS, "{part}");
            let text = format!("{}{end}", part.repeat(MARKS / marks(part)));
            assert!(marks(&text) <= MARKS, "{part}");
            let _ = ENGINE.compile_expression_owned(text);
        }
        let _ = ENGINE.compile_expression_owned(format!("1{}", "|upper".repeat(MARKS)));
        assert!(marks(&format!("[{}]|random", "'a, (b) [c] | d', ".repeat(5_000))) < MARKS, "a long list of texts");
    }

    #[test]
    fn tojson_makes_no_text_that_its_fuel_could_not_pay() {
        let length = |text: &str| -> Option<usize> {
            let code = ENGINE.compile_expression(text).unwrap();
            code.eval(()).ok().and_then(|value| value.len().or_else(|| value.as_str().map(str::len)))
        };
        assert_eq!(length("[1, 'a']|tojson"), Some(8));
        assert_eq!(length("[1]|tojson(indent=2)"), Some(7));
        assert_eq!(length("[1]|tojson(true)"), Some(7));
        for text in ["([1]*90000)|tojson(1000000)", "[1]|tojson(indent=17)", "([1]*1000000000)|tojson"] {
            assert_eq!(length(text), None, "{text}");
        }
    }

    #[test]
    fn texts_in_an_expression_are_not_shown() {
        assert_eq!(without_literals(r#"a == 'x' and b == "y\"z" or c == ''"#), r#"a == '…' and b == "…" or c == ''"#);
        assert_eq!(without_literals("'open"), "'…'");
    }
}
