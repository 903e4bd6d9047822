//! What goes over the wire.

use super::*;

#[tokio::test]
async fn a_request_says_who_asks_and_for_which_trace() {
    let server = Server::always(ok("")).await;
    client(|_| {}).answer(get(server.url("/path?q=1"))).await;
    let seen = &server.seen()[0];
    assert_eq!(seen.line(), "GET /path?q=1 HTTP/1.1");
    assert_eq!(seen.header("host"), Some(&*server.address.to_string()));
    assert_eq!(seen.header("user-agent"), Some(crate::semconv::USER_AGENT));
    assert_eq!(seen.header("traceparent"), Some("00-0123456789abcdef0000000000000007-00000000000000aa-01"));
    assert_eq!(seen.header("baggage"), Some("pacecar.run=0123456789abcdef"));
    assert_eq!(seen.header("accept-encoding"), None);
    assert_eq!(seen.header("connection"), None);
    assert_eq!(seen.header("content-length"), None);
}

#[tokio::test]
async fn the_random_flag_is_set_where_it_is_asked_for() {
    let server = Server::always(ok("")).await;
    client(|config| config.random_flag = true).answer(get(server.url("/"))).await;
    assert!(server.seen()[0].header("traceparent").unwrap().ends_with("-03"));
}

#[tokio::test]
async fn only_the_share_that_is_asked_for_is_flagged_as_recorded() {
    let server = Server::always(ok("")).await;
    // The trace's low bytes are 7: below any share but none.
    client(|config| config.sampling = crate::semconv::Sampling::ratio(0.001)).answer(get(server.url("/"))).await;
    client(|config| config.sampling = crate::semconv::Sampling::ratio(0.0)).answer(get(server.url("/"))).await;
    let flags: Vec<_> = server.seen().iter().map(|seen| seen.header("traceparent").unwrap()[53..].to_owned()).collect();
    assert_eq!(flags, ["01", "00"]);
}

#[tokio::test]
async fn what_the_plan_writes_is_kept_but_for_the_trace() {
    let server = Server::always(ok("")).await;
    let mut asked = get(server.url("/"));
    for (name, value) in [("user-agent", "mine"), ("host", "other.test"), ("baggage", "a=b"), ("traceparent", "00-x")] {
        asked = with_header(asked, name, value);
    }
    client(|_| {}).answer(asked).await;
    let seen = &server.seen()[0];
    assert_eq!((seen.header("user-agent"), seen.header("host")), (Some("mine"), Some("other.test")));
    assert_eq!(seen.head.matches("traceparent").count(), 1);
    assert!(seen.header("traceparent").unwrap().starts_with("00-0123456789abcdef"));
    assert!(seen.head.contains("baggage: a=b\r\n") && seen.head.contains("baggage: pacecar.run="));
}

#[tokio::test]
async fn a_body_says_how_long_it_is_and_so_does_none() {
    let server = Server::always(ok("")).await;
    let mut vu = client(|_| {});
    for (method, body, length) in
        [("POST", "abc", Some("3")), ("POST", "", Some("0")), ("PATCH", "", Some("0")), ("DELETE", "", None)]
    {
        vu.answer(request(method, server.url("/"), body)).await;
        let seen = server.seen().pop().unwrap();
        assert_eq!((seen.header("content-length"), &seen.body[..]), (length, body), "{method}");
        assert!(seen.head.matches("content-length").count() <= 1);
    }
}

#[tokio::test]
async fn a_url_without_a_path_asks_for_the_root() {
    let server = Server::always(ok("")).await;
    let mut vu = client(|_| {});
    for (path, line) in [("", "GET / HTTP/1.1"), ("?a=b", "GET /?a=b HTTP/1.1"), ("/%20x", "GET /%20x HTTP/1.1")] {
        vu.answer(get(server.url(path))).await;
        assert_eq!(server.seen().pop().unwrap().line(), line);
    }
}

#[tokio::test]
async fn user_and_password_of_a_url_become_basic_authorization() {
    let server = Server::always(ok("")).await;
    let mut vu = client(|_| {});
    vu.answer(get(format!("http://user:pass@{}/", server.address))).await;
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(seen.header("host"), Some(&*server.address.to_string()));
}
