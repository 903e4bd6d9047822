//! Which user plays, and whose account is made when.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const CREATE: &str = r#"
tenants:
  count: 2
  users: 2
  password: "pw-{{ tenant }}-{{ '%02d' | format(user) }}"
  create: { request: POST /signup, json: { email: "{{ user.email }}", password: "{{ user.password }}" }, expect: { status: [201, 409] } }
workflow: [ { name: a, request: "GET /{{ tenant.id }}/{{ user.id }}/{{ user.email }}" } ]
"#;

#[tokio::test(start_paused = true)]
async fn all_users_play_in_turn_and_each_account_is_made_once() {
    let (stage, target) = (stage(CREATE), Target::new(|_| Reply::status(201)));
    stage.play(&target, 8).await;
    let lines = target.lines();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[..2], ["POST http://api.test/v1/signup", "GET http://api.test/v1/1/1/test-1-1%40example.com"]);
    let signups: BTreeSet<String> = target.bodies().into_iter().filter(|body| !body.is_empty()).collect();
    assert_eq!(signups.len(), 4);
    assert!(signups.contains(r#"{"email":"test-2-1@example.com","password":"pw-2-01"}"#));
    let mut turns: BTreeMap<&str, u32> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.starts_with("GET")) {
        *turns.entry(line).or_default() += 1;
    }
    assert!(turns.len() == 4 && turns.values().all(|turns| *turns == 2), "{turns:?}");
    let baggage = &target.seen.borrow()[0].context.baggage;
    assert!(baggage.to_str().unwrap().contains("scenario=create,pacecar.tenant=1,pacecar.step=create"), "{baggage:?}");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_made_ends_the_iteration_and_is_tried_before_the_next() {
    for reply in [Reply::status(500), Reply::failed(FailureKind::Reset)] {
        for yaml in [CREATE.to_owned(), CREATE.replace(", expect: { status: [201, 409] }", "")] {
            let yaml = yaml.replace("count: 2", "count: 1").replace("users: 2", "users: 1");
            let reply = reply.clone();
            let at = std::cell::Cell::new(0);
            let target = Target::new(move |_| {
                at.set(at.get() + 1);
                if at.get() == 1 { reply.clone() } else { Reply::status(201) }
            });
            let stage = stage(&yaml);
            stage.play(&target, 3).await;
            assert_eq!(target.lines().iter().map(|line| &line[..3]).collect::<String>(), "POSPOSGETGET");
            assert_eq!(stage.checks()["create status"].1, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_user_waits_until_its_account_is_made() {
    let yaml = CREATE.replace("count: 2", "count: 1").replace("users: 2", "users: 1");
    let (stage, target) = (stage(&yaml), Target::new(|_| Reply::status(201).after(ms(100))));
    let (mut one, mut two) = (stage.vu(&target, 1), stage.vu(&target, 2));
    let now = Instant::now();
    tokio::join!(iterate(&mut one, now, 0), iterate(&mut two, now, 1));
    assert_eq!(target.lines().iter().map(|line| &line[..3]).collect::<String>(), "POSGETGET");
    assert_eq!(stage.totals().users_shared(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_user_is_kept_for_an_iteration_and_unique_while_in_use() {
    let yaml = r#"
tenants: { count: 1, users: 3 }
workflow: [ { name: a, request: "GET /a/{{ user.id }}", think: 1s }, { name: b, request: "GET /b/{{ user.id }}" } ]
"#;
    let (stage, target) = (stage(yaml), Target::json(json!({})));
    let mut vus: Vec<_> = (1..=3).map(|number| stage.vu(&target, number)).collect();
    let now = Instant::now();
    let [a, b, c] = vus.as_mut_slice() else { panic!("three") };
    tokio::join!(iterate(a, now, 0), iterate(b, now, 1), iterate(c, now, 2));
    let seen = target.seen.borrow();
    let mut by_trace: BTreeMap<String, BTreeSet<char>> = BTreeMap::new();
    for seen in seen.iter() {
        by_trace.entry(seen.context.trace.to_string()).or_default().insert(seen.line.chars().last().unwrap());
    }
    assert!(by_trace.len() == 3 && by_trace.values().all(|users| users.len() == 1), "{by_trace:?}");
    assert_eq!(stage.totals().users_shared(), 0);
}

#[tokio::test(start_paused = true)]
async fn samples_carry_the_tenant_of_the_user() {
    let stage = stage("tenants: { count: 3, users: 1 }\nworkflow: [ { name: a, request: \"GET /{{ tenant.id }}\" } ]");
    let target = Target::json(json!({}));
    stage.play(&target, 3).await;
    assert_eq!(target.lines(), [1, 2, 3].map(|tenant| format!("GET http://api.test/v1/{tenant}")));
}
