//! The API goes away and comes back: an open page keeps what it has and says so, and nobody has to
//! load anything again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;

use tests::{Browser, Console, Subprocess, free_port};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const LAST_KNOWN: &str = "Showing what was last known.";
const NAME: &str = "shop.example.com";

/// A line to the API that can be cut.
struct Line {
    url: String,
    is_whole: watch::Sender<bool>,
}

impl Line {
    async fn to(console: &Console) -> Self {
        let api = console.manager.endpoint().replace("http://", "");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (is_whole, whole) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                if *whole.borrow() {
                    tokio::spawn(carry(here, api.clone(), whole.clone()));
                }
            }
        });
        Self { url, is_whole }
    }

    fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn carry(mut here: TcpStream, api: String, mut whole: watch::Receiver<bool>) {
    let Ok(mut there) = TcpStream::connect(api).await else {
        return;
    };
    tokio::select! {
        _ = copy_bidirectional(&mut here, &mut there) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}

/// A console in a process of its own.
async fn apart(console: &Console, line: &Line, port: u16) -> Subprocess {
    let listen = format!("127.0.0.1:{port}");
    let environment =
        [("SSL_MANAGER__CONSOLE__API__URL", line.url.as_str()), ("SSL_MANAGER__CONSOLE__LISTEN", &listen)];
    console.manager.start_role("console", &environment).await
}

/// Somebody at the list of a console apart, with one domain that C4 does not know.
async fn watching() -> (Console, Line, String, Subprocess, Browser) {
    let console = Console::start().await;
    console.domain(&["add", NAME]);
    let line = Line::to(&console).await;
    let port = free_port();
    let process = apart(&console, &line, port).await;
    let url = format!("http://127.0.0.1:{port}");
    let browser = Browser::start().await;
    console.sign_in_at(&url, &browser, "support").await;
    browser.see_in_row(NAME, "Discard").await;
    browser.mark().await;
    (console, line, url, process, browser)
}

async fn mend(console: &Console) {
    console.world.point_at_cdn(NAME);
    console.domain(&["recheck", NAME]);
    console.serves(NAME, "it", |_| true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_keeps_what_it_has_and_says_so_until_the_api_is_back() {
    let (console, line, _url, _process, browser) = watching().await;
    assert!(!browser.text().await.contains(LAST_KNOWN));
    line.cut();
    browser.see(LAST_KNOWN).await;
    assert_eq!(browser.names("rowheader").await, [NAME]);
    browser.assert_accessible("the list while the API is away").await;
    browser.screenshot("away-list").await;
    mend(&console).await;
    let row = browser.row(NAME).await.text().await.unwrap();
    assert!(row.contains("Discard"), "nobody could have told: {row}");
    line.mend();
    browser.see_in_row(NAME, "Success").await;
    browser.see_no_more(LAST_KNOWN).await;
    assert!(browser.is_marked().await, "the page was loaded again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_loaded_meanwhile_says_so_and_loads_by_itself_once_it_can() {
    let (_console, line, url, _process, browser) = watching().await;
    line.cut();
    browser.see(LAST_KNOWN).await;
    browser.goto(&format!("{url}/?q=shop")).await;
    browser.find("heading", "The API does not answer").await;
    browser.see("Nothing is lost; this page retries by itself.").await;
    browser.screenshot("away-page").await;

    let stranger = Browser::start().await;
    stranger.goto(&format!("{url}/sign-in")).await;
    stranger.send_sign_in("support", Console::PASSWORD).await;
    stranger.see("The API does not answer at the moment.").await;

    line.mend();
    browser.find("heading", "Domains").await;
    assert_eq!(browser.names("rowheader").await, [NAME]);
    assert_eq!(browser.url().await, format!("{url}/?q=shop"));
    stranger.send_sign_in("support", Console::PASSWORD).await;
    stranger.find("heading", "Domains").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_open_hears_of_what_happened_meanwhile() {
    let (console, line, url, _process, browser) = watching().await;
    browser.goto(&format!("{url}/domains/{NAME}")).await;
    browser.see("C4 does not know this domain.").await;
    browser.mark().await;
    line.cut();
    browser.see(LAST_KNOWN).await;
    mend(&console).await;
    line.mend();
    browser.see("HTTPS works.").await;
    browser.see_no_more(LAST_KNOWN).await;
    console.domain(&["delete", NAME, "--yes"]);
    browser.see("This domain was deleted on").await;
    assert!(browser.is_marked().await, "the page was loaded again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_outlives_its_console() {
    let (console, line, url, mut process, browser) = watching().await;
    process.kill_9();
    browser.see(LAST_KNOWN).await;
    assert_eq!(browser.names("rowheader").await, [NAME]);
    mend(&console).await;
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let _process = apart(&console, &line, port).await;
    browser.see_in_row(NAME, "Success").await;
    browser.see_no_more(LAST_KNOWN).await;
    assert!(browser.is_marked().await, "the page was loaded again");
}
