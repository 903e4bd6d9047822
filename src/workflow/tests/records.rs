//! The stream: each request and iteration, told once, with the ids that went over the wire.

use super::*;
use crate::measure::{Hop, IterationOutcome, Proto, Record, Timings};
use crate::semconv::SpanId;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A stage whose recorder tells of everything.
fn told(yaml: &str) -> Stage {
    let (plan, mut diagnostics) = crate::plan::read("plan.yaml", whole(yaml).as_bytes(), &Variables::default());
    let mut layout = LayoutBuilder::new(Vec::new());
    layout.stream();
    let environment = Environment::new(BTreeMap::new());
    let run = RunId::new(RUN);
    let program = compile(&plan.unwrap(), &environment, Path::new("."), run, &mut layout, &mut diagnostics).unwrap();
    let (layout, start) = (layout.build(), Instant::now());
    let recorder = RecorderHandle::new(Recorder::new(Arc::clone(&layout), start));
    let worker = Worker::new(Arc::clone(&program), recorder.clone(), 0);
    Stage { program, layout, recorder, worker, start }
}

fn records(stage: &Stage) -> Vec<Record> {
    stage.recorder.swap(Recorder::new(Arc::clone(&stage.layout), stage.start)).take_stream().records
}

#[tokio::test(start_paused = true)]
async fn each_request_and_then_its_iteration_are_told_with_the_ids_on_the_wire() {
    let stage = told("workflow: [ { name: a, request: GET /a }, { name: b, request: GET /b } ]");
    let target = Target::new(|_| {
        let mut reply = Reply::status(200).after(ms(20));
        reply.headers = vec![("server-timing", "db;dur=5".into()), ("server-timing", "total;dur=9".into())];
        reply
    });
    stage.play(&target, 1).await;
    let records = records(&stage);
    let seen = target.seen.borrow();
    assert_eq!(records.len(), 3);
    for (record, seen) in records.iter().zip(seen.iter()) {
        let Record::Request(request) = record else { panic!("{record:?}") };
        assert_eq!((request.trace, request.span), (seen.context.trace, seen.context.span));
        assert!(request.last && request.hop == 0 && request.sample.status == 200);
        assert_eq!(request.sample.timings.duration(), ms(20));
        assert_eq!(request.server_timing.as_deref(), Some("db;dur=5,total;dur=9"));
    }
    let Record::Iteration(iteration) = &records[2] else { panic!("{:?}", records[2]) };
    assert_eq!((iteration.trace, iteration.outcome), (seen[0].context.trace, IterationOutcome::Completed));
    assert_eq!(iteration.ended - iteration.started, ms(40));
    assert_ne!(SpanId::root_of(&iteration.trace), seen[0].context.span);
}

#[tokio::test(start_paused = true)]
async fn hops_follow_each_other_under_one_span() {
    let stage = told("workflow: [ { name: a, request: GET /a } ]");
    let target = Target::new(|_| {
        let now = Instant::now();
        let timings = Timings { waiting: ms(7), ..Timings::default() };
        let hop =
            Hop { status: 302, timings, due: now, held: Duration::ZERO, ended: now, proto: Proto::Http11, tls: None };
        let exchange = Exchange { hops: vec![hop], head_at: Some(now), ..Exchange::default() };
        Reply { exchange: Some(exchange), ..Reply::status(200) }
    });
    stage.play(&target, 1).await;
    let told: Vec<_> = records(&stage)
        .into_iter()
        .filter_map(|record| match record {
            Record::Request(request) => Some((request.span, request.hop, request.last, request.sample.status)),
            _ => None,
        })
        .collect();
    let span = target.seen.borrow()[0].context.span;
    assert_eq!(told, [(span, 0, false, 302), (span, 1, true, 200)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_is_told_as_that() {
    let stage = told("workflow: [ { name: a, request: GET /a }, { name: b, request: GET /b } ]");
    let target =
        Target::new(|_| Reply { headers: vec![("pacecar-shed", "pool".into())], ..Reply::status(503).after(ms(3)) });
    stage.play(&target, 1).await;
    let records = records(&stage);
    let [Record::Shed(request), Record::Iteration(_)] = &records[..] else { panic!("{records:?}") };
    assert_eq!((request.span, request.sample.status), (target.seen.borrow()[0].context.span, 503));
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_off_is_told_as_that() {
    let stage = told("workflow: [ { name: a, request: GET /a } ]");
    let target = Target::new(|_| Reply::status(200).after(ms(60_000)));
    let mut vu = stage.vu(&target, 1);
    assert!(tokio::time::timeout(ms(400), iterate(&mut vu, Instant::now(), 0)).await.is_err());
    let records = records(&stage);
    let [Record::CutOff(request), Record::Iteration(iteration)] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(request.span, target.seen.borrow()[0].context.span);
    assert_eq!((request.at - request.started, iteration.outcome), (ms(400), IterationOutcome::CutOff));
}
