//! A recommendation in the form that whoever applies it needs: an environment file, a patch of a Deployment, a change
//! of the plan. Text in, text out; nothing is applied.

use super::setting::Setting;
use std::fmt::Write as _;

/// Where a Deployment's container stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// The namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The container.
    pub container: String,
}

/// The setting as an environment file: `PG_POOL_MAX=24`, a line each. What a shell would read otherwise is quoted.
#[must_use]
pub fn environment(setting: &Setting) -> String {
    let mut text = String::new();
    for (knob, value) in setting.iter() {
        let _ = writeln!(text, "{knob}={}", shell(value));
    }
    text
}

/// A patch for `kubectl patch --patch-file`: the container's environment, merged by name.
#[must_use]
pub fn kubernetes_patch(deployment: &Deployment, setting: &Setting) -> String {
    let Deployment { namespace, name, container } = deployment;
    let mut text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {}\n  namespace: {}\nspec:\n  template:\n    spec:\n      \
         containers:\n        - name: {}\n          env:\n",
        quoted(name),
        quoted(namespace),
        quoted(container)
    );
    for (knob, value) in setting.iter() {
        let _ = write!(text, "            - name: {}\n              value: {}\n", quoted(knob), quoted(value));
    }
    text
}

/// What changes in the plan's `tune.original`, as a unified diff of `file`. None where nothing changes, or where
/// `original` does not hold plain values: what comes from `${…}` is not the plan's to change.
#[must_use]
pub fn plan_diff(file: &str, plan: &str, setting: &Setting) -> Option<String> {
    let lines: Vec<&str> = plan.lines().collect();
    let first = original(&lines)?;
    let indent = |line: &str| line.len() - line.trim_start().len();
    let depth = indent(lines.get(first)?);
    let inside = |line: &&&str| line.trim().is_empty() || indent(line) > depth;
    let length = 1 + lines.iter().skip(first + 1).take_while(inside).count();
    let mut hunks = String::new();
    for (number, line) in lines.iter().enumerate().skip(first).take(length) {
        let changed = changed(line, setting)?;
        if changed != **line {
            let at = number + 1;
            let _ = write!(hunks, "@@ -{at} +{at} @@\n-{line}\n+{changed}\n");
        }
    }
    (!hunks.is_empty()).then(|| format!("--- {file}\n+++ {file}\n{hunks}"))
}

/// The line of `original:` within `tune:`.
fn original(lines: &[&str]) -> Option<usize> {
    let tune = lines.iter().position(|line| line.starts_with("tune:"))?;
    let section = lines.iter().enumerate().skip(tune + 1);
    section
        .take_while(|(_, line)| line.is_empty() || line.starts_with([' ', '#']))
        .find(|(_, line)| line.trim_start().starts_with("original:"))
        .map(|(number, _)| number)
}

/// The line with the values of the setting in place of its own. None where a value is filled in from elsewhere.
fn changed(line: &str, setting: &Setting) -> Option<String> {
    let mut text = line.to_owned();
    for (knob, value) in setting.iter() {
        let Some(range) = value_of(&text, knob) else { continue };
        let old = text.get(range.clone())?;
        if old.contains("${") {
            return None;
        }
        let unquoted = old.trim_matches(['"', '\'']);
        if unquoted != value {
            text.replace_range(range, &scalar(value));
        }
    }
    Some(text)
}

/// Where the value of `KNOB: value` stands in a line.
fn value_of(line: &str, knob: &str) -> Option<std::ops::Range<usize>> {
    let name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let mut from = 0;
    while let Some(found) = line.get(from..)?.find(knob) {
        let start = from + found;
        let end = start + knob.len();
        let whole = !line.get(..start)?.ends_with(name);
        let rest = line.get(end..)?;
        if let (true, Some(value)) = (whole, rest.strip_prefix(':')) {
            let begin = end + 1 + (value.len() - value.trim_start().len());
            let value = line.get(begin..)?;
            let length = value.find([',', '}', '#']).unwrap_or(value.len());
            // A place for a variable has braces of its own.
            let length = if value.starts_with("${") { value.find('}').map_or(length, |at| at + 1) } else { length };
            return Some(begin..begin + value.get(..length)?.trim_end().len());
        }
        from = end;
    }
    None
}

/// A value as YAML reads it back: numbers bare, all else quoted.
fn scalar(value: &str) -> String {
    if super::size::number(value).is_some() { value.to_owned() } else { quoted(value) }
}

/// As YAML and JSON both read it: always a text.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// As a shell, and `--env-file`, read it.
fn shell(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.,/:@%+".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(pool: &str) -> Setting {
        [("PG_POOL_MAX", pool), ("UV_THREADPOOL_SIZE", "4")].into_iter().collect()
    }

    #[test]
    fn an_environment_file_is_what_a_shell_reads() {
        assert_eq!(environment(&setting("24")), "PG_POOL_MAX=24\nUV_THREADPOOL_SIZE=4\n");
        let odd: Setting = [("MODE", "it's $HOME"), ("EMPTY", "")].into_iter().collect();
        assert_eq!(environment(&odd), "MODE='it'\\''s $HOME'\nEMPTY=''\n");
    }

    #[test]
    fn a_patch_has_values_as_text() {
        let deployment = Deployment { namespace: "staging".into(), name: "api".into(), container: "api".into() };
        let patch = kubernetes_patch(&deployment, &setting("8"));
        assert!(patch.starts_with("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: \"api\"\n"), "{patch}");
        assert!(patch.contains("            - name: \"PG_POOL_MAX\"\n              value: \"8\"\n"), "{patch}");
    }

    const PLAN: &str = "name: x\noriginal: { PG_POOL_MAX: 1 }\ntune:\n  knobs: { PG_POOL_MAX: [2, 8] }\n  original: { PG_POOL_MAX: 16, UV_THREADPOOL_SIZE: 4 }   # today\n  apply: {}\n";

    #[test]
    fn a_plan_changes_where_it_says_what_runs_today() {
        assert_eq!(
            plan_diff("plan.yaml", PLAN, &setting("8")).as_deref(),
            Some(
                "--- plan.yaml\n+++ plan.yaml\n@@ -5 +5 @@\n-  original: { PG_POOL_MAX: 16, UV_THREADPOOL_SIZE: 4 }   # today\n\
                 +  original: { PG_POOL_MAX: 8, UV_THREADPOOL_SIZE: 4 }   # today\n"
            )
        );
        assert_eq!(plan_diff("plan.yaml", PLAN, &setting("16")), None, "nothing changes");
    }

    #[test]
    fn a_block_changes_line_by_line_and_text_is_quoted() {
        let plan = "tune:\n  original:\n    OLD_PG_POOL_MAX: 3\n    PG_POOL_MAX: 16\n    MODE: session\n  trial: {}\n";
        let to: Setting = [("PG_POOL_MAX", "8"), ("MODE", "transaction")].into_iter().collect();
        assert_eq!(
            plan_diff("p", plan, &to).as_deref(),
            Some(
                "--- p\n+++ p\n@@ -4 +4 @@\n-    PG_POOL_MAX: 16\n+    PG_POOL_MAX: 8\n@@ -5 +5 @@\n-    MODE: session\n\
                 +    MODE: \"transaction\"\n"
            )
        );
    }

    #[test]
    fn what_is_filled_in_is_not_the_plans_to_change() {
        let plan = "tune:\n  original: { PG_POOL_MAX: \"${PG_POOL_MAX:-16}\" }\n";
        assert_eq!(plan_diff("p", plan, &setting("8")), None);
        assert_eq!(plan_diff("p", "tune: {}\n", &setting("8")), None);
        assert_eq!(plan_diff("p", "", &setting("8")), None);
    }
}
