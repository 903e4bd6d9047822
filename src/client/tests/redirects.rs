//! Redirects as Go and k6 follow them.

use super::*;
use crate::measure::Proto;

/// A server that redirects `/from` to `location` and answers everything else with its request line.
async fn redirects(status: u16, location: String) -> Server {
    Server::new(move |seen| match seen.line().contains(" /from ") {
        true => redirect(status, &location),
        false => vec![Act::Send(ok(seen.line()))],
    })
    .await
}

#[tokio::test]
async fn method_and_body_follow_the_status() {
    let cases = [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "PUT", "GET", ""),
        (302, "HEAD", "HEAD", ""),
        (301, "GET", "GET", ""),
        (307, "POST", "POST", "data"),
        (308, "PUT", "PUT", "data"),
    ];
    for (status, method, then, body) in cases {
        let server = redirects(status, "/to".to_owned()).await;
        let data = if method == "HEAD" || method == "GET" { "" } else { "data" };
        let request = with_header(request(method, server.url("/from"), data), "content-type", "text/plain");
        // A HEAD is answered with a length and no body: the raw server would confuse hyper with one.
        let answer = client(|_| {}).ask(request).await;
        let seen = server.seen();
        assert_eq!(seen[1].line(), format!("{then} /to HTTP/1.1"), "{status} {method}");
        assert_eq!(seen[1].body, body, "{status} {method}");
        assert_eq!(seen[1].header("content-type").is_some(), status >= 307, "{status} {method}");
        if method != "HEAD" {
            assert_eq!(answer.unwrap().status, 200);
        }
    }
}

#[tokio::test]
async fn each_hop_is_recorded_in_order_and_the_connection_kept() {
    let server = Server::new(|seen| match seen.number {
        0 => redirect(301, "/b"),
        1 => redirect(307, "/c"),
        _ => vec![Act::Wait(Duration::from_millis(20)), Act::Send(ok("end"))],
    })
    .await;
    let asked = get(server.url("/a"));
    let due = asked.extensions().get::<RequestContext>().unwrap().due;
    let answer = client(|_| {}).answer(asked).await;
    let hops = &answer.exchange.hops;
    assert_eq!(hops.iter().map(|hop| hop.status).collect::<Vec<_>>(), [301, 307]);
    assert_eq!((hops[0].due, hops[1].due), (due, hops[0].ended));
    assert!(hops[0].ended <= hops[1].ended);
    assert!(hops[0].timings.connecting > Duration::ZERO && hops[1].timings.connecting.is_zero());
    assert!(hops.iter().all(|hop| hop.proto == Proto::Http11 && hop.timings.duration() > Duration::ZERO));
    let timings = answer.exchange.timings;
    assert!(timings.connecting.is_zero() && timings.waiting >= Duration::from_millis(15), "{timings:?}");
    assert_eq!(server.connections(), 1, "the bodies of the hops were read");
    assert_eq!(client(|_| {}).answer(get(server.url("/"))).await.exchange.hops.len(), 0);
}

#[tokio::test]
async fn the_last_redirect_is_the_answer_when_there_are_too_many() {
    for max in [0, 1, 3] {
        let server = Server::new(|_| redirect(302, "/loop")).await;
        let answer = client(|config| config.redirects = max).answer(get(server.url("/loop"))).await;
        assert_eq!((answer.status, &answer.body[..]), (302, &b"move"[..]));
        assert_eq!(answer.exchange.hops.len(), max as usize);
        assert_eq!(server.seen().len(), max as usize + 1);
    }
}

#[tokio::test]
async fn what_leads_nowhere_is_the_answer() {
    for location in ["", "mailto:a@b.test", "http://[::1", "http://"] {
        let server = redirects(302, location.to_owned()).await;
        let answer = client(|_| {}).answer(get(server.url("/from"))).await;
        assert_eq!((answer.status, server.seen().len()), (302, 1), "{location}");
    }
    let server = Server::always("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client(|_| {}).answer(get(server.url("/"))).await.status, 302);
    let server = Server::always("HTTP/1.1 304 Not Modified\r\nlocation: /x\r\n\r\n").await;
    assert_eq!(client(|_| {}).answer(get(server.url("/"))).await.status, 304);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn credentials_do_not_leave_the_origin() {
    let elsewhere = Server::new(|_| vec![Act::Send(ok(""))]).await;
    let server = redirects(307, elsewhere.url("/to")).await;
    let mut asked = get(server.url("/from"));
    for (name, value) in [("authorization", "Bearer secret"), ("cookie", "a=b"), ("x-other", "kept")] {
        asked = with_header(asked, name, value);
    }
    client(|_| {}).answer(asked).await;
    let seen = elsewhere.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].header("authorization"), seen[0].header("cookie")), (None, None));
    assert_eq!(seen[0].header("x-other"), Some("kept"));
    assert_eq!(seen[0].header("host"), Some(&*elsewhere.address.to_string()));
    assert_eq!(seen[0].header("referer"), None);
    assert_eq!(seen[0].head.matches("traceparent").count(), 1);
    assert_eq!(seen[0].head.matches("baggage").count(), 1);

    let server = redirects(307, "/to".to_owned()).await;
    client(|_| {}).answer(with_header(get(server.url("/from")), "authorization", "Bearer secret")).await;
    assert_eq!(server.seen()[1].header("authorization"), Some("Bearer secret"));
}

#[tokio::test]
async fn a_redirect_to_where_requests_may_not_go_is_the_answer() {
    let elsewhere = Server::always(ok("")).await;
    let server = redirects(302, elsewhere.url("/to")).await;
    let port = server.address.port();
    let mut vu = client(|config| config.hosts = Some(Arc::new(move |uri| uri.port_u16() == Some(port))));
    let answer = vu.answer(get(server.url("/from"))).await;
    assert_eq!((answer.status, elsewhere.connections()), (302, 0));
}

#[tokio::test]
async fn a_hop_that_fails_names_the_hops_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let server = redirects(302, gone).await;
    let failure = client(|_| {}).fail(get(server.url("/from"))).await;
    assert_failed(&failure, FailureKind::Refused);
    assert_eq!(failure.exchange.hops.len(), 1);
}

#[tokio::test]
async fn the_timeout_covers_all_hops() {
    let server = Server::new(|_| {
        let mut acts = vec![Act::Wait(Duration::from_millis(60))];
        acts.extend(redirect(302, "/loop"));
        acts
    })
    .await;
    let failure = client(|config| config.timeout = Duration::from_millis(200)).fail(get(server.url("/"))).await;
    assert_failed(&failure, FailureKind::Timeout);
    assert!((1..=3).contains(&failure.exchange.hops.len()), "{:?}", failure.exchange.hops.len());
}

#[tokio::test]
async fn a_redirect_with_an_endless_body_is_followed_all_the_same() {
    let server = Server::new(|seen| match seen.number {
        0 => vec![
            Act::Send(b"HTTP/1.1 302 Found\r\nlocation: /to\r\n\r\n".to_vec()),
            Act::Forever(vec![b'x'; 64 * 1024]),
        ],
        _ => vec![Act::Send(ok("end"))],
    })
    .await;
    let answer = client(|_| {}).answer(get(server.url("/"))).await;
    assert_eq!((answer.status, server.connections()), (200, 2));
}

#[tokio::test(start_paused = true)]
async fn each_hop_pays_the_cap() {
    let target = tower::service_fn(|request: Request| async move {
        let mut response = http::Response::new(Full::<Bytes>::default());
        if request.uri().path() != "/2" {
            let next = if request.uri().path() == "/0" { "/1" } else { "/2" };
            *response.status_mut() = http::StatusCode::FOUND;
            response.headers_mut().insert("location", HeaderValue::from_static(next));
        }
        Ok::<_, std::convert::Infallible>(response)
    });
    let config = ClientConfig {
        timeout: Duration::from_secs(1),
        period: Some(Duration::from_secs(3)),
        ..ClientConfig::default()
    };
    let mut vu = Shared::new(config).worker().vu_over(target);
    let started = Instant::now();
    let answer = vu.answer(get("http://t/0")).await;
    assert_eq!((answer.status, answer.exchange.hops.len()), (200, 2));
    assert_eq!(started.elapsed().as_secs(), 6);
}
