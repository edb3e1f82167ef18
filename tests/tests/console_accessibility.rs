//! Every screen in both themes, on windows from 320 to 1440 px and zoomed in, checked by axe and by keyboard.
//! Leaves pictures of each in `target/screenshots`: `<screen>-<width>-<light|dark>`.

use std::time::Duration;

use rcgen::KeyPair;
use sandbox::Refusal;
use tests::{Browser, Console, Key, Size, Theme};

const LIVE: &str = "shop.example.com";
const BLOCKED: &str = "blog.example.com";
const UNLOVED: &str = "unloved.example.com";
const LIMIT: Duration = Duration::from_mins(1);

/// Widths of a small phone, a phone, a tablet and a laptop.
const WINDOWS: [(u32, u32); 4] = [(320, 568), (390, 844), (834, 1112), (1440, 900)];

/// The checks of every screen.
async fn look(browser: &Browser, screen: &str) {
    for (theme, word) in [(Theme::Light, "light"), (Theme::Dark, "dark"), (Theme::ForcedColors, "forced")] {
        browser.theme(theme).await;
        browser.assert_accessible(&format!("{screen}, {word}")).await;
    }
    for (theme, word) in [(Theme::Light, "light"), (Theme::Dark, "dark")] {
        browser.theme(theme).await;
        for (width, height) in WINDOWS {
            browser.size(Size::Of(width, height)).await;
            assert_eq!(browser.overflow().await, 0, "{screen} is wider than {width} px");
            browser.screenshot(&format!("{screen}-{width}-{word}")).await;
        }
    }
    browser.theme(Theme::Light).await;
    for size in [Size::Zoomed, Size::Phone] {
        browser.size(size).await;
        assert_eq!(browser.overflow().await, 0, "{screen} is wider than the window at {size:?}");
    }
    browser.assert_accessible(&format!("{screen} on a phone")).await;
    browser.size(Size::Desktop).await;
}

async fn visit(console: &Console, browser: &Browser, screen: &str, path: &str) {
    browser.goto(&console.address(path)).await;
    browser.press(Key::Tab).await;
    assert_eq!(browser.focused().await, r#"link "Skip to content""#, "{screen}");
    browser.reload().await;
    look(browser, screen).await;
}

/// A domain of each kind that a list has.
async fn furnished() -> Console {
    let mut console = Console::start().await;
    console.live(&[LIVE]).await;
    console.world.point_at_cdn(BLOCKED);
    console.world.dns.control().set_cname(BLOCKED, "elsewhere.example.net");
    console.world.point_at_cdn(UNLOVED);
    let refusal = Refusal::unprocessable("too long a chain");
    console.world.c4.control().refuse(Some(UNLOVED), refusal);
    let idn = "xn--bcher-kva.example.com";
    for name in [BLOCKED, UNLOVED, "unknown.example.com", idn] {
        console.domain(&["add", name]);
    }
    console.manager.status(BLOCKED, "Failure", LIMIT).await;
    console.manager.status(UNLOVED, "Emergency", LIMIT).await;
    console.manager.status(idn, "Discard", LIMIT).await;
    console
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_the_overview_and_adding_are_for_everybody() {
    let mut console = Console::start().await;
    let browser = Browser::start().await;
    browser.goto(&console.address("/sign-in")).await;
    look(&browser, "sign-in").await;
    browser.send_sign_in("nobody", "wrong horse battery").await;
    browser.see("Name or password is not right.").await;
    look(&browser, "sign-in-refused").await;
    console.sign_in(&browser, "support").await;
    visit(&console, &browser, "list-empty", "/").await;
    // Every page listens: one that stays open would complain of what is gone.
    browser.goto("about:blank").await;
    drop(console);

    console = furnished().await;
    console.sign_in(&browser, "support").await;
    visit(&console, &browser, "list", "/").await;
    visit(&console, &browser, "list-filtered", "/?q=example&status=Failure&order=name").await;
    visit(&console, &browser, "list-nothing-found", "/?q=shpo").await;
    visit(&console, &browser, "overview", "/overview").await;
    visit(&console, &browser, "midnight", "/midnight").await;
    visit(&console, &browser, "help", "/help").await;

    visit(&console, &browser, "add", "/domains/new").await;
    browser.fill("Domain names", BLOCKED).await;
    browser.see("DNS points to the CDN").await;
    look(&browser, "add-checked").await;
    browser.paste("Domain names", "*.example.com").await;
    browser.click("button", "Add").await;
    browser.find("alert", "").await;
    look(&browser, "add-refused").await;
    let many = "a.example.com b.example.com *.example.com bücher.example.com";
    browser.paste("Domain names", many).await;
    browser.click("button", "Add").await;
    browser.at("/jobs/").await;
    browser.see("Add 3 domains?").await;
    look(&browser, "job-asks").await;
    browser.click("button", "Add 3 domains").await;
    browser.see("Adding 3 domains: done").await;
    look(&browser, "job-done").await;
    browser.goto(&console.address("/jobs")).await;
    browser.find("heading", "Jobs").await;
    look(&browser, "jobs").await;
    browser.goto(&console.address("/?q=a.example.com")).await;
    browser.click("checkbox", "Select a.example.com").await;
    browser.click("button", "Delete").await;
    browser.see("Delete 1 domain?").await;
    look(&browser, "job-delete-asks").await;
    browser.goto(&console.address("/nowhere")).await;
    browser.find("heading", "Not found").await;
    look(&browser, "not-found").await;
    browser.assert_only_refusals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_a_domain_are_for_everybody() {
    let console = furnished().await;
    let browser = console.signed_in("admin").await;
    let of = |name: &str, page: &str| format!("/domains/{name}{page}");
    visit(&console, &browser, "view-success", &of(LIVE, "")).await;
    visit(&console, &browser, "view-failure", &of(BLOCKED, "")).await;
    visit(&console, &browser, "view-emergency", &of(UNLOVED, "")).await;
    visit(&console, &browser, "view-discard", &of("unknown.example.com", "")).await;
    visit(&console, &browser, "view-done", &of(LIVE, "?done=recheck")).await;
    visit(&console, &browser, "delete", &of(LIVE, "/delete")).await;
    browser.fill(&format!("Type {LIVE}, because it is live"), "no").await;
    browser.click("button", &format!("Delete {LIVE}")).await;
    browser.find("alert", "").await;
    look(&browser, "delete-refused").await;
    visit(&console, &browser, "import", &of(LIVE, "/import")).await;
    browser.paste("Certificate chain", "not a certificate").await;
    let key = KeyPair::generate().unwrap().serialize_pem();
    browser.paste("Private key", &key).await;
    browser.click("button", "Upload certificate").await;
    browser.find("alert", "").await;
    look(&browser, "import-refused").await;
    visit(&console, &browser, "notes", &of(LIVE, "/notes")).await;
    visit(&console, &browser, "key", &of(LIVE, "/key")).await;
    visit(&console, &browser, "revoke", &of(LIVE, "/revoke")).await;
    visit(&console, &browser, "view-never", &of("never.example.com", "")).await;
    console.domain(&["delete", LIVE, "--yes"]);
    visit(&console, &browser, "view-deleted", &of(LIVE, "")).await;
    let browser = console.signed_in("viewer").await;
    browser.goto(&console.address("/domains/new")).await;
    browser.find("heading", "Not allowed").await;
    look(&browser, "not-allowed").await;
    visit(&console, &browser, "list-viewer", "/").await;
    browser.assert_only_refusals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_reaches_everything_in_order_and_every_control_says_of_what() {
    let mut console = Console::start().await;
    console.live(&[LIVE]).await;
    let browser = console.signed_in("support").await;
    browser.see_in_row(LIVE, "Success").await;
    let order = browser.tab_order().await;
    let place = |what: &str| {
        let at = order.iter().position(|stop| stop == what);
        at.unwrap_or_else(|| panic!("{what} is not in {order:#?}"))
    };
    let stops = [
        r#"link "Skip to content""#.to_owned(),
        r#"link "SSL Management""#.to_owned(),
        r#"link "Domains""#.to_owned(),
        r#"link "Overview""#.to_owned(),
        r#"button "Sign out""#.to_owned(),
        r#"link "Success 1""#.to_owned(),
        r#"link "+ Add""#.to_owned(),
        r#"searchbox "Search domains""#.to_owned(),
        r#"button "Search""#.to_owned(),
        r#"button "Pause""#.to_owned(),
        r#"link "Status""#.to_owned(),
        format!("checkbox \"Select {LIVE}\""),
        format!("link \"{LIVE}\""),
        format!("link \"View {LIVE}\""),
        format!("link \"Delete {LIVE}\""),
    ];
    let places: Vec<usize> = stops.iter().map(|stop| place(stop)).collect();
    assert_eq!(places[0], 0);
    assert!(places.is_sorted(), "{order:#?}");

    let row = browser.row(LIVE).await;
    let links = browser.names_in(&row, "link").await;
    let view = format!("View {LIVE}");
    let delete = format!("Delete {LIVE}");
    assert_eq!(links, [LIVE, &view, &delete]);
    let sorted = "return document.querySelectorAll('#domains th[aria-sort]').length";
    assert_eq!(browser.script(sorted, vec![]).await, 1);

    // A table stays one when its rows become cards.
    browser.size(Size::Phone).await;
    assert_eq!(browser.names("rowheader").await, [LIVE]);
    assert_eq!(browser.names("columnheader").await.len(), 8);
    browser.size(Size::Desktop).await;

    browser.goto(&console.address("/")).await;
    browser.press(Key::Tab).await;
    assert_eq!(browser.focused().await, r#"link "Skip to content""#);
    browser.press(Key::Enter).await;
    assert_eq!(browser.focused().await, r#"main """#);
    browser.assert_no_problems().await;
}
