//! What a site answers, and how long it takes.

use std::time::{Duration, Instant};

use rehearsal::Rehearsed;

use crate::kit::{BODY, NAME, Outside, PATH, Reply, Site, answer, ok};

#[tokio::test]
async fn the_expected_body_is_right() {
    let outside = Outside::start().await;
    for body in [
        BODY.to_owned(),
        format!("{BODY}\n"),
        format!("{BODY} \t\r\n\r\n"),
        // Just as long as it may be.
        format!("{BODY}{}", " ".repeat(128 - BODY.len())),
    ] {
        let site = Site::start(move |_| ok(&body)).await;
        assert_eq!(outside.fetch(site.port).await, Rehearsed::Right);
    }
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{BODY}\r\n0\r\n\r\n",
        BODY.len()
    );
    let site = Site::start(move |_| Reply::Bytes(chunked.clone().into_bytes())).await;
    assert_eq!(outside.fetch(site.port).await, Rehearsed::Right);
}

#[tokio::test]
async fn it_asks_as_a_ca_does() {
    let outside = Outside::start().await;
    let site = Site::start(|_| ok(BODY)).await;
    outside.fetch(site.port).await;
    let head = site.heads().remove(0).to_lowercase();
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        format!("get {PATH} http/1.1\r\n"),
        format!("\r\nhost: {NAME}:{}\r\n", site.port),
        format!("\r\nuser-agent: ssl-manager/{version} (rehearsal)\r\n"),
        "\r\nconnection: close\r\n".to_owned(),
        "\r\naccept: */*\r\n".to_owned(),
    ] {
        assert!(head.contains(&line), "{line:?} in {head:?}");
    }
    assert_eq!(site.connections(), 1);
}

#[tokio::test]
async fn another_body_is_wrong_and_not_told() {
    let outside = Outside::start().await;
    let long = format!("{BODY}{}", " ".repeat(129 - BODY.len()));
    for (body, found) in [
        ("secret", "another body came back"),
        (&BODY[1..], "another body came back"),
        (&format!(" {BODY}"), "another body came back"),
        (&format!("{BODY}!"), "another body came back"),
        (" \n", "an empty body came back"),
        (&long, "another body came back (over 128 bytes)"),
    ] {
        let body = body.to_owned();
        let site = Site::start(move |_| ok(&body)).await;
        assert_eq!(outside.wrong(site.port).await, found);
    }
}

#[tokio::test]
async fn another_status_is_wrong() {
    let outside = Outside::start().await;
    for (status, found) in [
        ("404 Not Found", "127.0.0.1 answers with 404"),
        ("500 secret", "127.0.0.1 answers with 500"),
        ("201 Created", "127.0.0.1 answers with 201"),
        ("206 Partial Content", "127.0.0.1 answers with 206"),
        ("401 Unauthorized", "127.0.0.1 answers with 401"),
    ] {
        let site = Site::start(move |_| answer(status, "", BODY)).await;
        assert_eq!(outside.wrong(site.port).await, found);
    }
}

#[tokio::test]
async fn what_is_no_http_is_wrong() {
    let outside = Outside::start().await;
    let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(150));
    let long_header = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "b".repeat(20_000));
    let body_is_cut = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{BODY}");
    for (bytes, found) in [
        ("", "the connection was closed without an answer"),
        ("HTTP/1.1 200", "the connection was closed without an answer"),
        ("SSH-2.0-secret\r\n", "the answer is not HTTP/1.1"),
        (BODY, "the answer is not HTTP/1.1"),
        (&headers, "the answer has too many or too long headers"),
        (&long_header, "the answer has too many or too long headers"),
        (&body_is_cut, "the answer broke off"),
    ] {
        let bytes = bytes.as_bytes().to_vec();
        let site = Site::start(move |_| Reply::Bytes(bytes.clone())).await;
        assert_eq!(outside.wrong(site.port).await, found);
    }
}

#[tokio::test]
async fn an_endless_answer_is_bounded() {
    let outside = Outside::start().await;
    for (bytes, found) in [
        ("HTTP/1.1 200 OK\r\n", "the answer"),
        ("X", "the answer"),
        ("HTTP/1.1 200 OK\r\n\r\nsecret", "over 128 bytes"),
    ] {
        let site = Site::start(move |_| Reply::ForEver(bytes.into())).await;
        let began = Instant::now();
        let told = outside.wrong(site.port).await;
        assert!(told.contains(found) && !told.contains("secret"), "{told}");
        assert!(began.elapsed() < Duration::from_secs(2), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_site_that_does_not_answer_is_given_up() {
    let mut outside = Outside::start().await;
    outside.fetch_within = Duration::from_millis(500);
    let silent = Site::start(|_| Reply::Silence).await;
    assert_eq!(outside.wrong(silent.port).await, "no answer in time");
    // These are answers that hyper leaves out, so nothing but the time bounds them.
    let informs = Site::start(|_| Reply::ForEver(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec())).await;
    assert_eq!(outside.wrong(informs.port).await, "no answer in time");
}

#[tokio::test]
async fn a_token_that_would_lead_elsewhere_is_not_asked_for() {
    let outside = Outside::start().await;
    let site = Site::start(|_| ok(BODY)).await;
    for token in ["", "../../admin", "a/b", "a?b", "a b", "ä", &"a".repeat(129)] {
        let rehearsed = outside.fetch_token(site.port, token).await;
        assert!(matches!(rehearsed, Rehearsed::CouldNotAsk { .. }), "{rehearsed:?}");
    }
    assert_eq!(site.connections(), 0);
}
