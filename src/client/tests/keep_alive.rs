//! Connections that are kept, closed, and found closed.

use super::*;

#[tokio::test]
async fn one_connection_serves_a_vus_requests() {
    let server = Server::always(ok("hello")).await;
    let mut vu = client(|_| {});
    for _ in 0..5 {
        let answer = vu.answer(get(server.url("/"))).await;
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
        assert!(!answer.exchange.stale);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn answers_without_a_body_keep_the_connection_too() {
    let server = Server::new(|seen| {
        let answer: &[u8] = match seen.number % 3 {
            0 => b"HTTP/1.1 204 No Content\r\n\r\n",
            1 => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        };
        vec![Act::Send(answer.to_vec())]
    })
    .await;
    let mut vu = client(|_| {});
    for status in [204, 304, 200, 204] {
        assert_eq!(vu.answer(get(server.url("/"))).await.status, status);
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_chunked_answer_keeps_the_connection_and_its_trailers_are_left_out() {
    let server = Server::always(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nx: y\r\n\r\n",
    )
    .await;
    let mut vu = client(|_| {});
    for _ in 0..3 {
        assert_eq!(vu.answer(get(server.url("/"))).await.body, "abcde");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_announces_to_close_is_not_used_again() {
    let server =
        Server::new(|_| vec![Act::Send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nrest".to_vec()), Act::Close])
            .await;
    let mut vu = client(|_| {});
    for _ in 0..3 {
        let answer = vu.answer(get(server.url("/"))).await;
        assert_eq!(answer.body, "rest");
        assert!(!answer.exchange.stale);
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn without_keep_alive_each_request_has_its_own_connection_and_says_so() {
    let server = Server::always(ok("")).await;
    let mut vu = client(|config| config.keep_alive = false);
    for _ in 0..3 {
        vu.answer(get(server.url("/"))).await;
    }
    assert_eq!(server.connections(), 3);
    assert!(server.seen().iter().all(|seen| seen.header("connection") == Some("close")));
}

#[tokio::test]
async fn a_body_that_is_dropped_half_read_closes_its_connection() {
    let server = Server::new(|seen| match seen.number {
        0 => vec![Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc".to_vec()), Act::Hang],
        _ => vec![Act::Send(ok("next"))],
    })
    .await;
    let mut service = Shared::new(ClientConfig::default()).worker().vu(Traffic::default());
    let response = service.call(get(server.url("/"))).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
    drop(body);
    assert_eq!(service.answer(get(server.url("/"))).await.body, "next");
    assert_eq!(server.connections(), 2);
}

/// A server that answers once on its first connection and closes or resets it when it is told.
async fn closes_after_the_first(now: Arc<tokio::sync::Notify>, end: Act) -> Server {
    Server::new(move |seen| match seen.number {
        0 => vec![Act::Send(ok("first")), Act::When(Arc::clone(&now)), end.clone()],
        _ => vec![Act::Send(ok("second"))],
    })
    .await
}

#[tokio::test]
async fn a_request_that_comes_back_unsent_goes_once_more_whatever_its_method() {
    for end in [Act::Close, Act::Reset] {
        for method in ["GET", "POST"] {
            let now = Arc::<tokio::sync::Notify>::default();
            let server = closes_after_the_first(Arc::clone(&now), end.clone()).await;
            let mut vu = client(|_| {});
            assert!(!vu.answer(get(server.url("/"))).await.exchange.stale);
            // The server's close arrives while nobody looks.
            now.notify_one();
            tokio::time::sleep(Duration::from_millis(20)).await;
            let answer = vu.answer(request(method, server.url("/again"), "body")).await;
            assert_eq!(answer.body, "second", "{method} after {end:?}");
            assert!(answer.exchange.stale, "{method} after {end:?}");
            let seen = server.seen();
            assert_eq!(seen.len(), 2, "each request was sent once");
            assert_eq!((seen[1].connection, &seen[1].body[..]), (1, "body"));
            assert!(seen[1].line().starts_with(&format!("{method} /again HTTP/1.1")));
            assert!(answer.exchange.timings.connecting > Duration::ZERO);
        }
    }
}

#[tokio::test]
async fn a_farewell_on_an_idle_connection_is_no_answer() {
    let now = Arc::<tokio::sync::Notify>::default();
    let told = Arc::clone(&now);
    let server = Server::new(move |seen| match seen.number {
        0 => vec![
            Act::Send(ok("first")),
            Act::When(Arc::clone(&told)),
            Act::Send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()),
            Act::Close,
        ],
        _ => vec![Act::Send(ok("second"))],
    })
    .await;
    let mut vu = client(|_| {});
    vu.answer(get(server.url("/"))).await;
    now.notify_one();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let answer = vu.answer(get(server.url("/"))).await;
    assert_eq!((answer.status, answer.exchange.stale), (200, true));
}

#[tokio::test]
async fn what_was_sent_is_never_sent_again() {
    for end in [Act::Close, Act::Reset] {
        let script_end = end.clone();
        let server = Server::new(move |seen| match seen.number {
            0 => vec![Act::Send(ok("first"))],
            _ => vec![script_end.clone()],
        })
        .await;
        let mut vu = client(|_| {});
        vu.answer(get(server.url("/"))).await;
        let failure = vu.fail(get(server.url("/"))).await;
        assert_failed(&failure, FailureKind::Reset);
        assert_eq!(server.seen().len(), 2, "{end:?}");
        assert_eq!(server.connections(), 1);
    }
}

#[tokio::test]
async fn a_fresh_connection_that_closes_at_once_is_a_reset_and_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    let failure = client(|_| {}).fail(get(url)).await;
    assert_failed(&failure, FailureKind::Reset);
    assert!(!failure.exchange.stale);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn phases_are_timed_and_bytes_counted() {
    let server = Server::new(|_| {
        vec![
            Act::Wait(Duration::from_millis(30)),
            Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na".to_vec()),
            Act::Wait(Duration::from_millis(30)),
            Act::Send(b"b".to_vec()),
        ]
    })
    .await;
    let traffic = Traffic::default();
    let mut vu = Shared::new(ClientConfig::default()).worker().vu(traffic.clone());
    let started = Instant::now();
    let response = vu.call(get(server.url("/"))).await.unwrap();
    let exchange = response.extensions().get::<Exchange>().unwrap().clone();
    let head = exchange.head_at.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ab");
    assert!(head.elapsed() >= Duration::from_millis(25), "the head was there before the body");
    let timings = exchange.timings;
    assert!(timings.connecting > Duration::ZERO && timings.tls_handshaking.is_zero());
    assert!(timings.waiting >= Duration::from_millis(25), "{timings:?}");
    assert!(timings.receiving.is_zero(), "that is the reader's");
    let parts = timings.blocked + timings.connecting + timings.sending + timings.waiting;
    assert!(parts <= head - started, "{timings:?}");
    let (sent, received) = traffic.take();
    assert_eq!(sent as usize, server.seen()[0].head.len());
    assert_eq!(received as usize, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab".len());

    vu.answer(get(server.url("/"))).await;
    assert!(traffic.take().0 > 0);
}

#[tokio::test]
async fn a_reused_connection_does_not_connect_again() {
    let server = Server::always(ok("")).await;
    let mut vu = client(|_| {});
    assert!(vu.answer(get(server.url("/"))).await.exchange.timings.connecting > Duration::ZERO);
    let timings = vu.answer(get(server.url("/"))).await.exchange.timings;
    assert_eq!((timings.connecting, timings.tls_handshaking), Default::default());
    assert!(timings.sending > Duration::ZERO && timings.waiting > Duration::ZERO, "{timings:?}");
}

#[tokio::test]
async fn vus_do_not_share_connections() {
    let server = Server::always(ok("")).await;
    let worker = Shared::new(ClientConfig::default()).worker();
    let mut vus: Vec<_> = (0..3).map(|_| worker.vu(Traffic::default())).collect();
    for vu in &mut vus {
        vu.answer(get(server.url("/"))).await;
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn an_early_hint_is_no_answer() {
    let server =
        Server::always("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
    let answer = client(|_| {}).answer(get(server.url("/"))).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
}

#[tokio::test]
async fn names_and_ipv6_literals_are_reached() {
    let server = Server::always(ok("")).await;
    let port = server.address.port();
    assert_eq!(client(|_| {}).answer(get(format!("http://localhost:{port}/"))).await.status, 200);
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        converse(stream, 0, Arc::new(|_: &Seen| vec![Act::Send(ok(""))]), Arc::default()).await;
    });
    assert_eq!(client(|_| {}).answer(get(url)).await.status, 200);
}
