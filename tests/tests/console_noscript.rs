//! Everything that the support team does, in a browser that runs no script.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tests::{Browser, Console, sha256_of_leaf, wait_for};

const NAME: &str = "shop.example.com";
const PAGE: &str = "/domains/shop.example.com";
const LIMIT: Duration = Duration::from_mins(1);

async fn signed_in(console: &Console) -> Browser {
    let browser = Browser::start().await;
    browser.scripting(false).await;
    console.sign_in(&browser, "support").await;
    browser
}

/// Loads the page again until it says that, as a person without scripts does.
async fn reload_until(browser: &Browser, text: &str) {
    wait_for(text, LIMIT, || async {
        browser.reload().await;
        let seen = browser.text().await;
        if seen.contains(text) { Ok(()) } else { Err(seen) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_added_viewed_given_a_certificate_and_deleted() {
    let console = Console::start().await;
    console.world.point_at_cdn(NAME);
    let browser = signed_in(&console).await;
    browser.click("link", "+ Add").await;
    browser.fill("Domain names", NAME).await;
    browser.click("button", "Check").await;
    browser.see("All checks pass: the certificate is ordered at once.").await;
    assert_eq!(browser.value("Domain names").await, NAME);
    browser.click("button", "Add and order now").await;
    browser.at(PAGE).await;
    reload_until(&browser, "HTTPS works.").await;
    for useless in ["Copy value", "Copy serial", "Copy SHA-256", "Pause"] {
        browser.gone("button", useless).await;
    }

    browser.click("link", "Paste a certificate…").await;
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    browser.paste("Certificate chain", &certificate).await;
    browser.paste("Private key", "not a key").await;
    browser.click("button", "Upload certificate").await;
    browser.find("alert", "").await;
    browser.paste("Private key", &key.serialize_pem()).await;
    browser.click("button", "Upload certificate").await;
    browser.see("visitors will see a warning").await;
    let pasted = sha256_of_leaf(&certificate);
    console.serves(NAME, "the pasted one", |served| served == pasted).await;
    reload_until(&browser, "A pasted certificate is not renewed.").await;

    browser.click("link", &format!("Delete {NAME}…")).await;
    browser.fill(&format!("Type {NAME}, because it is live"), NAME).await;
    browser.click("button", &format!("Delete {NAME}")).await;
    browser.at("/?done=deleted-served").await;
    browser.see("No domains yet.").await;
    browser.assert_only_refusals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_added_and_the_page_that_says_how_far_it_is_loads_itself() {
    let console = Console::start().await;
    let browser = signed_in(&console).await;
    browser.goto(&console.address("/domains/new")).await;
    let mut lines: Vec<String> = (0..40).map(|index| format!("d{index}.example.com")).collect();
    lines.insert(20, "*.example.com".to_owned());
    lines.push("D0.example.com".to_owned());
    browser.paste("Domain names", &lines.join("\n")).await;
    browser.click("button", "Add").await;
    let address = browser.at("/jobs/").await;
    browser.see("Add 40 domains?").await;
    browser.see("*.example.com").await;
    browser.click("button", "Add 40 domains").await;
    browser.see("Adding 40 domains: done").await;
    assert_eq!(browser.url().await, address);
    let text = browser.text().await;
    assert!(text.contains("40\nadded"), "{text}");
    assert!(text.contains("1\nnot a domain name"), "{text}");
    assert!(text.contains("1\nlisted twice"), "{text}");

    browser.click("link", "Go to the list").await;
    browser.fill("Search domains", "d39").await;
    browser.click("button", "Search").await;
    // A single hit opens by itself.
    browser.at("/domains/d39.example.com").await;
    browser.goto(&console.address("/?q=d39")).await;
    assert_eq!(browser.names("rowheader").await, ["d39.example.com"]);
    browser.click("checkbox", "Select d39.example.com").await;
    browser.click("button", "Delete").await;
    browser.fill("Type 1 to delete", "1").await;
    browser.click("button", "Delete 1 domain").await;
    browser.see("Deleting 1 domain: done").await;
    browser.click("button", "Sign out").await;
    browser.find("heading", "Sign in").await;
    browser.assert_no_problems().await;
}
