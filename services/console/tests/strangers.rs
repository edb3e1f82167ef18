//! Strangers at the page: forms that never end, sessions that are nobody's, passwords that are guessed. Each attack really
//! happens, and somebody who is signed in works all the while.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use domain::Role;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use served::{Browser, NAME, PASSWORD, Served, served, served_with};

/// Ten times what a page may take under attack.
const SHOWN_TIMEOUT: Duration = Duration::from_secs(10);
const ATTACK: Duration = Duration::from_secs(5);

async fn connect(served: &Served, host: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).unwrap();
    socket.connect(served.page).await.unwrap()
}

/// A request's head; the browser that sends it is on our own page.
fn head(served: &Served, line: &str, headers: &str) -> String {
    let origin = format!("http://{}", served.page);
    format!("{line} HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\n{headers}\r\n", served.page)
}

/// What came until now, or until the end.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4096];
    let read = tokio::time::timeout(SHOWN_TIMEOUT, stream.read(&mut bytes)).await.unwrap();
    String::from_utf8_lossy(&bytes[..read.unwrap_or(0)]).into_owned()
}

/// A person's pages during an attack.
async fn works(browser: &Browser, until: Instant) {
    let mut shown = 0;
    while Instant::now() < until || shown < 10 {
        let begun = Instant::now();
        assert_eq!(browser.get("/").await.status, 200);
        assert!(begun.elapsed() < SHOWN_TIMEOUT, "{:?}", begun.elapsed());
        shown += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_in_forms_that_never_end_keep_nobody_out() {
    let served = served().await;
    let browser = served.browser(Role::Support).await;
    let head = head(&served, "POST /sign-in", "content-length: 8000\r\n");
    let mut forms = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(&served, 2).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[b'x'; 4000]).await.unwrap();
        forms.push(stream);
    }
    works(&browser, Instant::now() + ATTACK).await;
    let [name] = <[_; 1]>::try_from(served.people(1).await).unwrap();
    assert_eq!(served.stranger([127, 0, 0, 3]).sign_in(&name, PASSWORD).await.status, 303);
    let mut statuses = Vec::new();
    for stream in &mut forms {
        statuses.push(answer(stream).await.split(' ').nth(1).unwrap_or_default().to_owned());
    }
    let count = |status: &str| statuses.iter().filter(|other| *other == status).count();
    assert!(count("429") > 100, "of one source: {statuses:?}");
    assert!(count("408") > 10, "in time: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_a_stranger_is_refused_by_what_its_head_says() {
    let served = served().await;
    let mut stream = connect(&served, 2).await;
    let head = head(&served, "POST /sign-in", "content-length: 9000\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 413"), "before a byte of the body");
}

/// Sessions that are nobody's, over and over, on HTTP/1.1 and HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_nobodys_keep_nobody_out() {
    let served = served().await;
    let browser = served.browser(Role::Support).await;
    let until = Instant::now() + ATTACK;
    let mut attackers = JoinSet::new();
    for number in 0..100_u32 {
        let builder = reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2]));
        let builder = if number % 2 == 0 { builder.http1_only() } else { builder.http2_prior_knowledge() };
        let (client, page) = (builder.build().unwrap(), format!("http://{}/", served.page));
        attackers.spawn(async move {
            let mut asked = 0_u32;
            while Instant::now() < until {
                let cookie = format!("ssl-manager=sls_{number}-{asked}");
                if client.get(&page).header("cookie", cookie).send().await.is_ok() {
                    asked += 1;
                }
            }
            asked
        });
    }
    works(&browser, until).await;
    let asked: u32 = attackers.join_all().await.into_iter().sum();
    assert!(asked > 200, "{asked} requests came");
}

/// 200 people behind one address, all at nine o'clock, while somebody else there guesses.
#[tokio::test(flavor = "multi_thread")]
async fn an_office_behind_one_address_gets_in() {
    let shared = "127.0.0.4/32".parse().unwrap();
    let served = served_with(|config| config.connections.shared_sources = vec![shared]).await;
    let names = served.people(200).await;
    let mut office = JoinSet::new();
    for name in names {
        let mut browser = served.stranger([127, 0, 0, 4]);
        office.spawn(async move {
            let mut tries = 1;
            while browser.sign_in(&name, PASSWORD).await.status != 303 {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            assert_eq!(browser.get("/").await.status, 200);
            tries
        });
    }
    let tries = tokio::time::timeout(Duration::from_mins(2), office.join_all()).await.unwrap();
    assert_eq!(tries.len(), 200);
}

#[tokio::test]
async fn who_guesses_a_colleagues_password_keeps_them_out_of_nothing() {
    let served = served().await;
    let [name] = <[_; 1]>::try_from(served.people(1).await).unwrap();
    let mut own = served.stranger([127, 0, 0, 3]);
    assert_eq!(own.sign_in(&name, PASSWORD).await.status, 303);
    let mut stranger = served.stranger([127, 0, 0, 2]);
    let mut last = None;
    for _ in 0..7 {
        last = Some(stranger.sign_in(&name, "wrong password").await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, 429);
    assert!(
        !last.header("retry-after").is_empty() && last.body.contains("Too many attempts"),
        "{}",
        last.body
    );
    assert_eq!(served.stranger([127, 0, 0, 3]).sign_in(&name, PASSWORD).await.status, 303);
    // The browser on which they signed in before, now at the stranger's address.
    let mut moved = served.moved(own, [127, 0, 0, 2]);
    assert_eq!(moved.sign_in(&name, PASSWORD).await.status, 303);
    let lines = served.context.store.audit(None, 100).await.unwrap();
    let told = lines.iter().find(|line| line.outcome == "SIGN_IN_FAILED").unwrap();
    assert_eq!((told.actor.as_str(), told.peer.as_str()), ("user:person-0", "127.0.0.2"));
}

/// A page that stands open, and one that is made, end with the session within a second or two.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_ends_with_its_session_and_a_person_has_so_many() {
    let served = served().await;
    served.add(NAME).await;
    let browser = served.browser(Role::Viewer).await;
    let mut pages = Vec::new();
    for _ in 0..64 {
        let page = browser.open("/events").await;
        assert_eq!(page.status(), 200);
        pages.push(page);
    }
    assert_eq!(browser.open("/events").await.status(), 429);
    let mut tx = served.context.store.begin("end").await.unwrap();
    assert_eq!(tx.end_sessions("ann-viewer").await.unwrap(), 1);
    tx.commit().await.unwrap();
    let over = async {
        let mut page = pages.pop().unwrap();
        let mut said = String::new();
        while let Some(piece) = page.chunk().await.unwrap() {
            said.push_str(&String::from_utf8_lossy(&piece));
        }
        said
    };
    let said = tokio::time::timeout(SHOWN_TIMEOUT, over).await.unwrap();
    assert!(said.contains("event: session"), "{said}");
}
