//! The name of a table, as Postgres quotes it.
//!
//! A name from a plan stands in SQL text, where no parameter can stand. So it is taken apart
//! here, and only ever put together again with every part in quotes.

use std::fmt;

/// The longest identifier that Postgres keeps whole, in bytes.
const MAX_BYTES: usize = 63;

/// `table` or `schema.table`. Its `Display` is SQL, every part in quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: Option<String>,
    table: String,
}

/// Why a text is no name of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A part is missing.
    #[error("a part of the name is empty")]
    Empty,
    /// Something that cannot stand in a name without quotes.
    #[error("`{0}` cannot stand in a name without quotes")]
    Character(char),
    /// A quote that is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// More than a schema and a table.
    #[error("more than `schema.table`")]
    TooManyParts,
    /// Longer than Postgres keeps.
    #[error("a part is longer than 63 bytes")]
    TooLong,
    /// A schema of the database itself.
    #[error("the tables of this schema belong to the database itself")]
    System,
}

// === impl TableName ===

impl TableName {
    /// Reads a name as Postgres does: parts without quotes become lower case, `""` is a quote in quotes.
    ///
    /// # Errors
    /// Where the text is more or less than one name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let mut rest = text.trim();
        let mut parts = Vec::new();
        loop {
            let (part, behind) = parse_part(rest)?;
            if part.is_empty() {
                return Err(NameError::Empty);
            }
            if part.len() > MAX_BYTES {
                return Err(NameError::TooLong);
            }
            parts.push(part);
            match behind.chars().next() {
                None => break,
                Some('.') => rest = &behind[1..],
                Some(other) => return Err(NameError::Character(other)),
            }
        }
        let table = parts.pop().ok_or(NameError::Empty)?;
        let schema = parts.pop();
        if !parts.is_empty() {
            return Err(NameError::TooManyParts);
        }
        if schema.as_deref().is_some_and(|schema| schema.starts_with("pg_") || schema == "information_schema") {
            return Err(NameError::System);
        }
        Ok(Self { schema, table })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{}.", quote(schema))?;
        }
        f.write_str(&quote(&self.table))
    }
}

// === helpers ===

/// Puts an identifier in quotes.
pub(super) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Reads the name of a column as Postgres does; gives it as the catalog spells it.
pub(super) fn column(text: &str) -> Result<String, NameError> {
    let (name, behind) = parse_part(text.trim())?;
    match behind.chars().next() {
        Some(other) => Err(NameError::Character(other)),
        None if name.is_empty() => Err(NameError::Empty),
        None if name.len() > MAX_BYTES => Err(NameError::TooLong),
        None => Ok(name),
    }
}

/// Takes the first part off `text`; gives it and what stands behind it.
fn parse_part(text: &str) -> Result<(String, &str), NameError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| !(c == '_' || c == '$' || c.is_alphanumeric())).unwrap_or(text.len());
        let part = &text[..end];
        return match part.chars().next() {
            Some(first) if first == '$' || first.is_ascii_digit() => Err(NameError::Character(first)),
            // Postgres folds ASCII only, in a database of several bytes a character.
            _ => Ok((part.to_ascii_lowercase(), &text[end..])),
        };
    };
    let mut part = String::new();
    let mut characters = quoted.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\0' => return Err(NameError::Character('\0')),
            '"' if characters.peek().is_some_and(|(_, next)| *next == '"') => {
                characters.next();
                part.push('"');
            }
            '"' => return Ok((part, &quoted[at + 1..])),
            other => part.push(other),
        }
    }
    Err(NameError::OpenQuote)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_read_as_postgres_reads_them() {
        for (text, sql) in [
            ("users", r#""users""#),
            (" Public.Users ", r#""public"."users""#),
            (r#"public."user""#, r#""public"."user""#),
            (r#""A ""b"" c".x"#, r#""A ""b"" c"."x""#),
            (r#""a.b""#, r#""a.b""#),
            ("straße", r#""straße""#),
        ] {
            assert_eq!(TableName::parse(text).unwrap().to_string(), sql, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            " ",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "users; DROP TABLE x",
            "users WHERE true",
            "users--",
            "a b",
            "(SELECT 1)",
            "\"open",
            "\"\"",
            "1a",
            "$a",
            "users u",
            "pg_catalog.pg_class",
            "information_schema.tables",
            "a,b",
            "ONLY users",
        ] {
            assert!(TableName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(TableName::parse(&"x".repeat(64)), Err(NameError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_read_back(schema in "[^\0]{1,12}", table in "[^\0]{1,12}") {
            prop_assume!(!schema.starts_with("pg_"));
            let sql = format!("{}.{}", quote(&schema), quote(&table));
            prop_assert_eq!(TableName::parse(&sql).unwrap().to_string(), sql);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = TableName::parse(&text);
        }
    }
}
