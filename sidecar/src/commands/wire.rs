//! `--http-debug`: what passes on the wire, on standard error.

use crate::output;
use pacecar::client::Listener;
use pacecar::plan::Variables;

/// Parts of a variable's name behind which there is a secret.
const SECRET: [&str; 6] = ["PASSW", "TOKEN", "SECRET", "KEY", "CREDENTIAL", "AUTH"];

/// Who listens; nobody where the flag was not given, or a variable says no.
///
/// # Errors
/// What the flag cannot be.
pub(super) fn listener(flag: Option<&str>, variables: &Variables) -> Result<Option<Listener>, String> {
    let bodies = match flag.map(str::trim) {
        None | Some("" | "0" | "false" | "no" | "off") => return Ok(None),
        Some("headers" | "1" | "true" | "yes" | "on") => false,
        Some("full") => true,
        Some(other) => return Err(format!("{other:?} is neither nothing nor `full`")),
    };
    Ok(Some(Listener::new(output::message, bodies, secrets(variables))))
}

/// Values that are secret by their names: they are told nowhere, whatever the plan does with them.
fn secrets(variables: &Variables) -> Vec<String> {
    let secret = |name: &str| SECRET.iter().any(|part| name.to_ascii_uppercase().contains(part));
    let all = variables.given.iter().chain(&variables.environment);
    all.filter(|(name, _)| secret(name)).map(|(_, value)| value.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_flag_is_as_k6_has_it() {
        let of = |flag| listener(flag, &Variables::new([], [])).map(|listener| listener.is_some());
        assert_eq!((of(None), of(Some("false")), of(Some(""))), (Ok(false), Ok(false), Ok(false)));
        assert_eq!((of(Some("headers")), of(Some("full")), of(Some("1"))), (Ok(true), Ok(true), Ok(true)));
        assert!(of(Some("bodies")).is_err());
    }

    #[test]
    fn values_are_secret_by_their_names() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let given = [pair("AUTH_PASSWORD", "a"), pair("API_URL", "b")];
        let found = secrets(&Variables::new(given, [pair("GITHUB_TOKEN", "c"), pair("HOME", "d")]));
        assert_eq!(found, ["a", "c"]);
    }
}
