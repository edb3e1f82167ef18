//! The pages of one domain, over HTTP, before a real API: what they show, what they do, and to whom.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::{DomainName, HistoryKind, Role};

use served::{Browser, NAME, Served, pasted, served};

/// The page of a domain that is live by a pasted certificate.
async fn live(role: Role) -> (Served, Browser) {
    let served = served().await;
    served.with_live().await;
    let browser = served.browser(role).await;
    (served, browser)
}

#[tokio::test]
async fn a_domain_shows_where_it_stands_and_what_can_be_done() {
    let (_served, browser) = live(Role::Admin).await;
    let page = browser.get(&format!("/domains/{NAME}")).await;
    assert_eq!(page.status, 200);
    for text in [
        "data-live-domain=\"shop.example.com\"",
        "id=\"verdict\"",
        "Served until",
        "Download certificate",
        "Download key…",
        ">Recheck</button>",
        ">Switch to a generated certificate</button>",
        "Delete shop.example.com…",
        "Certificate pasted",
        "class=\"bar-validity\"",
        "<strong>Live</strong>",
    ] {
        assert!(page.body.contains(text), "{text} in {}", page.body);
    }
    assert!(!page.body.contains("style=\""), "the page's policy forbids it");
}

#[tokio::test]
async fn a_recheck_says_what_it_did_and_never_repeats_what_an_address_says() {
    let (_served, browser) = live(Role::Support).await;
    let address = format!("/domains/{NAME}");
    let answer = browser.send(&address, &address, &[("action", "recheck")]).await;
    assert_eq!((answer.status, answer.location.as_str()), (303, "/domains/shop.example.com?done=recheck"));
    assert!(browser.get(&answer.location).await.body.contains("Rechecking."));
    let made_up = browser.get(&format!("{address}?done=%3Cb%3Emade+up")).await;
    assert!(!made_up.body.contains("made up</p>"));
    let nothing = browser.send(&address, &address, &[("action", "rollback")]).await;
    assert_eq!(nothing.status, 409, "there is nothing to roll back to");
    assert!(nothing.body.contains("<title>Error: ") && nothing.body.contains("autofocus"));
    let unknown = browser.send(&address, &address, &[("action", "explode")]).await;
    assert_eq!(unknown.status, 400);
}

#[tokio::test]
async fn a_live_domain_is_deleted_once_its_name_is_typed_and_its_history_stays() {
    let (served, browser) = live(Role::Support).await;
    let address = format!("/domains/{NAME}/delete");
    let page = browser.get(&address).await.body;
    assert!(page.contains("Keep serving until") && page.contains(">Delete shop.example.com</button>"));
    let fields = [("c4", "keep"), ("typed", "shop.example.org")];
    let refused = browser.send(&address, &address, &fields).await;
    assert_eq!(refused.status, 422);
    for text in ["<title>Error: ", "autofocus", "href=\"#typed\"", "id=\"typed-error\""] {
        assert!(refused.body.contains(text), "{text} in {}", refused.body);
    }
    let fields = [("c4", "keep"), ("typed", " Shop.Example.com ")];
    let done = browser.send(&address, &address, &fields).await;
    assert_eq!((done.status, done.location.as_str()), (303, "/?done=deleted-served"));
    assert!(browser.get("/?done=deleted-served").await.body.contains("C4 keeps serving"));

    // A colleague still has its page open.
    let page = format!("/domains/{NAME}");
    for (path, fields) in [
        (page.clone(), [("action", "recheck")]),
        (format!("{page}/notes"), [("text", "customer told")]),
        (format!("{page}/labels"), [("customer", "4711")]),
    ] {
        let late = browser.send(&page, &path, &fields).await;
        assert_eq!(late.status, 404, "{path} {fields:?}: {}", late.body);
    }
    let gone = browser.get(&format!("/domains/{NAME}")).await;
    assert_eq!(gone.status, 404);
    assert!(gone.body.contains("This domain was deleted on") && gone.body.contains("Certificate pasted"));
    let address = format!("/domains/{NAME}");
    let again = browser.send(&address, &address, &[("action", "add")]).await;
    assert_eq!(again.status, 303);
    assert_eq!(browser.get(&address).await.status, 200);
    assert!(served.history().await.contains(&HistoryKind::Deleted));
}

#[tokio::test]
async fn a_name_that_never_was_is_not_found_and_one_page_has_one_address() {
    let served = served().await;
    let browser = served.browser(Role::Support).await;
    let never = browser.get("/domains/never.example.com").await;
    assert_eq!(never.status, 404);
    assert!(never.body.contains("never was") && never.body.contains(">Add never.example.com</button>"));
    let bad = browser.get("/domains/a..example.com").await;
    assert_eq!(bad.status, 404);
    assert!(bad.body.contains("NAME_LABEL_EMPTY"));
    let other = browser.get("/domains/B%C3%BCcher.example.com/delete").await;
    assert_eq!((other.status, other.location.as_str()), (303, "/domains/xn--bcher-kva.example.com/delete"));
}

#[tokio::test]
async fn what_a_role_may_not_do_is_not_there_and_its_address_says_so() {
    let served = served().await;
    served.with_live().await;
    let (support, viewer, reader) = (
        served.browser(Role::Support).await,
        served.browser(Role::Viewer).await,
        served.browser(Role::KeyReader).await,
    );
    let address = format!("/domains/{NAME}");
    for (browser, shown, hidden) in [
        (&support, &["Recheck"][..], &["Download key", "/revoke"][..]),
        (
            &viewer,
            &["Download certificate"],
            &["Recheck", "id=\"act\"", "Download key", "/import", "/delete", "/revoke"],
        ),
        (&reader, &["Download key…"], &["Recheck", "/import", "/delete", "/revoke"]),
    ] {
        let page = browser.get(&address).await.body;
        for text in shown {
            assert!(page.contains(text), "{text}");
        }
        for text in hidden {
            assert!(!page.contains(text), "{text} in {page}");
        }
    }
    for (browser, pages) in [
        (&support, &["key", "revoke"][..]),
        (&viewer, &["delete", "import", "key", "revoke"]),
        (&reader, &["delete", "import", "revoke"]),
    ] {
        for page in pages {
            let address = format!("{address}/{page}");
            assert_eq!(browser.get(&address).await.status, 403, "{page}");
            let sent = browser.post(&address, &[("typed", NAME), ("reason", "superseded")]).await;
            assert_eq!(sent.status, 403, "{page}");
            assert!(sent.body.contains("ROLE_LACKS_PERMISSION"), "{page}");
        }
    }
    assert_eq!(viewer.post(&address, &[("action", "recheck")]).await.status, 403);
    let without_csrf = support.post(&address, &[("action", "recheck")]).await;
    assert!(without_csrf.body.contains("FORM_NOT_OURS"));
}

#[tokio::test]
async fn a_pasted_certificate_that_is_wrong_says_why_and_a_key_never_comes_back() {
    let served = served().await;
    served.add(NAME).await;
    let browser = served.browser(Role::Support).await;
    let address = format!("/domains/{NAME}/import");
    let (certificate, key) = pasted(NAME);
    let (_, other_key) = pasted(NAME);
    let send = async |certificate: &str, key: &str| {
        let fields = [("certificate", certificate), ("key", key)];
        browser.send(&address, &address, &fields).await
    };
    let mismatch = send(&certificate, &other_key).await;
    assert_eq!(mismatch.status, 422);
    for text in ["<title>Error: ", "id=\"key-error\"", "href=\"#key\"", "BEGIN CERTIFICATE"] {
        assert!(mismatch.body.contains(text), "{text} in {}", mismatch.body);
    }
    let swapped = send(&key, &certificate).await;
    assert!(swapped.body.contains("id=\"certificate-error\""));
    let large = send(&"A".repeat(70_000), &"B".repeat(5_000_000)).await;
    assert_eq!(large.status, 422);
    assert!(large.body.contains("The private key has over 64 KiB") && !large.body.contains("AAAA"));
    for page in [mismatch, swapped, large] {
        assert!(!page.body.contains("PRIVATE KEY"), "{}", page.body);
    }
    let odd = send(&format!("{certificate}{}", key.replace("PRIVATE KEY", " PRIVATE  KEY")), &key).await;
    assert_eq!(odd.status, 422);
    let secret = key.lines().nth(1).unwrap();
    assert!(!odd.body.contains(secret) && !odd.body.contains("BEGIN"), "{}", odd.body);
    let fine = send(&certificate, &key).await;
    assert_eq!(
        (fine.status, fine.location.as_str()),
        (303, "/domains/shop.example.com?done=import.not_publicly_trusted")
    );
    assert!(browser.get(&fine.location).await.body.contains("visitors will see a warning"));
}

/// What becomes of the files that people have: the word of the next page, or the field with the error and the reason.
#[tokio::test]
async fn every_file_is_read_or_told() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    const LEAF: &str = include_str!("../../../libs/x509/tests/data/people/leaf.pem");
    const CHAIN: &str = include_str!("../../../libs/x509/tests/data/people/leaf-and-intermediate.pem");
    const BOM: &str = include_str!("../../../libs/x509/tests/data/people/bom.pem");
    const P7B: &str = include_str!("../../../libs/x509/tests/data/people/leaf.p7b");
    const KEY: &str = include_str!("../../../libs/x509/tests/data/people/key.pem");
    let der = STANDARD.encode(include_bytes!("../../../libs/x509/tests/data/people/leaf.der"));
    let pfx = STANDARD.encode(include_bytes!("../../../libs/x509/tests/data/people/leaf.pfx"));
    let served = served().await;
    served.add(NAME).await;
    let browser = served.browser(Role::Support).await;
    let address = format!("/domains/{NAME}/import");
    for (what, certificate, key, password, expected) in [
        ("PEM", LEAF, KEY, "", "import.not_publicly_trusted"),
        ("chain", CHAIN, KEY, "", "import.not_publicly_trusted"),
        ("byte-order mark", BOM, KEY, "", "import.not_publicly_trusted"),
        ("DER", &der, KEY, "", "import.not_publicly_trusted"),
        ("PKCS #7", P7B, KEY, "", "import.not_publicly_trusted"),
        ("PFX", &pfx, "", "x", "import.not_publicly_trusted"),
        ("twice", &[LEAF, LEAF].concat(), KEY, "", "import.not_publicly_trusted.duplicate_left_out"),
        ("PFX without password", &pfx, "", "", "password-error"),
        ("PFX with another password", &pfx, "", "y", "password-error"),
        ("no key", LEAF, "", "", "key-error"),
    ] {
        let fields = [("certificate", certificate), ("key", key), ("password", password)];
        let page = browser.send(&address, &address, &fields).await;
        let told = if page.status == 303 { &page.location } else { &page.body };
        assert!(told.contains(expected), "{what}: {expected} in {told}");
    }
}

#[tokio::test]
async fn a_key_leaves_for_a_reason_and_as_a_file() {
    let (served, browser) = live(Role::KeyReader).await;
    let address = format!("/domains/{NAME}/key");
    let without = browser.send(&address, &address, &[("format", "pem")]).await;
    assert_eq!(without.status, 422);
    assert!(without.body.contains("id=\"reason-error\""));
    assert!(!served.history().await.contains(&HistoryKind::KeyDownloaded));

    let fields = [("format", "pem"), ("reason", "the appliance")];
    let pem = browser.send(&address, &address, &fields).await;
    assert_eq!(pem.status, 200);
    assert!(pem.body.contains("BEGIN PRIVATE KEY"));
    assert_eq!(pem.header("content-disposition"), "attachment; filename=\"shop.example.com.key\"");
    assert_eq!(pem.header("cache-control"), "no-store");
    assert!(served.history().await.contains(&HistoryKind::KeyDownloaded));

    let pfx = |again| {
        [("format", "pfx"), ("reason", "the appliance"), ("password", "one"), ("password-again", again)]
    };
    let differ = browser.send(&address, &address, &pfx("two")).await;
    assert_eq!(differ.status, 422);
    assert!(differ.body.contains("id=\"password-again-error\"") && !differ.body.contains("\"one\""));
    let fine = browser.send(&address, &address, &pfx("one")).await;
    assert_eq!(fine.header("content-type"), "application/x-pkcs12");

    let chain = browser.get(&format!("/domains/{NAME}/chain.pem")).await;
    assert!(chain.body.contains("BEGIN CERTIFICATE"));
    assert_eq!(chain.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_blocked_domain_shows_the_record_that_is_needed() {
    let served = served().await;
    served.add(NAME).await;
    let name = DomainName::parse(NAME).unwrap();
    served.block(&name).await;
    let browser = served.browser(Role::Viewer).await;
    let page = browser.get(&format!("/domains/{NAME}")).await.body;
    for text in [
        "Message for the customer",
        "<th scope=\"row\" role=\"rowheader\">CNAME</th>",
        "<code>shop</code>",
        "data-copy=\"cdn.example.net\"",
        "203.0.113.7",
        "Customer</dd>",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_needed_and_every_page_whom_to_ask() {
    let served = served::served_with(|config| {
        config.console.support_contact = "ssl-help@example.net".to_owned();
    })
    .await;
    served.with_live().await;
    let browser = served.browser(Role::Viewer).await;
    let contact = "<a href=\"mailto:ssl-help@example.net\">ssl-help@example.net</a>";
    for page in
        ["/", "/overview", "/help", &format!("/domains/{NAME}"), "/domains/new", "/nowhere", "/sign-in"]
    {
        let answer = browser.get(page).await;
        assert!(answer.body.contains(contact), "{page}: {}", answer.body);
    }
    let refused = browser.get("/domains/new").await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("that needs the role support or admin, and yours is viewer."),
        "{}",
        refused.body
    );
    assert!(refused.body.contains("<a href=\"/overview\">"), "a way on: {}", refused.body);
    let view = browser.get(&format!("/domains/{NAME}")).await.body;
    assert!(
        view.contains("Only the roles key-reader or admin may download the private key; yours is viewer."),
        "{view}"
    );
}

#[tokio::test]
async fn the_way_back_leads_to_the_list_as_it_was_filtered() {
    let (_served, browser) = live(Role::Support).await;
    let address = format!("/domains/{NAME}");
    assert!(browser.get(&address).await.body.contains("<a href=\"/\">All domains</a>"));
    let browser = browser.looking_at("q=shop&status=Success").await;
    let view = browser.get(&address).await.body;
    assert!(view.contains("<a href=\"/?q=shop&#38;status=Success\">Back to the filtered list</a>"), "{view}");
    let address = format!("{address}/delete");
    let done = browser.send(&address, &address, &[("c4", "keep"), ("typed", NAME)]).await;
    assert_eq!(done.location, "/?q=shop&status=Success&done=deleted-served");
}

#[tokio::test]
async fn a_single_hit_of_a_search_opens_by_itself() {
    let (served, browser) = live(Role::Viewer).await;
    let hit = browser.get("/?q=shop&open=1").await;
    assert_eq!((hit.status, hit.location.as_str()), (303, "/domains/shop.example.com"));
    assert_eq!(browser.get("/?q=shop").await.status, 200, "an address shows its list");
    served.add("shop.example.org").await;
    assert_eq!(browser.get("/?q=shop&open=1").await.status, 200, "there is a choice");
}

#[tokio::test]
async fn staying_signed_in_answers_with_when_the_session_ends() {
    let (_served, browser) = live(Role::Viewer).await;
    let answer = browser.get("/stay").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("{\"ends_at\":\"2"), "{}", answer.body);
}
