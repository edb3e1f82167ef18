//! Where redirects may lead.

use rehearsal::Rehearsed;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::kit::{BODY, HERE, NAME, OTHER_NAME, Outside, PATH, Reply, Site, THERE, answer, ok, redirect};

/// A site whose every answer redirects there; `PORT` is its own port.
async fn redirecting(location: &str) -> Site {
    // The port is known once it listens; until then nobody asks.
    let port = TcpListener::bind((HERE, 0)).await.unwrap().local_addr().unwrap().port();
    let location = location.replace("PORT", &port.to_string());
    Site::at(HERE.into(), port, move |_| redirect(&location)).await
}

#[tokio::test]
async fn redirects_are_followed_to_another_host() {
    let outside = Outside::start().await;
    for location in [
        format!("http://{OTHER_NAME}:PORT/here?a=b#c"),
        format!("//{OTHER_NAME}:PORT/here?a=b"),
        "HTTP://OTHER.example.com.:PORT/up/../here?a=b".to_owned(),
    ] {
        let site = redirecting(&location).await;
        let other = Site::at(THERE.into(), site.port, |_| ok(BODY)).await;
        assert_eq!(outside.fetch(site.port).await, Rehearsed::Right, "{location}");
        let head = other.heads().remove(0);
        assert!(head.starts_with("GET /here?a=b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {OTHER_NAME}:{}\r\n", site.port)), "{head}");
    }
}

#[tokio::test]
async fn the_four_redirects_that_cas_follow_are_followed_and_no_others() {
    let outside = Outside::start().await;
    for status in [301, 302, 307, 308] {
        let site = by_path(status).await;
        assert_eq!(outside.fetch(site.port).await, Rehearsed::Right, "{status}");
    }
    for status in [300, 303, 304, 305] {
        let found = outside.wrong(by_path(status).await.port).await;
        assert_eq!(found, format!("127.0.0.1 answers with {status}, which CAs do not follow"));
    }
}

async fn by_path(status: u16) -> Site {
    Site::start(move |path| {
        if path == PATH {
            answer(&format!("{status} Redirect"), "Location: /moved\r\n", "")
        } else {
            ok(BODY)
        }
    })
    .await
}

#[tokio::test]
async fn https_is_followed_whatever_certificate_is_shown() {
    let outside = Outside::start().await;
    let site = redirecting(&format!("https://{OTHER_NAME}:PORT/secure")).await;
    let other = Site::with_tls(THERE.into(), site.port, |_| ok(BODY)).await;
    assert_eq!(outside.fetch(site.port).await, Rehearsed::Right);
    assert!(other.heads()[0].starts_with("GET /secure HTTP/1.1\r\n"));
    assert_eq!(other.server_names(), [OTHER_NAME]);

    let no_tls = redirecting(&format!("https://{OTHER_NAME}:PORT/secure")).await;
    let listener = TcpListener::bind((THERE, no_tls.port)).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let found = outside.wrong(no_tls.port).await;
    assert!(found.ends_with("and there the TLS handshake failed"), "{found}");
}

#[tokio::test]
async fn it_says_behind_which_redirect_it_went_wrong() {
    let outside = Outside::start().await;
    let site = redirecting(&format!("http://{OTHER_NAME}:PORT/")).await;
    let origin = format!("http://{OTHER_NAME}:{}", site.port);
    Site::at(THERE.into(), site.port, |_| answer("410 Gone", "", "")).await;
    assert_eq!(
        outside.wrong(site.port).await,
        format!("it redirects to {origin}, and there the answer was 410")
    );
    let long = format!("http://{}example.com:PORT/", "a123456789.".repeat(22));
    let found = outside.wrong(redirecting(&long).await.port).await;
    assert!(found.contains('…') && found.chars().count() < 200, "{found}");
}

#[tokio::test]
async fn ten_redirects_are_followed_and_the_eleventh_is_not() {
    let outside = Outside::start().await;
    for (redirects, expected) in
        [(10, Rehearsed::Right), (11, Rehearsed::Wrong { found: "it redirects over 10 times".to_owned() })]
    {
        let site = Site::start(move |path| {
            let passed: usize = path.trim_start_matches('/').parse().unwrap_or(0);
            if passed < redirects { redirect(&format!("/{}", passed + 1)) } else { ok(BODY) }
        })
        .await;
        assert_eq!(outside.fetch(site.port).await, expected);
        assert_eq!(site.connections(), 11);
    }
}

#[tokio::test]
async fn a_circle_is_left_at_once() {
    let outside = Outside::start().await;
    for (location, connections) in [(PATH, 1), ("/other", 2), ("/other#1", 2)] {
        let site = redirecting(location).await;
        assert_eq!(outside.wrong(site.port).await, "its redirects lead in a circle", "{location}");
        assert_eq!(site.connections(), connections, "{location}");
    }
}

#[tokio::test]
async fn redirects_lead_to_http_and_https_on_their_ports_only() {
    let outside = Outside::start().await;
    let elsewhere = Site::at(THERE.into(), 0, |_| ok(BODY)).await;
    for location in [
        format!("http://{OTHER_NAME}:{}/", elsewhere.port),
        format!("https://{OTHER_NAME}:{}/", elsewhere.port),
        format!("http://{OTHER_NAME}:22/"),
        format!("http://{OTHER_NAME}:0/"),
    ] {
        let found = outside.wrong(redirecting(&location).await.port).await;
        assert_eq!(found, "it redirects to a port other than 80 and 443", "{location}");
    }
    for location in [
        "file:///etc/passwd",
        "ftp://other.example.com/",
        "gopher://other.example.com:80/_x",
        "data:text/plain,probe",
        "javascript:alert(1)",
        "ws://other.example.com/",
    ] {
        let found = outside.wrong(redirecting(location).await.port).await;
        assert_eq!(found, "it redirects to something other than http and https", "{location}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn redirects_lead_to_public_host_names_only() {
    let outside = Outside::start().await;
    for location in [
        "http://127.0.0.1:PORT/",
        "http://127.1:PORT/",
        "http://2130706433:PORT/",
        "http://0x7f.0.0.1:PORT/",
        "http://0177.0.0.1:PORT/",
        "http://127.0.0.1.:PORT/",
        "http://[::1]:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://１２７.0.0.1:PORT/",
        "http:/\\127.0.0.1:PORT/",
        "\\\\127.0.0.1:PORT/",
    ] {
        let found = outside.wrong(redirecting(location).await.port).await;
        assert!(found.starts_with("it redirects to an IP address"), "{location}: {found}");
    }
    for location in [
        "http://localhost:PORT/",
        "http://metadata:PORT/",
        "http://a..b:PORT/",
        "http://a$b.example.com:PORT/",
        "http://*.example.com:PORT/",
        &format!("http://{}.example.com:PORT/", "a".repeat(64)),
    ] {
        let found = outside.wrong(redirecting(location).await.port).await;
        assert!(found.ends_with("not one of the public DNS"), "{location}: {found}");
    }
    for location in [
        format!("http://somebody@{OTHER_NAME}:PORT/"),
        format!("http://:password@{OTHER_NAME}:PORT/"),
        format!("http://{NAME}:PORT@{OTHER_NAME}:PORT/"),
    ] {
        let found = outside.wrong(redirecting(&location).await.port).await;
        assert_eq!(found, "it redirects to a URL with a user name or a password", "{location}");
    }
}

#[tokio::test]
async fn a_location_that_is_none_is_wrong() {
    let outside = Outside::start().await;
    for location in ["http://", "http://[::1", "http://a b.example.com/", "http://x:99999/"] {
        let found = outside.wrong(redirecting(location).await.port).await;
        assert_eq!(found, "it redirects to something that is no URL", "{location}");
    }
    let long = redirecting(&format!("/{}", "a".repeat(2000))).await;
    assert_eq!(outside.wrong(long.port).await, "it redirects to a URL of over 2000 characters");
    let nowhere = Site::start(|_| answer("302 Found", "", "")).await;
    assert_eq!(outside.wrong(nowhere.port).await, "it redirects without saying where to");
    let bytes = b"HTTP/1.1 302 Found\r\nLocation: /\xff\xfe\r\n\r\n";
    let binary = Site::start(|_| Reply::Bytes(bytes.to_vec())).await;
    assert_eq!(outside.wrong(binary.port).await, "it redirects to something that is no URL");
}
