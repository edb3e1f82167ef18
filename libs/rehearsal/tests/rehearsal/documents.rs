//! Documents whose URL stands in a certificate.

use std::time::Duration;

use crate::kit::{BODY, NAME, Outside, Reply, Site, ok, redirect};

#[tokio::test]
async fn a_document_comes_from_a_host_of_the_internet_by_plain_http() {
    let mut outside = Outside::start().await;
    let site = Site::start(|_| ok(BODY)).await;
    let url = format!("http://{NAME}:{}/1.crl?a=b", site.port);
    assert_eq!(outside.document(site.port, &url).await.unwrap(), BODY);
    assert!(site.heads()[0].starts_with("GET /1.crl?a=b HTTP/1.1\r\n"), "{:?}", site.heads());
    for refused in [
        format!("https://{NAME}:{}/", site.port),
        format!("http://user:secret@{NAME}:{}/", site.port),
        format!("http://127.0.0.1:{}/", site.port),
        format!("http://{NAME}/{}", "x".repeat(2000)),
        "ldap://ldap.example.com/".to_owned(),
        "no url".to_owned(),
    ] {
        let why = outside.document(site.port, &refused).await.unwrap_err();
        assert_eq!(why, "its URL cannot be used", "{refused:.60}");
    }
    outside.allow_private_addresses = false;
    let why = outside.document(site.port, &url).await.unwrap_err();
    assert_eq!(why, "it leads to the loopback address 127.0.0.1");
    let why = outside.document(80, &url).await.unwrap_err();
    assert_eq!(why, "its URL cannot be used", "another port");
    assert_eq!(site.connections(), 1);
}

#[tokio::test]
async fn a_document_has_bounds() {
    let mut outside = Outside::start().await;
    outside.fetch_within = Duration::from_millis(500);
    let site = Site::start(|path| match path {
        "/long" => ok(&"x".repeat(1001)),
        "/elsewhere" => redirect("/long"),
        "/silent" => Reply::Silence,
        _ => Reply::ForEver(b"HTTP/1.1 200 OK\r\n".to_vec()),
    })
    .await;
    for (path, expected) in [
        ("long", "over 1000 bytes"),
        ("elsewhere", "redirect"),
        ("silent", "no answer in time"),
        ("nonsense", "not HTTP/1.1"),
    ] {
        let url = format!("http://{NAME}:{}/{path}", site.port);
        let why = outside.document(site.port, &url).await.unwrap_err();
        assert!(why.contains(expected), "{path}: {why}");
    }
}
