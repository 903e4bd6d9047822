//! Whether synthetic traffic yields: what real requests feel of it when it asks for more than the API can do.
//!
//! An API in this process has so many places and works on each request for a fixed time, so what it can do is known.
//! Customers come at random (Poisson) and ask for half of it. Their p95 is measured alone and then beside synthetic
//! traffic that asks for twice all of it, with and without `YieldLayer`. Rounds are interleaved; the figure is the median
//! of the rounds' ratios. `cargo bench --features engine --bench yielding` takes about 20 s.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use pacecar::middleware::{InFlightLayer, SyntheticLayer, YieldLayer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _};

type Body = Empty<bytes::Bytes>;
type Api = BoxCloneSyncService<Request<Body>, Response<pacecar::middleware::InFlightBody<Body>>, Infallible>;

/// How many requests the API works on at once.
const PLACES: usize = 16;
/// How long it works on one: it can do 800 a second.
const WORK: Duration = Duration::from_millis(20);
/// Customers' requests a second: half of it.
const REAL: f64 = 400.0;
/// Synthetic requests a second: twice all of it.
const SYNTHETIC: f64 = 1_600.0;
/// Synthetic requests yield while more than so many are in flight.
const YIELD_ABOVE: usize = 8;
const ROUND: Duration = Duration::from_secs(2);
const ROUNDS: u64 = 3;

/// `yields`: more than so many in flight turn synthetic requests away.
fn api(yields: Option<usize>) -> Api {
    let places = Arc::new(Semaphore::new(PLACES));
    let in_flight = InFlightLayer::new();
    let counted = in_flight.in_flight();
    let handler = tower::service_fn(move |_: Request<Body>| {
        let places = Arc::clone(&places);
        async move {
            let _place = places.acquire_owned().await.unwrap();
            sleep(WORK).await;
            Ok::<_, Infallible>(Response::new(Body::new()))
        }
    });
    let service = ServiceBuilder::new()
        .layer(SyntheticLayer::new())
        .layer(YieldLayer::new(counted.above(yields.unwrap_or(usize::MAX))))
        .layer(in_flight)
        .service(handler);
    BoxCloneSyncService::new(service)
}

/// Sends at `rate` for a round: the times of those that were answered, and how many were shed.
async fn send(api: Api, rate: f64, seed: u64, headers: &'static [(&'static str, &'static str)]) -> (Vec<f64>, usize) {
    let (mut dice, mut due, end) = (fastrand::Rng::with_seed(seed), Instant::now(), Instant::now() + ROUND);
    let mut requests = JoinSet::new();
    loop {
        due += Duration::from_secs_f64(-(1.0 - dice.f64()).ln() / rate);
        if due > end {
            break;
        }
        sleep_until(due).await;
        let api = api.clone();
        requests.spawn(async move {
            let mut request = Request::get("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = api.oneshot(request.body(Body::new()).unwrap()).await.unwrap();
            let shed = answer.status() == StatusCode::SERVICE_UNAVAILABLE;
            (due.elapsed().as_secs_f64() * 1e3, shed)
        });
    }
    let all = requests.join_all().await;
    let shed = all.iter().filter(|(_, shed)| *shed).count();
    (all.into_iter().filter(|(_, shed)| !shed).map(|(ms, _)| ms).collect(), shed)
}

const MARKS: &[(&str, &str)] = &[
    ("traceparent", "00-0123456789abcdef0000000000000007-00000000000000aa-01"),
    ("baggage", "pacecar.run=0123456789abcdef,pacecar.tenant=7"),
];

/// p95 of customers in ms, and the share of synthetic requests that was shed.
async fn round(yields: Option<usize>, synthetic: bool, seed: u64) -> (f64, f64) {
    let api = api(yields);
    let real = send(api.clone(), REAL, seed, &[]);
    let (mut real, shed) = if synthetic {
        let ((real, _), (done, shed)) = tokio::join!(real, send(api, SYNTHETIC, seed + 1_000, MARKS));
        (real, shed as f64 / (shed + done.len()) as f64)
    } else {
        (real.await.0, 0.0)
    };
    real.sort_by(f64::total_cmp);
    (real[real.len() * 95 / 100], shed)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut yielding, mut pushing) = (Vec::new(), Vec::new());
    for seed in 0..ROUNDS {
        // The same arrivals in all three.
        let (alone, _) = runtime.block_on(round(Some(YIELD_ABOVE), false, seed));
        let (yields, shed) = runtime.block_on(round(Some(YIELD_ABOVE), true, seed));
        let (pushes, _) = runtime.block_on(round(None, true, seed));
        println!(
            "real p95: alone {alone:.1} ms, beside synthetic that yields {yields:.1} ms ({:.0} % shed), that does not {pushes:.1} ms",
            shed * 1e2
        );
        yielding.push(yields / alone);
        pushing.push(pushes / alone);
    }
    println!(
        "real p95 against alone: {:.2} x where synthetic traffic yields, {:.2} x where it does not",
        median(yielding),
        median(pushing)
    );
}
