//! What is refused before anything is sent: each at its place, each with what to do.

use super::*;

#[test]
fn names_that_nothing_gives_a_value_are_errors_with_the_nearest_spelling() {
    let plan = |text: &str| {
        format!(
            "setup: [ {{ name: s, request: GET /s, capture: {{ seeded: $.x }} }} ]\nworkflow:\n  - {{ name: a, request: GET /a, capture: {{ token: $.t }} }}\n  - {{ name: b, request: GET /b, headers: {{ x: \"{text}\" }} }}\n  - {{ name: c, request: GET /c, capture: {{ later: $.l }} }}\n"
        )
    };
    for (text, message, hint) in [
        ("{{ tokn }}", "nothing gives `tokn` a value", "did you mean `token`?"),
        ("{{ tokn | upper }}", "nothing gives `tokn` a value", "did you mean `token`?"),
        ("a {{ usr.email }}", "nothing gives `usr` a value", "did you mean `user`?"),
        ("{{ user.mail }}", "`user.mail` is unknown", "did you mean `email`?"),
        ("{{ user.mail | upper }}", "`user.mail` is unknown", "did you mean `email`?"),
        ("{{ tenant.name }}", "`tenant.name` is unknown", "`tenant` has: id"),
        ("{{ tenant.id.x }}", "`tenant` has no such part", ""),
        ("{{ sedeed }}", "nothing gives `sedeed` a value", "did you mean `seeded`?"),
        ("{{ later }}", "`later` is used before a step captures it", "to the front"),
        ("{{ env.API }}", "`env.API` is not set", "-e API="),
        ("{{ data.prompts.x }}", "`data.prompts` is unknown", "`data` has no parts here"),
        ("{{ token | uper }}", "uper", ""),
        ("{{ nothing(1) }}", "nothing", ""),
        ("{{ token", "`{{` without `}}`", "literal"),
        ("{{ }}", "an empty `{{ }}`", ""),
        ("{{ token + }}", "token + ", ""),
    ] {
        let told = told(&plan(text));
        assert!(told.contains("plan.yaml:5:"), "{text}: {told}");
        assert!(told.contains(message) && told.contains(hint), "{text}: {told}");
    }
}

#[test]
fn a_problem_is_told_once_though_every_scenario_has_it() {
    let told = told(
        "workflow: [ { name: a, request: \"GET /{{ nope }}\" } ]\nscenarios:\n  a: { executor: constant-vus, duration: 1s }\n  b: { executor: constant-vus, duration: 1s }",
    );
    assert_eq!(told.matches("`nope`").count(), 1, "{told}");
}

#[test]
fn a_workflow_that_no_scenario_plays_is_checked_too() {
    let told = told(
        "workflows:\n  a: { steps: [ { name: a, request: GET /a } ] }\n  b: { weight: 0, steps: [ { name: a, request: \"GET /{{ nope }}\" } ] }\n",
    );
    assert!(told.contains("`nope`"), "{told}");
}

#[test]
fn all_errors_are_told_at_once() {
    let told = told(
        "base_url: \"\"\ndata: { p: none.json }\nworkflow:\n  - { name: a, request: GET /a, capture: { user: $.x, t: \"$.[\" } }\n  - { name: b, request: \"GET http://u:p@h/{{ nope }}\", expect: { json: { \"$.a b\": 1 } } }\n",
    );
    for part in ["no `base_url`", "none.json", "a name of pacecar's own", "`$.[` is no JSONPath", "`nope`", "`$.a b`"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn urls_that_cannot_be_asked_are_errors() {
    for (url, message) in [
        ("http://user:secret@h.test/", "a user in a URL"),
        ("http:///x", "not a URL"),
        ("http://h.test:99999/", "not a URL"),
    ] {
        let told = told(&format!("workflow: [ {{ name: a, request: \"GET {url}\" }} ]"));
        assert!(told.contains(message), "{url}: {told}");
        assert!(!told.contains("secret") || url.is_empty(), "{told}");
    }
}

#[test]
fn data_is_checked_where_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.csv"), "prompt,lang\nhi,en\n").unwrap();
    let plan =
        |text: &str| whole(&format!("data: {{ p: p.csv }}\nworkflow: [ {{ name: a, request: \"GET /{text}\" }} ]"));
    let told = |text: &str| read(&plan(text), folder.path(), &[]).1;
    assert!(told("{{ data.p.promt }}").contains("did you mean `prompt`?"));
    assert!(told("{{ data.q.prompt }}").contains("did you mean `p`?"));
    assert!(told("{{ data.p.langs | upper }}").contains("no row of data file `p` has a `langs`"));
    assert_eq!(told("{{ data.p.prompt }}"), "");
    assert_eq!(told("{{ data.p.langs | default('x') }}"), "");
}

#[test]
fn users_are_bounded_and_their_templates_are_checked() {
    let plan = |tenants: &str| format!("tenants: {{ {tenants} }}\nworkflow: [ {{ request: GET / }} ]");
    assert!(told(&plan("count: 10000, users: 1001")).contains("10010000 users are more than 10000000"));
    assert!(told(&plan("email: \"{{ tenant.id }}@x\"")).contains("tenant"));
    assert!(told(&plan("email: \"{{ vu }}@x\"")).contains("nothing gives `vu` a value"));
    assert!(told(&plan("email: \"{{ user.email }}\"")).contains("2:"));
    let (compiled, told) = read(&whole(&plan("count: 10000, users: 1000")), Path::new("."), &[]);
    assert!(compiled.is_some(), "{told}");
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let (compiled, _) = read(&whole(TENANTS), Path::new("."), &[("KEY", "s3cr3t")]);
    let shown = format!("{:?}", compiled.unwrap().0);
    assert!(!shown.contains("secret") && !shown.contains("s3cr3t"));
    let env = Environment::new([("KEY".to_owned(), "s3cr3t".to_owned())].into());
    assert_eq!(format!("{env:?}"), "{\"KEY\"}");
}

#[test]
fn the_program_and_its_tags_are_as_the_plan_writes_them() {
    let (compiled, _) = read(
        &whole(
            "workflow: [ { name: a, request: \"GET /u/{{ user.id }}?x={{ run }}\" }, { name: b, request: GET http://h.test/x } ]",
        ),
        Path::new("."),
        &[],
    );
    let (program, layout) = compiled.unwrap();
    let tags: Vec<_> = layout.sites().iter().map(|site| (site.tags.step.as_str(), site.tags.url.as_str())).collect();
    assert_eq!(tags, [("a", "/u/{{ user.id }}"), ("b", "http://h.test/x")]);
    fn sent<T: Send + Sync>(_: &T) {}
    sent(&program);
}
