//! JSONPaths (RFC 9535) into answers, compiled once.
//!
//! Nearly all are plain ways like `$.usage.total_tokens`. All of a step's are read in one pass over
//! the text that builds nothing it was not asked for; only filters and wildcards need the whole
//! answer as a tree.

use super::site::Site;
use super::variable::Key;
use crate::plan::Text;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json_path::JsonPath;
use std::fmt;

/// The longest JSONPath, in bytes.
const MAX_PATH: usize = 4 * 1024;
/// How deep brackets and parentheses of a JSONPath may nest, and brackets alone: its parser calls itself for
/// each, and for a filter in a filter it reads the inner one twice.
const MAX_DEPTH: (usize, usize) = (16, 6);
/// The largest answer that is read as a tree, in bytes: a tree takes some thirty times as much.
const MAX_TREE: usize = 1 << 20;

/// The JSONPaths of one step.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    texts: Vec<String>,
    /// Where plain ways lead.
    tree: Branch,
    /// The plain ways, for answers that are read as a tree.
    plain: Vec<(usize, Vec<Key>)>,
    /// All others.
    general: Vec<(usize, JsonPath)>,
}

/// What a JSONPath found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Found {
    /// One value.
    One(Value),
    /// Several, of a path that may find several.
    Many(Vec<Value>),
}

/// A place in the answer that is on the way to something wanted.
#[derive(Debug, Default)]
struct Branch {
    wanted: Option<usize>,
    names: Vec<(String, Branch)>,
    items: Vec<(usize, Branch)>,
}

// === impl Queries ===

impl Queries {
    /// Adds a JSONPath, or finds it; its index. None where it is none, which is recorded.
    pub(crate) fn add(&mut self, text: &Text, site: &mut Site<'_, '_>) -> Option<usize> {
        if let Some(at) = self.texts.iter().position(|known| *known == text.value) {
            return Some(at);
        }
        if is_tangled(&text.value) {
            let message = format!("a JSONPath longer than {MAX_PATH} bytes, or with filters nested too deep");
            site.error(text.span, message, Some("capture a part in one step, and look into that"));
            return None;
        }
        let path = match JsonPath::parse(&text.value) {
            Ok(path) => path,
            Err(error) => {
                let message = format!("`{}` is no JSONPath: {}", text.value, error.message());
                site.error(text.span, message, Some("RFC 9535: `$.name`, `$['a-b']`, `$.list[0]`"));
                return None;
            }
        };
        let at = self.texts.len();
        self.texts.push(text.value.clone());
        match plain(&text.value) {
            Some(way) => {
                self.tree.grow(&way, at);
                self.plain.push((at, way));
            }
            None => self.general.push((at, path)),
        }
        Some(at)
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Reads all of them from a JSON text into `found`, by index. Nothing is found in what is not JSON,
    /// nor in what would have to be read as a tree and is larger than [`MAX_TREE`].
    pub(crate) fn read(&self, json: &[u8], found: &mut Vec<Option<Found>>) {
        self.clear(found);
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        if self.general.is_empty() {
            let mut reader = serde_json::Deserializer::from_slice(json);
            let read = Walk { branch: &self.tree, found }.deserialize(&mut reader);
            if read.and_then(|()| reader.end()).is_err() {
                self.clear(found);
            }
            return;
        }
        if json.len() > MAX_TREE {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(json) else { return };
        for (at, way) in &self.plain {
            found[*at] = follow(&value, way).cloned().map(Found::One);
        }
        for (at, path) in &self.general {
            let mut nodes: Vec<Value> = path.query(&value).iter().map(|node| (*node).clone()).collect();
            found[*at] = match nodes.len() {
                0 => None,
                1 => nodes.pop().map(Found::One),
                _ => Some(Found::Many(nodes)),
            };
        }
    }

    /// Forgets what was found.
    pub(crate) fn clear(&self, found: &mut Vec<Option<Found>>) {
        found.clear();
        found.resize_with(self.texts.len(), || None);
    }
}

// === impl Found ===

impl Found {
    /// As one value: several are a list.
    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::One(value) => value,
            Self::Many(values) => Value::Array(values),
        }
    }

    /// Its values, each by itself.
    pub(crate) fn values(&self) -> &[Value] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

// === impl Branch ===

impl Branch {
    fn grow(&mut self, way: &[Key], at: usize) {
        let Some((key, rest)) = way.split_first() else {
            self.wanted = Some(at);
            return;
        };
        let next = match key {
            Key::Name(name) => child(&mut self.names, name),
            Key::Index(index) => child(&mut self.items, index),
        };
        next.grow(rest, at);
    }

    fn forget(&self, found: &mut [Option<Found>]) {
        if let Some(at) = self.wanted {
            found[at] = None;
        }
        for branch in self.branches() {
            branch.forget(found);
        }
    }

    fn keep(&self, value: &Value, found: &mut [Option<Found>]) {
        if let Some(at) = self.wanted {
            found[at] = Some(Found::One(value.clone()));
        }
        for (name, branch) in &self.names {
            if let Some(value) = value.as_object().and_then(|map| map.get(name)) {
                branch.keep(value, found);
            }
        }
        for (index, branch) in &self.items {
            if let Some(value) = value.as_array().and_then(|items| items.get(*index)) {
                branch.keep(value, found);
            }
        }
    }

    fn branches(&self) -> impl Iterator<Item = &Self> {
        self.names.iter().map(|(_, branch)| branch).chain(self.items.iter().map(|(_, branch)| branch))
    }

    const fn is_leaf(&self) -> bool {
        self.names.is_empty() && self.items.is_empty()
    }
}

fn child<'a, K: PartialEq + ToOwned<Owned = O> + ?Sized, O: std::borrow::Borrow<K>>(
    children: &'a mut Vec<(O, Branch)>,
    key: &K,
) -> &'a mut Branch {
    let at = children.iter().position(|(known, _)| known.borrow() == key).unwrap_or_else(|| {
        children.push((key.to_owned(), Branch::default()));
        children.len() - 1
    });
    &mut children[at].1
}

/// Walks a JSON text along a branch.
struct Walk<'a> {
    branch: &'a Branch,
    found: &'a mut [Option<Found>],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.branch.wanted {
            None => deserializer.deserialize_any(self),
            Some(at) => {
                let value = <Value as serde::Deserialize>::deserialize(deserializer)?;
                if self.branch.is_leaf() {
                    self.found[at] = Some(Found::One(value));
                } else {
                    self.branch.keep(&value, self.found);
                }
                Ok(())
            }
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(next) = map.next_key_seed(Names(self.branch))? {
            match next {
                Some(at) => {
                    let branch = &self.branch.names[at].1;
                    // Of a name that comes twice the last counts, as where the whole is read.
                    branch.forget(self.found);
                    map.next_value_seed(Walk { branch, found: &mut *self.found })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut index = 0;
        loop {
            let branch = self.branch.items.iter().find(|(wanted, _)| *wanted == index);
            let more = match branch {
                Some((_, branch)) => seq.next_element_seed(Walk { branch, found: &mut *self.found })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Finds the branch that a name leads to.
struct Names<'a>(&'a Branch);

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Names<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.names.iter().position(|(wanted, _)| wanted == name))
    }
}

fn follow<'a>(mut value: &'a Value, way: &[Key]) -> Option<&'a Value> {
    for key in way {
        value = match key {
            Key::Name(name) => value.as_object()?.get(name)?,
            Key::Index(index) => value.as_array()?.get(*index)?,
        };
    }
    Some(value)
}

/// Whether parsing it could take the stack, or the age of the world.
fn is_tangled(path: &str) -> bool {
    let (mut depth, mut brackets, mut quote, mut escaped) = (0_usize, 0_usize, None, false);
    for byte in path.bytes() {
        match (quote, byte) {
            (Some(_), _) if escaped => escaped = false,
            (Some(_), b'\\') => escaped = true,
            (Some(open), byte) if open == byte => quote = None,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'(' | b'[') => (depth, brackets) = (depth + 1, brackets + usize::from(byte == b'[')),
            (None, b')' | b']') => {
                (depth, brackets) = (depth.saturating_sub(1), brackets.saturating_sub(usize::from(byte == b']')));
            }
            _ => {}
        }
        if depth > MAX_DEPTH.0 || brackets > MAX_DEPTH.1 {
            return true;
        }
    }
    path.len() > MAX_PATH
}

/// Reads a path of names and indexes only; none where it is more than that. It is known to be a JSONPath.
fn plain(text: &str) -> Option<Vec<Key>> {
    let mut rest = text.strip_prefix('$')?;
    let mut way = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return None;
            }
            way.push(Key::Name(name.to_owned()));
            rest = after;
            continue;
        }
        let (key, after) = rest.strip_prefix('[')?.split_once(']')?;
        way.push(match key.as_bytes() {
            [quote @ (b'"' | b'\''), inner @ .., last] if quote == last && !inner.contains(&b'\\') => {
                let inner = std::str::from_utf8(inner).ok()?;
                if inner.contains(['"', '\'']) {
                    return None;
                }
                Key::Name(inner.to_owned())
            }
            digits if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => Key::Index(key.parse().ok()?),
            _ => return None,
        });
        rest = after;
    }
    Some(way)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn queries(paths: &[&str]) -> Queries {
        let mut queries = Queries::default();
        for (at, path) in paths.iter().enumerate() {
            queries.texts.push((*path).to_owned());
            match plain(path) {
                Some(way) => {
                    queries.tree.grow(&way, at);
                    queries.plain.push((at, way));
                }
                None => queries.general.push((at, JsonPath::parse(path).unwrap())),
            }
        }
        queries
    }

    fn read(paths: &[&str], json: &str) -> Vec<Option<Value>> {
        let mut found = Vec::new();
        queries(paths).read(json.as_bytes(), &mut found);
        found.into_iter().map(|found| found.map(Found::into_value)).collect()
    }

    #[test]
    fn plain_ways_are_read_in_one_pass() {
        let json = r#"{"a":{"b":[1,{"c":"x"}],"d":null},"e-f":true,"a\u0062":2}"#;
        let paths = ["$.a.b[1].c", "$.a.b", "$['e-f']", "$.a.d", "$.none", "$.a.b[7]", "$.ab", "$.e.x"];
        assert_eq!(
            read(&paths, json),
            [
                Some(json!("x")),
                Some(json!([1, { "c": "x" }])),
                Some(json!(true)),
                Some(json!(null)),
                None,
                None,
                Some(json!(2)),
                None
            ]
        );
        assert_eq!(read(&["$"], "[1]"), [Some(json!([1]))]);
    }

    #[test]
    fn a_path_that_may_find_several_gives_one_value_or_a_list() {
        let json = r#"{"items":[{"id":1,"on":true},{"id":2,"on":false}]}"#;
        assert_eq!(
            read(&["$.items[*].id", "$.items[?@.on == true].id", "$.items[-1].id", "$.items[0].id", "$..no"], json),
            [Some(json!([1, 2])), Some(json!(1)), Some(json!(2)), Some(json!(1)), None]
        );
    }

    #[test]
    fn nothing_is_found_in_what_is_not_json() {
        for text in ["", "<html>", r#"{"a":1"#, r#"{"a":1} x"#, "\u{0}"] {
            assert_eq!(read(&["$.a"], text), [None], "{text}");
        }
        assert_eq!(read(&["$.a"], "\u{feff}{\"a\":1}"), [Some(json!(1))]);
    }

    #[test]
    fn a_path_that_passes_is_parsed_soon_and_on_a_small_stack() {
        for deep in ["[?@", "(", "!(", "[?(@", "[?length(@"] {
            assert!(is_tangled(&format!("$[?{}", deep.repeat(5_000))), "{deep}");
            assert!(is_tangled(&format!("$[?{}", deep.repeat(20))), "{deep}");
        }
        for (open, inner, close) in [("[?@", "", "]"), ("(", "@.a", ")"), ("[?(@", "", ")]"), ("[?!(@", "", ")]")] {
            let mut path = String::new();
            for times in (0..20).rev() {
                path = format!("$[?@{}{inner}{}]", open.repeat(times), close.repeat(times));
                if !is_tangled(&path) {
                    break;
                }
            }
            let begun = tokio::time::Instant::now();
            let _ = JsonPath::parse(&path);
            assert!(begun.elapsed().as_millis() < 500, "{path} took {:?}", begun.elapsed());
        }
        assert!(!is_tangled("$.a[?(@.b[0].c == '((((((((((((((((((((' && !(@.d || @.e))].f['[[[[[[[']"));
    }

    #[test]
    fn what_is_too_large_for_a_tree_is_read_along_plain_ways_only() {
        let json = format!(r#"{{"a":"x","list":[{}1]}}"#, "1,".repeat(MAX_TREE / 2));
        assert_eq!(read(&["$.a"], &json), [Some(json!("x"))]);
        assert_eq!(read(&["$.a", "$..a"], &json), [None, None]);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(json!(null)), any::<i64>().prop_map(|n| json!(n)), "[a-c]{0,3}".prop_map(|s| json!(s))];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(("[a-c]", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn one_pass_finds_what_the_whole_tree_holds(value in any_json()) {
            let paths = ["$.a", "$.a.b", "$.a[0]", "$.b[1].c", "$.c.a.a", "$[0]", "$[1].a"];
            let found = read(&paths, &value.to_string());
            for (path, found) in paths.iter().zip(found) {
                let expected = JsonPath::parse(path).unwrap().query(&value).first().cloned();
                prop_assert_eq!(found, expected, "{}", path);
            }
        }
    }
}
