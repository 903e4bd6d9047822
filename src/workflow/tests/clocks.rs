//! When things were due, started and ended; what is cut off.

use super::*;
use crate::measure::{Hop, Proto, Timings};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(start_paused = true)]
async fn the_first_step_is_due_when_its_iteration_is_and_a_later_one_after_the_pause() {
    let yaml = r#"
workflow:
  - { name: a, request: GET /a, think: 500ms }
  - { name: b, request: GET /b, think: 1s..3s }
  - { name: c, request: GET /c }
"#;
    let (stage, target) = (stage(yaml), Target::new(|_| Reply::status(200).after(ms(20))));
    let mut vu = stage.vu(&target, 1);
    let due = Instant::now();
    tokio::time::advance(ms(300)).await;
    let finished = iterate(&mut vu, due, 0).await;
    let seen = target.seen.borrow();
    assert_eq!(seen[0].context.due, due);
    assert_eq!(seen[1].context.due, due + ms(820));
    let pause = seen[2].context.due - (seen[1].context.due + ms(20));
    assert!((ms(1000)..=ms(3002)).contains(&pause), "{pause:?}");
    assert!(finished.ended >= seen[2].context.due + ms(20));
    let totals = stage.totals();
    assert!((largest(&stage, &totals, "http_req_response_time{step:a}") - 320.0).abs() < 1.0);
    assert!((largest(&stage, &totals, "http_req_response_time{step:b}") - 20.0).abs() < 2.0);
    assert!((largest(&stage, &totals, "http_req_duration{step:a}") - 20.0).abs() < 0.1);
    assert!((largest(&stage, &totals, "group_duration{step:a}") - 20.0).abs() < 0.1);
}

#[tokio::test(start_paused = true)]
async fn the_pause_after_the_last_step_is_part_of_the_iteration() {
    let stage = stage("workflow: [ { name: a, request: GET /a, think: 2s } ]");
    let mut vu = stage.vu(&Target::json(json!({})), 1);
    let due = Instant::now();
    assert!(iterate(&mut vu, due, 0).await.ended >= due + ms(2000));
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_head_and_receiving_with_the_last_part() {
    let frames = vec![(ms(5), Ok(Bytes::from("a"))), (ms(6), Ok(Bytes::from("b")))];
    let reply = Reply { frames, ..Reply::status(200).after(ms(30)) };
    let stage = stage("workflow: [ { name: a, request: GET /a } ]");
    stage.play(&Target::new(move |_| reply.clone()), 1).await;
    let totals = stage.totals();
    assert!((largest(&stage, &totals, "http_req_waiting") - 30.0).abs() < 0.1);
    assert!((largest(&stage, &totals, "http_req_receiving") - 11.0).abs() < 0.1);
    assert!((largest(&stage, &totals, "http_req_duration") - 41.0).abs() < 0.2);
}

#[tokio::test(start_paused = true)]
async fn each_redirect_is_a_request_of_its_own_and_no_failure() {
    let stage = stage("workflow: [ { name: a, request: GET /a, expect: { status: 200 } } ]");
    let target = Target::new(|seen| {
        let due = seen.context.due;
        let hop = |status, from, to| Hop {
            status,
            timings: Timings { waiting: ms(to - from), ..Timings::default() },
            due: due + ms(from),
            held: ms(0),
            ended: due + ms(to),
            proto: Proto::Http11,
            tls: None,
        };
        let exchange = Exchange {
            timings: Timings { sending: ms(1), waiting: ms(9), ..Timings::default() },
            head_at: Some(due + ms(70)),
            hops: vec![hop(302, 0, 40), hop(307, 40, 60)],
            stale: true,
            ..Exchange::default()
        };
        Reply { exchange: Some(exchange), ..Reply::status(200).after(ms(70)) }
    });
    stage.play(&target, 1).await;
    let totals = stage.totals();
    assert_eq!(figure(&stage, &totals, "http_reqs"), 3.0);
    assert_eq!(figure(&stage, &totals, "http_req_failed"), 0.0);
    assert_eq!(totals.stale_connections(), 1);
    assert!((largest(&stage, &totals, "http_req_duration") - 40.0).abs() < 0.2);
    assert!((largest(&stage, &totals, "http_req_response_time") - 40.0).abs() < 0.2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_cut_off_is_counted_and_the_vu_stays_usable() {
    let yaml = "tenants: { count: 1, users: 2 }\nworkflow: [ { name: a, request: GET /a } ]";
    let (stage, target) = (stage(yaml), Target::new(|_| Reply::status(200).after(ms(1000))));
    let traffic = Traffic::default();
    let id = VuId { scenario: stage.program.scenarios()[0], number: 1 };
    let mut vu = stage.worker.vu(id, target.clone(), traffic.clone());
    traffic.add_sent(100);
    let cut = tokio::time::timeout(ms(400), iterate(&mut vu, Instant::now(), 0)).await;
    assert!(cut.is_err());
    let totals = stage.totals();
    assert_eq!((totals.requests(), totals.requests_cut_off()), (0, 1));
    assert_eq!(figure(&stage, &totals, "data_sent"), 100.0);
    // Both users are free again: two VUs at once share none.
    let mut other = stage.vu(&target, 2);
    tokio::join!(iterate(&mut vu, Instant::now(), 1), iterate(&mut other, Instant::now(), 1));
    let totals = stage.totals();
    assert_eq!((totals.requests(), totals.requests_cut_off(), totals.users_shared()), (2, 0, 0));
}

#[tokio::test]
async fn a_target_that_never_waits_leaves_the_thread_to_others() {
    let yaml =
        "workflow: [ { name: a, request: GET /a, when: \"{{ env.GO is defined }}\" }, { name: b, request: GET /b } ]";
    for yaml in [yaml.to_owned(), yaml.replace(", { name: b, request: GET /b }", "")] {
        let (stage, target) = (stage(&yaml), Target::json(json!({})));
        let local = tokio::task::LocalSet::new();
        let done = Rc::new(std::cell::Cell::new(false));
        let told = Rc::clone(&done);
        local.spawn_local(async move { told.set(true) });
        local
            .run_until(async {
                let mut vu = stage.vu(&target, 1);
                for number in 0..2000 {
                    iterate(&mut vu, Instant::now(), number).await;
                }
                assert!(done.get());
            })
            .await;
    }
}
