//! What is told with `***` in its place: by name where a name says that it is secret, and texts that are known to be.

use http::Uri;
use regex::Regex;

/// What is never told.
#[derive(Debug)]
pub(crate) struct Masks {
    secrets: Vec<String>,
    /// A member of a JSON object; none only where the pattern were broken, which a test excludes.
    json: Option<Regex>,
    /// A parameter of a query or a form.
    form: Option<Regex>,
}

/// Parts of names behind which there is a secret.
const WORDS: &str = "authorization|cookie|token|secret|passw|pwd|api[-_]?key|apikey|credential|session|signature|proof";
/// What stands in a secret's place.
const MASK: &str = "***";
/// A shorter text would be masked everywhere by chance.
const SHORTEST: usize = 4;

// === impl Masks ===

impl Masks {
    /// These texts, and whatever has a name that says so.
    pub(crate) fn new(mut secrets: Vec<String>) -> Self {
        secrets.retain(|secret| secret.len() >= SHORTEST);
        // One may hold another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let json = format!(r#"(?i)("[^"]*(?:{WORDS})[^"]*"\s*:\s*)(?:"(?:[^"\\]|\\.)*"|[^,\}}\]\s]+)"#);
        let form = format!(r#"(?i)((?:^|[?&;\s])[^=&?;\s"]*(?:{WORDS})[^=&?;\s"]*=)[^&;\s"]*"#);
        Self { secrets, json: Regex::new(&json).ok(), form: Regex::new(&form).ok() }
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str, value: &str) -> String {
        let name = name.to_ascii_lowercase();
        if WORDS.split('|').any(|word| name.contains(&word.replace("[-_]?", "-"))) {
            // Which scheme it is helps, and tells nothing.
            let scheme = value.split_once(' ').map(|(scheme, _)| scheme).filter(|_| name.ends_with("authorization"));
            return scheme.map_or_else(|| MASK.to_owned(), |scheme| format!("{scheme} {MASK}"));
        }
        self.text(value)
    }

    /// Where a request goes.
    pub(crate) fn uri(&self, uri: &Uri) -> String {
        let text = uri.to_string();
        let text = match uri.authority().and_then(|authority| authority.as_str().rsplit_once('@')) {
            Some((user, _)) => text.replacen(user, MASK, 1),
            None => text,
        };
        self.text(&text)
    }

    /// Any text.
    pub(crate) fn text(&self, text: &str) -> String {
        let (Some(json), Some(form)) = (&self.json, &self.form) else { return MASK.to_owned() };
        let told = json.replace_all(text, "${1}\"***\"");
        let told = form.replace_all(&told, "${1}***").into_owned();
        self.secrets.iter().fold(told, |told, secret| told.replace(secret.as_str(), MASK))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_name_says_is_secret_is_masked() {
        let masks = Masks::new(Vec::new());
        for (text, want) in [
            (r#"{"password": "a\"b", "n": 1}"#, r#"{"password": "***", "n": 1}"#),
            (
                r#"{"access_token":"x","refreshToken":"y","expires":3}"#,
                r#"{"access_token":"***","refreshToken":"***","expires":3}"#,
            ),
            (r#"{"api_key":12345}"#, r#"{"api_key":"***"}"#),
            ("grant_type=password&password=p%20w&user=me", "grant_type=password&password=***&user=me"),
            ("/login?token=abc&page=2", "/login?token=***&page=2"),
            ("nothing to hide: 1=1", "nothing to hide: 1=1"),
        ] {
            assert_eq!(masks.text(text), want);
        }
        assert_eq!(masks.header("Authorization", "Basic dXNlcg=="), "Basic ***");
        for name in ["cookie", "Set-Cookie", "x-api-key", "X-Session-Id", "proxy-authorization", "x-auth-token"] {
            assert!(masks.header(name, "abc").ends_with("***"), "{name}");
        }
        assert_eq!(masks.header("content-type", "text/plain"), "text/plain");
        assert_eq!(masks.uri(&"http://me:pw@h/a".parse().unwrap()), "http://***@h/a");
    }

    #[test]
    fn known_secrets_are_masked_wherever_they_stand() {
        let masks = Masks::new(vec!["s3cret-value".into(), "abc".into(), "s3cret-value-longer".into()]);
        assert_eq!(masks.text("a s3cret-value b s3cret-value-longer abc"), "a *** b *** abc");
        assert_eq!(masks.header("x-note", "s3cret-value"), "***");
    }
}
