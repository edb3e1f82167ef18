//! The list as somebody works with it all day: found, ordered, paged, sent to a colleague, and alive without getting in
//! the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tests::{Browser, Console};
use tokio::net::TcpListener;

const DOMAINS: usize = 60;
const PAGE: usize = 50;

/// The names of the rows, in their order.
async fn rows(browser: &Browser) -> Vec<String> {
    browser.names("rowheader").await
}

/// Waits for an address with that text, and for the list there.
async fn listed(browser: &Browser, part: &str) -> Vec<String> {
    browser.at(part).await;
    browser.find("heading", "Domains").await;
    rows(browser).await
}

fn name(index: usize) -> String {
    format!("d{index:02}.example.com")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_searched_filtered_ordered_and_paged_and_its_address_says_all_of_it() {
    let mut console = Console::start().await;
    console.live(&["shop.example.org"]).await;
    let names: Vec<String> = (0..DOMAINS).map(name).collect();
    console.manager.add_all(&names).await;
    let last = names.last().unwrap().clone();
    let browser = console.signed_in("viewer").await;
    browser.see("61 domains").await;
    assert_eq!(rows(&browser).await.len(), PAGE);

    browser.click("link", "Domain").await;
    let first = listed(&browser, "order=name").await;
    assert_eq!((first.len(), &first[0], &first[1]), (PAGE, &name(0), &name(1)));
    browser.click("link", "Next").await;
    let second = listed(&browser, "page=").await;
    assert_eq!(second.len(), DOMAINS + 1 - PAGE);
    assert_eq!(&second[0], &name(PAGE));
    browser.click("link", "Previous").await;
    browser.row(&name(0)).await;
    browser.click("link", "Last").await;
    let end = listed(&browser, "last=1").await;
    assert_eq!(end.last().unwrap(), "shop.example.org");
    browser.click("link", "First").await;
    browser.row(&name(0)).await;
    browser.click("link", "Domain").await;
    let reversed = listed(&browser, "dir=desc").await;
    assert_eq!((&reversed[0], &reversed[1]), (&"shop.example.org".to_owned(), &last));

    browser.fill("Search domains", "d0").await;
    browser.click("button", "Search").await;
    let found = listed(&browser, "q=d0").await;
    assert_eq!(found.len(), 10, "{found:?}");
    assert_eq!(found[0], name(9), "the order stays");
    browser.click("link", "“d0” (remove)").await;
    browser.gone("link", "“d0” (remove)").await;
    browser.click("link", "Success 1").await;
    assert_eq!(listed(&browser, "status=Success").await, ["shop.example.org"]);
    browser.reload().await;
    assert_eq!(rows(&browser).await, ["shop.example.org"]);
    browser.click("link", "Clear all").await;
    browser.see("61 domains").await;

    browser.fill("Search domains", "shpo").await;
    browser.click("button", "Search").await;
    browser.see("No domain matches ‘shpo’.").await;
    browser.click("link", "Clear search").await;
    browser.see("61 domains").await;
    browser.assert_no_problems().await;
}

/// A chat on another site, in which somebody posted an address.
async fn chat(address: &str) -> String {
    let page = format!(
        "<!doctype html><html lang=\"en\"><title>Chat</title><p><a href=\"{}\">Look</a></p></html>",
        address.replace('&', "&amp;")
    );
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let site = Router::new().route("/", get(move || async move { Html(page) }));
    tokio::spawn(async { axum::serve(listener, site).await });
    // Another site than 127.0.0.1, where the page is.
    format!("http://localhost:{port}/")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_address_shows_a_colleague_the_same_list_from_a_chat() {
    let mut console = Console::start().await;
    console.live(&["shop.example.org", "blog.example.org"]).await;
    console.domain(&["add", "other.example.org"]);
    let browser = console.signed_in("support").await;
    browser.fill("Search domains", "example").await;
    browser.click("button", "Search").await;
    browser.at("q=example").await;
    browser.click("link", "Success 2").await;
    browser.at("status=Success").await;
    browser.click("link", "Domain").await;
    let address = browser.at("order=name").await;
    browser.find("heading", "Domains").await;
    let seen = rows(&browser).await;
    assert_eq!(seen.len(), 2);

    let colleague = console.signed_in("viewer").await;
    let chat = chat(&address).await;
    colleague.goto(&chat).await;
    colleague.click("link", "Look").await;
    colleague.find("heading", "Domains").await;
    assert_eq!(colleague.url().await, address);
    assert_eq!(rows(&colleague).await, seen);
    colleague.assert_only_refusals().await;

    // Whoever is not signed in is asked to, and sees it then.
    let stranger = Browser::start().await;
    stranger.goto(&chat).await;
    stranger.click("link", "Look").await;
    stranger.at("/sign-in").await;
    stranger.send_sign_in("viewer", Console::PASSWORD).await;
    stranger.find("heading", "Domains").await;
    assert_eq!(stranger.url().await, address);
    assert_eq!(rows(&stranger).await, seen);
}

/// Points a domain at the CDN that C4 did not know, and has it looked at again.
fn mend(console: &Console, name: &str) {
    console.world.point_at_cdn(name);
    console.domain(&["recheck", name]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_leaves_alone_what_has_the_focus_and_comes_once_that_moves() {
    let console = Console::start().await;
    let (first, second) = ("a.example.org", "b.example.org");
    for name in [first, second] {
        console.domain(&["add", name]);
    }
    let browser = console.signed_in("support").await;
    browser.see_in_row(first, "Discard").await;
    browser.see_in_row(second, "Discard").await;
    browser.mark().await;
    let link = browser.find("link", &format!("View {first}")).await;
    browser.script("arguments[0].focus()", vec![link.to_json()]).await;
    mend(&console, first);
    console.serves(first, "it", |_| true).await;
    mend(&console, second);
    browser.see_in_row(second, "Success").await;

    let focused = format!("link \"View {first}\"");
    assert_eq!(browser.focused().await, focused);
    let row = browser.row(first).await;
    let text = row.text().await.unwrap();
    assert!(text.contains("Discard"), "it changed under the focus: {text}");
    // Still the same element, where the Tab key goes on from.
    let again = browser.find("link", &format!("View {first}")).await;
    assert!(again.is(&link));

    let search = browser.field("Search domains").await;
    browser.script("arguments[0].focus()", vec![search.to_json()]).await;
    browser.see_in_row(first, "Success").await;
    assert_eq!(browser.focused().await, r#"searchbox "Search domains""#);
    assert!(browser.is_marked().await, "the page was loaded again");
    browser.assert_no_problems().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_list_stands_still_until_it_is_resumed() {
    let console = Console::start().await;
    let name = "a.example.org";
    console.domain(&["add", name]);
    let browser = console.signed_in("support").await;
    browser.see_in_row(name, "Discard").await;
    browser.click("button", "Pause").await;
    // Somebody else sees it: so it was told.
    let other = console.signed_in("viewer").await;
    other.see_in_row(name, "Discard").await;
    mend(&console, name);
    other.see_in_row(name, "Success").await;
    other.find("link", "Success 1").await;
    let text = browser.row(name).await.text().await.unwrap();
    assert!(text.contains("Discard"), "{text}");
    browser.mark().await;
    browser.click("button", "Resume").await;
    browser.see_in_row(name, "Success").await;
    browser.find("link", "Success 1").await;
    assert!(browser.is_marked().await);
    browser.assert_no_problems().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ticked_is_rechecked_and_what_is_deleted_elsewhere_is_crossed_out() {
    let console = Console::start().await;
    for name in ["a.example.org", "b.example.org", "c.example.org"] {
        console.domain(&["add", name]);
    }
    let browser = console.signed_in("support").await;
    browser.see_in_row("c.example.org", "Discard").await;
    for name in ["a.example.org", "b.example.org"] {
        console.world.point_at_cdn(name);
        browser.click("checkbox", &format!("Select {name}")).await;
    }
    browser.click("button", "Recheck").await;
    browser.see("Rechecking 2 domains: done").await;
    browser.click("link", "Go to the list").await;
    browser.see_in_row("a.example.org", "Success").await;
    browser.see_in_row("b.example.org", "Success").await;
    browser.mark().await;
    console.domain(&["delete", "c.example.org", "--yes"]);
    tests::wait_for("the row of what is gone", std::time::Duration::from_secs(30), || async {
        let row = browser.row("c.example.org").await;
        let classes = row.attribute("class").await?.unwrap_or_default();
        if classes.contains("gone") { Ok(()) } else { Err(classes) }
    })
    .await;
    assert!(browser.is_marked().await);
    browser.reload().await;
    browser.gone("rowheader", "c.example.org").await;
    browser.assert_no_problems().await;
}
