//! Who gets the proof that we know the secret: the plan's own target, and nobody else.

use super::*;
use crate::client::{Overrides, Proving, compile};
use crate::plan::{self, Variables};
use crate::semconv::{PROOF, Secret};
use std::time::SystemTime;

fn secret() -> Secret {
    Secret::new("correct horse battery staple").unwrap()
}

/// A client whose target is `home`.
fn proving(home: &Server) -> impl Asks {
    let home = home.url("/any").parse().unwrap();
    client(|config| config.proving = Some(Proving { secret: secret(), home }))
}

#[tokio::test]
async fn the_target_gets_a_proof_of_the_trace_and_a_trace_pays_for_one() {
    let server = Server::always(ok("")).await;
    let mut vu = proving(&server);
    for path in ["/a", "/b"] {
        vu.answer(get(server.url(path))).await;
    }
    let mut other = get(server.url("/c"));
    let mut context = context(2);
    context.trace = TraceId::of_run(RunId::new(9), 9);
    other.extensions_mut().insert(context);
    vu.answer(other).await;
    let proofs: Vec<_> = server.seen().iter().map(|seen| seen.header(PROOF).unwrap().to_owned()).collect();
    assert_eq!(proofs[0], proofs[1]);
    assert_ne!(proofs[0], proofs[2]);
    let trace = TraceId::of_run(RunId::new(0x0123_4567_89ab_cdef), 7);
    assert!(secret().proves(proofs[0].as_bytes(), &trace, SystemTime::now()));
    assert!(server.seen().iter().all(|seen| !seen.header("baggage").unwrap().contains(&proofs[0])));
}

#[tokio::test]
async fn nobody_else_gets_one() {
    let elsewhere = Server::always(ok("")).await;
    let server = redirecting(elsewhere.url("/to")).await;
    let mut vu = proving(&server);
    // Straight to another origin, and by a redirect.
    vu.answer(get(elsewhere.url("/"))).await;
    vu.answer(get(server.url("/from"))).await;
    assert_eq!(elsewhere.seen().len(), 2);
    assert!(elsewhere.seen().iter().all(|seen| seen.header(PROOF).is_none()));
    assert!(server.seen()[0].header(PROOF).is_some());
    // To the same origin it goes on.
    let server = redirecting("/to".to_owned()).await;
    proving(&server).answer(get(server.url("/from"))).await;
    assert!(server.seen()[1].header(PROOF).is_some());
}

async fn redirecting(location: String) -> Server {
    Server::new(move |seen| match seen.line().contains(" /from ") {
        true => redirect(307, &location),
        false => vec![Act::Send(ok(""))],
    })
    .await
}

#[test]
fn a_secret_is_long_and_needs_a_home() {
    let told = |yaml: &str, secret: &str| {
        let (plan, mut diagnostics) = plan::read("p", yaml.as_bytes(), &Variables::default());
        let overrides = Overrides { secret: Some(secret.to_owned()), ..Overrides::default() };
        let config = compile(&plan.unwrap(), &overrides, &mut diagnostics);
        (config.proving.is_some(), diagnostics.to_string())
    };
    let plan = "base_url: http://api.test/v1\nworkflow: [ { name: a, request: GET / } ]\nscenarios: { s: { executor: constant-vus, vus: 1, duration: 1s } }";
    assert!(told(plan, "0123456789abcdef").0);
    assert!(!told(plan, "").0);
    let (proves, said) = told(plan, "hunter2");
    assert!(!proves && said.contains("PACECAR_SECRET") && !said.contains("hunter2"), "{said}");
    let (proves, said) = told(&plan.replace("base_url: http://api.test/v1\n", ""), "0123456789abcdef");
    assert!(!proves && said.contains("base_url") && !said.contains("0123456789abcdef"), "{said}");
}
