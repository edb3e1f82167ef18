//! Adding, what is done with many domains at once, and the overview, over HTTP, before a real API.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::time::Duration;

use domain::{HistoryKind, Role};

use served::{Answer, Browser, NAME, served};

/// The page of a job once that is over.
async fn over(browser: &Browser, address: &str) -> Answer {
    let wait = async {
        loop {
            let page = browser.get(address).await;
            if !page.body.contains("http-equiv=\"refresh\"") {
                return page;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap()
}

/// What stands beside a label of a draft.
fn figure<'a>(page: &'a Answer, label: &str) -> &'a str {
    let (_, rest) = page.body.split_once(&format!("<dt>{label}</dt><dd>")).unwrap();
    rest.split_once("</dd>").unwrap().0
}

/// How many lines have that outcome.
fn lines<'a>(page: &'a Answer, outcome: &str) -> &'a str {
    let (before, _) = page.body.split_once(&format!("</strong> {outcome}</a>")).unwrap();
    before.rsplit_once("<strong>").unwrap().1
}

#[tokio::test]
async fn one_name_is_added_and_leads_to_its_page() {
    let served = served().await;
    let browser = served.browser(Role::Support).await;
    let page = browser.get("/domains/new").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("id=\"names\"") && page.body.contains("data-check=\"/domains/new/check\""));
    let fields = [("names", "https://SHOP.example.com/cart\n"), ("action", "add")];
    let added = browser.send("/domains/new", "/domains/new", &fields).await;
    let there = (303, "/domains/shop.example.com");
    assert_eq!((added.status, added.location.as_str()), there);
    assert_eq!(served.history().await.len(), 1);
    let again = browser.send("/domains/new", "/domains/new", &fields).await;
    assert_eq!((again.status, again.location.as_str()), there);
    assert_eq!(
        served.history().await,
        [HistoryKind::Generated, HistoryKind::Added],
        "what is there without a certificate is ordered"
    );
}

#[tokio::test]
async fn what_is_no_name_is_said_and_kept_in_the_box() {
    let served = served().await;
    let browser = served.browser(Role::Support).await;
    for (text, said) in [
        ("*.example.com", "add each name by itself"),
        ("# nothing", "Enter at least one domain name"),
        ("<b>x", "a character that a domain name cannot have"),
    ] {
        let fields = [("names", text), ("action", "add")];
        let refused = browser.send("/domains/new", "/domains/new", &fields).await;
        assert_eq!(refused.status, 422, "{text}");
        for part in ["<title>Error: ", "autofocus", said] {
            assert!(refused.body.contains(part), "{part} in {}", refused.body);
        }
        assert!(!refused.body.contains("<b>"));
    }
}

#[tokio::test]
async fn a_check_that_cannot_be_made_says_so_and_never_hinders_adding() {
    let served = served().await;
    let browser = served.browser(Role::Support).await;
    let check =
        async |name: &str| browser.send("/domains/new", "/domains/new/check", &[("name", name)]).await;
    let fragment = check("shop.example.com").await;
    assert_eq!(fragment.status, 200);
    assert!(fragment.body.contains("Not checked: ") && !fragment.body.contains("<html"));
    let linked = browser.get("/domains/new/check?name=shop.example.com").await;
    assert_eq!(linked.status, 405, "what another site can link to asks nobody");
    let bad = check("10.0.0.1").await;
    assert!(bad.body.contains("is an IP address"), "{}", bad.body);
    let fields = [("names", NAME), ("action", "check")];
    let page = browser.send("/domains/new", "/domains/new", &fields).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Not checked: ") && page.body.contains(">Add</button>"));
    assert!(page.body.contains(">\nshop.example.com</textarea>"), "{}", page.body);
}

#[tokio::test]
async fn every_line_of_a_long_paste_gets_its_own_answer() {
    let served = served().await;
    served.add("d7.example.com").await;
    let browser = served.browser(Role::Support).await;
    let mut pasted: Vec<String> = (0..2500).map(|index| format!("d{index}.example.com")).collect();
    pasted[1199] = "=cmd|' /C calc'!A0".to_owned();
    pasted.push("d0.example.com".to_owned());
    let text = pasted.join("\n");
    let draft = browser.send("/domains/new", "/domains/new", &[("names", &text), ("action", "add")]).await;
    assert_eq!(draft.status, 303);
    let address = draft.location;
    let page = browser.get(&address).await;
    assert!(page.body.contains("<title>Add 2,499 domains?"), "{}", page.body);
    assert_eq!(figure(&page, "Names"), "2,499");
    assert_eq!((figure(&page, "Not domain names"), figure(&page, "Listed twice")), ("3", "1"));
    assert!(page.body.contains("<td>1200</td>"));
    let changed = browser.get(&format!("/domains/new?job={}", &address[6..])).await;
    assert!(changed.body.contains("d1198.example.com\n=cmd|"));

    let begun = browser.send(&address, &address, &[("action", "start")]).await;
    assert_eq!((begun.status, &begun.location), (303, &address));
    let page = over(&browser, &address).await;
    assert!(page.body.contains("<title>Adding 2,499 domains: done"), "{}", page.body);
    assert_eq!((lines(&page, "added"), lines(&page, "on the list already")), ("2,498", "1"));
    let csv = browser.get(&format!("{address}/lines.csv?outcome=refused")).await;
    assert!(csv.header("content-disposition").contains("attachment"));
    let mut rows = csv.body.split("\r\n");
    assert_eq!(rows.next(), Some("line,name,outcome,code,sentence,message_for_customer,acted_at"));
    assert!(rows.next().unwrap().starts_with("1200,'=cmd|"), "{}", csv.body);
    let all = browser.get(&format!("{address}/lines.csv")).await;
    assert_eq!(all.body.split("\r\n").count(), 1 + 2503 + 1);
    let next = page.body.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let second = browser.get(&next.replace("&#38;", "&").replace("&amp;", "&")).await;
    assert!(second.body.contains(">d100.example.com<") && !second.body.contains(">d99.example.com<"));
}

/// A colleague starts it, a viewer looks on, and each sees the same.
#[tokio::test]
async fn a_job_is_visible_to_colleagues() {
    let served = served().await;
    let (ann, bob) = (served.browser(Role::Support).await, served.browser(Role::Admin).await);
    let viewer = served.browser(Role::Viewer).await;
    let fields = [("names", "a.example.com b.example.com"), ("action", "add")];
    let address = ann.send("/domains/new", "/domains/new", &fields).await.location;
    assert_eq!(ann.get(&address).await.status, 200);
    assert_eq!(viewer.get(&address).await.status, 403, "what is not started is for those who may start it");
    assert_eq!(ann.post(&address, &[("action", "start")]).await.status, 403, "no csrf");
    assert_eq!(viewer.send("/", &address, &[("action", "start")]).await.status, 403);
    let begun = bob.send(&address, &address, &[("action", "start")]).await;
    assert_eq!(begun.status, 303);
    let page = over(&viewer, &address).await;
    assert_eq!((page.status, lines(&page, "added")), (200, "2"));
    let jobs = viewer.get("/jobs").await;
    assert!(
        jobs.body.contains(&format!("href=\"{address}\"")) && jobs.body.contains("2 added"),
        "{}",
        jobs.body
    );
    let other = ann.send("/domains/new", "/domains/new", &fields).await.location;
    let cancelled = bob.send(&other, &other, &[("action", "cancel")]).await;
    assert_eq!((cancelled.status, cancelled.location.as_str()), (303, "/"));
    let page = ann.get(&other).await;
    assert!(
        page.body.contains("Cancelled by user:") && page.body.contains("2</strong> not done"),
        "{}",
        page.body
    );
    assert_eq!(ann.get("/jobs/00").await.status, 400);
}

#[tokio::test]
async fn all_that_match_are_deleted_once_their_count_is_typed() {
    let served = served().await;
    for index in 0..30 {
        served.add(&format!("d{index}.example.com")).await;
    }
    served.add("stays.example.org").await;
    let browser = served.browser(Role::Support).await;
    let list = "/?q=example.com";
    let fields = [("of", "all"), ("action", "delete")];
    let address = browser.send(list, list, &fields).await.location;
    let page = browser.get(&address).await;
    for text in ["Delete 30 domains?", "Type 30 to delete", "And 10 more.", "Keep serving"] {
        assert!(page.body.contains(text), "{text} in {}", page.body);
    }
    let fields = [("action", "start"), ("c4", "keep"), ("count", "3")];
    let refused = browser.send(&address, &address, &fields).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("<title>Error: ") && refused.body.contains("Nothing was deleted."));
    let fields = [("action", "start"), ("c4", "keep"), ("count", "30")];
    let begun = browser.send(&address, &address, &fields).await;
    assert_eq!(begun.status, 303);
    let page = over(&browser, &address).await;
    assert_eq!(lines(&page, "deleted"), "30");
    let left = browser.get("/").await.body;
    assert!(left.contains("stays.example.org") && !left.contains("d0.example.com"));
}

/// The form says what is changed; what is wrong in it stays in it, and nothing is labelled before it is right.
#[tokio::test]
async fn those_that_are_ticked_are_labelled_once_it_is_said_how() {
    let served = served().await;
    served.add(NAME).await;
    let browser = served.browser(Role::Support).await;
    assert!(browser.get("/").await.body.contains("value=\"label\""));
    let fields = [("of", "selected"), ("action", "label"), ("name", NAME), ("name", "gone.example.com")];
    let address = browser.send("/", "/", &fields).await.location;
    let draft = browser.get(&address).await;
    assert!(draft.body.contains("<title>Label 2 domains?"), "{}", draft.body);
    for (labels, said) in [("", "labels, or keys of labels to remove"), ("<b>=1", "&#60;b&#62;=1")] {
        let fields = [("action", "start"), ("customer", ""), ("labels", labels), ("remove", "")];
        let refused = browser.send(&address, &address, &fields).await;
        assert_eq!(refused.status, 422, "{labels}");
        assert!(refused.body.contains(said) && refused.body.contains("autofocus"), "{}", refused.body);
    }
    let fields =
        [("action", "start"), ("customer", "4711"), ("labels", "tier=gold\r\nteam=a"), ("remove", "old")];
    assert_eq!(browser.send(&address, &address, &fields).await.status, 303);
    let page = over(&browser, &address).await;
    assert_eq!((lines(&page, "labelled"), lines(&page, "failed")), ("1", "1"));
    let view = served.context.store.domain(&NAME.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((view.domain.customer_ref.as_str(), view.labels.len()), ("4711", 2));
}

#[tokio::test]
async fn those_that_are_ticked_are_rechecked_at_once() {
    let served = served().await;
    served.add(NAME).await;
    let browser = served.browser(Role::Support).await;
    let nothing = browser.send("/", "/", &[("of", "selected"), ("action", "recheck")]).await;
    assert_eq!(nothing.status, 422);
    assert!(nothing.body.contains("Nothing is selected."));
    let fields = [("of", "selected"), ("action", "recheck"), ("name", NAME), ("name", "gone.example.com")];
    let begun = browser.send("/", "/", &fields).await;
    // No issuer runs here: what comes of the recheck is not known.
    let asked = async {
        loop {
            let page = browser.get(&begun.location).await;
            if page.body.contains("</strong> being checked</a>") && page.body.contains("</strong> failed</a>")
            {
                return page;
            }
        }
    };
    let page = tokio::time::timeout(Duration::from_mins(1), asked).await.unwrap();
    assert_eq!((lines(&page, "being checked"), lines(&page, "failed")), ("1", "1"));
    assert!(page.body.contains("gone.example.com") && page.body.contains("DOMAIN_NOT_FOUND"));
    assert_eq!(served.history().await.len(), 2);
}

#[tokio::test]
async fn the_list_is_csv_as_it_is_filtered() {
    let served = served().await;
    served.with_live().await;
    served.add("other.example.com").await;
    let browser = served.browser(Role::Viewer).await;
    let all = browser.get("/domains.csv").await;
    assert_eq!(all.status, 200);
    assert!(all.header("content-type").starts_with("text/csv"));
    let rows: Vec<&str> = all.body.split("\r\n").collect();
    assert_eq!(
        rows[0],
        "name,status,source,created_at,expires_at,reason,who,activity,next_attempt_at,sha256,customer_ref,labels,at_risk"
    );
    assert!(rows[1].starts_with("other.example.com,Pending,c4,2"), "{}", rows[1]);
    assert!(rows[2].starts_with("shop.example.com,Success,text,2"), "{}", rows[2]);
    assert_eq!((rows.len(), rows[3]), (4, ""));
    let some = browser.get("/domains.csv?status=Success").await;
    assert_eq!(some.body.split("\r\n").count(), 3);
}

#[tokio::test]
async fn whoever_may_only_look_gets_none_of_it() {
    let served = served().await;
    served.add(NAME).await;
    let browser = served.browser(Role::Viewer).await;
    let list = browser.get("/").await.body;
    assert!(!list.contains("/domains/new") && !list.contains("id=\"bulk\""));
    let check = browser.send("/", "/domains/new/check", &[("name", "a.example.com")]).await;
    assert_eq!(check.status, 403);
    let refused = browser.get("/domains/new").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("You may not change domains: that needs the role support or admin"));
    let fields = [("of", "selected"), ("action", "delete"), ("name", NAME)];
    assert_eq!(browser.send("/", "/", &fields).await.status, 403);
    let fields = [("names", "new.example.com"), ("action", "add")];
    assert_eq!(browser.send("/", "/domains/new", &fields).await.status, 403);
}

#[tokio::test]
async fn the_overview_says_who_must_act_and_what_ends() {
    let served = served().await;
    served.with_live().await;
    served.add("other.example.com").await;
    served.block(&domain::DomainName::parse("other.example.com").unwrap()).await;
    let browser = served.browser(Role::Viewer).await;
    let wait = async {
        loop {
            let page = browser.get("/overview").await;
            // Counts may be a few seconds old.
            if page.body.contains("/?who=customer") {
                return page;
            }
        }
    };
    let page = tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap();
    for text in [
        "figure emergency zero",
        "DNS does not point to the CDN",
        "1 domain ends in 98 days or later",
        "Days left as a table",
        ">98+</a></th><td class=\"count\">1</td>",
        "No limit is known.",
        "Last midnight",
        "/?from=0&amp;days=1&amp;order=expires",
    ] {
        let text = text.replace("&amp;", "&#38;");
        assert!(page.body.contains(&text), "{text} in {}", page.body);
    }
    assert!(!page.body.contains("style=\""), "the page's policy forbids it");
}
