//! `tenants.create`: each user's account is made once, before its first iteration, whoever of the workers plays it.

use std::collections::BTreeSet;

use crate::support::json::count;
use crate::support::{Mode, Pacecar, PlanFile, Server};

fn plan() -> PlanFile {
    PlanFile::new(
        r#"
name: accounts
base_url: ${API_URL}
tenants:
  count: 3
  users: 2
  create: { request: POST /signup, json: { email: "{{ user.email }}", password: "{{ user.password }}" }, expect: { status: [200, 201, 409] } }
workflow:
  - { name: login, request: POST /login, json: { email: "{{ user.email }}" }, think: 2ms }
scenarios: { main: { executor: shared-iterations, vus: 4, iterations: 40 } }
"#,
    )
}

fn run(plan: &PlanFile, server: &Server) -> Pacecar {
    Pacecar::run(&plan.path()).set("API_URL", server.url()).args(["--workers", "2"])
}

#[test]
fn each_account_is_made_once_before_its_first_iteration_with_several_workers() {
    for status in [200, 409] {
        let server = Server::start(Mode::StatusAt("/signup", status));
        let plan = plan();
        run(&plan, &server).end().expect_ran();
        let mut made = BTreeSet::new();
        for request in server.requests() {
            let email = request.json()["email"].as_str().unwrap().to_owned();
            match request.path() {
                "/signup" => assert!(made.insert(email.clone()), "{email} was made twice"),
                _ => assert!(made.contains(&email), "{email} played before its account was there"),
            }
        }
        assert_eq!(made.len(), 6, "all six users play");
    }
}

#[test]
fn an_account_that_cannot_be_made_is_a_failed_check_and_its_user_does_not_play() {
    let server = Server::start(Mode::StatusAt("/signup", 500));
    let plan = plan();
    let ended = run(&plan, &server).end().expect_ran();
    assert!(server.at("/login").is_empty(), "a user without an account played");
    assert_eq!(count(&ended.summary(), &["metrics", "checks", "fails"]), 40, "{ended}");
    assert!(ended.stdout.contains("create status"), "{ended}");
}
