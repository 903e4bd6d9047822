//! Cookies: one jar an iteration, which sends what it was given.

use super::*;

/// A server that sets `cookies` at `/set` and answers everything else with the cookies it got.
async fn sets(cookies: &'static [&'static str]) -> Server {
    Server::new(move |seen| {
        if !seen.line().contains(" /set ") {
            return vec![Act::Send(ok(seen.header("cookie").unwrap_or("none")))];
        }
        let lines: String = cookies.iter().map(|cookie| format!("set-cookie: {cookie}\r\n")).collect();
        vec![Act::Send(format!("HTTP/1.1 200 OK\r\n{lines}content-length: 0\r\n\r\n").into_bytes())]
    })
    .await
}

fn in_iteration(mut request: Request, iteration: u64) -> Request {
    request.extensions_mut().insert(context(iteration));
    request
}

#[tokio::test]
async fn what_was_set_is_sent_until_the_iteration_ends() {
    let server = sets(&["session=abc; Path=/; HttpOnly", "b=\"q v\"; Path=/"]).await;
    let mut vu = client(|_| {});
    assert_eq!(vu.answer(get(server.url("/x"))).await.body, "none");
    vu.answer(get(server.url("/set"))).await;
    assert_eq!(vu.answer(get(server.url("/x"))).await.body, "b=\"q v\"; session=abc");
    assert_eq!(vu.answer(in_iteration(get(server.url("/x")), 2)).await.body, "none");
    assert_eq!(vu.answer(get(server.url("/x"))).await.body, "none", "a jar that was emptied stays so");
}

#[tokio::test]
async fn a_cookie_of_the_plans_own_is_kept_beside_the_jars() {
    let server = sets(&["a=jar; Path=/", "b=jar; Path=/"]).await;
    let mut vu = client(|_| {});
    vu.answer(get(server.url("/set"))).await;
    let answer = vu.answer(with_header(get(server.url("/x")), "cookie", "a=plan; c=plan")).await;
    assert_eq!(answer.body, "a=plan; c=plan; b=jar");
}

#[tokio::test]
async fn paths_domains_and_expiry_hold() {
    let server = sets(&["deep=1; Path=/deep", "gone=1; Path=/; Max-Age=0", "foreign=1; Domain=other.test"]).await;
    let mut vu = client(|_| {});
    vu.answer(get(server.url("/set"))).await;
    assert_eq!(vu.answer(get(server.url("/x"))).await.body, "none");
    assert_eq!(vu.answer(get(server.url("/deep/x"))).await.body, "deep=1");
}

#[tokio::test]
async fn a_redirect_sets_and_gets_cookies_and_they_stay_with_their_host() {
    let other = Server::new(|seen| vec![Act::Send(ok(seen.header("cookie").unwrap_or("none")))]).await;
    // Cookies know no ports, so the other server is another name for the same machine.
    let elsewhere = format!("http://localhost:{}/", other.address.port());
    let server = Server::new(move |seen| match seen.line() {
        line if line.contains(" /login ") => vec![Act::Send(
            b"HTTP/1.1 302 Found\r\nset-cookie: sid=1; Path=/\r\nlocation: /home\r\ncontent-length: 0\r\n\r\n".to_vec(),
        )],
        line if line.contains(" /away ") => redirect(302, &elsewhere),
        _ => vec![Act::Send(ok(seen.header("cookie").unwrap_or("none")))],
    })
    .await;
    let mut vu = client(|_| {});
    assert_eq!(vu.answer(get(server.url("/login"))).await.body, "sid=1");
    assert_eq!(vu.answer(get(server.url("/home"))).await.body, "sid=1");
    assert_eq!(vu.answer(get(server.url("/away"))).await.body, "none");
}

#[tokio::test]
async fn vus_do_not_share_cookies() {
    let server = sets(&["a=1; Path=/"]).await;
    let worker = Shared::new(ClientConfig::default()).worker();
    let (mut one, mut other) = (worker.vu(Traffic::default()), worker.vu(Traffic::default()));
    one.answer(get(server.url("/set"))).await;
    assert_eq!(other.answer(get(server.url("/x"))).await.body, "none");
}

#[tokio::test]
async fn a_cookie_that_is_none_does_no_harm() {
    let server = sets(&["", "=", ";;;", "\u{e9}=\u{e9}", "ok=1; Path=/"]).await;
    let mut vu = client(|_| {});
    vu.answer(get(server.url("/set"))).await;
    let sent = vu.answer(get(server.url("/x"))).await.body;
    assert!(String::from_utf8_lossy(&sent).contains("ok=1"), "{sent:?}");
}
