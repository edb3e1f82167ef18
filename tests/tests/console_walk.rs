//! A working day of the support team, click by click: signing in, adding, what to tell a customer, the files of a
//! certificate, a pasted one and back, deleting, signing out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::read_to_string;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tests::{Browser, Console, certificate_and_key_belong_together, sha256_of_leaf, wait_for};

const NAME: &str = "shop.example.com";
const PAGE: &str = "/domains/shop.example.com";
/// Far longer than anybody takes to look; the CA answers nothing faster.
const SLOW: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_says_no_more_than_that_and_a_right_one_leads_on() {
    let console = Console::start().await;
    console.person("support");
    let browser = Browser::start().await;
    browser.goto(&console.address("/overview")).await;
    browser.at("/sign-in").await;
    assert_eq!(browser.focused().await, r#"textbox "Name""#);
    for name in ["support", "nobody"] {
        browser.send_sign_in(name, "wrong horse battery").await;
        browser.see("Name or password is not right.").await;
        assert_eq!(browser.value("Name").await, name);
        assert_eq!(browser.value("Password").await, "", "a password never comes back");
        assert!(browser.focused().await.starts_with("alert "));
        browser.goto(&browser.url().await).await;
    }
    browser.goto(&console.address("/overview")).await;
    browser.send_sign_in("support", Console::PASSWORD).await;
    browser.find("heading", "Overview").await;
    browser.assert_only_refusals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_added_becomes_a_success_before_ones_eyes() {
    let console = Console::start().await;
    console.world.point_at_cdn(NAME);
    let browser = console.signed_in("support").await;
    browser.see("No domains yet.").await;
    browser.click("link", "+ Add").await;
    browser.fill("Domain names", NAME).await;
    browser.see("the certificate is ordered at once").await;
    console.world.ca.control().delay(SLOW);
    browser.click("button", "Add and order now").await;
    browser.at(PAGE).await;
    browser.see("The CA is validating.").await;
    browser.click("link", "All domains").await;
    browser.see_in_row(NAME, "Pending").await;
    browser.mark().await;
    console.world.ca.control().delay(Duration::ZERO);
    browser.see_in_row(NAME, "Success").await;
    browser.see_in_row(NAME, "days left").await;
    assert!(browser.is_marked().await, "the list was loaded again");
    console.serves(NAME, "it", |_| true).await;
    browser.assert_no_problems().await;
}

/// Clicks, and waits until what was copied is, or in a message has, that text.
async fn copies(browser: &Browser, button: &str, text: &str) -> String {
    browser.click("button", button).await;
    wait_for(button, Duration::from_secs(30), || async {
        let copied = browser.clipboard().await;
        let is_it = copied.trim_end_matches('.') == text || copied.contains(&format!(" {text}"));
        if is_it { Ok(copied) } else { Err(copied) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_is_not_pointed_shows_the_record_to_add_until_it_is() {
    let console = Console::start().await;
    console.world.point_at_cdn(NAME);
    let dns = console.world.dns.control();
    dns.set_cname(NAME, "elsewhere.example.net");
    let target = console.world.cdn_target();
    let browser = console.signed_in("support").await;
    browser.goto(&console.address("/domains/new")).await;
    browser.fill("Domain names", NAME).await;
    browser.click("button", "Add and wait").await;
    browser.at(PAGE).await;
    browser.see("No certificate yet: DNS does not point to the CDN.").await;
    let expected = [("Copy name", NAME), ("Copy name in the zone", "shop"), ("Copy value", target)];
    for (button, text) in expected {
        copies(&browser, button, text).await;
    }
    let message = copies(&browser, "Copy message", target).await;
    assert!(message.contains(NAME), "{message}");
    assert!(browser.text().await.contains(&message));

    // It changes while the page is open, and what could be copied still can be.
    browser.mark().await;
    dns.set_cname(NAME, "elsewhere.example.org");
    console.domain(&["recheck", NAME]);
    browser.see("elsewhere.example.org").await;
    browser.script("navigator.clipboard.writeText('')", vec![]).await;
    copies(&browser, "Copy value", target).await;

    console.world.point_at_cdn(NAME);
    console.domain(&["recheck", NAME]);
    browser.see("HTTPS works.").await;
    assert!(browser.is_marked().await, "the page was loaded again");
    // What has the focus stays until that moves.
    browser.find("button", "Copy name in the zone").await;
    browser.script("document.activeElement.blur()", vec![]).await;
    browser.gone("button", "Copy name in the zone").await;
    browser.assert_no_problems().await;
}

/// Whether a chain leads from a leaf for that name to the root.
fn is_trusted(chain_pem: &str, root_pem: &str, name: &str) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes());
    let chain: Vec<_> = chain.map(Result::unwrap).collect();
    let name = ServerName::try_from(name).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_is_downloaded_is_trusted_and_the_one_that_is_served() {
    let mut console = Console::start().await;
    console.live(&[NAME]).await;
    let browser = console.signed_in("viewer").await;
    browser.click("link", &format!("View {NAME}")).await;
    browser.click("link", "Download certificate").await;
    let certificate = read_to_string(browser.downloaded("shop.example.com.pem").await).unwrap();
    browser.click("link", "Download chain").await;
    let chain = read_to_string(browser.downloaded("shop.example.com-chain.pem").await).unwrap();

    let root = console.world.ca.issuing_root_pem();
    let whole = format!("{certificate}\n{chain}");
    is_trusted(&whole, &root, NAME).unwrap();
    is_trusted(&whole, &root, "other.example.com").unwrap_err();
    let sha256 = sha256_of_leaf(&certificate);
    console.serves(NAME, "the one that was downloaded", |served| served == sha256).await;
    assert!(browser.text().await.contains(&sha256));
    browser.assert_no_problems().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_handed_to_who_may_have_it_and_to_nobody_else() {
    let mut console = Console::start().await;
    console.live(&[NAME]).await;
    let browser = console.signed_in("key-reader").await;
    browser.goto(&console.address(PAGE)).await;
    browser.click("link", "Download certificate").await;
    let certificate = read_to_string(browser.downloaded("shop.example.com.pem").await).unwrap();
    browser.click("link", "Download key…").await;
    browser.fill("Why the key is needed", "The customer moves away").await;
    browser.click("button", "Download key").await;
    let key = read_to_string(browser.downloaded("shop.example.com.key").await).unwrap();
    assert!(certificate_and_key_belong_together(&certificate, &key));
    browser.goto(&console.address(PAGE)).await;
    browser.see("Private key downloaded").await;
    browser.see("The customer moves away").await;
    browser.assert_no_problems().await;

    let browser = console.signed_in("support").await;
    browser.goto(&console.address(PAGE)).await;
    browser.find("link", "Download certificate").await;
    browser.gone("link", "Download key…").await;
    browser.goto(&console.address(&format!("{PAGE}/key"))).await;
    let refusal =
        "You may not take private keys out: that needs the role key-reader or admin, and yours is support.";
    browser.see(refusal).await;
    let support = console.visitor("support").await;
    let csrf = support.csrf(PAGE).await;
    let fields = [("csrf", csrf.as_str()), ("reason", "curious"), ("format", "pem")];
    let refused = support.post(&format!("{PAGE}/key"), &fields).await;
    assert_eq!(refused.status, 403);
    assert!(!refused.body.contains("PRIVATE KEY"));
    for role in ["key-reader", "support"] {
        let address = format!("{PAGE}/key");
        let status = console.visitor(role).await.get(&address).await.status;
        assert_eq!(status, if role == "support" { 403 } else { 200 }, "{role}");
    }
}

/// A certificate of the customer's own, with its key.
fn own(name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn pasted_generated_rolled_back_and_deleted() {
    let console = Console::start().await;
    console.world.point_at_cdn(NAME);
    let (certificate, key) = own(NAME);
    let pasted = sha256_of_leaf(&certificate);
    console.domain(&["add", NAME]);
    console.serves(NAME, "a generated one", |_| true).await;
    let browser = console.signed_in("support").await;
    browser.goto(&console.address(PAGE)).await;

    browser.click("link", "Paste a certificate…").await;
    browser.paste("Certificate chain", &certificate).await;
    browser.paste("Private key", &own("other.example.com").1).await;
    browser.click("button", "Upload certificate").await;
    browser.find("alert", "").await;
    assert_eq!(browser.value("Private key").await, "");
    assert_eq!(browser.value("Certificate chain").await.trim(), certificate.trim());
    browser.paste("Private key", &key).await;
    browser.click("button", "Upload certificate").await;
    browser.see("visitors will see a warning").await;
    console.serves(NAME, "the pasted one", |served| served == pasted).await;

    // A generated one takes the place of a pasted one.
    browser.click("button", "Switch to a generated certificate").await;
    browser.see("Certificate requested.").await;
    console.serves(NAME, "a generated one again", |served| served != pasted).await;
    browser.click("button", "Roll back to this certificate").await;
    browser.see("Rolling back.").await;
    console.serves(NAME, "the pasted one again", |served| served == pasted).await;

    browser.click("link", &format!("Delete {NAME}…")).await;
    let label = format!("Type {NAME}, because it is live");
    browser.fill(&label, "shop.example.org").await;
    browser.click("button", &format!("Delete {NAME}")).await;
    browser.see(&format!("Type {NAME} to confirm: it is live.")).await;
    browser.fill(&label, NAME).await;
    browser.click("button", &format!("Delete {NAME}")).await;
    browser.at("/?done=deleted-served").await;
    browser.see("C4 keeps serving its certificate until that ends.").await;
    browser.gone("rowheader", NAME).await;
    console.serves(NAME, "still it", |served| served == pasted).await;
    browser.goto(&console.address(PAGE)).await;
    browser.see("This domain was deleted on").await;
    browser.assert_only_refusals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signed_out_sees_nothing_by_going_back() {
    let mut console = Console::start().await;
    console.live(&[NAME]).await;
    let browser = console.signed_in("support").await;
    browser.click("link", &format!("View {NAME}")).await;
    browser.find("button", "Recheck").await;
    let cookies = browser.cookies().await;
    browser.click("button", "Sign out").await;
    browser.at("/sign-in").await;
    browser.back().await;
    wait_for("nothing to see", Duration::from_secs(30), || async {
        let text = browser.text().await;
        let is_sign_in = text.contains("Sign in") && !text.contains(NAME);
        if is_sign_in { Ok(()) } else { Err(text) }
    })
    .await;
    let left = tests::Visitor::new(console.manager.console(), cookies);
    let answer = left.get(PAGE).await;
    assert_eq!(answer.status, 303, "the session ended with it");
    assert!(answer.location.starts_with("/sign-in?to="), "{}", answer.location);
}
