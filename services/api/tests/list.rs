//! The list as its clients see it: every filter and order, pages in both directions, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use domain::{CertificateId, Domain, DomainName, Facts, Live, Reason, Role, Source};
use jiff::Timestamp;
use proto::{to_timestamp, v1};
use store::Certificate;
use tonic::Code;
use uuid::Uuid;

use served::{Served, has_reason, served, signed};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Six domains: in order of name Success (c4), Failure, Emergency, Success (text), Success that cannot be renewed, Pending.
async fn filled() -> (Served, String) {
    let served = served().await;
    let token = served.token(Role::Viewer, |_| {}).await;
    let pointed = || Reason::NotPointed {
        target: "cdn".into(),
        addresses: Vec::new(),
        found: domain::Found::NoName,
        proxy: None,
    };
    let failed = || Reason::UploadFailed { detail: "503".into() };
    for (number, label, ends, block, failing, source) in [
        (0, "a-shop.example.com", Some(900), None, None, Source::C4),
        (1, "b-shop.example.com", None, Some(pointed()), None, Source::C4),
        (2, "c-shop.example.com", Some(700), None, Some(failed()), Source::C4),
        (3, "d-shop.example.org", Some(800), None, None, Source::Text),
        (4, "e-shop.example.com", Some(600), Some(pointed()), None, Source::C4),
        (5, "xn--bcher-kva.example", None, None, None, Source::C4),
    ] {
        let name = DomainName::parse(label).unwrap();
        let mut tx = served.context.store.begin("fill").await.unwrap();
        let mut row = Domain::added(name.clone(), at(-number));
        tx.insert_domain(&row).await.unwrap();
        row.version += 1;
        let live = match ends {
            None => None,
            Some(ends) => {
                let certificate = certificate(&name, number.cast_unsigned(), at(ends));
                tx.insert_certificate(&certificate).await.unwrap();
                Some(Live { certificate: certificate.id(), not_after: at(ends) })
            }
        };
        let facts = Facts { upload_failing: failing, live, block, ..Facts::default() };
        row.source = source;
        tx.update_domain(&row.with_stored_facts(facts)).await.unwrap();
        tx.commit().await.unwrap();
    }
    (served, token)
}

fn certificate(name: &DomainName, number: u64, not_after: Timestamp) -> Certificate {
    Certificate {
        summary: domain::CertificateSummary {
            id: CertificateId::from(Uuid::from_u128(number.into())),
            sha256: format!("{number:064x}"),
            serial: format!("f00d0000000000{number:02x}"),
            issuer: "CN=Test".into(),
            not_before: at(-1000),
            not_after,
            source: Source::C4,
            trust: None,
        },
        name: name.clone(),
        revision: 1,
        chain_pem: String::new(),
        sealed_key: None,
        created_at: at(0),
        uploaded_at: None,
        account: None,
        renewal: None,
        revoked_at: None,
        withdrawn: false,
    }
}

async fn list(served: &mut Served, token: &str, request: &v1::ListDomainsRequest) -> v1::ListDomainsResponse {
    let answer = served.client.list_domains(signed(request.clone(), token)).await;
    answer.unwrap().into_inner()
}

/// The first letters of the names.
fn letters(page: &v1::ListDomainsResponse) -> String {
    page.domains.iter().map(|domain| &domain.name[..1]).collect()
}

#[tokio::test]
async fn every_filter_narrows_the_list() {
    let (mut served, token) = filled().await;
    let none = v1::ListDomainsRequest::default;
    let words = |search: &str| v1::ListDomainsRequest { search: search.to_owned(), ..none() };
    let who = |who: &str| v1::ListDomainsRequest { who: who.to_owned(), ..none() };
    let instant = |second| Some(to_timestamp(at(second)));
    for (request, expected) in [
        (none(), "abcdex"),
        (
            v1::ListDomainsRequest {
                statuses: vec![v1::Status::Success.into(), v1::Status::Pending.into()],
                ..none()
            },
            "adex",
        ),
        (v1::ListDomainsRequest { source: v1::Source::Text.into(), ..none() }, "d"),
        (v1::ListDomainsRequest { source: v1::Source::C4.into(), ..none() }, "abcex"),
        (v1::ListDomainsRequest { renewal_blocked: true, ..none() }, "e"),
        (v1::ListDomainsRequest { expires_from: instant(700), ..none() }, "acd"),
        (v1::ListDomainsRequest { expires_before: instant(800), ..none() }, "ce"),
        (v1::ListDomainsRequest { expires_from: instant(700), expires_before: instant(900), ..none() }, "cd"),
        (who("customer"), "be"),
        (who("cdn_operator"), "c"),
        (who("ca"), ""),
        (who("us"), ""),
        (words("SHOP"), "abcde"),
        (words("nothing"), ""),
        (words("a"), "a"),
        (words("https://C-shop.example.com/basket?x=1"), "c"),
        (words("*.example.com"), "abce"),
        (words(".org"), "d"),
        (words("bücher"), "x"),
        (words("e-shop.example.com, b-shop.example.com\nshop.example.com"), "be"),
        (words(&format!("{:064X}", 2)), "c"),
        (words("F0:0D:00:00:00:00:00:03"), "d"),
        (words("%"), ""),
        (v1::ListDomainsRequest { statuses: vec![v1::Status::Failure.into()], ..words("shop") }, "b"),
    ] {
        let page = list(&mut served, &token, &request).await;
        assert_eq!(letters(&page), expected, "{request:?}");
        assert_eq!((page.matching as usize, page.matching_more), (expected.len(), false), "{request:?}");
        assert!(page.next_page_token.is_empty() && page.previous_page_token.is_empty());
    }
}

#[tokio::test]
async fn every_order_has_pages_in_both_directions() {
    let (mut served, token) = filled().await;
    for (order, expected) in [
        (v1::ListOrder::Unspecified, "abcdex"),
        (v1::ListOrder::ByName, "abcdex"),
        (v1::ListOrder::ByCreation, "xedcba"),
        (v1::ListOrder::ByExpiry, "ecdabx"),
        (v1::ListOrder::ByAttention, "cedbxa"),
    ] {
        for descending in [false, true] {
            let expected: String =
                if descending { expected.chars().rev().collect() } else { expected.to_owned() };
            let first = v1::ListDomainsRequest {
                order: order.into(),
                descending,
                page_size: 4,
                ..v1::ListDomainsRequest::default()
            };
            let page = list(&mut served, &token, &first).await;
            assert_eq!(letters(&page), expected[..4], "{order:?} {descending}");
            assert!(page.previous_page_token.is_empty());
            assert_eq!(page.matching, 6, "of all pages");
            let request = v1::ListDomainsRequest { page_token: page.next_page_token, ..first.clone() };
            let page = list(&mut served, &token, &request).await;
            assert_eq!(letters(&page), expected[4..], "{order:?} {descending}");
            assert!(page.next_page_token.is_empty(), "it is the last");
            let request = v1::ListDomainsRequest { page_token: page.previous_page_token, ..first.clone() };
            let page = list(&mut served, &token, &request).await;
            assert_eq!(letters(&page), expected[..4], "{order:?} {descending}");
            assert!(page.previous_page_token.is_empty(), "it is the first");
            assert!(!page.next_page_token.is_empty());

            let request = v1::ListDomainsRequest { last_page: true, ..first.clone() };
            let last = list(&mut served, &token, &request).await;
            assert_eq!(letters(&last), expected[2..], "{order:?} {descending}");
            assert!(last.next_page_token.is_empty());
            let request = v1::ListDomainsRequest { page_token: last.previous_page_token, ..first };
            let page = list(&mut served, &token, &request).await;
            assert_eq!(letters(&page), expected[..2], "{order:?} {descending}");
            assert!(page.previous_page_token.is_empty() && !page.next_page_token.is_empty());
        }
    }
}

#[tokio::test]
async fn what_is_no_filter_is_refused() {
    let (mut served, token) = filled().await;
    let page = v1::ListDomainsRequest { page_size: 2, ..v1::ListDomainsRequest::default() };
    let next = list(&mut served, &token, &page).await.next_page_token;
    let of_page_one =
        v1::ListDomainsRequest { page_token: next.clone(), ..v1::ListDomainsRequest::default() };
    let instant = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let none = v1::ListDomainsRequest::default;
    for (request, reason) in [
        (v1::ListDomainsRequest { statuses: vec![99], ..none() }, "STATUS_INVALID"),
        (v1::ListDomainsRequest { statuses: vec![0], ..none() }, "STATUS_INVALID"),
        (v1::ListDomainsRequest { source: 9, ..none() }, "SOURCE_INVALID"),
        (v1::ListDomainsRequest { order: -1, ..none() }, "ORDER_INVALID"),
        (v1::ListDomainsRequest { who: "me".into(), ..none() }, "WHO_INVALID"),
        (v1::ListDomainsRequest { expires_from: instant(i64::MAX), ..none() }, "INSTANT_INVALID"),
        (v1::ListDomainsRequest { expires_before: instant(i64::MIN), ..none() }, "INSTANT_INVALID"),
        (v1::ListDomainsRequest { page_size: 1001, ..none() }, "PAGE_SIZE_INVALID"),
        (v1::ListDomainsRequest { page_size: -1, ..none() }, "PAGE_SIZE_INVALID"),
        (v1::ListDomainsRequest { search: "x".repeat(254), ..none() }, "SEARCH_TOO_LONG"),
        (v1::ListDomainsRequest { search: "a.example.com ".repeat(101), ..none() }, "SEARCH_TOO_LONG"),
        (v1::ListDomainsRequest { page_token: "AAAA".into(), ..none() }, "PAGE_TOKEN_INVALID"),
        (v1::ListDomainsRequest { search: "shop".into(), ..of_page_one.clone() }, "PAGE_TOKEN_INVALID"),
        (v1::ListDomainsRequest { who: "us".into(), ..of_page_one.clone() }, "PAGE_TOKEN_INVALID"),
        (v1::ListDomainsRequest { order: 3, ..of_page_one.clone() }, "PAGE_TOKEN_INVALID"),
        (v1::ListDomainsRequest { descending: true, ..of_page_one.clone() }, "PAGE_TOKEN_INVALID"),
        (v1::ListDomainsRequest { last_page: true, ..of_page_one.clone() }, "LAST_PAGE_INVALID"),
    ] {
        let refused = served.client.list_domains(signed(request.clone(), &token)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{request:?}");
        assert!(has_reason(&refused, reason), "{reason}: {refused:?}");
    }
    let page = list(&mut served, &token, &of_page_one).await;
    assert_eq!(letters(&page), "cdex", "another page size is fine");
}

/// More than are counted, and a page token of a place that is gone.
#[tokio::test]
async fn a_place_that_is_gone_is_still_a_place() {
    let (mut served, token) = filled().await;
    let two = v1::ListDomainsRequest { page_size: 2, ..v1::ListDomainsRequest::default() };
    let first = list(&mut served, &token, &two).await;
    let gone = DomainName::parse(&first.domains[1].name).unwrap();
    let mut tx = served.context.store.begin("delete").await.unwrap();
    let row = tx.domain(&gone).await.unwrap().unwrap();
    tx.update_domain(&row.delete(at(1)).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    let request = v1::ListDomainsRequest { page_token: first.next_page_token, ..two };
    assert_eq!(letters(&list(&mut served, &token, &request).await), "cd");
}
