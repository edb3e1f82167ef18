//! Who a domain belongs to: set with the calls that add it and by a call of its own, listed, watched, and refused where it
//! would move or hide text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod served;

use std::time::Duration;

use domain::{DomainName, HistoryKind, Role};
use proto::v1;
use tonic::Code;

use served::{Served, has_reason, served, signed};

const NAME: &str = "shop.example.com";

fn label(key: &str, value: &str) -> v1::Label {
    v1::Label { key: key.to_owned(), value: value.to_owned() }
}

fn add(name: &str, customer_ref: &str, labels: &[v1::Label]) -> v1::AddDomainRequest {
    let customer_ref = customer_ref.to_owned();
    v1::AddDomainRequest { name: name.to_owned(), customer_ref, labels: labels.to_vec() }
}

fn set(customer_ref: Option<&str>, labels: &[v1::Label], remove: &[&str]) -> v1::SetDomainLabelsRequest {
    v1::SetDomainLabelsRequest {
        name: NAME.to_owned(),
        customer_ref: customer_ref.map(str::to_owned),
        labels: labels.to_vec(),
        remove_labels: remove.iter().map(ToString::to_string).collect(),
    }
}

/// Reference and labels, as `4711 team=a tier=gold`.
fn told(domain: Option<v1::Domain>) -> String {
    let domain = domain.unwrap();
    let labels = domain.labels.iter().map(|label| format!(" {}={}", label.key, label.value));
    domain.customer_ref.clone() + &labels.collect::<String>()
}

async fn history(served: &Served) -> Vec<(HistoryKind, String)> {
    let name = DomainName::parse(NAME).unwrap();
    let entries = served.context.store.history(&name, 100).await.unwrap();
    entries.into_iter().rev().map(|entry| (entry.kind, entry.message)).collect()
}

#[tokio::test]
async fn what_is_not_named_stays_and_each_change_has_its_line() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let client = &mut served.client;
    let first = add(NAME, " 4711 ", &[label("tier", "gold")]);
    let added = client.add_domain(signed(first, &token)).await.unwrap().into_inner();
    assert_eq!(told(added.domain), "4711 tier=gold");
    let again = client.add_domain(signed(add(NAME, "", &[]), &token)).await.unwrap().into_inner();
    assert_eq!((told(again.domain), again.created), ("4711 tier=gold".to_owned(), false));
    let generate = v1::GenerateCertificateRequest {
        name: NAME.to_owned(),
        force: true,
        labels: vec![label("team", "a")],
        ..Default::default()
    };
    let generated = client.generate_certificate(signed(generate, &token)).await.unwrap().into_inner();
    assert_eq!(told(generated.domain), "4711 team=a tier=gold");
    for (request, expected) in [
        (set(None, &[], &["team"]), "4711 tier=gold"),
        (set(None, &[], &["team"]), "4711 tier=gold"),
        (set(Some("<b>=1+1"), &[label("tier", "free")], &["tier"]), "<b>=1+1 tier=free"),
        (set(Some(""), &[], &["tier"]), ""),
    ] {
        let answer = client.set_domain_labels(signed(request, &token)).await.unwrap().into_inner();
        assert_eq!(told(answer.domain), expected);
    }
    let changed: Vec<String> = history(&served).await.into_iter().map(|(_, message)| message).collect();
    assert_eq!(
        changed,
        [
            "shop.example.com was added. Labels: the customer is 4711; tier=gold.",
            "Labels: team=a.",
            "A certificate was requested.",
            "Labels: team was removed.",
            "Labels: the customer is <b>=1+1, before 4711; tier=free, before gold.",
            "Labels: the customer <b>=1+1 was removed; tier was removed.",
        ]
    );
    let lines = served.context.store.audit(None, 100).await.unwrap();
    let of_labels = lines.iter().filter(|line| line.call == "SetDomainLabels");
    let details: Vec<&str> = of_labels.map(|line| line.detail.as_str()).collect();
    assert_eq!((details.len(), details[3], details[2]), (4, changed[3].as_str(), ""), "newest first");
}

/// A deleted name may come back as another customer's.
#[tokio::test]
async fn the_next_life_of_a_name_begins_without_them() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let client = &mut served.client;
    client.add_domain(signed(add(NAME, "4711", &[label("tier", "gold")]), &token)).await.unwrap();
    let delete = v1::DeleteDomainRequest { name: NAME.to_owned(), remove_from_c4: false };
    client.delete_domain(signed(delete, &token)).await.unwrap();
    let gone = client.set_domain_labels(signed(set(Some("1"), &[], &[]), &token)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let added = client.add_domain(signed(add(NAME, "", &[label("a", "b")]), &token)).await.unwrap();
    assert_eq!(told(added.into_inner().domain), " a=b");
}

#[tokio::test]
async fn what_would_move_or_hide_text_and_what_is_too_much_is_refused() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let client = &mut served.client;
    client.add_domain(signed(add(NAME, "", &[]), &token)).await.unwrap();
    let many = |count: usize| -> Vec<v1::Label> {
        (0..count).map(|number| label(&format!("k{number}"), "v")).collect()
    };
    for (customer_ref, labels, reason) in [
        ("a\u{202e}b", vec![], "CUSTOMER_REF_BAD_CHARACTER"),
        ("a\nb", vec![], "CUSTOMER_REF_BAD_CHARACTER"),
        (&"x".repeat(129), vec![], "CUSTOMER_REF_TOO_LONG"),
        ("", vec![label("k", "a\u{0}b")], "LABEL_VALUE_BAD_CHARACTER"),
        ("", vec![label("k", &"x".repeat(256))], "LABEL_VALUE_TOO_LONG"),
        ("", vec![label("k\n", "v")], "LABEL_KEY_INVALID"),
        ("", vec![label("", "v")], "LABEL_KEY_INVALID"),
        ("", many(33), "TOO_MANY_LABELS"),
        ("", many(10_000), "MESSAGE_TOO_LARGE"),
    ] {
        let request = set(Some(customer_ref), &labels, &[]);
        let refused = client.set_domain_labels(signed(request, &token)).await.unwrap_err();
        assert!(refused.code() == Code::InvalidArgument && has_reason(&refused, reason), "{refused:?}");
        let request = add("new.example.com", customer_ref, &labels);
        let refused = client.add_domain(signed(request, &token)).await.unwrap_err();
        assert!(has_reason(&refused, reason), "{refused:?}");
        let request =
            v1::ListDomainsRequest { customer_ref: customer_ref.to_owned(), labels, ..Default::default() };
        let refused = client.list_domains(signed(request, &token)).await.unwrap_err();
        assert!(has_reason(&refused, reason), "{refused:?}");
    }
    let listed = client.list_domains(signed(v1::ListDomainsRequest::default(), &token)).await.unwrap();
    assert_eq!(listed.into_inner().domains.len(), 1, "nothing was added");
}

#[tokio::test]
async fn a_batch_brings_them_along_and_the_list_is_narrowed_by_them() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let asked = |name: &str, customer_ref: &str, labels: &[v1::Label]| v1::BatchAddDomainsRequest {
        name: name.to_owned(),
        customer_ref: customer_ref.to_owned(),
        labels: labels.to_vec(),
    };
    let names = [
        asked("a.example.com", "4711", &[label("tier", "gold")]),
        asked("b.example.com", "4711", &[]),
        asked("bad.example.com", "a\nb", &[]),
        asked("c.example.com", "=1+1", &[label("tier", "gold")]),
        asked("b.example.com", "", &[label("tier", "free")]),
    ];
    let request = signed(tokio_stream::iter(names), &token);
    let mut answers = served.client.batch_add_domains(request).await.unwrap().into_inner();
    let mut refused = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        if let Some(v1::batch_add_domains_response::Result::Error(error)) = answer.result {
            refused.push(error.reason);
        }
    }
    assert_eq!(refused, ["CUSTOMER_REF_BAD_CHARACTER"]);
    for (customer_ref, labels, found) in [
        ("4711", vec![], "ab"),
        ("=1+1", vec![], "c"),
        ("471", vec![], ""),
        ("", vec![label("tier", "gold")], "ac"),
        ("4711", vec![label("tier", "gold")], "a"),
        ("", vec![label("tier", "free")], "b"),
    ] {
        let request =
            v1::ListDomainsRequest { customer_ref: customer_ref.to_owned(), labels, ..Default::default() };
        let listed = served.client.list_domains(signed(request, &token)).await.unwrap().into_inner();
        let letters: String = listed.domains.iter().map(|domain| &domain.name[..1]).collect();
        assert_eq!((letters.as_str(), listed.matching as usize), (found, found.len()), "{customer_ref}");
    }
}

/// A domain that leaves the filter is told once more; others are not told at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_whom_it_asked_for_and_who_leaves() {
    let mut served = served().await;
    let token = served.token(Role::Support, |_| {}).await;
    let client = &mut served.client;
    client.add_domain(signed(add("other.example.com", "1", &[]), &token)).await.unwrap();
    client.add_domain(signed(add(NAME, "4711", &[]), &token)).await.unwrap();
    let watch = |after| v1::WatchDomainsRequest {
        after_position: after,
        customer_ref: "4711".to_owned(),
        ..Default::default()
    };
    let mut stream = client.watch_domains(signed(watch(None), &token)).await.unwrap().into_inner();
    let next = async |stream: &mut tonic::Streaming<v1::WatchDomainsResponse>| {
        let change = tokio::time::timeout(Duration::from_secs(20), stream.message()).await.expect("in time");
        let change = change.unwrap().unwrap();
        (change.domain.unwrap().name, change.no_longer_fits, change.position)
    };
    let first = next(&mut stream).await;
    assert_eq!((first.0.as_str(), first.1), (NAME, false));
    client.set_domain_labels(signed(set(Some("2"), &[], &[]), &token)).await.unwrap();
    let left = next(&mut stream).await;
    assert_eq!((left.0.as_str(), left.1), (NAME, true));
    drop(stream);
    let mut resumed = client.watch_domains(signed(watch(Some(first.2)), &token)).await.unwrap().into_inner();
    assert_eq!(next(&mut resumed).await, left, "a stream that resumes hears of it, too");
}
