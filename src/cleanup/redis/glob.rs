//! Redis' glob patterns, matched exactly as Redis' `stringmatchlen` does (src/util.c, 7.0).
//!
//! Its own because no crate has its corners: a class that is never closed ends with the pattern, `[b-a]`
//! is `[a-b]`, a backslash at the end is a backslash.

/// How deep `*` may follow `*` in one match, as in Redis.
const MAX_STARS: u32 = 1000;

/// Whether `text` matches `pattern`.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut skip = false;
    walk(pattern, text, &mut skip, 0)
}

/// The text with which every match begins, and whether that is all of the pattern.
pub(super) fn literal_prefix(pattern: &[u8]) -> (Vec<u8>, bool) {
    let mut prefix = Vec::with_capacity(pattern.len());
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'*' | b'?' | b'[' => return (prefix, false),
            b'\\' => {
                at += usize::from(at + 1 < pattern.len());
                prefix.push(pattern[at]);
            }
            _ => prefix.push(byte),
        }
        at += 1;
    }
    (prefix, true)
}

/// `skip` is set where a `*` further in has tried all that is left: no earlier `*` can do better.
fn walk(mut pattern: &[u8], mut text: &[u8], skip: &mut bool, stars: u32) -> bool {
    if stars > MAX_STARS {
        return false;
    }
    while let (Some(&front), Some(&byte)) = (pattern.first(), text.first()) {
        match front {
            b'*' => {
                while pattern.get(1) == Some(&b'*') {
                    pattern = &pattern[1..];
                }
                let rest = &pattern[1..];
                if rest.is_empty() {
                    return true;
                }
                while !text.is_empty() {
                    if walk(rest, text, skip, stars + 1) {
                        return true;
                    }
                    if *skip {
                        return false;
                    }
                    text = &text[1..];
                }
                *skip = true;
                return false;
            }
            b'?' => text = &text[1..],
            b'[' => {
                let (holds, rest) = class(&pattern[1..], byte);
                if !holds {
                    return false;
                }
                text = &text[1..];
                pattern = rest;
                continue;
            }
            b'\\' if pattern.len() >= 2 => {
                pattern = &pattern[1..];
                if pattern[0] != byte {
                    return false;
                }
                text = &text[1..];
            }
            literal => {
                if literal != byte {
                    return false;
                }
                text = &text[1..];
            }
        }
        pattern = &pattern[1..];
    }
    if text.is_empty() {
        let stars = pattern.iter().take_while(|byte| **byte == b'*').count();
        pattern = &pattern[stars..];
    }
    pattern.is_empty() && text.is_empty()
}

/// Whether `byte` is in the class whose `[` stands before `pattern`, and what follows its `]`.
fn class(mut pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    let not = pattern.first() == Some(&b'^');
    if not {
        pattern = &pattern[1..];
    }
    let mut holds = false;
    loop {
        match pattern {
            [] => break,
            [b'\\', escaped, rest @ ..] => {
                holds |= *escaped == byte;
                pattern = rest;
            }
            [b']', rest @ ..] => {
                pattern = rest;
                break;
            }
            [first, b'-', last, rest @ ..] => {
                let (low, high) = if first <= last { (*first, *last) } else { (*last, *first) };
                holds |= (low..=high).contains(&byte);
                pattern = rest;
            }
            [single, rest @ ..] => {
                holds |= *single == byte;
                pattern = rest;
            }
        }
    }
    (holds != not, pattern)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, want) in [
            ("test-*", "test-", true),
            ("test-*", "test", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a[bc]d", "acd", true),
            ("a[^bc]d", "acd", false),
            ("a[^bc]d", "axd", true),
            ("a[c-a]d", "abd", true),
            ("a[b", "ab", true),
            ("a[\\]]d", "a]d", true),
            ("a\\*d", "a*d", true),
            ("a\\*d", "axd", false),
            ("a\\", "a\\", true),
            ("", "", true),
            ("a", "", false),
            ("***", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), want, "{pattern} against {text}");
        }
    }

    #[test]
    fn every_match_begins_with_the_literal_prefix() {
        assert_eq!(literal_prefix(b"test-*"), (b"test-".to_vec(), false));
        assert_eq!(literal_prefix(b"a\\*b?"), (b"a*b".to_vec(), false));
        assert_eq!(literal_prefix(b"[a]bc"), (Vec::new(), false));
        assert_eq!(literal_prefix(b"abc\\"), (b"abc\\".to_vec(), true));
    }

    #[test]
    fn many_stars_end_in_time() {
        let pattern = "a*".repeat(60) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(200).as_bytes()));
    }
}
