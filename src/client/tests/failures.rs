//! Each way in which a request can fail, and what it is called.

use super::*;

async fn fails(acts: Vec<Act>) -> Failure {
    let server = Server::new(move |_| acts.clone()).await;
    let failure = client(|config| config.timeout = Duration::from_millis(300)).fail(get(server.url("/"))).await;
    assert_eq!(server.seen().len(), 1, "nothing is sent twice");
    failure
}

fn send(bytes: &str) -> Act {
    Act::Send(bytes.as_bytes().to_vec())
}

#[tokio::test]
async fn nobody_listening_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for host in ["127.0.0.1", "localhost"] {
        let failure = client(|_| {}).fail(get(format!("http://{host}:{port}/"))).await;
        assert_failed(&failure, FailureKind::Refused);
        assert_eq!(failure.kind.error_code(), 1212);
        assert!(failure.exchange.timings.connecting > Duration::ZERO);
        assert!(failure.source.is_some());
    }
}

#[tokio::test]
async fn a_name_that_is_none_is_dns() {
    let failure = client(|_| {}).fail(get("http://no-such-name.invalid/")).await;
    assert_failed(&failure, FailureKind::Dns);
}

#[tokio::test]
async fn what_is_no_http_url_is_an_invalid_request() {
    for url in ["/path/only", "ftp://127.0.0.1/", "http://127.0.0.1:99999/"] {
        assert_failed(&client(|_| {}).fail(get(url)).await, FailureKind::InvalidRequest);
    }
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_forbidden_and_not_asked() {
    let server = Server::always(ok("")).await;
    let mut vu = client(|config| config.hosts = Some(Arc::new(|uri| uri.host() == Some("localhost"))));
    assert_failed(&vu.fail(get(server.url("/"))).await, FailureKind::Forbidden);
    assert_eq!(server.connections(), 0);
    let allowed = format!("http://localhost:{}/", server.address.port());
    assert_eq!(vu.answer(get(allowed)).await.status, 200);
}

#[tokio::test]
async fn a_silent_server_runs_out_of_time() {
    let started = Instant::now();
    let failure = fails(vec![Act::Hang]).await;
    assert_failed(&failure, FailureKind::Timeout);
    assert!((300..1_000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    let timings = failure.exchange.timings;
    assert!(timings.connecting > Duration::ZERO && timings.waiting > Duration::from_millis(200), "{timings:?}");
}

#[tokio::test]
async fn a_slow_body_runs_out_of_time() {
    let mut acts = vec![send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")];
    acts.extend((0..1000).flat_map(|_| [send("x"), Act::Wait(Duration::from_millis(20))]));
    assert_failed(&fails(acts).await, FailureKind::Timeout);
}

#[tokio::test]
async fn a_slow_head_runs_out_of_time() {
    let acts = (0..1000).flat_map(|_| [send("H"), Act::Wait(Duration::from_millis(20))]);
    // The first byte alone is no HTTP, so spell it out.
    let head = "HTTP/1.1 200 OK\r\nx: ".chars().map(|c| send(&c.to_string())).chain(acts);
    assert_failed(&fails(head.collect()).await, FailureKind::Timeout);
}

#[tokio::test]
async fn informational_answers_without_an_end_are_cut_off() {
    let flood = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(1_000).into_bytes();
    let failure = fails(vec![Act::Forever(flood)]).await;
    assert_failed(&failure, FailureKind::Protocol);
    // A few of them are no harm.
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(100);
    let server = Server::new(move |_| vec![send(&hints), send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")]).await;
    assert_eq!(client(|_| {}).answer(get(server.url("/"))).await.status, 200);
}

#[tokio::test]
async fn an_endless_body_ends_with_the_time() {
    let server = Server::new(|_| {
        vec![
            send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
            Act::Forever(format!("1000\r\n{}\r\n", "x".repeat(0x1000)).into_bytes()),
        ]
    })
    .await;
    let mut vu = client(|config| {
        config.timeout = Duration::from_millis(200);
        config.max_body = u64::MAX;
    });
    assert_failed(&vu.fail(get(server.url("/"))).await, FailureKind::Timeout);
}

#[tokio::test]
async fn an_endless_body_ends_with_what_is_read_of_one() {
    let server = Server::new(|_| vec![send("HTTP/1.1 200 OK\r\n\r\n"), Act::Forever(vec![b'x'; 64 * 1024])]).await;
    let mut vu = client(|config| config.max_body = 1024 * 1024);
    assert_failed(&vu.fail(get(server.url("/"))).await, FailureKind::TooLarge);
    assert_eq!(vu.fail(get(server.url("/"))).await.kind, FailureKind::TooLarge, "the connection was closed");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_head_without_end_is_too_large() {
    let server = Server::new(|_| {
        vec![send("HTTP/1.1 200 OK\r\n"), Act::Forever(format!("x: {}\r\n", "y".repeat(60_000)).into_bytes())]
    })
    .await;
    assert_failed(&client(|_| {}).fail(get(server.url("/"))).await, FailureKind::TooLarge);
}

#[tokio::test]
async fn a_reset_is_a_reset_wherever_it_comes() {
    for acts in [
        vec![Act::Reset],
        vec![Act::Close],
        vec![send("HTTP/1.1 200"), Act::Reset],
        vec![send("HTTP/1.1 200"), Act::Close],
        vec![
            send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
            Act::Wait(Duration::from_millis(10)),
            Act::Reset,
        ],
        vec![send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), Act::Close],
        vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"), Act::Close],
        vec![send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n"), Act::Close],
    ] {
        let what = format!("{acts:?}");
        let failure = fails(acts).await;
        assert_eq!(failure.kind, FailureKind::Reset, "{what}: {failure:?}");
        assert_eq!(failure.kind.error_code(), 1220);
    }
}

#[tokio::test]
async fn what_is_no_http_is_protocol() {
    for text in [
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 9999 What\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
    ] {
        let failure = fails(vec![send(text), Act::Hang]).await;
        assert_eq!(failure.kind, FailureKind::Protocol, "{text}: {failure:?}");
    }
}

#[tokio::test]
async fn a_failure_does_not_spoil_what_follows() {
    let server = Server::new(|seen| match seen.number {
        0 => vec![Act::Hang],
        1 => vec![send("garbage\r\n\r\n")],
        2 => vec![Act::Reset],
        _ => vec![Act::Send(ok("fine"))],
    })
    .await;
    let mut vu = client(|config| config.timeout = Duration::from_millis(100));
    for kind in [FailureKind::Timeout, FailureKind::Protocol, FailureKind::Reset] {
        assert_failed(&vu.fail(get(server.url("/"))).await, kind);
    }
    let answer = vu.answer(get(server.url("/"))).await;
    assert_eq!((&answer.body[..], answer.exchange.stale), (&b"fine"[..], false));
}

#[tokio::test(start_paused = true)]
async fn the_timer_of_one_request_does_not_ring_for_the_next() {
    let target = tower::service_fn(|request: Request| async move {
        let wait = request.uri().path()[1..].parse().unwrap();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    let config = ClientConfig { timeout: Duration::from_secs(1), ..ClientConfig::default() };
    let mut vu = Shared::new(config).worker().vu_over(target);
    for wait in [900, 900, 999, 10, 999] {
        assert_eq!(vu.answer(get(format!("http://t/{wait}"))).await.status, 200);
    }
    let started = Instant::now();
    assert_failed(&vu.fail(get("http://t/5000")).await, FailureKind::Timeout);
    assert_eq!(started.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_the_cap_makes_wait_is_not_in_the_timeout_nor_in_the_phases() {
    let target = tower::service_fn(|_: Request| async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default()))
    });
    let config = ClientConfig {
        timeout: Duration::from_secs(1),
        period: Some(Duration::from_secs(5)),
        ..ClientConfig::default()
    };
    let mut vu = Shared::new(config).worker().vu_over(target);
    let started = Instant::now();
    for _ in 0..3 {
        let timings = vu.answer(get("http://t/")).await.exchange.timings;
        assert!(timings.blocked.is_zero() && timings.duration() < Duration::from_millis(20), "{timings:?}");
    }
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_request_is_whole_is_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            // It answers what it has not read, and reads no more.
            let mut buffer = [0; 64];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno").await;
            held.push(stream);
        }
    });
    let mut vu = client(|_| {});
    let mut asked = request("POST", url, "");
    *asked.body_mut() = Full::from(vec![b'x'; 32 * 1024 * 1024]);
    for _ in 0..2 {
        let answer = vu.answer(asked.clone()).await;
        assert_eq!((answer.status, &answer.body[..]), (413, &b"no"[..]));
        assert!(!answer.exchange.stale, "a connection that still sends is not kept");
    }
}

#[tokio::test]
async fn no_file_left_is_a_failure_to_connect() {
    // What the kernel says of a machine that is used up has no kind of its own.
    for errno in [24, 99] {
        let error = std::io::Error::from_raw_os_error(errno);
        assert_eq!(super::super::classify::connecting(&error), FailureKind::Connect);
    }
}
