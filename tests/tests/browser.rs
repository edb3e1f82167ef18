//! The kit for browser tests itself: what it must see on a page, and what it must not overlook.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::Ipv4Addr;

use axum::Router;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use axum::response::Html;
use axum::routing::get;
use tests::{Browser, Key, Size, Theme};
use tokio::net::TcpListener;

/// Scripts only from a file of our own, no string turned into one: as strict as the console.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; \
    require-trusted-types-for 'script'";

const GOOD: &str = r#"<!doctype html><html lang="en"><head><title>Good</title>
<link rel="stylesheet" href="/style.css"><script src="/script.js" defer></script></head><body>
<header><a href="/broken">Elsewhere</a></header>
<main><h1>Domains</h1><noscript>Without scripts</noscript><p id="late"></p>
<form><label for="name">Name</label> <input id="name" name="name"> <button>Add</button></form>
<label for="many">Many</label> <textarea id="many"></textarea>
<button type="button" id="copy">Copy</button> <a href="/file" download>Download</a>
<table><caption>All</caption><tr><th scope="row">a.example</th><td><button>Delete a.example</button></td></tr>
<tr><th scope="row">b.example</th><td><button>Delete b.example</button></td></tr></table>
</main></body></html>"#;

const BROKEN: &str = r##"<!doctype html><html><head><title>Broken</title><link rel="stylesheet" href="/style.css">
</head><body style="color: red"><main><h1>Broken</h1><input><p class="faint">Hard to read</p>
<a class="tiny" href="#a">a</a><a class="tiny" href="#b">b</a><p class="wide">Wide</p></main></body></html>"##;

const STYLE: &str = "body { background: white; color: black }
    @media (prefers-color-scheme: dark) { body { background: black; color: white } a { color: aqua } }
    @media (forced-colors: active) { h1 { border: 3px solid } }
    button, header a { min-width: 24px; min-height: 24px; display: inline-block }
    .faint { color: #ddd } .wide { width: 2000px } .tiny { display: inline-block; width: 8px; height: 8px }";

const SCRIPT: &str = "document.getElementById('late').textContent = 'Late';
    document.getElementById('copy').onclick = () => navigator.clipboard.writeText('copied')";

async fn site() -> String {
    let policy = || [(CONTENT_SECURITY_POLICY, POLICY)];
    let typed = |kind| [("content-type", kind)];
    let site = Router::new()
        .route("/", get(move || async move { (policy(), Html(GOOD)) }))
        .route("/broken", get(move || async move { (policy(), Html(BROKEN)) }))
        .route("/style.css", get(move || async move { (typed("text/css"), STYLE) }))
        .route("/script.js", get(move || async move { (typed("text/javascript"), SCRIPT) }))
        .route("/file", get(|| async { ([(CONTENT_DISPOSITION, "attachment; filename=a.pem")], "PEM") }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, site).await });
    format!("http://{address}")
}

#[tokio::test]
async fn things_are_found_by_role_and_name_and_used_as_a_person_would() {
    let (site, browser) = (site().await, Browser::start().await);
    browser.goto(&site).await;
    browser.see("Late").await;
    assert_eq!(browser.title().await, "Good");
    assert_eq!(browser.names("rowheader").await, ["a.example", "b.example"]);

    let row = browser.row("b.example").await;
    assert_eq!(browser.names_in(&row, "button").await, ["Delete b.example"]);
    browser.click_in(&row, "button", "Delete b.example").await;
    assert_eq!(browser.focused().await, r#"button "Delete b.example""#);

    browser.paste("Many", "one\ntwo\n").await;
    assert_eq!(browser.value("Many").await, "one\ntwo\n");
    browser.click("button", "Copy").await;
    assert_eq!(browser.clipboard().await, "copied");
    browser.click("link", "Download").await;
    let file = browser.downloaded("a.pem").await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "PEM");

    browser.fill("Name", "first").await;
    browser.fill("Name", "c.example").await;
    browser.press(Key::Enter).await;
    browser.at("?name=c.example").await;
    browser.back().await;
    browser.gone("button", "Delete c.example").await;
    browser.assert_no_problems().await;
}

#[tokio::test]
async fn the_tab_key_comes_round_in_the_order_of_the_page() {
    let (site, browser) = (site().await, Browser::start().await);
    browser.goto(&site).await;
    let order = [
        r#"link "Elsewhere""#,
        r#"textbox "Name""#,
        r#"button "Add""#,
        r#"textbox "Many""#,
        r#"button "Copy""#,
        r#"link "Download""#,
        r#"button "Delete a.example""#,
        r#"button "Delete b.example""#,
    ];
    assert_eq!(browser.tab_order().await, order);
}

#[tokio::test]
async fn an_accessible_page_passes_in_every_theme_and_a_broken_one_does_not() {
    let (site, browser) = (site().await, Browser::start().await);
    browser.goto(&site).await;
    for theme in [Theme::Light, Theme::Dark, Theme::ForcedColors] {
        browser.theme(theme).await;
        browser.assert_accessible("/").await;
    }
    browser.assert_no_problems().await;

    browser.theme(Theme::Light).await;
    browser.goto(&format!("{site}/broken")).await;
    let violations = browser.violations().await.join("\n");
    for rule in ["html-has-lang", "label", "color-contrast", "target-size"] {
        assert!(violations.contains(&format!("{rule}: ")), "{rule}: {violations}");
    }
}

#[tokio::test]
async fn what_the_policy_blocked_and_answers_that_are_errors_are_problems() {
    let (site, browser) = (site().await, Browser::start().await);
    browser.goto(&format!("{site}/broken")).await;
    let problems = browser.problems().await.join("\n");
    assert!(problems.contains("Content Security Policy"), "{problems}");
    browser.goto(&format!("{site}/nowhere")).await;
    let problems = browser.problems().await.join("\n");
    assert!(problems.contains("404") && !problems.contains("Content"), "{problems}");
}

#[tokio::test]
async fn theme_and_size_reach_the_page_and_its_picture() {
    let (site, browser) = (site().await, Browser::start().await);
    browser.goto(&site).await;
    let background = || browser.style("body", "backgroundColor");
    assert_eq!(background().await, "rgb(255, 255, 255)");
    browser.theme(Theme::Dark).await;
    assert_eq!(background().await, "rgb(0, 0, 0)");
    browser.theme(Theme::ForcedColors).await;
    assert_eq!(browser.style("h1", "borderTopWidth").await, "3px");

    browser.goto(&format!("{site}/broken")).await;
    assert_eq!(browser.style("h1", "borderTopWidth").await, "3px");
    browser.theme(Theme::Light).await;
    assert_eq!(browser.style("h1", "borderTopWidth").await, "0px");
    for (size, width) in [(Size::Desktop, 1280), (Size::Phone, 390), (Size::Zoomed, 640)] {
        browser.size(size).await;
        assert_eq!(browser.script("return innerWidth", vec![]).await, width);
        // 8 pixels are the body's margin.
        assert_eq!(browser.overflow().await, 2008 - width);
    }
    let picture = std::fs::read(browser.screenshot("kit-broken").await).unwrap();
    // The width of a PNG, after its signature and the header of the first chunk.
    let width = u32::from_be_bytes(picture[16..20].try_into().unwrap());
    assert_eq!(width, 2 * 2008);
}

#[tokio::test]
async fn without_scripting_the_page_runs_no_script_and_the_kit_still_works() {
    let (site, browser) = (site().await, Browser::start().await);
    browser.scripting(false).await;
    browser.goto(&site).await;
    browser.see("Without scripts").await;
    assert!(!browser.text().await.contains("Late"));
    browser.assert_accessible("/").await;
    browser.paste("Many", "pasted").await;
    browser.fill("Name", "c.example").await;
    browser.click("button", "Add").await;
    browser.at("?name=c.example").await;
    browser.back().await;
    assert!(!browser.text().await.contains("Late"));
    browser.scripting(true).await;
    browser.reload().await;
    browser.see("Late").await;
}

#[tokio::test]
async fn two_browsers_share_no_cookie() {
    let site = site().await;
    let (first, second) = tokio::join!(Browser::start(), Browser::start());
    first.goto(&site).await;
    second.goto(&site).await;
    first.script("document.cookie = 'who=first'", vec![]).await;
    assert_eq!(first.cookies().await, "who=first");
    second.reload().await;
    assert_eq!(second.cookies().await, "");
}
