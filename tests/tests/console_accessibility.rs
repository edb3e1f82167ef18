//! Every screen in both themes, on windows from 320 to 1440 px and zoomed in, checked by axe and by keyboard.
//! Leaves pictures of each in `target/screenshots`.

use std::time::Duration;

use domain::Clock;
use rcgen::{CertificateParams, KeyPair};
use runtime::SystemClock;
use sandbox::Refusal;
use tests::{Browser, Console, Key, Size};

const LIVE: &str = "shop.example.com";
const BLOCKED: &str = "blog.example.com";
const UNLOVED: &str = "unloved.example.com";
const QUEUED: &str = "queued.example.com";
const ENDED: &str = "ended.example.com";
const LIMIT: Duration = Duration::from_mins(1);

async fn visit(console: &Console, browser: &Browser, screen: &str, path: &str) {
    browser.goto(&console.address(path)).await;
    browser.press(Key::Tab).await;
    assert_eq!(browser.focused().await, r#"link "Skip to content""#, "{screen}");
    browser.reload().await;
    browser.look(screen).await;
}

/// A certificate that ends in seconds.
fn paste_one_that_ends(console: &Console) {
    console.world.point_at_cdn(ENDED);
    let mut params = CertificateParams::new(vec![ENDED.to_owned()]).expect("a name");
    let ends = std::time::SystemTime::from(SystemClock.now()) + Duration::from_secs(10);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = ends.into();
    let key = KeyPair::generate().expect("a key");
    let folder = console.manager.folder();
    let (certificate, key_file) = (folder.join("ends.pem"), folder.join("ends.key"));
    let pem = params.self_signed(&key).expect("a certificate").pem();
    std::fs::write(&certificate, pem).expect("a file");
    std::fs::write(&key_file, key.serialize_pem()).expect("a file");
    let [certificate, key_file] = [&certificate, &key_file].map(|file| file.to_str().expect("UTF-8"));
    console.domain(&["import", ENDED, "--certificate", certificate, "--key", key_file]);
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
    console.world.point_at_cdn(QUEUED);
    console.world.ca.control().rate_limit(Some(QUEUED), Some(Duration::from_hours(2)));
    console.domain(&["add", QUEUED]);
    paste_one_that_ends(&console);
    console.manager.status(ENDED, "Expired", LIMIT).await;
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
    browser.look("sign-in").await;
    browser.send_sign_in("nobody", "wrong horse battery").await;
    browser.see("Name or password is not right.").await;
    browser.look("sign-in-refused").await;
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
    browser.look("add-checked").await;
    browser.paste("Domain names", "*.example.com").await;
    browser.click("button", "Add").await;
    browser.find("alert", "").await;
    browser.look("add-refused").await;
    let many = "a.example.com b.example.com *.example.com bücher.example.com";
    browser.paste("Domain names", many).await;
    browser.click("button", "Add").await;
    browser.at("/jobs/").await;
    browser.see("Add 3 domains?").await;
    browser.look("job-asks").await;
    browser.click("button", "Add 3 domains").await;
    browser.see("Adding 3 domains: done").await;
    browser.look("job-done").await;
    browser.goto(&console.address("/jobs")).await;
    browser.find("heading", "Jobs").await;
    browser.look("jobs").await;
    browser.goto(&console.address("/?q=a.example.com")).await;
    browser.click("checkbox", "Select a.example.com").await;
    browser.click("button", "Delete").await;
    browser.see("Delete 1 domain?").await;
    browser.look("job-delete-asks").await;
    browser.goto(&console.address("/nowhere")).await;
    browser.find("heading", "Not found").await;
    browser.look("not-found").await;
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
    visit(&console, &browser, "view-pending", &of(QUEUED, "")).await;
    visit(&console, &browser, "view-expired", &of(ENDED, "")).await;
    visit(&console, &browser, "message", "/message").await;
    visit(&console, &browser, "labels", &of(LIVE, "/labels")).await;
    visit(&console, &browser, "view-discard", &of("unknown.example.com", "")).await;
    visit(&console, &browser, "view-done", &of(LIVE, "?done=recheck")).await;
    visit(&console, &browser, "delete", &of(LIVE, "/delete")).await;
    browser.fill(&format!("Type {LIVE}, because it is live"), "no").await;
    browser.click("button", &format!("Delete {LIVE}")).await;
    browser.find("alert", "").await;
    browser.look("delete-refused").await;
    visit(&console, &browser, "import", &of(LIVE, "/import")).await;
    browser.paste("Certificate chain", "not a certificate").await;
    let key = KeyPair::generate().unwrap().serialize_pem();
    browser.paste("Private key", &key).await;
    browser.click("button", "Upload certificate").await;
    browser.find("alert", "").await;
    browser.look("import-refused").await;
    visit(&console, &browser, "notes", &of(LIVE, "/notes")).await;
    visit(&console, &browser, "key", &of(LIVE, "/key")).await;
    visit(&console, &browser, "revoke", &of(LIVE, "/revoke")).await;
    visit(&console, &browser, "view-never", &of("never.example.com", "")).await;
    console.domain(&["delete", LIVE, "--yes"]);
    visit(&console, &browser, "view-deleted", &of(LIVE, "")).await;
    let browser = console.signed_in("viewer").await;
    browser.goto(&console.address("/domains/new")).await;
    browser.find("heading", "Not allowed").await;
    browser.look("not-allowed").await;
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
