//! What people with bad intentions, or with a clumsy clipboard, send to the page.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair};
use sandbox::{Refusal, ValidationResult};
use tests::{Browser, Console, Visitor, wait_for};

const NAME: &str = "shop.example.com";
const PAGE: &str = "/domains/shop.example.com";
/// Out of an attribute, out of a text, into the page.
const PAYLOAD: &str = r#""'></textarea><i/id=pwned></i><script>window.pwned=1</script>"#;
const LIMIT: Duration = Duration::from_mins(1);

/// Waits until the page has the payload as text, folded away or not, and asserts that it is nothing else.
async fn is_text(browser: &Browser, place: &str) {
    let script =
        "const fields = [...document.querySelectorAll('input, textarea')].map((field) => field.value);
        return [document.body.textContent, ...fields].some((text) => text.includes(arguments[0]))";
    wait_for(&format!("the payload in {place}"), LIMIT, || async {
        let is_there = browser.script(script, vec![PAYLOAD.into()]).await == true;
        if is_there { Ok(()) } else { Err(browser.text().await) }
    })
    .await;
    is_inert(browser, place).await;
}

/// Nothing of the payload works.
async fn is_inert(browser: &Browser, place: &str) {
    let works = "return window.pwned !== undefined || document.querySelector('#pwned') !== null";
    assert_eq!(browser.script(works, vec![]).await, false, "{place}");
}

/// As somebody does who pastes the wrong file: the browser has sent all of it before it looks for an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_24_mb_gets_a_sentence_in_the_browser() {
    let console = Console::start().await;
    let browser = console.signed_in("support").await;
    browser.goto(&console.address("/domains/new")).await;
    browser.find("heading", "Add domains").await;
    let script = "const field = document.querySelector('#names');
        field.value = 'a'.repeat(24 * 1024 * 1024);
        field.form.submit()";
    browser.script(script, vec![]).await;
    browser.see("That is too much at once. Send at most 12 MB.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_that_was_typed_or_pasted_comes_out_as_text() {
    let console = Console::start().await;
    let browser = Browser::start().await;
    browser.goto(&console.address("/sign-in")).await;
    browser.send_sign_in(PAYLOAD, "wrong horse battery").await;
    is_text(&browser, "the name of a sign-in").await;

    console.sign_in(&browser, "admin").await;
    browser.fill("Search domains", PAYLOAD).await;
    browser.click("button", "Search").await;
    browser.at("q=").await;
    is_text(&browser, "a search").await;
    browser.see("No domain matches ‘").await;

    browser.goto(&console.address("/domains/new")).await;
    browser.paste("Domain names", PAYLOAD).await;
    browser.click("button", "Check").await;
    browser.find("heading", "Add domains").await;
    is_text(&browser, "the box of names").await;
    let lines = format!("a.example.com\n{PAYLOAD}\n");
    browser.paste("Domain names", &lines).await;
    browser.click("button", "Add").await;
    browser.at("/jobs/").await;
    browser.see(PAYLOAD).await;
    browser.click("button", "Add 1 domain").await;
    browser.see("Adding 1 domain: done").await;
    browser.see(PAYLOAD).await;

    browser.goto(&console.address("/domains/a.example.com/import")).await;
    browser.paste("Certificate chain", PAYLOAD).await;
    browser.paste("Private key", PAYLOAD).await;
    browser.click("button", "Upload certificate").await;
    browser.find("alert", "").await;
    // Only text that was read as certificates comes back.
    assert_eq!(browser.value("Certificate chain").await, "");
    is_inert(&browser, "a pasted certificate").await;
    browser.assert_only_refusals().await;
}

/// A certificate that says the payload wherever its owner may write.
fn own(name: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2125, 1, 1);
    params.distinguished_name.push(DnType::CommonName, PAYLOAD);
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_from_the_ca_c4_certificates_and_colleagues_comes_out_as_text() {
    let console = Console::start().await;
    let browser = console.signed_in("admin").await;

    let refused = "refused.example.com";
    console.world.point_at_cdn(refused);
    let problem = "unauthorized".to_owned();
    let detail = PAYLOAD.to_owned();
    let invalid = ValidationResult::Invalid { problem, detail };
    console.world.ca.control().validation_result(refused, invalid);
    console.domain(&["add", refused]);
    browser.goto(&console.address(&format!("/domains/{refused}"))).await;
    is_text(&browser, "what the CA said").await;

    let unloved = "unloved.example.com";
    console.world.point_at_cdn(unloved);
    let refusal = Refusal::unprocessable(PAYLOAD);
    console.world.c4.control().refuse(Some(unloved), refusal);
    console.domain(&["add", unloved]);
    browser.goto(&console.address(&format!("/domains/{unloved}"))).await;
    is_text(&browser, "what C4 said").await;

    console.world.point_at_cdn(NAME);
    console.domain(&["add", NAME]);
    console.serves(NAME, "it", |_| true).await;
    browser.goto(&console.address(&format!("{PAGE}/import"))).await;
    let (certificate, key) = own("<i id=pwned>.example.com");
    browser.paste("Certificate chain", &certificate).await;
    browser.paste("Private key", &key).await;
    browser.click("button", "Upload certificate").await;
    browser.find("alert", "").await;
    let works = "return document.querySelector('#pwned') !== null";
    assert_eq!(browser.script(works, vec![]).await, false, "a name of a certificate");

    let (certificate, key) = own(NAME);
    browser.paste("Certificate chain", &certificate).await;
    browser.paste("Private key", &key).await;
    browser.click("button", "Upload certificate").await;
    browser.at("?done=import").await;
    is_text(&browser, "an issuer").await;

    browser.goto(&console.address(&format!("{PAGE}/key"))).await;
    browser.fill("Why the key is needed", PAYLOAD).await;
    browser.click("button", "Download key").await;
    browser.downloaded("shop.example.com.key").await;
    browser.goto(&console.address(PAGE)).await;
    browser.see("Private key downloaded").await;
    browser.see(PAYLOAD).await;
    is_text(&browser, "a reason").await;
    browser.assert_only_refusals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_another_script_stands_beside_its_punycode() {
    let console = Console::start().await;
    let browser = console.signed_in("support").await;
    browser.goto(&console.address("/domains/new")).await;
    // A Cyrillic а, which looks like the Latin one.
    browser.fill("Domain names", "аррӏе.com").await;
    browser.see("xn--80ak6aa92e.com").await;
    browser.click("button", "Add and wait").await;
    browser.at("/domains/xn--80ak6aa92e.com").await;
    browser.find("heading", "аррӏе.com xn--80ak6aa92e.com").await;
    browser.click("link", "All domains").await;
    browser.see_in_row("аррӏе.com xn--80ak6aa92e.com", "xn--80ak6aa92e.com").await;
    browser.assert_no_problems().await;
}

/// A form for each thing that can be done, but for its value against forgery.
fn forms(job: &str) -> Vec<(String, Vec<(&'static str, &'static str)>)> {
    let form = |path: &str, fields: &[(&'static str, &'static str)]| (path.to_owned(), fields.to_vec());
    vec![
        form("/", &[("of", "all"), ("action", "delete")]),
        form("/domains/new", &[("names", "forged.example.com")]),
        form(PAGE, &[("action", "force")]),
        form(&format!("{PAGE}/delete"), &[("c4", "remove"), ("typed", NAME)]),
        form(&format!("{PAGE}/import"), &[("certificate", "c"), ("key", "k")]),
        form(&format!("{PAGE}/key"), &[("reason", "forged"), ("format", "pem")]),
        form(&format!("{PAGE}/revoke"), &[("reason", "superseded"), ("typed", NAME)]),
        form(job, &[("action", "start")]),
        form("/clock", &[("clock", "utc"), ("to", "/")]),
        form("/sign-out", &[("everywhere", "1")]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_replayed_and_cross_site_forms_do_nothing() {
    let mut console = Console::start().await;
    console.live(&[NAME]).await;
    let (admin, support) = (console.visitor("admin").await, console.visitor("support").await);
    let csrf = admin.csrf(PAGE).await;
    let names = [("csrf", csrf.as_str()), ("names", "a.example.com b.example.com")];
    let job = admin.post("/domains/new", &names).await.location;
    assert!(job.starts_with("/jobs/"), "{job}");
    let of_another = support.csrf("/").await;
    let of_another_session = console.visitor("admin").await.csrf("/").await;

    for (path, fields) in forms(&job) {
        for wrong in [None, Some(""), Some("AAAA"), Some(&*of_another), Some(&*of_another_session)] {
            let mut fields: Vec<(&str, &str)> = fields.clone();
            fields.extend(wrong.map(|csrf| ("csrf", csrf)));
            let answer = admin.post(&path, &fields).await;
            assert_eq!(answer.status, 403, "{path} with {wrong:?}: {}", answer.body);
            assert!(answer.body.contains("FORM_NOT_OURS"), "{path}: {}", answer.body);
        }
        let mut fields: Vec<(&str, &str)> = fields;
        fields.push(("csrf", &csrf));
        for origin in ["https://evil.example", "http://127.0.0.1:9", "null"] {
            let answer = admin.post_from(origin, &path, &fields).await;
            assert_eq!(answer.status, 403, "{path} from {origin}");
            assert!(answer.body.contains("CROSS_SITE"), "{path}: {}", answer.body);
        }
    }
    let shown = console.manager.domain(&["show", NAME]).json;
    assert_eq!(shown["status"], "Success");
    assert_eq!(console.world.ca.control().orders_placed(), 1);
    assert!(admin.get(&job).await.body.contains("Add 2 domains?"));
    let forged = console.manager.domain(&["show", "forged.example.com"]);
    assert!(forged.stderr.starts_with("NOT_FOUND: "), "{}", forged.stderr);
    // The same form with everything right does something.
    let fields = [("csrf", csrf.as_str()), ("action", "recheck")];
    assert_eq!(admin.post(PAGE, &fields).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_for_those_who_may_and_nothing_is_for_strangers() {
    let console = Console::start().await;
    let origin = console.manager.console();
    let owner = console.visitor("support").await;
    let csrf = owner.csrf("/").await;
    let names = [("csrf", csrf.as_str()), ("names", "a.example.com b.example.com")];
    let job = owner.post("/domains/new", &names).await.location;
    assert_eq!(owner.get(&job).await.status, 200);

    let other = console.visitor("admin").await;
    assert_eq!(other.get(&job).await.status, 200, "a colleague sees it");
    assert_eq!(other.get("/jobs/0190163d-8694-739b-aea5-966c26f8ad91").await.status, 404);
    assert_eq!(other.get("/jobs/..%2f..%2fdomains").await.status, 400);
    let viewer = console.visitor("viewer").await;
    let csrf = viewer.csrf("/").await;
    for status in [
        viewer.get(&job).await.status,
        viewer.post(&job, &[("csrf", &csrf), ("action", "start")]).await.status,
        viewer.get("/domains/new").await.status,
        viewer.post("/domains/new", &[("csrf", &csrf), ("names", NAME)]).await.status,
        viewer.post(PAGE, &[("csrf", &csrf), ("action", "add")]).await.status,
    ] {
        assert_eq!(status, 403);
    }
    assert!(owner.get(&job).await.body.contains("Add 2 domains?"));

    let csrf = owner.csrf("/").await;
    let left = Visitor::new(origin.clone(), owner.cookie.clone());
    assert_eq!(owner.post("/sign-out", &[("csrf", &csrf)]).await.status, 303);
    let made_up = Visitor::new(origin.clone(), "ssl-manager=sls_made_up".to_owned());
    let nobody = Visitor::new(origin, String::new());
    for visitor in [left, made_up, nobody] {
        for path in ["/", &job, "/domains.csv", PAGE, "/events"] {
            let answer = visitor.get(path).await;
            assert_eq!(answer.status, 303, "{path}");
            assert!(answer.location.starts_with("/sign-in"), "{}", answer.location);
        }
        let answer = visitor.post(PAGE, &[("csrf", &csrf), ("action", "add")]).await;
        assert_eq!(answer.status, 303);
    }
}

const LINES: usize = 10_000;
const RUBBISH: [(&str, &str); 5] = [
    ("*.wild.example.com", "NAME_IS_WILDCARD"),
    ("bob@example.com", "NAME_BAD_CHARACTER"),
    ("a..example.com", "NAME_LABEL_EMPTY"),
    ("<script>alert(1)</script>", "NAME_BAD_CHARACTER"),
    ("=cmd|'/c'!A1", "NAME_BAD_CHARACTER"),
];

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_lines_with_rubbish_in_the_middle_each_get_their_answer() {
    let console = Console::start().await;
    console.domain(&["add", "n7.example.com"]);
    let browser = console.signed_in("support").await;
    let mut lines: Vec<String> =
        (0..LINES - RUBBISH.len() - 1).map(|index| format!("n{index}.example.com")).collect();
    let middle = lines.len() / 2;
    for (text, _) in RUBBISH.iter().rev() {
        lines.insert(middle, (*text).to_owned());
    }
    lines.push("N1.example.com.".to_owned());
    assert_eq!(lines.len(), LINES);
    browser.goto(&console.address("/domains/new")).await;
    // Pasted by hand it takes the driver minutes.
    let field = browser.field("Domain names").await.to_json();
    let paste = "arguments[0].value = arguments[1]";
    browser.script(paste, vec![field, lines.join("\n").into()]).await;
    browser.click("button", "Add").await;
    let address = browser.at("/jobs/").await;
    browser.see("Add 9,994 domains?").await;
    browser.click("button", "Add 9,994 domains").await;
    browser.see(" of 10,000").await;

    let path = address.strip_prefix(&console.manager.console()).unwrap();
    let somebody = Visitor::new(console.manager.console(), browser.cookies().await);
    wait_for("the end of the job", Duration::from_mins(5), || async {
        let page = somebody.get(path).await.body;
        let is_over = page.contains("Adding 9,994 domains: done");
        if is_over { Ok(()) } else { Err(page) }
    })
    .await;
    browser.see("Adding 9,994 domains: done").await;
    let text = browser.text().await;
    for count in ["9,993\nadded", "1\non the list already", "5\nnot a domain name", "1\nlisted twice"] {
        assert!(text.contains(count), "{count}: {text}");
    }
    browser.goto(&format!("{address}?outcome=refused")).await;
    let csv = somebody.get(&format!("{path}/lines.csv?outcome=refused")).await.body;
    for (offset, (text, reason)) in RUBBISH.iter().enumerate() {
        let row = browser.row(text).await.text().await.unwrap();
        let number = (middle + 1 + offset).to_string();
        assert!(row.starts_with(&number) && row.contains(reason), "{row}");
        let line = csv.lines().find(|line| line.starts_with(&number)).unwrap();
        assert!(line.contains(reason), "{line}");
    }
    assert_eq!(csv.lines().count(), 1 + RUBBISH.len());
    assert!(!csv.contains(",="), "a spreadsheet would run it: {csv}");
    assert!(console.manager.domain(&["show", "n9993.example.com"]).code == 0);
    browser.assert_no_problems().await;
}
