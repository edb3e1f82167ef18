//! The list: every order and filter against a plain model of it, and searches.

use std::collections::BTreeMap;

use domain::{Facts, HttpsSwitch, Live, Reason, Source, Status, Who};
use store::{AtRisk, DomainView, ListFilter, ListOrder, ListQuery, Page, Place, Search, Store};

use crate::kit::{Case, add, at, certificate, insert_certificate, live, name, update};

const ORDERS: [ListOrder; 4] =
    [ListOrder::Name, ListOrder::Creation, ListOrder::Expiry, ListOrder::Attention];

/// Domains in every status, with equals in everything that is ordered by, and one that is deleted.
async fn fill(store: &Case) -> Vec<DomainView> {
    let reason = || Reason::NotPointed {
        target: "cdn".to_owned(),
        addresses: Vec::new(),
        found: domain::Found::NoName,
        proxy: None,
    };
    for number in 0..24_i64 {
        let label = format!("{}{number}", ["shop", "www", "api-shop"][(number % 3) as usize]);
        let row = add(store, &label).await;
        let mut facts = Facts::default();
        if number % 4 != 0 {
            // Some ended by the time of the write, 100.
            facts.live = Some(live(store, &label, 90 + 10 * (number % 4)).await);
        }
        facts.block = (number % 5 == 0).then(reason);
        if number % 7 == 6 {
            facts.https = HttpsSwitch::Off;
            facts.block = None;
        }
        facts.unknown_to_c4 = number == 7 || number == 8;
        facts.upload_failing = (number % 11 == 3).then(|| Reason::UploadFailed { detail: "503".to_owned() });
        let waiting = (number % 5 == 1).then_some(Reason::CaLimited {
            until: at(500),
            issuer: "ca".into(),
            limit: "new orders per account".into(),
            seconds_per_place: 36,
        });
        let mut row = row.with_stored_facts(facts);
        row.created_at = at(number % 6);
        row.source = if number % 6 == 1 { Source::Text } else { Source::C4 };
        row.waiting = waiting;
        ["", "4711", "=1+1"][(number % 3) as usize].clone_into(&mut row.customer_ref);
        update(store.at(100 + number / 12), &row).await;
        let mut tx = store.begin("labels").await.unwrap();
        tx.set_labels(&row.name, &labels(number)).await.unwrap();
        tx.commit().await.unwrap();
    }
    let gone = add(store, "shop-gone").await;
    update(store.at(3), &gone.delete(at(3)).unwrap()).await;
    let all = ListQuery { limit: 100, ..ListQuery::default() };
    let views = store.domains(&all).await.unwrap();
    assert_eq!(views.len(), 24);
    for status in Status::ALL {
        let of_it = views.iter().filter(|view| view.domain.recorded == status);
        assert_ne!(of_it.count(), 0, "{status}");
    }
    views
}

fn labels(number: i64) -> BTreeMap<String, String> {
    let tier = ("tier".to_owned(), ["gold", "free"][(number % 2) as usize].to_owned());
    let team = (number % 4 == 1).then(|| ("team".to_owned(), "a".to_owned()));
    std::iter::once(tier).chain(team).collect()
}

/// The meaning of a filter.
fn fits(filter: &ListFilter, view: &DomainView) -> bool {
    let domain = &view.domain;
    let name = domain.name.as_str();
    let ends_at = domain.live().map(|live| live.not_after);
    let who = domain.reason().and_then(|reason| reason.who());
    let serial = view.certificate.as_ref().map(|certificate| &certificate.serial);
    let sha256 = view.certificate.as_ref().map(|certificate| &certificate.sha256);
    (filter.statuses.is_empty() || filter.statuses.contains(&domain.recorded))
        && filter.source.is_none_or(|source| domain.source == source)
        && filter.who.is_none_or(|asked| who == Some(asked))
        && filter.expires_from.is_none_or(|from| ends_at.is_some_and(|end| end >= from))
        && filter.expires_before.is_none_or(|before| ends_at.is_some_and(|end| end < before))
        && (!filter.renewal_blocked || (domain.recorded == Status::Success && domain.block().is_some()))
        && filter.customer_ref.as_ref().is_none_or(|customer_ref| domain.customer_ref == *customer_ref)
        && filter.labels.iter().all(|(key, value)| view.labels.get(key) == Some(value))
        && filter.at_risk.is_none_or(|risk| risk.includes(view))
        && filter.attention_from.is_none_or(|from| view.attention_since().is_some_and(|since| since >= from))
        && filter.reason.as_deref().is_none_or(|code| domain.reason().is_some_and(|own| own.code() == code))
        && match &filter.search {
            None => true,
            Some(Search::Names(names)) => names.iter().any(|one| one == name),
            Some(Search::Suffix(end)) => name.ends_with(end.as_str()),
            Some(Search::Prefix(start)) => name.starts_with(start.as_str()),
            Some(Search::Part(part)) => name.contains(part.as_str()),
            Some(Search::Sha256(wanted)) => sha256 == Some(wanted),
            Some(Search::Serial(wanted)) => serial == Some(wanted),
        }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn filters(views: &[DomainView]) -> Vec<ListFilter> {
    let none = ListFilter::default();
    let of = |statuses: &[Status]| ListFilter { statuses: statuses.to_vec(), ..ListFilter::default() };
    let words = |search: Search| ListFilter { search: Some(search), ..ListFilter::default() };
    let sha256 = views.iter().find_map(|view| Some(view.certificate.as_ref()?.sha256.clone()));
    let mut filters = vec![
        none.clone(),
        of(&[Status::Emergency, Status::Failure, Status::Success, Status::Failure]),
        of(&Status::ALL),
        ListFilter { source: Some(Source::Text), ..none.clone() },
        ListFilter { source: Some(Source::C4), ..of(&[Status::Expired, Status::Pending]) },
        ListFilter { expires_from: Some(at(100)), ..none.clone() },
        ListFilter { expires_before: Some(at(110)), ..none.clone() },
        ListFilter { expires_from: Some(at(100)), expires_before: Some(at(120)), ..of(&[Status::Success]) },
        ListFilter { renewal_blocked: true, ..none.clone() },
        ListFilter { renewal_blocked: true, ..of(&[Status::Failure]) },
        ListFilter { who: Some(Who::Us), source: Some(Source::C4), ..words(Search::Part("hop".into())) },
        words(Search::Part("shop".into())),
        words(Search::Part("nothing".into())),
        ListFilter { expires_from: Some(at(100)), ..words(Search::Part("api".into())) },
        ListFilter { search: Some(Search::Part("shop".into())), ..of(&[Status::Pending, Status::Success]) },
        words(Search::Prefix("w".into())),
        words(Search::Prefix("a".into())),
        words(Search::Suffix("3.example.com".into())),
        words(Search::Suffix(".example.com".into())),
        words(Search::Names(
            ["shop0", "www1", "shop-gone", "never"].map(|label| name(label).to_string()).to_vec(),
        )),
        words(Search::Sha256(sha256.unwrap())),
        words(Search::Serial("0a1b".into())),
    ];
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let of_customer =
        |customer_ref: &str| ListFilter { customer_ref: Some(customer_ref.to_owned()), ..none.clone() };
    let labelled = |labels: Vec<(String, String)>| ListFilter { labels, ..none.clone() };
    let risk = Some(AtRisk { unrenewed_before: at(115), lagging_before: at(111) });
    let new = |from: i64| ListFilter { attention_from: Some(at(from)), ..none.clone() };
    let because = |code: &str| ListFilter { reason: Some(code.to_owned()), ..none.clone() };
    filters.extend([
        because("not_pointed"),
        because("unknown_to_c4"),
        because("https_off"),
        because("no_such_reason"),
        ListFilter { search: Some(Search::Part("shop".into())), ..because("not_pointed") },
        ListFilter { statuses: vec![Status::Failure, Status::Success], ..because("not_pointed") },
        ListFilter { customer_ref: Some("4711".to_owned()), ..because("upload_failed") },
        of_customer("4711"),
        of_customer("nobody"),
        ListFilter { labels: vec![label("tier", "gold")], ..of_customer("=1+1") },
        ListFilter { search: Some(Search::Part("shop".into())), ..of_customer("=1+1") },
        ListFilter { statuses: vec![Status::Success, Status::Pending], ..of_customer("4711") },
        labelled(vec![label("tier", "gold")]),
        labelled(vec![label("tier", "free"), label("team", "a")]),
        labelled(vec![label("tier", "lead")]),
        ListFilter { who: Some(Who::Customer), ..labelled(vec![label("tier", "gold")]) },
        new(0),
        new(101),
        new(102),
        ListFilter { statuses: vec![Status::Failure, Status::Success], ..new(0) },
        ListFilter { customer_ref: Some("4711".to_owned()), ..new(0) },
        ListFilter { who: Some(Who::Customer), ..new(0) },
        ListFilter { search: Some(Search::Part("shop".into())), ..new(0) },
        ListFilter { at_risk: risk, ..none.clone() },
        ListFilter { at_risk: risk, statuses: vec![Status::Success], ..none.clone() },
        ListFilter { at_risk: risk, statuses: vec![Status::Failure], ..none.clone() },
        ListFilter { at_risk: risk, ..of_customer("4711") },
        ListFilter { at_risk: risk, ..words(Search::Part("shop".into())) },
        ListFilter { at_risk: risk, who: Some(Who::Customer), ..none.clone() },
    ]);
    filters.extend(Who::ALL.map(|who| ListFilter { who: Some(who), ..none.clone() }));
    filters.extend(Status::ALL.map(|status| of(&[status])));
    filters
}

fn names(views: &[DomainView]) -> Vec<String> {
    views.iter().map(|view| view.domain.name.to_string()).collect()
}

/// Pages from the first to the last, or back from the last to the first, as one list.
async fn walk(store: &Store, query: &ListQuery, back: bool) -> Vec<String> {
    let mut walked = Vec::new();
    let mut query = ListQuery { page: if back { Page::Last } else { Page::First }, ..query.clone() };
    loop {
        let page = store.domains(&query).await.unwrap();
        assert!(page.len() <= query.limit as usize);
        let end = if back { page.first() } else { page.last() };
        let Some(end) = end else { return walked };
        let place = Place::of(query.order, end);
        if back {
            walked.splice(0..0, names(&page));
            query.page = Page::Before(place);
        } else {
            walked.extend(names(&page));
            query.page = Page::After(place);
        }
    }
}

/// Each order, either way round, under each filter, from page to page forwards and backwards; and how many there are.
pub async fn the_list_has_every_order_and_filter(store: Case) {
    let views = fill(&store).await;
    for filter in filters(&views) {
        let fitting: Vec<DomainView> = views.iter().filter(|view| fits(&filter, view)).cloned().collect();
        for (order, descending) in ORDERS.into_iter().flat_map(|order| [(order, false), (order, true)]) {
            let mut expected = fitting.clone();
            expected.sort_by_key(|view| Place::of(order, view));
            if descending {
                expected.reverse();
            }
            for limit in [3, 100] {
                let query =
                    ListQuery { filter: filter.clone(), order, descending, limit, ..ListQuery::default() };
                for back in [false, true] {
                    let walked = walk(&store, &query, back).await;
                    assert_eq!(walked, names(&expected), "back: {back}, {query:?}");
                }
            }
        }
        let count = store.count(&filter, 1000).await.unwrap();
        assert_eq!(count, fitting.len() as u64, "{filter:?}");
        if !filter.is_by_status_alone() {
            let count = store.count(&filter, 2).await.unwrap();
            assert_eq!(count, fitting.len().min(2) as u64, "{filter:?}");
        }
    }
}

/// Domains without a certificate come last; what needs a person comes first.
pub async fn the_orders_put_first_what_comes_first(store: Case) {
    let views = fill(&store).await;
    let in_order = async |order| {
        let query = ListQuery { order, limit: 100, ..ListQuery::default() };
        store.domains(&query).await.unwrap()
    };
    let ends: Vec<_> = in_order(ListOrder::Expiry).await;
    let ends: Vec<_> = ends.iter().map(|view| view.domain.live().map(|live| live.not_after)).collect();
    let with = ends.iter().take_while(|end| end.is_some()).count();
    assert!(ends[..with].is_sorted() && ends[with..].iter().all(Option::is_none));
    assert!(with > 0 && with < views.len());
    let kind = |view: &DomainView| {
        let domain = &view.domain;
        let is_off = domain.https() == HttpsSwitch::Off;
        let is_unrenewed = domain.block().is_some() || domain.source == Source::Text;
        match domain.recorded {
            Status::Success if is_off => "live, off",
            Status::Pending if is_off => "off",
            Status::Success if is_unrenewed => "unrenewed",
            status => status.as_str(),
        }
    };
    let mut kinds: Vec<&str> = in_order(ListOrder::Attention).await.iter().map(kind).collect();
    kinds.dedup();
    assert_eq!(
        kinds,
        ["Emergency", "Expired", "unrenewed", "Failure", "Discard", "Pending", "Success", "live, off", "off"]
    );
    let created = in_order(ListOrder::Creation).await;
    assert!(created.is_sorted_by_key(|view| (view.domain.created_at, view.domain.name.to_string())));
}

/// By a serial number with the zero byte that makes it positive, by a former certificate, and by the end of a name.
pub async fn certificates_are_searched_for(store: Case) {
    let mut row = add(&store, "shop").await;
    let mut hashes = Vec::new();
    for (ends, serial) in [(900, "77"), (1000, "00f00d")] {
        let mut certificate = certificate("shop", at(ends), Source::C4);
        serial.clone_into(&mut certificate.summary.serial);
        insert_certificate(&store, &certificate).await;
        let live = Live { certificate: certificate.id(), not_after: at(ends) };
        row = update(&store, &row.uploaded(live).unwrap()).await;
        hashes.push(certificate.summary.sha256);
    }
    add(&store, "other").await;
    let found = async |search: Search| {
        let query = ListQuery {
            filter: ListFilter { search: Some(search), ..ListFilter::default() },
            limit: 10,
            ..ListQuery::default()
        };
        names(&store.domains(&query).await.unwrap())
    };
    let shop = [name("shop").to_string()];
    for sha256 in hashes {
        assert_eq!(found(Search::Sha256(sha256)).await, shop);
    }
    assert_eq!(found(Search::Serial("f00d".into())).await, shop);
    assert_eq!(found(Search::Serial("77".into())).await, [] as [String; 0], "of the live one");
    assert_eq!(found(Search::Sha256("ab".repeat(32))).await, [] as [String; 0]);
    assert_eq!(found(Search::Suffix("op.example.com".into())).await, shop);
}
