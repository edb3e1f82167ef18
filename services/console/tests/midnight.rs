//! The midnight report on the page and as CSV, over HTTP, before a real API; and lists of one customer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::{DomainName, Role};
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use served::{NAME, Served, served};

/// The last day whose midnight has come in Singapore.
fn today(served: &Served) -> Date {
    let now = served.context.clock.now();
    now.to_zoned(TimeZone::get("Asia/Singapore").unwrap()).date()
}

async fn ask(served: &Served, day: Date, names: &[&str], decided: &[&str]) {
    let mut tx = served.context.store.begin("midnight").await.unwrap();
    let name = |name: &&str| DomainName::parse(name).unwrap();
    let names: Vec<DomainName> = names.iter().map(name).collect();
    let domains = tx.domains(&names).await.unwrap();
    tx.ask_at_midnight(day, &domains).await.unwrap();
    for decided in decided {
        let domain = tx.domain(&name(decided)).await.unwrap().unwrap();
        tx.decide_midnight(&domain).await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_midnight_says_what_was_asked_and_what_came_out() {
    let served = served().await;
    let browser = served.browser(Role::Viewer).await;
    let none = browser.get("/midnight").await;
    assert_eq!(none.status, 200);
    assert!(none.body.contains("No midnight recheck has run yet."), "{}", none.body);

    let (first, last) = (today(&served).saturating_sub(1.days()), today(&served));
    served.add(NAME).await;
    served.add("other.example.com").await;
    ask(&served, first, &[NAME], &[NAME]).await;
    ask(&served, last, &[NAME, "other.example.com"], &[NAME]).await;
    let page = browser.get("/midnight").await;
    let told = [
        "00:00 Singapore, ",
        ": 2 asked, 0 now work, 1 unchanged, 1 still to come.",
        ">1 more were asked</a>, 0 were not asked again.",
        "/domains/shop.example.com",
        "Previous midnight",
    ];
    for text in told {
        assert!(page.body.contains(text), "{text} in {}", page.body);
    }
    assert!(!page.body.contains("Next midnight") && !page.body.contains("style=\""));
    let waiting = browser.get(&format!("/midnight?day={last}&outcome=waiting")).await;
    assert!(waiting.body.contains("/domains/other.example.com"));
    assert!(!waiting.body.contains("/domains/shop.example.com"));
    let before = browser.get(&format!("/midnight?day={first}")).await;
    assert!(before.body.contains("1 asked, 0 now work, 1 unchanged."), "{}", before.body);
    assert!(before.body.contains("Next midnight"));
    let to_come = browser.get(&format!("/midnight?day={}", last.saturating_add(2.days()))).await;
    assert_eq!(to_come.status, 400);

    let csv = browser.get(&format!("/midnight.csv?day={last}")).await;
    let lines: Vec<&str> = csv.body.lines().collect();
    assert_eq!(lines.len(), 3, "{}", csv.body);
    assert_eq!(lines[1], "other.example.com,waiting,Pending,,,,");
    assert!(lines[2].starts_with("shop.example.com,unchanged,Pending,,Pending,,2"), "{}", lines[2]);
}

/// A reference that looks like HTML or a formula is text on the page and in the file.
#[tokio::test]
async fn all_domains_of_a_customer_are_one_address() {
    let served = served().await;
    served.add(NAME).await;
    served.add("other.example.com").await;
    let mut tx = served.context.store.begin("customer").await.unwrap();
    let row = tx.domain(&DomainName::parse(NAME).unwrap()).await.unwrap().unwrap();
    let hostile = "=<b>1</b>";
    let after = row.clone().belongs_to(hostile).unwrap();
    tx.apply(Some(&row), &after, None).await.unwrap();
    tx.commit().await.unwrap();
    let browser = served.browser(Role::Viewer).await;
    let customer = "customer=%3D%3Cb%3E1%3C%2Fb%3E";
    let moved = browser.get(&format!("/domains?{customer}")).await;
    assert_eq!((moved.status, moved.location), (308, format!("/?{customer}")));
    let list = browser.get(&format!("/?{customer}")).await;
    assert!(
        list.body.contains("1 domain") && list.body.contains("/domains/shop.example.com"),
        "{}",
        list.body
    );
    assert!(!list.body.contains("other.example.com") && !list.body.contains("<b>1"), "{}", list.body);
    let view = browser.get(&format!("/domains/{NAME}")).await;
    assert!(
        view.body.contains(&format!("href=\"/?{customer}\"")) && !view.body.contains("<b>1"),
        "{}",
        view.body
    );
    let csv = browser.get(&format!("/domains.csv?{customer}")).await;
    let line = csv.body.lines().nth(1).unwrap();
    assert!(line.starts_with("shop.example.com,") && line.ends_with(",'=<b>1</b>,,"), "{line}");
}

#[tokio::test]
async fn forty_names_of_a_customer_have_one_message() {
    let served = served().await;
    for number in 0..41 {
        let name = DomainName::parse(&format!("d{number:02}.example.com")).unwrap();
        served.add(name.as_str()).await;
        served.block(&name).await;
        // The last one is another customer's.
        let customer = if number < 40 { "4711" } else { "4712" };
        let mut tx = served.context.store.begin("customer").await.unwrap();
        let row = tx.domain(&name).await.unwrap().unwrap();
        tx.apply(Some(&row), &row.clone().belongs_to(customer).unwrap(), None).await.unwrap();
        tx.commit().await.unwrap();
    }
    let browser = served.browser(Role::Viewer).await;
    let list = browser.get("/?customer=4711").await.body;
    assert!(list.contains("href=\"/message?customer=4711\">Message for the customer</a>"), "{list}");
    let page = browser.get("/message?customer=4711").await.body;
    assert!(page.contains("40 domains wait for the customer."), "{page}");
    let (_, message) = page.split_once("<blockquote").unwrap();
    let (message, _) = message.split_once("</blockquote>").unwrap();
    assert!(message.contains("d00.example.com, d01.example.com") && message.contains("d39.example.com"));
    assert!(!message.contains("d40.example.com"), "{message}");
    assert_eq!(message.matches("set NAME as CNAME to cdn.example.net").count(), 1, "{message}");
    let none = browser.get("/message?customer=none").await.body;
    assert!(none.contains("There is nothing to send."), "{none}");
}

#[tokio::test]
async fn notes_are_added_and_deleted_by_who_may() {
    let served = served().await;
    served.add(NAME).await;
    let address = &format!("/domains/{NAME}/notes");
    let support = served.browser(Role::Support).await;
    let hostile = "customer told,\n<script>alert(1)</script> ticket 4711";
    let added = support.send(address, address, &[("text", hostile)]).await;
    assert_eq!((added.status, added.location.as_str()), (303, address.as_str()));
    let view = support.get(&format!("/domains/{NAME}")).await.body;
    assert!(view.contains("ticket 4711") && !view.contains("<script>alert"), "{view}");
    let page = support.get(address).await;
    assert!(page.body.contains("ticket 4711") && !page.body.contains("<script>alert"), "{}", page.body);
    let (_, rest) = page.body.split_once("name=\"delete\" value=\"").unwrap();
    let id = rest.split_once('"').unwrap().0;
    let empty = support.send(address, address, &[("text", " ")]).await;
    assert!(empty.status == 422 && empty.body.contains("note needs a text"), "{}", empty.body);
    let viewer = served.browser(Role::Viewer).await;
    let seen = viewer.get(address).await;
    assert!(seen.body.contains("ticket 4711") && !seen.body.contains("<textarea"), "{}", seen.body);
    assert_eq!(viewer.send("/", address, &[("delete", id)]).await.status, 403);
    support.send(address, address, &[("delete", id)]).await;
    assert!(support.get(address).await.body.contains("There are no notes."));
    // A colleague has the page open, with the note that is gone.
    let late = support.send(address, address, &[("delete", id)]).await;
    assert!(late.status == 404 && late.body.contains("note"), "{} {}", late.status, late.body);
    let huge = "x".repeat(1024 * 1024);
    let huge = support.send(address, address, &[("text", &huge)]).await;
    assert!(matches!(huge.status, 413 | 422) && huge.body.len() < 64 * 1024, "{}", huge.status);
    assert!(support.get(address).await.body.contains("There are no notes."));
}

/// What is typed takes the place of what was shown; a colleague's new label stays.
#[tokio::test]
async fn whom_a_domain_belongs_to_is_changed_in_one_form() {
    let served = served().await;
    served.add(NAME).await;
    let (support, viewer) = (served.browser(Role::Support).await, served.browser(Role::Viewer).await);
    let address = &format!("/domains/{NAME}/labels");
    assert_eq!(viewer.get(address).await.status, 403);
    let first = [("customer", "<b>4711"), ("labels", "tier=gold\nteam=a"), ("shown", "")];
    let saved = support.send(address, address, &first).await;
    assert_eq!((saved.status, saved.location.as_str()), (303, "/domains/shop.example.com"));
    let page = support.get(address).await.body;
    assert!(page.contains(">\nteam=a\ntier=gold</textarea>") && !page.contains("<b>4711"), "{page}");
    let view = support.get(&format!("/domains/{NAME}")).await.body;
    assert!(view.contains("tier=gold") && view.contains(address.as_str()), "{view}");
    assert!(!viewer.get(&format!("/domains/{NAME}")).await.body.contains(address.as_str()));
    let colleague = [("customer", "4711"), ("labels", "new=1"), ("shown", "")];
    assert_eq!(support.send(address, address, &colleague).await.status, 303);
    let mine = [("customer", ""), ("labels", "tier=free"), ("shown", "team=a\ntier=gold")];
    assert_eq!(support.send(address, address, &mine).await.status, 303);
    let page = support.get(address).await.body;
    assert!(page.contains(">\nnew=1\ntier=free</textarea>") && !page.contains("4711"), "{page}");
    for (field, text) in [("labels", "no label"), ("labels", "<b>=1"), ("customer", "a\u{202e}b")] {
        let refused = support.send(address, address, &[(field, text), ("shown", "")]).await;
        assert_eq!(refused.status, 422, "{text}");
        assert!(
            refused.body.contains("<title>Error: ") && !refused.body.contains("<b>=1"),
            "{}",
            refused.body
        );
    }
}
